/* The pre-tokenizers that GGUF names, and GPT-2's letters for bytes; pretokenizer_scan.c does the
 * cutting. Names: llama.cpp's, of vocabularies that cut alike. */
#include "text/pretokenizer.h"

#include "base/error.h"
#include <string.h>

static const struct {
    covey__pretokenizer_traits traits;
    const char *names; /* with a blank before and behind each */
} known[] = {
    {{COVEY__PRETOKENIZER_GPT2, false, false},
     " gpt-2 gpt2 default mpt olmo jais trillion exaone4 "},
    {{COVEY__PRETOKENIZER_LLAMA3, true, true},
     " llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 "},
    {{COVEY__PRETOKENIZER_LLAMA3, false, false}, " dbrx smaug-bpe glm4 chatglm-bpe "},
    {{COVEY__PRETOKENIZER_QWEN2, false, false},
     " qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan "},
    {{COVEY__PRETOKENIZER_QWEN35, false, false}, " qwen35 "},
    {{COVEY__PRETOKENIZER_STARCODER, false, false},
     " starcoder refact command-r smollm codeshell exaone minerva-7b "},
    {{COVEY__PRETOKENIZER_FALCON, false, false}, " falcon "},
    {{COVEY__PRETOKENIZER_DEEPSEEK_LLM, false, false}, " deepseek-llm "},
    {{COVEY__PRETOKENIZER_DEEPSEEK_CODER, false, false}, " deepseek-coder "},
    {{COVEY__PRETOKENIZER_DEEPSEEK3, false, false}, " deepseek-v3 hunyuan-dense "},
    {{COVEY__PRETOKENIZER_GPT4O, false, false}, " gpt-4o llama4 "},
    {{COVEY__PRETOKENIZER_TEKKEN, true, true}, " tekken "},
};

covey_status covey__pretokenizer_find(const char *name, size_t name_size,
                                      covey__pretokenizer_traits *traits, covey_error *error) {
    char padded[64], shown[64];
    if (name_size == 0) {
        *traits = known[0].traits;
        return COVEY_OK;
    }
    bool fits = name_size + 3 <= sizeof padded && !memchr(name, ' ', name_size);
    if (fits) {
        padded[0] = padded[name_size + 1] = ' ';
        memcpy(padded + 1, name, name_size);
        padded[name_size + 2] = 0;
    }
    for (size_t i = 0; fits && i < sizeof known / sizeof *known; i++) {
        if (strstr(known[i].names, padded)) {
            *traits = known[i].traits;
            return COVEY_OK;
        }
    }
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "tokenizer: pre-tokenizer \"%s\" (tokenizer.ggml.pre) is not one of those "
                       "supported (docs/text.md has the list)",
                       covey__printable(name, name_size, shown, sizeof shown));
}

/* GPT-2 (bytes_to_unicode in encoder.py): the printable bytes of Latin-1 stand for themselves, the
 * other 68 take the code points from 256 on, in order. */
static bool stands_for_itself(uint32_t byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
           (byte >= 174 && byte <= 255);
}

uint32_t covey__byte_to_code(uint8_t byte) {
    if (stands_for_itself(byte)) {
        return byte;
    }
    if (byte <= 32) {
        return 256u + byte;
    }
    return byte == 173 ? 323u : 289u + (byte - 127u);
}

int covey__code_to_byte(uint32_t code) {
    if (code < 256) {
        return stands_for_itself(code) ? (int)code : -1;
    }
    if (code < 289) {
        return (int)code - 256;
    }
    if (code < 323) {
        return (int)code - 289 + 127;
    }
    return code == 323 ? 173 : -1;
}
