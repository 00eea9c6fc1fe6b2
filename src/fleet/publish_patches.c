/* Patches into a release: from each of the last versions, for each component that has the same file
 * name and role in the same variant of both. Each is judged by what it saves a device against
 * chunks (docs/formats/patch-index.md), applied once here before it is offered to anybody, cut and
 * handed over. Then the edges that lead to where the new ones begin are carried over from those
 * releases' own patch indexes.
 *
 * Invariants: an edge is written only for a patch that made the right bytes here. What cannot be
 * made costs the release its patch, never the release.
 *
 * Neighbours: publish_release.c has the earlier releases; client_publish.c uploads and signs. */
#include "fleet/publish_patches.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/semver.h"
#include "base/sha256.h"
#include "bundle/patch_index.h"
#include "delta/chunk_maker.h"
#include "delta/patch.h"

#define VERSIONS_MAX    16
#define ARENA_BYTES_MAX (16u << 20)
#define WHY_SIZE        200

typedef struct maker {
    const covey__patch_making *making;
    const covey__env *env;
    covey__release_view *new_view;
    covey__arena arena; /* of what edges point to */
    covey__patch_edge *edges;
    size_t edge_count;
    char *folder;
    bool is_temporary;
    char versions[VERSIONS_MAX][65]; /* highest first */
    size_t version_count;
} maker;

/* A component of the new release against that of an earlier one. */
typedef struct pair {
    const char *version; /* the earlier one */
    covey__release_view *old_view;
    size_t old_variant, new_variant, old_number, new_number;
    const covey__component *old_part, *new_part;
    uint64_t chunk_bytes, patch_bytes;
    char why[WHY_SIZE];
    bool kept;
} pair;

/* A failure of this machine, not of one patch. */
static bool is_fatal(covey_status status) {
    return status == COVEY_ERROR_NO_MEMORY || status == COVEY_ERROR_NO_SPACE ||
           status == COVEY_ERROR_CANCELLED;
}

static void tell(const maker *m, const pair *p) {
    const covey_fleet_publish_options *options = m->making->options;
    covey_fleet_patch shown = {.size = sizeof(shown),
                               .role = p->new_part->role,
                               .file = p->new_part->file,
                               .variant = m->new_view->release->variants[p->new_variant].variant,
                               .from_release = p->version,
                               .component_bytes = p->new_part->size,
                               .chunk_bytes = p->chunk_bytes,
                               .patch_bytes = p->patch_bytes,
                               .kept = p->kept,
                               .why = p->why};
    if (options->patch != NULL) options->patch(options->patch_user, &shown);
}

/* ---- edges -------------------------------------------------------------------------------- */

static covey__patch_edge *find_edge(maker *m, const uint8_t from[32], const uint8_t to[32]) {
    for (size_t i = 0; i < m->edge_count; i++)
        if (memcmp(m->edges[i].from.sha256, from, 32) == 0 &&
            memcmp(m->edges[i].to.sha256, to, 32) == 0)
            return &m->edges[i];
    return NULL;
}

static const char *keep_text(maker *m, const char *text) {
    return covey__arena_strndup(&m->arena, text, strlen(text));
}

static bool add_variant(maker *m, covey__patch_edge *edge, const char *variant) {
    for (size_t i = 0; i < edge->variant_count; i++)
        if (strcmp(edge->variants[i], variant) == 0) return true;
    if (edge->variants == NULL)
        edge->variants =
            covey__arena_calloc(&m->arena, COVEY__VARIANT_COUNT_MAX, sizeof(*edge->variants));
    if (edge->variants == NULL || edge->variant_count == COVEY__VARIANT_COUNT_MAX) return false;
    edge->variants[edge->variant_count] = keep_text(m, variant);
    return edge->variants[edge->variant_count++] != NULL;
}

