/* How the threads of a pass share work. Even splits are for what is cheap. Units that differ in
 * cost, and the tiles of products over many rows, are claimed from one counter that only grows: a
 * phase of n units moves it by n and one for each thread, so nobody resets it. Products over few
 * rows are bound by memory and by prefetching: each thread has a run of tiles of its own, takes it
 * in a few parts, and then takes from the ends of the runs of threads that are behind. */
#include "engine/pass.h"

#include <string.h>

#define CLAIM_ROWS_MIN 24 /* from so many rows on, tiles are claimed */
#define SHARE_PARTS    4  /* parts that a thread takes its own share in */

covey__range covey__split(int32_t total, const covey__worker *k) {
    return (covey__range){(int32_t)((int64_t)total * k->index / k->count),
                          (int32_t)((int64_t)total * (k->index + 1) / k->count)};
}

int32_t covey__claim(covey__worker *k, int32_t units) {
    long long unit = atomic_fetch_add(&k->s->claims, 1) - k->claimed;
    if (unit < units) return (int32_t)unit;
    k->claimed += units + k->count;
    return -1;
}

static unsigned long long pack(covey__range tiles) {
    return (unsigned long long)(uint32_t)tiles.first << 32 | (uint32_t)tiles.end;
}

void covey__share_out(covey__worker *k, int32_t tiles) {
    covey__range mine = covey__split(tiles, k);
    k->part = (tiles / k->count + SHARE_PARTS - 1) / SHARE_PARTS;
    if (k->part < 1) k->part = 1;
    k->share_end = mine.end;
    atomic_store_explicit(&k->s->w->shares[k->index].tiles, pack(mine), memory_order_release);
}

/* Takes up to a part from the front of a share, or from its back. */
static bool take_from(covey__worker *k, int32_t owner, bool front, covey__range *out) {
    atomic_ullong *share = &k->s->w->shares[owner].tiles;
    unsigned long long seen = atomic_load_explicit(share, memory_order_acquire);
    covey__range left;
    do {
        left = (covey__range){(int32_t)(seen >> 32), (int32_t)(uint32_t)seen};
        int32_t count = left.end - left.first;
        if (!front) count = (count + 1) / 2;
        if (count > k->part) count = k->part;
        if (count <= 0) return false;
        if (front) {
            *out = (covey__range){left.first, left.first + count};
            left.first = out->end;
        } else {
            *out = (covey__range){left.end - count, left.end};
            left.end = out->first;
        }
    } while (!atomic_compare_exchange_weak(share, &seen, pack(left)));
    return true;
}

bool covey__next_tiles(covey__worker *k, int32_t rows, int32_t tiles, covey__range *out) {
    if (rows >= CLAIM_ROWS_MIN) {
        out->first = covey__claim(k, tiles);
        out->end = out->first + 1;
        return out->first >= 0;
    }
    if (take_from(k, k->index, true, out)) return true;
    for (int32_t i = 1; i < k->count; i++)
        if (take_from(k, (k->index + i) % k->count, false, out)) return true;
    return false;
}

float *covey__rope_row(const covey__state *s, int32_t rope, int32_t row) {
    size_t at = (size_t)rope * (size_t)s->w->batch + (size_t)row;
    return s->w->rope + at * (size_t)s->model->hyper.rope_dims;
}

void covey__note_bad(covey__worker *k, int32_t layer, covey__stage where) {
    int place = layer * COVEY__STAGE_COUNT + (int)where;
    int seen = atomic_load(&k->s->bad);
    while (place < seen && !atomic_compare_exchange_weak(&k->s->bad, &seen, place)) {
    }
}

void covey__check_row(covey__worker *k, float *values, size_t count, int32_t layer,
                      covey__stage where) {
    if (covey__finite(values, count)) return;
    covey__note_bad(k, layer, where);
    memset(values, 0, count * sizeof *values);
}
