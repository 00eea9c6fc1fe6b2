/* The server's inner side: who does what.
 *
 *   server.c         the daemon: start, stop, routes, who may ask (token, Host, Origin), metrics
 *   completion.c     one request to /v1/chat/completions or /v1/completions, streamed or whole
 *   chat.h, chat_*.c what such a request asks for, and what is sent back
 *   embedding_request.c  one request to /v1/embeddings
 *   silent_connections.c  the connections, and which silent one gives way
 *   conversations.c  the conversations that hold KV state, and which backend each is pinned to
 *
 * Invariants: a conversation is used by one request at a time; it is never moved to another
 * backend; a request that ends in any way gives its conversation back exactly once. */
#ifndef COVEY_SERVE_SERVE_H
#define COVEY_SERVE_SERVE_H

#include <covey/serve.h>

#include "serve/chat.h"
#include "telemetry/metrics.h"

#include <microhttpd.h>
#include <pthread.h>

#define COVEY__CONVERSATION_ID_MAX 64
#define COVEY__LABEL_MAX           192
#define COVEY__OFF_MAX             256
#define COVEY__SERVE_STACK         ((size_t)2 << 20) /* of a thread: musl gives 128 KiB */
#define COVEY__SERVE_LAST_BYTES_MS 1000 /* for clients that are still reading when all is cut */

/* ---- conversations.c --------------------------------------------------------------------------
 */

/* A backend that is or was being served, with its names. Counted. */
typedef struct covey__served {
    const covey__env *env;
    covey_backend *backend;
    int references;  /* under the pool's mutex */
    int64_t left_us; /* when it was exchanged; 0 while current */
    bool withdrawn;  /* no conversation stays with it */
    char label[COVEY__LABEL_MAX];
    char model[COVEY__LABEL_MAX];
    char digest[65]; /* "": not known */
} covey__served;

typedef struct covey__serve_slot {
    covey_conversation *conversation;
    covey__served *served;
    bool busy;
    int64_t used_us;
    uint64_t used; /* counts uses of any slot: their order, where the clock does not tell */
    char id[COVEY__CONVERSATION_ID_MAX + 1]; /* "" for an unnamed one */
} covey__serve_slot;

typedef struct covey__conversations {
    const covey__env *env;
    pthread_mutex_t mutex;
    pthread_cond_t freed;
    covey__served *current; /* may be NULL */
    /* how often another took the place of one that served, and of one that was drained first */
    covey__counter exchanges, exchanges_drained;
    bool holding;                 /* there will be another soon: requests wait for it */
    int32_t waiting, waiting_max; /* that do */
    char off[COVEY__OFF_MAX];     /* why there is none; "": none came yet */
    covey__serve_slot *slots;
    int32_t slot_count;
    covey__serve_slot *left; /* slot_count: conversations to be closed outside the mutex */
    int32_t left_count, closing_count; /* and those that are being closed */
    int32_t served_left;               /* backends that were left and are not gone */
    uint64_t uses;
    int32_t parallel_max; /* slots that may be busy, and embeddings under way, at once */
    int32_t embedding_count;
    int32_t context_tokens;
    int64_t queue_timeout_us;
    int64_t drain_deadline_us;
    int32_t request_count; /* under way, from their first byte to the last of their answer */
    atomic_bool closing;
    atomic_bool cut; /* the grace of stopping is over: nothing waits for a client any more */
} covey__conversations;

covey_status covey__conversations_init(covey__conversations *pool, const covey__env *env,
                                       const covey_server_options *options, covey_error *error);
/* Refuses new requests and waits until the last answer is sent; cancels what is left after
 * `grace_ms`, and then allows a moment for saying so. No slot is busy when it returns. */
void covey__conversations_stop(covey__conversations *pool, int64_t grace_ms);
/* Around each request. */
void covey__conversations_request_begins(covey__conversations *pool);
void covey__conversations_request_ends(covey__conversations *pool);
/* After the last request has ended. */
void covey__conversations_free(covey__conversations *pool);
covey_status covey__conversations_exchange(covey__conversations *pool, covey_backend *backend,
                                           const covey_server_names *names, covey_error *error);
/* Leaves the current backend; requests wait for the next one. */
void covey__conversations_drain(covey__conversations *pool);
/* Ends all conversations of backends that were exchanged, answers under way too. With a reason, the
 * current one is left as well, and requests are told why. */
void covey__conversations_withdraw(covey__conversations *pool, const char *reason);
/* Why there is no backend, for people. True: it was withdrawn. */
bool covey__conversations_why_none(covey__conversations *pool, char out[COVEY__OFF_MAX]);
/* A free conversation: the named one where `id` is not "", else any. Waits its turn. BUSY after the
 * time-out, NOT_FOUND while there is no backend, DENIED when it was withdrawn. */
