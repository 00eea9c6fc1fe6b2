/* From every release to every later one: what a device fetches, by the very function that devices
 * choose with (delta/update_path.h), over the patches that `publish` would make, drop and carry on
 * (docs/formats/patch-index.md).
 *
 * Invariants: a component that did not change costs nothing. An edge is between versions of a
 * component, not releases, so one is never made or kept twice. Devices go by the patch index of the
 * release that they take. Kept at the origin is what the last `keep_releases` releases need: their
 * chunks, and the patches that their indexes name.
 *
 * Neighbours: simulate_scenario.h has sizes and shares; simulate_updates.c asks for each device.
 */
#include "fleet/simulate_ways.h"

#include <string.h>

#include "base/error.h"
#include "delta/update_path.h"

#define DEPTH_MAX 2
#define EDGES_MAX (DEPTH_MAX * (DEPTH_MAX + 1))

typedef struct edge {
    int32_t from, to; /* versions of the component */
    uint64_t bytes;
} edge;

/* The edges of one component, by the release that made them or could have. */
typedef struct graph {
    const covey__sim_scenario *scenario;
    const covey__sim_policy *policy;
    const covey__sim_component *component;
    edge own[COVEY__SIM_RELEASES_MAX + 1][DEPTH_MAX]; /* kept ones */
    int32_t own_count[COVEY__SIM_RELEASES_MAX + 1];
    bool made[COVEY__SIM_RELEASES_MAX + 1][DEPTH_MAX + 1]; /* [version][versions back] */
} graph;

static int32_t version_of(const covey__sim_component *component, int32_t release) {
    return (int32_t)(release / component->changes_every);
}

static uint64_t share(uint64_t bytes, double ratio) {
    return (uint64_t)((double)bytes * ratio);
}

static uint64_t full_bytes(const covey__sim_component *component) {
    return share(component->bytes, component->stored);
}

static uint64_t chunk_bytes(const covey__sim_policy *policy, const covey__sim_component *component,
                            int32_t back) {
    uint64_t full = full_bytes(component);
    if (back == 0) return 0;
    return policy->chunks ? share(full, covey__sim_ratio(&component->chunks, back)) : full;
}

static const edge *find_own(const graph *g, int32_t release, int32_t from) {
    for (int32_t i = 0; release >= 0 && i < g->own_count[release]; i++)
        if (g->own[release][i].from == from) return &g->own[release][i];
    return NULL;
}

/* Whether the two patches over the release between are no dearer than `direct`. */
static bool chain_is_enough(const graph *g, int32_t release, const edge *direct) {
    int32_t between = version_of(g->component, release - 1);
    const edge *second = find_own(g, release, between);
    const edge *first = find_own(g, release - 1, direct->from);
    return g->policy->chains && between != direct->from && second != NULL && first != NULL &&
           first->to == between && first->bytes + second->bytes <= direct->bytes;
}

/* What `publish` makes for `release`, and keeps. */
static void publish(graph *g, int32_t release, covey__sim_ways *ways) {
    int32_t depth = g->component->patch.count > 0 ? g->policy->depth : 0;
    double keeps = 1 - g->scenario->minimum_saving_percent / 100;
    int32_t to = version_of(g->component, release);
    for (int32_t back = 1; back <= depth && back <= release; back++) {
        int32_t from = version_of(g->component, release - back);
        int32_t apart = to - from;
        if (apart == 0 || find_own(g, release, from) != NULL) continue;
        edge made = {from, to,
                     share(g->component->bytes, covey__sim_ratio(&g->component->patch, apart))};
        bool is_new = apart > DEPTH_MAX || !g->made[to][apart];
        if (apart <= DEPTH_MAX) g->made[to][apart] = true;
        if (is_new) ways->patches_made++, ways->made_from_bytes += g->component->bytes;
        if ((double)made.bytes > keeps * (double)chunk_bytes(g->policy, g->component, apart) ||
            chain_is_enough(g, release, &made)) {
            if (is_new) ways->patches_dropped++;
            continue;
        }
        g->own[release][g->own_count[release]++] = made;
    }
}

static void add_edge(edge *edges, size_t *count, const edge *one) {
    for (size_t i = 0; i < *count; i++)
        if (edges[i].from == one->from && edges[i].to == one->to) return;
    edges[(*count)++] = *one;
}

/* The patch index of a release: its own edges, then those that lead into where they begin. */
static size_t index_of(const graph *g, int32_t release, edge edges[EDGES_MAX]) {
    size_t count = 0;
    for (int32_t i = 0; i < g->own_count[release]; i++)
        add_edge(edges, &count, &g->own[release][i]);
    for (int32_t back = 1; back <= g->policy->depth && back <= release; back++) {
        int32_t between = version_of(g->component, release - back);
        if (!g->policy->chains || find_own(g, release, between) == NULL) continue;
        for (int32_t i = 0; i < g->own_count[release - back]; i++) {
            const edge *carried = &g->own[release - back][i];
            if (carried->to == between && count < EDGES_MAX) add_edge(edges, &count, carried);
        }
    }
    return count;
}

/* Versions stand for digests here. */
static void digest_of(int32_t version, uint8_t out[32]) {
    memset(out, 0, 32);
    out[0] = (uint8_t)version;
}

