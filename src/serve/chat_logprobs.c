/* Log-probabilities of an answer's tokens, as JSON in OpenAI's two shapes: an array of objects for
 * chat, four arrays for plain completions. They collect while tokens are drawn and are taken with
 * the next piece of text. Control tokens are left out: they are no text. */
#include "serve/chat.h"

#include <math.h>
#include <stdio.h>

#define TOKEN_BYTES_MAX 1024
#define LEAST           (-9999.0) /* for a probability of zero, as OpenAI writes it */

void covey__logprobs_init(covey__logprobs *notes, const covey__env *env, covey_backend *backend,
                          bool chat) {
    *notes = (covey__logprobs){.backend = backend, .chat = chat};
    for (int i = 0; i < COVEY__LOGPROB_PARTS; i++)
        covey__buffer_init(&notes->parts[i], env, COVEY__SERVE_BODY_MAX);
}

void covey__logprobs_free(covey__logprobs *notes) {
    for (int i = 0; i < COVEY__LOGPROB_PARTS; i++) covey__buffer_free(&notes->parts[i]);
}

static double shown(float logprob) {
    return isfinite(logprob) ? (double)logprob : LEAST;
}

static void put_token(covey__json_writer *json, const char *bytes, size_t size, float logprob) {
    covey__json_name(json, "token");
    covey__json_put_text(json, bytes, size);
    covey__json_member_f64(json, "logprob", shown(logprob));
    covey__json_name(json, "bytes");
    covey__json_begin_array(json);
    for (size_t i = 0; i < size; i++) covey__json_put_i64(json, (unsigned char)bytes[i]);
    covey__json_end_array(json);
}

static void comma(covey__buffer *out) {
    if (out->size) covey__buffer_byte(out, ',');
}

static void note_chat(covey__logprobs *notes, const covey_token_score *score, const char *bytes,
                      size_t size) {
    covey__json_writer json;
    comma(&notes->parts[0]);
    covey__json_writer_init(&json, &notes->parts[0], false);
    covey__json_begin_object(&json);
    put_token(&json, bytes, size, score->logprob);
    covey__json_name(&json, "top_logprobs");
    covey__json_begin_array(&json);
    for (size_t i = 0; i < score->top_count; i++) {
        char other[TOKEN_BYTES_MAX];
        size_t length =
            covey_backend_token_bytes(notes->backend, score->top[i].token, other, sizeof other);
        covey__json_begin_object(&json);
        put_token(&json, other, length < sizeof other ? length : sizeof other,
                  score->top[i].logprob);
        covey__json_end_object(&json);
    }
    covey__json_end_array(&json);
    covey__json_end_object(&json);
}

/* Parts: tokens, token_logprobs, top_logprobs, text_offset. */
static void note_plain(covey__logprobs *notes, const covey_token_score *score, const char *bytes,
                       size_t size) {
    covey__json_writer json;
    for (int i = 0; i < COVEY__LOGPROB_PARTS; i++) comma(&notes->parts[i]);
    covey__json_writer_init(&json, &notes->parts[0], false);
    covey__json_put_text(&json, bytes, size);
    covey__json_writer_init(&json, &notes->parts[1], false);
    covey__json_put_f64(&json, shown(score->logprob));
    covey__json_writer_init(&json, &notes->parts[2], false);
    covey__json_begin_object(&json);
    for (size_t i = 0; i < score->top_count; i++) {
        char other[TOKEN_BYTES_MAX + 16];
        size_t length =
            covey_backend_token_bytes(notes->backend, score->top[i].token, other, TOKEN_BYTES_MAX);
        if (length >= TOKEN_BYTES_MAX) length = TOKEN_BYTES_MAX;
        other[length] = 0;
        if (!length) snprintf(other, sizeof other, "<%d>", (int)score->top[i].token);
        covey__json_member_f64(&json, other, shown(score->top[i].logprob));
    }
    covey__json_end_object(&json);
    covey__json_writer_init(&json, &notes->parts[3], false);
    covey__json_put_u64(&json, notes->text_bytes);
}

void covey__logprobs_note(void *user, const covey_token_score *score) {
    covey__logprobs *notes = user;
    char bytes[TOKEN_BYTES_MAX];
    size_t size = covey_backend_token_bytes(notes->backend, score->token, bytes, sizeof bytes);
    if (size > sizeof bytes) size = sizeof bytes;
    if (!size) return;
    if (notes->chat)
        note_chat(notes, score, bytes, size);
    else
        note_plain(notes, score, bytes, size);
    notes->text_bytes += size;
}

void covey__logprobs_put(covey__json_writer *json, covey__logprobs *notes) {
    static const char *const names[COVEY__LOGPROB_PARTS] = {"tokens", "token_logprobs",
                                                            "top_logprobs", "text_offset"};
    covey__json_name(json, "logprobs");
    if (!notes || !notes->parts[0].size) {
        covey__json_put_null(json);
        return;
    }
    covey__json_begin_object(json);
    for (int i = 0; i < (notes->chat ? 1 : COVEY__LOGPROB_PARTS); i++) {
        covey__json_name(json, notes->chat ? "content" : names[i]);
        covey__json_begin_array(json);
        covey__json_put_raw(json, notes->parts[i].data, notes->parts[i].size);
        covey__json_end_array(json);
        covey__buffer_clear(&notes->parts[i]);
    }
    covey__json_end_object(json);
}
