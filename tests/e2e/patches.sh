#!/bin/sh
# Updates in few bytes: two real versions of the assistant in Q4_0 and one close to the second; patches made where they are published; a device that moves by one patch, one that is two
# versions back and moves by two, one whose patch was damaged on its way, one that is killed in the middle, and one for which the rollout's budget is too small.
set -eu
. "$(dirname "$0")/shared/wait.sh"
bin=${COVEY_BUILD_DIR:-build/release}
models=${COVEY_SOURCE_DIR:-.}/models/assistant
[ -x "$bin/covey" ] && [ -x "$bin/covey-fleet" ] || { echo "skipped: no programs in $bin"; exit 77; }
for version in 1.0.0 1.1.0; do [ -f "$models/$version/model.gguf" ] || { echo "skipped: no $models/$version"; exit 77; }; done
case $models in /*) ;; *) models=$PWD/$models ;; esac
covey=$bin/covey
fleet=$bin/covey-fleet
work=$(mktemp -d)
plane=
end() { [ -z "$1" ] || { kill -9 "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }; }
trap 'end "$plane"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; for file in out err plane.log; do [ ! -s "$file" ] || { echo "--- $file" >&2; tail -n 20 "$file" >&2; }; done; exit 1; }
has() { grep -q -e "$2" "$1"; }
update() { "$covey" update --state "$1" --builtin built-in -t 1 --json >out 2>err; } # update STATE
device() { # device STATE: enrolled, on the built-in 1.0.0
    "$fleet" token create >token || fail "token"
    "$covey" enroll "$COVEY_FLEET_URL" --state "$1" --builtin built-in --token-file token >out 2>err || fail "enroll $1"
}
on() { "$covey" status --state "$1" --builtin built-in >status && has status "^current *assistant@$2"; } # on STATE VERSION
event() { sed -n "s/^{\"phase\":\"$1\",\"kind\":\"done\".*\"message\":\"\([^\"]*\)\".*/\1/p" out | tail -n 1; }
estimate() { event plan | sed 's/ .*//'; }
truth() { event fetch | sed 's/^fetched \([0-9]*\) .*/\1/'; }

# One folder a version; the first comes with the app. The third is the second with some codes moved.
for version in 1.0.0 1.1.0; do "$covey" quantize "$models/$version/model.gguf" "$version.gguf" Q4_0 >out 2>&1 || fail "quantize $version"; done
cp 1.1.0.gguf 1.2.0.gguf
at=$(($(wc -c <1.2.0.gguf) - 7))
for step in 1 2 3 4 5 6 7 8 9 10 11 12; do
    printf ' ' | dd of=1.2.0.gguf bs=1 seek=$((at - step * 120000)) conv=notrunc 2>/dev/null
done
for version in 1.0.0 1.1.0 1.2.0; do
    "$covey" bundle build --model "$version.gguf" --name assistant --version "$version" --out "$version" --bits-probes 1 -t 1 >out 2>&1 || fail "bundle $version"
done
cp -r 1.0.0 built-in

"$fleet" keys init keys --product assistant --no-passphrase >/dev/null
"$fleet" serve --data plane --online-key keys/online.key --port-file plane.port --poll 1 >plane.log 2>&1 &
plane=$!
await_port "$plane" plane.port
COVEY_FLEET_URL=http://127.0.0.1:$(cat plane.port)
COVEY_FLEET_TOKEN_FILE=$work/plane/admin.token
export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
"$fleet" keys push --keys keys >out 2>&1 || fail "keys push"
"$fleet" publish 1.0.0 --keys keys >out 2>&1 || fail "publish 1.0.0"

# Another machine publishes 1.1.0: the folder of 1.0.0 is not at hand, so its files come from the control plane.
mv 1.0.0 away
"$fleet" publish 1.1.0 --keys keys >out 2>&1 || fail "publish 1.1.0"
has out 'model.gguf (.*) *1.0.0 .* saves [3-9][0-9] %' || fail "publish does not tell of its patch"
"$fleet" rollout create assistant@1.1.0 --patched-first --bytes-max 3000000 >out 2>&1 || fail "rollout of 1.1.0"
has out 'those with a patch first, at most' || fail "the rollout does not say what holds for it"

