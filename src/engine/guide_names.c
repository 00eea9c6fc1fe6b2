/* No name twice in an object. Names that the schema gives cannot repeat, by the automaton; names of
 * the model's own choice are beyond any grammar without context. So the text is read along here,
 * and a token that would end a name which its object has already is not taken. Names are compared
 * as written (those of the model's choice have no escapes), by 64-bit hashes: two different names
 * with one hash would only cost a name. */
#include "engine/guide_run.h"

#include <string.h>

#define ARRAY (COVEY__GUIDE_NAMES_MAX + 1)

static bool end_name(covey__guide_names *n) {
    if (n->depth == 0 || n->count == COVEY__GUIDE_NAMES_MAX) return false;
    for (uint16_t i = n->first[n->depth - 1]; i < n->count; i++)
        if (n->hashes[i] == n->hash) return false;
    n->hashes[n->count++] = n->hash;
    return true;
}

static bool open_container(covey__guide_names *n, bool object) {
    if (n->depth == COVEY__GUIDE_OPEN_MAX) return false;
    n->first[n->depth++] = object ? n->count : ARRAY;
    n->expects_name = object;
    return true;
}

static void close_container(covey__guide_names *n) {
    if (n->depth == 0) return;
    uint16_t first = n->first[--n->depth];
    if (first != ARRAY) n->count = first;
    n->expects_name = false;
}

bool covey__guide_names_feed(covey__guide_names *n, uint8_t byte) {
    if (n->in_string) {
        if (byte == '"' && !n->escaped) {
            n->in_string = false;
            return !n->is_name || end_name(n);
        }
        n->escaped = byte == '\\' && !n->escaped;
        n->hash = (n->hash ^ byte) * 0x100000001B3ull;
        n->hash ^= n->hash >> 29;
        return true;
    }
    switch (byte) {
    case '{':
        return open_container(n, true);
    case '[':
        return open_container(n, false);
    case '}':
    case ']':
        close_container(n);
        return true;
    case ',':
        n->expects_name = n->depth > 0 && n->first[n->depth - 1] != ARRAY;
        return true;
    case '"':
        n->in_string = true;
        n->escaped = false;
        n->is_name = n->expects_name;
        n->expects_name = false;
        n->hash = 0xCBF29CE484222325ull;
        return true;
    default:
        return true;
    }
}

void covey__guide_names_copy(covey__guide_names *to, const covey__guide_names *from) {
    memcpy(to, from, offsetof(covey__guide_names, hashes) + from->count * sizeof *from->hashes);
}
