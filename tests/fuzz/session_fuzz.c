/* Saved sessions: whatever bytes are restored, the session is opened whole and goes on with finite
 * logits or one clear error, or it is refused. The input's first byte says whether the digest is
 * put right, so that what lies behind that check is reached, and whether the model and
 * configuration are; the model is made here. */
#include "fuzz/fuzz_target.h"

#include "base/runtime.h"
#include "base/sha256.h"
#include "engine/engine.h"

#include <string.h>

#define WIDTH      32
#define FFN        32
#define VOCABULARY 4
#define FILE_MAX   (1u << 17)

static covey_runtime *runtime;
static covey_model *model;
static uint8_t model_bytes[1u << 16];

/* The bytes of a GGUF in order, little-endian. */
typedef struct gguf_bytes {
    size_t size;
} gguf_bytes;

static void put(gguf_bytes *g, const void *data, size_t size) {
    FUZZ_CHECK(g->size + size <= sizeof model_bytes);
    memcpy(model_bytes + g->size, data, size);
    g->size += size;
}

static void put_number(gguf_bytes *g, uint64_t value, size_t size) {
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> 8 * i);
    put(g, bytes, size);
}

static void put_text(gguf_bytes *g, const char *text) {
    put_number(g, strlen(text), 8);
    put(g, text, strlen(text));
}

static void put_u32(gguf_bytes *g, const char *key, uint32_t value) {
    put_text(g, key);
    put_number(g, 4, 4);
    put_number(g, value, 4);
}

static void put_metadata(gguf_bytes *g) {
    static const char *const words[VOCABULARY] = {"<unk>", "<s>", "</s>", "a"};
    put_text(g, "general.architecture");
    put_number(g, 8, 4);
    put_text(g, "llama");
    put_u32(g, "llama.block_count", 1);
    put_u32(g, "llama.context_length", 80);
    put_u32(g, "llama.embedding_length", WIDTH);
    put_u32(g, "llama.feed_forward_length", FFN);
    put_u32(g, "llama.attention.head_count", 1);
    put_text(g, "llama.attention.layer_norm_rms_epsilon");
    put_number(g, 6, 4);
    put_number(g, 0x3727c5ac, 4); /* 1e-5 */
    put_text(g, "tokenizer.ggml.model");
    put_number(g, 8, 4);
    put_text(g, "llama");
    put_text(g, "tokenizer.ggml.tokens");
    put_number(g, 9, 4);
    put_number(g, 8, 4);
    put_number(g, VOCABULARY, 8);
    for (int i = 0; i < VOCABULARY; i++) put_text(g, words[i]);
    put_text(g, "tokenizer.ggml.scores");
    put_number(g, 9, 4);
    put_number(g, 6, 4);
    put_number(g, VOCABULARY, 8);
    put_number(g, 0, 8);
    put_number(g, 0, 8);
    put_text(g, "tokenizer.ggml.token_type");
    put_number(g, 9, 4);
    put_number(g, 5, 4);
    put_number(g, VOCABULARY, 8);
    for (uint32_t i = 0; i < VOCABULARY; i++) put_number(g, i == 0 ? 2 : i < 3 ? 3 : 1, 4);
}

typedef struct tensor {
    const char *name;
    uint32_t columns, rows; /* rows 0: a vector */
} tensor;
static const tensor tensors[] = {
    {"token_embd.weight", WIDTH, VOCABULARY}, {"output_norm.weight", WIDTH, 0},
    {"blk.0.attn_norm.weight", WIDTH, 0},     {"blk.0.ffn_norm.weight", WIDTH, 0},
    {"blk.0.attn_q.weight", WIDTH, WIDTH},    {"blk.0.attn_k.weight", WIDTH, WIDTH},
    {"blk.0.attn_v.weight", WIDTH, WIDTH},    {"blk.0.attn_output.weight", WIDTH, WIDTH},
    {"blk.0.ffn_gate.weight", WIDTH, FFN},    {"blk.0.ffn_up.weight", WIDTH, FFN},
    {"blk.0.ffn_down.weight", FFN, WIDTH}};
#define TENSORS (sizeof tensors / sizeof *tensors)

