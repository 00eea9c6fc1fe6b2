/* Documents that are not as the specification wants them, one change at a time from ones that are;
 * and the bounds. */
#include "support/tuf_double.h"

#include "trust/tuf_document.h"

typedef struct change {
    covey__tuf_type type;
    const char *from, *to; /* the first `from` becomes `to` */
    covey_status expected;
    const char *message; /* part of it */
} change;

static char *replaced(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (at == NULL) fail_msg("no %s in %s", from, text);
    size_t size = strlen(text) - strlen(from) + strlen(to) + 1;
    char *out = malloc(size);
    snprintf(out, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static covey_status parse(const tuf_double *d, covey__tuf_type type, const char *text,
                          covey_error *error) {
    covey__tuf_document *document = NULL;
    covey_status status = covey__tuf_parse(d->env, type, text, strlen(text), &document, error);
    assert_true((status == COVEY_OK) == (document != NULL));
    covey__tuf_free(document);
    return status;
}

static const change changes[] = {
    {COVEY__TUF_ROOT, "\"version\":1", "\"version\":0", COVEY_ERROR_FORMAT, "version"},
    {COVEY__TUF_ROOT, "\"version\":1", "\"version\":1.0", COVEY_ERROR_FORMAT, "version"},
    {COVEY__TUF_ROOT, "\"version\":1", "\"version\":\"1\"", COVEY_ERROR_FORMAT, "version"},
    {COVEY__TUF_ROOT, "\"version\":1", "\"version\":9223372036854775807", COVEY_ERROR_FORMAT,
     "version"},
    {COVEY__TUF_ROOT, "\"version\":1", "\"Version\":1", COVEY_ERROR_FORMAT, "version"},
    {COVEY__TUF_ROOT, "1.0.31", "2.0.0", COVEY_ERROR_UNSUPPORTED, "found \"2.0.0\""},
    {COVEY__TUF_ROOT, "1.0.31", "10.0", COVEY_ERROR_UNSUPPORTED, "found \"10.0\""},
    {COVEY__TUF_ROOT, "1.0.31", "1", COVEY_ERROR_FORMAT, "spec_version"},
    {COVEY__TUF_ROOT, "1.0.31", "1..0", COVEY_ERROR_FORMAT, "spec_version"},
    {COVEY__TUF_ROOT, "1.0.31", "1.0.0.0", COVEY_ERROR_FORMAT, "spec_version"},
    {COVEY__TUF_ROOT, "1.0.31", "1.0", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "T12:00:00Z", "T12:00:00", COVEY_ERROR_FORMAT, "expires"},
    {COVEY__TUF_ROOT, "-20T12", "-32T12", COVEY_ERROR_FORMAT, "expires"},
    {COVEY__TUF_ROOT, "T12:00:00Z", "T12:00:00.123456789Z", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "T12:00:00Z", "T12:00:00.5Z", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "T12:00:00Z", "T12:00:00.Z", COVEY_ERROR_FORMAT, "expires"},
    {COVEY__TUF_ROOT, "T12:00:00Z", "T12:00:00.1", COVEY_ERROR_FORMAT, "expires"},
    {COVEY__TUF_ROOT, "T12:00:00Z", "T12:00:00.1x3Z", COVEY_ERROR_FORMAT, "expires"},
    {COVEY__TUF_ROOT, "T12:00:00Z", "T12:00:00.1234567890Z", COVEY_ERROR_FORMAT, "expires"},
    {COVEY__TUF_ROOT, "\"_type\":\"root\"", "\"_type\":\"Root\"", COVEY_ERROR_FORMAT,
     "expected \"root\", found \"Root\""},
    {COVEY__TUF_ROOT, "\"consistent_snapshot\":true", "\"consistent_snapshot\":1",
     COVEY_ERROR_FORMAT, "consistent_snapshot"},
    {COVEY__TUF_ROOT, "\"consistent_snapshot\":true,", "", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "\"timestamp\":{", "\"time\":{", COVEY_ERROR_FORMAT, "timestamp"},
    {COVEY__TUF_ROOT, "\"threshold\":1", "\"threshold\":0", COVEY_ERROR_FORMAT, "threshold"},
    {COVEY__TUF_ROOT, "\"threshold\":1", "\"threshold\":99", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "\"keyids\":[\"key-0\"]", "\"keyids\":[\"key-0\",\"key-0\"]",
     COVEY_ERROR_FORMAT, "each once"},
    {COVEY__TUF_ROOT, "\"keyids\":[\"key-0\"]", "\"keyids\":[\"key-0\",\"nobody\"]", COVEY_OK,
     NULL},
    {COVEY__TUF_ROOT, "\"keyids\":[\"key-0\"]", "\"keyids\":[]", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "\"keyids\":[\"key-0\"]", "\"keyids\":[1]", COVEY_ERROR_FORMAT, "keyids"},
    {COVEY__TUF_ROOT, "\"keytype\":\"ed25519\"", "\"keytype\":\"new\"", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "\"keytype\":\"ed25519\"", "\"keytype\":5", COVEY_ERROR_FORMAT,
     "signed.keys"},
    {COVEY__TUF_ROOT, "\"keyid\":\"key-0\"", "\"keyid\":\"\"", COVEY_ERROR_FORMAT, "keyid"},
    {COVEY__TUF_ROOT, "\"sig\":\"", "\"sig\":\"not hex", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "\"sig\":\"", "\"other\":\"", COVEY_ERROR_FORMAT, "sig"},
    {COVEY__TUF_ROOT, "\"signed\": {", "\"signed\": {\"more\":[1,{\"a\":null}],", COVEY_OK, NULL},
    {COVEY__TUF_ROOT, "\"signed\": {", "\"signed\": {\"more\":1.5,", COVEY_ERROR_FORMAT, NULL},
    {COVEY__TUF_ROOT, "\"signed\": {", "\"signed\": {\"version\":1,", COVEY_ERROR_FORMAT, NULL},
    {COVEY__TUF_ROOT, "\"signatures\":[", "\"signatures\":[1,", COVEY_ERROR_FORMAT, NULL},
    {COVEY__TUF_TIMESTAMP, "snapshot.json", "Snapshot.json", COVEY_ERROR_FORMAT,
     "expected \"snapshot.json\""},
    {COVEY__TUF_TIMESTAMP, "\"version\":1}", "\"version\":0}", COVEY_ERROR_FORMAT, "meta"},
    {COVEY__TUF_TIMESTAMP, "\"version\":1}", "\"version\":1,\"length\":-1}", COVEY_ERROR_FORMAT,
     "length"},
    {COVEY__TUF_TIMESTAMP, "\"version\":1}", "\"version\":1,\"hashes\":{}}", COVEY_ERROR_FORMAT,
     "hashes"},
    {COVEY__TUF_TIMESTAMP, "\"version\":1}", "\"version\":1,\"hashes\":{\"md5\":\"x\"}}", COVEY_OK,
     NULL},
    {COVEY__TUF_TIMESTAMP, "\"version\":1}", "\"version\":1,\"hashes\":{\"sha256\":\"x\"}}",
     COVEY_ERROR_FORMAT, "sha256"},
    {COVEY__TUF_TIMESTAMP, "\"meta\"", "\"covey_issued\":\"now\",\"meta\"", COVEY_ERROR_FORMAT,
     "covey_issued"},
    {COVEY__TUF_SNAPSHOT, "targets.json", "target.json", COVEY_ERROR_FORMAT,
     "expected \"targets.json\""},
    {COVEY__TUF_SNAPSHOT, "\"meta\":{", "\"meta\":{\"\":{\"version\":1},", COVEY_ERROR_FORMAT,
     "an empty one"},
    {COVEY__TUF_SNAPSHOT, "\"meta\":{", "\"meta\":{\"a\\u0000b\":{\"version\":1},",
     COVEY_ERROR_FORMAT, "NUL"},
    {COVEY__TUF_TARGETS, "\"targets\":{", "\"targets\":{\"a\":{\"length\":1},", COVEY_ERROR_FORMAT,
     "hashes"},
    {COVEY__TUF_TARGETS, "\"targets\":{",
     "\"targets\":{\"a\":{\"length\":-1,\"hashes\":{\"x\":\"y\"}},", COVEY_ERROR_FORMAT, "length"},
    {COVEY__TUF_TARGETS, "\"targets\"", "\"target\"", COVEY_ERROR_FORMAT, "targets"},
};

static void what_is_refused(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    d.target_list = "\"file\":{\"length\":0,\"hashes\":{\"other\":\"\"}}";
    tuf_double_publish(&d, TUF_ALL);
    static const char *const files[] = {"1.root.json", "timestamp.json", "1.snapshot.json",
                                        "1.targets.json"};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const change *c = changes + i;
        covey_error error = {0};
        const tuf_double_file *file = tuf_double_find(&d, files[c->type]);
        char *text = strndup(file->data, file->size);
        assert_int_equal(parse(&d, c->type, text, &error), COVEY_OK);
        char *changed = replaced(text, c->from, c->to);
        covey_status status = parse(&d, c->type, changed, &error);
        if (status != c->expected || (c->message && !strstr(error.message, c->message)))
            fail_msg("change %zu (%s): %s (%s)", i, c->to, covey_status_name(status),
                     error.message);
        free(changed);
        free(text);
    }
    tuf_double_close(&d);
}

/* As many keys, roles and signatures as are allowed, and one more. */
static void bounds(void **unused) {
    (void)unused;
    tuf_double d;
    covey_error error = {0};
    covey__buffer text;
    tuf_double_open(&d);
    tuf_double_publish(&d, TUF_ALL);
    const tuf_double_file *file = tuf_double_find(&d, "1.root.json");
    char *root = strndup(file->data, file->size);
    for (int over = 0; over < 2; over++) {
        covey__buffer_init(&text, d.env, 16u << 20);
        (void)covey__buffer_text(&text, "\"signatures\":[");
        for (int i = 0; i < COVEY__TUF_SIGNATURE_COUNT_MAX - 1 + over; i++)
            (void)covey__buffer_format(&text, "{\"keyid\":\"s%d\",\"sig\":\"00\"},", i);
        char *many = replaced(root, "\"signatures\":[", text.data);
        assert_int_equal(parse(&d, COVEY__TUF_ROOT, many, &error),
                         over ? COVEY_ERROR_LIMIT : COVEY_OK);
        free(many);
        covey__buffer_clear(&text);
        (void)covey__buffer_text(&text, "\"keyids\":[\"key-0\"");
        for (int i = 1; i < COVEY__TUF_ROLE_KEY_COUNT_MAX + over; i++)
            (void)covey__buffer_format(&text, ",\"x%d\"", i);
        (void)covey__buffer_text(&text, "]");
        many = replaced(root, "\"keyids\":[\"key-0\"]", text.data);
        assert_int_equal(parse(&d, COVEY__TUF_ROOT, many, &error),
                         over ? COVEY_ERROR_LIMIT : COVEY_OK);
        free(many);
        covey__buffer_free(&text);
    }
    char *deep = replaced(root, "\"signed\": {",
                          "\"signed\": {\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                          "[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],");
    assert_int_equal(parse(&d, COVEY__TUF_ROOT, deep, &error), COVEY_ERROR_LIMIT);
    free(deep);
    char *twice =
        replaced(root, "\"signatures\":[", "\"signatures\":[{\"keyid\":\"key-0\",\"sig\":\"00\"},");
    assert_int_equal(parse(&d, COVEY__TUF_ROOT, twice, &error), COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "two signatures"));
    free(twice);
    free(root);
    assert_int_equal(parse(&d, COVEY__TUF_ROOT, "", &error), COVEY_ERROR_FORMAT);
    assert_int_equal(parse(&d, COVEY__TUF_ROOT, "[]", &error), COVEY_ERROR_FORMAT);
    tuf_double_close(&d);
}

typedef struct sample {
    const tuf_double *d;
    covey__tuf_type type;
    const char *name;
} sample;

static covey_status parse_step(const covey__env *env, void *user, covey_error *error) {
    const sample *s = user;
    const tuf_double_file *file = tuf_double_find(s->d, s->name);
    covey__tuf_document *document;
    covey_status status = covey__tuf_parse(env, s->type, file->data, file->size, &document, error);
    if (status == COVEY_OK) covey__tuf_free(document);
    return status;
}

static void refused_allocations(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    tuf_double_publish(&d, TUF_ALL);
    assert_true(
        test_fail_each_allocation(parse_step, &(sample){&d, COVEY__TUF_ROOT, "1.root.json"}) > 5);
    assert_true(test_fail_each_allocation(parse_step,
                                          &(sample){&d, COVEY__TUF_TARGETS, "1.targets.json"}) > 5);
    tuf_double_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(bounds),
        cmocka_unit_test(refused_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
