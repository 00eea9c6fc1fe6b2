#!/bin/sh
# covey-fleet as a process: it starts on a port of the system's choice, publishes, survives kill -9 in the middle of a publish,
# drains on SIGTERM, says what is wrong with a command line, and leaves no secret readable or logged.
set -eu
. "$(dirname "$0")/shared/wait.sh"
program=${COVEY_BUILD_DIR:-build/release}/covey-fleet
[ -x "$program" ] || { echo "skipped: no $program"; exit 77; }
work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -9 "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; [ ! -f serve.log ] || cat serve.log >&2; exit 1; }

start() {
    rm -f port
    "$program" serve --data data --port-file port --online-key keys/online.key --poll 1 >serve.out 2>>serve.log &
    server=$!
    await_port "$server" port
    COVEY_FLEET_URL=http://127.0.0.1:$(cat port)
    COVEY_FLEET_TOKEN_FILE=data/admin.token
    export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
}
# An ensemble that no engine would run, but that is whole: FOLDER VERSION MEBIBYTES
ensemble() {
    mkdir -p "$1"
    dd if=/dev/urandom of="$1/model.gguf" bs=1048576 count="$3" 2>/dev/null
    cat >"$1/ensemble.json" <<MANIFEST
{"format":1,"requires":[],"name":"assistant","version":"$2","variant":"q8_0","components":[{"role":"model","file":"model.gguf",
"size":$(($3 * 1048576)),"sha256":"$(sha256sum "$1/model.gguf" | cut -d' ' -f1)"}],
"needs":{"memory_bytes":0,"engine_interface":1,"arithmetic_version":1}}
MANIFEST
}

# 1. The command line says what it expects.
status=0; "$program" nonsense >out 2>&1 || status=$?
[ "$status" = 2 ] && grep -q 'unknown command' out || fail "an unknown command"
status=0; "$program" serve --nonsense >out 2>&1 || status=$?
[ "$status" = 2 ] && grep -q 'unknown option' out || fail "an unknown option"
status=0; "$program" serve >out 2>&1 || status=$?
[ "$status" = 2 ] && grep -q -e '--data DIR' out || fail "serve without --data"
status=0; "$program" token create --expires soon >out 2>&1 || status=$?
[ "$status" = 2 ] && grep -q '30m' out || fail "a bad duration"
status=0; "$program" serve --data data --listen nowhere >out 2>&1 || status=$?
[ "$status" = 2 ] && grep -q '127.0.0.1:8080' out || fail "a bad address"
for command in "" serve keys "keys init" "keys status" "keys push" "keys pull" "keys new" "keys add" "keys rotate" "keys revoke" \
    "keys renew" "keys import" "keys product" "keys product add" sign steer "steer kill" "steer show" "steer push" publish releases rollout "rollout create" "rollout set" "rollout pause" \
    "rollout resume" "rollout abort" "rollout list" devices "devices list" "devices show" "devices revoke" token "token create"; do
    # shellcheck disable=SC2086
    "$program" $command --help >out || fail "$command --help"
    grep -q '^example' out || fail "$command --help has no example"
done

# 2. It serves, and publishes.
"$program" keys init keys --product assistant --no-passphrase >/dev/null
[ "$(stat -c %a keys/assistant.key)" = 600 ] || fail "the private key's mode"
ensemble one 1.0.0 1
ensemble two 1.1.0 24
start
[ "$(stat -c %a data/admin.token)" = 600 ] || fail "the admin token's mode"
"$program" keys push --keys keys >out || fail "keys push"
"$program" publish one --keys keys --json >out || fail "publish"
grep -q '"release":"assistant@1.0.0"' out || fail "what publish says"
"$program" rollout create assistant@1.0.0 --percent 50 --json >out || fail "rollout create"
grep -q '"percent":50' out || fail "the rollout"
"$program" token create >token || fail "token create"
status=0; "$program" rollout create assistant@9.9.9 >out 2>&1 || status=$?
[ "$status" = 1 ] && grep -q not_found out || fail "a rollout of what was not published"
status=0; "$program" publish one --keys keys --release assistant@2.0.0 >out 2>&1 || status=$?
[ "$status" = 3 ] || fail "a release with another name than expected"

# 3. A second server on the same folder is refused.
status=0; "$program" serve --data data >out 2>&1 || status=$?
[ "$status" = 1 ] && grep -q 'another server' out || fail "a second server"

# 4. Killed in the middle of a publish, it comes back whole, and publishing again completes.
"$program" publish two --keys keys >out 2>&1 &
publisher=$!
tries=0
while [ "$(find data/blobs/sha256 -type f | wc -l)" -lt 8 ] && kill -0 "$publisher" 2>/dev/null && [ "$tries" -lt 2000 ]; do
    tries=$((tries + 1))
done
kill -9 "$server"
wait "$server" 2>/dev/null || true
status=0; wait "$publisher" || status=$?
start
[ -z "$(find data/blobs/incoming -type f)" ] || fail "an interrupted upload was left"
for blob in $(find data/blobs/sha256 -type f); do
    [ "$(sha256sum "$blob" | cut -d' ' -f1)" = "$(basename "$blob")" ] || fail "$blob is not what it is named"
done
if [ "$status" != 0 ]; then
    "$program" releases --json >out
    ! grep -q '"version":"1.1.0"' out || fail "half a release is listed"
fi
"$program" publish two --keys keys >out || fail "publish after kill -9"
grep -q 'assistant@1.1.0' out || fail "what publish says"
"$program" rollout list --json >out
grep -q '"percent":50' out || fail "the rollout was lost"

# 5. SIGTERM drains: exit 0, and nothing answers any more.
kill -TERM "$server"
status=0; wait "$server" || status=$?
server=
[ "$status" = 0 ] || fail "exit status $status after SIGTERM"
status=0; "$program" devices >out 2>&1 || status=$?
[ "$status" = 1 ] || fail "a command without a server"

# 6. No secret stands in the log or in the output.
for secret in $(cat data/admin.token token) $(sed 's/.*"seed":"\([0-9a-f]*\)".*/\1/' keys/assistant.key); do
    ! grep -q "$secret" serve.log serve.out || fail "a secret was logged"
done
echo "covey-fleet: all is well"
