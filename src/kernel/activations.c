/* Activations: their layout in the caller's memory. Up to COVEY__PLAIN_MAX tokens, and all float
 * activations, are plain rows; more are interleaved in groups of COVEY__GROUP, four columns at a
 * time: [group][columns / 4][6][4], and their scales and sums [group][block][6]. */
#include "kernel/parts.h"

typedef struct sizes {
    size_t x, q, d, bias, sums16, sums32; /* bytes, each a multiple of 64 */
} sizes;

static size_t pad64(size_t n) {
    return (n + 63) & ~(size_t)63;
}

static sizes measure(covey__act kind, int32_t columns, int32_t tokens) {
    sizes s = {0, 0, 0, 0, 0, 0};
    size_t k = (size_t)columns, t = (size_t)tokens;
    if (kind == COVEY__ACT_F32) {
        s.x = pad64(t * covey__act_stride(k) * sizeof(float));
        return s;
    }
    size_t group = COVEY__GROUP;
    size_t slots = tokens <= COVEY__PLAIN_MAX ? t : (t + group - 1) / group * group;
    size_t subs = kind == COVEY__ACT_Q256 ? k / 16 : k / 32;
    s.q = pad64(slots * k);
    s.d = pad64(slots * (k / (size_t)covey__act_block(kind)) * sizeof(float));
    s.bias = pad64(slots * subs * sizeof(int32_t));
    if (kind == COVEY__ACT_Q256) {
        s.sums16 = pad64(t * subs * sizeof(int16_t));
        s.sums32 = pad64(t * subs / 2 * sizeof(int16_t));
    }
    return s;
}

size_t covey__activations_bytes(covey__act kind, int32_t columns, int32_t tokens) {
    sizes s = measure(kind, columns, tokens);
    return s.x + s.q + s.d + 2 * s.bias + s.sums16 + s.sums32;
}

void covey__activations_init(covey__activations *a, covey__act kind, int32_t columns,
                             int32_t tokens, void *memory) {
    sizes s = measure(kind, columns, tokens);
    uint8_t *at = memory;
    memset(a, 0, sizeof *a);
    a->kind = kind;
    a->columns = columns;
    a->tokens = tokens;
    a->group = kind == COVEY__ACT_F32 || tokens <= COVEY__PLAIN_MAX ? 1 : COVEY__GROUP;
    a->x = (float *)(void *)at;
    a->q = (int8_t *)(at += s.x);
    a->d = (float *)(void *)(at += s.q);
    a->bias[0] = (int32_t *)(void *)(at += s.d);
    a->bias[1] = (int32_t *)(void *)(at += s.bias);
    a->sums16 = (int16_t *)(void *)(at += s.bias);
    a->sums32 = (int16_t *)(void *)(at += s.sums16);
}

covey__act_row covey__act_row_get(const covey__activations *a, int32_t token) {
    size_t t = (size_t)token, k = (size_t)a->columns;
    bool wide = a->kind == COVEY__ACT_Q256;
    covey__act_row row = {a->x + t * covey__act_stride(k),
                          a->q + t * k,
                          a->d + t * (k / (size_t)covey__act_block(a->kind)),
                          {a->bias[0] + t * (wide ? k / 16 : k / 32), a->bias[1] + t * (k / 32)},
                          a->sums16 + t * (k / 16),
                          a->sums32 + t * (k / 32)};
    return row;
}
