/* Rows of floats to Q2_K, Q3_K, Q4_K, Q5_K and Q6_K: 256 weights with a scale for each 16 or 32 in
 * few bits. Each group's scale is searched for alone (encode_fit.c), then all are rounded to whole
 * multiples of one float16; each multiple is chosen among its neighbours by the error it leaves,
 * and at last the float16 itself is fitted again to all that was chosen. The layouts are ggml's,
 * as blocks.c takes them apart. */
#include "kernel/blocks.h"
#include "kernel/encode.h"
#include "kernel/encode_fit.h"

#include <math.h>

/* How a type divides its 256 weights. */
typedef struct shape {
    int size;        /* of a group: 16 or 32 */
    int low, high;   /* levels; low is 0 for types with a least value */
    int scale_range; /* scales are whole numbers: 0 to this, or -this to this - 1 */
} shape;

static const shape q2_k = {16, 0, 3, 15};
static const shape q3_k = {16, -4, 3, 32};
static const shape q4_k = {32, 0, 15, 63};
static const shape q5_k = {32, 0, 31, 63};
static const shape q6_k = {16, -32, 31, 128};

/* What becomes of one block before it is packed. */
typedef struct draft {
    const float *x, *importance;
    int groups;
    covey__affine fit[16];
    int scale[16], min[16];
    float levels[256];
    float d, dmin; /* exact float16 values */
    uint16_t d_bits, dmin_bits;
} draft;

static void set_floats(draft *b, float d, float dmin) {
    b->d_bits = covey__f32_to_f16(d);
    b->dmin_bits = covey__f32_to_f16(dmin);
    b->d = covey__half(b->d_bits);
    b->dmin = covey__half(b->dmin_bits);
}

/* ---- Types with a least value ---- */

static float try_affine(const draft *b, const shape *s, int j, int scale, int min, float *levels) {
    covey__affine fit = {b->d * (float)scale, b->dmin * (float)min};
    return covey__levels_affine(b->x + j * s->size, b->importance + j * s->size, s->size, s->high,
                                fit, levels);
}

/* Of the nine pairs of whole numbers around the group's own fit, the best one. */
static void choose_affine(draft *b, const shape *s, int j) {
    float levels[COVEY__GROUP_VALUES_MAX], least = INFINITY;
    int scale =
        b->d > 0.0f ? (int)covey__level(b->fit[j].d / b->d, 0.0f, (float)s->scale_range) : 0;
    int min =
        b->dmin > 0.0f ? (int)covey__level(b->fit[j].m / b->dmin, 0.0f, (float)s->scale_range) : 0;
    b->scale[j] = scale;
    b->min[j] = min;
    for (int up = -1; up <= 1; up++)
        for (int side = -1; side <= 1; side++) {
            int a = covey__clamp(scale + up, 0, s->scale_range);
            int m = covey__clamp(min + side, 0, s->scale_range);
            float error = try_affine(b, s, j, a, m, levels);
            if (!(error < least)) continue;
            least = error;
            b->scale[j] = a;
            b->min[j] = m;
            memcpy(b->levels + j * s->size, levels, (size_t)s->size * sizeof *levels);
        }
}

/* The two floats that fit best to the whole numbers chosen: least squares in two unknowns. */
static void refit_affine(draft *b, const shape *s) {
    double aa = 0.0, am = 0.0, mm = 0.0, ax = 0.0, mx = 0.0;
    for (int i = 0; i < 256; i++) {
        int j = i / s->size;
        double w = (double)b->importance[i], x = (double)b->x[i];
        double a = (double)b->scale[j] * (double)b->levels[i], m = -(double)b->min[j];
        aa += w * a * a;
        am += w * a * m;
        mm += w * m * m;
        ax += w * a * x;
        mx += w * m * x;
    }
    double determinant = aa * mm - am * am, d = b->d, dmin = b->dmin;
    if (mm == 0.0 && aa > 0.0)
        d = ax / aa;
    else if (determinant > 1e-9 * aa * mm) {
        d = (ax * mm - mx * am) / determinant;
        dmin = (mx * aa - ax * am) / determinant;
    }
    if (d > 0.0 && dmin >= 0.0 && d < 6e4 && dmin < 6e4) set_floats(b, (float)d, (float)dmin);
}

static float total_affine(draft *b, const shape *s) {
    float error = 0.0f;
    for (int j = 0; j < b->groups; j++)
        error += try_affine(b, s, j, b->scale[j], b->min[j], b->levels + j * s->size);
    return error;
}

