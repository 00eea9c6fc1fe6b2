/* The router's inner side. For now it holds the backend interface and its first maker, the engine;
 * the decision where a request is answered joins it here. */
#ifndef COVEY_ROUTER_ROUTER_H
#define COVEY_ROUTER_ROUTER_H

#include <covey/backend.h>

/* Conversations at once when the caller names no number. */
#define COVEY__CONVERSATIONS_DEFAULT 4

/* Tokens of context for a conversation that names none, as far as the model was trained for it. */
#define COVEY__CONTEXT_DEFAULT 4096

#endif
