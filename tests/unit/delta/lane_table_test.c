/* The coder's tables: the chances against their formula, every triple of bytes within its bounds,
 * rows that say the same as tables, and the fit against all bytes there are. */
#include "support/support.h"

#include "delta/lane_table.h"

#include <math.h>
#include <string.h>

static const uint8_t plain[3] = COVEY__LANE_DEFAULT;

static void chances_are_the_formula(void **state) {
    (void)state;
    for (int b = 0; b < 256; b++) {
        long double odds = exp2l((b - 128) / 8.0L);
        long double chance = floorl(32768 * odds / (1 + odds) + 0.5L);
        if (chance < 1) chance = 1;
        if (chance > 32767) chance = 32767;
        assert_int_equal(covey__lane_chance[b], (int)chance);
    }
}

static void each_symbol_keeps_a_slot(void **state) {
    (void)state;
    for (int b0 = 0; b0 < 256; b0 += b0 < 240 ? 5 : 1)
        for (int b1 = 0; b1 < 256; b1++)
            for (int b2 = 0; b2 < 256; b2++) {
                uint8_t bytes[3] = {(uint8_t)b0, (uint8_t)b1, (uint8_t)b2};
                covey__lane_table t;
                covey__lane_table_make(bytes, &t);
                if (t.end[0] < 1 || t.end[1] <= t.end[0] || t.end[2] <= t.end[1] ||
                    t.end[3] <= t.end[2] || t.end[3] != 32768)
                    fail_msg("%d %d %d", b0, b1, b2);
            }
}

/* The numbers of the format's text, worked out by hand. */
static void known_tables(void **state) {
    (void)state;
    covey__lane_table t;
    covey__lane_table_make(plain, &t);
    const uint16_t quarter[4] = {8023, 16271, 24519, 32768};
    assert_memory_equal(t.end, quarter, sizeof quarter);
    const uint8_t high[3] = {255, 255, 255};
    covey__lane_table_make(high, &t);
    const uint16_t first[4] = {32765, 32766, 32767, 32768};
    assert_memory_equal(t.end, first, sizeof first);
    const uint8_t low[3] = {0, 0, 0};
    covey__lane_table_make(low, &t);
    const uint16_t last[4] = {1, 2, 3, 32768};
    assert_memory_equal(t.end, last, sizeof last);
}

static void sets_are_filled_with_the_default(void **state) {
    (void)state;
    const uint8_t bytes[8] = {10, 200, 30, 140, 50, 160, 70, 80}; /* two tables and a rest */
    covey__lane_table tables[4], expected[4];
    covey__lane_tables_make(bytes, sizeof bytes, tables, 4);
    covey__lane_table_make(bytes, &expected[0]);
    covey__lane_table_make(bytes + 3, &expected[1]);
    covey__lane_table_make(plain, &expected[2]);
    expected[3] = expected[2];
    assert_memory_equal(tables, expected, sizeof tables);
    covey__lane_tables_make(NULL, 0, tables, 1);
    assert_memory_equal(&tables[0], &expected[2], sizeof tables[0]);
}

static void rows_are_tables(void **state) {
    (void)state;
    uint8_t bytes[96];
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)test_random(&seed);
    covey__lane_table tables[32];
    covey__lane_row rows[2];
    covey__lane_tables_make(bytes, sizeof bytes, tables, 32);
    covey__lane_rows_make(tables, rows, 2);
    for (int i = 0; i < 32; i++)
        for (int k = 0; k < 3; k++) {
            const covey__lane_row *row = &rows[i / 16];
            assert_int_equal(row->end[k][i % 16], tables[i].end[k]);
            assert_int_equal(row->plane[k][0][i % 16] | row->plane[k][1][i % 16] << 8,
                             tables[i].end[k]);
        }
}

static double cost(int b0, int b1, int b2, const uint32_t counts[4]) {
    const uint8_t bytes[3] = {(uint8_t)b0, (uint8_t)b1, (uint8_t)b2};
    covey__lane_table t;
    covey__lane_table_make(bytes, &t);
    return covey__lane_table_cost(&t, counts);
}

static double entropy(const uint32_t counts[4]) {
    double all = 0, bits = 0;
    for (int s = 0; s < 4; s++) all += counts[s];
    for (int s = 0; s < 4; s++)
        if (counts[s] > 0) bits += counts[s] * log2(all / counts[s]);
    return bits;
}

static const uint32_t samples[][4] = {
    {250, 250, 250, 250},
    {90000, 4000, 300, 20},
    {1, 0, 0, 0},
    {0, 0, 0, 1},
    {0, 1, 0, 0},
    {0, 0, 9, 0},
    {7, 0, 0, 3},
    {5000000, 1, 1, 1},
    {1, 1, 1, 5000000},
    {3, 50000, 20, 70},
    {12, 9, 4, 1},
    {0, 500, 0, 500},
    {4000000000u, 0, 4000000000u, 4000000000u},
    {1000, 600, 300, 100},
};

static void fits_cost_little_more_than_the_entropy(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        const uint32_t *counts = samples[i];
        uint8_t bytes[3];
        double bits = covey__lane_table_fit(counts, bytes);
        assert_true(bits == cost(bytes[0], bytes[1], bytes[2], counts));
        assert_true(bits <= cost(plain[0], plain[1], plain[2], counts));
        double symbols = (double)counts[0] + counts[1] + counts[2] + counts[3];
        /* A byte's step is an eighth of an octave; no chance is above 1 - 3 / 2^15. */
        assert_true(bits <= entropy(counts) * 1.002 + symbols * 0.0003);
    }
}

/* Against the best that one, two or three other bytes in reach would do. */
static void no_neighbour_is_better(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        uint8_t b[3];
        double bits = covey__lane_table_fit(samples[i], b);
        for (int c = 0; c < 256; c++) {
            assert_true(cost(c, b[1], b[2], samples[i]) >= bits * (1 - 1e-6));
            assert_true(cost(b[0], c, b[2], samples[i]) >= bits * (1 - 1e-6));
            assert_true(cost(b[0], b[1], c, samples[i]) >= bits * (1 - 1e-6));
        }
    }
}

static void no_counts_say_nothing(void **state) {
    (void)state;
    const uint32_t none[4] = {0}, early[4] = {3, 0, 0, 0};
    uint8_t bytes[3];
    assert_true(covey__lane_table_fit(none, bytes) == 0);
    assert_memory_equal(bytes, plain, 3);
    covey__lane_table_fit(early, bytes);
    assert_memory_equal(bytes + 1, plain + 1, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chances_are_the_formula),
        cmocka_unit_test(each_symbol_keeps_a_slot),
        cmocka_unit_test(known_tables),
        cmocka_unit_test(sets_are_filled_with_the_default),
        cmocka_unit_test(rows_are_tables),
        cmocka_unit_test(fits_cost_little_more_than_the_entropy),
        cmocka_unit_test(no_neighbour_is_better),
        cmocka_unit_test(no_counts_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
