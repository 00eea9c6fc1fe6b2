/* The table sets of a tensor coder, and its calls: what a decoder is given, what an encoder counts
 * and fits, and the two ways a walk's runs end. A set that no directory brought has the default
 * tables. */
#include "delta/tensor_coder.h"

#include "base/error.h"
#include "gguf/gguf.h"

#include <math.h>
#include <string.h>

#define START_BATCHES 4
#define FIT_GAIN_BITS 28.0 /* what three bytes of a directory about cost, and a little */
#define RECORD_BYTES_MAX                                                                           \
    ((size_t)48 << 20) /* of a part that is counted: its beginning is enough                       \
                        */

static const uint8_t default_bytes[3] = COVEY__LANE_DEFAULT;

/* ---- Sets -------------------------------------------------------------------------------------
 */

/* Contexts of a set; 0 where there is no such set. */
static uint32_t set_contexts(uint32_t id) {
    uint32_t type = id / 8, stream = id % 8;
    const covey__block_layout *layout = covey__block_layout_get(type);
    if (id == COVEY__FACTOR_SET) return COVEY__BYTE_CONTEXTS;
    if (type == COVEY__TYPE_F32) return stream ? 0 : 8 * 4 * 2 * COVEY__BYTE_CONTEXTS;
    if (type == COVEY__TYPE_F16 || type == COVEY__TYPE_BF16)
        return stream ? 0 : 8 * 2 * 2 * COVEY__BYTE_CONTEXTS;
    if (!layout) return 0;
    bool used = stream == 0 || stream == 4 || (stream == 1 && layout->has_m) ||
                (stream == 2 && layout->subs) || (stream == 3 && layout->has_mins);
    return used ? COVEY__RESIDUAL_CONTEXTS : 0;
}

static covey_status tables_grow(covey__tensor_coder *coder, size_t wanted, covey_error *error) {
    size_t capacity = coder->table_capacity ? coder->table_capacity : 2048;
    while (capacity < wanted) capacity *= 2;
    if (capacity == coder->table_capacity) return COVEY_OK;
    covey__lane_table *tables = covey__alloc_aligned(coder->env, capacity * sizeof *tables);
    covey__lane_row *rows = covey__alloc_aligned(coder->env, capacity / 16 * sizeof *rows);
    uint32_t(*counts)[4] = covey__resize(coder->env, coder->counts, capacity * sizeof *counts);
    if (counts) coder->counts = counts;
    if (!tables || !rows || !counts) {
        covey__free_aligned(coder->env, tables);
        covey__free_aligned(coder->env, rows);
        return covey__no_memory(error, "patch tables", capacity * sizeof *tables);
    }
    memset(counts + coder->table_capacity, 0, (capacity - coder->table_capacity) * sizeof *counts);
    if (coder->table_count) memcpy(tables, coder->tables, coder->table_count * sizeof *tables);
    covey__lane_rows_make(tables, rows, coder->table_count / 16);
    covey__free_aligned(coder->env, coder->tables);
    covey__free_aligned(coder->env, coder->rows);
    coder->tables = tables;
    coder->rows = rows;
    coder->table_capacity = capacity;
    return COVEY_OK;
}

/* The set's tables from its bytes. */
static void set_apply(covey__tensor_coder *coder, covey__table_set *set) {
    covey__lane_tables_make(set->bytes, set->bytes_size, coder->tables + set->base, set->count);
    covey__lane_rows_make(coder->tables + set->base, coder->rows + set->base / 16, set->count / 16);
}

static covey_status set_use(covey__tensor_coder *coder, uint32_t id, covey_error *error) {
    covey__table_set *set = &coder->sets[id];
    if (set->count) return COVEY_OK;
    uint32_t contexts = set_contexts(id), count = (contexts + 15) / 16 * 16;
    size_t wanted = coder->table_count + count;
    if (!contexts || wanted > COVEY__TABLES_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT, "there is no table set %u", (unsigned)id);
    covey_status status = tables_grow(coder, wanted, error);
    if (status) return status;
    set->bytes = covey__alloc(coder->env, (size_t)count * 3);
    if (!set->bytes) return covey__no_memory(error, "patch tables", (size_t)count * 3);
    set->base = (uint32_t)coder->table_count;
    set->count = count;
    coder->table_count = wanted;
    set_apply(coder, set);
    return COVEY_OK;
}

static covey_status part_sets(covey__tensor_coder *coder, const covey__tensor_part *part,
                              covey_error *error) {
    covey_status status = COVEY_OK;
    for (uint32_t stream = 0; stream < COVEY__TENSOR_STREAMS && !status; stream++)
        if (set_contexts(part->type * 8u + stream))
            status = set_use(coder, part->type * 8u + stream, error);
    if (!status && part->factor) status = set_use(coder, COVEY__FACTOR_SET, error);
    return status;
}

