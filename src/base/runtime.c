/* The runtime: the environment, the pool, the instruction set and the pushed signals, as one object
 * that the app opens first and closes last. Tables that the app lends are copied in, so that the
 * caller may drop its options. Signals and the list of trim hooks are the only parts that change
 * after it is made; a mutex each guards them. What base may not know (OpenSSL, libcurl) is filled
 * in by src/library before covey__runtime_new. */
#include "base/runtime.h"
#include "base/cpu.h"
#include "base/error.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct covey_runtime {
    covey__env env;
    covey_crypto crypto;
    covey_keystore keystore;
    covey_transport transport;
    void (*transport_close)(void *user); /* NULL: nothing to close */
    void *transport_user;
    covey__pool *pool;
    covey__isa isa;
    pthread_mutex_t signals_mutex;
    covey_signals signals;
    pthread_mutex_t trim_mutex;
    covey__trim_hook *trim_hooks;
};

/* Copies a struct that begins with its size: a shorter one of an older caller leaves the rest as it
 * was, the end of a longer one is unknown here and left out. False when it is too short to be one.
 */
static bool copy_sized(void *out, size_t out_size, const void *in) {
    size_t size;
    memcpy(&size, in, sizeof size);
    if (size <= sizeof size) return false;
    memcpy(out, in, size < out_size ? size : out_size);
    memcpy(out, &out_size, sizeof out_size);
    return true;
}

static covey_status fail_size(covey_error *error, const char *what) {
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "%s: size is not set; begin with its INIT value", what);
}

static covey_status choose_isa(const char *asked, covey__isa *isa, covey_error *error) {
    const char *from = "isa";
    if (asked == NULL) {
        asked = getenv("COVEY_ISA");
        from = "COVEY_ISA";
    }
    covey__isa best = covey__cpu_best();
    *isa = best;
    if (asked == NULL || asked[0] == '\0') return COVEY_OK;
    for (covey__isa each = COVEY__ISA_SCALAR; each < COVEY__ISA_COUNT; each++) {
        if (strcmp(asked, covey__isa_name(each)) != 0) continue;
        if (!covey__cpu_has(each))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "%s: \"%s\" asked for, but this CPU and system do not support it; "
                               "their best is \"%s\"",
                               from, asked, covey__isa_name(best));
        *isa = each;
        return COVEY_OK;
    }
    char shown[64], here[128] = "";
    for (covey__isa each = COVEY__ISA_SCALAR; each < COVEY__ISA_COUNT; each++) {
        size_t used = strlen(here);
        if (covey__cpu_has(each))
            snprintf(here + used, sizeof here - used, "%s%s", used ? ", " : "",
                     covey__isa_name(each));
    }
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "%s: found \"%s\", but there are here: %s", from,
                       covey__printable(asked, strlen(asked), shown, sizeof shown), here);
}

/* What the options lend, into `runtime`; `env` pointers come last, since they point inside. */
static covey_status copy_tables(covey_runtime *runtime, const covey_runtime_options *options,
                                covey_error *error) {
    if (options->crypto != NULL) {
        if (!copy_sized(&runtime->crypto, sizeof runtime->crypto, options->crypto))
            return fail_size(error, "crypto");
        runtime->env.crypto = &runtime->crypto;
    }
    if (options->keystore != NULL) {
        if (!copy_sized(&runtime->keystore, sizeof runtime->keystore, options->keystore))
            return fail_size(error, "keystore");
        runtime->env.keystore = &runtime->keystore;
    }
    if (options->transport != NULL) {
        if (!copy_sized(&runtime->transport, sizeof runtime->transport, options->transport))
            return fail_size(error, "transport");
        runtime->env.transport = &runtime->transport;
    }
    return COVEY_OK;
}

static covey_status read_options(const covey_runtime_options *given, covey_runtime_options *options,
                                 covey__env *env, covey_error *error) {
    *options = (covey_runtime_options)COVEY_RUNTIME_OPTIONS_INIT;
    if (given != NULL && !copy_sized(options, sizeof *options, given))
        return fail_size(error, "runtime options");
    covey__env_init(env);
    if (options->allocator != NULL) {
        if (options->allocator->resize == NULL)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "runtime options: the allocator has no resize function");
        env->allocator = *options->allocator;
    }
    env->log = options->log;
    env->log_user = options->log_user;
    env->log_level = options->log_level;
    if (options->clock != NULL) {
        env->clock = options->clock;
        env->clock_user = options->clock_user;
    }
    return COVEY_OK;
}

covey_status covey__runtime_new(const covey_runtime_options *given, covey_runtime **out,
                                covey_error *error) {
    covey_runtime_options options;
    covey__env env;
    covey__isa isa;
    covey_status status = read_options(given, &options, &env, error);
    if (status == COVEY_OK) status = choose_isa(options.isa, &isa, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "runtime");

    covey_runtime *runtime = covey__calloc(&env, 1, sizeof *runtime);
    if (runtime == NULL) return covey__no_memory(error, "runtime", sizeof *runtime);
    runtime->env = env;
    runtime->isa = isa;
    runtime->signals = (covey_signals)COVEY_SIGNALS_INIT;
    pthread_mutex_init(&runtime->signals_mutex, NULL);
    pthread_mutex_init(&runtime->trim_mutex, NULL);
    status = copy_tables(runtime, &options, error);
    if (status == COVEY_OK)
        status = covey__pool_new(&runtime->env, options.threads, &runtime->pool, error);
    if (status != COVEY_OK) {
        covey_runtime_close(runtime);
        return covey__prefix(error, status, "runtime");
    }
    *out = runtime;
    return COVEY_OK;
}

