/* Reading a patch's head. Nothing of it is trusted: the directory is held against every rule of
 * docs/formats/patch.md that can be checked without the two files, once, when it is parsed. The
 * lists of parts and frames are not unpacked: they are walked where they stand, so that a head
 * takes little more memory than its bytes. Walking afterwards uses the same reader, which then
 * cannot fail. Neighbours: patch_write.c makes the bytes, patch_apply.c walks them. */
#include "delta/patch_head.h"

#include "base/error.h"
#include "base/utf8_sequence.h"
#include "delta/patch_fields.h"
#include "delta/patch_stream.h"

#include <zstd.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define TABLE_COUNT_MAX  2048u /* ids are 8 * type + stream, below 2048 */
#define TABLE_BYTES_MAX  (1u << 16)
#define FACTOR_COUNT_MAX 65536u

/* --- The fixed bytes --- */

covey_status covey__patch_head_size(const void *fixed, uint64_t *size, covey_error *error) {
    const uint8_t *bytes = fixed;
    *size = 0;
    if (memcmp(bytes, COVEY__PATCH_MAGIC, 8) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "does not begin as a patch");
    uint32_t format = covey__patch_u32(bytes + 8);
    if (format != COVEY__PATCH_FORMAT)
        return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                           "format %" PRIu32 ": this library reads %d; update the app", format,
                           COVEY__PATCH_FORMAT);
    uint32_t stored = covey__patch_u32(bytes + 12), whole = covey__patch_u32(bytes + 16);
    if (stored == 0 || stored > COVEY__PATCH_DIRECTORY_MAX || whole > COVEY__PATCH_DIRECTORY_MAX)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "directory of %" PRIu32 " bytes, %" PRIu32
                           " stored: at most %u expected",
                           whole, stored, COVEY__PATCH_DIRECTORY_MAX);
    if (covey__patch_u32(bytes + 20) != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "bytes 20 to 23 are not zero");
    *size = COVEY__PATCH_FIXED + (uint64_t)stored;
    return COVEY_OK;
}

/* --- A list's entries --- */

/* What is left of the directory. */
typedef struct fields {
    const uint8_t *at, *end;
} fields;

static const uint8_t *take(fields *f, size_t size) {
    if ((size_t)(f->end - f->at) < size) return NULL;
    const uint8_t *bytes = f->at;
    f->at += size;
    return bytes;
}

static covey_status short_list(covey_error *error, const char *list, uint32_t entry) {
    return covey__fail(error, COVEY_ERROR_FORMAT, "%s %" PRIu32 ": the directory ends within it",
                       list, entry);
}

static covey_status take_count(fields *f, const char *list, uint32_t most, uint32_t *count,
                               covey_error *error) {
    const uint8_t *bytes = take(f, 4);
    if (bytes == NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT, "the directory ends before its %ss", list);
    *count = covey__patch_u32(bytes);
    if (*count > most)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%" PRIu32 " %ss: at most %" PRIu32 " expected", *count, list, most);
    return COVEY_OK;
}

static covey_status read_tables(covey__patch_head *head, fields *f, covey_error *error) {
    covey_status status = take_count(f, "table set", TABLE_COUNT_MAX, &head->table_count, error);
    if (status != COVEY_OK || head->table_count == 0) return status;
    head->tables = covey__calloc(head->env, head->table_count, sizeof *head->tables);
    if (head->tables == NULL)
        return covey__no_memory(error, "tables", head->table_count * sizeof *head->tables);
    for (uint32_t i = 0; i < head->table_count; i++) {
        covey__patch_table *table = &head->tables[i];
        const uint8_t *fixed = take(f, 6);
        if (fixed == NULL) return short_list(error, "table set", i);
        table->id = (uint16_t)covey__patch_u16(fixed);
        table->size = covey__patch_u32(fixed + 2);
        table->bytes = take(f, table->size);
        if (table->bytes == NULL) return short_list(error, "table set", i);
        if (table->size % 3 != 0 || table->size > TABLE_BYTES_MAX)
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "table set %" PRIu32 ": %" PRIu32 " bytes are not three a context",
                               i, table->size);
        if (i > 0 && table->id <= table[-1].id)
            return covey__fail(error, COVEY_ERROR_FORMAT, "table set %" PRIu32 ": ids do not rise",
                               i);
    }
    return COVEY_OK;
}

