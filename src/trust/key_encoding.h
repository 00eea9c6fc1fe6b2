/* The encodings of public keys: PEM (RFC 7468) around a DER SubjectPublicKeyInfo (RFC 5280). */
#ifndef COVEY_TRUST_KEY_ENCODING_H
#define COVEY_TRUST_KEY_ENCODING_H

#include "base/buffer.h"

/* The largest SubjectPublicKeyInfo taken: RSA with 8192 bits and an exponent of 8 bytes. */
#define COVEY__KEY_INFO_BYTES_MAX 1100u

typedef enum covey__key_kind {
    COVEY__KEY_KIND_NONE, /* malformed, or of an algorithm that is not known here */
    COVEY__KEY_KIND_ED25519,
    COVEY__KEY_KIND_P256,
    COVEY__KEY_KIND_RSA
} covey__key_kind;

/* Decodes the one "PUBLIC KEY" block that `text` holds (white space around it is fine). False when
 * there is no such block, something else beside it, or more than `capacity` bytes in it. */
bool covey__pem_decode(const char *text, size_t size, uint8_t *out, size_t capacity,
                       size_t *out_size);
/* Appends the block, with lines of 64 and a newline at the end, as OpenSSL writes it. */
covey_status covey__pem_encode(const uint8_t *info, size_t size, covey__buffer *out);

/* What a SubjectPublicKeyInfo holds. Only one encoding of a key is taken (DER, named curve, whole
 * point, RSA of 2048 to 8192 bits), so that equal keys have equal bytes. `*key` and `*key_size` are
 * the Ed25519 key or the point, within `info`. Whether the point is on the curve is for the crypto
 * table to say. */
covey__key_kind covey__key_info_read(const uint8_t *info, size_t size, const uint8_t **key,
                                     size_t *key_size);

#define COVEY__P256_POINT_BYTES 65u /* 4, X, Y (SEC 1) */
#define COVEY__P256_INFO_BYTES  91u
/* The SubjectPublicKeyInfo of a point on P-256. */
void covey__key_info_p256(const uint8_t point[65], uint8_t info[91]);

#endif
