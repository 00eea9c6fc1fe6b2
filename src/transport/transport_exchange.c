/* One exchange of libcurl: from a covey_http_request to a handle that is ready, and from what
 * became of it to a status. Whether it is then performed alone or among others is the caller's.
 *
 * Invariants: only http and https; TLS certificates and host names are always verified, against the
 * system's authorities or the file that SSL_CERT_FILE names. Redirects are followed for GET and
 * HEAD alone, three at most, and never to another scheme, so no secret moves from TLS to plain text
 * (libcurl sends Authorization to the first host only). The sink never sees more bytes than
 * `body_bytes_max`. Nothing compressed is asked for, so what is counted is what was sent. Loopback
 * is reached directly whatever proxy the environment names. Headers are never logged and never put
 * in messages. No signals are used.
 *
 * Neighbours: transport_curl.c performs one at a time, transport_lines.c several at once.
 */
#include "transport/transport_exchange.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "base/error.h"

#define CONNECT_TIMEOUT_MS 10000u
#define IDLE_TIMEOUT_MS    30000u
#define REDIRECT_COUNT_MAX 3L
#define HEADER_COUNT_MAX   32u

static void global_once(void) {
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

void covey__curl_init(void) {
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
    covey__curl_exchange *x = user;
    size_t size = unit * count, value_size;
    const char *value;
    if (size > 5 && memcmp(data, "HTTP/", 5) == 0) { /* a new answer: a redirect's, or 100 */
        memset(&x->answer, 0, sizeof(x->answer));
    } else if (header_value(data, size, "ETag", &value, &value_size)) {
        if (value_size < sizeof(x->answer.etag)) {
            memcpy(x->answer.etag, value, value_size);
            x->answer.etag[value_size] = '\0';
        }
    } else if (header_value(data, size, "Retry-After", &value, &value_size)) {
        x->answer.retry_after_ms = retry_after_ms(value, value_size);
    } else if (header_value(data, size, "Content-Range", &value, &value_size)) {
        if (value_size > 6 && strncasecmp(value, "bytes ", 6) == 0) {
            const char *whole = memchr(value, '/', value_size);
            x->answer.range_first = digits(value + 6, value_size - 6);
            x->answer.range_total =
                whole != NULL ? digits(whole + 1, value_size - (size_t)(whole + 1 - value)) : 0;
        }
    } else if (header_value(data, size, "Content-Length", &value, &value_size)) {
        uint64_t length = digits(value, value_size);
        x->answer.content_length = length > INT64_MAX ? INT64_MAX : (int64_t)length;
    }
    return size;
}

/* What the caller's struct has room for; its size stays. */
static void publish(covey__curl_exchange *x) {
    size_t known = x->response->size;
    long status = 0;
    (void)curl_easy_getinfo(x->handle, CURLINFO_RESPONSE_CODE, &status);
    x->answer.status = (int)status;
    if (status != 206) x->answer.range_first = x->answer.range_total = 0;
    memcpy(x->response, &x->answer, known < sizeof(x->answer) ? known : sizeof(x->answer));
    x->response->size = known;
}

static size_t on_body(char *data, size_t unit, size_t count, void *user) {
    covey__curl_exchange *x = user;
    size_t size = unit * count;
    publish(x);
    if (size > x->body_bytes_max - x->body_bytes) {
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

static covey_status set_headers(covey__curl_exchange *x, const covey_http_request *request,
                                covey_error *error) {
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

static void set_method(covey__curl_exchange *x, const covey_http_request *request) {
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

static void set_limits(covey__curl_exchange *x, const covey_http_request *request) {
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
    (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    (void)curl_easy_setopt(h, CURLOPT_USERAGENT, "covey/" COVEY_VERSION);
    if (is_loopback(request->url)) (void)curl_easy_setopt(h, CURLOPT_PROXY, "");
    const char *authorities = getenv("SSL_CERT_FILE");
    if (authorities != NULL && authorities[0] != '\0')
        (void)curl_easy_setopt(h, CURLOPT_CAINFO, authorities);
}

/* The URL without its query, which may hold what belongs to no log. */
static const char *shown_url(const char *url, char *out, size_t capacity) {
    return covey__printable(url, strcspn(url, "?#"), out, capacity);
}

covey_status covey__curl_prepare(covey__curl_exchange *x, const covey_http_request *request,
                                 covey_error *error) {
    if (request->method == NULL || request->url == NULL || x->response == NULL) {
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
    CURL *handle = x->handle;
    x->body_bytes_max = request->body_bytes_max;
    (void)snprintf(x->method, sizeof(x->method), "%s", request->method);
    shown_url(request->url, x->url, sizeof(x->url));
    covey_status status = set_headers(x, request, error);
    if (status != COVEY_OK) return status;
    set_limits(x, request);
    set_method(x, request);
    (void)curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, x->detail);
    (void)curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(handle, CURLOPT_HEADERDATA, x);
    (void)curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(handle, CURLOPT_WRITEDATA, x);
    if (curl_easy_setopt(handle, CURLOPT_URL, request->url) != CURLE_OK)
        return covey__no_memory(error, "transport: url", strlen(request->url));
    return COVEY_OK;
}

covey_status covey__curl_finish(covey__curl_exchange *x, CURLcode code, covey_error *error) {
    const char *method = x->method, *url = x->url;
    if (x->sink_status == COVEY_ERROR_LIMIT && x->body_bytes <= x->body_bytes_max &&
        code == CURLE_WRITE_ERROR) {
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)x->body_bytes_max, -1,
                                 "transport: %s %s: the answer is longer than %llu bytes", method,
                                 url, (unsigned long long)x->body_bytes_max);
    }
    if (x->sink_status != COVEY_OK) {
        return covey__fail(error, x->sink_status, "transport: %s %s: stopped by the receiver: %s",
                           method, url, covey_status_name(x->sink_status));
    }
    if (code == CURLE_OK) {
        publish(x);
        return COVEY_OK;
    }
    covey_status status = COVEY_ERROR_NETWORK;
    if (code == CURLE_OPERATION_TIMEDOUT) status = COVEY_ERROR_TIMEOUT;
    if (code == CURLE_OUT_OF_MEMORY) status = COVEY_ERROR_NO_MEMORY;
    if (code == CURLE_URL_MALFORMAT) status = COVEY_ERROR_INVALID_ARGUMENT;
    return covey__fail(error, status, "transport: %s %s: %s", method, url,
                       x->detail[0] != '\0' ? x->detail : curl_easy_strerror(code));
}
