/* What the commands share; see context.h. */
#include "covey/context.h"

#include "common/files.h"
#include "common/options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

int app_failed(const app_context *context, const covey_error *error) {
    app_print_failure(context->command, error->message);
    return error->status == COVEY_ERROR_REFUSED ? APP_EXIT_REFUSED : APP_EXIT_FAILED;
}

static bool fail(covey_error *error, covey_status status, const char *what, const char *path) {
    error->status = status;
    snprintf(error->message, sizeof error->message, "%s%s%s: %s", what, path ? " " : "",
             path ? path : "", strerror(errno));
    return false;
}

static void log_line(void *user, covey_log_level level, const char *component,
                     const char *message) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    const app_context *context = user;
    if (level > COVEY_LOG_WARN && !context->verbose) return;
    fprintf(stderr, "%s: %s: %s\n", names[level], component, message);
}

bool app_read_kv(const char *command, const char *name, covey_kv_type *kv) {
    static const char *const names[] = {
        [COVEY_KV_F32] = "f32", [COVEY_KV_F16] = "f16", [COVEY_KV_Q8_0] = "q8_0"};
    *kv = COVEY_KV_DEFAULT;
    if (!name) return true;
    for (int type = COVEY_KV_F32; type <= COVEY_KV_Q8_0; type++)
        if (strcmp(names[type], name) == 0) *kv = (covey_kv_type)type;
    if (*kv != COVEY_KV_DEFAULT) return true;
    fprintf(stderr, "%s: --kv: expected f32, f16 or q8_0, found \"%s\"\n", command, name);
    return false;
}

bool app_context_fits(const char *command, int64_t tokens) {
    if (!tokens || tokens >= APP_CONTEXT_MIN) return true;
    fprintf(stderr,
            "%s: --context: expected 0 (the model's) or at least %d tokens, to hold a prompt and "
            "an answer; found %d\n",
            command, APP_CONTEXT_MIN, (int)tokens);
    return false;
}

bool app_read_sessions(app_context *context) {
    const char *full = context->when_full;
    bool slides = full && !strcmp(full, "slide");
    context->context_policy = slides ? COVEY_CONTEXT_SLIDE : COVEY_CONTEXT_ERROR;
    if (full && !slides && strcmp(full, "error") != 0) {
        fprintf(stderr, "%s: --when-full: expected error or slide, found \"%s\"\n",
                context->command, full);
        return false;
    }
    return app_read_kv(context->command, context->kv, &context->kv_type);
}

bool app_open_runtime(app_context *context, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    sigset_t before;
    options.threads = (int32_t)context->threads;
    options.log = log_line;
    options.log_user = context;
    options.log_level = context->verbose ? COVEY_LOG_DEBUG : COVEY_LOG_WARN;
    app_hold_signals(&before);
    covey_status status = covey_runtime_open(&options, &context->runtime, error);
    app_let_signals(&before);
    return status == COVEY_OK;
}

bool app_find_state(app_context *context, covey_error *error) {
    const char *chosen = context->state ? context->state : getenv("COVEY_STATE");
    const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (chosen && *chosen) {
        context->state_dir = strdup(chosen);
    } else if (base && *base) {
        context->state_dir = app_join(base, "covey");
    } else if (home && *home) {
        context->state_dir = app_join(home, ".local/state/covey");
    } else {
        errno = ENOENT;
        return fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                    "no state folder: give --state DIR, or set COVEY_STATE or HOME", NULL);
    }
    if (!context->state_dir) return fail(error, COVEY_ERROR_NO_MEMORY, "the state folder", NULL);
    if (!app_make_folder(context->state_dir))
        return fail(error, COVEY_ERROR_IO, "cannot make the folder", context->state_dir);
    return true;
}

static bool open_agent_runtime(app_context *context, covey_error *error) {
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.allocator = context->agent_memory;
    options.threads = 1;
    options.log = log_line;
    options.log_user = context;
    options.log_level = context->verbose ? COVEY_LOG_DEBUG : COVEY_LOG_WARN;
    return covey_runtime_open(&options, &context->agent_runtime, error) == COVEY_OK;
}

