/* The thread beside the server; see serve_update.h. It owns the agent while it runs. What it wants
 * of the server it asks of the main thread, one order at a time: a thread of low priority that held
 * the server's locks would hold up whoever answers.
 *
 * How an exchange goes: the next model is opened (mapped, its tables read). Where memory holds
 * both, its pages are touched while the old one serves, then it is exchanged. Where it does not, it
 * is closed again, the server lets its answers end and the old model go, and then it is opened and
 * touched while requests wait. */
#include "covey/serve_update.h"

#include "covey/serve_load.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOLD_MAX       256 /* answers that wait to be told to the agent */
#define STEP_BUDGET_MS 50
#define HOT_PERCENT    80

typedef enum order {
    ORDER_NONE,
    ORDER_EXCHANGE,
    ORDER_DRAIN,
    ORDER_WITHDRAW,
    ORDER_WITHDRAW_OLD
} order;

/* A place for an answer. Who answers claims a free one and never waits: a lock that this thread, of
 * low priority, held while it is kept from running would hold up an answer. */
enum { TOLD_FREE, TOLD_CLAIMED, TOLD_READY };
typedef struct told {
    atomic_int state;
    covey_agent_answer answer;
    char digest[65];
    char why[128];
} told;

/* Memory that the agent's runtime has, counted: what probes allocate at most is what a model needs
 * beside its files. */
typedef struct counted {
    atomic_int_fast64_t now, peak;
} counted;

struct app_updater {
    app_updater_options options;
    covey_allocator allocator;
    counted memory;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    atomic_bool stop, disturbed;
    atomic_int others_percent;
    told answers[TOLD_MAX];
    atomic_uint next_answer; /* where to look for a free place */
    /* under the mutex */
    order asked;
    app_served *ready;
    char reason[256];
    /* the thread's */
    bool stale, stopped, told_why, drained;
    app_load load;
    int64_t heap_bytes; /* at the last probes */
    app_served serving; /* its backend is not held */
};

/* ---- Memory -----------------------------------------------------------------------------------
 */

/* A block's size stands before it, in as much room as keeps its alignment. */
#define BLOCK_HEAD ((size_t)16)

static void count(counted *memory, int64_t bytes) {
    int64_t now = atomic_fetch_add(&memory->now, bytes) + bytes;
    int64_t peak = atomic_load(&memory->peak);
    while (now > peak && !atomic_compare_exchange_weak(&memory->peak, &peak, now)) continue;
}

static void *resize(void *user, void *pointer, size_t size) {
    counted *memory = user;
    char *block = pointer ? (char *)pointer - BLOCK_HEAD : NULL;
    size_t before = 0;
    if (block) memcpy(&before, block, sizeof before);
    if (!size) {
        free(block);
        count(memory, -(int64_t)before);
        return NULL;
    }
    if (size > SIZE_MAX / 2) return NULL;
    char *made = realloc(block, size + BLOCK_HEAD);
    if (!made) return NULL;
    memcpy(made, &size, sizeof size);
    count(memory, (int64_t)size - (int64_t)before);
    return made + BLOCK_HEAD;
}

static bool goes_on(void *user) {
    const app_updater *u = user;
    return !atomic_load(&u->stop);
}

static bool probe_goes_on(void *user, const char *what, uint64_t done, uint64_t total) {
    (void)what;
    (void)done;
    (void)total;
    return goes_on(user);
}

static covey_status probe(void *user, covey_ensemble *ensemble, covey_probe_result *result,
                          covey_error *error) {
    app_updater *u = user;
    int64_t before = atomic_load(&u->memory.now);
    atomic_store(&u->memory.peak, before);
    covey_status status = covey_ensemble_probe(ensemble, result, error, probe_goes_on, u);
    u->heap_bytes = atomic_load(&u->memory.peak) - before;
    return status;
}

/* Whether the next model may stand beside the one that serves; says why. */
static bool fits(app_updater *u, const app_served *next) {
    covey_device_facts facts = COVEY_DEVICE_FACTS_INIT;
    covey_swap_memory m = COVEY_SWAP_MEMORY_INIT;
    char reason[200];
    const app_served *old = &u->serving;
    int64_t conversations = u->options.conversations;
    m.weight_bytes = next->file_bytes;
    m.heap_bytes = u->heap_bytes;
    m.session_bytes = next->session_bytes * conversations;
    m.serving_bytes = old->file_bytes + old->session_bytes * conversations + u->heap_bytes;
    m.limit_bytes = u->options.memory_max_bytes;
    if (!covey_device_read(u->options.context->runtime, NULL, &facts, NULL))
        m.available_bytes = facts.memory_available_bytes;
    if (app_counts_mapped(m.available_bytes)) m.mapped_bytes = app_mapped_resident();
    bool both = covey_swap_fits(&m, reason, sizeof reason);
    fprintf(stderr, "memory %s: %s.\n", next->label, reason);
    return both;
}

