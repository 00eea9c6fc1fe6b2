/* F32, F16 and BF16 weights times many tokens, AVX-512. A step is 4 rows by 6 tokens over a stretch
 * of columns, each output's 16 partial sums in one register. Around it, so that nearly all loads
 * come from the first caches: 32 rows are made float32 in scratch a stretch at a time, and pass
 * over a block of tokens whose partial sums wait in scratch between two stretches. */
#include "kernel/float_avx512.h"

#define ROWS    4
#define TOKENS  6
#define TILES   8   /* of 4 rows each */
#define BLOCK   96  /* tokens */
#define STRETCH 512 /* columns */

typedef struct workspace {
    float tiles[TILES][STRETCH / 16][ROWS][16];
    float partial[BLOCK / TOKENS][TILES][TOKENS][ROWS][16];
} workspace;
_Static_assert(sizeof(workspace) <= COVEY__FLOAT_SCRATCH, "scratch");

/* What a step works on: `x` is its first token, `partial` its partial sums. */
typedef struct step {
    const float *x;
    size_t x_stride;
    int32_t columns; /* a multiple of 16 */
    bool first, last;
    float *out;
    size_t out_stride;
    int32_t rows; /* that exist, from the tile's first on */
} step;

static void unpack(const covey__weights *w, int32_t r, int32_t end, int32_t k0, int32_t columns,
                   float tile[][ROWS][16]) {
    const uint8_t *p[ROWS];
    covey__rows(w, r, end, 0, p, ROWS);
    for (int32_t k = 0; k < columns; k += 16) {
        __mmask16 m = covey__mask16(w->columns - k0 - k);
        size_t next = (size_t)(k0 + k + STRETCH) * (w->type == COVEY__KT_F32 ? 4 : 2);
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++) {
            _mm_prefetch((const char *)p[i] + next, _MM_HINT_T1);
            _mm512_storeu_ps(tile[k / 16][i], covey__weights16(w->type, p[i], k0 + k, m));
        }
    }
}

COVEY__INLINE void multiply(const float tile[][ROWS][16], const step *s,
                            float partial[TOKENS][ROWS][16], const int count) {
    __m512 acc[TOKENS][ROWS];
    COVEY__UNROLL
    for (int t = 0; t < count; t++) COVEY__UNROLL
    for (int i = 0; i < ROWS; i++)
        acc[t][i] = s->first ? _mm512_setzero_ps() : _mm512_loadu_ps(partial[t][i]);
    for (int32_t k = 0; k < s->columns; k += 16) {
        const float *x = s->x + k;
        __m512 w[ROWS];
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++) w[i] = _mm512_loadu_ps(tile[k / 16][i]);
        COVEY__UNROLL
        for (int t = 0; t < count; t++) {
            __m512 b = _mm512_loadu_ps(x + (size_t)t * s->x_stride);
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++)
                acc[t][i] = _mm512_add_ps(acc[t][i], _mm512_mul_ps(w[i], b));
        }
    }
    COVEY__UNROLL
    for (int t = 0; t < count; t++) {
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++) {
            if (!s->last)
                _mm512_storeu_ps(partial[t][i], acc[t][i]);
            else if (i < s->rows)
                s->out[(size_t)t * s->out_stride + (size_t)i] = covey__sum16(acc[t][i]);
        }
    }
}

typedef void (*multiply_fn)(const float tile[][ROWS][16], const step *s,
                            float partial[TOKENS][ROWS][16]);
#define MULTIPLY(count)                                                                            \
    static COVEY__NOINLINE void multiply_##count(const float tile[][ROWS][16], const step *s,      \
                                                 float partial[TOKENS][ROWS][16]) {                \
        multiply(tile, s, partial, count);                                                         \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)
static const multiply_fn multiplies[TOKENS + 1] = {NULL,       multiply_1, multiply_2, multiply_3,
                                                   multiply_4, multiply_5, multiply_6};

/* All tokens of the block against the unpacked stretch of rows r to r + 4 * tiles - 1. */
static void run_stretch(const covey__product *p, workspace *work, step s, int32_t r, int32_t r1,
                        int32_t k0, int32_t t0, int32_t t1) {
    for (int32_t t = t0; t < t1; t += TOKENS) {
        int32_t count = t1 - t < TOKENS ? t1 - t : TOKENS;
        s.x = p->a->x + (size_t)t * s.x_stride + k0;
        for (int32_t i = 0; i < TILES && r + ROWS * i < r1; i++) {
            s.rows = r1 - r - ROWS * i;
            s.out = p->out + (size_t)t * p->out_stride + r + ROWS * i;
            multiplies[count]((const float(*)[ROWS][16])work->tiles[i], &s,
                              work->partial[(t - t0) / TOKENS][i]);
        }
    }
}

void covey__matmul_float_avx512(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    workspace *work = scratch;
    int32_t columns = (int32_t)covey__pad16((size_t)w->columns);
    step s = {.x_stride = covey__act_stride((size_t)w->columns), .out_stride = p->out_stride};
    for (int32_t t0 = 0; t0 < p->a->tokens; t0 += BLOCK) {
        int32_t t1 = p->a->tokens - t0 < BLOCK ? p->a->tokens : t0 + BLOCK;
        for (int32_t r = r0; r < r1; r += ROWS * TILES) {
            for (int32_t k0 = 0; k0 < columns; k0 += STRETCH) {
                s.columns = columns - k0 < STRETCH ? columns - k0 : STRETCH;
                s.first = k0 == 0;
                s.last = k0 + s.columns == columns;
                for (int32_t i = 0; i < TILES && r + ROWS * i < r1; i++)
                    unpack(w, r + ROWS * i, r1, k0, s.columns, work->tiles[i]);
                run_stretch(p, work, s, r, r1, k0, t0, t1);
            }
        }
    }
}