bool app_open_agent(app_context *context, covey_agent_event_fn event, void *event_user,
                    covey_error *error) {
    if (!context->runtime && !app_open_runtime(context, error)) return false;
    if (!context->state_dir && !app_find_state(context, error)) return false;
    covey_agent_options options = COVEY_AGENT_OPTIONS_INIT;
    options.state_dir = context->state_dir;
    covey_runtime *runtime = context->runtime;
    if (context->agent_memory) {
        if (!open_agent_runtime(context, error)) return false;
        runtime = context->agent_runtime;
    }
    options.probe = context->probe;
    options.probe_user = context->probe_user;
    options.tells_answers = !context->tells_nothing;
    options.builtin_dir = context->builtin ? context->builtin : getenv("COVEY_BUILTIN");
    options.app_version = context->app_version ? context->app_version : COVEY_VERSION;
    options.event = event;
    options.event_user = event_user;
    return covey_agent_open(runtime, &options, &context->agent, error) == COVEY_OK;
}

void app_close(app_context *context) {
    covey_agent_close(context->agent);
    covey_runtime_close(context->agent_runtime);
    covey_runtime_close(context->runtime);
    free(context->state_dir);
    context->agent = NULL;
    context->agent_runtime = NULL;
    context->runtime = NULL;
    context->state_dir = NULL;
}

static covey_model_source source_of(const app_context *context) {
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    int64_t mib = context->prefix_cache_mib;
    source.idle_kv_bytes_max = mib > 0 ? mib << 20 : -1;
    return source;
}

/* Of the files that an ensemble answers with. */
static int64_t mapped_bytes(const covey_ensemble *ensemble) {
    int64_t bytes = 0;
    for (size_t i = 0; i < covey_ensemble_component_count(ensemble); i++) {
        covey_component component = {.size = sizeof component};
        if (covey_ensemble_component(ensemble, i, &component, NULL)) continue;
        if (!strcmp(component.role, "model") || !strcmp(component.role, "adapter"))
            bytes += (int64_t)component.bytes;
    }
    return bytes;
}

/* The agent's ensemble. One whose model does not open is left for the one before. */
static covey_status open_current(app_context *context, app_served *served,
                                 covey_ensemble_parts *parts, covey_error *error) {
    covey_ensemble *ensemble = NULL;
    covey_status status = covey_agent_current(context->agent, &ensemble, error);
    if (status) return status;
    snprintf(served->label, sizeof served->label, "%s@%s", covey_ensemble_name(ensemble),
             covey_ensemble_version(ensemble));
    snprintf(served->name, sizeof served->name, "%s", covey_ensemble_name(ensemble));
    snprintf(served->digest, sizeof served->digest, "%s", covey_ensemble_digest(ensemble));
    served->file_bytes = mapped_bytes(ensemble);
    parts->runtime = context->runtime;
    parts->idle_kv_bytes_max = source_of(context).idle_kv_bytes_max;
    status = covey_ensemble_open_parts(ensemble, parts, error);
    covey_error why = *error, ignored;
    if (status && covey_agent_leave_current(context->agent, ensemble, &why, &ignored))
        fprintf(stderr, "%s: %s\n", context->command, ignored.message);
    covey_ensemble_close(ensemble); /* its parts have their own maps of the weights */
    return status;
}

static covey_status open_parts(app_context *context, const char *path, app_served *served,
                               covey_ensemble_parts *parts, covey_error *error) {
    if (path) {
        const char *slash = strrchr(path, '/');
        covey_model_source source = source_of(context);
        source.path = path;
        snprintf(served->label, sizeof served->label, "%s", slash ? slash + 1 : path);
        snprintf(served->name, sizeof served->name, "%s", served->label);
        covey_status status = covey_model_open(context->runtime, &source, &parts->model, error);
        if (status && !strstr(error->message, path)) {
            char what[sizeof error->message];
            memcpy(what, error->message, sizeof what);
            snprintf(error->message, sizeof error->message, "%.200s: %s", path, what);
        }
        return status;
    }
    if (!context->agent && !app_open_agent(context, NULL, NULL, error)) return error->status;
    /* What could not be loaded was left if that will not pass: then there may be another. */
    char left[sizeof served->label] = "";
    covey_status status = open_current(context, served, parts, error);
    while (status && strcmp(left, served->label)) {
        memcpy(left, served->label, sizeof left);
        fprintf(stderr, "%s: %s: %s\n", context->command, served->label, error->message);
        status = open_current(context, served, parts, error);
    }
    return status;
}

