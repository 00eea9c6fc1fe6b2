/* The pass: one walk over the layers for a batch of rows, as one job of the pool. All threads go
 * through the same phases and meet at a barrier after each; between two barriers every thread
 * writes its own rows or columns only. No float operation depends on how the work is cut, so the
 * bits do not either (docs/arithmetic.md).
 *
 * Few rows are bound by memory: each thread takes one long run of the weights in a few parts, and
 * is told where it reads next, so that prefetching never stops; one that is done takes parts from
 * the ends of the others' runs, so that a slow core holds nobody up. Many rows are bound by
 * arithmetic: tiles are claimed from a counter. In the last layer only rows whose logits are wanted
 * go on after their keys and values are stored.
 *
 * A pass over so little that barriers would cost more than they give stays on the calling thread.
 * Thread 0 looks for cancellation once a layer and says so before a barrier, so that all threads
 * leave at the same place. A row that is not finite is noted with its place and zeroed, which
 * keeps what follows defined; the first place is the error's. */
#include "engine/pass.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

static const char *const stage_names[COVEY__STAGE_COUNT] = {
    "the input of attention",        "query, key or value", "a key or value", "attention",
    "the input of the feed-forward", "the feed-forward",    "the logits"};

/* The row of a token, with what the architecture does to it before the first layer. */
static void embed_row(covey__worker *k, covey_token token, int32_t position, float *x) {
    const covey_model *model = k->s->model;
    const covey__roots *roots = &model->roots;
    size_t width = (size_t)model->hyper.width;
    model->kernels->row(&roots->token_embedding, token, x);
    if (model->hyper.embedding_scale != 1.0f)
        model->kernels->scale(x, model->hyper.embedding_scale, width);
    if (roots->token_types.data) {
        model->kernels->row(&roots->token_types, 0, k->row);
        model->kernels->add(x, k->row, width);
    }
    if (roots->positions.data) {
        model->kernels->row(&roots->positions, position, k->row);
        model->kernels->add(x, k->row, width);
    }
    if (roots->embedding_norm.weight) covey__norm_row(model, x, &roots->embedding_norm, x);
}

/* Cosines and sines of `rows` rows of a run, from row `first` of the batch on. */
static void turn_rows(covey__worker *k, const covey__run *run, int32_t first, int32_t rows) {
    const covey_model *model = k->s->model;
    const covey__hyper *hyper = &model->hyper;
    size_t dims = (size_t)hyper->rope_dims;
    for (int32_t i = 0; i < model->rope_count; i++) {
        const covey__rope *rope = &model->ropes[i];
        bool is_long =
            rope->long_frequencies && run->session->context > hyper->rope_original_context;
        float *table = covey__rope_row(k->s, i, first);
        covey__rope_table(is_long ? rope->long_frequencies : rope->frequencies, hyper->rope_dims,
                          run->position + first - run->first, rows, table);
        if (hyper->rope_magnitude != 1.0f)
            model->kernels->scale(table, hyper->rope_magnitude, (size_t)rows * dims);
    }
}

static void embed(covey__worker *k) {
    const covey__pass *pass = k->s->pass;
    size_t width = (size_t)k->s->model->hyper.width;
    covey__range mine = covey__split(pass->rows, k);
    for (int32_t i = 0; i < pass->run_count; i++) {
        const covey__run *run = &pass->runs[i];
        int32_t first = run->first > mine.first ? run->first : mine.first;
        int32_t end = run->first + run->count;
        if (end > mine.end) end = mine.end;
        if (first >= end) continue;
        for (int32_t t = first; t < end; t++)
            embed_row(k, pass->tokens[t], run->position + t - run->first,
                      k->s->w->x + (size_t)t * width);
        turn_rows(k, run, first, end - first);
    }
}

/* ---- Layers ---- */

static void wait_all(const covey__worker *k) {
    if (k->count > 1) covey__pool_barrier(k->s->model->pool);
}

/* Thread 0 decides for all whether the pass goes on. */
static void decide(covey__worker *k) {
    if (k->index != 0) return;
    const covey__pass *pass = k->s->pass;
    int32_t cancelled = 0;
    for (int32_t i = 0; i < pass->run_count; i++)
        cancelled += atomic_load_explicit(&pass->runs[i].session->cancelled, memory_order_relaxed);
    if (cancelled == pass->run_count) k->s->stop = true; /* else it goes on for the others */
    if (atomic_load(&k->s->bad) != INT_MAX) k->s->stop = true;
}

/* Attention of a layer, from the normed input on. */
static void run_attention(covey__worker *k, int32_t index, covey__window rows) {
    const covey_model *model = k->s->model;
    const covey__workspace *w = k->s->w;
    const covey__layer *layer = &model->layers[index];
    covey__attend(k, index, rows);
    wait_all(k);
    int32_t query = model->hyper.head_count * model->hyper.head_dim;
    covey__fill_rows(k, rows, w->attended, query, COVEY__INPUT_QUERY, &layer->attention_output,
                     index, COVEY__STAGE_ATTENTION);
    wait_all(k);
    covey__product_add(k, rows, &layer->attention_output, COVEY__INPUT_QUERY, &layer->attention,
                       covey__share_start(k, &layer->gate_up));
    wait_all(k);
}

