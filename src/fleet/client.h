/* Inside of the control plane's client: calls of its API. */
#ifndef COVEY_FLEET_CLIENT_H
#define COVEY_FLEET_CLIENT_H

#include <covey/fleet.h>

#include "base/json.h"
#include "transport/transport_curl.h"

struct covey_fleet_client {
    const covey__env *env;
    char *url;                   /* without a slash at its end */
    char *authorization;         /* the header's line; wiped at the end */
    covey__transport_pool *pool; /* NULL when the runtime brought a transport */
    const covey_transport *transport;
};

/* One call. `answer` (may be NULL) is cleared and gets the body. A status of 400 or more is
 * COVEY_ERROR_REMOTE with the server's code and message; `http_status` may be NULL. */
covey_status covey__fleet_call(covey_fleet_client *client, const char *method, const char *path,
                               const void *body, size_t body_size, covey__buffer *answer,
                               int *http_status, covey_error *error) COVEY_MUST_USE;

/* The answer's JSON as text for people (client_text.c), by what it is about. */
typedef enum covey__shown {
    COVEY__SHOWN_RELEASES,
    COVEY__SHOWN_ROLLOUT,
    COVEY__SHOWN_ROLLOUTS,
    COVEY__SHOWN_DEVICES,
    COVEY__SHOWN_DEVICE,
    COVEY__SHOWN_TOKEN,
    COVEY__SHOWN_CONTENT_KEYS,
    COVEY__SHOWN_KEY_DEVICES
} covey__shown;
covey_status covey__fleet_show(const covey__env *env, covey__shown what, int64_t now_ms,
                               const covey__buffer *answer, covey__buffer *out,
                               covey_error *error) COVEY_MUST_USE;

/* A GET whose answer becomes the caller's text. */
covey_status covey__fleet_ask(covey_fleet_client *client, const char *path, covey__shown what,
                              covey_fleet_format format, char **text,
                              covey_error *error) COVEY_MUST_USE;

#endif
