/* The matrix products of a pass: rows of floats to the inputs that each type of weights wants, and
 * tiles of weights to outputs. Matrices that read one input are counted through as one row of
 * tiles, so that a thread's share is one long run; gate and up are taken side by side instead, as
 * what joins them needs both for the same columns. */
#include "engine/pass.h"

#include <string.h>

/* ---- Inputs ---- */

/* A row is filled alone, so the stride between rows does not matter. */
static void fill(covey__worker *k, const covey__group *group, covey__input *input, const float *row,
                 covey__window rows, int32_t token) {
    const covey_model *model = k->s->model;
    if (k->s->adapts) covey__adapt_input(k, group, row, rows.first + token);
    if (model->observer.row) model->observer.row(model->observer.user, group, row);
    bool done[COVEY__ACT_KINDS] = {false};
    for (int32_t i = 0; i < group->count; i++) {
        covey__act kind = covey__kernel_act(group->matrices[i].type);
        if (done[kind]) continue;
        done[kind] = true;
        model->kernels->activations(&input->kinds[kind], row, 0, token, token + 1);
    }
}

/* This thread's rows of those that become inputs: all are the first one's where they are observed.
 */
static covey__range split_inputs(const covey__worker *k, int32_t rows) {
    if (!k->s->model->observer.row) return covey__split(rows, k);
    return (covey__range){0, k->index == 0 ? rows : 0};
}

static int32_t tiles_of(int32_t rows) {
    return (rows + COVEY__ROW_TILE - 1) / COVEY__ROW_TILE;
}

static int32_t group_tiles(const covey__group *group) {
    if (group->together) return tiles_of(group->matrices[0].rows);
    int32_t tiles = 0;
    for (int32_t i = 0; i < group->count; i++) tiles += tiles_of(group->matrices[i].rows);
    return tiles;
}

void covey__norm_row(const covey_model *model, const float *x, const covey__norm *norm,
                     float *out) {
    int32_t width = model->hyper.width;
    float epsilon = model->hyper.norm_epsilon;
    if (model->architecture->norm == COVEY__NORM_LAYER)
        model->kernels->layer_norm(x, norm->weight, norm->bias, width, epsilon, out);
    else
        model->kernels->rms_norm(x, norm->weight, width, epsilon, out);
}

/* Ends a block for one row of the residual stream: what it adds is normed and added where that
 * was left to do, and then the sum is normed. */
static float *end_block(covey__worker *k, int32_t row, const covey__norms *before, int32_t layer,
                        covey__stage where) {
    const covey_model *model = k->s->model;
    size_t width = (size_t)model->hyper.width;
    float *x = k->s->w->x + (size_t)row * width;
    if (before && before->output.weight) {
        float *mixed = k->s->w->mixed + (size_t)row * width;
        covey__check_row(k, mixed, width, layer, where);
        covey__norm_row(model, mixed, &before->output, mixed);
        model->kernels->add(x, mixed, width);
    }
    covey__check_row(k, x, width, layer, where);
    if (before && before->sum.weight) covey__norm_row(model, x, &before->sum, x);
    return x;
}

void covey__fill_input(covey__worker *k, covey__window rows, const covey__norms *before,
                       const covey__norm *norm, const covey__group *group, int32_t layer,
                       covey__stage where) {
    const covey_model *model = k->s->model;
    covey__range mine = split_inputs(k, rows.count);
    covey__share_out(k, group_tiles(group));
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *x = end_block(k, rows.first + t, before, layer, where);
        if (norm->weight) covey__norm_row(model, x, norm, k->row);
        fill(k, group, &rows.inputs[COVEY__INPUT_WIDTH], norm->weight ? k->row : x, rows, t);
    }
}

void covey__take_vectors(covey__worker *k, covey__window rows, const covey__norms *before) {
    const covey_model *model = k->s->model;
    size_t width = (size_t)model->hyper.width;
    const covey__norm *norm = &model->roots.output_norm;
    int32_t layers = model->hyper.layer_count;
    covey__range mine = covey__split(rows.count, k);
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *x = end_block(k, rows.first + t, before, layers, COVEY__STAGE_INPUT);
        float *out = k->s->pass->vectors + (size_t)t * width;
        if (norm->weight)
            covey__norm_row(model, x, norm, out);
        else
            memcpy(out, x, width * sizeof *out);
        covey__check_row(k, out, width, layers, COVEY__STAGE_OUTPUT);
    }
}

void covey__fill_rows(covey__worker *k, covey__window rows, float *values, int32_t columns,
                      int which, const covey__group *group, int32_t layer, covey__stage where) {
    covey__range mine = split_inputs(k, rows.count);
    covey__share_out(k, group_tiles(group));
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *row = values + (size_t)(rows.first + t) * (size_t)columns;
        covey__check_row(k, row, (size_t)columns, layer, where);
        fill(k, group, &rows.inputs[which], row, rows, t);
    }
}

/* ---- Products ---- */

static const void *tile_start(const covey__weights *w, int32_t tile) {
    return (const char *)w->data + (size_t)tile * COVEY__ROW_TILE * w->row_bytes;
}

