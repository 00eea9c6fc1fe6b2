/* The first maker of the crypto table, by OpenSSL's libcrypto (3.0 or newer): Ed25519 and random
 * bytes here, other schemes in crypto_openssl_verify.c, secrets in crypto_openssl_secret.c. Nothing
 * above these files knows OpenSSL; an app may hand in a table of its own (runtime.h). They hold no
 * state: every call makes the key object that it needs and frees it, and leaves nothing in the
 * thread's queue of errors, which belongs to the app. */
#include "trust/crypto_openssl_parts.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <limits.h>

static covey_status openssl_verify(void *user, const uint8_t public_key[32], const void *message,
                                   size_t message_size, const uint8_t signature[64]) {
    (void)user;
    covey_status status = COVEY_ERROR_NO_MEMORY;
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (key == NULL || context == NULL) goto out;
    if (EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) != 1) goto out;
    /* Anything but 1 (a wrong signature, a point that is none) is a signature that does not hold.
     */
    ERR_set_mark();
    int right = EVP_DigestVerify(context, signature, 64, message, message_size);
    ERR_pop_to_mark();
    status = right == 1 ? COVEY_OK : COVEY_ERROR_MISMATCH;
out:
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return status;
}

static covey_status openssl_sign(void *user, const uint8_t private_key[32], const void *message,
                                 size_t message_size, uint8_t signature[64]) {
    (void)user;
    covey_status status = COVEY_ERROR_NO_MEMORY;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, 32);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (key == NULL || context == NULL) goto out;
    if (EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1) goto out;
    size_t size = 64;
    bool made = EVP_DigestSign(context, signature, &size, message, message_size) == 1;
    status = made && size == 64 ? COVEY_OK : COVEY_ERROR_INTERNAL;
out:
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return status;
}

static covey_status openssl_public(void *user, const uint8_t private_key[32],
                                   uint8_t public_key[32]) {
    (void)user;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, 32);
    if (key == NULL) return COVEY_ERROR_NO_MEMORY;
    size_t size = 32;
    bool made = EVP_PKEY_get_raw_public_key(key, public_key, &size) == 1 && size == 32;
    EVP_PKEY_free(key);
    return made ? COVEY_OK : COVEY_ERROR_INTERNAL;
}

static covey_status openssl_random(void *user, void *out, size_t size) {
    (void)user;
    if (size > INT_MAX) return COVEY_ERROR_LIMIT;
    return RAND_bytes(out, (int)size) == 1 ? COVEY_OK : COVEY_ERROR_IO;
}

const covey_crypto *covey__crypto_openssl(void) {
    static const covey_crypto table = {
        .size = sizeof(covey_crypto),
        .user = NULL,
        .ed25519_verify = openssl_verify,
        .ed25519_sign = openssl_sign,
        .ed25519_public = openssl_public,
        .random = openssl_random,
        .verify = covey__openssl_verify,
        .x25519 = covey__openssl_x25519,
        .aes256_gcm_seal = covey__openssl_gcm_seal,
        .aes256_gcm_open = covey__openssl_gcm_open,
        .scrypt = covey__openssl_scrypt,
    };
    return &table;
}
