/* Learning a byte-level BPE vocabulary (Sennrich and others, arXiv:1508.07909; bytes as in GPT-2):
 * words of the corpus are counted, begin as bytes, and the pair that occurs most is merged until
 * there are enough tokens. Among equals the pair with the lower ids wins, so that the same corpus
 * gives the same vocabulary. Pair counts are kept up to date merge by merge. */
#include <string.h>

#include "base/error.h"
#include "text/pretokenizer.h"
#include "train/train_vocabulary.h"

#define WORDS_MAX      ((size_t)1 << 22)
#define WORD_BYTES_MAX 256
#define CORPUS_MAX     ((size_t)1 << 30)
#define CONTROLS       4
#define FIRST_MERGED   256

typedef struct word {
    const char *text;
    uint32_t size;
    uint64_t count;
} word;

struct covey__word_counts {
    const covey__env *env;
    covey__arena arena;
    word *slots; /* open addressing; text NULL is free */
    size_t capacity, used;
};

static uint64_t hash_of(const char *text, size_t size) { /* FNV-1a */
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
    return hash ^ (hash >> 29);
}

covey_status covey__word_counts_new(const covey__env *env, covey__word_counts **counts,
                                    covey_error *error) {
    covey__word_counts *c = covey__calloc(env, 1, sizeof *c);
    size_t capacity = (size_t)1 << 12;
    word *slots = covey__calloc(env, capacity, sizeof *slots);
    *counts = c;
    if (!c || !slots) {
        covey__free(env, slots);
        covey__free(env, c);
        *counts = NULL;
        return covey__no_memory(error, "train: words", capacity * sizeof *slots);
    }
    c->env = env;
    c->slots = slots;
    c->capacity = capacity;
    covey__arena_init(&c->arena, env, CORPUS_MAX);
    return COVEY_OK;
}

void covey__word_counts_free(covey__word_counts *counts) {
    if (!counts) return;
    covey__arena_free(&counts->arena);
    covey__free(counts->env, counts->slots);
    covey__free(counts->env, counts);
}

static word *slot_of(word *slots, size_t capacity, const char *text, size_t size) {
    size_t at = (size_t)hash_of(text, size) & (capacity - 1);
    while (slots[at].text && (slots[at].size != size || memcmp(slots[at].text, text, size) != 0))
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static covey_status grow_words(covey__word_counts *c, covey_error *error) {
    size_t capacity = c->capacity * 2;
    if (capacity > WORDS_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)WORDS_MAX / 2, (int64_t)c->used,
                                 "train: more than %zu different words", WORDS_MAX / 2);
    word *slots = covey__calloc(c->env, capacity, sizeof *slots);
    if (!slots) return covey__no_memory(error, "train: words", capacity * sizeof *slots);
    for (size_t i = 0; i < c->capacity; i++)
        if (c->slots[i].text)
            *slot_of(slots, capacity, c->slots[i].text, c->slots[i].size) = c->slots[i];
    covey__free(c->env, c->slots);
    c->slots = slots;
    c->capacity = capacity;
    return COVEY_OK;
}

covey_status covey__word_counts_add(covey__word_counts *c, const char *text, size_t size,
                                    covey_error *error) {
    for (size_t at = 0; at < size;) {
        size_t length = covey__pretokenizer_next(COVEY__PRETOKENIZER_QWEN2, text + at, size - at);
        const char *piece = text + at;
        at += length;
        if (length < 2 || length > WORD_BYTES_MAX) continue; /* nothing to merge, or not a word */
        word *slot = slot_of(c->slots, c->capacity, piece, length);
        if (!slot->text) {
            char *copy = covey__arena_strndup(&c->arena, piece, length);
            if (!copy) return covey__no_memory(error, "train: words", length);
            *slot = (word){copy, (uint32_t)length, 0};
            slot->count++;
            c->used++;
            if (c->used * 2 > c->capacity) {
                covey_status status = grow_words(c, error);
                if (status != COVEY_OK) return status;
            }
            continue;
        }
        slot->count++;
    }
    return COVEY_OK;
}

/* ---- Merging ---- */

typedef struct pair {
    uint64_t key; /* left << 32 | right, plus 1; 0 is free */
    int64_t count;
} pair;

typedef struct symbols {
    int32_t *ids;
    uint32_t length;
    int64_t count;
} symbols;

typedef struct learner {
    const covey__env *env;
    covey__train_vocabulary *v;
    symbols *words;
    size_t word_count;
    pair *pairs;
    size_t pair_capacity, pair_used;
    size_t limit; /* tokens before the control tokens */
} learner;

