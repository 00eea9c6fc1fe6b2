#!/bin/sh
# covey delta: patches between files of any kind make the new one again; a wrong base, a damaged patch and a file that is there
# are refused; what stops it halfway leaves nothing behind.
set -eu
covey=${COVEY_BUILD_DIR:-build/release}/covey
models=${COVEY_SOURCE_DIR:-.}/models/assistant
[ -x "$covey" ] || { echo "skipped: no $covey"; exit 77; }
case $covey in /*) ;; *) covey=$PWD/$covey ;; esac
case $models in /*) ;; *) models=$PWD/$models ;; esac
work=$(mktemp -d)
running=
trap '[ -z "$running" ] || kill -9 "$running" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; for file in out err; do [ ! -s "$file" ] || cat "$file" >&2; done; exit 1; }
size() { wc -c <"$1" | tr -d ' '; }
round() { # round OLD NEW: makes, shows and applies; $patch is the patch's size
    rm -f p made
    "$covey" delta make "$1" "$2" p >out 2>err || fail "make $1 $2"
    "$covey" delta info p >info 2>err || fail "info of $1 $2"
    "$covey" delta apply "$1" p made >out 2>err || fail "apply $1 $2"
    cmp "$2" made || fail "$1 $2: another file came out"
    patch=$(size p)
}
refused() { # refused TEXT WORDS...: exit status 1, with TEXT on standard error, and no file "made"
    text=$1
    shift
    rm -f made
    status=0
    "$covey" delta "$@" >out 2>err || status=$?
    [ "$status" = 1 ] || fail "$*: expected exit status 1, found $status"
    grep -q -e "$text" err || fail "$*: does not say \"$text\""
    [ ! -e made ] && [ ! -e made.new ] || fail "$*: something is left behind"
}

# Any files.
: >empty
seq 100000 >old
sed 's/777/seven/' old >new
round old new
[ "$patch" -lt $(($(size new) / 20)) ] || fail "a small change of a text takes $patch bytes"
for pair in "empty new" "new empty" "empty empty" "old old"; do
    # shellcheck disable=SC2086 # two words
    round $pair
done
[ "$patch" -lt 400 ] || fail "a file against itself takes $patch bytes"

# What is there stays, unless --force says otherwise; what is read stays in any case.
round old new
echo mine >made
status=0
"$covey" delta apply old p made >out 2>err || status=$?
[ "$status" = 1 ] && grep -q -e '--force' err && [ "$(cat made)" = mine ] || fail "it replaces a file"
"$covey" delta apply old p made --force >out 2>err || fail "apply --force"
cmp new made || fail "apply --force"
cp old same
rm made
refused "one of the files to read" apply same p same -f
cmp old same || fail "the base was written over"

# What is wrong.
refused 'is not the base.*expected, found\|the base has' apply new p made
sed 's/5/6/' old >other
refused "SHA-256 $(sha256sum <old | cut -d' ' -f1) expected, found $(sha256sum <other | cut -d' ' -f1)" apply other p made
refused 'nothere' apply nothere p made
refused 'does not begin as a patch' apply old new made
head -c 90 p >cut
refused 'within its head' apply old cut made
head -c "$(($(size p) - 1))" p >cut
refused 'ends after' apply old cut made
refused 'the patch in it' info cut
{ cat p; echo; } >long
refused 'after its last frame' apply old long made
cp p bad
printf X | dd of=bad bs=1 seek="$(($(size p) - 9))" conv=notrunc 2>/dev/null
refused 'payload' apply old bad made

# A model: tensors are predicted, and the table names each.
if [ -f "$models/1.0.0/model.gguf" ] && [ -f "$models/1.1.0/model.gguf" ]; then
    for type in Q8_0 Q4_K_M; do
        "$covey" quantize "$models/1.0.0/model.gguf" "a.gguf" "$type" -t 1 >out 2>err || fail "quantize"
        "$covey" quantize "$models/1.1.0/model.gguf" "b.gguf" "$type" -t 1 >out 2>err || fail "quantize"
        round a.gguf b.gguf
        [ "$patch" -lt $(($(size b.gguf) * 7 / 10)) ] || fail "$type: $patch bytes of $(size b.gguf)"
        grep -q '^blk.0.attn_q.weight .* predicted' info || fail "$type: the table lacks a tensor"
        grep -q "^new  $(sha256sum <b.gguf | cut -d' ' -f1)" info || fail "$type: the digest of the new file"
        "$covey" delta info p --json >out 2>err || fail "info --json"
        grep -q "\"patch_bytes\":$patch,\"head_bytes\"" out || fail "info --json"
        "$covey" delta make a.gguf b.gguf p -f --json >out 2>err || fail "make --json"
        grep -q "\"patch_bytes\":$patch," out || fail "make --json, or another patch of the same files"
    done
fi

# A signal, and a limit on the size of files.
head -c 60000000 /dev/urandom >old
head -c 60000000 /dev/urandom >new
for verb in make apply; do
    [ "$verb" = make ] || "$covey" delta make old new p -f >out 2>err || fail "make of unlike files"
    for signal in INT TERM; do
        rm -f made
        if [ "$verb" = make ]; then
            "$covey" delta make old new made >out 2>err &
        else
            "$covey" delta apply old p made >out 2>err &
        fi
        running=$!
        until [ -e made.new ]; do kill -0 "$running" 2>/dev/null || break; done
        kill -s "$signal" "$running" 2>/dev/null || true
        status=0
        wait "$running" || status=$?
        running=
        # it may have been done already
        if [ "$status" = 0 ]; then [ -e made ] || fail "$verb: done, and no file"; else
            [ "$status" = 1 ] && grep -q 'stopped' err || fail "$verb, SIG$signal: status $status"
            [ ! -e made ] || fail "$verb, SIG$signal: a file is there"
        fi
        [ ! -e made.new ] || fail "$verb, SIG$signal: a temporary is left"
    done
done
rm -f made
status=0
(ulimit -f 1000 && exec "$covey" delta apply old p made) >out 2>err || status=$?
[ "$status" = 1 ] && grep -q 'made.new' err && [ ! -e made ] && [ ! -e made.new ] || fail "a limit on the size of files"
