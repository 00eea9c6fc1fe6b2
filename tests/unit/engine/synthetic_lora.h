/* LoRA files for a synthetic model. Include behind synthetic.h. */
#ifndef COVEY_TEST_SYNTHETIC_LORA_H
#define COVEY_TEST_SYNTHETIC_LORA_H

#include "synthetic.h"

#include <math.h>

#define RANK 5

static const char *const targets[] = {"blk.0.attn_q.weight", "blk.1.attn_v.weight",
                                      "blk.1.ffn_down.weight", "blk.2.ffn_up.weight",
                                      "blk.2.attn_output.weight"};
#define TARGETS (sizeof targets / sizeof *targets)

/* What a test wants of an adapter's file. */
typedef struct made {
    const char *architecture, *kind;
    uint64_t seed;
    float gain; /* of b */
    covey__type type;
    const char *without; /* a tensor left out */
    const char *rename;  /* what the first target is called instead */
    int wider;           /* columns more in the first a */
    bool spoiled;
} made;
#define MADE_PLAIN                                                                                 \
    { .architecture = "llama", .kind = "lora", .seed = 3, .gain = 0.5f, .type = COVEY__TYPE_F32 }

static inline void shape_of(const covey__gguf *base, const char *target, uint64_t *columns,
                            uint64_t *rows) {
    const covey__gguf_tensor *t = covey__gguf_tensor_find(base, target);
    assert_non_null(t);
    *columns = t->dimensions[0];
    *rows = t->dimensions[1];
}

static inline void tensor_name(const made *m, size_t target, char which, char out[80]) {
    const char *name = target == 0 && m->rename ? m->rename : targets[target];
    snprintf(out, 80, "%s.lora_%c", name, which);
}

/* a as [RANK][columns], b as [rows][RANK]; the same numbers whatever the type. */
static inline void numbers(const made *m, size_t target, char which, float *out, size_t count) {
    uint64_t random = (m->seed * 31 + target) * 7 + (uint64_t)which;
    for (int i = 0; i < 8; i++) next_random(&random);
    for (size_t i = 0; i < count; i++)
        out[i] = next_value(&random) * (which == 'a' ? 0.1f : m->gain);
    if (m->spoiled && target == 1 && which == 'b') out[3] = NAN;
}

static inline void write_part(covey__gguf_writer *writer, const made *m, size_t target, char which,
                              uint64_t columns, uint64_t rows) {
    covey_error error = {.message = ""};
    float *values = malloc((size_t)(columns * rows) * sizeof *values);
    char *row = malloc((size_t)columns * 4);
    assert_true(values && row);
    numbers(m, target, which, values, (size_t)(columns * rows));
    for (uint64_t r = 0; r < rows; r++) {
        covey__row_encode((uint32_t)m->type, values + r * columns, (int32_t)columns, row);
        must(covey__gguf_write_data(
                 writer, row, covey__kernel_row_bytes((uint32_t)m->type, (int32_t)columns), &error),
             &error);
    }
    free(row);
    free(values);
}

static inline void write_adapter(const char *base_path, const made *m, const char *path) {
    covey_error error = {.message = ""};
    covey__gguf *base = NULL;
    covey__gguf_writer *writer = NULL;
    must(covey__gguf_open_path(&plain_env, base_path, &base, &error), &error);
    must(covey__gguf_writer_new(&plain_env, path, &writer, &error), &error);
    covey__gguf_put_string(writer, "general.type", "adapter", 7);
    covey__gguf_put_string(writer, "general.architecture", m->architecture,
                           strlen(m->architecture));
    covey__gguf_put_string(writer, "adapter.type", m->kind, strlen(m->kind));
    covey__gguf_put_f32(writer, "adapter.lora.alpha", 10.0f);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < TARGETS; i++)
            for (char which = 'a'; which <= 'b'; which++) {
                uint64_t columns, rows;
                char name[80];
                shape_of(base, targets[i], &columns, &rows);
                tensor_name(m, i, which, name);
                if (m->without && strcmp(m->without, name) == 0) continue;
                if (i == 0) columns += (uint64_t)m->wider;
                uint64_t dimensions[2] = {which == 'a' ? columns : RANK,
                                          which == 'a' ? RANK : rows};
                if (pass == 0)
                    must(covey__gguf_add_tensor(writer, name, m->type, 2, dimensions, &error),
                         &error);
                else
                    write_part(writer, m, i, which, dimensions[0], dimensions[1]);
            }
        if (pass == 0) must(covey__gguf_write_header(writer, &error), &error);
    }
    must(covey__gguf_finish(writer, &error), &error);
    covey__gguf_writer_free(writer);
    covey__gguf_close(base);
}

#endif
