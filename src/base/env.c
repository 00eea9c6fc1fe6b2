/* The environment's functions: memory, log, clock, randomness and fault points, as env.h declares
 * them. Nothing here keeps state: whatever is set lives in the covey__env that the caller passes,
 * which covey_runtime owns. The C library's allocator is recognised so that zeroed memory can come
 * from the system untouched; any other allocator sees each request. */
#include "base/env.h"
#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ALIGNMENT     64
#define LOG_LINE_SIZE 1024

static void *system_resize(void *user, void *pointer, size_t size) {
    (void)user;
    if (size == 0) {
        free(pointer);
        return NULL;
    }
    return realloc(pointer, size);
}

static int64_t system_clock(void *user) {
    (void)user;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void covey__env_init(covey__env *env) {
    memset(env, 0, sizeof *env);
    env->allocator.resize = system_resize;
    env->log_level = COVEY_LOG_INFO;
    env->clock = system_clock;
}

void *covey__alloc(const covey__env *env, size_t size) {
    return env->allocator.resize(env->allocator.user, NULL, size > 0 ? size : 1);
}

void *covey__calloc(const covey__env *env, size_t count, size_t size) {
    size_t bytes;
    if (!covey__mul_size(count, size, &bytes)) return NULL;
    if (env->allocator.resize == system_resize) return calloc(1, bytes > 0 ? bytes : 1);
    void *memory = covey__alloc(env, bytes);
    if (memory != NULL) memset(memory, 0, bytes);
    return memory;
}

void *covey__resize(const covey__env *env, void *pointer, size_t size) {
    return env->allocator.resize(env->allocator.user, pointer, size > 0 ? size : 1);
}

void covey__free(const covey__env *env, void *pointer) {
    if (pointer != NULL) (void)env->allocator.resize(env->allocator.user, pointer, 0);
}

/* The block's own address is kept in the word before the aligned one. */
void *covey__alloc_aligned(const covey__env *env, size_t size) {
    size_t bytes;
    if (!covey__add_size(size, ALIGNMENT + sizeof(void *), &bytes)) return NULL;
    char *block = covey__calloc(env, 1, bytes);
    if (block == NULL) return NULL;
    uintptr_t first = (uintptr_t)block + sizeof(void *);
    size_t skip = (ALIGNMENT - first % ALIGNMENT) % ALIGNMENT;
    char *aligned = block + sizeof(void *) + skip;
    memcpy(aligned - sizeof(void *), &block, sizeof block);
    return aligned;
}

void covey__free_aligned(const covey__env *env, void *pointer) {
    if (pointer == NULL) return;
    void *block;
    memcpy(&block, (char *)pointer - sizeof(void *), sizeof block);
    covey__free(env, block);
}

char *covey__strndup(const covey__env *env, const char *text, size_t size) {
    size_t bytes;
    if (!covey__add_size(size, 1, &bytes)) return NULL;
    char *copy = covey__alloc(env, bytes);
    if (copy == NULL) return NULL;
    if (size > 0) memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

char *covey__strdup(const covey__env *env, const char *text) {
    return covey__strndup(env, text, strlen(text));
}

char *covey__format(const covey__env *env, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) return NULL;
    char *text = covey__alloc(env, (size_t)length + 1);
    if (text == NULL) return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

void covey__log(const covey__env *env, covey_log_level level, const char *component,
                const char *format, ...) {
    if (env->log == NULL || level > env->log_level) return;
    char raw[LOG_LINE_SIZE], line[LOG_LINE_SIZE];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    if (length < 0) return;
    env->log(env->log_user, level, component,
             covey__printable(raw, strlen(raw), line, sizeof line));
}

int64_t covey__now_ms(const covey__env *env) {
    return env->clock(env->clock_user);
}

int64_t covey__monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int covey__fault(const covey__env *env, const char *point, const char *subject) {
    return env->fault != NULL ? env->fault(env->fault_user, point, subject) : 0;
}

covey_status covey__random(const covey__env *env, void *out, size_t size, covey_error *error) {
    int fault = covey__fault(env, "random", "");
    if (fault != 0) return covey__fail_errno(error, fault, "random bytes");
    if (env->crypto != NULL && env->crypto->random != NULL) {
        covey_status status = env->crypto->random(env->crypto->user, out, size);
        if (status == COVEY_OK) return COVEY_OK;
        return covey__fail(error, status, "random bytes: the crypto provider gave none (%s)",
                           covey_status_name(status));
    }
    unsigned char *bytes = out;
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < 256 ? size - done : 256; /* getentropy's most */
        if (getentropy(bytes + done, piece) != 0)
            return covey__fail_errno(error, errno, "random bytes: getentropy");
        done += piece;
    }
    return COVEY_OK;
}
