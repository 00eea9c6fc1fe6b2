/* What the commands share: the runtime, the state folder, the agent, and a model or an ensemble to
 * answer with. */
#ifndef COVEY_APPS_CONTEXT_H
#define COVEY_APPS_CONTEXT_H

#include "covey/adapters.h"

#include <covey/agent.h>
#include <covey/session.h>

#include <signal.h>

#define APP_CONTEXT_MIN 16 /* the shortest --context */

/* Options that several commands take; point an option table at them. */
typedef struct app_context {
    const char *command; /* "covey run": begins each message */
    const char *state;   /* --state; NULL: $COVEY_STATE, or covey/ in the user's state folder */
    const char *builtin; /* --builtin; NULL: $COVEY_BUILTIN, or none */
    const char *app_version;
    const char *kv;  /* --kv; NULL: the default */
    int64_t threads; /* 0: one a core */
    bool verbose;
    bool knows_tools;                    /* --knows-tools */
    const char *when_full;               /* --when-full; NULL: the default */
    int64_t prefix_cache_mib;            /* --prefix-cache; 0: none */
    covey_kv_type kv_type;               /* what `kv` names, and ... */
    covey_context_policy context_policy; /* ... `when_full`, read by app_read_sessions */
    app_texts adapters;                  /* --adapter */
    bool tells_nothing; /* the agent is not told of answers: a trial proves itself without */
    covey_agent_probe_fn probe; /* of the agent's options, and ... */
    void *probe_user;
    const covey_allocator *agent_memory; /* ... where set, the agent gets a runtime of its own with
                                            it, of one thread: what it computes is computed by who
                                            steps it */
    /* opened */
    covey_runtime *runtime;
    covey_runtime *agent_runtime; /* NULL: the agent is in `runtime` */
    char *state_dir;
    covey_agent *agent;
} app_context;

#define APP_OPTION_STATE(c)                                                                        \
    {                                                                                              \
        "state", 0, APP_TEXT, &(c).state, "DIR",                                                   \
            "the device's state folder (default: $COVEY_STATE or ~/.local/state/covey)", 0, 0      \
    }
#define APP_OPTION_BUILTIN(c)                                                                      \
    {                                                                                              \
        "builtin", 0, APP_TEXT, &(c).builtin, "DIR",                                               \
            "the ensemble shipped with the app (default: $COVEY_BUILTIN)", 0, 0                    \
    }
#define APP_OPTION_THREADS(c)                                                                      \
    {                                                                                              \
        "threads", 't', APP_INT, &(c).threads, "N",                                                \
            "threads that compute; 0: one a core (default 0)", 0, 256                              \
    }
#define APP_KV_HELP                                                                                \
    "how keys and values are kept: f32, f16 or q8_0; less memory, other last bits (f16)"
#define APP_OPTION_KV(c)                                                                           \
    { "kv", 0, APP_TEXT, &(c).kv, "TYPE", APP_KV_HELP, 0, 0 }
#define APP_OPTION_WHEN_FULL(c)                                                                    \
    {                                                                                              \
        "when-full", 0, APP_TEXT, &(c).when_full, "WHAT",                                          \
            "error: what does not fit in the context is refused; slide: the oldest words go, the " \
            "system prompt stays (error)",                                                         \
            0, 0                                                                                   \
    }
#define APP_PREFIX_CACHE_MIB 64
#define APP_OPTION_PREFIX_CACHE(c)                                                                 \
    {                                                                                              \
        "prefix-cache", 0, APP_INT, &(c).prefix_cache_mib, "MIB",                                  \
            "memory for what closed conversations computed, for prompts that begin alike; 0: "     \
            "none (default 64)",                                                                   \
            0, 1 << 20                                                                             \
    }
#define APP_OPTION_VERBOSE(c)                                                                      \
    { "verbose", 'v', APP_FLAG, &(c).verbose, NULL, "say what the library logs", 0, 0 }

/* Says what went wrong; returns the exit status for it. */
int app_failed(const app_context *context, const covey_error *error);

/* A name of a KV type, or NULL for the default; false after a message. */
bool app_read_kv(const char *command, const char *name, covey_kv_type *kv);

/* Whether a --context can hold a prompt and an answer; false after a message. */
bool app_context_fits(const char *command, int64_t tokens);

/* --kv and --when-full; false after a message. */
bool app_read_sessions(app_context *context);

bool app_open_runtime(app_context *context, covey_error *error);
/* The state folder's path, made if need be; false with a message in `error`. */
bool app_find_state(app_context *context, covey_error *error);
/* Runtime, state folder and agent. `probe` and `event` may be NULL. */
bool app_open_agent(app_context *context, covey_agent_event_fn event, void *event_user,
                    covey_error *error);
void app_close(app_context *context);

/* A backend with its names. The model stays the backend's: it is there for as long as that is. */
typedef struct app_served {
    covey_backend *backend;
    covey_model *model;
    char digest[65];       /* the ensemble's; "" for a model's file */
    int64_t file_bytes;    /* of what it maps */
    int64_t session_bytes; /* of one conversation, at most */
    covey_model_info info; /* strings are borrowed from the backend's model */
    char label[192];       /* "assistant@1.0.0", or the model's file name */
    char name[128];        /* "assistant" */
} app_served;

/* The model in a file, or the agent's ensemble where `path` is NULL. `context_tokens` of each of
 * `conversations_max` conversations, for what they will need. */
bool app_open_served(app_context *context, const char *path, int32_t conversations_max,
                     int32_t context_tokens, app_served *served, covey_error *error);

/* The token of the local endpoint in the state folder, made on first use; free it. NULL with a
 * message in `error`. */
char *app_serve_token(app_context *context, covey_error *error);

/* SIGINT and SIGTERM set a flag; on_interrupt is called from the handler, so it may only do what
 * signals allow. */
void app_catch_signals(void (*on_interrupt)(void));
/* Threads that are started between the two leave both signals to the main thread, whose waits they
 * are to end. */
void app_hold_signals(sigset_t *before);
void app_let_signals(const sigset_t *before);
bool app_interrupted(void); /* by either */
bool app_terminated(void);  /* by SIGTERM */
void app_clear_interrupt(void);

#endif
