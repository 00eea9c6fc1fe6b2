#!/bin/sh
# covey bundle, as a publisher uses it: build, show, check, tamper, refuse, diff.
set -eu
covey=$COVEY_BUILD_DIR/covey
model=$COVEY_SHARED/data/models/stories260K.gguf
[ -x "$covey" ] || { echo "skipped: $covey is not built"; exit 77; }
[ -r "$model" ] || { echo "skipped: $model is not here"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
umask 022

fail() { echo "FAILED: $*" >&2; exit 1; }
# expect STATUS TEXT COMMAND...: the exit status, and a text in what is printed.
expect() {
    status=$1 text=$2; shift 2
    set +e; "$@" >out 2>&1; found=$?; set -e
    [ "$found" = "$status" ] || { cat out >&2; fail "$*: status $status expected, found $found"; }
    grep -qF -- "$text" out || { cat out >&2; fail "$*: \"$text\" expected"; }
}

expect 0 "bits probes   3 of 3 equal" "$covey" bundle build --model "$model" --name stories --version 1.0.0 --out one
[ "$(stat -c %a one one/ensemble.json one/model.gguf | tr '\n' ' ')" = "755 644 644 " ] || fail "others cannot read what was built"
expect 0 "stories@1.0.0 f32" "$covey" bundle show one
expect 0 '"digest"' "$covey" bundle show one --json
expect 0 "3 of 3 equal" "$covey" bundle check one
for isa in scalar avx2 avx-vnni avx512; do
    if COVEY_ISA=$isa "$covey" bundle check one --no-probes >/dev/null 2>&1; then
        expect 0 "3 of 3 equal" env COVEY_ISA=$isa "$covey" bundle check one --threads 2
    fi
done

# One byte of the model: the digest catches it and names the component.
cp -r one bad
printf 'X' | dd of=bad/model.gguf bs=1 seek=500000 conv=notrunc 2>/dev/null
expect 1 'component "model" (model.gguf): digest differs' "$covey" bundle check bad
rm bad/probes.json # absence is said before anything is hashed
expect 1 'component "probes" (probes.json)' "$covey" bundle check bad
cp -r one new
sed -i 's/"format": 1/"format": 2/' new/ensemble.json
expect 1 'format: 2 is newer' "$covey" bundle check new

# Task probes: what fails is not kept, unless asked for; then a check refuses it as a device would.
printf "{%% for m in messages %%}{{ m['content'] }}{%% endfor %%}" >template
echo '{"prompt":"Once upon a time","expect":"no"}' >tasks
build="$covey bundle build --model $model --name stories --version 1.1.0 --template template --task-probes tasks --task-tokens 8 --out two"
expect 3 "nothing was kept" $build
[ ! -e two ] || fail "two was kept"
expect 0 "0 of 1" $build --allow-failing
expect 3 "0 of 1" "$covey" bundle check two
expect 1 "two exists" $build
expect 0 "stories@1.0.0 f32 -> stories@1.1.0 f32" "$covey" bundle diff one two
expect 0 '"fetch_bytes"' "$covey" bundle diff one two --json

# Stopped half-way, it leaves nothing. (In the background a shell has SIGINT ignored; SIGTERM is the same here.)
awk 'BEGIN { for (i = 0; i < 5000; i++) print "{\"prompt\":\"Once " i "\",\"expect\":\"no\"}" }' >many
"$covey" bundle build --model "$model" --name stories --version 1.2.0 --template template --task-probes many --out half >out 2>&1 &
pid=$!
until ls -d half* >/dev/null 2>&1 || ! kill -0 "$pid" 2>/dev/null; do :; done
kill "$pid"
status=0
wait "$pid" || status=$?
[ "$status" = 1 ] && grep -q "stopped" out || fail "stopped: exit status $status"
! ls -d half* >/dev/null 2>&1 || fail "a stopped build leaves $(ls -d half*)"

# Usage.
expect 2 "--model FILE is needed" "$covey" bundle build
expect 2 "build, check, show, diff or key expected" "$covey" bundle frob
expect 0 "example:" "$covey" bundle build --help
expect 2 "min-score" "$covey" bundle build --min-score 2
echo "covey bundle does what it says"
