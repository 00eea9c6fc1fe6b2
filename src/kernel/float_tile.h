/* F32, F16 and BF16 weights times many tokens, for vectors of any width; included by
 * matmul_float_*.c. A step is ROWS rows by TOKENS tokens over a stretch of columns, each output's
 * 16 partial sums in PARTS registers. Around it, so that nearly all loads come from the first
 * caches: 32 rows are made float32 in scratch a stretch at a time, and pass over a block of tokens
 * whose partial sums wait in scratch between two stretches. Before it is included these stand:
 *
 *   ROWS, TOKENS, PARTS      ROWS divides 32; a step keeps ROWS * TOKENS * PARTS registers
 *   part                     a register of 16 / PARTS floats
 *   part_zero(), part_load(from), part_store(to, v), part_add_product(sum, w, x)
 *   sum_parts(v)             the 16 sums of v[PARTS] by the tree
 *   put_weights(to, type, row, k, left)     16 columns from k on as floats; zeros from left on */
#ifndef COVEY_KERNEL_FLOAT_TILE_H
#define COVEY_KERNEL_FLOAT_TILE_H

#define TILES   (32 / ROWS)
#define BLOCK   96  /* tokens */
#define STRETCH 512 /* columns */

typedef float tile_row[16];

typedef struct workspace {
    tile_row tiles[TILES][STRETCH / 16][ROWS];
    tile_row partial[BLOCK / TOKENS][TILES][TOKENS][ROWS];
} workspace;
_Static_assert(sizeof(workspace) <= COVEY__FLOAT_SCRATCH, "scratch");

/* What a step works on: `x` is its first token. */
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
                   tile_row tile[][ROWS]) {
    const uint8_t *p[ROWS];
    covey__rows(w, r, end, 0, p, ROWS);
    for (int32_t k = 0; k < columns; k += 16) {
        size_t next = (size_t)(k0 + k + STRETCH) * (w->type == COVEY__KT_F32 ? 4 : 2);
        COVEY__UNROLL
        for (int i = 0; i < ROWS; i++) {
            _mm_prefetch((const char *)p[i] + next, _MM_HINT_T1);
            put_weights(tile[k / 16][i], w->type, p[i], k0 + k, w->columns - k0 - k);
        }
    }
}

COVEY__INLINE void step_start(const step *s, tile_row partial[TOKENS][ROWS],
                              part sums[TOKENS][ROWS][PARTS], const int count) {
    const int width = 16 / PARTS;
    COVEY__UNROLL
    for (int t = 0; t < count; t++) COVEY__UNROLL
    for (int i = 0; i < ROWS; i++) COVEY__UNROLL
    for (int j = 0; j < PARTS; j++)
        sums[t][i][j] = s->first ? part_zero() : part_load(partial[t][i] + width * j);
}

COVEY__INLINE void step_end(const step *s, tile_row partial[TOKENS][ROWS],
                            part sums[TOKENS][ROWS][PARTS], const int count) {
    const int width = 16 / PARTS;
    COVEY__UNROLL
    for (int t = 0; t < count; t++) COVEY__UNROLL
    for (int i = 0; i < ROWS; i++) COVEY__UNROLL
    for (int j = 0; j < PARTS; j++) part_store(partial[t][i] + width * j, sums[t][i][j]);
    if (!s->last) return;
    /* once for an output: not unrolled, to be small */
    for (int t = 0; t < count; t++) {
        for (int i = 0; i < ROWS && i < s->rows; i++) {
            part sum[PARTS];
            COVEY__UNROLL
            for (int j = 0; j < PARTS; j++) sum[j] = part_load(partial[t][i] + width * j);
            s->out[(size_t)t * s->out_stride + (size_t)i] = sum_parts(sum);
        }
    }
}

COVEY__INLINE void multiply(tile_row tile[][ROWS], const step *s, tile_row partial[TOKENS][ROWS],
                            const int count) {
    const int width = 16 / PARTS;
    part sums[TOKENS][ROWS][PARTS];
    step_start(s, partial, sums, count);
    for (int32_t k = 0; k < s->columns; k += 16) {
        COVEY__UNROLL
        for (int j = 0; j < PARTS; j++) {
            part w[ROWS];
            COVEY__UNROLL
            for (int i = 0; i < ROWS; i++) w[i] = part_load(tile[k / 16][i] + width * j);
            COVEY__UNROLL
            for (int t = 0; t < count; t++) {
                part x = part_load(s->x + (size_t)t * s->x_stride + k + width * j);
                COVEY__UNROLL
                for (int i = 0; i < ROWS; i++) part_add_product(sums[t][i][j], w[i], x);
            }
        }
    }
    step_end(s, partial, sums, count);
}

typedef void (*multiply_fn)(tile_row tile[][ROWS], const step *s, tile_row partial[TOKENS][ROWS]);
#define MULTIPLY(count)                                                                            \
    static COVEY__NOINLINE void multiply_##count(tile_row tile[][ROWS], const step *s,             \
                                                 tile_row partial[TOKENS][ROWS]) {                 \
        multiply(tile, s, partial, count);                                                         \
    }
MULTIPLY(1)
MULTIPLY(2)
#if TOKENS == 6
MULTIPLY(6)
#define MULTIPLY_ALL multiply_6
#else
MULTIPLY(3)
#define MULTIPLY_ALL multiply_3
#endif

/* All tokens of the block against the unpacked stretch of 32 rows from r on. */
static void run_stretch(const covey__product *p, workspace *work, step s, int32_t r, int32_t r1,
                        int32_t k0, int32_t t0, int32_t t1) {
    for (int32_t t = t0, count; t < t1; t += count) {
        int32_t slot = (t - t0) / TOKENS, place = (t - t0) % TOKENS;
        multiply_fn run = multiply_1;
        count = t1 - t < 2 ? 1 : t1 - t < TOKENS ? 2 : TOKENS;
        if (count > 1) run = count == 2 ? multiply_2 : MULTIPLY_ALL;
        s.x = p->a->x + (size_t)t * s.x_stride + k0;
        for (int32_t i = 0; i < TILES && r + ROWS * i < r1; i++) {
            s.rows = r1 - r - ROWS * i;
            s.out = p->out + (size_t)t * p->out_stride + r + ROWS * i;
            run(work->tiles[i], &s, work->partial[slot][i] + place);
        }
    }
}

COVEY__INLINE void matmul_float(const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
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

#endif
