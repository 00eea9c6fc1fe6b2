/* HTTP as a client, by libcurl: one covey_http_request in, one answer out, the body streamed to a
 * sink as it comes.
 *
 * Invariants: only http and https; TLS certificates and host names are always verified against the
 * system's authorities. Redirects are followed for GET and HEAD alone, three at most, and never to
 * another scheme, so no secret moves from TLS to plain text (libcurl sends Authorization to the
 * first host only). The sink never sees more bytes than `body_bytes_max`. Nothing compressed is
 * asked for, so what is counted is what was sent. Loopback is reached directly whatever proxy the
 * environment names. Headers are never logged and never put in messages. No signals are used.
 *
 * Neighbours: include/covey/runtime.h defines the table; the agent and the fleet's client use it.
 */
#include "transport/transport_curl.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "base/error.h"

#define CONNECT_TIMEOUT_MS 10000u
#define IDLE_TIMEOUT_MS    30000u
#define REDIRECT_COUNT_MAX 3L
#define HEADER_COUNT_MAX   32u

typedef struct exchange {
    CURL *handle;
    const covey_http_request *request;
    covey_http_response *response;
    covey_http_sink sink;
    void *sink_user;
    uint64_t body_bytes;
    covey_status sink_status; /* what stopped the exchange from our side */
    struct curl_slist *headers;
    char detail[CURL_ERROR_SIZE];
} exchange;

static void global_once(void) {
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void global_init(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, global_once);
}

/* The value of header `name` in the line, trimmed; false when the line is another header. */
static bool header_value(const char *line, size_t size, const char *name, const char **value,
                         size_t *value_size) {
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size) != 0) {
        return false;
    }
    const char *begin = line + name_size + 1, *end = line + size;
    while (begin < end && (*begin == ' ' || *begin == '\t')) begin++;
    while (end > begin && (unsigned char)end[-1] <= ' ') end--;
    *value = begin;
    *value_size = (size_t)(end - begin);
    return true;
}

static uint64_t digits(const char *text, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; i++) {
        if (value > (UINT64_MAX - 9) / 10) return 0;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    return value;
}

static uint32_t retry_after_ms(const char *value, size_t size) {
    if (size > 0 && value[0] >= '0' && value[0] <= '9') {
        uint64_t seconds = digits(value, size);
        return seconds > UINT32_MAX / 1000 ? UINT32_MAX : (uint32_t)(seconds * 1000);
    }
    char date[64];
    if (size == 0 || size >= sizeof(date)) return 0;
    memcpy(date, value, size);
    date[size] = '\0';
    time_t at = curl_getdate(date, NULL), now = time(NULL);
    if (at == (time_t)-1 || at <= now) return 0;
    return at - now > (time_t)(UINT32_MAX / 1000) ? UINT32_MAX : (uint32_t)(at - now) * 1000;
}

static size_t on_header(char *data, size_t unit, size_t count, void *user) {
    exchange *x = user;
    size_t size = unit * count, value_size;
    const char *value;
    if (size > 5 && memcmp(data, "HTTP/", 5) == 0) { /* a new answer: a redirect's, or 100 */
        size_t known = x->response->size;
        memset(x->response, 0, sizeof(*x->response));
        x->response->size = known;
    } else if (header_value(data, size, "ETag", &value, &value_size)) {
        if (value_size < sizeof(x->response->etag)) {
            memcpy(x->response->etag, value, value_size);
            x->response->etag[value_size] = '\0';
        }
    } else if (header_value(data, size, "Retry-After", &value, &value_size)) {
        x->response->retry_after_ms = retry_after_ms(value, value_size);
    } else if (header_value(data, size, "Content-Range", &value, &value_size)) {
        if (value_size > 6 && strncasecmp(value, "bytes ", 6) == 0) {
            x->response->range_first = digits(value + 6, value_size - 6);
        }
    }
    return size;
}

static void read_status(exchange *x) {
    long status = 0;
    (void)curl_easy_getinfo(x->handle, CURLINFO_RESPONSE_CODE, &status);
    x->response->status = (int)status;
    if (status != 206) x->response->range_first = 0;
}

