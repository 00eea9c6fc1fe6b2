/* The decoder's step in plain C: what the others are held to, and the one where no other is
 * written.
 *
 * Each lane_step_ISA.h has the same types and functions, so that a file may be compiled against any
 * one of them; no file includes two.
 *
 *     covey__lanes lanes = covey__lanes_load(decoder);   states live in registers from here ...
 *     more = covey__lanes_step(&lanes, tables, context, mask, symbol);
 *     covey__lanes_store(&lanes, decoder);               ... to here
 *
 * A step gives the symbols of the active lanes, 0 for the others, and returns the mask of the
 * active lanes whose symbol is 3; `some` is then the mask of those whose symbol is not 0. There are
 * three, which differ in where a lane's table is: step       tables[context[i]], any table for any
 * lane step_row   column[i] of a row of sixteen, one row for lanes 0 to 15 and one for 16 to 31;
 * looked up within registers, so several times as fast step_pair  one table for lanes 0 to 15 and
 * one for 16 to 31 Contexts and columns (0 to 15) must be in range for the lanes that are not
 * active too. Tables are covey__lane_table_make's. */
#ifndef COVEY_DELTA_LANE_STEP_SCALAR_H
#define COVEY_DELTA_LANE_STEP_SCALAR_H

#include <string.h>

#include "delta/lane_coder.h"

typedef struct covey__lanes {
    uint32_t state[COVEY__LANES];
    const uint8_t *at, *end;
    bool over;
    uint32_t some;
} covey__lanes;

static inline covey__lanes covey__lanes_load(const covey__lane_decoder *decoder) {
    covey__lanes lanes;
    memcpy(lanes.state, decoder->state, sizeof lanes.state);
    lanes.at = decoder->at;
    lanes.end = decoder->end;
    lanes.over = decoder->over;
    lanes.some = 0;
    return lanes;
}

static inline void covey__lanes_store(const covey__lanes *lanes, covey__lane_decoder *decoder) {
    memcpy(decoder->state, lanes->state, sizeof lanes->state);
    decoder->at = lanes->at;
    decoder->end = lanes->end;
    decoder->over = lanes->over;
}

/* One lane's symbol, without a branch: the ends side by side in one number, and the starts in
 * another, are shifted by the symbol. A state that is below 2^16 then takes the word at *at. */
static inline uint32_t covey__lane_decode(uint32_t *state, const uint8_t **at, uint32_t e0,
                                          uint32_t e1, uint32_t e2) {
    uint32_t x = *state, slot = x & 0x7fff;
    uint32_t symbol = (uint32_t)(slot >= e0) + (slot >= e1) + (slot >= e2);
    uint64_t starts = (uint64_t)e2 << 48 | (uint64_t)e1 << 32 | e0 << 16;
    uint64_t ends = (uint64_t)32768 << 48 | starts >> 16;
    uint32_t start = (uint16_t)(starts >> 16 * symbol), end = (uint16_t)(ends >> 16 * symbol);
    x = (end - start) * (x >> 15) + slot - start;
    uint32_t word = (*at)[0] | (uint32_t)(*at)[1] << 8, wants = x < COVEY__LANE_STATE;
    *at += 2 * wants;
    *state = x << 16 * wants | (word & (0 - wants));
    return symbol;
}

static inline void covey__lanes_bound(covey__lanes *lanes) {
    if (lanes->at <= lanes->end) return;
    lanes->at = lanes->end;
    lanes->over = true;
}

/* `END(k)` is the k-th end of lane i's table. */
#define COVEY__LANES_ONE(END)                                                                      \
    uint32_t found = covey__lane_decode(&lanes->state[i], &at, END(0), END(1), END(2));            \
    symbol[i] = (uint8_t)found;                                                                    \
    some |= (uint32_t)(found != 0) << i;                                                           \
    more |= (uint32_t)(found == 3) << i

#define COVEY__LANES_EACH(END)                                                                     \
    uint32_t more = 0, some = 0;                                                                   \
    const uint8_t *at = lanes->at;                                                                 \
    if (mask == UINT32_MAX) {                                                                      \
        for (int i = 0; i < COVEY__LANES; i++) {                                                   \
            COVEY__LANES_ONE(END);                                                                 \
        }                                                                                          \
    } else {                                                                                       \
        memset(symbol, 0, COVEY__LANES);                                                           \
        for (uint32_t left = mask; left != 0; left &= left - 1) {                                  \
            int i = __builtin_ctz(left);                                                           \
            COVEY__LANES_ONE(END);                                                                 \
        }                                                                                          \
    }                                                                                              \
    lanes->some = some;                                                                            \
    lanes->at = at;                                                                                \
    covey__lanes_bound(lanes);                                                                     \
    return more

static inline uint32_t covey__lanes_step(covey__lanes *lanes, const covey__lane_table *tables,
                                         const uint16_t context[COVEY__LANES], uint32_t mask,
                                         uint8_t symbol[COVEY__LANES]) {
#define COVEY__END(k) tables[context[i]].end[k]
    COVEY__LANES_EACH(COVEY__END);
#undef COVEY__END
}

static inline uint32_t covey__lanes_step_row(covey__lanes *lanes, const covey__lane_row *low,
                                             const covey__lane_row *high,
                                             const uint8_t column[COVEY__LANES], uint32_t mask,
                                             uint8_t symbol[COVEY__LANES]) {
#define COVEY__END(k) (i < 16 ? low : high)->end[k][column[i]]
    COVEY__LANES_EACH(COVEY__END);
#undef COVEY__END
}

static inline uint32_t covey__lanes_step_pair(covey__lanes *lanes, const covey__lane_table *low,
                                              const covey__lane_table *high, uint32_t mask,
                                              uint8_t symbol[COVEY__LANES]) {
#define COVEY__END(k) (i < 16 ? low : high)->end[k]
    COVEY__LANES_EACH(COVEY__END);
#undef COVEY__END
}

#endif
