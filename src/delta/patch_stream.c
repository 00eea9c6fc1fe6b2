/* The stream of a frame's parts of kind 3: the tensor model gives symbols and contexts, the lane
 * coder turns them into words. One coder serves a whole patch, its table sets are the head's.
 * Neighbours: patch_tensor.c, lane_coder.c; patch_apply.c reads, patch_make.c writes. */
#include "delta/patch_stream.h"

#include "base/error.h"
#include "delta/patch_fields.h"
#include "delta/patch_tensor.h"
#include "delta/tensor_blocks.h"

#include <string.h>

/* Steps of a frame that are kept until they are coded. More than this is noise, which the container
 * stores in another way. */
#define RECORD_BYTES_MAX  (48u << 20)
#define RECORD_BYTES_KEPT (16u << 20) /* between frames */

uint32_t covey__stream_block_bytes(uint32_t type) {
    return type > UINT8_MAX ? 0 : (uint32_t)covey__tensor_block_bytes((uint8_t)type);
}

uint64_t covey__stream_row_bytes(uint32_t type, uint64_t columns) {
    const covey__block_layout *layout = covey__block_layout_get(type);
    if (layout == NULL || layout->has_codebook || columns % layout->weights != 0) return 0;
    return columns / layout->weights * layout->bytes;
}

/* --- Decoding --- */

struct covey__stream_reader {
    const covey__env *env;
    const covey__patch_head *head;
    covey__tensor_coder *coder;
    covey__lane_decoder decoder;
};

covey_status covey__stream_reader_new(const covey__env *env, const covey__patch_head *head,
                                      covey__stream_reader **reader, covey_error *error) {
    covey__stream_reader *made = covey__alloc_aligned(env, sizeof *made);
    *reader = NULL;
    if (made == NULL) return covey__no_memory(error, "stream", sizeof *made);
    made->env = env;
    made->head = head;
    covey_status status = covey__tensor_coder_new(env, covey__cpu_best(), &made->coder, error);
    for (uint32_t i = 0; status == COVEY_OK && i < head->table_count; i++)
        status = covey__tensor_coder_set_tables(made->coder, head->tables[i].id,
                                                head->tables[i].bytes, head->tables[i].size, error);
    if (status != COVEY_OK) {
        covey__stream_reader_free(made);
        return covey__prefix(error, status, "patch");
    }
    *reader = made;
    return COVEY_OK;
}

void covey__stream_reader_free(covey__stream_reader *reader) {
    if (reader == NULL) return;
    covey__tensor_coder_free(reader->coder);
    covey__free_aligned(reader->env, reader);
}

covey_status covey__stream_reader_begin(covey__stream_reader *reader, const uint8_t *data,
                                        size_t size, covey_error *error) {
    return covey__lane_decoder_init(&reader->decoder, data, size, error);
}

covey_status covey__stream_reader_part(covey__stream_reader *reader, const covey__patch_part *part,
                                       const uint8_t *old, uint8_t *fresh, covey_error *error) {
    covey__tensor_factor factor;
    covey__tensor_part coded = {
        .type = part->type, .old = old, .fresh = fresh, .size = (size_t)part->size};
    memcpy(coded.starts, part->starts, sizeof coded.starts);
    if (part->factor != COVEY__PATCH_NO_FACTOR) {
        const covey__patch_factor *given = &reader->head->factors[part->factor];
        factor = (covey__tensor_factor){
            .columns = given->columns, .rank = given->rank, .scale = given->scale, .v = given->v};
        coded.factor = &factor;
        coded.first_row = part->first_row;
    }
    return covey__tensor_decode(reader->coder, &coded, &reader->decoder, error);
}

covey_status covey__stream_reader_end(covey__stream_reader *reader, covey_error *error) {
    return covey__lane_decoder_finish(&reader->decoder, error);
}

/* --- Encoding --- */

struct covey__stream_writer {
    const covey__env *env;
    covey__tensor_coder *coder;
    covey__lane_encoder encoder;
    covey__buffer ends; /* size_t a part: where its records end */
    float *bits;        /* of each symbol of each table; made when first asked for */
};

covey_status covey__stream_writer_new(const covey__env *env, covey__stream_writer **writer,
                                      covey_error *error) {
    covey__stream_writer *made = covey__calloc(env, 1, sizeof *made);
    *writer = NULL;
    if (made == NULL) return covey__no_memory(error, "stream", sizeof *made);
    made->env = env;
    covey__lane_encoder_init(&made->encoder, env, RECORD_BYTES_MAX);
    covey__buffer_init(&made->ends, env, COVEY__PATCH_PART_MAX * sizeof(size_t));
    covey_status status = covey__tensor_coder_new(env, covey__cpu_best(), &made->coder, error);
    if (status != COVEY_OK) {
        covey__stream_writer_free(made);
        return status;
    }
    *writer = made;
    return COVEY_OK;
}

