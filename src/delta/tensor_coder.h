/* Inside the tensor coder: what patch_tensor.c (the walk over a part) and tensor_tables.c (the
 * table sets) share. */
#ifndef COVEY_DELTA_TENSOR_CODER_H
#define COVEY_DELTA_TENSOR_CODER_H

#include "delta/patch_tensor.h"
#include "delta/residual_predict.h"

#define COVEY__FACTOR_SET 2040 /* the table set of factors' rows */
#define COVEY__SET_ID_MAX COVEY__FACTOR_SET
#define COVEY__TABLES_MAX 65536

typedef struct covey__table_set {
    uint32_t base, count; /* of its contexts; count 0: not in use */
    bool stored;          /* given, or fitted: in the directory */
    uint8_t *bytes;       /* 3 a context */
    size_t bytes_size;    /* what is stored of them */
} covey__table_set;

/* One batch. */
typedef struct covey__tensor_scratch {
    covey__block_batch old, fresh;
    float step_old[512], step_new[512], offset_old[512], offset_new[512];
    float k[512], b[512], h[512], step[512];
    int32_t dot[COVEY__BATCH_CODES];
} covey__tensor_scratch;

struct covey__tensor_coder {
    const covey__env *env;
    const covey__residual_kernel *kernel;
    covey__table_set *sets; /* COVEY__SET_ID_MAX + 1 */
    covey__lane_table *tables;
    covey__lane_row *rows;
    size_t table_count, table_capacity; /* multiples of 16 */
    uint32_t (*counts)[4];              /* encoding */
    covey__lane_encoder trial;          /* counts the steps of a part */
    covey__tensor_scratch *scratch;
    int8_t *u; /* of the rows of a part */
    size_t u_capacity;
};

typedef struct covey__walk covey__walk;
typedef struct covey__run_ops {
    void (*scales)(covey__walk *walk, covey__scale_run *run);
    void (*codes)(covey__walk *walk, covey__code_run *run);
    void (*bytes)(covey__walk *walk, covey__byte_run *run);
} covey__run_ops;

struct covey__walk {
    covey__tensor_coder *coder;
    const covey__tensor_part *part;
    const covey__block_layout *layout; /* NULL for floats */
    const covey__residual_kernel *kernel;
    covey__tensor_scratch *scratch;
    const covey__run_ops *ops;
    bool encoding;
    size_t batches_max; /* 0: all; else only the part's beginning, for covey__tensor_starts */
    covey__lane_decoder *decoder;
    covey__lane_encoder *encoder;
    float est[COVEY__TENSOR_STREAMS];
    float moved[COVEY__TENSOR_STREAMS]; /* for covey__tensor_starts */
    uint32_t groups[COVEY__TENSOR_STREAMS];
    const int8_t *u; /* of the part's rows, `rank` each */
};

/* Takes the walk. The sets that the part needs must be in use. */
void covey__tensor_walk(covey__walk *walk);
void covey__tensor_walk_avx2(covey__walk *walk); /* on machines with AVX2 alone */
/* The set's contexts, and the estimate of a stream. */
void covey__walk_stream(covey__walk *walk, int stream, uint32_t *base, float **est);
/* Codes the u of the part's rows and sets walk->u. */
void covey__walk_factors(covey__walk *walk);

#endif
