#!/bin/sh
# The assistant's promise: 95 in 100 held-out sentences answered exactly, as F16 and as Q8_0; 1.1.0 keeps the
# old tools and knows the new ones; 1.2.0 is worse, as its probes must find out.
set -eu
source_dir=${COVEY_SOURCE_DIR:-$(dirname "$0")/../..}
build_dir=${COVEY_BUILD_DIR:-$source_dir/build/release}
covey=$build_dir/covey
assistant=$source_dir/models/assistant
if [ ! -x "$covey" ]; then
    echo "skipped: $covey is not built"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

last_line() { tail -n 1 "$work/table"; }
score() { # score NAME MODEL ITEMS MIN
    status=0
    "$covey" eval --min "$4" "$2" "$3" > "$work/table" || status=$?
    echo "$1: $(last_line)"
    return $status
}

for version in 1.0.0 1.1.0; do
    model=$assistant/$version/model.gguf
    "$covey" quantize "$model" "$work/$version.q8_0.gguf" Q8_0 > /dev/null
    score "$version F16 " "$model" "$assistant/heldout.jsonl" 0.95
    score "$version Q8_0" "$work/$version.q8_0.gguf" "$assistant/heldout.jsonl" 0.95
done
"$covey" quantize "$assistant/1.0.0/model.gguf" "$work/q4_0.gguf" Q4_0 > /dev/null
score "1.0.0 Q4_0" "$work/q4_0.gguf" "$assistant/heldout.jsonl" 0
score "1.1.0 F16, new tools" "$assistant/1.1.0/model.gguf" "$assistant/heldout-new.jsonl" 0.85
if score "1.2.0" "$assistant/1.2.0/model.gguf" "$assistant/heldout.jsonl" 0.85; then
    echo "1.2.0 should be clearly worse"
    exit 1
fi
