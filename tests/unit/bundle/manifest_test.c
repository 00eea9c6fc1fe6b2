/* The manifest's reader: what it takes, and every way in which a manifest can be wrong with the
 * name of the field in the message. */
#include "support/support.h"

#include "base/sha256.h"
#include "bundle/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define D1 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "2222222222222222222222222222222222222222222222222222222222222222"

#define MODEL            "{\"role\":\"model\",\"file\":\"model.gguf\",\"size\":10,\"sha256\":\"" D1 "\"}"
#define NEEDS            "{\"memory_bytes\":5,\"engine_interface\":1,\"arithmetic_version\":1}"
#define HEAD             "\"format\":1,\"name\":\"assistant\",\"version\":\"1.0.0\",\"variant\":\"q8_0\""
#define WITH(components) "{" HEAD ",\"components\":[" components "],\"needs\":" NEEDS "}"
#define PART(role, file)                                                                           \
    "{\"role\":\"" role "\",\"file\":\"" file "\",\"size\":10,\"sha256\":\"" D2 "\"}"

static covey_status parse(const char *text, covey__manifest **manifest, covey_error *error) {
    static test_env test;
    test_env_init(&test);
    memset(error, 0, sizeof *error);
    return covey__manifest_parse(&test.env, text, strlen(text), manifest, error);
}

static void a_whole_manifest_is_read(void **state) {
    (void)state;
    static const char text[] =
        "{" HEAD ",\"requires\":[],\"note\":\"unknown members are ignored\",\"components\":[" MODEL
        ",{\"role\":\"adapter\",\"file\":\"adapters/a.gguf\",\"size\":7,\"sha256\":\"" D2
        "\",\"base_sha256\":\"" D1 "\"},{\"role\":\"sound\",\"optional\":true,\"file\":\"s\","
        "\"size\":0,\"sha256\":\"" D2 "\"}],\"needs\":{\"memory_bytes\":5,\"engine_interface\":1,"
        "\"arithmetic_version\":1,\"app\":\">=1.0.0\",\"os\":{\"linux\":\">=4.19.0\","
        "\"android\":\"*\"}}}";
    covey__manifest *m;
    covey_error error;
    uint8_t digest[32];
    assert_int_equal(parse(text, &m, &error), COVEY_OK);
    assert_string_equal(m->name, "assistant");
    assert_string_equal(m->version, "1.0.0");
    assert_string_equal(m->variant, "q8_0");
    assert_int_equal(m->component_count, 3);
    assert_string_equal(covey__manifest_find(m, "model")->file, "model.gguf");
    assert_int_equal(m->components[1].size, 7);
    assert_true(m->components[1].has_base);
    assert_true(m->components[1].scale == 1.0f && !m->components[1].on_request);
    assert_true(m->components[2].optional);
    assert_null(covey__manifest_find(m, "tools"));
    assert_int_equal(m->memory_bytes, 5);
    assert_string_equal(m->app, ">=1.0.0");
    assert_int_equal(m->os_count, 2);
    assert_string_equal(m->os[1].os, "android");
    covey__sha256_of(text, strlen(text), digest);
    assert_memory_equal(m->digest, digest, 32);
    covey__manifest_free(m);
}

#define ADAPTER(file, more)                                                                        \
    "{\"role\":\"adapter\",\"file\":\"" file "\",\"size\":1,\"sha256\":\"" D2                      \
    "\",\"base_sha256\":\"" D1 "\"" more "}"

static void adapters_have_scales(void **state) {
    (void)state;
    covey__manifest *m;
    covey_error error;
    assert_int_equal(parse(WITH(MODEL "," ADAPTER("a", ",\"scale\":0.7") "," ADAPTER(
                               "b", ",\"scale\":-2,\"on_request\":true")),
                           &m, &error),
                     COVEY_OK);
    assert_true(m->components[1].scale == 0.7f && !m->components[1].on_request);
    assert_true(m->components[2].scale == -2.0f && m->components[2].on_request);
    assert_true(m->components[0].scale == 0.0f); /* no adapter */
    covey__manifest_free(m);
}

