/* Patches between files of many kinds make the new one again, bit for bit, and are small where the
 * files are alike. */
#include "patch_pair.h"

#include "delta_gguf.h"

static covey__patch_stats round_trip(patch_pair *p) {
    covey__patch_stats stats;
    patch_pair_make(p, &stats);
    patch_pair_apply(p);
    uint64_t sum = 0;
    for (int i = 0; i < COVEY__PATCH_KINDS; i++) sum += stats.bytes[i];
    assert_int_equal(sum, p->fresh.size);
    return stats;
}

static void files_of_few_bytes(void **state) {
    static const size_t sizes[] = {0, 1, 2, 31, 4097};
    (void)state;
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 5; k++) {
            patch_pair p;
            patch_pair_begin(&p);
            patch_random(&p.old, sizes[i], 1);
            patch_random(&p.fresh, sizes[k], 2);
            round_trip(&p);
            patch_pair_end(&p);
        }
}

static void equal_files_cost_a_head(void **state) {
    (void)state;
    patch_pair p;
    patch_pair_begin(&p);
    patch_random(&p.old, (3u << 20) + 1, 1);
    patch_random(&p.fresh, (3u << 20) + 1, 1);
    covey__patch_stats stats = round_trip(&p);
    assert_true(stats.patch_size < 400);
    assert_int_equal(stats.bytes[COVEY__PATCH_COPY], p.fresh.size);
    patch_pair_end(&p);
}

static void unrelated_files(void **state) {
    (void)state;
    patch_pair p;
    patch_pair_begin(&p);
    patch_random(&p.old, 5000000, 1);
    patch_random(&p.fresh, (3u << 20) + 1, 2);
    covey__patch_stats stats = round_trip(&p);
    assert_true(stats.patch_size < p.fresh.size + 1000);
    patch_pair_end(&p);
}

static void one_byte_of_a_file(void **state) {
    (void)state;
    patch_pair p;
    patch_pair_begin(&p);
    patch_random(&p.old, (3u << 20) + 1, 1);
    patch_random(&p.fresh, (3u << 20) + 1, 1);
    p.fresh.data[1 << 20] ^= 1;
    assert_true(round_trip(&p).patch_size < 1000);
    patch_pair_end(&p);
}

/* Larger than any window of zstd here: what moved is found by its content. */
static void stretches_that_moved(void **state) {
    (void)state;
    patch_pair p;
    patch_pair_begin(&p);
    size_t half = 12u << 20;
    patch_random(&p.old, 2 * half, 1);
    patch_random(&p.fresh, 2 * half + 1000, 3);
    memcpy(p.fresh.data, p.old.data + half, half);
    memcpy(p.fresh.data + half + 1000, p.old.data, half);
    covey__patch_stats stats = round_trip(&p);
    assert_true(stats.patch_size < 20000);
    assert_true(stats.bytes[COVEY__PATCH_COPY] > 2 * half - (1u << 20));
    patch_pair_end(&p);
}

/* Text that changed here and there is compressed against the old text. */
static void text_that_changed(void **state) {
    (void)state;
    patch_pair p;
    uint64_t seed = 5;
    patch_pair_begin(&p);
    patch_random(&p.old, 3000000, 1);
    patch_random(&p.fresh, 3000000, 1);
    for (size_t i = 0; i < 3000000; i++)
        p.old.data[i] = p.fresh.data[i] = (uint8_t)('a' + p.old.data[i] % 16);
    for (int i = 0; i < 300; i++) p.fresh.data[test_random(&seed) % 3000000] = 'Z';
    assert_true(round_trip(&p).patch_size < 5000);
    patch_pair_end(&p);
}

static void take_file(patch_bytes *bytes, const char *path) {
    free(bytes->data);
    *bytes = patch_read_file(path);
}

static void a_gguf_that_changed(void **state) {
    (void)state;
    patch_pair p;
    patch_pair_begin(&p);
    delta_gguf_make(&p.test.env, p.old_path, "1.0", 0);
    delta_gguf_make(&p.test.env, p.new_path, "1.0.1", 7);
    take_file(&p.old, p.old_path);
    take_file(&p.fresh, p.new_path);
    covey__patch_stats stats = round_trip(&p);
    assert_true(stats.bytes[COVEY__PATCH_COPY] >= 2 * 307200 + DELTA_GGUF_SMALL * 4096);
    assert_true(stats.patch_size < 2621440 + 10000);
    patch_pair_end(&p);
}

/* A base that begins as a GGUF and is none, and the other way round. */
static void ggufs_that_are_none(void **state) {
    (void)state;
    patch_pair p;
    patch_pair_begin(&p);
    delta_gguf_make(&p.test.env, p.new_path, "1.0", 0);
    take_file(&p.fresh, p.new_path);
    patch_random(&p.old, 100000, 1);
    memcpy(p.old.data, "GGUF", 4);
    round_trip(&p);
    patch_bytes swap = p.old;
    p.old = p.fresh;
    p.fresh = swap;
    round_trip(&p);
    patch_pair_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_few_bytes),   cmocka_unit_test(equal_files_cost_a_head),
        cmocka_unit_test(unrelated_files),      cmocka_unit_test(one_byte_of_a_file),
        cmocka_unit_test(stretches_that_moved), cmocka_unit_test(text_that_changed),
        cmocka_unit_test(a_gguf_that_changed),  cmocka_unit_test(ggufs_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
