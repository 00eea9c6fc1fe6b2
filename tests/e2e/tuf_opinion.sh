#!/bin/sh
# The Update Framework against the npm packages tuf-js (a client) and @tufjs/repo-mock (a repository): tuf-js reads what tuf_repository
# made with our code, covey-tuf reads repo-mock's, and both read random repositories in which things go wrong. Needs node and npm, and the
# packages from the registry at the first run.
set -eu
build=${COVEY_BUILD_DIR:-build/release}
tests=$(cd "${COVEY_SOURCE_DIR:-.}" && pwd)/tests
source=$tests/npm
skip() { echo "skipped: $*"; exit 77; }
[ -x "$build/covey-tuf" ] || skip "no $build/covey-tuf"
[ -x "$build/tests/tuf_repository" ] || skip "no $build/tests/tuf_repository"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

. "$source/install"
mkdir -p "$build/npm/tuf"
cp "$source"/tuf_*.mjs "$build/npm/"
cp "$tests"/tuf/*.mjs "$build/npm/tuf/"
"$build/tests/tuf_repository" "$work"
seed=${COVEY_TEST_SEED:-$(date +%j)} # another one each day; it is printed, and a failure repeats with it
node "$build/npm/tuf_opinion.mjs" "$build/covey-tuf" "$seed" "${COVEY_TUF_CASES:-200}" "$work"
