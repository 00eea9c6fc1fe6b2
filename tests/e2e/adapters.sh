#!/bin/sh
# Adapters, as a publisher and a user meet them: ensembles with adapters, what is refused and how it is said, and requests
# that choose.
set -eu
. "$(dirname "$0")/shared/wait.sh"
covey=$COVEY_BUILD_DIR/covey
make_lora=$COVEY_BUILD_DIR/tests/make_lora
model=$COVEY_SHARED/data/models/stories260K.gguf
[ -x "$covey" ] || { echo "skipped: $covey is not built"; exit 77; }
[ -r "$model" ] || { echo "skipped: $model is not here"; exit 77; }
command -v curl >/dev/null || { echo "skipped: no curl"; exit 77; }
work=$(mktemp -d)
server=
plane=
end() { [ -z "$1" ] || { kill -9 "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }; }
stop() { end "$server"; end "$plane"; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
COVEY_STATE=$work/state
export COVEY_STATE
fail() { echo "failed: $*" >&2; for file in out log; do [ ! -s "$file" ] || cat "$file" >&2; done; exit 1; }
# expect STATUS TEXT COMMAND...: the exit status, and a text in what is printed.
expect() {
    status=$1 text=$2; shift 2
    set +e; "$@" >out 2>&1 </dev/null; found=$?; set -e
    [ "$found" = "$status" ] || fail "$*: status $status expected, found $found"
    grep -qF -- "$text" out || fail "$*: \"$text\" expected"
}

"$make_lora" "$model" one.gguf 1
"$make_lora" "$model" two.gguf 2
answer() { "$covey" run "$@" --raw --json -n 12 -t 1 "Once upon a time" 2>log </dev/null | sed 's/,"route".*//'; }

# With a model of one's own: the answer says which adapter it came from, and at which scale.
plain=$(answer "$model")
case $plain in *'"adapters":[]') ;; *) fail "a plain answer: $plain" ;; esac
with=$(answer "$model" --adapter one.gguf:0.7)
case $with in *'"adapters":[{"id":0,"name":"one.gguf","scale":0.7,"sha256":"'*) ;; *) fail "an answer: $with" ;; esac
[ "${plain%%,\"ensemble\"*}" != "${with%%,\"ensemble\"*}" ] || fail "the adapter changes nothing"
grep -q 'adapter one.gguf names no base' log || fail "an unbound adapter is taken in silence"

# What is wrong is said.
expect 1 'behind the colon a scale is expected' "$covey" run "$model" --adapter one.gguf:abc x
expect 1 'No such file' "$covey" run "$model" --adapter none.gguf:abc x
expect 1 'the file is an adapter (a LoRA), not a model' "$covey" run one.gguf x
expect 1 'the file is a model, not an adapter' "$covey" run "$model" --adapter "$model" x
cp one.gguf odd:name.gguf
expect 0 '"name":"odd:name.gguf","scale":1' "$covey" run "$model" --raw --json -n 2 --adapter odd:name.gguf x
expect 0 'covey run: --adapter one.gguf:0 changes nothing' "$covey" run "$model" --raw -n 2 --adapter one.gguf:0 x
expect 2 'unknown option "--adapter"' "$covey" inspect model "$model" --adapter one.gguf

# Bound to its base, onto itself; then it is quiet, and another base refuses it.
cp two.gguf bound.gguf
expect 0 '"bound":false' "$covey" inspect adapter "$model" bound.gguf --bind bound.gguf
expect 0 '"bound":true' "$covey" inspect adapter "$model" bound.gguf
answer "$model" --adapter bound.gguf >/dev/null
! grep -q 'names no base' log || fail "a bound adapter is warned of"
"$covey" quantize "$model" other.gguf Q8_0 >/dev/null 2>&1 || fail "quantize"
expect 1 'bound to another base' "$covey" inspect adapter other.gguf bound.gguf
expect 1 'adapter "bound.gguf": adapter: bound.gguf: covey.adapter.base: the adapter is bound to another base' \
    "$covey" bundle build --model other.gguf --adapter bound.gguf --name s --version 1.0.0 --out none
[ ! -e none ] || fail "an ensemble of two bases was kept"
expect 2 '--adapter-on-request' "$covey" bundle build --model "$model" --adapter one.gguf:0 --name s --version 1.0.0 --out none

