/* Slow clients. libmicrohttpd drops a connection on which nothing happens; one that sends a byte
 * now and then would hold its place for ever. So each connection has a deadline for what it is at:
 * sending a request's head, its body, or taking the answer. The housekeeper cuts those past it.
 *
 * Invariant: a line is in the list from libmicrohttpd's "started" to its "closed" notice, which
 * comes before the descriptor is closed; shutdown() happens under the list's lock, so it never
 * meets a descriptor that was reused.
 *
 * Neighbours: http.c says what a connection is at; fleet_server.c's housekeeper calls the cut.
 */
#include <sys/socket.h>

#include "fleet/fleet_server.h"

struct covey__line {
    covey__line *next, **link;
    int descriptor;
    covey__line_phase phase;
    int64_t since_us;
};

void covey__lines_init(covey_fleet_server *server) {
    /* A connection that sends no request for so long is closed too: devices open another. */
    server->line_limits_us[COVEY__LINE_IDLE] = 75 * INT64_C(1000000);
    server->line_limits_us[COVEY__LINE_READS] = 120 * INT64_C(1000000);
    server->line_limits_us[COVEY__LINE_ANSWERS] = 1800 * INT64_C(1000000);
}

static void line_open(covey_fleet_server *server, struct MHD_Connection *connection,
                      void **context) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    covey__line *line = info != NULL ? covey__calloc(server->env, 1, sizeof(*line)) : NULL;
    *context = line;
    if (line == NULL) return; /* without a deadline of ours; libmicrohttpd's holds */
    line->descriptor = info->connect_fd;
    line->since_us = covey__monotonic_us();
    (void)pthread_mutex_lock(&server->lines_lock);
    line->next = server->lines;
    line->link = &server->lines;
    if (line->next != NULL) line->next->link = &line->next;
    server->lines = line;
    (void)pthread_mutex_unlock(&server->lines_lock);
}

static void line_close(covey_fleet_server *server, void **context) {
    covey__line *line = *context;
    *context = NULL;
    if (line == NULL) return;
    (void)pthread_mutex_lock(&server->lines_lock);
    *line->link = line->next;
    if (line->next != NULL) line->next->link = line->link;
    (void)pthread_mutex_unlock(&server->lines_lock);
    covey__free(server->env, line);
}

void covey__line_notify(void *user, struct MHD_Connection *connection, void **context,
                        enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED) line_open(user, connection, context);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) line_close(user, context);
}

void covey__line_phase_set(covey_fleet_server *server, struct MHD_Connection *connection,
                           covey__line_phase phase) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    covey__line *line = info != NULL ? info->socket_context : NULL;
    if (line == NULL) return;
    (void)pthread_mutex_lock(&server->lines_lock);
    line->phase = phase;
    line->since_us = covey__monotonic_us();
    (void)pthread_mutex_unlock(&server->lines_lock);
}

void covey__lines_cut_slow(covey_fleet_server *server) {
    int64_t now_us = covey__monotonic_us();
    (void)pthread_mutex_lock(&server->lines_lock);
    for (covey__line *line = server->lines; line != NULL; line = line->next) {
        if (now_us - line->since_us > server->line_limits_us[line->phase]) {
            (void)shutdown(line->descriptor, SHUT_RDWR);
        }
    }
    (void)pthread_mutex_unlock(&server->lines_lock);
}
