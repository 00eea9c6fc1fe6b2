/* One part of a tensor as a patch codes it (docs/formats/patch.md, "Quantized tensors" and
 * "Floats"): from the old bytes to the new ones and back. The table sets of all parts of a patch
 * live in one coder. An encoder counts some parts or all, fits the tables, then encodes; a decoder
 * is given the tables. One thread at a time. */
#ifndef COVEY_DELTA_PATCH_TENSOR_H
#define COVEY_DELTA_PATCH_TENSOR_H

#include "base/cpu.h"
#include "base/env.h"
#include "delta/lane_coder.h"

#define COVEY__TENSOR_STREAMS  5
#define COVEY__FACTOR_RANK_MAX 64

/* What a low-rank prediction of a whole tensor needs: the rank's numbers of each column. */
typedef struct covey__tensor_factor {
    uint32_t columns;
    uint8_t rank;    /* 1 to COVEY__FACTOR_RANK_MAX */
    float scale;     /* of u times v, in weight units */
    const int8_t *v; /* rank after rank, `columns` each */
    const int8_t *u; /* encoding only: `rank` numbers a row, of all rows of the tensor */
} covey__tensor_factor;

typedef struct covey__tensor_part {
    uint8_t type;       /* GGUF's number */
    const uint8_t *old; /* `size` bytes */
    uint8_t *fresh;     /* `size` bytes: made, or read when encoding */
    size_t size;        /* a multiple of covey__tensor_block_bytes; whole rows with factors */
    uint8_t starts[COVEY__TENSOR_STREAMS];
    const covey__tensor_factor *factor; /* NULL: none */
    uint32_t first_row;                 /* of the tensor, with factors */
} covey__tensor_part;

/* Of a block of the type; 0 where patches do not know the type. */
size_t covey__tensor_block_bytes(uint8_t type);
/* Weights in a block. */
size_t covey__tensor_block_weights(uint8_t type);

typedef struct covey__tensor_coder covey__tensor_coder;
covey_status covey__tensor_coder_new(const covey__env *env, covey__isa isa,
                                     covey__tensor_coder **coder,
                                     covey_error *error) COVEY_MUST_USE;
void covey__tensor_coder_free(covey__tensor_coder *coder); /* NULL is allowed */

/* Decoding: a table set of the directory. FORMAT for an id that is none, a size that is none, or a
 * set that was given before. */
covey_status covey__tensor_coder_set_tables(covey__tensor_coder *coder, uint16_t id,
                                            const uint8_t *bytes, size_t size,
                                            covey_error *error) COVEY_MUST_USE;
/* Makes the part's new bytes. FORMAT when the stream breaks off. What a damaged stream yields is
 * arbitrary: the caller holds it against its digest. */
covey_status covey__tensor_decode(covey__tensor_coder *coder, const covey__tensor_part *part,
                                  covey__lane_decoder *decoder, covey_error *error) COVEY_MUST_USE;

/* Encoding: first the starts of every part; then parts are counted, tables fitted, and each part is
 * encoded. covey__tensor_encode records steps; covey__tensor_coder_tables are theirs. */
covey_status covey__tensor_starts(covey__tensor_coder *coder, covey__tensor_part *part,
                                  covey_error *error) COVEY_MUST_USE;
covey_status covey__tensor_count(covey__tensor_coder *coder, const covey__tensor_part *part,
                                 covey_error *error) COVEY_MUST_USE;
void covey__tensor_coder_fit(covey__tensor_coder *coder);
/* What the counted parts take, in bits, with tables fitted to them. */
double covey__tensor_coder_bits(const covey__tensor_coder *coder);
covey_status covey__tensor_encode(covey__tensor_coder *coder, const covey__tensor_part *part,
                                  covey__lane_encoder *encoder, covey_error *error) COVEY_MUST_USE;
const covey__lane_table *covey__tensor_coder_tables(const covey__tensor_coder *coder,
                                                    size_t *count);

/* The fitted sets for the directory: the `index`-th of them, false beyond the last. `bytes` stay
 * the coder's. */
bool covey__tensor_coder_set(const covey__tensor_coder *coder, size_t index, uint16_t *id,
                             const uint8_t **bytes, size_t *size);

#endif
