/* Matrix products of any size over the tiles of a kernel table: B is packed in panels that stay in
 * the cache, A is read in place (or, transposed, packed a tile at a time), and edges go through a
 * full tile of their own. Follows the blocking of Goto and van de Geijn (TOMS 34, 2008). */
#include <string.h>

#include "train/train_kernels.h"

#define TILE_FLOATS (COVEY__TRAIN_TILE_ROWS_MAX * COVEY__TRAIN_TILE_COLUMNS_MAX)
/* Columns of B packed at a time: with the depth, half a megabyte, for the second cache. */
#define BLOCK_COLUMNS 512
/* Longest depth of a product over a packed B. */
#define PACKED_DEPTH_MAX 4096

typedef float quad __attribute__((vector_size(16)));
typedef float quad_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

static inline size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t covey__train_product_scratch(size_t columns) {
    size_t packed = least((columns + COVEY__TRAIN_TILE_COLUMNS_MAX - 1) /
                              COVEY__TRAIN_TILE_COLUMNS_MAX * COVEY__TRAIN_TILE_COLUMNS_MAX,
                          BLOCK_COLUMNS);
    size_t own = packed * COVEY__TRAIN_DEPTH + TILE_FLOATS +
                 (size_t)COVEY__TRAIN_TILE_ROWS_MAX * PACKED_DEPTH_MAX;
    return own > covey__train_bf16_scratch() ? own : covey__train_bf16_scratch();
}

size_t covey__train_packed_floats(const covey__train_kernels *kernels, size_t depth,
                                  size_t columns) {
    size_t nr = (size_t)kernels->tile_columns;
    return (columns + nr - 1) / nr * nr * depth;
}

/* One panel of a B that is stored as it is used: copies of short rows. */
static void pack_plain(const float *b, size_t ldb, size_t depth, size_t n, size_t nr, float *out) {
    for (size_t p = 0; p < depth; p++) {
        if (n == nr) {
            memcpy(out, b + p * ldb, nr * sizeof(float));
        } else {
            memcpy(out, b + p * ldb, n * sizeof(float));
            memset(out + n, 0, (nr - n) * sizeof(float));
        }
        out += nr;
    }
}

/* A 4 x 4 block of a transposed B. */
static inline void transpose_quad(const float *b, size_t ldb, float *out, size_t nr) {
    quad r0 = *(const quad_unaligned *)b, r1 = *(const quad_unaligned *)(b + ldb);
    quad r2 = *(const quad_unaligned *)(b + 2 * ldb), r3 = *(const quad_unaligned *)(b + 3 * ldb);
    quad t0 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5);
    quad t1 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
    quad t2 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
    quad t3 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    *(quad_unaligned *)out = __builtin_shufflevector(t0, t1, 0, 1, 4, 5);
    *(quad_unaligned *)(out + nr) = __builtin_shufflevector(t0, t1, 2, 3, 6, 7);
    *(quad_unaligned *)(out + 2 * nr) = __builtin_shufflevector(t2, t3, 0, 1, 4, 5);
    *(quad_unaligned *)(out + 3 * nr) = __builtin_shufflevector(t2, t3, 2, 3, 6, 7);
}

/* One panel of a B that is stored with its columns as rows. */
static void pack_transposed(const float *b, size_t ldb, size_t depth, size_t n, size_t nr,
                            float *out) {
    size_t c = 0;
    for (; c + 4 <= n; c += 4) {
        size_t p = 0;
        for (; p + 4 <= depth; p += 4) transpose_quad(b + c * ldb + p, ldb, out + p * nr + c, nr);
        for (; p < depth; p++)
            for (size_t i = 0; i < 4; i++) out[p * nr + c + i] = b[(c + i) * ldb + p];
    }
    for (; c < n; c++)
        for (size_t p = 0; p < depth; p++) out[p * nr + c] = b[c * ldb + p];
    for (; c < nr; c++)
        for (size_t p = 0; p < depth; p++) out[p * nr + c] = 0.0f;
}

void covey__train_pack(const covey__train_kernels *kernels, const float *b, size_t ldb,
                       bool transpose, size_t depth, size_t columns, float *packed) {
    size_t nr = (size_t)kernels->tile_columns;
    for (size_t c = 0; c < columns; c += nr) {
        size_t n = least(columns - c, nr);
        if (transpose)
            pack_transposed(b + c * ldb, ldb, depth, n, nr, packed);
        else
            pack_plain(b + c, ldb, depth, n, nr, packed);
        packed += depth * nr;
    }
}

