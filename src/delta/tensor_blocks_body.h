/* Blocks to arrays and back, type by type: see tensor_blocks.h. Plain loops over 16 or 32 bytes,
 * which a compiler turns into vectors of whatever set the including file is compiled for; that file
 * names the function TENSOR_LAYOUT. */
#include "delta/tensor_blocks.h"
#include "delta/tensor_codes.h"

#include "gguf/gguf.h"

#include <string.h>

/* ---- Blocks of 32 -----------------------------------------------------------------------------
 */

#define CODES_OF(batch, block, weights) ((batch)->codes + (size_t)(block) * (weights))

static void take_q8_0(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    batch->d[block] = get16(data);
    memcpy(CODES_OF(batch, block, 32), data + 2, 32);
}
static void put_q8_0(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    put16(data, batch->d[block]);
    memcpy(data + 2, CODES_OF(batch, block, 32), 32);
}

static void take_q4_0(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    batch->d[block] = get16(data);
    take_nibbles(data + 2, 8, CODES_OF(batch, block, 32));
}
static void put_q4_0(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    put16(data, batch->d[block]);
    put_nibbles(CODES_OF(batch, block, 32), 8, data + 2);
}

static void take_iq4_nl(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    batch->d[block] = get16(data);
    take_nibbles(data + 2, 0, CODES_OF(batch, block, 32));
}
static void put_iq4_nl(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    put16(data, batch->d[block]);
    put_nibbles(CODES_OF(batch, block, 32), 0, data + 2);
}

static void take_q4_1(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    batch->d[block] = get16(data);
    batch->m[block] = get16(data + 2);
    take_nibbles(data + 4, 0, CODES_OF(batch, block, 32));
}
static void put_q4_1(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    put16(data, batch->d[block]);
    put16(data + 2, batch->m[block]);
    put_nibbles(CODES_OF(batch, block, 32), 0, data + 4);
}

static void take_q5_0(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    int8_t *codes = CODES_OF(batch, block, 32);
    batch->d[block] = get16(data);
    take_nibbles(data + 6, 16, codes);
    take_fifth(data + 2, codes);
}
static void put_q5_0(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    const int8_t *codes = CODES_OF(batch, block, 32);
    put16(data, batch->d[block]);
    put_fifth(codes, 16, data + 2);
    put_nibbles(codes, 16, data + 6);
}

static void take_q5_1(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    int8_t *codes = CODES_OF(batch, block, 32);
    batch->d[block] = get16(data);
    batch->m[block] = get16(data + 2);
    take_nibbles(data + 8, 0, codes);
    take_fifth(data + 4, codes);
}
static void put_q5_1(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    const int8_t *codes = CODES_OF(batch, block, 32);
    put16(data, batch->d[block]);
    put16(data + 2, batch->m[block]);
    put_fifth(codes, 0, data + 4);
    put_nibbles(codes, 0, data + 8);
}

/* ---- Blocks of 256 ----------------------------------------------------------------------------
 */

/* Q2_K: 16 bytes of scale and min, 64 of codes, d, dmin. */
static void take_q2_k(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    for (int j = 0; j < 16; j++) {
        batch->scale[j][block] = (int8_t)(data[j] & 15);
        batch->min[j][block] = (int8_t)(data[j] >> 4);
    }
    take_pairs(data + 16, CODES_OF(batch, block, 256));
    batch->d[block] = get16(data + 80);
    batch->m[block] = get16(data + 82);
}
static void put_q2_k(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    for (int j = 0; j < 16; j++)
        data[j] = (uint8_t)((batch->scale[j][block] & 15) | (batch->min[j][block] & 15) << 4);
    put_pairs(CODES_OF(batch, block, 256), data + 16);
    put16(data + 80, batch->d[block]);
    put16(data + 82, batch->m[block]);
}

