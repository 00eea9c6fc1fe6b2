/* Public keys of TUF metadata. A key object is read for what it can verify here, and nothing else
 * of it is believed: its id is a name, and its fingerprint, the digest of the one encoding that
 * trust/key_encoding.h takes, says which key it is, whatever its scheme. Invariant: a key whose
 * scheme is known has bytes of that scheme's form (on the curve or not: the crypto table finds
 * out). */
#include "trust/public_key.h"

#include "base/error.h"
#include "base/sha256.h"
#include "trust/canonical_json.h"

#include <string.h>

#define CANONICAL_BYTES_MAX (64u << 10)

typedef struct known_type {
    const char *type, *scheme_name;
    covey_key_scheme scheme;
} known_type;

/* The first row of a scheme is how we write it. */
static const known_type known[] = {
    {"ed25519", "ed25519", COVEY_KEY_ED25519},
    {"ecdsa", "ecdsa-sha2-nistp256", COVEY_KEY_ECDSA_P256_SHA256},
    {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", COVEY_KEY_ECDSA_P256_SHA256},
    {"rsa", "rsassa-pss-sha256", COVEY_KEY_RSA_PSS_SHA256},
    {"rsa", "rsa-pkcs1v15-sha256", COVEY_KEY_RSA_PKCS1_SHA256},
};

static covey_key_scheme find_scheme(const char *type, const char *scheme_name) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].type, type) == 0 && strcmp(known[i].scheme_name, scheme_name) == 0)
            return known[i].scheme;
    return COVEY__KEY_UNKNOWN;
}

/* Whether bytes have the form that the crypto table takes for the scheme. */
static bool fits(covey_key_scheme scheme, const uint8_t *bytes, size_t size) {
    const uint8_t *inner;
    size_t inner_size;
    if (scheme == COVEY_KEY_ED25519) return size == 32;
    covey__key_kind kind = covey__key_info_read(bytes, size, &inner, &inner_size);
    if (scheme == COVEY_KEY_ECDSA_P256_SHA256) return kind == COVEY__KEY_KIND_P256;
    bool is_rsa = scheme == COVEY_KEY_RSA_PSS_SHA256 || scheme == COVEY_KEY_RSA_PKCS1_SHA256;
    return is_rsa && kind == COVEY__KEY_KIND_RSA;
}

/* keyval.public as the table's bytes; false when it is no such key. */
static bool decode(covey_key_scheme scheme, const covey__json *value, uint8_t *out, size_t *size) {
    const uint8_t *inner;
    size_t inner_size;
    uint8_t point[COVEY__P256_POINT_BYTES];
    if (value == NULL || value->kind != COVEY__JSON_STRING) return false;
    if (scheme == COVEY_KEY_ED25519 && covey__unhex(value->text, value->size, out, 32)) {
        *size = 32;
        return true;
    }
    if (scheme == COVEY_KEY_ECDSA_P256_SHA256 &&
        covey__unhex(value->text, value->size, point, sizeof point)) {
        covey__key_info_p256(point, out);
        *size = COVEY__P256_INFO_BYTES;
        return fits(scheme, out, *size);
    }
    if (!covey__pem_decode(value->text, value->size, out, COVEY__KEY_INFO_BYTES_MAX, size))
        return false;
    if (scheme != COVEY_KEY_ED25519) return fits(scheme, out, *size);
    if (covey__key_info_read(out, *size, &inner, &inner_size) != COVEY__KEY_KIND_ED25519)
        return false;
    memmove(out, inner, inner_size);
    *size = inner_size;
    return true;
}

static covey_status set_key(covey__arena *arena, covey_key_scheme scheme, const uint8_t *bytes,
                            size_t size, covey__public_key *key, covey_error *error) {
    uint8_t *copy = covey__arena_alloc(arena, size);
    if (copy == NULL) return covey__arena_fail(arena, size, error, "trust: a public key");
    memcpy(copy, bytes, size);
    key->scheme = scheme;
    key->bytes = copy;
    key->size = size;
    covey__sha256_of(bytes, size, key->fingerprint);
    return COVEY_OK;
}

