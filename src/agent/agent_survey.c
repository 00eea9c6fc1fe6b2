/* The survey before a plan: for each file here that has no index yet, one is made and stored; for
 * each file of a download that was set aside, it is found out which of its chunks arrived, and the
 * room of others goes back to the disk. A pass over gigabytes, so it goes chunk by chunk and
 * keeps its position between steps. A process that starts again finds what is stored, and makes the
 * rest. What fails is passed over, once a process: it would only have saved bytes. */
#include "agent/agent_files.h"

#include "base/error.h"
#include "base/file_cache.h"
#include "base/file_space.h"
#include "base/sha256.h"
#include "delta/chunk_maker.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Of a step, however short: each reads the plan's documents again. */
#define LEAST_CHUNKS 16

/* The chunks of one file that was set aside. */
typedef struct presence {
    covey__chunk_index *index; /* NULL: none is looked at */
    char *path;                /* of the component */
    int descriptor;
    size_t chunk;
    uint8_t *have;         /* as it is stored */
    uint64_t absent, from; /* bytes that did not arrive end at `from` + `absent` */
} presence;

struct covey__survey {
    char digest[65]; /* of the ensemble that it is for */
    bool done;
    size_t number, component; /* where it stands */
    bool is_open;
    covey__source_place place;
    covey__chunk_maker *maker;
    presence presence;
    bool found;    /* something arrived of this place */
    size_t looked; /* chunks, in this step */
    uint8_t *content;
};

static void close_presence(const covey_agent *agent, presence *at) {
    if (at->index && at->descriptor >= 0) close(at->descriptor);
    covey__chunk_index_free(at->index);
    covey__free(agent->env, at->path);
    covey__free(agent->env, at->have);
    memset(at, 0, sizeof *at);
}

void covey__survey_free(covey_agent *agent) {
    covey__survey *survey = agent->survey;
    if (!survey) return;
    close_presence(agent, &survey->presence);
    covey__chunk_maker_free(survey->maker);
    if (survey->is_open) covey__source_place_close(agent, &survey->place);
    covey__free(agent->env, survey->content);
    covey__free(agent->env, survey);
    agent->survey = NULL;
}

/* Asked before each chunk, or behind a run of them. */
static bool is_over(covey__survey *survey, int64_t deadline_us) {
    return survey->looked++ >= LEAST_CHUNKS && covey__monotonic_us() >= deadline_us;
}

/* ---- Indexes of whole files -------------------------------------------------------------------
 */

static char *component_path(const covey_agent *agent, const covey__survey *survey) {
    const covey__source_place *place = &survey->place;
    return covey__path_join(agent->env, place->folder,
                            place->manifest->components[survey->component].file);
}

static void store_index(covey_agent *agent, const covey__survey *survey,
                        const covey__chunk_index *index) {
    covey__buffer bytes;
    covey__buffer_init(&bytes, agent->env, COVEY__INDEX_BYTES_MAX);
    char *path = covey__format(agent->env, "%s/%zu", survey->place.index_folder, survey->component);
    if (!path || covey__folder_make(agent->env, survey->place.index_folder, NULL) ||
        covey__chunk_index_write(index, &bytes, NULL) ||
        covey__file_replace(agent->env, path, bytes.data, bytes.size, NULL))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot keep an index; made again");
    covey__buffer_free(&bytes);
    covey__free(agent->env, path);
}

/* True when nothing is left to do for the component. */
static bool make_index(covey_agent *agent, covey__survey *survey, int64_t deadline_us) {
    covey__chunk_index *index = NULL;
    if (!survey->maker) {
        char *path = component_path(agent, survey);
        covey_status status = path ? covey__chunk_maker_open(agent->env, path, &survey->maker, NULL)
                                   : COVEY_ERROR_NO_MEMORY;
        covey__free(agent->env, path);
        if (status) return true;
    }
    covey_status status;
    do status = covey__chunk_maker_step(survey->maker, deadline_us, &index, NULL);
    while (!status && !index && !is_over(survey, deadline_us));
    if (!status && !index) return false;
    if (!status) store_index(agent, survey, index);
    covey__chunk_index_free(index);
    covey__chunk_maker_free(survey->maker);
    survey->maker = NULL;
    return true;
}

/* ---- What arrived -----------------------------------------------------------------------------
 */

static bool open_presence(covey_agent *agent, covey__survey *survey) {
    presence *at = &survey->presence;
    const covey__component *component = &survey->place.manifest->components[survey->component];
    char *path = covey__format(agent->env, "%s/%zu", survey->place.index_folder, survey->component);
    if (!survey->content) survey->content = covey__alloc(agent->env, COVEY__CHUNK_BYTES_MAX);
    at->path = component_path(agent, survey);
    bool good = path && at->path && survey->content &&
                !covey__chunk_index_read(agent->env, path, &at->index, NULL) &&
                at->index->component_size == component->size &&
                !memcmp(at->index->component_sha256, component->sha256, 32);
    covey__free(agent->env, path);
    at->descriptor = -1;
    if (good) at->have = covey__calloc(agent->env, 32 + (at->index->chunk_count + 7) / 8, 1);
    good = good && at->have &&
           !covey__file_open(agent->env, at->path, O_RDWR | O_NOFOLLOW, 0, &at->descriptor, NULL);
    if (good)
        memcpy(at->have, component->sha256, 32);
    else
        close_presence(agent, at);
    return good;
}

