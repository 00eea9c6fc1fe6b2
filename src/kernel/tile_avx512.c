/* The ways to multiply a tile, and the walk over tiles: see tile_avx512.h. A group that is not full
 * computes slots that no token fills (their int8 values and scales are arbitrary, which harms
 * nobody) and does not store them. */
#include "kernel/tile_avx512.h"

/* A stretch of one token group's activations, and where its outputs go. */
typedef struct stretch {
    const int8_t *q;
    const float *d;
    const int32_t *bias;
    const int16_t *sums; /* of the first token; kinds with minimums */
    size_t sums_stride;
    float *out;
    size_t out_stride;
    const uint8_t *ahead; /* weights to prefetch on the way: `lines` of the cache for each `sub` or
                             32 columns */
    int32_t lines;
    int32_t columns, tokens;
    bool first; /* else the accumulators are continued from `out` */
    __mmask16 m0, m1;
} stretch;

typedef void (*multiply_fn)(const covey__tile *tile, const stretch *s);

COVEY__INLINE void get(const stretch *s, __m512 f[COVEY__GROUP][2], const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        const float *out = s->out + (size_t)t * s->out_stride;
        bool fresh = s->first || t >= s->tokens;
        f[t][0] = fresh ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(s->m0, out);
        f[t][1] = fresh ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(s->m1, out + 16);
    }
}

COVEY__INLINE void put(const stretch *s, __m512 f[COVEY__GROUP][2], const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        if (t >= s->tokens) break;
        float *out = s->out + (size_t)t * s->out_stride;
        _mm512_mask_storeu_ps(out, s->m0, f[t][0]);
        _mm512_mask_storeu_ps(out + 16, s->m1, f[t][1]);
    }
}

/* A part of the next tile's weights. Spread over the products, it comes for free; at once, it would
 * fill the queues of misses. */
COVEY__INLINE const uint8_t *prefetch(const uint8_t *ahead, int32_t lines) {
    for (int32_t i = 0; i < lines; i++, ahead += 64) _mm_prefetch((const char *)ahead, _MM_HINT_T1);
    return ahead;
}

/* `steps` times 4 columns of 32 rows by `tokens` tokens, added to x. */
COVEY__INLINE void dots(const uint8_t *w, const int8_t *q, __m512i x[COVEY__GROUP][2],
                        const int steps, const int tokens) {
    COVEY__UNROLL
    for (int k = 0; k < steps; k++) {
        __m512i w0 = covey__load512(w + 128 * k), w1 = covey__load512(w + 128 * k + 64);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            __m512i a = covey__spread32(q + 4 * (COVEY__GROUP * k + t));
            x[t][0] = _mm512_dpbusd_epi32(x[t][0], w0, a);
            x[t][1] = _mm512_dpbusd_epi32(x[t][1], w1, a);
        }
    }
}

COVEY__INLINE void start(__m512i x[COVEY__GROUP][2], const int32_t *bias, const int tokens) {
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++)
        x[t][0] = x[t][1] = bias ? _mm512_set1_epi32(bias[t]) : _mm512_setzero_si512();
}

/* Blocks of 32. With minimums, `m` is the minimum over -8, and the bias -8 times the activations'
 * sum: their product is the minimum times the sum, since neither factor of 8 rounds. */
COVEY__INLINE void multiply32(const covey__tile *tile, const stretch *s, const int tokens,
                              const bool mins) {
    __m512 f[COVEY__GROUP][2];
    get(s, f, tokens);
    const int8_t *q = s->q;
    const float *d = s->d;
    const int32_t *bias = s->bias;
    const uint8_t *ahead = s->ahead;
    for (int32_t b = 0; b < s->columns / 32; b++) {
        __m512i x[COVEY__GROUP][2];
        start(x, mins ? NULL : bias, tokens);
        ahead = prefetch(ahead, s->lines);
        dots(tile->q + 1024 * (size_t)b, q, x, 8, tokens);
        COVEY__UNROLL
        for (int half = 0; half < 2; half++) {
            __m512 dw = _mm512_loadu_ps(tile->d + 32 * b + 16 * half);
            __m512 m = mins ? _mm512_loadu_ps(tile->m + 32 * b + 16 * half) : dw;
            COVEY__UNROLL
            for (int t = 0; t < tokens; t++) {
                __m512 da = _mm512_set1_ps(d[t]), sum = _mm512_cvtepi32_ps(x[t][half]);
                if (mins) {
                    __m512 asum = _mm512_cvtepi32_ps(_mm512_set1_epi32(bias[t]));
                    sum = _mm512_add_ps(_mm512_mul_ps(sum, dw), _mm512_mul_ps(asum, m));
                    sum = _mm512_mul_ps(sum, da);
                } else
                    sum = _mm512_mul_ps(sum, _mm512_mul_ps(dw, da));
                f[t][half] = _mm512_add_ps(f[t][half], sum);
            }
        }
        q += 32 * COVEY__GROUP;
        d += COVEY__GROUP;
        bias += COVEY__GROUP;
    }
    put(s, f, tokens);
}

