#!/bin/sh
# covey-tuf against repositories that do right and wrong: the scenarios of tests/tuf. Needs node; those that move the clock need faketime.
set -eu
build=${COVEY_BUILD_DIR:-build/release}
source=$(cd "${COVEY_SOURCE_DIR:-.}" && pwd)/tests/tuf
skip() { echo "skipped: $*"; exit 77; }
[ -x "$build/covey-tuf" ] || skip "no $build/covey-tuf"
command -v node >/dev/null 2>&1 || skip "no node"
[ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 18')" = true ] || skip "node is older than 18"
command -v faketime >/dev/null 2>&1 || echo "no faketime: scenarios that move the clock are skipped"
node "$source/main.mjs" "$build/covey-tuf"
