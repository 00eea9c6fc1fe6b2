/* The server as a whole: what it opens and in which order, the facts that all requests share, the
 * housekeeper, drain and close.
 *
 * Facts (running rollouts) are a copy of the store's, swapped under a lock after each change, so
 * that a check-in reads no table for them. Times of check-ins are collected and written in batches
 * every few seconds; a crash loses no more than that.
 *
 * Invariants: one process a data folder (a lock on DATA/lock). The admin token is in
 * DATA/admin.token and nowhere else; memory holds its hash.
 *
 * Neighbours: http.c answers; store.h and blobs.h keep.
 */
#include "fleet/fleet_server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"

#define ROLLOUT_ARENA_MAX (64u << 20)
#define FLUSH_SECONDS     5

/* ---- facts -------------------------------------------------------------------------------- */

static void rollout_set_free(const covey__env *env, covey__rollout_set *set) {
    if (set == NULL) return;
    covey__arena_free(&set->arena);
    covey__free(env, set);
}

typedef struct rollout_list {
    covey__rollout_set *set;
    size_t capacity;
} rollout_list;

static covey_status add_rollout(void *user, const covey__rollout_row *row) {
    rollout_list *list = user;
    covey__rollout_set *set = list->set;
    if (set->row_count == list->capacity) return COVEY_OK; /* the store hands over no more */
    covey__rollout_row *copy = &set->rows[set->row_count];
    *copy = *row;
    copy->release.name =
        covey__arena_strndup(&set->arena, row->release.name, strlen(row->release.name));
    copy->release.version =
        covey__arena_strndup(&set->arena, row->release.version, strlen(row->release.version));
    copy->note = "";
    copy->patched_from =
        covey__arena_strndup(&set->arena, row->patched_from, strlen(row->patched_from));
    if (copy->release.name == NULL || copy->release.version == NULL || copy->patched_from == NULL) {
        return COVEY_ERROR_NO_MEMORY;
    }
    set->row_count++;
    if (row->state == COVEY__ROLLOUT_RUNNING) set->running[set->running_count++] = copy;
    return COVEY_OK;
}

covey_status covey__fleet_load_rollouts(covey_fleet_server *server, covey_error *error) {
    covey__store *store = server->store;
    covey__rollout_set *set = covey__calloc(server->env, 1, sizeof(*set));
    if (set == NULL) return covey__no_memory(error, "rollouts", sizeof(*set));
    covey__arena_init(&set->arena, server->env, ROLLOUT_ARENA_MAX);
    rollout_list list = {.set = set, .capacity = 1000};
    set->rows = covey__arena_calloc(&set->arena, list.capacity, sizeof(*set->rows));
    set->running = covey__arena_calloc(&set->arena, list.capacity, sizeof(*set->running));
    covey_status status = COVEY_OK;
    if (set->rows == NULL || set->running == NULL) {
        status = covey__no_memory(error, "rollouts", 0);
    }
    /* Loaded under the lock, so that two changes at once cannot end with the older one's copy. */
    (void)pthread_rwlock_wrlock(&server->facts_lock);
    if (status == COVEY_OK) {
        status = store->driver->rollout_each(store, false, add_rollout, &list, error);
    }
    if (status == COVEY_OK) {
        covey__rollout_set *old = server->rollouts;
        server->rollouts = set;
        set = old;
    }
    (void)pthread_rwlock_unlock(&server->facts_lock);
    rollout_set_free(server->env, set);
    return status;
}

/* ---- times of check-ins ------------------------------------------------------------------- */

covey_status covey__fleet_flush_seen(covey_fleet_server *server, covey_error *error) {
    covey_status status = COVEY_OK;
    (void)pthread_mutex_lock(&server->seen_lock);
    if (server->seen_count > 0) {
        status =
            server->store->driver->seen(server->store, server->seen, server->seen_count, error);
        if (status == COVEY_OK) server->seen_count = 0;
    }
    (void)pthread_mutex_unlock(&server->seen_lock);
    return status;
}

