/* How codes of 4, 5 and 2 bits are packed in blocks, and 16-bit numbers. */
#ifndef COVEY_DELTA_TENSOR_CODES_H
#define COVEY_DELTA_TENSOR_CODES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t get16(const uint8_t *data) {
    return (uint16_t)(data[0] | data[1] << 8);
}

static inline void put16(uint8_t *data, uint16_t value) {
    data[0] = (uint8_t)value;
    data[1] = (uint8_t)(value >> 8);
}

/* 16 bytes: low nibbles are codes 0 to 15, high ones 16 to 31. */
static inline void take_nibbles(const uint8_t *q, int8_t zero, int8_t *codes) {
    for (int i = 0; i < 16; i++) {
        codes[i] = (int8_t)((q[i] & 15) - zero);
        codes[16 + i] = (int8_t)((q[i] >> 4) - zero);
    }
}

static inline void put_nibbles(const int8_t *codes, int8_t zero, uint8_t *q) {
    for (int i = 0; i < 16; i++)
        q[i] = (uint8_t)(((codes[i] + zero) & 15) | ((codes[16 + i] + zero) & 15) << 4);
}

static inline void take_fifth(const uint8_t *high, int8_t *codes) {
    for (int i = 0; i < 32; i++)
        codes[i] = (int8_t)(codes[i] + (((high[i / 8] >> (i % 8)) & 1) << 4));
}

static inline void put_fifth(const int8_t *codes, int8_t zero, uint8_t *high) {
    memset(high, 0, 4);
    for (int i = 0; i < 32; i++)
        high[i / 8] |= (uint8_t)((((codes[i] + zero) >> 4) & 1) << (i % 8));
}

/* 32 bytes hold two runs of 32 codes: K types of four bits. */
static inline void take_runs(const uint8_t *q, int8_t *codes) {
    for (int j = 0; j < 4; j++, q += 32, codes += 64)
        for (int i = 0; i < 32; i++) {
            codes[i] = (int8_t)(q[i] & 15);
            codes[32 + i] = (int8_t)(q[i] >> 4);
        }
}

static inline void put_runs(const int8_t *codes, uint8_t *q) {
    for (int j = 0; j < 4; j++, q += 32, codes += 64)
        for (int i = 0; i < 32; i++) q[i] = (uint8_t)((codes[i] & 15) | (codes[32 + i] & 15) << 4);
}

/* 32 bytes hold four runs of 32 codes of two bits. */
static inline void take_pairs(const uint8_t *q, int8_t *codes) {
    for (int half = 0; half < 2; half++, q += 32)
        for (int j = 0; j < 4; j++, codes += 32)
            for (int i = 0; i < 32; i++) codes[i] = (int8_t)((q[i] >> (2 * j)) & 3);
}

static inline void put_pairs(const int8_t *codes, uint8_t *q) {
    for (int half = 0; half < 2; half++, q += 32, codes += 128)
        for (int i = 0; i < 32; i++)
            q[i] = (uint8_t)((codes[i] & 3) | (codes[32 + i] & 3) << 2 | (codes[64 + i] & 3) << 4 |
                             (codes[96 + i] & 3) << 6);
}

#endif
