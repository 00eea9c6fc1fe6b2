/* Private keys in files (docs/formats/key-file.md). A key is written once, with its mode set as it
 * is made, and never over another. A plain one is read only if nobody else could have read or
 * changed it: the owner is this user (or root) and no bit is set for group and others. An encrypted
 * one may lie anywhere; what it asks of scrypt is bounded before memory is taken. What was read or
 * derived is wiped; the caller wipes the key. Neighbour: trust/crypto.h. */
#include "trust/key_file.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_BYTES_MAX COVEY__KEY_FILE_BYTES_MAX
#define SALT_BYTES    32u
#define SEALED_BYTES  (32u + COVEY__GCM_TAG_BYTES)
#define SCRYPT_R      8
#define SCRYPT_P_MAX  4
#define DOMAIN        "covey-key-file-v2" /* with its NUL */

/* An encrypted seed and what it takes to open it. */
typedef struct sealed_seed {
    uint8_t public_key[32], salt[SALT_BYTES], sealed[SEALED_BYTES];
    uint32_t n, p;
} sealed_seed;

static void wipe_buffer(covey__buffer *buffer) {
    if (buffer->data != NULL) explicit_bzero(buffer->data, buffer->size);
    covey__buffer_free(buffer);
}

/* Key and nonce from the passphrase, and the associated data. */
static covey_status derive(const covey__env *env, const covey__passphrase *passphrase,
                           const sealed_seed *seed, covey__gcm *gcm,
                           uint8_t aad[sizeof DOMAIN + 32], covey_error *error) {
    uint8_t secret[44];
    if (passphrase->size == 0 || passphrase->size > COVEY__PASSPHRASE_BYTES_MAX)
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "a passphrase has 1 to %u bytes, this one has %zu",
                           COVEY__PASSPHRASE_BYTES_MAX, passphrase->size);
    covey_scrypt asked = {passphrase->text, passphrase->size, seed->salt, SALT_BYTES,
                          seed->n,          SCRYPT_R,         seed->p};
    covey_status status = covey__scrypt(env, &asked, secret, sizeof secret, error);
    if (status == COVEY_OK) {
        memcpy(gcm->key, secret, 32);
        memcpy(gcm->nonce, secret + 32, 12);
        memcpy(aad, DOMAIN, sizeof DOMAIN);
        memcpy(aad + sizeof DOMAIN, seed->public_key, 32);
    }
    explicit_bzero(secret, sizeof secret);
    return status;
}

static covey_status seal(const covey__env *env, const covey__passphrase *passphrase,
                         const covey__key *key, sealed_seed *out, covey_error *error) {
    covey__gcm gcm;
    uint8_t aad[sizeof DOMAIN + 32];
    out->n = passphrase->n != 0 ? passphrase->n : COVEY__KEY_N_USUAL;
    out->p = 1;
    memcpy(out->public_key, key->public_key, 32);
    covey_status status = covey__random(env, out->salt, SALT_BYTES, error);
    if (status == COVEY_OK) status = derive(env, passphrase, out, &gcm, aad, error);
    if (status == COVEY_OK)
        status = covey__gcm_seal(env, &gcm, aad, sizeof aad, key->seed, 32, out->sealed, error);
    explicit_bzero(&gcm, sizeof gcm);
    return status;
}

static covey_status unseal(const covey__env *env, const covey__passphrase *passphrase,
                           const sealed_seed *seed, covey__key *key, covey_error *error) {
    covey__gcm gcm;
    uint8_t aad[sizeof DOMAIN + 32], plain[32];
    if (passphrase == NULL)
        return covey__fail(error, COVEY_ERROR_DENIED, "it is encrypted: its passphrase is needed");
    covey_status status = derive(env, passphrase, seed, &gcm, aad, error);
    if (status != COVEY_OK) return status;
    status = covey__gcm_open(env, &gcm, aad, sizeof aad, seed->sealed, SEALED_BYTES, plain, error);
    if (status == COVEY_ERROR_MISMATCH)
        status = covey__fail(error, COVEY_ERROR_DENIED,
                             "the passphrase is wrong, or the file was damaged");
    if (status == COVEY_OK) status = covey__key_from_seed(env, plain, key, error);
    explicit_bzero(&gcm, sizeof gcm);
    explicit_bzero(plain, sizeof plain);
    return status;
}

