/* llama.cpp's quantizer for the types that the reference folder's `peer quantize` does not offer,
 * one type for every matrix: what bench/logits-against-peer makes its models with. The script
 * builds it against the libraries that the reference folder's peer/setup installs.
 *
 * usage: llama_quantize IN.gguf OUT.gguf TYPE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-backend.h"
#include "llama.h"

static const struct {
    const char *name;
    enum llama_ftype type;
} types[] = {{"F32", LLAMA_FTYPE_ALL_F32},         {"BF16", LLAMA_FTYPE_MOSTLY_BF16},
             {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},    {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},
             {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},    {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL},
             {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS}};

static void quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

int main(int argc, char **argv) {
    size_t count = sizeof types / sizeof types[0], i = 0;
    while (argc == 4 && i < count && strcmp(types[i].name, argv[3]) != 0) i++;
    if (argc != 4 || i == count) {
        fprintf(stderr,
                "usage: llama_quantize IN.gguf OUT.gguf F32|BF16|Q4_1|Q5_0|Q5_1|IQ4_NL|IQ4_XS\n");
        return 2;
    }
    llama_log_set(quiet, NULL);
    if (getenv("PEER_BACKENDS")) ggml_backend_load_all_from_path(getenv("PEER_BACKENDS"));
    llama_backend_init();
    struct llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = types[i].type;
    params.pure = true;
    params.nthread = 2;
    return llama_model_quantize(argv[1], argv[2], &params) != 0;
}
