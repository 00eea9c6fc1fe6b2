/* Cohorts by a salted hash, and the percentages that bound them: for rollouts and for steering. */
#ifndef COVEY_BUNDLE_DRAW_H
#define COVEY_BUNDLE_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#define COVEY__PERCENT_ALL 100000 /* thousandths of a percent */

/* The device's place in a cohort, as a fraction of 2^64: it is in when this is below the
 * percentage. Depends on salt and id alone, so a higher percentage only adds devices. */
uint64_t covey__cohort_draw(const uint8_t salt[16], const char *device_id);
bool covey__cohort_within(uint64_t draw, int64_t percent_milli);

/* Thousandths of a percent from a decimal number as written ("12.5"); false when it is none, is
 * outside of 0 to 100, or has more than three decimals. Back: "12.5". */
bool covey__percent_parse(const char *text, int64_t *milli);
void covey__percent_format(int64_t milli, char out[16]);

#endif