/* False when the pass stops here. */
static bool run_layer(covey__worker *k, int32_t index) {
    const covey_model *model = k->s->model;
    const covey__workspace *w = k->s->w;
    const covey__layer *layer = &model->layers[index];
    bool is_last = index + 1 == model->hyper.layer_count;
    covey__window all = k->s->all, rows = is_last ? k->s->wanted : all;
    const covey__group *after = is_last ? &model->roots.output : &model->layers[index + 1].qkv;
    const covey__norms *before = index > 0 ? &model->layers[index - 1].ffn : NULL;
    decide(k);
    covey__fill_input(k, all, before, &layer->attention.input, &layer->qkv, index,
                      COVEY__STAGE_INPUT);
    wait_all(k);
    if (k->s->stop) return false;
    float *const qkv[] = {w->q, w->k, w->v};
    covey__product_group(k, all, &layer->qkv, qkv, covey__share_start(k, &layer->attention_output));
    wait_all(k);
    covey__place(k, index, rows);
    wait_all(k);
    if (rows.count == 0) return true;
    run_attention(k, index, rows);
    covey__fill_input(k, rows, &layer->attention, &layer->ffn.input, &layer->gate_up, index,
                      COVEY__STAGE_FFN_INPUT);
    wait_all(k);
    covey__product_gate_up(k, rows, &layer->gate_up, covey__share_start(k, &layer->down));
    wait_all(k);
    covey__fill_rows(k, rows, w->gate, model->hyper.ffn_width, COVEY__INPUT_FFN, &layer->down,
                     index, COVEY__STAGE_FFN);
    wait_all(k);
    covey__product_add(k, rows, &layer->down, COVEY__INPUT_FFN, &layer->ffn,
                       covey__share_start(k, after));
    wait_all(k);
    return true;
}

static void run_output(covey__worker *k) {
    const covey_model *model = k->s->model;
    covey__window rows = k->s->wanted;
    if (rows.count == 0) return;
    const covey__group *output = &model->roots.output;
    int32_t layers = model->hyper.layer_count;
    const covey__norms *before = &model->layers[layers - 1].ffn;
    if (k->s->pass->vectors) {
        covey__take_vectors(k, rows, before);
        return;
    }
    covey__fill_input(k, rows, before, &model->roots.output_norm, output, layers,
                      COVEY__STAGE_INPUT);
    wait_all(k);
    float *const out[] = {k->s->pass->logits};
    covey__product_group(k, rows, output, out, covey__share_start(k, &model->layers[0].qkv));
    wait_all(k);
    size_t size = (size_t)model->hyper.vocabulary_size;
    covey__range mine = covey__split((int32_t)size, k);
    for (int32_t t = 0; t < rows.count; t++)
        covey__check_row(k, k->s->pass->logits + (size_t)t * size + mine.first,
                         (size_t)(mine.end - mine.first), layers, COVEY__STAGE_OUTPUT);
}

static void job(void *user, int32_t index, int32_t count) {
    covey__state *s = user;
    char *memory = s->w->threads + (size_t)index * s->w->thread_bytes;
    size_t row_bytes = ((size_t)s->model->hyper.width * sizeof(float) + 63) & ~(size_t)63;
    covey__worker k = {.s = s,
                       .index = index,
                       .count = count,
                       .scratch = memory + row_bytes,
                       .row = (float *)(void *)memory};
    embed(&k);
    if (s->model->observer.row) wait_all(&k); /* else each thread goes on with its own rows */
    for (int32_t i = 0; i < s->model->hyper.layer_count; i++)
        if (!run_layer(&k, i)) return;
    run_output(&k);
}

/* ---- The outside ---- */

static void run_job(covey__state *s) {
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
    const int32_t columns[COVEY__INPUT_COUNT] = {hyper->width, hyper->head_count * hyper->head_dim,
                                                 hyper->ffn_width};
    for (int kind = 0; kind < COVEY__ACT_KINDS; kind++)
        for (int i = 0; i < COVEY__INPUT_COUNT && model->kinds[kind]; i++) {
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
    int32_t row = 0, layer = place / COVEY__STAGE_COUNT;
    if (place % COVEY__STAGE_COUNT == COVEY__STAGE_KV)
        return covey__fail(error, COVEY_ERROR_NUMERIC,
                           "layer %" PRId32 ": a key or value is beyond what the session's KV type "
                           "holds; open the session with F32 keys and values",
                           layer);
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
                       layer, stage_names[place % COVEY__STAGE_COUNT]);
}

covey_status covey__pass_run(const covey__pass *pass, covey_error *error) {
    covey_model *model = pass->model;
    covey_status status = covey__gguf_check_file(model->gguf, error);
    if (status != COVEY_OK) return status;
    const covey__workspace *w = &model->workspace;
    covey__state s = {.pass = pass, .model = model, .w = w};
    atomic_init(&s.claims, 0);
    atomic_init(&s.bad, INT_MAX);
    char *rest = set_up_inputs(model, s.whole, pass->rows, w->batch, w->inputs);
    bool one_of_many = pass->logit_rows < pass->rows;
    if (one_of_many && pass->logit_rows > 0)
        set_up_inputs(model, s.last, pass->logit_rows, COVEY__MANY_MAX, rest);
    s.all = (covey__window){.first = 0, .count = pass->rows, .inputs = s.whole};
    s.wanted = (covey__window){.first = pass->logit_first,
                               .count = pass->logit_rows,
                               .inputs = one_of_many ? s.last : s.whole};
    covey__cut_blocks(pass, &s.all, w->blocks);
    covey__cut_blocks(pass, &s.wanted, w->blocks + covey__blocks_max(w->batch));
    for (int32_t i = 0; i < pass->run_count; i++)
        s.adapts = s.adapts || pass->runs[i].session->adapter_count > 0;
    atomic_fetch_add(&model->kv.passes, 1);
    run_job(&s);
    int place = atomic_load(&s.bad);
    if (place != INT_MAX) return numeric(model, place, error);
    if (s.stop)
        return covey__fail(error, COVEY_ERROR_CANCELLED, "cancelled by covey_session_cancel");
    return COVEY_OK;
}