static size_t make_model(void) {
    gguf_bytes g = {0};
    uint64_t offset = 0;
    put(&g, "GGUF", 4);
    put_number(&g, 3, 4);
    put_number(&g, TENSORS, 8);
    put_number(&g, 11, 8);
    put_metadata(&g);
    for (size_t i = 0; i < TENSORS; i++) {
        put_text(&g, tensors[i].name);
        put_number(&g, tensors[i].rows ? 2 : 1, 4);
        put_number(&g, tensors[i].columns, 8);
        if (tensors[i].rows) put_number(&g, tensors[i].rows, 8);
        put_number(&g, COVEY__TYPE_F32, 4);
        put_number(&g, offset, 8);
        offset += (uint64_t)tensors[i].columns * (tensors[i].rows ? tensors[i].rows : 1) * 4;
    }
    while (g.size % 32) put_number(&g, 0, 1);
    for (uint64_t i = 0; i < offset / 4; i++) {
        float value = (float)(i * 37 % 101) / 101.0f - 0.4f;
        put(&g, &value, sizeof value);
    }
    return g.size;
}

static void open_once(void) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    if (model) return;
    FUZZ_CHECK(covey__runtime_new(NULL, &runtime, &error) == COVEY_OK);
    covey_model_source source = COVEY_MODEL_SOURCE_INIT;
    source.memory = model_bytes;
    source.memory_size = make_model();
    if (covey_model_open(runtime, &source, &model, &error) != COVEY_OK)
        fprintf(stderr, "%s\n", error.message);
    FUZZ_CHECK(model != NULL);
}

/* Makes the file's header this model's. */
static void put_header_right(uint8_t *file) {
    static uint8_t saved[FILE_MAX];
    static size_t saved_size;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    if (saved_size == 0) {
        covey_session *session = NULL;
        char path[] = "/tmp/covey-session-fuzz-XXXXXX";
        FUZZ_CHECK(mkstemp(path) >= 0);
        FUZZ_CHECK(covey_session_open(model, NULL, &session, &error) == COVEY_OK);
        FUZZ_CHECK(covey_session_save(session, path, &error) == COVEY_OK);
        FILE *in = fopen(path, "rb");
        FUZZ_CHECK(in != NULL);
        saved_size = fread(saved, 1, sizeof saved, in);
        fclose(in);
        remove(path);
        covey_session_close(session);
    }
    memcpy(file + 12, saved + 12, 4);              /* arithmetic version */
    memcpy(file + 24, saved + 24, 16);             /* shapes */
    memcpy(file + 48, saved + 48, 32);             /* identity */
    uint8_t parts[34] = {(uint8_t)(file[16] - 1)}; /* KV type; no adapters */
    covey__sha256_of(parts, sizeof parts, file + 80);
}

static void go_on(covey_session *session) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    const covey_token token = 3;
    if (covey_session_token_count(session) == 80) return;
    covey_status status = covey_session_append(session, &token, 1, &error);
    FUZZ_CHECK(status == COVEY_OK || (status == error.status && error.message[0]));
    size_t count = 0;
    const float *logits = covey_session_logits(session, &count);
    if (status == COVEY_OK) FUZZ_CHECK(logits && covey__finite(logits, count));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t file[FILE_MAX];
    if (size < 1 || size > sizeof file) return 0;
    open_once();
    uint8_t how = data[0];
    size--;
    memcpy(file, data + 1, size);
    if (how & 1 && size >= 112) put_header_right(file);
    if (how & 2 && size >= 32) covey__sha256_of(file, size - 32, file + size - 32);
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_session *session = NULL;
    covey_status status = covey__session_restore_bytes(model, NULL, file, size, &session, &error);
    FUZZ_CHECK((status == COVEY_OK) == (session != NULL));
    if (status != COVEY_OK)
        FUZZ_CHECK(status == error.status && strncmp(error.message, "session: restore", 16) == 0);
    if (session) go_on(session);
    covey_session_close(session);
    covey_kv_info info = COVEY_KV_INFO_INIT;
    covey_model_describe_kv(model, &info);
    FUZZ_CHECK(info.bytes == 0); /* nothing of it stays */
    return 0;
}
