/* Several exchanges under way in one thread, by libcurl's multi interface. HTTP/2 where TLS
 * negotiates it (ALPN), then many exchanges share a connection; else HTTP/1.1 on connections that
 * are kept.
 *
 * Invariants: bytes move in covey__lines_wait alone, one read of each connection a call, so whoever
 * does not call it holds the senders back by TCP's window. An exchange that ended or was cancelled
 * is out of the multi handle before its memory goes.
 *
 * Neighbours: transport_exchange.c sets an exchange up and judges its end.
 */
#include "transport/transport_lines.h"

#include <strings.h>

#include "base/error.h"
#include "transport/transport_exchange.h"

#define HOST_CONNECTIONS_MAX  8L
#define TOTAL_CONNECTIONS_MAX 16L
#define IDLE_HANDLES_MAX      8u

typedef struct under_way {
    covey__curl_exchange x;
    struct under_way *next;
} under_way;

struct covey_http_lines {
    covey__env env; /* memory of our own: the table has none to lend */
    CURLM *multi;
    under_way *first;
    CURL *idle[IDLE_HANDLES_MAX];
    size_t idle_count;
};

covey_status covey__lines_open_curl(void *user, covey_http_lines **lines, covey_error *error) {
    covey__env env;
    (void)user;
    covey__curl_init();
    covey__env_init(&env);
    *lines = NULL;
    covey_http_lines *made = covey__calloc(&env, 1, sizeof(*made));
    CURLM *multi = curl_multi_init();
    if (made == NULL || multi == NULL) {
        covey__free(&env, made);
        if (multi != NULL) (void)curl_multi_cleanup(multi);
        return covey__no_memory(error, "transport: lines", sizeof(*made));
    }
    (void)curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    (void)curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, HOST_CONNECTIONS_MAX);
    (void)curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, TOTAL_CONNECTIONS_MAX);
    (void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, TOTAL_CONNECTIONS_MAX);
    made->env = env;
    made->multi = multi;
    *lines = made;
    return COVEY_OK;
}

/* Keeps the handle for the next exchange and frees the rest. It is out of the multi handle. */
static void release(covey_http_lines *lines, under_way *one) {
    CURL *handle = one->x.handle;
    curl_easy_reset(handle); /* drops every pointer into `one` */
    curl_slist_free_all(one->x.headers);
    if (lines->idle_count < IDLE_HANDLES_MAX)
        lines->idle[lines->idle_count++] = handle;
    else
        curl_easy_cleanup(handle);
    covey__free(&lines->env, one);
}

static void unlink_one(covey_http_lines *lines, const under_way *one) {
    under_way **at = &lines->first;
    while (*at != one) at = &(*at)->next;
    *at = one->next;
    (void)curl_multi_remove_handle(lines->multi, one->x.handle);
}

covey_status covey__lines_begin(covey_http_lines *lines, const covey_http_request *request,
                                covey_http_response *response, covey_http_sink sink,
                                void *sink_user, covey_error *error) {
    under_way *one = covey__calloc(&lines->env, 1, sizeof(*one));
    CURL *handle = lines->idle_count > 0 ? lines->idle[--lines->idle_count] : curl_easy_init();
    if (one == NULL || handle == NULL) {
        covey__free(&lines->env, one);
        if (handle != NULL) curl_easy_cleanup(handle);
        return covey__no_memory(error, "transport: exchange", sizeof(*one));
    }
    one->x = (covey__curl_exchange){
        .handle = handle, .response = response, .sink = sink, .sink_user = sink_user};
    covey_status status = covey__curl_prepare(&one->x, request, error);
    (void)curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* With TLS, rather waits until a connection says whether it takes several than opens one for
     * each; without, none does. */
    bool secure = status == COVEY_OK && strncasecmp(request->url, "https:", 6) == 0;
    (void)curl_easy_setopt(handle, CURLOPT_PIPEWAIT, secure ? 1L : 0L);
    (void)curl_easy_setopt(handle, CURLOPT_PRIVATE, one);
    if (status == COVEY_OK && curl_multi_add_handle(lines->multi, handle) != CURLM_OK)
        status = covey__no_memory(error, "transport: exchange", sizeof(*one));
    if (status != COVEY_OK) {
        release(lines, one);
        return status;
    }
    one->next = lines->first;
    lines->first = one;
    return COVEY_OK;
}

/* One exchange that is over; false when none is. */
static bool take_ended(covey_http_lines *lines, void **ended, covey_status *status,
                       covey_error *error) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(lines->multi, &left)) != NULL) {
        under_way *one = NULL;
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&one);
        *status = covey__curl_finish(&one->x, code, error);
        *ended = one->x.sink_user;
        unlink_one(lines, one);
        release(lines, one);
        return true;
    }
    return false;
}

covey_status covey__lines_wait(covey_http_lines *lines, uint32_t timeout_ms, void **ended,
                               covey_error *error) {
    covey_status status = COVEY_OK;
    int running;
    *ended = NULL;
    if (take_ended(lines, ended, &status, error)) return status;
    if (lines->first == NULL) return COVEY_OK;
    int wait_ms = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    CURLMcode code = curl_multi_poll(lines->multi, NULL, 0, wait_ms, NULL);
    if (code == CURLM_OK) code = curl_multi_perform(lines->multi, &running);
    if (code != CURLM_OK)
        return covey__fail(error, COVEY_ERROR_NETWORK, "transport: %s", curl_multi_strerror(code));
    if (take_ended(lines, ended, &status, error)) return status;
    return COVEY_OK;
}

void covey__lines_cancel(covey_http_lines *lines, void *sink_user) {
    for (under_way *one = lines->first; one != NULL; one = one->next) {
        if (one->x.sink_user != sink_user) continue;
        unlink_one(lines, one);
        release(lines, one);
        return;
    }
}

void covey__lines_close(covey_http_lines *lines) {
    if (lines == NULL) return;
    while (lines->first != NULL) covey__lines_cancel(lines, lines->first->x.sink_user);
    for (size_t i = 0; i < lines->idle_count; i++) curl_easy_cleanup(lines->idle[i]);
    (void)curl_multi_cleanup(lines->multi);
    covey__env env = lines->env;
    covey__free(&env, lines);
}
