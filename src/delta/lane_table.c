/* Tables of the patch coder and how they are fitted to counts. Invariant: of each table that is
 * made here every symbol has at least one slot, so that every symbol can be coded under every
 * table, and the encoder never divides by zero. lane_coder.c codes with them. */
#include "delta/lane_table.h"

#include <math.h>
#include <string.h>

#define ALL 32768u

/* 2^15 o / (1 + o), rounded, for the odds o = 2^((b - 128) / 8); held within 1 to 2^15 - 1. */
const uint16_t covey__lane_chance[256] = {
    1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,
    2,     2,     2,     2,     2,     2,     3,     3,     3,     3,     4,     4,     4,
    5,     5,     6,     6,     7,     7,     8,     9,     10,    10,    11,    12,    13,
    15,    16,    17,    19,    21,    23,    25,    27,    29,    32,    35,    38,    41,
    45,    49,    54,    59,    64,    70,    76,    83,    90,    98,    107,   117,   128,
    139,   152,   165,   180,   196,   214,   233,   254,   277,   302,   329,   358,   390,
    425,   463,   504,   549,   598,   651,   708,   771,   839,   913,   993,   1080,  1174,
    1276,  1387,  1507,  1636,  1776,  1928,  2091,  2267,  2457,  2661,  2881,  3117,  3370,
    3641,  3931,  4241,  4571,  4922,  5296,  5692,  6111,  6554,  7020,  7509,  8023,  8559,
    9118,  9699,  10301, 10923, 11562, 12219, 12890, 13573, 14267, 14968, 15675, 16384, 17093,
    17800, 18501, 19195, 19878, 20549, 21206, 21845, 22467, 23069, 23650, 24209, 24745, 25259,
    25748, 26214, 26657, 27076, 27472, 27846, 28197, 28527, 28837, 29127, 29398, 29651, 29887,
    30107, 30311, 30501, 30677, 30840, 30992, 31132, 31261, 31381, 31492, 31594, 31688, 31775,
    31855, 31929, 31997, 32060, 32117, 32170, 32219, 32264, 32305, 32343, 32378, 32410, 32439,
    32466, 32491, 32514, 32535, 32554, 32572, 32588, 32603, 32616, 32629, 32640, 32651, 32661,
    32670, 32678, 32685, 32692, 32698, 32704, 32709, 32714, 32719, 32723, 32727, 32730, 32733,
    32736, 32739, 32741, 32743, 32745, 32747, 32749, 32751, 32752, 32753, 32755, 32756, 32757,
    32758, 32758, 32759, 32760, 32761, 32761, 32762, 32762, 32763, 32763, 32764, 32764, 32764,
    32765, 32765, 32765, 32765, 32766, 32766, 32766, 32766, 32766, 32766, 32767, 32767, 32767,
    32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767,
};

static uint32_t share(uint32_t rest, uint8_t byte, uint32_t most) {
    uint32_t part = rest * covey__lane_chance[byte] / ALL; /* below 2^30 before it is divided */
    if (part < 1) return 1;
    return part < most ? part : most;
}

void covey__lane_table_make(const uint8_t bytes[3], covey__lane_table *table) {
    uint32_t e0 = share(ALL, bytes[0], ALL - 3);
    uint32_t e1 = e0 + share(ALL - e0, bytes[1], ALL - e0 - 2);
    uint32_t e2 = e1 + share(ALL - e1, bytes[2], ALL - e1 - 1);
    table->end[0] = (uint16_t)e0;
    table->end[1] = (uint16_t)e1;
    table->end[2] = (uint16_t)e2;
    table->end[3] = (uint16_t)ALL;
}

void covey__lane_tables_make(const uint8_t *bytes, size_t size, covey__lane_table *tables,
                             size_t count) {
    static const uint8_t plain[3] = COVEY__LANE_DEFAULT;
    size_t given = size / 3;
    for (size_t i = 0; i < count; i++)
        covey__lane_table_make(i < given ? bytes + 3 * i : plain, &tables[i]);
}

void covey__lane_rows_make(const covey__lane_table *tables, covey__lane_row *rows, size_t count) {
    for (size_t r = 0; r < count; r++)
        for (size_t k = 0; k < 3; k++)
            for (size_t i = 0; i < 16; i++) {
                uint16_t end = tables[16 * r + i].end[k];
                rows[r].end[k][i] = end;
                rows[r].plane[k][0][i] = (uint8_t)(end & 0xff);
                rows[r].plane[k][1][i] = (uint8_t)(end >> 8);
            }
}

double covey__lane_table_cost(const covey__lane_table *table, const uint32_t counts[4]) {
    double bits = 0;
    uint32_t start = 0;
    for (int s = 0; s < 4; s++) {
        if (counts[s] > 0) bits += counts[s] * (15 - log2((double)(table->end[s] - start)));
        start = table->end[s];
    }
    return bits;
}

static double cost_of(const uint8_t bytes[3], const uint32_t counts[4]) {
    covey__lane_table table;
    covey__lane_table_make(bytes, &table);
    return covey__lane_table_cost(&table, counts);
}

/* The byte for the odds yes : no. */
static uint8_t ideal(double yes, double no, uint8_t unknown) {
    if (yes == 0 && no == 0) return unknown;
    if (no == 0) return 255;
    if (yes == 0) return 0;
    double byte = 128 + 8 * log2(yes / no);
    return (uint8_t)(byte < 0 ? 0 : byte > 255 ? 255 : floor(byte + 0.5));
}

double covey__lane_table_fit(const uint32_t counts[4], uint8_t bytes[3]) {
    static const uint8_t plain[3] = COVEY__LANE_DEFAULT;
    double late = (double)counts[2] + counts[3];
    bytes[0] = ideal(counts[0], counts[1] + late, plain[0]);
    bytes[1] = ideal(counts[1], late, plain[1]);
    bytes[2] = ideal(counts[2], counts[3], plain[2]);
    double best = cost_of(bytes, counts);
    /* Chances are rounded and each symbol keeps a slot: a neighbour of the ideal may be better. */
    for (int k = 0; k < 3; k++) {
        int middle = bytes[k];
        for (int b = middle - 2; b <= middle + 2; b++) {
            uint8_t trial[3];
            memcpy(trial, bytes, 3);
            if (b < 0 || b > 255) continue;
            trial[k] = (uint8_t)b;
            double cost = cost_of(trial, counts);
            if (cost >= best) continue;
            best = cost;
            bytes[k] = trial[k];
        }
    }
    return best;
}