/* ---- Orders -----------------------------------------------------------------------------------
 */

/* Asks the main thread, and waits until it is done. */
static void ask(app_updater *u, order what, app_served *ready) {
    pthread_mutex_lock(&u->mutex);
    u->ready = ready;
    u->asked = what;
    while (u->asked != ORDER_NONE && !atomic_load(&u->stop))
        pthread_cond_wait(&u->changed, &u->mutex);
    u->asked = ORDER_NONE;
    u->ready = NULL;
    pthread_mutex_unlock(&u->mutex);
}

bool app_updater_exchange(app_updater *u) {
    covey_error error = {0};
    pthread_mutex_lock(&u->mutex);
    order asked = u->asked;
    pthread_mutex_unlock(&u->mutex);
    /* The thread waits: what it asked with stays as it is. */
    if (asked == ORDER_NONE) return false;
    if (asked == ORDER_EXCHANGE) {
        covey_server_names names = COVEY_SERVER_NAMES_INIT;
        names.label = u->ready->label;
        names.model = u->ready->name;
        names.digest = u->ready->digest[0] ? u->ready->digest : NULL;
        if (covey_server_exchange(u->options.server, u->ready->backend, &names, &error)) {
            fprintf(stderr, "covey serve: %s\n", error.message);
            return true; /* no memory for a few bytes: again soon */
        }
    } else if (asked == ORDER_DRAIN) {
        covey_server_drain(u->options.server);
        if (covey_server_draining(u->options.server)) return true;
    } else {
        covey_server_withdraw(u->options.server, asked == ORDER_WITHDRAW ? u->reason : NULL);
    }
    pthread_mutex_lock(&u->mutex);
    u->asked = ORDER_NONE;
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->mutex);
    return true;
}

/* ---- The next model ---------------------------------------------------------------------------
 */

static bool open_next(app_updater *u, app_served *next, covey_error *error) {
    return app_open_served(u->options.context, NULL, u->options.conversations,
                           u->options.context_tokens, next, error);
}

static void say_answers(const app_served *served) {
    covey_answer usual = COVEY_ANSWER_INIT;
    app_default_adapters(served->backend, &usual);
    fprintf(stderr, "Answering with %s", served->label);
    app_put_adapters(stderr, served->backend, &usual, false);
    fprintf(stderr, " (loaded in %d ms).\n", (int)served->info.load_ms);
}

/* Lets the one that serves go, where both do not fit. */
static bool drain_first(app_updater *u, app_served *next, covey_error *error) {
    covey_backend_release(next->backend);
    next->backend = NULL;
    fprintf(stderr, "drain  %s: answers under way end, others wait.\n", u->serving.label);
    ask(u, ORDER_DRAIN, NULL);
    u->drained = true;
    u->serving.file_bytes = u->serving.session_bytes = 0;
    return !atomic_load(&u->stop) && open_next(u, next, error);
}

static bool load_next(app_updater *u, covey_error *error) {
    app_served next;
    if (!open_next(u, &next, error)) return false;
    bool same = !strcmp(next.digest, u->serving.digest) && !u->drained;
    if (!same && u->serving.file_bytes && !fits(u, &next) && !drain_first(u, &next, error))
        return false;
    if (!same) covey_model_warm(next.model, 0, goes_on, u);
    if (!same && !atomic_load(&u->stop)) {
        ask(u, ORDER_EXCHANGE, &next);
        if (!atomic_load(&u->stop)) say_answers(&next);
        if (u->stopped) ask(u, ORDER_WITHDRAW_OLD, NULL);
    }
    covey_backend_release(next.backend);
    app_updater_serves(u, &next);
    u->stopped = u->stale = u->told_why = u->drained = false;
    return true;
}

/* Loads again what is stale; a failure is said once, and tried again at the next step. */
static void reload(app_updater *u) {
    covey_error error = {0};
    if (load_next(u, &error) || atomic_load(&u->stop)) return;
    /* What was stopped does not answer while there is no other; what waits is told. */
    if (u->stopped || u->drained) {
        snprintf(u->reason, sizeof u->reason, "%.250s", error.message);
        ask(u, ORDER_WITHDRAW, NULL);
    }
    if (!u->told_why) fprintf(stderr, "covey serve: %s\n", error.message);
    u->told_why = true;
}

/* ---- Answers ----------------------------------------------------------------------------------
 */

static told *claim(app_updater *u) {
    for (int tries = 0; tries < TOLD_MAX; tries++) {
        told *place = &u->answers[atomic_fetch_add(&u->next_answer, 1) % TOLD_MAX];
        int state = TOLD_FREE;
        if (atomic_compare_exchange_strong(&place->state, &state, TOLD_CLAIMED)) return place;
    }
    return NULL;
}

