#!/bin/sh
# The assistant's recipe runs from its first step to its last, on a thousandth of its turns, and goes on where it was
# interrupted. What comes out is a model that opens; what it answers is the business of the real run.
set -eu
programs=${COVEY_BUILD_DIR:-build/release}
[ -x "$programs/covey" ] && [ -x "$programs/assistant-corpus" ] || { echo "skipped: no programs in $programs"; exit 77; }
source=${COVEY_SOURCE_DIR:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
fail() { echo "failed: $*" >&2; tail -n 20 "$work/log" >&2; exit 1; }
recipe() { COVEY_TRAIN_SCALE=1000 BUILD=$programs THREADS=1 "$source/models/assistant/train" "$work/out" >"$work/log" 2>&1; }

recipe || fail "the recipe"
[ "$(grep -c '^== assistant' "$work/log")" = 9 ] || fail "expected figures of three versions in three types"
for version in 1.0.0 1.1.0 1.2.0; do
    for type in model Q8_0 Q4_0; do
        "$programs/covey" inspect model "$work/out/$version/$type.gguf" >"$work/info" || fail "$version/$type.gguf"
        grep -q '"chat_template":true' "$work/info" || fail "$version/$type.gguf has no chat template"
    done
done
"$programs/assistant-corpus" generate "$source/models/assistant/train.grammar" --version 1.0.0 --count 250 --seed 1 \
    --exclude "$source/models/assistant/heldout.jsonl" | cmp - "$work/out/train-a.jsonl" || fail "the corpus is not the recipe's"

# Without its last model it makes that one again, and nothing else.
before=$(sha256sum <"$work/out/1.1.0/model.gguf")
rm -r "$work/out/1.2.0"
recipe || fail "the recipe, a second time"
[ -s "$work/out/1.2.0/Q8_0.gguf" ] || fail "1.2.0 was not made again"
[ "$before" = "$(sha256sum <"$work/out/1.1.0/model.gguf")" ] || fail "1.1.0 was made again"
if COVEY_TRAIN_SCALE=much "$source/models/assistant/train" "$work/out" >"$work/log" 2>&1; then fail "a scale that is none"; fi
echo "the recipe runs from end to end"