/* Q3_K: 32 bytes of third bits, 64 of codes' low bits, 12 of scales, d. */
static void take_q3_k(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    int8_t *codes = CODES_OF(batch, block, 256);
    const uint8_t *s = data + 96;
    take_pairs(data + 32, codes);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            codes[32 * j + i] = (int8_t)(codes[32 * j + i] + (((data[i] >> j) & 1) << 2) - 4);
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
        batch->scale[j][block] = (int8_t)((low | ((s[8 + j % 4] >> (2 * (j / 4))) & 3) << 4) - 32);
    }
    batch->d[block] = get16(data + 108);
}
static void put_q3_k(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    const int8_t *codes = CODES_OF(batch, block, 256);
    int8_t low[256];
    uint8_t *s = data + 96;
    memset(data, 0, 32);
    memset(s, 0, 12);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++) {
            int code = codes[32 * j + i] + 4;
            low[32 * j + i] = (int8_t)(code & 3);
            data[i] = (uint8_t)(data[i] | ((code >> 2) & 1) << j);
        }
    put_pairs(low, data + 32);
    for (int j = 0; j < 16; j++) {
        int scale = batch->scale[j][block] + 32;
        s[j % 8] = (uint8_t)(s[j % 8] | (scale & 15) << (j < 8 ? 0 : 4));
        s[8 + j % 4] = (uint8_t)(s[8 + j % 4] | ((scale >> 4) & 3) << (2 * (j / 4)));
    }
    put16(data + 108, batch->d[block]);
}

/* Q4_K and Q5_K: 8 scales and 8 mins of six bits in 12 bytes. */
static void take_six(const uint8_t *s, int32_t block, covey__block_batch *batch) {
    for (int j = 0; j < 4; j++) {
        batch->scale[j][block] = (int8_t)(s[j] & 63);
        batch->min[j][block] = (int8_t)(s[j + 4] & 63);
        batch->scale[j + 4][block] = (int8_t)((s[j + 8] & 15) | (s[j] >> 6) << 4);
        batch->min[j + 4][block] = (int8_t)((s[j + 8] >> 4) | (s[j + 4] >> 6) << 4);
    }
}
static void put_six(const covey__block_batch *batch, int32_t block, uint8_t *s) {
    for (int j = 0; j < 4; j++) {
        int scale = batch->scale[j + 4][block], min = batch->min[j + 4][block];
        s[j] = (uint8_t)((batch->scale[j][block] & 63) | ((scale >> 4) & 3) << 6);
        s[j + 4] = (uint8_t)((batch->min[j][block] & 63) | ((min >> 4) & 3) << 6);
        s[j + 8] = (uint8_t)((scale & 15) | (min & 15) << 4);
    }
}

static void take_q4_k(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    batch->d[block] = get16(data);
    batch->m[block] = get16(data + 2);
    take_six(data + 4, block, batch);
    take_runs(data + 16, CODES_OF(batch, block, 256));
}
static void put_q4_k(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    put16(data, batch->d[block]);
    put16(data + 2, batch->m[block]);
    put_six(batch, block, data + 4);
    put_runs(CODES_OF(batch, block, 256), data + 16);
}

static void take_q5_k(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    int8_t *codes = CODES_OF(batch, block, 256);
    batch->d[block] = get16(data);
    batch->m[block] = get16(data + 2);
    take_six(data + 4, block, batch);
    take_runs(data + 48, codes);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            codes[32 * j + i] = (int8_t)(codes[32 * j + i] | ((data[16 + i] >> j) & 1) << 4);
}
static void put_q5_k(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    const int8_t *codes = CODES_OF(batch, block, 256);
    put16(data, batch->d[block]);
    put16(data + 2, batch->m[block]);
    put_six(batch, block, data + 4);
    memset(data + 16, 0, 32);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 32; i++)
            data[16 + i] = (uint8_t)(data[16 + i] | ((codes[32 * j + i] >> 4) & 1) << j);
    put_runs(codes, data + 48);
}

/* Q6_K: 128 bytes of low nibbles, 64 of high pairs, 16 scales, d; in halves of 128 codes. */
static void take_q6_k(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    int8_t *codes = CODES_OF(batch, block, 256);
    const uint8_t *low = data, *high = data + 128;
    for (int half = 0; half < 2; half++, low += 64, high += 32, codes += 128)
        for (int i = 0; i < 32; i++) {
            codes[i] = (int8_t)(((low[i] & 15) | (high[i] & 3) << 4) - 32);
            codes[32 + i] = (int8_t)(((low[32 + i] & 15) | ((high[i] >> 2) & 3) << 4) - 32);
            codes[64 + i] = (int8_t)(((low[i] >> 4) | ((high[i] >> 4) & 3) << 4) - 32);
            codes[96 + i] = (int8_t)(((low[32 + i] >> 4) | (high[i] >> 6) << 4) - 32);
        }
    for (int j = 0; j < 16; j++) batch->scale[j][block] = (int8_t)data[192 + j];
    batch->d[block] = get16(data + 208);
}
static void put_q6_k(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    const int8_t *codes = CODES_OF(batch, block, 256);
    uint8_t *low = data, *high = data + 128;
    for (int half = 0; half < 2; half++, low += 64, high += 32, codes += 128)
        for (int i = 0; i < 32; i++) {
            uint8_t a = (uint8_t)(codes[i] + 32), b = (uint8_t)(codes[32 + i] + 32);
            uint8_t c = (uint8_t)(codes[64 + i] + 32), e = (uint8_t)(codes[96 + i] + 32);
            low[i] = (uint8_t)((a & 15) | (c & 15) << 4);
            low[32 + i] = (uint8_t)((b & 15) | (e & 15) << 4);
            high[i] = (uint8_t)(((a >> 4) & 3) | ((b >> 4) & 3) << 2 | ((c >> 4) & 3) << 4 |
                                ((e >> 4) & 3) << 6);
        }
    for (int j = 0; j < 16; j++) data[192 + j] = (uint8_t)batch->scale[j][block];
    put16(data + 208, batch->d[block]);
}

