/* The logits of llama.cpp after each token of a prompt, which it is given in batches of a size:
 * what bench/logits-against-peer compares ours with, and itself with at another size. The script
 * builds it against the libraries that the reference folder's peer/setup installs.
 *
 * usage: llama_logits MODEL OUT.f32 BATCH TOKEN...    PEER_BACKENDS names the folder of its kernels
 */
#include <stdio.h>
#include <stdlib.h>

#include "ggml-backend.h"
#include "llama.h"

static int die(const char *what) {
    fprintf(stderr, "llama_logits: %s\n", what);
    exit(1);
}

static void quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static struct llama_context *make_context(struct llama_model *model, int tokens) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)tokens + 8;
    params.n_batch = params.n_ubatch = (uint32_t)(tokens > 512 ? tokens : 512);
    params.n_threads = params.n_threads_batch = 1; /* waits for nobody on a busy machine */
    struct llama_context *context = llama_init_from_model(model, params);
    if (!context) die("no context");
    return context;
}

int main(int argc, char **argv) {
    if (argc < 5) die("usage: llama_logits MODEL OUT.f32 BATCH TOKEN...");
    int count = argc - 4, size = atoi(argv[3]);
    llama_log_set(quiet, NULL);
    if (getenv("PEER_BACKENDS")) ggml_backend_load_all_from_path(getenv("PEER_BACKENDS"));
    llama_backend_init();
    struct llama_model *model = llama_model_load_from_file(argv[1], llama_model_default_params());
    if (!model || size < 1) die("cannot load the model");
    size_t vocabulary = (size_t)llama_vocab_n_tokens(llama_model_get_vocab(model));
    struct llama_context *context = make_context(model, count);
    FILE *out = fopen(argv[2], "wb");
    for (int at = 0; at < count && out; at += size) {
        int rows = count - at < size ? count - at : size;
        struct llama_batch batch = llama_batch_init(rows, 0, 1);
        batch.n_tokens = rows;
        for (int i = 0; i < rows; i++) {
            batch.token[i] = atoi(argv[4 + at + i]);
            batch.pos[i] = at + i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = 1;
        }
        if (llama_decode(context, batch) != 0) die("decode failed");
        for (int i = 0; i < rows; i++)
            if (fwrite(llama_get_logits_ith(context, i), sizeof(float), vocabulary, out) !=
                vocabulary)
                die("cannot write");
        llama_batch_free(batch);
    }
    if (!out || fclose(out) != 0) die("cannot write");
    return 0;
}
