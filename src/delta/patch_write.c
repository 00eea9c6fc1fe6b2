/* Writing a patch. What the head says of the frames is known only when the last is made, and how
 * long it gets only then too: so payloads are written to the start of the new file, and moved up by
 * the head's length at the end, in place and from the back. Memory is the directory's four lists.
 * Neighbours: patch_make.c fills it, patch_read.c reads what comes out. */
#include "delta/patch_write.h"

#include "base/error.h"
#include "base/sha256.h"
#include "delta/patch_fields.h"

#include <zstd.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MOVE_BYTES (1u << 20)
#define ZSTD_LEVEL 19

covey_status covey__patch_writer_open(const covey__env *env, const char *path,
                                      covey__patch_writer *writer, covey_error *error) {
    memset(writer, 0, sizeof *writer);
    writer->env = env;
    covey__buffer_init(&writer->tables, env, COVEY__PATCH_DIRECTORY_MAX);
    covey__buffer_init(&writer->factors, env, COVEY__PATCH_DIRECTORY_MAX);
    covey__buffer_init(&writer->parts, env, COVEY__PATCH_DIRECTORY_MAX);
    covey__buffer_init(&writer->frames, env, COVEY__PATCH_DIRECTORY_MAX);
    return covey__replace_begin(env, path, true, &writer->file, error);
}

void covey__patch_writer_close(covey__patch_writer *writer) {
    covey__replace_abort(&writer->file);
    covey__buffer_free(&writer->tables);
    covey__buffer_free(&writer->factors);
    covey__buffer_free(&writer->parts);
    covey__buffer_free(&writer->frames);
}

static void append(covey__buffer *buffer, uint64_t value, size_t size) {
    uint8_t bytes[8];
    covey__patch_put(bytes, value, size);
    (void)covey__buffer_append(buffer, bytes, size);
}

void covey__patch_writer_table(covey__patch_writer *writer, const covey__patch_table *table) {
    append(&writer->tables, table->id, 2);
    append(&writer->tables, table->size, 4);
    (void)covey__buffer_append(&writer->tables, table->bytes, table->size);
    writer->table_count++;
}

void covey__patch_writer_factor(covey__patch_writer *writer, const covey__patch_factor *factor) {
    uint32_t scale;
    memcpy(&scale, &factor->scale, sizeof scale);
    append(&writer->factors, factor->columns, 4);
    append(&writer->factors, factor->rank, 1);
    append(&writer->factors, scale, 4);
    (void)covey__buffer_append(&writer->factors, factor->v, (size_t)factor->columns * factor->rank);
    writer->factor_count++;
}

void covey__patch_writer_part(covey__patch_writer *writer, const covey__patch_part *part) {
    covey__buffer *out = &writer->parts;
    size_t name_size = part->named ? part->name_size : 0;
    append(out, part->kind, 1);
    append(out, part->type, 1);
    append(out, name_size, 2);
    (void)covey__buffer_append(out, part->name, name_size);
    append(out, part->size, 8);
    append(out, part->old_offset, 8);
    append(out, part->old_size, 8);
    (void)covey__buffer_append(out, part->old_digest, 16);
    (void)covey__buffer_append(out, part->new_digest, 16);
    if (part->kind == COVEY__PATCH_STORED || part->kind == COVEY__PATCH_COMPRESSED)
        append(out, part->stored, 4);
    if (part->kind == COVEY__PATCH_TENSOR) {
        append(out, part->coded, 4);
        (void)covey__buffer_append(out, part->starts, COVEY__PATCH_STREAMS);
        append(out, part->factor, 4);
        append(out, part->first_row, 4);
    }
    writer->part_count++;
}

covey_status covey__patch_writer_frame(covey__patch_writer *writer, uint32_t part_count,
                                       const void *payload, uint32_t payload_size,
                                       covey_error *error) {
    uint8_t digest[32];
    covey__sha256_of(payload, payload_size, digest);
    append(&writer->frames, part_count, 4);
    append(&writer->frames, payload_size, 4);
    (void)covey__buffer_append(&writer->frames, digest, 16);
    writer->frame_count++;
    covey_status status =
        covey__file_write_at(writer->env, writer->file.descriptor, writer->file.temporary,
                             writer->payload_size, payload, payload_size, error);
    if (status == COVEY_OK) writer->payload_size += payload_size;
    return status;
}

/* --- The head --- */

static void append_list(covey__buffer *out, uint32_t count, const covey__buffer *list) {
    append(out, count, 4);
    if (list->status != COVEY_OK) out->status = list->status;
    if (list->size > 0) (void)covey__buffer_append(out, list->data, list->size);
}

