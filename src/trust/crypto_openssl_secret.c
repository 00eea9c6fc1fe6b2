/* Key agreement, encryption and passwords by OpenSSL. Neighbour: crypto_openssl.c. */
#include "trust/crypto_openssl_parts.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <limits.h>

#define TAG_BYTES    16
#define SCRYPT_P_MAX 16u

covey_status covey__openssl_x25519(void *user, const uint8_t private_key[32],
                                   const uint8_t peer[32], uint8_t shared[32]) {
    (void)user;
    covey_status status = COVEY_ERROR_NO_MEMORY;
    EVP_PKEY_CTX *context = NULL;
    size_t size = 32;
    ERR_set_mark();
    EVP_PKEY *ours = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, 32);
    EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, 32);
    if (ours != NULL && theirs != NULL) context = EVP_PKEY_CTX_new(ours, NULL);
    if (context == NULL || EVP_PKEY_derive_init(context) != 1) goto out;
    if (EVP_PKEY_derive_set_peer(context, theirs) != 1) goto out;
    status = EVP_PKEY_derive(context, shared, &size) == 1 ? COVEY_OK : COVEY_ERROR_MISMATCH;
    if (status == COVEY_OK && size != 32) status = COVEY_ERROR_INTERNAL;
    uint8_t any = 0; /* OpenSSL refuses zeros too; RFC 7748, section 6.1 */
    for (size_t i = 0; status == COVEY_OK && i < 32; i++) any |= shared[i];
    if (status == COVEY_OK && any == 0) status = COVEY_ERROR_MISMATCH;
out:
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(theirs);
    EVP_PKEY_free(ours);
    ERR_pop_to_mark();
    return status;
}

/* One direction of AES-256-GCM, begun: key, nonce and the bytes that are only authenticated. */
static EVP_CIPHER_CTX *begin(bool seal, const uint8_t key[32], const uint8_t nonce[12],
                             const void *aad, size_t aad_size) {
    int done = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context == NULL) return NULL;
    if (EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce, seal) == 1 &&
        (aad_size == 0 || EVP_CipherUpdate(context, NULL, &done, aad, (int)aad_size) == 1))
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

covey_status covey__openssl_gcm_seal(void *user, const uint8_t key[32], const uint8_t nonce[12],
                                     const void *aad, size_t aad_size, const void *plain,
                                     size_t plain_size, void *sealed) {
    (void)user;
    if (aad_size > INT_MAX || plain_size > INT_MAX - TAG_BYTES) return COVEY_ERROR_LIMIT;
    uint8_t *out = sealed;
    int size = 0, rest = 0;
    EVP_CIPHER_CTX *context = begin(true, key, nonce, aad, aad_size);
    if (context == NULL) return COVEY_ERROR_NO_MEMORY;
    bool made =
        (plain_size == 0 || EVP_EncryptUpdate(context, out, &size, plain, (int)plain_size) == 1) &&
        EVP_EncryptFinal_ex(context, out + size, &rest) == 1 &&
        (size_t)(size + rest) == plain_size &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + plain_size) == 1;
    EVP_CIPHER_CTX_free(context);
    return made ? COVEY_OK : COVEY_ERROR_INTERNAL;
}

covey_status covey__openssl_gcm_open(void *user, const uint8_t key[32], const uint8_t nonce[12],
                                     const void *aad, size_t aad_size, const void *sealed,
                                     size_t sealed_size, void *plain) {
    (void)user;
    if (aad_size > INT_MAX || sealed_size > INT_MAX) return COVEY_ERROR_LIMIT;
    if (sealed_size < TAG_BYTES) return COVEY_ERROR_MISMATCH;
    const uint8_t *in = sealed;
    uint8_t *out = plain, tag[TAG_BYTES];
    int size = 0, rest = 0, plain_size = (int)sealed_size - TAG_BYTES;
    for (int i = 0; i < TAG_BYTES; i++) tag[i] = in[plain_size + i];
    EVP_CIPHER_CTX *context = begin(false, key, nonce, aad, aad_size);
    if (context == NULL) return COVEY_ERROR_NO_MEMORY;
    ERR_set_mark();
    uint8_t none;
    if (plain_size == 0) out = &none;
    bool right = (plain_size == 0 || EVP_DecryptUpdate(context, out, &size, in, plain_size) == 1) &&
                 EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
                 EVP_DecryptFinal_ex(context, out + size, &rest) == 1 && size + rest == plain_size;
    ERR_pop_to_mark();
    EVP_CIPHER_CTX_free(context);
    return right ? COVEY_OK : COVEY_ERROR_MISMATCH;
}

covey_status covey__openssl_scrypt(void *user, const covey_scrypt *parameters, void *out,
                                   size_t out_size) {
    (void)user;
    uint64_t n = parameters->n, r = parameters->r, p = parameters->p, bytes;
    if (n < 2 || (n & (n - 1)) != 0 || r == 0 || p == 0 || p > SCRYPT_P_MAX)
        return COVEY_ERROR_INVALID_ARGUMENT;
    if (__builtin_mul_overflow(n, 128 * r, &bytes) || bytes > COVEY_SCRYPT_MEMORY_MAX ||
        128 * r * p > COVEY_SCRYPT_MEMORY_MAX)
        return COVEY_ERROR_LIMIT;
    ERR_set_mark();
    /* OpenSSL counts its small blocks too: twice the bound leaves them room. */
    int made =
        EVP_PBE_scrypt(parameters->password, parameters->password_size, parameters->salt,
                       parameters->salt_size, n, r, p, 2 * COVEY_SCRYPT_MEMORY_MAX, out, out_size);
    ERR_pop_to_mark();
    return made == 1 ? COVEY_OK : COVEY_ERROR_NO_MEMORY;
}
