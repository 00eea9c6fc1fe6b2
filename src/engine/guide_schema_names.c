/* Names of an object's members as JSON writes them: one that the schema gives, and any other, which
 * is a tree that leaves the given ones out. Neighbours: guide_schema.c makes objects of them;
 * guide_names.c keeps names of the model's choice from coming twice. */
#include "engine/guide_schema.h"

#include <string.h>

#include "base/sort.h"

#define NAME_MAX 256 /* bytes, where other names may stand beside it */

typedef covey__guide_node node;

node *covey__guide_json_name(covey__guide_builder *b, const char *name, size_t size) {
    covey__buffer out;
    covey__json_writer writer;
    covey__buffer_init(&out, b->env, COVEY__GUIDE_TEXT_MAX * 8);
    covey__json_writer_init(&writer, &out, false);
    covey__json_put_text(&writer, name, size);
    node *literal = NULL;
    if (out.status == COVEY_OK)
        literal = covey__guide_bytes(b, out.data, out.size);
    else if (b->status == COVEY_OK)
        b->status = covey__buffer_check(&out, b->error, "a name");
    covey__buffer_free(&out);
    return literal;
}

static node *then(covey__guide_builder *b, node *first, node *second) {
    node *parts[] = {first, second};
    return covey__guide_sequence(b, parts, 2);
}

/* The rest of a name that is none of names[from .. to), which agree in their first `at` bytes. */
static node *rest_of(covey__guide_builder *b, node *name_char, const covey__text **names,
                     size_t from, size_t to, size_t at) {
    node *any = covey__guide_repeat(b, name_char, 0, COVEY__GUIDE_NO_END);
    covey__guide_range *not_here = covey__guide_room(b, to - from + 4, sizeof *not_here);
    node **ways = covey__guide_room(b, to - from + 2, sizeof(node *));
    size_t count = 0, excluded = 0;
    if (!ways || !not_here) return NULL;
    bool ends = from < to && names[from]->size == at;
    if (!ends) ways[count++] = covey__guide_empty(b);
    for (size_t i = from + ends, next; i < to; i = next) {
        covey__utf8_char first = covey__utf8_decode(names[i]->data + at, names[i]->size - at);
        covey__guide_range one = {first.code, first.code};
        for (next = i + 1; next < to; next++) {
            size_t left = names[next]->size - at;
            if (left < first.size ||
                memcmp(names[next]->data + at, names[i]->data + at, first.size))
                break;
        }
        not_here[excluded++] = one;
        ways[count++] = then(b, covey__guide_chars(b, &one, 1, false),
                             rest_of(b, name_char, names, i, next, at + first.size));
    }
    not_here[excluded++] = (covey__guide_range){0, 0x1f};
    not_here[excluded++] = (covey__guide_range){'"', '"'};
    not_here[excluded++] = (covey__guide_range){'\\', '\\'};
    ways[count++] = then(b, covey__guide_chars(b, not_here, excluded, true), any);
    return covey__guide_choice(b, ways, count);
}

static int by_text(const void *a, const void *b) {
    const covey__text *left = a, *right = b;
    size_t least = left->size < right->size ? left->size : right->size;
    int order = memcmp(left->data, right->data, least);
    return order ? order : left->size < right->size ? -1 : left->size > right->size;
}

static bool is_plain_name(covey__text name) {
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.data[i] < 0x20 || name.data[i] == '"' || name.data[i] == '\\')
            return false;
    return true;
}

node *covey__guide_other_name(covey__guide_builder *b, const covey__text *given, size_t given_count,
                              node *name_char, const char *where) {
    const void **names = covey__guide_room(b, given_count, sizeof *names);
    const void **scratch = covey__guide_room(b, given_count, sizeof *scratch);
    const covey__text **sorted = covey__guide_room(b, given_count, sizeof *sorted);
    size_t count = 0;
    if (!names || !scratch || !sorted) return NULL;
    for (size_t i = 0; i < given_count; i++) {
        if (!is_plain_name(given[i])) continue;
        if (given[i].size > NAME_MAX)
            return covey__guide_refuse(b, COVEY_ERROR_LIMIT,
                                       "%s: a name of more than %d bytes beside "
                                       "additionalProperties",
                                       where, NAME_MAX);
        names[count++] = &given[i];
    }
    covey__sort_pointers(names, scratch, count, by_text);
    for (size_t i = 0; i < count; i++) sorted[i] = names[i];
    b->unique_names = true;
    return rest_of(b, name_char, sorted, 0, count, 0);
}
