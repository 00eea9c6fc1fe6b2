#!/bin/sh
# Proves that the assistant's held-out set is one: no list entry, no template and no sentence of it is in
# what the training grammar gives, at the count and seed of the recipe; and the committed items are what
# the held-out grammar gives. Also that the check can fail.
set -eu
source_dir=${COVEY_SOURCE_DIR:-$(dirname "$0")/../..}
build_dir=${COVEY_BUILD_DIR:-$source_dir/build/release}
corpus=$build_dir/assistant-corpus
assistant=$source_dir/models/assistant
if [ ! -x "$corpus" ]; then
    echo "skipped: $corpus is not built"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$corpus" generate "$assistant/heldout.grammar" --count 1120 --seed 2026 --unique --intent \
    --version 1.0.0 > "$work/heldout.jsonl"
cmp "$work/heldout.jsonl" "$assistant/heldout.jsonl"
[ "$(wc -l < "$assistant/heldout.jsonl")" -ge 1000 ]
"$corpus" generate "$assistant/heldout.grammar" --count 150 --seed 2026 --unique --intent \
    --only get_weather,translate,add_to_list > "$work/heldout-new.jsonl"
cmp "$work/heldout-new.jsonl" "$assistant/heldout-new.jsonl"

"$corpus" disjoint "$assistant/train.grammar" "$assistant/heldout.grammar" \
    "$assistant/heldout.jsonl" --count 250000 --seed 1 --version 1.0.0
"$corpus" disjoint "$assistant/train.grammar" "$assistant/heldout.grammar" \
    "$assistant/heldout.jsonl" --count 450000 --seed 5 --version 1.0.0
"$corpus" disjoint "$assistant/train.grammar" "$assistant/heldout.grammar" \
    "$assistant/heldout.jsonl" --count 100000 --seed 6 --version 1.0.0
"$corpus" disjoint "$assistant/train.grammar" "$assistant/heldout.grammar" \
    "$assistant/heldout-new.jsonl" --count 45000 --seed 2 --only get_weather,translate,add_to_list
"$corpus" disjoint "$assistant/train.grammar" "$assistant/heldout.grammar" \
    "$assistant/heldout-new.jsonl" --count 75000 --seed 3 --version 1.1.0
"$corpus" disjoint "$assistant/dev.grammar" "$assistant/heldout.grammar" \
    "$assistant/heldout.jsonl" --count 10000 --seed 1

# A grammar is not disjoint from itself.
if "$corpus" disjoint "$assistant/heldout.grammar" "$assistant/heldout.grammar" \
    "$assistant/heldout.jsonl" --count 100 --seed 1 > /dev/null 2>&1; then
    echo "the check passed where it must fail"
    exit 1
fi
echo "disjoint"
