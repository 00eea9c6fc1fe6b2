/* The vocabulary as a trie over the bytes of its tokens, flattened in depth-first order: a walk is
 * one run through an array, and what cannot go on is skipped by an index. Tokens of whole plain
 * characters (all but quotation marks, backslashes and controls) stand in a part of their own:
 * within strings nearly all of them are allowed, and a subtree is taken whole when the automaton
 * surely takes as many plain characters as its longest token has. A subtree is also taken whole
 * where all its characters lead the automaton back to where it is. Built once for a model, when a
 * guide is first used with it; 24 bytes for each distinct beginning of tokens. Control tokens,
 * unknown and unused ones are not in it. */
#include "engine/guide_run.h"

#include <string.h>

#include "base/sort.h"

#define TOKEN_BYTES_MAX 255 /* a longer token is never offered */

typedef struct entry {
    uint64_t head; /* its first 8 bytes, the first one highest: a fast comparison */
    const uint8_t *bytes;
    uint32_t id;
    uint8_t size;
    bool other; /* not of whole plain characters */
} entry;

typedef struct trie_builder {
    const covey__tokenizer *tokenizer;
    covey__token_trie *trie;
    uint8_t *bytes;
    entry *entries;
    const void **sorted, **scratch;
    size_t byte_count, count;
    uint32_t path[TOKEN_BYTES_MAX + 1]; /* open nodes by depth */
    uint32_t path_size;
} trie_builder;

static bool is_plain(const uint8_t *bytes, size_t size) {
    size_t chars = 0;
    for (size_t at = 0; at < size; chars++) {
        covey__utf8_char c = covey__utf8_decode((const char *)bytes + at, size - at);
        if (!c.valid || c.code < 0x20 || c.code == '"' || c.code == '\\' || c.code == 0x7f)
            return false;
        at += c.size;
    }
    return chars < COVEY__GUIDE_RUN_MAX;
}

static int compare(const void *a, const void *b) {
    const entry *left = a, *right = b;
    if (left->other != right->other) return left->other ? 1 : -1;
    if (left->head != right->head) return left->head < right->head ? -1 : 1;
    size_t least = left->size < right->size ? left->size : right->size;
    int order = memcmp(left->bytes, right->bytes, least);
    if (order == 0) order = (int)left->size - (int)right->size;
    return order ? order : left->id < right->id ? -1 : left->id > right->id;
}

static void set_bit(uint32_t *mask, uint32_t id) {
    mask[id / 32] |= 1u << id % 32;
}

/* Takes the bytes of every token that text is made of; sets the bits of those that end a turn. */
static void gather(trie_builder *b, uint32_t vocabulary) {
    const covey__tokenizer *tokenizer = b->tokenizer;
    for (uint32_t id = 0; id < vocabulary; id++) {
        covey__token_type type = covey__tokenizer_type_of(tokenizer, (int32_t)id);
        if (covey__tokenizer_is_end(tokenizer, (int32_t)id)) {
            set_bit(b->trie->ends, id);
            continue;
        }
        if (type == COVEY__TOKEN_CONTROL || type == COVEY__TOKEN_UNKNOWN ||
            type == COVEY__TOKEN_UNUSED)
            continue;
        uint8_t *bytes = b->bytes + b->byte_count;
        size_t size = covey__tokenizer_bytes_of(tokenizer, (int32_t)id, false, (char *)bytes,
                                                TOKEN_BYTES_MAX);
        if (size == 0 || size > TOKEN_BYTES_MAX) continue;
        uint64_t head = 0;
        for (size_t i = 0; i < 8; i++) head = head << 8 | (i < size ? bytes[i] : 0);
        b->entries[b->count] = (entry){head, bytes, id, (uint8_t)size, !is_plain(bytes, size)};
        b->sorted[b->count] = &b->entries[b->count];
        b->count++;
        b->byte_count += size;
    }
}

int covey__guide_group_of(uint8_t byte) {
    static const char alone[] = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\n\t\r";
    if (byte >= 'a' && byte <= 'z') return 0;
    if (byte >= 'A' && byte <= 'Z') return 1;
    if (byte >= '0' && byte <= '9') return 2;
    if (byte >= 0x80) return COVEY__GUIDE_GROUP_NON_ASCII;
    const char *found = byte ? strchr(alone, byte) : NULL;
    return found ? 3 + (int)(found - alone) : COVEY__GUIDE_GROUP_NON_ASCII - 1; /* 3 to 38 */
}

