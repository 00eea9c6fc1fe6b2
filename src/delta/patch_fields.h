/* Little-endian numbers of a patch's head, and the constants that reader and writer share. */
#ifndef COVEY_DELTA_PATCH_FIELDS_H
#define COVEY_DELTA_PATCH_FIELDS_H

#include <stdint.h>
#include <string.h>

#define COVEY__PATCH_MAGIC      "COVEYPAT"
#define COVEY__PATCH_FRAME_ITEM 24u  /* bytes of a frame's entry */
#define COVEY__PATCH_STATES     128u /* bytes that a coder's stream has at least */

static inline uint32_t covey__patch_u16(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8;
}
static inline uint32_t covey__patch_u32(const uint8_t *bytes) {
    return covey__patch_u16(bytes) | covey__patch_u16(bytes + 2) << 16;
}
static inline uint64_t covey__patch_u64(const uint8_t *bytes) {
    return (uint64_t)covey__patch_u32(bytes) | (uint64_t)covey__patch_u32(bytes + 4) << 32;
}
static inline float covey__patch_f32(const uint8_t *bytes) {
    uint32_t bits = covey__patch_u32(bytes);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
/* The lowest `size` bytes of `value`. */
static inline void covey__patch_put(uint8_t *bytes, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

#endif
