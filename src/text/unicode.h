/* What Unicode says of single code points beyond their class: other cases, and what is left without
 * accents. Tables: unicode_tables.h. */
#ifndef COVEY_TEXT_UNICODE_H
#define COVEY_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The lower-case form (UnicodeData.txt's simple mapping), or `code` itself. */
uint32_t covey__unicode_lower(uint32_t code);

/* The upper-case form with SpecialCasing.txt's longer ones (ß becomes SS): one to three code
 * points; returns how many. */
size_t covey__unicode_upper(uint32_t code, uint32_t upper[3]);

/* The canonical decomposition without nonspacing marks (Mn): e for é, nothing for U+0301. Writes
 * up to three code points and returns how many. */
size_t covey__unicode_bare(uint32_t code, uint32_t bare[3]);

#endif