covey_status covey__tensor_coder_set_tables(covey__tensor_coder *coder, uint16_t id,
                                            const uint8_t *bytes, size_t size, covey_error *error) {
    if (id > COVEY__SET_ID_MAX || !set_contexts(id) || size % 3 || size / 3 > set_contexts(id))
        return covey__fail(error, COVEY_ERROR_FORMAT, "table set %u of %zu bytes is none",
                           (unsigned)id, size);
    covey__table_set *set = &coder->sets[id];
    if (set->stored)
        return covey__fail(error, COVEY_ERROR_FORMAT, "table set %u is there twice", (unsigned)id);
    covey_status status = set_use(coder, id, error);
    if (status) return status;
    if (size) memcpy(set->bytes, bytes, size);
    set->bytes_size = size;
    set->stored = true;
    set_apply(coder, set);
    return COVEY_OK;
}

void covey__tensor_coder_fit(covey__tensor_coder *coder) {
    for (uint32_t id = 0; id <= COVEY__SET_ID_MAX; id++) {
        covey__table_set *set = &coder->sets[id];
        if (!set->count) continue;
        set->bytes_size = 0;
        for (uint32_t c = 0; c < set->count; c++) {
            const uint32_t *counts = coder->counts[set->base + c];
            uint8_t *bytes = set->bytes + 3 * c;
            covey__lane_table usual;
            covey__lane_table_make(default_bytes, &usual);
            double fitted = covey__lane_table_fit(counts, bytes);
            if (covey__lane_table_cost(&usual, counts) - fitted < FIT_GAIN_BITS)
                memcpy(bytes, default_bytes, 3);
            else
                set->bytes_size = 3 * ((size_t)c + 1);
        }
        set->stored = set->bytes_size > 0;
        set_apply(coder, set);
    }
    covey__lane_encoder_free(&coder->trial); /* nothing more is counted */
}

double covey__tensor_coder_bits(const covey__tensor_coder *coder) {
    covey__lane_table usual;
    double bits = 0;
    covey__lane_table_make(default_bytes, &usual);
    for (size_t i = 0; i < coder->table_count; i++) {
        const uint32_t *counts = coder->counts[i];
        uint8_t bytes[3];
        if (!(counts[0] | counts[1] | counts[2] | counts[3])) continue;
        double plain = covey__lane_table_cost(&usual, counts);
        double fitted = covey__lane_table_fit(counts, bytes) + FIT_GAIN_BITS;
        bits += fitted < plain ? fitted : plain;
    }
    return bits;
}

bool covey__tensor_coder_set(const covey__tensor_coder *coder, size_t index, uint16_t *id,
                             const uint8_t **bytes, size_t *size) {
    for (uint32_t i = 0; i <= COVEY__SET_ID_MAX; i++) {
        const covey__table_set *set = &coder->sets[i];
        if (!set->stored || index-- > 0) continue;
        *id = (uint16_t)i;
        *bytes = set->bytes;
        *size = set->bytes_size;
        return true;
    }
    return false;
}

const covey__lane_table *covey__tensor_coder_tables(const covey__tensor_coder *coder,
                                                    size_t *count) {
    *count = coder->table_count;
    return coder->tables;
}

covey_status covey__tensor_coder_new(const covey__env *env, covey__isa isa,
                                     covey__tensor_coder **out, covey_error *error) {
    covey__tensor_coder *coder = covey__calloc(env, 1, sizeof *coder);
    if (!coder) return covey__no_memory(error, "a tensor coder", sizeof *coder);
    coder->env = env;
    coder->kernel = covey__residual_kernel_get(isa);
    covey__lane_encoder_init(&coder->trial, env, 0); /* it records nothing */
    coder->sets = covey__calloc(env, COVEY__SET_ID_MAX + 1, sizeof *coder->sets);
    coder->scratch = covey__calloc(env, 1, sizeof *coder->scratch);
    if (!coder->sets || !coder->scratch) {
        covey__tensor_coder_free(coder);
        return covey__no_memory(error, "a tensor coder", sizeof *coder->scratch);
    }
    *out = coder;
    return COVEY_OK;
}

void covey__tensor_coder_free(covey__tensor_coder *coder) {
    if (!coder) return;
    for (uint32_t id = 0; coder->sets && id <= COVEY__SET_ID_MAX; id++)
        covey__free(coder->env, coder->sets[id].bytes);
    covey__lane_encoder_free(&coder->trial);
    covey__free(coder->env, coder->sets);
    covey__free(coder->env, coder->scratch);
    covey__free_aligned(coder->env, coder->tables);
    covey__free_aligned(coder->env, coder->rows);
    covey__free(coder->env, coder->counts);
    covey__free(coder->env, coder->u);
    covey__free(coder->env, coder);
}

