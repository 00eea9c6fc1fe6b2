/* The canonical form of JSON that signatures of The Update Framework are over. The tree is walked
 * with a stack of its own, as deep as COVEY__CANONICAL_DEPTH_MAX and no deeper. The members of an
 * object are sorted when it is entered, by comparing bytes: the order of UTF-8 is the order of code
 * points. What cannot be said in this form (a fraction, an exponent, a negative zero) is refused
 * and not rounded, for two programs would round it in two ways. Neighbour: base/json.h has the
 * tree. */
#include "trust/canonical_json.h"

#include "base/error.h"
#include "base/sort.h"

#include <string.h>

/* An array or object that is half written. */
typedef struct level {
    const covey__json *node;
    const covey__json *element; /* the next of an array */
    const void **members;       /* of an object, sorted; NULL when it has none */
    size_t used;                /* members written */
} level;

typedef struct writer {
    covey__buffer *out;
    covey_error *error;
    size_t depth;
    level levels[COVEY__CANONICAL_DEPTH_MAX];
} writer;

static int compare_names(const void *a, const void *b) {
    const covey__json *left = a, *right = b;
    size_t shorter = left->name_size < right->name_size ? left->name_size : right->name_size;
    int order = memcmp(left->name, right->name, shorter);
    if (order != 0) return order;
    return (left->name_size > right->name_size) - (left->name_size < right->name_size);
}

static void put_string(covey__buffer *out, const char *text, size_t size) {
    covey__buffer_byte(out, '"');
    for (size_t at = 0; at < size;) {
        size_t plain = at;
        while (plain < size && text[plain] != '"' && text[plain] != '\\') plain++;
        covey__buffer_append(out, text + at, plain - at);
        if (plain < size) {
            char pair[2] = {'\\', text[plain++]};
            covey__buffer_append(out, pair, sizeof pair);
        }
        at = plain;
    }
    covey__buffer_byte(out, '"');
}

static bool is_integer(const covey__json *number) {
    const char *digits = number->text;
    if (*digits == '-') digits++;
    if (*digits == '\0' || (*digits == '0' && number->size > 1)) return false;
    return strspn(digits, "0123456789") == number->size - (size_t)(digits - number->text);
}

static covey_status put_number(writer *w, const covey__json *number) {
    if (is_integer(number)) return covey__buffer_append(w->out, number->text, number->size);
    char shown[48];
    return covey__fail(w->error, COVEY_ERROR_FORMAT,
                       "canonical json: expected an integer, found %s; this form has no other "
                       "numbers",
                       covey__printable(number->text, number->size, shown, sizeof shown));
}

static covey_status sort_members(writer *w, level *added) {
    const covey__env *env = w->out->env;
    size_t count = added->node->size, used = 0;
    if (count == 0) return COVEY_OK;
    added->members = covey__calloc(env, count, 2 * sizeof *added->members);
    if (added->members == NULL)
        return covey__no_memory(w->error, "canonical json: an object's names",
                                count * 2 * sizeof *added->members);
    for (const covey__json *each = added->node->child; each != NULL && used < count;
         each = each->next)
        added->members[used++] = each;
    covey__sort_pointers(added->members, added->members + count, used, compare_names);
    return COVEY_OK;
}

static covey_status enter(writer *w, const covey__json *node) {
    if (w->depth == COVEY__CANONICAL_DEPTH_MAX)
        return covey__fail(w->error, COVEY_ERROR_LIMIT, "canonical json: nested deeper than %d",
                           COVEY__CANONICAL_DEPTH_MAX);
    level *added = &w->levels[w->depth++];
    *added = (level){node, node->child, NULL, 0};
    covey__buffer_byte(w->out, node->kind == COVEY__JSON_OBJECT ? '{' : '[');
    return node->kind == COVEY__JSON_OBJECT ? sort_members(w, added) : COVEY_OK;
}

static void leave(writer *w) {
    level *top = &w->levels[--w->depth];
    covey__buffer_byte(w->out, top->node->kind == COVEY__JSON_OBJECT ? '}' : ']');
    covey__free(w->out->env, top->members);
}

static covey_status put_value(writer *w, const covey__json *node) {
    switch (node->kind) {
    case COVEY__JSON_NULL:
        return covey__buffer_text(w->out, "null");
    case COVEY__JSON_BOOL:
        return covey__buffer_text(w->out, node->boolean ? "true" : "false");
    case COVEY__JSON_NUMBER:
        return put_number(w, node);
    case COVEY__JSON_STRING:
        put_string(w->out, node->text, node->size);
        return w->out->status;
    case COVEY__JSON_ARRAY:
    case COVEY__JSON_OBJECT:
        break;
    }
    return enter(w, node);
}

/* The next value of the innermost level, with the comma and the name before it; NULL at its end. */
static const covey__json *next_value(writer *w) {
    level *top = &w->levels[w->depth - 1];
    const covey__json *next = top->element;
    if (top->node->kind == COVEY__JSON_OBJECT)
        next = top->used < top->node->size ? top->members[top->used] : NULL;
    else if (next != NULL)
        top->element = next->next;
    if (next == NULL) return NULL;
    if (top->used++ > 0) covey__buffer_byte(w->out, ',');
    if (top->node->kind == COVEY__JSON_OBJECT) {
        put_string(w->out, next->name, next->name_size);
        covey__buffer_byte(w->out, ':');
    }
    return next;
}

covey_status covey__canonical_json(const covey__json *node, covey__buffer *out,
                                   covey_error *error) {
    writer w = {.out = out, .error = error};
    size_t begin = out->size;
    covey_status status = put_value(&w, node);
    while (status == COVEY_OK && w.depth > 0) {
        const covey__json *next = next_value(&w);
        if (next == NULL)
            leave(&w);
        else
            status = put_value(&w, next);
        if (status == COVEY_OK) status = out->status;
    }
    while (w.depth > 0) covey__free(out->env, w.levels[--w.depth].members);
    if (status != COVEY_OK) {
        if (out->status != COVEY_OK) status = covey__buffer_check(out, error, "canonical json");
        out->size = begin;
        if (out->data != NULL) out->data[begin] = '\0';
    }
    return status;
}