static void render_plain(const covey__key *key, covey__buffer *out) {
    char seed[65], public_key[65];
    covey__hex(key->seed, 32, seed);
    covey__hex(key->public_key, 32, public_key);
    covey__buffer_format(out,
                         "{\"format\":1,\"algorithm\":\"ed25519\",\"seed\":\"%s\","
                         "\"public\":\"%s\"}\n",
                         seed, public_key);
    explicit_bzero(seed, sizeof seed);
}

static void render_sealed(const sealed_seed *seed, covey__buffer *out) {
    char public_key[65], salt[2 * SALT_BYTES + 1], sealed[2 * SEALED_BYTES + 1];
    covey__hex(seed->public_key, 32, public_key);
    covey__hex(seed->salt, SALT_BYTES, salt);
    covey__hex(seed->sealed, SEALED_BYTES, sealed);
    covey__buffer_format(out,
                         "{\"format\":2,\"algorithm\":\"ed25519\",\"public\":\"%s\","
                         "\"kdf\":{\"name\":\"scrypt\",\"n\":%u,\"r\":%d,\"p\":%u,"
                         "\"salt\":\"%s\"},\"cipher\":\"aes-256-gcm\",\"sealed\":\"%s\"}\n",
                         public_key, seed->n, SCRYPT_R, seed->p, salt, sealed);
}

/* Whole or absent, also after a power cut: a key whose public half was handed out must not be gone,
 * and half a key would block the next try. Nobody else makes a key at `path` while the replacement
 * is open, so what is not there then is not overwritten. */
static covey_status write_new(const covey__env *env, const char *path, const covey__buffer *text,
                              covey_error *error) {
    covey__replacement made;
    bool is_there = false;
    covey_status status = covey__file_find(env, path, &is_there, error);
    if (status == COVEY_OK && !is_there) {
        status = covey__replace_begin(env, path, true, &made, error);
        if (status != COVEY_OK) return status;
        status = covey__file_find(env, path, &is_there, error);
        if (status == COVEY_OK && !is_there)
            status = covey__file_write_at(env, made.descriptor, made.temporary, 0, text->data,
                                          text->size, error);
        if (status == COVEY_OK && !is_there) {
            status = covey__replace_commit(&made, error);
            /* What may be gone after a power cut is not handed out, and does not block a new try.
             */
            if (status != COVEY_OK && covey__file_remove(env, path, NULL) != COVEY_OK)
                covey__log(env, COVEY_LOG_WARN, "trust", "a key that failed to sync stays");
            return status;
        }
        covey__replace_abort(&made);
    }
    if (status != COVEY_OK) return status;
    return covey__fail(error, COVEY_ERROR_EXISTS,
                       "trust: %s exists; a key is never overwritten: name another file", path);
}

covey_status covey__key_write(const covey__env *env, const char *path, const covey__key *key,
                              covey_error *error) {
    return covey__key_write_encrypted(env, path, key, NULL, error);
}

