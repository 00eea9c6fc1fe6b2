/* What the corpus generator needs besides grammars: memory, files, random numbers, a set of
 * sentences. Every failure ends the program, since a corpus that is not whole is of no use. */
#include "corpus_grammar.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void corpus_die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("assistant-corpus: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void *corpus_resize(void *pointer, size_t count, size_t size) {
    size_t bytes = 0;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        corpus_die("a size does not fit");
    }
    void *result = realloc(pointer, bytes ? bytes : 1);
    if (!result) {
        corpus_die("no memory for %zu bytes", bytes);
    }
    return result;
}

char *corpus_read(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        corpus_die("cannot open %s", path);
    }
    size_t size = 0, capacity = 1u << 16;
    char *text = corpus_resize(NULL, capacity, 1);
    for (;;) {
        size += fread(text + size, 1, capacity - size - 1, file);
        if (size < capacity - 1) {
            break;
        }
        capacity *= 2;
        text = corpus_resize(text, capacity, 1);
    }
    if (ferror(file)) {
        corpus_die("cannot read %s", path);
    }
    fclose(file);
    text[size] = 0;
    return text;
}

/* SplitMix64 (Steele, Lea and Flood, 2014). */
uint64_t corpus_random_next(corpus_random *random) {
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

uint32_t corpus_random_below(corpus_random *random, uint64_t bound) {
    return (uint32_t)(((corpus_random_next(random) >> 32) * (bound & 0xFFFFFFFFu)) >> 32);
}

bool corpus_random_chance(corpus_random *random, double probability) {
    return (double)(corpus_random_next(random) >> 11) * 0x1p-53 < probability;
}

static uint64_t hash(const char *text) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *text; text++) {
        h = (h ^ (uint8_t)*text) * 0x100000001B3u;
    }
    return h ? h : 1;
}

static uint64_t *slot_of(const corpus_set *set, uint64_t key) {
    size_t i = (size_t)(key * 0x9E3779B97F4A7C15u) & (set->capacity - 1);
    while (set->slots[i] && set->slots[i] != key) {
        i = (i + 1) & (set->capacity - 1);
    }
    return &set->slots[i];
}

bool corpus_set_has(const corpus_set *set, const char *text) {
    return set->capacity && *slot_of(set, hash(text)) != 0;
}

bool corpus_set_add(corpus_set *set, const char *text) {
    if (set->count * 2 >= set->capacity) {
        corpus_set grown = {NULL, set->count, set->capacity ? set->capacity * 2 : 1024};
        grown.slots = corpus_resize(NULL, grown.capacity, sizeof *grown.slots);
        memset(grown.slots, 0, grown.capacity * sizeof *grown.slots);
        for (size_t i = 0; i < set->capacity; i++) {
            if (set->slots[i]) {
                *slot_of(&grown, set->slots[i]) = set->slots[i];
            }
        }
        free(set->slots);
        *set = grown;
    }
    uint64_t key = hash(text), *slot = slot_of(set, key);
    if (*slot) {
        return false;
    }
    *slot = key;
    set->count++;
    return true;
}

void corpus_set_free(corpus_set *set) {
    free(set->slots);
    *set = (corpus_set){NULL, 0, 0};
}

void corpus_normalize(const char *text, char *out, size_t capacity) {
    size_t size = 0;
    bool gap = false;
    for (; *text && size + 2 < capacity; text++) {
        char c = *text;
        if (c == '\'') {
            continue;
        }
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    ((unsigned char)c & 0x80u) || c == ':';
        if (!word) {
            gap = true;
            continue;
        }
        if (gap && size) {
            out[size++] = ' ';
        }
        gap = false;
        out[size++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    out[size] = 0;
}
