/* Keys, values and attention of a pass. Keys and values of all rows are stored in their sessions'
 * pages before any row attends, so a row sees those of the rows before it in the same batch. Work
 * is cut by run, block of rows and KV head; no bit depends on the cut. */
#include "engine/pass.h"

#include <string.h>

#define ATTENTION_TOKENS 32 /* rows of one run that a unit of attention takes */

static int32_t min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

int32_t covey__blocks_max(int32_t rows) {
    return rows / ATTENTION_TOKENS + COVEY__RUNS_MAX;
}

void covey__cut_blocks(const covey__pass *pass, covey__window *window, covey__block *memory) {
    window->blocks = memory;
    window->block_count = 0;
    for (int32_t i = 0; i < pass->run_count; i++) {
        const covey__run *run = &pass->runs[i];
        int32_t first = run->first > window->first ? run->first : window->first;
        int32_t end = min_i32(run->first + run->count, window->first + window->count);
        for (; first < end; first += ATTENTION_TOKENS)
            window->blocks[window->block_count++] =
                (covey__block){i, first, min_i32(ATTENTION_TOKENS, end - first)};
    }
}

static const covey__run *run_of(const covey__pass *pass, int32_t row) {
    int32_t low = 0, high = pass->run_count - 1; /* runs follow each other */
    while (low < high) {
        int32_t middle = (low + high + 1) / 2;
        if (pass->runs[middle].first <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return &pass->runs[low];
}

/* The heads of a row's queries or keys: their norm, and their turn to the row's position. */
static void set_heads(covey__worker *k, int32_t layer, int32_t row, float *heads, int32_t count,
                      const float *norm) {
    const covey_model *model = k->s->model;
    const covey__hyper *hyper = &model->hyper;
    int32_t rope = model->layers[layer].rope;
    for (int32_t h = 0; norm && h < count; h++) {
        float *head = heads + (size_t)h * (size_t)hyper->head_dim;
        model->kernels->rms_norm(head, norm, hyper->head_dim, hyper->norm_epsilon, head);
    }
    if (rope >= 0)
        model->kernels->rope(heads, count, hyper->head_dim, hyper->rope_dims,
                             model->architecture->rope_style, covey__rope_row(k->s, rope, row));
}

/* Stores a row's keys and values in its session's page. */
static void put(covey__worker *k, int32_t layer, int32_t row, const float *key,
                const float *value) {
    const covey__run *run = run_of(k->s->pass, row);
    const covey_session *session = run->session;
    const covey__hyper *hyper = &k->s->model->hyper;
    size_t dim = (size_t)hyper->head_dim, k_bytes = covey__page_k_bytes(session->kv, (int32_t)dim);
    int32_t position = run->position + row - run->first;
    char *page = session->pages[position / COVEY__PAGE_KEYS];
    bool fits = true;
    for (int32_t h = 0; h < hyper->kv_head_count; h++) {
        char *at = page + covey__kv_offset(k->s->model, session->kv, layer, h);
        fits &= covey__page_put(session->kv, at, at + k_bytes, hyper->head_dim,
                                position % COVEY__PAGE_KEYS, key + (size_t)h * dim,
                                value + (size_t)h * dim);
    }
    if (!fits) covey__note_bad(k, layer, COVEY__STAGE_KV);
}

/* Turns queries and keys to their positions, and stores keys and values in the pages. */
void covey__place(covey__worker *k, int32_t layer, covey__window wanted) {
    const covey_model *model = k->s->model;
    const covey__hyper *hyper = &model->hyper;
    const covey__workspace *w = k->s->w;
    size_t dim = (size_t)hyper->head_dim;
    size_t query = (size_t)hyper->head_count * dim, kv = (size_t)hyper->kv_head_count * dim;
    covey__range mine = covey__split(k->s->pass->rows, k);
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *q = w->q + (size_t)t * query;
        float *key = w->k + (size_t)t * kv, *value = w->v + (size_t)t * kv;
        if (t >= wanted.first && t < wanted.first + wanted.count) {
            set_heads(k, layer, t, q, hyper->head_count, model->layers[layer].query_norm);
            covey__check_row(k, q, query, layer, COVEY__STAGE_QKV);
        }
        set_heads(k, layer, t, key, hyper->kv_head_count, model->layers[layer].key_norm);
        covey__check_row(k, key, kv, layer, COVEY__STAGE_QKV); /* pages hold finite values only */
        covey__check_row(k, value, kv, layer, COVEY__STAGE_QKV);
        put(k, layer, t, key, value);
    }
}

/* ---- Attention ---- */

/* How attention is cut into units: by block of rows, KV head, and, where those are fewer than
 * threads, by query heads. */
typedef struct cut {
    int32_t kv_heads, splits;
    int32_t split_heads; /* query heads a split */
} cut;

static cut cut_attention(const covey__worker *k, covey__window rows) {
    const covey__hyper *hyper = &k->s->model->hyper;
    int32_t group = hyper->head_count / hyper->kv_head_count;
    cut c = {hyper->kv_head_count, 1, group};
    int32_t units = rows.block_count * c.kv_heads;
    if (units >= k->count) return c;
    int32_t wanted = (k->count + units - 1) / units;
    c.split_heads = (group + wanted - 1) / wanted;
    c.splits = (group + c.split_heads - 1) / c.split_heads;
    return c;
}

static void attend_unit(covey__worker *k, int32_t layer, covey__window rows, const cut *c,
                        int32_t unit) {
    const covey__hyper *hyper = &k->s->model->hyper;
    const covey__workspace *w = k->s->w;
    int32_t group = hyper->head_count / hyper->kv_head_count;
    int32_t part = unit % c->splits;
    int32_t kv_head = unit / c->splits % c->kv_heads;
    /* a run's later rows see more keys: the longest first */
    covey__block block = rows.blocks[rows.block_count - 1 - unit / c->splits / c->kv_heads];
    const covey__run *run = &k->s->pass->runs[block.run];
    const covey_session *session = run->session;
    int32_t head = kv_head * group + part * c->split_heads;
    int32_t heads = min_i32(c->split_heads, group - part * c->split_heads);
    size_t query = (size_t)hyper->head_count * (size_t)hyper->head_dim;
    size_t at = (size_t)block.first * query + (size_t)head * (size_t)hyper->head_dim;
    size_t offset = covey__kv_offset(k->s->model, session->kv, layer, kv_head);
    covey__attention attention = {
        .pages = (const void *const *)session->pages,
        .k_offset = offset,
        .v_offset = offset + covey__page_k_bytes(session->kv, hyper->head_dim),
        .kv = session->kv,
        .head_dim = hyper->head_dim,
        .heads = heads,
        .tokens = block.count,
        .position = run->position + block.first - run->first,
        .window = k->s->model->layers[layer].window,
        .keys = k->s->model->architecture->is_encoder ? run->position + run->count : 0,
        .scale = hyper->attention_scale,
        .q = w->q + at,
        .q_stride = query,
        .out = w->attended + at,
        .out_stride = query,
    };
    k->s->model->kernels->attention(&attention, k->scratch);
}

void covey__attend(covey__worker *k, int32_t layer, covey__window rows) {
    cut c = cut_attention(k, rows);
    int32_t unit;
    while ((unit = covey__claim(k, rows.block_count * c.kv_heads * c.splits)) >= 0)
        attend_unit(k, layer, rows, &c, unit);
}
