/* What the session's files share: pages of keys and values with their counts, the prefix tree, the
 * queue of appends, and the session itself. docs/engine.md, "Sessions", is the whole; here are the
 * invariants, all under covey__kv's lock:
 *
 *   1. A pool has at least as many pages as its open sessions have places (`total >= places`), so a
 *      place that needs a page finds a free or an idle one (covey__pages_prepare).
 *   2. A page's references are the places that hold it, and one if it is in the tree. Who holds the
 *      only reference may write to it, without the lock; pages with more are read only.
 *   3. A session that holds a page of the tree holds all that come before it on its path, at the
 *      places of the same numbers. So what follows an idle page is idle.
 *   4. Idle pages (in the tree, with no other reference) are chained from the newest use to the
 *      oldest; a page is never older than what follows it, so the oldest is a leaf. */
#ifndef COVEY_ENGINE_SESSION_PARTS_H
#define COVEY_ENGINE_SESSION_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include <covey/session_file.h>

#include "base/runtime.h"
#include "kernel/kernel.h"

#define COVEY__MANY_MAX         64   /* sessions in one pass; rows of logits that it can give */
#define COVEY__STOP_STRINGS_MAX 32   /* stop strings of one generation */
#define COVEY__TEXT_HELD_MAX    1024 /* bytes of one, and so of text held back for it */
#define COVEY__KV_KEY_BYTES     32

/* ---- Pages of keys and values ---- */

typedef struct covey__page covey__page;
typedef struct covey__root covey__root;

/* A page's bookkeeping, at the start of its block of memory. */
struct covey__page {
    void *data; /* the pool's page_bytes, 64-byte aligned */
    int32_t references;
    bool clean; /* zeroed once */
    /* In the tree: */
    covey__root *root;           /* NULL: not in it */
    covey__page *parent, *child; /* NULL: the root; NULL: a leaf */
    covey__page *before, *after; /* other children of the parent */
    int32_t token_count;         /* less than a page's keys only in a leaf */
    covey_token tokens[COVEY__PAGE_KEYS];
    /* Idle, or free (then `older` alone): */
    covey__page *newer, *older;
    uint64_t used; /* the model's count when it became idle */
};

/* The tree of one configuration: of what else than tokens decides the bits of keys and values. */
struct covey__root {
    covey__root *next;
    uint8_t key[COVEY__KV_KEY_BYTES];
    covey__page *child;
    int32_t sessions; /* that use it */
};

/* The pages of one KV type. */
typedef struct covey__page_pool {
    size_t page_bytes;
    int32_t total, places, idle, free;
    covey__page *first_free;
    covey__page *newest, *oldest;
    covey__root *roots;
} covey__page_pool;

typedef struct covey__kv {
    pthread_mutex_t lock; /* over all that follows but `trim` and the counts of passes */
    covey__trim_hook trim;
    covey__page_pool pools[COVEY__KV_TYPES];
    uint64_t idle_bytes, idle_bytes_max;
    uint64_t uses; /* grows with each page that becomes idle */
    uint64_t sessions, prompt_tokens, reused_tokens, evicted_pages;
    atomic_ullong passes, runs;
} covey__kv;

/* session_pages.c */
covey_status covey__kv_open(covey_model *model, int64_t idle_bytes_max,
                            covey_error *error) COVEY_MUST_USE;
void covey__kv_close(covey_model *model);
/* Of one page, bookkeeping aside; false on overflow. */
bool covey__kv_page_bytes(const covey_model *model, covey__kv_type kv, uint64_t *bytes);
/* Of a page as it is allocated. */
uint64_t covey__kv_block_bytes(uint64_t page_bytes);
/* Where a layer's and KV head's K begins in a page; V follows at covey__page_k_bytes. */
size_t covey__kv_offset(const covey_model *model, covey__kv_type kv, int32_t layer,
                        int32_t kv_head);
/* Moves an open session to the root of `like`, whose KV type and context are its own: what it holds
 * is published and let go. On failure nothing changed. */
