/* Semantic versions (semver.org 2.0.0) and ranges such as ">=1.2.0 <2.0.0". */
#ifndef COVEY_BASE_SEMVER_H
#define COVEY_BASE_SEMVER_H

#include <stdbool.h>

bool covey__semver_valid(const char *text);
/* Below, equal, above: -1, 0, 1 by precedence. Both must be valid. */
int covey__semver_compare(const char *a, const char *b);
/* A range is one or more comparators (<, <=, >, >=, =) joined by spaces, all of which must hold;
 * "*" is any. */
bool covey__semver_range_valid(const char *range);
bool covey__semver_in_range(const char *version, const char *range);

#endif
