#!/bin/sh
# How an update's bytes come over real lines: HTTP/2 with TLS on one connection, HTTP/1.1 whose connections break, a line that
# falls silent, a mirror that lies, a ceiling on rate, and the user's pause.
set -eu
. "$(dirname "$0")/shared/wait.sh"
bin=${COVEY_BUILD_DIR:-build/release}
source=${COVEY_SOURCE_DIR:-$PWD}
model=${COVEY_TEST_MODEL:-$source/models/assistant/1.0.0/model.gguf}
[ -x "$bin/covey" ] && [ -x "$bin/covey-fleet" ] || { echo "skipped: no programs in $bin"; exit 77; }
[ -f "$model" ] || { echo "skipped: no $model"; exit 77; }
for tool in curl node openssl; do command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }; done
case $model in /*) ;; *) model=$PWD/$model ;; esac
covey=$bin/covey
fleet=$bin/covey-fleet
work=$(mktemp -d)
plane=
proxy=
other=
device=
end() { [ -z "$1" ] || { kill -9 "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }; }
stop() { end "$device"; end "$proxy"; end "$other"; end "$plane"; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; for file in out err plane.log proxy.log; do [ ! -s "$file" ] || { echo "--- $file" >&2; tail -n 20 "$file" >&2; }; done; exit 1; }
has() { grep -q -e "$2" "$1"; }
# For the shell's own child: tests wait for it.
plane_start() { # plane_start OPTIONS...
    rm -f plane.port
    "$fleet" serve --data plane --online-key keys/online.key --port-file plane.port --poll 1 "$@" >plane.log 2>&1 &
    plane=$!
    await_port "$plane" plane.port
    COVEY_FLEET_URL=http://127.0.0.1:$(cat plane.port)
}
proxy_start() { # proxy_start OPTIONS...: in front of the plane
    end "$proxy"
    rm -f proxy.port
    node "$source/tests/npm/fetch_proxy.mjs" --target "$COVEY_FLEET_URL" --port-file proxy.port "$@" >proxy.log 2>&1 &
    proxy=$!
    await_port "$proxy" proxy.port
    port=$(cat proxy.port)
}
count() { curl -sS --cacert tls/cert.pem "$1/__counts" | sed "s/.*\"$2\":\([0-9]*\).*/\1/"; }
enroll() { # enroll URL: a new device
    rm -rf state
    "$fleet" token create >token || fail "token"
    "$covey" enroll "$1" --token-file token --state state >out 2>&1 || fail "enroll at $1"
}
update() { "$covey" update -t 1 --state state "$@"; }
arrived() { "$covey" status --state state >out && has out '^current *assistant@1.0.0'; }

"$covey" bundle build --model "$model" --name assistant --version 1.0.0 --out one --bits-probes 1 -t 1 >out 2>&1 || fail "bundle"
size=$(stat -c %s "$model")
mkdir tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls/key.pem -out tls/cert.pem -days 2 \
    -subj /CN=localhost -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' >out 2>&1 || fail "a certificate"
"$fleet" keys init keys --product assistant --no-passphrase >/dev/null
COVEY_FLEET_TOKEN_FILE=$work/plane/admin.token
plane_start
export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
"$fleet" keys push --keys keys >out 2>&1 || fail "keys push"
"$fleet" publish one --keys keys >out 2>&1 || fail "publish"
"$fleet" rollout create assistant@1.0.0 >out 2>&1 || fail "rollout"

# HTTP/2: chunks share a connection, several under way. A certificate that nobody vouches for is refused.
proxy_start --tls tls --delay 20
url=https://127.0.0.1:$port
"$fleet" token create >token
if "$covey" enroll "$url" --token-file token --state state >out 2>&1; then fail "an unknown certificate was believed"; fi
SSL_CERT_FILE=$work/tls/cert.pem
export SSL_CERT_FILE
enroll "$url"
update >out 2>&1 || fail "an update over HTTP/2"
arrived || fail "the device did not move over HTTP/2"
[ "$(count "$url" h2)" -gt 5 ] || fail "blobs did not come over HTTP/2"
[ "$(count "$url" most_at_once)" -ge 3 ] || fail "no exchanges were under way together"

