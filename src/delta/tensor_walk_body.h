/* The walk over a part of a tensor: batches of blocks, their streams in the format's order, the
 * predictions of each. Decoding and encoding take the same walk; they differ in what happens to a
 * run (covey__run_ops): a kernel makes its values, or the encoder records them. Plain C, compiled
 * once for any machine and once for AVX2, with the name TENSOR_WALK. Table sets and their fitting
 * are in tensor_tables.c. */
#include "delta/tensor_coder.h"
#include "delta/tensor_numbers.h"
#include "gguf/gguf.h"

#include <math.h>
#include <string.h>

/* ---- Scales -----------------------------------------------------------------------------------
 */

static void halves(covey__walk *walk, int stream, int32_t blocks, const uint16_t *old,
                   uint16_t *fresh) {
    covey__scale_run run = {.mask = lanes_mask(blocks)};
    covey__walk_stream(walk, stream, &run.base, &run.est);
    for (int32_t i = 0; i < blocks; i++) {
        uint32_t exponent = (old[i] >> 10) & 31;
        run.prediction[i] = ordered16(old[i]);
        run.step[i] = float_of_bits(((exponent ? exponent : 1) + 102) << 23);
        run.value[i] = ordered16(fresh[i]);
    }
    walk->ops->scales(walk, &run);
    for (int32_t i = 0; i < blocks && !walk->encoding; i++) fresh[i] = unordered16(run.value[i]);
}

/* The sub-blocks' scales (or mins) of a batch; `d_old` and `d_new` are what they are multiplied
 * with. */
static void sub_scales(covey__walk *walk, int stream, int32_t blocks, const float *d_old,
                       const float *d_new, int8_t (*old)[COVEY__BATCH_BLOCKS],
                       int8_t (*fresh)[COVEY__BATCH_BLOCKS]) {
    const covey__block_layout *layout = walk->layout;
    covey__scale_run run = {.mask = lanes_mask(blocks)};
    float k[COVEY__BATCH_BLOCKS] = {0};
    covey__walk_stream(walk, stream, &run.base, &run.est);
    for (int32_t i = 0; i < blocks; i++) {
        float ratio = d_old[i] / d_new[i];
        k[i] = d_new[i] != 0.0f && is_number(ratio) ? ratio : 1.0f;
        run.step[i] = step_of(d_new[i]);
    }
    for (int s = 0; s < layout->subs; s++) {
        for (int32_t i = 0; i < COVEY__BATCH_BLOCKS; i++) {
            int32_t near, below;
            float p =
                residual_within((float)old[s][i] * k[i], layout->scale_low, layout->scale_high);
            run.prediction[i] = residual_nearest(p, &near, &below);
            run.near[i] = (uint8_t)near;
            run.below[i] = (uint8_t)(below & 1);
            run.value[i] = fresh[s][i];
        }
        walk->ops->scales(walk, &run);
        for (int32_t i = 0; i < blocks && !walk->encoding; i++)
            fresh[s][i] = (int8_t)(uint8_t)run.value[i];
    }
}

/* ---- Codes ------------------------------------------------------------------------------------
 */

/* Steps and offsets of the sub-blocks of a batch: of weights as step * code - offset. */
static void sub_steps(const covey__block_layout *layout, const covey__block_batch *batch,
                      int32_t blocks, float *step, float *offset) {
    int32_t subs = layout->subs ? layout->subs : 1;
    for (int32_t i = 0; i < blocks; i++) {
        float d = half(batch->d[i]), m = layout->has_m ? half(batch->m[i]) : 0.0f;
        for (int32_t s = 0; s < subs; s++) {
            step[i * subs + s] = layout->subs ? d * (float)batch->scale[s][i] : d;
            offset[i * subs + s] = layout->has_mins ? m * (float)batch->min[s][i] : -m;
        }
    }
}

