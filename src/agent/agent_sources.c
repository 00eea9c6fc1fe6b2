/* Files here in which chunks may be found: those of the current, the previous and the built-in
 * ensemble, and of downloads that were set aside. Each has its index beside it, made before by the
 * publisher or here (agent_survey.c), which is believed for the plan only: a chunk is held against
 * its digest when it is copied. */
#include "agent/agent_files.h"

#include "base/error.h"

#include <string.h>

/* ---- Places -----------------------------------------------------------------------------------
 */

static void slot_place(const covey_agent *agent, const covey__agent_slot *slot,
                       covey__source_place *place) {
    if (!slot->digest[0]) return;
    place->folder = covey__agent_path(agent, "ensembles/%s", slot->digest);
    place->index_folder = covey__agent_path(agent, "ensembles/%s.index", slot->digest);
}

static void builtin_place(const covey_agent *agent, covey__source_place *place) {
    if (!agent->builtin) return;
    place->folder = covey__strdup(agent->env, agent->builtin_dir);
    place->index_folder =
        covey__agent_path(agent, "cache/%s.index", covey_ensemble_digest(agent->builtin));
}

bool covey__source_place_open(const covey_agent *agent, size_t number, covey__source_place *place) {
    char digest[65];
    memset(place, 0, sizeof *place);
    if (number == 0) {
        slot_place(agent, &agent->state.current, place);
    } else if (number == 1) {
        slot_place(agent, &agent->state.previous, place);
    } else if (number == 2) {
        builtin_place(agent, place);
    } else if (covey__aside_at(agent, number - COVEY__SOURCE_PLACES_WHOLE, digest)) {
        place->partial = true;
        place->folder = covey__agent_path(agent, "partial/%s", digest);
        place->index_folder = covey__agent_path(agent, "partial/%s.index", digest);
    }
    if (place->folder && place->index_folder &&
        !covey__manifest_read(agent->env, place->folder, &place->manifest, NULL))
        return true;
    covey__source_place_close(agent, place);
    return false;
}

void covey__source_place_close(const covey_agent *agent, covey__source_place *place) {
    covey__free(agent->env, place->folder);
    covey__free(agent->env, place->index_folder);
    covey__manifest_free(place->manifest);
    memset(place, 0, sizeof *place);
}

/* ---- Indexes ----------------------------------------------------------------------------------
 */

/* Leaves the chunks whose bits are set in FILE.have: the component's SHA-256 and a bit a chunk. */
static bool keep_present(const covey_agent *agent, const char *path, covey__chunk_index *index) {
    covey__buffer have;
    size_t bytes = (index->chunk_count + 7) / 8, kept = 0;
    covey__buffer_init(&have, agent->env, 32 + bytes);
    char *name = covey__format(agent->env, "%s.have", path);
    bool good = name && !covey__file_read(agent->env, name, &have, NULL) &&
                have.size == 32 + bytes && !memcmp(have.data, index->component_sha256, 32);
    for (size_t i = 0; good && i < index->chunk_count; i++)
        if ((uint8_t)have.data[32 + i / 8] >> (i % 8) & 1) index->chunks[kept++] = index->chunks[i];
    if (good) index->chunk_count = kept;
    memset(index->component_sha256, 0, 32); /* the component is not here */
    covey__free(agent->env, name);
    covey__buffer_free(&have);
    return good;
}

bool covey__source_index(const covey_agent *agent, const covey__source_place *place,
                         size_t component, covey__chunk_index **index) {
    covey__chunk_index *read = NULL;
    const covey__component *named = &place->manifest->components[component];
    char *path = covey__format(agent->env, "%s/%zu", place->index_folder, component);
    bool good = path && !covey__chunk_index_read(agent->env, path, &read, NULL) &&
                read->component_size == named->size &&
                !memcmp(read->component_sha256, named->sha256, 32);
    if (good && place->partial) good = keep_present(agent, path, read);
    covey__free(agent->env, path);
    if (good && index) {
        *index = read;
        return true;
    }
    covey__chunk_index_free(read);
    return good;
}

/* ---- The list ---------------------------------------------------------------------------------
 */

#define SOURCES_MAX (COVEY__SOURCE_PLACES_MAX * COVEY__COMPONENT_COUNT_MAX)

static void add_place(covey_agent *agent, const covey__source_place *place) {
    covey__fetching *fetching = &agent->fetching;
    for (size_t i = 0; i < place->manifest->component_count; i++) {
        size_t n = fetching->source_count;
        covey__chunk_index *index = NULL;
        if (n == SOURCES_MAX) return;
        char *path =
            covey__path_join(agent->env, place->folder, place->manifest->components[i].file);
        if (!path || !covey__source_index(agent, place, i, &index)) {
            covey__free(agent->env, path);
            continue;
        }
        fetching->source_paths[n] = path;
        fetching->source_indexes[n] = index;
        fetching->sources[n] = (covey__chunk_source){.path = path, .index = index};
        fetching->source_count = n + 1;
    }
}

covey_status covey__sources_find(covey_agent *agent, covey_error *error) {
    covey__fetching *fetching = &agent->fetching;
    covey__source_place place;
    fetching->sources = covey__calloc(agent->env, SOURCES_MAX, sizeof *fetching->sources);
    fetching->source_paths = covey__calloc(agent->env, SOURCES_MAX, sizeof *fetching->source_paths);
    fetching->source_indexes =
        covey__calloc(agent->env, SOURCES_MAX, sizeof *fetching->source_indexes);
    if (!fetching->sources || !fetching->source_paths || !fetching->source_indexes)
        return covey__no_memory(error, "the list of files here", SOURCES_MAX);
    for (size_t i = 0; i < COVEY__SOURCE_PLACES_MAX; i++) {
        if (!covey__source_place_open(agent, i, &place)) continue;
        add_place(agent, &place);
        covey__source_place_close(agent, &place);
    }
    return COVEY_OK;
}
