/* Directions of what changed: a planted change of few directions is found and pays, noise has none,
 * memory is bounded whatever the tensor, and anything at all may be asked about. */
#include "support/support.h"

#include "base/error.h"
#include "delta/patch_factor.h"
#include "delta/tensor_blocks.h"
#include "gguf/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct fixture {
    test_env test;
    uint8_t type;
    size_t rows, columns, size;
    uint8_t *old, *fresh;
    float *change; /* rows x columns, in weight units */
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    test_env_init(&f->test);
    *state = f;
    return 0;
}

static void clear(fixture *f) {
    free(f->old);
    free(f->fresh);
    free(f->change);
    f->old = f->fresh = NULL;
    f->change = NULL;
}

static int tear_down(void **state) {
    fixture *f = *state;
    assert_int_equal(f->test.alive, 0);
    clear(f);
    free(f);
    return 0;
}

/* About normal, of variance 1. */
static float draw(uint64_t *seed) {
    float sum = -6;
    for (int i = 0; i < 12; i++) sum += (float)(test_random(seed) >> 40) / 16777216.0f;
    return sum;
}

/* What moves: `rank` directions of `size` steps each, and noise of `noise` steps. */
static void plant(fixture *f, int rank, float size, float noise, uint64_t *seed) {
    float *u = calloc(f->rows * 16, sizeof *u), *v = calloc(f->columns * 16, sizeof *v);
    for (size_t i = 0; i < f->rows * 16; i++) u[i] = draw(seed);
    for (size_t i = 0; i < f->columns * 16; i++) v[i] = draw(seed);
    f->change = calloc(f->rows * f->columns, sizeof *f->change);
    for (size_t i = 0; i < f->rows * f->columns; i++) {
        float sum = noise > 0 ? noise * draw(seed) : 0;
        for (int r = 0; r < rank; r++)
            sum += size * u[i / f->columns * 16 + (size_t)r] * v[i % f->columns * 16 + (size_t)r];
        f->change[i] = sum;
    }
    free(u);
    free(v);
}

/* A tensor of steps of 1 whose weights lie anywhere between codes, and what it became. */
static void make_pair(fixture *f, uint8_t type, size_t rows, size_t columns, int rank, float size,
                      float noise) {
    static covey__block_batch old, fresh;
    const covey__block_layout *layout = covey__block_layout_get(type);
    uint64_t seed = 77u + type;
    clear(f);
    f->type = type;
    f->rows = rows;
    f->columns = columns;
    plant(f, rank, size, noise, &seed);
    f->size = rows * columns / layout->weights * layout->bytes;
    f->old = calloc(1, f->size);
    f->fresh = calloc(1, f->size);
    memset(&old, 0, sizeof old);
    old.d[0] = 0x3c00;
    for (int s = 0; s < 16; s++) old.scale[s][0] = 1;
    fresh = old;
    for (size_t b = 0; b < rows * columns / layout->weights; b++) {
        for (int w = 0; w < layout->weights; w++) {
            int room = layout->high - layout->low - 8;
            float weight = (float)(layout->low + 4) +
                           (float)(test_random(&seed) % 4096) / 4096.0f * (float)room;
            float moved = rintf(weight + f->change[b * layout->weights + (size_t)w]);
            old.codes[w] = (int8_t)rintf(weight);
            fresh.codes[w] = (int8_t)(moved < layout->low    ? layout->low
                                      : moved > layout->high ? layout->high
                                                             : moved);
        }
        layout->put(&old, 0, f->old + b * layout->bytes);
        layout->put(&fresh, 0, f->fresh + b * layout->bytes);
    }
}

static covey_status find(const covey__env *env, const fixture *f, covey__factor *factor) {
    covey_error error = {0};
    return covey__factor_find(env, f->type, f->old, f->fresh, f->size, f->columns, factor, &error);
}

/* What share of the planted change's energy the factors leave. */
static double left_over(const fixture *f, const covey__tensor_factor *factor) {
    double all = 0, left = 0;
    for (size_t i = 0; i < f->rows * f->columns; i++) {
        int32_t dot = 0;
        for (size_t r = 0; r < factor->rank; r++)
            dot += factor->u[i / f->columns * factor->rank + r] *
                   factor->v[r * f->columns + i % f->columns];
        double rest = (double)f->change[i] - (double)((float)dot * factor->scale);
        all += (double)f->change[i] * f->change[i];
        left += rest * rest;
    }
    return left / all;
}

static void planted_directions_are_found(void **state) {
    fixture *f = *state;
    static const uint8_t types[] = {COVEY__TYPE_Q8_0, COVEY__TYPE_Q6_K, COVEY__TYPE_Q4_0};
    for (size_t t = 0; t < sizeof types; t++)
        for (int rank = 1; rank <= 12; rank = rank * 3 + 1) {
            covey__factor factor;
            make_pair(f, types[t], 256, 512, rank, 1.0f / (float)sqrt(rank), 0);
            assert_int_equal(find(&f->test.env, f, &factor), COVEY_OK);
            assert_in_range(factor.factor.rank, rank, rank + rank / 2 + 1);
            assert_int_equal(factor.factor.columns, 512);
            assert_true(left_over(f, &factor.factor) < 0.1);
            covey__factor_free(&f->test.env, &factor);
        }
}

