#!/bin/sh
# What a newcomer meets first: every command explains itself with an example, and a wrong word is answered with what was
# expected. No model is needed.
set -eu
programs=${COVEY_BUILD_DIR:-build/release}
[ -x "$programs/covey" ] && [ -x "$programs/covey-fleet" ] || { echo "skipped: no programs in $programs"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work"
HOME=$work
export HOME
unset COVEY_STATE COVEY_BUILTIN XDG_STATE_HOME COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE 2>/dev/null || true
fail() { echo "failed: $*" >&2; [ ! -f out ] || cat out >&2; exit 1; }

commands_of() { # the words that the help lists as commands
    sed -n '/^commands:$/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'
}
explains() { # explains PROGRAM WORDS...: --help and -h, with a usage and an example, on standard output, exit 0
    for option in --help -h; do
        "$@" "$option" >out 2>err || fail "$* $option: exit status $?"
        [ ! -s err ] || fail "$* $option writes to standard error: $(cat err)"
        grep -q '^usage:' out || fail "$* $option has no usage"
        grep -q '^example' out || fail "$* $option has no example"
    done
}
refuses() { # refuses TEXT PROGRAM WORDS...: exit status 2, with TEXT on standard error and nothing on standard output
    text=$1
    shift
    status=0
    "$@" >err.out 2>out </dev/null || status=$?
    [ "$status" = 2 ] || fail "$*: expected exit status 2, found $status"
    grep -q -e "$text" out || fail "$*: does not say \"$text\""
    [ ! -s err.out ] || fail "$* writes to standard output: $(cat err.out)"
}

count=0
for program in covey covey-fleet; do
    explains "$programs/$program"
    "$programs/$program" help >help.txt
    "$programs/$program" --version | grep -q '^covey.* [0-9]*\.[0-9]*\.[0-9]*$' || fail "$program --version"
    refuses 'usage:' "$programs/$program"
    refuses 'unknown command "nonsense"' "$programs/$program" nonsense
    for command in $(commands_of <help.txt); do
        explains "$programs/$program" "$command"
        refuses nonsense "$programs/$program" "$command" --nonsense
        count=$((count + 1))
    done
done

# covey-tuf has one command and two exit statuses.
explains "$programs/covey-tuf"
"$programs/covey-tuf" --version | grep -q '^covey-tuf [0-9]*\.[0-9]*\.[0-9]*$' || fail "covey-tuf --version"
for words in "" "nonsense" "--nonsense" "refresh" "init" "--metadata-dir d init" "--metadata-dir d init a b" \
    "--metadata-dir d refresh" "--metadata-dir d --metadata-url http://127.0.0.1:9/ download" \
    "--metadata-dir d init nothere.json" "--metadata-dir d --metadata-url http://127.0.0.1:9/ refresh"; do
    status=0
    # shellcheck disable=SC2086 # words
    "$programs/covey-tuf" $words >out 2>err </dev/null || status=$?
    [ "$status" = 1 ] || fail "covey-tuf $words: expected exit status 1, found $status"
    [ -s err ] && [ ! -s out ] || fail "covey-tuf $words says nothing on standard error, or something on standard output"
done
[ ! -e d ] || [ -z "$(ls -A d)" ] || fail "covey-tuf leaves something behind"

[ "$count" -ge 18 ] || fail "only $count commands were found in the helps"

# What was expected is said with each wrong value.
covey=$programs/covey
refuses 'from 0 to 100, found "hot"' "$covey" run --temperature hot m.gguf hi
refuses 'from 0 to 65535, found "70000"' "$covey" serve --port 70000
refuses 'needs a value' "$covey" run --max-tokens
refuses 'plan, fetch, verify, stage or probe' "$covey" update --stop-after lunch
refuses 'expected URL' "$covey" enroll
refuses 'unexpected argument "extra"' "$covey" status extra

# Without a model, an ensemble or a network, it says what to do.
status=0
"$covey" run "hello" >out 2>&1 || status=$?
[ "$status" = 1 ] && grep -q 'covey run MODEL.gguf' out || fail "run without a model"
status=0
"$covey" run nothere.gguf hello >out 2>&1 || status=$?
[ "$status" = 1 ] && grep -q 'nothere.gguf' out || fail "run with a model that is not there"
echo 'not a model' >bad.gguf
status=0
"$covey" run bad.gguf hello >out 2>&1 || status=$?
[ "$status" = 1 ] && grep -q 'bad.gguf.*GGUF' out || fail "run with a file that is no model"
"$covey" status >out || fail "status of a new device"
grep -q 'covey enroll' out || fail "status does not say how to enroll"
"$covey" status --json >out || fail "status --json"
grep -q '"slots"' out || fail "status --json"
status=0
"$covey" update >out 2>&1 || status=$?
[ "$status" = 1 ] && grep -q 'covey enroll' out || fail "update of a device that is not enrolled"
status=0
"$covey" rollback >out 2>&1 || status=$?
[ "$status" = 1 ] || fail "rollback of a new device"
status=0
"$covey" serve --port 0 >out 2>&1 || status=$?
[ "$status" = 1 ] && grep -q "no ensemble is installed" out || fail "serve on a new device: exit status $status"
[ "$("$covey" token)" = "$("$covey" token)" ] || fail "the token changes"
[ "$(stat -c %a .local/state/covey/serve.token)" = 600 ] || fail "the token's mode"
chmod 644 .local/state/covey/serve.token
status=0
"$covey" token >out 2>&1 || status=$?
[ "$status" = 1 ] && grep -q 'chmod 600' out || fail "a token that others may read"
chmod 600 .local/state/covey/serve.token
# What cannot be written is no success.
for words in "--version" "--help" "status" "token"; do
    status=0
    # shellcheck disable=SC2086 # words
    "$covey" $words >/dev/full 2>out || status=$?
    [ "$status" = 1 ] && grep -q 'standard output' out || fail "covey $words into a full disk: exit status $status"
done
status=0
"$programs/covey-fleet" --help >/dev/full 2>out || status=$?
[ "$status" = 1 ] || fail "covey-fleet --help into a full disk: exit status $status"
echo "$count commands explain themselves"
