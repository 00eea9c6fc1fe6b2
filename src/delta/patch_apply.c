/* Applying a patch while it arrives. The head is gathered and parsed; then each frame's payload is
 * gathered, held against its digest, and its parts are made one after the other: read the old
 * range, check it, decode, check what came out, write. Invariants: nothing decodes bytes that were
 * not checked; nothing is written of a part whose digest differs; `border` is where a whole frame
 * ended, and all that a retry or a scan needs is in it. Memory is the head, one payload and one
 * part. Neighbours: patch_read.c, patch_bytes.c, patch_stream.c; patch_files.c lends it files. */
#include "delta/patch.h"

#include "base/error.h"
#include "base/sha256.h"
#include "delta/patch_bytes.h"
#include "delta/patch_fields.h"
#include "delta/patch_stream.h"

#include <inttypes.h>
#include <string.h>

#define SHOWN_NAME 96

/* Where a frame ended. */
typedef struct border {
    covey__patch_cursor cursor; /* at the next frame's first part */
    covey__sha256 hash;         /* of the new file up to here */
    uint64_t patch_offset;      /* of the next frame's payload */
    uint32_t frame;             /* the next one */
} border;

struct covey__patch_apply {
    const covey__env *env;
    covey__patch_apply_options options;
    covey__patch_head *head;
    uint8_t *gathered; /* of the head, then of a payload */
    size_t gathered_size, gathered_room;
    uint8_t *old, *fresh; /* one part's */
    size_t old_room;
    border border;
    covey__byte_unpacker *unpacker;
    covey__stream_reader *stream;
};

/* --- Life --- */

covey_status covey__patch_apply_open(const covey__env *env,
                                     const covey__patch_apply_options *options,
                                     covey__patch_apply **apply, covey_error *error) {
    covey__patch_apply *a = covey__calloc(env, 1, sizeof *a);
    *apply = NULL;
    if (a == NULL) return covey__no_memory(error, "patch", sizeof *a);
    a->env = env;
    a->options = *options;
    covey__sha256_init(&a->border.hash);
    covey_status status = covey__byte_unpacker_new(env, &a->unpacker, error);
    if (status == COVEY_OK) {
        a->fresh = covey__alloc_aligned(env, COVEY__PATCH_PART_MAX);
        if (a->fresh == NULL) status = covey__no_memory(error, "patch", COVEY__PATCH_PART_MAX);
    }
    if (status != COVEY_OK) {
        covey__patch_apply_close(a);
        return status;
    }
    *apply = a;
    return COVEY_OK;
}

void covey__patch_apply_close(covey__patch_apply *a) {
    if (a == NULL) return;
    covey__stream_reader_free(a->stream);
    covey__byte_unpacker_free(a->unpacker);
    covey__patch_head_free(a->head);
    covey__free(a->env, a->gathered);
    covey__free(a->env, a->old);
    covey__free_aligned(a->env, a->fresh);
    covey__free(a->env, a);
}

const covey__patch_head *covey__patch_apply_head(const covey__patch_apply *a) {
    return a->head;
}

void covey__patch_apply_position(const covey__patch_apply *a, covey__patch_position *position) {
    memset(position, 0, sizeof *position);
    position->next = a->gathered_size;
    if (a->head == NULL) return;
    position->patch_offset = a->border.patch_offset;
    position->next = a->border.patch_offset + a->gathered_size;
    position->new_offset = a->border.cursor.new_offset;
    position->patch_size = a->head->patch_size;
    position->new_size = a->head->new_size;
    position->frame = a->border.frame;
    position->frame_count = a->head->frame_count;
}

/* --- Gathering --- */

static covey_status make_room(const covey__env *env, uint8_t **bytes, size_t *room, size_t size,
                              covey_error *error) {
    if (size <= *room) return COVEY_OK;
    uint8_t *more = covey__resize(env, *bytes, size);
    if (more == NULL) return covey__no_memory(error, "patch", size);
    *bytes = more;
    *room = size;
    return COVEY_OK;
}

/* Takes of the input what `want` bytes in all still lack; `*whole` when they are there. */
static covey_status gather(covey__patch_apply *a, size_t want, const uint8_t **data, size_t *size,
                           bool *whole, covey_error *error) {
    covey_status status =
        make_room(a->env, &a->gathered, &a->gathered_room, want + COVEY__STREAM_PAST, error);
    if (status != COVEY_OK) return status;
    size_t lacks = want - a->gathered_size, count = *size < lacks ? *size : lacks;
    if (count > 0) memcpy(a->gathered + a->gathered_size, *data, count);
    a->gathered_size += count;
    *data += count;
    *size -= count;
    *whole = a->gathered_size == want;
    return COVEY_OK;
}

