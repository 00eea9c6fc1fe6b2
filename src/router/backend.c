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

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
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
    if (request->adapter_count > (request->adapters ? COVEY_ADAPTERS_MAX : 0))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "request: adapters: expected at most %d, and a list of them, found %zu",
                           COVEY_ADAPTERS_MAX, request->adapter_count);
    return COVEY_OK;
}

/* A caller's request as makers see it: as long as this library knows it, with nothing left out. */
typedef struct whole_request {
    covey_request request;
    covey_generation_options generation;
    covey_sampling sampling;
} whole_request;

static covey_status complete(const covey_request *given, whole_request *whole, covey_error *error) {
    *whole =
        (whole_request){COVEY_REQUEST_INIT, COVEY_GENERATION_OPTIONS_INIT, COVEY_SAMPLING_INIT};
    memcpy(&whole->request, given, smaller(given->size, sizeof whole->request));
    const covey_generation_options *generation = whole->request.generation;
    if (generation)
        memcpy(&whole->generation, generation, smaller(generation->size, sizeof whole->generation));
    const covey_sampling *sampling = whole->generation.sampling;
    if (sampling)
        memcpy(&whole->sampling, sampling, smaller(sampling->size, sizeof whole->sampling));
    whole->request.size = sizeof whole->request;
    whole->generation.size = sizeof whole->generation;
    whole->sampling.size = sizeof whole->sampling;
    whole->request.generation = &whole->generation;
    whole->generation.sampling = &whole->sampling;
    return check_request(&whole->request, error);
}

covey_status covey_backend_count_tokens(covey_backend *backend, const covey_request *request,
                                        size_t *token_count, covey_error *error) {
    whole_request whole;
    covey_status status = complete(request, &whole, error);
    if (status) return status;
    return backend->table.count_tokens(backend->table.user, &whole.request, token_count, error);
}

covey_status covey_backend_embed(covey_backend *backend, const char *text, size_t text_size,
                                 float *vector, size_t *token_count, covey_error *error) {
    if (!backend->table.embed)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "backend: it makes no embeddings; use one that does");
    return backend->table.embed(backend->table.user, text, text_size, vector, token_count, error);
}

covey_status covey_backend_embed_texts(covey_backend *backend, const covey_backend_text *texts,
                                       size_t text_count, float *vectors, size_t *token_counts,
                                       size_t *failed_text, covey_error *error) {
    const covey_backend_table *table = &backend->table;
    covey_backend_report report = {.size = sizeof report};
    covey_status status = COVEY_OK;
    size_t unwanted;
    if (!failed_text) failed_text = &unwanted;
    *failed_text = text_count;
    if (table->embed_texts)
        return table->embed_texts(table->user, texts, text_count, vectors, token_counts,
                                  failed_text, error);
    covey_backend_get_report(backend, &report);
    for (size_t i = 0; i < text_count && !status; i++) {
        status = covey_backend_embed(backend, texts[i].text, texts[i].text_size,
                                     vectors + i * (size_t)report.embedding_width, &token_counts[i],
                                     error);
        if (status) *failed_text = i;
    }
    return status;
}

size_t covey_backend_token_bytes(covey_backend *backend, covey_token token, char *bytes,
                                 size_t capacity) {
    if (!backend->table.token_bytes) return 0;
    return backend->table.token_bytes(backend->table.user, token, bytes, capacity);
}

bool covey_backend_get_adapter(covey_backend *backend, int32_t id, covey_backend_adapter *adapter) {
    covey_backend_adapter whole = COVEY_BACKEND_ADAPTER_INIT;
    if (id < 0 || !backend->table.adapter ||
        !backend->table.adapter(backend->table.user, id, &whole))
        return false;
    whole.size = adapter->size;
    memcpy(adapter, &whole, smaller(adapter->size, sizeof whole));
    return true;
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
    whole_request whole;
    covey_status status = complete(request, &whole, error);
    if (status) return status;
    covey_backend *backend = conversation->backend;
    return backend->table.generate(backend->table.user, conversation->state, &whole.request,
                                   answer ? answer : &unused, error, text, user);
}

covey_status covey_conversation_save(covey_conversation *conversation, const char *path,
                                     const void *note, size_t note_size, covey_error *error) {
    const covey_backend_table *table = &conversation->backend->table;
    if (!table->save)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "backend: it keeps no conversations");
    return table->save(table->user, conversation->state, path, note, note_size, error);
}

covey_status covey_conversation_restore(covey_conversation *conversation, const char *path,
                                        covey_error *error, covey_note_fn note, void *user) {
    const covey_backend_table *table = &conversation->backend->table;
    if (!table->restore)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "backend: it keeps no conversations");
    return table->restore(table->user, conversation->state, path, error, note, user);
}

void covey_conversation_cancel(covey_conversation *conversation) {
    conversation->backend->table.cancel(conversation->backend->table.user, conversation->state);
}
