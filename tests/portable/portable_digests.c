/* Prints digests of what the core computes on one instruction set: every kernel over seeded random
 * cases, the functions of numbers.c, and the logits of models. Built for each processor and run
 * there or in an emulator; all outputs must be the same lines (tools/check-portable).
 * usage: portable_digests ISA [GGUF...] */
#include "unit/kernel/kernel_cases.h"

#include "base/error.h"
#include "base/runtime.h"
#include "base/sha256.h"

#include <covey/embedding.h>
#include <covey/session.h>

static const covey__kernels *kernels;

static void print_digest(const char *what, covey__sha256 *hash) {
    uint8_t digest[32];
    char hex[33];
    covey__sha256_final(hash, digest);
    covey__hex(digest, 16, hex);
    printf("%-28s %s\n", what, hex);
}

/* ---- Kernels ---- */

static void product_case(covey__sha256 *hash, uint64_t *seed, uint32_t type, int32_t rows,
                         int32_t columns, int32_t tokens) {
    covey__weights w;
    void *data = case_weights(seed, type, rows, columns, &w), *memory;
    float *x = malloc((size_t)(columns * tokens) * sizeof *x);
    for (int32_t i = 0; i < columns * tokens; i++) x[i] = case_value(seed);
    covey__activations a;
    covey__act kind = covey__kernel_act(type);
    memory = case_alloc(covey__activations_bytes(kind, columns, tokens));
    covey__activations_init(&a, kind, columns, tokens, memory);
    kernels->activations(&a, x, (size_t)columns, 0, tokens);
    void *scratch = case_alloc(covey__product_scratch_bytes(columns));
    size_t count = (size_t)(rows * tokens);
    float *out = calloc(count, sizeof *out);
    covey__product p = {&w, &a, out, (size_t)rows};
    kernels->product(&p, 0, rows / 2, data, scratch);
    kernels->product(&p, rows / 2, rows, NULL, scratch);
    covey__sha256_update(hash, out, count * sizeof *out);
    kernels->row(&w, rows / 3, x);
    covey__sha256_update(hash, x, (size_t)columns * sizeof *x);
    free(out);
    free(scratch);
    free(memory);
    free(x);
    free(data);
}

static void print_products(void) {
    static const int32_t tokens[] = {1, 2, 3, 4, 5, 8, 13};
    for (size_t t = 0; t < CASE_TYPES; t++) {
        covey__sha256 hash;
        char what[32];
        uint64_t seed = 88172645463325252u + t;
        int32_t block = covey__kernel_block(case_types[t]);
        covey__sha256_init(&hash);
        for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
            product_case(&hash, &seed, case_types[t], 45, block == 1 ? 333 : 768, tokens[i]);
            product_case(&hash, &seed, case_types[t], 9, block == 1 ? 16 : block, tokens[i]);
        }
        snprintf(what, sizeof what, "product type %u", case_types[t]);
        print_digest(what, &hash);
    }
}

static void fill(uint64_t *seed, float *x, int32_t n) {
    for (int32_t i = 0; i < n; i++) x[i] = case_value(seed);
}

typedef void (*vector_fn)(const float *x, const float *y, int32_t n, float *out);

static void rms_norm(const float *x, const float *y, int32_t n, float *out) {
    kernels->rms_norm(x, y, n, 1e-5f, out);
}
static void layer_norm(const float *x, const float *y, int32_t n, float *out) {
    kernels->layer_norm(x, y, x, n, 1e-5f, out);
}
static void silu_mul(const float *x, const float *y, int32_t n, float *out) {
    kernels->silu_mul(x, y, (size_t)n, out);
}
static void gelu_mul(const float *x, const float *y, int32_t n, float *out) {
    kernels->gelu_mul(x, y, (size_t)n, out);
}
static void gelu(const float *x, const float *y, int32_t n, float *out) {
    (void)y;
    kernels->gelu(x, (size_t)n, out);
}
static void add(const float *x, const float *y, int32_t n, float *out) {
    memcpy(out, x, (size_t)n * sizeof *x);
    kernels->add(out, y, (size_t)n);
}
static void softmax(const float *x, const float *y, int32_t n, float *out) {
    memcpy(out, x, (size_t)n * sizeof *x);
    kernels->scale(out, y[0], (size_t)n);
    kernels->softmax(out, (size_t)n);
}
static void rope(const float *x, const float *y, int32_t n, float *out) {
    double frequencies[32];
    float table[64];
    (void)y;
    memcpy(out, x, (size_t)n * sizeof *x);
    for (int32_t dims = 2; dims <= 64 && dims <= n; dims *= 2) {
        covey__rope_frequencies(10000.0, dims, 0.5, NULL, frequencies);
        covey__rope_table(frequencies, dims, n * 997, 1, table);
        kernels->rope(out, n / dims, dims, dims, n % 2 ? COVEY__ROPE_NORM : COVEY__ROPE_NEOX,
                      table);
    }
}

