/* Applying a patch while it arrives: in any pieces, with breaks, with wrong or damaged bytes, with
 * memory or writes refused. Nothing that is not right is ever written. */
#include "patch_pair.h"

#include "gguf/gguf.h"

#include <stdio.h>

/* A GGUF pair whose patch has all kinds of parts and several frames: tensors that moved a little
 * (coded), that are as before (copied), that are new (stored or compressed), and a vocabulary. */
typedef struct model_shape {
    uint64_t seed, noise;
    int tensors;
    bool extra;
} model_shape;

static void put_tensor(covey__gguf_writer *writer, uint64_t seed, uint64_t noise, size_t bytes,
                       size_t block) {
    covey_error error;
    uint8_t *data = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        uint8_t value = (uint8_t)test_random(&seed);
        if (i % block < 2) value = i % block == 0 ? (uint8_t)(value & 3) : 0x2c; /* a scale */
        if (i % block >= 2 && noise != 0 && test_random(&noise) % 8 == 0) value ^= 1;
        data[i] = value;
    }
    assert_int_equal(covey__gguf_write_data(writer, data, bytes, &error), COVEY_OK);
    free(data);
}

static void make_model(const covey__env *env, const char *path, const model_shape *shape) {
    covey__gguf_writer *writer;
    covey_error error;
    char name[32], text[6000];
    const uint64_t small[1] = {512}, matrix[2] = {1024, 512};
    uint64_t seed = shape->seed;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + test_random(&seed) % 20);
    text[0] = shape->noise == 0 ? 'A' : 'B';
    assert_int_equal(covey__gguf_writer_new(env, path, &writer, &error), COVEY_OK);
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    covey__gguf_put_string(writer, "general.description", text, sizeof text);
    for (int i = 0; i < shape->tensors; i++) {
        snprintf(name, sizeof name, "blk.%d.weight", i);
        assert_int_equal(covey__gguf_add_tensor(writer, name, COVEY__TYPE_Q8_0, 2, matrix, &error),
                         COVEY_OK);
        snprintf(name, sizeof name, "blk.%d.norm", i);
        assert_int_equal(covey__gguf_add_tensor(writer, name, COVEY__TYPE_F32, 1, small, &error),
                         COVEY_OK);
    }
    if (shape->extra)
        assert_int_equal(
            covey__gguf_add_tensor(writer, "extra", COVEY__TYPE_Q8_0, 2, matrix, &error), COVEY_OK);
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    size_t bytes = 1024 * 512 / 32 * 34;
    for (int i = 0; i < shape->tensors; i++) {
        uint64_t noise = i % 3 == 1 ? 0 : shape->noise; /* each third one stays */
        put_tensor(writer, shape->seed + (uint64_t)i, noise == 0 ? 0 : noise + (uint64_t)i, bytes,
                   34);
        put_tensor(writer, 1000 + (uint64_t)i, noise, 2048, 4);
    }
    if (shape->extra) put_tensor(writer, 77, 0, bytes, 34);
    assert_int_equal(covey__gguf_finish(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);
}

static covey__patch_stats make_pair(patch_pair *p, int tensors) {
    covey__patch_stats stats;
    patch_pair_begin(p);
    make_model(&p->test.env, p->old_path, &(model_shape){5, 0, tensors, false});
    make_model(&p->test.env, p->new_path, &(model_shape){5, 9, tensors, true});
    p->old = patch_read_file(p->old_path);
    p->fresh = patch_read_file(p->new_path);
    patch_pair_make(p, &stats);
    return stats;
}

/* One pair for all tests: making it takes a second. */
static patch_pair pair, few;
static covey__patch_stats pair_stats;

static int set_up(void **state) {
    (void)state;
    pair_stats = make_pair(&pair, 14);
    (void)make_pair(&few, 2); /* for what is done many times */
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    patch_pair_end(&pair);
    patch_pair_end(&few);
    return 0;
}

static void the_pair_has_all_kinds(void **state) {
    (void)state;
    assert_true(pair_stats.bytes[COVEY__PATCH_COPY] > 1000000);
    assert_true(pair_stats.bytes[COVEY__PATCH_TENSOR] > 2000000);
    assert_true(pair_stats.bytes[COVEY__PATCH_COMPRESSED] > 6000);
    assert_true(pair_stats.bytes[COVEY__PATCH_STORED] > 500000);
    patch_pair_apply(&pair);
}

/* Feeds the patch from `at` in pieces; `piece` 0 draws sizes. */
static covey_status feed(covey__patch_apply *apply, const patch_bytes *patch, size_t at,
                         size_t piece, covey_error *error) {
    covey_status status = COVEY_OK;
    uint64_t seed = 3;
    while (status == COVEY_OK && at < patch->size) {
        size_t size = piece != 0 ? piece : (size_t)(test_random(&seed) % 70000);
        if (size > patch->size - at) size = patch->size - at;
        /* in memory of its own: a read beyond is seen by a sanitizer */
        uint8_t *copy = malloc(size + 1);
        memcpy(copy, patch->data + at, size);
        status = covey__patch_apply_feed(apply, copy, size, error);
        free(copy);
        at += size;
    }
    return status;
}

