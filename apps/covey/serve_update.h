/* What covey serve does beside answering: a thread that steps the agent, proves what was fetched,
 * and opens and warms the next model, all at a low priority and in a runtime of its own; what it
 * has ready is exchanged by the main thread, which waits for no disk and no model. */
#ifndef COVEY_APPS_SERVE_UPDATE_H
#define COVEY_APPS_SERVE_UPDATE_H

#include "covey/context.h"

#include <covey/device.h>
#include <covey/serve.h>

typedef struct app_updater app_updater;

typedef struct app_updater_options {
    app_context *context; /* its runtime and state folder are open; the agent is the updater's */
    covey_server *server;
    int32_t conversations, context_tokens;
    int64_t step_ms;
    int64_t memory_max_bytes; /* for two models together; 0: what is free */
} app_updater_options;

/* Told of each answer, as covey_server_options.answered; `user` is the updater. */
void app_updater_answered(void *user, const covey_server_answer *answer);

/* Makes an updater and fills the context's members for an agent that it steps. NULL without memory.
 * Then the caller opens the agent, and starts the thread. */
app_updater *app_updater_new(app_context *context);
/* What serves now; before the start. */
void app_updater_serves(app_updater *updater, const app_served *served);
/* `wants_model`: none serves yet. */
bool app_updater_start(app_updater *updater, const app_updater_options *options, bool wants_model);
/* Does what the thread asks for; now and then, in the main thread. True: it did something, look
 * again soon. */
bool app_updater_exchange(app_updater *updater);
/* The thread is to end: what it does is cut where it can be. */
void app_updater_stop(app_updater *updater);
/* Waits for it. The agent is the caller's again. */
void app_updater_join(app_updater *updater);
void app_updater_free(app_updater *updater);

#endif
