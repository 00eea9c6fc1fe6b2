/* Trees of a guide under construction: what a rule's text is made of, and sets of characters as
 * sorted ranges of code points. Everything lives in the builder's arena, which is capped; the first
 * failure sticks, so that front ends build on without a check at each step. Neighbours: the front
 * ends make trees, guide_program.c makes them a program. */
#include "engine/guide.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/sort.h"

#define CODE_LAST       0x10FFFFu
#define SURROGATE_FIRST 0xD800u
#define SURROGATE_LAST  0xDFFFu

void covey__guide_builder_init(covey__guide_builder *builder, const covey__env *env,
                               covey_error *error) {
    memset(builder, 0, sizeof *builder);
    builder->env = env;
    builder->error = error;
    builder->status = COVEY_OK;
    covey__arena_init(&builder->arena, env, COVEY__GUIDE_ARENA_MAX);
}

void covey__guide_builder_free(covey__guide_builder *builder) {
    covey__free(builder->env, builder->rules);
    covey__arena_free(&builder->arena);
}

covey__guide_node *covey__guide_refuse(covey__guide_builder *builder, covey_status status,
                                       const char *format, ...) {
    char message[COVEY_ERROR_MESSAGE_SIZE];
    if (builder->status != COVEY_OK) return NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    builder->status = covey__fail(builder->error, status, "%s", message);
    return NULL;
}

void *covey__guide_room(covey__guide_builder *builder, size_t count, size_t size) {
    if (builder->status != COVEY_OK) return NULL;
    void *room = covey__arena_calloc(&builder->arena, count ? count : 1, size);
    if (!room)
        builder->status =
            covey__arena_fail(&builder->arena, count * size, builder->error, "the guide");
    return room;
}

static covey__guide_node *make(covey__guide_builder *builder, covey__guide_kind kind) {
    covey__guide_node *node = covey__guide_room(builder, 1, sizeof *node);
    if (!node) return NULL;
    node->kind = kind;
    node->weight = 1;
    return node;
}

covey__guide_node *covey__guide_empty(covey__guide_builder *builder) {
    return make(builder, COVEY__GUIDE_EMPTY);
}

covey__guide_node *covey__guide_nothing(covey__guide_builder *builder) {
    return make(builder, COVEY__GUIDE_NOTHING);
}

covey__guide_node *covey__guide_bytes(covey__guide_builder *builder, const char *bytes,
                                      size_t size) {
    covey__guide_node *node = make(builder, size ? COVEY__GUIDE_BYTES : COVEY__GUIDE_EMPTY);
    if (!node || size == 0) return node;
    char *copy = covey__guide_room(builder, size, 1);
    if (!copy) return NULL;
    memcpy(copy, bytes, size);
    node->bytes = copy;
    node->size = size;
    node->weight = size;
    return node;
}

covey__guide_node *covey__guide_text(covey__guide_builder *builder, const char *text) {
    return covey__guide_bytes(builder, text, strlen(text));
}

/* ---- Sets ---- */

static int by_first(const void *a, const void *b) {
    const covey__guide_range *left = a, *right = b;
    return left->first < right->first ? -1 : left->first > right->first;
}

/* Adds a range behind those in `out`, which it may touch, without surrogates. */
static size_t put_range(covey__guide_range *out, size_t count, uint32_t first, uint32_t last) {
    if (first > last) return count;
    if (first < SURROGATE_FIRST && last > SURROGATE_LAST) {
        count = put_range(out, count, first, SURROGATE_FIRST - 1);
        return put_range(out, count, SURROGATE_LAST + 1, last);
    }
    if (first >= SURROGATE_FIRST && first <= SURROGATE_LAST) first = SURROGATE_LAST + 1;
    if (last >= SURROGATE_FIRST && last <= SURROGATE_LAST) last = SURROGATE_FIRST - 1;
    if (first > last) return count;
    if (count > 0 && first <= out[count - 1].last + 1) {
        if (last > out[count - 1].last) out[count - 1].last = last;
        return count;
    }
    out[count] = (covey__guide_range){first, last};
    return count + 1;
}