static covey_status apply_in_memory(const covey__env *env, const patch_bytes *old,
                                    const patch_bytes *patch, size_t new_size, size_t piece,
                                    patch_memory *m, covey_error *error) {
    covey__patch_apply_options options;
    covey__patch_apply *apply;
    patch_memory_begin(m, old, new_size, &options);
    covey_status status = covey__patch_apply_open(env, &options, &apply, error);
    if (status != COVEY_OK) return status;
    status = feed(apply, patch, 0, piece, error);
    if (status == COVEY_OK) status = covey__patch_apply_finish(apply, error);
    covey__patch_apply_close(apply);
    return status;
}

static void in_any_pieces(void **state) {
    (void)state;
    static const size_t pieces[] = {1, 7, 4096, 0, 1 << 20, SIZE_MAX};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        patch_memory m;
        covey_error error = {0};
        assert_int_equal(apply_in_memory(&pair.test.env, &pair.old, &pair.patch, pair.fresh.size,
                                         pieces[i], &m, &error),
                         COVEY_OK);
        assert_int_equal(m.out.size, pair.fresh.size);
        assert_memory_equal(m.out.data, pair.fresh.data, m.out.size);
        free(m.out.data);
    }
}

/* After a break behind any frame: the head again, a scan, and on from where it says; what was lost
 * of a finished frame is made again. */
static void goes_on_after_each_frame(void **state) {
    (void)state;
    covey__patch_head *head;
    covey_error error = {0};
    uint64_t head_size;
    assert_int_equal(covey__patch_head_size(pair.patch.data, &head_size, &error), COVEY_OK);
    assert_int_equal(
        covey__patch_head_parse(&pair.test.env, pair.patch.data, (size_t)head_size, &head, &error),
        COVEY_OK);
    assert_true(head->frame_count >= 3);
    size_t at = (size_t)head_size;
    for (uint32_t k = 0; k <= head->frame_count; k++) {
        for (int lost = 0; lost < 2; lost++) {
            patch_memory m;
            covey__patch_apply_options options;
            covey__patch_apply *apply;
            covey__patch_position position;
            patch_memory_begin(&m, &pair.old, pair.fresh.size, &options);
            assert_int_equal(covey__patch_apply_open(&pair.test.env, &options, &apply, &error),
                             COVEY_OK);
            patch_bytes part = {pair.patch.data, at + 1 < pair.patch.size ? at + 1 : at};
            assert_int_equal(feed(apply, &part, 0, 0, &error), COVEY_OK);
            covey__patch_apply_position(apply, &position);
            assert_true(position.frame >= k); /* frames without a payload are made at once */
            uint32_t made = position.frame;
            uint64_t written = position.new_offset;
            covey__patch_apply_close(apply);
            if (lost && written > 0) memset(m.out.data + written / 2, 0, 64); /* never synced */
            assert_int_equal(covey__patch_apply_open(&pair.test.env, &options, &apply, &error),
                             COVEY_OK);
            assert_int_equal(covey__patch_apply_scan(apply, &error), COVEY_ERROR_INVALID_ARGUMENT);
            patch_bytes start = {pair.patch.data, (size_t)head_size};
            assert_int_equal(feed(apply, &start, 0, 0, &error), COVEY_OK);
            assert_int_equal(covey__patch_apply_scan(apply, &error), COVEY_OK);
            covey__patch_apply_position(apply, &position);
            if (lost && written > 0) assert_true(position.new_offset <= written / 2 + 64);
            if (!lost) assert_true(position.frame >= made);
            assert_int_equal(position.next, position.patch_offset);
            assert_int_equal(feed(apply, &pair.patch, (size_t)position.next, 0, &error), COVEY_OK);
            assert_int_equal(covey__patch_apply_finish(apply, &error), COVEY_OK);
            covey__patch_apply_close(apply);
            assert_memory_equal(m.out.data, pair.fresh.data, pair.fresh.size);
            free(m.out.data);
        }
        if (k < head->frame_count) at += covey__patch_frame_at(head, k).payload_size;
    }
    covey__patch_head_free(head);
}