/* Copies an edge; its texts become the maker's. */
static covey_status add_edge(maker *m, const covey__patch_edge *edge, covey_error *error) {
    if (m->edge_count == COVEY__PATCH_EDGE_COUNT_MAX)
        return covey__fail(error, COVEY_ERROR_LIMIT, "patches: at most %d in one release",
                           COVEY__PATCH_EDGE_COUNT_MAX);
    covey__patch_edge *kept = &m->edges[m->edge_count];
    *kept = *edge;
    kept->role = keep_text(m, edge->role);
    kept->file = keep_text(m, edge->file);
    kept->from_release = keep_text(m, edge->from_release);
    kept->to_release = keep_text(m, edge->to_release);
    kept->variants = NULL;
    kept->variant_count = 0;
    bool right = kept->role != NULL && kept->file != NULL && kept->from_release != NULL &&
                 kept->to_release != NULL;
    for (size_t i = 0; i < edge->variant_count && right; i++)
        right = add_variant(m, kept, edge->variants[i]);
    if (!right) return covey__arena_fail(&m->arena, 0, error, "patches");
    m->edge_count++;
    return COVEY_OK;
}

/* What a chain over another version that is kept already would take; UINT64_MAX: there is none. */
static uint64_t chain_bytes(const maker *m, const pair *p, const char **over) {
    uint64_t best = UINT64_MAX;
    for (size_t last = 0; last < m->edge_count; last++) {
        const covey__patch_edge *b = &m->edges[last];
        if (memcmp(b->to.sha256, p->new_part->sha256, 32) != 0) continue;
        for (size_t first = 0; first < m->edge_count; first++) {
            const covey__patch_edge *a = &m->edges[first];
            if (memcmp(a->to.sha256, b->from.sha256, 32) != 0 ||
                memcmp(a->from.sha256, p->old_part->sha256, 32) != 0)
                continue;
            uint64_t bytes = covey__patch_edge_bytes(a) + covey__patch_edge_bytes(b);
            if (bytes >= best) continue;
            best = bytes;
            *over = b->from_release;
        }
    }
    return best;
}

/* ---- one patch ---------------------------------------------------------------------------- */

static char *work_path(const maker *m, const uint8_t sha256[32], const char *suffix) {
    char hex[65];
    covey__hex(sha256, 32, hex);
    return covey__format(m->env, "%s/%s%s", m->folder, hex, suffix);
}

static covey_status file_digest(const covey__env *env, const char *path, uint8_t digest[32],
                                covey_error *error) {
    covey__map map;
    covey_status status = covey__map_path(env, path, &map, error);
    if (status != COVEY_OK) return status;
    covey__sha256_of(map.data, map.size, digest);
    covey__map_close(&map);
    return COVEY_OK;
}

/* The earlier component's file: as it was kept, or made of what the new folder shares with it and
 * of chunks from the control plane. */
static covey_status have_old_file(maker *m, const pair *p, const char *path, covey_error *error) {
    uint8_t digest[32];
    uint64_t fetched = 0;
    const covey__manifest *manifest = m->new_view->manifests[p->new_variant];
    const char *folder = m->making->options->bundles[p->new_variant].folder;
    if (covey__file_exists(path) && file_digest(m->env, path, digest, NULL) == COVEY_OK &&
        memcmp(digest, p->old_part->sha256, 32) == 0)
        return COVEY_OK;
    covey__chunk_source *sources =
        covey__calloc(m->env, manifest->component_count, sizeof(*sources));
    char **paths = covey__calloc(m->env, manifest->component_count, sizeof(*paths));
    size_t count = 0;
    for (size_t i = 0; sources != NULL && paths != NULL && i < manifest->component_count; i++) {
        paths[count] = covey__path_join(m->env, folder, manifest->components[i].file);
        if (paths[count] == NULL) break;
        sources[count] =
            (covey__chunk_source){paths[count], m->new_view->indexes[p->new_variant][i]};
        count++;
    }
    covey_status status = count == manifest->component_count
                              ? covey__release_view_make(p->old_view, p->old_variant, p->old_number,
                                                         sources, count, path, &fetched, error)
                              : covey__no_memory(error, "sources", manifest->component_count);
    for (size_t i = 0; i < count; i++) covey__free(m->env, paths[i]);
    covey__free(m->env, paths);
    covey__free(m->env, sources);
    return status;
}

