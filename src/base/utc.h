/* Times in documents: "2026-11-20T10:00:00Z" (RFC 3339, UTC, whole seconds), as TUF and our own
 * formats write them. */
#ifndef COVEY_BASE_UTC_H
#define COVEY_BASE_UTC_H

#include <stdbool.h>
#include <stdint.h>

#define COVEY__UTC_SIZE 21 /* with its NUL */

/* Milliseconds since 1970; false for anything but that form, or a day that no month has. Years 1970
 * to 9999. A leap second is not accepted. */
bool covey__utc_parse(const char *text, int64_t *ms);
/* The second that `ms` is in; what is outside of the years 1970 to 9999 becomes the nearest end. */
void covey__utc_format(int64_t ms, char out[COVEY__UTC_SIZE]);

#endif
