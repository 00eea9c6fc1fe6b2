/* The two hash tables of a tokenizer: text to id, and pair of ids to merge. Open addressing with
 * linear probing, filled once, then read only. */
#ifndef COVEY_TEXT_TOKEN_TABLE_H
#define COVEY_TEXT_TOKEN_TABLE_H

#include "base/env.h"
#include "text/utf8.h"

/* Texts of tokens one after the other: token i is data[ends[i - 1] .. ends[i]). */
typedef struct covey__token_texts {
    char *data;
    uint32_t *ends; /* [0] is 0; token i lies between [i] and [i + 1] */
    size_t count;
} covey__token_texts;

static inline covey__text covey__token_text(const covey__token_texts *texts, uint32_t id) {
    return (covey__text){texts->data + texts->ends[id], texts->ends[id + 1] - texts->ends[id]};
}

typedef struct covey__text_table {
    uint64_t *slots; /* hash's high half above id + 1; 0 is empty */
    size_t mask;
} covey__text_table;

uint64_t covey__text_hash(const char *text, size_t size);
/* Room for `count` entries; NO_MEMORY otherwise. */
covey_status covey__text_table_init(const covey__env *env, covey__text_table *table, size_t count,
                                    covey_error *error) COVEY_MUST_USE;
/* A later id with the same text takes the place of the earlier one. */
void covey__text_table_put(covey__text_table *table, const covey__token_texts *texts, uint32_t id);
/* The id, or -1. */
int32_t covey__text_table_get(const covey__text_table *table, const covey__token_texts *texts,
                              uint64_t hash, const char *text, size_t size);
static inline void covey__text_table_prefetch(const covey__text_table *table, uint64_t hash) {
    __builtin_prefetch(&table->slots[hash & table->mask]);
}

typedef struct covey__merge {
    uint32_t left, right; /* ids */
    uint32_t rank;        /* from 1: the lowest merges first; 0 is an empty slot */
    uint32_t merged;      /* id */
} covey__merge;

typedef struct covey__merge_table {
    covey__merge *slots;
    size_t mask;
} covey__merge_table;

covey_status covey__merge_table_init(const covey__env *env, covey__merge_table *table, size_t count,
                                     covey_error *error) COVEY_MUST_USE;
void covey__merge_table_prefetch(const covey__merge_table *table, uint32_t left, uint32_t right);
/* The first of two entries for one pair stays. */
void covey__merge_table_put(covey__merge_table *table, covey__merge merge);
/* NULL when the two do not merge. */
const covey__merge *covey__merge_table_get(const covey__merge_table *table, uint32_t left,
                                           uint32_t right);

#endif
