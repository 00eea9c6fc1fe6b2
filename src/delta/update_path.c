/* The choice of a way to one component. Patches are edges between components named by digest; what
 * is here are the nodes to begin at. A chain has two edges at most: each makes a whole file, which
 * costs time and room for the one in between, and a release's patch index has no more.
 *
 * Invariants: the same input gives the same way, whatever the order of `here`; among edges of equal
 * cost the first wins. A way that costs as much as chunks is not taken, since chunks cannot fail
 * half way. Time is bounded by the square of COVEY__PATH_EDGES_MAX, whatever the edges say.
 *
 * Neighbours: chunk_plan.h says what chunks cost; bundle/patch_index.h brings the edges. */
#include "delta/update_path.h"

#include <string.h>

const char *covey__path_way_name(covey__path_way way) {
    static const char *const names[COVEY__WAY_COUNT] = {"here", "chunks", "full", "patch", "chain"};
    return (unsigned)way < COVEY__WAY_COUNT ? names[way] : "unknown";
}

static bool is_here(const covey__path_query *query, const uint8_t *sha256) {
    for (size_t i = 0; i < query->here_count; i++)
        if (memcmp(query->here[i], sha256, 32) == 0) return true;
    return false;
}

/* NONE stays NONE, and a sum that does not fit is none either. */
static uint64_t sum(uint64_t a, uint64_t b) {
    return a > COVEY__PATH_NONE - b ? COVEY__PATH_NONE : a + b;
}

/* The cheapest edge that begins with what is here and ends at `to`; -1: there is none. */
static int64_t first_edge(const covey__path_query *query, const bool *begins, size_t count,
                          const uint8_t *to) {
    int64_t best = -1;
    for (size_t i = 0; i < count; i++) {
        if (!begins[i] || memcmp(query->edges[i].to, to, 32) != 0) continue;
        if (best < 0 || query->edges[i].bytes < query->edges[best].bytes) best = (int64_t)i;
    }
    return best;
}

static void look_for_chain(const covey__path_query *query, const bool *begins, size_t count,
                           covey__update_path *path, uint32_t edges[2]) {
    for (size_t last = 0; last < count; last++) {
        const covey__path_edge *edge = &query->edges[last];
        if (!edge->usable || begins[last] || edge->bytes >= path->by_chain) continue;
        if (memcmp(edge->to, query->wanted, 32) != 0) continue;
        int64_t first = first_edge(query, begins, count, edge->from);
        if (first < 0) continue;
        uint64_t bytes = sum(query->edges[first].bytes, edge->bytes);
        if (bytes >= path->by_chain) continue;
        path->by_chain = bytes;
        edges[0] = (uint32_t)first;
        edges[1] = (uint32_t)last;
    }
}

void covey__update_path_choose(const covey__path_query *query, covey__update_path *path) {
    bool begins[COVEY__PATH_EDGES_MAX]; /* the edge is usable, and its beginning is here */
    uint32_t chain[2] = {0, 0};
    size_t count =
        query->edge_count < COVEY__PATH_EDGES_MAX ? query->edge_count : COVEY__PATH_EDGES_MAX;
    *path = (covey__update_path){.by_full = query->full_bytes,
                                 .by_chunks = query->chunk_bytes,
                                 .by_patch = COVEY__PATH_NONE,
                                 .by_chain = COVEY__PATH_NONE};
    path->bytes = query->chunk_bytes;
    path->way = query->chunk_bytes == 0                   ? COVEY__WAY_HERE
                : query->chunk_bytes >= query->full_bytes ? COVEY__WAY_FULL
                                                          : COVEY__WAY_CHUNKS;
    for (size_t i = 0; i < count; i++)
        begins[i] = query->edges[i].usable && is_here(query, query->edges[i].from);
    int64_t patch = first_edge(query, begins, count, query->wanted);
    if (patch >= 0) path->by_patch = query->edges[patch].bytes;
    look_for_chain(query, begins, count, path, chain);
    if (path->by_patch < path->bytes) {
        path->way = COVEY__WAY_PATCH;
        path->bytes = path->by_patch;
        path->edge[0] = (uint32_t)patch;
    }
    if (path->by_chain < path->bytes) {
        path->way = COVEY__WAY_CHAIN;
        path->bytes = path->by_chain;
        memcpy(path->edge, chain, sizeof chain);
        path->between = query->edges[chain[0]].to_size;
    }
}
