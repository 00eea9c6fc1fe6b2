/* Keys, values and attention of a pass. Keys and values of all rows are stored in their sessions'
 * pages before any row attends, so a row sees those of the rows before it in the same batch. Work
 * is cut by run, block of rows and KV head; no bit depends on the cut. */
#include "engine/pass.h"

#include <string.h>

#define ATTENTION_TOKENS 32 /* rows of one run that a unit of attention takes */

static int32_t min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

void covey__zero_pages(covey__worker *k) {
    const covey__pass *pass = k->s->pass;
    int32_t turn = 0;
    for (int32_t i = 0; i < pass->run_count; i++) {
        const covey_session *session = pass->runs[i].session;
        int32_t end = pass->runs[i].position + pass->runs[i].count;
        int32_t needed = (end + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS;
        for (int32_t p = session->pages_ready; p < needed; p++)
            if (turn++ % k->count == k->index)
                memset(session->pages[p], 0, session->page_floats * sizeof(float));
    }
}

static const covey__run *run_of(const covey__pass *pass, int32_t row) {
    return pass->run_count == 1 ? pass->runs : &pass->runs[row]; /* many runs have one row each */
}

static size_t page_offset(const covey__hyper *hyper, int32_t layer, int32_t kv_head) {
    size_t block = covey__page_k_bytes(COVEY__KV_F32, hyper->head_dim) +
                   covey__page_v_bytes(COVEY__KV_F32, hyper->head_dim);
    return ((size_t)layer * (size_t)hyper->kv_head_count + (size_t)kv_head) * block;
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
        const covey__run *run = run_of(k->s->pass, t);
        int32_t position = run->position + t - run->first;
        char *page = (char *)run->session->pages[position / COVEY__PAGE_KEYS];
        for (int32_t h = 0; h < hyper->kv_head_count; h++) {
            char *at = page + page_offset(hyper, layer, h);
            covey__page_put(COVEY__KV_F32, at,
                            at + covey__page_k_bytes(COVEY__KV_F32, (int32_t)dim), hyper->head_dim,
                            position % COVEY__PAGE_KEYS, key + (size_t)h * dim,
                            value + (size_t)h * dim);
        }
    }
}

/* ---- Attention ---- */

/* How attention is cut into units: by run, block of rows, KV head, and, where those are fewer
 * than threads, by query heads. */
typedef struct cut {
    int32_t runs, blocks, kv_heads, splits;
    int32_t split_heads; /* query heads a split */
} cut;

static cut cut_attention(const covey__worker *k, covey__window rows) {
    const covey__hyper *hyper = &k->s->model->hyper;
    int32_t group = hyper->head_count / hyper->kv_head_count;
    cut c = {1, (rows.count + ATTENTION_TOKENS - 1) / ATTENTION_TOKENS, hyper->kv_head_count, 1,
             group};
    if (k->s->pass->run_count > 1) {
        c.runs = rows.count;
        c.blocks = 1;
    }
    int32_t units = c.runs * c.blocks * c.kv_heads;
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
    int32_t block = c->blocks - 1 - unit / c->splits / c->kv_heads % c->blocks; /* longest first */
    int32_t run_index = unit / c->splits / c->kv_heads / c->blocks;
    int32_t first = rows.first + (c->runs > 1 ? run_index : block * ATTENTION_TOKENS);
    int32_t tokens = c->runs > 1 ? 1 : min_i32(ATTENTION_TOKENS, rows.first + rows.count - first);
    const covey__run *run = run_of(k->s->pass, first);
    int32_t head = kv_head * group + part * c->split_heads;
    int32_t heads = min_i32(c->split_heads, group - part * c->split_heads);
    size_t query = (size_t)hyper->head_count * (size_t)hyper->head_dim;
    size_t at = (size_t)first * query + (size_t)head * (size_t)hyper->head_dim;
    size_t offset = page_offset(hyper, layer, kv_head);
    covey__attention attention = {
        .pages = (const void *const *)run->session->pages,
        .k_offset = offset,
        .v_offset = offset + covey__page_k_bytes(COVEY__KV_F32, hyper->head_dim),
        .kv = COVEY__KV_F32,
        .head_dim = hyper->head_dim,
        .heads = heads,
        .tokens = tokens,
        .position = run->position + first - run->first,
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
    while ((unit = covey__claim(k, c.runs * c.blocks * c.kv_heads * c.splits)) >= 0)
        attend_unit(k, layer, rows, &c, unit);
}
