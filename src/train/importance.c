/* Importance matrices: the model reads a text, and for each group of matrices that share an input
 * the squares of that input are summed, column by column. The mean of them weighs a column's error
 * when the matrix is quantized, since an output's error is the sum of the weights' errors times
 * their inputs. Text is read in pieces and goes through in windows that begin anew, so memory is
 * one session, one piece and one number a column, however long the text. The engine hands rows over
 * in order on one thread: sums do not depend on the number of threads. */
#include "train/importance.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "engine/engine.h"

#define PIECE_BYTES   ((size_t)256 << 10)
#define WINDOW_TOKENS 512

typedef struct column_sums {
    const covey__group *group;       /* its address alone, once the model is closed */
    char name[COVEY__GROUP_MAX][64]; /* of the group's tensors */
    int32_t count, columns;
    uint64_t rows;
    double *sums;
    float *means;
} column_sums;

struct covey__importance_matrix {
    const covey__env *env;
    column_sums *groups;
    size_t group_count;
    uint64_t tokens, predicted;
    double log_loss;
};

/* ---- What belongs to what ---- */

static bool holds(const covey__gguf_tensor *tensor, const void *data) {
    const uint8_t *at = data;
    return at >= tensor->data && at < tensor->data + tensor->bytes;
}

static void name_of(const covey_model *model, const void *data, char name[64]) {
    name[0] = 0;
    for (size_t i = 0; i < covey__gguf_tensor_count(model->gguf); i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(model->gguf, i);
        if (!holds(tensor, data) || tensor->name.size >= 64) continue;
        memcpy(name, tensor->name.data, tensor->name.size);
        name[tensor->name.size] = 0;
        return;
    }
}

static covey_status add_group(covey__importance_matrix *m, const covey_model *model,
                              const covey__group *group, covey_error *error) {
    column_sums *sums = &m->groups[m->group_count];
    if (group->count == 0) return COVEY_OK;
    sums->group = group;
    sums->count = group->count;
    sums->columns = group->matrices[0].columns;
    size_t columns = (size_t)sums->columns;
    sums->sums = covey__calloc(m->env, columns, sizeof *sums->sums);
    sums->means = covey__calloc(m->env, columns, sizeof *sums->means);
    m->group_count++;
    if (!sums->sums || !sums->means)
        return covey__no_memory(error, "an importance matrix", columns * sizeof *sums->sums);
    for (int32_t i = 0; i < group->count; i++)
        name_of(model, group->matrices[i].data, sums->name[i]);
    return COVEY_OK;
}

static covey_status add_groups(covey__importance_matrix *m, const covey_model *model,
                               covey_error *error) {
    size_t layers = (size_t)model->hyper.layer_count;
    m->groups = covey__calloc(m->env, 4 * layers + 1, sizeof *m->groups);
    if (!m->groups) return covey__no_memory(error, "an importance matrix", layers);
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < layers && status == COVEY_OK; i++) {
        const covey__layer *layer = &model->layers[i];
        const covey__group *groups[] = {&layer->qkv, &layer->attention_output, &layer->gate_up,
                                        &layer->down};
        for (size_t g = 0; g < 4 && status == COVEY_OK; g++)
            status = add_group(m, model, groups[g], error);
    }
    return status == COVEY_OK ? add_group(m, model, &model->roots.output, error) : status;
}

/* ---- Counting ---- */

/* Groups were added in the order of a pass, layer by layer, but not in the order of their
 * addresses: there are few hundred at most, and a row costs far more than the search. */
static column_sums *sums_of(covey__importance_matrix *m, const covey__group *group) {
    for (size_t i = 0; i < m->group_count; i++)
        if (m->groups[i].group == group) return &m->groups[i];
    return NULL;
}

static void observe(void *user, const covey__group *group, const float *row) {
    column_sums *sums = sums_of(user, group);
    if (!sums) return;
    sums->rows++;
    for (int32_t i = 0; i < sums->columns; i++) sums->sums[i] += (double)(row[i] * row[i]);
}