static size_t on_body(char *data, size_t unit, size_t count, void *user) {
    exchange *x = user;
    size_t size = unit * count;
    read_status(x);
    if (size > x->request->body_bytes_max - x->body_bytes) {
        x->sink_status = COVEY_ERROR_LIMIT;
        return 0;
    }
    x->body_bytes += size;
    if (x->sink != NULL && size > 0) {
        x->sink_status = x->sink(x->sink_user, x->response, data, size);
        if (x->sink_status != COVEY_OK) return 0;
    }
    return size;
}

/* Connections are kept open: programs that the app starts must not inherit them. */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)user;
    (void)purpose;
#if defined(SOCK_CLOEXEC)
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
#else
    curl_socket_t made = socket(address->family, address->socktype, address->protocol);
    if (made != CURL_SOCKET_BAD) (void)fcntl(made, F_SETFD, FD_CLOEXEC);
    return made;
#endif
}

static bool is_loopback(const char *url) {
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = strstr(url, "://");
    if (host == NULL) return false;
    host += 3;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t size = strlen(hosts[i]);
        if (strncasecmp(host, hosts[i], size) == 0 &&
            (host[size] == '\0' || strchr(":/?#", host[size]) != NULL)) {
            return true;
        }
    }
    return false;
}

static covey_status set_headers(exchange *x, covey_error *error) {
    const covey_http_request *request = x->request;
    if (request->header_count > HEADER_COUNT_MAX) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "transport: %zu headers, at most %u are allowed", request->header_count,
                           HEADER_COUNT_MAX);
    }
    /* Without this, libcurl waits a second for "100 Continue" before larger bodies. */
    x->headers = curl_slist_append(NULL, "Expect:");
    if (x->headers == NULL) return covey__no_memory(error, "transport: headers", 0);
    for (size_t i = 0; i < request->header_count; i++) {
        if (strpbrk(request->headers[i], "\r\n") != NULL) {
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "transport: header %zu holds a line break", i);
        }
        struct curl_slist *longer = curl_slist_append(x->headers, request->headers[i]);
        if (longer == NULL) return covey__no_memory(error, "transport: headers", 0);
        x->headers = longer;
    }
    (void)curl_easy_setopt(x->handle, CURLOPT_HTTPHEADER, x->headers);
    return COVEY_OK;
}

static void set_method(exchange *x) {
    const covey_http_request *request = x->request;
    CURL *h = x->handle;
    bool safe = strcmp(request->method, "GET") == 0;
    if (strcmp(request->method, "HEAD") == 0) {
        safe = true;
        (void)curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
    } else if (!safe || request->body_size > 0) {
        (void)curl_easy_setopt(h, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        (void)curl_easy_setopt(h, CURLOPT_POSTFIELDS, request->body_size ? request->body : "");
        (void)curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, request->method);
    }
    (void)curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, safe ? 1L : 0L);
    (void)curl_easy_setopt(h, CURLOPT_MAXREDIRS, REDIRECT_COUNT_MAX);
    if (request->range_first > 0 || request->range_count > 0) {
        char range[64];
        if (request->range_count > 0) {
            (void)snprintf(range, sizeof(range), "%llu-%llu",
                           (unsigned long long)request->range_first,
                           (unsigned long long)(request->range_first + request->range_count - 1));
        } else {
            (void)snprintf(range, sizeof(range), "%llu-", (unsigned long long)request->range_first);
        }
        (void)curl_easy_setopt(h, CURLOPT_RANGE, range);
    }
}