covey__guide_set covey__guide_set_of(covey__guide_builder *builder,
                                     const covey__guide_range *ranges, size_t count, bool negated) {
    covey__guide_set set = {NULL, 0};
    const void **sorted = covey__guide_room(builder, count, sizeof *sorted);
    const void **scratch = covey__guide_room(builder, count, sizeof *scratch);
    covey__guide_range *out = covey__guide_room(builder, 2 * count + 4, sizeof *out);
    if (!sorted || !scratch || !out) return set;
    for (size_t i = 0; i < count; i++) sorted[i] = &ranges[i];
    covey__sort_pointers(sorted, scratch, count, by_first);
    uint32_t next = 0; /* of a negated set: the first that is in no range yet */
    for (size_t i = 0; i < count; i++) {
        const covey__guide_range *range = sorted[i];
        uint32_t last = range->last > CODE_LAST ? CODE_LAST : range->last;
        if (!negated) {
            set.count = put_range(out, set.count, range->first, last);
            continue;
        }
        if (range->first > next) set.count = put_range(out, set.count, next, range->first - 1);
        if (last >= next) next = last + 1;
    }
    if (negated) set.count = put_range(out, set.count, next, CODE_LAST);
    set.ranges = out;
    return set;
}

bool covey__guide_set_has(covey__guide_set set, uint32_t code) {
    for (size_t i = 0; i < set.count; i++)
        if (code >= set.ranges[i].first && code <= set.ranges[i].last) return true;
    return false;
}

covey__guide_node *covey__guide_chars(covey__guide_builder *builder,
                                      const covey__guide_range *ranges, size_t count,
                                      bool negated) {
    covey__guide_node *node = make(builder, COVEY__GUIDE_SET);
    if (!node) return NULL;
    node->set = covey__guide_set_of(builder, ranges, count, negated);
    if (node->set.count == 0) node->kind = COVEY__GUIDE_NOTHING;
    bool long_ones = node->set.count > 0 && node->set.ranges[node->set.count - 1].last > 0x7f;
    node->weight = 1 + node->set.count + (long_ones ? 9 : 0); /* about its edges */
    return node;
}

/* ---- What is made of others ---- */

static covey__guide_node *parent(covey__guide_builder *builder, covey__guide_kind kind,
                                 covey__guide_node *const *of, size_t count) {
    covey__guide_node *node = make(builder, kind);
    covey__guide_node **children = covey__guide_room(builder, count, sizeof *children);
    if (!node || !children) return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!of[i]) return NULL;
        children[i] = of[i];
        node->weight += of[i]->weight;
    }
    node->children = children;
    node->size = count;
    return node;
}

covey__guide_node *covey__guide_sequence(covey__guide_builder *builder,
                                         covey__guide_node *const *of, size_t count) {
    if (count == 0) return covey__guide_empty(builder);
    return count == 1 ? of[0] : parent(builder, COVEY__GUIDE_SEQUENCE, of, count);
}

covey__guide_node *covey__guide_choice(covey__guide_builder *builder, covey__guide_node *const *of,
                                       size_t count) {
    if (count == 0) return covey__guide_nothing(builder);
    return count == 1 ? of[0] : parent(builder, COVEY__GUIDE_CHOICE, of, count);
}

covey__guide_node *covey__guide_call(covey__guide_builder *builder, uint32_t rule) {
    covey__guide_node *node = make(builder, COVEY__GUIDE_CALL);
    if (node) node->rule = rule;
    return node;
}

/* A large part that is copied, or any that is copied often, becomes a rule, so that a copy is one
 * call. */
#define COPIED_WEIGHT_MAX 64u
#define COPIES_WEIGHT_MAX 4096u

covey__guide_node *covey__guide_repeat(covey__guide_builder *builder, covey__guide_node *of,
                                       uint32_t min, uint32_t max) {
    if (!of) return NULL;
    if (min > max) return covey__guide_nothing(builder);
    uint32_t copies = max == COVEY__GUIDE_NO_END ? min + 1 : max;
    if (copies > COVEY__GUIDE_REPEAT_MAX)
        return covey__guide_refuse(builder, COVEY_ERROR_LIMIT,
                                   "a count of %u: expected at most %d, or none",
                                   max == COVEY__GUIDE_NO_END ? min : max, COVEY__GUIDE_REPEAT_MAX);
    if (max == 0) return covey__guide_empty(builder);
    if (min == 1 && max == 1) return of;
    if (copies > 1 && (of->weight > COPIED_WEIGHT_MAX || copies * of->weight > COPIES_WEIGHT_MAX)) {
        uint32_t rule = covey__guide_rule_new(builder, "(repeated)", 10, 0);
        if (rule == COVEY__GUIDE_NO_END) return NULL;
        builder->rules[rule].body = of;
        of = covey__guide_call(builder, rule);
    }
    covey__guide_node *node = parent(builder, COVEY__GUIDE_REPEAT, &of, 1);
    if (!node) return NULL;
    node->min = min;
    node->max = max;
    node->weight = 1 + copies * of->weight;
    return node;
}

