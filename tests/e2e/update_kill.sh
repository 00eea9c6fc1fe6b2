#!/bin/sh
# An update disturbed from outside: the real program against a real control plane, ended by SIGKILL at its Nth system call of a
# kind, or that call failed with "disk full", an I/O error or a broken line, by strace's injection. After each the device answers
# at once, with an ensemble that is whole to the byte, an update without disturbance arrives, and nothing is left over.
# usage: update_kill.sh [full]      a sample of calls; full: every one (also COVEY_EXHAUSTIVE=full)
set -eu
. "$(dirname "$0")/shared/wait.sh"
bin=${COVEY_BUILD_DIR:-build/release}
model=${COVEY_SOURCE_DIR:-.}/models/assistant/1.0.0/model.gguf
[ -x "$bin/covey" ] && [ -x "$bin/covey-fleet" ] || { echo "skipped: no programs in $bin"; exit 77; }
command -v strace >/dev/null || { echo "skipped: no strace"; exit 77; }
strace -qq -o /dev/null -e inject=fsync:error=EIO:when=1 true 2>/dev/null || { echo "skipped: this system lets no process trace another"; exit 77; }
case $model in /*) ;; *) model=$PWD/$model ;; esac
case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
mode=${1:-${COVEY_EXHAUSTIVE:-sample}}
covey=$bin/covey
fleet=$bin/covey-fleet
work=$(mktemp -d)
plane=
stop() { [ -z "$plane" ] || { kill -9 "$plane" 2>/dev/null || true; wait "$plane" 2>/dev/null || true; }; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; for file in out err plane.log; do [ ! -s "$file" ] || { echo "--- $file" >&2; tail -n 20 "$file" >&2; }; done; exit 1; }
run() { "$covey" "$@" --state state --builtin built-in; }

# The ensemble of the app, and the one to come.
"$covey" quantize "$model" a.gguf Q2_K >out 2>&1 && "$covey" quantize "$model" b.gguf Q4_0 >out 2>&1 || fail "quantize"
"$covey" bundle build --model a.gguf --name assistant --version 1.0.0 --out built-in --bits-probes 1 -t 1 >out 2>&1 || fail "bundle 1.0.0"
"$covey" bundle build --model b.gguf --name assistant --version 1.1.0 --out next --bits-probes 1 -t 1 >out 2>&1 || fail "bundle 1.1.0"
"$fleet" keys init keys --product assistant --no-passphrase >/dev/null
"$fleet" serve --data plane --online-key keys/online.key --port-file plane.port >plane.log 2>&1 &
plane=$!
await_port "$plane" plane.port
COVEY_FLEET_URL=http://127.0.0.1:$(cat plane.port)
COVEY_FLEET_TOKEN_FILE=$work/plane/admin.token
export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
"$fleet" keys push --keys keys >out 2>&1 && "$fleet" publish next --keys keys >out 2>&1 && "$fleet" rollout create assistant@1.1.0 >out 2>&1 || fail "publish"
"$fleet" token create >token || fail "token"
run enroll "$COVEY_FLEET_URL" --token-file token >out 2>&1 || fail "enroll"
echo '{"format": 1, "trial": {"answers": 1}}' >state/policy.json # one good answer proves it
cp -a state before

# What the device answers with is whole: the ensemble in the app, or the very bytes that were published.
answers() {
    run run --json -t 1 hello >out 2>err || fail "$1: the device does not answer"
    case $(cat out) in
    *'"ensemble":"assistant@1.0.0"'*) ;;
    *'"ensemble":"assistant@1.1.0"'*) diff -r next "state/ensembles/$digest" >out 2>&1 || fail "$1: what answers is not what was published" ;;
    *) fail "$1: another ensemble answers" ;;
    esac
}
arrives() {
    for try in 1 2 3 4 5; do
        run update -t 1 >out 2>&1 || true
        run run --json -t 1 hello >out 2>err || fail "$1: no answer after the update"
        if grep -q '"ensemble":"assistant@1.1.0"' out && run update -t 1 >out 2>&1; then break; fi
        [ $try -lt 5 ] || fail "$1: the device never came to 1.1.0"
    done
    answers "$1"
    # Indexes of what the app brought are made when there is something to fetch.
    find state -path state/cache -prune -o -print | sort >found
    [ ! -s wanted ] || diff wanted found >out || fail "$1: something is left over, or missing"
}

# Undisturbed: what is left, and how many calls there are of each kind. Calls before the first on the state folder are the loader's.
calls="openat pwrite64 fsync ftruncate fallocate rename mkdir unlink unlinkat flock pread64 getdents64 sendto recvfrom"
digest=$(sha256sum <next/ensemble.json | cut -d' ' -f1)
strace -f -qq -e signal=none -e trace=network,desc,file -o trace "$covey" update --state state --builtin built-in -t 1 >out 2>&1 || fail "the undisturbed update"
arrives "undisturbed"
mv found wanted
first_pid=$(awk 'NR == 1 { print $1 }' trace)
awk -v pid="$first_pid" -v names="$calls" '
    BEGIN { n = split(names, name, " ") }
    $1 == pid { call = $2; sub(/\(.*/, "", call); count[call]++; if (!(call in first) && (call != "openat" || /state/)) first[call] = count[call] }
    END { for (i = 1; i <= n; i++) if (name[i] in count) print name[i], first[name[i]], count[name[i]] }' trace >counts

# Every call, or every so many of each kind, beginning at another one for each way of disturbing it.
points=0
disturb() { # disturb CALL FIRST LAST STEP OFFSET WHAT: as strace says it, at every STEP-th call
    at=$(($2 + $5 % $4))
    while [ "$at" -le "$3" ]; do
        rm -rf state
        cp -a before state
        status=0
        strace -f -qq -o /dev/null -e signal=none -e trace="$1" -e inject="$1:$6:when=$at" \
            "$covey" update --state state --builtin built-in -t 1 >out 2>&1 || status=$?
        answers "$1 $at $6"
        arrives "$1 $at $6"
        # How often the network is asked for bytes is not the same each time: the last calls may not come.
        case $6:$status in signal=*:137 | error=*) points=$((points + 1)) ;; esac
        at=$((at + $4))
    done
}
while read -r call first last; do
    every=$(((last - first + 1) / 3 + 1))
    [ "$mode" != full ] || every=1
    points=0
    disturb "$call" "$first" "$last" "$every" 0 signal=SIGKILL
    killed=$points
    [ "$killed" -gt 0 ] || fail "$call: none was killed"
    points=0
    case $call in
    sendto | recvfrom) disturb "$call" "$first" "$last" "$every" 1 error=ECONNRESET ;;
    flock | pread64 | getdents64 | unlink | unlinkat) disturb "$call" "$first" "$last" "$every" 1 error=EIO ;;
    *)
        disturb "$call" "$first" "$last" $((2 * every)) 1 error=ENOSPC
        disturb "$call" "$first" "$last" $((2 * every)) $((every + 1)) error=EIO
        ;;
    esac
    echo "$call: $((last - first + 1)) calls, killed at $killed, failed at $points, lost: 0"
done <counts