bool app_open_served(app_context *context, const char *path, int32_t conversations_max,
                     int32_t context_tokens, app_served *served, covey_error *error) {
    covey_ensemble_parts parts = COVEY_ENSEMBLE_PARTS_INIT;
    memset(served, 0, sizeof *served);
    served->info = (covey_model_info)COVEY_MODEL_INFO_INIT;
    if (!context->runtime && !app_open_runtime(context, error)) return false;
    covey_local_options options = COVEY_LOCAL_OPTIONS_INIT;
    options.conversations_max = conversations_max;
    covey_session_options session = COVEY_SESSION_OPTIONS_INIT;
    options.session = &session;
    session.kv_type = context->kv_type;
    session.context_policy = context->context_policy;
    covey_status status = open_parts(context, path, served, &parts, error);
    if (!status) status = app_add_adapters(&context->adapters, &parts, error);
    options.adapters = parts.adapters;
    options.adapter_count = parts.adapter_count;
    options.knows_tools = parts.knows_tools || context->knows_tools;
    if (!status)
        status = covey_backend_local_with(context->runtime, parts.model, &options, &served->backend,
                                          error);
    if (!status) {
        uint64_t bytes = 0;
        covey_model_describe(parts.model, &served->info);
        session.context_tokens = context_tokens;
        if (served->info.generates && !covey_session_plan(parts.model, &session, &bytes, NULL))
            served->session_bytes = (int64_t)bytes;
        if (!served->file_bytes) served->file_bytes = (int64_t)served->info.weight_bytes;
        served->model = parts.model;
        parts.model = NULL; /* the backend's now; the adapters it holds, too */
    }
    covey_ensemble_close_parts(&parts);
    return status == COVEY_OK;
}

char *app_serve_token(app_context *context, covey_error *error) {
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[32];
    char text[65];
    if (!context->state_dir && !app_find_state(context, error)) return NULL;
    char *path = app_join(context->state_dir, "serve.token");
    char *token = path ? app_read_secret(path) : NULL;
    if (!token && path && errno == ENOENT && getrandom(bytes, sizeof bytes, 0) == sizeof bytes) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            text[2 * i] = digits[bytes[i] >> 4];
            text[2 * i + 1] = digits[bytes[i] & 15];
        }
        text[64] = 0;
        /* Where another process makes one at the same time, the first one holds for both. */
        if (app_create_secret(path, text) || errno == EEXIST) token = app_read_secret(path);
    }
    if (!token || !*token) {
        if (token) errno = ENODATA;
        if (errno == EPERM)
            fail(error, COVEY_ERROR_DENIED, "others may read the token; chmod 600, or remove,",
                 path);
        else
            fail(error, COVEY_ERROR_IO, "cannot read or make the token", path);
        free(token);
        token = NULL;
    }
    free(path);
    return token;
}

static volatile sig_atomic_t interrupted, terminated;
static void (*interrupt_hook)(void);

static void on_signal(int number) {
    if (number == SIGTERM) terminated = 1;
    interrupted = 1;
    if (interrupt_hook) interrupt_hook();
}

void app_catch_signals(void (*on_interrupt)(void)) {
    struct sigaction action = {.sa_handler = on_signal};
    interrupt_hook = on_interrupt;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void app_hold_signals(sigset_t *before) {
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, before);
}

void app_let_signals(const sigset_t *before) {
    sigprocmask(SIG_SETMASK, before, NULL);
}

bool app_interrupted(void) {
    return interrupted || terminated;
}

bool app_terminated(void) {
    return terminated != 0;
}

void app_clear_interrupt(void) {
    interrupted = 0;
}
