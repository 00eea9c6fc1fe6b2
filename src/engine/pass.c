/* The pass: one walk over the layers for a batch of rows, as one job of the pool. All threads go
 * through the same phases and meet at a barrier after each; between two barriers every thread
 * writes its own rows or columns only. No float operation depends on how the work is cut, so the
 * bits do not either (docs/arithmetic.md).
 *
 * Few rows are bound by memory: each thread takes one long run of the weights, and is told where
 * its next run begins, so that prefetching never stops. Many rows are bound by arithmetic: tiles
 * are claimed from a counter, so that a slow thread holds nobody up. In the last layer only rows
 * whose logits are wanted go on after their keys and values are stored.
 *
 * A pass over so little that barriers would cost more than they give stays on the calling thread.
 * Thread 0 looks for cancellation once a layer and says so before a barrier, so that all threads
 * leave at the same place. A row that is not finite is noted with its place and zeroed, which
 * keeps what follows defined; the first place is the error's. */
#include "engine/engine.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#define CLAIM_ROWS_MIN   24 /* from so many rows on, tiles are claimed */
#define ATTENTION_TOKENS 32 /* rows of one run that a unit of attention takes */

typedef enum stage {
    STAGE_INPUT,
    STAGE_QKV,
    STAGE_ATTENTION,
    STAGE_FFN_INPUT,
    STAGE_FFN,
    STAGE_OUTPUT,
    STAGE_COUNT
} stage;

static const char *const stage_names[STAGE_COUNT] = {
    "the input of attention",        "query, key or value", "attention",
    "the input of the feed-forward", "the feed-forward",    "the logits"};

enum { INPUT_WIDTH, INPUT_QUERY, INPUT_FFN, INPUT_COUNT };

/* Rows that a phase works on, and the inputs laid out for so many. */
typedef struct window {
    int32_t first, count;
    covey__input *inputs; /* [INPUT_COUNT] */
} window;

typedef struct state {
    const covey__pass *pass;
    const covey_model *model;
    const covey__workspace *w;
    covey__input whole[INPUT_COUNT], last[INPUT_COUNT];
    window all, wanted;
    atomic_llong claims;
    atomic_int bad; /* the least layer * STAGE_COUNT + stage; INT_MAX: none */
    bool stop;      /* written by thread 0 before a barrier, read by all after it */
} state;

typedef struct worker {
    state *s;
    int32_t index, count;
    long long claimed; /* claims of the phases before */
    void *scratch;
    float *row; /* [width] */
} worker;

typedef struct range {
    int32_t first, end;
} range;

static range split(int32_t total, const worker *k) {
    return (range){(int32_t)((int64_t)total * k->index / k->count),
                   (int32_t)((int64_t)total * (k->index + 1) / k->count)};
}

static int32_t tiles_of(int32_t rows) {
    return (rows + COVEY__ROW_TILE - 1) / COVEY__ROW_TILE;
}

static int32_t min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* The next unit of a phase's `units`, or -1. Every thread asks until it gets -1, once. */
static int32_t claim(worker *k, int32_t units) {
    long long unit = atomic_fetch_add(&k->s->claims, 1) - k->claimed;
    if (unit < units) return (int32_t)unit;
    k->claimed += units + k->count;
    return -1;
}

static void check(worker *k, float *values, size_t count, int32_t layer, stage where) {
    if (covey__finite(values, count)) return;
    int place = layer * STAGE_COUNT + (int)where;
    int seen = atomic_load(&k->s->bad);
    while (place < seen && !atomic_compare_exchange_weak(&k->s->bad, &seen, place)) {
    }
    memset(values, 0, count * sizeof *values);
}

/* ---- Inputs of products ---- */

static void fill(const covey_model *model, const covey__group *group, covey__input *input,
                 const float *row, int32_t token) {
    bool done[COVEY__ACT_KINDS] = {false};
    for (int32_t i = 0; i < group->count; i++) {
        covey__act kind = covey__kernel_act(group->matrices[i].type);
        if (done[kind]) continue;
        done[kind] = true;
        model->kernels->activations(&input->kinds[kind], row, 0, token, token + 1);
    }
}

/* `token` counts from the batch's first; a row is filled alone, so its own stride does not
 * matter: the kernel is given the row that token 0 would have. */
