/* The inner side of include/covey/tuf.h: a client and what its files share. tuf_client.c opens and
 * reports, tuf_refresh.c brings the top-level roles up to date, tuf_find.c walks delegations,
 * tuf_fetch.c asks and downloads. */
#ifndef COVEY_TRUST_TUF_CLIENT_H
#define COVEY_TRUST_TUF_CLIENT_H

#include <covey/tuf.h>

#include "trust/tuf_document.h"
#include "trust/tuf_floor.h"
#include "trust/tuf_store.h"

#define COVEY__TUF_CACHE_COUNT_MAX                                                                 \
    64                                 /* delegated roles kept in memory from one search to others \
                                        */
#define COVEY__TUF_DEPTH_MAX        32 /* whatever the options say: the walk uses the stack */
#define COVEY__TUF_VISIT_COUNT_MAX  1024 /* the same */
#define COVEY__TUF_HEADER_COUNT_MAX 16

/* A delegated role that was verified under this delegation. */
typedef struct covey__tuf_delegated {
    struct covey__tuf_delegated *next;
    char *name;                  /* a bin's is in no document */
    const covey__tuf_role *role; /* of its delegator's document, which is in memory as long */
    covey__tuf_document *document;
} covey__tuf_delegated;

struct covey_tuf {
    const covey__env *env;
    covey_tuf_options options; /* all defaults filled in; strings are the client's */
    covey__tuf_store store;
    covey__tuf_floor floor;
    int64_t clock_ms; /* read once a refresh */
    int64_t now_ms;   /* what expiry is held against */
    bool refreshed;   /* all four are there, and final */
    covey__tuf_document *root, *timestamp, *snapshot, *targets;
    covey__tuf_delegated *delegated;
    size_t delegated_count;
    covey_tuf_report report;
};

/* Says whose failure it is, once: the first name given in a refresh or a search stays. Returns
 * `status` with "ROLE: " before the message. */
covey_status covey__tuf_blame(covey_tuf *tuf, const char *role, covey_status status,
                              covey_error *error);

/* GET of a metadata document: [VERSION.]ROLE.json, the version left out when 0. `*found` is false,
 * with COVEY_OK, for an answer of 404 or 403 when `optional`. At most `bytes_max` bytes. */
typedef struct covey__tuf_request {
    const char *role;
    int64_t version;
    uint64_t bytes_max;
    bool optional;
} covey__tuf_request;
covey_status covey__tuf_fetch(covey_tuf *tuf, const covey__tuf_request *request, covey__buffer *out,
                              bool *found, covey_error *error) COVEY_MUST_USE;

/* The trusted document of a targets role, top-level or delegated, as the snapshot names it: the
 * store's if it still holds, else the repository's. `role` says whose signatures count and has the
 * role's name. */
covey_status covey__tuf_load_targets(covey_tuf *tuf, const covey__tuf_role *role,
                                     covey__tuf_document **out, covey_error *error) COVEY_MUST_USE;

/* EXPIRED unless the document is valid at the client's time. */
covey_status covey__tuf_check_expiry(const covey_tuf *tuf, const covey__tuf_document *document,
                                     covey_error *error) COVEY_MUST_USE;

/* Refreshes. tuf_client.c fills the report around it. */
covey_status covey__tuf_update(covey_tuf *tuf, int64_t root_version_latest,
                               covey_error *error) COVEY_MUST_USE;
/* Forgets what is in memory. */
void covey__tuf_drop(covey_tuf *tuf);
void covey__tuf_drop_delegated(covey_tuf *tuf);

#endif
