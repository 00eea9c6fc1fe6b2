/* Answers one prompt with a model: answer MODEL.gguf "what to say" */
#include <covey/backend.h>
#include <stdio.h>

static bool show(void *user, const char *text, size_t text_size) {
    return fwrite(text, 1, text_size, user) == text_size;
}

int main(int argc, char **argv) {
    covey_runtime *runtime = NULL;
    covey_model *model = NULL;
    covey_backend *backend = NULL;
    covey_conversation *conversation = NULL;
    covey_error error = {0};
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    covey_request request = COVEY_REQUEST_INIT;
    covey_message message = {"user", argc > 2 ? argv[2] : "Hello"};
    source.path = argc > 1 ? argv[1] : "model.gguf";
    request.messages = &message;
    request.message_count = 1;
    if (covey_runtime_open(NULL, &runtime, &error) ||
        covey_model_open(runtime, &source, &model, &error) ||
        covey_backend_local(runtime, model, 1, &backend, &error) ||
        covey_conversation_open(backend, 0, &conversation, &error) ||
        covey_conversation_generate(conversation, &request, NULL, &error, show, stdout))
        fprintf(stderr, "answer: %s\n", error.message);
    putchar('\n');
    covey_conversation_close(conversation);
    if (backend)
        covey_backend_release(backend); /* closes the model that it took */
    else
        covey_model_close(model);
    covey_runtime_close(runtime);
    return error.status != COVEY_OK;
}
