/* Whether two models fit, figure by figure. */
#include "support/support.h"

#include <covey/serve.h>

#include <string.h>

#define MIB ((int64_t)1 << 20)

static void test_table(void **state) {
    (void)state;
    static const struct {
        covey_swap_memory m; /* available, mapped, weights, heap, sessions, serving, limit */
        bool fits;
        const char *says;
    } cases[] = {
        {{0, 4096, 0, 800, 100, 100, 1000, 0}, true, "needs 1000 MiB, and 4096 MiB are free"},
        {{0, 1067, 0, 800, 100, 100, 1000, 0}, true, "both are held"},
        {{0, 1066, 0, 800, 100, 100, 1000, 0}, false, "needs 1000 MiB, and 1066 MiB are free"},
        /* What the serving one has mapped is not free, though the system says so. */
        {{0, 2000, 800, 800, 100, 100, 1000, 0}, true, "1200 MiB are free"},
        {{0, 1800, 800, 800, 100, 100, 1000, 0}, false, "1000 MiB are free"},
        {{0, 500, 800, 1, 0, 0, 1000, 0}, false, "0 MiB are free"},
        /* Its owner's word holds whatever is free. */
        {{0, 100000, 0, 800, 100, 100, 1000, 2000}, true, "both are held"},
        {{0, 100000, 0, 800, 100, 100, 1001, 2000}, false, "both need 2001 MiB, and 2000 MiB"},
        {{0, 100000, 0, 1, 0, 0, 1, 1}, false, "are allowed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey_swap_memory m = cases[i].m;
        char reason[200];
        m.size = sizeof m;
        m.available_bytes *= MIB;
        m.mapped_bytes *= MIB;
        m.weight_bytes *= MIB;
        m.heap_bytes *= MIB;
        m.session_bytes *= MIB;
        m.serving_bytes *= MIB;
        m.limit_bytes *= MIB;
        bool fits = covey_swap_fits(&m, reason, sizeof reason);
        if (fits != cases[i].fits || !strstr(reason, cases[i].says))
            fail_msg("case %zu: %d, %s", i, (int)fits, reason);
    }
}

static void test_unknown(void **state) {
    (void)state;
    covey_swap_memory m = COVEY_SWAP_MEMORY_INIT;
    char reason[200];
    m.weight_bytes = 900 * MIB;
    m.heap_bytes = m.session_bytes = m.serving_bytes = -1;
    assert_true(covey_swap_fits(&m, reason, sizeof reason));
    assert_non_null(strstr(reason, "needs 900 MiB; what is free is not known"));
    m.weight_bytes = m.heap_bytes = INT64_MAX;
    m.available_bytes = 10;
    assert_false(covey_swap_fits(&m, reason, sizeof reason));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
