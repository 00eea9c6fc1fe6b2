/* Products over tiles with AVX-512 VNNI: 32 rows by up to 6 tokens, rows in the lanes. A type's
 * file unpacks 32 rows into a tile of unsigned bytes, [columns / 4][32 rows][4], and their scales;
 * the walk over rows, columns and token groups, and the few ways to multiply, which many types
 * share, are in tile_avx512.c. A tile covers up to TILE_COLUMNS columns: a whole row of most
 * models, in the second cache, which proved faster than stretches that fit the first one. Between
 * two such stretches the outputs hold the accumulators, which changes no bit. */
#ifndef COVEY_KERNEL_TILE_AVX512_H
#define COVEY_KERNEL_TILE_AVX512_H

#include "kernel/lanes_avx512.h"

#define COVEY__TILE_COLUMNS 8192
#define COVEY__TILE_ROWS    32

/* Each table ends in [32 rows]. A block has 32 columns, or 256 where there are sub-blocks. */
typedef struct covey__tile {
    uint8_t q[COVEY__TILE_COLUMNS * COVEY__TILE_ROWS];
    int32_t sub[COVEY__TILE_COLUMNS / 16 * COVEY__TILE_ROWS];  /* [sub-blocks]: their scales */
    int16_t mins[COVEY__TILE_COLUMNS / 16 * COVEY__TILE_ROWS]; /* [sub-blocks / 2][32][2] */
    float d[COVEY__TILE_COLUMNS / 32 * COVEY__TILE_ROWS];      /* [blocks] */
    float m[COVEY__TILE_COLUMNS / 32 * COVEY__TILE_ROWS]; /* [blocks]: m of Q4_1 and Q5_1, dmin */
} covey__tile;
_Static_assert(sizeof(covey__tile) <= COVEY__TILE_SCRATCH, "scratch");

/* What to unpack: rows r to r + 31 (the last one before `end` again beyond it), `columns` columns
 * from k0 on. The next tile's rows are `ahead` bytes further, or there is none (0). */
typedef struct covey__cut {
    const covey__weights *w;
    int32_t r, end, k0, columns;
    size_t ahead;
} covey__cut;

typedef void (*covey__tile_unpack_fn)(const covey__cut *cut, covey__tile *tile);

typedef enum covey__tile_kind {
    COVEY__TILE_SCALE,     /* blocks of 32 with a scale */
    COVEY__TILE_MIN,       /* blocks of 32 with a scale and a minimum */
    COVEY__TILE_SUB16,     /* blocks of 256: 16 sub-blocks with scales */
    COVEY__TILE_SUB32,     /* 8 sub-blocks with scales */
    COVEY__TILE_SUB32_MIN, /* 8 sub-blocks with scales and minimums */
    COVEY__TILE_WHOLE,     /* 256 with the sub-blocks' scales in the bytes, 127 too much */
    COVEY__TILE_WHOLE_MIN  /* the same, exact, and minimums for each 16 */
} covey__tile_kind;

/* Rows [r0, r1) for all tokens. `bias`: which of the activations' two takes back what the tile's
 * unsigned weights have too much; kinds with minimums have none. */
void covey__tile_run(covey__tile_kind kind, covey__tile_unpack_fn unpack, int bias,
                     const covey__product *p, int32_t r0, int32_t r1, void *scratch);

/* A type's function for kernels.c, from its `unpack`. */
#define COVEY__TILE_MATMUL(type, kind, bias)                                                       \
    void covey__matmul_##type##_avx512(const covey__product *p, int32_t r0, int32_t r1,            \
                                       void *scratch) {                                            \
        covey__tile_run((kind), unpack, (bias), p, r0, r1, scratch);                               \
    }

#endif