static void noise_has_no_directions(void **state) {
    fixture *f = *state;
    static const float sizes[] = {0.02f, 0.3f, 2.0f};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        covey__factor factor;
        make_pair(f, COVEY__TYPE_Q8_0, 256, 256, 0, 0, sizes[i]);
        assert_int_equal(find(&f->test.env, f, &factor), COVEY_OK);
        assert_int_equal(factor.factor.rank, 0);
        assert_null(factor.u);
        assert_null(factor.v);
    }
}

/* Whatever the bytes and the shape: an answer, and factors only where parts may have some. */
static void anything_may_be_asked(void **state) {
    fixture *f = *state;
    static const struct {
        size_t rows, columns;
    } shapes[] = {{1, 256}, {32, 256}, {33, 512}, {300, 256}, {2, 4096}, {64, 1024}};
    uint64_t seed = 4;
    for (int type = 0; type < 64; type++) {
        size_t block = covey__tensor_block_bytes((uint8_t)type);
        if (!block) continue;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            covey__factor factor;
            covey_error error = {0};
            size_t weights = covey__tensor_block_weights((uint8_t)type);
            size_t size = shapes[i].rows * shapes[i].columns / weights * block;
            uint8_t *old = malloc(size), *fresh = malloc(size);
            for (size_t b = 0; b < size; b++) {
                old[b] = (uint8_t)test_random(&seed); /* infinities too */
                fresh[b] = i % 2 ? old[b] : (uint8_t)test_random(&seed);
            }
            assert_int_equal(covey__factor_find(&f->test.env, (uint8_t)type, old, fresh, size,
                                                shapes[i].columns, &factor, &error),
                             COVEY_OK);
            const covey__block_layout *layout = covey__block_layout_get((uint32_t)type);
            if (!layout || layout->has_codebook || i % 2) assert_int_equal(factor.factor.rank, 0);
            covey__factor_free(&f->test.env, &factor);
            assert_int_equal(covey__factor_find(&f->test.env, (uint8_t)type, old, fresh, size,
                                                shapes[i].columns + 1, &factor, &error),
                             COVEY_OK);
            assert_int_equal(factor.factor.rank, 0); /* no whole blocks in a row */
            free(old);
            free(fresh);
        }
    }
}

/* ---- Memory ---- */

typedef struct meter {
    size_t now, most;
} meter;

static void *metered(void *user, void *pointer, size_t size) {
    meter *m = user;
    size_t *block = pointer ? (size_t *)pointer - 2 : NULL;
    if (block) m->now -= *block;
    if (size == 0) {
        free(block);
        return NULL;
    }
    block = realloc(block, size + 2 * sizeof *block);
    assert_non_null(block);
    *block = size;
    m->now += size;
    if (m->now > m->most) m->most = m->now;
    return block + 2;
}

static void memory_is_bounded(void **state) {
    fixture *f = *state;
    meter m = {0};
    covey__env env;
    covey__factor factor;
    covey__env_init(&env);
    env.allocator.resize = metered;
    env.allocator.user = &m;
    /* Many rows: their numbers are what could grow. */
    make_pair(f, COVEY__TYPE_Q4_0, 65536, 64, 3, 0.6f, 0);
    assert_int_equal(find(&env, f, &factor), COVEY_OK);
    assert_in_range(factor.factor.rank, 3, 5);
    covey__factor_free(&env, &factor);
    assert_true(m.most < (size_t)16 << 20);
    make_pair(f, COVEY__TYPE_Q8_0, 128, 16384, 3, 0.6f, 0);
    m.most = 0;
    assert_int_equal(find(&env, f, &factor), COVEY_OK);
    assert_in_range(factor.factor.rank, 3, 5);
    covey__factor_free(&env, &factor);
    assert_true(m.most < (size_t)24 << 20);
    assert_int_equal(m.now, 0);
}

static covey_status find_and_free(const covey__env *env, void *user, covey_error *error) {
    const fixture *f = user;
    covey__factor factor;
    covey_status status =
        covey__factor_find(env, f->type, f->old, f->fresh, f->size, f->columns, &factor, error);
    if (status == COVEY_OK) assert_int_equal(factor.factor.rank, 2);
    covey__factor_free(env, &factor);
    return status;
}

static void each_allocation_may_fail(void **state) {
    fixture *f = *state;
    make_pair(f, COVEY__TYPE_Q8_0, 128, 256, 2, 1.0f, 0);
    assert_true(test_fail_each_allocation(find_and_free, f) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(planted_directions_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(noise_has_no_directions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(anything_may_be_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_allocation_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