/* Adds a token's characters to the nodes of its path. */
static void add_groups(trie_builder *b, const entry *e) {
    bool whole = covey__utf8_is_valid((const char *)e->bytes, e->size);
    uint64_t groups = whole ? 0 : UINT64_C(1) << COVEY__GUIDE_GROUP_BROKEN;
    for (uint32_t i = e->size; i-- > 0;) {
        groups |= UINT64_C(1) << covey__guide_group_of(e->bytes[i]);
        b->trie->nodes[b->path[i]].groups |= groups;
    }
}

/* Characters behind the first `at` bytes; one that was begun there is not counted. */
static uint8_t chars_behind(const entry *e, size_t at) {
    size_t chars = 0;
    for (size_t i = at; i < e->size; i++) chars += (e->bytes[i] & 0xc0) != 0x80;
    return (uint8_t)chars;
}

static void close_nodes(trie_builder *b, uint32_t depth) {
    while (b->path_size > depth) b->trie->nodes[b->path[--b->path_size]].skip = b->trie->node_count;
}

static void add_entry(trie_builder *b, const entry *e, const entry *before) {
    covey__token_trie *t = b->trie;
    uint32_t common = 0;
    if (before && before->other == e->other)
        while (common < before->size && common < e->size &&
               before->bytes[common] == e->bytes[common])
            common++;
    close_nodes(b, common);
    for (uint32_t i = common; i < e->size; i++) {
        t->nodes[t->node_count] = (covey__trie_node){
            .first = t->token_count, .byte = e->bytes[i], .depth = (uint8_t)(i + 1)};
        b->path[b->path_size++] = t->node_count++;
    }
    add_groups(b, e);
    for (uint32_t i = 0; i < b->path_size && !e->other; i++) {
        covey__trie_node *node = &t->nodes[b->path[i]];
        uint8_t chars = chars_behind(e, i + 1);
        if (chars > node->chars) node->chars = chars;
        if (i + 1 < e->size && (e->bytes[i + 1] & 0xc0) == 0x80) node->within = true;
    }
    t->ids[t->token_count++] = e->id;
}

/* Distinct beginnings of the sorted entries. */
static size_t count_nodes(const trie_builder *b) {
    size_t count = 0;
    const entry *before = NULL;
    for (size_t i = 0; i < b->count; i++) {
        const entry *e = b->sorted[i];
        size_t common = 0;
        if (before && before->other == e->other)
            while (common < before->size && common < e->size &&
                   before->bytes[common] == e->bytes[common])
                common++;
        count += e->size - common;
        before = e;
    }
    return count;
}

static void find_roots(covey__token_trie *t) {
    memset(t->roots, 0xff, sizeof t->roots);
    for (uint32_t i = 0; i < t->node_count; i = t->nodes[i].skip)
        t->roots[i >= t->plain_nodes][t->nodes[i].byte] = i;
    t->every_byte = true;
    for (int byte = 0; byte < 256; byte++) {
        char as_char = (char)byte;
        size_t size;
        if (byte < 0xc0 || (byte > 0xc1 && byte < 0xf5))
            if (covey__token_trie_longest(t, &as_char, 1, &size) < 0) t->every_byte = false;
    }
}

static covey_status fill(trie_builder *b, covey_error *error) {
    covey__token_trie *t = b->trie;
    covey__sort_pointers(b->sorted, b->scratch, b->count, compare);
    size_t nodes = count_nodes(b);
    size_t bytes = (nodes + 1) * sizeof *t->nodes;
    t->nodes = covey__calloc(t->env, nodes + 1, sizeof *t->nodes);
    if (!t->nodes) return covey__no_memory(error, "the vocabulary's trie", bytes);
    const entry *before = NULL;
    for (size_t i = 0; i < b->count; i++) {
        const entry *e = b->sorted[i];
        if (e->other && !(before && before->other)) {
            close_nodes(b, 0);
            t->plain_nodes = t->node_count;
            t->plain_tokens = t->token_count;
        }
        add_entry(b, e, before);
        if (!e->other) set_bit(t->plain, e->id);
        before = e;
    }
    close_nodes(b, 0);
    if (!before || !before->other) {
        t->plain_nodes = t->node_count;
        t->plain_tokens = t->token_count;
    }
    t->nodes[t->node_count] = (covey__trie_node){.skip = t->node_count, .first = t->token_count};
    t->bytes += bytes;
    find_roots(t);
    return COVEY_OK;
}

