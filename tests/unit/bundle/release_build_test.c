/* The whole way of a release without a network: built out of folders, fetched by digest, put
 * together again, equal to the byte; and the second release out of the first one's chunks. */
#include "ensemble_folder.h"

#include "base/sha256.h"
#include "bundle/release.h"
#include "delta/chunk_plan.h"

#include <unistd.h>

typedef struct blob {
    uint8_t sha256[32];
    uint8_t *data;
    size_t size;
} blob;

typedef struct fixture {
    test_env test;
    test_folder folder;
    char one[300], two[300];
    blob blobs[256];
    size_t blob_count;
    covey__buffer document;
} fixture;

static const char *const all_classes[] = {"tiny", "small", "medium", "large"};

static covey_status keep(void *user, const uint8_t sha256[32], const void *data, size_t size,
                         covey_error *error) {
    fixture *f = user;
    uint8_t digest[32];
    (void)error;
    covey__sha256_of(data, size, digest);
    assert_memory_equal(digest, sha256, 32); /* a blob is named by its bytes */
    assert_true(f->blob_count < 256);
    blob *b = &f->blobs[f->blob_count++];
    memcpy(b->sha256, sha256, 32);
    b->data = malloc(size > 0 ? size : 1);
    memcpy(b->data, data, size);
    b->size = size;
    return COVEY_OK;
}

static const blob *find(const fixture *f, const uint8_t sha256[32]) {
    for (size_t i = 0; i < f->blob_count; i++)
        if (memcmp(f->blobs[i].sha256, sha256, 32) == 0) return &f->blobs[i];
    return NULL;
}

static int set_up(void **state) {
    static fixture f;
    memset(&f, 0, sizeof f);
    test_env_init(&f.test);
    test_folder_make(&f.folder);
    strcpy(f.one, test_path(&f.folder, "one"));
    strcpy(f.two, test_path(&f.folder, "two"));
    ensemble_make(&f.test.env, f.one, "1.0.0", "f32", 1);
    ensemble_make(&f.test.env, f.two, "1.1.0", "f32", 2);
    covey__buffer_init(&f.document, &f.test.env, COVEY__RELEASE_BYTES_MAX);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < f->blob_count; i++) free(f->blobs[i].data);
    covey__buffer_free(&f->document);
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static covey__release *build(fixture *f, const char *folder) {
    covey_error error = {0};
    covey__release *release;
    covey__release_source source = {folder, all_classes, 4};
    covey__buffer_clear(&f->document);
    covey_status status =
        covey__release_build(&f->test.env, &source, 1, &f->document, &error, keep, f);
    if (status != COVEY_OK) fail_msg("%s", error.message);
    assert_int_equal(
        covey__release_parse(&f->test.env, f->document.data, f->document.size, &release, &error),
        COVEY_OK);
    return release;
}

static covey__chunk_index *fetch_index(fixture *f, const covey__release_component *component) {
    covey_error error = {0};
    covey__chunk_index *index;
    const blob *b = find(f, component->index_sha256);
    assert_non_null(b);
    assert_int_equal(b->size, component->index_size);
    assert_int_equal(covey__chunk_index_parse(&f->test.env, b->data, b->size, &index, &error),
                     COVEY_OK);
    assert_int_equal(covey__release_check_index(component, index, &error), COVEY_OK);
    return index;
}

static void compare_component(fixture *f, const covey__release_component *component,
                              const char *folder, const char *file) {
    char path[400];
    size_t size;
    covey_error error = {0};
    snprintf(path, sizeof path, "%s/%s", folder, file);
    char *expected = test_read(path, &size);
    covey__chunk_index *index = fetch_index(f, component);
    uint8_t *made = malloc(size > 0 ? size : 1);
    for (size_t i = 0; i < index->chunk_count; i++) {
        const blob *b = find(f, index->chunks[i].blob);
        assert_non_null(b);
        assert_int_equal(covey__chunk_decode(&f->test.env, &index->chunks[i], b->data, b->size,
                                             made + index->chunks[i].offset, &error),
                         COVEY_OK);
    }
    assert_int_equal(size, component->size);
    assert_memory_equal(made, expected, size);
    covey__chunk_index_free(index);
    free(made);
    free(expected);
}