/* ---- Walks ------------------------------------------------------------------------------------
 */

void covey__walk_stream(covey__walk *walk, int stream, uint32_t *base, float **est) {
    *base = walk->coder->sets[walk->part->type * 8 + stream].base;
    *est = &walk->est[stream];
}

static covey__residual_tables tables_of(const covey__walk *walk) {
    return (covey__residual_tables){walk->coder->tables, walk->coder->rows};
}

static void decode_scales(covey__walk *walk, covey__scale_run *run) {
    covey__residual_tables tables = tables_of(walk);
    walk->kernel->scales(walk->decoder, &tables, run);
}
static void decode_codes(covey__walk *walk, covey__code_run *run) {
    covey__residual_tables tables = tables_of(walk);
    walk->kernel->codes(walk->decoder, &tables, run);
}
static void decode_bytes(covey__walk *walk, covey__byte_run *run) {
    covey__residual_tables tables = tables_of(walk);
    walk->kernel->bytes(walk->decoder, &tables, run);
}
static const covey__run_ops decode_ops = {decode_scales, decode_codes, decode_bytes};

static void record_scales(covey__walk *walk, covey__scale_run *run) {
    walk->kernel->record_scales(walk->encoder, run);
}
static void record_codes(covey__walk *walk, covey__code_run *run) {
    walk->kernel->record_codes(walk->encoder, run);
}
static void record_bytes(covey__walk *walk, covey__byte_run *run) {
    walk->kernel->record_bytes(walk->encoder, run);
}
static const covey__run_ops record_ops = {record_scales, record_codes, record_bytes};

/* How much groups of a run move on average: what an estimate that begins at 0 comes to, over what
 * it would reach of a constant. */
static void note_start(covey__walk *walk, float *est, size_t groups) {
    size_t stream = (size_t)(est - walk->est);
    double reached = 1.0 - pow(15.0 / 16.0, (double)groups);
    walk->moved[stream] += *est / (float)reached;
    walk->groups[stream]++;
    *est = 0.0f;
}

static void start_scales(covey__walk *walk, covey__scale_run *run) {
    walk->kernel->record_scales(walk->encoder, run);
    note_start(walk, run->est, 1);
}
static void start_codes(covey__walk *walk, covey__code_run *run) {
    walk->kernel->record_codes(walk->encoder, run);
    note_start(walk, run->est, run->groups);
}
static const covey__run_ops start_ops = {start_scales, start_codes, record_bytes};

/* The kernel's set says what the walk is compiled for, too. */
#if defined(__x86_64__)
static bool is_wide(const covey__residual_kernel *kernel) {
    return kernel->isa == COVEY__ISA_AVX2 || kernel->isa == COVEY__ISA_AVX512;
}
#endif

static const covey__block_layout *layout_for(const covey__residual_kernel *kernel, uint8_t type) {
#if defined(__x86_64__)
    if (is_wide(kernel)) return covey__block_layout_avx2(type);
#endif
    (void)kernel;
    return covey__block_layout_get(type);
}

static void take_walk(covey__walk *walk) {
#if defined(__x86_64__)
    if (is_wide(walk->kernel)) {
        covey__tensor_walk_avx2(walk);
        return;
    }
#endif
    covey__tensor_walk(walk);
}

/* The whole part must be blocks, and with factors rows. */
static covey_status check_part(const covey__tensor_part *part, covey_error *error) {
    size_t block = covey__tensor_block_bytes(part->type);
    const covey__tensor_factor *factor = part->factor;
    const covey__block_layout *layout = covey__block_layout_get(part->type);
    if (!block || part->size % block)
        return covey__fail(error, COVEY_ERROR_FORMAT, "a part of %zu bytes of type %u is none",
                           part->size, (unsigned)part->type);
    for (int i = 0; i < COVEY__TENSOR_STREAMS; i++)
        if (part->starts[i] == 255)
            return covey__fail(error, COVEY_ERROR_FORMAT, "a part starts from infinity");
    if (!factor) return COVEY_OK;
    if (!layout || layout->has_codebook || !factor->columns || factor->columns % layout->weights ||
        part->size / block * layout->weights % factor->columns || !factor->rank ||
        factor->rank > COVEY__FACTOR_RANK_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT, "factors do not fit the part of type %u",
                           (unsigned)part->type);
    return COVEY_OK;
}

