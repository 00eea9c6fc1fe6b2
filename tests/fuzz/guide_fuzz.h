/* What both targets of guides do with one that was compiled: a vocabulary of all bytes, its mask at
 * the start, the shortest answer, and a walk along it. */
#ifndef COVEY_FUZZ_GUIDE_FUZZ_H
#define COVEY_FUZZ_GUIDE_FUZZ_H

#include "fuzz/fuzz_target.h"

#include <covey/guide.h>
#include <string.h>

#include "base/runtime.h"
#include "engine/guide_run.h"

static covey_runtime *guide_fuzz_runtime(void) {
    static covey_runtime *runtime;
    if (!runtime) FUZZ_CHECK(covey__runtime_new(NULL, &runtime, NULL) == COVEY_OK);
    return runtime;
}

/* SentencePiece's bytes alone, and an end. */
static const covey__tokenizer *guide_fuzz_tokenizer(covey__token_trie **trie) {
    static covey__tokenizer *tokenizer;
    static covey__token_trie *kept;
    static char names[258][8];
    static covey__env env;
    covey__text tokens[258];
    int32_t types[258];
    if (!tokenizer) {
        covey__vocabulary words = COVEY__VOCABULARY_INIT;
        covey__env_init(&env);
        for (int i = 0; i < 258; i++) {
            snprintf(names[i], sizeof names[i], i < 2 ? "<%d>" : "<0x%02X>", i < 2 ? i : i - 2);
            tokens[i] = (covey__text){names[i], strlen(names[i])};
            types[i] = i == 0   ? COVEY__TOKEN_UNKNOWN
                       : i == 1 ? COVEY__TOKEN_CONTROL
                                : COVEY__TOKEN_BYTE;
        }
        words.model = (covey__text){"llama", 5};
        words.tokens = tokens;
        words.token_count = 258;
        words.types = types;
        words.eos = 1;
        words.unknown = 0;
        FUZZ_CHECK(covey__tokenizer_new(&env, &words, &tokenizer, NULL) == COVEY_OK);
        FUZZ_CHECK(covey__token_trie_new(&env, tokenizer, &kept, NULL) == COVEY_OK);
    }
    *trie = kept;
    return tokenizer;
}

static void guide_fuzz_walk(covey__guide_run *run) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    const covey_token *plan;
    const uint32_t *mask;
    static covey_token tokens[COVEY__GUIDE_PLAN_MAX];
    if (covey__guide_mask(run, &mask, &error) != COVEY_OK) {
        FUZZ_CHECK(error.status == COVEY_ERROR_LIMIT);
        return;
    }
    size_t count = covey__guide_plan(run, COVEY__GUIDE_PLAN_MAX, &plan);
    if (count == 0) return; /* longer than a plan may be, or the empty text */
    memcpy(tokens, plan, count * sizeof *plan);
    for (size_t i = 0; i < count; i++) {
        if (i < 40) {
            if (covey__guide_mask(run, &mask, &error) != COVEY_OK) return;
            FUZZ_CHECK(mask[tokens[i] / 32] >> tokens[i] % 32 & 1);
        }
        FUZZ_CHECK(covey__guide_take(run, tokens[i], &error) == COVEY_OK);
    }
    FUZZ_CHECK(covey__guide_accepts(run));
}

static void guide_fuzz_check(covey_status status, covey_guide *guide, const covey_error *error) {
    FUZZ_CHECK((status == COVEY_OK) == (guide != NULL));
    FUZZ_CHECK((status == COVEY_OK) == (error->message[0] == 0));
    FUZZ_CHECK(status != COVEY_ERROR_INTERNAL && status != COVEY_ERROR_NO_MEMORY);
    if (!guide) return;
    covey__token_trie *trie;
    const covey__tokenizer *tokenizer = guide_fuzz_tokenizer(&trie);
    covey__guide_run *run = NULL;
    status = covey__guide_run_begin(guide, tokenizer, trie, &run, NULL);
    FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_LIMIT);
    if (run) guide_fuzz_walk(run);
    covey__guide_run_end(run);
    covey_guide_free(guide);
}

#endif
