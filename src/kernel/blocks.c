/* Blocks of quantized weights taken apart, type by type: see blocks.h. Plain loops: the fast ways
 * are in the files of the instruction sets. */
#include "kernel/blocks.h"

const int8_t covey__codebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};

/* 32 levels of four bits: low nibbles, then high ones. */
static void nibbles(const uint8_t q[16], int32_t out[32]) {
    for (int i = 0; i < 16; i++) {
        out[i] = q[i] & 15;
        out[16 + i] = q[i] >> 4;
    }
}

static void fifth_bits(const uint8_t high[4], int32_t out[32]) {
    for (int i = 0; i < 32; i++) out[i] += ((high[i / 8] >> (i % 8)) & 1) << 4;
}

void covey__take_q8_0(const uint8_t *data, covey__block32 *out) {
    covey__block_q8_0 block;
    memcpy(&block, data, sizeof block);
    for (int i = 0; i < 32; i++) out->q[i] = block.q[i];
    out->d = covey__half(block.d);
    out->m = 0.0f;
}

void covey__take_q4_0(const uint8_t *data, covey__block32 *out) {
    covey__block_q4_0 block;
    memcpy(&block, data, sizeof block);
    nibbles(block.q, out->q);
    for (int i = 0; i < 32; i++) out->q[i] -= 8;
    out->d = covey__half(block.d);
    out->m = 0.0f;
}

void covey__take_q4_1(const uint8_t *data, covey__block32 *out) {
    covey__block_q4_1 block;
    memcpy(&block, data, sizeof block);
    nibbles(block.q, out->q);
    out->d = covey__half(block.d);
    out->m = covey__half(block.m);
}

void covey__take_q5_0(const uint8_t *data, covey__block32 *out) {
    covey__block_q5_0 block;
    memcpy(&block, data, sizeof block);
    nibbles(block.q, out->q);
    fifth_bits(block.high, out->q);
    for (int i = 0; i < 32; i++) out->q[i] -= 16;
    out->d = covey__half(block.d);
    out->m = 0.0f;
}

void covey__take_q5_1(const uint8_t *data, covey__block32 *out) {
    covey__block_q5_1 block;
    memcpy(&block, data, sizeof block);
    nibbles(block.q, out->q);
    fifth_bits(block.high, out->q);
    out->d = covey__half(block.d);
    out->m = covey__half(block.m);
}

void covey__take_iq4_nl(const uint8_t *data, covey__block32 *out) {
    covey__block_iq4_nl block;
    memcpy(&block, data, sizeof block);
    nibbles(block.q, out->q);
    for (int i = 0; i < 32; i++) out->q[i] = covey__codebook[out->q[i]];
    out->d = covey__half(block.d);
    out->m = 0.0f;
}

/* 256 levels of two bits: of each half, 32 bytes hold four runs of 32. */
static void pairs_of_bits(const uint8_t low[64], int32_t out[256]) {
    for (int i = 0; i < 256; i++) out[i] = (low[i / 128 * 32 + i % 32] >> (2 * (i / 32 % 4))) & 3;
}

void covey__take_q2_k(const uint8_t *data, covey__block256 *out) {
    covey__block_q2_k block;
    memcpy(&block, data, sizeof block);
    pairs_of_bits(block.q, out->q);
    for (int j = 0; j < 16; j++) {
        out->scale[j] = block.scales[j] & 15;
        out->min[j] = block.scales[j] >> 4;
    }
    out->d = covey__half(block.d);
    out->dmin = covey__half(block.dmin);
}

static void no_mins(covey__block256 *out) {
    memset(out->min, 0, sizeof out->min);
    out->dmin = 0.0f;
}

void covey__take_q3_k(const uint8_t *data, covey__block256 *out) {
    covey__block_q3_k block;
    memcpy(&block, data, sizeof block);
    pairs_of_bits(block.low, out->q);
    for (int i = 0; i < 256; i++) out->q[i] += (((block.high[i % 32] >> (i / 32)) & 1) << 2) - 4;
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? block.scales[j] & 15 : block.scales[j - 8] >> 4;
        int high = (block.scales[8 + j % 4] >> (2 * (j / 4))) & 3;
        out->scale[j] = (low | high << 4) - 32;
    }
    out->d = covey__half(block.d);
    no_mins(out);
}

