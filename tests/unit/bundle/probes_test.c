/* The probes document: round trip, and what a wrong one is told. */
#include "support/support.h"

#include "bundle/probes.h"

#include <stdlib.h>
#include <string.h>

#define D1 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "2222222222222222222222222222222222222222222222222222222222222222"

static const char whole[] =
    "{\"format\":1,\"bits\":[{\"name\":\"bits-1\",\"arithmetic_version\":1,\"prompt\":[1,2,3],"
    "\"tokens\":[4,5],\"logits_sha256\":[\"" D1 "\",\"" D2 "\"]}],\"task\":{\"min_score\":0.85,"
    "\"tokens_max\":32,\"items\":[{\"name\":\"t-1\",\"messages\":[{\"role\":\"system\",\"content\":"
    "\"be brief\"},{\"role\":\"user\",\"content\":\"ten "
    "\\\"minutes\\\"\"}],\"expect\":\"{\\\"a\\\":1}\","
    "\"match\":\"json\"},{\"name\":\"t-2\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
    "\"expect\":\"hello\"}]}}";

static covey_status parse(const char *text, covey__probes **probes, covey_error *error) {
    static test_env test;
    test_env_init(&test);
    memset(error, 0, sizeof *error);
    return covey__probes_parse(&test.env, text, strlen(text), probes, error);
}

static void check_whole(const covey__probes *p) {
    assert_int_equal(p->bits_count, 1);
    assert_int_equal(p->bits[0].prompt_count, 3);
    assert_int_equal(p->bits[0].prompt[2], 3);
    assert_int_equal(p->bits[0].token_count, 2);
    assert_int_equal(p->bits[0].tokens[1], 5);
    assert_int_equal(p->bits[0].logits[1][31], 0x22);
    assert_int_equal(p->task_count, 2);
    assert_true(p->task_score_min > 0.8499 && p->task_score_min < 0.8501);
    assert_int_equal(p->task_tokens_max, 32);
    assert_int_equal(p->tasks[0].message_count, 2);
    assert_string_equal(p->tasks[0].messages[1].content, "ten \"minutes\"");
    assert_int_equal(p->tasks[0].match, COVEY__MATCH_JSON);
    assert_int_equal(p->tasks[1].match, COVEY__MATCH_EXACT);
}

static void round_trip(void **state) {
    (void)state;
    test_env test;
    covey_error error = {0};
    covey__probes *probes, *again;
    covey__buffer out;
    test_env_init(&test);
    assert_int_equal(covey__probes_parse(&test.env, whole, strlen(whole), &probes, &error),
                     COVEY_OK);
    check_whole(probes);
    covey__buffer_init(&out, &test.env, COVEY__PROBES_BYTES_MAX);
    assert_int_equal(covey__probes_write(probes, &out, &error), COVEY_OK);
    assert_int_equal(covey__probes_parse(&test.env, out.data, out.size, &again, &error), COVEY_OK);
    check_whole(again);
    covey__probes_free(probes);
    covey__probes_free(again);
    covey__buffer_free(&out);
    assert_int_equal(test.alive, 0);
}

#define BITS(prompt, tokens, digests)                                                              \
    "{\"format\":1,\"bits\":[{\"name\":\"b\",\"arithmetic_version\":1,\"prompt\":" prompt          \
    ",\"tokens\":" tokens ",\"logits_sha256\":" digests "}]}"
#define TASK(score, item)                                                                          \
    "{\"format\":1,\"task\":{\"min_score\":" score ",\"tokens_max\":8,\"items\":[" item "]}}"
#define ITEM(more) "{\"name\":\"t\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]" more "}"

static void wrong_ones_name_their_field(void **state) {
    (void)state;
    static const struct {
        const char *text;
        covey_status status;
        const char *says;
    } cases[] = {
        {"{\"format\":1}", COVEY_ERROR_FORMAT, "neither"},
        {"{\"format\":9}", COVEY_ERROR_UNSUPPORTED, "format"},
        {BITS("[]", "[1]", "[\"" D1 "\"]"), COVEY_ERROR_FORMAT, "bits[0].prompt"},
        {BITS("[-1]", "[1]", "[\"" D1 "\"]"), COVEY_ERROR_FORMAT, "bits[0].prompt[0]"},
        {BITS("[1.5]", "[1]", "[\"" D1 "\"]"), COVEY_ERROR_FORMAT, "bits[0].prompt[0]"},
        {BITS("[\"1\"]", "[1]", "[\"" D1 "\"]"), COVEY_ERROR_FORMAT, "bits[0].prompt[0]"},
        {BITS("[2147483648]", "[1]", "[\"" D1 "\"]"), COVEY_ERROR_FORMAT, "bits[0].prompt[0]"},
        {BITS("[1]", "[1,2]", "[\"" D1 "\"]"), COVEY_ERROR_FORMAT, "2 digests expected"},
        {BITS("[1]", "[1]", "[\"11\"]"), COVEY_ERROR_FORMAT, "logits_sha256"},
        {BITS("[1]", "[1]", "[7]"), COVEY_ERROR_FORMAT, "logits_sha256"},
        {TASK("1.5", ITEM(",\"expect\":\"y\"")), COVEY_ERROR_FORMAT, "min_score"},
        {TASK("-0.1", ITEM(",\"expect\":\"y\"")), COVEY_ERROR_FORMAT, "min_score"},
        {TASK("1", ITEM("")), COVEY_ERROR_FORMAT, "task.items[0].expect"},
        {TASK("1", ITEM(",\"expect\":\"y\",\"match\":\"like\"")), COVEY_ERROR_UNSUPPORTED,
         "task.items[0].match"},
        {TASK("1", ITEM(",\"expect\":\"{\",\"match\":\"json\"")), COVEY_ERROR_FORMAT,
         "task.items[0].expect"},
        {TASK("1", "{\"name\":\"t\",\"messages\":[],\"expect\":\"y\"}"), COVEY_ERROR_FORMAT,
         "messages"},
        {TASK("1", "{\"name\":\"t\",\"messages\":[{\"role\":\"user\"}],\"expect\":\"y\"}"),
         COVEY_ERROR_FORMAT, "messages[0].content"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        covey__probes *probes;
        covey_error error;
        covey_status status = parse(cases[i].text, &probes, &error);
        if (status != cases[i].status || strstr(error.message, cases[i].says) == NULL)
            fail_msg("case %zu: found %s: %s", i, covey_status_name(status), error.message);
        assert_null(probes);
    }
}

static covey_status parse_step(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    covey__probes *probes;
    covey_status status = covey__probes_parse(env, whole, strlen(whole), &probes, error);
    covey__probes_free(probes);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(parse_step, NULL) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(wrong_ones_name_their_field),
        cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
