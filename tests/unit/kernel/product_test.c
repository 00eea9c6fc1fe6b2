/* Products: every instruction set gives the scalar definition's bits, over odd shapes, extreme
 * values and row ranges; and a token's outputs do not depend on the batch that it is in. */
#include "kernel_cases.h"

typedef struct shape {
    int32_t rows, columns, tokens;
} shape;

static void set_activations(const covey__kernels *k, covey__activations *a, void **memory,
                            covey__act kind, const float *x, int32_t columns, int32_t tokens) {
    *memory = case_alloc(covey__activations_bytes(kind, columns, tokens));
    covey__activations_init(a, kind, columns, tokens, *memory);
    k->activations(a, x, (size_t)columns, 0, tokens);
}

/* Runs a product by `set` into fresh outputs, in ranges of `step` rows. */
static float *run(covey__isa set, const covey__weights *w, const float *x, int32_t tokens,
                  int32_t step) {
    const covey__kernels *k = covey__kernels_get(set);
    assert_int_equal(k->isa, set);
    covey__activations a;
    void *memory, *scratch = case_alloc(covey__product_scratch_bytes(w->columns));
    set_activations(k, &a, &memory, covey__kernel_act(w->type), x, w->columns, tokens);
    size_t stride = (size_t)w->rows + 3;
    float *out = case_alloc(stride * (size_t)tokens * sizeof(float));
    covey__product p = {w, &a, out, stride};
    for (int32_t r = 0; r < w->rows; r += step)
        k->product(&p, r, w->rows - r < step ? w->rows : r + step, w->data, scratch);
    free(memory);
    free(scratch);
    return out;
}

static void fill_inputs(uint64_t *seed, float *x, size_t n, int kind) {
    for (size_t i = 0; i < n; i++) {
        float v = case_value(seed);
        if (kind == 1) v = case_random(seed) & 1 ? 3.0f : -3.0f; /* every value at the border */
        if (kind == 2) v *= 0x1p-39f;                            /* blocks around the cut */
        if (kind == 3) v = (i / 256) % 2 ? 0.0f : v * 0x1p-130f; /* zero and subnormal */
        if (kind == 4) v *= 0x1p90f;
        if (kind == 5) v = (i / 32) % 3 ? v : 0.0f;
        x[i] = v;
    }
}

static void compare(uint64_t *seed, uint32_t type, shape s, int kind) {
    covey__weights w;
    void *data = case_weights(seed, type, s.rows, s.columns, &w);
    size_t inputs = (size_t)s.columns * (size_t)s.tokens, stride = (size_t)s.rows + 3;
    float *x = malloc(inputs * sizeof *x);
    fill_inputs(seed, x, inputs, kind);
    float *want = run(COVEY__ISA_SCALAR, &w, x, s.tokens, s.rows);
    covey__isa sets[COVEY__ISA_COUNT];
    int count = case_sets(sets);
    for (int i = 0; i < count; i++) {
        int32_t steps[2] = {s.rows, 1 + (int32_t)(case_random(seed) % (uint32_t)s.rows)};
        for (int j = 0; j < 2; j++) {
            char what[128];
            snprintf(what, sizeof what, "type %u, %s, %d rows by %d, %d tokens, inputs %d, step %d",
                     type, covey__isa_name(sets[i]), s.rows, s.columns, s.tokens, kind, steps[j]);
            float *got = run(sets[i], &w, x, s.tokens, steps[j]);
            for (int32_t t = 0; t < s.tokens; t++)
                assert_same_bits(want + (size_t)t * stride, got + (size_t)t * stride,
                                 (size_t)s.rows, what);
            free(got);
        }
    }
    free(want);
    free(x);
    free(data);
}

