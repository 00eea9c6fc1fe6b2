/* Stand-in until the tensor model is here: no type has a coder. */
#include "delta/patch_stream.h"

#include "base/error.h"

struct covey__stream_reader {
    const covey__env *env;
};

uint32_t covey__stream_block_bytes(uint32_t type) {
    (void)type;
    return 0;
}
uint64_t covey__stream_row_bytes(uint32_t type, uint64_t columns) {
    (void)type, (void)columns;
    return 0;
}
covey_status covey__stream_reader_new(const covey__env *env, const covey__patch_head *head,
                                      covey__stream_reader **reader, covey_error *error) {
    (void)head;
    *reader = covey__calloc(env, 1, sizeof **reader);
    if (*reader == NULL) return covey__no_memory(error, "stream", sizeof **reader);
    (*reader)->env = env;
    return COVEY_OK;
}
void covey__stream_reader_free(covey__stream_reader *reader) {
    if (reader != NULL) covey__free(reader->env, reader);
}
covey_status covey__stream_reader_begin(covey__stream_reader *reader, const uint8_t *data,
                                        size_t size, covey_error *error) {
    (void)reader, (void)data, (void)size;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "no coder");
}
covey_status covey__stream_reader_part(covey__stream_reader *reader, const covey__patch_part *part,
                                       const uint8_t *old, uint8_t *fresh, covey_error *error) {
    (void)reader, (void)part, (void)old, (void)fresh;
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED, "no coder");
}
covey_status covey__stream_reader_end(covey__stream_reader *reader, covey_error *error) {
    (void)reader, (void)error;
    return COVEY_OK;
}
covey_status covey__stream_writer_new(const covey__env *env, covey__stream_writer **writer,
                                      covey_error *error) {
    (void)env, (void)error;
    *writer = NULL;
    return COVEY_OK;
}
void covey__stream_writer_free(covey__stream_writer *writer) {
    (void)writer;
}
covey_status covey__stream_writer_starts(covey__stream_writer *writer, covey__stream_part *part,
                                         covey_error *error) {
    (void)writer, (void)part, (void)error;
    return COVEY_OK;
}
covey_status covey__stream_writer_count(covey__stream_writer *writer,
                                        const covey__stream_part *part, covey_error *error) {
    (void)writer, (void)part, (void)error;
    return COVEY_OK;
}
void covey__stream_writer_fit(covey__stream_writer *writer) {
    (void)writer;
}
bool covey__stream_writer_table(const covey__stream_writer *writer, size_t index,
                                covey__patch_table *table) {
    (void)writer, (void)index, (void)table;
    return false;
}
covey_status covey__stream_writer_part(covey__stream_writer *writer, const covey__stream_part *part,
                                       covey_error *error) {
    (void)writer, (void)part, (void)error;
    return COVEY_OK;
}
covey_status covey__stream_writer_end(covey__stream_writer *writer, covey__buffer *out,
                                      covey_error *error) {
    (void)writer, (void)out, (void)error;
    return COVEY_OK;
}