static pair *pair_slot(pair *pairs, size_t capacity, uint64_t key) {
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (capacity - 1);
    while (pairs[at].key && pairs[at].key != key) at = (at + 1) & (capacity - 1);
    return &pairs[at];
}

static bool count_pair(learner *l, int32_t left, int32_t right, int64_t change) {
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
    pair *slot = pair_slot(l->pairs, l->pair_capacity, key);
    if (!slot->key) {
        slot->key = key;
        l->pair_used++;
    }
    slot->count += change;
    if (l->pair_used * 2 <= l->pair_capacity) return true;
    size_t capacity = l->pair_capacity * 2;
    pair *pairs = covey__calloc(l->env, capacity, sizeof *pairs);
    if (!pairs) return false;
    l->pair_used = 0;
    for (size_t i = 0; i < l->pair_capacity; i++) {
        if (l->pairs[i].count <= 0) continue; /* merged away */
        *pair_slot(pairs, capacity, l->pairs[i].key) = l->pairs[i];
        l->pair_used++;
    }
    covey__free(l->env, l->pairs);
    l->pairs = pairs;
    l->pair_capacity = capacity;
    return true;
}

static pair best_pair(const learner *l) {
    pair best = {0, 0};
    for (size_t i = 0; i < l->pair_capacity; i++) {
        pair p = l->pairs[i];
        if (p.count > best.count || (p.count == best.count && p.count > 0 && p.key < best.key))
            best = p;
    }
    return best;
}

/* Joins every occurrence of the pair in one word and moves the counts. */
static bool merge_word(learner *l, symbols *w, int32_t left, int32_t right, int32_t joined) {
    uint32_t out = 0;
    bool ok = true;
    for (uint32_t i = 0; i < w->length; i++) {
        if (i + 1 < w->length && w->ids[i] == left && w->ids[i + 1] == right) {
            if (out > 0) {
                ok = ok && count_pair(l, w->ids[out - 1], left, -w->count);
                ok = ok && count_pair(l, w->ids[out - 1], joined, w->count);
            }
            if (i + 2 < w->length) {
                ok = ok && count_pair(l, right, w->ids[i + 2], -w->count);
                ok = ok && count_pair(l, joined, w->ids[i + 2], w->count);
            }
            ok = ok && count_pair(l, left, right, -w->count);
            w->ids[out++] = joined;
            i++;
        } else {
            w->ids[out++] = w->ids[i];
        }
    }
    w->length = out;
    return ok;
}

static bool holds(const symbols *w, int32_t left, int32_t right) {
    for (uint32_t i = 0; i + 1 < w->length; i++)
        if (w->ids[i] == left && w->ids[i + 1] == right) return true;
    return false;
}

/* The token that two make together: a new one, or one that reads the same already. */
static covey_status join(learner *l, int32_t left, int32_t right, int32_t *joined,
                         covey_error *error) {
    covey__train_vocabulary *v = l->v;
    covey__text a = v->tokens[left], b = v->tokens[right];
    char *text = covey__arena_alloc(&v->arena, a.size + b.size + 1);
    char *merge = covey__arena_alloc(&v->arena, a.size + b.size + 2);
    if (!text || !merge) return covey__no_memory(error, "train: vocabulary", a.size + b.size);
    memcpy(text, a.data, a.size);
    memcpy(text + a.size, b.data, b.size);
    memcpy(merge, a.data, a.size);
    merge[a.size] = ' ';
    memcpy(merge + a.size + 1, b.data, b.size);
    v->merges[v->merge_count++] = (covey__text){merge, a.size + b.size + 1};
    for (size_t i = FIRST_MERGED; i < v->token_count; i++)
        if (v->tokens[i].size == a.size + b.size &&
            memcmp(v->tokens[i].data, text, a.size + b.size) == 0) {
            *joined = (int32_t)i;
            return COVEY_OK;
        }
    *joined = (int32_t)v->token_count;
    v->types[v->token_count] = COVEY__TOKEN_NORMAL;
    v->tokens[v->token_count++] = (covey__text){text, a.size + b.size};
    return COVEY_OK;
}

static covey_status load_words(learner *l, const covey__word_counts *counts, covey_error *error) {
    l->words = covey__calloc(l->env, counts->used + 1, sizeof *l->words);
    l->pair_capacity = (size_t)1 << 16;
    l->pairs = covey__calloc(l->env, l->pair_capacity, sizeof *l->pairs);
    if (!l->words || !l->pairs) return covey__no_memory(error, "train: words", counts->used);
    for (size_t i = 0; i < counts->capacity; i++) {
        const word *from = &counts->slots[i];
        if (!from->text) continue;
        symbols *w = &l->words[l->word_count++];
        w->ids = covey__arena_calloc(&l->v->arena, from->size, sizeof *w->ids);
        if (!w->ids) return covey__no_memory(error, "train: words", from->size);
        w->length = from->size;
        w->count = (int64_t)from->count;
        for (uint32_t b = 0; b < from->size; b++) w->ids[b] = (uint8_t)from->text[b];
        for (uint32_t b = 0; b + 1 < from->size; b++)
            if (!count_pair(l, w->ids[b], w->ids[b + 1], w->count))
                return covey__no_memory(error, "train: pairs", l->pair_capacity * sizeof(pair));
    }
    return COVEY_OK;
}

