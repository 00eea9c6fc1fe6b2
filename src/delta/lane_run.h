/* The body of covey__lane_run_ISA, once per instruction set, beside a lane_step_ISA.h.
 */
#ifndef COVEY_DELTA_LANE_RUN_H
#define COVEY_DELTA_LANE_RUN_H

#define COVEY__LANE_RUN(name)                                                                      \
    void name(covey__lane_decoder *decoder, const covey__lane_run *run) {                          \
        covey__lanes lanes = covey__lanes_load(decoder);                                           \
        for (size_t i = 0; i < run->steps; i++) {                                                  \
            uint8_t *symbol = run->symbols + COVEY__LANES * i;                                     \
            uint32_t mask = run->masks[i];                                                         \
            if (run->pair)                                                                         \
                covey__lanes_step_pair(&lanes, &run->tables[run->row[2 * i]],                      \
                                       &run->tables[run->row[2 * i + 1]], mask, symbol);           \
            else if (run->rows != NULL)                                                            \
                covey__lanes_step_row(&lanes, &run->rows[run->row[2 * i]],                         \
                                      &run->rows[run->row[2 * i + 1]],                             \
                                      run->columns + COVEY__LANES * i, mask, symbol);              \
            else                                                                                   \
                covey__lanes_step(&lanes, run->tables, run->contexts + COVEY__LANES * i, mask,     \
                                  symbol);                                                         \
        }                                                                                          \
        covey__lanes_store(&lanes, decoder);                                                       \
    }

#endif
