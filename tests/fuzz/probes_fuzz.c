/* Probes documents and task probes in lines: what is taken is written and taken again. */
#include "fuzz/fuzz_target.h"

#include "bundle/probes.h"

#include <string.h>

static void check_round_trip(const covey__env *env, const covey__probes *probes) {
    covey__buffer once, twice;
    covey__probes *again;
    covey__buffer_init(&once, env, (size_t)64 << 20);
    covey__buffer_init(&twice, env, (size_t)64 << 20);
    FUZZ_CHECK(covey__probes_write(probes, &once, NULL) == COVEY_OK);
    FUZZ_CHECK(covey__probes_parse(env, once.data, once.size, &again, NULL) == COVEY_OK);
    FUZZ_CHECK(covey__probes_write(again, &twice, NULL) == COVEY_OK);
    FUZZ_CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    covey__probes_free(again);
    covey__buffer_free(&once);
    covey__buffer_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__probes *probes;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__env_init(&env);
    covey_status status = covey__probes_parse(&env, (const char *)data, size, &probes, &error);
    FUZZ_CHECK((status == COVEY_OK) == (probes != NULL));
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status == COVEY_OK) {
        check_round_trip(&env, probes);
        for (size_t i = 0; i < probes->task_count; i++) {
            const char *expect = probes->tasks[i].expect;
            FUZZ_CHECK(covey__task_matches(&env, &probes->tasks[i], expect, strlen(expect)));
        }
        covey__probes_free(probes);
    }
    if (covey__probes_new(&env, &probes, NULL) != COVEY_OK) return 0;
    status = covey__probes_add_lines(probes, (const char *)data, size, NULL);
    FUZZ_CHECK(status != COVEY_OK || probes->task_count <= size);
    covey__probes_free(probes);
    return 0;
}
