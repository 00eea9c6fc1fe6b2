/* Has a model fill a form: guided MODEL.gguf "what to make of it". Whatever the model, what is
 * printed is JSON of the schema. */
#include <covey/guide.h>
#include <covey/session.h>
#include <stdio.h>
#include <string.h>

static const char schema[] =
    "{\"type\": \"object\","
    " \"properties\": {\"title\": {\"type\": \"string\", \"maxLength\": 40},"
    "                  \"minutes\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 600}},"
    " \"required\": [\"title\", \"minutes\"]}";

static bool show(void *user, const char *text, size_t text_size) {
    return fwrite(text, 1, text_size, user) == text_size;
}

int main(int argc, char **argv) {
    covey_runtime *runtime = NULL;
    covey_model *model = NULL;
    covey_guide *guide = NULL;
    covey_session *session = NULL;
    covey_error error = {0};
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    covey_generation_options options = COVEY_GENERATION_OPTIONS_INIT;
    covey_generation_result result = COVEY_GENERATION_RESULT_INIT;
    covey_message message = {"user", argc > 2 ? argv[2] : "a timer for tea"};
    covey_token tokens[512];
    size_t count = 0;
    source.path = argc > 1 ? argv[1] : "model.gguf";
    options.tokens_max = 100;
    if (covey_runtime_open(NULL, &runtime, &error) ||
        covey_guide_new_json_schema(runtime, schema, strlen(schema), NULL, &guide, &error) ||
        covey_model_open(runtime, &source, &model, &error) ||
        covey_model_render_chat(model, &message, 1, true, tokens, 512, &count, &error) ||
        covey_session_open(model, NULL, &session, &error) ||
        covey_session_append(session, tokens, count, &error)) {
        fprintf(stderr, "guided: %s\n", error.message);
    } else {
        options.guide = guide;
        if (covey_session_generate(session, &options, &result, &error, show, stdout))
            fprintf(stderr, "guided: %s\n", error.message);
        printf("\n%d tokens, %d of them without a choice\n", (int)result.token_count,
               (int)result.forced_count);
    }
    covey_session_close(session);
    covey_model_close(model);
    covey_guide_free(guide);
    covey_runtime_close(runtime);
    return error.status != COVEY_OK || !result.guide_complete;
}