static void print_vector(const char *what, vector_fn function) {
    enum { MOST = 300 };
    float x[MOST], y[MOST], out[MOST];
    uint64_t seed = 2463534242u;
    covey__sha256 hash;
    covey__sha256_init(&hash);
    for (int32_t n = 1; n < MOST; n += n < 70 ? 1 : 23) {
        fill(&seed, x, n);
        fill(&seed, y, n);
        function(x, y, n, out);
        covey__sha256_update(&hash, out, (size_t)n * sizeof *out);
    }
    print_digest(what, &hash);
}

static void attention_case(covey__sha256 *hash, uint64_t *seed, covey__kv_type kv, int32_t head_dim,
                           int32_t heads, int32_t tokens, int32_t position, int32_t window) {
    int32_t keys = position + tokens, pages = (keys + 31) / 32;
    size_t k_bytes = covey__page_k_bytes(kv, head_dim), v_bytes = covey__page_v_bytes(kv, head_dim);
    const void **page = malloc((size_t)pages * sizeof *page);
    float k[COVEY__HEAD_DIM_MAX], v[COVEY__HEAD_DIM_MAX];
    for (int32_t j = 0; j < keys; j++) {
        uint8_t *at;
        if (j % 32 == 0) page[j / 32] = memset(case_alloc(k_bytes + v_bytes), 0, k_bytes + v_bytes);
        memcpy(&at, &page[j / 32], sizeof at);
        fill(seed, k, head_dim);
        fill(seed, v, head_dim);
        (void)covey__page_put(kv, at, at + k_bytes, head_dim, j % 32, k, v);
    }
    size_t stride = (size_t)(heads * head_dim), n = stride * (size_t)tokens;
    float *q = malloc(n * sizeof *q), *out = calloc(n, sizeof *out);
    fill(seed, q, (int32_t)n);
    void *scratch = case_alloc(covey__attention_scratch_bytes(head_dim, keys));
    covey__attention a = {.pages = page,
                          .v_offset = k_bytes,
                          .kv = kv,
                          .head_dim = head_dim,
                          .heads = heads,
                          .tokens = tokens,
                          .position = position,
                          .window = window,
                          .scale = 0.3f,
                          .q = q,
                          .q_stride = stride,
                          .out = out,
                          .out_stride = stride};
    kernels->attention(&a, scratch);
    covey__sha256_update(hash, out, n * sizeof *out);
    for (int32_t i = 0; i < pages; i++) {
        void *memory;
        memcpy(&memory, &page[i], sizeof memory);
        free(memory);
    }
    free(scratch);
    free(out);
    free(q);
    free(page);
}

static void print_attention(void) {
    static const char *const names[] = {"attention F32", "attention F16", "attention Q8_0"};
    for (int kv = 0; kv < COVEY__KV_TYPES; kv++) {
        covey__sha256 hash;
        uint64_t seed = 99u;
        covey__sha256_init(&hash);
        attention_case(&hash, &seed, (covey__kv_type)kv, 64, 4, 1, 333, 0);
        attention_case(&hash, &seed, (covey__kv_type)kv, 64, 4, 1, 200, 70);
        attention_case(&hash, &seed, (covey__kv_type)kv, 32, 3, 37, 0, 0);
        attention_case(&hash, &seed, (covey__kv_type)kv, 96, 2, 9, 61, 5);
        if (kv != COVEY__KV_Q8_0) attention_case(&hash, &seed, (covey__kv_type)kv, 20, 7, 5, 31, 0);
        print_digest(names[kv], &hash);
    }
}

static void print_numbers(void) {
    covey__sha256 hash;
    uint64_t seed = 7u;
    covey__sha256_init(&hash);
    for (int i = 0; i < 4000; i++) {
        double x = (double)case_value(&seed) * 10.0, y[5];
        float f[4] = {covey__exp_f32((float)x), covey__erfc_f32((float)x),
                      covey__log_f32((float)(x * x) + 1e-3f),
                      covey__uniform((uint64_t)i * 77, 5, (uint32_t)i)};
        uint16_t half[2] = {covey__f32_to_f16((float)x), covey__f32_to_bf16((float)x)};
        y[0] = covey__exp_f64(x);
        y[1] = covey__log_f64(x * x + 1e-9);
        y[2] = covey__pow_f64(10000.0, x / 20.0);
        y[3] = covey__sin_f64(x * 1000.0);
        y[4] = covey__cos_f64(x * 1000.0);
        covey__sha256_update(&hash, y, sizeof y);
        covey__sha256_update(&hash, f, sizeof f);
        covey__sha256_update(&hash, half, sizeof half);
    }
    print_digest("numbers", &hash);
}

