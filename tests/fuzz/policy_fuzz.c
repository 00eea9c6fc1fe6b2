/* Policies: what is taken is written and read again to the same, and always decides. */
#include "fuzz/fuzz_target.h"

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__policy policy, again;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_device_facts facts = COVEY_DEVICE_FACTS_INIT;
    covey__policy_decision decision;
    covey__buffer out;
    covey__env_init(&env);
    covey_status status = covey__policy_parse(&env, (const char *)data, size, &policy, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return 0;
    covey__buffer_init(&out, &env, COVEY__POLICY_BYTES_MAX);
    FUZZ_CHECK(covey__policy_write(&policy, &out, NULL) == COVEY_OK);
    FUZZ_CHECK(covey__policy_parse(&env, out.data, out.size, &again, NULL) == COVEY_OK);
    FUZZ_CHECK(again.update_metered_bytes_max == policy.update_metered_bytes_max);
    FUZZ_CHECK(again.drain_deadline_ms == policy.drain_deadline_ms);
    covey__buffer_free(&out);
    facts.network = COVEY_NETWORK_METERED;
    facts.battery_percent = (int32_t)(size % 101);
    covey__policy_may_fetch(&policy, &facts, size, &decision);
    FUZZ_CHECK(decision.rule != NULL && decision.reason[0] != '\0');
    FUZZ_CHECK(policy.update_enabled || !decision.allowed);
    return 0;
}
