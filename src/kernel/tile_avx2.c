/* The walk over rows, columns and tokens of a product over tiles, for AVX2 and AVX-VNNI. */
#include "kernel/tile_avx2.h"

/* All tokens against one tile. */
static void all_tokens(const covey__tile_ops *ops, const covey__product *p, covey__stretch s,
                       const covey__cut *cut, const covey__tile *tile) {
    const covey__activations *a = p->a;
    size_t k = (size_t)a->columns, k0 = (size_t)cut->k0, block = ops->sub ? 256 : 32;
    int32_t count = 0;
    for (int32_t t = 0; t < a->tokens; t += count) {
        int32_t left = a->tokens - t;
        size_t from = (size_t)(t / COVEY__GROUP) * k + k0, place = (size_t)(t % COVEY__GROUP);
        s.q = a->q + from * COVEY__GROUP + place * 4;
        s.d = a->d + from / block * COVEY__GROUP + place;
        if (ops->sub == 0)
            s.bias = a->bias[0] + from / 32 * COVEY__GROUP + place;
        else
            s.sums = (ops->sub == 16 ? a->sums16 : a->sums32) + (size_t)t * s.sums_stride +
                     k0 / (size_t)ops->sub;
        s.out = p->out + (size_t)t * p->out_stride + cut->r;
        bool six = left >= COVEY__GROUP && ops->six;
        count = six ? COVEY__GROUP : left < 3 ? left : 3;
        s.tokens = count;
        (six ? ops->six : ops->three)(tile, &s);
    }
}

void covey__tile_run_avx2(covey__tile_unpack_fn unpack, const covey__tile_ops *ops,
                          const covey__product *p, int32_t r0, int32_t r1, void *scratch) {
    const covey__weights *w = p->w;
    for (int32_t r = r0; r < r1; r += COVEY__TILE_ROWS) {
        covey__stretch s = {.out_stride = p->out_stride, .rows = r1 - r};
        if (ops->sub) s.sums_stride = (size_t)w->columns / (size_t)ops->sub;
        covey__cut cut = {w, r, r1, 0, 0, 0};
        if (r + COVEY__TILE_ROWS < r1) cut.ahead = COVEY__TILE_ROWS * w->row_bytes;
        for (cut.k0 = 0; cut.k0 < w->columns; cut.k0 += cut.columns) {
            cut.columns = w->columns - cut.k0;
            if (cut.columns > COVEY__TILE_COLUMNS) cut.columns = COVEY__TILE_COLUMNS;
            s.columns = cut.columns;
            s.first = cut.k0 == 0;
            unpack(&cut, scratch);
            all_tokens(ops, p, s, &cut, scratch);
        }
    }
}
