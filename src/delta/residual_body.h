/* The decoder of residuals, compiled once for each instruction set: the including file brings
 * covey__lanes and its steps, and names the functions by RESIDUAL_NAME(x). Steps that no lane needs
 * are not taken, so a group whose residuals are all in -1..1 costs one. */
#include "delta/residual_predict.h"

/* A of all lanes. Codes have one for the lower 16 lanes and one for the upper. */
typedef struct residual_levels {
    bool by_half;
    uint8_t level[32];
} residual_levels;

static inline uint32_t deep_step(covey__lanes *lanes, const covey__lane_table *tables,
                                 const residual_levels *levels, uint32_t mask, uint8_t symbol[32]) {
    uint16_t context[32];
    if (levels->by_half)
        return covey__lanes_step_pair(lanes, tables + levels->level[0], tables + levels->level[31],
                                      mask, symbol);
    for (int i = 0; i < 32; i++) context[i] = levels->level[i];
    return covey__lanes_step(lanes, tables, context, mask, symbol);
}

/* The digits of lanes in `mask`: z becomes first + the number. */
static inline void decode_digits(covey__lanes *lanes, const covey__lane_table *tables, int digits,
                                 uint32_t mask, int32_t first, int32_t z[32]) {
    uint8_t symbol[32];
    int32_t number[32] = {0};
    if (!mask) return;
    for (int d = 0; d < digits; d++) {
        covey__lanes_step_pair(lanes, tables + d, tables + d, mask, symbol);
        for (int i = 0; i < 32; i++) number[i] = number[i] * 4 + symbol[i];
    }
    for (int i = 0; i < 32; i++) z[i] = (mask >> i) & 1 ? first + number[i] : z[i];
}

/* z of lanes whose first symbol was 3; `tables` are the stream's. */
static void decode_more(covey__lanes *lanes, const covey__lane_table *tables,
                        const residual_levels *levels, uint32_t more, int32_t z[32]) {
    uint8_t symbol[32];
    /* The symbols of lanes that are not active are 0, so they add nothing. */
    more = deep_step(lanes, tables + RESIDUAL_DEEP2, levels, more, symbol);
    for (int i = 0; i < 32; i++) z[i] += symbol[i];
    if (!more) return;
    more = deep_step(lanes, tables + RESIDUAL_DEEP3, levels, more, symbol);
    for (int i = 0; i < 32; i++) z[i] += symbol[i];
    if (!more) return;
    deep_step(lanes, tables + RESIDUAL_DEEP4, levels, more, symbol);
    uint32_t bucket[4] = {0};
    for (int i = 0; i < 32; i++) bucket[symbol[i] & 3] |= (uint32_t)1 << i;
    decode_digits(lanes, tables + RESIDUAL_DIGITS0, 1, bucket[0] & more, 9, z);
    decode_digits(lanes, tables + RESIDUAL_DIGITS1, 2, bucket[1] & more, 13, z);
    decode_digits(lanes, tables + RESIDUAL_DIGITS2, 3, bucket[2] & more, 29, z);
    decode_digits(lanes, tables + RESIDUAL_DIGITS3, 9, bucket[3] & more, 93, z);
}

/* From z to r: odd z is away from zero on the side of g. `below` is -1 where g is, else 0. */
static inline int32_t residual_of(int32_t z, int32_t below) {
    int32_t magnitude = (z + 1) >> 1;
    int32_t other = (z & 1) - 1; /* -1 for an even z */
    int32_t flip = other ^ below;
    return (magnitude ^ flip) - flip;
}

static void RESIDUAL_NAME(scales)(covey__lane_decoder *decoder,
                                  const covey__residual_tables *tables, covey__scale_run *run) {
    covey__lanes lanes = covey__lanes_load(decoder);
    const covey__lane_table *own = tables->tables + run->base;
    residual_levels levels = {.by_half = false};
    uint16_t context[32];
    uint8_t symbol[32];
    int32_t z[32];
    float part[32];
    for (int i = 0; i < 32; i++) {
        levels.level[i] = (uint8_t)residual_level(*run->est, run->step[i]);
        context[i] = (uint16_t)(16u * levels.level[i] + run->near[i]);
    }
    uint32_t more = covey__lanes_step(&lanes, own, context, run->mask, symbol);
    uint32_t moved = lanes.some;
    for (int i = 0; i < 32; i++) z[i] = symbol[i];
    if (more) decode_more(&lanes, own, &levels, more, z);
    for (int i = 0; i < 32; i++) {
        int32_t r = residual_of(z[i], -(int32_t)run->below[i]);
        run->value[i] = run->prediction[i] + r;
        part[i] = (float)(r < 0 ? -r : r) * run->step[i];
    }
    /* Lane after lane, but for those that would add 0. */
    float seen = 0.0f;
    for (; moved != 0; moved &= moved - 1) seen = seen + part[__builtin_ctz(moved)];
    residual_learn(run->est, seen);
    covey__lanes_store(&lanes, decoder);
}