/* --- The head --- */

static void show(const uint8_t digest[32], char text[65]) {
    covey__hex(digest, 32, text);
}

static covey_status check_digest(const char *what, const uint8_t *expected, const uint8_t *found,
                                 covey_error *error) {
    char wanted[65], is[65];
    if (expected == NULL || memcmp(expected, found, 32) == 0) return COVEY_OK;
    show(expected, wanted);
    show(found, is);
    return covey__fail(error, COVEY_ERROR_MISMATCH, "patch: %s: %s expected, found %s", what,
                       wanted, is);
}

static covey_status check_head_size(const covey__patch_apply *a, uint64_t size,
                                    covey_error *error) {
    if (a->options.head_size == 0 || a->options.head_size == size) return COVEY_OK;
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "patch: head of %" PRIu64 " bytes expected, found %" PRIu64,
                       a->options.head_size, size);
}

/* What was said of the files, and the old one's size, against the head. */
static covey_status check_ends(const covey__patch_apply *a, const covey__patch_head *head,
                               covey_error *error) {
    covey_status status =
        check_digest("the old file's SHA-256", a->options.old_sha256, head->old_sha256, error);
    if (status == COVEY_OK)
        status =
            check_digest("the new file's SHA-256", a->options.new_sha256, head->new_sha256, error);
    if (status == COVEY_OK && head->old_size != a->options.old_file.size)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "patch: the base has %" PRIu64
                           " bytes, this patch is for one of %" PRIu64,
                           a->options.old_file.size, head->old_size);
    return status;
}

static covey_status begin_frames(covey__patch_apply *a, covey_error *error) {
    covey_status status = COVEY_OK;
    uint8_t found[32];
    covey__sha256_of(a->gathered, a->gathered_size, found);
    status = check_digest("the head's SHA-256", a->options.head_sha256, found, error);
    covey__patch_head *head = NULL;
    if (status == COVEY_OK)
        status = covey__patch_head_parse(a->env, a->gathered, a->gathered_size, &head, error);
    if (status == COVEY_OK) status = check_ends(a, head, error);
    if (status == COVEY_OK) status = covey__stream_reader_new(a->env, head, &a->stream, error);
    if (status != COVEY_OK) {
        covey__patch_head_free(head);
        return status;
    }
    covey__free(a->env, a->gathered); /* the payloads need less */
    a->gathered = NULL;
    a->gathered_size = a->gathered_room = 0;
    a->head = head;
    a->border.cursor = (covey__patch_cursor){.head = head};
    a->border.patch_offset = head->head_size;
    return COVEY_OK;
}

static covey_status feed_head(covey__patch_apply *a, const uint8_t **data, size_t *size,
                              covey_error *error) {
    bool whole = a->gathered_size >= COVEY__PATCH_FIXED;
    covey_status status = COVEY_OK;
    uint64_t head_size;
    if (!whole) status = gather(a, COVEY__PATCH_FIXED, data, size, &whole, error);
    if (status != COVEY_OK || !whole) return status;
    status = covey__patch_head_size(a->gathered, &head_size, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "patch");
    status = check_head_size(a, head_size, error);
    if (status == COVEY_OK) status = gather(a, (size_t)head_size, data, size, &whole, error);
    if (status == COVEY_OK && whole) status = begin_frames(a, error);
    return status;
}

/* --- A frame --- */

/* A frame while it is made. */
typedef struct frame_run {
    border border;         /* becomes the apply's when all went well */
    const uint8_t *stored; /* what is left of the payload of kinds 1 and 2 */
    bool coded;
} frame_run;

static covey_status name_part(const covey__patch_part *part, covey_status status,
                              covey_error *error) {
    char shown[SHOWN_NAME];
    if (part->name_size == 0)
        return covey__prefix(error, status, "patch: bytes from %" PRIu64, part->new_offset);
    return covey__prefix(error, status, "patch: tensor \"%s\"",
                         covey__printable(part->name, part->name_size, shown, sizeof shown));
}

static covey_status compare_half(const uint8_t found[32], const uint8_t expected[16],
                                 const char *what, covey_error *error) {
    char wanted[33], is[33];
    if (memcmp(found, expected, 16) == 0) return COVEY_OK;
    covey__hex(expected, 16, wanted);
    covey__hex(found, 16, is);
    return covey__fail(error, COVEY_ERROR_MISMATCH, "%s: digest %s expected, found %s", what,
                       wanted, is);
}

static covey_status check_half(const covey__patch_apply *a, const uint8_t *data, size_t size,
                               const uint8_t expected[16], const char *what, covey_error *error) {
    uint8_t found[32];
    if (a->options.trust_digests) return COVEY_OK;
    covey__sha256_of(data, size, found);
    return compare_half(found, expected, what, error);
}