# The same without HTTP/2: over TLS, connections are kept and are few.
proxy_start --tls tls --h1 --delay 20
url=https://127.0.0.1:$port
enroll "$url"
update >out 2>&1 || fail "an update over HTTP/1.1 with TLS"
arrived || fail "the device did not move over HTTP/1.1"
blobs=$(count "$url" blobs)
requests=$(count "$url" h1)
lines=$(count "$url" connections)
[ "$(count "$url" most_at_once)" -ge 3 ] || fail "no connections were used together"
[ $((requests - blobs + 8)) -ge "$lines" ] || fail "$lines connections for $blobs blobs"

# Every third blob breaks off in its middle: what came is kept, and the rest is asked for.
proxy_start --cut 3
url=http://127.0.0.1:$port
enroll "$url"
tries=0
until arrived; do
    tries=$((tries + 1))
    [ $tries -le 60 ] || fail "the update never arrived over lines that break"
    update >out 2>&1 || true
done
[ "$(count "$url" cuts)" -ge 2 ] || fail "no line broke"
[ "$(count "$url" ranges)" -ge 1 ] || fail "nothing was gone on with"
[ "$(count "$url" bytes)" -lt $((size + size / 5)) ] || fail "$(count "$url" bytes) bytes came for $size"

# A line that falls silent: SIGINT ends the command at once, and the next one goes on.
proxy_start --stall 6
url=http://127.0.0.1:$port
enroll "$url"
"$covey" update -t 1 --state state >out 2>&1 &
device=$!
stalled() { [ "$(count "$url" stalled)" = 1 ]; }
await_alive "$device" "the silent line" stalled
before=$(date +%s)
kill -INT "$device"
wait "$device" || true
device=
[ $(($(date +%s) - before)) -le 5 ] || fail "a silent line held the command for $(($(date +%s) - before)) s"
has out '^Stopped' || fail "the command does not say that it was stopped"
update >out 2>&1 || fail "going on after a silent line"
arrived || fail "the device did not move after a silent line"

# The user's pause: nothing is fetched, and it says so.
proxy_start
url=http://127.0.0.1:$port
enroll "$url"
update --pause >out 2>&1 && has out 'paused' || fail "--pause"
if update >out 2>&1; then fail "an update while paused"; fi
has out 'paused' || fail "a paused update does not say so"
"$covey" status --state state >out && has out '^paused' || fail "the status does not say that updates are paused"
[ "$(count "$url" blobs)" = 0 ] || fail "blobs were fetched while paused"
update --resume >out 2>&1 || fail "--resume"

# A ceiling on rate, and plain lines where there is no terminal.
echo "{\"format\": 1, \"update\": {\"rate_bytes_per_second_max\": $((size / 4))}}" >state/policy.json
before=$(date +%s%N)
update --json >out 2>&1 || fail "an update under a ceiling"
took_ms=$((($(date +%s%N) - before) / 1000000))
arrived || fail "the device did not move under a ceiling"
[ "$took_ms" -ge 3200 ] || fail "a ceiling of a quarter of the size a second was held for $took_ms ms only"
update --json >out 2>&1 || fail "update"

# A mirror that lies is named, and the plane itself serves instead.
end "$plane"
plane_start
proxy_start --spoil
mirror=http://127.0.0.1:$port/v1/blobs
end "$plane"
plane_start --mirror "$mirror" --listen "127.0.0.1:$(cat plane.port)"
enroll "$COVEY_FLEET_URL"
update >out 2>&1 || fail "an update beside a lying mirror"
has out "came from $mirror with other bytes" || fail "the mirror is not named"
arrived || fail "the device did not move beside a lying mirror"
echo "ok: HTTP/2, HTTP/1.1, cuts, silence, pause, rate and mirrors"