static void encode_affine(draft *b, const shape *s) {
    float scale = 0.0f, min = 0.0f;
    b->groups = 256 / s->size;
    for (int j = 0; j < b->groups; j++) {
        b->fit[j] =
            covey__fit_affine(b->x + j * s->size, b->importance + j * s->size, s->size, s->high);
        if (b->fit[j].d > scale) scale = b->fit[j].d;
        if (b->fit[j].m > min) min = b->fit[j].m;
    }
    set_floats(b, scale / (float)s->scale_range, min / (float)s->scale_range);
    for (int j = 0; j < b->groups; j++) choose_affine(b, s, j);
    float before = total_affine(b, s);
    draft first = *b;
    refit_affine(b, s);
    if (!(total_affine(b, s) <= before)) *b = first;
}

/* ---- Types around zero ---- */

static float try_symmetric(const draft *b, const shape *s, int j, int scale, float *levels) {
    return covey__levels_symmetric(b->x + j * s->size, b->importance + j * s->size, s->size, s->low,
                                   s->high, b->d * (float)scale, levels);
}

static void choose_symmetric(draft *b, const shape *s, int j) {
    float levels[COVEY__GROUP_VALUES_MAX], least = INFINITY, range = (float)s->scale_range;
    int near = b->d != 0.0f ? (int)covey__level(b->fit[j].d / b->d, -range, range - 1.0f) : 0;
    b->scale[j] = near;
    for (int up = -1; up <= 1; up++) {
        int scale = covey__clamp(near + up, -s->scale_range, s->scale_range - 1);
        float error = try_symmetric(b, s, j, scale, levels);
        if (!(error < least)) continue;
        least = error;
        b->scale[j] = scale;
        memcpy(b->levels + j * s->size, levels, (size_t)s->size * sizeof *levels);
    }
}

static void refit_symmetric(draft *b, const shape *s) {
    double aa = 0.0, ax = 0.0;
    for (int i = 0; i < 256; i++) {
        double a = (double)b->scale[i / s->size] * (double)b->levels[i];
        aa += (double)b->importance[i] * a * a;
        ax += (double)b->importance[i] * a * (double)b->x[i];
    }
    if (aa > 0.0 && fabs(ax / aa) < 6e4 && ax != 0.0) set_floats(b, (float)(ax / aa), 0.0f);
}

static float total_symmetric(draft *b, const shape *s) {
    float error = 0.0f;
    for (int j = 0; j < b->groups; j++)
        error += try_symmetric(b, s, j, b->scale[j], b->levels + j * s->size);
    return error;
}

static void encode_symmetric(draft *b, const shape *s) {
    float extreme = 0.0f;
    b->groups = 256 / s->size;
    for (int j = 0; j < b->groups; j++) {
        b->fit[j].d = covey__fit_symmetric(b->x + j * s->size, b->importance + j * s->size, s->size,
                                           s->low, s->high);
        if (fabsf(b->fit[j].d) > fabsf(extreme)) extreme = b->fit[j].d;
    }
    set_floats(b, -extreme / (float)s->scale_range, 0.0f);
    for (int j = 0; j < b->groups; j++) choose_symmetric(b, s, j);
    float before = total_symmetric(b, s);
    draft first = *b;
    refit_symmetric(b, s);
    if (!(total_symmetric(b, s) <= before)) *b = first;
}

/* ---- Packing: bits are added to zeroed bytes ---- */

typedef union any_block {
    covey__block_q2_k q2;
    covey__block_q3_k q3;
    covey__block_q4_k q4;
    covey__block_q5_k q5;
    covey__block_q6_k q6;
} any_block;

/* Two bits of each of 256 levels: of each half, 32 bytes hold four runs of 32. */
static void pack_pairs(const uint8_t q[256], uint8_t out[64]) {
    for (int i = 0; i < 256; i++)
        out[i / 128 * 32 + i % 32] |= (uint8_t)((q[i] & 3) << (2 * (i / 32 % 4)));
}

/* Four bits of each: 32 bytes hold two runs of 32. */
static void pack_nibbles(const uint8_t q[256], uint8_t out[128]) {
    for (int i = 0; i < 256; i++)
        out[i / 64 * 32 + i % 32] |= (uint8_t)((q[i] & 15) << (4 * (i / 32 % 2)));
}