static void sets_agree(void **state) {
    (void)state;
    uint64_t seed = 88172645463325252u;
    static const int32_t rows[] = {1, 7, 16, 33, 50}, tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 13};
    static const int32_t blocks[] = {1, 2, 3, 5, 33, 35};
    for (size_t t = 0; t < CASE_TYPES; t++) {
        uint32_t type = case_types[t];
        int32_t unit = covey__kernel_block(type) == 1 ? 17 : covey__kernel_block(type);
        int count = 0;
        for (size_t r = 0; r < 5; r++)
            for (size_t n = 0; n < 9; n++)
                for (size_t b = 0; b < (unit == 256 ? 4u : 6u); b++)
                    compare(&seed, type, (shape){rows[r], unit * blocks[b], tokens[n]},
                            count++ % 6);
    }
}

static void sets_agree_on_large_shapes(void **state) {
    (void)state;
    uint64_t seed = 521288629u;
    for (size_t t = 0; t < CASE_TYPES; t++) {
        compare(&seed, case_types[t], (shape){40, 8192, 1}, 0);
        compare(&seed, case_types[t], (shape){40, 9472, 9}, 0);
        compare(&seed, case_types[t], (shape){97, 1280, 65}, 0);
        compare(&seed, case_types[t], (shape){33, 2304, 50}, 0);
    }
}

/* Weights and activations at the ends of their ranges, where narrow sums would run over. */
static void extremes_fit(void **state) {
    (void)state;
    uint64_t seed = 314159265u;
    static const uint8_t patterns[] = {0x00, 0xff, 0x7f, 0x80, 0x0f, 0xf0, 0x3f};
    const int32_t rows = 17, columns = 512, tokens = 7;
    const size_t stride = (size_t)rows + 3;
    covey__isa sets[COVEY__ISA_COUNT];
    int count = case_sets(sets);
    float *x = malloc((size_t)(columns * tokens) * sizeof *x);
    for (int32_t i = 0; i < columns * tokens; i++) /* all the same sign, or by turns */
        x[i] = i / columns % 2 && i % 2 ? -1.0f : i / columns % 3 ? 1.0f : -1.0f;
    for (size_t t = 3; t < CASE_TYPES; t++) {
        covey__weights w;
        uint8_t *data = case_weights(&seed, case_types[t], rows, columns, &w);
        case_halves halves = case_halves_of(case_types[t]);
        for (size_t n = 0; n < sizeof patterns; n++) {
            memset(data, patterns[n], w.row_bytes * (size_t)rows);
            for (size_t at = halves.at; at < w.row_bytes * (size_t)rows; at += halves.bytes)
                for (size_t i = 0; i < halves.count; i++)
                    memcpy(data + at + 2 * i, &(uint16_t){0x3c00}, 2); /* 1 */
            for (int32_t size = 1; size <= tokens; size += tokens - 1) {
                float *want = run(COVEY__ISA_SCALAR, &w, x, size, rows);
                for (int s = 0; s < count; s++) {
                    float *got = run(sets[s], &w, x, size, rows);
                    for (int32_t i = 0; i < size; i++)
                        assert_same_bits(want + (size_t)i * stride, got + (size_t)i * stride,
                                         (size_t)rows, covey__isa_name(sets[s]));
                    free(got);
                }
                free(want);
            }
        }
        free(data);
    }
    free(x);
}

/* A token alone, among others in any place, and in a plain or packed layout. */
static void batch_does_not_matter(void **state) {
    (void)state;
    uint64_t seed = 362436069u;
    const int32_t rows = 37, columns = 512, tokens = 14;
    for (size_t t = 0; t < CASE_TYPES; t++) {
        covey__weights w;
        void *data = case_weights(&seed, case_types[t], rows, columns, &w);
        float *x = malloc((size_t)(columns * tokens) * sizeof *x);
        fill_inputs(&seed, x, (size_t)(columns * tokens), 0);
        for (int set = 0; set < COVEY__ISA_COUNT; set++) {
            if (!covey__cpu_has((covey__isa)set)) continue;
            float *all = run((covey__isa)set, &w, x, tokens, rows);
            for (int32_t size = 1; size <= 7; size++) {
                for (int32_t i = 0; i + size <= tokens; i += size) {
                    float *some = run((covey__isa)set, &w, x + i * columns, size, rows);
                    for (int32_t j = 0; j < size; j++)
                        assert_same_bits(all + (i + j) * (rows + 3), some + j * (rows + 3),
                                         (size_t)rows, "a smaller batch");
                    free(some);
                }
            }
            free(all);
        }
        free(x);
        free(data);
    }
}