/* Applies it as a device would, and looks at what comes of it. */
static covey_status try_patch(maker *m, const pair *p, const char *old_path, const char *patch_path,
                              const char *made_path, covey_error *error) {
    uint8_t digest[32];
    covey_status status =
        covey__patch_apply_files(m->env, old_path, patch_path, made_path, NULL, error);
    if (status == COVEY_OK) status = file_digest(m->env, made_path, digest, error);
    if (status == COVEY_OK && memcmp(digest, p->new_part->sha256, 32) != 0)
        status = covey__fail(error, COVEY_ERROR_INTERNAL, "the patch makes another file");
    return status;
}

typedef struct hand {
    const covey__patch_making *making;
} hand;

static covey_status hand_chunk(void *user, const covey__chunk *chunk, const void *stored,
                               covey_error *error) {
    const hand *to = user;
    return to->making->blob(to->making->blob_user, chunk->blob, stored, chunk->stored_size, error);
}

/* Cuts the patch, hands it over, and writes its edge down. */
static covey_status keep_patch(maker *m, const pair *p, const char *patch_path,
                               covey_error *error) {
    const covey__patch_making *making = m->making;
    covey__chunk_index *index = NULL;
    covey__buffer bytes;
    hand to = {making};
    const char *variant = m->new_view->release->variants[p->new_variant].variant;
    covey__patch_edge edge = {.role = p->new_part->role,
                              .file = p->new_part->file,
                              .from_release = p->version,
                              .to_release = m->new_view->release->version,
                              .variants = &variant,
                              .variant_count = 1,
                              .from.size = p->old_part->size,
                              .to.size = p->new_part->size};
    memcpy(edge.from.sha256, p->old_part->sha256, 32);
    memcpy(edge.to.sha256, p->new_part->sha256, 32);
    covey__buffer_init(&bytes, m->env, COVEY__INDEX_BYTES_MAX);
    covey_status status =
        covey__chunk_index_make_even(m->env, patch_path, &index, error, hand_chunk, &to);
    if (status == COVEY_OK) status = covey__chunk_index_write(index, &bytes, error);
    if (status == COVEY_OK) {
        memcpy(edge.patch.sha256, index->component_sha256, 32);
        edge.patch.size = index->component_size;
        covey__sha256_of(bytes.data, bytes.size, edge.index.sha256);
        edge.index.size = bytes.size;
        status = making->blob(making->blob_user, edge.index.sha256, bytes.data, bytes.size, error);
    }
    if (status == COVEY_OK) status = add_edge(m, &edge, error);
    covey__chunk_index_free(index);
    covey__buffer_free(&bytes);
    return status;
}

/* Whether the patch is worth its place. */
static void judge(const maker *m, pair *p) {
    const char *over = "";
    uint64_t chain = chain_bytes(m, p, &over);
    int saved = p->patch_bytes < p->chunk_bytes
                    ? (int)((p->chunk_bytes - p->patch_bytes) * 100 / p->chunk_bytes)
                    : 0;
    if (saved < COVEY__PATCHES_SAVED_MIN)
        (void)snprintf(p->why, sizeof(p->why), "dropped: saves %d %%, %d %% are asked for", saved,
                       COVEY__PATCHES_SAVED_MIN);
    else if (chain <= p->patch_bytes)
        (void)snprintf(p->why, sizeof(p->why),
                       "dropped: the two patches over %s take %" PRIu64 " bytes", over, chain);
    else
        (void)snprintf(p->why, sizeof(p->why), "saves %d %%", saved);
    p->kept = saved >= COVEY__PATCHES_SAVED_MIN && chain > p->patch_bytes;
}

