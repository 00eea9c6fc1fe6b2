#!/bin/sh
# Private ensembles from end to end: built encrypted, published, given to devices. A device answers with the bits of the plain ensemble; one
# without the key waits, and goes on once it is given; a revoked one gets none. Nowhere on the way, nor on the device, is a plain byte of the model
# or its template.
set -eu
. "$(dirname "$0")/shared/wait.sh"
bin=${COVEY_BUILD_DIR:-build/release}
model=${COVEY_TEST_MODEL:-${COVEY_SOURCE_DIR:-.}/models/assistant/1.0.0/model.gguf}
[ -x "$bin/covey" ] && [ -x "$bin/covey-fleet" ] || { echo "skipped: no programs in $bin"; exit 77; }
[ -f "$model" ] || { echo "skipped: no $model"; exit 77; }
case $model in /*) ;; *) model=$PWD/$model ;; esac
covey=$bin/covey
fleet=$bin/covey-fleet
work=$(mktemp -d)
plane=
end() { [ -z "$1" ] || { kill -9 "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }; }
stop() { end "$plane"; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
unset COVEY_BUILTIN COVEY_STATE || true
fail() { echo "failed: $*" >&2; for file in out err plane.log; do [ ! -s "$file" ] || { echo "--- $file" >&2; tail -n 20 "$file" >&2; }; done; exit 1; }
has() { grep -q -e "$2" "$1"; }
on() { # on DEVICE COMMAND...
    state=$1
    shift
    "$covey" "$@" --state "$state"
}
answer() { # answer DEVICE OUT: some answers drawn greedily
    for words in "set a timer for ten minutes" "what can you do?" "turn on the light"; do
        on "$1" run -t 1 --temperature 0 "$words" || return 1
    done >"$2" 2>err
}
id_of() { on "$1" status --json | tr -d ' \n' | sed 's/.*"device_id":"\([0-9a-f]*\)".*/\1/'; }

# A publisher's key, and one ensemble twice: plain, and encrypted from the same inputs. The template carries a mark to look for.
"$covey" bundle key content.key >keyid || fail "bundle key"
keyid=$(cat keyid)
[ "$(stat -c %a content.key)" = 600 ] || fail "the content key may be read by others"
"$covey" bundle key content.key >out 2>&1 && fail "a content key was overwritten"
printf '%s' '{% set mark = "TEMPLATE-SECRET-5d1f" %}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}' >template.jinja
printf '[{"type":"function","function":{"name":"set_timer"}}]' >tools.json
build() { # build OUT VERSION [MORE...]
    out=$1
    version=$2
    shift 2
    "$covey" bundle build --model "$model" --name assistant --version "$version" --out "$out" --template template.jinja --tools tools.json \
        --bits-probes 2 -t 1 "$@" >out 2>&1 || fail "bundle $out"
}
build plain 1.0.0
build hidden 1.1.0 --encrypt content.key
has out "encrypted with key $keyid" || fail "bundle build does not say that it encrypted"
cmp -s plain/tools.json hidden/tools.json || fail "the tools are not readable"
"$covey" bundle check hidden >out 2>&1 && fail "an encrypted ensemble was probed without its key"
has out "content key $keyid is not here" || fail "bundle check does not say which key it lacks"
"$covey" bundle check hidden --content-key content.key >out 2>&1 || fail "bundle check with the key"

# What must be nowhere: strings of the model's file and of the template.
plain_bytes='TEMPLATE-SECRET-5d1f
tokenizer.ggml.tokens
general.architecture
token_embd.weight'
none_in() { # none_in FOLDER
    for mark in $plain_bytes; do
        found=$(grep -rlaF -e "$mark" "$1" || true)
        [ -z "$found" ] || fail "$mark stands in $found"
    done
}
for mark in $plain_bytes; do grep -qaF -e "$mark" plain/model.gguf || fail "the plain model has no $mark"; done
none_in hidden

# A control plane that has the encrypted release alone, and three devices.
"$fleet" keys init keys --product assistant --no-passphrase >/dev/null
"$fleet" serve --data plane --online-key keys/online.key --port-file plane.port --poll 1 >plane.log 2>&1 &
plane=$!
await_port "$plane" plane.port
COVEY_FLEET_URL=http://127.0.0.1:$(cat plane.port)
COVEY_FLEET_TOKEN_FILE=$work/plane/admin.token
export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
"$fleet" keys push --keys keys >out 2>&1 || fail "keys push"
"$fleet" publish hidden --keys keys >out 2>&1 || fail "publish"
"$fleet" rollout create assistant@1.1.0 >out 2>&1 || fail "rollout"
none_in plane
for device in one two three; do
    "$fleet" token create >token
    on "$device" enroll "$COVEY_FLEET_URL" --token-file token >out 2>&1 || fail "enroll $device"
done
one=$(id_of one)
two=$(id_of two)
three=$(id_of three)

