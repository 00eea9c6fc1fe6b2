/* Signatures of any scheme, checked by OpenSSL. The key is parsed by OpenSSL and then held to what
 * the scheme says (type, curve, bits), for a table may be called with keys that nothing checked
 * before. Neighbour: crypto_openssl.c. */
#include "trust/crypto_openssl_parts.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <limits.h>
#include <string.h>

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

static EVP_PKEY *read_ed25519(const void *key, size_t size) {
    if (size != 32) return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, size);
}

static bool is_p256(const EVP_PKEY *key) {
    char curve[32];
    size_t size;
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, curve, sizeof curve, &size) &&
           strcmp(curve, "prime256v1") == 0;
}

static bool is_rsa(const EVP_PKEY *key) {
    int bits = EVP_PKEY_get_bits(key);
    return EVP_PKEY_is_a(key, "RSA") && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
}

/* A SubjectPublicKeyInfo and nothing behind it; NULL when it is none of the scheme. */
static EVP_PKEY *read_info(covey_key_scheme scheme, const void *info, size_t size) {
    if (size > LONG_MAX) return NULL;
    const unsigned char *at = info;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)size);
    if (key == NULL) return NULL;
    bool right = at == (const unsigned char *)info + size;
    right = right && (scheme == COVEY_KEY_ECDSA_P256_SHA256 ? is_p256(key) : is_rsa(key));
    if (right) return key;
    EVP_PKEY_free(key);
    return NULL;
}

static bool set_padding(EVP_PKEY_CTX *context) {
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_AUTO) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1;
}

static covey_status check(covey_key_scheme scheme, EVP_PKEY *key, const void *message,
                          size_t message_size, const void *signature, size_t signature_size) {
    EVP_PKEY_CTX *parameters = NULL; /* the context's */
    covey_status status = COVEY_ERROR_NO_MEMORY;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL) return status;
    const EVP_MD *digest = scheme == COVEY_KEY_ED25519 ? NULL : EVP_sha256();
    if (EVP_DigestVerifyInit(context, &parameters, digest, NULL, key) != 1) goto out;
    if (scheme == COVEY_KEY_RSA_PSS_SHA256 && !set_padding(parameters)) goto out;
    /* Anything but 1 (a wrong signature, one that is no DER, one too long) does not hold. */
    int right = EVP_DigestVerify(context, signature, signature_size, message, message_size);
    status = right == 1 ? COVEY_OK : COVEY_ERROR_MISMATCH;
out:
    EVP_MD_CTX_free(context);
    return status;
}

covey_status covey__openssl_verify(void *user, covey_key_scheme scheme, const void *key,
                                   size_t key_size, const void *message, size_t message_size,
                                   const void *signature, size_t signature_size) {
    (void)user;
    if (scheme < COVEY_KEY_ED25519 || scheme > COVEY_KEY_RSA_PSS_SHA256)
        return COVEY_ERROR_UNSUPPORTED;
    if (message == NULL) message = ""; /* of no bytes */
    if (signature == NULL || signature_size == 0) return COVEY_ERROR_MISMATCH;
    ERR_set_mark();
    EVP_PKEY *made = scheme == COVEY_KEY_ED25519 ? read_ed25519(key, key_size)
                                                 : read_info(scheme, key, key_size);
    covey_status status =
        made == NULL ? COVEY_ERROR_FORMAT
                     : check(scheme, made, message, message_size, signature, signature_size);
    EVP_PKEY_free(made);
    ERR_pop_to_mark();
    return status;
}
