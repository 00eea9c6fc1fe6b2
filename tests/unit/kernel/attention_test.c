/* Attention: every instruction set gives the definition's bits over head sizes, group sizes, page
 * fills, token blocks, KV types, windows and encoders; and results do not depend on how tokens and
 * heads are split. */
#include "kernel_cases.h"

typedef struct setup {
    int32_t head_dim, heads, tokens, position, kv_heads;
    covey__kv_type kv;
    int32_t window;
    bool both_ways; /* bidirectional */
} setup;

typedef struct cache {
    uint8_t *memory;
    void *pages[64];
    int32_t count;
    size_t page_bytes;
} cache;

static size_t head_bytes(const setup *s) {
    return covey__page_k_bytes(s->kv, s->head_dim) + covey__page_v_bytes(s->kv, s->head_dim);
}

/* Pages zeroed, then filled with the keys of all positions; pages in a scrambled order of memory.
 * Pages that no token sees are not there. */
static cache make_cache(uint64_t *seed, const setup *s) {
    cache c;
    int32_t keys = s->position + s->tokens, unseen = 0;
    c.count = (keys + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS;
    c.page_bytes = head_bytes(s) * (size_t)s->kv_heads;
    size_t size = (size_t)c.count * c.page_bytes;
    c.memory = case_alloc(size);
    memset(c.memory, 0, size);
    for (int32_t p = 0; p < c.count; p++)
        c.pages[p] = c.memory + (size_t)((p + 1) % c.count) * c.page_bytes;
    float k[COVEY__HEAD_DIM_MAX], v[COVEY__HEAD_DIM_MAX];
    for (int32_t j = 0; j < keys; j++) {
        for (int32_t h = 0; h < s->kv_heads; h++) {
            for (int32_t d = 0; d < s->head_dim; d++) {
                k[d] = case_value(seed);
                v[d] = case_value(seed);
            }
            uint8_t *page = (uint8_t *)c.pages[j / COVEY__PAGE_KEYS] + head_bytes(s) * (size_t)h;
            assert_true(covey__page_put(s->kv, page, page + covey__page_k_bytes(s->kv, s->head_dim),
                                        s->head_dim, j % COVEY__PAGE_KEYS, k, v));
        }
    }
    if (s->window && !s->both_ways) unseen = (s->position - s->window + 1) / COVEY__PAGE_KEYS;
    for (int32_t p = 0; p < unseen; p++) c.pages[p] = NULL;
    return c;
}

static void run(covey__isa set, const setup *s, const cache *c, const float *q, float *out,
                int32_t t0, int32_t t1, int32_t heads_together) {
    void *scratch =
        case_alloc(covey__attention_scratch_bytes(s->head_dim, s->position + s->tokens));
    size_t stride = (size_t)(s->head_dim * s->heads * s->kv_heads);
    for (int32_t kv = 0; kv < s->kv_heads; kv++) {
        for (int32_t h = 0; h < s->heads; h += heads_together) {
            size_t at = (size_t)((kv * s->heads + h) * s->head_dim) + (size_t)t0 * stride;
            size_t offset = head_bytes(s) * (size_t)kv;
            covey__attention a = {.pages = (const void *const *)c->pages,
                                  .k_offset = offset,
                                  .v_offset = offset + covey__page_k_bytes(s->kv, s->head_dim),
                                  .kv = s->kv,
                                  .head_dim = s->head_dim,
                                  .heads =
                                      s->heads - h < heads_together ? s->heads - h : heads_together,
                                  .tokens = t1 - t0,
                                  .position = s->position + t0,
                                  .window = s->window,
                                  .keys = s->both_ways ? s->position + s->tokens : 0,
                                  .scale = 0.37f,
                                  .q = q + at,
                                  .q_stride = stride,
                                  .out = out + at,
                                  .out_stride = stride};
            covey__kernels_get(set)->attention(&a, scratch);
        }
    }
    free(scratch);
}

static void compare(uint64_t *seed, const setup *s) {
    cache c = make_cache(seed, s);
    size_t n = (size_t)(s->head_dim * s->heads * s->kv_heads * s->tokens);
    float *q = malloc(n * sizeof *q), *want = case_alloc(n * sizeof *q);
    for (size_t i = 0; i < n; i++) q[i] = case_value(seed);
    run(COVEY__ISA_SCALAR, s, &c, q, want, 0, s->tokens, s->heads);
    for (int set = 0; set < COVEY__ISA_COUNT; set++) {
        if (!covey__cpu_has((covey__isa)set)) continue;
        for (int32_t step = s->tokens; step > 0; step = step > 3 ? 3 : step > 1 ? 1 : 0) {
            for (int32_t together = s->heads; together > 0; together /= 2) {
                char what[160];
                snprintf(what, sizeof what,
                         "%s, KV type %d, head of %d, %d heads, %d tokens from %d, window %d%s, "
                         "by %d",
                         covey__isa_name((covey__isa)set), (int)s->kv, s->head_dim, s->heads,
                         s->tokens, s->position, s->window, s->both_ways ? ", both ways" : "",
                         step);
                float *got = case_alloc(n * sizeof *q);
                for (int32_t t = 0; t < s->tokens; t += step)
                    run((covey__isa)set, s, &c, q, got, t,
                        s->tokens - t < step ? s->tokens : t + step, together);
                assert_same_bits(want, got, n, what);
                free(got);
            }
        }
    }
    free(q);
    free(want);
    free(c.memory);
}

static void sets_agree(void **state) {
    (void)state;
    uint64_t seed = 88172645463325252u;
    static const int32_t dims[] = {8, 20, 32, 64, 80, 96, 128, 160};
    static const int32_t heads[] = {1, 2, 3, 4, 7, 8};
    static const int32_t tokens[] = {1, 2, 5, 9}, positions[] = {0, 1, 30, 31, 32, 63, 130};
    int n = 0;
    for (size_t d = 0; d < 8; d++)
        for (size_t h = 0; h < 6; h++)
            for (size_t t = 0; t < 4; t++, n++) {
                covey__kv_type kv = (covey__kv_type)(n % 3);
                if (kv == COVEY__KV_Q8_0 && dims[d] % 32 != 0) kv = COVEY__KV_F16;
                compare(&seed, &(setup){.head_dim = dims[d],
                                        .heads = heads[h],
                                        .tokens = tokens[t],
                                        .position = positions[n % 7],
                                        .kv_heads = 1 + n % 2,
                                        .kv = kv});
            }
}

/* Windows shorter than a page, at its border, across several; one token to many. */
static void windows_agree(void **state) {
    (void)state;
    uint64_t seed = 4711u;
    static const int32_t windows[] = {1, 2, 15, 16, 31, 32, 33, 64, 70, 1000};
    static const int32_t positions[] = {0, 1, 31, 32, 60, 95, 200};
    static const int32_t tokens[] = {1, 3, 10, 40};
    int n = 0;
    for (size_t w = 0; w < 10; w++)
        for (size_t p = 0; p < 7; p++, n++)
            compare(&seed, &(setup){.head_dim = n % 2 ? 64 : 32,
                                    .heads = 1 + n % 5,
                                    .tokens = tokens[n % 4],
                                    .position = positions[p],
                                    .kv_heads = 1,
                                    .kv = (covey__kv_type)(n % 3),
                                    .window = windows[w]});
}

/* An encoder: every token sees all, however the tokens are split; a window is not looked at. */
static void encoders_agree(void **state) {
    (void)state;
    uint64_t seed = 31337u;
    static const int32_t tokens[] = {1, 2, 31, 32, 33, 70};
    for (int n = 0; n < 18; n++)
        compare(&seed, &(setup){.head_dim = 32,
                                .heads = n % 2 ? 12 : 1,
                                .tokens = tokens[n % 6],
                                .kv_heads = 1 + n / 6,
                                .kv = (covey__kv_type)(n / 6),
                                .window = n % 3 ? 0 : 5,
                                .both_ways = true});
}

static void sets_agree_on_long_contexts(void **state) {
    (void)state;
    uint64_t seed = 99u;
    for (int kv = 0; kv < (int)COVEY__KV_TYPES; kv++) {
        compare(&seed, &(setup){64, 4, 1, 1500, 1, .kv = (covey__kv_type)kv});
        compare(&seed, &(setup){64, 4, 70, 0, 2, .kv = (covey__kv_type)kv});
        compare(&seed, &(setup){96, 1, 1, 777, 1, .kv = (covey__kv_type)kv});
    }
}

/* One key: the weight is 1 and the value comes through as it is. */
static void one_key_is_its_value(void **state) {
    (void)state;
    uint64_t seed = 5u;
    setup s = {.head_dim = 64, .heads = 2, .tokens = 1, .kv_heads = 1};
    cache c = make_cache(&seed, &s);
    float q[128], out[128];
    for (int i = 0; i < 128; i++) q[i] = case_value(&seed);
    for (int set = 0; set < COVEY__ISA_COUNT; set++) {
        if (!covey__cpu_has((covey__isa)set)) continue;
        run((covey__isa)set, &s, &c, q, out, 0, 1, 2);
        const float *v = (const float *)c.pages[0] + 64 * COVEY__PAGE_KEYS;
        assert_same_bits(v, out, 64, "value of the only key");
        assert_same_bits(v, out + 64, 64, "value of the only key");
    }
    free(c.memory);
}

/* The definition against double precision. */
static void definition_is_attention(void **state) {
    (void)state;
    uint64_t seed = 17u;
    setup s = {.head_dim = 32, .heads = 1, .tokens = 1, .position = 99, .kv_heads = 1};
    cache c = make_cache(&seed, &s);
    float q[32], out[32];
    double weights[100], sum = 0.0;
    for (int d = 0; d < 32; d++) q[d] = case_value(&seed);
    run(COVEY__ISA_SCALAR, &s, &c, q, out, 0, 1, 1);
    for (int j = 0; j < 100; j++) {
        double score = 0.0;
        for (int d = 0; d < 32; d++)
            score += (double)q[d] * (double)((const float *)c.pages[j / 32])[d * 32 + j % 32];
        weights[j] = covey__exp_f64(score * (double)0.37f);
        sum += weights[j];
    }
    for (int d = 0; d < 32; d++) {
        double value = 0.0;
        for (int j = 0; j < 100; j++)
            value +=
                weights[j] * (double)((const float *)c.pages[j / 32])[32 * 32 + (j % 32) * 32 + d];
        assert_true(value / sum - (double)out[d] < 1e-5 && value / sum - (double)out[d] > -1e-5);
    }
    free(c.memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_agree),           cmocka_unit_test(windows_agree),
        cmocka_unit_test(encoders_agree),       cmocka_unit_test(sets_agree_on_long_contexts),
        cmocka_unit_test(one_key_is_its_value), cmocka_unit_test(definition_is_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
