#!/bin/sh
# A release whose ensemble has a tool more waits for the device's user: what it asks is shown in plain words, a denial is kept, and what
# was given is not asked again.
set -eu
. "$(dirname "$0")/shared/wait.sh"
bin=${COVEY_BUILD_DIR:-build/release}
model=${COVEY_TEST_MODEL:-${COVEY_SOURCE_DIR:-.}/models/assistant/1.0.0/model.gguf}
[ -x "$bin/covey" ] && [ -x "$bin/covey-fleet" ] || { echo "skipped: no programs in $bin"; exit 77; }
[ -f "$model" ] || { echo "skipped: no $model"; exit 77; }
case $model in /*) ;; *) model=$PWD/$model ;; esac
case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
work=$(mktemp -d)
plane=
stop() { [ -z "$plane" ] || { kill -9 "$plane" 2>/dev/null || true; wait "$plane" 2>/dev/null || true; }; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; for file in out plane.log; do [ ! -s "$file" ] || tail -n 15 "$file" >&2; done; exit 1; }
run() { "$bin/covey" "$@" --state state --builtin built-in >out 2>&1; }
fleet() { "$bin/covey-fleet" "$@" >out 2>&1 || fail "covey-fleet $*"; }
ends() { # ends STATUS TEXT WORDS...
    expected=$1
    text=$2
    shift 2
    status=0
    run "$@" || status=$?
    [ "$status" = "$expected" ] || fail "covey $*: expected exit status $expected, found $status"
    grep -q -e "$text" out || fail "covey $*: does not say \"$text\""
}
build() { "$bin/covey" bundle build --model q8.gguf --name assistant --version "$1" --tools "$2" --out "$3" --bits-probes 1 -t 1 >out 2>&1 || fail "bundle $1"; }

timer='{"type":"function","function":{"name":"timer","parameters":{"type":"object","properties":{"minutes":{"type":"integer"}}}}}'
search='{"type":"function","permissions":["read the web"],"function":{"name":"search"}}'
echo "[$timer]" >timer.json
echo "[$timer,$search]" >both.json
echo "[$search,$timer]" >again.json
"$bin/covey" quantize "$model" q8.gguf Q8_0 >/dev/null || fail "quantize"
build 1.0.0 timer.json built-in
build 1.1.0 both.json one
build 1.2.0 both.json two
build 1.3.0 again.json three
fleet keys init keys --product assistant --no-passphrase
"$bin/covey-fleet" serve --data plane --online-key keys/online.key --port-file port --poll 1 >plane.log 2>&1 &
plane=$!
await_port "$plane" port
COVEY_FLEET_URL=http://127.0.0.1:$(cat port)
COVEY_FLEET_TOKEN_FILE=$work/plane/admin.token
export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
fleet keys push --keys keys
offer() { fleet publish "$1" --keys keys; fleet rollout create "assistant@$2"; }
"$bin/covey-fleet" token create >token
ends 0 enrolled enroll "$COVEY_FLEET_URL" --root keys/root.json --token-file token
ends 0 'Nothing waits' consent

offer one 1.1.0
ends 4 'consent: it may use the tool search' update -t 1
ends 0 'assistant@1.1.0 asks for more' status
grep -q 'the tool search may: read the web' out || fail "status does not show what it asks for"
ends 4 'the tool search may: read the web' consent
ends 1 'under that digest' consent give --digest 0000000000000000000000000000000000000000000000000000000000000000
ends 0 Denied consent deny
ends 0 'up to date' update -t 1
ends 0 '^current *–' status

offer two 1.2.0
ends 4 'consent:' update -t 1
ends 0 Given consent give
ends 0 moved update -t 1
ends 0 '^current *assistant@1.2.0' status
offer three 1.3.0
ends 0 moved update -t 1
ends 0 'intact' audit
for event in 'consent-denied .*1.1.0' 'consent-given .*1.2.0' 'installed .*1.3.0'; do grep -q "$event" out || fail "the log does not tell \"$event\""; done
# Who never had a model and wants none is not told that it goes on.
"$bin/covey" opt-out all --state none >out 2>&1 || fail "opt-out where nothing is"
grep -q 'No model is on this device' out || fail "opt-out all, where nothing is, says something else"
echo "consent: all is well"
