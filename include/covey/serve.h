/* The local endpoint: an OpenAI-compatible HTTP server on loopback, over a backend that can be
 * exchanged while it serves.
 *
 * Opening a server starts threads: one that accepts, one for each connection (at most
 * `connections_max`) and one for each answer that is being streamed. That is the caller's leave for
 * them.
 *
 * A request may name a conversation by the header X-Covey-Conversation (1 to 64 letters, digits,
 * '.', '-', '_'). All requests of one conversation are answered by the backend it began with, until
 * `drain_deadline_ms` after an exchange; then the next one is answered by the current backend,
 * which reads the request's messages anew. No answer is cut by an exchange. Answers name what gave
 * them in the header X-Covey-Ensemble, and by its digest in `system_fingerprint`. */
#ifndef COVEY_SERVE_H
#define COVEY_SERVE_H

#include <covey/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct covey_server covey_server;

/* An answer that was given, or failed. Strings are valid for the call. */
typedef struct covey_server_answer {
    size_t size;
    const char *label, *digest; /* of what gave it, as covey_server_exchange was told; or "" */
    covey_status status;        /* how it ended; CANCELLED where its client left */
    const char *message;        /* why it failed, or "" */
    int32_t prompt_token_count; /* that were computed: without those that were reused */
    int32_t answer_token_count;
    int64_t first_token_us, decode_us;
    int32_t at_once; /* answers computed when it ended, this one included */
    int32_t beside;  /* of them, those of other backends */
} covey_server_answer;
/* Called in the thread that answered, several at a time: it should return soon. */
typedef void (*covey_server_answered_fn)(void *user, const covey_server_answer *answer);

typedef struct covey_server_options {
    size_t size;
    const char *address; /* NULL: "127.0.0.1"; an IPv4 or IPv6 address of this machine */
    uint16_t port;       /* 0: the system chooses */
    const char *token;   /* asked for as "Authorization: Bearer TOKEN"; NULL asks for none, which
                            only a loopback address may */
    int32_t connections_max; /* beyond it silent ones are closed; requests under way are not, so
                                that up to 512 more may be open. 0: 64 */
    int32_t
        conversations_max; /* that hold KV state at once; 0: 4. The backend's own bound holds too */
    int32_t context_tokens;    /* of each conversation; 0: the backend's default */
    int64_t queue_timeout_ms;  /* how long a request waits for a free conversation; 0: 30,000 */
    int64_t drain_deadline_ms; /* how long a conversation stays with an exchanged backend; 0:
                                  600,000 */
    int32_t parallel_max;      /* answers computed at once, in shared passes over the weights; 0: as
                                  many as there are conversations */
    covey_server_answered_fn answered; /* NULL: nobody is told */
    void *answered_user;
    int32_t waiting_max; /* requests that wait while a backend is drained first; 0: 32 */
} covey_server_options;
#define COVEY_SERVER_OPTIONS_INIT                                                                  \
    { sizeof(covey_server_options), NULL, 0, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL, 0 }

/* Starts to listen. Until a backend is set, requests get 503 with the reason. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_server_open(covey_runtime *runtime,
                                                        const covey_server_options *options,
                                                        covey_server **server, covey_error *error);

/* Stops accepting, lets answers finish for up to `grace_ms`, cancels the rest and frees the server.
 * NULL is allowed. Any thread but one that answers, once no other call on the server runs. */
COVEY_API void covey_server_close(covey_server *server, int64_t grace_ms);

/* The port it listens on. Any thread. */
COVEY_API uint16_t covey_server_port(const covey_server *server);

/* New conversations go to `backend` from now on; open ones finish on theirs. `label` is what
 * answers name ("assistant@1.1.0"), `model` the id that /v1/models lists ("assistant"); both are
 * copied. The server takes its own reference to the backend, so the caller may release its. Any
 * thread. */
COVEY_API COVEY_MUST_USE covey_status covey_server_set_backend(covey_server *server,
                                                               covey_backend *backend,
                                                               const char *label, const char *model,
                                                               covey_error *error);

/* What answers say of a backend. Strings are copied. */
typedef struct covey_server_names {
    size_t size;
    const char *label, *model; /* as covey_server_set_backend's */
    const char *digest;        /* the ensemble's, 64 hex digits; NULL: answers name none */
} covey_server_names;
#define COVEY_SERVER_NAMES_INIT                                                                    \
    { sizeof(covey_server_names), "", "", NULL }

/* The same, with the ensemble's digest. Ends what covey_server_drain began. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_server_exchange(covey_server *server,
                                                            covey_backend *backend,
                                                            const covey_server_names *names,
                                                            covey_error *error);

/* Lets go of the current backend before there is another, where memory cannot hold both: answers
 * under way end, requests that come wait for the next covey_server_exchange (`waiting_max` of them;
 * more get 503 with Retry-After), conversations start anew there. The backend is gone once
 * covey_server_draining says 0. covey_server_withdraw ends the wait too, with its reason. Any
 * thread. */
COVEY_API void covey_server_drain(covey_server *server);

/* Nothing that was exchanged answers any more: its conversations end at once, and answers under way
 * are cut. With a `reason`, what is served now is left too: requests get 503, the code "denied" and
 * the reason until the next covey_server_set_backend. For an ensemble that its publisher stopped.
 * Any thread. */
COVEY_API void covey_server_withdraw(covey_server *server, const char *reason);

/* Conversations that hold state on backends that were exchanged: 0 when the last swap is complete,
 * and nothing of them is left in memory. Closes those that passed their deadline, so call it now
 * and then. Any thread. */
COVEY_API size_t covey_server_draining(covey_server *server);

/* What it takes to hold the next backend beside the one that serves, in bytes; -1 where a number is
 * not known. */
typedef struct covey_swap_memory {
    size_t size;
    int64_t available_bytes; /* as covey_device_read says */
    int64_t mapped_bytes;    /* resident pages of the serving backend's files. A system counts them
                              * as available, though taking them would slow its answers down */
    int64_t weight_bytes;    /* of the next one: its files */
    int64_t heap_bytes;      /* that its probes allocated at most */
    int64_t session_bytes;   /* of all its conversations, as covey_session_plan says */
    int64_t serving_bytes;   /* of the serving one: the three together */
    int64_t limit_bytes;     /* for both together, by its owner's word; 0: none */
} covey_swap_memory;
#define COVEY_SWAP_MEMORY_INIT                                                                     \
    { sizeof(covey_swap_memory), -1, 0, 0, 0, 0, 0, 0 }

/* Whether both fit, with a sixteenth of what is available left for others; else the serving one is
 * to be drained first (covey_server_drain). `reason` gets one plain sentence with the figures. What
 * is not known holds nothing back. A pure function. */
COVEY_API bool covey_swap_fits(const covey_swap_memory *memory, char *reason, size_t reason_size);

#ifdef __cplusplus
}
#endif
#endif