# The first is given the key, and takes the release; the second lacks it, waits, and says so.
key=$(on one status --json | tr -d ' \n' | sed 's/.*"encryption_key":"\([0-9a-f]*\)".*/\1/')
other=$(on two status --json | tr -d ' \n' | sed 's/.*"encryption_key":"\([0-9a-f]*\)".*/\1/')
"$fleet" content-key wrap content.key --device "$one" --device-key "$other" >out 2>&1 && fail "wrapped for a key that was not expected"
"$fleet" content-key wrap content.key --device "$one" --device-key "$key" >out 2>&1 || fail "wrap for one device"
has out "for 1 of 1 devices" || fail "wrap does not say what it did"
on one update -t 1 >out 2>&1 || fail "the update of the first device"
on one status >out && has out '^current *assistant@1.1.0' || fail "the first device is not on 1.1.0"
on two update -t 1 >out 2>&1 || true
has out "was not given to this device yet" || fail "the second device does not say why it waits"
on two status >out && has out '^current *–' || fail "the second device took what it cannot open"
"$fleet" content-key list >out 2>&1 && has out "$keyid  1 devices have it, 2 lack it" || fail "content-key list"
"$fleet" content-key list "$keyid" --lacking >out 2>&1 || fail "content-key list KEYID"
has out "$two  lacking" && ! has out "$one" || fail "the list of devices that lack the key"
"$fleet" devices show "$two" >out 2>&1 && has out 'was not given to this device yet' || fail "the control plane does not tell why"

# The same bits: the device's answers are those of the plain ensemble, and its probes, recorded before encryption, passed above.
"$covey" run -t 1 --temperature 0 plain/model.gguf "set a timer for ten minutes" >want 2>err || fail "the plain model"
"$covey" run -t 1 --temperature 0 plain/model.gguf "what can you do?" >>want 2>err
"$covey" run -t 1 --temperature 0 plain/model.gguf "turn on the light" >>want 2>err
answer one got || fail "the first device does not answer"
cmp -s want got || fail "the encrypted ensemble answers otherwise"

# The third is revoked, and is not wrapped for; the second is, and goes on by itself.
"$fleet" devices revoke "$three" >out 2>&1 || fail "revoke"
"$fleet" content-key wrap content.key --all >out 2>&1 || fail "wrap for all"
has out "for 1 of 1 devices" || fail "wrap --all did not wrap for the one that lacks it alone"
"$fleet" content-key wrap content.key --device "$three" >out 2>&1 && fail "a revoked device was wrapped for"
await "the second device's update" sh -c "'$covey' update -t 1 --state two >out2 2>&1; '$covey' status --state two | grep -q '^current *assistant@1.1.0'"
answer two got || fail "the second device does not answer"
cmp -s want got || fail "the second device answers otherwise"
on three update -t 1 >out 2>&1 || true
on three status >out && has out '^current *–' || fail "the revoked device took the release"

# At rest: no plain byte with the control plane or on a device, and the keys are their owner's alone.
for folder in plane one two three; do none_in "$folder"; done
[ "$(stat -c %a one/secrets/content_key."$keyid")" = 600 ] && [ "$(stat -c %a one/secrets/device_key)" = 600 ] || fail "a key may be read by others"
grep -rqF "$(sed 's/.*"key":"\([0-9a-f]*\)".*/\1/' content.key)" plane && fail "the control plane has the content key"

# A device that lost its keystore has another key: what was wrapped does not open, a new wrap does, and nothing is uploaded again.
blobs=$(find plane/blobs -type f | wc -l)
rm one/secrets/device_key one/secrets/content_key.*
on one update -t 1 >out 2>&1 || true
on one run -t 1 hello >out 2>&1 && fail "it answers without its key"
has out "was not given to this device yet" || fail "it does not say why it cannot answer"
"$fleet" content-key list "$keyid" >out 2>&1 && has out "$one  stale" || fail "the control plane does not see the new key"
"$fleet" content-key wrap content.key --all >out 2>&1 && has out "for 1 of 1 devices" || fail "wrap for the new key"
on one update -t 1 >out 2>&1 || fail "update after the new wrap"
answer one got || fail "the first device does not answer again"
cmp -s want got || fail "it answers otherwise after the new wrap"
[ "$blobs" = "$(find plane/blobs -type f | wc -l)" ] || fail "re-keying uploaded blobs"

# A changed byte of the encrypted model is seen when it is opened.
file=one/ensembles/$(basename "$(ls -d one/ensembles/*.seal)" .seal)/model.gguf
size=$(stat -c %s "$file")
touch -r "$file" stamp
printf 'X' | dd of="$file" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
touch -r stamp "$file"
on one run -t 1 hello >out 2>&1 && fail "it answers with a changed model"
has out "model.gguf" || fail "it does not say which component was changed"
echo "private ensembles: all is well"
