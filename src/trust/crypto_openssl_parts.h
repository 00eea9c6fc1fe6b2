/* The entries of the OpenSSL table, by file. Their contracts stand at covey_crypto. */
#ifndef COVEY_TRUST_CRYPTO_OPENSSL_PARTS_H
#define COVEY_TRUST_CRYPTO_OPENSSL_PARTS_H

#include "trust/crypto_openssl.h"

/* crypto_openssl_verify.c */
covey_status covey__openssl_verify(void *user, covey_key_scheme scheme, const void *key,
                                   size_t key_size, const void *message, size_t message_size,
                                   const void *signature, size_t signature_size);

/* crypto_openssl_secret.c */
covey_status covey__openssl_x25519(void *user, const uint8_t private_key[32],
                                   const uint8_t peer[32], uint8_t shared[32]);
covey_status covey__openssl_gcm_seal(void *user, const uint8_t key[32], const uint8_t nonce[12],
                                     const void *aad, size_t aad_size, const void *plain,
                                     size_t plain_size, void *sealed);
covey_status covey__openssl_gcm_open(void *user, const uint8_t key[32], const uint8_t nonce[12],
                                     const void *aad, size_t aad_size, const void *sealed,
                                     size_t sealed_size, void *plain);
covey_status covey__openssl_scrypt(void *user, const covey_scrypt *parameters, void *out,
                                   size_t out_size);

#endif
