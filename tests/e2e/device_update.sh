#!/bin/sh
# The main job in short: a control plane, two releases, a device that enrolls, updates, serves while it moves to the next one,
# goes back when its publisher stops one and by its user's wish, and answers when the network is gone. ./demo at the root tells it at length.
set -eu
. "$(dirname "$0")/shared/wait.sh"
bin=${COVEY_BUILD_DIR:-build/release}
model=${COVEY_TEST_MODEL:-${COVEY_SOURCE_DIR:-.}/models/assistant/1.0.0/model.gguf}
[ -x "$bin/covey" ] && [ -x "$bin/covey-fleet" ] || { echo "skipped: no programs in $bin"; exit 77; }
[ -f "$model" ] || { echo "skipped: no $model"; exit 77; }
command -v curl >/dev/null || { echo "skipped: no curl"; exit 77; }
case $model in /*) ;; *) model=$PWD/$model ;; esac
covey=$bin/covey
fleet=$bin/covey-fleet
work=$(mktemp -d)
plane=
device=
end() { [ -z "$1" ] || { kill -9 "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }; }
stop() { end "$device"; end "$plane"; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; for file in out err plane.log device.log; do [ ! -s "$file" ] || { echo "--- $file" >&2; tail -n 20 "$file" >&2; }; done; exit 1; }
has() { grep -q -e "$2" "$1"; }
run() { "$covey" "$@" --state state --builtin built-in; }
returned() { sed -n '/off by steering/,$p' device.log | grep -q 'Answering with assistant@1.0.0'; }
ask() { # ask CONVERSATION: which ensemble answers it
    curl -sS --max-time 60 -o out -D head -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
        -H "X-Covey-Conversation: $1" -d '{"messages":[{"role":"user","content":"set a timer for ten minutes"}],"stream":true}' \
        "$base/v1/chat/completions" || fail "the device did not answer"
    has out 'data: \[DONE\]' || fail "the answer was cut"
    tr -d '\r' <head | sed -n 's/^[Xx]-[Cc]ovey-[Ee]nsemble: //p'
}

# Three ensembles: one in the app, two to come. The second differs by its weights' type.
"$covey" quantize "$model" q8.gguf Q8_0 >/dev/null || fail "quantize"
"$covey" bundle build --model q8.gguf --name assistant --version 0.9.0 --out built-in --bits-probes 1 -t 1 >out 2>&1 || fail "bundle 0.9.0"
"$covey" bundle build --model q8.gguf --name assistant --version 1.0.0 --out one --bits-probes 1 -t 1 >out 2>&1 || fail "bundle 1.0.0"
"$covey" bundle build --model "$model" --name assistant --version 1.1.0 --out two --bits-probes 1 -t 1 >out 2>&1 || fail "bundle 1.1.0"

# A control plane.
"$fleet" keys init keys --product assistant --no-passphrase >/dev/null
"$fleet" serve --data plane --online-key keys/online.key --port-file plane.port --poll 1 >plane.log 2>&1 &
plane=$!
await_port "$plane" plane.port
COVEY_FLEET_URL=http://127.0.0.1:$(cat plane.port)
COVEY_FLEET_TOKEN_FILE=$work/plane/admin.token
export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
"$fleet" keys push --keys keys >out 2>&1 || fail "keys push"
"$fleet" publish one --keys keys >out 2>&1 || fail "publish 1.0.0"
"$fleet" rollout create assistant@1.0.0 >out 2>&1 || fail "rollout of 1.0.0"

# A device: it answers before it ever saw a network, then brings itself to 1.0.0.
run run -t 1 "set a timer for ten minutes" >out 2>err || fail "the built-in ensemble does not answer"
run status >out && has out '^builtin *assistant@0.9.0' && has out '^current *–' || fail "the status of a new device"
"$fleet" token create >token || fail "token"
if run enroll "$COVEY_FLEET_URL" --token-file token --root "$(printf %064d 0)" >out 2>&1; then fail "a root that nobody serves"; fi
has out 'no root with the SHA-256' || fail "enroll does not say which root is missing"
root=$(curl -fsS "$COVEY_FLEET_URL/v1/metadata/1.root.json" | sha256sum | cut -d' ' -f1)
run enroll "$COVEY_FLEET_URL" --token-file token --root "$root" >out 2>&1 || fail "enroll"
echo '{"format": 1, "trial": {"answers": 1}}' >state/policy.json # one good answer proves it
run update -t 1 >out 2>&1 || fail "update to 1.0.0"
has out 'moved to another ensemble' || fail "update does not say that it moved"
run status >out && has out '^current *assistant@1.0.0' || fail "the device is not on 1.0.0"
run update -t 1 >out 2>&1 && has out 'up to date' || fail "a second update"

# It serves, and moves to 1.1.0 while a conversation is open, which stays where it began.
# Not through run: the shell must know the process itself.
"$covey" serve --state state --builtin built-in --port 0 --port-file device.port -t 1 >device.log 2>&1 &
device=$!
await_port "$device" device.port
base=http://127.0.0.1:$(cat device.port)
token=$("$covey" token --state state)
[ "$(ask open)" = assistant@1.0.0 ] || fail "1.0.0 does not answer"
"$fleet" publish two --keys keys >out 2>&1 || fail "publish 1.1.0"
"$fleet" rollout create assistant@1.1.0 >out 2>&1 || fail "rollout of 1.1.0"
await "the move to 1.1.0" has device.log 'Answering with assistant@1.1.0'
[ "$(ask open)" = assistant@1.0.0 ] || fail "the open conversation moved"
[ "$(ask new)" = assistant@1.1.0 ] || fail "a new conversation did not move"

# Its publisher stops 1.1.0: the device goes back at once, its open conversations too, and holds to that without a network.
"$fleet" steer kill assistant --keys keys --versions =1.1.0 --reason "answers in the wrong language" --author ops >out 2>&1 &&
    "$fleet" steer push assistant --keys keys >out 2>&1 || fail "steer"
await "the return to 1.0.0" returned
[ "$(ask new)" = assistant@1.0.0 ] || fail "what was stopped still answers"
run status >out && has out '^steering *kill .*wrong language' || fail "status does not tell the kill"

# The network goes: the device answers as before, and says why it cannot be asked.
end "$plane"
plane=
[ "$(ask offline)" = assistant@1.0.0 ] || fail "the device needs the network to answer"
kill -TERM "$device"
status=0
wait "$device" || status=$?
device=
[ "$status" = 0 ] || fail "the device's server ended with $status"
run run -t 1 "set a timer for ten minutes" >out 2>err || fail "no answer without the network"
status=0
run update -t 1 >out 2>&1 || status=$?
[ "$status" = 4 ] && has out 'could not be asked' || fail "update without a network: exit status $status"
run status >out && has out '^problem' || fail "status does not tell the problem"

# Its user goes back, and stays there.
run rollback --json >out 2>err && has out '^{"ensemble":"assistant@0.9.0"}$' || fail "rollback"
run run --json -t 1 hello >out 2>err && has out '"ensemble":"assistant@0.9.0"' || fail "0.9.0 does not answer after the rollback"

# Its user sees what was done here, and by whom, and has the last word.
run audit >out 2>err || fail "audit"
for event in 'enrolled .*http' 'root ' 'installed .*assistant@1.0.0 -> assistant@1.1.0' 'committed' 'returned' 'signed by assistant' \
    'go below version 0.9.0' 'steering ' 'The log is intact'; do has out "$event" || fail "audit does not show \"$event\""; done
run audit --json >out 2>err && has out '"intact":true' || fail "audit --json"
run opt-out all >out 2>err && has out 'built into the app' || fail "opt-out"
run run --json -t 1 hello >out 2>err && has out '"ensemble":"assistant@0.9.0"' || fail "the built-in ensemble does not stand in"
run status >out && has out '^opted out *updates, the model' || fail "status does not tell what is switched off"
# A policy of the user's that leaves nothing in its place: the server says so, and lets go of what it had when it is told at work.
sed -i 's/"features": {/"degrade": {"to": "off"},\n  "features": {/' state/policy.json
status=0
run run -t 1 hello >out 2>err || status=$?
[ "$status" = 1 ] && has err 'its user opted out' || fail "a model that is off answers"
run opt-out all --back >out 2>err || fail "opt-out --back"
rm -f device.port
"$covey" serve --state state --builtin built-in --port 0 --port-file device.port -t 1 >device.log 2>&1 &
device=$!
await_port "$device" device.port
base=http://127.0.0.1:$(cat device.port)
[ "$(ask again)" = assistant@0.9.0 ] || fail "0.9.0 does not answer again"
run opt-out all >out 2>err || fail "opt-out beside the server"
is_off() { curl -sS -o off -w '%{http_code}' -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
    -d '{"messages":[{"role":"user","content":"hello"}]}' "$base/v1/chat/completions" >code && has code '^503$' && has off '"code":"denied"'; }
await "the server's word that it is off" is_off
has off 'its user opted out' || fail "the server does not say why it is off"
end "$device"
device=
run opt-out all --back >out 2>err && run run --json -t 1 hello >out 2>err && has out 'assistant@0.9.0' || fail "opt-out --back"
run consent >out && has out 'Nothing waits' || fail "consent"
sed -i 's/assistant@1.1.0/assistant@9.1.0/' state/audit.log/00000001.log
status=0
run audit --verify >out 2>err || status=$?
[ "$status" = 1 ] && has out 'BROKEN in segment 1, line' || fail "a log that was changed passes"
echo "the device's life: all is well"