static const char base_differs[] = "the base's bytes are not those that the patch was made from";

/* The part's old bytes into `out`. Those of a copy are checked as its new ones. */
static covey_status read_old(const covey__patch_apply *a, const covey__patch_part *part,
                             uint8_t *out, covey_error *error) {
    if (part->old_size == 0) return COVEY_OK;
    const covey__patch_source *old = &a->options.old_file;
    covey_status status =
        old->read(old->user, part->old_offset, out, (size_t)part->old_size, error);
    if (status != COVEY_OK || part->kind == COVEY__PATCH_COPY) return status;
    return check_half(a, out, (size_t)part->old_size, part->old_digest, base_differs, error);
}

static covey_status decode_part(covey__patch_apply *a, frame_run *run,
                                const covey__patch_part *part, covey_error *error) {
    size_t size = (size_t)part->size;
    if (part->kind == COVEY__PATCH_COPY) return read_old(a, part, a->fresh, error);
    covey_status status = make_room(a->env, &a->old, &a->old_room, (size_t)part->old_size, error);
    if (status == COVEY_OK) status = read_old(a, part, a->old, error);
    if (status != COVEY_OK) return status;
    if (part->kind == COVEY__PATCH_TENSOR) {
        status = covey__stream_reader_part(a->stream, part, a->old, a->fresh, error);
    } else if (part->kind == COVEY__PATCH_STORED) {
        memcpy(a->fresh, run->stored, size);
    } else {
        status = covey__bytes_unpack(a->unpacker, a->old, (size_t)part->old_size, run->stored,
                                     part->stored, a->fresh, size, error);
    }
    run->stored += part->stored;
    return status;
}

/* What came out, against its digest, and into that of the whole file. */
static covey_status check_new(const covey__patch_apply *a, frame_run *run,
                              const covey__patch_part *part, covey_error *error) {
    uint8_t found[32];
    covey__sha256 hash;
    size_t size = (size_t)part->size;
    if (a->options.trust_digests) return COVEY_OK;
    covey__sha256_init(&hash);
    covey__sha256_update_pair(&hash, a->fresh, size, &run->border.hash, a->fresh, size);
    covey__sha256_final(&hash, found);
    const char *what =
        part->kind == COVEY__PATCH_COPY ? base_differs : "what came out is not what was meant";
    return compare_half(found, part->new_digest, what, error);
}

static covey_status make_part(covey__patch_apply *a, frame_run *run, const covey__patch_part *part,
                              covey_error *error) {
    covey_status status = decode_part(a, run, part, error);
    if (status == COVEY_OK) status = check_new(a, run, part, error);
    if (status != COVEY_OK) return name_part(part, status, error);
    const covey__patch_target *target = &a->options.new_file;
    return target->write(target->user, part->new_offset, a->fresh, (size_t)part->size, error);
}

/* The frame's stream begins behind what its parts of kinds 1 and 2 have stored. */
static covey_status begin_stream(covey__patch_apply *a, const covey__patch_frame *frame,
                                 const uint8_t *payload, frame_run *run, covey_error *error) {
    covey__patch_cursor cursor = a->border.cursor;
    covey__patch_part part;
    size_t stored = 0;
    for (uint32_t i = 0; i < frame->part_count && covey__patch_part_next(&cursor, &part); i++) {
        stored += part.stored;
        if (part.kind == COVEY__PATCH_TENSOR) run->coded = true;
    }
    if (!run->coded) return COVEY_OK;
    return covey__stream_reader_begin(a->stream, payload + stored, frame->payload_size - stored,
                                      error);
}

static covey_status make_frame(covey__patch_apply *a, const uint8_t *payload, covey_error *error) {
    covey__patch_frame frame = covey__patch_frame_at(a->head, a->border.frame);
    frame_run run = {.border = a->border, .stored = payload};
    covey__patch_part part;
    covey_status status =
        check_half(a, payload, frame.payload_size, frame.digest, "the payload", error);
    if (status == COVEY_OK) status = begin_stream(a, &frame, payload, &run, error);
    if (status != COVEY_OK)
        return covey__prefix(error, status, "patch: frame %" PRIu32, a->border.frame);
    for (uint32_t i = 0; i < frame.part_count; i++) {
        if (!covey__patch_part_next(&run.border.cursor, &part)) break;
        status = make_part(a, &run, &part, error);
        if (status != COVEY_OK) return status;
    }
    if (run.coded) status = covey__stream_reader_end(a->stream, error);
    if (status != COVEY_OK)
        return covey__prefix(error, status, "patch: frame %" PRIu32, a->border.frame);
    const covey__patch_target *target = &a->options.new_file;
    if (target->frame_done != NULL)
        status = target->frame_done(target->user, run.border.cursor.new_offset, error);
    if (status != COVEY_OK) return status;
    a->border = run.border;
    a->border.frame++;
    a->border.patch_offset += frame.payload_size;
    a->gathered_size = 0;
    return COVEY_OK;
}