covey_status covey__kv_move(covey_session *session, const covey_session *like, covey_error *error);
/* Reserves the session's places and finds its root; gives them back, with the pages in them. */
covey_status covey__kv_join(covey_session *session, covey_error *error) COVEY_MUST_USE;
void covey__kv_leave(covey_session *session);
/* Makes the pages of positions [first, end) the session's to write. Neither allocates nor fails. */
void covey__pages_prepare(covey_session *session, size_t first, size_t end);
/* Lets go of the pages behind the first `count` places. */
void covey__pages_drop(covey_session *session, int32_t count);
/* Puts the first `count` pages of `from` into the empty places of `to`. */
void covey__pages_share(const covey_session *from, covey_session *to, int32_t count);
/* Under the lock: */
void covey__page_hold(covey__page_pool *pool, covey_model *model, covey__page *page);
void covey__page_release(covey__page_pool *pool, covey_model *model, covey__page *page);
covey__page *covey__page_take(covey__page_pool *pool, covey_model *model);
void covey__page_set(covey_session *session, int32_t place, covey__page *page);
void covey__page_copy(const covey__page_pool *pool, covey__page *to, covey__page *from);

/* session_prefix.c. Takes over what the tree has of the session's first `token_count` tokens
 * (session->tokens) beyond those that are ready, but not the last one. `again`: they were looked
 * for before, and are counted. */
void covey__prefix_find(covey_session *session, size_t token_count, bool again);
/* Puts the session's full pages into the tree, and, when it closes, its last one. Not while a pass
 * is computed on it: pages may be exchanged for equal ones. */
void covey__prefix_publish(covey_session *session, bool closes);
/* Under the lock: takes a page without children out of the tree, without its reference. */
void covey__prefix_detach(covey__page *page);

static inline int32_t covey__pages_of(size_t tokens) {
    return (int32_t)((tokens + COVEY__PAGE_KEYS - 1) / COVEY__PAGE_KEYS);
}

/* ---- Appends of several threads at once ---- */

typedef struct covey__waiter covey__waiter;

/* One session's tokens on their way through passes. Lives with its thread, which waits. */
typedef struct covey__request {
    covey_session *session;
    const covey_token *tokens;
    int32_t count, done;
    int32_t position; /* of tokens[0] */
    int32_t wanted;   /* of the last rows' logits: 0, 1, or up to COVEY__MANY_MAX, in one pass */
    float *logits;    /* [wanted][vocabulary_size] */
    covey_status status;
    covey_error error;
    bool overwrote; /* the logits hold a failed pass's */
    covey__waiter *waiter;
    struct covey__request *next;
    int32_t taken; /* rows in the batch at hand */
} covey__request;

/* A thread with one or more requests. */
struct covey__waiter {
    pthread_cond_t *wake;
    int32_t pending; /* requests not yet through */
};

typedef struct covey__combine {
    pthread_mutex_t lock;
    pthread_cond_t arrived; /* the leader waits for those it expects */
    covey__request *first, *last;
    bool led;
    bool awaiting;
    int32_t generating; /* sessions in covey_session_generate */
    uint32_t round;     /* counts the waits; 0 is never one */
    int32_t missing;    /* sessions expected in this round that have not come */
    int64_t pass_us;    /* how long the last pass took */
} covey__combine;

/* session_combine.c */
covey_status covey__combine_open(covey_model *model, covey_error *error) COVEY_MUST_USE;
void covey__combine_close(covey_model *model);
/* Computes the requests, together with those of other threads; returns when all are through. */
void covey__combine_run(covey_model *model, covey__request *requests, int32_t count);
/* Around a generation: the session will come again soon. */
void covey__combine_generates(covey_session *session, bool begins);

/* ---- Sessions ---- */