/* Makes it, judges it, keeps it or not. What is wrong with this one patch is said in p->why. */
static covey_status make_patch(maker *m, pair *p, covey_error *error) {
    covey__patch_stats stats = {0};
    covey_error why = {0};
    uint64_t size = 0;
    char *old_path = work_path(m, p->old_part->sha256, ".component");
    char *patch_path = work_path(m, p->old_part->sha256, ".patch");
    char *made_path = work_path(m, p->old_part->sha256, ".made");
    char *new_path = covey__path_join(m->env, m->making->options->bundles[p->new_variant].folder,
                                      p->new_part->file);
    covey_status status = COVEY_OK;
    if (old_path == NULL || patch_path == NULL || made_path == NULL || new_path == NULL)
        status = covey__no_memory(&why, "a path", 0);
    if (status == COVEY_OK) status = have_old_file(m, p, old_path, &why);
    if (status == COVEY_OK)
        status = covey__patch_make(m->env, old_path, new_path, patch_path, NULL, &stats, &why);
    if (status == COVEY_OK) status = covey__file_size(m->env, patch_path, &size, &why);
    if (status == COVEY_OK) {
        p->patch_bytes =
            size + 56 + 72 * ((size + COVEY__CHUNK_BYTES_MAX - 1) / COVEY__CHUNK_BYTES_MAX);
        judge(m, p);
    }
    if (status == COVEY_OK && p->kept)
        status = try_patch(m, p, old_path, patch_path, made_path, &why);
    if (status != COVEY_OK && !is_fatal(status)) {
        p->kept = false;
        (void)snprintf(p->why, sizeof(p->why), "none: %s", why.message);
        status = COVEY_OK;
    } else if (status != COVEY_OK) {
        *error = why;
    } else if (p->kept) {
        status = keep_patch(m, p, patch_path, error);
    }
    if (patch_path != NULL && covey__file_remove(m->env, patch_path, NULL) != COVEY_OK)
        covey__log(m->env, COVEY_LOG_WARN, "fleet", "cannot remove %s", patch_path);
    if (made_path != NULL && covey__file_remove(m->env, made_path, NULL) != COVEY_OK)
        covey__log(m->env, COVEY_LOG_WARN, "fleet", "cannot remove %s", made_path);
    covey__free(m->env, old_path);
    covey__free(m->env, patch_path);
    covey__free(m->env, made_path);
    covey__free(m->env, new_path);
    return status;
}

/* ---- one earlier version ------------------------------------------------------------------ */

static int32_t find_part(const covey__manifest *manifest, const covey__component *part) {
    for (size_t i = 0; i < manifest->component_count; i++)
        if (strcmp(manifest->components[i].role, part->role) == 0 &&
            strcmp(manifest->components[i].file, part->file) == 0)
            return (int32_t)i;
    return -1;
}

/* What a device that has that variant of that version would fetch without a patch. */
static covey_status count_chunks(maker *m, pair *p, covey_error *error) {
    const covey__manifest *manifest = p->old_view->manifests[p->old_variant];
    covey__chunk_plan *plan = NULL;
    covey__chunk_source *sources =
        covey__calloc(m->env, manifest->component_count, sizeof(*sources));
    if (sources == NULL) return covey__no_memory(error, "sources", manifest->component_count);
    for (size_t i = 0; i < manifest->component_count; i++)
        sources[i].index = p->old_view->indexes[p->old_variant][i];
    covey_status status =
        covey__chunk_plan_make(m->env, m->new_view->indexes[p->new_variant][p->new_number], sources,
                               manifest->component_count, &plan, error);
    if (status == COVEY_OK) p->chunk_bytes = plan->fetch_bytes;
    covey__chunk_plan_free(plan);
    covey__free(m->env, sources);
    return status;
}

static covey_status consider(maker *m, pair *p, covey_error *error) {
    const char *variant = m->new_view->release->variants[p->new_variant].variant;
    if (memcmp(p->old_part->sha256, p->new_part->sha256, 32) == 0) return COVEY_OK;
    covey__patch_edge *known = find_edge(m, p->old_part->sha256, p->new_part->sha256);
    if (known != NULL)
        return add_variant(m, known, variant) ? COVEY_OK
                                              : covey__arena_fail(&m->arena, 0, error, "patches");
    covey_status status = count_chunks(m, p, error);
    if (status != COVEY_OK) return status;
    if (p->new_part->encrypted || p->old_part->encrypted) {
        (void)snprintf(p->why, sizeof(p->why), "none: it is encrypted, and goes by chunks");
    } else if (p->chunk_bytes < COVEY__PATCHES_CHUNKS_MIN) {
        (void)snprintf(p->why, sizeof(p->why), "none: by chunks it is little enough");
    } else {
        status = make_patch(m, p, error);
    }
    if (status == COVEY_OK) tell(m, p);
    return status;
}

