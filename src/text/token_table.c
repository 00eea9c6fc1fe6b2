/* Hash tables of a tokenizer. They are filled while a model opens, so what counts is few cache
 * misses: a slot of texts holds half of the hash beside the id, and a text is compared only where
 * that half agrees. At most two thirds of the slots are in use: half would double what large
 * vocabularies take, and finds no faster. */
#include "text/token_table.h"

#include "base/error.h"
#include <string.h>

static uint64_t mix(uint64_t value) {
    value ^= value >> 32;
    value *= 0xD6E8FEB86659FD93u;
    value ^= value >> 32;
    return value;
}

/* Up to seven bytes as a number; with the size, one number a text. */
static uint64_t read_tail(const char *text, size_t size) {
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, text, 4);
        memcpy(&last, text + size - 4, 4);
        return (uint64_t)last << 32 | first;
    }
    const uint8_t *bytes = (const uint8_t *)text;
    return size ? bytes[0] | (uint32_t)bytes[size / 2] << 8 | (uint32_t)bytes[size - 1] << 16 : 0;
}

uint64_t covey__text_hash(const char *text, size_t size) {
    uint64_t hash = (uint64_t)size * 0x9E3779B97F4A7C15u;
    for (; size >= 8; text += 8, size -= 8) {
        uint64_t part;
        memcpy(&part, text, 8);
        hash = mix(hash ^ part) * 0xA0761D6478BD642Fu;
    }
    return mix((hash ^ read_tail(text, size)) * 0xA0761D6478BD642Fu);
}

/* The power of two that keeps `count` entries at two thirds of it or less; 0 when there is none. */
static size_t capacity_for(size_t count) {
    size_t capacity = 16;
    while (capacity / 3 * 2 < count) {
        if (capacity > SIZE_MAX / 4) {
            return 0;
        }
        capacity *= 2;
    }
    return capacity;
}

covey_status covey__text_table_init(const covey__env *env, covey__text_table *table, size_t count,
                                    covey_error *error) {
    size_t capacity = capacity_for(count);
    table->slots = capacity ? covey__calloc(env, capacity, sizeof *table->slots) : NULL;
    table->mask = capacity - 1;
    return table->slots ? COVEY_OK
                        : covey__no_memory(error, "tokenizer: table of texts",
                                           capacity * sizeof *table->slots);
}

static bool holds(const covey__token_texts *texts, uint64_t slot, uint64_t hash, const char *text,
                  size_t size) {
    if (slot >> 32 != hash >> 32) {
        return false;
    }
    covey__text there = covey__token_text(texts, (uint32_t)slot - 1);
    return there.size == size && memcmp(there.data, text, size) == 0;
}

void covey__text_table_put(covey__text_table *table, const covey__token_texts *texts, uint32_t id) {
    covey__text text = covey__token_text(texts, id);
    uint64_t hash = covey__text_hash(text.data, text.size);
    size_t at = hash & table->mask;
    while (table->slots[at] && !holds(texts, table->slots[at], hash, text.data, text.size)) {
        at = (at + 1) & table->mask;
    }
    table->slots[at] = (hash >> 32 << 32) | (id + 1);
}

int32_t covey__text_table_get(const covey__text_table *table, const covey__token_texts *texts,
                              uint64_t hash, const char *text, size_t size) {
    for (size_t at = hash & table->mask; table->slots[at]; at = (at + 1) & table->mask) {
        if (holds(texts, table->slots[at], hash, text, size)) {
            return (int32_t)((uint32_t)table->slots[at] - 1);
        }
    }
    return -1;
}

covey_status covey__merge_table_init(const covey__env *env, covey__merge_table *table, size_t count,
                                     covey_error *error) {
    size_t capacity = capacity_for(count);
    table->slots = capacity ? covey__calloc(env, capacity, sizeof *table->slots) : NULL;
    table->mask = capacity - 1;
    return table->slots ? COVEY_OK
                        : covey__no_memory(error, "tokenizer: table of merges",
                                           capacity * sizeof *table->slots);
}

static size_t merge_slot(const covey__merge_table *table, uint32_t left, uint32_t right) {
    return mix((uint64_t)left << 32 | right) & table->mask;
}

void covey__merge_table_prefetch(const covey__merge_table *table, uint32_t left, uint32_t right) {
    __builtin_prefetch(&table->slots[merge_slot(table, left, right)]);
}

void covey__merge_table_put(covey__merge_table *table, covey__merge merge) {
    size_t at = merge_slot(table, merge.left, merge.right);
    for (; table->slots[at].rank != 0; at = (at + 1) & table->mask) {
        if (table->slots[at].left == merge.left && table->slots[at].right == merge.right) {
            return;
        }
    }
    table->slots[at] = merge;
}

const covey__merge *covey__merge_table_get(const covey__merge_table *table, uint32_t left,
                                           uint32_t right) {
    size_t at = merge_slot(table, left, right);
    for (; table->slots[at].rank != 0; at = (at + 1) & table->mask) {
        if (table->slots[at].left == left && table->slots[at].right == right) {
            return &table->slots[at];
        }
    }
    return NULL;
}
