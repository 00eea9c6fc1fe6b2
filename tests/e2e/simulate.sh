#!/bin/sh
# docs/simulate.md: its document, its command and its table are taken from the page, and the table must be what comes out. Then what YAML
# may say: the same as JSON gives the same, and what one could not see from the text is refused.
set -eu
bin=${COVEY_BUILD_DIR:-build/release}
page=${COVEY_SOURCE_DIR:-.}/docs/simulate.md
[ -x "$bin/covey-fleet" ] || { echo "skipped: no covey-fleet in $bin"; exit 77; }
case $page in /*) ;; *) page=$PWD/$page ;; esac
case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work"
fail() { echo "failed: $*" >&2; [ ! -s out ] || head -n 20 out >&2; exit 1; }
block() { # block N: the Nth fenced block of the page, without its fences
    awk -v want="$1" '/^```/ { inside = !inside; if (inside) n++; next } inside && n == want' "$page"
}
covey_fleet() { "$bin/covey-fleet" "$@"; }

block 1 >fleet.yaml
block 2 >command
block 3 >expected
grep -q '^devices:' fleet.yaml && grep -q '^covey-fleet simulate updates fleet.yaml$' command && [ -s expected ] || fail "the page has other blocks"
PATH="$bin:$PATH" sh ./command >out || fail "the page's command: exit status $?"
diff expected out >difference || { cat difference >&2; fail "the page shows another table"; }

# JSON, YAML and options that say the same.
printf 'devices: 500\nreleases: 3 # three\nlinks: "100:8"\npolicies: full, last\n' >a.yaml
printf '{"devices": 500, "releases": 3, "links": "100:8",\n "policies": "full, last"}' >b.json
covey_fleet simulate updates a.yaml --json >a.out
covey_fleet simulate updates b.json --json >b.out
covey_fleet simulate updates --json --devices 500 --releases 3 --links 100:8 --policies full,last >c.out
covey_fleet simulate updates - --json <a.yaml >d.out
for other in b c d; do cmp -s a.out $other.out || fail "$other.out is not a.out"; done
covey_fleet simulate updates a.yaml --json --seed 2 >e.out
cmp -s a.out e.out && fail "another seed gives the same"
grep -q '"policies":\[{"policy":"full",' a.out || fail "--json"
covey_fleet simulate updates a.yaml --price-per-gb 0.5 | grep -q ' cost$' || fail "no cost"

refuses() { # refuses TEXT DOCUMENT...: exit status 2, and says so
    text=$1
    shift
    printf '%s\n' "$@" >bad.yaml
    status=0
    covey_fleet simulate updates bad.yaml >out 2>err || status=$?
    [ "$status" = 2 ] || fail "$*: expected exit status 2, found $status"
    grep -q -e "$text" err || { cat err >&2; fail "$*: does not say \"$text\""; }
    [ ! -s out ] || fail "$*: prints"
}
refuses 'bad.yaml: "device": there is no such setting' 'device: 5'
refuses 'devices: expected a whole number' 'devices: "5"'
refuses 'devices: expected a whole number' 'devices: 0x10'
refuses 'devices: expected a whole number' 'devices: yes'
refuses 'line 2: anchors and tags are not read' 'devices: 5' 'variants: &all []'
refuses 'line 1: anchors and tags are not read' 'devices: *all'
refuses 'line 1: anchors and tags are not read' 'devices: !!int 5'
refuses 'more than one document' 'devices: 5' '---' 'devices: 6'
refuses "line 1: a member's name must be a text" '? [a]' ': 5'
refuses 'line 2' 'devices: [' 'releases: }'
refuses 'duplicate\|twice' 'devices: 5' 'devices: 6'
refuses 'expected an object' '- 5'
refuses 'it is empty' '# nothing'
refuses 'nested too deeply' 'variants: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]'
status=0
covey_fleet simulate updates nothere.yaml 2>err || status=$?
[ "$status" = 2 ] && grep -q 'nothere.yaml: it could not be read' err || fail "a document that is not there"
echo "the page's table is what comes out"
