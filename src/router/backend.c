/* Backends and conversations, over any maker's table. A backend is counted: its opener holds one
 * reference and every conversation another, so that an ensemble can be released while conversations
 * still finish on it. The maker's `destroy` runs when the last reference goes. Nothing here knows
 * what a maker is: backend_local.c is one of them. */
#include "router/router.h"

#include "base/error.h"
#include "base/runtime.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

struct covey_backend {
    const covey__env *env;
    covey_backend_table table;
    atomic_int references;
};

struct covey_conversation {
    covey_backend *backend;
    void *state;
};

covey_status covey_backend_new(covey_runtime *runtime, const covey_backend_table *table,
                               covey_backend **backend, covey_error *error) {
    *backend = NULL;
    if (table->size < offsetof(covey_backend_table, embed) || !table->available || !table->report ||
        !table->count_tokens || !table->open || !table->close || !table->generate || !table->cancel)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "backend: the table lacks a function; every one but destroy is needed");
    const covey__env *env = covey__runtime_env(runtime);
    covey_backend *made = covey__calloc(env, 1, sizeof *made);
    if (!made) return covey__no_memory(error, "a backend", sizeof *made);
    made->env = env;
    memcpy(&made->table, table, table->size < sizeof *table ? table->size : sizeof *table);
    atomic_init(&made->references, 1);
    *backend = made;
    return COVEY_OK;
}

void covey_backend_retain(covey_backend *backend) {
    atomic_fetch_add_explicit(&backend->references, 1, memory_order_relaxed);
}

void covey_backend_release(covey_backend *backend) {
    if (!backend || atomic_fetch_sub_explicit(&backend->references, 1, memory_order_acq_rel) != 1)
        return;
    if (backend->table.destroy) backend->table.destroy(backend->table.user);
    covey__free(backend->env, backend);
}

covey_availability covey_backend_available(covey_backend *backend, char *reason,
                                           size_t reason_size) {
    if (reason && reason_size) reason[0] = 0;
    return backend->table.available(backend->table.user, reason, reason_size);
}

void covey_backend_get_report(covey_backend *backend, covey_backend_report *report) {
    backend->table.report(backend->table.user, report);
}

static covey_status check_request(const covey_request *request, covey_error *error) {
    bool chats = request->chat || (request->messages && request->message_count);
    if (!request->prompt && !chats)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "request: neither messages nor a prompt; give one of them");
    if (request->prompt && chats)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "request: both messages and a prompt; give one of them");
    for (size_t i = 0; i < request->message_count; i++)
        if (!request->messages[i].role || !request->messages[i].content)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "request: message %zu has no role or no content", i);
    return COVEY_OK;
}

covey_status covey_backend_count_tokens(covey_backend *backend, const covey_request *request,
                                        size_t *token_count, covey_error *error) {
    covey_status status = check_request(request, error);
    if (status) return status;
    return backend->table.count_tokens(backend->table.user, request, token_count, error);
}

covey_status covey_backend_embed(covey_backend *backend, const char *text, size_t text_size,
                                 float *vector, size_t *token_count, covey_error *error) {
    if (!backend->table.embed)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "backend: it makes no embeddings; use one that does");
    return backend->table.embed(backend->table.user, text, text_size, vector, token_count, error);
}

size_t covey_backend_token_bytes(covey_backend *backend, covey_token token, char *bytes,
                                 size_t capacity) {
    if (!backend->table.token_bytes) return 0;
    return backend->table.token_bytes(backend->table.user, token, bytes, capacity);
}

covey_status covey_conversation_open(covey_backend *backend, int32_t context_tokens,
                                     covey_conversation **conversation, covey_error *error) {
    *conversation = NULL;
    covey_conversation *made = covey__calloc(backend->env, 1, sizeof *made);
    if (!made) return covey__no_memory(error, "a conversation", sizeof *made);
    covey_status status =
        backend->table.open(backend->table.user, context_tokens, &made->state, error);
    if (status) {
        covey__free(backend->env, made);
        return status;
    }
    covey_backend_retain(backend);
    made->backend = backend;
    *conversation = made;
    return COVEY_OK;
}

void covey_conversation_close(covey_conversation *conversation) {
    if (!conversation) return;
    covey_backend *backend = conversation->backend;
    backend->table.close(backend->table.user, conversation->state);
    covey__free(backend->env, conversation);
    covey_backend_release(backend);
}

covey_status covey_conversation_generate(covey_conversation *conversation,
                                         const covey_request *request, covey_answer *answer,
                                         covey_error *error, covey_text_fn text, void *user) {
    covey_answer unused = COVEY_ANSWER_INIT;
    covey_status status = check_request(request, error);
    if (status) return status;
    covey_backend *backend = conversation->backend;
    return backend->table.generate(backend->table.user, conversation->state, request,
                                   answer ? answer : &unused, error, text, user);
}

void covey_conversation_cancel(covey_conversation *conversation) {
    conversation->backend->table.cancel(conversation->backend->table.user, conversation->state);
}