void covey__fleet_seen(covey_fleet_server *server, int64_t device, int64_t at_ms) {
    covey_error error = {0};
    bool full = true;
    for (int attempt = 0; attempt < 2 && full; attempt++) {
        (void)pthread_mutex_lock(&server->seen_lock);
        full = server->seen_count == COVEY__SEEN_MAX;
        if (!full) server->seen[server->seen_count++] = (covey__seen){device, at_ms};
        (void)pthread_mutex_unlock(&server->seen_lock);
        if (full && covey__fleet_flush_seen(server, &error) != COVEY_OK) break;
    }
    if (full) {
        covey__log(server->env, COVEY_LOG_WARN, "fleet", "a check-in's time was not kept: %s",
                   error.message);
    }
}

/* ---- the housekeeper ---------------------------------------------------------------------- */

static void *keep_house(void *user) {
    covey_fleet_server *server = user;
    covey_error error = {0};
    int seconds = 0;
    (void)pthread_mutex_lock(&server->state_lock);
    while (!server->stopping) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += 1;
        int waited = 0;
        while (!server->stopping && waited == 0) {
            waited = pthread_cond_timedwait(&server->keeper_called, &server->state_lock, &until);
        }
        (void)pthread_mutex_unlock(&server->state_lock);
        covey__lines_cut_slow(server);
        if (++seconds >= FLUSH_SECONDS) {
            seconds = 0;
            covey__metadata_house_keep(&server->house);
            if (covey__fleet_flush_seen(server, &error) != COVEY_OK) {
                covey__log(server->env, COVEY_LOG_WARN, "fleet", "times of check-ins wait: %s",
                           error.message);
            }
        }
        (void)pthread_mutex_lock(&server->state_lock);
    }
    (void)pthread_mutex_unlock(&server->state_lock);
    return NULL;
}

static covey_status start_keeper(covey_fleet_server *server, covey_error *error) {
    int code = pthread_create(&server->keeper, NULL, keep_house, server);
    if (code != 0) return covey__fail_errno(error, code, "server: cannot start a thread");
    server->keeper_runs = true;
    return COVEY_OK;
}

/* ---- open --------------------------------------------------------------------------------- */

/* The admin token's hash: of the file's token, or of a new one that is written there first. */
static covey_status read_admin_token(covey_fleet_server *server, covey_error *error) {
    const covey__env *env = server->env;
    covey__buffer text;
    char token[COVEY__TOKEN_TEXT_SIZE + 1];
    covey__buffer_init(&text, env, 4096);
    covey_status status = covey__file_read(env, server->token_file, &text, error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        status = covey__token_make(env, "cva_", token, server->admin_hash, error);
        token[COVEY__TOKEN_TEXT_SIZE - 1] = '\n';
        if (status == COVEY_OK) {
            status =
                covey__file_replace(env, server->token_file, token, COVEY__TOKEN_TEXT_SIZE, error);
        }
    } else if (status == COVEY_OK) {
        struct stat info;
        size_t size = strcspn(text.data != NULL ? text.data : "", " \r\n\t");
        if (size < 32) {
            status = covey__fail(error, COVEY_ERROR_FORMAT,
                                 "%s holds no token: remove it, and the next start makes another",
                                 server->token_file);
        } else {
            covey__sha256_of(text.data, size, server->admin_hash);
        }
        if (stat(server->token_file, &info) == 0 && (info.st_mode & 077) != 0) {
            covey__log(env, COVEY_LOG_WARN, "fleet", "others can read %s: chmod 600 it",
                       server->token_file);
        }
    }
    covey__buffer_free(&text);
    return status;
}

static covey_status open_store(covey_fleet_server *server, covey_error *error) {
    char *path = covey__path_join(server->env, server->data_dir, "fleet.db");
    if (path == NULL) return covey__no_memory(error, "server: path", 0);
    covey_status status = covey__store_open_sqlite(server->env, path, &server->store, error);
    covey__free(server->env, path);
    return status == COVEY_OK ? covey__fleet_load_rollouts(server, error) : status;
}

static covey_status open_metadata(covey_fleet_server *server, const char *online_key_file,
                                  covey_error *error) {
    char *folder = covey__path_join(server->env, server->data_dir, "metadata");
    if (folder == NULL) return covey__no_memory(error, "server: path", 0);
    covey_status status =
        covey__metadata_house_open(server->env, folder, online_key_file, &server->house, error);
    covey__free(server->env, folder);
    if (status != COVEY_OK) return status;
    if (!server->house.has_online) {
        covey__log(server->env, COVEY_LOG_WARN, "fleet",
                   "no online key: the metadata that is served cannot change, and expires "
                   "(--online-key FILE)");
    }
    /* Before the first request: after days of standing still, what is served may have expired. */
    covey__metadata_house_keep(&server->house);
    return COVEY_OK;
}