/* A write that fails can be tried again: feeding goes on at `next`. */
static void a_write_that_fails_is_tried_again(void **state) {
    (void)state;
    for (size_t k = 1; k < 12; k++) {
        patch_memory m;
        covey__patch_apply_options options;
        covey__patch_apply *apply;
        covey__patch_position position;
        covey_error error = {0};
        patch_memory_begin(&m, &pair.old, pair.fresh.size, &options);
        m.fail_after = k;
        assert_int_equal(covey__patch_apply_open(&pair.test.env, &options, &apply, &error),
                         COVEY_OK);
        assert_int_equal(feed(apply, &pair.patch, 0, k % 2 ? SIZE_MAX : 5000, &error),
                         COVEY_ERROR_IO);
        m.fail_after = 0;
        covey__patch_apply_position(apply, &position);
        assert_int_equal(covey__patch_apply_feed(apply, NULL, 0, &error), COVEY_OK);
        covey__patch_apply_position(apply, &position);
        assert_int_equal(feed(apply, &pair.patch, (size_t)position.next, 5000, &error), COVEY_OK);
        assert_int_equal(covey__patch_apply_finish(apply, &error), COVEY_OK);
        assert_memory_equal(m.out.data, pair.fresh.data, pair.fresh.size);
        covey__patch_apply_close(apply);
        free(m.out.data);
    }
}

/* What came out of a damaged patch or base is nothing, or right bytes from the front. */
static void only_right_bytes(const patch_memory *m) {
    assert_memory_equal(m->out.data, pair.fresh.data, m->out.size);
    free(m->out.data);
}

static void truncations(void **state) {
    (void)state;
    uint64_t seed = 11;
    for (int i = 0; i < 160; i++) {
        /* every short one, then some of all lengths */
        size_t size = i < 120 ? (size_t)i : (size_t)(test_random(&seed) % pair.patch.size);
        patch_bytes cut = {pair.patch.data, size};
        patch_memory m;
        covey_error error = {0};
        assert_int_equal(
            apply_in_memory(&pair.test.env, &pair.old, &cut, pair.fresh.size, SIZE_MAX, &m, &error),
            COVEY_ERROR_MISMATCH);
        assert_non_null(strstr(error.message, "ends after"));
        only_right_bytes(&m);
    }
    patch_memory m;
    covey_error error = {0};
    patch_bytes longer = {malloc(pair.patch.size + 1), pair.patch.size + 1};
    memcpy(longer.data, pair.patch.data, pair.patch.size);
    longer.data[pair.patch.size] = 0;
    assert_int_equal(
        apply_in_memory(&pair.test.env, &pair.old, &longer, pair.fresh.size, 999, &m, &error),
        COVEY_ERROR_FORMAT);
    free(longer.data);
    only_right_bytes(&m);
}

static void flipped_bits(void **state) {
    (void)state;
    uint64_t seed = 12;
    patch_bytes bad = {malloc(pair.patch.size), pair.patch.size};
    memcpy(bad.data, pair.patch.data, bad.size);
    for (int i = 0; i < 300; i++) {
        /* all bits of the fixed bytes, thinly, then the directory, then anywhere */
        size_t at = i < 104   ? (size_t)i
                    : i < 220 ? 104 + (size_t)(test_random(&seed) % (pair_stats.head_size - 104))
                              : (size_t)(test_random(&seed) % bad.size);
        uint8_t bit = (uint8_t)(1u << (test_random(&seed) % 8));
        bad.data[at] ^= bit;
        patch_memory m;
        covey_error error = {0};
        covey_status status =
            apply_in_memory(&pair.test.env, &pair.old, &bad, pair.fresh.size, SIZE_MAX, &m, &error);
        /* the old file's own digest is not read when no caller gives one, and nothing reads what
           a part only shows */
        if (status == COVEY_OK) assert_int_equal(m.out.size, pair.fresh.size);
        if (status == COVEY_OK) assert_true(at >= 32 && at < pair_stats.head_size);
        if (status != COVEY_OK) assert_true(strlen(error.message) > 10);
        only_right_bytes(&m);
        bad.data[at] ^= bit;
    }
    free(bad.data);
}

static void another_base_is_said(void **state) {
    (void)state;
    patch_memory m;
    covey_error error = {0};
    patch_bytes other = {malloc(pair.old.size), pair.old.size};
    memcpy(other.data, pair.old.data, other.size);
    other.data[other.size - 2100] ^= 1; /* of the last matrix, which is coded or copied */
    assert_int_equal(
        apply_in_memory(&pair.test.env, &other, &pair.patch, pair.fresh.size, 999, &m, &error),
        COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "tensor \"blk.13.weight\""));
    only_right_bytes(&m);
    test_write(test_path(&pair.folder, "other"), other.data, other.size);
    assert_int_equal(covey__patch_apply_files(&pair.test.env, test_path(&pair.folder, "other"),
                                              pair.patch_path, test_path(&pair.folder, "never"),
                                              NULL, &error),
                     COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "is not the base of this patch"));
    size_t size;
    assert_null(test_read(test_path(&pair.folder, "never"), &size));
    assert_null(test_read(test_path(&pair.folder, "never.new"), &size));
    other.size--;
    assert_int_equal(
        apply_in_memory(&pair.test.env, &other, &pair.patch, pair.fresh.size, 999, &m, &error),
        COVEY_ERROR_MISMATCH);
    assert_non_null(strstr(error.message, "the base has"));
    assert_int_equal(m.out.size, 0);
    free(m.out.data);
    free(other.data);
}

