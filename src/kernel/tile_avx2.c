/* What products over tiles have in common on AVX2 and AVX-VNNI: the walk over rows, columns and
 * tokens, and the float steps. */
#include "kernel/tile_avx2.h"

void covey__accumulators_get_avx2(const covey__stretch *s, __m256 f[][2]) {
    for (int t = 0; t < COVEY__TILE_TOKENS; t++) {
        const float *out = s->out + (size_t)t * s->out_stride;
        bool zero = s->first || t >= s->tokens;
        f[t][0] = zero ? _mm256_setzero_ps() : covey__get8(out, s->rows);
        f[t][1] = zero ? _mm256_setzero_ps() : covey__get8(out + 8, s->rows - 8);
    }
}

void covey__accumulators_put_avx2(const covey__stretch *s, __m256 f[][2]) {
    for (int t = 0; t < s->tokens; t++) {
        float *out = s->out + (size_t)t * s->out_stride;
        covey__put8(out, s->rows, f[t][0]);
        covey__put8(out + 8, s->rows - 8, f[t][1]);
    }
}

/* The float steps of block b of 256, whose scaled integer sums are x:
 *
 *   f = f + (float(x) * dw) * da                          or with minima
 *   f = f + (float(x) * dw - float(over) * m) * da
 *
 * `over` is the sum over sub-blocks of the tile's `pairs` times the activations' sums. */
COVEY__INLINE void steps_256(const covey__tile *tile, const covey__stretch *s, int32_t b,
                             const int subs, const bool minima, const __m256i x[][2],
                             __m256 f[][2]) {
    const __m256i excess = _mm256_set1_epi32(s->ops->excess);
    const float *da = s->d + b * COVEY__GROUP;
    const int16_t *pairs = tile->pairs + b * subs * 16;
    for (int32_t t = 0; t < s->tokens; t++) {
        const int16_t *sums = s->sums + (size_t)t * s->sums_stride + subs * b;
        __m256i over[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        COVEY__UNROLL
        for (int j = 0; j < subs; j += 2) {
            __m256i two = covey__spread32(sums + j);
            __m256i p0 = _mm256_madd_epi16(two, covey__load256(pairs + 16 * j));
            __m256i p1 = _mm256_madd_epi16(two, covey__load256(pairs + 16 * j + 16));
            over[0] = _mm256_add_epi32(over[0], p0);
            over[1] = _mm256_add_epi32(over[1], p1);
        }
        COVEY__UNROLL
        for (int half = 0; half < 2; half++) {
            __m256i sum = x[t][half];
            if (!minima) sum = _mm256_sub_epi32(sum, _mm256_sllv_epi32(over[half], excess));
            __m256 y = _mm256_cvtepi32_ps(sum);
            y = _mm256_mul_ps(y, _mm256_loadu_ps(tile->d + 16 * b + 8 * half));
            if (minima) {
                __m256 m = _mm256_loadu_ps(tile->m + 16 * b + 8 * half);
                y = _mm256_sub_ps(y, _mm256_mul_ps(_mm256_cvtepi32_ps(over[half]), m));
            }
            y = _mm256_mul_ps(y, _mm256_set1_ps(da[t]));
            f[t][half] = _mm256_add_ps(f[t][half], y);
        }
    }
}
#define STEPS(name, subs, minima)                                                                  \
    void covey__steps_##name##_avx2(const covey__tile *tile, const covey__stretch *s, int32_t b,   \
                                    const __m256i x[][2], __m256 f[][2]) {                         \
        steps_256(tile, s, b, subs, minima, x, f);                                                 \
    }
STEPS(8_min, 8, true)
STEPS(16_min, 16, true)
STEPS(8, 8, false)
STEPS(16, 16, false)
STEPS(0, 0, false)

/* All tokens against one tile. */
static void all_tokens(const covey__tile_ops *ops, const covey__product *p, covey__stretch s,
                       const covey__cut *cut, const covey__tile *tile) {
    const covey__activations *a = p->a;
    size_t k = (size_t)a->columns, k0 = (size_t)cut->k0, block = ops->sub ? 256 : 32;
    int32_t count = 0;
    for (int32_t t = 0; t < a->tokens; t += count) {
        size_t from = (size_t)(t / COVEY__GROUP) * k + k0, place = (size_t)(t % COVEY__GROUP);
        int32_t left = COVEY__GROUP - (int32_t)place; /* of this group */
        if (left > a->tokens - t) left = a->tokens - t;
        s.q = a->q + from * COVEY__GROUP + place * 4;
        s.d = a->d + from / block * COVEY__GROUP + place;
        if (ops->sub == 0)
            s.bias = a->bias[0] + from / 32 * COVEY__GROUP + place;
        else
            s.sums = (ops->sub == 16 ? a->sums16 : a->sums32) + (size_t)t * s.sums_stride +
                     k0 / (size_t)ops->sub;
        s.out = p->out + (size_t)t * p->out_stride + cut->r;
        covey__tile_fn run = ops->three;
        count = left < 3 ? left : 3;
        if (left == COVEY__GROUP && ops->six) {
            run = ops->six;
            count = COVEY__GROUP;
        } else if (left != 3 && left < 5 && ops->two) { /* four are twice two */
            run = ops->two;
            count = left < 2 ? left : 2;
        }
        s.tokens = count;
        run(tile, &s);
    }
}

void covey__tile_run_avx2(covey__tile_unpack_fn unpack, const covey__tile_ops *ops,
                          const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    for (int32_t r = r0; r < r1; r += COVEY__TILE_ROWS) {
        covey__stretch s = {.out_stride = p->out_stride, .rows = r1 - r, .ops = ops};
        if (ops->sub) s.sums_stride = (size_t)w->columns / (size_t)ops->sub;
        covey__cut cut = {w, r, r1, 0, 0, 0};
        if (r + COVEY__TILE_ROWS < r1) cut.ahead = COVEY__TILE_ROWS * w->row_bytes;
        for (cut.k0 = 0; cut.k0 < w->columns; cut.k0 += cut.columns) {
            cut.columns = w->columns - cut.k0;
            if (cut.columns > COVEY__TILE_COLUMNS) cut.columns = COVEY__TILE_COLUMNS;
            s.columns = cut.columns;
            s.first = cut.k0 == 0;
            unpack(&cut, scratch);
            all_tokens(ops, p, s, &cut, scratch);
        }
    }
}
