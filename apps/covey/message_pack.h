/* Messages of a conversation as bytes, to be kept with its session. */
#ifndef COVEY_APPS_MESSAGE_PACK_H
#define COVEY_APPS_MESSAGE_PACK_H

#include <covey/model.h>

/* To be freed; NULL when there is no memory. */
char *app_pack_messages(const covey_message *messages, size_t count, size_t *size);

/* Receives one message; false stops. */
typedef bool (*app_message_fn)(void *user, const char *role, const char *content);

/* False when the bytes are not what the call above makes, or when `take` stopped. */
bool app_unpack_messages(const void *data, size_t size, app_message_fn take, void *user);

#endif