static void what_was_signed_is_held_against_the_head(void **state) {
    (void)state;
    uint8_t wrong[32] = {1};
    for (int i = 0; i < 5; i++) {
        patch_memory m;
        covey__patch_apply_options options;
        covey__patch_apply *apply;
        covey_error error = {0};
        patch_memory_begin(&m, &pair.old, pair.fresh.size, &options);
        options.head_sha256 = i == 0 ? wrong : pair_stats.head_sha256;
        options.head_size = i == 1 ? pair_stats.head_size + 1 : pair_stats.head_size;
        if (i == 2) options.old_sha256 = wrong;
        if (i == 3) options.new_sha256 = wrong;
        assert_int_equal(covey__patch_apply_open(&pair.test.env, &options, &apply, &error),
                         COVEY_OK);
        assert_int_equal(feed(apply, &pair.patch, 0, 100, &error),
                         i == 4 ? COVEY_OK : COVEY_ERROR_MISMATCH);
        if (i < 4) assert_null(covey__patch_apply_head(apply));
        if (i < 4) assert_int_equal(m.writes, 0);
        covey__patch_apply_close(apply);
        free(m.out.data);
    }
}

static covey_status apply_step(const covey__env *env, void *user, covey_error *error) {
    patch_memory m = {0};
    (void)user;
    covey_status status =
        apply_in_memory(env, &few.old, &few.patch, few.fresh.size, 1 << 20, &m, error);
    free(m.out.data);
    return status;
}

static covey_status make_step(const covey__env *env, void *user, covey_error *error) {
    (void)user;
    return covey__patch_make(env, few.old_path, few.new_path, test_path(&few.folder, "again"), NULL,
                             NULL, error);
}

static void memory_that_is_refused(void **state) {
    (void)state;
    assert_true(test_fail_each_allocation(apply_step, NULL) > 5);
    /* what only makes a patch smaller may be done without */
    for (int64_t k = 1;; k++) {
        test_env test;
        covey_error error = {0};
        test_env_init(&test);
        test.fail_at = k;
        covey_status status = make_step(&test.env, NULL, &error);
        assert_int_equal(test.alive, 0);
        if (status != COVEY_OK) assert_int_equal(status, COVEY_ERROR_NO_MEMORY);
        if (test.allocations >= k) continue;
        assert_int_equal(status, COVEY_OK);
        assert_true(k > 10);
        break;
    }
    size_t size;
    char *again = test_read(test_path(&few.folder, "again"), &size);
    assert_int_equal(size, few.patch.size);
    assert_memory_equal(again, few.patch.data, size); /* the same files, the same patch */
    free(again);
}

/* Every step outside fails once: an error, and no file, old or temporary, that was not there. */
static void steps_outside_that_fail(void **state) {
    (void)state;
    for (int making = 0; making < 2; making++)
        for (int64_t k = 1;; k++) {
            test_env test;
            covey_error error = {0};
            test_env_init(&test);
            test.point_fails = k;
            const char *out = test_path(&few.folder, "broken");
            covey_status status = making
                                      ? covey__patch_make(&test.env, few.old_path, few.new_path,
                                                          out, NULL, NULL, &error)
                                      : covey__patch_apply_files(&test.env, few.old_path,
                                                                 few.patch_path, out, NULL, &error);
            assert_int_equal(test.alive, 0);
            size_t size;
            char *made = test_read(out, &size);
            if (made != NULL) { /* whole */
                assert_int_equal(size, making ? few.patch.size : few.fresh.size);
                assert_memory_equal(made, making ? few.patch.data : few.fresh.data, size);
                assert_int_equal(remove(out), 0);
            }
            free(made);
            (void)remove(test_path(&few.folder, "broken.new"));
            if (test.point_calls < k) {
                assert_int_equal(status, COVEY_OK);
                assert_true(k > 8);
                break;
            }
            if (status == COVEY_OK) assert_non_null(made);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pair_has_all_kinds),
        cmocka_unit_test(in_any_pieces),
        cmocka_unit_test(goes_on_after_each_frame),
        cmocka_unit_test(a_write_that_fails_is_tried_again),
        cmocka_unit_test(truncations),
        cmocka_unit_test(flipped_bits),
        cmocka_unit_test(another_base_is_said),
        cmocka_unit_test(what_was_signed_is_held_against_the_head),
        cmocka_unit_test(memory_that_is_refused),
        cmocka_unit_test(steps_outside_that_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