#define PRIVATE "{\"requires\":[\"encryption\"]," HEAD ",\"components\":["
#define HIDDEN(role, file, size, members)                                                          \
    "{\"role\":\"" role "\",\"file\":\"" file "\",\"size\":" size ",\"sha256\":\"" D1              \
    "\",\"encryption\":{" members "}}"
#define SCHEME "\"scheme\":\"covey-aes-256-gcm-1\""
#define KEY    ",\"key\":\"00112233445566778899aabbccddeeff\""
#define ID     ",\"component\":\"" D2 "\""
#define PLAIN  ",\"plain_size\":10"
#define END    "],\"needs\":" NEEDS "}"

static void components_may_be_encrypted(void **state) {
    (void)state;
    covey__manifest *m;
    covey_error error;
    assert_int_equal(
        parse(PRIVATE HIDDEN("model", "model.gguf", "106", SCHEME KEY ID PLAIN) END, &m, &error),
        COVEY_OK);
    assert_true(m->components[0].encrypted);
    assert_int_equal(m->components[0].plain_size, 10);
    assert_int_equal(m->components[0].key_id[1], 0x11);
    assert_int_equal(covey__component_identity(&m->components[0])[0], 0x22);
    covey__manifest_free(m);
    assert_int_equal(parse(WITH(MODEL), &m, &error), COVEY_OK);
    assert_false(m->components[0].encrypted);
    assert_int_equal(covey__component_identity(&m->components[0])[0], 0x11);
    covey__manifest_free(m);
}

typedef struct bad {
    const char *text;
    covey_status status;
    const char *says; /* in the message */
} bad;