/* A payload that the input has whole, and some bytes more, is used where it stands. */
static covey_status feed_frame(covey__patch_apply *a, const uint8_t **data, size_t *size,
                               bool *whole, covey_error *error) {
    size_t want = covey__patch_frame_at(a->head, a->border.frame).payload_size;
    *whole = true;
    if (a->gathered_size == 0 && *size >= want + COVEY__STREAM_PAST) {
        covey_status status = make_frame(a, *data, error);
        if (status != COVEY_OK) return status;
        *data += want;
        *size -= want;
        return COVEY_OK;
    }
    covey_status status = gather(a, want, data, size, whole, error);
    if (status == COVEY_OK && *whole) status = make_frame(a, a->gathered, error);
    return status;
}

covey_status covey__patch_apply_feed(covey__patch_apply *a, const void *data, size_t size,
                                     covey_error *error) {
    const uint8_t *bytes = data == NULL ? (const uint8_t *)"" : data;
    covey_status status = COVEY_OK;
    if (a->head == NULL) status = feed_head(a, &bytes, &size, error);
    if (status != COVEY_OK || a->head == NULL) return status;
    bool whole = true;
    while (status == COVEY_OK && whole && a->border.frame < a->head->frame_count)
        status = feed_frame(a, &bytes, &size, &whole, error);
    if (status == COVEY_OK && whole && size > 0)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "patch: it goes on after its last frame, byte %" PRIu64,
                           a->head->patch_size);
    return status;
}

/* --- After a break, and at the end --- */

/* Whether the part stands in the new file; its bytes go into the digest of the whole. */
static covey_status look_at_part(covey__patch_apply *a, const covey__patch_part *part,
                                 covey__sha256 *hash, bool *there, covey_error *error) {
    const covey__patch_target *target = &a->options.new_file;
    covey_status status =
        target->read(target->user, part->new_offset, a->fresh, (size_t)part->size, error);
    *there = false;
    if (status == COVEY_ERROR_FORMAT) return COVEY_OK; /* the file ends before */
    if (status != COVEY_OK) return status;
    uint8_t found[32];
    covey__sha256 own;
    covey__sha256_init(&own);
    covey__sha256_update_pair(&own, a->fresh, (size_t)part->size, hash, a->fresh,
                              (size_t)part->size);
    covey__sha256_final(&own, found);
    *there = memcmp(found, part->new_digest, 16) == 0;
    return COVEY_OK;
}

covey_status covey__patch_apply_scan(covey__patch_apply *a, covey_error *error) {
    if (a->head == NULL || a->gathered_size > 0 || a->options.new_file.read == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "patch: a scan comes after the head and before any frame");
    while (a->border.frame < a->head->frame_count) {
        covey__patch_frame frame = covey__patch_frame_at(a->head, a->border.frame);
        border next = a->border;
        covey__patch_part part;
        for (uint32_t i = 0; i < frame.part_count; i++) {
            bool there = false;
            if (!covey__patch_part_next(&next.cursor, &part)) break;
            covey_status status = look_at_part(a, &part, &next.hash, &there, error);
            if (status != COVEY_OK || !there) return status;
        }
        a->border = next;
        a->border.frame++;
        a->border.patch_offset += frame.payload_size;
    }
    return COVEY_OK;
}

covey_status covey__patch_apply_finish(covey__patch_apply *a, covey_error *error) {
    covey_status status = COVEY_OK;
    if (a->head != NULL) status = covey__patch_apply_feed(a, NULL, 0, error); /* empty frames */
    if (status != COVEY_OK) return status;
    if (a->head == NULL || a->border.frame < a->head->frame_count) {
        covey__patch_position position;
        covey__patch_apply_position(a, &position);
        if (a->head == NULL)
            return covey__fail(error, COVEY_ERROR_MISMATCH,
                               "patch: it ends after %" PRIu64 " bytes, within its head",
                               position.next);
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "patch: it ends after %" PRIu64 " of %" PRIu64 " bytes", position.next,
                           position.patch_size);
    }
    if (a->options.trust_digests) return COVEY_OK;
    uint8_t found[32];
    covey__sha256 hash = a->border.hash;
    covey__sha256_final(&hash, found);
    return check_digest("the new file's SHA-256", a->head->new_sha256, found, error);
}
