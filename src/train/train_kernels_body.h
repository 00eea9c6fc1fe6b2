/* The body of every kernel table, compiled once an instruction set: the including file defines
 * LANES, TILE_ROWS (2 x LANES is a tile's width), FMA(a, b, c) and SQRT(x), includes this, and
 * makes its table with TABLE_OF. GCC's vector types stand for the set's registers; tails go through
 * zero-filled copies. */
#include <math.h>
#include <string.h>

#include "train/train_kernels.h"

#define TILE_COLUMNS (2 * LANES)
#define UNROLL_ROWS  _Pragma("GCC unroll 14")

typedef float vf __attribute__((vector_size(LANES * 4)));
typedef float vfu __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(LANES * 4)));

static inline vf load(const float *p) {
    return *(const vfu *)p;
}
static inline void store(float *p, vf v) {
    *(vfu *)p = v;
}
static inline vf splat(float x) {
    return (vf){0} + x;
}

static inline vf load_some(const float *p, size_t n) {
    if (n >= LANES) return load(p);
    vf v = {0};
    memcpy(&v, p, n * sizeof(float));
    return v;
}

static inline void store_some(float *p, vf v, size_t n) {
    if (n >= LANES)
        store(p, v);
    else
        memcpy(p, &v, n * sizeof(float));
}

static inline float sum_of(vf v) {
    float parts[LANES];
    memcpy(parts, &v, sizeof parts);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) parts[i] += parts[i + width];
    return parts[0];
}

static inline vf choose(vi mask, vf yes, vf no) {
    return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

/* e^x by 2^n * p(r), |r| <= ln 2 / 2, p of degree 6; relative error about 1e-7 within [-87, 88],
 * beyond which x is cut. */
static inline vf exp_of(vf x) {
    x = choose(x < splat(-87.0f), splat(-87.0f), x);
    x = choose(x > splat(88.0f), splat(88.0f), x);
    vf magic = splat(12582912.0f);
    vf t = x * splat(1.44269504f) + magic;
    vf n = t - magic;
    vf r = x - n * splat(0.693359375f) - n * splat(-2.12194440e-4f);
    vf p = splat(1.0f / 720.0f);
    p = p * r + splat(1.0f / 120.0f);
    p = p * r + splat(1.0f / 24.0f);
    p = p * r + splat(1.0f / 6.0f);
    p = p * r + splat(0.5f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    vi power = (((vi)t - (vi)magic) + 127) << 23;
    return p * (vf)power;
}

/* ---- Tiles ---- */

static inline void tile_out(vf acc[TILE_ROWS][2], float *c, size_t ldc, bool add) {
    UNROLL_ROWS
    for (int r = 0; r < TILE_ROWS; r++) {
        float *row = c + (size_t)r * ldc;
        if (add) {
            store(row, load(row) + acc[r][0]);
            store(row + LANES, load(row + LANES) + acc[r][1]);
        } else {
            store(row, acc[r][0]);
            store(row + LANES, acc[r][1]);
        }
    }
}

static void tile(size_t depth, const float *a, size_t lda, const float *b, float *c, size_t ldc,
                 bool add) {
    vf acc[TILE_ROWS][2];
    const float *base[(TILE_ROWS + 2) / 3];
    UNROLL_ROWS
    for (int r = 0; r < TILE_ROWS; r++) acc[r][0] = acc[r][1] = (vf){0};
    UNROLL_ROWS
    for (int r = 0; r < (TILE_ROWS + 2) / 3; r++) base[r] = a + (size_t)(3 * r) * lda;
    for (size_t p = 0; p < depth; p++) {
        vf b0 = load(b), b1 = load(b + LANES);
        b += TILE_COLUMNS;
        UNROLL_ROWS
        for (int r = 0; r < TILE_ROWS; r++) {
            vf x = splat(base[r / 3][(size_t)(r % 3) * lda + p]);
            acc[r][0] = FMA(x, b0, acc[r][0]);
            acc[r][1] = FMA(x, b1, acc[r][1]);
        }
    }
    tile_out(acc, c, ldc, add);
}

static void tile_packed(size_t depth, const float *a, const float *b, float *c, size_t ldc,
                        bool add) {
    vf acc[TILE_ROWS][2];
    UNROLL_ROWS
    for (int r = 0; r < TILE_ROWS; r++) acc[r][0] = acc[r][1] = (vf){0};
    for (size_t p = 0; p < depth; p++) {
        vf b0 = load(b), b1 = load(b + LANES);
        b += TILE_COLUMNS;
        UNROLL_ROWS
        for (int r = 0; r < TILE_ROWS; r++) {
            vf x = splat(a[r]);
            acc[r][0] = FMA(x, b0, acc[r][0]);
            acc[r][1] = FMA(x, b1, acc[r][1]);
        }
        a += TILE_ROWS;
    }
    tile_out(acc, c, ldc, add);
}

/* ---- Rows ---- */

static float dot(const float *a, const float *b, size_t n) {
    vf sum = {0};
    for (size_t i = 0; i < n; i += LANES)
        sum = sum + load_some(a + i, n - i) * load_some(b + i, n - i);
    return sum_of(sum);
}

static float norm(const float *x, const float *w, size_t n, float epsilon, float *out) {
    float inverse = 1.0f / sqrtf(dot(x, x, n) / (float)n + epsilon);
    for (size_t i = 0; i < n; i += LANES)
        store_some(out + i, load_some(x + i, n - i) * splat(inverse) * load_some(w + i, n - i),
                   n - i);
    return inverse;
}

static void norm_back(const float *x, const float *w, const float *dy, float inverse, size_t n,
                      float *dx, float *dw) {
    vf sum = {0};
    for (size_t i = 0; i < n; i += LANES) {
        vf g = load_some(dy + i, n - i), v = load_some(x + i, n - i);
        sum = sum + g * load_some(w + i, n - i) * v;
        store_some(dw + i, load_some(dw + i, n - i) + g * v * splat(inverse), n - i);
    }
    float back = sum_of(sum) * inverse * inverse * inverse / (float)n;
    for (size_t i = 0; i < n; i += LANES) {
        vf g = load_some(dy + i, n - i) * load_some(w + i, n - i) * splat(inverse);
        vf d = g - load_some(x + i, n - i) * splat(back);
        store_some(dx + i, load_some(dx + i, n - i) + d, n - i);
    }
}

static void silu(const float *gate, const float *up, size_t n, float *out) {
    for (size_t i = 0; i < n; i += LANES) {
        vf g = load_some(gate + i, n - i);
        vf y = g / (splat(1.0f) + exp_of(-g)) * load_some(up + i, n - i);
        store_some(out + i, y, n - i);
    }
}

static void silu_back(const float *gate, const float *up, const float *dh, size_t n, float *dgate,
                      float *dup) {
    for (size_t i = 0; i < n; i += LANES) {
        vf g = load_some(gate + i, n - i), u = load_some(up + i, n - i);
        vf d = load_some(dh + i, n - i);
        vf s = splat(1.0f) / (splat(1.0f) + exp_of(-g));
        store_some(dup + i, d * g * s, n - i);
        store_some(dgate + i, d * u * s * (splat(1.0f) + g * (splat(1.0f) - s)), n - i);
    }
}

static float softmax(float *x, size_t n, float scale_by) {
    float top = x[0];
    if (n >= LANES) {
        vf most = load(x);
        size_t i = LANES;
        for (; i + LANES <= n; i += LANES) {
            vf v = load(x + i);
            most = choose(v > most, v, most);
        }
        for (int lane = 0; lane < LANES; lane++) top = most[lane] > top ? most[lane] : top;
        for (; i < n; i++) top = x[i] > top ? x[i] : top;
    } else {
        for (size_t i = 1; i < n; i++) top = x[i] > top ? x[i] : top;
    }
    float shift = top * scale_by;
    vf sum = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vf e = exp_of(load(x + i) * splat(scale_by) - splat(shift));
        store(x + i, e);
        sum = sum + e;
    }
    float total = 0.0f;
    if (i < n) {
        vf e = exp_of(load_some(x + i, n - i) * splat(scale_by) - splat(shift));
        store_some(x + i, e, n - i);
        for (; i < n; i++) total += x[i];
    }
    total += sum_of(sum);
    vf inverse = splat(1.0f / total);
    for (i = 0; i < n; i += LANES) store_some(x + i, load_some(x + i, n - i) * inverse, n - i);
    return shift + logf(total);
}

static void softmax_again(float *x, size_t n, float scale_by, float lse) {
    for (size_t i = 0; i < n; i += LANES)
        store_some(x + i, exp_of(load_some(x + i, n - i) * splat(scale_by) - splat(lse)), n - i);
}

static void softmax_back(const float *p, float *dp, size_t n, float d, float scale_by) {
    for (size_t i = 0; i < n; i += LANES) {
        vf v = load_some(p + i, n - i) * (load_some(dp + i, n - i) - splat(d)) * splat(scale_by);
        store_some(dp + i, v, n - i);
    }
}

static void add_to(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i += LANES)
        store_some(y + i, load_some(y + i, n - i) + load_some(x + i, n - i), n - i);
}