/* ---- Models ---- */

static void must(covey_status status, const covey_error *error) {
    if (status == COVEY_OK) return;
    printf("%s: %s\n", covey_status_name(status), error->message);
    exit(1);
}

static uint8_t *read_whole(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        printf("%s cannot be read\n", path);
        exit(1);
    }
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = case_alloc(*size);
    if (fread(data, 1, *size, file) != *size) exit(1);
    fclose(file);
    return data;
}

static void digest_logits(covey__sha256 *hash, const covey_session *session) {
    size_t count;
    const float *logits = covey_session_logits(session, &count);
    covey__sha256_update(hash, logits, count * sizeof *logits);
}

static void digest_embedding(covey__sha256 *hash, covey_model *model, int32_t width,
                             const covey_token *tokens) {
    covey_error error = {.message = ""};
    covey_embedding_input inputs[2] = {{tokens, 30}, {tokens + 5, 9}};
    float *vectors = malloc(2 * (size_t)width * sizeof *vectors);
    if (vectors == NULL) exit(1);
    must(covey_model_embed(model, NULL, inputs, 2, vectors, &error), &error);
    covey__sha256_update(hash, vectors, 2 * (size_t)width * sizeof *vectors);
    free(vectors);
}

/* Embeddings; a prompt in two unequal parts, then greedy tokens, with each KV type that the heads
 * allow. */
static void print_model(covey_runtime *runtime, const char *path) {
    covey_error error = {.message = ""};
    size_t size;
    uint8_t *data = read_whole(path, &size);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.memory = data;
    source.memory_size = size;
    covey_model *model;
    must(covey_model_open(runtime, &source, &model, &error), &error);
    covey_model_info info = COVEY_MODEL_INFO_INIT;
    covey_model_describe(model, &info);
    covey__sha256 hash;
    covey__sha256_init(&hash);
    covey_token tokens[32];
    uint64_t seed = 4711u;
    for (int i = 0; i < 32; i++)
        tokens[i] = (covey_token)(case_random(&seed) % (uint32_t)info.vocabulary_size);
    digest_embedding(&hash, model, info.embedding_width, tokens);
    for (covey_kv_type kv = COVEY_KV_F32; kv <= COVEY_KV_Q8_0 && info.generates; kv++) {
        covey_session_options options = COVEY_SESSION_OPTIONS_INIT;
        options.context_tokens = 64;
        options.kv_type = kv;
        options.alone = true;
        covey_session *session;
        must(covey_session_open(model, &options, &session, &error), &error);
        must(covey_session_append(session, tokens, 27, &error), &error);
        digest_logits(&hash, session);
        must(covey_session_append(session, tokens + 27, 3, &error), &error);
        for (int i = 0; i < 5; i++) {
            size_t count;
            const float *logits = covey_session_logits(session, &count);
            covey_token next = (covey_token)covey__argmax(logits, count);
            digest_logits(&hash, session);
            must(covey_session_append(session, &next, 1, &error), &error);
        }
        covey_session_close(session);
    }
    covey_model_close(model);
    free(data);
    const char *name = strrchr(path, '/');
    print_digest(name != NULL ? name + 1 : path, &hash);
}

int main(int count, char **arguments) {
    covey_error error = {.message = ""};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_runtime *runtime;
    options.threads = 1;
    options.isa = count > 1 ? arguments[1] : NULL;
    must(covey__runtime_new(&options, &runtime, &error), &error);
    kernels = covey__kernels_get((covey__isa)covey__runtime_isa_level(runtime));
    fprintf(stderr, "%s\n", covey_runtime_isa(runtime));
    covey__fp_state state = covey__fp_enter();
    print_products();
    print_vector("rms_norm", rms_norm);
    print_vector("layer_norm", layer_norm);
    print_vector("silu_mul", silu_mul);
    print_vector("gelu_mul", gelu_mul);
    print_vector("gelu", gelu);
    print_vector("add", add);
    print_vector("scale, softmax", softmax);
    print_vector("rope", rope);
    print_attention();
    print_numbers();
    covey__fp_leave(state);
    for (int i = 2; i < count; i++) print_model(runtime, arguments[i]);
    covey_runtime_close(runtime);
    return 0;
}