static covey_status variant_patches(maker *m, covey__release_view *old_view, const char *version,
                                    size_t new_variant, covey_error *error) {
    int32_t old_variant =
        covey__release_view_find(old_view, m->new_view->release->variants[new_variant].variant);
    if (old_variant < 0) return COVEY_OK;
    covey_status status = covey__release_view_load(old_view, (size_t)old_variant, error);
    const covey__manifest *manifest = m->new_view->manifests[new_variant];
    for (size_t i = 0; status == COVEY_OK && i < manifest->component_count; i++) {
        const covey__manifest *old = old_view->manifests[old_variant];
        int32_t number = find_part(old, &manifest->components[i]);
        if (number < 0) continue;
        pair p = {.version = version,
                  .old_view = old_view,
                  .old_variant = (size_t)old_variant,
                  .new_variant = new_variant,
                  .old_number = (size_t)number,
                  .new_number = i,
                  .old_part = &old->components[number],
                  .new_part = &manifest->components[i]};
        status = consider(m, &p, error);
    }
    return status;
}

/* Edges of a version's own patch index: of an earlier one those that end where one of ours begins,
 * of the one that is published all, since they are signed and there already. */
static covey_status take_edges(maker *m, const char *version, bool all, covey_error *error) {
    covey__metadata_target target;
    covey__patch_index *index = NULL;
    covey__buffer text;
    char name[160];
    (void)snprintf(name, sizeof(name), "%s/%s/" COVEY__PATCH_INDEX_FILE, m->new_view->release->name,
                   version);
    if (!covey__metadata_look_up(m->making->set, name, &target)) return COVEY_OK;
    covey__buffer_init(&text, m->env, COVEY__PATCH_INDEX_BYTES_MAX);
    covey_status status = covey__fleet_get_blob(m->making->client, target.sha256, &text, error);
    if (status == COVEY_OK)
        status = covey__patch_index_parse(m->env, text.data != NULL ? text.data : "", text.size,
                                          &index, error);
    size_t own = m->edge_count;
    for (size_t i = 0; status == COVEY_OK && i < index->edge_count; i++) {
        const covey__patch_edge *edge = &index->edges[i];
        bool leads = all;
        if (find_edge(m, edge->from.sha256, edge->to.sha256) != NULL) continue;
        for (size_t k = 0; k < own; k++)
            leads = leads || (memcmp(m->edges[k].from.sha256, edge->to.sha256, 32) == 0 &&
                              strcmp(edge->to_release, version) == 0);
        if (leads) status = add_edge(m, edge, error);
    }
    covey__patch_index_free(index);
    covey__buffer_free(&text);
    return status;
}

static covey_status version_patches(maker *m, const char *version, covey_error *error) {
    covey__release_view *view = NULL;
    covey_error why = {0};
    covey_status status = covey__release_view_open(
        m->making->client, m->making->set, m->new_view->release->name, version, &view, &why);
    for (size_t v = 0; status == COVEY_OK && v < m->new_view->release->variant_count; v++)
        status = variant_patches(m, view, version, v, &why);
    if (status == COVEY_OK) status = take_edges(m, version, false, &why);
    covey__release_view_free(view);
    if (status == COVEY_OK) return COVEY_OK;
    if (!is_fatal(status) && m->making->options->patch_from_count == 0) {
        covey__log(m->env, COVEY_LOG_WARN, "fleet", "no patches from %s: %s", version, why.message);
        return COVEY_OK;
    }
    if (error != NULL) *error = why;
    return covey__prefix(error, status, "patches from %s", version);
}

/* ---- the whole ---------------------------------------------------------------------------- */