/* A NaN or an infinity among the inputs must show in every output of its token and in no other. */
static void special_inputs_show(void **state) {
    (void)state;
    uint64_t seed = 2463534242u;
    const int32_t rows = 19, columns = 512, tokens = 5;
    static const uint32_t specials[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u};
    for (size_t t = 3; t < CASE_TYPES; t++) {
        covey__weights w;
        void *data = case_weights(&seed, case_types[t], rows, columns, &w);
        for (int set = 0; set < COVEY__ISA_COUNT; set++) {
            if (!covey__cpu_has((covey__isa)set)) continue;
            float *x = malloc((size_t)(columns * tokens) * sizeof *x);
            fill_inputs(&seed, x, (size_t)(columns * tokens), 0);
            memcpy(x + 2 * columns + 300, &specials[t % 4], 4);
            float *out = run((covey__isa)set, &w, x, tokens, rows);
            for (int32_t i = 0; i < tokens; i++)
                for (int32_t r = 0; r < rows; r++)
                    assert_int_equal(covey__finite(out + i * (rows + 3) + r, 1), i != 2);
            free(out);
            free(x);
        }
        free(data);
    }
}

/* Plain layout, whatever the table: a NaN scale and zeros for the block, as the definition says. */
static void activations_agree(void **state) {
    (void)state;
    uint64_t seed = 123456789u;
    covey__isa sets[COVEY__ISA_COUNT];
    int count = case_sets(sets);
    static const int32_t tokens[] = {1, 2, 3, 6, 8};
    for (int kind = 0; kind < COVEY__ACT_KINDS; kind++) {
        for (int n = 0; n < 30; n++) {
            int32_t columns = kind == COVEY__ACT_F32 ? 172 : 768, t = tokens[n % 5];
            size_t values = (size_t)(columns * t);
            float *x = malloc(values * sizeof *x);
            fill_inputs(&seed, x, values, n % 6);
            if (n > 20 && kind != COVEY__ACT_F32) memcpy(x + 40, &(uint32_t){0x7fc01234u}, 4);
            size_t bytes = covey__activations_bytes((covey__act)kind, columns, t);
            uint8_t *want = calloc(1, bytes + 64), *got = calloc(1, bytes + 64);
            covey__activations a;
            covey__activations_init(&a, (covey__act)kind, columns, t, want);
            covey__kernels_get(COVEY__ISA_SCALAR)->activations(&a, x, (size_t)columns, 0, t);
            for (int s = 0; s < count; s++) {
                memset(got, 0, bytes);
                covey__activations_init(&a, (covey__act)kind, columns, t, got);
                for (int32_t i = 0; i < t; i++)
                    covey__kernels_get(sets[s])->activations(&a, x, (size_t)columns, i, i + 1);
                assert_memory_equal(want, got, bytes);
            }
            free(x);
            free(want);
            free(got);
        }
    }
}

/* The borders of the definition, by hand, for every table: the cut at 2^-40, a block of zeros,
 * ties, and a NaN. */
