/* The patch coder's encoder, and how its streams begin and end. A lane's state x is at least 2^16.
 * Coding the symbol whose slots are start to start + f - 1 makes x into
 * (x / f) 2^15 + start + x mod f, after a word was given away where that would pass 2^32: where x
 * is at least 2^17 f. The decoder undoes this in the opposite order, so the encoder goes through
 * the records from the last to the first, lane 31 before lane 0, and its words are turned round at
 * the end.
 *
 * A record is a step's symbols, (table << 2 | symbol) for each active lane in rising order, and
 * then the mask, which a reader from behind comes to first. */
#include "delta/lane_coder.h"

#include <string.h>

#include "base/error.h"

#define RECORD_STEP ((COVEY__LANES + 1) * 4)

static uint32_t read32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void write32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

covey_status covey__lane_decoder_init(covey__lane_decoder *decoder, const uint8_t *stream,
                                      size_t size, covey_error *error) {
    if (size < COVEY__LANE_HEAD || size % 2 != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "coder: a stream of %zu bytes; 128 for the states and 2 a word expected",
                           size);
    for (int i = 0; i < COVEY__LANES; i++) {
        decoder->state[i] = read32(stream + 4 * i);
        if (decoder->state[i] < COVEY__LANE_STATE)
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "coder: lane %d begins with %u, which is below 65536", i,
                               (unsigned)decoder->state[i]);
    }
    decoder->at = stream + COVEY__LANE_HEAD;
    decoder->end = stream + size;
    decoder->over = false;
    return COVEY_OK;
}

covey_status covey__lane_decoder_finish(const covey__lane_decoder *decoder, covey_error *error) {
    if (decoder->over)
        return covey__fail(error, COVEY_ERROR_FORMAT, "coder: the stream ends too early");
    if (decoder->at != decoder->end)
        return covey__fail(error, COVEY_ERROR_FORMAT, "coder: %zu bytes are left behind the end",
                           (size_t)(decoder->end - decoder->at));
    for (int i = 0; i < COVEY__LANES; i++)
        if (decoder->state[i] != COVEY__LANE_STATE)
            return covey__fail(error, COVEY_ERROR_FORMAT, "coder: lane %d ends with %u, not 65536",
                               i, (unsigned)decoder->state[i]);
    return COVEY_OK;
}

void covey__lane_encoder_init(covey__lane_encoder *encoder, const covey__env *env,
                              size_t record_bytes_max) {
    covey__buffer_init(&encoder->records, env, record_bytes_max);
    covey__buffer_init(&encoder->words, env, record_bytes_max);
    encoder->symbols = 0;
    encoder->counts = NULL;
    encoder->deaf = false;
}

void covey__lane_encoder_free(covey__lane_encoder *encoder) {
    covey__buffer_free(&encoder->records);
    covey__buffer_free(&encoder->words);
    encoder->symbols = 0;
}

void covey__lane_encoder_clear(covey__lane_encoder *encoder) {
    covey__buffer_clear(&encoder->records);
    covey__buffer_clear(&encoder->words);
    encoder->symbols = 0;
}

void covey__lane_encoder_step(covey__lane_encoder *encoder, uint32_t base,
                              const uint16_t context[COVEY__LANES], uint32_t mask,
                              const uint8_t symbol[COVEY__LANES]) {
    if (mask == 0 || encoder->deaf) return;
    if (encoder->counts != NULL) {
        covey__lane_count(encoder->counts + base, context, mask, symbol);
        return;
    }
    char *room = covey__buffer_reserve(&encoder->records, RECORD_STEP);
    if (room == NULL) return;
    uint32_t record[COVEY__LANES + 1];
    uint32_t count = 0;
    if (mask == UINT32_MAX) {
        for (; count < COVEY__LANES; count++)
            record[count] = (base + context[count]) << 2 | symbol[count];
    } else {
        for (uint32_t left = mask; left != 0; left &= left - 1) {
            int lane = __builtin_ctz(left);
            record[count++] = (base + context[lane]) << 2 | symbol[lane];
        }
    }
    encoder->symbols += count;
    record[count++] = mask;
    memcpy(room, record, count * 4);
    encoder->records.size += count * 4;
}