static void fill_maps(covey__walk *walk, int32_t count) {
    const covey__tensor_factor *factor = walk->part->factor;
    covey__tensor_scratch *at = walk->scratch;
    float scale = factor ? factor->scale : 0.0f;
    for (int32_t i = 0; i < count; i++) {
        float s = at->step_new[i];
        float k = at->step_old[i] / s, b = (at->offset_new[i] - at->offset_old[i]) / s;
        float h = scale / s;
        int maps =
            (int)is_number(k) & (int)is_number(b) & (int)((residual_bits(s) & INT32_MAX) != 0);
        at->k[i] = maps ? k : 1.0f;
        at->b[i] = maps ? b : 0.0f;
        at->h[i] = is_number(h) ? h : 0.0f;
        at->step[i] = step_of(s);
    }
}

/* dot of each code of a batch whose first weight is `first` of the part. */
static void fill_dots(covey__walk *walk, int32_t blocks, uint64_t first) {
    const covey__tensor_factor *factor = walk->part->factor;
    for (int32_t i = 0; i < blocks; i++) {
        uint64_t weight = first + (uint64_t)i * walk->layout->weights;
        size_t row = (size_t)(weight / factor->columns);
        size_t column = (size_t)(weight % factor->columns);
        walk->kernel->dots(walk->u + row * factor->rank, factor->v + column, factor->columns,
                           factor->rank, walk->layout->weights,
                           walk->scratch->dot + (size_t)i * walk->layout->weights);
    }
}

static void codes(covey__walk *walk, int32_t blocks, uint64_t first) {
    const covey__block_layout *layout = walk->layout;
    covey__tensor_scratch *at = walk->scratch;
    int32_t subs = layout->subs ? layout->subs : 1;
    sub_steps(layout, &at->old, blocks, at->step_old, at->offset_old);
    sub_steps(layout, &at->fresh, blocks, at->step_new, at->offset_new);
    fill_maps(walk, blocks * subs);
    if (walk->part->factor) fill_dots(walk, blocks, first);
    covey__code_run run = {
        .groups = (size_t)blocks * layout->weights / 32,
        .subs = subs == 16 ? 2 : 1,
        .old = at->old.codes,
        .fresh = at->fresh.codes,
        .k = at->k,
        .b = at->b,
        .h = walk->part->factor ? at->h : NULL,
        .step = at->step,
        .dot = at->dot,
        .low = layout->low,
        .high = layout->high,
        .has_codebook = layout->has_codebook,
    };
    covey__walk_stream(walk, 4, &run.base, &run.est);
    walk->ops->codes(walk, &run);
}

/* ---- A part -----------------------------------------------------------------------------------
 */

static void scales(covey__walk *walk, int32_t blocks) {
    covey__tensor_scratch *at = walk->scratch;
    const covey__block_layout *layout = walk->layout;
    float d_old[2][COVEY__BATCH_BLOCKS], d_new[2][COVEY__BATCH_BLOCKS];
    halves(walk, 0, blocks, at->old.d, at->fresh.d);
    if (layout->has_m) halves(walk, 1, blocks, at->old.m, at->fresh.m);
    for (int32_t i = 0; i < blocks; i++) {
        d_old[0][i] = half(at->old.d[i]);
        d_new[0][i] = half(at->fresh.d[i]);
        d_old[1][i] = half(at->old.m[i]);
        d_new[1][i] = half(at->fresh.m[i]);
    }
    if (layout->subs)
        sub_scales(walk, 2, blocks, d_old[0], d_new[0], at->old.scale, at->fresh.scale);
    if (layout->has_mins)
        sub_scales(walk, 3, blocks, d_old[1], d_new[1], at->old.min, at->fresh.min);
}

static void walk_blocks(covey__walk *walk) {
    const covey__tensor_part *part = walk->part;
    const covey__block_layout *layout = walk->layout;
    covey__tensor_scratch *at = walk->scratch;
    size_t total = part->size / layout->bytes;
    if (walk->batches_max && total > walk->batches_max * COVEY__BATCH_BLOCKS)
        total = walk->batches_max * COVEY__BATCH_BLOCKS;
    if (part->factor) covey__walk_factors(walk);
    for (size_t first = 0; first < total; first += COVEY__BATCH_BLOCKS) {
        int32_t blocks =
            (int32_t)(total - first < COVEY__BATCH_BLOCKS ? total - first : COVEY__BATCH_BLOCKS);
        const uint8_t *old = part->old + first * layout->bytes;
        uint8_t *fresh = part->fresh + first * layout->bytes;
        for (int32_t i = 0; i < blocks; i++)
            layout->take(old + (size_t)i * layout->bytes, i, &at->old);
        for (int32_t i = 0; i < blocks && walk->encoding; i++)
            layout->take(fresh + (size_t)i * layout->bytes, i, &at->fresh);
        scales(walk, blocks);
        codes(walk, blocks, (uint64_t)first * layout->weights);
        for (int32_t i = 0; i < blocks && !walk->encoding; i++)
            layout->put(&at->fresh, i, fresh + (size_t)i * layout->bytes);
    }
}