void covey__stream_writer_free(covey__stream_writer *writer) {
    if (writer == NULL) return;
    covey__tensor_coder_free(writer->coder);
    covey__lane_encoder_free(&writer->encoder);
    covey__buffer_free(&writer->ends);
    covey__free(writer->env, writer->bits);
    covey__free(writer->env, writer);
}

/* The model's view of the part, whose bytes it only reads when it encodes. */
static covey__tensor_part encode_part(const covey__stream_part *part) {
    covey__tensor_part coded = {.type = part->type,
                                .old = part->old,
                                .fresh = (uint8_t *)(uintptr_t)part->fresh,
                                .size = part->size,
                                .factor = part->factor,
                                .first_row = part->first_row};
    memcpy(coded.starts, part->starts, sizeof coded.starts);
    return coded;
}

covey_status covey__stream_writer_starts(covey__stream_writer *writer, covey__stream_part *part,
                                         covey_error *error) {
    covey__tensor_part coded = encode_part(part);
    covey_status status = covey__tensor_starts(writer->coder, &coded, error);
    memcpy(part->starts, coded.starts, sizeof part->starts);
    return status;
}

covey_status covey__stream_writer_count(covey__stream_writer *writer,
                                        const covey__stream_part *part, covey_error *error) {
    covey__tensor_part coded = encode_part(part);
    return covey__tensor_count(writer->coder, &coded, error);
}

void covey__stream_writer_fit(covey__stream_writer *writer) {
    covey__tensor_coder_fit(writer->coder);
}

bool covey__stream_writer_table(const covey__stream_writer *writer, size_t index,
                                covey__patch_table *table) {
    size_t size;
    if (!covey__tensor_coder_set(writer->coder, index, &table->id, &table->bytes, &size))
        return false;
    table->size = (uint32_t)size;
    return true;
}

covey_status covey__stream_writer_part(covey__stream_writer *writer, const covey__stream_part *part,
                                       covey_error *error) {
    covey__tensor_part coded = encode_part(part);
    covey_status status = covey__tensor_encode(writer->coder, &coded, &writer->encoder, error);
    size_t end = writer->encoder.records.size;
    (void)covey__buffer_append(&writer->ends, &end, sizeof end);
    return status;
}

static covey_status make_bits(covey__stream_writer *writer, const covey__lane_table *tables,
                              size_t count, covey_error *error) {
    if (writer->bits != NULL) return COVEY_OK;
    writer->bits = covey__calloc(writer->env, count + 1, 4 * sizeof *writer->bits);
    if (writer->bits == NULL) return covey__no_memory(error, "bits", count * 16);
    for (size_t i = 0; i < 4 * count; i++) {
        uint32_t counts[4] = {0};
        counts[i % 4] = 1;
        writer->bits[i] = (float)covey__lane_table_cost(&tables[i / 4], counts);
    }
    return COVEY_OK;
}

/* What the records from `at` to `end` take. A record is a table and a symbol, or, behind those of
 * a step, its mask: so they are read from their end. */
static double bits_of(const covey__stream_writer *writer, size_t at, size_t end, size_t count) {
    const char *records = writer->encoder.records.data;
    double sum = 0.0;
    while (end > at) {
        uint32_t mask, record;
        end -= 4;
        memcpy(&mask, records + end, 4);
        for (int n = __builtin_popcount(mask); n > 0 && end > at; n--) {
            end -= 4;
            memcpy(&record, records + end, 4);
            if (record < 4 * count) sum += (double)writer->bits[record];
        }
    }
    return sum;
}

/* Shares the stream's bytes out among the parts by what their symbols take. */
static covey_status share_out(covey__stream_writer *writer, const covey__lane_table *tables,
                              size_t count, size_t stream, uint32_t *bytes, covey_error *error) {
    size_t parts = writer->ends.size / sizeof(size_t), at = 0;
    covey_status status = covey__buffer_check(&writer->ends, error, "parts");
    if (status != COVEY_OK) return status;
    if (parts == 1) {
        bytes[0] = (uint32_t)stream;
        return COVEY_OK;
    }
    status = make_bits(writer, tables, count, error);
    if (status != COVEY_OK) return status;
    for (size_t i = 0; i < parts; i++) {
        size_t end;
        memcpy(&end, writer->ends.data + i * sizeof end, sizeof end);
        bytes[i] = (uint32_t)(bits_of(writer, at, end, count) / 8.0 + 0.5);
        at = end;
    }
    return COVEY_OK;
}

covey_status covey__stream_writer_end(covey__stream_writer *writer, covey__buffer *out,
                                      uint32_t *bytes, covey_error *error) {
    size_t count, before = out->size;
    const covey__lane_table *tables = covey__tensor_coder_tables(writer->coder, &count);
    covey_status status = covey__lane_encoder_finish(&writer->encoder, tables, count, out, error);
    if (status == COVEY_OK)
        status = share_out(writer, tables, count, out->size - before, bytes, error);
    if (writer->encoder.records.capacity > RECORD_BYTES_KEPT)
        covey__lane_encoder_free(&writer->encoder);
    covey__lane_encoder_clear(&writer->encoder);
    covey__buffer_clear(&writer->ends);
    return status;
}