static covey_status read_factors(covey__patch_head *head, fields *f, covey_error *error) {
    covey_status status = take_count(f, "factor", FACTOR_COUNT_MAX, &head->factor_count, error);
    if (status != COVEY_OK || head->factor_count == 0) return status;
    head->factors = covey__calloc(head->env, head->factor_count, sizeof *head->factors);
    if (head->factors == NULL)
        return covey__no_memory(error, "factors", head->factor_count * sizeof *head->factors);
    for (uint32_t i = 0; i < head->factor_count; i++) {
        covey__patch_factor *factor = &head->factors[i];
        const uint8_t *fixed = take(f, 9);
        if (fixed == NULL) return short_list(error, "factor", i);
        factor->columns = covey__patch_u32(fixed);
        factor->rank = fixed[4];
        factor->scale = covey__patch_f32(fixed + 5);
        if (factor->columns == 0 || factor->rank == 0 || factor->rank > COVEY__FACTOR_RANK_MAX ||
            !isfinite(factor->scale))
            return covey__fail(error, COVEY_ERROR_FORMAT,
                               "factor %" PRIu32 ": columns, rank or scale cannot be", i);
        uint64_t bytes = (uint64_t)factor->columns * factor->rank;
        if (bytes > COVEY__PATCH_DIRECTORY_MAX) return short_list(error, "factor", i);
        /* signed bytes where they stand */
        factor->v = (const int8_t *)take(f, (size_t)bytes);
        if (factor->v == NULL) return short_list(error, "factor", i);
    }
    return COVEY_OK;
}

/* --- Parts --- */

/* The entry at f; `part` keeps the tensor's name of the one before. False when it ends too early.
 * Nothing else is checked. */
static bool read_part(fields *f, covey__patch_part *part) {
    static const uint8_t none[16] = {0};
    const uint8_t *fixed = take(f, 4);
    if (fixed == NULL) return false;
    part->kind = (covey__patch_kind)fixed[0];
    part->type = fixed[1];
    size_t name_size = covey__patch_u16(fixed + 2);
    const uint8_t *name = take(f, name_size), *place = take(f, 24 + 32);
    if (name == NULL || place == NULL) return false;
    part->named = name_size > 0;
    if (part->named) {
        part->name = (const char *)name;
        part->name_size = name_size;
    }
    part->size = covey__patch_u64(place);
    part->old_offset = covey__patch_u64(place + 8);
    part->old_size = covey__patch_u64(place + 16);
    part->old_digest = place + 24;
    part->new_digest = place + 40;
    part->stored = part->coded = 0;
    part->starts = none;
    part->factor = COVEY__PATCH_NO_FACTOR;
    part->first_row = 0;
    if (part->kind == COVEY__PATCH_COPY) return true;
    const uint8_t *stored = take(f, 4);
    if (stored == NULL) return false;
    if (part->kind == COVEY__PATCH_TENSOR) {
        part->coded = covey__patch_u32(stored);
        part->starts = take(f, COVEY__PATCH_STREAMS);
        const uint8_t *rows = take(f, 8);
        if (part->starts == NULL || rows == NULL) return false;
        part->factor = covey__patch_u32(rows);
        part->first_row = covey__patch_u32(rows + 4);
    } else {
        part->stored = covey__patch_u32(stored);
    }
    return true;
}

bool covey__patch_part_next(covey__patch_cursor *cursor, covey__patch_part *part) {
    const covey__patch_head *head = cursor->head;
    if (cursor->index >= head->part_count) return false;
    fields f = {head->parts + cursor->at, head->directory + head->directory_size};
    part->name = cursor->name == NULL ? "" : cursor->name;
    part->name_size = cursor->name_size;
    part->new_offset = cursor->new_offset;
    if (!read_part(&f, part)) return false; /* never: it was read when the head was parsed */
    cursor->index++;
    cursor->at = (size_t)(f.at - head->parts);
    cursor->new_offset += part->size;
    cursor->name = part->name;
    cursor->name_size = part->name_size;
    return true;
}

covey__patch_frame covey__patch_frame_at(const covey__patch_head *head, uint32_t index) {
    const uint8_t *entry = head->frames + (size_t)index * COVEY__PATCH_FRAME_ITEM;
    return (covey__patch_frame){covey__patch_u32(entry), covey__patch_u32(entry + 4), entry + 8};
}