void covey_runtime_close(covey_runtime *runtime) {
    if (runtime == NULL) return;
    covey__pool_free(runtime->pool);
    if (runtime->transport_close) runtime->transport_close(runtime->transport_user);
    pthread_mutex_destroy(&runtime->trim_mutex);
    pthread_mutex_destroy(&runtime->signals_mutex);
    covey__env env = runtime->env;
    covey__free(&env, runtime);
}

void covey__runtime_lend_transport(covey_runtime *runtime, const covey_transport *transport,
                                   void (*close)(void *user), void *user) {
    runtime->transport = *transport;
    runtime->env.transport = &runtime->transport;
    runtime->transport_close = close;
    runtime->transport_user = user;
}

static bool in_range(int32_t value, int32_t most) {
    return value >= -1 && value <= most;
}

covey_status covey_runtime_push_signals(covey_runtime *runtime, const covey_signals *given,
                                        covey_error *error) {
    if (runtime == NULL || given == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "signals: NULL was given");
    covey_signals pushed = COVEY_SIGNALS_INIT;
    if (!copy_sized(&pushed, sizeof pushed, given)) return fail_size(error, "signals");
    const char *wrong = NULL;
    if (!in_range(pushed.battery_percent, 100)) wrong = "battery_percent";
    if (!in_range(pushed.charging, 1)) wrong = "charging";
    if (!in_range(pushed.network, COVEY_NETWORK_UNMETERED)) wrong = "network";
    if (!in_range(pushed.thermal_percent, 100)) wrong = "thermal_percent";
    if (pushed.memory_available_bytes < -1) wrong = "memory_available_bytes";
    if (wrong != NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "signals: %s is out of its range",
                           wrong);
    pthread_mutex_lock(&runtime->signals_mutex);
    covey_signals *kept = &runtime->signals;
    if (pushed.battery_percent != -1) kept->battery_percent = pushed.battery_percent;
    if (pushed.charging != -1) kept->charging = pushed.charging;
    if (pushed.network != COVEY_NETWORK_UNKNOWN) kept->network = pushed.network;
    if (pushed.thermal_percent != -1) kept->thermal_percent = pushed.thermal_percent;
    if (pushed.memory_available_bytes != -1)
        kept->memory_available_bytes = pushed.memory_available_bytes;
    pthread_mutex_unlock(&runtime->signals_mutex);
    return COVEY_OK;
}

/* A mutex is not part of what `const` promises here: reading the signals needs it. */
static covey_runtime *unlocked(const covey_runtime *runtime) {
    union {
        const covey_runtime *in;
        covey_runtime *out;
    } pointer = {runtime};
    return pointer.out;
}

covey_signals covey__runtime_signals(const covey_runtime *runtime) {
    covey_runtime *inner = unlocked(runtime);
    pthread_mutex_lock(&inner->signals_mutex);
    covey_signals signals = inner->signals;
    pthread_mutex_unlock(&inner->signals_mutex);
    return signals;
}

const char *covey_runtime_isa(const covey_runtime *runtime) {
    return covey__isa_name(runtime->isa);
}

int32_t covey_runtime_threads(const covey_runtime *runtime) {
    return covey__pool_threads(runtime->pool);
}

void covey_runtime_trim(covey_runtime *runtime) {
    if (runtime == NULL) return;
    pthread_mutex_lock(&runtime->trim_mutex);
    for (covey__trim_hook *hook = runtime->trim_hooks; hook != NULL; hook = hook->next)
        hook->trim(hook->user);
    pthread_mutex_unlock(&runtime->trim_mutex);
}

void covey__runtime_trim_add(covey_runtime *runtime, covey__trim_hook *hook) {
    pthread_mutex_lock(&runtime->trim_mutex);
    hook->next = runtime->trim_hooks;
    runtime->trim_hooks = hook;
    pthread_mutex_unlock(&runtime->trim_mutex);
}

void covey__runtime_trim_remove(covey_runtime *runtime, covey__trim_hook *hook) {
    pthread_mutex_lock(&runtime->trim_mutex);
    for (covey__trim_hook **link = &runtime->trim_hooks; *link != NULL; link = &(*link)->next) {
        if (*link == hook) {
            *link = hook->next;
            break;
        }
    }
    pthread_mutex_unlock(&runtime->trim_mutex);
}

const covey__env *covey__runtime_env(const covey_runtime *runtime) {
    return &runtime->env;
}

covey__env *covey__runtime_env_for_tests(covey_runtime *runtime) {
    return &runtime->env;
}

covey__pool *covey__runtime_pool(const covey_runtime *runtime) {
    return runtime->pool;
}

int32_t covey__runtime_isa_level(const covey_runtime *runtime) {
    return (int32_t)runtime->isa;
}
