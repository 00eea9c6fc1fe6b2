/* Blobs for the agent: the download engine as the device's settings want it. */
#ifndef COVEY_AGENT_AGENT_BLOBS_H
#define COVEY_AGENT_AGENT_BLOBS_H

#include "agent/agent_download.h"
#include "agent/agent_parts.h"
#include "base/file_cache.h"

/* ---- agent_blobs.c */
/* The engine, made where there is none, with the mirrors and the rate as they are set now. Whoever
 * adds blobs keeps what their callbacks need until they arrived or covey__agent_blobs_stop was
 * called. */
covey_status covey__agent_downloads(covey_agent *agent, covey__download **download,
                                    covey_error *error) COVEY_MUST_USE;
/* Cancels what is under way; parts and connections are kept. */
void covey__agent_blobs_stop(covey_agent *agent);
/* Closes the connections too. */
void covey__agent_blobs_free(covey_agent *agent);
/* Reports what mirrors did wrong, where it was not reported yet. */
covey_status covey__agent_tell_notes(covey_agent *agent, covey_error *error) COVEY_MUST_USE;

/* ---- agent_fetch.c: files that are filled chunk by chunk */
#define COVEY__NO_COMPONENT SIZE_MAX
typedef struct covey__fetch_file {
    covey_agent *agent;
    size_t component; /* of the ensemble at hand, or COVEY__NO_COMPONENT: some other file */
    const char *name; /* for messages; borrowed */
    char *path;
    uint64_t size;
    const covey__chunk_index *index;          /* borrowed */
    const covey__chunk_plan *plan;            /* what is here; borrowed; NULL: nothing is */
    int descriptor;                           /* -1: closed */
    size_t next;                              /* the chunk that is looked at next */
    size_t flying[COVEY__DOWNLOAD_IN_FLIGHT]; /* chunks on their way */
    size_t flying_count;
    covey__flush_window flush; /* of what was written */
    bool done;                 /* written and synced */
} covey__fetch_file;
/* Brings the files to be whole, several chunks under way at once; `*at` is the file that is looked
 * at, 0 to begin with. Goes on until done or until the deadline; between calls the array stays
 * where it is. Counts bytes in agent->fetching. On failure everything under way is cancelled. */
covey_status covey__files_fetch(covey_agent *agent, covey__fetch_file *files, size_t count,
                                size_t *at, int64_t deadline_us, bool *done,
                                covey_error *error) COVEY_MUST_USE;
/* What is under way was cancelled: it is looked at again. */
void covey__files_rewind(covey_agent *agent);
/* Closes them and frees their paths; cancels what is under way for them. */
void covey__files_close(covey_agent *agent, covey__fetch_file *files, size_t count);

#endif