static covey__sim_way way_to(const graph *g, int32_t have, int32_t target) {
    uint8_t here[1][32], wanted[32], ends[EDGES_MAX][2][32];
    covey__path_edge offered[EDGES_MAX];
    edge edges[EDGES_MAX];
    int32_t from = version_of(g->component, have), to = version_of(g->component, target);
    size_t count = index_of(g, target, edges);
    covey__update_path path;
    digest_of(from, here[0]);
    digest_of(to, wanted);
    for (size_t i = 0; i < count; i++) {
        digest_of(edges[i].from, ends[i][0]);
        digest_of(edges[i].to, ends[i][1]);
        offered[i] = (covey__path_edge){ends[i][0], ends[i][1], edges[i].bytes, 0, true};
    }
    covey__path_query query = {.wanted = wanted,
                               .full_bytes = full_bytes(g->component),
                               .chunk_bytes = chunk_bytes(g->policy, g->component, to - from),
                               .here = (const uint8_t(*)[32])here,
                               .here_count = 1,
                               .edges = offered,
                               .edge_count = count};
    covey__update_path_choose(&query, &path);
    int32_t patches = path.way == COVEY__WAY_CHAIN ? 2 : path.way == COVEY__WAY_PATCH ? 1 : 0;
    return (covey__sim_way){path.bytes, query.chunk_bytes, patches};
}

/* What the origin holds of this component once `release` is out. */
static void kept_at(const graph *g, int32_t release, uint64_t *chunks, uint64_t *patches) {
    int32_t oldest = release + 1 - (int32_t)g->scenario->keep_releases;
    edge kept[EDGES_MAX * (COVEY__SIM_RELEASES_MAX + 1)], edges[EDGES_MAX];
    size_t kept_count = 0;
    if (oldest < 0) oldest = 0;
    *chunks += full_bytes(g->component);
    for (int32_t v = version_of(g->component, oldest); v < version_of(g->component, release); v++)
        *chunks += chunk_bytes(g->policy, g->component, 1);
    for (int32_t r = oldest; r <= release; r++) {
        size_t count = index_of(g, r, edges);
        for (size_t i = 0; i < count; i++) add_edge(kept, &kept_count, &edges[i]);
    }
    for (size_t i = 0; i < kept_count; i++) *patches += kept[i].bytes;
}

static covey__sim_way *slot_of(const covey__sim_ways *ways, size_t variant, int32_t have,
                               int32_t target) {
    size_t releases = (size_t)ways->scenario->releases + 1;
    size_t pair = (size_t)have * releases + (size_t)target;
    return &ways->ways[variant][pair * ways->scenario->variants[variant].component_count];
}

static void fill(const graph *g, covey__sim_ways *ways, size_t variant, size_t component,
                 uint64_t *chunks, uint64_t *patches) {
    int32_t releases = (int32_t)g->scenario->releases;
    for (int32_t target = 1; target <= releases; target++) {
        for (int32_t have = 0; have < target; have++)
            slot_of(ways, variant, have, target)[component] = way_to(g, have, target);
    }
    for (int32_t r = 0; r <= releases; r++) kept_at(g, r, &chunks[r], &patches[r]);
}

covey_status covey__sim_ways_make(const covey__env *env, const covey__sim_scenario *scenario,
                                  const covey__sim_policy *policy, covey__sim_ways *ways,
                                  covey_error *error) {
    uint64_t chunks[COVEY__SIM_RELEASES_MAX + 1] = {0}, patches[COVEY__SIM_RELEASES_MAX + 1] = {0};
    size_t pairs = (size_t)((scenario->releases + 1) * (scenario->releases + 1));
    *ways = (covey__sim_ways){.env = env, .scenario = scenario};
    for (size_t v = 0; v < scenario->variant_count; v++) {
        const covey__sim_variant *variant = &scenario->variants[v];
        ways->ways[v] =
            covey__calloc(env, pairs * variant->component_count, sizeof(covey__sim_way));
        if (ways->ways[v] == NULL) {
            covey__sim_ways_free(ways);
            return covey__no_memory(error, "ways", pairs * sizeof(covey__sim_way));
        }
        for (size_t c = 0; c < variant->component_count; c++) {
            graph g = {
                .scenario = scenario, .policy = policy, .component = &variant->components[c]};
            for (int32_t r = 1; r <= scenario->releases; r++) publish(&g, r, ways);
            fill(&g, ways, v, c, chunks, patches);
        }
    }
    for (int64_t r = 0; r <= scenario->releases; r++) {
        if (chunks[r] + patches[r] < ways->release_bytes + ways->patch_bytes) continue;
        ways->release_bytes = chunks[r];
        ways->patch_bytes = patches[r];
    }
    return COVEY_OK;
}

void covey__sim_ways_free(covey__sim_ways *ways) {
    for (size_t v = 0; v < COVEY__SIM_VARIANTS_MAX; v++) covey__free(ways->env, ways->ways[v]);
    memset(ways->ways, 0, sizeof(ways->ways));
}

const covey__sim_way *covey__sim_ways_get(const covey__sim_ways *ways, size_t variant, int32_t have,
                                          int32_t target) {
    return slot_of(ways, variant, have, target);
}

bool covey__sim_ways_patched(const covey__sim_ways *ways, size_t variant, int32_t have,
                             int32_t target) {
    const covey__sim_way *way = slot_of(ways, variant, have, target);
    for (size_t i = 0; i < ways->scenario->variants[variant].component_count; i++)
        if (way[i].patches > 0) return true;
    return false;
}