covey_status covey__key_write_encrypted(const covey__env *env, const char *path,
                                        const covey__key *key, const covey__passphrase *passphrase,
                                        covey_error *error) {
    covey__buffer text;
    sealed_seed sealed;
    covey_status status = COVEY_OK;
    covey__buffer_init(&text, env, KEY_BYTES_MAX);
    if (passphrase != NULL) status = seal(env, passphrase, key, &sealed, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: key file %s", path);
    if (passphrase != NULL)
        render_sealed(&sealed, &text);
    else
        render_plain(key, &text);
    status = covey__buffer_check(&text, error, "trust: key file");
    if (status == COVEY_OK) status = write_new(env, path, &text, error);
    wipe_buffer(&text);
    return status;
}

static covey_status check_owner(const struct stat *facts, const char *path, covey_error *error) {
    if (facts->st_uid != geteuid() && geteuid() != 0)
        return covey__fail(
            error, COVEY_ERROR_DENIED,
            "trust: %s belongs to user %ld, not to you; a key must be its user's own", path,
            (long)facts->st_uid);
    if ((facts->st_mode & 077) != 0)
        return covey__fail(error, COVEY_ERROR_DENIED,
                           "trust: %s may be read by others (mode %04o); make it yours alone: "
                           "chmod 600 %s",
                           path, (unsigned)(facts->st_mode & 07777), path);
    return COVEY_OK;
}

static covey_status parse_hex(const covey__json *object, const char *name, uint8_t *out,
                              size_t size, covey_error *error) {
    const char *hex;
    covey_status status = covey__json_string(object, name, "", &hex, error);
    if (status != COVEY_OK) return status;
    bool right = covey__unhex(hex, strlen(hex), out, size);
    /* The text is our arena's; it may be the seed. */
    explicit_bzero((void *)(uintptr_t)hex, strlen(hex));
    if (right) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_FORMAT, "%s: expected %zu hex digits", name, 2 * size);
}

static covey_status parse_word(const covey__json *object, const char *name, const char *known,
                               covey_error *error) {
    const char *word;
    covey_status status = covey__json_string(object, name, "", &word, error);
    if (status != COVEY_OK || strcmp(word, known) == 0) return status;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "%s: only %s is known here", name, known);
}

static covey_status parse_sealed(const covey__json *root, sealed_seed *seed, covey_error *error) {
    const covey__json *kdf = NULL;
    int64_t n = 0, r, p = 0;
    covey_status status = covey__json_member(root, "kdf", "", COVEY__JSON_OBJECT, &kdf, error);
    if (status == COVEY_OK) status = parse_word(kdf, "name", "scrypt", error);
    if (status == COVEY_OK)
        status = covey__json_i64(kdf, "n", "kdf", 2, COVEY__KEY_N_MAX, &n, error);
    if (status == COVEY_OK)
        status = covey__json_i64(kdf, "r", "kdf", SCRYPT_R, SCRYPT_R, &r, error);
    if (status == COVEY_OK) status = covey__json_i64(kdf, "p", "kdf", 1, SCRYPT_P_MAX, &p, error);
    if (status == COVEY_OK && (n & (n - 1)) != 0)
        status = covey__fail(error, COVEY_ERROR_FORMAT, "kdf.n: expected a power of two");
    if (status == COVEY_OK) status = parse_hex(kdf, "salt", seed->salt, SALT_BYTES, error);
    if (status == COVEY_OK) status = parse_word(root, "cipher", "aes-256-gcm", error);
    if (status == COVEY_OK) status = parse_hex(root, "sealed", seed->sealed, SEALED_BYTES, error);
    seed->n = (uint32_t)n;
    seed->p = (uint32_t)p;
    return status;
}

/* The key itself, once the file's frame is right. */
static covey_status parse_key(const covey__env *env, const covey__json *root,
                              const covey__passphrase *passphrase, const covey__key_facts *facts,
                              covey__key *key, covey_error *error) {
    sealed_seed sealed;
    uint8_t seed[32];
    covey_status status;
    if (facts->encrypted) {
        memcpy(sealed.public_key, facts->public_key, 32);
        status = parse_sealed(root, &sealed, error);
        if (status == COVEY_OK && key != NULL)
            status = unseal(env, passphrase, &sealed, key, error);
    } else {
        status = parse_hex(root, "seed", seed, 32, error);
        if (status == COVEY_OK && key != NULL) status = covey__key_from_seed(env, seed, key, error);
        explicit_bzero(seed, sizeof seed);
    }
    if (status == COVEY_OK && key != NULL && memcmp(facts->public_key, key->public_key, 32) != 0) {
        covey__key_wipe(key);
        status =
            covey__fail(error, COVEY_ERROR_FORMAT, "public: it is not the public half of the seed");
    }
    return status;
}

