/* Several exchanges under way by libcurl's multi interface: the members of covey_transport from
 * `open` on. */
#ifndef COVEY_TRANSPORT_TRANSPORT_LINES_H
#define COVEY_TRANSPORT_TRANSPORT_LINES_H

#include "base/env.h"

covey_status covey__lines_open_curl(void *user, covey_http_lines **lines,
                                    covey_error *error) COVEY_MUST_USE;
covey_status covey__lines_begin(covey_http_lines *lines, const covey_http_request *request,
                                covey_http_response *response, covey_http_sink sink,
                                void *sink_user, covey_error *error) COVEY_MUST_USE;
covey_status covey__lines_wait(covey_http_lines *lines, uint32_t timeout_ms, void **ended,
                               covey_error *error) COVEY_MUST_USE;
void covey__lines_cancel(covey_http_lines *lines, void *sink_user);
void covey__lines_close(covey_http_lines *lines);

#endif
