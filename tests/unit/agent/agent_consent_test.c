/* Whom an ensemble asks on a device that has none: nobody, for it was enrolled for it, unless its
 * user decided about others before. Memory comes filled with a pattern, so that nothing is decided
 * by what an allocation happened to hold. (More of consent: agent_audit_test.c.) */
#include "agent_double.h"

#define MODEL_BYTES 50000
#define SEARCH      "[{\"type\":\"function\",\"function\":{\"name\":\"search\"}}]"

static covey_allocator whole;

/* New memory is never zeros. */
static void *patterned_resize(void *user, void *pointer, size_t size) {
    (void)user;
    unsigned char *made = whole.resize(whole.user, pointer, size);
    if (made && !pointer && size) memset(made, 0xa5, size);
    return made;
}

/* A device without a built-in ensemble, offered one with a tool. */
static covey_agent *offered(control_double *c, const char *consents) {
    covey_error error = {0};
    double_open(c);
    c->tools = SEARCH;
    double_ensemble(c, "v110", "1.1.0", MODEL_BYTES, 11, NULL);
    double_publish(c, "v110", "1.1.0");
    covey_agent *agent = double_agent(c, false);
    if (covey_agent_enroll(agent, "http://fleet.test", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    if (consents)
        test_write(test_path(&c->folder, "state/consent.json"), consents, strlen(consents));
    covey__env *env = covey__runtime_env_for_tests(c->runtime);
    whole = env->allocator;
    env->allocator.resize = patterned_resize;
    return agent;
}

static void finish(control_double *c, covey_agent *agent) {
    covey__runtime_env_for_tests(c->runtime)->allocator = whole;
    double_finish(c, agent);
}

static void the_first_asks_nobody(void **state) {
    (void)state;
    control_double c;
    covey_agent *agent = offered(&c, NULL);
    double_steps(&c, agent, 100);
    double_assert_serves(agent, "1.1.0");
    finish(&c, agent);
}

static void a_user_who_decided_before_is_asked(void **state) {
    (void)state;
    static const char *const files[] = {"{\"format\":1,\"given\":[],\"denied\":[]}", "spoiled"};
    for (int i = 0; i < 2; i++) {
        control_double c;
        covey_agent *agent = offered(&c, files[i]);
        covey_agent_outcome outcome = double_steps(&c, agent, 100);
        assert_int_equal(outcome.state, COVEY_AGENT_WAITING);
        assert_non_null(strstr(outcome.message, "consent: it may use the tool search"));
        finish(&c, agent);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_asks_nobody),
        cmocka_unit_test(a_user_who_decided_before_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