static void fill_norm(worker *k, window rows, const float *norm, const covey__group *group,
                      int32_t layer, stage where) {
    const covey_model *model = k->s->model;
    int32_t width = model->hyper.width;
    range mine = split(rows.count, k);
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *x = k->s->w->x + (size_t)(rows.first + t) * (size_t)width;
        check(k, x, (size_t)width, layer, where);
        model->kernels->rms_norm(x, norm, width, model->hyper.rms_epsilon, k->row);
        fill(model, group, &rows.inputs[INPUT_WIDTH], k->row, t);
    }
}

static void fill_rows(worker *k, window rows, float *values, int32_t columns, int which,
                      const covey__group *group, int32_t layer, stage where) {
    range mine = split(rows.count, k);
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *row = values + (size_t)(rows.first + t) * (size_t)columns;
        check(k, row, (size_t)columns, layer, where);
        fill(k->s->model, group, &rows.inputs[which], row, t);
    }
}

/* ---- Products ---- */

typedef struct outputs {
    float *data[COVEY__GROUP_MAX]; /* of the window's first row */
} outputs;

static int32_t group_tiles(const covey__group *group) {
    int32_t tiles = 0;
    for (int32_t i = 0; i < group->count; i++) tiles += tiles_of(group->matrices[i].rows);
    return tiles;
}

/* Where this thread's share of the group begins. */
static const void *share_start(const worker *k, const covey__group *group, bool together) {
    int32_t tile =
        split(together ? tiles_of(group->matrices[0].rows) : group_tiles(group), k).first;
    for (int32_t i = 0; i < group->count; i++) {
        const covey__weights *w = &group->matrices[i];
        int32_t tiles = tiles_of(w->rows);
        if (tile < tiles)
            return (const char *)w->data + (size_t)tile * COVEY__ROW_TILE * w->row_bytes;
        tile -= tiles;
    }
    return NULL;
}

static void product(worker *k, const covey__weights *w, covey__input *input, float *out,
                    int32_t first_tile, int32_t end_tile, const void *next) {
    covey__product p = {w, &input->kinds[covey__kernel_act(w->type)], out, (size_t)w->rows};
    int32_t r0 = first_tile * COVEY__ROW_TILE, r1 = min_i32(end_tile * COVEY__ROW_TILE, w->rows);
    k->s->model->kernels->product(&p, r0, r1, next, k->scratch);
}

/* Tiles [first, end) of the group's matrices, counted through. */
static void product_tiles(worker *k, const covey__group *group, covey__input *input,
                          const outputs *out, range tiles, const void *next) {
    int32_t before = 0;
    for (int32_t i = 0; i < group->count; i++) {
        const covey__weights *w = &group->matrices[i];
        int32_t count = tiles_of(w->rows);
        int32_t first = tiles.first > before ? tiles.first - before : 0;
        int32_t end = min_i32(tiles.end - before, count);
        before += count;
        if (first >= end) continue;
        const void *then = tiles.end > before ? group->matrices[i + 1].data : next;
        product(k, w, input, out->data[i], first, end, then);
    }
}

static void product_group(worker *k, window rows, const covey__group *group, int which,
                          const outputs *out, const void *next) {
    covey__input *input = &rows.inputs[which];
    int32_t tiles = group_tiles(group), tile;
    if (rows.count < CLAIM_ROWS_MIN) {
        product_tiles(k, group, input, out, split(tiles, k), next);
        return;
    }
    while ((tile = claim(k, tiles)) >= 0)
        product_tiles(k, group, input, out, (range){tile, tile + 1}, NULL);
}

/* A product whose output is added to the residual stream by the thread that computed it. */
static void product_add(worker *k, window rows, const covey__group *group, int which,
                        const void *next) {
    const covey__workspace *w = k->s->w;
    size_t width = (size_t)k->s->model->hyper.width;
    size_t start = (size_t)rows.first * width;
    outputs out = {{w->mixed + start}};
    int32_t tiles = group_tiles(group);
    bool claims = rows.count >= CLAIM_ROWS_MIN;
    range mine = split(tiles, k);
    for (;;) {
        if (claims) mine.end = (mine.first = claim(k, tiles)) + 1;
        if (mine.first < 0) return;
        product_tiles(k, group, &rows.inputs[which], &out, mine, claims ? NULL : next);
        size_t column = (size_t)mine.first * COVEY__ROW_TILE;
        size_t end = (size_t)mine.end * COVEY__ROW_TILE;
        if (end > width) end = width;
        for (size_t t = 0; t < (size_t)rows.count && column < end; t++)
            k->s->model->kernels->add(w->x + start + t * width + column,
                                      w->mixed + start + t * width + column, end - column);
        if (!claims) return;
    }
}