static covey_status open_folder(covey_fleet_server *server, covey_error *error) {
    const covey__env *env = server->env;
    covey_status status = covey__folder_make(env, server->data_dir, error);
    char *lock = covey__path_join(env, server->data_dir, "lock");
    char *blobs = covey__path_join(env, server->data_dir, "blobs");
    if (status == COVEY_OK && (lock == NULL || blobs == NULL)) {
        status = covey__no_memory(error, "server: path", 0);
    }
    if (status == COVEY_OK) {
        status = covey__lock_take(env, lock, false, &server->lock, error);
        if (status != COVEY_OK) server->lock = -1;
        if (status == COVEY_ERROR_BUSY) {
            status =
                covey__fail(error, COVEY_ERROR_BUSY, "another server uses %s", server->data_dir);
        }
    }
    if (status == COVEY_OK) status = covey__blobs_open(env, blobs, &server->blobs, error);
    covey__free(env, lock);
    covey__free(env, blobs);
    return status;
}

/* What a device takes as a base to which paths are added: a path here, or an address elsewhere. One
 * that it refuses would cost each device its enrollment token. */
static bool blobs_url_valid(const char *url) {
    size_t size = strlen(url);
    if (size > 400 || strpbrk(url, "\"<>\\@?#") != NULL) return false;
    for (size_t i = 0; i < size; i++) {
        if (url[i] <= ' ' || url[i] > '~') return false;
    }
    if (url[0] == '/') return true;
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    return scheme != 0 && url[scheme] != '\0' && url[scheme] != '/';
}

static covey_status copy_options(covey_fleet_server *server,
                                 const covey_fleet_server_options *options, covey_error *error) {
    const covey__env *env = server->env;
    server->poll_ms = options->poll_ms;
    server->data_dir = covey__strdup(env, options->data_dir);
    server->token_file = covey__path_join(env, options->data_dir, "admin.token");
    server->blobs_url =
        covey__strdup(env, options->blobs_url != NULL ? options->blobs_url : "/v1/blobs");
    for (size_t i = 0; i < options->mirror_count; i++) {
        server->mirrors[i] = covey__strdup(env, options->mirrors[i]);
        if (server->mirrors[i] == NULL) return covey__no_memory(error, "server", 0);
        server->mirror_count++;
    }
    server->seen = covey__calloc(env, COVEY__SEEN_MAX, sizeof(*server->seen));
    if (server->data_dir == NULL || server->token_file == NULL || server->blobs_url == NULL ||
        server->seen == NULL) {
        return covey__no_memory(error, "server", 0);
    }
    return COVEY_OK;
}

static void init_locks(covey_fleet_server *server) {
    pthread_condattr_t monotonic;
    (void)pthread_rwlock_init(&server->facts_lock, NULL);
    (void)pthread_mutex_init(&server->seen_lock, NULL);
    (void)pthread_mutex_init(&server->lines_lock, NULL);
    (void)pthread_mutex_init(&server->state_lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&server->drained, &monotonic);
    (void)pthread_cond_init(&server->keeper_called, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

covey_status covey_fleet_server_open(covey_runtime *runtime,
                                     const covey_fleet_server_options *options,
                                     covey_fleet_server **server, covey_error *error) {
    covey_fleet_server_options full = COVEY_FLEET_SERVER_OPTIONS_INIT;
    memcpy(&full, options, options->size < sizeof(full) ? options->size : sizeof(full));
    if (full.data_dir == NULL || full.poll_ms < 1 || full.threads < 1 || full.threads > 256) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "server: expected a data folder, poll_ms of 1 or more and 1 to 256 "
                           "threads");
    }
    if (full.blobs_url != NULL && !blobs_url_valid(full.blobs_url)) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "blobs-url: expected an address such as https://cdn.example/v1/blobs, "
                           "or a path here such as /v1/blobs, found \"%.100s\"",
                           full.blobs_url);
    }
    if (full.mirror_count > COVEY__MIRROR_COUNT_MAX) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "mirror: at most %d are named",
                           COVEY__MIRROR_COUNT_MAX);
    }
    for (size_t i = 0; i < full.mirror_count; i++) {
        if (full.mirrors[i][0] != '/' && blobs_url_valid(full.mirrors[i])) continue;
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "mirror: expected an address such as https://cdn.example/v1/blobs, "
                           "found \"%.100s\"",
                           full.mirrors[i]);
    }
    const covey__env *env = covey__runtime_env(runtime);
    covey_fleet_server *s = covey__calloc(env, 1, sizeof(*s));
    if (s == NULL) return covey__no_memory(error, "server", sizeof(*s));
    s->env = env;
    s->lock = -1;
    covey__lines_init(s);
    init_locks(s);
    covey_status status = copy_options(s, &full, error);
    if (status == COVEY_OK) status = open_folder(s, error);
    if (status == COVEY_OK) status = read_admin_token(s, error);
    if (status == COVEY_OK) status = open_store(s, error);
    if (status == COVEY_OK) status = open_metadata(s, full.online_key_file, error);
    if (status == COVEY_OK) status = start_keeper(s, error);
    if (status == COVEY_OK) {
        status = covey__http_start(s, full.listen != NULL ? full.listen : "127.0.0.1:0",
                                   full.threads, error);
    }
    if (status != COVEY_OK) {
        covey_fleet_server_close(s);
        return status;
    }
    *server = s;
    return COVEY_OK;
}

