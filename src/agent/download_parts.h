/* The download engine's inner side: what agent_download.c (which blob, from whom, when),
 * download_exchange.c (one exchange) and download_partial.c (what is kept over a cut) share. */
#ifndef COVEY_AGENT_DOWNLOAD_PARTS_H
#define COVEY_AGENT_DOWNLOAD_PARTS_H

#include "agent/agent_download.h"
#include "base/error.h"

typedef enum covey__slot_state {
    COVEY__SLOT_FREE,
    COVEY__SLOT_WAITING, /* for a mirror */
    COVEY__SLOT_FLYING   /* an exchange is under way */
} covey__slot_state;

/* A blob on its way. */
typedef struct covey__download_slot {
    covey__download *download;
    covey__download_item item;
    covey__slot_state state;
    uint8_t *bytes; /* with `take` */
    uint64_t have;  /* bytes from the blob's start that are here */
    uint64_t at;    /* where in the blob the next received byte stands */
    uint64_t begun; /* `have` when the exchange at hand began */
    uint64_t from_disk, saved;
    int64_t saved_us;
    int32_t mirror;          /* of the exchange at hand */
    uint32_t tried, sources; /* bit sets of mirrors: given up on, and whose bytes are here */
    int32_t wrong_count, restart_count;
    int32_t said_404, said_410, said_other; /* mirrors that gave this answer or none */
    uint32_t rangeless;                     /* bit set of mirrors that know no ranges */
    covey_error last_error;
    /* the exchange at hand */
    covey_http_response response;
    bool head_seen;
    covey_status why; /* what stopped it from here; COVEY_OK: nothing did */
    bool fatal;       /* it is not the mirror's doing */
    covey_error why_error;
    uint64_t refused_bytes; /* of a page that nobody reads */
    char etag[128];         /* strong; of the bytes that are here */
    int32_t etag_mirror;
    int64_t idle_us; /* waited for a byte */
    int64_t slow_us; /* and over this time came: */
    uint64_t slow_bytes;
} covey__download_slot;

struct covey__download {
    const covey__env *env;
    covey__download_options options;
    char *partial_folder;
    const covey_transport *transport;
    covey_http_lines *lines; /* NULL: one exchange at a time, by fetch */
    covey__download_slot *slots;
    size_t slot_count;
    int64_t deadline_us; /* of the run at hand */
    bool fresh;          /* nothing was asked since the last failure */
    covey__download_counts counts;
    /* a blob that no mirror serves: told once all that is under way ended */
    covey_status failed;
    covey_error failed_error;
};

/* ---- download_exchange.c */
/* Asks the slot's mirror. Without lines the exchange is over when this returns. */
void covey__download_ask(covey__download_slot *slot);
/* Judges an exchange that ended with `status`. */
void covey__download_settle(covey__download_slot *slot, covey_status status,
                            const covey_error *error);
/* Remembers why the run ends. */
void covey__download_fail(covey__download *download, covey_status status, const covey_error *error);
/* The slot is as new; its file is left alone. */
void covey__download_release(covey__download_slot *slot);
uint64_t covey__download_random(const covey__download *download);

/* ---- download_partial.c */
/* Takes up what an earlier exchange left of the blob. */
void covey__partial_load(covey__download_slot *slot);
/* Adds what is not in the file yet. */
void covey__partial_save(covey__download_slot *slot);
void covey__partial_drop(covey__download_slot *slot);
/* Removes parts beyond COVEY__DOWNLOAD_PARTIALS_MAX, and those of an older form. */
void covey__partial_clean(const covey__env *env, const char *folder);

#endif