void app_updater_answered(void *user, const covey_server_answer *answer) {
    app_updater *u = user;
    told *next = claim(u);
    if (!next)
        return; /* answers come faster than they are counted: one more or less is no matter */
    next->answer = (covey_agent_answer)COVEY_AGENT_ANSWER_INIT;
    next->answer.status = answer->status;
    next->answer.prompt_token_count = answer->prompt_token_count;
    next->answer.answer_token_count = answer->answer_token_count;
    next->answer.first_token_us = answer->first_token_us;
    next->answer.decode_us = answer->decode_us;
    next->answer.at_once = answer->at_once;
    next->answer.others_percent = atomic_load(&u->others_percent);
    next->answer.disturbed = answer->beside > 0 || atomic_load(&u->disturbed);
    snprintf(next->digest, sizeof next->digest, "%s", answer->digest);
    snprintf(next->why, sizeof next->why, "%s", answer->message);
    atomic_store(&next->state, TOLD_READY);
}

static void tell_agent(app_updater *u) {
    for (int i = 0; i < TOLD_MAX; i++) {
        told *next = &u->answers[i];
        if (atomic_load(&next->state) != TOLD_READY) continue;
        next->answer.digest = next->digest;
        covey_agent_answered(u->options.context->agent, &next->answer, 1, next->why);
        atomic_store(&next->state, TOLD_FREE);
    }
}

/* Whether times that are measured now would compare with others. */
static void look_around(app_updater *u, bool working) {
    covey_device_facts facts = COVEY_DEVICE_FACTS_INIT;
    bool hot = !covey_device_read(u->options.context->runtime, NULL, &facts, NULL) &&
               facts.thermal_percent > HOT_PERCENT;
    atomic_store(&u->others_percent, app_load_of_others(&u->load));
    atomic_store(&u->disturbed, hot || working);
}

/* ---- The thread -------------------------------------------------------------------------------
 */

static void wait_ms(app_updater *u, int64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&u->mutex);
    while (!atomic_load(&u->stop))
        if (pthread_cond_timedwait(&u->changed, &u->mutex, &until) == ETIMEDOUT) break;
    pthread_mutex_unlock(&u->mutex);
}

static void *run(void *user) {
    app_updater *u = user;
    covey_agent_outcome outcome = COVEY_AGENT_OUTCOME_INIT;
    covey_error error = {0};
    char last_failure[sizeof error.message] = "";
    app_calm_thread();
    while (!atomic_load(&u->stop)) {
        bool working = false;
        tell_agent(u);
        bool failed = covey_agent_step(u->options.context->agent, STEP_BUDGET_MS, false, &outcome,
                                       &error) != COVEY_OK;
        if (failed && strcmp(error.message, last_failure))
            fprintf(stderr, "covey serve: update: %s\n", error.message);
        snprintf(last_failure, sizeof last_failure, "%s", failed ? error.message : "");
        if (!failed && outcome.current_changed) {
            u->stale = true;
            u->told_why = false;
            u->stopped |= outcome.stopped;
        }
        working = !failed && outcome.state == COVEY_AGENT_WORKING;
        look_around(u, working || u->stale);
        if (u->stale) reload(u);
        if (!working) wait_ms(u, u->options.step_ms);
    }
    return NULL;
}

app_updater *app_updater_new(app_context *context) {
    pthread_condattr_t attributes;
    app_updater *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    pthread_mutex_init(&u->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&u->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    u->allocator = (covey_allocator){resize, &u->memory};
    context->agent_memory = &u->allocator;
    context->probe = probe;
    context->probe_user = u;
    return u;
}

void app_updater_serves(app_updater *u, const app_served *served) {
    u->serving = *served;
    u->serving.backend = NULL;
    u->serving.model = NULL;
}

bool app_updater_start(app_updater *u, const app_updater_options *options, bool wants_model) {
    u->options = *options;
    u->stale = wants_model;
    u->told_why = wants_model;
    u->started = !pthread_create(&u->thread, NULL, run, u);
    return u->started;
}

void app_updater_stop(app_updater *u) {
    pthread_mutex_lock(&u->mutex);
    atomic_store(&u->stop, true);
    if (u->started) /* a silent line must not hold the end */
        covey_agent_interrupt(u->options.context->agent, true);
    pthread_cond_broadcast(&u->changed);
    pthread_mutex_unlock(&u->mutex);
}

void app_updater_join(app_updater *u) {
    if (u->started) pthread_join(u->thread, NULL);
    if (u->started) tell_agent(u);
    u->started = false;
}

void app_updater_free(app_updater *u) {
    if (!u) return;
    pthread_cond_destroy(&u->changed);
    pthread_mutex_destroy(&u->mutex);
    free(u);
}
