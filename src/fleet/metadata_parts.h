/* What metadata.c and metadata_check.c share: a set of documents, and how a whole set is judged. */
#ifndef COVEY_FLEET_METADATA_PARTS_H
#define COVEY_FLEET_METADATA_PARTS_H

#include "fleet/metadata.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct covey__metadata_item {
    char name[COVEY__METADATA_ROLE_SIZE];
    covey__tuf_document *document;
    covey__buffer text; /* as it came */
} covey__metadata_item;

typedef struct covey__metadata_set {
    const covey__env *env;
    covey__metadata_item roles[COVEY__METADATA_ROLE_COUNT];
    size_t role_count;
} covey__metadata_set;

struct covey__metadata {
    const covey__env *env;
    const covey__signer *online; /* may be NULL */
    char *folder;
    /* Of the set, for check-ins, which wait for no disk. The root is stored first and loaded last:
     * nobody is told of a timestamp with the root before it. */
    atomic_int_least64_t root, timestamp;
    pthread_mutex_t lock; /* of what follows */
    covey__metadata_set *set;
    int64_t issued_ms;   /* of the timestamp served; 0: none */
    bool rolled_forward; /* the snapshot served names older documents than the set has */
};

/* Free with covey__metadata_set_free. A copy is to be changed, while the other still holds. */
covey_status covey__metadata_set_new(const covey__env *env, covey__metadata_set **out,
                                     covey_error *error) COVEY_MUST_USE;
covey_status covey__metadata_set_copy(const covey__metadata_set *from, covey__metadata_set **out,
                                      covey_error *error) COVEY_MUST_USE;
/* NULL when the set has no such role. */
covey__metadata_item *covey__metadata_item_find(covey__metadata_set *set, const char *role);
/* Reads a document into the set, in place of the one of that role. */
covey_status covey__metadata_put(covey__metadata_set *set, const char *role, const void *data,
                                 size_t size, covey_error *error) COVEY_MUST_USE;
void covey__metadata_set_free(covey__metadata_set *set);

/* A name that people may give a targets role: file names are made of it. */
bool covey__metadata_role_valid(const char *role);
/* Whether `next` follows `held` (NULL: it is the first): version, its own keys and the held ones'.
 */
covey_status covey__metadata_check_root(const covey__env *env, const covey__tuf_document *held,
                                        const covey__tuf_document *next,
                                        covey_error *error) COVEY_MUST_USE;
/* Root, targets and delegated roles of a set: each signed by its threshold, valid at `now_ms`, one
 * document a delegation. Snapshot and timestamp are not looked at. */
covey_status covey__metadata_check(covey__metadata_set *set, int64_t now_ms,
                                   covey_error *error) COVEY_MUST_USE;
/* A target by the top role or, in order, by the delegations that speak for its path. */
bool covey__metadata_look_up(covey__metadata_set *set, const char *name,
                             covey__metadata_target *target);
void covey__metadata_list(covey__metadata_set *set,
                          void (*each)(void *user, const covey__metadata_role *role), void *user);

#endif
