/* The matrix products of a pass: rows of floats to the inputs that each type of weights wants, and
 * tiles of weights to outputs. Matrices that read one input are counted through as one row of
 * tiles, so that a thread's share is one long run; gate and up are taken side by side instead, as
 * what joins them needs both for the same columns. */
#include "engine/pass.h"

/* ---- Inputs ---- */

/* A row is filled alone, so the stride between rows does not matter. */
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

static int32_t tiles_of(int32_t rows) {
    return (rows + COVEY__ROW_TILE - 1) / COVEY__ROW_TILE;
}

static int32_t group_tiles(const covey__group *group) {
    if (group->together) return tiles_of(group->matrices[0].rows);
    int32_t tiles = 0;
    for (int32_t i = 0; i < group->count; i++) tiles += tiles_of(group->matrices[i].rows);
    return tiles;
}

void covey__fill_norm(covey__worker *k, covey__window rows, const float *norm,
                      const covey__group *group, int32_t layer, covey__stage where) {
    const covey_model *model = k->s->model;
    int32_t width = model->hyper.width;
    covey__range mine = covey__split(rows.count, k);
    covey__share_out(k, group_tiles(group));
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *x = k->s->w->x + (size_t)(rows.first + t) * (size_t)width;
        covey__check_row(k, x, (size_t)width, layer, where);
        model->kernels->rms_norm(x, norm, width, model->hyper.rms_epsilon, k->row);
        fill(model, group, &rows.inputs[COVEY__INPUT_WIDTH], k->row, t);
    }
}

void covey__fill_rows(covey__worker *k, covey__window rows, float *values, int32_t columns,
                      int which, const covey__group *group, int32_t layer, covey__stage where) {
    covey__range mine = covey__split(rows.count, k);
    covey__share_out(k, group_tiles(group));
    for (int32_t t = mine.first; t < mine.end; t++) {
        float *row = values + (size_t)(rows.first + t) * (size_t)columns;
        covey__check_row(k, row, (size_t)columns, layer, where);
        fill(k->s->model, group, &rows.inputs[which], row, t);
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

static void product(covey__worker *k, const covey__weights *w, covey__input *input, float *out,
                    covey__range tiles, const void *next) {
    covey__product p = {w, &input->kinds[covey__kernel_act(w->type)], out, (size_t)w->rows};
    int32_t end = tiles.end * COVEY__ROW_TILE;
    if (end > w->rows) end = w->rows;
    k->s->model->kernels->product(&p, tiles.first * COVEY__ROW_TILE, end, next, k->scratch);
}

void covey__product_group(covey__worker *k, covey__window rows, const covey__group *group,
                          float *const *out, const void *next) {
    covey__range tiles;
    while (covey__next_tiles(k, rows.count, group_tiles(group), &tiles)) {
        int32_t before = 0;
        for (int32_t i = 0; i < group->count; i++) {
            const covey__weights *w = &group->matrices[i];
            int32_t count = tiles_of(w->rows);
            covey__range part = {tiles.first - before, tiles.end - before};
            before += count;
            if (part.first < 0) part.first = 0;
            if (part.end > count) part.end = count;
            if (part.first >= part.end) continue;
            bool goes_on = tiles.end > before;
            product(k, w, &rows.inputs[COVEY__INPUT_WIDTH], out[i], part,
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
                        const void *next) {
    size_t width = (size_t)k->s->model->hyper.width, first;
    float *x = k->s->w->x + (size_t)rows.first * width;
    float *mixed = k->s->w->mixed + (size_t)rows.first * width;
    covey__range tiles;
    while (covey__next_tiles(k, rows.count, group_tiles(group), &tiles)) {
        product(k, &group->matrices[0], &rows.inputs[which], mixed, tiles,
                after(k, group, tiles, next));
        size_t end = columns_of(tiles, width, &first);
        for (size_t t = 0; t < (size_t)rows.count; t++)
            k->s->model->kernels->add(x + t * width + first, mixed + t * width + first,
                                      end - first);
    }
}

void covey__product_gate_up(covey__worker *k, covey__window rows, const covey__group *group,
                            const void *next) {
    size_t width = (size_t)k->s->model->hyper.ffn_width, first;
    float *gate = k->s->w->gate + (size_t)rows.first * width;
    float *up = k->s->w->up + (size_t)rows.first * width;
    covey__input *input = &rows.inputs[COVEY__INPUT_WIDTH];
    covey__range tiles;
    while (covey__next_tiles(k, rows.count, group_tiles(group), &tiles)) {
        product(k, &group->matrices[0], input, gate, tiles,
                tile_start(&group->matrices[1], tiles.first));
        product(k, &group->matrices[1], input, up, tiles, after(k, group, tiles, next));
        size_t end = columns_of(tiles, width, &first);
        for (size_t t = 0; t < (size_t)rows.count; t++) {
            float *g = gate + t * width + first;
            k->s->model->kernels->silu_mul(g, up + t * width + first, end - first, g);
        }
    }
}