struct covey_session {
    covey_model *model;
    int32_t context;
    int32_t batch;
    covey__kv_type kv;
    covey_context_policy policy;
    int32_t keep; /* of a slide; less than the context */
    bool alone;
    int32_t adapter_count;
    covey__adapter_use adapter[COVEY_ADAPTERS_MAX]; /* held */
    uint8_t adapters[32]; /* digest of the adapters and their scales; zeros: none */
    size_t token_count;
    size_t ready; /* tokens whose keys and values are in the pages: fewer only after a failed slide
                   */
    size_t reused;
    covey_token *tokens; /* [context] */
    float *logits;       /* [vocabulary_size] */
    bool has_logits;
    covey__root *root;
    size_t page_bytes;  /* the pool's, to be read without the lock */
    int32_t page_count; /* places */
    int32_t held_count; /* of them in use, from the first on */
    int32_t published;  /* pages from the first on that are known to be in the tree */
    covey__page **held; /* [page_count] */
    void **pages;       /* [page_count]: their data, for the kernels */
    atomic_bool cancelled;
    /* The queue's (session_combine.c), under its lock: */
    pthread_cond_t wake;
    bool generating;
    uint32_t expected; /* the round it is expected in; 0: none */
    int32_t misses;    /* rounds missed one after the other, as a power of two */
    int32_t patience;  /* passes before it is expected again */
    /* The sampler's: */
    struct covey__candidate *candidates; /* [vocabulary_size] */
    float *draft_logits; /* [COVEY__DRAFT_DEFAULT + 1][vocabulary_size], of drafts */
    uint8_t *seen;       /* a bit a token, all zero between calls */
    char *text;          /* [text_capacity], for generation */
    size_t text_capacity;
};

/* What else than tokens decides the bits of a session's keys and values: KV type, adapters, and
 * whether its context takes the model's RoPE frequencies for long ones. */
void covey__session_key(const covey_session *session, uint8_t key[COVEY__KV_KEY_BYTES]);
/* The options with their defaults, checked, in `session`'s first fields; the model is set. */
covey_status covey__session_set_options(covey_session *session,
                                        const covey_session_options *options,
                                        covey_error *error) COVEY_MUST_USE;
/* Opens a session whose fields up to `adapters` are `like`'s. */
covey_status covey__session_new(const covey_session *like, covey_session **session,
                                covey_error *error) COVEY_MUST_USE;
/* The tokens held now, borrowed until the session changes. */
const covey_token *covey__session_tokens(const covey_session *session, size_t *token_count);
/* Takes the flag back: true once after each covey_session_cancel. */
bool covey__session_take_cancel(covey_session *session);
/* How many tokens of a stream of `length` a window has lost behind the first `keep`, which are less
 * than the context: each time that it is full and one more comes, the older half of the others. */
size_t covey__slide_dropped(size_t length, size_t keep, size_t context);
/* As keep_tokens; for a backend, whose requests have each their own system prompt. */
void covey__session_set_keep(covey_session *session, size_t keep);
/* Whether `token_count` more would make it slide. */
bool covey__session_slides(const covey_session *session, size_t token_count);

/* session_append.c, for draft.c. Appends tokens, and computes a draft behind them: `logits` takes
 * draft_count + 1 rows, after the last token and after each of the draft's. The session counts the
 * tokens alone; the draft's keys and values lie behind them until the next call. What fails leaves
 * the session as it was. */
covey_status covey__session_append_draft(covey_session *session, const covey_token *tokens,
                                         size_t count, const covey_token *draft, size_t draft_count,
                                         float *logits) COVEY_MUST_USE;
/* Counts `count` tokens of the draft; `logits` are those after the last of them. */
void covey__session_keep_draft(covey_session *session, size_t count, const float *logits);
/* The rest of the draft is not wanted. */
void covey__session_drop_draft(covey_session *session);

/* session_file.c: as covey_session_restore, from memory; for tests. */
covey_status covey__session_restore_bytes(covey_model *model, const covey_session_options *options,
                                          const void *data, size_t size, covey_session **session,
                                          covey_error *error) COVEY_MUST_USE;

#endif
