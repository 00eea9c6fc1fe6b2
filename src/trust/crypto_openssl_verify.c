/* Signatures of any scheme, checked by OpenSSL. Its parser of keys takes more than DER, so keys
 * pass trust/key_encoding.h first, which also says the curve and the bits. Neighbour:
 * crypto_openssl.c. */
#include "trust/crypto_openssl_parts.h"
#include "trust/key_encoding.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static EVP_PKEY *read_ed25519(const void *key, size_t size) {
    if (size != 32) return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, size);
}

/* A SubjectPublicKeyInfo in its one encoding; NULL when it is none of the scheme. */
static EVP_PKEY *read_info(covey_key_scheme scheme, const void *info, size_t size) {
    const uint8_t *inner;
    size_t inner_size;
    covey__key_kind wanted =
        scheme == COVEY_KEY_ECDSA_P256_SHA256 ? COVEY__KEY_KIND_P256 : COVEY__KEY_KIND_RSA;
    if (covey__key_info_read(info, size, &inner, &inner_size) != wanted) return NULL;
    const unsigned char *at = info;
    return d2i_PUBKEY(NULL, &at, (long)size);
}

static bool set_padding(covey_key_scheme scheme, EVP_PKEY_CTX *context) {
    if (scheme == COVEY_KEY_RSA_PKCS1_SHA256)
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    if (scheme != COVEY_KEY_RSA_PSS_SHA256) return true;
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
    if (!set_padding(scheme, parameters)) goto out;
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
    if (scheme < COVEY_KEY_ED25519 || scheme > COVEY_KEY_RSA_PKCS1_SHA256)
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
