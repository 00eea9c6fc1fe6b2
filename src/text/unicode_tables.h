/* The tables that tools/unicode-tables writes into the build folder from Unicode's files, and the
 * look-up of classes for those who need it inline. What reads the others is unicode.c. */
#ifndef COVEY_TEXT_UNICODE_TABLES_H
#define COVEY_TEXT_UNICODE_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* What the class table holds: covey__unicode_class in more parts. */
enum {
    COVEY__CLASS_NONE = 0,        /* not assigned */
    COVEY__CLASS_LETTER = 1,      /* Lo, Lm */
    COVEY__CLASS_NUMBER = 2,      /* N */
    COVEY__CLASS_SPACE = 3,       /* White_Space */
    COVEY__CLASS_MARK = 4,        /* Mc, Me */
    COVEY__CLASS_PUNCTUATION = 5, /* P */
    COVEY__CLASS_SYMBOL = 6,      /* S */
    COVEY__CLASS_UPPER = 7,       /* Lu, Lt */
    COVEY__CLASS_LOWER = 8,       /* Ll */
    COVEY__CLASS_CONTROL = 9,     /* Cc, Cf, Co, Cs */
    COVEY__CLASS_NONSPACING = 10  /* Mn */
};

/* `count` code points from `first` on, `step` apart, have their other case `delta` away. */
typedef struct covey__case_range {
    uint32_t first : 18, count : 12, step : 2;
    int32_t delta;
} covey__case_range;

typedef struct covey__long_upper {
    uint16_t code;
    uint16_t upper[3];
} covey__long_upper;

/* Classes: the row of 1,024 code points, in it the block of 32, and in that two a byte. */
extern const uint8_t covey__unicode_index[1088];
extern const uint16_t covey__unicode_rows[][32];
extern const uint8_t covey__unicode_blocks[][16];
/* Code point, and what is left of its decomposition: one below U+10000 in `near`, else one to three
 * in `far`, a row each. Both sorted. */
extern const uint16_t covey__unicode_near[][2];
extern const size_t covey__unicode_near_count;
extern const uint32_t covey__unicode_far[][2];
extern const size_t covey__unicode_far_count;
extern const covey__case_range covey__unicode_lower_ranges[]; /* sorted, one behind the other */
extern const size_t covey__unicode_lower_count;
extern const covey__case_range covey__unicode_upper_ranges[];
extern const size_t covey__unicode_upper_count;
extern const covey__long_upper covey__unicode_long_upper[];
extern const size_t covey__unicode_long_upper_count;

static inline uint8_t covey__unicode_look_up(uint32_t code) {
    if (code > 0x10FFFF) {
        return COVEY__CLASS_NONE;
    }
    uint16_t block = covey__unicode_rows[covey__unicode_index[code >> 10]][code >> 5 & 31];
    uint8_t pair = covey__unicode_blocks[block][(code & 31) >> 1];
    return code & 1 ? pair >> 4 : pair & 15;
}

#endif
