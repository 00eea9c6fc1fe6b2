/* A synthetic model of another architecture, or with other keys, out of one that is there. Tensors
 * are read from the mapped file and written a piece at a time. bench/make-variant builds and runs
 * it.
 *
 * usage: make_variant BASE.gguf OUT.gguf [KEY=VALUE]...
 *
 *     architecture=NAME   another name, and the metadata keys that begin with it
 *     window=N            attention.sliding_window
 *     finer=1             matrices in F32 that no F16 holds: each weight moved by a thousandth of
 *                         itself or less
 *     longrope=N          LongRoPE's two sets of factors, for contexts up to N tokens and beyond */
#include "bench_random.h"

#include "base/env.h"
#include "base/error.h"
#include "gguf/gguf.h"
#include "kernel/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 256
#define PAIRS_MAX      1024
#define PIECE          4096 /* weights at a time */

static const char *const factor_names[] = {"rope_factors_short.weight", "rope_factors_long.weight"};

typedef struct variant {
    const char *architecture, *window, *finer, *longrope; /* NULL: as in the base */
    char old[NAME_MAX_BYTES];                             /* the base's architecture */
    uint64_t pairs;                                       /* of LongRoPE's factors */
} variant;

static bool read_arguments(variant *v, int argc, char **argv) {
    for (int i = 3; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL) return false;
        *value++ = '\0';
        if (strcmp(argv[i], "architecture") == 0)
            v->architecture = value;
        else if (strcmp(argv[i], "window") == 0)
            v->window = value;
        else if (strcmp(argv[i], "finer") == 0)
            v->finer = value;
        else if (strcmp(argv[i], "longrope") == 0)
            v->longrope = value;
        else
            return false;
    }
    return argc >= 3;
}

/* The base's keys under the new name, but those that are replaced. */
static covey_status copy_values(covey__gguf_writer *writer, const covey__gguf *base,
                                const variant *v) {
    char window[NAME_MAX_BYTES + 32], key[NAME_MAX_BYTES * 2];
    size_t old_size = strlen(v->old);
    covey_status status = COVEY_OK;
    snprintf(window, sizeof window, "%s.attention.sliding_window", v->old);
    for (size_t i = 0; i < covey__gguf_value_count(base) && !status; i++) {
        covey__gguf_value value = covey__gguf_value_at(base, i);
        if (value.key.size >= NAME_MAX_BYTES) return COVEY_ERROR_LIMIT;
        snprintf(key, sizeof key, "%.*s", (int)value.key.size, value.key.data);
        if (strcmp(key, "general.architecture") == 0) continue;
        if (v->window != NULL && strcmp(key, window) == 0) continue;
        if (strncmp(key, v->old, old_size) == 0 && key[old_size] == '.')
            snprintf(key, sizeof key, "%s%.*s", v->architecture, (int)(value.key.size - old_size),
                     value.key.data + old_size);
        value.key = (covey__gguf_text){key, strlen(key)};
        status = covey__gguf_put_value(writer, &value);
    }
    return status;
}

static covey_status put_metadata(covey__gguf_writer *writer, const covey__gguf *base, variant *v,
                                 covey_error *error) {
    char key[NAME_MAX_BYTES * 2];
    covey_status status = covey__gguf_put_string(writer, "general.architecture", v->architecture,
                                                 strlen(v->architecture));
    if (!status && v->window != NULL) {
        snprintf(key, sizeof key, "%s.attention.sliding_window", v->architecture);
        status = covey__gguf_put_u32(writer, key, (uint32_t)strtoul(v->window, NULL, 10));
    }
    if (!status) status = copy_values(writer, base, v);
    if (status || v->longrope == NULL) return status;
    uint64_t dimensions = 0;
    snprintf(key, sizeof key, "%s.rope.dimension_count", v->old);
    status = covey__gguf_u64(base, key, 2, PAIRS_MAX * 2, &dimensions, error);
    v->pairs = dimensions / 2;
    snprintf(key, sizeof key, "%s.rope.scaling.original_context_length", v->architecture);
    if (!status)
        status = covey__gguf_put_u32(writer, key, (uint32_t)strtoul(v->longrope, NULL, 10));
    snprintf(key, sizeof key, "%s.rope.scaling.attn_factor", v->architecture);
    return status ? status : covey__gguf_put_f32(writer, key, 1.19f);
}

static bool becomes_finer(const variant *v, const covey__gguf_tensor *t) {
    return v->finer != NULL && t->type == COVEY__TYPE_F16;
}

