/* KV pages: what a key and a value become in each type, where they lie, and what does not fit. */
#include <math.h>

#include "kernel_cases.h"

#define DIM 96

typedef struct page {
    uint8_t *k, *v;
} page;

static page make_page(covey__kv_type kv) {
    page p;
    size_t k = covey__page_k_bytes(kv, DIM), v = covey__page_v_bytes(kv, DIM);
    assert_true(k % 64 == 0 && v % 64 == 0);
    p.k = case_alloc(k + v);
    memset(p.k, 0, k + v);
    p.v = p.k + k;
    return p;
}

static uint16_t half_at(const uint8_t *p, size_t index) {
    uint16_t h;
    memcpy(&h, p + 2 * index, 2);
    return h;
}

static void sizes_are_those_of_the_layout(void **state) {
    (void)state;
    assert_int_equal(covey__page_k_bytes(COVEY__KV_F32, 80), 80 * 32 * 4);
    assert_int_equal(covey__page_k_bytes(COVEY__KV_F16, 80), 80 * 32 * 2);
    assert_int_equal(covey__page_k_bytes(COVEY__KV_Q8_0, 64), 64 * 32 + 2 * 32 * 2);
    for (int kv = 0; kv < (int)COVEY__KV_TYPES; kv++)
        assert_int_equal(covey__page_v_bytes((covey__kv_type)kv, 128),
                         covey__page_k_bytes((covey__kv_type)kv, 128));
}

static void f16_is_rounded(void **state) {
    (void)state;
    uint64_t seed = 7u;
    page p = make_page(COVEY__KV_F16);
    float k[DIM], v[DIM];
    for (int32_t slot = 0; slot < COVEY__PAGE_KEYS; slot += 31) {
        for (int i = 0; i < DIM; i++) {
            k[i] = case_value(&seed) * (i % 5 ? 1.0f : 1e-6f);
            v[i] = case_value(&seed) * (i % 7 ? 1.0f : 1e4f);
        }
        assert_true(covey__page_put(COVEY__KV_F16, p.k, p.v, DIM, slot, k, v));
        for (int i = 0; i < DIM; i++) {
            assert_int_equal(half_at(p.k, (size_t)(i * 32 + slot)), covey__f32_to_f16(k[i]));
            assert_int_equal(half_at(p.v, (size_t)(slot * DIM + i)), covey__f32_to_f16(v[i]));
        }
    }
    free(p.k);
}

static void what_f16_cannot_hold_is_told(void **state) {
    (void)state;
    page p = make_page(COVEY__KV_F16);
    float k[DIM] = {0}, v[DIM] = {0};
    k[3] = 65519.0f; /* rounds down to 65504 */
    assert_true(covey__page_put(COVEY__KV_F16, p.k, p.v, DIM, 0, k, v));
    k[3] = 65520.0f;
    assert_false(covey__page_put(COVEY__KV_F16, p.k, p.v, DIM, 1, k, v));
    assert_int_equal(half_at(p.k, 3 * 32 + 1), 0x7bff);
    k[3] = 0.0f;
    v[9] = -1e30f;
    assert_false(covey__page_put(COVEY__KV_F16, p.k, p.v, DIM, 2, k, v));
    assert_int_equal(half_at(p.v, 2 * DIM + 9), 0xfbff);
    assert_true(covey__page_put(COVEY__KV_F32, p.k, p.v, DIM / 2, 2, k, v));
    free(p.k);
    p = make_page(COVEY__KV_Q8_0);
    assert_false(covey__page_put(COVEY__KV_Q8_0, p.k, p.v, DIM, 2, k, v));
    v[9] = 8e6f; /* its scale still fits */
    assert_true(covey__page_put(COVEY__KV_Q8_0, p.k, p.v, DIM, 2, k, v));
    free(p.k);
}

/* Within half a step of the stored scale, and 127 where the greatest is. */
static void q8_0_is_near(void **state) {
    (void)state;
    uint64_t seed = 11u;
    page p = make_page(COVEY__KV_Q8_0);
    for (int32_t slot = 0; slot < COVEY__PAGE_KEYS; slot++) {
        float k[DIM], v[DIM];
        for (int i = 0; i < DIM; i++) {
            k[i] = case_value(&seed) * (slot % 3 ? 1.0f : 1e-3f);
            v[i] = i < 32 ? 0.0f : i < 64 ? 1e-9f : case_value(&seed);
        }
        assert_true(covey__page_put(COVEY__KV_Q8_0, p.k, p.v, DIM, slot, k, v));
        for (int i = 0; i < DIM; i++) {
            float d = covey__f16_to_f32(half_at(p.k + DIM * 32, (size_t)(i / 32 * 32 + slot)));
            float got = (float)(int8_t)p.k[i * 32 + slot] * d;
            assert_true(fabsf(got - k[i]) <= d * 0.57f);
            d = covey__f16_to_f32(half_at(p.v + DIM * 32, (size_t)(slot * (DIM / 32) + i / 32)));
            assert_true((d == 0.0f) == (i < 64));
            got = (float)(int8_t)p.v[slot * DIM + i] * d;
            assert_true(fabsf(got - v[i]) <= d * 0.57f + 1e-9f);
            assert_true((int8_t)p.v[slot * DIM + i] != -128);
        }
    }
    free(p.k);
}

/* Every kind of value: as covey__f32_to_f16 makes them, one at a time. */
static void halves_are_those_of_single_values(void **state) {
    (void)state;
    uint64_t seed = 7u;
    static const uint32_t edges[] = {0x33000000u, 0x33000001u, 0x387fffffu, 0x38800000u,
                                     0x477fefffu, 0x38801000u, 0x38803000u, 0x00000001u};
    for (int n = 0; n < 2000; n++) {
        float k[DIM], v[DIM];
        for (int i = 0; i < DIM; i++) {
            uint32_t bits = case_random(&seed) % 0x477ff000u, sign = case_random(&seed) << 31;
            if (i < 8) bits = edges[i];
            bits |= sign;
            memcpy(k + i, &bits, 4);
            v[DIM - 1 - i] = k[i];
        }
        uint16_t k_page[DIM * COVEY__PAGE_KEYS], v_page[DIM * COVEY__PAGE_KEYS];
        int slot = n % COVEY__PAGE_KEYS;
        assert_true(covey__page_put(COVEY__KV_F16, k_page, v_page, DIM, slot, k, v));
        for (int i = 0; i < DIM; i++) {
            assert_int_equal(k_page[i * COVEY__PAGE_KEYS + slot], covey__f32_to_f16(k[i]));
            assert_int_equal(v_page[slot * DIM + i], covey__f32_to_f16(v[i]));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_those_of_single_values),
        cmocka_unit_test(sizes_are_those_of_the_layout),
        cmocka_unit_test(f16_is_rounded),
        cmocka_unit_test(what_f16_cannot_hold_is_told),
        cmocka_unit_test(q8_0_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