static void set_limits(exchange *x) {
    const covey_http_request *request = x->request;
    CURL *h = x->handle;
    uint32_t connect_ms =
        request->connect_timeout_ms > 0 ? request->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    uint32_t idle_ms = request->idle_timeout_ms > 0 ? request->idle_timeout_ms : IDLE_TIMEOUT_MS;
    (void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    (void)curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME,
                           (long)(idle_ms / 1000 + (idle_ms % 1000 > 0)));
    bool secure = strncasecmp(request->url, "https:", 6) == 0;
    (void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http");
    (void)curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    (void)curl_easy_setopt(h, CURLOPT_USERAGENT, "covey/" COVEY_VERSION);
    if (is_loopback(request->url)) (void)curl_easy_setopt(h, CURLOPT_PROXY, "");
}

/* The URL without its query, which may hold what belongs to no log. */
static const char *shown_url(const char *url, char *out, size_t capacity) {
    return covey__printable(url, strcspn(url, "?#"), out, capacity);
}

static covey_status finish(exchange *x, CURLcode code, covey_error *error) {
    char url[200];
    const char *method = x->request->method;
    shown_url(x->request->url, url, sizeof(url));
    if (x->sink_status == COVEY_ERROR_LIMIT && x->body_bytes <= x->request->body_bytes_max &&
        code == CURLE_WRITE_ERROR) {
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)x->request->body_bytes_max, -1,
                                 "transport: %s %s: the answer is longer than %llu bytes", method,
                                 url, (unsigned long long)x->request->body_bytes_max);
    }
    if (x->sink_status != COVEY_OK) {
        return covey__fail(error, x->sink_status, "transport: %s %s: stopped by the receiver: %s",
                           method, url, covey_status_name(x->sink_status));
    }
    if (code == CURLE_OK) {
        read_status(x);
        return COVEY_OK;
    }
    covey_status status = COVEY_ERROR_NETWORK;
    if (code == CURLE_OPERATION_TIMEDOUT) status = COVEY_ERROR_TIMEOUT;
    if (code == CURLE_OUT_OF_MEMORY) status = COVEY_ERROR_NO_MEMORY;
    if (code == CURLE_URL_MALFORMAT) status = COVEY_ERROR_INVALID_ARGUMENT;
    return covey__fail(error, status, "transport: %s %s: %s", method, url,
                       x->detail[0] != '\0' ? x->detail : curl_easy_strerror(code));
}

static covey_status fetch_with(CURL *handle, const covey_http_request *request,
                               covey_http_response *response, covey_http_sink sink, void *sink_user,
                               covey_error *error) {
    if (request->method == NULL || request->url == NULL || response == NULL) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "transport: a request needs a method, a URL and room for the response");
    }
    if (strncasecmp(request->url, "http://", 7) != 0 &&
        strncasecmp(request->url, "https://", 8) != 0) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "transport: expected an http or https URL");
    }
    if (request->range_count > UINT64_MAX - request->range_first) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "transport: no such range");
    }
    exchange x = {.handle = handle,
                  .request = request,
                  .response = response,
                  .sink = sink,
                  .sink_user = sink_user};
    covey_status status = set_headers(&x, error);
    if (status != COVEY_OK) goto out;
    set_limits(&x);
    set_method(&x);
    (void)curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, x.detail);
    (void)curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(handle, CURLOPT_HEADERDATA, &x);
    (void)curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(handle, CURLOPT_WRITEDATA, &x);
    if (curl_easy_setopt(handle, CURLOPT_URL, request->url) != CURLE_OK) {
        status = covey__no_memory(error, "transport: url", strlen(request->url));
        goto out;
    }
    status = finish(&x, curl_easy_perform(handle), error);
out:
    curl_easy_reset(handle); /* drops every pointer into this frame; keeps connections */
    curl_slist_free_all(x.headers);
    return status;
}

static covey_status fetch_alone(void *user, const covey_http_request *request,
                                covey_http_response *response, covey_http_sink sink,
                                void *sink_user, covey_error *error) {
    (void)user;
    global_init();
    CURL *handle = curl_easy_init();
    if (handle == NULL) return covey__no_memory(error, "transport: handle", 0);
    covey_status status = fetch_with(handle, request, response, sink, sink_user, error);
    curl_easy_cleanup(handle);
    return status;
}

const covey_transport *covey__transport_curl(void) {
    static const covey_transport table = {.size = sizeof(covey_transport), .fetch = fetch_alone};
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
    global_init();
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
    made->table =
        (covey_transport){.size = sizeof(covey_transport), .user = made, .fetch = fetch_pooled};
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