static void scale(float *y, float factor, size_t n) {
    for (size_t i = 0; i < n; i += LANES)
        store_some(y + i, load_some(y + i, n - i) * splat(factor), n - i);
}

static double square_sum(const float *x, size_t n) {
    double total = 0.0;
    for (size_t i = 0; i < n; i += 4096) {
        size_t part = n - i < 4096 ? n - i : 4096;
        total += (double)dot(x + i, x + i, part);
    }
    return total;
}

static void adam(const covey__adam_step *step, const float *gradient, size_t n, float *weight,
                 float *first, float *second) {
    vf keep1 = splat(step->beta1), keep2 = splat(step->beta2);
    vf take1 = splat(1.0f - step->beta1), take2 = splat(1.0f - step->beta2);
    for (size_t i = 0; i < n; i += LANES) {
        vf g = load_some(gradient + i, n - i) * splat(step->gradient_scale);
        vf m = load_some(first + i, n - i) * keep1 + g * take1;
        vf v = load_some(second + i, n - i) * keep2 + g * g * take2;
        vf w = load_some(weight + i, n - i);
        vf down = SQRT(v * splat(step->second_scale)) + splat(step->epsilon);
        w = w - splat(step->decay) * w - splat(step->rate) * m / down;
        store_some(first + i, m, n - i);
        store_some(second + i, v, n - i);
        store_some(weight + i, w, n - i);
    }
}

/* The initializer of a table; the including file names the tables. */
#define TABLE_OF(is_bf16)                                                                          \
    {                                                                                              \
        .tile_rows = TILE_ROWS, .tile_columns = TILE_COLUMNS, .bf16 = (is_bf16), .tile = tile,     \
        .tile_packed = tile_packed, .norm = norm, .norm_back = norm_back, .silu = silu,            \
        .silu_back = silu_back, .softmax = softmax, .softmax_again = softmax_again,                \
        .softmax_back = softmax_back, .dot = dot, .add = add_to, .scale = scale,                   \
        .square_sum = square_sum, .adam = adam,                                                    \
    }