/* Why a part of kind 3 cannot be; NULL when it can. */
static const char *tensor_fault(const covey__patch_head *head, const covey__patch_part *part) {
    uint32_t block = covey__stream_block_bytes(part->type);
    if (part->old_size != part->size) return "the old range has another size";
    if (block == 0) return "this type has no coder";
    if (part->coded > COVEY__PATCH_PAYLOAD_MAX) return "its bytes of the stream are over 4 MiB";
    if (part->size % block != 0) return "the size is no whole number of blocks";
    if (part->factor == COVEY__PATCH_NO_FACTOR) return NULL;
    if (part->factor >= head->factor_count) return "there is no such factor";
    const covey__patch_factor *factor = &head->factors[part->factor];
    uint64_t row = covey__stream_row_bytes(part->type, factor->columns);
    if (row == 0 || part->size % row != 0) return "the factor does not fit its rows";
    return NULL;
}

static const char *part_fault(const covey__patch_head *head, const covey__patch_part *part) {
    static const uint8_t none[16] = {0};
    if (part->kind >= COVEY__PATCH_KINDS) return "the kind is unknown";
    if (part->size == 0 || part->size > COVEY__PATCH_PART_MAX) return "has no size, or over 2 MiB";
    if (part->size > head->new_size - part->new_offset) return "goes past the new file's end";
    if (part->old_size > head->old_size || part->old_offset > head->old_size - part->old_size)
        return "the old range goes past the old file's end";
    if (part->old_size == 0 && (part->old_offset != 0 || memcmp(part->old_digest, none, 16) != 0))
        return "has no old range, but its place or digest";
    if (part->named && !covey__utf8_valid(part->name, part->name_size))
        return "the name is no UTF-8";
    switch (part->kind) {
    case COVEY__PATCH_COPY:
        if (part->old_size != part->size || memcmp(part->old_digest, part->new_digest, 16) != 0)
            return "a copy differs from what it copies";
        return NULL;
    case COVEY__PATCH_STORED:
        return part->stored == part->size && part->old_size == 0 ? NULL
                                                                 : "stored bytes and size differ";
    case COVEY__PATCH_COMPRESSED:
        if (part->old_size > COVEY__PATCH_PREFIX_MAX) return "the prefix has over 8 MiB";
        return part->stored > 0 ? NULL : "has no stored bytes";
    default:
        return tensor_fault(head, part);
    }
}

/* What a frame's parts say of it. */
typedef struct frame_sums {
    uint64_t stored, made; /* bytes of the payload of kinds 1 and 2; of parts that are no copies */
    bool coded;
} frame_sums;

static const char *frame_fault(const covey__patch_frame *frame, const frame_sums *sums) {
    if (frame->payload_size > COVEY__PATCH_PAYLOAD_MAX) return "the payload has over 4 MiB";
    if (sums->made > COVEY__PATCH_PART_MAX) return "its parts have over 2 MiB";
    if (sums->coded ? frame->payload_size < sums->stored + COVEY__PATCH_STATES
                    : frame->payload_size != sums->stored)
        return "the payload and what its parts have stored differ";
    return NULL;
}

/* Parts and frames, each frame with its parts. */
static covey_status check_frames(covey__patch_head *head, covey_error *error) {
    covey__patch_cursor cursor = {.head = head};
    covey__patch_part part = {0};
    head->patch_size = head->head_size;
    for (uint32_t i = 0; i < head->frame_count; i++) {
        covey__patch_frame frame = covey__patch_frame_at(head, i);
        frame_sums sums = {0};
        const char *fault = frame.part_count == 0 ? "has no parts" : NULL;
        for (uint32_t k = 0; fault == NULL && k < frame.part_count; k++) {
            if (!covey__patch_part_next(&cursor, &part)) {
                fault = "has more parts than there are";
                break;
            }
            const char *wrong = part_fault(head, &part);
            if (wrong != NULL)
                return covey__fail(error, COVEY_ERROR_FORMAT, "part %" PRIu32 ": %s",
                                   cursor.index - 1, wrong);
            sums.stored += part.stored;
            if (part.kind != COVEY__PATCH_COPY) sums.made += part.size;
            if (part.kind == COVEY__PATCH_TENSOR) sums.coded = true;
        }
        if (fault == NULL) fault = frame_fault(&frame, &sums);
        if (fault != NULL)
            return covey__fail(error, COVEY_ERROR_FORMAT, "frame %" PRIu32 ": %s", i, fault);
        head->patch_size += frame.payload_size;
    }
    if (cursor.index != head->part_count || cursor.new_offset != head->new_size)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "the frames' parts make %" PRIu64 " bytes, the new file has %" PRIu64,
                           cursor.new_offset, head->new_size);
    return COVEY_OK;
}