/* Gate and up for the same columns, and what joins them. */
static void product_gate_up(worker *k, window rows, const covey__group *group, const void *next) {
    const covey__workspace *w = k->s->w;
    size_t width = (size_t)k->s->model->hyper.ffn_width;
    float *gate = w->gate + (size_t)rows.first * width, *up = w->up + (size_t)rows.first * width;
    int32_t tiles = tiles_of(group->matrices[0].rows);
    bool claims = rows.count >= CLAIM_ROWS_MIN;
    range mine = split(tiles, k);
    for (;;) {
        if (claims) mine.end = (mine.first = claim(k, tiles)) + 1;
        if (mine.first < 0) return;
        size_t column = (size_t)mine.first * COVEY__ROW_TILE;
        size_t end = (size_t)mine.end * COVEY__ROW_TILE;
        if (end > width) end = width;
        if (column < end) {
            covey__input *input = &rows.inputs[INPUT_WIDTH];
            const char *up_start =
                (const char *)group->matrices[1].data + column * group->matrices[1].row_bytes;
            product(k, &group->matrices[0], input, gate, mine.first, mine.end, up_start);
            product(k, &group->matrices[1], input, up, mine.first, mine.end, claims ? NULL : next);
            for (size_t t = 0; t < (size_t)rows.count; t++) {
                float *g = gate + t * width + column;
                k->s->model->kernels->silu_mul(g, up + t * width + column, end - column, g);
            }
        }
        if (!claims) return;
    }
}

/* ---- Embedding, positions, keys and values ---- */

