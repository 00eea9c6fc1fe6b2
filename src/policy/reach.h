/* How far an ensemble reaches: what it may do and what may leave the device, as a set of lines of
 * plain text (docs/formats/policy.md, "Consent"). Pure; made from an ensemble's components. */
#ifndef COVEY_POLICY_REACH_H
#define COVEY_POLICY_REACH_H

#include "base/arena.h"
#include "policy/policy.h"

#define COVEY__REACH_LINE_MAX  480u /* bytes */
#define COVEY__REACH_COUNT_MAX 2048u
#define COVEY__TOOLS_BYTES_MAX (4u << 20)

/* A set of lines. */
typedef struct covey__reach {
    covey__arena arena;
    const char **lines;
    size_t count, capacity;
} covey__reach;

void covey__reach_init(covey__reach *reach, const covey__env *env);
void covey__reach_free(covey__reach *reach);
bool covey__reach_has(const covey__reach *reach, const char *line);
/* Adds a line that is not there yet; LIMIT beyond COVEY__REACH_COUNT_MAX. */
covey_status covey__reach_add(covey__reach *reach, const char *line,
                              covey_error *error) COVEY_MUST_USE;
/* Adds what a `tools` component reaches. Whatever is in it, it has lines: a document that is not
 * understood has one that changes with each byte of it. */
covey_status covey__reach_add_tools(covey__reach *reach, const char *text, size_t size,
                                    covey_error *error) COVEY_MUST_USE;
/* Adds what a `policy` component reaches. */
covey_status covey__reach_add_policy(covey__reach *reach, const covey__policy *policy,
                                     covey_error *error) COVEY_MUST_USE;
/* Adds the lines of `wanted` that are in neither `present` nor `given` to `missing`, in their
 * order. */
covey_status covey__reach_missing(const covey__reach *wanted, const covey__reach *present,
                                  const covey__reach *given, covey__reach *missing,
                                  covey_error *error) COVEY_MUST_USE;

#endif
