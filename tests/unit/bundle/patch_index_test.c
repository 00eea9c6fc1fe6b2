/* Patch indexes: what is written is read again, what is wrong names its field, and who can go on by
 * a patch. */
#include "support/support.h"

#include "bundle/patch_index.h"
#include "delta/chunk_maker.h"

#include <stdio.h>
#include <string.h>

#define D1                 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2                 "2222222222222222222222222222222222222222222222222222222222222222"
#define BLOB(digest, size) "{\"sha256\":\"" digest "\",\"size\":" size "}"
#define EDGE(file, variants, from, to, patch, index)                                               \
    "{\"role\":\"model\",\"file\":\"" file                                                         \
    "\",\"from_release\":\"1.0.0\",\"to_release\":\"1.1.0\",\"variants\":" variants                \
    ",\"from\":" from ",\"to\":" to ",\"patch\":" patch ",\"index\":" index "}"
#define INDEX(edges)                                                                               \
    "{\"format\":1,\"requires\":[],\"name\":\"assistant\",\"version\":\"1.1.0\",\"edges\":[" edges \
    "]}"
#define A BLOB(D1, "10")
#define B BLOB(D2, "12")

static covey_status parse(const char *text, covey__patch_index **index, covey_error *error) {
    static test_env test;
    test_env_init(&test);
    memset(error, 0, sizeof *error);
    return covey__patch_index_parse(&test.env, text, strlen(text), index, error);
}

static covey__patch_edge an_edge(const char **variants) {
    covey__patch_edge edge = {.role = "model",
                              .file = "model.gguf",
                              .from_release = "1.0.0",
                              .to_release = "1.1.0",
                              .variants = variants,
                              .variant_count = 2,
                              .from = {{1}, 10},
                              .to = {{2}, 12},
                              .patch = {{3}, 1000},
                              .index = {{4}, 128}};
    return edge;
}

static void what_is_written_is_read_again(void **state) {
    (void)state;
    test_env test;
    covey_error error;
    covey__buffer out;
    covey__patch_index *index;
    const char *variants[] = {"q8_0", "q4_0"};
    covey__patch_edge edges[2] = {an_edge(variants), an_edge(variants)};
    edges[1].sealed = true;
    edges[1].variant_count = 1;
    edges[1].from_release = "0.9.0";
    test_env_init(&test);
    covey__buffer_init(&out, &test.env, COVEY__PATCH_INDEX_BYTES_MAX);
    assert_int_equal(
        covey__patch_index_write(&test.env, "assistant", "1.1.0", edges, 2, &out, &error),
        COVEY_OK);
    assert_int_equal(covey__patch_index_parse(&test.env, out.data, out.size, &index, &error),
                     COVEY_OK);
    assert_string_equal(index->name, "assistant");
    assert_string_equal(index->version, "1.1.0");
    assert_int_equal(index->edge_count, 2);
    assert_string_equal(index->edges[0].file, "model.gguf");
    assert_memory_equal(index->edges[0].from.sha256, edges[0].from.sha256, 32);
    assert_memory_equal(index->edges[0].patch.sha256, edges[0].patch.sha256, 32);
    assert_int_equal(covey__patch_edge_bytes(&index->edges[0]), 1128);
    assert_false(index->edges[0].sealed);
    assert_true(index->edges[1].sealed);
    assert_true(covey__patch_index_serves(index, "1.0.0", "q4_0"));
    assert_true(covey__patch_index_serves(index, "0.9.0", "q8_0"));
    assert_false(covey__patch_index_serves(index, "0.9.0", "q4_0"));
    assert_false(covey__patch_index_serves(index, "1.1.0", "q8_0"));
    covey__patch_index_free(index);
    edges[1].to = edges[1].from; /* what cannot be read is not made */
    covey__buffer_clear(&out);
    assert_int_equal(
        covey__patch_index_write(&test.env, "assistant", "1.1.0", edges, 2, &out, &error),
        COVEY_ERROR_FORMAT);
    covey__buffer_free(&out);
}

