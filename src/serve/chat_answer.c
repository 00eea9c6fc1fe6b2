/* What the server says, as JSON in OpenAI's shapes (platform.openai.com/docs/api-reference/chat,
 * completions), with one member of ours, "covey": where the answer came from and how fast. */
#include "serve/serve.h"

static const char *finish_reason(covey_stop_reason reason) {
    switch (reason) {
    case COVEY_STOP_LENGTH:
    case COVEY_STOP_CONTEXT:
        return "length";
    default: /* a cancelled answer is sent as an error, never as one of these */
        return "stop";
    }
}

static void head_members(covey__json_writer *json, const covey__answer_head *head,
                         const char *chat_object, const char *text_object) {
    covey__json_member_string(json, "id", head->id);
    covey__json_member_string(json, "object", head->chat ? chat_object : text_object);
    covey__json_member_i64(json, "created", head->created_s);
    covey__json_member_string(json, "model", head->model);
}

static void usage(covey__json_writer *json, const covey_answer *answer) {
    covey__json_name(json, "usage");
    covey__json_begin_object(json);
    covey__json_member_i64(json, "prompt_tokens", answer->prompt_token_count);
    covey__json_member_i64(json, "completion_tokens", answer->answer_token_count);
    covey__json_member_i64(json, "total_tokens",
                           (int64_t)answer->prompt_token_count + answer->answer_token_count);
    covey__json_name(json, "prompt_tokens_details");
    covey__json_begin_object(json);
    covey__json_member_i64(json, "cached_tokens", answer->reused_token_count);
    covey__json_end_object(json);
    covey__json_end_object(json);
}

static double per_second(int64_t count, int64_t us) {
    return us > 0 ? (double)(count * 100000000 / us) / 100.0 : 0.0;
}

static void figures(covey__json_writer *json, const covey__answer_head *head,
                    const covey_answer *answer) {
    int64_t computed = answer->prompt_token_count - answer->reused_token_count;
    covey__json_name(json, "covey");
    covey__json_begin_object(json);
    covey__json_member_string(json, "ensemble", head->label);
    covey__json_member_string(json, "route", "local");
    covey__json_member_f64(json, "time_to_first_token_ms",
                           (double)(answer->first_token_us / 10) / 100.0);
    covey__json_member_f64(json, "prefill_tps", per_second(computed, answer->prefill_us));
    covey__json_member_f64(json, "decode_tps",
                           per_second(answer->answer_token_count - 1, answer->decode_us));
    covey__json_end_object(json);
}

void covey__answer_whole(covey__buffer *out, const covey__answer_head *head, const char *text,
                         size_t text_size, const covey_answer *answer) {
    covey__json_writer json;
    covey__json_writer_init(&json, out, false);
    covey__json_begin_object(&json);
    head_members(&json, head, "chat.completion", "text_completion");
    covey__json_name(&json, "choices");
    covey__json_begin_array(&json);
    covey__json_begin_object(&json);
    covey__json_member_i64(&json, "index", 0);
    if (head->chat) {
        covey__json_name(&json, "message");
        covey__json_begin_object(&json);
        covey__json_member_string(&json, "role", "assistant");
        covey__json_name(&json, "content");
        covey__json_put_text(&json, text, text_size);
        covey__json_end_object(&json);
    } else {
        covey__json_name(&json, "text");
        covey__json_put_text(&json, text, text_size);
    }
    covey__json_member_string(&json, "logprobs", NULL);
    covey__json_member_string(&json, "finish_reason", finish_reason(answer->stop_reason));
    covey__json_end_object(&json);
    covey__json_end_array(&json);
    usage(&json, answer);
    figures(&json, head, answer);
    covey__json_end_object(&json);
}

static void chunk_begin(covey__json_writer *json, covey__buffer *out,
                        const covey__answer_head *head) {
    covey__buffer_text(out, "data: ");
    covey__json_writer_init(json, out, false);
    covey__json_begin_object(json);
    head_members(json, head, "chat.completion.chunk", "text_completion");
    covey__json_name(json, "choices");
    covey__json_begin_array(json);
}

static void chunk_choice(covey__json_writer *json, const covey__answer_head *head, const char *text,
                         size_t text_size, bool first, const char *reason) {
    covey__json_begin_object(json);
    covey__json_member_i64(json, "index", 0);
    if (head->chat) {
        covey__json_name(json, "delta");
        covey__json_begin_object(json);
        if (first) covey__json_member_string(json, "role", "assistant");
        if (text) {
            covey__json_name(json, "content");
            covey__json_put_text(json, text, text_size);
        }
        covey__json_end_object(json);
    } else {
        covey__json_name(json, "text");
        covey__json_put_text(json, text ? text : "", text_size);
    }
    covey__json_member_string(json, "logprobs", NULL);
    covey__json_member_string(json, "finish_reason", reason);
    covey__json_end_object(json);
}

void covey__answer_piece(covey__buffer *out, const covey__answer_head *head, const char *text,
                         size_t text_size, bool first) {
    covey__json_writer json;
    chunk_begin(&json, out, head);
    chunk_choice(&json, head, text, text_size, first, NULL);
    covey__json_end_array(&json);
    covey__json_end_object(&json);
    covey__buffer_text(out, "\n\n");
}

void covey__answer_final(covey__buffer *out, const covey__answer_head *head,
                         const covey_answer *answer, bool include_usage) {
    covey__json_writer json;
    chunk_begin(&json, out, head);
    chunk_choice(&json, head, NULL, 0, false, finish_reason(answer->stop_reason));
    covey__json_end_array(&json);
    figures(&json, head, answer);
    covey__json_end_object(&json);
    covey__buffer_text(out, "\n\n");
    if (include_usage) {
        chunk_begin(&json, out, head);
        covey__json_end_array(&json);
        usage(&json, answer);
        covey__json_end_object(&json);
        covey__buffer_text(out, "\n\n");
    }
    covey__buffer_text(out, "data: [DONE]\n\n");
}

void covey__answer_error(covey__buffer *out, int http_status, const char *code,
                         const char *message) {
    covey__json_writer json;
    covey__json_writer_init(&json, out, false);
    covey__json_begin_object(&json);
    covey__json_name(&json, "error");
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "message", message);
    covey__json_member_string(&json, "type",
                              http_status < 500 ? "invalid_request_error" : "server_error");
    covey__json_member_string(&json, "param", NULL);
    covey__json_member_string(&json, "code", code);
    covey__json_end_object(&json);
    covey__json_end_object(&json);
}

const char *covey__answer_code(covey_status status) {
    return status == COVEY_ERROR_CONTEXT_SIZE ? "context_length_exceeded"
                                              : covey_status_name(status);
}

int covey__answer_http_status(covey_status status) {
    switch (status) {
    case COVEY_ERROR_INVALID_ARGUMENT:
    case COVEY_ERROR_FORMAT:
    case COVEY_ERROR_UNSUPPORTED:
    case COVEY_ERROR_CONTEXT_SIZE:
    case COVEY_ERROR_LIMIT:
        return 400;
    case COVEY_ERROR_NOT_FOUND: /* no model is loaded */
    case COVEY_ERROR_BUSY:
    case COVEY_ERROR_CANCELLED:
    case COVEY_ERROR_NO_MEMORY:
        return 503;
    default:
        return 500;
    }
}