# An ensemble: built, shown, checked, compared, and it answers as the same files do alone.
build="$covey bundle build --model $model --name stories"
expect 0 'bits probes   3 of 3 equal' $build --version 1.0.0 --adapter one.gguf:0.7 --adapter-on-request bound.gguf:0.5 --out ens
expect 0 ', scale 0.7' "$covey" bundle show ens
expect 0 ', scale 0.5, on request' "$covey" bundle show ens
expect 0 '3 of 3 equal' "$covey" bundle check ens
expect 0 '{"id":1,"file":"bound.gguf","scale":0.5,"on_request":true,"name":"","rank":2,"alpha":8,"matrices":2,' "$covey" inspect ensemble ens
expect 0 '3 of 3 equal' $build --version 1.1.0 --adapter one.gguf:0.8 --out next
expect 0 'scale 0.7 -> scale 0.8' "$covey" bundle diff ens next
grep -q '^changed   adapter' out || fail "another scale is no change"
found=$(COVEY_BUILTIN=$work/ens answer)
[ "${found%%,\"ensemble\"*}" = "${with%%,\"ensemble\"*}" ] || fail "the ensemble answers otherwise: $found"
case $found in *'"ensemble":"stories@1.0.0","adapters":[{"id":0,"name":"one.gguf","scale":0.7,'*) ;; *) fail "it says: $found" ;; esac
# Tampered with: another scale is another ensemble, another adapter another digest, and one of another base is refused.
cp -r ens bad
sed -i 's/"scale": 0.7/"scale": 0.8/' bad/ensemble.json
expect 3 '0 of 3 bits probes are equal' "$covey" bundle check bad
cp ens/bound.gguf bad/one.gguf
expect 1 'component "adapter" (one.gguf): digest differs' "$covey" bundle check bad
cp -r ens base
"$make_lora" "$model" stranger.gguf 3
"$covey" inspect adapter other.gguf stranger.gguf --bind base/one.gguf >/dev/null
sum=$(sha256sum base/one.gguf) size=$(stat -c %s base/one.gguf)
old=$(sha256sum ens/one.gguf) old_size=$(stat -c %s ens/one.gguf)
sed -i "s/${old%% *}/${sum%% *}/; s/\"size\": $old_size/\"size\": $size/" base/ensemble.json
expect 1 'component "adapter" (one.gguf): adapter: base/one.gguf: covey.adapter.base: the adapter is bound to another base' "$covey" bundle check base

# Requests choose.
COVEY_BUILTIN=$work/ens "$covey" serve --port 0 --port-file port --no-update --parallel 3 -t 1 >log 2>&1 &
server=$!
await_port "$server" port
grep -q 'Answering with stories@1.0.0 + one.gguf:0.7 ' log || fail "what answers"
base=http://127.0.0.1:$(cat port)
token="Authorization: Bearer $("$covey" token)"
json='Content-Type: application/json'
ask() { # ask FILE LORA: the text and log-probabilities in FILE
    curl -sS --max-time 60 -H "$token" -H "$json" -o "$1.body" "$base/v1/completions" \
        -d "{\"prompt\":\"Once upon a time\",\"max_tokens\":12,\"logprobs\":2$2}" || fail "curl"
    sed 's/.*"choices":\(.*\),"usage".*/\1/' "$1.body" >"$1"
    sed 's/.*\("adapters":\[[^]]*\]\).*/\1/' "$1.body" >"$1.adapters"
}
curl -sS --max-time 60 -H "$token" -o out "$base/lora-adapters" || fail "curl"
grep -q '^\[{"id":0,"path":"one.gguf","scale":0.7,"on_request":false,.*{"id":1,"path":"bound.gguf","scale":0,"on_request":true,"request_scale":0.5,' out || fail "the list of adapters"
for round in alone together; do
    pids=
    for set in 'a|' 'b|,"lora":[]' 'c|,"lora":[{"id":1,"scale":1}]' 'd|,"lora":[{"id":0,"scale":-1},{"id":1}]'; do
        if [ "$round" = alone ]; then
            ask "$round.${set%%|*}" "${set#*|}"
        else
            ask "$round.${set%%|*}" "${set#*|}" &
            pids="$pids $!"
        fi
    done
    for pid in $pids; do wait "$pid" || fail "a request"; done
done
for set in a b c d; do cmp "alone.$set" "together.$set" || fail "set $set differs beside others"; done
cmp -s alone.a alone.b && fail "one set answers as another"
cmp -s alone.c alone.d && fail "one set answers as another"
grep -q '^"adapters":\[\]$' alone.b.adapters || fail "the base alone"
grep -q '"id":0,"name":"one.gguf","scale":-1,.*"id":1,"name":"bound.gguf","scale":0.5,' alone.d.adapters || fail "both"
ask x ',"lora":[{"id":7,"scale":1}]'
grep -q '"param":"lora\[0\].id"' x.body || fail "an unknown adapter: $(cat x.body)"
kill "$server"
wait "$server" || fail "its end"
server=

# A device that is updated to such an ensemble proves it and answers with it.
fleet=$COVEY_BUILD_DIR/covey-fleet
[ -x "$fleet" ] || { echo "adapters: all as it should be, without $fleet"; exit 0; }
"$fleet" keys init keys --product stories --no-passphrase >/dev/null
"$fleet" serve --data plane --online-key keys/online.key --port-file plane.port --poll 1 >log 2>&1 &
plane=$!
await_port "$plane" plane.port
COVEY_FLEET_URL=http://127.0.0.1:$(cat plane.port)
COVEY_FLEET_TOKEN_FILE=$work/plane/admin.token
export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
"$fleet" keys push --keys keys >out 2>&1 || fail "keys push"
"$fleet" publish ens --keys keys >out 2>&1 || fail "publish"
"$fleet" rollout create stories@1.0.0 >out 2>&1 || fail "rollout"
"$fleet" token create >token || fail "token"
"$covey" enroll "$COVEY_FLEET_URL" --token-file token --state device >out 2>&1 || fail "enroll"
expect 0 'moved to another ensemble' "$covey" update -t 1 --state device
found=$(answer --state device)
case $found in "${with%%,\"ensemble\"*}",\"ensemble\":\"stories@1.0.0\",\"adapters\":\[{\"id\":0,*) ;; *) fail "the device: $found" ;; esac
echo "adapters: all as it should be"