/* Where a tile of the group lies; NULL past its end. */
static const void *group_tile_start(const covey__group *group, int32_t tile) {
    for (int32_t i = 0; i < group->count; i++) {
        int32_t tiles = tiles_of(group->matrices[i].rows);
        if (tile < tiles) return tile_start(&group->matrices[i], tile);
        tile -= tiles;
    }
    return NULL;
}

const void *covey__share_start(const covey__worker *k, const covey__group *group) {
    return group_tile_start(group, covey__split(group_tiles(group), k).first);
}

/* What this thread most likely reads after `tiles`: its own share's next part, or `next`. */
static const void *after(const covey__worker *k, const covey__group *group, covey__range tiles,
                         const void *next) {
    return tiles.end < k->share_end ? group_tile_start(group, tiles.end) : next;
}

/* Tiles of the group's matrix `index`, its bias, and what adapters change. */
static void product(covey__worker *k, covey__window rows, const covey__group *group, int32_t index,
                    int which, float *out, covey__range tiles, const void *next) {
    covey__input *input = &rows.inputs[which];
    const covey__weights *w = &group->matrices[index];
    const float *bias = group->biases[index];
    covey__product p = {w, &input->kinds[covey__kernel_act(w->type)], out, (size_t)w->rows};
    int32_t first = tiles.first * COVEY__ROW_TILE, end = tiles.end * COVEY__ROW_TILE;
    if (end > w->rows) end = w->rows;
    k->s->model->kernels->product(&p, first, end, next, k->scratch);
    for (int32_t t = 0; bias && t < p.a->tokens; t++)
        k->s->model->kernels->add(out + (size_t)t * p.out_stride + first, bias + first,
                                  (size_t)(end - first));
    if (k->s->adapts) covey__adapt_output(k, rows, group, index, out, first, end);
}

void covey__product_group(covey__worker *k, covey__window rows, const covey__group *group,
                          float *const *out, const void *next) {
    covey__range tiles;
    while (covey__next_tiles(k, rows.count, group_tiles(group), &tiles)) {
        int32_t before = 0;
        for (int32_t i = 0; i < group->count; i++) {
            int32_t count = tiles_of(group->matrices[i].rows);
            covey__range part = {tiles.first - before, tiles.end - before};
            before += count;
            if (part.first < 0) part.first = 0;
            if (part.end > count) part.end = count;
            if (part.first >= part.end) continue;
            bool goes_on = tiles.end > before;
            product(k, rows, group, i, COVEY__INPUT_WIDTH, out[i], part,
                    goes_on ? group->matrices[i + 1].data : after(k, group, tiles, next));
        }
    }
}

/* Columns [first, end) that tiles of `width` outputs stand for. */
static size_t columns_of(covey__range tiles, size_t width, size_t *first) {
    size_t end = (size_t)tiles.end * COVEY__ROW_TILE;
    *first = (size_t)tiles.first * COVEY__ROW_TILE;
    return end < width ? end : width;
}

void covey__product_add(covey__worker *k, covey__window rows, const covey__group *group, int which,
                        const covey__norms *norms, const void *next) {
    size_t width = (size_t)k->s->model->hyper.width, first;
    float *x = k->s->w->x + (size_t)rows.first * width;
    float *mixed = k->s->w->mixed + (size_t)rows.first * width;
    covey__range tiles;
    while (covey__next_tiles(k, rows.count, group_tiles(group), &tiles)) {
        product(k, rows, group, 0, which, mixed, tiles, after(k, group, tiles, next));
        if (norms->output.weight) continue;
        size_t end = columns_of(tiles, width, &first);
        for (size_t t = 0; t < (size_t)rows.count; t++)
            k->s->model->kernels->add(x + t * width + first, mixed + t * width + first,
                                      end - first);
    }
}

static void activate(const covey_model *model, float *gate, const float *up, size_t n) {
    switch (model->architecture->activation) {
    case COVEY__ACTIVATION_SILU_GATE:
        model->kernels->silu_mul(gate, up, n, gate);
        break;
    case COVEY__ACTIVATION_GELU_TANH_GATE:
        model->kernels->gelu_mul(gate, up, n, gate);
        break;
    case COVEY__ACTIVATION_GELU_ERF:
        model->kernels->gelu(gate, n, gate);
        break;
    }
}

void covey__product_gate_up(covey__worker *k, covey__window rows, const covey__group *group,
                            const void *next) {
    size_t width = (size_t)k->s->model->hyper.ffn_width, first;
    float *gate = k->s->w->gate + (size_t)rows.first * width;
    float *up = k->s->w->up + (size_t)rows.first * width;
    bool is_gated = group->count > 1;
    covey__range tiles;
    while (covey__next_tiles(k, rows.count, group_tiles(group), &tiles)) {
        const void *then = after(k, group, tiles, next);
        product(k, rows, group, 0, COVEY__INPUT_WIDTH, gate, tiles,
                is_gated ? tile_start(&group->matrices[1], tiles.first) : then);
        if (is_gated) product(k, rows, group, 1, COVEY__INPUT_WIDTH, up, tiles, then);
        size_t end = columns_of(tiles, width, &first);
        for (size_t t = 0; t < (size_t)rows.count; t++)
            activate(k->s->model, gate + t * width + first, up + t * width + first, end - first);
    }
}
