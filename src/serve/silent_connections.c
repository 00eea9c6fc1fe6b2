/* The connections that are open. There may only be so many, and any program of this machine can
 * open them and say nothing: so that this locks no one out, a new connection that is one too many
 * takes the place of the one that has been silent longest. Silent is who sent no whole head, or was
 * answered, or may not ask at all; a request under way never gives way. Closing is MHD's: here the
 * socket is shut down, which its thread sees. A socket is only touched while it is in the list, and
 * MHD takes it out before it closes it. */
#include "serve/serve.h"

#include "base/error.h"

#include <string.h>
#include <sys/socket.h>

covey_status covey__connections_init(covey__connections *all, const covey__env *env, size_t most,
                                     covey_error *error) {
    size_t capacity = most + COVEY__CONNECTIONS_SPARE;
    covey__connection *items = covey__calloc(env, capacity, sizeof *items);
    if (!items) return covey__no_memory(error, "connections", capacity * sizeof *items);
    *all = (covey__connections){.env = env, .items = items, .capacity = capacity, .most = most};
    pthread_mutex_init(&all->mutex, NULL);
    return COVEY_OK;
}

void covey__connections_free(covey__connections *all) {
    if (!all->items) return;
    pthread_mutex_destroy(&all->mutex);
    covey__free(all->env, all->items);
    all->items = NULL;
}

static covey__connection *find(covey__connections *all, const struct MHD_Connection *connection) {
    for (size_t i = 0; i < all->capacity; i++)
        if (all->items[i].connection == connection) return &all->items[i];
    return NULL;
}

static void close_most_silent(covey__connections *all) {
    covey__connection *found = NULL;
    for (size_t i = 0; i < all->capacity; i++) {
        covey__connection *one = &all->items[i];
        if (!one->connection || one->asks || one->closing) continue;
        if (!found || one->happened < found->happened) found = one;
    }
    if (!found) return;
    found->closing = true;
    all->open--;
    shutdown(found->socket, SHUT_RDWR);
}

static void add(covey__connections *all, struct MHD_Connection *connection) {
    covey__connection *place = find(all, NULL);
    int socket = covey__client_socket(connection);
    if (!place || socket < 0) return;
    if (all->open >= all->most) close_most_silent(all);
    *place =
        (covey__connection){.connection = connection, .socket = socket, .happened = ++all->events};
    all->open++;
}

void covey__connections_notify(void *user, struct MHD_Connection *connection, void **socket_context,
                               enum MHD_ConnectionNotificationCode code) {
    covey__connections *all = user;
    (void)socket_context;
    pthread_mutex_lock(&all->mutex);
    covey__connection *known = find(all, connection);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        add(all, connection);
    } else if (known) {
        if (!known->closing) all->open--;
        memset(known, 0, sizeof *known);
    }
    pthread_mutex_unlock(&all->mutex);
}

void covey__connections_asks(covey__connections *all, struct MHD_Connection *connection,
                             bool asks) {
    pthread_mutex_lock(&all->mutex);
    covey__connection *known = find(all, connection);
    if (known) {
        known->asks = asks;
        known->happened = ++all->events;
    }
    pthread_mutex_unlock(&all->mutex);
}