covey_status covey__conversations_take(covey__conversations *pool, const char *id,
                                       covey__serve_slot **slot, covey_error *error);
/* `broken`: its state is not to be used again. */
void covey__conversations_give(covey__conversations *pool, covey__serve_slot *slot, bool broken);
/* Waits its turn as covey__conversations_take does, for what computes without a conversation; gives
 * the current backend with a reference. covey__conversations_done ends both. */
covey_status covey__conversations_enter(covey__conversations *pool, covey__served **served,
                                        covey_error *error);
void covey__conversations_done(covey__conversations *pool, covey__served *served);
/* The current backend with a reference, NULL when there is none; and the end of that. */
covey__served *covey__conversations_current(covey__conversations *pool);
void covey__conversations_leave(covey__conversations *pool, covey__served *served);
size_t covey__conversations_draining(covey__conversations *pool);
bool covey__conversations_holding(covey__conversations *pool);
/* Answers that are computed now, and those of them on another backend than `slot`'s. */
void covey__conversations_load(covey__conversations *pool, const covey__serve_slot *slot,
                               int32_t *at_once, int32_t *beside);
/* Label and model of the current backend, or false when there is none. */
bool covey__conversations_names(covey__conversations *pool, char *label, char *model);
size_t covey__conversations_open_count(covey__conversations *pool);

/* ---- silent_connections.c ---------------------------------------------------------------------
 */

/* So many more may be open while those that give way are being closed, which their threads do. As
 * many wait to be accepted, so that one burst does not reach MHD's own limit: that one resets. */
#define COVEY__CONNECTIONS_SPARE 512u

typedef struct covey__connection {
    struct MHD_Connection *connection; /* NULL: not in use */
    int socket;
    bool asks;         /* a request of someone who may ask is under way */
    bool closing;      /* it gave way */
    uint64_t happened; /* the order in which connections came, asked and were answered */
} covey__connection;

typedef struct covey__connections {
    const covey__env *env;
    pthread_mutex_t mutex;
    covey__connection *items;    /* most + COVEY__CONNECTIONS_SPARE */
    size_t capacity, most, open; /* open: those that are not closing */
    uint64_t events;
} covey__connections;

covey_status covey__connections_init(covey__connections *all, const covey__env *env, size_t most,
                                     covey_error *error);
void covey__connections_free(covey__connections *all);
/* An MHD_NotifyConnectionCallback over covey__connections. */
void covey__connections_notify(void *all, struct MHD_Connection *connection, void **socket_context,
                               enum MHD_ConnectionNotificationCode code);
void covey__connections_asks(covey__connections *all, struct MHD_Connection *connection, bool asks);

/* ---- completion.c, server.c -------------------------------------------------------------------
 */

typedef struct covey__serve_counters {
    covey__counter requests_ok, requests_failed, requests_cancelled, requests_refused;
    covey__counter prompt_tokens, reused_tokens, answer_tokens;
    covey__histogram first_token, request;
} covey__serve_counters;

struct covey_server {
    const covey__env *env;
    covey_runtime *runtime;
    struct MHD_Daemon *daemon;
    char *token;
    char *address; /* that it listens on: a Host may name it */
    uint16_t port;
    atomic_uint_fast64_t serial; /* of answers */
    covey__conversations pool;
    covey__connections connections;
    covey__serve_counters counters;
    covey_server_answered_fn answered;
    void *answered_user;
};

/* Answers a finished body. */
enum MHD_Result covey__completion_answer(covey_server *server, struct MHD_Connection *connection,
                                         bool chat, const char *body, size_t body_size);
/* The same for /v1/embeddings. */
enum MHD_Result covey__embeddings_answer(covey_server *server, struct MHD_Connection *connection,
                                         const char *body, size_t body_size);
int covey__client_socket(struct MHD_Connection *connection); /* -1: unknown */
/* The other side closed its end, or the line broke. */
bool covey__client_left(int socket);
/* What stands before a body. */
typedef struct covey__reply_head {
    int http_status;
    const char *content_type;
    const char *label; /* the ensemble that answered; NULL: the current one */
    const char *allow; /* the methods that a 405 names; else NULL */
} covey__reply_head;
/* Queues a copy of the body. */
enum MHD_Result covey__reply(covey_server *server, struct MHD_Connection *connection,
                             const covey__reply_head *head, const char *body, size_t size);
enum MHD_Result covey__reply_error(covey_server *server, struct MHD_Connection *connection,
                                   int http_status, const char *code, const char *message);
/* The same for a failure of ours. `param`: the member of the request at fault, or NULL. */
enum MHD_Result covey__reply_failure(covey_server *server, struct MHD_Connection *connection,
                                     covey_status status, const char *message, const char *param);

#endif