static void borders_of_activations(void **state) {
    (void)state;
    for (int set = 0; set < COVEY__ISA_COUNT; set++) {
        if (!covey__cpu_has((covey__isa)set)) continue;
        for (int kind = COVEY__ACT_Q32; kind < COVEY__ACT_KINDS; kind++) {
            int32_t n = kind == COVEY__ACT_Q32 ? 32 : 256;
            float x[5 * 256] = {0};
            x[3] = -0x1p-40f;           /* at the cut: counts */
            x[n + 3] = 0x1.fffffep-41f; /* below it: zero */
            x[3 * n] = 127.0f;          /* factor 1: the value itself is rounded */
            x[3 * n + 1] = 2.5f;        /* ties go to even */
            x[3 * n + 2] = -3.5f;
            x[3 * n + 3] = -127.0f;
            memcpy(x + 4 * n + 7, &(uint32_t){0xffc00000u}, 4);
            x[4 * n + 8] = 1.0f;
            covey__activations a;
            void *memory;
            set_activations(covey__kernels_get((covey__isa)set), &a, &memory, (covey__act)kind, x,
                            5 * n, 1);
            assert_true(a.d[0] == 0x1p-40f / 127.0f && a.q[3] == -127 && a.q[4] == 0);
            assert_true(a.d[1] == 0.0f && a.q[n + 3] == 0 && a.d[2] == 0.0f);
            const int8_t *q = a.q + 3 * n;
            assert_true(a.d[3] == 1.0f && q[0] == 127 && q[1] == 2 && q[2] == -4 && q[3] == -127);
            assert_true(a.d[4] != a.d[4] && a.q[4 * n + 7] == 0 && a.q[4 * n + 8] == 0);
            free(memory);
        }
    }
}

/* What the activations stand for; each must be within half a step of its input. */
static void read_back(const covey__activations *a, const float *x, double *back) {
    int32_t block = a->kind == COVEY__ACT_Q256 ? 256 : 32;
    for (int32_t i = 0; i < a->columns; i++) {
        bool whole = a->kind == COVEY__ACT_F32;
        double step = whole ? 0.0 : (double)a->d[i / block];
        back[i] = whole ? (double)a->x[i] : (double)a->q[i] * step;
        double error = back[i] - (double)x[i];
        assert_true(error <= step * 0.50001 && error >= step * -0.50001);
    }
}

/* Against double precision: the definition itself must be a product of the decoded weights and the
 * rounded activations. */
static void definition_is_a_product(void **state) {
    (void)state;
    uint64_t seed = 42u;
    enum { ROWS = 9, COLUMNS = 1024 };
    for (size_t t = 0; t < CASE_TYPES; t++) {
        uint32_t type = case_types[t];
        float x[COLUMNS], row[COLUMNS];
        double back[COLUMNS];
        for (int32_t i = 0; i < COLUMNS; i++) x[i] = case_value(&seed);
        covey__activations a;
        void *memory;
        set_activations(covey__kernels_get(COVEY__ISA_SCALAR), &a, &memory, covey__kernel_act(type),
                        x, COLUMNS, 1);
        read_back(&a, x, back);
        free(memory);
        covey__weights w;
        uint8_t *data = case_weights(&seed, type, ROWS, COLUMNS, &w);
        assert_int_equal(covey__weights_check(&w, 0, ROWS), -1);
        float *out = run(COVEY__ISA_SCALAR, &w, x, 1, ROWS);
        for (int32_t r = 0; r < ROWS; r++) {
            double sum = 0.0, size = 0.0;
            covey__row_decode(type, data + (size_t)r * w.row_bytes, COLUMNS, row);
            for (int32_t i = 0; i < COLUMNS; i++) {
                sum += (double)row[i] * back[i];
                size += (double)row[i] * (double)row[i] * back[i] * back[i];
            }
            double error = (double)out[r] - sum;
            assert_true(error * error <= 1e-11 * size);
        }
        free(out);
        free(data);
    }
}

