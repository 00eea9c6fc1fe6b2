/* covey_quantize: a GGUF in, one with smaller weights out. quantize_mixture.c says which tensor
 * takes which type, importance.c which columns count most, the kernel turns rows into rows. The
 * file is mapped, and a block of rows at a time is read, converted by all threads, and written. The
 * error that this adds is summed by row and then in the order of rows, so it does not depend on
 * threads either. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/runtime.h"
#include "gguf/gguf.h"
#include "kernel/kernel.h"
#include "train/importance.h"
#include "train/quantize_mixture.h"
#include <covey/train.h>

#define BLOCK_BYTES ((size_t)4 << 20)
#define COLUMNS_MAX ((uint64_t)1 << 20)
#define ROWS_MAX    ((size_t)1 << 16) /* of a block */
/* general.quantization_version of the block formats as they are now. */
#define QUANTIZATION_VERSION 2

covey_status covey_weight_type_parse(const char *name, covey_weight_type *type,
                                     covey_error *error) {
    const covey__mixture *mixture = covey__mixture_named(name);
    char shown[32];
    if (!mixture)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "quantize: type \"%s\" is not here, only %s",
                           name ? covey__printable(name, strlen(name), shown, sizeof shown) : "",
                           covey__mixture_names());
    *type = mixture->type;
    return COVEY_OK;
}

typedef struct job {
    const covey__env *env;
    covey__pool *pool;
    const covey__gguf *in;
    covey__gguf_writer *writer;
    const covey__mixture *mixture;
    covey__mixture_model model;
    covey__importance_matrix *importance; /* NULL: none */
    const float *columns;                 /* of it, for the tensor at hand */
    uint8_t *block;
    size_t block_bytes;
    float *rows; /* two rows of floats a thread: before and after */
    size_t row_floats;
    covey_quantize_result result;
    covey_quantize_progress_fn progress;
    void *user;
    uint64_t done, total; /* bytes of tensors: read so far, in all */
    /* The block that the threads convert now. */
    const covey__gguf_tensor *tensor;
    covey__type tensor_type;
    uint64_t first_row;
    size_t row_count, in_bytes, out_bytes; /* bytes of a row */
    int32_t *bad; /* a thread's first row with a number that the type cannot hold, or -1 */
    double *row_error, *row_size; /* [rows of a block]: squares of the difference, of the weights */
    size_t row_capacity;
    double error_sum, size_sum;
} job;

static bool is_float(covey__type type) {
    return type == COVEY__TYPE_F32 || type == COVEY__TYPE_F16 || type == COVEY__TYPE_BF16;
}

static covey_status check_tensor(const covey__gguf_tensor *t, covey__type type,
                                 covey_error *error) {
    char name[80];
    const covey__type_info *info = covey__type_get(t->type);
    if (t->type != type && !is_float(t->type))
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "quantize: tensor \"%s\" is %s already; quantize from the file in F32, "
                           "F16 or BF16 that it was made of",
                           covey__printable(t->name.data, t->name.size, name, sizeof name),
                           info ? info->name : "of an unknown type");
    if (t->dimensions[0] > COLUMNS_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)COLUMNS_MAX,
                                 (int64_t)t->dimensions[0],
                                 "quantize: tensor \"%s\" has rows of %" PRIu64
                                 " weights, at most %" PRIu64 " are supported",
                                 covey__printable(t->name.data, t->name.size, name, sizeof name),
                                 t->dimensions[0], COLUMNS_MAX);
    return COVEY_OK;
}

/* ---- One block of rows ---- */

/* F16 holds numbers below 65520; above, they would become infinite. */
static bool fits(const float *row, size_t n, covey__type type) {
    if (!covey__finite(row, n)) return false;
    for (size_t i = 0; type == COVEY__TYPE_F16 && i < n; i++)
        if (fabsf(row[i]) >= 65520.0f) return false;
    return true;
}

