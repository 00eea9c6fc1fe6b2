/* What the files of the pass share: one pass's state, a thread's view of it, and the phases that
 * pass.c strings together. See pass.c for the whole. */
#ifndef COVEY_ENGINE_PASS_H
#define COVEY_ENGINE_PASS_H

#include "engine/engine.h"

/* Where in a layer a row that is not finite was met. */
typedef enum covey__stage {
    COVEY__STAGE_INPUT,
    COVEY__STAGE_QKV,
    COVEY__STAGE_KV, /* finite, but beyond the session's KV type */
    COVEY__STAGE_ATTENTION,
    COVEY__STAGE_FFN_INPUT,
    COVEY__STAGE_FFN,
    COVEY__STAGE_OUTPUT,
    COVEY__STAGE_COUNT
} covey__stage;

enum { COVEY__INPUT_WIDTH, COVEY__INPUT_QUERY, COVEY__INPUT_FFN, COVEY__INPUT_COUNT };

/* Rows that a phase works on, and the inputs laid out for so many. */
typedef struct covey__window {
    int32_t first, count;
    covey__input *inputs; /* [COVEY__INPUT_COUNT] */
    covey__block *blocks; /* the rows, by runs */
    int32_t block_count;
} covey__window;

typedef struct covey__state {
    const covey__pass *pass;
    const covey_model *model;
    const covey__workspace *w;
    covey__input whole[COVEY__INPUT_COUNT], last[COVEY__INPUT_COUNT];
    covey__window all, wanted;
    bool adapts; /* some run's session has adapters */
    atomic_llong claims;
    atomic_int bad; /* the least layer * COVEY__STAGE_COUNT + stage; INT_MAX: none */
    bool stop;      /* written by thread 0 before a barrier, read by all after it */
} covey__state;

typedef struct covey__worker {
    covey__state *s;
    int32_t index, count;
    long long claimed; /* claims of the phases before */
    void *scratch;
    float *row;        /* [width] */
    int32_t part;      /* tiles that it takes at once of the product at hand */
    int32_t share_end; /* where its own share of it ends */
} covey__worker;

typedef struct covey__range {
    int32_t first, end;
} covey__range;

/* ---- pass_work.c: who does what ---- */

/* The even part of `total` that is this thread's. */
covey__range covey__split(int32_t total, const covey__worker *k);
/* The next unit of a phase's `units`, or -1. Every thread asks until it gets -1, once. */
int32_t covey__claim(covey__worker *k, int32_t units);
/* Sets this thread's share of the next product's tiles; in the phase before it. */
void covey__share_out(covey__worker *k, int32_t tiles);
/* The next tiles that this thread computes of a product over `rows` rows; false at its end. */
bool covey__next_tiles(covey__worker *k, int32_t rows, int32_t tiles, covey__range *out);
/* A row's cosines and sines in one of the model's `ropes`. */
float *covey__rope_row(const covey__state *s, int32_t rope, int32_t row);
/* Notes the place of what must fail the pass. */
void covey__note_bad(covey__worker *k, int32_t layer, covey__stage where);
/* Notes a row that is not finite, and zeroes it. */
void covey__check_row(covey__worker *k, float *values, size_t count, int32_t layer,
                      covey__stage where);

/* ---- pass_product.c: inputs and products ---- */

/* The model's kind of norm over a row of its width; `out` may be `x`. */
void covey__norm_row(const covey_model *model, const float *x, const covey__norm *norm, float *out);
/* Ends the block `before` (NULL: none) for each row of the residual stream, and makes the input of
 * the group of it: its norm, or the row itself. */
void covey__fill_input(covey__worker *k, covey__window rows, const covey__norms *before,
                       const covey__norm *norm, const covey__group *group, int32_t layer,
                       covey__stage where);
/* The rows behind the last layer, normed as for the logits, to the pass's vectors. */
void covey__take_vectors(covey__worker *k, covey__window rows, const covey__norms *before);
/* Rows of `values` as they are, as the input `which` of the group. */
void covey__fill_rows(covey__worker *k, covey__window rows, float *values, int32_t columns,
                      int which, const covey__group *group, int32_t layer, covey__stage where);

/* Where this thread's share of the group begins in memory. */
const void *covey__share_start(const covey__worker *k, const covey__group *group);
/* `out` is where each matrix's outputs of the window's first row go. */
void covey__product_group(covey__worker *k, covey__window rows, const covey__group *group,
                          float *const *out, const void *next);
/* Adds the product to the residual stream; leaves it in `mixed` where the block norms its output.
 */
void covey__product_add(covey__worker *k, covey__window rows, const covey__group *group, int which,
                        const covey__norms *norms, const void *next);
/* Gate and up, and what the activation makes of them into gate. */
void covey__product_gate_up(covey__worker *k, covey__window rows, const covey__group *group,
                            const void *next);

/* ---- pass_adapter.c: where the pass has adapters ---- */

/* What the adapters of the row's session make of the group's input `x`. */
void covey__adapt_input(covey__worker *k, const covey__group *group, const float *x, int32_t row);
/* Adds their changes to the outputs [first, end) of the group's matrix, whose rows are at `out`. */
void covey__adapt_output(covey__worker *k, covey__window rows, const covey__group *group,
                         int32_t matrix, float *out, int32_t first, int32_t end);

/* ---- pass_attention.c ---- */

/* The most blocks that a window of so many rows has. */
int32_t covey__blocks_max(int32_t rows);
/* Cuts the window's rows into blocks of its runs, in `memory`. */
void covey__cut_blocks(const covey__pass *pass, covey__window *window, covey__block *memory);
/* Turns queries and keys to their positions, and stores keys and values in the pages. */
void covey__place(covey__worker *k, int32_t layer, covey__window wanted);
void covey__attend(covey__worker *k, int32_t layer, covey__window rows);

#endif
