/* A model or checkpoint to train on: whatever GGUF opens must be refused with a message that begins
 * "train" or its field, or give a vocabulary, weights and state within the file's memory. */
#include "fuzz/fuzz_target.h"

#include "base/runtime.h"
#include "train/train_file.h"

#include <string.h>

static void read_model(const covey__env *env, const covey__gguf *gguf,
                       const covey__train_vocabulary *vocabulary, covey_error *error) {
    covey__net_shape shape;
    covey__net net = {.weights = NULL};
    if (!covey__train_file_has_weights(gguf)) return;
    if (covey__train_file_shape(gguf, vocabulary->token_count, &shape, error) != COVEY_OK) return;
    if (covey__net_plan(&shape, &net, error) != COVEY_OK) return;
    if (covey__train_file_check(gguf, &net, error) != COVEY_OK) return;
    if (covey__net_init(env, &shape, &net, error) == COVEY_OK) {
        FUZZ_CHECK(covey__train_file_weights(gguf, &net, error) == COVEY_OK);
        size_t bytes = net.parameter_count * sizeof(float);
        covey__train_state state = {.first = covey__alloc_aligned(env, bytes),
                                    .second = covey__alloc_aligned(env, bytes)};
        if (state.first && state.second) (void)!covey__train_file_state(gguf, &net, &state, error);
        covey__free_aligned(env, state.first);
        covey__free_aligned(env, state.second);
    }
    covey__net_free(env, &net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__env_init(&env);
    covey_error error = {0};
    covey__gguf *gguf;
    covey__map map = {.data = data, .size = size};
    if (covey__gguf_open(&env, &map, &gguf, &error) != COVEY_OK) return 0;
    covey__train_vocabulary vocabulary;
    if (covey__train_vocabulary_load(&env, gguf, &vocabulary, &error) == COVEY_OK) {
        read_model(&env, gguf, &vocabulary, &error);
        covey__train_vocabulary_free(&vocabulary);
    } else {
        FUZZ_CHECK(error.message[0] != '\0');
    }
    covey__gguf_close(gguf);
    return 0;
}