/* One bit of each: bit i / 32 of byte i % 32. */
static void pack_bit(const uint8_t q[256], int bit, uint8_t out[32]) {
    for (int i = 0; i < 256; i++) out[i % 32] |= (uint8_t)(((q[i] >> bit) & 1) << (i / 32));
}

/* Eight scales and eight mins of six bits in twelve bytes. */
static void pack_sixes(const draft *b, uint8_t out[12]) {
    for (int j = 0; j < 8; j++) {
        int scale = b->scale[j], min = b->min[j];
        if (j < 4) {
            out[j] |= (uint8_t)scale;
            out[j + 4] |= (uint8_t)min;
        } else {
            out[j + 4] = (uint8_t)((scale & 15) | (min & 15) << 4);
            out[j - 4] |= (uint8_t)((scale >> 4) << 6);
            out[j] |= (uint8_t)((min >> 4) << 6);
        }
    }
}

/* Each takes the levels, counted from the lowest one, and a zeroed block. */

static void put_q2_k(const draft *b, const uint8_t q[256], any_block *out) {
    pack_pairs(q, out->q2.q);
    for (int j = 0; j < 16; j++) out->q2.scales[j] = (uint8_t)(b->scale[j] | b->min[j] << 4);
    out->q2.d = b->d_bits;
    out->q2.dmin = b->dmin_bits;
}

static void put_q3_k(const draft *b, const uint8_t q[256], any_block *out) {
    pack_pairs(q, out->q3.low);
    pack_bit(q, 2, out->q3.high);
    for (int j = 0; j < 16; j++) {
        int scale = b->scale[j] + 32;
        out->q3.scales[j % 8] |= (uint8_t)(j < 8 ? scale & 15 : (scale & 15) << 4);
        out->q3.scales[8 + j % 4] |= (uint8_t)((scale >> 4) << (2 * (j / 4)));
    }
    out->q3.d = b->d_bits;
}

static void put_q4_k(const draft *b, const uint8_t q[256], any_block *out) {
    pack_nibbles(q, out->q4.q);
    pack_sixes(b, out->q4.scales);
    out->q4.d = b->d_bits;
    out->q4.dmin = b->dmin_bits;
}

static void put_q5_k(const draft *b, const uint8_t q[256], any_block *out) {
    pack_nibbles(q, out->q5.q);
    pack_bit(q, 4, out->q5.high);
    pack_sixes(b, out->q5.scales);
    out->q5.d = b->d_bits;
    out->q5.dmin = b->dmin_bits;
}

static void put_q6_k(const draft *b, const uint8_t q[256], any_block *out) {
    covey__pack_q6_k(q, &out->q6);
    for (int j = 0; j < 16; j++) out->q6.scales[j] = (int8_t)b->scale[j];
    out->q6.d = b->d_bits;
}

/* ---- Rows ---- */

typedef struct maker {
    const shape *shape;
    void (*put)(const draft *b, const uint8_t q[256], any_block *out);
    size_t bytes;
} maker;

static maker maker_of(uint32_t type) {
    switch (type) {
    case COVEY__KT_Q2_K:
        return (maker){&q2_k, put_q2_k, sizeof(covey__block_q2_k)};
    case COVEY__KT_Q3_K:
        return (maker){&q3_k, put_q3_k, sizeof(covey__block_q3_k)};
    case COVEY__KT_Q4_K:
        return (maker){&q4_k, put_q4_k, sizeof(covey__block_q4_k)};
    case COVEY__KT_Q5_K:
        return (maker){&q5_k, put_q5_k, sizeof(covey__block_q5_k)};
    default:
        return (maker){&q6_k, put_q6_k, sizeof(covey__block_q6_k)};
    }
}

void covey__encode_k(uint32_t type, const float *x, const float *importance, int32_t columns,
                     uint8_t *out) {
    maker m = maker_of(type);
    float weights[256];
    uint8_t q[256];
    for (int32_t k = 0; k < columns; k += 256) {
        draft b = {.x = x + k, .importance = weights};
        any_block block;
        covey__importance(x + k, importance ? importance + k : NULL, 256, weights);
        if (m.shape->low == 0)
            encode_affine(&b, m.shape);
        else
            encode_symmetric(&b, m.shape);
        for (int i = 0; i < 256; i++) q[i] = (uint8_t)((int)b.levels[i] - m.shape->low);
        memset(&block, 0, sizeof block);
        m.put(&b, q, &block);
        memcpy(out + (size_t)(k / 256) * m.bytes, &block, m.bytes);
    }
}
