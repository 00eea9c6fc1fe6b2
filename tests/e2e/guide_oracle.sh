#!/bin/sh
# Answers under random JSON Schemas against ajv: guide_oracle generates them with a model of random weights, tests/npm
# checks them. Needs node and npm, and the packages from the registry at the first run.
set -eu
build=${COVEY_BUILD_DIR:-build/release}
source=$(cd "${COVEY_SOURCE_DIR:-.}" && pwd)/tests/npm
oracle=$build/tests/guide_oracle
skip() { echo "skipped: $*"; exit 77; }
[ -x "$oracle" ] || skip "no $oracle"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

. "$source/install"
cp "$source/guide.mjs" "$build/npm/"
seed=${COVEY_TEST_SEED:-$(date +%j)} # another one each day; it is printed, and a failure repeats with it
echo "seed $seed"
"$oracle" "$((seed * 1000))" 300 "$work/model.gguf" >"$work/cases.jsonl"
node "$build/npm/guide.mjs" "$work/cases.jsonl"
