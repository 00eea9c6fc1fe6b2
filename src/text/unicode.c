/* Look-ups in the tables of cases and decompositions, all by bisection: text is mostly ASCII, which
 * never comes here, and a table of bytes for each code point would be large. Hangul syllables
 * decompose by arithmetic (The Unicode Standard, section 3.12). */
#include "text/unicode.h"

#include "text/unicode_tables.h"

/* `code` moved by the range that holds it; `code` where none does. */
static uint32_t other_case(const covey__case_range *ranges, size_t count, uint32_t code) {
    size_t low = 0, high = count; /* the last range that begins at or before `code` is below high */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].first <= code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return code;
    }
    const covey__case_range *range = &ranges[low - 1];
    uint32_t away = code - range->first;
    bool inside = away % range->step == 0 && away / range->step < range->count;
    return inside ? (uint32_t)((int64_t)code + range->delta) : code;
}

uint32_t covey__unicode_lower(uint32_t code) {
    if (code < 0x80) {
        return code >= 'A' && code <= 'Z' ? code + 32 : code;
    }
    return other_case(covey__unicode_lower_ranges, covey__unicode_lower_count, code);
}

size_t covey__unicode_upper(uint32_t code, uint32_t upper[3]) {
    if (code < 0x80) {
        upper[0] = code >= 'a' && code <= 'z' ? code - 32 : code;
        return 1;
    }
    for (size_t i = 0; i < covey__unicode_long_upper_count; i++) {
        const covey__long_upper *found = &covey__unicode_long_upper[i];
        if (found->code == code) {
            upper[0] = found->upper[0];
            upper[1] = found->upper[1];
            upper[2] = found->upper[2];
            return upper[2] ? 3 : 2;
        }
    }
    upper[0] = other_case(covey__unicode_upper_ranges, covey__unicode_upper_count, code);
    return 1;
}

static size_t bare_hangul(uint32_t syllable, uint32_t bare[3]) {
    uint32_t tail = syllable % 28;
    bare[0] = 0x1100 + syllable / (21 * 28);
    bare[1] = 0x1161 + syllable % (21 * 28) / 28;
    bare[2] = 0x11A7 + tail;
    return tail ? 3 : 2;
}

static size_t bare_near(uint32_t code, uint32_t bare[3]) {
    for (size_t low = 0, high = covey__unicode_near_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        uint32_t there = covey__unicode_near[middle][0];
        if (there == code) {
            bare[0] = covey__unicode_near[middle][1];
            return 1;
        }
        low = there < code ? middle + 1 : low;
        high = there < code ? high : middle;
    }
    return 0;
}

static size_t bare_far(uint32_t code, uint32_t bare[3]) {
    size_t low = 0, high = covey__unicode_far_count, count = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (covey__unicode_far[middle][0] < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < covey__unicode_far_count && covey__unicode_far[low][0] == code && count < 3;
         low++) {
        bare[count++] = covey__unicode_far[low][1];
    }
    return count;
}

size_t covey__unicode_bare(uint32_t code, uint32_t bare[3]) {
    if (code < 0xC0) {
        bare[0] = code;
        return 1;
    }
    if (code >= 0xAC00 && code <= 0xD7A3) {
        return bare_hangul(code - 0xAC00, bare);
    }
    if (covey__unicode_look_up(code) == COVEY__CLASS_NONSPACING) {
        return 0;
    }
    size_t count = code < 0x10000 ? bare_near(code, bare) : 0;
    count = count ? count : bare_far(code, bare);
    if (count == 0) {
        bare[count++] = code;
    }
    return count;
}