static void a_device_can_put_it_together(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__manifest *manifest;
    covey__release *release = build(f, f->one);
    const covey__release_variant *variant = covey__release_choose(release, "small");
    const blob *b = find(f, variant->manifest_sha256);
    assert_non_null(b);
    assert_int_equal(
        covey__manifest_parse(&f->test.env, (const char *)b->data, b->size, &manifest, &error),
        COVEY_OK);
    assert_int_equal(covey__release_check_manifest(release, variant, manifest, &error), COVEY_OK);
    for (size_t i = 0; i < manifest->component_count; i++)
        compare_component(f, &variant->components[i], f->one, manifest->components[i].file);
    covey__manifest_free(manifest);
    covey__release_free(release);
}

static void the_next_release_shares_what_did_not_change(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__release *first = build(f, f->one), *second = build(f, f->two);
    covey__chunk_index *old = fetch_index(f, &first->variants[0].components[0]);
    covey__chunk_index *new = fetch_index(f, &second->variants[0].components[0]);
    covey__chunk_source source = {f->one, old};
    covey__chunk_plan *plan;
    assert_int_equal(covey__chunk_plan_make(&f->test.env, new, &source, 1, &plan, &error),
                     COVEY_OK);
    /* The kept tensor (400,000 bytes) is here; the changed one is fetched. */
    assert_true(plan->local_bytes >= 400000);
    assert_true(plan->fetch_bytes > 0 && plan->fetch_bytes <= 400000);
    covey__chunk_plan_free(plan);
    covey__chunk_index_free(old);
    covey__chunk_index_free(new);
    covey__release_free(first);
    covey__release_free(second);
}

static void what_does_not_belong_together_is_seen(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__manifest *other;
    covey__release *first = build(f, f->one), *second = build(f, f->two);
    assert_int_equal(covey__manifest_read(&f->test.env, f->two, &other, &error), COVEY_OK);
    assert_int_equal(covey__release_check_manifest(first, &first->variants[0], other, &error),
                     COVEY_ERROR_MISMATCH);
    covey__chunk_index *index = fetch_index(f, &second->variants[0].components[0]);
    assert_int_equal(covey__release_check_index(&first->variants[0].components[0], index, &error),
                     COVEY_ERROR_MISMATCH);
    index->chunks[0].stored_size--;
    assert_int_equal(covey__release_check_index(&second->variants[0].components[0], index, &error),
                     COVEY_ERROR_MISMATCH);
    covey__chunk_index_free(index);
    covey__manifest_free(other);
    covey__release_free(first);
    covey__release_free(second);
}

static covey_status build_of(fixture *f, const covey__release_source *sources, size_t count,
                             covey_error *error) {
    memset(error, 0, sizeof *error);
    covey__buffer_clear(&f->document);
    return covey__release_build(&f->test.env, sources, count, &f->document, error, keep, f);
}

static void wrong_sources_are_refused_before_any_blob(void **state) {
    fixture *f = *state;
    covey_error error;
    covey__release_source sources[] = {{f->one, all_classes, 4}, {f->two, all_classes, 4}};
    assert_int_equal(build_of(f, sources, 2, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "assistant@1.1.0"));
    sources[0].class_count = 0;
    assert_int_equal(build_of(f, sources, 1, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "device class"));
    sources[0] = (covey__release_source){"/nonexistent", all_classes, 4};
    assert_int_equal(build_of(f, sources, 1, &error), COVEY_ERROR_NOT_FOUND);
    assert_int_equal(build_of(f, sources, 0, &error), COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(f->blob_count, 0);
    ensemble_flip(test_path(&f->folder, "one/model.gguf"), 500000);
    sources[0] = (covey__release_source){f->one, all_classes, 4};
    assert_int_equal(build_of(f, sources, 1, &error), COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "model.gguf"));
    assert_int_equal(f->blob_count, 0);
}

static covey_status ignore(void *user, const uint8_t sha256[32], const void *data, size_t size,
                           covey_error *error) {
    (void)user;
    (void)sha256;
    (void)data;
    (void)size;
    (void)error;
    return COVEY_OK;
}

static covey_status build_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey__buffer out;
    covey__release_source source = {f->one, all_classes, 4};
    covey__buffer_init(&out, env, COVEY__RELEASE_BYTES_MAX);
    covey_status status = covey__release_build(env, &source, 1, &out, error, ignore, NULL);
    covey__buffer_free(&out);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(build_step, *state) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_device_can_put_it_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_release_shares_what_did_not_change, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_belong_together_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_sources_are_refused_before_any_blob, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
