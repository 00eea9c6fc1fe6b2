/* The body of covey__lane_run_ISA, once per instruction set, beside a lane_step_ISA.h. */
#ifndef COVEY_DELTA_LANE_RUN_H
#define COVEY_DELTA_LANE_RUN_H

#define COVEY__LANE_RUN(name)                                                                      \
    void name(covey__lane_decoder *decoder, const covey__lane_run *run) {                          \
        covey__lanes lanes = covey__lanes_load(decoder);                                           \
        const covey__lane_table *tables = run->tables;                                             \
        const covey__lane_row *rows = run->rows;                                                   \
        const uint16_t *row = run->row, *context = run->contexts;                                  \
        const uint8_t *column = run->columns;                                                      \
        const uint32_t *mask = run->masks, *end = mask + run->steps;                               \
        uint8_t *symbol = run->symbols;                                                            \
        if (run->pair)                                                                             \
            for (; mask < end; mask++, row += 2, symbol += COVEY__LANES)                           \
                covey__lanes_step_pair(&lanes, &tables[row[0]], &tables[row[1]], *mask, symbol);   \
        else if (rows != NULL)                                                                     \
            for (; mask < end; mask++, row += 2, symbol += COVEY__LANES, column += COVEY__LANES)   \
                covey__lanes_step_row(&lanes, &rows[row[0]], &rows[row[1]], column, *mask,         \
                                      symbol);                                                     \
        else                                                                                       \
            for (; mask < end; mask++, symbol += COVEY__LANES, context += COVEY__LANES)            \
                covey__lanes_step(&lanes, tables, context, *mask, symbol);                         \
        covey__lanes_store(&lanes, decoder);                                                       \
    }

#endif
