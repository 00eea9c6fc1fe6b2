/* The coded stream of a frame: all its parts of kind 3, one after the other. Puts the tensor model
 * (delta/patch_tensor.h) and the entropy coder (delta/lane_coder.h) together, so that nothing else
 * of the container knows them. */
#ifndef COVEY_DELTA_PATCH_STREAM_H
#define COVEY_DELTA_PATCH_STREAM_H

#include "base/buffer.h"
#include "delta/patch_head.h"
#include "delta/patch_tensor.h"

#define COVEY__STREAM_PAST 64 /* bytes behind a stream that must be readable, of any value */

/* Bytes of a block of a type that has a coder, else 0; and of a row, 0 where a row is no whole
 * number of blocks. */
uint32_t covey__stream_block_bytes(uint32_t type);
uint64_t covey__stream_row_bytes(uint32_t type, uint64_t columns);

/* --- Decoding --- */

typedef struct covey__stream_reader covey__stream_reader;

/* `head` is borrowed until free. FORMAT when its tables or factors cannot be. */
covey_status covey__stream_reader_new(const covey__env *env, const covey__patch_head *head,
                                      covey__stream_reader **reader,
                                      covey_error *error) COVEY_MUST_USE;
void covey__stream_reader_free(covey__stream_reader *reader); /* NULL is allowed */
/* A frame's stream, borrowed until end; then its parts in order; then end, which holds that the
 * stream ended where the parts did. */
covey_status covey__stream_reader_begin(covey__stream_reader *reader, const uint8_t *data,
                                        size_t size, covey_error *error) COVEY_MUST_USE;
covey_status covey__stream_reader_part(covey__stream_reader *reader, const covey__patch_part *part,
                                       const uint8_t *old, uint8_t *fresh,
                                       covey_error *error) COVEY_MUST_USE;
covey_status covey__stream_reader_end(covey__stream_reader *reader,
                                      covey_error *error) COVEY_MUST_USE;

/* --- Encoding --- */

typedef struct covey__stream_writer covey__stream_writer;

/* A part of a tensor in both files. */
typedef struct covey__stream_part {
    uint8_t type;
    const uint8_t *old, *fresh;
    size_t size; /* a whole number of blocks */
    uint8_t starts[COVEY__PATCH_STREAMS];
    const covey__tensor_factor *factor; /* NULL: none */
    uint32_t first_row;
} covey__stream_part;

covey_status covey__stream_writer_new(const covey__env *env, covey__stream_writer **writer,
                                      covey_error *error) COVEY_MUST_USE;
void covey__stream_writer_free(covey__stream_writer *writer); /* NULL is allowed */
/* First the starts of all parts; then parts are counted, all or a fair sample; then tables are
 * fitted to the counts; then each frame's parts are recorded, and end appends the stream. */
covey_status covey__stream_writer_starts(covey__stream_writer *writer, covey__stream_part *part,
                                         covey_error *error) COVEY_MUST_USE;
covey_status covey__stream_writer_count(covey__stream_writer *writer,
                                        const covey__stream_part *part,
                                        covey_error *error) COVEY_MUST_USE;
void covey__stream_writer_fit(covey__stream_writer *writer);
/* The fitted table sets, by rising ids: false beyond the last. */
bool covey__stream_writer_table(const covey__stream_writer *writer, size_t index,
                                covey__patch_table *table);
covey_status covey__stream_writer_part(covey__stream_writer *writer, const covey__stream_part *part,
                                       covey_error *error) COVEY_MUST_USE;
/* LIMIT where the parts take so many symbols that storing them is better: nothing is appended then.
 * `bytes` gets for each part since the last end about how many of the stream are its. */
covey_status covey__stream_writer_end(covey__stream_writer *writer, covey__buffer *out,
                                      uint32_t *bytes, covey_error *error) COVEY_MUST_USE;

#endif
