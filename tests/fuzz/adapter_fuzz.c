/* Adapters: whatever bytes open as an adapter of a small model must give finite logits, or one
 * clear error; nothing else may come of it. The model is the seed of the models' fuzz target. */
#include "fuzz/fuzz_target.h"

#include "base/file.h"
#include "base/runtime.h"
#include "kernel/kernel.h"
#include <covey/session.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct base {
    covey_runtime *runtime;
    covey_model *model;
    char path[64]; /* of the adapter at hand */
} base;

/* Once for all inputs. */
static base *open_base(void) {
    static base b;
    if (b.model) return &b;
    const char *root = getenv("COVEY_SOURCE_DIR");
    char model[1024];
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    snprintf(model, sizeof model, "%s/tests/fuzz/seeds/model/f32.gguf", root ? root : ".");
    source.path = model;
    snprintf(b.path, sizeof b.path, "/tmp/covey-adapter-fuzz-%d", (int)getpid());
    FUZZ_CHECK(covey__runtime_new(NULL, &b.runtime, NULL) == COVEY_OK);
    FUZZ_CHECK(covey_model_open(b.runtime, &source, &b.model, NULL) == COVEY_OK);
    return &b;
}

static void use(base *b, covey_adapter *adapter) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_adapter_use one = {adapter, 0.5f};
    covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
    covey_session *session = NULL;
    covey_token tokens[3] = {1, 2, 3};
    options.context_tokens = 16;
    options.adapters = &one;
    options.adapter_count = 1;
    FUZZ_CHECK(covey_session_open(b->model, &options, &session, &error) == COVEY_OK);
    covey_status status = covey_session_append(session, tokens, 3, &error);
    size_t count = 0;
    const float *logits = covey_session_logits(session, &count);
    FUZZ_CHECK(status == COVEY_OK ? covey__finite(logits, count) : error.message[0] != 0);
    covey_session_close(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_adapter *adapter = NULL;
    base *b = open_base();
    FILE *file = fopen(b->path, "wb");
    FUZZ_CHECK(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    covey_status status = covey_adapter_open(b->model, b->path, &adapter, &error);
    FUZZ_CHECK((status == COVEY_OK) == (adapter != NULL));
    FUZZ_CHECK(status == COVEY_OK || (status == error.status && error.message[0]));
    if (adapter) use(b, adapter);
    covey_adapter_close(adapter);
    unlink(b->path);
    return 0;
}