static covey_status choose_versions(maker *m, covey_error *error) {
    const covey_fleet_publish_options *options = m->making->options;
    const covey__release *release = m->new_view->release;
    int32_t wanted = options->patch_count < VERSIONS_MAX ? options->patch_count : VERSIONS_MAX;
    if (options->patch_from_count == 0) {
        if (wanted > 0)
            m->version_count = covey__release_versions(
                m->making->set, release->name, release->version, m->versions, (size_t)wanted);
        return COVEY_OK;
    }
    for (size_t i = 0; i < options->patch_from_count; i++) {
        const char *version = options->patch_from[i];
        if (m->version_count == VERSIONS_MAX || strlen(version) > 64 ||
            !covey__semver_valid(version) || covey__semver_compare(version, release->version) >= 0)
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "patches: expected at most %d versions below %s, found \"%.64s\"",
                               VERSIONS_MAX, release->version, version);
        size_t at = 0; /* highest first, so that chains are known when a longer way is judged */
        while (at < m->version_count && covey__semver_compare(m->versions[at], version) > 0) at++;
        memmove(m->versions + at + 1, m->versions + at,
                (m->version_count - at) * sizeof(*m->versions));
        (void)snprintf(m->versions[at], sizeof(*m->versions), "%s", version);
        m->version_count++;
    }
    return COVEY_OK;
}

static covey_status open_folder(maker *m, covey_error *error) {
    const char *named = m->making->options->patch_folder;
    if (named != NULL) {
        m->folder = covey__strdup(m->env, named);
        if (m->folder == NULL) return covey__no_memory(error, "a path", 0);
        return covey__folder_make(m->env, m->folder, error);
    }
    const char *root = getenv("TMPDIR");
    m->folder = covey__format(m->env, "%s/covey-patches-XXXXXX",
                              root != NULL && root[0] == '/' ? root : "/tmp");
    if (m->folder == NULL) return covey__no_memory(error, "a path", 0);
    if (mkdtemp(m->folder) == NULL) return covey__fail_path(error, errno, "mkdtemp", m->folder);
    m->is_temporary = true;
    return COVEY_OK;
}

static covey_status make_all(maker *m, covey__buffer *out, covey_error *error) {
    covey_status status = open_folder(m, error);
    for (size_t v = 0; status == COVEY_OK && v < m->new_view->release->variant_count; v++)
        status = covey__release_view_load(m->new_view, v, error);
    if (status == COVEY_OK) status = take_edges(m, m->new_view->release->version, true, error);
    for (size_t i = 0; status == COVEY_OK && i < m->version_count; i++)
        status = version_patches(m, m->versions[i], error);
    if (status == COVEY_OK && m->edge_count > 0)
        status = covey__patch_index_write(m->env, m->new_view->release->name,
                                          m->new_view->release->version, m->edges, m->edge_count,
                                          out, error);
    return status;
}

covey_status covey__publish_patches(const covey__patch_making *making, covey__buffer *out,
                                    covey_error *error) {
    maker m = {.making = making, .env = making->client->env};
    covey__arena_init(&m.arena, m.env, ARENA_BYTES_MAX);
    covey_status status = covey__release_view_new(making->client, making->document,
                                                  making->document_size, &m.new_view, error);
    if (status == COVEY_OK) status = choose_versions(&m, error);
    m.edges = covey__calloc(m.env, COVEY__PATCH_EDGE_COUNT_MAX, sizeof(*m.edges));
    if (status == COVEY_OK && m.edges == NULL)
        status = covey__no_memory(error, "patches", COVEY__PATCH_EDGE_COUNT_MAX);
    if (status == COVEY_OK && m.version_count > 0) status = make_all(&m, out, error);
    if (m.is_temporary && covey__tree_remove(m.env, m.folder, NULL) != COVEY_OK)
        covey__log(m.env, COVEY_LOG_WARN, "fleet", "cannot remove %s", m.folder);
    covey__free(m.env, m.folder);
    covey__free(m.env, m.edges);
    covey__release_view_free(m.new_view);
    covey__arena_free(&m.arena);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "patches");
}
