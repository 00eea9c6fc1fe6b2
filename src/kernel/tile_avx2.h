/* Tiles for AVX2 and AVX-VNNI: 16 rows in the lanes of two registers. A type's file unpacks 16 rows
 * into one common form, whatever the type: unsigned bytes, integer scales of sub-blocks, float
 * scales of blocks. The products over tiles (tile_dots_avx2.h) then know a few shapes of blocks
 * instead of every type. A tile covers TILE_COLUMNS columns so that it stays in the first cache;
 * between two such stretches the outputs hold the accumulators, which changes no bit. */
#ifndef COVEY_KERNEL_TILE_AVX2_H
#define COVEY_KERNEL_TILE_AVX2_H

#include "kernel/lanes_avx2.h"

#define COVEY__TILE_COLUMNS 1024
#define COVEY__TILE_ROWS    16
#define COVEY__TILE_TOKENS  6 /* a group of activations */

typedef struct covey__tile {
    uint8_t q[COVEY__TILE_COLUMNS * COVEY__TILE_ROWS]; /* [columns / 4][16 rows][4] */
    /* K types: the scale of each sub-block, twice, as int16: [columns / sub][16][2] */
    int16_t sub[COVEY__TILE_COLUMNS / 16 * COVEY__TILE_ROWS * 2];
    /* K types: by sub-block what multiplies the sum of the activations (the scale again, or the
     * minimum), two sub-blocks together: [columns / sub / 2][16][2] */
    int16_t pairs[COVEY__TILE_COLUMNS / 16 * COVEY__TILE_ROWS];
    float d[COVEY__TILE_COLUMNS / 32 * COVEY__TILE_ROWS]; /* [blocks][16] */
    float m[COVEY__TILE_COLUMNS / 32 * COVEY__TILE_ROWS]; /* the scale of minima, where they are */
} covey__tile;
_Static_assert(sizeof(covey__tile) <= COVEY__TILE_SCRATCH, "scratch");

/* A stretch of up to 6 tokens' activations, and where its outputs go. Of fewer than a product takes
 * the others' activations are whatever the group holds there, and their outputs are not stored. */
typedef struct covey__stretch {
    const int8_t *q;
    const float *d;
    const int32_t *bias; /* Q32: -8 times each block's sum */
    const int16_t *sums; /* Q256: by sub-block, of the first token; the next: `sums_stride` on */
    size_t sums_stride;
    float *out;
    size_t out_stride;
    int32_t columns, rows, tokens;
    const struct covey__tile_ops *ops;
    bool first; /* else the accumulators are continued from `out` */
} covey__stretch;

/* What to unpack: rows r to r + 15 (the last one before `end` again beyond it), `columns` columns
 * from k0 on. The next tile's rows are `ahead` bytes further, and are prefetched on the way. */
typedef struct covey__cut {
    const covey__weights *w;
    int32_t r, end, k0, columns;
    size_t ahead;
} covey__cut;

typedef void (*covey__tile_unpack_fn)(const covey__cut *cut, covey__tile *tile);
typedef void (*covey__tile_fn)(const covey__tile *tile, const covey__stretch *s);

/* The float steps of block b of 256, from scaled integer sums to accumulators. */
typedef void (*covey__tile_steps_fn)(const covey__tile *tile, const covey__stretch *s, int32_t b,
                                     const __m256i x[][2], __m256 f[][2]);

/* The product of one shape of blocks, for up to 3 tokens, up to 2 (NULL: by 3) and for 6 (NULL:
 * twice 3). */
typedef struct covey__tile_ops {
    covey__tile_fn three, two, six;
    covey__tile_steps_fn steps; /* blocks of 256 */
    int32_t sub;    /* columns a sub-block, of blocks of 256; 0: blocks of 32 with one scale */
    int32_t excess; /* the bytes are 2^excess more than the weights; or 0 where none is to go */
} covey__tile_ops;

/* By number of sub-blocks whose sums count, with minima or with an excess to go out. */
void covey__steps_8_min_avx2(const covey__tile *tile, const covey__stretch *s, int32_t b,
                             const __m256i x[][2], __m256 f[][2]);
void covey__steps_16_min_avx2(const covey__tile *tile, const covey__stretch *s, int32_t b,
                              const __m256i x[][2], __m256 f[][2]);
void covey__steps_8_avx2(const covey__tile *tile, const covey__stretch *s, int32_t b,
                         const __m256i x[][2], __m256 f[][2]);
void covey__steps_16_avx2(const covey__tile *tile, const covey__stretch *s, int32_t b,
                          const __m256i x[][2], __m256 f[][2]);
void covey__steps_0_avx2(const covey__tile *tile, const covey__stretch *s, int32_t b,
                         const __m256i x[][2], __m256 f[][2]);

/* The accumulators of 6 tokens, zero where a stretch has none; and back to the outputs. */
void covey__accumulators_get_avx2(const covey__stretch *s, __m256 f[][2]);
void covey__accumulators_put_avx2(const covey__stretch *s, __m256 f[][2]);

/* Walks over rows, columns and tokens. */
void covey__tile_run_avx2(covey__tile_unpack_fn unpack, const covey__tile_ops *ops,
                          const covey__product *p, int32_t r0, int32_t r1, void *scratch);

#define COVEY__DECLARE_UNPACK(type)                                                                \
    void covey__unpack_##type##_avx2(const covey__cut *cut, covey__tile *tile);
COVEY__DECLARE_UNPACK(q8_0)
COVEY__DECLARE_UNPACK(q4_0)
COVEY__DECLARE_UNPACK(q4_1)
COVEY__DECLARE_UNPACK(q5_0)
COVEY__DECLARE_UNPACK(q5_1)
COVEY__DECLARE_UNPACK(iq4_nl)
COVEY__DECLARE_UNPACK(q2_k)
COVEY__DECLARE_UNPACK(q3_k)
COVEY__DECLARE_UNPACK(q4_k)
COVEY__DECLARE_UNPACK(q5_k)
COVEY__DECLARE_UNPACK(q6_k)
COVEY__DECLARE_UNPACK(iq4_xs)
/* With the sub-blocks' scales in the bytes, which then take all 8 bits. */
COVEY__DECLARE_UNPACK(q2_k_whole)
COVEY__DECLARE_UNPACK(q3_k_whole)

#endif