static void copy_rows_14(const float *a, size_t lda, size_t depth, float *out) {
    for (size_t p = 0; p < depth; p++) memcpy(out + p * 14, a + p * lda, 14 * sizeof(float));
}

static void copy_rows_6(const float *a, size_t lda, size_t depth, float *out) {
    for (size_t p = 0; p < depth; p++) memcpy(out + p * 6, a + p * lda, 6 * sizeof(float));
}

static void copy_rows(const float *a, size_t lda, size_t depth, size_t n, size_t mr, float *out) {
    for (size_t p = 0; p < depth; p++, out += mr) {
        memcpy(out, a + p * lda, n * sizeof(float));
        memset(out + n, 0, (mr - n) * sizeof(float));
    }
}

/* Rows of A for one tile, packed by depth, short ones filled with zeros. */
static void pack_rows(const covey__train_product *product, size_t row, size_t n, size_t mr,
                      float *out) {
    const float *a = product->a;
    if (!product->transpose_a) {
        for (size_t p = 0; p < product->depth; p++)
            for (size_t r = 0; r < mr; r++)
                out[p * mr + r] = r < n ? a[(row + r) * product->lda + p] : 0.0f;
        return;
    }
    a += row;
    /* Whole tiles copy by a size that the compiler knows. */
    if (n == 14 && mr == 14)
        copy_rows_14(a, product->lda, product->depth, out);
    else if (n == 6 && mr == 6)
        copy_rows_6(a, product->lda, product->depth, out);
    else
        copy_rows(a, product->lda, product->depth, n, mr, out);
}

static void copy_tile(const float *from, size_t ld, float *to, size_t ldc, size_t rows,
                      size_t columns, bool add) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            to[r * ldc + c] = add ? to[r * ldc + c] + from[r * ld + c] : from[r * ld + c];
}

void covey__train_multiply_packed(const covey__train_kernels *kernels,
                                  const covey__train_product *product, const float *packed,
                                  size_t packed_depth, float *scratch) {
    size_t mr = (size_t)kernels->tile_rows, nr = (size_t)kernels->tile_columns;
    float *edge = scratch, *rows_packed = scratch + TILE_FLOATS;
    for (size_t r = 0; r < product->rows; r += mr) {
        size_t m = least(product->rows - r, mr);
        bool pack = product->transpose_a || m < mr;
        if (pack) pack_rows(product, r, m, mr, rows_packed);
        const float *a = product->a + r * product->lda;
        for (size_t c = 0; c < product->columns; c += nr) {
            size_t n = least(product->columns - c, nr);
            bool whole = m == mr && n == nr;
            float *out = whole ? product->c + r * product->ldc + c : edge;
            size_t ldo = whole ? product->ldc : nr;
            const float *panel = packed + c * packed_depth;
            bool add = whole && product->add;
            if (pack)
                kernels->tile_packed(product->depth, rows_packed, panel, out, ldo, add);
            else
                kernels->tile(product->depth, a, product->lda, panel, out, ldo, add);
            if (!whole)
                copy_tile(edge, nr, product->c + r * product->ldc + c, product->ldc, m, n,
                          product->add);
        }
    }
}

void covey__train_multiply(const covey__train_kernels *kernels, const covey__train_product *product,
                           float *scratch) {
    float *packed = scratch + TILE_FLOATS + (size_t)COVEY__TRAIN_TILE_ROWS_MAX * PACKED_DEPTH_MAX;
    if (kernels->bf16) {
        covey__train_multiply_bf16(product, scratch);
        return;
    }
    for (size_t c = 0; c < product->columns; c += BLOCK_COLUMNS) {
        for (size_t p = 0; p < product->depth; p += COVEY__TRAIN_DEPTH) {
            covey__train_product part = *product;
            part.columns = least(product->columns - c, BLOCK_COLUMNS);
            part.depth = least(product->depth - p, COVEY__TRAIN_DEPTH);
            part.a = product->a + (product->transpose_a ? p * product->lda : p);
            part.c = product->c + c;
            part.add = product->add || p > 0;
            const float *b =
                product->b + (product->transpose_b ? c * product->ldb + p : p * product->ldb + c);
            covey__train_pack(kernels, b, product->ldb, product->transpose_b, part.depth,
                              part.columns, packed);
            covey__train_multiply_packed(kernels, &part, packed, part.depth, scratch);
        }
    }
}