/* The residuals of a group whose first symbols may be 3, and the sums of |r| in its halves. */
static covey__lanes far_group(covey__lanes lanes, const covey__lane_table *tables,
                              const uint32_t level[2], int32_t subs, uint32_t more,
                              const uint8_t symbol[32], const int8_t below[32],
                              int16_t residual[32], uint32_t moved[2]) {
    int32_t z[32];
    residual_levels levels = {.by_half = true};
    levels.level[0] = (uint8_t)level[0];
    levels.level[31] = (uint8_t)level[1];
    for (int i = 0; i < 32; i++) z[i] = symbol[i];
    decode_more(&lanes, tables, &levels, more, z);
    for (int i = 0; i < 32; i++) residual[i] = (int16_t)residual_of(z[i], below[i]);
    residual_moved(residual, subs, moved);
    return lanes;
}

/* The codes of a group whose symbols are all below 3: 0, 1, 2 are 0, g, -g. */
static inline void near_codes(const uint8_t symbol[32], const residual_guess *guess,
                              int8_t *fresh) {
    int8_t made[32];
    for (int i = 0; i < 32; i++) {
        int8_t r = (int8_t)((symbol[i] & 1) - (symbol[i] >> 1));
        made[i] = (int8_t)((int8_t)(r ^ guess->below[i]) - guess->below[i] + guess->prediction[i]);
    }
    memcpy(fresh, made, 32);
}

/* Each group waits for the estimate that the one before it left. So the way from a step's symbols
 * to the next tables is kept short: where all are below 3, |r| is 1 where a symbol is not 0, and
 * the sums are counts of bits. */
static void RESIDUAL_NAME(codes)(covey__lane_decoder *decoder, const covey__residual_tables *tables,
                                 covey__code_run *run) {
    covey__lanes lanes = covey__lanes_load(decoder);
    const covey__lane_table *own = tables->tables + run->base;
    const covey__lane_row *rows = tables->rows + run->base / 16;
    const covey__code_run copy = *run;
    residual_guess guesses[2];
    uint8_t symbol[32];
    float est = *run->est;
    for (size_t ahead = 0; ahead <= copy.groups; ahead++) {
        if (ahead < copy.groups) residual_guess_group(&copy, ahead, &guesses[ahead & 1]);
        if (ahead == 0) continue;
        size_t g = ahead - 1;
        uint32_t level[2], moved[2];
        const residual_guess *guess = &guesses[g & 1];
        residual_levels_group(&copy, g, est, level);
        uint32_t more = covey__lanes_step_row(&lanes, rows + level[0], rows + level[1], guess->near,
                                              UINT32_MAX, symbol);
        if (!more) {
            moved[0] = (uint32_t)__builtin_popcount(lanes.some & 0xffff);
            moved[1] = (uint32_t)__builtin_popcount(lanes.some >> 16);
            near_codes(symbol, guess, copy.fresh + g * 32);
        } else {
            int16_t residual[32];
            int8_t *fresh = copy.fresh + g * 32;
            lanes = far_group(lanes, own, level, copy.subs, more, symbol, guess->below, residual,
                              moved);
            for (int i = 0; i < 32; i++) fresh[i] = (int8_t)(guess->prediction[i] + residual[i]);
        }
        est = residual_learn_group(&copy, g, est, moved[0], moved[1]);
    }
    *run->est = est;
    covey__lanes_store(&lanes, decoder);
}

static void RESIDUAL_NAME(bytes)(covey__lane_decoder *decoder, const covey__residual_tables *tables,
                                 covey__byte_run *run) {
    static const uint8_t first[4] = {0, 1, 5, 21};
    covey__lanes lanes = covey__lanes_load(decoder);
    uint16_t context[32];
    uint8_t symbol[32], value[32] = {0};
    for (int d = 0; d < 4; d++) {
        for (int i = 0; i < 32; i++) context[i] = (uint16_t)(run->first[i] + first[d] + value[i]);
        covey__lanes_step(&lanes, tables->tables + run->base, context, run->mask, symbol);
        for (int i = 0; i < 32; i++) value[i] = (uint8_t)(value[i] * 4 + symbol[i]);
    }
    memcpy(run->value, value, 32);
    covey__lanes_store(&lanes, decoder);
}

static void RESIDUAL_NAME(dots)(const int8_t *u, const int8_t *v, size_t stride, size_t rank,
                                size_t count, int32_t *dot) {
    memset(dot, 0, count * sizeof *dot);
    for (size_t r = 0; r < rank; r++) {
        int16_t factor = u[r];
        const int8_t *row = v + r * stride;
        for (size_t i = 0; i < count; i++) dot[i] += (int32_t)(int16_t)(factor * row[i]);
    }
}