static covey_status read_directory(covey__patch_head *head, covey_error *error) {
    fields f = {head->directory, head->directory + head->directory_size};
    covey_status status = read_tables(head, &f, error);
    if (status == COVEY_OK) status = read_factors(head, &f, error);
    if (status == COVEY_OK) status = take_count(&f, "part", UINT32_MAX, &head->part_count, error);
    if (status != COVEY_OK) return status;
    head->parts = f.at;
    covey__patch_part part = {.name = ""};
    for (uint32_t i = 0; i < head->part_count; i++)
        if (!read_part(&f, &part)) return short_list(error, "part", i);
    status = take_count(&f, "frame", UINT32_MAX, &head->frame_count, error);
    if (status != COVEY_OK) return status;
    head->frames = f.at;
    if ((uint64_t)(f.end - f.at) != (uint64_t)head->frame_count * COVEY__PATCH_FRAME_ITEM)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "%" PRIu32 " frames take other than the directory's last %zu bytes",
                           head->frame_count, (size_t)(f.end - f.at));
    return check_frames(head, error);
}

/* --- The whole --- */

static covey_status unpack(covey__patch_head *head, const uint8_t *data, size_t size,
                           covey_error *error) {
    const uint8_t *stored = data + COVEY__PATCH_FIXED;
    size_t stored_size = size - COVEY__PATCH_FIXED;
    head->directory_size = covey__patch_u32(data + 16);
    head->directory = covey__alloc(head->env, head->directory_size + 1);
    if (head->directory == NULL) return covey__no_memory(error, "directory", head->directory_size);
    if (ZSTD_findFrameCompressedSize(stored, stored_size) != stored_size)
        return covey__fail(error, COVEY_ERROR_FORMAT, "the directory is not one zstd frame");
    size_t made = ZSTD_decompress(head->directory, head->directory_size, stored, stored_size);
    if (ZSTD_isError(made))
        return covey__fail(error, COVEY_ERROR_FORMAT, "directory: zstd: %s",
                           ZSTD_getErrorName(made));
    if (made != head->directory_size)
        return covey__fail(error, COVEY_ERROR_FORMAT, "the directory has %zu bytes, %zu expected",
                           made, head->directory_size);
    return COVEY_OK;
}

covey_status covey__patch_head_parse(const covey__env *env, const void *data, size_t size,
                                     covey__patch_head **head, covey_error *error) {
    const uint8_t *bytes = data;
    uint64_t expected;
    *head = NULL;
    if (size < COVEY__PATCH_FIXED)
        return covey__fail(error, COVEY_ERROR_FORMAT, "patch: ends after %zu bytes", size);
    covey_status status = covey__patch_head_size(data, &expected, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "patch");
    if (expected != size)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "patch: head of %zu bytes, %" PRIu64 " expected", size, expected);
    covey__patch_head *made = covey__calloc(env, 1, sizeof *made);
    if (made == NULL) return covey__no_memory(error, "patch: head", sizeof *made);
    made->env = env;
    made->head_size = size;
    made->old_size = covey__patch_u64(bytes + 24);
    memcpy(made->old_sha256, bytes + 32, 32);
    made->new_size = covey__patch_u64(bytes + 64);
    memcpy(made->new_sha256, bytes + 72, 32);
    status = unpack(made, bytes, size, error);
    if (status == COVEY_OK) status = read_directory(made, error);
    if (status != COVEY_OK) {
        covey__patch_head_free(made);
        return covey__prefix(error, status, "patch");
    }
    *head = made;
    return COVEY_OK;
}

void covey__patch_head_free(covey__patch_head *head) {
    if (head == NULL) return;
    covey__free(head->env, head->tables);
    covey__free(head->env, head->factors);
    covey__free(head->env, head->directory);
    covey__free(head->env, head);
}
