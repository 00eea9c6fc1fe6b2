/* Public keys in and out of PEM and DER. Both are read strictly, for a key that could be written in
 * two ways could be counted twice towards a threshold: no BER lengths, no compressed points, no
 * parameters but those that the standards ask for, nothing behind the end. Ed25519 and P-256 keys
 * have a fixed size, so their encoding is a constant before the key; RSA's is walked. Neighbour:
 * trust/public_key.c, which says which kind belongs to which scheme. */
#include "trust/key_encoding.h"

#include <string.h>

#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----"
#define PEM_END   "-----END PUBLIC KEY-----"

/* RFC 8410: SEQUENCE { SEQUENCE { 1.3.101.112 }, BIT STRING of 32 bytes }. */
static const uint8_t ed25519_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                       0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
/* RFC 5480: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING of 65 bytes: 4, … }. */
static const uint8_t p256_head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
/* RFC 3279: SEQUENCE { rsaEncryption, NULL }. */
static const uint8_t rsa_algorithm[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                        0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Base64 (RFC 4648) with white space between; padding and the bits behind the end must be right. */
static bool decode_base64(const char *text, size_t size, uint8_t *out, size_t capacity,
                          size_t *out_size) {
    uint32_t bits = 0;
    size_t digits = 0, pads = 0, used = 0;
    for (size_t i = 0; i < size; i++) {
        if (is_space(text[i])) continue;
        const char *found = text[i] != '\0' ? strchr(alphabet, text[i]) : NULL;
        if (text[i] == '=')
            pads++;
        else if (found == NULL || pads > 0)
            return false;
        bits = bits << 6 | (found != NULL ? (uint32_t)(found - alphabet) : 0);
        if (++digits % 4 != 0) continue;
        if (pads > 2 || used + 3 - pads > capacity) return false;
        if (pads > 0 && (bits & (pads == 1 ? 0xffu : 0xffffu)) != 0) return false;
        for (size_t k = 0; k < 3 - pads; k++) out[used++] = (uint8_t)(bits >> (16 - 8 * k));
    }
    *out_size = used;
    return digits % 4 == 0 && pads <= 2 && used > 0;
}

bool covey__pem_decode(const char *text, size_t size, uint8_t *out, size_t capacity,
                       size_t *out_size) {
    size_t begin = strlen(PEM_BEGIN), end = strlen(PEM_END);
    while (size > 0 && is_space(*text)) text++, size--;
    while (size > 0 && is_space(text[size - 1])) size--;
    if (size < begin + end || memcmp(text, PEM_BEGIN, begin) != 0) return false;
    if (memcmp(text + size - end, PEM_END, end) != 0) return false;
    return decode_base64(text + begin, size - begin - end, out, capacity, out_size);
}

covey_status covey__pem_encode(const uint8_t *info, size_t size, covey__buffer *out) {
    covey__buffer_text(out, PEM_BEGIN);
    for (size_t at = 0; at < size; at += 3) {
        if (at % 48 == 0) covey__buffer_byte(out, '\n');
        size_t left = size - at;
        uint32_t bits = (uint32_t)info[at] << 16;
        if (left > 1) bits |= (uint32_t)info[at + 1] << 8;
        if (left > 2) bits |= info[at + 2];
        char four[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                        left > 1 ? alphabet[bits >> 6 & 63] : '=',
                        left > 2 ? alphabet[bits & 63] : '='};
        covey__buffer_append(out, four, sizeof four);
    }
    return covey__buffer_text(out, "\n" PEM_END "\n");
}

/* One DER element of that tag at the front of what is left: `*content` and what follows it. */
static bool take_element(const uint8_t **at, size_t *left, uint8_t tag, const uint8_t **content,
                         size_t *content_size) {
    if (*left < 2 || (*at)[0] != tag) return false;
    size_t size = (*at)[1], head = 2;
    if (size >= 0x80) { /* the shortest form only */
        size_t bytes = size & 0x7f;
        if (bytes == 0 || bytes > 2 || *left < 2 + bytes) return false;
        size = bytes == 1 ? (*at)[2] : (size_t)(*at)[2] << 8 | (*at)[3];
        if (size < (bytes == 1 ? 0x80u : 0x100u)) return false;
        head += bytes;
    }
    if (size > *left - head) return false;
    *content = *at + head;
    *content_size = size;
    *at += head + size;
    *left -= head + size;
    return true;
}

/* A positive INTEGER in its shortest form, without the zero that keeps it positive. */
static bool take_positive(const uint8_t **at, size_t *left, const uint8_t **digits, size_t *count) {
    if (!take_element(at, left, 0x02, digits, count) || *count == 0) return false;
    if ((*digits)[0] >= 0x80) return false;
    if ((*digits)[0] != 0) return true;
    (*digits)++, (*count)--;
    return *count > 0 && (*digits)[0] >= 0x80;
}

static bool is_rsa(const uint8_t *info, size_t size) {
    const uint8_t *outer, *bits, *numbers, *modulus, *exponent;
    size_t outer_size, bits_size, numbers_size, modulus_size, exponent_size;
    if (!take_element(&info, &size, 0x30, &outer, &outer_size) || size != 0) return false;
    if (outer_size < sizeof rsa_algorithm ||
        memcmp(outer, rsa_algorithm, sizeof rsa_algorithm) != 0)
        return false;
    outer += sizeof rsa_algorithm, outer_size -= sizeof rsa_algorithm;
    if (!take_element(&outer, &outer_size, 0x03, &bits, &bits_size) || outer_size != 0)
        return false;
    if (bits_size == 0 || *bits != 0) return false; /* bits that are not used */
    bits++, bits_size--;
    if (!take_element(&bits, &bits_size, 0x30, &numbers, &numbers_size) || bits_size != 0)
        return false;
    if (!take_positive(&numbers, &numbers_size, &modulus, &modulus_size)) return false;
    if (!take_positive(&numbers, &numbers_size, &exponent, &exponent_size)) return false;
    if (numbers_size != 0) return false;
    /* 2048 to 8192 bits, to the bit; an odd exponent from 3 to 64 bits. */
    if (modulus_size < 256 || modulus_size > 1024) return false;
    if ((modulus_size == 256 && modulus[0] < 0x80) || modulus[modulus_size - 1] % 2 == 0)
        return false;
    uint8_t last = exponent[exponent_size - 1];
    return exponent_size <= 8 && last % 2 == 1 && (exponent_size > 1 || last >= 3);
}

covey__key_kind covey__key_info_read(const uint8_t *info, size_t size, const uint8_t **key,
                                     size_t *key_size) {
    *key = NULL;
    *key_size = 0;
    if (size == sizeof ed25519_head + 32 && memcmp(info, ed25519_head, sizeof ed25519_head) == 0) {
        *key = info + sizeof ed25519_head;
        *key_size = 32;
        return COVEY__KEY_KIND_ED25519;
    }
    if (size == COVEY__P256_INFO_BYTES && memcmp(info, p256_head, sizeof p256_head) == 0 &&
        info[sizeof p256_head] == 4) {
        *key = info + sizeof p256_head;
        *key_size = COVEY__P256_POINT_BYTES;
        return COVEY__KEY_KIND_P256;
    }
    return is_rsa(info, size) ? COVEY__KEY_KIND_RSA : COVEY__KEY_KIND_NONE;
}

void covey__key_info_p256(const uint8_t point[65], uint8_t info[91]) {
    memcpy(info, p256_head, sizeof p256_head);
    memcpy(info + sizeof p256_head, point, COVEY__P256_POINT_BYTES);
}