static covey_status set_id(const covey__env *env, const covey__json *object, char id[65],
                           covey_error *error) {
    covey__buffer canonical;
    uint8_t digest[32];
    covey__buffer_init(&canonical, env, CANONICAL_BYTES_MAX);
    covey_status status = covey__canonical_json(object, &canonical, error);
    if (status == COVEY_OK) {
        covey__sha256_of(canonical.data, canonical.size, digest);
        covey__hex(digest, sizeof digest, id);
    }
    covey__buffer_free(&canonical);
    return status;
}

covey_status covey__public_key_read(covey__arena *arena, const covey__json *object,
                                    covey__public_key *key, covey_error *error) {
    const char *type = NULL, *scheme_name = NULL;
    const covey__json *value = NULL;
    uint8_t bytes[COVEY__KEY_INFO_BYTES_MAX];
    size_t size = 0;
    memset(key, 0, sizeof *key);
    covey_status status = covey__json_string(object, "keytype", "", &type, error);
    if (status == COVEY_OK) status = covey__json_string(object, "scheme", "", &scheme_name, error);
    if (status == COVEY_OK)
        status = covey__json_member(object, "keyval", "", COVEY__JSON_OBJECT, &value, error);
    if (status == COVEY_OK) status = set_id(arena->env, object, key->id, error);
    if (status != COVEY_OK) return status;
    covey_key_scheme scheme = find_scheme(type, scheme_name);
    if (scheme == COVEY__KEY_UNKNOWN ||
        !decode(scheme, covey__json_get(value, "public"), bytes, &size))
        return COVEY_OK;
    return set_key(arena, scheme, bytes, size, key, error);
}

void covey__public_key_write(covey__json_writer *writer, const covey__public_key *key) {
    char hex[65];
    covey__buffer pem;
    const known_type *row = known;
    while (row->scheme != key->scheme) row++;
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "keytype", row->type);
    covey__json_name(writer, "keyval");
    covey__json_begin_object(writer);
    if (key->scheme == COVEY_KEY_ED25519) {
        covey__hex(key->bytes, 32, hex);
        covey__json_member_string(writer, "public", hex);
    } else {
        covey__buffer_init(&pem, writer->out->env, 4 * COVEY__KEY_INFO_BYTES_MAX);
        if (covey__pem_encode(key->bytes, key->size, &pem) == COVEY_OK)
            covey__json_member_string(writer, "public", pem.data);
        else if (writer->out->status == COVEY_OK)
            writer->out->status = pem.status;
        covey__buffer_free(&pem);
    }
    covey__json_end_object(writer);
    covey__json_member_string(writer, "scheme", row->scheme_name);
    covey__json_end_object(writer);
}

/* The id of the object that covey__public_key_write writes. */
static covey_status set_own_id(covey__arena *arena, covey__public_key *key, covey_error *error) {
    covey__buffer text;
    covey__json_writer writer;
    const covey__json *object = NULL;
    covey__buffer_init(&text, arena->env, CANONICAL_BYTES_MAX);
    covey__json_writer_init(&writer, &text, false);
    covey__public_key_write(&writer, key);
    covey_status status = covey__buffer_check(&text, error, "trust: a public key");
    if (status == COVEY_OK)
        status = covey__json_parse(arena, text.data, text.size, COVEY__JSON_LIMITS_DEFAULT, &object,
                                   error);
    if (status == COVEY_OK) status = set_id(arena->env, object, key->id, error);
    covey__buffer_free(&text);
    return status;
}

covey_status covey__public_key_make(covey__arena *arena, covey_key_scheme scheme, const void *bytes,
                                    size_t size, covey__public_key *key, covey_error *error) {
    memset(key, 0, sizeof *key);
    if (!fits(scheme, bytes, size))
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "trust: these %zu bytes are no public key of scheme %d", size,
                           (int)scheme);
    covey_status status = set_key(arena, scheme, bytes, size, key, error);
    if (status == COVEY_OK) status = set_own_id(arena, key, error);
    return status;
}

covey_status covey__public_key_verify(const covey__env *env, const covey__public_key *key,
                                      const void *message, size_t message_size,
                                      const void *signature, size_t signature_size,
                                      covey_error *error) {
    if (key->scheme == COVEY__KEY_UNKNOWN)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "trust: the key %.16s… is of a type that is not known here", key->id);
    return covey__verify_bytes(env, key->scheme, key->bytes, key->size, message, message_size,
                               signature, signature_size, error);
}
