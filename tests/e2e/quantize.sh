#!/bin/sh
# covey quantize: what stops it halfway leaves nothing behind and the old file as it was: a signal, a limit on the size of files,
# another process that writes the same one. Texts for --imatrix that are empty or too short.
set -eu
covey=${COVEY_BUILD_DIR:-build/release}/covey
model=${COVEY_SOURCE_DIR:-.}/models/assistant/1.0.0/model.gguf
[ -x "$covey" ] || { echo "skipped: no $covey"; exit 77; }
[ -f "$model" ] || { echo "skipped: no $model"; exit 77; }
case $covey in /*) ;; *) covey=$PWD/$covey ;; esac
case $model in /*) ;; *) model=$PWD/$model ;; esac
work=$(mktemp -d)
running=
trap '[ -z "$running" ] || kill -9 "$running" 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; for file in out err; do [ ! -s "$file" ] || cat "$file" >&2; done; exit 1; }
old_stands() { [ "$(cat out.gguf)" = old ] && [ ! -e out.gguf.new ] || fail "$1: the old file is gone, or a part of the new one is there"; }

# Minutes of text, so that nothing is done before the signal comes.
yes "wake me at seven, and set a timer for ten minutes" | head -n 400000 >long.txt
for signal in INT TERM; do
    echo old >out.gguf
    "$covey" quantize "$model" out.gguf Q4_K_M --imatrix long.txt -t 1 >out 2>err &
    running=$!
    until [ -e out.gguf.new ]; do kill -0 "$running" 2>/dev/null || fail "it ended by itself"; done
    status=0
    "$covey" quantize "$model" out.gguf Q2_K -t 1 >out2 2>err2 || status=$?
    [ "$status" = 1 ] && grep -q 'another process is writing it' err2 || fail "two processes with one file"
    kill -s "$signal" "$running"
    status=0
    wait "$running" || status=$?
    running=
    [ "$status" = 1 ] && grep -q 'stopped' err || fail "SIG$signal: status $status"
    old_stands "SIG$signal"
done

status=0
(ulimit -f 1000 && exec "$covey" quantize "$model" out.gguf Q8_0) >out 2>err || status=$?
[ "$status" = 1 ] && grep -q 'out.gguf.new' err || fail "a limit on the size of files: status $status"
old_stands "a limit on the size of files"

: >empty.txt
status=0
"$covey" quantize "$model" out.gguf Q4_K_M --imatrix empty.txt >out 2>err || status=$?
[ "$status" = 1 ] && grep -q 'empty.txt: expected a text' err || fail "an empty text"
old_stands "an empty text"
echo "a few words are no text" >few.txt
"$covey" quantize "$model" out.gguf Q4_K_M --imatrix few.txt >out 2>err || fail "a short text"
grep -q 'warning: few.txt has [0-9]* tokens only' err || fail "no warning of a short text"
head -n 400 long.txt >enough.txt
"$covey" quantize "$model" out.gguf Q4_K_M --imatrix enough.txt >out 2>err || fail "a text"
[ ! -s err ] || fail "something on standard error"
[ ! -e out.gguf.new ] || fail "a temporary is left"
