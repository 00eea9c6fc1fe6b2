/* The entropy coder under patches: 32 rANS lanes over four symbols (docs/formats/patch.md, "The
 * coder"). Here are the decoder's state between loops and the whole encoder; the step that decodes
 * stands in lane_step_scalar.h and its like, one for each instruction set, since a model's loop
 * wants it inlined. Multi-byte numbers of a stream are little-endian on every machine. */
#ifndef COVEY_DELTA_LANE_CODER_H
#define COVEY_DELTA_LANE_CODER_H

#include "base/buffer.h"
#include "base/cpu.h"
#include "delta/lane_table.h"

#define COVEY__LANES      32
#define COVEY__LANE_STATE 65536u /* the least state, and that of each lane at the end */
#define COVEY__LANE_HEAD  128    /* bytes of the states that a stream begins with */
#define COVEY__LANE_PAST  64     /* bytes behind a stream that must be readable */

/* A step takes at most a word a lane, 64 bytes in all, and never begins behind `end`: so it reads
 * no further than COVEY__LANE_PAST behind it. */
typedef struct covey__lane_decoder {
    alignas(64) uint32_t state[COVEY__LANES];
    const uint8_t *at, *end; /* the words that are left; at any address */
    bool over;               /* steps took more words than there are: what they gave is noise */
} covey__lane_decoder;

/* Begins to decode `size` bytes, which are borrowed, with COVEY__LANE_PAST readable ones (of any
 * value) behind them. FORMAT where no stream can look so. */
covey_status covey__lane_decoder_init(covey__lane_decoder *decoder, const uint8_t *stream,
                                      size_t size, covey_error *error) COVEY_MUST_USE;
/* FORMAT unless every word was taken and each lane came back to where the encoder began. */
covey_status covey__lane_decoder_finish(const covey__lane_decoder *decoder,
                                        covey_error *error) COVEY_MUST_USE;

/* How words go to the lanes that want one: entry m is for the mask m of eight lanes and has for
 * each lane the places of its word's two bytes within the eight next words, or 0x80 for none. */
extern const uint8_t covey__lane_spread[256][16];

/* The encoder: rANS runs backwards, so steps are recorded first and coded by `finish`. */
typedef struct covey__lane_encoder {
    covey__buffer records; /* 4 bytes a symbol, and 4 a step */
    covey__buffer words;   /* what finish makes, last word first */
    uint64_t symbols;      /* recorded */
    uint32_t (*counts)[4]; /* borrowed: steps are counted here, by table, and not recorded */
    bool deaf;             /* steps are dropped */
} covey__lane_encoder;

/* `record_bytes_max` bounds the records. */
void covey__lane_encoder_init(covey__lane_encoder *encoder, const covey__env *env,
                              size_t record_bytes_max);
void covey__lane_encoder_free(covey__lane_encoder *encoder);
void covey__lane_encoder_clear(covey__lane_encoder *encoder); /* keeps memory */
/* Records a step: lane i, where bit i of the mask is set, has symbol[i] (0 to 3) under the table
 * base + context[i], which is below 2^30. Failures show in `finish`. */
void covey__lane_encoder_step(covey__lane_encoder *encoder, uint32_t base,
                              const uint16_t context[COVEY__LANES], uint32_t mask,
                              const uint8_t symbol[COVEY__LANES]);
/* Adds how often each symbol stands under each of the first `contexts` tables. */
void covey__lane_encoder_count(const covey__lane_encoder *encoder, uint32_t (*counts)[4],
                               size_t contexts);
/* Appends the stream of all recorded steps to `out`. `contexts` is the number of tables; a step
 * that named another is our mistake (INVALID_ARGUMENT). The records stay, to be coded with other
 * tables. */
covey_status covey__lane_encoder_finish(covey__lane_encoder *encoder,
                                        const covey__lane_table *tables, size_t contexts,
                                        covey__buffer *out, covey_error *error) COVEY_MUST_USE;

/* As covey__lane_encoder_count for a step that is not recorded. */
static inline void covey__lane_count(uint32_t (*counts)[4], const uint16_t context[COVEY__LANES],
                                     uint32_t mask, const uint8_t symbol[COVEY__LANES]) {
    for (; mask != 0; mask &= mask - 1) {
        int lane = __builtin_ctz(mask);
        counts[context[lane]][symbol[lane]]++;
    }
}

/* The coder without a model, for tests and benches: `steps` steps, each with a mask and 32 symbols
 * to be filled in. With `pair` step i has tables[row[2 i]] and tables[row[2 i + 1]], else with
 * `rows` 32 columns of rows[row[2 i]] and rows[row[2 i + 1]], else 32 contexts of `tables`. */
typedef struct covey__lane_run {
    const covey__lane_table *tables;
    const covey__lane_row *rows;
    const uint16_t *row;
    bool pair;
    const uint16_t *contexts;
    const uint8_t *columns;
    const uint32_t *masks;
    uint8_t *symbols;
    uint32_t *found; /* two a step: lanes with another symbol than 0, and with 3; or NULL */
    size_t steps;
} covey__lane_run;
typedef void (*covey__lane_run_fn)(covey__lane_decoder *decoder, const covey__lane_run *run);
covey__lane_run_fn covey__lane_run_get(covey__isa isa);
void covey__lane_run_scalar(covey__lane_decoder *decoder, const covey__lane_run *run);
void covey__lane_run_avx2(covey__lane_decoder *decoder, const covey__lane_run *run);
void covey__lane_run_vbmi2(covey__lane_decoder *decoder, const covey__lane_run *run);
void covey__lane_run_neon(covey__lane_decoder *decoder, const covey__lane_run *run);

#endif