static covey_status put_token(covey__train_vocabulary *v, const char *text, size_t size,
                              covey__token_type type, covey_error *error) {
    char *copy = covey__arena_strndup(&v->arena, text, size);
    if (!copy) return covey__no_memory(error, "train: vocabulary", size);
    v->types[v->token_count] = type;
    v->tokens[v->token_count++] = (covey__text){copy, size};
    return COVEY_OK;
}

static covey_status learn(learner *l, covey_error *error, covey__vocabulary_fn each, void *user) {
    covey__train_vocabulary *v = l->v;
    size_t total = l->limit - FIRST_MERGED;
    /* A merge may give no new token, so merges are bounded apart. */
    while (v->token_count < l->limit && v->merge_count < 2 * l->limit) {
        pair best = best_pair(l);
        if (best.count < 2)
            return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)(v->token_count + CONTROLS),
                                     (int64_t)(l->limit + CONTROLS),
                                     "train: the corpus gives only %zu tokens, %zu were asked for",
                                     v->token_count + CONTROLS, l->limit + CONTROLS);
        int32_t left = (int32_t)((best.key - 1) >> 32), joined;
        int32_t right = (int32_t)((best.key - 1) & 0xffffffffu);
        covey_status status = join(l, left, right, &joined, error);
        if (status != COVEY_OK) return status;
        for (size_t i = 0; i < l->word_count; i++)
            if (holds(&l->words[i], left, right) &&
                !merge_word(l, &l->words[i], left, right, joined))
                return covey__no_memory(error, "train: pairs", l->pair_capacity * sizeof(pair));
        pair_slot(l->pairs, l->pair_capacity, best.key)->count = 0;
        if (each && v->merge_count % 16 == 0) {
            status = each(user, v->token_count - FIRST_MERGED, total);
            if (status != COVEY_OK) return covey__fail(error, status, "train: stopped");
        }
    }
    return COVEY_OK;
}

static covey_status begin_vocabulary(covey__train_vocabulary *v, size_t size, covey_error *error) {
    v->tokens = covey__arena_calloc(&v->arena, size, sizeof *v->tokens);
    v->types = covey__arena_calloc(&v->arena, size, sizeof *v->types);
    v->merges = covey__arena_calloc(&v->arena, 2 * size, sizeof *v->merges);
    if (!v->tokens || !v->types || !v->merges)
        return covey__no_memory(error, "train: vocabulary", size * sizeof *v->tokens);
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        size_t length = covey__utf8_encode(covey__byte_to_code((uint8_t)byte), text);
        covey_status status = put_token(v, text, length, COVEY__TOKEN_NORMAL, error);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

covey_status covey__train_vocabulary_learn(const covey__env *env, const covey__word_counts *counts,
                                           int32_t size, covey__train_vocabulary *v,
                                           covey_error *error, covey__vocabulary_fn each,
                                           void *user) {
    static const char *const controls[CONTROLS] = {"<|pad|>", "<|user|>", "<|assistant|>",
                                                   "<|end|>"};
    *v = (covey__train_vocabulary){.pad = -1};
    if (size < FIRST_MERGED + CONTROLS || size > 65536)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "train: vocabulary of %d tokens, expected %d to 65536", (int)size,
                           FIRST_MERGED + CONTROLS);
    covey__arena_init(&v->arena, env, CORPUS_MAX);
    learner l = {.env = env, .v = v, .limit = (size_t)size - CONTROLS};
    covey_status status = begin_vocabulary(v, (size_t)size, error);
    if (status == COVEY_OK) status = load_words(&l, counts, error);
    if (status == COVEY_OK) status = learn(&l, error, each, user);
    for (size_t i = 0; i < CONTROLS && status == COVEY_OK; i++)
        status = put_token(v, controls[i], strlen(controls[i]), COVEY__TOKEN_CONTROL, error);
    if (status == COVEY_OK) status = covey__train_vocabulary_finish(env, v, error);
    covey__free(env, l.words);
    covey__free(env, l.pairs);
    if (status != COVEY_OK) covey__train_vocabulary_free(v);
    return status;
}