const char *covey_fleet_server_url(const covey_fleet_server *server) {
    return server->url;
}

const char *covey_fleet_server_token_file(const covey_fleet_server *server) {
    return server->token_file;
}

/* ---- end ---------------------------------------------------------------------------------- */

covey_status covey_fleet_server_drain(covey_fleet_server *server, int64_t timeout_ms,
                                      covey_error *error) {
    struct timespec until;
    if (!atomic_exchange(&server->draining, true)) {
        MHD_socket listener = MHD_quiesce_daemon(server->daemon);
        if (listener != MHD_INVALID_SOCKET) (void)close(listener);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int waited = 0;
    (void)pthread_mutex_lock(&server->state_lock);
    while (server->in_flight > 0 && waited == 0) {
        waited = pthread_cond_timedwait(&server->drained, &server->state_lock, &until);
    }
    size_t left = server->in_flight;
    (void)pthread_mutex_unlock(&server->state_lock);
    covey_status status = covey__fleet_flush_seen(server, error);
    if (status != COVEY_OK || left == 0) return status;
    return covey__fail(error, COVEY_ERROR_TIMEOUT, "server: %zu requests were still under way",
                       left);
}

static void stop_threads(covey_fleet_server *server) {
    atomic_store(&server->draining, true);
    if (server->daemon != NULL) MHD_stop_daemon(server->daemon);
    if (!server->keeper_runs) return;
    (void)pthread_mutex_lock(&server->state_lock);
    server->stopping = true;
    (void)pthread_cond_broadcast(&server->keeper_called);
    (void)pthread_mutex_unlock(&server->state_lock);
    (void)pthread_join(server->keeper, NULL);
}

void covey_fleet_server_close(covey_fleet_server *server) {
    if (server == NULL) return;
    const covey__env *env = server->env;
    stop_threads(server);
    if (server->store != NULL) {
        if (server->seen != NULL) (void)covey__fleet_flush_seen(server, NULL);
        server->store->driver->close(server->store);
    }
    rollout_set_free(env, server->rollouts);
    covey__metadata_house_close(&server->house);
    covey__blobs_close(&server->blobs);
    if (server->lock >= 0) covey__lock_drop(server->lock);
    covey__free(env, server->seen);
    covey__free(env, server->url);
    covey__free(env, server->blobs_url);
    for (size_t i = 0; i < server->mirror_count; i++) covey__free(env, server->mirrors[i]);
    covey__free(env, server->token_file);
    covey__free(env, server->data_dir);
    (void)pthread_cond_destroy(&server->drained);
    (void)pthread_cond_destroy(&server->keeper_called);
    (void)pthread_mutex_destroy(&server->state_lock);
    (void)pthread_mutex_destroy(&server->lines_lock);
    (void)pthread_mutex_destroy(&server->seen_lock);
    (void)pthread_rwlock_destroy(&server->facts_lock);
    covey__free(env, server);
}
