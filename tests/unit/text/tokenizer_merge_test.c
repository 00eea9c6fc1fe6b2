/* Merging against its definition: random vocabularies, random words, and the plainest possible loop
 * over strings. Words below and above the length at which the heap takes over must agree with it.
 */
#include "support/support.h"

#include "unit/text/small_vocabulary.h"

#include <stdlib.h>

enum { PIECES_MAX = 700, LETTERS = 3 };

typedef struct pieces {
    const char *start[PIECES_MAX];
    size_t size[PIECES_MAX];
    size_t count;
} pieces;

static covey__env env;
static small_vocabulary words;

/* Random merges of what is there already; the vocabulary has the letters a, b, c. */
static void random_vocabulary(uint64_t *seed, bool sentencepiece) {
    small_begin(&words, sentencepiece ? "llama" : "gpt2", "");
    for (int i = 0; i < LETTERS; i++) {
        char letter = (char)('a' + i);
        small_add(&words, &letter, 1, COVEY__TOKEN_NORMAL, -100);
    }
    size_t wanted = LETTERS + 4 + test_random(seed) % 12;
    for (int tries = 0; words.of.token_count < wanted && tries < 200; tries++) {
        covey__text left = words.tokens[test_random(seed) % words.of.token_count];
        covey__text right = words.tokens[test_random(seed) % words.of.token_count];
        char merge[64], joined[64];
        snprintf(merge, sizeof merge, "%.*s %.*s", (int)left.size, left.data, (int)right.size,
                 right.data);
        snprintf(joined, sizeof joined, "%.*s%.*s", (int)left.size, left.data, (int)right.size,
                 right.data);
        bool known = strlen(joined) > 8;
        for (size_t i = 0; i < words.of.token_count; i++) {
            known = known || (words.tokens[i].size == strlen(joined) &&
                              memcmp(words.tokens[i].data, joined, strlen(joined)) == 0);
        }
        if (known) {
            continue;
        }
        small_add_merge(&words, merge);
        /* Few scores, so that there are ties. */
        words.scores[words.of.token_count - 1] = -(float)(test_random(seed) % 4);
    }
}

/* How good it is to join two pieces: the lowest is best, -1 when they do not join. */
static int rate(const char *start, size_t left, size_t right, bool sentencepiece) {
    for (size_t i = 0; !sentencepiece && i < words.of.merge_count; i++) {
        const covey__text *merge = &words.merges[i];
        if (merge->size == left + right + 1 && merge->data[left] == ' ' &&
            memcmp(merge->data, start, left) == 0 &&
            memcmp(merge->data + left + 1, start + left, right) == 0) {
            return (int)i;
        }
    }
    for (size_t i = 0; sentencepiece && i < words.of.token_count; i++) {
        if (words.tokens[i].size == left + right &&
            memcmp(words.tokens[i].data, start, left + right) == 0) {
            return (int)-words.scores[i];
        }
    }
    return -1;
}

static void merge_plainly(const char *text, size_t size, bool sentencepiece, pieces *out) {
    for (out->count = 0; out->count < size; out->count++) {
        out->start[out->count] = text + out->count;
        out->size[out->count] = 1;
    }
    for (;;) {
        int best = -1;
        size_t at = 0;
        for (size_t i = 0; i + 1 < out->count; i++) {
            int rated = rate(out->start[i], out->size[i], out->size[i + 1], sentencepiece);
            if (rated >= 0 && (best < 0 || rated < best)) {
                best = rated;
                at = i;
            }
        }
        if (best < 0) {
            return;
        }
        out->size[at] += out->size[at + 1];
        out->count--;
        for (size_t i = at + 1; i < out->count; i++) {
            out->start[i] = out->start[i + 1];
            out->size[i] = out->size[i + 1];
        }
    }
}

static void compare(const covey__tokenizer *t, const char *text, size_t size, bool sentencepiece) {
    static pieces expected;
    int32_t ids[PIECES_MAX];
    size_t count;
    merge_plainly(text, size, sentencepiece, &expected);
    assert_int_equal(covey__tokenizer_encode(t, text, size, false, ids, PIECES_MAX, &count, NULL),
                     COVEY_OK);
    assert_int_equal(count, expected.count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ids[i], covey__tokenizer_find(t, expected.start[i], expected.size[i]));
    }
}

static void test_merging(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 5, 9, 17, 31, 47, 48, 49, 50, 64, 100, 257, 600};
    uint64_t seed = 20261120;
    covey__env_init(&env);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int round = 0; round < 60; round++) {
        bool sentencepiece = round % 2;
        covey__tokenizer *t;
        random_vocabulary(&seed, sentencepiece);
        assert_int_equal(covey__tokenizer_new(&env, &words.of, &t, NULL), COVEY_OK);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char text[PIECES_MAX];
            uint64_t letters = 1 + test_random(&seed) % LETTERS;
            for (size_t k = 0; k < sizes[i]; k++) {
                text[k] = (char)('a' + test_random(&seed) % letters);
            }
            compare(t, text, sizes[i], sentencepiece);
            compare(t, text, sizes[i], sentencepiece); /* the second time out of the cache */
        }
        covey__tokenizer_free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_merging)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
