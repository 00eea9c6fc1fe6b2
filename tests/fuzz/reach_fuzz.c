/* Tools of an ensemble: whatever they are, they reach something that is shown in plain lines, and
 * nothing further than themselves. */
#include "fuzz/fuzz_target.h"

#include "policy/reach.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__reach reach, again, nothing, missing;
    covey__env_init(&env);
    covey__reach_init(&reach, &env);
    covey__reach_init(&again, &env);
    covey__reach_init(&nothing, &env);
    covey__reach_init(&missing, &env);
    FUZZ_CHECK(covey__reach_add_tools(&reach, (const char *)data, size, NULL) == COVEY_OK);
    FUZZ_CHECK(covey__reach_add_tools(&again, (const char *)data, size, NULL) == COVEY_OK);
    for (size_t i = 0; i < reach.count; i++) {
        FUZZ_CHECK(strlen(reach.lines[i]) <= COVEY__REACH_LINE_MAX);
        for (const char *c = reach.lines[i]; *c != '\0'; c++)
            FUZZ_CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
    }
    FUZZ_CHECK(covey__reach_missing(&reach, &again, &nothing, &missing, NULL) == COVEY_OK);
    FUZZ_CHECK(missing.count == 0);
    FUZZ_CHECK(covey__reach_missing(&reach, &nothing, &nothing, &missing, NULL) == COVEY_OK);
    FUZZ_CHECK(missing.count == reach.count);
    covey__reach_free(&reach);
    covey__reach_free(&again);
    covey__reach_free(&nothing);
    covey__reach_free(&missing);
    return 0;
}