covey_status covey__key_parse(const covey__env *env, const char *text, size_t size,
                              const covey__passphrase *passphrase, covey__key_facts *facts,
                              covey__key *key, covey_error *error) {
    covey__arena arena;
    const covey__json *root = NULL;
    int64_t format = 0;
    covey__json_limits limits = {KEY_BYTES_MAX, 4, 64};
    covey__arena_init(&arena, env, 64u << 10);
    covey_status status = covey__json_parse(&arena, text, size, limits, &root, error);
    if (status == COVEY_OK)
        status = covey__json_i64(root, "format", "format", 1, 2, &format, error);
    if (status == COVEY_OK) status = parse_word(root, "algorithm", "ed25519", error);
    if (status == COVEY_OK) status = parse_hex(root, "public", facts->public_key, 32, error);
    facts->encrypted = format == 2;
    if (status == COVEY_OK) status = parse_key(env, root, passphrase, facts, key, error);
    covey__arena_free(&arena);
    return status;
}

/* A key file's text and what the system says of it; at most KEY_BYTES_MAX bytes. */
static covey_status read_text(const covey__env *env, const char *path, char *text, size_t *size,
                              struct stat *facts, covey_error *error) {
    int descriptor = -1;
    /* O_NONBLOCK: what is no file, a pipe say, is refused below and not waited for. */
    covey_status status =
        covey__file_open(env, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &descriptor, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "trust: key file");
    *size = 0;
    status = covey__file_facts(env, descriptor, path, facts, error);
    if (status != COVEY_OK)
        covey__prefix(error, status, "trust: key file");
    else if (!S_ISREG(facts->st_mode))
        status = covey__fail(error, COVEY_ERROR_DENIED, "trust: %s is not a regular file", path);
    else if (facts->st_size > (off_t)KEY_BYTES_MAX)
        status =
            covey__fail(error, COVEY_ERROR_FORMAT, "trust: %s is too large for a key file", path);
    else
        status = covey__file_read_at(env, descriptor, path, 0, text, (size_t)facts->st_size, error);
    if (status == COVEY_OK) *size = (size_t)facts->st_size;
    close(descriptor);
    return status;
}

/* `key` may be NULL: then only the facts are wanted, and the passphrase is not used. */
static covey_status read_file(const covey__env *env, const char *path,
                              const covey__passphrase *passphrase, covey__key_facts *facts,
                              covey__key *key, covey_error *error) {
    char text[KEY_BYTES_MAX];
    size_t size = 0;
    struct stat system_facts;
    covey_status status = read_text(env, path, text, &size, &system_facts, error);
    if (status != COVEY_OK) return status;
    status = covey__key_parse(env, text, size, NULL, facts, NULL, error);
    if (status != COVEY_OK) {
        status = covey__prefix(error, status, "trust: key file %s", path);
        goto out;
    }
    if (!facts->encrypted) status = check_owner(&system_facts, path, error);
    if (status != COVEY_OK || key == NULL) goto out;
    status = covey__key_parse(env, text, size, passphrase, facts, key, error);
    if (status != COVEY_OK) covey__prefix(error, status, "trust: key file %s", path);
out:
    explicit_bzero(text, sizeof text);
    return status;
}

covey_status covey__key_open(const covey__env *env, const char *path,
                             const covey__passphrase *passphrase, covey__key *key,
                             covey_error *error) {
    covey__key_facts facts;
    return read_file(env, path, passphrase, &facts, key, error);
}

covey_status covey__key_read(const covey__env *env, const char *path, covey__key *key,
                             covey_error *error) {
    return covey__key_open(env, path, NULL, key, error);
}

covey_status covey__key_facts_read(const covey__env *env, const char *path, covey__key_facts *facts,
                                   covey_error *error) {
    return read_file(env, path, NULL, facts, NULL, error);
}

covey_status covey__owner_file_write(const covey__env *env, const char *path,
                                     const covey__buffer *text, covey_error *error) {
    return write_new(env, path, text, error);
}

covey_status covey__owner_file_read(const covey__env *env, const char *path,
                                    char text[COVEY__KEY_FILE_BYTES_MAX], size_t *size,
                                    covey_error *error) {
    struct stat facts;
    covey_status status = read_text(env, path, text, size, &facts, error);
    return status == COVEY_OK ? check_owner(&facts, path, error) : status;
}
