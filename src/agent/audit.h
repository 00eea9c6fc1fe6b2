/* What an audit entry says, and which entries a change of the state is worth: a pure function of
 * the state before and after, so that whoever changes the state, the change is in the log
 * (docs/formats/audit-log.md). */
#ifndef COVEY_AGENT_AUDIT_H
#define COVEY_AGENT_AUDIT_H

#include "agent/machine.h"

#define COVEY__AUDIT_DIFF_MAX 6 /* entries of one change */

typedef struct covey__audit_entry {
    const char *event;       /* static */
    char from[132], to[200]; /* "assistant@1.1.0", "3", an address; "" for nothing */
    char digest[65];         /* of what came; "" */
    char why[256];           /* "" */
    char signed_by[COVEY__SIGNED_BY_SIZE];
    const char *role; /* whose signers are to be looked up; NULL: none. Static */
} covey__audit_entry;

size_t covey__audit_diff(const covey__agent_state *before, const covey__agent_state *after,
                         covey__audit_entry entries[COVEY__AUDIT_DIFF_MAX]);

#endif