static void zero_pages(worker *k) {
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

static void embed(worker *k) {
    const covey_model *model = k->s->model;
    const covey__pass *pass = k->s->pass;
    const covey__hyper *hyper = &model->hyper;
    range mine = split(pass->rows, k);
    for (int32_t t = mine.first; t < mine.end; t++)
        model->kernels->row(&model->roots.token_embedding, pass->tokens[t],
                            k->s->w->x + (size_t)t * (size_t)hyper->width);
    for (int32_t i = 0; i < pass->run_count; i++) {
        const covey__run *run = &pass->runs[i];
        int32_t first = run->first > mine.first ? run->first : mine.first;
        int32_t end = min_i32(run->first + run->count, mine.end);
        if (first >= end) continue;
        covey__rope_table(model->rope_frequencies, hyper->rope_dims,
                          run->position + first - run->first, end - first,
                          k->s->w->rope + (size_t)first * (size_t)hyper->rope_dims);
    }
}

static const covey__run *run_of(const covey__pass *pass, int32_t row) {
    return pass->run_count == 1 ? pass->runs : &pass->runs[row]; /* many runs have one row each */
}

static size_t page_offset(const covey__hyper *hyper, int32_t layer, int32_t kv_head) {
    size_t block = (size_t)hyper->head_dim * COVEY__PAGE_KEYS;
    return ((size_t)layer * (size_t)hyper->kv_head_count + (size_t)kv_head) * 2 * block;
}

/* Turns queries and keys to their positions, and stores keys and values in the pages. */
static void place(worker *k, int32_t layer, window wanted) {
    const covey_model *model = k->s->model;
    const covey__hyper *hyper = &model->hyper;
    const covey__workspace *w = k->s->w;
    size_t dim = (size_t)hyper->head_dim;
    size_t query = (size_t)hyper->head_count * dim, kv = (size_t)hyper->kv_head_count * dim;
    range mine = split(k->s->pass->rows, k);
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *q = w->q + (size_t)t * query;
        float *key = w->k + (size_t)t * kv, *value = w->v + (size_t)t * kv;
        const float *turn = w->rope + (size_t)t * (size_t)hyper->rope_dims;
        check(k, key, kv, layer, STAGE_QKV);
        check(k, value, kv, layer, STAGE_QKV);
        if (t >= wanted.first && t < wanted.first + wanted.count) {
            check(k, q, query, layer, STAGE_QKV);
            model->kernels->rope(q, hyper->head_count, hyper->head_dim, hyper->rope_dims,
                                 hyper->rope_style, turn);
        }
        model->kernels->rope(key, hyper->kv_head_count, hyper->head_dim, hyper->rope_dims,
                             hyper->rope_style, turn);
        const covey__run *run = run_of(k->s->pass, t);
        int32_t position = run->position + t - run->first;
        float *page = run->session->pages[position / COVEY__PAGE_KEYS];
        for (int32_t h = 0; h < hyper->kv_head_count; h++) {
            float *at = page + page_offset(hyper, layer, h);
            covey__page_put(at, at + dim * COVEY__PAGE_KEYS, hyper->head_dim,
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

static cut cut_attention(const worker *k, window rows) {
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

static void attend_unit(worker *k, int32_t layer, window rows, const cut *c, int32_t unit) {
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
        .pages = (const float *const *)run->session->pages,
        .k_offset = offset,
        .v_offset = offset + (size_t)hyper->head_dim * COVEY__PAGE_KEYS,
        .head_dim = hyper->head_dim,
        .heads = heads,
        .tokens = tokens,
        .position = run->position + first - run->first,
        .scale = 1.0f / sqrtf((float)hyper->head_dim),
        .q = w->q + at,
        .q_stride = query,
        .out = w->attended + at,
        .out_stride = query,
    };
    k->s->model->kernels->attention(&attention, k->scratch);
}

static void attend(worker *k, int32_t layer, window rows) {
    cut c = cut_attention(k, rows);
    int32_t unit;
    while ((unit = claim(k, c.runs * c.blocks * c.kv_heads * c.splits)) >= 0)
        attend_unit(k, layer, rows, &c, unit);
}

/* ---- Layers ---- */

static void wait_all(const worker *k) {
    if (k->count > 1) covey__pool_barrier(k->s->model->pool);
}

/* Thread 0 decides for all whether the pass goes on. */
static void decide(worker *k) {
    if (k->index != 0) return;
    const covey__pass *pass = k->s->pass;
    for (int32_t i = 0; i < pass->run_count; i++)
        if (atomic_load_explicit(&pass->runs[i].session->cancelled, memory_order_relaxed))
            k->s->stop = true;
    if (atomic_load(&k->s->bad) != INT_MAX) k->s->stop = true;
}

/* False when the pass stops here. */
static bool run_layer(worker *k, int32_t index) {
    const covey_model *model = k->s->model;
    const covey__workspace *w = k->s->w;
    const covey__layer *layer = &model->layers[index];
    bool is_last = index + 1 == model->hyper.layer_count;
    window all = k->s->all, rows = is_last ? k->s->wanted : all;
    const covey__group *after = is_last ? &model->roots.output : &model->layers[index + 1].qkv;
    decide(k);
    fill_norm(k, all, layer->attention_norm, &layer->qkv, index, STAGE_INPUT);
    wait_all(k);
    if (k->s->stop) return false;
    outputs qkv = {{w->q, w->k, w->v}};
    product_group(k, all, &layer->qkv, INPUT_WIDTH, &qkv,
                  share_start(k, &layer->attention_output, false));
    wait_all(k);
    place(k, index, rows);
    wait_all(k);
    if (rows.count == 0) return true;
    attend(k, index, rows);
    wait_all(k);
    int32_t query = model->hyper.head_count * model->hyper.head_dim;
    fill_rows(k, rows, w->attended, query, INPUT_QUERY, &layer->attention_output, index,
              STAGE_ATTENTION);
    wait_all(k);
    product_add(k, rows, &layer->attention_output, INPUT_QUERY,
                share_start(k, &layer->gate_up, true));
    wait_all(k);
    fill_norm(k, rows, layer->ffn_norm, &layer->gate_up, index, STAGE_FFN_INPUT);
    wait_all(k);
    product_gate_up(k, rows, &layer->gate_up, share_start(k, &layer->down, false));
    wait_all(k);
    fill_rows(k, rows, w->gate, model->hyper.ffn_width, INPUT_FFN, &layer->down, index, STAGE_FFN);
    wait_all(k);
    product_add(k, rows, &layer->down, INPUT_FFN, share_start(k, after, false));
    wait_all(k);
    return true;
}

static void run_output(worker *k) {
    const covey_model *model = k->s->model;
    window rows = k->s->wanted;
    if (rows.count == 0) return;
    const covey__group *output = &model->roots.output;
    int32_t layers = model->hyper.layer_count;
    fill_norm(k, rows, model->roots.output_norm, output, layers, STAGE_INPUT);
    wait_all(k);
    outputs out = {{k->s->pass->logits}};
    product_group(k, rows, output, INPUT_WIDTH, &out, share_start(k, &model->layers[0].qkv, false));
    wait_all(k);
    size_t size = (size_t)model->hyper.vocabulary_size;
    range mine = split((int32_t)size, k);
    for (int32_t t = 0; t < rows.count; t++)
        check(k, k->s->pass->logits + (size_t)t * size + mine.first,
              (size_t)(mine.end - mine.first), layers, STAGE_OUTPUT);
}

static void job(void *user, int32_t index, int32_t count) {
    state *s = user;
    char *memory = s->w->threads + (size_t)index * s->w->thread_bytes;
    size_t row_bytes = ((size_t)s->model->hyper.width * sizeof(float) + 63) & ~(size_t)63;
    worker k = {s, index, count, 0, memory + row_bytes, (float *)(void *)memory};
    zero_pages(&k);
    embed(&k);
    for (int32_t i = 0; i < s->model->hyper.layer_count; i++)
        if (!run_layer(&k, i)) return;
    run_output(&k);
}

/* ---- The outside ---- */

static void run_job(state *s) {
    const covey_model *model = s->model;
    if ((uint64_t)s->pass->rows * model->weight_bytes >= model->parallel_bytes_min) {
        covey__pool_run(model->pool, job, s);
        return;
    }
    covey__fp_state fp = covey__fp_enter();
    job(s, 0, 1);
    covey__fp_leave(fp);
}

static char *set_up_inputs(const covey_model *model, covey__input *inputs, int32_t rows,
                           int32_t capacity, char *memory) {
    const covey__hyper *hyper = &model->hyper;
    const int32_t columns[INPUT_COUNT] = {hyper->width, hyper->head_count * hyper->head_dim,
                                          hyper->ffn_width};
    for (int kind = 0; kind < COVEY__ACT_KINDS; kind++)
        for (int i = 0; i < INPUT_COUNT && model->kinds[kind]; i++) {
            if (kind == COVEY__ACT_Q256 && columns[i] % 256 != 0) continue;
            if (kind == COVEY__ACT_Q32 && columns[i] % 32 != 0) continue;
            covey__activations_init(&inputs[i].kinds[kind], (covey__act)kind, columns[i], rows,
                                    memory);
            memory +=
                (covey__activations_bytes((covey__act)kind, columns[i], capacity) + 63) & ~63u;
        }
    return memory;
}

static covey_status numeric(const covey_model *model, int place, covey_error *error) {
    char name[96];
    int32_t row = 0, layer = place / STAGE_COUNT;
    if (covey__tensors_find_non_finite(model, name, sizeof name, &row))
        return covey__fail(error, COVEY_ERROR_NUMERIC,
                           "tensor \"%s\" holds a NaN or an infinity in row %" PRId32
                           ": the file is damaged or its training failed",
                           name, row);
    if (layer == model->hyper.layer_count)
        return covey__fail(error, COVEY_ERROR_NUMERIC,
                           "the logits are not finite: the numbers overflow in this model");
    return covey__fail(error, COVEY_ERROR_NUMERIC,
                       "layer %" PRId32 ": %s is not finite: the numbers overflow in this model",
                       layer, stage_names[place % STAGE_COUNT]);
}

covey_status covey__pass_run(const covey__pass *pass, covey_error *error) {
    covey_model *model = pass->model;
    const covey__workspace *w = &model->workspace;
    state s = {.pass = pass, .model = model, .w = w};
    atomic_init(&s.claims, 0);
    atomic_init(&s.bad, INT_MAX);
    char *rest = set_up_inputs(model, s.whole, pass->rows, w->batch, w->inputs);
    bool one_of_many = pass->logit_rows < pass->rows;
    if (one_of_many && pass->logit_rows > 0) set_up_inputs(model, s.last, 1, 1, rest);
    s.all = (window){0, pass->rows, s.whole};
    s.wanted = (window){pass->logit_first, pass->logit_rows, one_of_many ? s.last : s.whole};
    run_job(&s);
    for (int32_t i = 0; i < pass->run_count; i++) {
        const covey__run *run = &pass->runs[i];
        int32_t needed = (run->position + run->count + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS;
        if (needed > run->session->pages_ready) run->session->pages_ready = needed;
    }
    int place = atomic_load(&s.bad);
    if (place != INT_MAX) return numeric(model, place, error);
    if (s.stop)
        return covey__fail(error, COVEY_ERROR_CANCELLED, "cancelled by covey_session_cancel");
    return COVEY_OK;
}