static const bad cases[] = {
    {WITH(HIDDEN("model", "m", "106", SCHEME KEY ID PLAIN)), COVEY_ERROR_FORMAT, "requires"},
    {PRIVATE HIDDEN("model", "m", "105", SCHEME KEY ID PLAIN) END, COVEY_ERROR_FORMAT,
     "components[0].encryption.plain_size"},
    {PRIVATE HIDDEN("model", "m", "106", SCHEME KEY ID) END, COVEY_ERROR_FORMAT, "plain_size"},
    {PRIVATE HIDDEN("model", "m", "106", SCHEME KEY PLAIN) END, COVEY_ERROR_FORMAT,
     "components[0].encryption.component"},
    {PRIVATE HIDDEN("model", "m", "106", SCHEME ",\"key\":\"00\"" ID PLAIN) END, COVEY_ERROR_FORMAT,
     "components[0].encryption.key"},
    {PRIVATE HIDDEN("model", "m", "106", "\"scheme\":\"rot13\"" KEY ID PLAIN) END,
     COVEY_ERROR_UNSUPPORTED, "rot13"},
    {PRIVATE MODEL "," HIDDEN("tools", "t", "106", SCHEME KEY ID PLAIN) END, COVEY_ERROR_FORMAT,
     "without a key"},
    {PRIVATE MODEL "," HIDDEN("policy", "t", "106", SCHEME KEY ID PLAIN) END, COVEY_ERROR_FORMAT,
     "without a key"},
    {"{\"format\":1,\"requires\":[\"encryption\",\"more\"]}", COVEY_ERROR_UNSUPPORTED, "more"},
    {"", COVEY_ERROR_FORMAT, "manifest"},
    {"[]", COVEY_ERROR_FORMAT, "object"},
    {"{}", COVEY_ERROR_FORMAT, "format"},
    {"{\"format\":2}", COVEY_ERROR_UNSUPPORTED, "format"},
    {"{\"format\":0}", COVEY_ERROR_FORMAT, "format"},
    {"{\"format\":1,\"requires\":[\"sparse-experts\"]}", COVEY_ERROR_UNSUPPORTED, "sparse-experts"},
    {"{\"format\":1,\"requires\":\"x\"}", COVEY_ERROR_FORMAT, "requires"},
    {"{\"format\":1,\"name\":\"../etc\"}", COVEY_ERROR_FORMAT, "name"},
    {"{\"format\":1,\"name\":\"a\",\"version\":\"1.0\"}", COVEY_ERROR_FORMAT, "version"},
    {"{\"format\":1,\"name\":\"a\",\"version\":\"1.0.0\",\"variant\":\"\"}", COVEY_ERROR_FORMAT,
     "variant"},
    {"{" HEAD ",\"needs\":" NEEDS "}", COVEY_ERROR_FORMAT, "components"},
    {"{" HEAD ",\"components\":[" MODEL "]}", COVEY_ERROR_FORMAT, "needs"},
    {WITH(""), COVEY_ERROR_FORMAT, "components"},
    {WITH("5"), COVEY_ERROR_FORMAT, "components[0]"},
    {WITH(PART("tools", "t")), COVEY_ERROR_FORMAT, "\"model\""},
    {WITH(MODEL "," PART("model", "other.gguf")), COVEY_ERROR_FORMAT, "second \"model\""},
    {WITH(MODEL "," PART("tools", "a") "," PART("tools", "b")), COVEY_ERROR_FORMAT,
     "second \"tools\""},
    {WITH(MODEL "," PART("tools", "model.gguf")), COVEY_ERROR_FORMAT, "components[1].file"},
    {WITH(MODEL "," PART("tools", "MODEL.gguf")), COVEY_ERROR_FORMAT, "components[1].file"},
    {WITH(MODEL "," PART("tools", "model.gguf/x")), COVEY_ERROR_FORMAT, "components[1].file"},
    {WITH(MODEL "," PART("tools", "Ensemble.json")), COVEY_ERROR_FORMAT, "is the manifest"},
    {WITH(MODEL "," PART("tools", "../up")), COVEY_ERROR_FORMAT, "components[1].file"},
    {WITH(MODEL "," PART("tools", "/etc/passwd")), COVEY_ERROR_FORMAT, "components[1].file"},
    {WITH(MODEL "," PART("soul", "s")), COVEY_ERROR_UNSUPPORTED, "components[1].role"},
    {WITH(MODEL "," PART("adapter", "a")), COVEY_ERROR_FORMAT, "base_sha256"},
    {WITH(MODEL "," ADAPTER("a", ",\"scale\":0")), COVEY_ERROR_FORMAT, "components[1].scale"},
    {WITH(MODEL "," ADAPTER("a", ",\"scale\":1e-60")), COVEY_ERROR_FORMAT, "components[1].scale"},
    {WITH(MODEL "," ADAPTER("a", ",\"scale\":1e9")), COVEY_ERROR_FORMAT, "components[1].scale"},
    {WITH(MODEL "," ADAPTER("a", ",\"scale\":\"1\"")), COVEY_ERROR_FORMAT, "components[1].scale"},
    {WITH(MODEL "," ADAPTER("a", ",\"on_request\":1")), COVEY_ERROR_FORMAT, "on_request"},
    {WITH(MODEL "," ADAPTER("a", "") "," ADAPTER("b", "") "," ADAPTER("c", "") "," ADAPTER(
         "d", "") "," ADAPTER("e",
                              "") "," ADAPTER("f",
                                              "") "," ADAPTER("g",
                                                              "") "," ADAPTER("h",
                                                                              "") "," ADAPTER("i",
                                                                                              "")),
     COVEY_ERROR_FORMAT, "one adapter more than 8"},
    {WITH(MODEL ",{\"role\":\"adapter\",\"file\":\"a\",\"size\":1,\"sha256\":\"" D2
                "\",\"base_sha256\":\"" D2 "\"}"),
     COVEY_ERROR_FORMAT, "another model"},
    {WITH(MODEL ",{\"role\":\"tools\",\"file\":\"a\",\"size\":1,\"sha256\":\"" D2
                "\",\"base_sha256\":\"" D2 "\"}"),
     COVEY_ERROR_FORMAT, "only adapters"},
    {WITH("{\"role\":\"model\",\"file\":\"m\",\"size\":-1,\"sha256\":\"" D1 "\"}"),
     COVEY_ERROR_FORMAT, "components[0].size"},
    {WITH("{\"role\":\"model\",\"file\":\"m\",\"size\":9007199254740992,\"sha256\":\"" D1 "\"}"),
     COVEY_ERROR_FORMAT, "components[0].size"},
    {WITH("{\"role\":\"model\",\"file\":\"m\",\"size\":1.5,\"sha256\":\"" D1 "\"}"),
     COVEY_ERROR_FORMAT, "components[0].size"},
    {WITH("{\"role\":\"model\",\"file\":\"m\",\"size\":1,\"sha256\":\"11\"}"), COVEY_ERROR_FORMAT,
     "components[0].sha256"},
    {WITH("{\"role\":\"model\",\"file\":\"m\",\"size\":1,\"sha256\":\""
          "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"),
     COVEY_ERROR_FORMAT, "lower-case"},
    {"{" HEAD ",\"components\":[" MODEL "],\"needs\":{\"memory_bytes\":5,"
     "\"engine_interface\":0,\"arithmetic_version\":1}}",
     COVEY_ERROR_FORMAT, "needs.engine_interface"},
    {"{" HEAD ",\"components\":[" MODEL "],\"needs\":{\"memory_bytes\":5,"
     "\"engine_interface\":1}}",
     COVEY_ERROR_FORMAT, "needs.arithmetic_version"},
    {"{" HEAD ",\"components\":[" MODEL "],\"needs\":{\"memory_bytes\":5,"
     "\"engine_interface\":1,\"arithmetic_version\":1,\"app\":\"new\"}}",
     COVEY_ERROR_FORMAT, "needs.app"},
    {"{" HEAD ",\"components\":[" MODEL "],\"needs\":{\"memory_bytes\":5,"
     "\"engine_interface\":1,\"arithmetic_version\":1,\"os\":{}}}",
     COVEY_ERROR_FORMAT, "needs.os"},
    {"{" HEAD ",\"components\":[" MODEL "],\"needs\":{\"memory_bytes\":5,"
     "\"engine_interface\":1,\"arithmetic_version\":1,\"os\":{\"linux\":\"x\"}}}",
     COVEY_ERROR_FORMAT, "needs.os.linux"},
    {"{\"format\":1,\"format\":1}", COVEY_ERROR_FORMAT, "manifest"},
};

