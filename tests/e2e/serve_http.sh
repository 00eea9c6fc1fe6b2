#!/bin/sh
# covey serve as a process: on a port of the system's choice, by curl, with the assistant; SIGTERM ends it in time.
set -eu
. "$(dirname "$0")/shared/wait.sh"
covey=${COVEY_BUILD_DIR:-build/release}/covey
model=${COVEY_TEST_MODEL:-${COVEY_SOURCE_DIR:-.}/models/assistant/1.0.0/model.gguf}
[ -x "$covey" ] || { echo "skipped: no $covey"; exit 77; }
[ -f "$model" ] || { echo "skipped: no $model"; exit 77; }
command -v curl >/dev/null || { echo "skipped: no curl"; exit 77; }
case $model in /*) ;; *) model=$PWD/$model ;; esac
work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -9 "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
COVEY_STATE=$work/state
export COVEY_STATE
fail() { echo "failed: $*" >&2; for file in out head log; do [ ! -s "$file" ] || cat "$file" >&2; done; exit 1; }
ask() { # ask STATUS CURL-ARGUMENTS...: the body in `out`, the head in `head`
    wanted=$1
    shift
    found=$(curl -sS --max-time 60 -o out -D head -w '%{http_code}' "$@") || fail "curl $*"
    [ "$found" = "$wanted" ] || fail "$*: expected $wanted, found $found"
}

"$covey" serve "$model" --port 0 --port-file port -t 1 >log 2>&1 &
server=$!
await_port "$server" port
base=http://127.0.0.1:$(cat port)
token="Authorization: Bearer $("$covey" token)"
json='Content-Type: application/json'
say='{"messages":[{"role":"user","content":"set a timer for ten minutes"}]'

ask 200 "$base/health"
ask 401 "$base/v1/models"
ask 403 -H 'Host: evil.example' "$base/health"
ask 403 -H 'Origin: http://evil.example' "$base/health"
ask 200 -H "$token" "$base/v1/models"
grep -q '"object":"list"' out || fail "the list of models"
ask 404 -H "$token" "$base/v1/nothing"

ask 200 -H "$token" -H "$json" -d "$say}" "$base/v1/chat/completions"
grep -q '"object":"chat.completion"' out || fail "the answer's shape"
grep -q '"finish_reason":"stop"' out || fail "how it ended"
grep -qi '^X-Covey-Ensemble:' head || fail "the header with the ensemble"
ask 200 -N -H "$token" -H "$json" -d "$say,\"stream\":true,\"stream_options\":{\"include_usage\":true}}" "$base/v1/chat/completions"
grep -qi '^Content-Type: text/event-stream' head || fail "the stream's type"
[ "$(tail -n 2 out | head -n 1)" = 'data: [DONE]' ] || fail "the stream's end"
grep -q '"usage":{' out || fail "the stream's usage"
[ "$(grep -c '"content":"' out)" -gt 3 ] || fail "the stream has few pieces"
ask 200 -H "$token" -H "$json" -d '{"prompt":"Hello","max_tokens":4}' "$base/v1/completions"
grep -q '"object":"text_completion"' out || fail "a plain completion"
grep -q '"finish_reason":"length"' out || fail "its length"
ask 400 -H "$token" -H "$json" -d "$say,\"functions\":[]}" "$base/v1/chat/completions"
grep -q 'functions' out || fail "what is not supported is not named"
ask 400 -H "$token" -H "$json" -d '{' "$base/v1/chat/completions"
ask 200 -H "$token" "$base/metrics"
grep -q '^covey_requests_total{outcome="ok"} 3$' out || fail "the count of answers"
grep -q '^covey_time_to_first_token_seconds_count 3$' out || fail "the times to the first token"

# A conversation that is longer than the context: refused by type, or, where it may slide, answered; and the answer is the
# same whatever the conversation's slot held before.
long='{"max_tokens":24,"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"hello"}'
i=0
while [ $i -lt 120 ]; do
    i=$((i + 1))
    long="$long,{\"role\":\"user\",\"content\":\"set a timer for $i minutes\"},{\"role\":\"assistant\",\"content\":\"done, $i minutes\"}"
done
long="$long,{\"role\":\"user\",\"content\":\"set a timer for ten minutes\"}]}"
ask 400 -H "$token" -H "$json" -d "$long" "$base/v1/chat/completions"
grep -q '"code":"context_length_exceeded"' out || fail "the code of a full context"
"$covey" serve "$model" --port 0 --port-file sliding-port -t 1 -c 200 --when-full slide --prefix-cache 1 >sliding.log 2>&1 &
sliding=$!
trap 'kill -9 "$sliding" 2>/dev/null || true; stop' EXIT
await_port "$sliding" sliding-port
slides=http://127.0.0.1:$(cat sliding-port)
ask 200 -H "$token" -H "$json" -d "$long" "$slides/v1/chat/completions"
grep -q '"dropped_tokens":[1-9][0-9]' out || fail "nothing was left out"
grep -oE '"content":"([^"\\]|\\.)*"' out >whole
ask 200 -H "$token" -H "$json" -d "$say}" "$slides/v1/chat/completions"
grep -q '"dropped_tokens":0' out || fail "a short one lost something"
ask 200 -H "$token" -H "$json" -d "$long" "$slides/v1/chat/completions"
grep -oE '"content":"([^"\\]|\\.)*"' out >again
cmp -s whole again || fail "the same long conversation was answered otherwise"
kill -TERM "$sliding"
wait "$sliding" || fail "the second server's end"
trap stop EXIT

# A second server on the same port is refused.
status=0
timeout 20 "$covey" serve "$model" --port "$(cat port)" >second.log 2>&1 || status=$?
[ "$status" = 1 ] && grep -q 'listen' second.log || fail "a second server on the port: $(cat second.log)"

# SIGTERM: it ends, soon, with 0, and leaves the port.
start=$(date +%s)
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
[ "$status" = 0 ] || fail "exit status $status after SIGTERM"
[ $(($(date +%s) - start)) -le 4 ] || fail "SIGTERM took $(($(date +%s) - start)) s with nothing to do"
! curl -s --max-time 5 "$base/health" >/dev/null || fail "it still answers"
# The token is the same at the next start, and is never logged.
! grep -q "$("$covey" token)" log || fail "the token was logged"
echo "covey serve: all is well"