static covey_status build(trie_builder *b, uint32_t vocabulary, covey_error *error) {
    const covey__env *env = b->trie->env;
    size_t total = 0;
    for (uint32_t id = 0; id < vocabulary; id++) {
        size_t size = covey__tokenizer_bytes_of(b->tokenizer, (int32_t)id, false, NULL, 0);
        total += size <= TOKEN_BYTES_MAX ? size : 0;
    }
    b->bytes = covey__alloc(env, total + TOKEN_BYTES_MAX + 1);
    b->entries = covey__calloc(env, vocabulary, sizeof *b->entries);
    b->sorted = covey__calloc(env, vocabulary, sizeof *b->sorted);
    b->scratch = covey__calloc(env, vocabulary, sizeof *b->scratch);
    covey_status status = COVEY_OK;
    if (b->bytes && b->entries && b->sorted && b->scratch) {
        gather(b, vocabulary);
        status = fill(b, error);
    } else {
        status = covey__no_memory(error, "the vocabulary's trie", total);
    }
    covey__free(env, b->bytes);
    covey__free(env, b->entries);
    covey__free(env, b->sorted);
    covey__free(env, b->scratch);
    return status;
}

covey_status covey__token_trie_new(const covey__env *env, const covey__tokenizer *tokenizer,
                                   covey__token_trie **trie, covey_error *error) {
    uint32_t vocabulary = (uint32_t)covey__tokenizer_specials_of(tokenizer).token_count;
    covey__token_trie *t = covey__calloc(env, 1, sizeof *t);
    *trie = NULL;
    if (!t) return covey__no_memory(error, "the vocabulary's trie", sizeof *t);
    t->env = env;
    atomic_init(&t->references, 1);
    t->words = (vocabulary + 31) / 32;
    t->ids = covey__calloc(env, vocabulary + 1, sizeof *t->ids);
    t->plain = covey__calloc(env, t->words + 1, sizeof *t->plain);
    t->ends = covey__calloc(env, t->words + 1, sizeof *t->ends);
    t->bytes = sizeof *t + (vocabulary + 1 + 2 * (t->words + 1)) * sizeof(uint32_t);
    trie_builder *b = covey__calloc(env, 1, sizeof *b);
    covey_status status;
    if (t->ids && t->plain && t->ends && b) {
        b->tokenizer = tokenizer;
        b->trie = t;
        status = build(b, vocabulary, error);
    } else {
        status = covey__no_memory(error, "the vocabulary's trie", t->bytes);
    }
    covey__free(env, b);
    if (status != COVEY_OK)
        covey__token_trie_drop(t);
    else
        *trie = t;
    return status;
}

covey__token_trie *covey__token_trie_hold(covey__token_trie *trie) {
    atomic_fetch_add(&trie->references, 1);
    return trie;
}

void covey__token_trie_drop(covey__token_trie *trie) {
    if (!trie || atomic_fetch_sub(&trie->references, 1) != 1) return;
    covey__free(trie->env, trie->nodes);
    covey__free(trie->env, trie->ids);
    covey__free(trie->env, trie->plain);
    covey__free(trie->env, trie->ends);
    covey__free(trie->env, trie);
}

static uint32_t child(const covey__token_trie *t, uint32_t node, uint8_t byte) {
    for (uint32_t i = node + 1; i < t->nodes[node].skip; i = t->nodes[i].skip)
        if (t->nodes[i].byte == byte) return i;
    return COVEY__GUIDE_NONE;
}

int32_t covey__token_trie_longest(const covey__token_trie *t, const char *bytes, size_t size,
                                  size_t *token_size) {
    int32_t best = -1;
    *token_size = 0;
    for (int part = 0; part < 2 && size > 0; part++) {
        uint32_t node = t->roots[part][(uint8_t)bytes[0]];
        for (size_t at = 1; node != COVEY__GUIDE_NONE; at++) {
            if (t->nodes[node + 1].first > t->nodes[node].first && at > *token_size) {
                best = (int32_t)t->ids[t->nodes[node].first];
                *token_size = at;
            }
            node = at < size ? child(t, node, (uint8_t)bytes[at]) : COVEY__GUIDE_NONE;
        }
    }
    return best;
}

void covey__token_trie_find(const covey__token_trie *t, const char *bytes, size_t size,
                            uint32_t nodes[2]) {
    for (int part = 0; part < 2; part++) {
        uint32_t node = size ? t->roots[part][(uint8_t)bytes[0]] : COVEY__GUIDE_NONE;
        for (size_t at = 1; at < size && node != COVEY__GUIDE_NONE; at++)
            node = child(t, node, (uint8_t)bytes[at]);
        nodes[part] = node;
    }
}
