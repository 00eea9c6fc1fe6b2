/* Adapters in a pass. Each row belongs to a run, and its session names the adapters that change its
 * products: out = out + (scale * alpha / rank) * b (a x), one adapter after the other in the
 * session's order, each step as docs/arithmetic.md says. a x is computed by who fills the row's
 * input, and kept in the workspace; b is multiplied by who computes those outputs. Rows of
 * sessions without adapters cost one look at a flag. */
#include "engine/pass.h"

#include <string.h>

#define OUTPUTS 256 /* of b, computed at a time on the stack */

static size_t vector_floats(const covey_adapter *adapter) {
    return covey__activations_bytes(COVEY__ACT_F32, covey__adapter_rank_max(adapter), 1) /
           sizeof(float);
}

int32_t covey__adapters_row_floats(const covey__adapter_use *uses, int32_t count) {
    size_t floats = 0;
    for (int32_t i = 0; i < count; i++) floats += COVEY__GROUP_MAX * vector_floats(uses[i].adapter);
    return (int32_t)floats;
}

static const covey_session *session_of(const covey__pass *pass, int32_t row) {
    const covey__run *run = pass->runs;
    while (row < run->first || row >= run->first + run->count) run++; /* each row is in one */
    return run->session;
}

/* Where a x of the session's adapter `use` and a group's matrix lies. */
static float *place_of(const covey__state *s, const covey_session *session, int32_t row,
                       int32_t use, int32_t matrix) {
    const covey__workspace *w = s->w;
    float *at = w->adapted + (size_t)row * (size_t)w->adapter_floats;
    for (int32_t i = 0; i < use; i++)
        at += COVEY__GROUP_MAX * vector_floats(session->adapter[i].adapter);
    return at + (size_t)matrix * vector_floats(session->adapter[use].adapter);
}

void covey__adapt_input(covey__worker *k, const covey__group *group, const float *x, int32_t row) {
    const covey__kernels *kernels = k->s->model->kernels;
    const covey_session *session = session_of(k->s->pass, row);
    covey__activations input;
    bool filled = false;
    for (int32_t use = 0; use < session->adapter_count; use++)
        for (int32_t m = 0; m < group->count; m++) {
            const covey_adapter *adapter = session->adapter[use].adapter;
            const covey__lora *lora = covey__adapter_find(adapter, group, m);
            if (!lora) continue;
            if (!filled) {
                covey__activations_init(&input, COVEY__ACT_F32, lora->a.columns, 1, k->scratch);
                kernels->activations(&input, x, 0, 0, 1);
                filled = true;
            }
            float *out = place_of(k->s, session, row, use, m);
            size_t rank = (size_t)lora->a.rows;
            covey__product p = {&lora->a, &input, out, rank};
            kernels->product(&p, 0, lora->a.rows, NULL, NULL); /* one token needs no scratch */
            memset(out + rank, 0, (vector_floats(adapter) - rank) * sizeof *out);
        }
}

/* Outputs [first, end) of one row. */
static void change_row(const covey__worker *k, const covey__lora *lora, float scale, float *vector,
                       float *out, int32_t first, int32_t end) {
    const covey__kernels *kernels = k->s->model->kernels;
    _Alignas(64) float changes[OUTPUTS];
    covey__activations input;
    covey__activations_init(&input, COVEY__ACT_F32, lora->b.columns, 1, vector);
    for (int32_t r = first; r < end; r += OUTPUTS) {
        int32_t count = end - r < OUTPUTS ? end - r : OUTPUTS;
        covey__weights part = lora->b;
        part.data = (const char *)part.data + (size_t)r * part.row_bytes;
        part.rows = count;
        covey__product p = {&part, &input, changes, OUTPUTS};
        kernels->product(&p, 0, count, NULL, NULL);
        kernels->scale(changes, scale * lora->factor, (size_t)count);
        kernels->add(out + r, changes, (size_t)count);
    }
}

void covey__adapt_output(covey__worker *k, covey__window rows, const covey__group *group,
                         int32_t matrix, float *out, int32_t first, int32_t end) {
    size_t stride = (size_t)group->matrices[matrix].rows;
    for (int32_t t = 0; t < rows.count; t++) {
        int32_t row = rows.first + t;
        const covey_session *session = session_of(k->s->pass, row);
        for (int32_t use = 0; use < session->adapter_count; use++) {
            const covey__adapter_use *u = &session->adapter[use];
            const covey__lora *lora = covey__adapter_find(u->adapter, group, matrix);
            if (lora)
                change_row(k, lora, u->scale, place_of(k->s, session, row, use, matrix),
                           out + (size_t)t * stride, first, end);
        }
    }
}