/* FNV-1a (Fowler, Noll, Vo). */
static uint64_t digest(const void *data, size_t size) {
    const uint8_t *bytes = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

/* Arithmetic version 1: products of each type, and their decoded rows, as they were when the type
 * was added. A difference here needs a new version, not a new digest. */
static void bits_are_those_of_version_1(void **state) {
    (void)state;
    assert_int_equal(COVEY__ARITHMETIC_VERSION, 1);
    static const uint64_t want[CASE_TYPES][2] = {
        {0x3fef3b7c438af5adu, 0xb6163f288b3a9fb4u}, {0x70dd7a5b1ecb9f77u, 0xe5d7b26f28427430u},
        {0xf926f3b82dd80476u, 0x1a632cc722ac3912u}, {0x153b18194e05b312u, 0x00196d02511686beu},
        {0x3f21003b30c0f7ccu, 0x4f8ba509691735eau}, {0xc290df9a16533cf8u, 0xe710d2682e2657f5u},
        {0x6e3c38114a3806c2u, 0x2e8b1b3b703069ffu}, {0xddc5a9274fd3606eu, 0x8164ebbfab9ed4bbu},
        {0xbf40f588e60333e4u, 0x721b0414d455d1cau}, {0x479b63aa6f3b899au, 0xd60fdfa83ebdb652u},
        {0x3f995b0239aa7eacu, 0xaf63dc2b9c08dba3u}, {0x948c9aa82bef939du, 0x1c500e0ba2dd768du},
        {0xdbbbce3e412b65f7u, 0x0727510035aea831u}, {0x2d3b353fbc8ebe6cu, 0x983205d5f08fb5bcu},
        {0x396c33ae4db6d148u, 0xdd0b46f2e30525f1u},
    };
    enum { ROWS = 7, COLUMNS = 1536, TOKENS = 3 };
    for (size_t t = 0; t < CASE_TYPES; t++) {
        uint64_t seed = 20261120u + case_types[t];
        covey__weights w;
        uint8_t *data = case_weights(&seed, case_types[t], ROWS, COLUMNS, &w);
        float x[COLUMNS * TOKENS], row[COLUMNS], all[ROWS * TOKENS];
        fill_inputs(&seed, x, COLUMNS * TOKENS, 0);
        float *out = run(COVEY__ISA_SCALAR, &w, x, TOKENS, ROWS);
        for (size_t i = 0; i < TOKENS; i++)
            memcpy(all + i * ROWS, out + i * (ROWS + 3), ROWS * sizeof *out);
        covey__row_decode(w.type, data + 3 * w.row_bytes, COLUMNS, row);
        uint64_t product = digest(all, sizeof all), decoded = digest(row, sizeof row);
        if (product != want[t][0] || decoded != want[t][1])
            fail_msg("type %u: {0x%016llxu, 0x%016llxu}", case_types[t],
                     (unsigned long long)product, (unsigned long long)decoded);
        free(out);
        free(data);
    }
}

static void check_names_the_row(void **state) {
    (void)state;
    uint64_t seed = 7u;
    for (size_t t = 0; t < CASE_TYPES; t++) {
        covey__weights w;
        uint8_t *data = case_weights(&seed, case_types[t], 5, 512, &w);
        assert_int_equal(covey__weights_check(&w, 0, 5), -1);
        case_halves halves = case_halves_of(case_types[t]);
        bool floats = covey__kernel_act(case_types[t]) == COVEY__ACT_F32;
        size_t at = 3 * w.row_bytes; /* the last half of the second block */
        if (!floats) at += halves.bytes + halves.at + 2 * (halves.count - 1);
        uint16_t infinity = case_types[t] == COVEY__KT_BF16 ? 0xff80 : 0x7c00;
        uint32_t wide = 0x7f800001u;
        if (case_types[t] == COVEY__KT_F32)
            memcpy(data + at, &wide, 4);
        else
            memcpy(data + at, &infinity, 2);
        assert_int_equal(covey__weights_check(&w, 0, 5), 3);
        assert_int_equal(covey__weights_check(&w, 0, 3), -1);
        free(data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_agree),
        cmocka_unit_test(sets_agree_on_large_shapes),
        cmocka_unit_test(extremes_fit),
        cmocka_unit_test(batch_does_not_matter),
        cmocka_unit_test(special_inputs_show),
        cmocka_unit_test(activations_agree),
        cmocka_unit_test(borders_of_activations),
        cmocka_unit_test(definition_is_a_product),
        cmocka_unit_test(bits_are_those_of_version_1),
        cmocka_unit_test(check_names_the_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
