/* Canonical JSON in the OLPC form (wiki.laptop.org/go/Canonical_JSON), as TUF's tools sign it. */
#ifndef COVEY_TRUST_CANONICAL_JSON_H
#define COVEY_TRUST_CANONICAL_JSON_H

#include "base/json.h"

#define COVEY__CANONICAL_DEPTH_MAX 64

/* Appends `node` and all below it: members sorted by the code points of their names, no white
 * space, only `"` and `\` escaped (a newline stands as itself, so the bytes are no strict JSON),
 * integers as written, unknown members kept. FORMAT for a number that is no plain integer: the form
 * has none (nor do securesystemslib and tuf-js). LIMIT below COVEY__CANONICAL_DEPTH_MAX levels or
 * when the buffer is full; what was appended is then taken back. */
covey_status covey__canonical_json(const covey__json *node, covey__buffer *out,
                                   covey_error *error) COVEY_MUST_USE;

#endif
