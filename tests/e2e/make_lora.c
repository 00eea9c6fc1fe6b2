/* make_lora MODEL OUT [SEED]: a LoRA of rank 2 for a model's first layer, with random weights that
 * are large enough to change what it says. For e2e/adapters.sh. */
#include "support/support.h"

#include "base/env.h"
#include "gguf/gguf.h"
#include "gguf/gguf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANK 2

static const char *const names[] = {"blk.0.attn_q.weight", "blk.0.attn_v.weight"};

static covey_status put_values(covey__gguf_writer *writer, uint64_t count, uint64_t *seed,
                               covey_error *error) {
    covey_status status = COVEY_OK;
    for (uint64_t i = 0; i < count && !status; i++) {
        float value = (float)((double)(test_random(seed) >> 11) / 9007199254740992.0 - 0.5);
        status = covey__gguf_write_data(writer, &value, sizeof value, error);
    }
    return status;
}

/* Both passes over the tensors: first what they are, then what is in them. */
static covey_status put_tensors(covey__gguf_writer *writer, const covey__gguf *model, bool values,
                                uint64_t seed, covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < 4 && !status; i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_find(model, names[i / 2]);
        bool a = i % 2 == 0;
        char name[64];
        if (!t) return COVEY_ERROR_NOT_FOUND;
        uint64_t shape[2] = {a ? t->dimensions[0] : RANK, a ? RANK : t->dimensions[1]};
        snprintf(name, sizeof name, "%s.lora_%c", names[i / 2], a ? 'a' : 'b');
        status = values ? put_values(writer, shape[0] * shape[1], &seed, error)
                        : covey__gguf_add_tensor(writer, name, COVEY__TYPE_F32, 2, shape, error);
    }
    return status;
}

int main(int argc, char **argv) {
    covey_error error = {.message = "MODEL OUT [SEED] expected, a model with separate q and v"};
    covey__gguf *model = NULL;
    covey__gguf_writer *writer = NULL;
    covey__gguf_text kind = {"", 0};
    static test_env test;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    test_env_init(&test);
    covey_status status = argc < 3 ? COVEY_ERROR_INVALID_ARGUMENT
                                   : covey__gguf_open_path(&test.env, argv[1], &model, &error);
    if (!status) status = covey__gguf_string(model, "general.architecture", &kind, &error);
    if (!status) status = covey__gguf_writer_new(&test.env, argv[2], &writer, &error);
    if (!status) {
        char *architecture = strndup(kind.data, kind.size);
        covey__gguf_put_string(writer, "general.type", "adapter", 7);
        covey__gguf_put_string(writer, "general.architecture", architecture, kind.size);
        covey__gguf_put_string(writer, "adapter.type", "lora", 4);
        covey__gguf_put_f32(writer, "adapter.lora.alpha", 8.0f);
        free(architecture);
        status = put_tensors(writer, model, false, seed, &error);
    }
    if (!status) status = covey__gguf_write_header(writer, &error);
    if (!status) status = put_tensors(writer, model, true, seed, &error);
    if (!status) status = covey__gguf_finish(writer, &error);
    covey__gguf_writer_free(writer);
    covey__gguf_close(model);
    if (status) fprintf(stderr, "make_lora: %s\n", error.message);
    return status ? 1 : 0;
}
