/* The encoder's side of residuals: the steps that a decoder will take, recorded for runs whose
 * values are known, with the same loops for predictions and contexts. Compiled once for each
 * instruction set, as residual_body.h is. */
#include "delta/residual_predict.h"

static void record_digits(covey__lane_encoder *encoder, uint32_t base, int digits, uint32_t mask,
                          int32_t first, const int32_t z[32]) {
    uint16_t context[32];
    uint8_t symbol[32];
    if (!mask) return;
    for (int d = 0; d < digits; d++) {
        for (int i = 0; i < 32; i++) {
            context[i] = (uint16_t)d;
            symbol[i] = (uint8_t)(((uint32_t)(z[i] - first) >> (2 * (digits - 1 - d))) & 3);
        }
        covey__lane_encoder_step(encoder, base, context, mask, symbol);
    }
}

/* The steps behind a first symbol of 3. */
static void record_more(covey__lane_encoder *encoder, uint32_t base, const uint8_t level[32],
                        uint32_t more, const int32_t z[32]) {
    static const uint16_t deep[3] = {RESIDUAL_DEEP2, RESIDUAL_DEEP3, RESIDUAL_DEEP4};
    uint16_t context[32];
    uint8_t symbol[32];
    uint32_t bucket[4] = {0};
    for (int i = 0; i < 32; i++) context[i] = level[i];
    for (int stage = 0; stage < 2 && more; stage++) {
        uint32_t next = 0;
        for (int i = 0; i < 32; i++) {
            int32_t left = z[i] - 3 * (stage + 1);
            symbol[i] = (uint8_t)(left < 3 ? left : 3);
            next |= (uint32_t)(left >= 3) << i;
        }
        covey__lane_encoder_step(encoder, base + deep[stage], context, more, symbol);
        more &= next;
    }
    if (!more) return;
    for (int i = 0; i < 32; i++) {
        int32_t left = z[i] - 9;
        symbol[i] = left < 4 ? 0 : left < 20 ? 1 : left < 84 ? 2 : 3;
        bucket[symbol[i]] |= more & ((uint32_t)1 << i);
    }
    covey__lane_encoder_step(encoder, base + deep[2], context, more, symbol);
    record_digits(encoder, base + RESIDUAL_DIGITS0, 1, bucket[0], 9, z);
    record_digits(encoder, base + RESIDUAL_DIGITS1, 2, bucket[1], 13, z);
    record_digits(encoder, base + RESIDUAL_DIGITS2, 3, bucket[2], 29, z);
    record_digits(encoder, base + RESIDUAL_DIGITS3, 9, bucket[3], 93, z);
}

static void record_z(covey__lane_encoder *encoder, uint32_t base, const uint8_t near[32],
                     const uint8_t level[32], uint32_t mask, const int32_t z[32]) {
    uint16_t context[32];
    uint8_t symbol[32];
    uint32_t more = 0;
    for (int i = 0; i < 32; i++) {
        context[i] = (uint16_t)(16u * level[i] + near[i]);
        symbol[i] = (uint8_t)(z[i] < 3 ? z[i] : 3);
        more |= (uint32_t)(z[i] >= 3) << i;
    }
    covey__lane_encoder_step(encoder, base, context, mask, symbol);
    more &= mask;
    if (more) record_more(encoder, base, level, more, z);
}

/* `below` is -1 where g is, else 0. */
static inline int32_t z_of(int32_t r, int32_t below) {
    int32_t toward = (r ^ below) - below;
    return toward > 0 ? 2 * toward - 1 : -2 * toward;
}

static void RESIDUAL_NAME(record_scales)(covey__lane_encoder *encoder, covey__scale_run *run) {
    uint8_t level[32];
    int32_t z[32];
    float seen = 0.0f;
    for (int i = 0; i < 32; i++) {
        bool here = (run->mask >> i) & 1;
        int32_t r = here ? run->value[i] - run->prediction[i] : 0;
        level[i] = (uint8_t)residual_level(*run->est, run->step[i]);
        z[i] = z_of(r, -(int32_t)run->below[i]);
        if (!here) continue;
        float part = (float)(r < 0 ? -r : r) * run->step[i];
        seen = seen + part;
    }
    record_z(encoder, run->base, run->near, level, run->mask, z);
    residual_learn(run->est, seen);
}

static void RESIDUAL_NAME(record_codes)(covey__lane_encoder *encoder, covey__code_run *run) {
    residual_guess guess;
    for (size_t g = 0; g < run->groups; g++) {
        uint32_t level[2], moved[2];
        uint8_t levels[32];
        int16_t residual[32];
        int32_t z[32];
        residual_levels_group(run, g, *run->est, level);
        residual_guess_group(run, g, &guess);
        memset(levels, (int)level[0], 16);
        memset(levels + 16, (int)level[1], 16);
        for (int i = 0; i < 32; i++) {
            residual[i] = (int16_t)(run->fresh[g * 32 + (size_t)i] - guess.prediction[i]);
            z[i] = z_of(residual[i], guess.below[i]);
        }
        residual_moved(residual, run->subs, moved);
        record_z(encoder, run->base, guess.near, levels, UINT32_MAX, z);
        *run->est = residual_learn_group(run, g, *run->est, moved[0], moved[1]);
    }
}

static void RESIDUAL_NAME(record_bytes)(covey__lane_encoder *encoder, covey__byte_run *run) {
    static const uint8_t first[4] = {0, 1, 5, 21};
    for (int d = 0; d < 4; d++) {
        uint16_t context[32];
        uint8_t symbol[32];
        for (int i = 0; i < 32; i++) {
            uint32_t before = (uint32_t)run->value[i] >> (2 * (4 - d));
            context[i] = (uint16_t)(run->first[i] + first[d] + before);
            symbol[i] = (run->value[i] >> (2 * (3 - d))) & 3;
        }
        covey__lane_encoder_step(encoder, run->base, context, run->mask, symbol);
    }
}
