/* Inside of the control plane's server: the state that its requests share, and one request. */
#ifndef COVEY_FLEET_FLEET_SERVER_H
#define COVEY_FLEET_FLEET_SERVER_H

#include <covey/fleet.h>

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/json.h"
#include "fleet/blobs.h"
#include "fleet/metadata_house.h"
#include "fleet/store.h"
#include "telemetry/metrics.h"

#define COVEY__TOKEN_TEXT_SIZE 69 /* "cvd_", 64 hex digits and a NUL */
#define COVEY__SEEN_MAX        4096
#define COVEY__ANSWER_MAX      (8u << 20)

/* Rollouts as check-ins need them: a copy of the store's, made anew after each change. */
typedef struct covey__rollout_set {
    covey__arena arena;
    covey__rollout_row *rows; /* newest first */
    size_t row_count;
    const covey__rollout_row **running;
    size_t running_count;
} covey__rollout_set;

typedef struct covey__fleet_metrics {
    covey__counter answers[6]; /* by the status' first digit */
    covey__counter checkins, offers, enrollments, reports_accepted, reports_known;
    covey__counter blob_bytes_in, blob_bytes_out;
    covey__histogram request;
} covey__fleet_metrics;

/* One connection, so that slow ones can be cut (connections.c). */
typedef struct covey__line covey__line;
typedef enum covey__line_phase {
    COVEY__LINE_IDLE,    /* between requests */
    COVEY__LINE_READS,   /* a request's body */
    COVEY__LINE_ANSWERS, /* the answer */
    COVEY__LINE_PHASES
} covey__line_phase;

#define COVEY__MIRROR_COUNT_MAX 8 /* a device takes no more */

struct covey_fleet_server {
    const covey__env *env;
    covey__store *store;
    covey__blobs blobs;
    covey__metadata_house house;
    char *data_dir, *token_file, *blobs_url, *url;
    char *mirrors[COVEY__MIRROR_COUNT_MAX]; /* where devices find blobs too */
    size_t mirror_count;
    int lock; /* of the data folder; -1 when not held */
    int64_t poll_ms;
    uint8_t admin_hash[32];
    struct MHD_Daemon *daemon;

    pthread_rwlock_t facts_lock; /* of the next */
    covey__rollout_set *rollouts;

    pthread_mutex_t seen_lock;
    covey__seen *seen; /* COVEY__SEEN_MAX, written down in batches */
    size_t seen_count;

    pthread_mutex_t lines_lock;
    covey__line *lines;
    int64_t line_limits_us[COVEY__LINE_PHASES];

    pthread_mutex_t state_lock; /* of what follows, up to `stopping` */
    pthread_cond_t drained, keeper_called;
    size_t in_flight;
    bool stopping;
    pthread_t keeper;
    bool keeper_runs;

    atomic_bool draining;
    covey__fleet_metrics metrics;
};

typedef enum covey__auth { COVEY__AUTH_NONE, COVEY__AUTH_DEVICE, COVEY__AUTH_ADMIN } covey__auth;

typedef struct covey__exchange covey__exchange;

/* Answers with x->answer; returns the HTTP status. */
typedef int (*covey__handler)(covey__exchange *x);

typedef struct covey__route {
    const char *method;
    const char *path; /* a "*" stands for one segment, "**" for all that follow: x->parameter */
    covey__auth auth;
    size_t body_bytes_max; /* 0: a body is refused */
    covey__handler handler;
} covey__route;
extern const covey__route covey__routes[];
extern const size_t covey__route_count;

/* One request on its way through. */
struct covey__exchange {
    covey_fleet_server *server;
    const covey__env *env;
    struct MHD_Connection *connection;
    const covey__route *route;
    char parameter[384];
    char allow[64]; /* of a 405 */
    covey__arena arena;
    covey__buffer body, answer;
    covey__device_known device;      /* with COVEY__AUTH_DEVICE */
    covey__blob_upload upload;       /* of PUT; .descriptor is -1 otherwise */
    struct MHD_Response *response;   /* made by the handler instead of `answer`; NULL as a rule */
    int status;                      /* 0 until it is decided */
    bool is_late;                    /* it came after a drain began */
    uint64_t swallowed, swallow_max; /* body bytes read after the answer was decided */
    int64_t began_us;
};

/* {"error":{"code":…,"message":…}} as the answer; returns `status`. */
int covey__answer_error(covey__exchange *x, int status, const char *code, const char *format, ...)
    COVEY_PRINTF(4, 5);
/* A failure below as an answer: full disk, busy store, else "internal", which is logged. */
int covey__answer_failure(covey__exchange *x, covey_status status, const covey_error *error);
/* The body as a JSON object: 0, or the status of the error that is now the answer. */
int covey__read_json(covey__exchange *x, const covey__json **root);
/* 400 "bad_field" with the error's message. */
int covey__bad_field(covey__exchange *x, const covey_error *error);

/* PREFIX and 64 random hex digits, and the digest to keep. */
covey_status covey__token_make(const covey__env *env, const char *prefix,
                               char token[COVEY__TOKEN_TEXT_SIZE], uint8_t hash[32],
                               covey_error *error) COVEY_MUST_USE;

/* fleet_server.c: after a change in the store. */
covey_status covey__fleet_load_rollouts(covey_fleet_server *server,
                                        covey_error *error) COVEY_MUST_USE;
void covey__fleet_seen(covey_fleet_server *server, int64_t device, int64_t at_ms);
covey_status covey__fleet_flush_seen(covey_fleet_server *server, covey_error *error);
/* A body that is still coming in for PUT (http_blobs.c). */
int covey__blob_put_begin(covey__exchange *x);
int covey__blob_put_data(covey__exchange *x, const void *data, size_t size);

/* http.c */
covey_status covey__http_start(covey_fleet_server *server, const char *listen_at, int32_t threads,
                               covey_error *error) COVEY_MUST_USE;

/* connections.c */
void covey__lines_init(covey_fleet_server *server);
void covey__line_notify(void *user, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode code);
void covey__line_phase_set(covey_fleet_server *server, struct MHD_Connection *connection,
                           covey__line_phase phase);
void covey__lines_cut_slow(covey_fleet_server *server);

#endif
