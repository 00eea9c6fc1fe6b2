/* The body of covey__lane_run_ISA, once per instruction set, beside a lane_step_ISA.h: a loop for
 * each way to a table, so that each is as narrow as a model's would be. */
#ifndef COVEY_DELTA_LANE_RUN_H
#define COVEY_DELTA_LANE_RUN_H

#define COVEY__LANE_LOOP(step)                                                                     \
    for (size_t i = 0; i < r.steps; i++) {                                                         \
        const uint16_t *row = r.row + 2 * i;                                                       \
        uint8_t *symbol = r.symbols + COVEY__LANES * i;                                            \
        uint32_t mask = r.masks[i], more = step;                                                   \
        (void)row;                                                                                 \
        if (r.found == NULL) continue;                                                             \
        r.found[2 * i] = lanes.some;                                                               \
        r.found[2 * i + 1] = more;                                                                 \
    }

#define COVEY__LANE_RUN(name)                                                                      \
    void name(covey__lane_decoder *decoder, const covey__lane_run *run) {                          \
        const covey__lane_run r = *run;                                                            \
        covey__lanes lanes = covey__lanes_load(decoder);                                           \
        if (r.pair) {                                                                              \
            COVEY__LANE_LOOP(covey__lanes_step_pair(&lanes, &r.tables[row[0]], &r.tables[row[1]],  \
                                                    mask, symbol))                                 \
        } else if (r.rows != NULL) {                                                               \
            COVEY__LANE_LOOP(covey__lanes_step_row(&lanes, &r.rows[row[0]], &r.rows[row[1]],       \
                                                   r.columns + COVEY__LANES * i, mask, symbol))    \
        } else {                                                                                   \
            COVEY__LANE_LOOP(                                                                      \
                covey__lanes_step(&lanes, r.tables, r.contexts + COVEY__LANES * i, mask, symbol))  \
        }                                                                                          \
        covey__lanes_store(&lanes, decoder);                                                       \
    }

#endif
