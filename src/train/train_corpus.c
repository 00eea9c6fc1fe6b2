/* Reading a corpus. A line is parsed by base/json into an arena that is emptied after it; only ids
 * stay. Lines hold "user" and "assistant"; other members are let through, for the corpus's makers
 * keep notes there. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "train/train_corpus.h"
#include "train/train_net.h"

#define LINE_BYTES_MAX ((size_t)1 << 20)
#define TOKENS_MAX     ((size_t)1 << 30)
#define TURNS_MAX      ((size_t)1 << 27)
#define PROGRESS_LINES 512

static covey_status text_member(const covey__json *line, const char *name, const char **text,
                                size_t *size, covey_error *error) {
    const covey__json *node;
    covey_status status = covey__json_member(line, name, name, COVEY__JSON_STRING, &node, error);
    if (status != COVEY_OK) return status;
    *text = node->text;
    *size = node->size;
    return COVEY_OK;
}

static covey_status read_line(const covey__env *env, const char *line, size_t size,
                              covey_error *error, covey__corpus_fn each, void *user) {
    covey__arena arena;
    const covey__json *root;
    const char *said, *answer;
    size_t said_size, answer_size;
    covey__arena_init(&arena, env, 16 * LINE_BYTES_MAX);
    covey__json_limits limits = {LINE_BYTES_MAX, 16, 4096};
    covey_status status = covey__json_parse(&arena, line, size, limits, &root, error);
    if (status == COVEY_OK) status = text_member(root, "user", &said, &said_size, error);
    if (status == COVEY_OK) status = text_member(root, "assistant", &answer, &answer_size, error);
    if (status == COVEY_OK) status = each(user, said, said_size, answer, answer_size, error);
    covey__arena_free(&arena);
    return status;
}

typedef struct walk {
    uint64_t done, total;
    covey__corpus_progress_fn progress;
    void *user;
} walk;

static covey_status walk_file(const covey__env *env, const char *path, walk *w, covey_error *error,
                              covey__corpus_fn each) {
    covey__map map;
    covey_status status = covey__map_path(env, path, &map, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "train: corpus");
    uint64_t number = 0;
    for (size_t at = 0; at < map.size && status == COVEY_OK;) {
        const char *line = (const char *)map.data + at;
        const char *end = memchr(line, '\n', map.size - at);
        size_t size = end ? (size_t)(end - line) : map.size - at;
        at += size + (end ? 1 : 0);
        number++;
        if (size > 0 && line[size - 1] == '\r') size--;
        if (size == 0) continue;
        status = read_line(env, line, size, error, each, w->user);
        if (status != COVEY_OK) {
            covey__prefix(error, status, "train: corpus %s: line %" PRIu64, path, number);
        } else if (w->progress && number % PROGRESS_LINES == 0) {
            status = w->progress(w->user, w->done + at, w->total);
            if (status != COVEY_OK) covey__fail(error, status, "train: stopped");
        }
    }
    w->done += map.size;
    covey__map_close(&map);
    return status;
}

covey_status covey__corpus_walk(const covey__env *env, const char *const *paths, size_t path_count,
                                covey_error *error, covey__corpus_fn each,
                                covey__corpus_progress_fn progress, void *user) {
    walk w = {.progress = progress, .user = user};
    for (size_t i = 0; i < path_count; i++) {
        uint64_t size = 0;
        covey_status status = covey__file_size(env, paths[i], &size, error);
        if (status != COVEY_OK) return covey__prefix(error, status, "train: corpus");
        w.total += size;
    }
    for (size_t i = 0; i < path_count; i++) {
        covey_status status = walk_file(env, paths[i], &w, error, each);
        if (status != COVEY_OK) return status;
    }
    return COVEY_OK;
}

/* ---- Tokens ---- */

void covey__corpus_init(covey__train_corpus *corpus, const covey__env *env) {
    *corpus = (covey__train_corpus){.env = env};
}

void covey__corpus_free(covey__train_corpus *corpus) {
    covey__free(corpus->env, corpus->tokens);
    covey__free(corpus->env, corpus->turns);
    covey__corpus_init(corpus, corpus->env);
}

