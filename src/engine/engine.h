/* What the engine's files share: the model, the session, the pass over the weights.
 *
 * A model is immutable once open, but for its workspace, which one pass at a time uses under a
 * lock. A session owns its KV pages, its logits and its tokens. A pass is one walk over the layers
 * for a batch of rows (tokens); it is one job of the pool, with barriers between its phases.
 *
 *   model.c     open, describe, close        arch/NAME.c  what an architecture is made of
 *   hyper.c     numbers out of the metadata  vocabulary.c tokens and chat out of the metadata
 *   tensors.c   tensors by name into layers  architecture.h what these share
 *   workspace.c scratch that passes share    pass*.c      the pass itself
 *   session*.c  pages, prefixes, appends     session_parts.h  what these share
 *   sampling.c  the next token               generate.c   text until something stops it */
#ifndef COVEY_ENGINE_ENGINE_H
#define COVEY_ENGINE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include <covey/session_file.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/runtime.h"
#include "engine/adapter.h"
#include "engine/architecture.h"
#include "engine/session_parts.h"
#include "gguf/gguf.h"
#include "kernel/kernel.h"
#include "text/template.h"
#include "text/tokenizer.h"

/* ---- Models ---- */

/* The inputs of a product, in each kind that some matrix wants. */
typedef struct covey__input {
    covey__activations kinds[COVEY__ACT_KINDS];
} covey__input;

/* What is left of a thread's part of a product: tiles [front, back), packed into one word so that
 * its owner takes from the front and others from the back. */
typedef struct covey__share {
    _Alignas(64) atomic_ullong tiles; /* front << 32 | back */
} covey__share;

/* Consecutive rows of one run, at most as many as a unit of attention takes. */
typedef struct covey__block {
    int32_t run, first, count;
} covey__block;

/* Scratch of passes, for up to `batch` rows and `context` keys. */
typedef struct covey__workspace {
    pthread_mutex_t lock; /* over all that follows but `trim` */
    covey__trim_hook trim;
    int32_t batch;
    int32_t context;
    int32_t adapter_floats;
    size_t bytes;
    void *base;           /* what to free; NULL before the first session and after a trim */
    float *x;             /* [batch][width]: the residual stream */
    float *mixed;         /* [batch][width]: what a block adds to it */
    float *q;             /* [batch][head_count * head_dim] */
    float *k, *v;         /* [batch][kv_head_count * head_dim] */
    float *attended;      /* [batch][head_count * head_dim] */
    float *gate, *up;     /* [batch][ffn_width]: in the memory of the four above */
    float *rope;          /* [rope_count][batch][rope_dims] */
    float *logits;        /* [COVEY__MANY_MAX][vocabulary_size] */
    covey_token *tokens;  /* [batch]: of a combined pass */
    covey__block *blocks; /* [covey__blocks_max(batch)] */
    float *adapted;       /* [batch][adapter_floats]: what adapters make of inputs */
    char *inputs;         /* activations */
    char *threads;        /* thread_bytes each */
    size_t thread_bytes;
    covey__share *shares; /* one a thread */
} covey__workspace;

/* Sees each row of floats that matrices are about to read, in the order of a pass's rows, on one
 * thread: for importance matrices. Costs speed, and never a bit. */
typedef struct covey__observer {
    void (*row)(void *user, const covey__group *group, const float *row);
    void *user;
} covey__observer;

struct covey_model {
    covey_runtime *runtime;
    const covey__env *env;
    covey__pool *pool;
    const covey__kernels *kernels;
    const covey__architecture *architecture; /* NULL: the vocabulary alone was opened */
    const char *architecture_name;
    covey__gguf *gguf;
    covey__arena arena;
    covey__hyper hyper;
    covey__roots roots;
    covey__layer *layers;
    covey__rope ropes[COVEY__ROPES_MAX];
    int32_t rope_count;
    bool kinds[COVEY__ACT_KINDS]; /* what the matrices want */
    covey__tokenizer *tokenizer;
    size_t token_bytes_max;           /* of the longest token */
    covey__template *chat;            /* NULL: none, or one that cannot be run */
    covey__template *chat_with_tools; /* where the model has another for them; else NULL */
    bool chat_takes_tools;            /* tools of a conversation are shown to the model */
    covey_error chat_error;           /* why `chat` cannot */
    const char *name;
    const char *quantization;
    uint64_t parameter_count;
    uint64_t weight_bytes;
    uint64_t parallel_bytes_min; /* a pass that reads fewer weights, over all rows, stays on one
                                    thread: barriers would cost more than they give */
    int64_t load_ms;
    atomic_int references; /* the caller's and one a session */
    covey__workspace workspace;
    covey__kv kv;
    covey__combine combine;
    bool has_identity; /* given by who opened it */
    uint8_t identity[32];
    struct covey__token_trie *token_trie; /* for guides, under kv.lock; NULL until one is used */
    covey__observer observer; /* set by its one owner before a session opens; else zeros */
};

/* covey_model_open of bytes that are in memory already, which the model owns from here on, also on
 * failure. The source's path, descriptor and memory are not looked at. */