/* The directory's bytes; each list's memory goes as soon as it is copied. */
static covey_status make_directory(covey__patch_writer *writer, covey__buffer *directory,
                                   covey_error *error) {
    append_list(directory, writer->table_count, &writer->tables);
    append_list(directory, writer->factor_count, &writer->factors);
    covey__buffer_free(&writer->factors);
    append_list(directory, writer->part_count, &writer->parts);
    covey__buffer_free(&writer->parts);
    append_list(directory, writer->frame_count, &writer->frames);
    return covey__buffer_check(directory, error, "the patch's directory");
}

static covey_status make_head(covey__patch_writer *writer, const covey__patch_ends *ends,
                              covey__buffer *head, covey_error *error) {
    covey__buffer directory;
    covey__buffer_init(&directory, writer->env, COVEY__PATCH_DIRECTORY_MAX);
    covey_status status = make_directory(writer, &directory, error);
    if (status != COVEY_OK) goto out;
    size_t room = ZSTD_compressBound(directory.size);
    uint8_t *fixed = (uint8_t *)covey__buffer_reserve(head, COVEY__PATCH_FIXED + room);
    if (fixed == NULL) {
        status = covey__buffer_check(head, error, "the patch's head");
        goto out;
    }
    size_t stored =
        ZSTD_compress(fixed + COVEY__PATCH_FIXED, room, directory.data, directory.size, ZSTD_LEVEL);
    if (ZSTD_isError(stored) || stored > COVEY__PATCH_DIRECTORY_MAX) {
        status = covey__fail(error, COVEY_ERROR_INTERNAL, "the patch's directory: zstd: %s",
                             ZSTD_getErrorName(stored));
        goto out;
    }
    memset(fixed, 0, COVEY__PATCH_FIXED);
    memcpy(fixed, COVEY__PATCH_MAGIC, 8);
    covey__patch_put(fixed + 8, COVEY__PATCH_FORMAT, 4);
    covey__patch_put(fixed + 12, stored, 4);
    covey__patch_put(fixed + 16, directory.size, 4);
    covey__patch_put(fixed + 24, ends->old_size, 8);
    memcpy(fixed + 32, ends->old_sha256, 32);
    covey__patch_put(fixed + 64, ends->new_size, 8);
    memcpy(fixed + 72, ends->new_sha256, 32);
    head->size = COVEY__PATCH_FIXED + stored;
out:
    covey__buffer_free(&directory);
    return status;
}

/* The payloads by `distance` towards the end, from the back. */
static covey_status move_up(covey__patch_writer *writer, uint64_t distance, covey_error *error) {
    const covey__env *env = writer->env;
    const covey__replacement *file = &writer->file;
    int from = -1; /* the writer's own descriptor does not read */
    uint8_t *piece = covey__alloc(env, MOVE_BYTES);
    if (piece == NULL) return covey__no_memory(error, "piece", MOVE_BYTES);
    covey_status status =
        covey__file_open(env, file->temporary, O_RDONLY | O_CLOEXEC, 0, &from, error);
    for (uint64_t end = writer->payload_size; status == COVEY_OK && end > 0;) {
        size_t size = end < MOVE_BYTES ? (size_t)end : MOVE_BYTES;
        end -= size;
        status = covey__file_read_at(env, from, file->temporary, end, piece, size, error);
        if (status == COVEY_OK)
            status = covey__file_write_at(env, file->descriptor, file->temporary, end + distance,
                                          piece, size, error);
    }
    if (from >= 0) close(from);
    covey__free(env, piece);
    return status;
}

covey_status covey__patch_writer_finish(covey__patch_writer *writer, const covey__patch_ends *ends,
                                        uint64_t *head_size, uint8_t head_sha256[32],
                                        covey_error *error) {
    covey__buffer head;
    covey__buffer_init(&head, writer->env,
                       COVEY__PATCH_FIXED + ZSTD_COMPRESSBOUND(COVEY__PATCH_DIRECTORY_MAX));
    covey_status status = make_head(writer, ends, &head, error);
    if (status == COVEY_OK) status = move_up(writer, head.size, error);
    if (status == COVEY_OK)
        status = covey__file_write_at(writer->env, writer->file.descriptor, writer->file.temporary,
                                      0, head.data, head.size, error);
    if (status == COVEY_OK) {
        *head_size = head.size;
        covey__sha256_of(head.data, head.size, head_sha256);
        status = covey__replace_commit(&writer->file, error);
    }
    covey__buffer_free(&head);
    return status;
}
