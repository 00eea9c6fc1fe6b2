/* The generated tables behind covey__unicode_class_of, and the look-up for those who need it
 * inline.
 */
#ifndef COVEY_TEXT_UNICODE_TABLES_H
#define COVEY_TEXT_UNICODE_TABLES_H

#include <stdint.h>

extern const uint8_t covey__unicode_index[4352];
extern const uint8_t covey__unicode_blocks[][128];

static inline uint8_t covey__unicode_look_up(uint32_t code) {
    if (code > 0x10FFFF) {
        return 0;
    }
    uint8_t pair = covey__unicode_blocks[covey__unicode_index[code >> 8]][(code & 255) >> 1];
    return code & 1 ? pair >> 4 : pair & 15;
}

#endif