static void finish(covey__importance_matrix *m) {
    for (size_t i = 0; i < m->group_count; i++) {
        column_sums *sums = &m->groups[i];
        for (int32_t c = 0; c < sums->columns && sums->rows; c++)
            sums->means[c] = (float)(sums->sums[c] / (double)sums->rows);
    }
}

/* ---- The text ---- */

typedef struct reading {
    const covey__env *env;
    covey__importance_matrix *m;
    const covey__importance_options *options;
    covey_session *session;
    covey_token bos; /* begins each window; -1: none */
    size_t window;   /* tokens */
    int descriptor;  /* of the text; -1 before it is open */
    uint64_t size;   /* of the text */
    uint64_t from;   /* where the piece at hand began */
    uint64_t at;     /* where the next one begins */
    char *piece;
    covey_token *tokens; /* of the last piece, behind what was left of those before */
    size_t count, capacity;
    const covey_token *target; /* of the window that runs now */
    size_t target_count;
} reading;

static covey_status on_logits(void *user, size_t index, const float *logits, size_t count) {
    const reading *r = user;
    if (index + 1 >= r->target_count) return COVEY_OK;
    float top = logits[covey__argmax(logits, count)];
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += exp((double)(logits[i] - top));
    r->m->log_loss += log(sum) + (double)top - (double)logits[r->target[index + 1]];
    r->m->predicted++;
    return COVEY_OK;
}

/* Bytes of a piece that is cut short: up to the end of a line, or else of a character. */
static size_t cut(const char *text, size_t size) {
    for (size_t end = size; end > 0; end--)
        if (text[end - 1] == '\n') return end;
    for (size_t end = size - 1; end > 0 && end + 4 > size; end--)
        if (((uint8_t)text[end] & 0xC0) != 0x80) return end;
    return size;
}

/* Reads and tokenizes the next piece. */
static covey_status next_piece(reading *r, covey_error *error) {
    const char *path = r->options->text_path;
    size_t most = r->options->piece_bytes ? r->options->piece_bytes : PIECE_BYTES, found = 0;
    size_t size = r->size - r->at < most ? (size_t)(r->size - r->at) : most;
    covey_status status =
        covey__file_read_at(r->env, r->descriptor, path, r->at, r->piece, size, error);
    if (status != COVEY_OK) return status;
    if (r->at + size < r->size) size = cut(r->piece, size);
    status = covey_model_tokenize(r->session->model, r->piece, size, false, r->tokens + r->count,
                                  r->capacity - r->count, &found, error);
    r->count += found;
    r->from = r->at;
    r->at += size;
    return status;
}

/* One window: BOS where the vocabulary wants it, then tokens of the text. */
static covey_status read_window(reading *r, const covey_token *tokens, size_t count,
                                covey_error *error) {
    r->target = tokens;
    r->target_count = count;
    r->m->tokens += count;
    covey_status status = covey_session_truncate(r->session, 0, error);
    if (status == COVEY_OK && r->bos >= 0)
        status = covey_session_append(r->session, &r->bos, 1, error);
    if (status != COVEY_OK) return status;
    return covey_session_append_each(r->session, tokens, count, error, on_logits, r);
}

/* Runs the windows that are whole, and at the text's end what is left. */
static covey_status read_windows(reading *r, covey_error *error) {
    size_t used = 0, least = r->at < r->size ? r->window : 1;
    covey_status status = COVEY_OK;
    while (status == COVEY_OK && r->count - used >= least) {
        size_t count = r->count - used < r->window ? r->count - used : r->window;
        status = read_window(r, r->tokens + used, count, error);
        used += count;
        double share = (double)used / (double)r->count;
        uint64_t done = r->from + (uint64_t)(share * (double)(r->at - r->from));
        if (status == COVEY_OK && r->options->progress) {
            status = r->options->progress(r->options->user, COVEY_QUANTIZE_OBSERVE, done, r->size);
            if (status != COVEY_OK) status = covey__fail(error, status, "stopped");
        }
    }
    r->count -= used;
    memmove(r->tokens, r->tokens + used, r->count * sizeof *r->tokens);
    return status;
}

