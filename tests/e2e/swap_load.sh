#!/bin/sh
# covey serve under constant load moves to an update, returns from one that is slower than its policy allows, takes it again when its
# user says so, and moves once more where memory holds one model only. No request fails, and every answer is one that the ensemble it
# names gives. What the fleet knows of the device is what serves.
set -eu
bin=${COVEY_BUILD_DIR:-build/release}
source=${COVEY_SOURCE_DIR:-$PWD}
model=${COVEY_TEST_MODEL:-$source/models/assistant/1.0.0/model.gguf}
load=$bin/tests/swap_load
[ -x "$bin/covey" ] && [ -x "$bin/covey-fleet" ] && [ -x "$load" ] || { echo "skipped: no programs in $bin"; exit 77; }
[ -f "$model" ] || { echo "skipped: no $model"; exit 77; }
case $model in /*) ;; *) model=$PWD/$model ;; esac
covey=$bin/covey
fleet=$bin/covey-fleet
work=$(mktemp -d)
pids=
end() { kill -9 "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }
stop() { for pid in $pids; do end "$pid"; done; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; for file in out err plane.log device.log; do [ ! -s "$file" ] || { echo "--- $file" >&2; tail -n 30 "$file" >&2; }; done; exit 1; }
await() { # await WHAT COMMAND...
    what=$1
    shift
    tries=0
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 2400 ] || fail "$what did not come"
        sleep 0.05
    done
}
has() { grep -q -e "$2" "$1"; }
answers() { [ "$(grep -c "\"header\":\"assistant@$1\"" records)" -ge "$2" ]; } # answers VERSION COUNT: so many came
more() { # more VERSION: a dozen answers of it, from here on
    seen=$(grep -c "\"header\":\"assistant@$1\"" records) || true
    await "answers of $1" answers "$1" $((seen + 12))
}
on() { "$covey" status --state state --builtin zero >out 2>err && has out "^current *assistant@$1"; }
serve() { # serve NAME ARGUMENTS...: a server on a port of its own, its process in $pid
    log=$1
    shift
    rm -f "$log.port"
    "$covey" serve --port 0 --port-file "$log.port" -t 1 "$@" >"$log.log" 2>&1 &
    pid=$!
    pids="$pids $pid"
    await "$log" test -s "$log.port"
}

# Weights of one model in four types: answers differ, and each ensemble's are its own.
types="Q8_0 Q4_0 Q5_K_M Q6_K"
set -- 1.0.0 1.1.0 1.2.0 1.3.0
for type in $types; do
    "$covey" quantize "$model" "$type.gguf" "$type" >/dev/null 2>&1 || fail "quantize"
    "$covey" bundle build --model "$type.gguf" --name assistant --version "$1" --out "$1" --bits-probes 1 -t 1 >out 2>&1 || fail "bundle $1"
    shift
done
cp -r 1.0.0 zero

"$fleet" keys init keys --product assistant --no-passphrase >/dev/null
"$fleet" serve --data plane --online-key keys/online.key --port-file plane.port --poll 1 >plane.log 2>&1 &
pids="$pids $!"
await "the control plane" test -s plane.port
COVEY_FLEET_URL=http://127.0.0.1:$(cat plane.port)
COVEY_FLEET_TOKEN_FILE=$work/plane/admin.token
export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
"$fleet" keys push --keys keys >out 2>&1 || fail "keys push"
offer() { "$fleet" publish "$1" --keys keys >out 2>&1 && "$fleet" rollout create "assistant@$1" >out 2>&1 || fail "publish $1"; }

# Conversations may stay for a moment only, so that some are moved within this test's time.
mkdir -p state
echo '{"format": 1, "drain": {"deadline_ms": 300}, "trial": {"answers": 8, "slower_max_percent": 0, "busy_max_percent": 100}}' >state/policy.json
"$fleet" token create >token || fail "token"
"$covey" enroll "$COVEY_FLEET_URL" --token-file token --state state --builtin zero >out 2>&1 || fail "enroll"
serve device --state state --builtin zero --conversations 8 --context 256
device=$pid
touch records
"$load" run "127.0.0.1:$(cat device.port)" "$("$covey" token --state state)" records stop 6 16 &
loader=$!
pids="$pids $loader"

# An update under load, which its answers prove.
more 1.0.0
offer 1.1.0
more 1.1.0
await "the proof of 1.1.0" has device.log 'commit assistant@1.1.0: .* answers were good'

measured() { tr -d ' \n' <state/state.json | grep -q '"current":{[^}]*"speeds":\[[0,]*[1-9]'; }
# One that is slower than the policy allows, which here any is: it is left again, under load.
await "what 1.1.0 measured" measured
echo '{"format": 1, "drain": {"deadline_ms": 300}, "trial": {"answers": 100000, "slower_max_percent": 1, "busy_max_percent": 100}}' >state/policy.json
offer 1.2.0
await "the return from 1.2.0" has device.log 'return assistant@1.2.0: it is slower than the one before'
more 1.1.0
on 1.1.0 || fail "the device is not back on 1.1.0"
has out '^refused *assistant@1.2.0: it is slower' || fail "status does not tell what was left, and why"
"$fleet" devices list --json >out 2>err || fail "devices"
id=$(sed -n 's/.*"id": *"\([0-9a-f]\{32\}\)".*/\1/p' out | head -n 1)
knows() {
    "$fleet" devices show "$id" --json >shown 2>err || return 1
    tr -d ' \n' <shown >out
    has out '"current":{[^}]*"version":"1\.1\.0"' && has out '"refused":\["assistant@1\.2\.0"\]' && has out '"target":null' &&
        has shown 'it is slower than the one before'
}
await "the fleet's knowledge of the return" knows

# Its user wants it tried again.
echo '{"format": 1, "drain": {"deadline_ms": 300}, "trial": {"answers": 4, "slower_max_percent": 0, "busy_max_percent": 100}}' >state/policy.json
"$covey" update --retry 1.9.9 --state state --builtin zero >out 2>err && fail "a release that nobody refused is retried"
"$covey" update --retry 1.2.0 --state state --builtin zero >out 2>err || true
await "the proof of 1.2.0" has device.log 'commit assistant@1.2.0'
more 1.2.0

touch stop
wait "$loader"
kill -TERM "$device"
wait "$device" || fail "the device's server did not end in order"

# Memory for one model only: the old one is drained first; requests wait.
rm -f stop
serve small --state state --builtin zero --conversations 8 --context 256 --memory 1
device=$pid
"$load" run "127.0.0.1:$(cat small.port)" "$("$covey" token --state state)" records stop 6 16 &
loader=$!
pids="$pids $loader"
more 1.2.0
offer 1.3.0
more 1.3.0
has small.log 'MiB are allowed: the one that serves is drained first' || fail "the log does not tell that memory held one only"
touch stop
wait "$loader"
kill -TERM "$device"
wait "$device" || fail "the device's server did not end in order"

"$load" count records >out 2>&1 || fail "requests failed"
cat out
references=
for version in 1.0.0 1.1.0 1.2.0 1.3.0; do
    serve "only-$version" "$version/model.gguf" --context 256 --no-token --state "state-$version"
    references="$references assistant@$version=127.0.0.1:$(cat "only-$version.port")"
done
"$load" check records $references || fail "answers are mixed"
echo "a swap under load: all is well"
