#!/bin/sh
# Keys as people run them: made with a passphrase, pushed, used for releases and steering statements, handed to a team, rotated, lost
# and replaced, signed on machines without a network; killed in the middle; expired. covey-tuf looks at what is served, as any
# client of TUF would.
set -eu
. "$(dirname "$0")/shared/wait.sh"
bin=${COVEY_BUILD_DIR:-build/release}
program=$bin/covey-fleet
tuf=$bin/covey-tuf
[ -x "$program" ] && [ -x "$tuf" ] || { echo "skipped: no programs in $bin"; exit 77; }
work=$(mktemp -d)
server=
stop() { [ -z "$server" ] || { kill -9 "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }; rm -rf "$work"; }
trap stop EXIT
trap 'exit 1' INT TERM
cd "$work"
unset COVEY_FLEET_KEYS COVEY_FLEET_PASSPHRASE_FILE COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE 2>/dev/null || true
fail() { echo "failed: $*" >&2; for file in out serve.log; do [ ! -s "$file" ] || tail -n 20 "$file" >&2; done; exit 1; }
does() { "$program" "$@" >out 2>&1 || fail "covey-fleet $*: exit status $?"; }
says() { text=$1; shift; does "$@"; grep -q -e "$text" out || fail "covey-fleet $*: does not say \"$text\""; }
refuses() { # refuses STATUS TEXT WORDS...
    expected=$1
    text=$2
    shift 2
    status=0
    "$program" "$@" >out 2>&1 </dev/null || status=$?
    [ "$status" = "$expected" ] || fail "covey-fleet $*: expected exit status $expected, found $status"
    grep -q -e "$text" out || fail "covey-fleet $*: does not say \"$text\""
}
start() { # start [KEY [PREFIX...]], where the prefix ends in exec: $! is the server
    rm -f port
    key=${1:+--online-key $1}
    [ $# = 0 ] || shift
    # shellcheck disable=SC2086 # an option and its value, or nothing
    "$@" "$program" serve --data data --port-file port $key --poll 1 >serve.out 2>>serve.log &
    server=$!
    await_port "$server" port
    COVEY_FLEET_URL=http://127.0.0.1:$(cat port)
    COVEY_FLEET_TOKEN_FILE=$work/data/admin.token
    export COVEY_FLEET_URL COVEY_FLEET_TOKEN_FILE
}
end() { kill -9 "$server"; wait "$server" 2>/dev/null || true; server=; }
ensemble() { # FOLDER NAME VERSION MEBIBYTES: no engine would run it, but it is whole
    mkdir -p "$1"
    dd if=/dev/urandom of="$1/model.gguf" bs=1048576 count="$4" 2>/dev/null
    cat >"$1/ensemble.json" <<MANIFEST
{"format":1,"requires":[],"name":"$2","version":"$3","variant":"q8_0","components":[{"role":"model","file":"model.gguf",
"size":$(($4 * 1048576)),"sha256":"$(sha256sum "$1/model.gguf" | cut -d' ' -f1)"}],
"needs":{"memory_bytes":0,"engine_interface":1,"arithmetic_version":1}}
MANIFEST
}
key_id() { # key_id FOLDER FILE: as status shows it
    "$program" keys status --keys "$1" | sed -n "s/^ *\([0-9a-f]*\)  $2 .*/\1/p" | head -n 1
}
looks() { # looks TARGET...: what a client of TUF finds, from the first root on
    [ -d look ] || "$tuf" --metadata-dir look init first-root.json || fail "covey-tuf init"
    rm -rf found
    mkdir found
    for target in "$@"; do
        "$tuf" --metadata-url "$COVEY_FLEET_URL/v1/metadata/" --metadata-dir look --target-name "$target" --target-dir found \
            --target-base-url "$COVEY_FLEET_URL/v1/targets/" download >out 2>&1 || fail "covey-tuf does not get $target"
    done
}

# 1. Keys are made once, encrypted but for the online one, and readable by nobody else.
echo 'correct horse battery staple' >pass
chmod 600 pass
echo 'wrong' >wrong
chmod 600 wrong
ensemble one assistant 1.0.0 1
ensemble other assistant 1.0.0 1
does keys init vault --product assistant --passphrase-file pass
for file in root-1 root-2 root-3 targets steering assistant; do
    grep -q '"format":2' "vault/$file.key" || fail "$file.key is not encrypted"
    [ "$(stat -c %a "vault/$file.key")" = 600 ] || fail "the mode of $file.key"
done
grep -q '"format":1' vault/online.key || fail "online.key is not plain"
refuses 1 'none is overwritten' keys init vault --passphrase-file pass
refuses 1 'passphrase' keys init other --passphrase-file nothing-here
: >empty
chmod 600 empty
refuses 1 'a passphrase of 1 to 1024 bytes' keys init other --passphrase-file empty
cp -R vault spoiled
echo x >spoiled/metadata/current.json
refuses 1 'current.json: json' keys status --keys spoiled
says 'root  *version 1, 2 of 3 keys' keys status --keys vault

# 2. The control plane takes them with the online key only. A wrong passphrase is known before anything is sent.
start
refuses 3 no_online_key keys push --keys vault
end
start vault/online.key
says 'sent root 1' keys push --keys vault
says 'has all of it' keys push --keys vault
refuses 1 'assistant.key' publish one --keys vault --passphrase-file wrong
[ -z "$(find data/blobs/sha256 -type f)" ] || fail "blobs were sent with a wrong passphrase"
says 'published assistant@1.0.0' publish one --keys vault --passphrase-file pass
end

# 3. From here on without passphrases, which take their time. A version is never changed; any client of TUF can read it all.
mv data vault-data
does keys init keys --product assistant --no-passphrase
cp keys/root.json first-root.json
start keys/online.key
does keys push --keys keys
refuses 3 'serves another one than' keys push --keys vault
says 'published assistant@1.0.0' publish one --keys keys
says 'already published' publish one --keys keys
refuses 3 conflict publish other --keys keys
looks assistant/1.0.0/release.json
grep -rq '1\.0\.0' found || fail "the release document that covey-tuf fetched"

# 4. A second product, whose team has its own key and nothing else.
mkdir team
does keys new team/translator.key --no-passphrase
cp out translator.pub
refuses 1 'Missing: translator' keys product add translator --public translator.pub --keys keys
does keys product add translator --public translator.pub --keys keys --export translator.json
does sign translator.json --key team/translator.key --yes
does keys import translator.json --keys keys
does keys push --keys keys
cp first-root.json team/root.json
ensemble two translator 2.0.0 1
says 'published translator@2.0.0' publish two --keys team
refuses 1 'no key of the role assistant is here' publish other --keys team
looks assistant/1.0.0/release.json translator/2.0.0/release.json
# The first folder goes on from what the team did.
ensemble one-one assistant 1.1.0 1
says 'published assistant@1.1.0' publish one-one --keys keys

# A third one signs by a program, as a token or a KMS would be: a P-256 key that OpenSSL holds.
if command -v openssl >/dev/null; then
    openssl ecparam -name prime256v1 -genkey -noout -out p256.pem 2>/dev/null
    openssl ec -in p256.pem -pubout -out p256.pub 2>/dev/null
    openssl=$(command -v openssl)
    does keys product add speller --public p256.pub --program "$openssl dgst -sha256 -sign $work/p256.pem" --keys keys
    ensemble three speller 1.0.0 1
    says 'published speller@1.0.0' publish three --keys keys
    looks speller/1.0.0/release.json
    mv p256.pem gone.pem
    ensemble three-one speller 1.0.1 1
    refuses 1 'speller.signer\|openssl' publish three-one --keys keys
    mv gone.pem p256.pem
fi

# 5. Steering: checked as devices would, monotonic.
does steer kill assistant --keys keys --versions '=1.0.0' --reason 'wrong language' --author ops@example.org
grep -q '"serial": 1' out || fail "the steering document"
refuses 1 'bound' steer kill assistant --keys keys --versions '>=1.0.0' --reason r --author a
says 'sent steering' steer push assistant --keys keys
says 'has it' steer push assistant --keys keys
does steer minimum assistant --keys keys --version 1.0.1 --reason 'security' --author ops@example.org --class small --percent 50
grep -q '"serial": 2' out || fail "the second steering document"
! grep -q 'is above' out || fail "a minimum that a release reaches is warned of"
cp -r keys slip
says 'warn steer: minimum-[0-9]*: minimum 11.0.0 is above every release of assistant that is published (newest: 1.[0-9]' \
    steer minimum assistant --keys slip --version 11.0.0 --reason 'a slip' --author ops@example.org
rm -r slip
sed -i 's/=1.0.0/=9.0.0/' keys/steering/assistant.json
refuses 3 'kill' steer push assistant --keys keys
sed -i 's/=9.0.0/=1.0.0/' keys/steering/assistant.json
does steer push assistant --keys keys
looks steering/assistant.json
grep -rq 'wrong language' found || fail "the steering document that covey-tuf fetched"

# 6. Each role's key is rotated; what was signed before still holds.
for role in assistant steering targets; do
    does keys rotate "$role" --no-passphrase --keys keys
done
# A key that is lost signs nothing any more, and is not needed to replace it: the role above names the new one.
for role in assistant steering targets; do
    rm "keys/$role.key" "keys/$role-2.key"
    refuses 1 'not all keys' keys renew "$role" --keys keys
    does keys rotate "$role" --no-passphrase --keys keys
done
does keys rotate root --key "$(key_id keys root-3.key)" --no-passphrase --keys keys
does keys push --keys keys
looks assistant/1.1.0/release.json translator/2.0.0/release.json steering/assistant.json
grep -q '"version": *2\|"version":2' look/root.json || grep -q '"version":[3-9]' look/root.json || fail "the roots were not followed"
refuses 2 'one at a time' keys rotate root --keys keys
refuses 2 'lower the threshold' keys revoke assistant "$(key_id keys assistant.key)" --keys keys
# The online key: the control plane is started with the new one, then the root names it.
does keys rotate online --no-passphrase --keys keys
end
start keys/online-2.key
does keys push --keys keys
looks assistant/1.1.0/release.json

# 7. A root key is lost: the two others put a new one in its place, each on its own machine.
mkdir a b
mv keys/root-1.key a/
mv keys/root-2.key b/
lost=$(key_id keys root.key)
rm keys/root.key
does keys new third.key --no-passphrase
cp out third.pub
refuses 1 'Missing: root' keys rotate root --key "$lost" --public third.pub --keys keys
does keys rotate root --key "$lost" --public third.pub --keys keys --export new-root.json
refuses 1 'of 2 signatures' keys import new-root.json --keys keys
refuses 3 'may sign none' sign new-root.json --key keys/steering.key --yes
refuses 3 'nothing was signed' sign new-root.json --key a/root-1.key
says '2 of' sign new-root.json --key a/root-1.key --yes
refuses 1 '1 of 2 signatures' keys import new-root.json --keys keys
does sign new-root.json --key third.key --yes
does sign new-root.json --key b/root-2.key --yes
says 'sent root' keys import new-root.json --keys keys
looks assistant/1.1.0/release.json

# 8. A release is signed on a machine without a network.
mv keys/assistant.key away.key
ensemble one-two assistant 1.2.0 1
says 'waits for signatures' publish one-two --keys keys --export release.json
refuses 1 '0 of 1' publish --import release.json --keys keys
sed 's/"release_name": "assistant@1.2.0"/"release_name": "assistant@1.1.9"/' release.json >other.json
refuses 3 'release: the one that is shown is none that would be signed' sign other.json --key away.key --yes
sed 's/"blob": ""/"blob": "statements"/' release.json >other.json
refuses 3 'blob: the document that is shown is none that would be signed' sign other.json --key away.key --yes
says 'assistant/1.2.0/release.json' sign release.json --key away.key --yes
says 'published assistant@1.2.0' publish --import release.json --keys keys
says 'published assistant@1.2.0' publish --import release.json --keys keys
mv away.key keys/
looks assistant/1.2.0/release.json

# 9. Killed in the middle of publishing, at many points: the next one completes it, and what is served is whole.
ensemble big assistant 1.3.0 8
for point in 1 2 3 4 5 6; do
    "$program" publish big --keys keys >out 2>&1 &
    publisher=$!
    # Later each time; wherever it hits, nothing may be half.
    dd if=/dev/zero of=/dev/null bs=1048576 count=$((point * 400)) 2>/dev/null
    kill -9 "$publisher" 2>/dev/null || true
    wait "$publisher" 2>/dev/null || true
    looks assistant/1.2.0/release.json
done
end
start keys/online-2.key
does publish big --keys keys
looks assistant/1.3.0/release.json

# 10. Time: warned of weeks ahead, told when it is too late, and signed anew.
if faketime -f '+1d' "$program" --version >/dev/null 2>&1; then # not with a sanitizer, which must be loaded first
    unset COVEY_FLEET_URL
    status=0
    faketime -f '+350d' "$program" keys status --keys keys >out 2>&1 || status=$?
    [ "$status" = 4 ] && grep -q SOON out || fail "no warning weeks ahead: exit status $status"
    status=0
    faketime -f '+400d' "$program" keys status --keys keys >out 2>&1 || status=$?
    [ "$status" = 1 ] && grep -q EXPIRED out || fail "nothing says that it expired: exit status $status"
    end
    mv third.key a/root-1.key b/root-2.key keys/
    # faketime itself stays as the server's parent, and ending it would leave the server: its library alone is used.
    preload=$(faketime -f '+400d' printenv LD_PRELOAD)
    start keys/online-2.key env LD_PRELOAD="$preload" FAKETIME=+400d
    grep -q 'root expired at' serve.log || fail "the log does not say that the root expired"
    cp team/translator.key keys/
    faketime -f '+400d' "$program" keys renew --keys keys >out 2>&1 || fail "keys renew"
    faketime -f '+400d' "$program" keys push --keys keys >out 2>&1 || fail "keys push after the renewal"
    faketime -f '+400d' "$program" keys status --keys keys >out 2>&1 || fail "status after the renewal"
else
    echo "no faketime that works with this program: expiry was not tried"
fi
! grep -q 'correct horse' serve.log serve.out || fail "the passphrase was logged"

# Who ends it at the question has a terminal that shows what is typed, and no key.
if script -qec true /dev/null >/dev/null 2>&1; then
    mkfifo typed
    PROGRAM=$program timeout 60 script -qec 'trap : INT; "$PROGRAM" keys init asked; stty -a' /dev/null <typed >shown 2>&1 &
    asking=$!
    exec 9>typed
    await "the question for a passphrase" grep -q 'New passphrase' shown
    printf '\003' >&9
    wait "$asking" || true
    exec 9>&-
    grep -q ' echo ' shown || { cp shown out; fail "the terminal shows no more what is typed"; }
    [ -z "$(find asked -name '*.key')" ] || fail "a key was made without a passphrase"
fi
echo "keys: all is well"