static covey_status grow(const covey__env *env, void **items, size_t *capacity, size_t needed,
                         size_t item_size, size_t most, covey_error *error) {
    if (needed <= *capacity) return COVEY_OK;
    if (needed > most)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, (int64_t)most, (int64_t)needed,
                                 "train: the corpus is larger than %zu tokens or turns", most);
    size_t wanted = *capacity < 4096 ? 4096 : *capacity + *capacity / 2;
    if (wanted < needed) wanted = needed;
    void *grown = covey__resize(env, *items, wanted * item_size);
    if (!grown) return covey__no_memory(error, "train: corpus", wanted * item_size);
    *items = grown;
    *capacity = wanted;
    return COVEY_OK;
}

static covey_status append(covey__train_corpus *c, const covey__train_vocabulary *v,
                           const char *text, size_t size, covey_error *error) {
    /* A byte-level token takes at least one byte, so this is room enough. */
    void *tokens = c->tokens;
    covey_status status = grow(c->env, &tokens, &c->token_capacity, c->token_count + size + 1,
                               sizeof *c->tokens, TOKENS_MAX, error);
    c->tokens = tokens;
    if (status != COVEY_OK || size == 0) return status;
    size_t count;
    status = covey__tokenizer_encode(v->tokenizer, text, size, false, c->tokens + c->token_count,
                                     c->token_capacity - c->token_count, &count, error);
    if (status == COVEY_OK) c->token_count += count;
    return status;
}

static covey_status append_id(covey__train_corpus *c, int32_t id, covey_error *error) {
    void *tokens = c->tokens;
    covey_status status = grow(c->env, &tokens, &c->token_capacity, c->token_count + 1,
                               sizeof *c->tokens, TOKENS_MAX, error);
    c->tokens = tokens;
    if (status == COVEY_OK) c->tokens[c->token_count++] = id;
    return status;
}

covey_status covey__corpus_add(covey__train_corpus *c, const covey__train_vocabulary *v,
                               const char *said, size_t said_size, const char *answer,
                               size_t answer_size, covey_error *error) {
    size_t start = c->token_count;
    void *turns = c->turns;
    covey_status status = grow(c->env, &turns, &c->turn_capacity, c->turn_count + 2,
                               sizeof *c->turns, TURNS_MAX, error);
    c->turns = turns;
    if (status == COVEY_OK) status = append_id(c, v->user, error);
    if (status == COVEY_OK) status = append(c, v, said, said_size, error);
    if (status == COVEY_OK) status = append_id(c, v->assistant, error);
    size_t answer_at = c->token_count - start;
    if (status == COVEY_OK) status = append(c, v, answer, answer_size, error);
    if (status == COVEY_OK) status = append_id(c, v->end, error);
    if (status != COVEY_OK) {
        c->token_count = start;
        return status;
    }
    c->turns[c->turn_count++] = (covey__train_turn){start, (uint32_t)answer_at};
    c->turns[c->turn_count] = (covey__train_turn){c->token_count, 0};
    if (c->token_count - start > c->longest) c->longest = c->token_count - start;
    return COVEY_OK;
}

size_t covey__corpus_turn_size(const covey__train_corpus *corpus, size_t turn) {
    return corpus->turns[turn + 1].start - corpus->turns[turn].start;
}

void covey__corpus_digest(const covey__train_corpus *corpus, uint8_t digest[32]) {
    covey__sha256 hash;
    covey__sha256_init(&hash);
    covey__sha256_update(&hash, corpus->tokens, corpus->token_count * sizeof *corpus->tokens);
    for (size_t i = 0; i < corpus->turn_count; i++) {
        uint64_t start = corpus->turns[i].start;
        covey__sha256_update(&hash, &start, sizeof start);
    }
    covey__sha256_final(&hash, digest);
}

void covey__corpus_shuffle(const covey__train_corpus *corpus, uint64_t seed, uint64_t epoch,
                           uint32_t *order) {
    for (size_t i = 0; i < corpus->turn_count; i++) order[i] = (uint32_t)i;
    for (size_t i = corpus->turn_count; i > 1; i--) {
        size_t j = (size_t)(covey__train_random(seed, 2, (epoch << 32) + i) % i);
        uint32_t other = order[j];
        order[j] = order[i - 1];
        order[i - 1] = other;
    }
}
