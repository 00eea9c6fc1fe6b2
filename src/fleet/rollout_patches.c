/* From a release's patch index to the list of those who can go on by a patch. It is read once, when
 * a rollout begins, and stored with it as a text: a check-in then costs a search in some bytes and
 * no JSON, and a rollout means the same on every node.
 *
 * Neighbours: api_rollouts.c; cohort.c searches the text; bundle/patch_index.h reads the document.
 */
#include "fleet/rollout_patches.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "bundle/patch_index.h"

static covey_status read_index(covey_fleet_server *server, const char *target_name,
                               covey__patch_index **index, covey_error *error) {
    covey__metadata_target target;
    covey__buffer text;
    covey_status status = covey__metadata_find(server->house.metadata, target_name, &target, error);
    if (status != COVEY_OK) return status;
    covey__buffer_init(&text, server->env, COVEY__PATCH_INDEX_BYTES_MAX);
    status = covey__blob_read(&server->blobs, target.sha256, &text, error);
    if (status == COVEY_OK)
        status = covey__patch_index_parse(server->env, text.data != NULL ? text.data : "",
                                          text.size, index, error);
    covey__buffer_free(&text);
    return status;
}

static void add_edge(const covey__patch_edge *edge, covey__buffer *out) {
    for (size_t i = 0; i < edge->variant_count; i++) {
        char from[160];
        (void)snprintf(from, sizeof(from), ",%s/%s,", edge->from_release, edge->variants[i]);
        (void)covey__buffer_byte(out, '\0'); /* to be searched as a text */
        bool known = out->data != NULL && strstr(out->data, from) != NULL;
        if (out->size > 0) out->size--;
        if (!known) (void)covey__buffer_text(out, from + 1);
    }
}

covey_status covey__rollout_patched_from(covey_fleet_server *server, const char *name,
                                         const char *version, covey__buffer *out,
                                         covey_error *error) {
    covey__patch_index *index = NULL;
    char target[160];
    (void)snprintf(target, sizeof(target), "%s/%s/" COVEY__PATCH_INDEX_FILE, name, version);
    covey_status status = read_index(server, target, &index, error);
    if (status == COVEY_ERROR_NOT_FOUND)
        return covey__fail(error, status,
                           "%s@%s has no patches (the metadata names no %s): publish it with "
                           "some, or begin without --patched-first",
                           name, version, target);
    if (status != COVEY_OK) return status;
    (void)covey__buffer_byte(out, ',');
    for (size_t i = 0; i < index->edge_count; i++) add_edge(&index->edges[i], out);
    (void)covey__buffer_byte(out, '\0');
    covey__patch_index_free(index);
    return covey__buffer_check(out, error, "rollout: who goes first");
}