covey_status covey__model_open_taking(covey_runtime *runtime, const covey_model_source *source,
                                      covey__map *take_map, covey_model **model,
                                      covey_error *error) COVEY_MUST_USE;
void covey__model_hold(covey_model *model);
void covey__model_drop(covey_model *model);
/* What saved sessions and adapters are bound to: 32 bytes, given by who opened the model, or a
 * digest of the file's metadata, its size, and samples of each tensor. */
covey_status covey__model_identity(const covey_model *model, uint8_t identity[32],
                                   covey_error *error) COVEY_MUST_USE;
/* SHA-256 of all of the model's file. */
covey_status covey__model_file_digest(const covey_model *model, uint8_t digest[32],
                                      covey_error *error);
/* The digest that a model goes by for which none was given. */
covey_status covey__model_sampled_identity(const covey_model *model, uint8_t identity[32],
                                           covey_error *error);
/* The pooling that covey_model_embed takes by itself. */
covey_pooling covey__model_pooling(const covey_model *model);
/* UNSUPPORTED, with the reason, for a model that has no logits. */
covey_status covey__model_generates(const covey_model *model, covey_error *error) COVEY_MUST_USE;

/* ---- Tensors ---- */

/* Fills model->roots and model->layers; refuses what is absent, unknown or of another shape. */
covey_status covey__tensors_load(covey_model *model, covey_error *error) COVEY_MUST_USE;
/* The name of the first tensor with a NaN or an infinity, with its row; false when all are
 * finite. Reads every weight: only for an error's message. */
bool covey__tensors_find_non_finite(const covey_model *model, char *name, size_t name_size,
                                    int32_t *row);

/* ---- Vocabulary ---- */

/* Fills model->tokenizer and model->chat. A chat template that this library cannot run does not
 * keep the model from opening: covey_model_render_chat says then what it lacks. */
covey_status covey__vocabulary_load(covey_model *model, covey_error *error) COVEY_MUST_USE;
void covey__vocabulary_free(covey_model *model);
/* Whether what the template writes tells the model of a conversation's tools. Tried out; only
 * memory can fail it. */
covey_status covey__chat_shows_tools(const covey_model *model, const covey__template *chat,
                                     bool *shown, covey_error *error) COVEY_MUST_USE;

/* ---- Workspace ---- */

/* What passes may ask for. */
typedef struct covey__workspace_need {
    int32_t batch;          /* rows */
    int32_t context;        /* keys */
    int32_t adapter_floats; /* covey__adapters_row_floats */
} covey__workspace_need;

uint64_t covey__workspace_bytes(const covey_model *model, covey__workspace_need need);
/* Makes room for at least so much; keeps what is there when it is enough. */
covey_status covey__workspace_reserve(covey_model *model, covey__workspace_need need,
                                      covey_error *error) COVEY_MUST_USE;
/* The lock that a pass needs, with the block behind it. */
covey_status covey__workspace_take(covey_model *model, covey_error *error) COVEY_MUST_USE;
void covey__workspace_give(covey_model *model);
covey_status covey__workspace_open(covey_model *model, covey_error *error) COVEY_MUST_USE;
void covey__workspace_close(covey_model *model);
/* `size` bytes, 64-byte aligned and untouched, so that what is never used costs nothing. */
void *covey__reserve(const covey__env *env, size_t size, void **base);

/* ---- The pass ---- */

/* Consecutive tokens of one session in a batch. A session may have two runs: rows stand in any
 * order, so that those whose logits are wanted come last. */
typedef struct covey__run {
    covey_session *session;
    int32_t first; /* row in the batch */
    int32_t count;
    int32_t position; /* of the first */
} covey__run;

typedef struct covey__pass {
    covey_model *model;
    const covey_token *tokens; /* one a row */
    int32_t rows;
    const covey__run *runs;
    int32_t run_count;
    int32_t logit_first; /* rows whose logits are wanted: the last logit_rows of the batch */
    int32_t logit_rows;
    float *logits;  /* [logit_rows][vocabulary_size] */
    float *vectors; /* [logit_rows][width]: what the logits would be made of, instead of them */
} covey__pass;

#define COVEY__RUNS_MAX (2 * COVEY__MANY_MAX)

/* Runs under the workspace's lock, which the caller holds. Sessions change in their pages alone,
 * which must be theirs to write (covey__pages_prepare). COVEY_ERROR_CANCELLED when every run's
 * session was cancelled, COVEY_ERROR_NUMERIC names the layer. */
covey_status covey__pass_run(const covey__pass *pass, covey_error *error) COVEY_MUST_USE;

/* ---- Sampling ---- */

typedef struct covey__candidate {
    float logit;
    covey_token token;
} covey__candidate;

covey_status covey__sampling_check(const covey_sampling *sampling,
                                   covey_error *error) COVEY_MUST_USE;
/* One token from `count` finite logits. `seen` has a bit a token, all zero, and is left so.
 * `allowed` has a bit for each token that may be drawn, one at least; NULL: all. */
covey_token covey__sample(const covey_sampling *sampling, const float *logits, size_t count,
                          const covey_token *history, size_t history_count,
                          covey__candidate *candidates, uint8_t *seen, const uint32_t *allowed);

#endif
