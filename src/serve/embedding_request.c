/* /v1/embeddings in OpenAI's shape: texts in, vectors of length 1 out, as numbers or as the base64
 * of little-endian float32, which is what clients ask for to save bytes. Options that would change
 * the vectors are refused by name. */
#include "serve/serve.h"

#include "base/error.h"

#include <string.h>

#define TEXTS_MAX   2048
#define BATCH_TEXTS 64 /* that the backend embeds at once: then it is looked who still waits */

static const char *const members[] = {"model",      "input", "encoding_format",
                                      "dimensions", "user",  NULL};

typedef struct asked {
    covey__arena arena;
    const covey__json *first; /* of the texts */
    size_t count;
    bool base64;
    const covey__conversations *pool;
    covey__served *served;
    size_t width; /* floats of a vector */
    int socket;
} asked;

typedef struct batch {
    covey_backend_text *texts;
    float *vectors;
    size_t *counts; /* of tokens */
} batch;

static bool is_text(const covey__json *node) {
    return node && node->kind == COVEY__JSON_STRING;
}

static bool listed(const char *name) {
    const char *const *at = members;
    while (*at && strcmp(*at, name)) at++;
    return *at != NULL;
}

static covey_status read_input(const covey__json *input, asked *out, covey_error *error) {
    if (is_text(input)) {
        out->first = input;
        out->count = 1;
    } else if (input && input->kind == COVEY__JSON_ARRAY) {
        out->first = input->child;
        out->count = input->size;
    }
    const covey__json *node = out->first;
    for (size_t i = 0; i < out->count; i++, node = node->next)
        if (!is_text(node) || !node->size)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "input[%zu]: expected a text that is not empty", i);
    if (out->count > 0 && out->count <= TEXTS_MAX) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                       "input: expected a text or an array of 1 to %d texts", TEXTS_MAX);
}

static covey_status parse(asked *out, const char *body, size_t size, int32_t width,
                          covey_error *error) {
    const covey__json *root = NULL;
    covey__json_limits limits = {COVEY__SERVE_BODY_MAX, 16, 10000};
    covey_status status = covey__json_parse(&out->arena, body, size, limits, &root, error);
    if (status) return status;
    if (root->kind != COVEY__JSON_OBJECT)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "the body is not a JSON object");
    for (const covey__json *node = root->child; node; node = node->next)
        if (node->kind != COVEY__JSON_NULL && !listed(node->name))
            return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                               "\"%.64s\" is not supported here; leave it out", node->name);
    const covey__json *format = covey__json_get(root, "encoding_format");
    const covey__json *dimensions = covey__json_get(root, "dimensions");
    int64_t wanted = width;
    if (dimensions && dimensions->kind != COVEY__JSON_NULL &&
        (dimensions->kind != COVEY__JSON_NUMBER || !covey__json_to_i64(dimensions, &wanted) ||
         wanted != width))
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "dimensions: this model's vectors have %d; leave it out", (int)width);
    if (format && format->kind != COVEY__JSON_NULL) {
        out->base64 = is_text(format) && !strcmp(format->text, "base64");
        if (!out->base64 && !(is_text(format) && !strcmp(format->text, "float")))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "encoding_format: expected \"float\" or \"base64\"");
    }
    return read_input(covey__json_get(root, "input"), out, error);
}

/* ---- The answer ---- */

static void put_base64(covey__json_writer *json, const float *vector, size_t width) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    covey__buffer *out = json->out;
    const size_t size = width * sizeof *vector;
    covey__json_put_raw(json, "\"", 1);
    for (size_t at = 0; at < size; at += 3) {
        unsigned char three[3] = {0, 0, 0};
        for (size_t i = 0; i < 3 && at + i < size; i++) {
            uint32_t bits;
            memcpy(&bits, &vector[(at + i) / 4], sizeof bits);
            three[i] = (unsigned char)(bits >> (8 * ((at + i) % 4)));
        }
        uint32_t all = (uint32_t)three[0] << 16 | (uint32_t)three[1] << 8 | three[2];
        char four[4] = {digits[all >> 18], digits[all >> 12 & 63], digits[all >> 6 & 63],
                        digits[all & 63]};
        if (at + 1 >= size) four[2] = '=';
        if (at + 2 >= size) four[3] = '=';
        covey__buffer_append(out, four, 4);
    }
    covey__buffer_byte(out, '"');
}

static void put_vector(covey__json_writer *json, size_t index, const float *vector, size_t width,
                       bool base64) {
    covey__json_begin_object(json);
    covey__json_member_string(json, "object", "embedding");
    covey__json_member_u64(json, "index", index);
    covey__json_name(json, "embedding");
    if (base64) {
        put_base64(json, vector, width);
    } else {
        covey__json_begin_array(json);
        for (size_t i = 0; i < width; i++) covey__json_put_f64(json, (double)vector[i]);
        covey__json_end_array(json);
    }
    covey__json_end_object(json);
}

/* How a request ended, for the counters. */
typedef enum outcome { REFUSED, FAILED, CANCELLED } outcome;

