/* One exchange of libcurl, for the makers of covey_transport. */
#ifndef COVEY_TRANSPORT_TRANSPORT_EXCHANGE_H
#define COVEY_TRANSPORT_TRANSPORT_EXCHANGE_H

#include <curl/curl.h>

#include "base/env.h"

/* Made zeroed but for the first four; the handle's while it is performed. */
typedef struct covey__curl_exchange {
    CURL *handle;
    covey_http_response *response; /* the caller's, which may know fewer members than we */
    covey_http_sink sink;
    void *sink_user;
    covey_http_response answer;
    uint64_t body_bytes, body_bytes_max;
    covey_status sink_status;   /* what stopped the exchange from our side */
    struct curl_slist *headers; /* freed by the caller once the handle was reset */
    char method[16], url[200];  /* as messages show them */
    char detail[CURL_ERROR_SIZE];
} covey__curl_exchange;

/* Once a process; any thread. */
void covey__curl_init(void);
/* Sets the handle up for the request. It points into `x` and at the request's body from then on. */
covey_status covey__curl_prepare(covey__curl_exchange *x, const covey_http_request *request,
                                 covey_error *error) COVEY_MUST_USE;
/* What became of it, and the answer to its struct. */
covey_status covey__curl_finish(covey__curl_exchange *x, CURLcode code,
                                covey_error *error) COVEY_MUST_USE;

#endif
