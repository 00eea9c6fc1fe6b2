/* The scratch of passes: one block of memory for each model, which all its sessions share, since
 * the pool computes one pass at a time. It is reserved when a session opens, for as many rows and
 * keys as that session may ask for, and never in the token loop, unless covey_runtime_trim took it
 * away. Its pages are touched only as far as passes use them. */
#include "engine/pass.h"

#include <string.h>

#define ALIGN_BYTES 63 /* that covey__reserve adds */

typedef struct carver {
    char *base; /* NULL: only count */
    uint64_t at;
} carver;

static void *carve(carver *cursor, uint64_t bytes) {
    void *out = cursor->base ? cursor->base + cursor->at : NULL;
    cursor->at += (bytes + 63) & ~(uint64_t)63;
    return out;
}

static uint64_t floats(int32_t rows, int64_t columns) {
    return (uint64_t)rows * (uint64_t)columns * sizeof(float);
}

static int32_t max_i32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static uint64_t thread_bytes(const covey_model *model, int32_t context) {
    const covey__hyper *hyper = &model->hyper;
    int32_t query = hyper->head_count * hyper->head_dim;
    int32_t columns = max_i32(max_i32(hyper->width, hyper->ffn_width), query);
    size_t product = covey__product_scratch_bytes(columns);
    size_t attention = covey__attention_scratch_bytes(hyper->head_dim, context);
    uint64_t bytes = (product > attention ? product : attention) + 63;
    return (bytes & ~(uint64_t)63) + ((floats(1, hyper->width) + 127) & ~(uint64_t)63);
}

/* Bytes of the inputs of products: each width in each kind, for a whole batch and for the rows
 * whose logits are wanted. */
static uint64_t input_bytes(const covey_model *model, int32_t batch) {
    const covey__hyper *hyper = &model->hyper;
    const int32_t columns[] = {hyper->width, hyper->head_count * hyper->head_dim, hyper->ffn_width};
    uint64_t bytes = 0;
    for (int kind = 0; kind < COVEY__ACT_KINDS; kind++)
        for (int i = 0; i < 3 && model->kinds[kind]; i++) {
            if (kind == COVEY__ACT_Q256 && columns[i] % 256 != 0) continue;
            if (kind == COVEY__ACT_Q32 && columns[i] % 32 != 0) continue;
            bytes += (covey__activations_bytes((covey__act)kind, columns[i], batch) + 63) & ~63u;
            bytes +=
                (covey__activations_bytes((covey__act)kind, columns[i], COVEY__MANY_MAX) + 63) &
                ~63u;
        }
    return bytes;
}

/* Lays the workspace out from `base`, or only counts when it is NULL. */
static uint64_t lay_out(const covey_model *model, covey__workspace_need need, char *base,
                        covey__workspace *w) {
    int32_t batch = need.batch;
    const covey__hyper *hyper = &model->hyper;
    int64_t query = (int64_t)hyper->head_count * hyper->head_dim;
    int64_t kv = (int64_t)hyper->kv_head_count * hyper->head_dim;
    carver at = {base, 0};
    w->x = carve(&at, floats(batch, hyper->width));
    w->mixed = carve(&at, floats(batch, hyper->width));
    carver other = at; /* attention's rows are done with before the feed-forward's begin */
    w->q = carve(&at, floats(batch, query));
    w->k = carve(&at, floats(batch, kv));
    w->v = carve(&at, floats(batch, kv));
    w->attended = carve(&at, floats(batch, query));
    w->gate = carve(&other, floats(batch, hyper->ffn_width));
    w->up = carve(&other, floats(batch, hyper->ffn_width));
    if (other.at > at.at) at = other;
    w->rope = carve(&at, floats(batch, (int64_t)model->rope_count * hyper->rope_dims));
    w->logits = carve(&at, floats(COVEY__MANY_MAX, hyper->vocabulary_size));
    w->tokens = carve(&at, (uint64_t)batch * sizeof *w->tokens);
    w->blocks = carve(&at, 2 * (uint64_t)covey__blocks_max(batch) * sizeof *w->blocks);
    w->adapted = carve(&at, floats(batch, need.adapter_floats));
    w->inputs = carve(&at, input_bytes(model, batch));
    w->thread_bytes = thread_bytes(model, need.context);
    w->threads = carve(&at, w->thread_bytes * (uint64_t)covey__pool_threads(model->pool));
    w->shares = carve(&at, (uint64_t)covey__pool_threads(model->pool) * sizeof *w->shares);
    return at.at;
}

