/* The cheapest way to a component over bytes to fetch: chunks, a patch, or a chain of two patches.
 * A pure function of digests and sizes: no file, no clock, no network, no allocation, so a plan on
 * a device and a simulated fleet use the same code. */
#ifndef COVEY_DELTA_UPDATE_PATH_H
#define COVEY_DELTA_UPDATE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COVEY__PATH_EDGES_MAX 1024       /* that are looked at; the rest is as good as absent */
#define COVEY__PATH_NONE      UINT64_MAX /* bytes by a way that is not there */

/* In order of preference where bytes are equal. */
typedef enum covey__path_way {
    COVEY__WAY_HERE,   /* nothing to fetch: all chunks are here */
    COVEY__WAY_CHUNKS, /* some chunks are here */
    COVEY__WAY_FULL,   /* by chunks too, none of which is here */
    COVEY__WAY_PATCH,
    COVEY__WAY_CHAIN, /* two patches, one after the other */
    COVEY__WAY_COUNT
} covey__path_way;
const char *covey__path_way_name(covey__path_way way); /* "here", "chunks", "full", ... */

/* A patch: turns one component into another. */
typedef struct covey__path_edge {
    const uint8_t *from, *to; /* SHA-256 of the components, 32 bytes; borrowed */
    uint64_t bytes;           /* to fetch for it, its chunk index too */
    uint64_t to_size;         /* of the component that it makes */
    bool usable;              /* false: passed over (it failed here, or cannot be applied here) */
} covey__path_edge;

typedef struct covey__path_query {
    const uint8_t *wanted;     /* SHA-256 */
    uint64_t full_bytes;       /* stored bytes of all its chunks */
    uint64_t chunk_bytes;      /* stored bytes of those that are not here */
    const uint8_t (*here)[32]; /* SHA-256 of the whole components that are here */
    size_t here_count;
    const covey__path_edge *edges;
    size_t edge_count;
} covey__path_query;

typedef struct covey__update_path {
    covey__path_way way;
    uint64_t bytes;   /* to fetch by it */
    uint32_t edge[2]; /* PATCH: the first; CHAIN: both, in the order they are applied */
    uint64_t between; /* CHAIN: size of the component in between, which needs room meanwhile */
    uint64_t by_full; /* what each way would cost; COVEY__PATH_NONE where there is none */
    uint64_t by_chunks;
    uint64_t by_patch; /* the cheapest patch */
    uint64_t by_chain; /* the cheapest chain of two */
} covey__update_path;

/* Never fails: chunks are always a way. */
void covey__update_path_choose(const covey__path_query *query, covey__update_path *path);

#endif
