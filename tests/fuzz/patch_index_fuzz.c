/* Patch indexes: what is taken must be safe to choose from, and must write and read again. */
#include "fuzz/fuzz_target.h"

#include "bundle/patch_index.h"
#include "delta/update_path.h"

#include <string.h>

/* Every component that an edge leads to, from a device that has the first edge's beginning. */
static void choose(const covey__patch_index *index) {
    static covey__path_edge edges[COVEY__PATCH_EDGE_COUNT_MAX];
    uint8_t here[1][32];
    memcpy(here[0], index->edges[0].from.sha256, 32);
    for (size_t i = 0; i < index->edge_count; i++)
        edges[i] = (covey__path_edge){index->edges[i].from.sha256, index->edges[i].to.sha256,
                                      covey__patch_edge_bytes(&index->edges[i]),
                                      index->edges[i].to.size, true};
    for (size_t i = 0; i < index->edge_count && i < 16; i++) {
        covey__path_query query = {index->edges[i].to.sha256,  2000, 1000,
                                   (const uint8_t(*)[32])here, 1,    edges,
                                   index->edge_count};
        covey__update_path path;
        covey__update_path_choose(&query, &path);
        FUZZ_CHECK(path.bytes <= 1000);
        FUZZ_CHECK(path.way != COVEY__WAY_PATCH || path.edge[0] < index->edge_count);
        FUZZ_CHECK(path.way != COVEY__WAY_CHAIN || path.edge[1] < index->edge_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__patch_index *index, *again;
    covey__buffer out;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__env_init(&env);
    covey_status status = covey__patch_index_parse(&env, (const char *)data, size, &index, &error);
    FUZZ_CHECK((status == COVEY_OK) == (index != NULL));
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return 0;
    FUZZ_CHECK(index->edge_count > 0 && index->edge_count <= COVEY__PATCH_EDGE_COUNT_MAX);
    choose(index);
    /* The form that is written has more white space than what came: it may not fit. */
    covey__buffer_init(&out, &env, COVEY__PATCH_INDEX_BYTES_MAX);
    status = covey__patch_index_write(&env, index->name, index->version, index->edges,
                                      index->edge_count, &out, &error);
    FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_LIMIT);
    if (status == COVEY_OK) {
        FUZZ_CHECK(!covey__patch_index_parse(&env, out.data, out.size, &again, &error));
        FUZZ_CHECK(again->edge_count == index->edge_count);
        covey__patch_index_free(again);
    }
    covey__buffer_free(&out);
    covey__patch_index_free(index);
    return 0;
}