uint64_t covey__workspace_bytes(const covey_model *model, covey__workspace_need need) {
    covey__workspace unused;
    return lay_out(model, need, NULL, &unused) + ALIGN_BYTES;
}

void *covey__reserve(const covey__env *env, size_t size, void **base) {
    size_t padded;
    *base = covey__add_size(size, ALIGN_BYTES, &padded) ? covey__alloc(env, padded) : NULL;
    return *base ? (void *)(((uintptr_t)*base + 63) & ~(uintptr_t)63) : NULL;
}

static covey_status grow(covey_model *model, covey__workspace_need need, covey_error *error) {
    covey__workspace *w = &model->workspace;
    need.batch = max_i32(need.batch, w->batch);
    need.context = max_i32(need.context, w->context);
    need.adapter_floats = max_i32(need.adapter_floats, w->adapter_floats);
    uint64_t bytes = covey__workspace_bytes(model, need);
    void *base = NULL;
    char *start =
        bytes <= SIZE_MAX ? covey__reserve(model->env, (size_t)bytes - ALIGN_BYTES, &base) : NULL;
    if (!start) return covey__no_memory(error, "scratch of passes", (size_t)bytes);
    covey__free(model->env, w->base);
    w->base = base;
    w->bytes = (size_t)bytes;
    w->batch = need.batch;
    w->context = need.context;
    w->adapter_floats = need.adapter_floats;
    lay_out(model, need, start, w);
    return COVEY_OK;
}

covey_status covey__workspace_reserve(covey_model *model, covey__workspace_need need,
                                      covey_error *error) {
    covey__workspace *w = &model->workspace;
    covey_status status = COVEY_OK;
    pthread_mutex_lock(&w->lock);
    if (!w->base || need.batch > w->batch || need.context > w->context ||
        need.adapter_floats > w->adapter_floats)
        status = grow(model, need, error);
    pthread_mutex_unlock(&w->lock);
    return status;
}

covey_status covey__workspace_take(covey_model *model, covey_error *error) {
    covey__workspace *w = &model->workspace;
    pthread_mutex_lock(&w->lock);
    covey_status status = w->base ? COVEY_OK : grow(model, (covey__workspace_need){0}, error);
    if (status != COVEY_OK) pthread_mutex_unlock(&w->lock);
    return status;
}

void covey__workspace_give(covey_model *model) {
    pthread_mutex_unlock(&model->workspace.lock);
}

/* The system is short of memory: the next pass makes the block again. */
static void trim(void *user) {
    covey_model *model = user;
    pthread_mutex_lock(&model->workspace.lock);
    covey__free(model->env, model->workspace.base);
    model->workspace.base = NULL;
    pthread_mutex_unlock(&model->workspace.lock);
}

covey_status covey__workspace_open(covey_model *model, covey_error *error) {
    if (pthread_mutex_init(&model->workspace.lock, NULL) != 0)
        return covey__no_memory(error, "a lock", sizeof model->workspace.lock);
    model->workspace.trim = (covey__trim_hook){.trim = trim, .user = model};
    covey__runtime_trim_add(model->runtime, &model->workspace.trim);
    return COVEY_OK;
}

void covey__workspace_close(covey_model *model) {
    covey__runtime_trim_remove(model->runtime, &model->workspace.trim);
    covey__free(model->env, model->workspace.base);
    pthread_mutex_destroy(&model->workspace.lock);
}
