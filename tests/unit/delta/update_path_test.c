/* The cheapest way to a component: as a table of what is here, what edges there are, and what comes
 * of it. Digests are one letter, 32 times. */
#include "support/support.h"

#include "delta/update_path.h"

#include <string.h>

#define NONE COVEY__PATH_NONE

typedef struct arrow {
    char from, to;
    uint64_t bytes;
    bool broken;
} arrow;

typedef struct scenario {
    const char *name;
    const char *here; /* a letter a component */
    char wanted;
    uint64_t full, chunks;
    arrow arrows[6];
    covey__path_way way;
    uint64_t bytes, by_patch, by_chain;
    uint32_t edge[2];
} scenario;

static const scenario scenarios[] = {
    {"nothing is known", "", 'C', 100, 100, {{0}}, COVEY__WAY_FULL, 100, NONE, NONE, {0, 0}},
    {"some chunks are here", "A", 'C', 100, 60, {{0}}, COVEY__WAY_CHUNKS, 60, NONE, NONE, {0, 0}},
    {"all of them are",
     "C",
     'C',
     100,
     0,
     {{'A', 'C', 1, false}},
     COVEY__WAY_HERE,
     0,
     NONE,
     NONE,
     {0, 0}},
    {"a patch",
     "A",
     'C',
     100,
     60,
     {{'B', 'C', 5, false}, {'A', 'C', 20, false}},
     COVEY__WAY_PATCH,
     20,
     20,
     NONE,
     {1, 0}},
    {"the cheaper of two",
     "AB",
     'C',
     100,
     60,
     {{'A', 'C', 30, false}, {'B', 'C', 20, false}},
     COVEY__WAY_PATCH,
     20,
     20,
     NONE,
     {1, 0}},
    {"no dearer is no better",
     "A",
     'C',
     100,
     60,
     {{'A', 'C', 60, false}},
     COVEY__WAY_CHUNKS,
     60,
     60,
     NONE,
     {0, 0}},
    {"a patch for another base",
     "A",
     'C',
     100,
     60,
     {{'B', 'C', 1, false}},
     COVEY__WAY_CHUNKS,
     60,
     NONE,
     NONE,
     {0, 0}},
    {"a chain",
     "A",
     'C',
     100,
     60,
     {{'B', 'C', 10, false}, {'A', 'B', 15, false}},
     COVEY__WAY_CHAIN,
     25,
     NONE,
     25,
     {1, 0}},
    {"a chain cheaper than the patch",
     "A",
     'C',
     100,
     60,
     {{'A', 'C', 30, false}, {'A', 'B', 10, false}, {'B', 'C', 10, false}},
     COVEY__WAY_CHAIN,
     20,
     30,
     20,
     {1, 2}},
    {"the cheapest chain of several",
     "A",
     'C',
     100,
     60,
     {{'A', 'B', 20, false},
      {'B', 'C', 20, false},
      {'A', 'D', 5, false},
      {'D', 'C', 30, false},
      {'A', 'B', 10, false}},
     COVEY__WAY_CHAIN,
     30,
     NONE,
     30,
     {4, 1}},
    {"three are too many",
     "A",
     'D',
     100,
     60,
     {{'A', 'B', 1, false}, {'B', 'C', 1, false}, {'C', 'D', 1, false}},
     COVEY__WAY_CHUNKS,
     60,
     NONE,
     NONE,
     {0, 0}},
    {"what failed here is passed over",
     "A",
     'C',
     100,
     60,
     {{'A', 'C', 10, true}, {'A', 'B', 10, false}, {'B', 'C', 15, false}},
     COVEY__WAY_CHAIN,
     25,
     NONE,
     25,
     {1, 2}},
    {"in a chain too",
     "A",
     'C',
     100,
     60,
     {{'A', 'B', 10, true}, {'B', 'C', 15, false}},
     COVEY__WAY_CHUNKS,
     60,
     NONE,
     NONE,
     {0, 0}},
    {"a circle",
     "A",
     'C',
     100,
     60,
     {{'A', 'B', 1, false}, {'B', 'A', 1, false}},
     COVEY__WAY_CHUNKS,
     60,
     NONE,
     NONE,
     {0, 0}},
    {"sums that do not fit",
     "A",
     'C',
     100,
     60,
     {{'A', 'B', NONE - 1, false}, {'B', 'C', 5, false}},
     COVEY__WAY_CHUNKS,
     60,
     NONE,
     NONE,
     {0, 0}},
};

static void ways_are_chosen_by_their_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        const scenario *s = &scenarios[i];
        uint8_t letters[128][32], here[8][32];
        covey__path_edge edges[6];
        size_t here_count = strlen(s->here), edge_count = 0;
        for (int c = 0; c < 128; c++) memset(letters[c], c, 32);
        for (size_t h = 0; h < here_count; h++) memset(here[h], s->here[h], 32);
        for (; edge_count < 6 && s->arrows[edge_count].to; edge_count++) {
            const arrow *a = &s->arrows[edge_count];
            edges[edge_count] = (covey__path_edge){letters[(int)a->from], letters[(int)a->to],
                                                   a->bytes, 1000, !a->broken};
        }
        covey__path_query query = {.wanted = letters[(int)s->wanted],
                                   .full_bytes = s->full,
                                   .chunk_bytes = s->chunks,
                                   .here = (const uint8_t(*)[32])here,
                                   .here_count = here_count,
                                   .edges = edges,
                                   .edge_count = edge_count};
        covey__update_path path;
        covey__update_path_choose(&query, &path);
        if (path.way != s->way || path.bytes != s->bytes || path.by_patch != s->by_patch ||
            path.by_chain != s->by_chain || path.by_chunks != s->chunks || path.by_full != s->full)
            fail_msg("%s: %s, %llu bytes", s->name, covey__path_way_name(path.way),
                     (unsigned long long)path.bytes);
        if (s->way == COVEY__WAY_PATCH) assert_int_equal(path.edge[0], s->edge[0]);
        if (s->way == COVEY__WAY_CHAIN) {
            assert_int_equal(path.edge[0], s->edge[0]);
            assert_int_equal(path.edge[1], s->edge[1]);
            assert_int_equal(path.between, 1000);
        }
    }
}

/* Beyond the bound edges are not looked at, and nothing else changes. */
static void there_are_never_too_many_edges(void **state) {
    (void)state;
    enum { COUNT = COVEY__PATH_EDGES_MAX + 1 };
    static covey__path_edge edges[COUNT];
    static uint8_t a[32] = {1}, b[32] = {2}, c[32] = {3};
    static const uint8_t here[1][32] = {{1}};
    for (size_t i = 0; i < COUNT; i++) edges[i] = (covey__path_edge){b, c, 1, 1, true};
    edges[COUNT - 1] = (covey__path_edge){a, c, 1, 1, true};
    covey__path_query query = {c, 100, 50, here, 1, edges, COUNT};
    covey__update_path path;
    covey__update_path_choose(&query, &path);
    assert_int_equal(path.way, COVEY__WAY_CHUNKS);
    edges[COUNT - 2] = edges[COUNT - 1];
    covey__update_path_choose(&query, &path);
    assert_int_equal(path.way, COVEY__WAY_PATCH);
    assert_int_equal(path.edge[0], COUNT - 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_are_chosen_by_their_bytes),
        cmocka_unit_test(there_are_never_too_many_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
