/* The draw that puts a device into a cohort or leaves it out (docs/api.md, "Who is offered what").
 * Pure functions: the same salt and id give the same draw on a device and on every node. */
#include "bundle/draw.h"

#include "base/sha256.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t covey__cohort_draw(const uint8_t salt[16], const char *device_id) {
    uint8_t digest[32];
    covey__sha256 hash;
    covey__sha256_init(&hash);
    covey__sha256_update(&hash, salt, 16);
    covey__sha256_update(&hash, device_id, strlen(device_id));
    covey__sha256_final(&hash, digest);
    uint64_t draw = 0;
    for (int i = 0; i < 8; i++) draw = draw << 8 | digest[i];
    return draw;
}

bool covey__cohort_within(uint64_t draw, int64_t percent_milli) {
    if (percent_milli >= COVEY__PERCENT_ALL) return true;
    if (percent_milli <= 0) return false;
    /* floor(draw * 100000 / 2^64), exactly, without 128-bit arithmetic. */
    uint64_t low = (draw & UINT32_MAX) * COVEY__PERCENT_ALL >> 32;
    uint64_t place = ((draw >> 32) * COVEY__PERCENT_ALL + low) >> 32;
    return place < (uint64_t)percent_milli;
}

bool covey__percent_parse(const char *text, int64_t *milli) {
    int64_t whole = 0, part = 0;
    size_t i = 0, decimals = 0;
    for (; text[i] >= '0' && text[i] <= '9'; i++) {
        whole = whole * 10 + (text[i] - '0');
        if (whole > 100) return false;
    }
    if (i == 0) return false;
    if (text[i] == '.') {
        for (i++; text[i] >= '0' && text[i] <= '9'; i++, decimals++) {
            if (decimals >= 3 && text[i] != '0') return false;
            if (decimals < 3) part = part * 10 + (text[i] - '0');
        }
        if (decimals == 0) return false;
        for (; decimals < 3; decimals++) part *= 10;
    }
    if (text[i] != '\0') return false;
    *milli = whole * 1000 + part;
    return *milli <= COVEY__PERCENT_ALL;
}

void covey__percent_format(int64_t milli, char out[16]) {
    int size = snprintf(out, 16, "%" PRId64 ".%03" PRId64, milli / 1000, milli % 1000);
    while (size > 0 && out[size - 1] == '0') out[--size] = '\0';
    if (size > 0 && out[size - 1] == '.') out[--size] = '\0';
}
