#!/bin/sh
# docs/security.md, step by step: its commands are taken from the page and run in their order, each must succeed. Programs of the same
# names stand before the real ones and add only what a person's machine would know: where the control plane is, the passphrase, the
# device's folders; "serve" goes to the background, in the place of the one before.
set -eu
bin=${COVEY_BUILD_DIR:-build/release}
source=${COVEY_SOURCE_DIR:-.}
model=${COVEY_TEST_MODEL:-$source/models/assistant/1.0.0/model.gguf}
page=$source/docs/security.md
[ -x "$bin/covey" ] && [ -x "$bin/covey-fleet" ] || { echo "skipped: no programs in $bin"; exit 77; }
[ -f "$model" ] || { echo "skipped: no $model"; exit 77; }
case $model in /*) ;; *) model=$PWD/$model ;; esac
case $page in /*) ;; *) page=$PWD/$page ;; esac
case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
work=$(mktemp -d)
end_plane() { [ ! -s "$work/plane.pid" ] || kill -9 "$(cat "$work/plane.pid")" 2>/dev/null || true; }
trap 'end_plane; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
waiting=$(cd "$(dirname "$0")" && pwd)/shared/wait.sh
cd "$work"
unset COVEY_FLEET_KEYS COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE COVEY_STATE COVEY_BUILTIN 2>/dev/null || true
fail() { echo "failed: $*" >&2; [ ! -s out ] || tail -n 20 out >&2; [ ! -s plane.log ] || tail -n 5 plane.log >&2; exit 1; }

mkdir programs
cat >programs/covey-fleet <<WRAPPER
#!/bin/sh
cd "$work"
fail() { echo "failed: \$*" >&2; [ ! -s plane.log ] || tail -n 5 plane.log >&2; exit 1; }
has_ended() { ! kill -0 "\$1" 2>/dev/null; }
. "$waiting"
if [ "\$1" != serve ]; then
    [ ! -s plane.port ] || { COVEY_FLEET_URL=http://127.0.0.1:\$(cat plane.port); COVEY_FLEET_TOKEN_FILE=\$(cat plane.token); export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE; }
    exec "$bin/covey-fleet" "\$@"
fi
port=0
if [ -s plane.pid ]; then
    port=\$(cat plane.port)
    kill "\$(cat plane.pid)"
    await "the end of the one before" has_ended "\$(cat plane.pid)"
fi
rm -f plane.port
echo "$work/\$3/admin.token" >plane.token
"$bin/covey-fleet" "\$@" --listen 127.0.0.1:"\$port" --port-file plane.port --drain 0 --poll 1 >>plane.log 2>&1 </dev/null &
echo \$! >plane.pid
await_port "\$(cat plane.pid)" plane.port
WRAPPER
cat >programs/covey <<WRAPPER
#!/bin/sh
COVEY_STATE=$work/device COVEY_BUILTIN=$work/built-in exec "$bin/covey" "\$@"
WRAPPER
chmod 755 programs/*

# What the page takes as given: ensembles that were built, and a passphrase.
"$bin/covey" quantize "$model" q8.gguf Q8_0 >/dev/null || fail "quantize"
build() { "$bin/covey" bundle build --model q8.gguf --name assistant --version "$1" --out "$2" --bits-probes 1 -t 1 >out 2>&1 || fail "bundle $1"; }
build 0.9.0 built-in
build 1.0.0 one
build 1.1.0 two
build 1.2.0 three
build 1.3.0 four
echo 'correct horse battery staple' >pass
chmod 600 pass
COVEY_FLEET_PASSPHRASE_FILE=$work/pass
PATH=$work/programs:$PATH
export COVEY_FLEET_PASSPHRASE_FILE PATH

# The blocks become functions, so that what one sets is there for the next.
awk '/^```sh$/ {inside = 1; next} /^```$/ {inside = 0} inside {print}' "$page" >steps
[ "$(wc -l <steps)" -gt 60 ] || fail "the page has lost its steps"
number=0
while IFS= read -r step; do
    number=$((number + 1))
    [ ! -s plane.port ] || COVEY_FLEET_URL=http://127.0.0.1:$(cat plane.port)
    case $step in *'>'*) redirected=1 ;; *) redirected= ;; esac
    if [ -n "$redirected" ]; then
        eval "$step" 2>out </dev/null || fail "step $number: $step"
    else
        eval "$step" >out 2>&1 </dev/null || fail "step $number: $step"
    fi
    # What the device must have come to.
    case $step in
    'covey update') "$bin/covey" status --state device --builtin built-in >status.txt ;;
    'covey audit')
        grep -q 'killed' out && grep -q 'steering' out || fail "the log does not tell of the kill"
        grep -q '^current *assistant@1.2.0' status.txt || fail "the device is not on 1.2.0"
        ;;
    esac
done <steps
grep -q '^current *assistant@1.3.0' status.txt || fail "the device did not come to the new publisher's release"
covey audit >out 2>&1 || fail "the log"
grep -c 'enrolled' out | grep -q 3 || fail "not every enrollment is told"
for key in 'root  *' 'signed by root' 'signed by steering' 'signed by assistant'; do grep -q "$key" out || fail "the log does not tell \"$key\""; done
echo "the steps of docs/security.md: all $number are well"
