/* What the server says, as JSON in OpenAI's shapes (platform.openai.com/docs/api-reference/chat,
 * completions), with one member of ours, "covey": where the answer came from and how fast. */
#include "serve/chat.h"

#include <stdio.h>

static const char *finish_reason(const covey__choice *choice) {
    if (choice->call_count) return "tool_calls";
    switch (choice->answer->stop_reason) {
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
    if (head->digest && *head->digest) {
        char fingerprint[32]; /* OpenAI's word for what computed an answer */
        snprintf(fingerprint, sizeof fingerprint, "covey-%.16s", head->digest);
        covey__json_member_string(json, "system_fingerprint", fingerprint);
    }
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
    if (head->digest && *head->digest) covey__json_member_string(json, "digest", head->digest);
    covey__chat_adapters_put_used(json, &head->adapters);
    covey__json_member_string(json, "route", "local");
    covey__json_member_f64(json, "time_to_first_token_ms",
                           (double)(answer->first_token_us / 10) / 100.0);
    covey__json_member_f64(json, "prefill_tps", per_second(computed, answer->prefill_us));
    covey__json_member_f64(json, "decode_tps",
                           per_second(answer->answer_token_count - 1, answer->decode_us));
    covey__json_member_f64(json, "confidence", (double)answer->confidence);
    covey__json_member_f64(json, "mean_entropy", (double)answer->mean_entropy);
    covey__json_member_i64(json, "forced_tokens", answer->forced_token_count);
    covey__json_member_i64(json, "drafted_tokens", answer->drafted_token_count);
    covey__json_member_i64(json, "accepted_tokens", answer->accepted_token_count);
    covey__json_member_i64(json, "dropped_tokens", answer->dropped_token_count);
    covey__json_end_object(json);
}

/* Calls, with an index each where they are a piece of a stream. */
static void tool_calls(covey__json_writer *json, const covey__answer_head *head,
                       const covey__choice *choice, bool piece) {
    covey__json_name(json, "tool_calls");
    covey__json_begin_array(json);
    for (size_t i = 0; i < choice->call_count; i++) {
        char id[80];
        snprintf(id, sizeof id, "call_%s_%d_%zu", head->id, (int)choice->index, i);
        covey__json_begin_object(json);
        if (piece) covey__json_member_i64(json, "index", (int64_t)i);
        covey__json_member_string(json, "id", id);
        covey__json_member_string(json, "type", "function");
        covey__json_name(json, "function");
        covey__json_begin_object(json);
        covey__json_member_string(json, "name", choice->calls[i].name);
        covey__json_member_string(json, "arguments", choice->calls[i].arguments);
        covey__json_end_object(json);
        covey__json_end_object(json);
    }
    covey__json_end_array(json);
}

/* Something began as a call and is none: which, and why. */
static void tool_fault(covey__json_writer *json, const covey__choice *choice) {
    if (!choice->fault || !choice->fault->code) return;
    covey__json_name(json, "tool_call_error");
    covey__json_begin_object(json);
    covey__json_member_string(json, "code", choice->fault->code);
    covey__json_member_string(json, "tool", *choice->fault->tool ? choice->fault->tool : NULL);
    covey__json_member_string(json, "message", choice->fault->message);
    covey__json_end_object(json);
}

static void whole_choice(covey__json_writer *json, const covey__answer_head *head,
                         const covey__choice *choice) {
    covey__json_begin_object(json);
    covey__json_member_i64(json, "index", choice->index);
    if (head->chat) {
        covey__json_name(json, "message");
        covey__json_begin_object(json);
        covey__json_member_string(json, "role", "assistant");
        covey__json_name(json, "content");
        if (choice->call_count && !choice->text_size)
            covey__json_put_null(json);
        else
            covey__json_put_text(json, choice->text, choice->text_size);
        if (choice->call_count) tool_calls(json, head, choice, false);
        covey__json_end_object(json);
    } else {
        covey__json_name(json, "text");
        covey__json_put_text(json, choice->text, choice->text_size);
    }
    covey__logprobs_put(json, choice->logprobs);
    covey__json_member_string(json, "finish_reason", finish_reason(choice));
    tool_fault(json, choice);
    covey__json_end_object(json);
}

void covey__answer_whole(covey__buffer *out, const covey__answer_head *head,
                         const covey__choice *choices, size_t choice_count,
                         const covey_answer *sum) {
    covey__json_writer json;
    covey__json_writer_init(&json, out, false);
    covey__json_begin_object(&json);
    head_members(&json, head, "chat.completion", "text_completion");
    covey__json_name(&json, "choices");
    covey__json_begin_array(&json);
    for (size_t i = 0; i < choice_count; i++) whole_choice(&json, head, &choices[i]);
    covey__json_end_array(&json);
    usage(&json, sum);
    figures(&json, head, choices[0].answer);
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

static void chunk_choice(covey__json_writer *json, const covey__answer_head *head,
                         const covey__choice *choice, bool first, const char *reason) {
    covey__json_begin_object(json);
    covey__json_member_i64(json, "index", choice->index);
    if (head->chat) {
        covey__json_name(json, "delta");
        covey__json_begin_object(json);
        if (first) covey__json_member_string(json, "role", "assistant");
        if (choice->text && !reason) {
            covey__json_name(json, "content");
            covey__json_put_text(json, choice->text, choice->text_size);
        }
        if (choice->call_count && !reason) tool_calls(json, head, choice, true);
        covey__json_end_object(json);
    } else {
        covey__json_name(json, "text");
        covey__json_put_text(json, choice->text && !reason ? choice->text : "",
                             reason ? 0 : choice->text_size);
    }
    covey__logprobs_put(json, choice->logprobs);
    covey__json_member_string(json, "finish_reason", reason);
    if (reason) tool_fault(json, choice);
    covey__json_end_object(json);
}

static void chunk_end(covey__json_writer *json, covey__buffer *out) {
    covey__json_end_object(json);
    covey__buffer_text(out, "\n\n");
}

void covey__answer_piece(covey__buffer *out, const covey__answer_head *head,
                         const covey__choice *choice, bool first) {
    covey__json_writer json;
    chunk_begin(&json, out, head);
    chunk_choice(&json, head, choice, first, NULL);
    covey__json_end_array(&json);
    chunk_end(&json, out);
}

void covey__answer_final(covey__buffer *out, const covey__answer_head *head,
                         const covey__choice *choice) {
    covey__json_writer json;
    chunk_begin(&json, out, head);
    chunk_choice(&json, head, choice, false, finish_reason(choice));
    covey__json_end_array(&json);
    figures(&json, head, choice->answer);
    chunk_end(&json, out);
}

void covey__answer_end(covey__buffer *out, const covey__answer_head *head, const covey_answer *sum,
                       bool include_usage) {
    covey__json_writer json;
    if (include_usage) {
        chunk_begin(&json, out, head);
        covey__json_end_array(&json);
        usage(&json, sum);
        chunk_end(&json, out);
    }
    covey__buffer_text(out, "data: [DONE]\n\n");
}

void covey__answer_error(covey__buffer *out, int http_status, const char *code, const char *message,
                         const char *param) {
    covey__json_writer json;
    covey__json_writer_init(&json, out, false);
    covey__json_begin_object(&json);
    covey__json_name(&json, "error");
    covey__json_begin_object(&json);
    covey__json_member_string(&json, "message", message);
    covey__json_member_string(&json, "type",
                              http_status < 500 ? "invalid_request_error" : "server_error");
    covey__json_member_string(&json, "param", param);
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
    case COVEY_ERROR_DENIED:    /* it was withdrawn */
    case COVEY_ERROR_BUSY:
    case COVEY_ERROR_CANCELLED:
    case COVEY_ERROR_NO_MEMORY:
        return 503;
    default:
        return 500;
    }
}