/* ---- Floats -----------------------------------------------------------------------------------
 */

typedef struct float_group {
    uint32_t old[32], z[32], mask; /* z: the zigzag of the difference */
    float step[32];
    uint32_t level[32];
} float_group;

static void learn_floats(float *est, const float_group *group) {
    float seen = 0.0f;
    for (int i = 0; i < 32; i++) {
        if (!((group->mask >> i) & 1)) continue;
        uint32_t size = group->z[i] < 65536 ? group->z[i] : 65536;
        float part = (float)size * group->step[i];
        seen = seen + part;
    }
    residual_learn(est, seen);
}

static void float_planes(covey__walk *walk, uint32_t base, int planes, float_group *group) {
    covey__byte_run run = {.mask = group->mask, .base = base};
    uint32_t high[32] = {0};
    for (int plane = 0; plane < planes; plane++) {
        int shift = 8 * (planes - 1 - plane);
        for (int i = 0; i < 32; i++) {
            uint32_t at = ((group->level[i] / 4) * (uint32_t)planes + (uint32_t)plane) * 2;
            run.first[i] = (uint16_t)((at + (high[i] != 0)) * COVEY__BYTE_CONTEXTS);
            run.value[i] = (uint8_t)(group->z[i] >> shift);
        }
        walk->ops->bytes(walk, &run);
        for (int i = 0; i < 32; i++) high[i] = high[i] << 8 | run.value[i];
    }
    memcpy(group->z, high, sizeof high);
}

static void walk_floats(covey__walk *walk) {
    const covey__tensor_part *part = walk->part;
    int planes = part->type == COVEY__TYPE_F32 ? 4 : 2;
    uint32_t top = (uint32_t)1 << (8 * planes - 1), all = top - 1 + top, base;
    size_t total = part->size / (size_t)planes;
    float *est;
    covey__walk_stream(walk, 0, &base, &est);
    if (walk->batches_max && total > walk->batches_max * 1024) total = walk->batches_max * 1024;
    for (size_t first = 0; first < total; first += 32) {
        float_group group = {0};
        int32_t count = total - first < 32 ? (int32_t)(total - first) : 32;
        group.mask = lanes_mask(count);
        for (int32_t i = 0; i < count; i++) {
            size_t at = (first + (size_t)i) * (size_t)planes;
            group.old[i] = get_float(part->old + at, planes);
            group.step[i] = float_step(part->type, group.old[i]);
            group.level[i] = residual_level(*est, group.step[i]);
            if (!walk->encoding) continue;
            uint32_t move =
                ordered(get_float(part->fresh + at, planes), top) - ordered(group.old[i], top);
            int32_t difference = (int32_t)(move << (32 - 8 * planes)) >> (32 - 8 * planes);
            group.z[i] = (((uint32_t)difference << 1) ^ (uint32_t)(difference >> 31)) & all;
        }
        float_planes(walk, base, planes, &group);
        learn_floats(est, &group);
        for (int32_t i = 0; i < count && !walk->encoding; i++) {
            uint32_t move = (group.z[i] >> 1) ^ (0 - (group.z[i] & 1));
            uint32_t fresh = unordered((ordered(group.old[i], top) + move) & all, top);
            uint8_t *out = part->fresh + (first + (size_t)i) * (size_t)planes;
            for (int p = 0; p < planes; p++) out[p] = (uint8_t)(fresh >> (8 * p));
        }
    }
}

void TENSOR_WALK(covey__walk *walk) {
    for (int i = 0; i < COVEY__TENSOR_STREAMS; i++)
        walk->est[i] = float_of_bits((uint32_t)walk->part->starts[i] << 23);
    if (walk->layout)
        walk_blocks(walk);
    else
        walk_floats(walk);
}
