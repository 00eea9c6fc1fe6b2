/* Importance matrices: the model reads a text, and for each group of matrices that share an input
 * the squares of that input are summed, column by column. The mean of them weighs a column's error
 * when the matrix is quantized, since an output's error is the sum of the weights' errors times
 * their inputs. Text goes through in windows that begin anew, so memory is one session and one
 * number a column. The engine hands rows over in order on one thread: sums do not depend on the
 * number of threads. */
#include "train/importance.h"

#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/runtime.h"
#include "engine/engine.h"

#define TEXT_BYTES_MAX ((size_t)64 << 20)
#define WINDOW_TOKENS  512

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
    covey__importance_matrix *m;
    const covey_token *tokens; /* of the window */
    size_t count;
} reading;

static covey_status on_logits(void *user, size_t index, const float *logits, size_t count) {
    const reading *r = user;
    if (index + 1 >= r->count) return COVEY_OK;
    float top = logits[covey__argmax(logits, count)];
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += exp((double)(logits[i] - top));
    r->m->log_loss += log(sum) + (double)top - (double)logits[r->tokens[index + 1]];
    r->m->predicted++;
    return COVEY_OK;
}

typedef struct text_tokens {
    covey_token *items;
    size_t count;
} text_tokens;

static covey_status tokenize(const covey__env *env, const covey_model *model, const char *path,
                             text_tokens *out, covey_error *error) {
    covey__buffer text;
    covey__buffer_init(&text, env, TEXT_BYTES_MAX);
    covey_status status = covey__file_read(env, path, &text, error);
    if (status == COVEY_OK)
        status =
            covey_model_tokenize(model, text.data, text.size, false, NULL, 0, &out->count, error);
    if (status == COVEY_ERROR_LIMIT && out->count > 0) {
        out->items = covey__calloc(env, out->count, sizeof *out->items);
        status = out->items ? covey_model_tokenize(model, text.data, text.size, false, out->items,
                                                   out->count, &out->count, error)
                            : covey__no_memory(error, "tokens", out->count * sizeof *out->items);
    }
    covey__buffer_free(&text);
    if (status == COVEY_OK && out->count < 2)
        status =
            covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                        "%s: expected a text of some pages, found %zu tokens", path, out->count);
    return status;
}

/* One window: BOS where the vocabulary wants it, then tokens of the text. */
static covey_status read_window(covey_session *session, covey__importance_matrix *m,
                                const covey_token *tokens, size_t count, covey_error *error) {
    reading r = {m, tokens, count};
    covey_status status = covey_session_truncate(session, 0, error);
    if (status != COVEY_OK) return status;
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(session->model, &info);
    if (info.adds_bos && info.bos >= 0) {
        covey_token bos = info.bos;
        status = covey_session_append(session, &bos, 1, error);
        if (status != COVEY_OK) return status;
    }
    return covey_session_append_each(session, tokens, count, error, on_logits, &r);
}

static covey_status read_text(covey_model *model, covey__importance_matrix *m,
                              const covey__importance_options *options, const text_tokens *tokens,
                              covey_error *error) {
    size_t window = options->window > 0 ? (size_t)options->window : WINDOW_TOKENS;
    covey_session_options session_options = COVEY_SESSION_OPTIONS_INIT;
    if (window + 1 > (size_t)model->hyper.context_tokens && model->hyper.context_tokens > 2)
        window = (size_t)model->hyper.context_tokens - 1;
    session_options.context_tokens = (int32_t)window + 1;
    session_options.batch_tokens = 64; /* rows of logits are kept for a whole batch */
    covey_session *session = NULL;
    covey_status status = covey_session_open(model, &session_options, &session, error);
    for (size_t at = 0; at < tokens->count && status == COVEY_OK; at += window) {
        size_t count = tokens->count - at < window ? tokens->count - at : window;
        status = read_window(session, m, tokens->items + at, count, error);
        m->tokens += count;
        if (status == COVEY_OK && options->progress)
            status =
                options->progress(options->user, COVEY_QUANTIZE_OBSERVE, m->tokens, tokens->count);
    }
    covey_session_close(session);
    return status;
}

covey_status covey__importance_collect(covey_runtime *runtime,
                                       const covey__importance_options *options,
                                       covey__importance_matrix **out, covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.path = options->model_path;
    covey_model *model = NULL;
    text_tokens tokens = {0};
    covey__importance_matrix *m = covey__calloc(env, 1, sizeof *m);
    if (!m) return covey__no_memory(error, "an importance matrix", sizeof *m);
    m->env = env;
    covey_status status = covey_model_open(runtime, &source, &model, error);
    if (status == COVEY_OK) status = add_groups(m, model, error);
    if (status == COVEY_OK) status = tokenize(env, model, options->text_path, &tokens, error);
    if (status == COVEY_OK) {
        model->observer = (covey__observer){observe, m};
        status = read_text(model, m, options, &tokens, error);
    }
    finish(m);
    covey__free(env, tokens.items);
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