/* The vectors of the texts from `text` on, as many as make one batch, into `out`. */
static covey_status put_batch(const asked *in, const batch *room, const covey__json *text,
                              size_t first, size_t count, covey__json_writer *json,
                              covey_error *error) {
    size_t failed = count;
    for (size_t i = 0; i < count; i++, text = text->next)
        room->texts[i] = (covey_backend_text){text->text, text->size};
    covey_status status = covey_backend_embed_texts(in->served->backend, room->texts, count,
                                                    room->vectors, room->counts, &failed, error);
    if (status)
        return failed < count ? covey__prefix(error, status, "input[%zu]", first + failed) : status;
    for (size_t i = 0; i < count; i++)
        put_vector(json, first + i, room->vectors + i * in->width, in->width, in->base64);
    return COVEY_OK;
}

/* Between two batches it is looked whether the client is still there; nothing waits for it. */
static covey_status put_vectors(const asked *in, const batch *room, covey__json_writer *json,
                                uint64_t *tokens, covey_error *error) {
    const covey__json *text = in->first;
    for (size_t at = 0; at < in->count; at += BATCH_TEXTS) {
        size_t count = in->count - at < BATCH_TEXTS ? in->count - at : BATCH_TEXTS;
        if (in->pool->closing || covey__client_left(in->socket))
            return covey__fail(error, COVEY_ERROR_CANCELLED,
                               "the answer was cut off: the server is stopping; ask again");
        covey_status status = put_batch(in, room, text, at, count, json, error);
        if (status) return status;
        for (size_t i = 0; i < count; i++, text = text->next) *tokens += room->counts[i];
    }
    return COVEY_OK;
}

static covey_status put_answer(const asked *in, const batch *room, covey__buffer *out,
                               covey_error *error) {
    covey__json_writer json;
    uint64_t tokens = 0;
    covey__json_writer_init(&json, out, false);
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "object", "list");
    covey__json_name(&json, "data");
    covey__json_begin_array(&json);
    covey_status status = put_vectors(in, room, &json, &tokens, error);
    if (status) return status;
    covey__json_end_array(&json);
    covey__json_member_string(&json, "model", in->served->model);
    covey__json_name(&json, "usage");
    covey__json_begin_object(&json);
    covey__json_member_u64(&json, "prompt_tokens", tokens);
    covey__json_member_u64(&json, "total_tokens", tokens);
    covey__json_end_object(&json);
    covey__json_end_object(&json);
    return covey__buffer_check(out, error, "the answer");
}

static covey_status compute(const asked *in, const covey__env *env, covey__buffer *out,
                            covey_error *error) {
    size_t most = in->count < BATCH_TEXTS ? in->count : BATCH_TEXTS;
    batch room = {.texts = covey__calloc(env, most, sizeof *room.texts),
                  .vectors = covey__calloc(env, most, in->width * sizeof *room.vectors),
                  .counts = covey__calloc(env, most, sizeof *room.counts)};
    covey_status status = COVEY_OK;
    if (!room.texts || !room.vectors || !room.counts)
        status = covey__no_memory(error, "vectors", most * in->width * sizeof *room.vectors);
    if (!status) status = put_answer(in, &room, out, error);
    covey__free(env, room.texts);
    covey__free(env, room.vectors);
    covey__free(env, room.counts);
    return status;
}

static covey_status answer(covey_server *server, asked *in, const char *body, size_t body_size,
                           covey__buffer *out, outcome *ended, covey_error *error) {
    covey_backend_report report = {.size = sizeof report};
    covey_backend_get_report(in->served->backend, &report);
    in->width = report.embedding_width > 0 ? (size_t)report.embedding_width : 1;
    *ended = REFUSED;
    covey_status status = parse(in, body, body_size, report.embedding_width, error);
    if (status) return status;
    status = compute(in, server->env, out, error);
    *ended = status == COVEY_ERROR_CANCELLED ? CANCELLED : FAILED;
    return status;
}

static void count(covey__serve_counters *counters, covey_status status, outcome ended) {
    covey__counter_add(!status              ? &counters->requests_ok
                       : ended == REFUSED   ? &counters->requests_refused
                       : ended == CANCELLED ? &counters->requests_cancelled
                                            : &counters->requests_failed,
                       1);
}

enum MHD_Result covey__embeddings_answer(covey_server *server, struct MHD_Connection *connection,
                                         const char *body, size_t body_size) {
    covey_error error = {0};
    char param[COVEY__PARAM_MAX];
    covey__buffer out;
    outcome ended = REFUSED;
    asked in = {.pool = &server->pool, .socket = covey__client_socket(connection)};
    covey__arena_init(&in.arena, server->env, 16u << 20);
    covey__buffer_init(&out, server->env, 64u << 20);
    covey_status status = covey__conversations_enter(&server->pool, &in.served, &error);
    if (!status) status = answer(server, &in, body, body_size, &out, &ended, &error);
    count(&server->counters, status, ended);
    const covey__reply_head head = {200, "application/json", in.served ? in.served->label : NULL,
                                    NULL};
    enum MHD_Result result =
        status ? covey__reply_failure(server, connection, status, error.message,
                                      covey__param_of(members, error.message, param))
               : covey__reply(server, connection, &head, out.data, out.size);
    covey__buffer_free(&out);
    covey__arena_free(&in.arena);
    if (in.served) covey__conversations_done(&server->pool, in.served);
    return result;
}
