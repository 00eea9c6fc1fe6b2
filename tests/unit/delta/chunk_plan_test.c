/* The plan: what is here is used, what is not is fetched once, and a source that changed is seen.
 */
#include "support/support.h"

#include "delta/chunk_maker.h"
#include "base/sha256.h"
#include "delta/chunk_plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    test_env test;
    test_folder folder;
    char old_path[300], other_path[300];
    covey__chunk_index *old_index, *other_index, *target;
    uint8_t *target_data;
    size_t target_size;
} fixture;

/* Random bytes by seed: the same seed, the same bytes. */
static void fill(uint8_t *out, size_t size, uint64_t seed) {
    for (size_t i = 0; i < size; i++) out[i] = (uint8_t)test_random(&seed);
}

static covey__chunk_index *make(fixture *f, const uint8_t *data, size_t size) {
    covey_error error = {0};
    covey__chunk_index *index;
    assert_int_equal(
        covey__chunk_index_make_memory(&f->test.env, data, size, &index, &error, NULL, NULL),
        COVEY_OK);
    return index;
}

static int set_up(void **state) {
    static fixture f;
    memset(&f, 0, sizeof f);
    test_env_init(&f.test);
    test_folder_make(&f.folder);
    strcpy(f.old_path, test_path(&f.folder, "old"));
    strcpy(f.other_path, test_path(&f.folder, "other"));
    size_t size = 1500000;
    uint8_t *data = malloc(size);
    fill(data, size, 1);
    test_write(f.old_path, data, size);
    f.old_index = make(&f, data, size);
    fill(data, size, 2);
    test_write(f.other_path, data, size);
    f.other_index = make(&f, data, size);
    free(data);
    /* The target: all of old, all of other, then new bytes twice. */
    f.target_size = 2 * size + 2 * 600000;
    f.target_data = malloc(f.target_size);
    fill(f.target_data, size, 1);
    fill(f.target_data + size, size, 2);
    fill(f.target_data + 2 * size, 600000, 3);
    fill(f.target_data + 2 * size + 600000, 600000, 3);
    f.target = make(&f, f.target_data, f.target_size);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey__chunk_index_free(f->old_index);
    covey__chunk_index_free(f->other_index);
    covey__chunk_index_free(f->target);
    free(f->target_data);
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

static void sums_are_right_and_content_is_read(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__chunk_plan *plan;
    covey__chunk_source sources[] = {{f->old_path, f->old_index}, {f->other_path, f->other_index}};
    uint8_t *out = malloc(COVEY__CHUNK_BYTES_MAX);
    uint64_t local = 0, to_fetch = 0;
    bool from_old = false, from_other = false;
    assert_int_equal(covey__chunk_plan_make(&f->test.env, f->target, sources, 2, &plan, &error),
                     COVEY_OK);
    for (size_t i = 0; i < f->target->chunk_count; i++) {
        const covey__chunk *chunk = &f->target->chunks[i];
        covey_status status = covey__chunk_plan_read(plan, i, out, &error);
        if (plan->steps[i].source < 0) {
            assert_int_equal(status, COVEY_ERROR_NOT_FOUND);
            to_fetch += chunk->size;
            continue;
        }
        assert_int_equal(status, COVEY_OK);
        assert_memory_equal(out, f->target_data + chunk->offset, chunk->size);
        local += chunk->size;
        from_old |= plan->steps[i].source == 0;
        from_other |= plan->steps[i].source == 1;
    }
    assert_true(from_old && from_other);
    assert_int_equal(plan->local_bytes, local);
    assert_int_equal(local + to_fetch, f->target_size);
    /* What repeats in the target is fetched once. */
    assert_true(plan->fetch_bytes < to_fetch);
    assert_true(plan->fetch_bytes >= 600000 && plan->fetch_count > 0);
    covey__chunk_plan_free(plan);
    free(out);
}

static void without_sources_all_is_fetched(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__chunk_plan *plan;
    assert_int_equal(covey__chunk_plan_make(&f->test.env, f->old_index, NULL, 0, &plan, &error),
                     COVEY_OK);
    assert_int_equal(plan->local_bytes, 0);
    assert_int_equal(plan->fetch_bytes, 1500000);
    assert_int_equal(plan->fetch_count, f->old_index->chunk_count);
    covey__chunk_plan_free(plan);
}

static void a_source_that_changed_or_went_is_seen(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__chunk_plan *plan;
    covey__chunk_source source = {f->old_path, f->old_index};
    uint8_t *out = malloc(COVEY__CHUNK_BYTES_MAX);
    assert_int_equal(covey__chunk_plan_make(&f->test.env, f->old_index, &source, 1, &plan, &error),
                     COVEY_OK);
    size_t size;
    char *data = test_read(f->old_path, &size);
    data[0] ^= 1;
    test_write(f->old_path, data, size);
    assert_int_equal(covey__chunk_plan_read(plan, 0, out, &error), COVEY_ERROR_MISMATCH);
    assert_int_equal(covey__chunk_plan_read(plan, 1, out, &error), COVEY_OK);
    test_write(f->old_path, data, 10); /* shorter than the chunk */
    assert_int_equal(covey__chunk_plan_read(plan, 1, out, &error), COVEY_ERROR_MISMATCH);
    plan->sources = &(covey__chunk_source){"/nonexistent/file", f->old_index};
    assert_int_equal(covey__chunk_plan_read(plan, 1, out, &error), COVEY_ERROR_NOT_FOUND);
    covey__chunk_plan_free(plan);
    free(data);
    free(out);
}

static covey_status plan_step(const covey__env *env, void *user, covey_error *error) {
    fixture *f = user;
    covey__chunk_plan *plan;
    covey__chunk_source source = {f->old_path, f->old_index};
    covey_status status = covey__chunk_plan_make(env, f->target, &source, 1, &plan, error);
    covey__chunk_plan_free(plan);
    return status;
}

static void survives_each_failed_allocation(void **state) {
    assert_true(test_fail_each_allocation(plan_step, *state) >= 3);
}

/* A chunk at the same place within a block may share whole blocks with its source; what of it is
 * not shared is the caller's to write. */
static void blocks_are_shared_or_nothing_is(void **state) {
    fixture *f = *state;
    enum { size = 400000, shift = 77 };
    const char *place = getenv("COVEY_REFLINK_DIR"); /* on a file system that shares blocks */
    char source[300], target[300];
    covey_error error;
    covey__chunk_plan *plan;
    snprintf(source, sizeof source, "%s/shared-source", place ? place : test_path(&f->folder, "."));
    snprintf(target, sizeof target, "%s/shared-target", place ? place : test_path(&f->folder, "."));
    for (int moved = 0; moved < 2; moved++) {
        uint8_t *bytes = calloc(size + shift, 1);
        uint64_t random = 4;
        for (int i = 0; i < size; i++) bytes[i + moved * shift] = (uint8_t)test_random(&random);
        size_t all = (size_t)(size + moved * shift);
        test_write(source, bytes, all);
        covey__chunk from = {.offset = moved ? shift : 0, .size = size};
        covey__chunk to = {.offset = 0, .size = size};
        covey__sha256_of(bytes + from.offset, size, from.sha256);
        memcpy(to.sha256, from.sha256, 32);
        covey__chunk_index has = {.env = &f->test.env, .chunks = &from, .chunk_count = 1},
                           wants = {.env = &f->test.env, .chunks = &to, .chunk_count = 1};
        covey__chunk_source list = {source, &has};
        assert_int_equal(covey__chunk_plan_make(&f->test.env, &wants, &list, 1, &plan, &error),
                         COVEY_OK);
        int descriptor = open(target, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_true(descriptor >= 0);
        uint8_t *content = malloc(size), *found = malloc(size);
        uint64_t first, last;
        assert_int_equal(covey__chunk_plan_read(plan, 0, content, &error), COVEY_OK);
        assert_int_equal(
            covey__chunk_plan_share(plan, 0, descriptor, target, 4096, &first, &last, &error),
            COVEY_OK);
        if (moved || !place) assert_int_equal(first, last);
        if (!moved && place) assert_int_equal(last - first, size / 4096 * 4096);
        assert_int_equal(pwrite(descriptor, content, first, 0), first);
        assert_int_equal(pwrite(descriptor, content + last, size - last, (off_t)last), size - last);
        assert_int_equal(pread(descriptor, found, size, 0), size);
        assert_memory_equal(found, content, size);
        close(descriptor);
        covey__chunk_plan_free(plan);
        free(content);
        free(found);
        free(bytes);
    }
    unlink(source);
    unlink(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_are_right_and_content_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_sources_all_is_fetched, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_source_that_changed_or_went_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_each_failed_allocation, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blocks_are_shared_or_nothing_is, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
