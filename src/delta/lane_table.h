/* The static tables of the patch coder: three bytes a context become three ends, which part the
 * 2^15 slots among four symbols (docs/formats/patch.md, "The coder"). The bytes are odds, so that a
 * table takes little room in a patch and a change of one means the same everywhere. */
#ifndef COVEY_DELTA_LANE_TABLE_H
#define COVEY_DELTA_LANE_TABLE_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

/* end[s] is the end of symbol s, the last is 2^15. Arrays of it are 64-byte aligned. */
typedef struct covey__lane_table {
    uint16_t end[4];
} covey__lane_table;

/* Sixteen tables that stand side by side: what a step looks up within registers. The same numbers
 * twice, as words and as bytes, for each instruction set reads one of the two: plane[k][0] has the
 * low bytes of end[k], plane[k][1] the high ones. */
typedef struct covey__lane_row {
    alignas(64) uint16_t end[3][16];
    uint8_t plane[3][2][16];
} covey__lane_row;

#define COVEY__LANE_DEFAULT                                                                        \
    { 115, 120, 128 } /* about a quarter each */

/* The chance of 15 bits that a byte stands for; the format includes it. */
extern const uint16_t covey__lane_chance[256];

void covey__lane_table_make(const uint8_t bytes[3], covey__lane_table *table);
/* `count` tables from `size` bytes; those beyond size / 3 are the default's. */
void covey__lane_tables_make(const uint8_t *bytes, size_t size, covey__lane_table *tables,
                             size_t count);
/* rows[i] from tables[16 i] to tables[16 i + 15]. */
void covey__lane_rows_make(const covey__lane_table *tables, covey__lane_row *rows, size_t count);

/* What coding these counts of symbols 0 to 3 takes, in bits. */
double covey__lane_table_cost(const covey__lane_table *table, const uint32_t counts[4]);
/* The bytes that code the counts in the fewest bits; returns how many. Where no count says anything
 * about a byte it is the default's. */
double covey__lane_table_fit(const uint32_t counts[4], uint8_t bytes[3]);

#endif
