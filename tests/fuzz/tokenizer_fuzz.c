/* Tokenizers: whatever the text, the bytes of its tokens are the text again (SentencePiece turns
 * U+2581 into a space and puts one in front; a control token stands for its name), and no control
 * token comes out of text that is not trusted. WordPiece folds text, so that only the ids and the
 * counts are looked at. The first byte chooses the vocabulary, the second how much of the text is
 * trusted. */
#include "fuzz/fuzz_target.h"

#include "unit/text/small_vocabulary.h"

static covey__env env;
enum { BPE_COUNT = 11, SPM = BPE_COUNT, WORDPIECE, TOKENIZERS };
static small_vocabulary words[TOKENIZERS];
static covey__tokenizer *tokenizers[TOKENIZERS];

static void make_tokenizers(void) {
    static const char *const pretokenizers[BPE_COUNT] = {
        "gpt-2",        "llama-bpe",      "qwen2",       "qwen35", "starcoder", "falcon",
        "deepseek-llm", "deepseek-coder", "deepseek-v3", "gpt-4o", "tekken"};
    covey__env_init(&env);
    for (int i = 0; i < TOKENIZERS; i++) {
        if (i < BPE_COUNT) {
            small_bpe(&words[i], pretokenizers[i]);
        } else {
            small_spm(&words[i]);
        }
        if (i == WORDPIECE) {
            words[i].of.model = (covey__text){"bert", 4};
        }
        FUZZ_CHECK(covey__tokenizer_new(&env, &words[i].of, &tokenizers[i], NULL) == COVEY_OK);
    }
}

/* The text as its tokens will spell it. */
static size_t expected_text(const char *text, size_t size, bool sentencepiece, char *out) {
    size_t written = 0;
    for (size_t at = 0; at < size;) {
        bool mark = sentencepiece && size - at >= 3 && memcmp(text + at, "\xE2\x96\x81", 3) == 0;
        out[written++] = mark ? ' ' : text[at];
        at += mark ? 3 : 1;
    }
    return written;
}

/* WordPiece: at most one id a byte and one more, all of them tokens, no control tokens untrusted.
 */
static void check_folded(const covey__tokenizer *t, const char *text, size_t size) {
    size_t room = 3 * size + 16, count, again;
    int32_t *ids = malloc(room * sizeof *ids);
    FUZZ_CHECK(ids);
    FUZZ_CHECK(covey__tokenizer_encode(t, text, size, false, ids, room, &count, NULL) == COVEY_OK);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(ids[i] >= 0 && (size_t)ids[i] < words[WORDPIECE].of.token_count);
        FUZZ_CHECK(covey__tokenizer_type_of(t, ids[i]) != COVEY__TOKEN_CONTROL);
    }
    covey_status status = covey__tokenizer_encode(t, text, size, false, ids, 1, &again, NULL);
    FUZZ_CHECK(again == count && (status == COVEY_OK) == (count <= 1));
    free(ids);
}

static void check(const covey__tokenizer *t, bool sentencepiece, const char *text, size_t size,
                  size_t trusted) {
    covey__text_span spans[2] = {{trusted, true}, {size, false}};
    size_t room = 3 * size + 16, count, spelt = 0;
    int32_t *ids = malloc(room * sizeof *ids);
    char *back = malloc(4 * room), *expected = malloc(size + 1);
    FUZZ_CHECK(ids && back && expected);
    FUZZ_CHECK(covey__tokenizer_encode_spans(t, text, size, spans, 2, ids, room, &count, NULL) ==
               COVEY_OK);
    bool gap = true; /* SentencePiece's own space is to come */
    size_t source = 0;
    for (size_t i = 0; i < count; i++) {
        char bytes[64];
        size_t token = covey__tokenizer_bytes_of(t, ids[i], true, bytes, sizeof bytes);
        covey__token_type type = covey__tokenizer_type_of(t, ids[i]);
        bool special = type == COVEY__TOKEN_CONTROL || type == COVEY__TOKEN_USER_DEFINED ||
                       type == COVEY__TOKEN_UNKNOWN;
        FUZZ_CHECK(token > 0 && token <= sizeof bytes);
        size_t own = sentencepiece && gap && !special;
        FUZZ_CHECK(!own || bytes[0] == ' ');
        memcpy(back + spelt, bytes + own, token - own);
        spelt += token - own;
        gap = special;
        source += token - own; /* at least this much of the text is behind */
        FUZZ_CHECK(type != COVEY__TOKEN_CONTROL || source <= trusted);
    }
    size_t expected_size = expected_text(text, size, sentencepiece, expected);
    FUZZ_CHECK(spelt == expected_size && memcmp(back, expected, spelt) == 0);
    /* Asked for too little room, it says the same count. */
    size_t again;
    covey_status status =
        covey__tokenizer_encode_spans(t, text, size, spans, 2, ids, count / 2, &again, NULL);
    FUZZ_CHECK(again == count && (status == COVEY_OK) == (count / 2 >= count));
    free(ids);
    free(back);
    free(expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!tokenizers[0]) {
        make_tokenizers();
    }
    if (size < 2) {
        return 0;
    }
    int which = data[0] % TOKENIZERS;
    const char *text = (const char *)data + 2;
    size_t trusted = (size - 2) * data[1] / 255;
    if (which == WORDPIECE) {
        check_folded(tokenizers[which], text, size - 2);
    } else {
        check(tokenizers[which], which == SPM, text, size - 2, trusted);
    }
    return 0;
}
