/* Touching a model's pages: all of them, some of them, and until someone says stop. */
#include "support/support.h"

#include "synthetic.h"

#include <unistd.h>

static covey_runtime *runtime;

static int set_up(void **state) {
    runtime = open_runtime(1, NULL);
    return make_folder(state);
}

static int tear_down(void **state) {
    covey_runtime_close(runtime);
    return remove_folder(state);
}

typedef struct patience {
    int asked, most;
} patience;

static bool goes_on(void *user) {
    patience *p = user;
    return ++p->asked < p->most;
}

static void test_touches(void **state) {
    (void)state;
    synthetic s = SYNTHETIC_ODD;
    const char *path = in_folder("warm.gguf");
    write_synthetic(&s, path);
    covey_model *model = open_model(runtime, path);
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(model, &info);
    uint64_t all = covey_model_warm(model, 0, NULL, NULL);
    assert_true(all >= info.weight_bytes);
    uint64_t some = covey_model_warm(model, all / 2, NULL, NULL);
    assert_true(some >= all / 2 && some < all / 2 + 4096);
    patience p = {0, 1};
    assert_true(covey_model_warm(model, 0, goes_on, &p) <= all);
    /* A file that shrank is not touched: its pages would fault. */
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(covey_model_warm(model, 0, NULL, NULL), 0);
    covey_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_touches)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