static covey_status add_tensors(covey__gguf_writer *writer, const covey__gguf *base,
                                const variant *v, covey_error *error) {
    covey_status status = COVEY_OK;
    for (int i = 0; i < 2 && v->longrope != NULL && !status; i++)
        status =
            covey__gguf_add_tensor(writer, factor_names[i], COVEY__TYPE_F32, 1, &v->pairs, error);
    for (size_t i = 0; i < covey__gguf_tensor_count(base) && !status; i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(base, i);
        char name[NAME_MAX_BYTES];
        snprintf(name, sizeof name, "%.*s", (int)t->name.size, t->name.data);
        status =
            covey__gguf_add_tensor(writer, name, becomes_finer(v, t) ? COVEY__TYPE_F32 : t->type,
                                   t->dimension_count, t->dimensions, error);
    }
    return status;
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Factors from 1 upwards, greater for pairs that turn slowly. */
static covey_status write_factors(covey__gguf_writer *writer, uint64_t pairs, covey_error *error) {
    uint64_t seed = 3;
    covey_status status = COVEY_OK;
    for (int set = 0; set < 2 && !status; set++) {
        float factors[PAIRS_MAX];
        for (uint64_t i = 0; i < pairs; i++)
            factors[i] = (float)(1.0 + (set ? 30.0 : 0.3) * bench_uniform(&seed));
        qsort(factors, (size_t)pairs, sizeof *factors, compare_floats);
        status = covey__gguf_write_data(writer, factors, (size_t)pairs * sizeof *factors, error);
    }
    return status;
}

static covey_status write_finer(covey__gguf_writer *writer, const covey__gguf_tensor *t,
                                uint64_t *seed, covey_error *error) {
    const uint16_t *weights = (const uint16_t *)(const void *)t->data;
    float piece[PIECE];
    covey_status status = COVEY_OK;
    for (uint64_t at = 0; at < t->element_count && !status; at += PIECE) {
        size_t count = t->element_count - at < PIECE ? (size_t)(t->element_count - at) : PIECE;
        for (size_t i = 0; i < count; i++) {
            double moved = 1.0 + 1e-3 * (2.0 * bench_uniform(seed) - 1.0);
            piece[i] = (float)(covey__f16_to_f32(weights[at + i]) * moved);
        }
        status = covey__gguf_write_data(writer, piece, count * sizeof *piece, error);
    }
    return status;
}

static covey_status write_tensors(covey__gguf_writer *writer, const covey__gguf *base,
                                  const variant *v, covey_error *error) {
    uint64_t seed = 4;
    covey_status status = COVEY_OK;
    if (v->longrope != NULL) status = write_factors(writer, v->pairs, error);
    for (size_t i = 0; i < covey__gguf_tensor_count(base) && !status; i++) {
        const covey__gguf_tensor *t = covey__gguf_tensor_at(base, i);
        status = becomes_finer(v, t)
                     ? write_finer(writer, t, &seed, error)
                     : covey__gguf_write_data(writer, t->data, (size_t)t->bytes, error);
    }
    return status;
}

int main(int argc, char **argv) {
    covey_error error = {.message = "a key of the metadata cannot be written"};
    covey__gguf *base = NULL;
    covey__gguf_writer *writer = NULL;
    covey__gguf_text old = {"", 0};
    covey__env env;
    variant v = {.architecture = NULL};
    if (!read_arguments(&v, argc, argv)) {
        fprintf(stderr, "usage: make_variant BASE.gguf OUT.gguf [architecture=NAME] [window=N] "
                        "[finer=1] [longrope=N]\n");
        return 2;
    }
    covey__env_init(&env);
    covey_status status = covey__gguf_open_path(&env, argv[1], &base, &error);
    if (!status) status = covey__gguf_string(base, "general.architecture", &old, &error);
    snprintf(v.old, sizeof v.old, "%.*s", (int)old.size, old.data);
    if (v.architecture == NULL) v.architecture = v.old;
    if (!status) status = covey__gguf_writer_new(&env, argv[2], &writer, &error);
    if (!status) status = put_metadata(writer, base, &v, &error);
    if (!status) status = add_tensors(writer, base, &v, &error);
    if (!status) status = covey__gguf_write_header(writer, &error);
    if (!status) status = write_tensors(writer, base, &v, &error);
    if (!status) status = covey__gguf_finish(writer, &error);
    if (status) fprintf(stderr, "make_variant: %s\n", error.message);
    covey__gguf_writer_free(writer);
    covey__gguf_close(base);
    return status ? 1 : 0;
}