static covey_status open_text(reading *r, covey_error *error) {
    const char *path = r->options->text_path;
    size_t piece = r->options->piece_bytes ? r->options->piece_bytes : PIECE_BYTES;
    covey_status status = covey__file_size(r->env, path, &r->size, error);
    if (status == COVEY_OK)
        status = covey__file_open(r->env, path, O_RDONLY, 0, &r->descriptor, error);
    if (status != COVEY_OK) return status;
    /* A byte is a token at most, but for what a vocabulary puts before a text. */
    r->capacity = r->window + piece + 16;
    r->piece = covey__alloc(r->env, piece);
    r->tokens = covey__calloc(r->env, r->capacity, sizeof *r->tokens);
    if (!r->piece || !r->tokens)
        return covey__no_memory(error, "tokens", r->capacity * sizeof *r->tokens);
    return COVEY_OK;
}

static covey_status open_session(covey_model *model, reading *r, covey_error *error) {
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    covey_model_describe(model, &info);
    r->bos = info.adds_bos ? info.bos : -1;
    r->window = r->options->window > 0 ? (size_t)r->options->window : WINDOW_TOKENS;
    if (r->window + 1 > (size_t)model->hyper.context_tokens && model->hyper.context_tokens > 2)
        r->window = (size_t)model->hyper.context_tokens - 1;
    options.context_tokens = (int32_t)r->window + 1;
    options.batch_tokens = 64; /* rows of logits are kept for a whole batch */
    return covey_session_open(model, &options, &r->session, error);
}

static covey_status read_text(covey_model *model, covey__importance_matrix *m,
                              const covey__importance_options *options, covey_error *error) {
    reading r = {.env = m->env, .m = m, .options = options, .descriptor = -1};
    covey_status status = open_session(model, &r, error);
    if (status == COVEY_OK) status = open_text(&r, error);
    while (status == COVEY_OK && r.at < r.size) {
        status = next_piece(&r, error);
        if (status == COVEY_OK) status = read_windows(&r, error);
    }
    if (status == COVEY_OK && m->tokens < 2)
        status = covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                             "%s: expected a text of some pages, found %d tokens",
                             options->text_path, (int)m->tokens);
    if (r.descriptor >= 0) close(r.descriptor);
    covey_session_close(r.session);
    covey__free(m->env, r.piece);
    covey__free(m->env, r.tokens);
    return status;
}

covey_status covey__importance_collect(covey_runtime *runtime,
                                       const covey__importance_options *options,
                                       covey__importance_matrix **out, covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = options->model_path;
    covey_model *model = NULL;
    covey__importance_matrix *m = covey__calloc(env, 1, sizeof *m);
    if (!m) return covey__no_memory(error, "an importance matrix", sizeof *m);
    m->env = env;
    covey_status status = covey_model_open(runtime, &source, &model, error);
    if (status == COVEY_OK) status = add_groups(m, model, error);
    if (status == COVEY_OK) {
        model->observer = (covey__observer){observe, m};
        status = read_text(model, m, options, error);
    }
    finish(m);
    covey_model_close(model);
    if (status == COVEY_OK)
        *out = m;
    else
        covey__importance_free(m);
    return covey__prefix(error, status, "importance");
}

void covey__importance_free(covey__importance_matrix *m) {
    if (!m) return;
    for (size_t i = 0; m->groups && i < m->group_count; i++) {
        covey__free(m->env, m->groups[i].sums);
        covey__free(m->env, m->groups[i].means);
    }
    covey__free(m->env, m->groups);
    covey__free(m->env, m);
}

uint64_t covey__importance_tokens(const covey__importance_matrix *m) {
    return m->tokens;
}

double covey__importance_perplexity(const covey__importance_matrix *m) {
    return m->predicted ? exp(m->log_loss / (double)m->predicted) : 0.0;
}

const float *covey__importance_find(const covey__importance_matrix *m, covey__gguf_text name,
                                    int64_t columns) {
    for (size_t i = 0; m && i < m->group_count; i++)
        for (int32_t n = 0; n < m->groups[i].count; n++) {
            const char *known = m->groups[i].name[n];
            if (strlen(known) != name.size || memcmp(known, name.data, name.size) != 0) continue;
            return m->groups[i].rows && m->groups[i].columns == columns ? m->groups[i].means : NULL;
        }
    return NULL;
}
