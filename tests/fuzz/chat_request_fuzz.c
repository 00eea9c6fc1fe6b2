/* Bodies of completion requests: each is taken whole, with everything within its bounds, or refused
 * with a message; never half. */
#include "fuzz/fuzz_target.h"

#include "base/runtime.h"
#include "serve/serve.h"

#include <string.h>

static void check_taken(const covey__chat_request *taken, bool chat) {
    const covey_request *request = &taken->request;
    const covey_sampling *sampling = request->generation->sampling;
    FUZZ_CHECK(chat == (request->prompt == NULL));
    FUZZ_CHECK(chat == (request->message_count > 0 || request->chat != NULL));
    FUZZ_CHECK(taken->answers >= 1 && taken->answers <= COVEY__SERVE_ANSWERS_MAX);
    FUZZ_CHECK(request->message_count <= COVEY__SERVE_MESSAGES_MAX);
    for (size_t i = 0; i < request->message_count; i++) {
        FUZZ_CHECK(request->messages[i].role[0] != '\0');
        FUZZ_CHECK(strlen(request->messages[i].content) <= COVEY__SERVE_BODY_MAX);
    }
    FUZZ_CHECK(request->generation->stop_count <= COVEY__SERVE_STOPS_MAX);
    for (size_t i = 0; i < request->generation->stop_count; i++)
        FUZZ_CHECK(request->generation->stop[i][0] != '\0');
    FUZZ_CHECK(request->generation->tokens_max >= 0 && sampling->top_k >= 0);
    FUZZ_CHECK(sampling->temperature >= 0.0f && sampling->temperature <= 100.0f);
    FUZZ_CHECK(sampling->top_p >= 0.0f && sampling->top_p <= 1.0f);
    FUZZ_CHECK(sampling->min_p >= 0.0f && sampling->min_p <= 1.0f);
    FUZZ_CHECK(sampling->repetition_penalty > 0.0f);
}

/* The body again, as if the model had said it: calls are among its tools, a fault has its words;
 * and what the model is told of tools is a conversation of plain turns. */
static void check_tools(covey__chat_request *taken, const char *said, size_t size) {
    const covey__tool_call *calls = NULL;
    covey__tool_fault fault;
    size_t count = covey__tools_calls(&taken->tools, &taken->arena, said, size, &calls, &fault);
    FUZZ_CHECK(count == 0 || (fault.code == NULL && taken->tools.list));
    FUZZ_CHECK(fault.code == NULL || fault.message[0] != '\0');
    const covey__json *tool = taken->tools.list ? taken->tools.list->child : NULL;
    for (; tool && taken->said; tool = tool->next) /* any object for arguments */
        (void)covey__arguments_fit(&taken->tools, &taken->arena, tool, taken->said->child, &fault);
    if (covey__chat_teach_tools(taken, NULL) != COVEY_OK) return;
    for (size_t i = 0; i < taken->request.message_count; i++)
        FUZZ_CHECK(taken->request.messages[i].content != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static covey_runtime *runtime; /* one for all */
    if (!runtime) FUZZ_CHECK(covey__runtime_new(NULL, &runtime, NULL) == COVEY_OK);
    for (int chat = 0; chat < 2; chat++) {
        covey__chat_request request;
        covey_error error = {COVEY_OK, 0, 0, 0, ""};
        covey_status status = covey__chat_request_parse(runtime, (const char *)data, size,
                                                        chat == 1, &request, &error);
        FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
        if (status != COVEY_OK) continue;
        check_taken(&request, chat == 1);
        check_tools(&request, (const char *)data, size);
        covey__chat_request_free(&request);
    }
    return 0;
}