static covey_status walk_begin(covey__tensor_coder *coder, const covey__tensor_part *part,
                               const covey__run_ops *ops, covey__walk *walk, covey_error *error) {
    memset(walk, 0, sizeof *walk);
    walk->coder = coder;
    walk->part = part;
    walk->layout = layout_for(coder->kernel, part->type);
    walk->kernel = coder->kernel;
    walk->scratch = coder->scratch;
    walk->ops = ops;
    walk->encoding = ops != &decode_ops;
    covey_status status = check_part(part, error);
    if (!status) status = part_sets(coder, part, error);
    if (status || !part->factor) return status;
    size_t rows = part->size / walk->layout->bytes * walk->layout->weights / part->factor->columns;
    size_t wanted = rows * part->factor->rank;
    if (wanted > coder->u_capacity) {
        covey__free(coder->env, coder->u);
        coder->u = covey__alloc(coder->env, wanted);
        coder->u_capacity = coder->u ? wanted : 0;
        if (!coder->u) return covey__no_memory(error, "factors", wanted);
    }
    return COVEY_OK;
}

/* The u of the part's rows: rank after rank, 32 rows a step. */
void covey__walk_factors(covey__walk *walk) {
    const covey__tensor_part *part = walk->part;
    const covey__tensor_factor *factor = part->factor;
    size_t rank = factor->rank;
    size_t rows = part->size / walk->layout->bytes * walk->layout->weights / factor->columns;
    const int8_t *given = walk->encoding ? factor->u + part->first_row * rank : NULL;
    for (size_t r = 0; r < rank; r++)
        for (size_t first = 0; first < rows; first += 32) {
            size_t count = rows - first < 32 ? rows - first : 32;
            covey__byte_run run = {.base = walk->coder->sets[COVEY__FACTOR_SET].base};
            run.mask = count == 32 ? UINT32_MAX : ((uint32_t)1 << count) - 1;
            for (size_t i = 0; i < count && given; i++)
                run.value[i] = (uint8_t)given[(first + i) * rank + r];
            walk->ops->bytes(walk, &run);
            for (size_t i = 0; i < count; i++)
                walk->coder->u[(first + i) * rank + r] = (int8_t)run.value[i];
        }
    walk->u = walk->coder->u;
}

covey_status covey__tensor_decode(covey__tensor_coder *coder, const covey__tensor_part *part,
                                  covey__lane_decoder *decoder, covey_error *error) {
    covey__walk walk;
    covey_status status = walk_begin(coder, part, &decode_ops, &walk, error);
    if (status) return status;
    walk.decoder = decoder;
    take_walk(&walk);
    if (decoder->over)
        return covey__fail(error, COVEY_ERROR_FORMAT, "the coder's stream ends too early");
    return COVEY_OK;
}

covey_status covey__tensor_encode(covey__tensor_coder *coder, const covey__tensor_part *part,
                                  covey__lane_encoder *encoder, covey_error *error) {
    covey__walk walk;
    covey_status status = walk_begin(coder, part, &record_ops, &walk, error);
    if (status) return status;
    walk.encoder = encoder;
    take_walk(&walk);
    return COVEY_OK;
}

covey_status covey__tensor_count(covey__tensor_coder *coder, const covey__tensor_part *part,
                                 covey_error *error) {
    covey__walk walk;
    covey_status status = walk_begin(coder, part, &record_ops, &walk, error);
    if (status) return status;
    coder->trial.counts = coder->counts; /* the part's sets are in use: no table is made now */
    walk.encoder = &coder->trial;
    take_walk(&walk);
    coder->trial.counts = NULL;
    return COVEY_OK;
}

covey_status covey__tensor_starts(covey__tensor_coder *coder, covey__tensor_part *part,
                                  covey_error *error) {
    covey__walk walk;
    memset(part->starts, 0, sizeof part->starts);
    covey_status status = walk_begin(coder, part, &start_ops, &walk, error);
    if (status) return status;
    coder->trial.deaf = true;
    walk.encoder = &coder->trial;
    walk.batches_max = START_BATCHES;
    take_walk(&walk);
    coder->trial.deaf = false;
    if (!walk.layout) note_start(&walk, &walk.est[0], part->size / 64); /* est went on by itself */
    for (int i = 0; i < COVEY__TENSOR_STREAMS; i++) {
        int exponent;
        if (!walk.groups[i] || !(walk.moved[i] > 0.0f)) continue;
        frexpf(walk.moved[i] / (float)walk.groups[i] * 0.7071f, &exponent); /* to the nearest */
        exponent += 127;
        part->starts[i] = (uint8_t)(exponent < 1 ? 1 : exponent > 254 ? 254 : exponent);
    }
    return COVEY_OK;
}