covey__guide_node *covey__guide_members(covey__guide_builder *builder,
                                        covey__guide_node *const *pairs, size_t pair_count,
                                        covey__guide_node *comma, covey__guide_node *rest) {
    covey__guide_node *node = parent(builder, COVEY__GUIDE_MEMBERS, pairs, 2 * pair_count);
    if (!node) return NULL;
    node->rest = rest;
    node->comma = comma;
    node->weight = 3 * node->weight + (rest ? 2 * rest->weight : 0);
    return node;
}

uint32_t covey__guide_rule_new(covey__guide_builder *builder, const char *name, size_t size,
                               uint32_t depth) {
    if (builder->status != COVEY_OK) return COVEY__GUIDE_NO_END;
    if (builder->rule_count == COVEY__GUIDE_RULES_MAX) {
        covey__guide_refuse(builder, COVEY_ERROR_LIMIT, "expected at most %u rules",
                            COVEY__GUIDE_RULES_MAX);
        return COVEY__GUIDE_NO_END;
    }
    if (builder->rule_count == builder->rule_capacity) {
        uint32_t capacity = builder->rule_capacity ? 2 * builder->rule_capacity : 64;
        covey__guide_rule *rules =
            covey__resize(builder->env, builder->rules, capacity * sizeof *rules);
        if (!rules) {
            builder->status = covey__no_memory(builder->error, "the guide's rules", capacity);
            return COVEY__GUIDE_NO_END;
        }
        builder->rules = rules;
        builder->rule_capacity = capacity;
    }
    char *copy = covey__arena_strndup(&builder->arena, name, size);
    if (!copy) {
        builder->status = covey__arena_fail(&builder->arena, size, builder->error, "a name");
        return COVEY__GUIDE_NO_END;
    }
    builder->rules[builder->rule_count] = (covey__guide_rule){NULL, copy, depth};
    return builder->rule_count++;
}

/* ---- Quantifiers ---- */

typedef struct counts {
    const char *text;
    size_t size, at;
    bool spaces;
} counts;

/* The next byte that matters; 0 at the end. */
static char next_of(counts *c) {
    bool comment = false;
    for (; c->spaces && c->at < c->size; c->at++) {
        char byte = c->text[c->at];
        if (byte == '#' || byte == '\n') comment = byte == '#';
        if (!comment && byte != ' ' && byte != '\t' && byte != '\r' && byte != '\n') break;
    }
    return c->at < c->size ? c->text[c->at] : 0;
}

static bool read_count(counts *c, uint32_t *out) {
    uint64_t value = 0;
    char digit = next_of(c);
    if (digit < '0' || digit > '9') return false;
    for (; c->at < c->size && (digit = c->text[c->at]) >= '0' && digit <= '9'; c->at++)
        if (value < 1000000000) value = value * 10 + (uint64_t)(digit - '0');
    *out = (uint32_t)(value < 1000000000 ? value : 1000000000);
    return true;
}

static bool read_counts(counts *c, covey__guide_quantifier *q) {
    c->at = 1;
    if (!read_count(c, &q->min)) return false;
    q->max = q->min;
    if (next_of(c) == ',') {
        c->at++;
        q->max = COVEY__GUIDE_NO_END;
        if (next_of(c) != '}' && !read_count(c, &q->max)) return false;
    }
    return next_of(c) == '}' && q->min <= q->max;
}

covey__guide_quantifier covey__guide_quantifier_of(const char *text, size_t size, bool spaces) {
    covey__guide_quantifier q = {0, COVEY__GUIDE_NO_END, 1, false};
    counts c = {text, size, 0, spaces};
    switch (size ? text[0] : 0) {
    case '*':
        break;
    case '+':
        q.min = 1;
        break;
    case '?':
        q.max = 1;
        break;
    case '{':
        q.wrong = !read_counts(&c, &q);
        q.size = c.at + 1;
        break;
    default:
        q.size = 0;
    }
    return q;
}
