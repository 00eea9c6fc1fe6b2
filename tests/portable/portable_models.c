/* Writes a small model with random weights for every weight type, and one for every architecture,
 * into a folder: what portable_digests computes on each processor.
 * usage: portable_models FOLDER */
#include "unit/engine/synthetic.h"
#include "unit/kernel/kernel_cases.h"

/* Types whose rows nobody here encodes get random levels under a scale of a usual size. */
static void put_random(covey__gguf_writer *writer, const synthetic_tensor *t, uint64_t *random) {
    covey_error error = {.message = ""};
    covey__weights w;
    for (uint64_t row = 0; row < t->rows; row++) {
        uint8_t *data = case_weights(random, (uint32_t)t->type, 1, (int32_t)t->columns, &w);
        case_halves halves = case_halves_of((uint32_t)t->type);
        for (size_t at = 0; at < w.row_bytes; at += halves.bytes)
            for (size_t i = 0; i < halves.count; i++) {
                bool k = covey__kernel_block((uint32_t)t->type) == 256;
                float scale = i == 1 && !k ? -0.05f : 0.01f;
                uint16_t half = covey__f32_to_f16(scale * (k ? 0.02f : 1.0f));
                memcpy(data + at + halves.at + 2 * i, &half, 2);
            }
        must(covey__gguf_write_data(writer, data, w.row_bytes, &error), &error);
        free(data);
    }
}

static void write_model(const synthetic *s, const char *path) {
    covey_error error = {.message = ""};
    synthetic_plan plan;
    uint64_t random = s->seed * 0x9E3779B97F4A7C15ull + 1;
    make_plan_of(&plan, s);
    covey__gguf_writer *writer = NULL;
    must(covey__gguf_writer_new(&plain_env, path, &writer, &error), &error);
    put_metadata(writer, s);
    put_vocabulary(writer);
    for (size_t i = 0; i < plan.count; i++) {
        const synthetic_tensor *t = &plan.tensors[i];
        uint64_t dimensions[2] = {t->columns, t->rows};
        must(covey__gguf_add_tensor(writer, t->name, t->type, t->rows ? 2 : 1, dimensions, &error),
             &error);
    }
    must(covey__gguf_write_header(writer, &error), &error);
    for (size_t i = 0; i < plan.count; i++) {
        const synthetic_tensor *t = &plan.tensors[i];
        if (covey__kernel_act((uint32_t)t->type) == COVEY__ACT_F32)
            write_tensor(writer, s, t, &random);
        else
            put_random(writer, t, &random);
    }
    must(covey__gguf_finish(writer, &error), &error);
    covey__gguf_writer_free(writer);
}

int main(int count, char **arguments) {
    char path[600];
    if (count != 2) {
        fprintf(stderr, "usage: portable_models FOLDER\n");
        return 2;
    }
    covey__env_init(&plain_env);
    for (size_t i = 0; i < CASE_TYPES; i++) {
        synthetic s = SYNTHETIC_WIDE;
        s.type = s.output_type = (covey__type)case_types[i];
        snprintf(path, sizeof path, "%s/type-%u.gguf", arguments[1], case_types[i]);
        write_model(&s, path);
    }
    static const char *const architectures[] = {"qwen2", "qwen3",   "gemma3",
                                                "phi3",  "smollm3", "bert"};
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        synthetic s = SYNTHETIC_WIDE;
        s.architecture = architectures[i];
        s.type = s.output_type = COVEY__TYPE_Q8_0;
        s.window = i == 2 ? 16 : 0;
        if (i == 4) s.layers = 4; /* the fourth has no RoPE */
        if (i == 5) s.kv_heads = s.heads;
        snprintf(path, sizeof path, "%s/%s.gguf", arguments[1], architectures[i]);
        write_model(&s, path);
    }
    return 0;
}