static void note_error(job *j, size_t r, const float *row, const float *back) {
    double error = 0.0, size = 0.0;
    for (uint64_t i = 0; i < j->tensor->dimensions[0]; i++) {
        double off = (double)back[i] - (double)row[i];
        error += off * off;
        size += (double)row[i] * (double)row[i];
    }
    j->row_error[r] = error;
    j->row_size[r] = size;
}

static void convert_job(void *user, int32_t thread, int32_t threads) {
    job *j = user;
    float *row = j->rows + (size_t)thread * 2 * j->row_floats, *back = row + j->row_floats;
    int32_t columns = (int32_t)j->tensor->dimensions[0];
    size_t from = j->row_count * (size_t)thread / (size_t)threads;
    size_t to = j->row_count * ((size_t)thread + 1) / (size_t)threads;
    j->bad[thread] = -1;
    for (size_t r = from; r < to; r++) {
        const uint8_t *in = j->tensor->data + (j->first_row + r) * j->in_bytes;
        covey__row_decode(j->tensor->type, in, columns, row);
        if (j->bad[thread] < 0 && !fits(row, (size_t)columns, j->tensor_type))
            j->bad[thread] = (int32_t)r;
        covey__row_encode_by(j->tensor_type, row, j->columns, columns, j->block + r * j->out_bytes);
        covey__row_decode(j->tensor_type, j->block + r * j->out_bytes, columns, back);
        note_error(j, r, row, back);
    }
}

static covey_status check_block(const job *j, covey_error *error) {
    for (int32_t i = 0; i < covey__pool_threads(j->pool); i++) {
        if (j->bad[i] < 0) continue;
        char name[80];
        return covey__fail(
            error, COVEY_ERROR_NUMERIC,
            "quantize: tensor \"%s\", row %" PRIu64 " holds a number that %s cannot",
            covey__printable(j->tensor->name.data, j->tensor->name.size, name, sizeof name),
            j->first_row + (uint64_t)j->bad[i], covey__type_get(j->tensor_type)->name);
    }
    return COVEY_OK;
}

/* Counts bytes that were read and written, and asks whether to go on. */
static covey_status advance(job *j, uint64_t bytes, covey_error *error) {
    j->done += bytes;
    covey_status status =
        j->progress ? j->progress(j->user, COVEY_QUANTIZE_WRITE, j->done, j->total) : COVEY_OK;
    return status == COVEY_OK ? COVEY_OK : covey__fail(error, status, "quantize: stopped");
}

static covey_status keep_tensor(job *j, covey_error *error) {
    covey_status status = COVEY_OK;
    for (uint64_t at = 0; at < j->tensor->bytes && status == COVEY_OK; at += BLOCK_BYTES) {
        uint64_t left = j->tensor->bytes - at;
        size_t bytes = left < BLOCK_BYTES ? (size_t)left : BLOCK_BYTES;
        status = covey__gguf_write_data(j->writer, j->tensor->data + at, bytes, error);
        if (status == COVEY_OK) status = advance(j, bytes, error);
    }
    return status;
}

