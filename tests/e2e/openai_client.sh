#!/bin/sh
# covey serve with the npm package "openai" as a real client. Needs node, npm and, at the first run, the package.
set -eu
. "$(dirname "$0")/shared/wait.sh"
build=${COVEY_BUILD_DIR:-build/release}
covey=$build/covey
root=$(cd "${COVEY_SOURCE_DIR:-.}" && pwd)
source=$root/tests/npm
model=$root/models/assistant/1.1.0/model.gguf
skip() { echo "skipped: $*"; exit 77; }
fail() { echo "failed: $*" >&2; [ ! -s "$work/log" ] || cat "$work/log" >&2; exit 1; }
[ -x "$covey" ] || skip "no $covey"
. "$source/install"
work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM

COVEY_STATE=$work/state
export COVEY_STATE
"$covey" serve "$model" --port 0 --port-file "$work/port" --parallel 4 --conversations 8 -t 2 >"$work/log" 2>&1 &
server=$!
await_port "$server" "$work/port"
cp "$source/openai_client.mjs" "$build/npm/"
node "$build/npm/openai_client.mjs" "http://127.0.0.1:$(cat "$work/port")/v1" "$("$covey" token)" || { cat "$work/log"; exit 1; }
