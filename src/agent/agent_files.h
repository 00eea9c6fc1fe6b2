/* What is on the disk: files here in which chunks are found again, downloads that were set aside,
 * room for an update, and passes over big files in slices. Each pass keeps its position in memory
 * alone, and begins anew in the next process. */
#ifndef COVEY_AGENT_AGENT_FILES_H
#define COVEY_AGENT_AGENT_FILES_H

#include "agent/agent_parts.h"

/* ---- agent_survey.c */
typedef struct covey__survey covey__survey;
/* Makes what is lacking to find chunks in the files here: indexes of installed and built-in
 * ensembles, and which chunks of a download that was set aside arrived. Goes on, at least by one
 * chunk, until the deadline (monotonic) or the end (*done). What cannot be read is passed over: it
 * would only have saved bytes. */
covey_status covey__survey_step(covey_agent *agent, int64_t deadline_us, bool *done,
                                covey_error *error) COVEY_MUST_USE;
void covey__survey_free(covey_agent *agent);

/* ---- agent_sources.c */
/* A folder with an ensemble's files, whole or not. */
typedef struct covey__source_place {
    char *folder, *index_folder;
    bool partial; /* of a download that was set aside */
    covey__manifest *manifest;
} covey__source_place;
#define COVEY__SOURCE_PLACES_WHOLE 3 /* current, previous, built-in; then those set aside */
#define COVEY__SOURCE_PLACES_MAX   (COVEY__SOURCE_PLACES_WHOLE + COVEY__ASIDE_MAX)
/* Place `number` of them, 0 to COVEY__SOURCE_PLACES_MAX - 1; false when nothing is there. */
bool covey__source_place_open(const covey_agent *agent, size_t number, covey__source_place *place);
void covey__source_place_close(const covey_agent *agent, covey__source_place *place);
/* Whether chunks can be found in a component of it already; `index` (may be NULL) gets the index,
 * of a partial one only the chunks that are there. */
bool covey__source_index(const covey_agent *agent, const covey__source_place *place,
                         size_t component, covey__chunk_index **index);
/* Lists all of them in the fetching. */
covey_status covey__sources_find(covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_aside.c: a download that ended before its end is kept in partial/, until an update is
 * done or its room is needed */
#define COVEY__ASIDE_MAX 2
/* Sets aside all downloads in update/ but that of `digest` ("": all of them). */
void covey__aside_keep(covey_agent *agent, const char *digest);
/* Goes on with the download of `digest` where it was set aside, if it was. */
covey_status covey__aside_take(covey_agent *agent, const char *digest,
                               covey_error *error) COVEY_MUST_USE;
/* The digest of download `number` in partial/, in order of their names; false: there are fewer. */
bool covey__aside_at(const covey_agent *agent, size_t number, char digest[65]);
covey_status covey__aside_remove(const covey_agent *agent, const char *digest,
                                 covey_error *error) COVEY_MUST_USE;
covey_status covey__aside_remove_all(const covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_space.c */
/* Reserves all that the plan at hand will write, and gives up other things where it does not fit.
 * NO_SPACE: both numbers. *again: something was given up, and the plan is to be made again. */
covey_status covey__space_reserve(covey_agent *agent, bool *again,
                                  covey_error *error) COVEY_MUST_USE;
/* Where the file system promised nothing: whether there is still room. */
covey_status covey__space_check(covey_agent *agent, covey_error *error) COVEY_MUST_USE;
/* A component's file in update/, open for reading and writing, at its full size. */
covey_status covey__space_open(covey_agent *agent, size_t component, int *descriptor,
                               covey_error *error) COVEY_MUST_USE;

/* ---- agent_check.c */
typedef struct covey__checking covey__checking;
/* Every byte of the update's ensemble against its manifest, in slices: below "update" or
 * "ensembles". Goes on until the deadline (monotonic) or the end (*done). MISMATCH, and NOT_FOUND
 * of a file, mean damage. */
covey_status covey__check_step(covey_agent *agent, const char *where, int64_t deadline_us,
                               bool *done, covey_error *error) COVEY_MUST_USE;
void covey__check_free(covey_agent *agent);

#endif
