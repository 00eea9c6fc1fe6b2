/* Delegations as they are read: what is refused, and what is kept. */
#include "support/tuf_double.h"

#include "trust/tuf_document.h"

static covey_status read_with(tuf_double *d, const char *delegations, covey__tuf_document **out,
                              covey_error *error) {
    d->delegations = delegations;
    tuf_double_publish(d, TUF_TARGETS);
    const tuf_double_file *file = tuf_double_find(d, "1.targets.json");
    return covey__tuf_parse(d->env, COVEY__TUF_TARGETS, file->data, file->size, out, error);
}

#define ROLE(more) "{\"keys\":{},\"roles\":[{\"keyids\":[],\"threshold\":1," more "}]}"

static void what_is_refused(void **unused) {
    (void)unused;
    static const struct {
        const char *delegations;
        covey_status expected;
        const char *message;
    } cases[] = {
        {ROLE("\"name\":\"a\",\"paths\":[\"*\"],\"terminating\":false"), COVEY_OK, NULL},
        {ROLE("\"name\":\"a\""), COVEY_OK, NULL}, /* speaks for nothing */
        {ROLE("\"name\":\"a\",\"paths\":[]"), COVEY_OK, NULL},
        {ROLE("\"name\":\"a\",\"path_hash_prefixes\":[\"0a\",\"F\"]"), COVEY_OK, NULL},
        {ROLE("\"name\":\"a\",\"path_hash_prefixes\":[\"0x\"]"), COVEY_ERROR_FORMAT, "hex digits"},
        {ROLE("\"name\":\"a\",\"path_hash_prefixes\":[\"\"]"), COVEY_ERROR_FORMAT, "an empty one"},
        {ROLE("\"name\":\"a\",\"paths\":[],\"path_hash_prefixes\":[]"), COVEY_ERROR_FORMAT,
         "expected one of them"},
        {ROLE("\"name\":\"a\",\"paths\":[1]"), COVEY_ERROR_FORMAT, "patterns as strings"},
        {ROLE("\"name\":\"a\",\"paths\":\"*\""), COVEY_ERROR_FORMAT, "paths"},
        {ROLE("\"name\":\"a\",\"terminating\":1"), COVEY_ERROR_FORMAT, "terminating"},
        {ROLE("\"name\":\"\""), COVEY_ERROR_FORMAT, "an empty one"},
        {ROLE("\"name\":\"root\""), COVEY_ERROR_FORMAT, "top-level"},
        {ROLE("\"name\":\"timestamp\""), COVEY_ERROR_FORMAT, "top-level"},
        {ROLE("\"name\":\"a\"},{\"keyids\":[],\"threshold\":1,\"name\":\"a\""), COVEY_ERROR_FORMAT,
         "a name twice"},
        {ROLE("\"name\":\"a\"},{\"keyids\":[],\"threshold\":1,\"name\":\"b\""), COVEY_OK, NULL},
        {"{\"keys\":{}}", COVEY_ERROR_FORMAT, "either"},
        {"{\"roles\":[]}", COVEY_ERROR_FORMAT, "keys"},
        {"[]", COVEY_ERROR_FORMAT, "delegations"},
        {"{\"keys\":{},\"succinct_roles\":{\"keyids\":[],\"threshold\":1,\"bit_length\":32,"
         "\"name_prefix\":\"p\"}}",
         COVEY_OK, NULL},
        {"{\"keys\":{},\"succinct_roles\":{\"keyids\":[],\"threshold\":1,\"bit_length\":33,"
         "\"name_prefix\":\"p\"}}",
         COVEY_ERROR_FORMAT, "bit_length"},
        {"{\"keys\":{},\"succinct_roles\":{\"keyids\":[],\"threshold\":1,\"bit_length\":0,"
         "\"name_prefix\":\"p\"}}",
         COVEY_ERROR_FORMAT, "bit_length"},
        {"{\"keys\":{},\"roles\":[],\"succinct_roles\":{\"keyids\":[],\"threshold\":1,"
         "\"bit_length\":3,\"name_prefix\":\"p\"}}",
         COVEY_ERROR_FORMAT, "either"},
    };
    tuf_double d;
    tuf_double_open(&d);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__tuf_document *document = NULL;
        covey_error error = {0};
        covey_status status = read_with(&d, cases[i].delegations, &document, &error);
        if (status != cases[i].expected ||
            (cases[i].message && !strstr(error.message, cases[i].message)))
            fail_msg("case %zu: %s (%s)", i, covey_status_name(status), error.message);
        covey__tuf_free(document);
    }
    tuf_double_close(&d);
}

static void what_is_kept(void **unused) {
    (void)unused;
    tuf_double d;
    covey__tuf_document *document = NULL;
    tuf_double_open(&d);
    d.target_list = "\"b\":{\"length\":2,\"hashes\":{\"x\":\"\"}},"
                    "\"a\":{\"length\":1,\"hashes\":{\"x\":\"\"},\"custom\":{\"n\":150}}";
    assert_int_equal(
        read_with(&d,
                  "{\"keys\":{},\"roles\":["
                  "{\"name\":\"z\",\"keyids\":[],\"threshold\":2,\"paths\":[\"1\",\"2\"]},"
                  "{\"name\":\"y\",\"keyids\":[],\"threshold\":1,\"terminating\":true,"
                  "\"path_hash_prefixes\":[\"ab\"]}]}",
                  &document, NULL),
        COVEY_OK);
    assert_int_equal(document->role_count, 2);
    assert_string_equal(document->roles[0].name, "z"); /* in their order */
    assert_int_equal(document->roles[0].pattern_count, 2);
    assert_int_equal(document->roles[0].threshold, 2);
    assert_true(document->roles[1].terminating && document->roles[1].by_hash);
    assert_int_equal(covey__tuf_entry_find(document, "b")->length, 2);
    assert_string_equal(covey__tuf_entry_find(document, "a")->custom, "{\"n\":150}");
    assert_null(covey__tuf_entry_find(document, "c"));
    assert_null(covey__tuf_entry_find(document, ""));
    covey__tuf_free(document);
    tuf_double_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