/* The float steps of a block of 256, for 16 rows: `pairs` are its minimums, two sub-blocks a
 * dword. */
COVEY__INLINE void finish256(const covey__tile *tile, const stretch *s, int32_t b, const int half,
                             __m512i sum[COVEY__GROUP][2], __m512 f[COVEY__GROUP][2],
                             const int tokens, const int sub, const bool mins) {
    const int pairs = 256 / sub / 2;
    __m512 dw = _mm512_loadu_ps(tile->d + 32 * b + 16 * half);
    __m512 m = mins ? _mm512_loadu_ps(tile->m + 32 * b + 16 * half) : dw;
    __m512i msum[COVEY__GROUP];
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) msum[t] = _mm512_setzero_si512();
    for (int i = 0; i < pairs && mins; i++) {
        const __m512i low = covey__load512(tile->mins + ((b * pairs + i) * 32 + 16 * half) * 2);
        COVEY__UNROLL
        for (int t = 0; t < tokens; t++) {
            size_t token = (size_t)(t < s->tokens ? t : 0);
            const int16_t *sums = s->sums + token * s->sums_stride + 2 * (pairs * b + i);
            msum[t] = _mm512_dpwssd_epi32(msum[t], low, covey__spread32(sums));
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < tokens; t++) {
        __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t][half]), dw);
        if (mins) y = _mm512_sub_ps(y, _mm512_mul_ps(_mm512_cvtepi32_ps(msum[t]), m));
        f[t][half] =
            _mm512_add_ps(f[t][half], _mm512_mul_ps(y, _mm512_set1_ps(s->d[b * COVEY__GROUP + t])));
    }
}

/* -127 times a token's sum over a block, from the sums by 32. */
COVEY__INLINE __m512i whole_bias(const int16_t *sums32) {
    __m128i x = _mm_madd_epi16(covey__load128(sums32), _mm_set1_epi16(-127));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4e));
    return _mm512_broadcastd_epi32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 0xb1)));
}

/* Blocks of 256 whose bytes have their scales in them. */
COVEY__INLINE void multiply_whole(const covey__tile *tile, const stretch *s, const int tokens,
                                  const bool mins) {
    __m512 f[COVEY__GROUP][2];
    get(s, f, tokens);
    const int8_t *q = s->q;
    const uint8_t *w = tile->q, *ahead = s->ahead;
    for (int32_t b = 0; b < s->columns / 256; b++) {
        __m512i sum[COVEY__GROUP][2];
        start(sum, NULL, tokens);
        COVEY__UNROLL
        for (int t = 0; t < tokens && !mins; t++) {
            size_t token = (size_t)(t < s->tokens ? t : 0);
            sum[t][0] = sum[t][1] = whole_bias(s->sums + token * s->sums_stride + 8 * b);
        }
        for (int j = 0; j < 8; j++) {
            ahead = prefetch(ahead, s->lines);
            dots(w, q, sum, 8, tokens);
            w += 32 * 32;
            q += 32 * COVEY__GROUP;
        }
        finish256(tile, s, b, 0, sum, f, tokens, 16, mins);
        finish256(tile, s, b, 1, sum, f, tokens, 16, mins);
    }
    put(s, f, tokens);
}

/* Blocks of 256 with sub-blocks of `sub` columns. */
COVEY__INLINE void multiply256(const covey__tile *tile, const stretch *s, const int tokens,
                               const int sub, const bool mins) {
    __m512 f[COVEY__GROUP][2];
    get(s, f, tokens);
    const int8_t *q = s->q;
    const int32_t *bias = s->bias;
    const uint8_t *w = tile->q, *ahead = s->ahead;
    const int32_t *scales = tile->sub;
    for (int32_t b = 0; b < s->columns / 256; b++) {
        __m512i sum[COVEY__GROUP][2];
        start(sum, NULL, tokens);
        for (int j = 0; j < 256 / sub; j++) {
            __m512i x[COVEY__GROUP][2];
            start(x, mins ? NULL : bias, tokens);
            ahead = prefetch(ahead, s->lines);
            dots(w, q, x, sub / 4, tokens);
            __m512i s0 = covey__load512(scales), s1 = covey__load512(scales + 16);
            COVEY__UNROLL
            for (int t = 0; t < tokens; t++) {
                sum[t][0] = _mm512_add_epi32(sum[t][0], _mm512_mullo_epi32(x[t][0], s0));
                sum[t][1] = _mm512_add_epi32(sum[t][1], _mm512_mullo_epi32(x[t][1], s1));
            }
            w += 32 * sub;
            q += sub * COVEY__GROUP;
            bias += COVEY__GROUP;
            scales += 32;
        }
        finish256(tile, s, b, 0, sum, f, tokens, sub, mins);
        finish256(tile, s, b, 1, sum, f, tokens, sub, mins);
    }
    put(s, f, tokens);
}