static uint32_t record_at(const char *records, size_t index) {
    uint32_t value;
    memcpy(&value, records + 4 * index, 4);
    return value;
}

void covey__lane_encoder_count(const covey__lane_encoder *encoder, uint32_t (*counts)[4],
                               size_t contexts) {
    const char *records = encoder->records.data;
    for (size_t at = encoder->records.size / 4; at > 0;) {
        uint32_t mask = record_at(records, --at);
        for (int n = __builtin_popcount(mask); n > 0; n--) {
            uint32_t record = record_at(records, --at);
            if (record >> 2 < contexts) counts[record >> 2][record & 3]++;
        }
    }
}

/* What coding a symbol needs. x / f is x * reciprocal >> 47 with reciprocal = ceil(2^47 / f): the
 * product is too large by less than x f, which is below 2^47 as x < 2^32 and f < 2^15, so the
 * quotient is exact; and with x < 2^17 f and f < 2^15 it stays below 2^64. */
typedef struct lane_code {
    uint64_t reciprocal;
    uint32_t limit; /* 2^17 f */
    uint16_t start;
    uint16_t rest; /* 2^15 - f */
} lane_code;

/* The four codes of each table; NULL where memory ran out. */
static lane_code *make_codes(const covey__env *env, const covey__lane_table *tables,
                             size_t contexts) {
    lane_code *codes = covey__calloc(env, contexts + 1, 4 * sizeof *codes);
    if (codes == NULL) return NULL;
    for (size_t i = 0; i < contexts; i++) {
        uint32_t start = 0;
        for (size_t s = 0; s < 4; s++) {
            uint32_t f = tables[i].end[s] - start;
            codes[4 * i + s] = (lane_code){((1ull << 47) + f - 1) / f, f << 17, (uint16_t)start,
                                           (uint16_t)(32768 - f)};
            start = tables[i].end[s];
        }
    }
    return codes;
}

static inline uint8_t *code_symbol(const lane_code *code, uint32_t *state, uint8_t *out) {
    uint32_t x = *state, full = x >= code->limit;
    out[0] = (uint8_t)x;
    out[1] = (uint8_t)(x >> 8);
    out += 2 * full;
    x >>= 16 * full;
    uint32_t quotient = (uint32_t)(x * code->reciprocal >> 47);
    *state = x + code->start + quotient * code->rest;
    return out;
}

/* The words of all records, last first. */
static covey_status code_records(covey__lane_encoder *encoder, const lane_code *codes,
                                 size_t contexts, uint32_t state[COVEY__LANES]) {
    const char *records = encoder->records.data;
    for (size_t at = encoder->records.size / 4; at > 0;) {
        uint8_t *room = (uint8_t *)covey__buffer_reserve(&encoder->words, 2 * COVEY__LANES + 2);
        if (room == NULL) return encoder->words.status;
        uint8_t *out = room;
        uint32_t mask = record_at(records, --at);
        if (mask == UINT32_MAX) {
            at -= COVEY__LANES;
            for (uint32_t lane = COVEY__LANES; lane-- > 0;) {
                uint32_t record = record_at(records, at + lane);
                if (record >> 2 >= contexts) return COVEY_ERROR_INVALID_ARGUMENT;
                out = code_symbol(&codes[record], &state[lane], out);
            }
        } else {
            for (; mask != 0;) {
                uint32_t lane = 31u - (uint32_t)__builtin_clz(mask);
                mask ^= 1u << lane;
                uint32_t record = record_at(records, --at);
                if (record >> 2 >= contexts) return COVEY_ERROR_INVALID_ARGUMENT;
                out = code_symbol(&codes[record], &state[lane], out);
            }
        }
        encoder->words.size += (size_t)(out - room);
    }
    return COVEY_OK;
}

