/* HTTP as a client, by libcurl, one exchange after the other: one covey_http_request in, one answer
 * out, the body streamed to a sink as it comes. A pool keeps handles, and with them connections.
 *
 * Neighbours: include/covey/runtime.h defines the table; transport_exchange.c sets an exchange up,
 * transport_lines.c has several under way. */
#include "transport/transport_curl.h"

#include <pthread.h>

#include "base/error.h"
#include "transport/transport_exchange.h"
#include "transport/transport_lines.h"

static covey_status fetch_with(CURL *handle, const covey_http_request *request,
                               covey_http_response *response, covey_http_sink sink, void *sink_user,
                               covey_error *error) {
    covey__curl_exchange x = {
        .handle = handle, .response = response, .sink = sink, .sink_user = sink_user};
    (void)curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    covey_status status = covey__curl_prepare(&x, request, error);
    if (status == COVEY_OK) status = covey__curl_finish(&x, curl_easy_perform(handle), error);
    curl_easy_reset(handle); /* drops every pointer into this frame; keeps connections */
    curl_slist_free_all(x.headers);
    return status;
}

static covey_status fetch_alone(void *user, const covey_http_request *request,
                                covey_http_response *response, covey_http_sink sink,
                                void *sink_user, covey_error *error) {
    (void)user;
    covey__curl_init();
    CURL *handle = curl_easy_init();
    if (handle == NULL) return covey__no_memory(error, "transport: handle", 0);
    covey_status status = fetch_with(handle, request, response, sink, sink_user, error);
    curl_easy_cleanup(handle);
    return status;
}

const covey_transport *covey__transport_curl(void) {
    static const covey_transport table = {.size = sizeof(covey_transport),
                                          .fetch = fetch_alone,
                                          .open = covey__lines_open_curl,
                                          .begin = covey__lines_begin,
                                          .wait = covey__lines_wait,
                                          .cancel = covey__lines_cancel,
                                          .close = covey__lines_close};
    return &table;
}

/* Idle handles, each with its own open connections; a handle in use belongs to its caller. */
struct covey__transport_pool {
    const covey__env *env;
    covey_transport table;
    pthread_mutex_t lock;
    size_t idle_count, idle_max;
    CURL **idle;
};

static covey_status fetch_pooled(void *user, const covey_http_request *request,
                                 covey_http_response *response, covey_http_sink sink,
                                 void *sink_user, covey_error *error) {
    covey__transport_pool *pool = user;
    CURL *handle = NULL;
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->idle_count > 0) handle = pool->idle[--pool->idle_count];
    (void)pthread_mutex_unlock(&pool->lock);
    if (handle == NULL) handle = curl_easy_init();
    if (handle == NULL) return covey__no_memory(error, "transport: handle", 0);
    covey_status status = fetch_with(handle, request, response, sink, sink_user, error);
    (void)pthread_mutex_lock(&pool->lock);
    if (pool->idle_count < pool->idle_max) {
        pool->idle[pool->idle_count++] = handle;
        handle = NULL;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (handle != NULL) curl_easy_cleanup(handle);
    return status;
}

covey_status covey__transport_pool_new(const covey__env *env, size_t idle_max,
                                       covey__transport_pool **pool, covey_error *error) {
    covey__curl_init();
    covey__transport_pool *made = covey__calloc(env, 1, sizeof(*made));
    CURL **idle = covey__calloc(env, idle_max > 0 ? idle_max : 1, sizeof(CURL *));
    if (made == NULL || idle == NULL) {
        covey__free(env, made);
        covey__free(env, idle);
        return covey__no_memory(error, "transport: pool", sizeof(*made));
    }
    made->env = env;
    made->idle = idle;
    made->idle_max = idle_max;
    made->table = *covey__transport_curl();
    made->table.user = made;
    made->table.fetch = fetch_pooled;
    (void)pthread_mutex_init(&made->lock, NULL);
    *pool = made;
    return COVEY_OK;
}

void covey__transport_pool_free(covey__transport_pool *pool) {
    if (pool == NULL) return;
    for (size_t i = 0; i < pool->idle_count; i++) curl_easy_cleanup(pool->idle[i]);
    (void)pthread_mutex_destroy(&pool->lock);
    covey__free(pool->env, pool->idle);
    covey__free(pool->env, pool);
}

const covey_transport *covey__transport_pool_table(const covey__transport_pool *pool) {
    return &pool->table;
}