static void wrong_ones_name_their_field(void **state) {
    (void)state;
    static const struct {
        const char *text;
        covey_status status;
        const char *says;
    } cases[] = {
        {"{}", COVEY_ERROR_FORMAT, "format"},
        {"{\"format\":2}", COVEY_ERROR_UNSUPPORTED, "format"},
        {"{\"format\":1,\"requires\":[\"xor\"]}", COVEY_ERROR_UNSUPPORTED, "requires"},
        {INDEX(""), COVEY_ERROR_FORMAT, "edges"},
        {INDEX("7"), COVEY_ERROR_FORMAT, "edges[0]"},
        {INDEX(EDGE("../m", "[\"a\"]", A, B, A, A)), COVEY_ERROR_FORMAT, "edges[0].file"},
        {INDEX(EDGE("m", "[]", A, B, A, A)), COVEY_ERROR_FORMAT, "edges[0].variants"},
        {INDEX(EDGE("m", "[\"a/b\"]", A, B, A, A)), COVEY_ERROR_FORMAT, "edges[0].variants"},
        {INDEX(EDGE("m", "[\"a\"]", A, A, A, A)), COVEY_ERROR_FORMAT, "edges[0]: leads"},
        {INDEX(EDGE("m", "[\"a\"]", A, B, BLOB(D1, "0"), A)), COVEY_ERROR_LIMIT,
         "edges[0].patch.size"},
        {INDEX(EDGE("m", "[\"a\"]", A, B, A, BLOB(D1, "99999999"))), COVEY_ERROR_LIMIT,
         "edges[0].index.size"},
        {INDEX(EDGE("m", "[\"a\"]", A, B, A, A) "," EDGE("m", "[\"a\"]", A, BLOB("x", "1"), A, A)),
         COVEY_ERROR_FORMAT, "edges[1].to.sha256"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__patch_index *index;
        covey_error error;
        assert_int_equal(parse(cases[i].text, &index, &error), cases[i].status);
        assert_null(index);
        if (strstr(error.message, cases[i].says) == NULL)
            fail_msg("case %zu: \"%s\" does not say %s", i, error.message, cases[i].says);
    }
    covey__patch_index *index;
    covey_error error;
    assert_int_equal(parse(INDEX(EDGE("m", "[\"a\"]", A, B, A, A)), &index, &error), COVEY_OK);
    covey__patch_index_free(index);
}

static void a_patch_is_cut_evenly_and_its_index_is_held_against_the_edge(void **state) {
    (void)state;
    test_env test;
    test_folder folder;
    covey_error error;
    char path[300];
    covey__chunk_index *index;
    const char *variants[] = {"q8_0", "q4_0"};
    covey__patch_edge edge = an_edge(variants);
    test_env_init(&test);
    test_folder_make(&folder);
    snprintf(path, sizeof path, "%s/patch", folder.path);
    FILE *file = fopen(path, "wb");
    for (int i = 0; i < (2 << 20) + 5; i++) fputc(i == 0 ? 'G' : 0, file); /* zstd would save */
    fclose(file);
    assert_int_equal(covey__chunk_index_make_even(&test.env, path, &index, &error, NULL, NULL),
                     COVEY_OK);
    assert_int_equal(index->chunk_count, 3);
    assert_int_equal(index->chunks[1].size, 1 << 20);
    assert_int_equal(index->chunks[2].size, 5);
    assert_int_equal(covey__chunk_index_stored_bytes(index), (2 << 20) + 5);
    edge.patch.size = index->component_size;
    assert_int_equal(covey__patch_edge_check(&edge, index, &error), COVEY_ERROR_MISMATCH);
    memcpy(edge.patch.sha256, index->component_sha256, 32);
    assert_int_equal(covey__patch_edge_check(&edge, index, &error), COVEY_OK);
    edge.patch.size--;
    assert_int_equal(covey__patch_edge_check(&edge, index, &error), COVEY_ERROR_MISMATCH);
    covey__chunk_index_free(index);
    test_folder_remove(&folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(wrong_ones_name_their_field),
        cmocka_unit_test(a_patch_is_cut_evenly_and_its_index_is_held_against_the_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