static void append_turned(covey__buffer *out, const covey__buffer *words,
                          const uint32_t state[COVEY__LANES]) {
    uint8_t *room = (uint8_t *)covey__buffer_reserve(out, COVEY__LANE_HEAD + words->size);
    if (room == NULL) return;
    for (int i = 0; i < COVEY__LANES; i++) write32(room + 4 * i, state[i]);
    room += COVEY__LANE_HEAD;
    for (size_t at = words->size; at > 0; at -= 2, room += 2) memcpy(room, words->data + at - 2, 2);
    out->size += COVEY__LANE_HEAD + words->size;
    out->data[out->size] = '\0';
}

covey_status covey__lane_encoder_finish(covey__lane_encoder *encoder,
                                        const covey__lane_table *tables, size_t contexts,
                                        covey__buffer *out, covey_error *error) {
    covey_status status = covey__buffer_check(&encoder->records, error, "coder: records");
    if (status != COVEY_OK) return status;
    const covey__env *env = encoder->records.env;
    lane_code *codes = make_codes(env, tables, contexts);
    if (codes == NULL)
        return covey__no_memory(error, "coder: codes", contexts * 4 * sizeof(lane_code));
    uint32_t state[COVEY__LANES];
    for (int i = 0; i < COVEY__LANES; i++) state[i] = COVEY__LANE_STATE;
    covey__buffer_clear(&encoder->words);
    status = code_records(encoder, codes, contexts, state);
    if (status == COVEY_ERROR_INVALID_ARGUMENT) {
        status = covey__fail(error, status, "coder: a step names a table beyond %zu", contexts);
    } else if (status != COVEY_OK) {
        status = covey__buffer_check(&encoder->words, error, "coder: words");
    } else {
        append_turned(out, &encoder->words, state);
        status = covey__buffer_check(out, error, "coder: stream");
    }
    covey__free(env, codes);
    return status;
}

covey__lane_run_fn covey__lane_run_get(covey__isa isa) {
#if defined(__x86_64__)
    if (isa == COVEY__ISA_AVX512 && covey__cpu_read().avx512_vbmi2) return covey__lane_run_vbmi2;
    if (isa == COVEY__ISA_AVX512 || isa == COVEY__ISA_AVX2 || isa == COVEY__ISA_AVX_VNNI)
        return covey__lane_run_avx2;
#elif defined(__aarch64__) && defined(__AARCH64EL__)
    if (isa == COVEY__ISA_NEON || isa == COVEY__ISA_NEON_DOTPROD || isa == COVEY__ISA_NEON_I8MM)
        return covey__lane_run_neon;
#endif
    (void)isa;
    return covey__lane_run_scalar;
}

/* For bit i of m: twice the number of set bits below it, and the byte after; or none. */
#define PLACE(m, i, b)                                                                             \
    (uint8_t)((m) >> (i)&1 ? 2 * __builtin_popcount((m) & ((1 << (i)) - 1)) + (b) : 0x80)
#define PLACES(m, i) PLACE(m, i, 0), PLACE(m, i, 1)
#define ENTRY(m)                                                                                   \
    {                                                                                              \
        PLACES(m, 0), PLACES(m, 1), PLACES(m, 2), PLACES(m, 3), PLACES(m, 4), PLACES(m, 5),        \
            PLACES(m, 6), PLACES(m, 7)                                                             \
    }
#define ENTRIES4(m)  ENTRY(m), ENTRY((m) + 1), ENTRY((m) + 2), ENTRY((m) + 3)
#define ENTRIES16(m) ENTRIES4(m), ENTRIES4((m) + 4), ENTRIES4((m) + 8), ENTRIES4((m) + 12)
#define ENTRIES64(m) ENTRIES16(m), ENTRIES16((m) + 16), ENTRIES16((m) + 32), ENTRIES16((m) + 48)
const uint8_t covey__lane_spread[256][16] = {ENTRIES64(0), ENTRIES64(64), ENTRIES64(128),
                                             ENTRIES64(192)};
