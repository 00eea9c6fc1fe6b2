/* Public keys. As JSON, a key object: one that is known is written and read again as the same key,
 * and verifies no made-up signature. As other bytes, a SubjectPublicKeyInfo: what we take, OpenSSL
 * takes (unless the point is not on the curve) and writes with the same bytes, so that one key has
 * one fingerprint. */
#include "fuzz/fuzz_target.h"

#include "trust/public_key.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

static void check_known(const covey__env *env, covey__arena *arena, const covey__public_key *key) {
    static const char signature[64] = "no signature";
    covey__buffer text;
    covey__json_writer writer;
    const covey__json *object = NULL;
    covey__public_key again;
    covey_error error;
    covey__buffer_init(&text, env, 1u << 16);
    covey__json_writer_init(&writer, &text, false);
    covey__public_key_write(&writer, key);
    FUZZ_CHECK(text.status == COVEY_OK);
    FUZZ_CHECK(covey__json_parse(arena, text.data, text.size, COVEY__JSON_LIMITS_DEFAULT, &object,
                                 &error) == COVEY_OK);
    FUZZ_CHECK(covey__public_key_read(arena, object, &again, &error) == COVEY_OK);
    FUZZ_CHECK(again.scheme == key->scheme && again.size == key->size);
    FUZZ_CHECK(memcmp(again.bytes, key->bytes, key->size) == 0);
    FUZZ_CHECK(memcmp(again.fingerprint, key->fingerprint, 32) == 0);
    covey_status status =
        covey__public_key_verify(env, key, "bytes", 5, signature, sizeof signature, &error);
    FUZZ_CHECK(status == COVEY_ERROR_MISMATCH || status == COVEY_ERROR_FORMAT);
    covey__buffer_free(&text);
}

static void read_object(const covey__env *env, const char *text, size_t size) {
    covey__arena arena;
    const covey__json *object = NULL;
    covey__public_key key;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__json_limits limits = {1u << 20, 32, 10000};
    covey__arena_init(&arena, env, 8u << 20);
    if (covey__json_parse(&arena, text, size, limits, &object, NULL) == COVEY_OK) {
        covey_status status = covey__public_key_read(&arena, object, &key, &error);
        FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
        if (status == COVEY_OK && key.scheme != COVEY__KEY_UNKNOWN) check_known(env, &arena, &key);
    }
    covey__arena_free(&arena);
}

static void read_info(const uint8_t *data, size_t size) {
    const uint8_t *key, *at = data;
    size_t key_size;
    unsigned char *written = NULL;
    covey__key_kind kind = covey__key_info_read(data, size, &key, &key_size);
    if (kind == COVEY__KEY_KIND_NONE) return;
    FUZZ_CHECK(size <= COVEY__KEY_INFO_BYTES_MAX);
    EVP_PKEY *made = d2i_PUBKEY(NULL, &at, (long)size);
    FUZZ_CHECK(made != NULL || kind == COVEY__KEY_KIND_P256);
    if (made != NULL) {
        FUZZ_CHECK(i2d_PUBKEY(made, &written) == (int)size);
        FUZZ_CHECK(memcmp(written, data, size) == 0);
        if (kind == COVEY__KEY_KIND_RSA)
            FUZZ_CHECK(EVP_PKEY_get_bits(made) >= 2048 && EVP_PKEY_get_bits(made) <= 8192);
    }
    OPENSSL_free(written);
    EVP_PKEY_free(made);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__env_init(&env);
    env.crypto = covey__crypto_openssl();
    if (size > 0 && data[0] == '{')
        read_object(&env, (const char *)data, size);
    else
        read_info(data, size);
    return 0;
}
