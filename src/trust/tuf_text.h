/* The small texts of The Update Framework: quoted names, path patterns, hash bins. */
#ifndef COVEY_TRUST_TUF_TEXT_H
#define COVEY_TRUST_TUF_TEXT_H

#include "base/buffer.h"

/* Appends one segment of a URL: all but letters, digits and "-._~" percent-encoded. */
covey_status covey__tuf_quote_segment(covey__buffer *out, const char *text);
/* The same with what a path may hold ('/' and RFC 3986's pchar) left as it is. */
covey_status covey__tuf_quote_path(covey__buffer *out, const char *text);

/* A name in a local folder for any name from outside, NUL-terminated: small letters, digits and
 * "-_." stand (but a leading dot), all else is percent-encoded, so names that differ stay apart
 * where the file system ignores case. A name that would be too long becomes "%_" and its SHA-256.
 */
#define COVEY__TUF_LOCAL_SIZE 200
void covey__tuf_local_name(const char *name, char out[COVEY__TUF_LOCAL_SIZE]);

/* Shell patterns over '/'-separated segments: '*', '?' and '[...]' match within one, and the number
 * of segments must agree. */
bool covey__tuf_glob(const char *pattern, const char *name);

/* The name of the hash bin that speaks for a target (TAP 15): PREFIX-HEX. LIMIT or NO_MEMORY. */
covey_status covey__tuf_bin_name(covey__buffer *out, const char *prefix, uint32_t bits,
                                 const char *target);

#endif