/* IQ4_XS: d, 16 bits of scales' high pairs, 4 bytes of their low nibbles, 128 of codes. */
static void take_iq4_xs(const uint8_t *data, int32_t block, covey__block_batch *batch) {
    uint16_t high = get16(data + 2);
    batch->d[block] = get16(data);
    for (int j = 0; j < 8; j++) {
        int low = (data[4 + j / 2] >> (4 * (j % 2))) & 15;
        batch->scale[j][block] = (int8_t)((low | ((high >> (2 * j)) & 3) << 4) - 32);
        take_nibbles(data + 8 + 16 * j, 0, CODES_OF(batch, block, 256) + 32 * j);
    }
}
static void put_iq4_xs(const covey__block_batch *batch, int32_t block, uint8_t *data) {
    uint32_t high = 0;
    put16(data, batch->d[block]);
    memset(data + 4, 0, 4);
    for (int j = 0; j < 8; j++) {
        int scale = batch->scale[j][block] + 32;
        high |= (uint32_t)((scale >> 4) & 3) << (2 * j);
        data[4 + j / 2] = (uint8_t)(data[4 + j / 2] | (scale & 15) << (4 * (j % 2)));
        put_nibbles(CODES_OF(batch, block, 256) + 32 * j, 0, data + 8 + 16 * j);
    }
    put16(data + 2, (uint16_t)high);
}

const covey__block_layout *TENSOR_LAYOUT(uint32_t type) {
    static const covey__block_layout layouts[] = {
        [COVEY__TYPE_Q8_0] = {32, 34, 0, false, false, false, -128, 127, 0, 0, take_q8_0, put_q8_0},
        [COVEY__TYPE_Q4_0] = {32, 18, 0, false, false, false, -8, 7, 0, 0, take_q4_0, put_q4_0},
        [COVEY__TYPE_Q4_1] = {32, 20, 0, true, false, false, 0, 15, 0, 0, take_q4_1, put_q4_1},
        [COVEY__TYPE_Q5_0] = {32, 22, 0, false, false, false, -16, 15, 0, 0, take_q5_0, put_q5_0},
        [COVEY__TYPE_Q5_1] = {32, 24, 0, true, false, false, 0, 31, 0, 0, take_q5_1, put_q5_1},
        [COVEY__TYPE_IQ4_NL] = {32, 18, 0, false, false, true, 0, 15, 0, 0, take_iq4_nl,
                                put_iq4_nl},
        [COVEY__TYPE_Q2_K] = {256, 84, 16, true, true, false, 0, 3, 0, 15, take_q2_k, put_q2_k},
        [COVEY__TYPE_Q3_K] = {256, 110, 16, false, false, false, -4, 3, -32, 31, take_q3_k,
                              put_q3_k},
        [COVEY__TYPE_Q4_K] = {256, 144, 8, true, true, false, 0, 15, 0, 63, take_q4_k, put_q4_k},
        [COVEY__TYPE_Q5_K] = {256, 176, 8, true, true, false, 0, 31, 0, 63, take_q5_k, put_q5_k},
        [COVEY__TYPE_Q6_K] = {256, 210, 16, false, false, false, -32, 31, -128, 127, take_q6_k,
                              put_q6_k},
        [COVEY__TYPE_IQ4_XS] = {256, 136, 8, false, false, true, 0, 15, -32, 31, take_iq4_xs,
                                put_iq4_xs},
    };
    if (type >= sizeof layouts / sizeof *layouts || !layouts[type].take) return NULL;
    return &layouts[type];
}
