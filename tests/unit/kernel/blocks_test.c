/* Blocks made by hand, byte by byte from ggml's published layouts, against what they decode to. */
#include "kernel_cases.h"

static void put16(uint8_t *to, uint16_t value) {
    memcpy(to, &value, 2);
}

enum { ONE = 0x3c00, HALF = 0x3800, QUARTER = 0x3400, TWO = 0x4000 };

static void expect(uint32_t type, const uint8_t *data, int32_t columns, int32_t i, float want) {
    float out[256];
    covey__row_decode(type, data, columns, out);
    if (out[i] != want)
        fail_msg("type %u: value %d is %g, expected %g", type, i, (double)out[i], (double)want);
}

static void blocks_of_32(void **state) {
    (void)state;
    uint8_t q4_1[20] = {0}, q5_0[22] = {0}, q5_1[24] = {0}, iq4[18] = {0};
    put16(q4_1, HALF);
    put16(q4_1 + 2, TWO);
    q4_1[4 + 5] = 0xb3; /* values 5 and 21 */
    expect(COVEY__KT_Q4_1, q4_1, 32, 5, 0.5f * 3 + 2);
    expect(COVEY__KT_Q4_1, q4_1, 32, 21, 0.5f * 11 + 2);
    expect(COVEY__KT_Q4_1, q4_1, 32, 0, 2.0f);

    put16(q5_0, HALF);
    q5_0[2 + 0] = 1 << 5; /* fifth bit of value 5 */
    q5_0[2 + 2] = 1 << 6; /* and of 22 */
    q5_0[6 + 5] = 0xb3;
    q5_0[6 + 6] = 0xb3;
    expect(COVEY__KT_Q5_0, q5_0, 32, 5, 0.5f * (19 - 16));
    expect(COVEY__KT_Q5_0, q5_0, 32, 21, 0.5f * (11 - 16));
    expect(COVEY__KT_Q5_0, q5_0, 32, 6, 0.5f * (3 - 16));
    expect(COVEY__KT_Q5_0, q5_0, 32, 22, 0.5f * (27 - 16));

    put16(q5_1, QUARTER);
    put16(q5_1 + 2, TWO);
    q5_1[4 + 3] = 0x80; /* value 31 */
    q5_1[8 + 15] = 0xf1;
    expect(COVEY__KT_Q5_1, q5_1, 32, 15, 0.25f * 1 + 2);
    expect(COVEY__KT_Q5_1, q5_1, 32, 31, 0.25f * 31 + 2);

    put16(iq4, TWO);
    iq4[2 + 1] = 0xf0;
    expect(COVEY__KT_IQ4_NL, iq4, 32, 1, -254.0f);
    expect(COVEY__KT_IQ4_NL, iq4, 32, 17, 226.0f);
    iq4[2 + 1] = 0x87;
    expect(COVEY__KT_IQ4_NL, iq4, 32, 1, -20.0f);
    expect(COVEY__KT_IQ4_NL, iq4, 32, 17, 2.0f);
}

static void q2_k(void **state) {
    (void)state;
    uint8_t w[84] = {0};
    put16(w + 80, HALF);
    put16(w + 82, QUARTER);
    w[0] = 0x53;              /* values 0 to 15: scale 3, min 5 */
    w[8 + 5] = 0x2f;          /* values 208 to 223: the second half, run 2, upper 16 */
    w[16 + 4] = 0x02;         /* values 4, 36, 68, 100 by twos of bits */
    w[16 + 32 + 20] = 3 << 4; /* value 128 + 64 + 20 */
    expect(COVEY__KT_Q2_K, w, 256, 4, 0.5f * 3 * 2 - 0.25f * 5);
    expect(COVEY__KT_Q2_K, w, 256, 5, -0.25f * 5);
    expect(COVEY__KT_Q2_K, w, 256, 36, 0.0f);
    expect(COVEY__KT_Q2_K, w, 256, 212, 0.5f * 15 * 3 - 0.25f * 2);
}

static void q3_k(void **state) {
    (void)state;
    uint8_t w[110] = {0};
    put16(w + 108, HALF);
    w[96 + 0] = 0xa7; /* low bits of the scales 0 and 8 */
    w[96 + 8] = 0x32; /* high bits of 0, 4, 8, 12: 2, 0, 3, 0 */
    w[0 + 3] = 0x11;  /* high bits of the values 3 and 131 */
    w[32 + 3] = 0x01;
    w[32 + 32 + 3] = 0x02;
    expect(COVEY__KT_Q3_K, w, 256, 3, 0.5f * (39 - 32) * 1);
    expect(COVEY__KT_Q3_K, w, 256, 4, 0.5f * (39 - 32) * -4);
    expect(COVEY__KT_Q3_K, w, 256, 131, 0.5f * (58 - 32) * 2);
    expect(COVEY__KT_Q3_K, w, 256, 16, 0.5f * -32 * -4);
}

/* Six-bit scales and mins: the first four whole, the last four in pieces. */
static void q4_k_and_q5_k(void **state) {
    (void)state;
    uint8_t w[176] = {0}, v[144] = {0};
    put16(w, HALF);
    put16(w + 2, QUARTER);
    w[4 + 1] = 0xc0 | 33; /* scale 1; high bits of scale 5 */
    w[4 + 5] = 0x80 | 21; /* min 1; high bits of min 5 */
    w[4 + 9] = 0x7e;      /* scale 5: 14 + 48; min 5: 7 + 32 */
    memcpy(v, w, 16);
    v[16 + 2] = 0xd0;      /* value 34: high nibble */
    v[16 + 64 + 9] = 0x90; /* value 128 + 32 + 9 */
    expect(COVEY__KT_Q4_K, v, 256, 34, 0.5f * 33 * 13 - 0.25f * 21);
    expect(COVEY__KT_Q4_K, v, 256, 169, 0.5f * 62 * 9 - 0.25f * 39);
    expect(COVEY__KT_Q4_K, v, 256, 168, -0.25f * 39);
    expect(COVEY__KT_Q4_K, v, 256, 0, 0.0f);
    w[16 + 2] = 1 << 1; /* fifth bits by sub-block */
    w[16 + 9] = 1 << 5;
    w[48 + 2] = 0xd0;
    w[48 + 64 + 9] = 0x90;
    expect(COVEY__KT_Q5_K, w, 256, 34, 0.5f * 33 * 29 - 0.25f * 21);
    expect(COVEY__KT_Q5_K, w, 256, 169, 0.5f * 62 * 25 - 0.25f * 39);
    expect(COVEY__KT_Q5_K, w, 256, 168, -0.25f * 39);
}

static void iq4_xs(void **state) {
    (void)state;
    uint8_t w[136] = {0};
    put16(w, HALF);
    put16(w + 2, 3 << 10); /* high bits of scale 5 */
    w[4 + 2] = 0x90;       /* low bits of scales 4 and 5 */
    w[8 + 16 * 5 + 3] = 0xf0;
    expect(COVEY__KT_IQ4_XS, w, 256, 163, 0.5f * (57 - 32) * -127);
    expect(COVEY__KT_IQ4_XS, w, 256, 179, 0.5f * (57 - 32) * 113);
    expect(COVEY__KT_IQ4_XS, w, 256, 128, 0.5f * -32 * -127);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_32),  cmocka_unit_test(q2_k),   cmocka_unit_test(q3_k),
        cmocka_unit_test(q4_k_and_q5_k), cmocka_unit_test(iq4_xs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