/* Q4_K's and Q5_K's 8 scales and 8 mins of six bits in 12 bytes. */
static void six_bits(const uint8_t s[12], covey__block256 *out) {
    for (int j = 0; j < 8; j++) {
        int scale = s[j] & 63, min = s[(j + 4) % 12] & 63;
        if (j >= 4) {
            scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
            min = (s[j + 4] >> 4) | (s[j] >> 6) << 4;
        }
        out->scale[2 * j] = out->scale[2 * j + 1] = scale;
        out->min[2 * j] = out->min[2 * j + 1] = min;
    }
}

/* 256 levels of four bits: each 32 bytes hold two runs of 32. */
static void runs_of_nibbles(const uint8_t q[128], int32_t out[256]) {
    for (int i = 0; i < 256; i++) out[i] = (q[i / 64 * 32 + i % 32] >> (4 * (i / 32 % 2))) & 15;
}

void covey__take_q4_k(const uint8_t *data, covey__block256 *out) {
    covey__block_q4_k block;
    memcpy(&block, data, sizeof block);
    runs_of_nibbles(block.q, out->q);
    six_bits(block.scales, out);
    out->d = covey__half(block.d);
    out->dmin = covey__half(block.dmin);
}

void covey__take_q5_k(const uint8_t *data, covey__block256 *out) {
    covey__block_q5_k block;
    memcpy(&block, data, sizeof block);
    runs_of_nibbles(block.q, out->q);
    for (int i = 0; i < 256; i++) out->q[i] += ((block.high[i % 32] >> (i / 32)) & 1) << 4;
    six_bits(block.scales, out);
    out->d = covey__half(block.d);
    out->dmin = covey__half(block.dmin);
}

/* Of each half, 64 bytes hold four runs of 32 low nibbles, and 32 bytes their high pairs. */
void covey__take_q6_k(const uint8_t *data, covey__block256 *out) {
    covey__block_q6_k block;
    memcpy(&block, data, sizeof block);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, quarter = i / 32 % 4, lane = i % 32;
        int low = block.low[half * 64 + (quarter & 1) * 32 + lane] >> (4 * (quarter / 2));
        int high = (block.high[half * 32 + lane] >> (2 * quarter)) & 3;
        out->q[i] = ((low & 15) | high << 4) - 32;
    }
    for (int j = 0; j < 16; j++) out->scale[j] = block.scales[j];
    out->d = covey__half(block.d);
    no_mins(out);
}

void covey__take_iq4_xs(const uint8_t *data, covey__block256 *out) {
    covey__block_iq4_xs block;
    memcpy(&block, data, sizeof block);
    for (int j = 0; j < 8; j++) {
        nibbles(block.q + 16 * j, out->q + 32 * j);
        int low = (block.scales_low[j / 2] >> (4 * (j % 2))) & 15;
        int scale = (low | ((block.scales_high >> (2 * j)) & 3) << 4) - 32;
        out->scale[2 * j] = out->scale[2 * j + 1] = scale;
    }
    for (int i = 0; i < 256; i++) out->q[i] = covey__codebook[out->q[i]];
    out->d = covey__half(block.d);
    no_mins(out);
}

const covey__block_info *covey__block_info_get(uint32_t type) {
    static const covey__block_info infos[] = {
        [COVEY__KT_Q4_0] = {32, 18, 0, 1, covey__take_q4_0, NULL},
        [COVEY__KT_Q4_1] = {32, 20, 0, 2, covey__take_q4_1, NULL},
        [COVEY__KT_Q5_0] = {32, 22, 0, 1, covey__take_q5_0, NULL},
        [COVEY__KT_Q5_1] = {32, 24, 0, 2, covey__take_q5_1, NULL},
        [COVEY__KT_Q8_0] = {32, 34, 0, 1, covey__take_q8_0, NULL},
        [COVEY__KT_Q2_K] = {256, 84, 80, 2, NULL, covey__take_q2_k},
        [COVEY__KT_Q3_K] = {256, 110, 108, 1, NULL, covey__take_q3_k},
        [COVEY__KT_Q4_K] = {256, 144, 0, 2, NULL, covey__take_q4_k},
        [COVEY__KT_Q5_K] = {256, 176, 0, 2, NULL, covey__take_q5_k},
        [COVEY__KT_Q6_K] = {256, 210, 208, 1, NULL, covey__take_q6_k},
        [COVEY__KT_IQ4_NL] = {32, 18, 0, 1, covey__take_iq4_nl, NULL},
        [COVEY__KT_IQ4_XS] = {256, 136, 0, 1, NULL, covey__take_iq4_xs},
    };
    if (type >= sizeof infos / sizeof *infos || infos[type].bytes == 0) return NULL;
    return &infos[type];
}