static void give_back(covey_agent *agent, presence *at) {
    bool freed;
    if (at->absent &&
        covey__file_punch(agent->env, at->descriptor, at->path, at->from, at->absent, &freed, NULL))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot free a part of %s", at->path);
    at->absent = 0;
}

static void look_at_chunk(covey_agent *agent, covey__survey *survey) {
    presence *at = &survey->presence;
    const covey__chunk *chunk = &at->index->chunks[at->chunk];
    uint8_t digest[32];
    bool here = !covey__file_read_passing(agent->env, at->descriptor, at->path, chunk->offset,
                                          survey->content, chunk->size, NULL);
    if (here) {
        covey__sha256_of(survey->content, chunk->size, digest);
        here = !memcmp(digest, chunk->sha256, 32);
    }
    if (here) {
        give_back(agent, at);
        survey->found = true;
        at->have[32 + at->chunk / 8] |= (uint8_t)(1u << (at->chunk % 8));
    } else {
        if (!at->absent) at->from = chunk->offset;
        at->absent += chunk->size;
    }
    at->chunk++;
}

static void store_presence(covey_agent *agent, covey__survey *survey) {
    presence *at = &survey->presence;
    char *path =
        covey__format(agent->env, "%s/%zu.have", survey->place.index_folder, survey->component);
    if (!path || covey__file_replace(agent->env, path, at->have,
                                     32 + (at->index->chunk_count + 7) / 8, NULL))
        covey__log(agent->env, COVEY_LOG_WARN, "agent", "cannot keep what arrived of %s", at->path);
    covey__free(agent->env, path);
}

/* True when nothing is left to do for the component. */
static bool find_present(covey_agent *agent, covey__survey *survey, int64_t deadline_us) {
    presence *at = &survey->presence;
    if (!at->index && !open_presence(agent, survey)) return true;
    while (at->chunk < at->index->chunk_count) {
        if (is_over(survey, deadline_us)) return false;
        look_at_chunk(agent, survey);
    }
    give_back(agent, at);
    store_presence(agent, survey);
    close_presence(agent, at);
    return true;
}

/* ---- The whole --------------------------------------------------------------------------------
 */

static covey_status begin(covey_agent *agent, covey_error *error) {
    const char *digest = agent->fetching.digest;
    if (agent->survey && strcmp(agent->survey->digest, digest)) covey__survey_free(agent);
    if (agent->survey) return COVEY_OK;
    agent->survey = covey__calloc(agent->env, 1, sizeof *agent->survey);
    if (!agent->survey) return covey__no_memory(error, "the survey", sizeof *agent->survey);
    memcpy(agent->survey->digest, digest, sizeof agent->survey->digest);
    return COVEY_OK;
}

/* One place behind us. Of one that was set aside and has nothing, nothing is kept; the next then
 * has its number. */
static void leave_place(covey_agent *agent, covey__survey *survey) {
    char digest[65] = "";
    bool empty = survey->place.partial && !survey->found &&
                 covey__aside_at(agent, survey->number - COVEY__SOURCE_PLACES_WHOLE, digest);
    covey__source_place_close(agent, &survey->place);
    survey->is_open = false;
    survey->found = false;
    survey->component = 0;
    if (!empty || covey__aside_remove(agent, digest, NULL)) survey->number++;
}

/* Whether the component at hand needs no look. */
static bool is_known(covey_agent *agent, covey__survey *survey) {
    covey__chunk_index *index = NULL;
    if (survey->maker || survey->presence.index) return false;
    if (!covey__source_index(agent, &survey->place, survey->component, &index)) return false;
    survey->found = survey->found || index->chunk_count > 0;
    covey__chunk_index_free(index);
    return true;
}

covey_status covey__survey_step(covey_agent *agent, int64_t deadline_us, bool *done,
                                covey_error *error) {
    covey_status status = begin(agent, error);
    if (status) return status;
    covey__survey *survey = agent->survey;
    survey->looked = 0;
    while (!survey->done) {
        if (survey->looked > LEAST_CHUNKS && covey__monotonic_us() >= deadline_us) break;
        if (survey->number == COVEY__SOURCE_PLACES_MAX) {
            survey->done = true;
            break;
        }
        if (!survey->is_open) {
            survey->is_open = covey__source_place_open(agent, survey->number, &survey->place);
            if (!survey->is_open) survey->number++;
            continue;
        }
        if (survey->component == survey->place.manifest->component_count) {
            leave_place(agent, survey);
            continue;
        }
        if (is_known(agent, survey)) {
            survey->component++;
            continue;
        }
        if (survey->place.partial ? find_present(agent, survey, deadline_us)
                                  : make_index(agent, survey, deadline_us))
            survey->component++;
    }
    *done = survey->done;
    return COVEY_OK;
}
