/* SHA-256 (FIPS 180-4), hexadecimal and comparison of secrets. The block function is chosen once,
 * at first use: sha256_shani.c where the CPU has the instructions, else the portable one here. The
 * choice is a pure function of the CPU, so threads that choose at the same time store the same
 * pointer. */
#include "base/sha256.h"
#include "base/cpu.h"
#include "base/sha256_blocks.h"

#include <stdatomic.h>
#include <string.h>

const uint32_t covey__sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int count) {
    return x >> count | x << (32 - count);
}

static uint32_t read_big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void covey__sha256_blocks_portable(uint32_t state[8], const uint8_t *data, size_t block_count) {
    for (; block_count > 0; block_count--, data += 64) {
        uint32_t w[64];
        for (int i = 0; i < 16; i++) w[i] = read_big_endian(data + 4 * i);
        for (int i = 16; i < 64; i++) {
            uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 64; i++) {
            uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
            uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + covey__sha256_constants[i] + w[i];
            uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
            uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

static _Atomic(covey__sha256_blocks_fn) chosen_blocks;

static covey__sha256_blocks_fn blocks_function(void) {
    covey__sha256_blocks_fn blocks = atomic_load_explicit(&chosen_blocks, memory_order_relaxed);
    if (blocks != NULL) return blocks;
    blocks = covey__sha256_blocks_portable;
    if (covey__sha256_blocks_shani_is_built() && covey__cpu_read().sha)
        blocks = covey__sha256_blocks_shani;
    atomic_store_explicit(&chosen_blocks, blocks, memory_order_relaxed);
    return blocks;
}

void covey__sha256_init(covey__sha256 *hash) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memset(hash, 0, sizeof *hash);
    memcpy(hash->state, start, sizeof start);
}

void covey__sha256_update(covey__sha256 *hash, const void *data, size_t size) {
    if (size == 0) return;
    covey__sha256_blocks_fn blocks = blocks_function();
    const uint8_t *bytes = data;
    size_t held = (size_t)(hash->byte_count % 64);
    hash->byte_count += size;
    if (held > 0) {
        size_t piece = 64 - held < size ? 64 - held : size;
        memcpy(hash->block + held, bytes, piece);
        bytes += piece;
        size -= piece;
        if (held + piece < 64) return;
        blocks(hash->state, hash->block, 1);
    }
    if (size >= 64) blocks(hash->state, bytes, size / 64);
    if (size % 64 > 0) memcpy(hash->block, bytes + size / 64 * 64, size % 64);
}

/* Bytes that fill the block which is begun. */
static size_t begun(const covey__sha256 *hash, size_t size) {
    size_t lacks = (size_t)(-hash->byte_count % 64);
    return lacks < size ? lacks : size;
}

void covey__sha256_update_pair(covey__sha256 *a, const void *data_a, size_t size_a,
                               covey__sha256 *b, const void *data_b, size_t size_b) {
    const uint8_t *bytes_a = data_a, *bytes_b = data_b;
    size_t piece_a = begun(a, size_a), piece_b = begun(b, size_b);
    if (blocks_function() == covey__sha256_blocks_shani) {
        covey__sha256_update(a, bytes_a, piece_a);
        covey__sha256_update(b, bytes_b, piece_b);
        size_t rest_a = (size_a - piece_a) / 64, rest_b = (size_b - piece_b) / 64;
        size_t blocks = rest_a < rest_b ? rest_a : rest_b;
        if (blocks > 0)
            covey__sha256_pair_shani(a->state, bytes_a + piece_a, b->state, bytes_b + piece_b,
                                     blocks);
        a->byte_count += 64 * (uint64_t)blocks;
        b->byte_count += 64 * (uint64_t)blocks;
        piece_a += 64 * blocks;
        piece_b += 64 * blocks;
    } else {
        piece_a = piece_b = 0;
    }
    if (size_a > piece_a) covey__sha256_update(a, bytes_a + piece_a, size_a - piece_a);
    if (size_b > piece_b) covey__sha256_update(b, bytes_b + piece_b, size_b - piece_b);
}

void covey__sha256_final(covey__sha256 *hash, uint8_t digest[32]) {
    uint64_t bit_count = hash->byte_count * 8;
    uint8_t tail[72] = {0x80};
    size_t held = (size_t)(hash->byte_count % 64);
    size_t padding = held < 56 ? 56 - held : 120 - held;
    for (int i = 0; i < 8; i++) tail[padding + (size_t)i] = (uint8_t)(bit_count >> (56 - 8 * i));
    covey__sha256_update(hash, tail, padding + 8);
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

void covey__sha256_of(const void *data, size_t size, uint8_t digest[32]) {
    covey__sha256 hash;
    covey__sha256_init(&hash);
    covey__sha256_update(&hash, data, size);
    covey__sha256_final(&hash, digest);
}

void covey__hex(const uint8_t *data, size_t size, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * size] = '\0';
}

static int digit_value(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

bool covey__unhex(const char *text, size_t text_size, uint8_t *out, size_t size) {
    if (text_size / 2 != size || text_size % 2 != 0) return false;
    for (size_t i = 0; i < size; i++) {
        int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool covey__equal_secret(const void *a, const void *b, size_t size) {
    const volatile uint8_t *left = a, *right = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < size; i++) difference |= (uint8_t)(left[i] ^ right[i]);
    return difference == 0;
}