static void each_contradiction_names_its_field(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        covey__manifest *manifest;
        covey_error error;
        covey_status status = parse(cases[i].text, &manifest, &error);
        if (status != cases[i].status || strstr(error.message, cases[i].says) == NULL)
            fail_msg("case %zu: %s expected with \"%s\", found %s: %s", i,
                     covey_status_name(cases[i].status), cases[i].says, covey_status_name(status),
                     error.message);
        assert_null(manifest);
        assert_memory_equal(error.message, "bundle: manifest", 16);
    }
}

static void counts_and_sizes_are_bounded(void **state) {
    (void)state;
    covey__manifest *manifest;
    covey_error error;
    size_t capacity = 200000, size = 0;
    char *text = malloc(capacity);
    size += (size_t)snprintf(text, capacity, "{" HEAD ",\"components\":[" MODEL);
    for (int i = 0; i < COVEY__COMPONENT_COUNT_MAX; i++)
        size += (size_t)snprintf(
            text + size, capacity - size,
            ",{\"role\":\"index\",\"file\":\"i%d\",\"size\":1,\"sha256\":\"" D2 "\"}", i);
    snprintf(text + size, capacity - size, "],\"needs\":" NEEDS "}");
    assert_int_equal(parse(text, &manifest, &error), COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "components"));
    free(text);
    size_t large = COVEY__MANIFEST_BYTES_MAX + 10;
    text = malloc(large + 1);
    memset(text, ' ', large);
    text[large] = '\0';
    assert_int_not_equal(parse(text, &manifest, &error), COVEY_OK);
    free(text);
}

static covey_status parse_step(const covey__env *env, void *user, covey_error *error) {
    covey__manifest *manifest;
    covey_status status = covey__manifest_parse(env, user, strlen(user), &manifest, error);
    covey__manifest_free(manifest);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    (void)state;
    char text[] = WITH(MODEL "," PART("tools", "tools.json"));
    assert_true(test_fail_each_allocation(parse_step, text) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_manifest_is_read),
        cmocka_unit_test(adapters_have_scales),
        cmocka_unit_test(components_may_be_encrypted),
        cmocka_unit_test(each_contradiction_names_its_field),
        cmocka_unit_test(counts_and_sizes_are_bounded),
        cmocka_unit_test(survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