# By one patch: the estimate is told before, and what came is what it said.
device one
update one || fail "update by a patch"
has out 'model.gguf by a patch from 1.0.0: [0-9]* bytes in place of [0-9]* by chunks' || fail "the plan does not tell of the patch"
on one 1.1.0 || fail "the device is not on 1.1.0"
chunks=$(sed -n 's/.* in place of \([0-9]*\) by chunks.*/\1/p' out)
expected=$(estimate)
came=$(truth)
[ "$came" -le "$expected" ] && [ "$came" -gt $((expected * 9 / 10)) ] || fail "$came bytes came, $expected were expected"
[ "$came" -lt $((chunks * 7 / 10)) ] || fail "$came bytes came, chunks are $chunks"
"$covey" audit --state one --builtin built-in >out 2>&1 && has out 'of 1 patch' || fail "the log does not tell how it came"

# Killed while the patch is on its way, it goes on from there.
device killed
echo '{"format": 1, "update": {"rate_bytes_per_second_max": 400000}}' >killed/policy.json
"$covey" update --state killed --builtin built-in -t 1 >killed.log 2>&1 &
pid=$!
begun() { ls killed/update/*.head; } # a chunk of it is there
await "the patch's first bytes" begun
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
rm killed/policy.json
update killed || fail "update after a kill"
on killed 1.1.0 || fail "the killed device is not on 1.1.0"
! has out 'fell back' || fail "a kill is no reason to fall back"
again=$(truth)
[ "${again:-0}" -lt $((expected / 2)) ] || fail "after the kill $again bytes came, $expected were expected in all"

# Two versions back: no patch leads there at once, but two in a row do, both named in one document.
"$fleet" publish 1.2.0 --keys keys --patches 1 >out 2>&1 || fail "publish 1.2.0"
"$fleet" rollout create assistant@1.2.0 --bytes-max 6000000 >out 2>&1 || fail "rollout of 1.2.0"
device two
update two || fail "update by a chain"
has out 'by two patches, from 1.0.0 over 1.1.0' || fail "the plan does not tell of the chain"
has out 'of 2 patches' || fail "two patches did not come"
on two 1.2.0 || fail "the device is not on 1.2.0"

# A patch that was damaged where it is kept: the device says so, here and to the control plane, and goes by chunks.
documents=$(grep -rl '"to_release": "1.2.0"' plane/blobs)
index=$(sed -n '/"index"/{n;s/.*"\([0-9a-f]\{64\}\)".*/\1/p;}' $documents | head -n 1)
[ -n "$index" ] || fail "no patch index"
chunk=$(od -An -v -tx1 -j96 -N32 "plane/blobs/sha256/$(echo "$index" | cut -c1-2)/$index" | tr -d ' \n')
blob=plane/blobs/sha256/$(echo "$chunk" | cut -c1-2)/$chunk
[ -f "$blob" ] || fail "no blob $chunk"
cp "$blob" kept
chmod u+w "$blob"
printf X | dd of="$blob" bs=1 seek=1000 conv=notrunc 2>/dev/null
tries=0
until on one 1.2.0; do
    update one || true
    cat out >>fell
    tries=$((tries + 1))
    [ $tries -lt 40 ] || fail "the device did not get to 1.2.0 without its patch"
    sleep 0.2
done
has fell 'fell back: patch of model.gguf from 1.1.0' || fail "the device does not say that it fell back"
id=$(sed -n 's/.*"device_id": "\([^"]*\)".*/\1/p' one/state.json)
"$fleet" devices show "$id" >out 2>&1 && has out 'fell back: patch' || fail "the control plane does not know of it"
cp kept "$blob"

# A budget that holds the patch and not the chunks: what would be a full download waits, and says why.
"$fleet" rollout set r-2 --bytes-max 100000 >out 2>&1 || fail "rollout set"
device poor
status=0
update poor || status=$?
[ "$status" = 4 ] && has out "over the rollout's budget" || fail "a budget that is too small: exit status $status"
on poor 1.2.0 && fail "the device moved in spite of its budget"
"$fleet" rollout set r-2 --bytes-max 6000000 >out 2>&1 || fail "rollout set"
update poor || fail "update within the raised budget"
on poor 1.2.0 || fail "the device is not on 1.2.0 after the budget was raised"