#define MULTIPLY(name, body, ...)                                                                  \
    static COVEY__NOINLINE void name(const covey__tile *tile, const stretch *s) {                  \
        body(tile, s, COVEY__GROUP, __VA_ARGS__);                                                  \
    }
MULTIPLY(scale, multiply32, false)
MULTIPLY(min, multiply32, true)
MULTIPLY(sub16, multiply256, 16, false)
MULTIPLY(sub32, multiply256, 32, false)
MULTIPLY(sub32_min, multiply256, 32, true)
MULTIPLY(whole, multiply_whole, false)
MULTIPLY(whole_min, multiply_whole, true)

typedef struct way {
    multiply_fn multiply;
    size_t block, sub; /* columns a scale, and a bias or a sum */
} way;

static const way ways[] = {
    [COVEY__TILE_SCALE] = {scale, 32, 32},          [COVEY__TILE_MIN] = {min, 32, 32},
    [COVEY__TILE_SUB16] = {sub16, 256, 16},         [COVEY__TILE_SUB32] = {sub32, 256, 32},
    [COVEY__TILE_SUB32_MIN] = {sub32_min, 256, 32}, [COVEY__TILE_WHOLE] = {whole, 256, 32},
    [COVEY__TILE_WHOLE_MIN] = {whole_min, 256, 16},
};

/* All token groups against one tile. */
static void groups(const way *by, const covey__product *p, stretch s, const covey__cut *cut,
                   const int32_t *bias, const covey__tile *tile) {
    const covey__activations *a = p->a;
    size_t k = (size_t)a->columns, steps = (size_t)cut->columns / by->sub;
    size_t a_token = cut->ahead / (size_t)a->tokens + 1; /* bytes to prefetch */
    const int16_t *sums = by->sub == 16 ? a->sums16 : a->sums32;
    const uint8_t *next = (const uint8_t *)cut->w->data + (size_t)cut->r * cut->w->row_bytes;
    s.sums_stride = k / by->sub;
    s.ahead = next + cut->ahead;
    for (int32_t t = 0; t < a->tokens; t += COVEY__GROUP) {
        s.tokens = a->tokens - t < COVEY__GROUP ? a->tokens - t : COVEY__GROUP;
        size_t share = a_token * (size_t)s.tokens;
        s.lines = cut->ahead ? (int32_t)((share / 64 + steps) / steps) : 0;
        size_t from = (size_t)t / COVEY__GROUP * k + (size_t)cut->k0;
        s.q = a->q + from * COVEY__GROUP;
        s.d = a->d + from / by->block * COVEY__GROUP;
        s.bias = bias + from / by->sub * COVEY__GROUP;
        s.sums = sums + (size_t)t * s.sums_stride + (size_t)cut->k0 / by->sub;
        s.out = p->out + (size_t)t * p->out_stride + cut->r;
        by->multiply(tile, &s);
        s.ahead += share;
    }
}

void covey__tile_run(covey__tile_kind kind, covey__tile_unpack_fn unpack, int bias,
                     const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    for (int32_t r = r0; r < r1; r += COVEY__TILE_ROWS) {
        stretch s = {.out_stride = p->out_stride,
                     .m0 = covey__mask16(r1 - r),
                     .m1 = covey__mask16(r1 - r - 16)};
        covey__cut cut = {w, r, r1, 0, 0, 0};
        if (r + COVEY__TILE_ROWS < r1) cut.ahead = COVEY__TILE_ROWS * w->row_bytes;
        for (cut.k0 = 0; cut.k0 < w->columns; cut.k0 += cut.columns) {
            cut.columns = w->columns - cut.k0;
            if (cut.columns > COVEY__TILE_COLUMNS) cut.columns = COVEY__TILE_COLUMNS;
            s.columns = cut.columns;
            s.first = cut.k0 == 0;
            unpack(&cut, scratch);
            groups(&ways[kind], p, s, &cut, p->a->bias[bias], scratch);
        }
    }
}
