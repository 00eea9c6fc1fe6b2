/* Steering documents: what is taken follows nothing and not itself, and every judgement ends. */
#include "fuzz/fuzz_target.h"

#include "bundle/steering.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const covey__steering_device device = {"small", "0123456789abcdef0123456789abcdef",
                                                  "1.5.0"};
    covey__env env;
    covey__steering *steering = NULL;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__env_init(&env);
    covey_status status = covey__steering_parse(&env, (const char *)data, size, &steering, &error);
    FUZZ_CHECK((status == COVEY_OK) == (steering != NULL));
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return 0;
    FUZZ_CHECK(covey__steering_follows(NULL, steering, NULL) == COVEY_OK);
    FUZZ_CHECK(covey__steering_follows(steering, steering, NULL) == COVEY_ERROR_EXISTS);
    const covey__steering_statement *killed =
        covey__steering_killed(steering, &device, "1.2.0", "q8");
    if (killed != NULL) {
        FUZZ_CHECK(covey__steering_may_return(steering, &device, "1.2.0", "q8", true, NULL) ==
                   COVEY_ERROR_DENIED);
        FUZZ_CHECK(covey__steering_may_install(steering, &device, "", "1.2.0", "q8", NULL) ==
                   COVEY_ERROR_DENIED);
    }
    covey__steering_free(steering);
    return 0;
}