static covey_status convert_tensor(job *j, covey_error *error) {
    const covey__gguf_tensor *t = j->tensor;
    uint64_t row_total = t->element_count / t->dimensions[0];
    j->in_bytes = (size_t)(t->bytes / row_total);
    const covey__type_info *info = covey__type_get(j->tensor_type);
    j->columns = covey__importance_find(j->importance, t->name, (int64_t)t->dimensions[0]);
    j->out_bytes = (size_t)t->dimensions[0] / info->block_values * info->block_bytes;
    for (j->first_row = 0; j->first_row < row_total; j->first_row += j->row_count) {
        uint64_t left = row_total - j->first_row;
        j->row_count = j->block_bytes / j->out_bytes;
        if (j->row_count > j->row_capacity) j->row_count = j->row_capacity;
        if (j->row_count > left) j->row_count = (size_t)left;
        covey__pool_run(j->pool, convert_job, j);
        covey_status status = check_block(j, error);
        if (status != COVEY_OK) return status;
        for (size_t r = 0; r < j->row_count; r++) {
            j->error_sum += j->row_error[r];
            j->size_sum += j->row_size[r];
        }
        status = covey__gguf_write_data(j->writer, j->block, j->row_count * j->out_bytes, error);
        if (status == COVEY_OK) status = advance(j, j->row_count * j->in_bytes, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

/* ---- The file ---- */

static bool is_named(covey__gguf_text name, const char *text) {
    return name.size == strlen(text) && memcmp(name.data, text, name.size) == 0;
}

static bool is_replaced(covey__gguf_text key) {
    return is_named(key, "general.file_type") || is_named(key, "general.quantization_version") ||
           is_named(key, "general.alignment");
}

static covey_status put_header(job *j, covey_error *error) {
    for (size_t i = 0; i < covey__gguf_value_count(j->in); i++) {
        covey__gguf_value value = covey__gguf_value_at(j->in, i);
        /* A failure here sticks and shows at write_header. */
        if (!is_replaced(value.key)) covey__gguf_put_value(j->writer, &value);
    }
    covey__gguf_put_u32(j->writer, "general.quantization_version", QUANTIZATION_VERSION);
    covey__gguf_put_u32(j->writer, "general.file_type", j->mixture->file_type);
    for (size_t i = 0; i < covey__gguf_tensor_count(j->in); i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(j->in, i);
        char *name = covey__strndup(j->env, t->name.data, t->name.size);
        if (!name) return covey__no_memory(error, "quantize: name", t->name.size);
        covey__type type = covey__mixture_type(j->mixture, &j->model, t);
        covey_status status = check_tensor(t, type, error);
        if (status == COVEY_OK)
            status = covey__gguf_add_tensor(j->writer, name, type, t->dimension_count,
                                            t->dimensions, error);
        covey__free(j->env, name);
        if (status != COVEY_OK) return status;
        if (t->dimensions[0] > j->row_floats) j->row_floats = (size_t)t->dimensions[0];
    }
    return covey__gguf_write_header(j->writer, error);
}

static covey_status reserve(job *j, covey_error *error) {
    size_t threads = (size_t)covey__pool_threads(j->pool), row_bytes = j->row_floats * 4;
    j->row_floats = (j->row_floats + 15) / 16 * 16;
    j->block_bytes = row_bytes > BLOCK_BYTES ? row_bytes : BLOCK_BYTES;
    j->block = covey__alloc_aligned(j->env, j->block_bytes);
    j->rows = covey__alloc_aligned(j->env, threads * 2 * j->row_floats * sizeof(float));
    j->bad = covey__calloc(j->env, threads, sizeof *j->bad);
    j->row_capacity = ROWS_MAX;
    j->row_error = covey__calloc(j->env, ROWS_MAX, sizeof *j->row_error);
    j->row_size = covey__calloc(j->env, ROWS_MAX, sizeof *j->row_size);
    if (!j->block || !j->rows || !j->bad || !j->row_error || !j->row_size)
        return covey__no_memory(error, "quantize: rows", j->block_bytes);
    return COVEY_OK;
}

static covey_status write_tensors(job *j, covey_error *error) {
    size_t count = covey__gguf_tensor_count(j->in);
    for (size_t i = 0; i < count; i++) j->total += covey__gguf_tensor_at(j->in, i)->bytes;
    for (size_t i = 0; i < count; i++) {
        j->tensor = covey__gguf_tensor_at(j->in, i);
        j->tensor_type = covey__mixture_type(j->mixture, &j->model, j->tensor);
        bool kept = j->tensor_type == j->tensor->type;
        covey_status status = kept ? keep_tensor(j, error) : convert_tensor(j, error);
        if (status != COVEY_OK) return status;
        if (kept)
            j->result.tensors_kept++;
        else
            j->result.tensors_quantized++;
    }
    return COVEY_OK;
}

static covey_status check_paths(const char *in_path, const char *out_path, covey_error *error) {
    struct stat in, out;
    if (stat(in_path, &in) == 0 && stat(out_path, &out) == 0 && in.st_dev == out.st_dev &&
        in.st_ino == out.st_ino)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "quantize: %s is the input; name another file to write", out_path);
    return COVEY_OK;
}

/* The matrices of a LoRA are small and of low rank: nothing is won by coarser ones. */
static covey_status check_kind(const covey__gguf *in, covey_error *error) {
    if (!covey__gguf_string_is(in, "general.type", "adapter")) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "quantize: the file is an adapter (a LoRA), not a model; use it as it is "
                       "(--adapter)");
}

static covey_status observe(job *j, covey_runtime *runtime, const covey_quantize_options *o,
                            covey_error *error) {
    covey__importance_options options = {.model_path = o->in_path,
                                         .text_path = o->importance_text_path,
                                         .window = o->importance_window,
                                         .progress = j->progress,
                                         .user = j->user};
    covey_status status = covey__importance_collect(runtime, &options, &j->importance, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "quantize");
    j->result.importance_tokens = covey__importance_tokens(j->importance);
    j->result.importance_perplexity = covey__importance_perplexity(j->importance);
    return COVEY_OK;
}

/* The file is begun before the text is read, which takes long: what stands in its way shows first,
 * and another process that writes it. */
static covey_status write_file(job *j, covey_runtime *runtime, const covey_quantize_options *o,
                               covey_error *error) {
    covey_status status = covey__gguf_writer_new(j->env, o->out_path, &j->writer, error);
    if (status == COVEY_OK) status = put_header(j, error);
    if (status == COVEY_OK && o->importance_text_path) status = observe(j, runtime, o, error);
    if (status == COVEY_OK) status = reserve(j, error);
    if (status == COVEY_OK) status = write_tensors(j, error);
    if (status == COVEY_OK) status = covey__gguf_finish(j->writer, error);
    if (status == COVEY_OK)
        status = covey__file_size(j->env, o->out_path, &j->result.bytes_out, error);
    covey__gguf_writer_free(j->writer);
    covey__free_aligned(j->env, j->block);
    covey__free_aligned(j->env, j->rows);
    covey__free(j->env, j->bad);
    covey__free(j->env, j->row_error);
    covey__free(j->env, j->row_size);
    return status;
}

static covey_status run(job *j, covey_runtime *runtime, const covey_quantize_options *o,
                        covey_error *error) {
    covey__gguf *in = NULL;
    covey_status status = check_paths(o->in_path, o->out_path, error);
    if (status != COVEY_OK) return status;
    status = covey__gguf_open_path(j->env, o->in_path, &in, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "quantize");
    j->in = in;
    j->model = covey__mixture_model_read(in, o->importance_text_path != NULL);
    status = check_kind(in, error);
    if (status == COVEY_OK) status = write_file(j, runtime, o, error);
    j->result.bytes_in = covey__gguf_size(in);
    j->result.error = j->size_sum > 0.0 ? sqrt(j->error_sum / j->size_sum) : 0.0;
    covey__importance_free(j->importance);
    covey__gguf_close(in);
    return status;
}

covey_status covey_quantize(covey_runtime *runtime, const covey_quantize_options *options,
                            covey_quantize_result *result, covey_error *error,
                            covey_quantize_progress_fn progress, void *user) {
    covey_quantize_options full = COVEY_QUANTIZE_OPTIONS_INIT;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    const covey__mixture *mixture = covey__mixture_get(full.type);
    if (!runtime || !full.in_path || !full.out_path || !mixture)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "quantize: a runtime, two paths and a type are needed");
    job j = {.env = covey__runtime_env(runtime),
             .pool = covey__runtime_pool(runtime),
             .mixture = mixture,
             .progress = progress,
             .user = user};
    covey_status status = run(&j, runtime, &full, error);
    if (status == COVEY_OK && result) {
        size_t size = result->size < sizeof j.result ? result->size : sizeof j.result;
        j.result.size = result->size;
        memcpy(result, &j.result, size);
    }
    return status;
}
