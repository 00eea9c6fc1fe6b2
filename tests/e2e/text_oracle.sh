#!/bin/sh
# Pre-tokenizers against JavaScript's regular expressions, WordPiece and the vocabularies of DeepSeek V3, Command R+ and Gemma 3
# against @huggingface/tokenizers, and chat templates against @huggingface/jinja: the scripts of tests/npm write cases, text_oracle compares. Needs node and npm, and the packages
# from the registry at the first run.
set -eu
build=${COVEY_BUILD_DIR:-build/release}
source=$(cd "${COVEY_SOURCE_DIR:-.}" && pwd)/tests/npm
oracle=$build/tests/text_oracle
skip() { echo "skipped: $*"; exit 77; }
[ -x "$oracle" ] || skip "no $oracle"
command -v node >/dev/null 2>&1 || skip "no node"
[ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 18')" = true ] || skip "node is older than 18"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

seed=${COVEY_TEST_SEED:-$(date +%j)} # another one each day; it is printed, and a failure repeats with it
echo "seed $seed"
node "$source/pretokenizers.mjs" "$seed" 1500 >"$work/cuts.json"
"$oracle" cut "$work/cuts.json"

. "$source/install"
cp "$source"/*.mjs "$build/npm/"
vocabulary=${COVEY_SHARED:-}/data/vocab/ggml-vocab-bert-bge.gguf
if [ -f "$vocabulary" ]; then
    node "$build/npm/wordpieces.mjs" "$seed" 1500 "$vocabulary" >"$work/pieces.json"
    "$oracle" encode "$work/pieces.json"
fi
folders=$source/templates
for name in deepseek_v3 command_r_plus gemma3; do
    folder=$build/npm/node_modules/@lenml/tokenizer-$name/models
    echo "$name"
    node "$build/npm/vocabularies.mjs" "$seed" 4000 "$folder" "$work/$name.gguf" >"$work/ids.json"
    "$oracle" encode "$work/ids.json" "$work/$name.gguf"
    folders="$folders $folder"
done
[ ! -d "${COVEY_SHARED:-}/data/templates" ] || folders="$folders $COVEY_SHARED/data/templates"
# shellcheck disable=SC2086 # several folders
node "$build/npm/templates.mjs" "$seed" 200 $folders >"$work/cases.json"
"$oracle" render "$work/cases.json"
