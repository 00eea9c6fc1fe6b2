/* Making a patch: the plan of parts (patch_plan.c), then two passes over the parts that have a
 * tensor coder: one counts, all of them or a fair sample of a large file, and the tables are fitted
 * to the counts; one encodes, frame by frame, into the writer. Where a frame's stream is no smaller
 * than its bytes, or than what zstd makes of them, its parts are stored in that way. Both files are
 * mapped: memory of our own is one frame's. Neighbours: patch_match.c, patch_bytes.c,
 * patch_stream.c, patch_write.c. */
#include "delta/patch.h"

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "delta/patch_bytes.h"
#include "delta/patch_plan.h"
#include "delta/patch_stream.h"
#include "delta/patch_write.h"

#include <inttypes.h>
#include <string.h>

#define SAMPLE_BYTES (128u << 20) /* of parts that are counted, about */
#define HASH_BYTES   (4u << 20)
#define SPARSE_PIECE 64 /* bytes compared at a time to see how much of a part changed at all */

typedef struct maker {
    const covey__env *env;
    covey__patch_options options;
    covey_error *error;
    covey__map old, fresh;
    covey__patch_plan plan;
    covey__patch_writer writer;
    covey__stream_writer *stream;
    covey__byte_packer *packer;
    covey__patch_ends ends;
    covey__buffer payload, trial; /* of the frame: stored bytes, then the stream */
    covey__patch_stats stats;
    uint64_t done, total;
} maker;

static covey_status tell(maker *m, uint64_t bytes) {
    m->done += bytes;
    if (m->options.progress == NULL) return COVEY_OK;
    covey_status status = m->options.progress(m->options.progress_user, m->done, m->total);
    if (status == COVEY_OK) return COVEY_OK;
    return covey__fail(m->error, status, "patch: stopped by the caller");
}

static covey__stream_part stream_part(const maker *m, const covey__plan_part *part) {
    covey__stream_part out = {.type = m->plan.matches.items[part->match].type,
                              .old = m->old.data + part->old_offset,
                              .fresh = m->fresh.data + part->new_offset,
                              .size = (size_t)part->size,
                              .first_row = part->first_row};
    if (part->factor != COVEY__PATCH_NO_FACTOR) out.factor = &m->plan.factors[part->factor].factor;
    memcpy(out.starts, part->starts, sizeof out.starts);
    return out;
}

/* --- The first pass --- */

/* Whether this part is counted: of each type the first, then so that the share is kept. */
static bool is_sampled(uint64_t seen[256], uint64_t counted[256], const covey__stream_part *part,
                       double share) {
    bool wanted = (double)counted[part->type] <= (double)seen[part->type] * share;
    seen[part->type] += part->size;
    if (wanted) counted[part->type] += part->size;
    return wanted;
}

static covey_status count_parts(maker *m) {
    uint64_t seen[256] = {0}, counted[256] = {0};
    double share = 1.0;
    if (m->plan.coded_bytes > SAMPLE_BYTES)
        share = (double)SAMPLE_BYTES / (double)m->plan.coded_bytes;
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < m->plan.count; i++) {
        covey__plan_part *planned = &m->plan.parts[i];
        if (planned->kind != COVEY__PATCH_TENSOR) continue;
        covey__stream_part part = stream_part(m, planned);
        status = covey__stream_writer_starts(m->stream, &part, m->error);
        memcpy(planned->starts, part.starts, sizeof part.starts);
        if (status == COVEY_OK && is_sampled(seen, counted, &part, share)) {
            status = covey__stream_writer_count(m->stream, &part, m->error);
            if (status == COVEY_OK) status = tell(m, part.size);
        }
    }
    return status;
}

static covey_status fit_tables(maker *m) {
    covey__patch_table table;
    if (m->plan.coded_bytes == 0) return COVEY_OK;
    for (size_t i = 0; i < m->plan.factor_count; i++) {
        const covey__tensor_factor *f = &m->plan.factors[i].factor;
        covey__patch_factor stored = {
            .columns = f->columns, .rank = f->rank, .scale = f->scale, .v = f->v};
        covey__patch_writer_factor(&m->writer, &stored);
    }
    covey_status status = covey__stream_writer_new(m->env, &m->stream, m->error);
    if (status == COVEY_OK) status = count_parts(m);
    if (status != COVEY_OK) return status;
    covey__stream_writer_fit(m->stream);
    for (size_t i = 0; covey__stream_writer_table(m->stream, i, &table); i++)
        covey__patch_writer_table(&m->writer, &table);
    return COVEY_OK;
}

/* --- The second pass: a frame --- */

/* A frame's parts as they are stored. */
typedef struct frame_plan {
    covey__plan_part *parts;
    size_t count;
    size_t coded_bytes; /* of parts with a stream */
} frame_plan;

/* Appends the part's bytes, compressed where that helps; `*stored` is how many. */
static covey_status put_bytes(maker *m, covey__plan_part *part, covey__pack_effort effort,
                              covey__buffer *out, uint32_t *stored) {
    size_t size = (size_t)part->size, made;
    const uint8_t *fresh = m->fresh.data + part->new_offset;
    char *room = covey__buffer_reserve(out, size);
    if (room == NULL) return covey__buffer_check(out, m->error, "a frame");
    covey_status status = COVEY_OK;
    if (m->packer == NULL) status = covey__byte_packer_new(m->env, &m->packer, m->error);
    if (status == COVEY_OK)
        status = covey__bytes_pack(m->packer, effort, m->old.data + part->old_offset,
                                   (size_t)part->old_size, fresh, size, room, &made, m->error);
    if (status != COVEY_OK) return status;
    part->kind = made > 0 ? COVEY__PATCH_COMPRESSED : COVEY__PATCH_STORED;
    if (made == 0) {
        memcpy(room, fresh, size);
        part->old_offset = part->old_size = 0;
        made = size;
    }
    out->size += made;
    *stored = (uint32_t)made;
    return COVEY_OK;
}

/* `coded` gets what each part takes of the stream. `*fits` is false where there is none. */
static covey_status code_frame(maker *m, const frame_plan *frame, uint32_t *coded, bool *fits) {
    covey_status status = COVEY_OK;
    covey_error error = {0};
    for (size_t i = 0; status == COVEY_OK && i < frame->count; i++) {
        if (frame->parts[i].kind != COVEY__PATCH_TENSOR) continue;
        covey__stream_part part = stream_part(m, &frame->parts[i]);
        status = covey__stream_writer_part(m->stream, &part, m->error);
    }
    if (status != COVEY_OK) return status;
    status = covey__stream_writer_end(m->stream, &m->trial, coded, &error);
    *fits = status != COVEY_ERROR_LIMIT;
    if (!*fits) return COVEY_OK;
    if (status != COVEY_OK && m->error != NULL) *m->error = error;
    /* from one a part with a stream to one a part */
    size_t from = 0;
    for (size_t i = 0; i < frame->count; i++)
        if (frame->parts[i].kind == COVEY__PATCH_TENSOR) from++;
    for (size_t i = frame->count; status == COVEY_OK && i-- > 0;)
        coded[i] = frame->parts[i].kind == COVEY__PATCH_TENSOR ? coded[--from] : 0;
    return status;
}

/* Whether most of the frame's coded bytes did not change at all: then zstd may do better. */
static bool is_sparse(const maker *m, const frame_plan *frame) {
    size_t pieces = 0, equal = 0;
    for (size_t i = 0; i < frame->count; i++) {
        const covey__plan_part *part = &frame->parts[i];
        if (part->kind != COVEY__PATCH_TENSOR) continue;
        const uint8_t *old = m->old.data + part->old_offset;
        const uint8_t *fresh = m->fresh.data + part->new_offset;
        for (uint64_t at = 0; at + SPARSE_PIECE <= part->size; at += SPARSE_PIECE) {
            pieces++;
            if (memcmp(old + at, fresh + at, SPARSE_PIECE) == 0) equal++;
        }
    }
    return equal * 8 > pieces * 7;
}

/* Parts with a stream become parts of bytes where these take less than `coded` bytes. */
static covey_status try_bytes(maker *m, const frame_plan *frame, size_t coded, bool *better) {
    covey__plan_part *parts = frame->parts;
    covey__buffer bytes;
    covey__buffer_init(&bytes, m->env, COVEY__PATCH_PAYLOAD_MAX);
    covey__plan_part *kept = covey__calloc(m->env, frame->count, sizeof *kept);
    if (kept == NULL) return covey__no_memory(m->error, "parts", frame->count * sizeof *kept);
    memcpy(kept, parts, frame->count * sizeof *kept);
    uint32_t unused;
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < frame->count; i++)
        if (kept[i].kind == COVEY__PATCH_TENSOR)
            status = put_bytes(m, &parts[i], COVEY__PACK_MIDDLE, &bytes, &unused);
    *better = status == COVEY_OK && bytes.size < coded;
    if (!*better) memcpy(parts, kept, frame->count * sizeof *kept);
    covey__free(m->env, kept);
    covey__buffer_free(&bytes);
    return status;
}

/* The stored bytes of all parts of bytes, in order, to the payload. */
static covey_status store_bytes(maker *m, const frame_plan *frame, uint32_t *stored) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < frame->count; i++) {
        covey__plan_part *part = &frame->parts[i];
        const covey__match *match = &m->plan.matches.items[part->match];
        covey__pack_effort effort =
            match->kind == COVEY__MATCH_TENSOR ? COVEY__PACK_MIDDLE : match->effort;
        if (part->kind == COVEY__PATCH_COMPRESSED || part->kind == COVEY__PATCH_STORED)
            status = put_bytes(m, part, effort, &m->payload, &stored[i]);
    }
    return status;
}

static covey_status make_payload(maker *m, const frame_plan *frame, uint32_t *stored) {
    covey_status status = COVEY_OK;
    bool bytes_are_better = false, fits = true;
    covey__buffer_clear(&m->payload);
    covey__buffer_clear(&m->trial);
    if (frame->coded_bytes > 0) {
        status = code_frame(m, frame, stored, &fits);
        size_t coded = fits ? m->trial.size : SIZE_MAX;
        if (status == COVEY_OK && (coded > frame->coded_bytes / 4 * 3 || is_sparse(m, frame)))
            status = try_bytes(m, frame, coded, &bytes_are_better);
    }
    if (status == COVEY_OK) status = store_bytes(m, frame, stored);
    covey__byte_packer_free(m->packer); /* its tables are large where it looked hard */
    m->packer = NULL;
    if (status == COVEY_OK && !bytes_are_better && m->trial.size > 0)
        status = covey__buffer_append(&m->payload, m->trial.data, m->trial.size);
    return status != COVEY_OK ? status : covey__buffer_check(&m->payload, m->error, "a frame");
}

/* Digests of the part, and its entry. */
static void put_part(maker *m, const covey__plan_part *planned, uint32_t stored) {
    static const uint8_t none[16] = {0};
    const covey__match *match = &m->plan.matches.items[planned->match];
    uint8_t old_digest[32], new_digest[32];
    const uint8_t *fresh = m->fresh.data + planned->new_offset;
    covey__sha256 old_hash, new_hash;
    covey__sha256_init(&old_hash);
    covey__sha256_init(&new_hash);
    size_t old_size = planned->kind == COVEY__PATCH_COPY ? 0 : (size_t)planned->old_size;
    covey__sha256_update_pair(&old_hash, m->old.data + planned->old_offset, old_size, &new_hash,
                              fresh, (size_t)planned->size);
    covey__sha256_final(&old_hash, old_digest);
    covey__sha256_final(&new_hash, new_digest);
    covey__patch_part part = {.kind = planned->kind,
                              .type = match->type,
                              .named = planned->first && match->named,
                              .name = match->name,
                              .name_size = match->name_size,
                              .size = planned->size,
                              .old_offset = planned->old_offset,
                              .old_size = planned->old_size,
                              .old_digest = old_digest,
                              .new_digest = new_digest,
                              .stored = stored,
                              .coded = stored,
                              .starts = planned->starts,
                              .factor = COVEY__PATCH_NO_FACTOR};
    if (planned->kind == COVEY__PATCH_TENSOR) {
        part.factor = planned->factor;
        part.first_row = planned->first_row;
    }
    if (planned->kind == COVEY__PATCH_COPY) part.old_digest = new_digest;
    if (planned->old_size == 0) part.old_digest = none;
    covey__patch_writer_part(&m->writer, &part);
    m->stats.bytes[planned->kind] += planned->size;
}

static covey_status make_frame(maker *m, frame_plan *frame) {
    uint64_t size = 0;
    uint32_t *stored = covey__calloc(m->env, frame->count, sizeof *stored);
    if (stored == NULL) return covey__no_memory(m->error, "parts", frame->count * sizeof *stored);
    covey_status status = make_payload(m, frame, stored);
    for (size_t i = 0; status == COVEY_OK && i < frame->count; i++) {
        put_part(m, &frame->parts[i], stored[i]);
        size += frame->parts[i].size;
    }
    if (status == COVEY_OK)
        status = covey__patch_writer_frame(&m->writer, (uint32_t)frame->count, m->payload.data,
                                           (uint32_t)m->payload.size, m->error);
    covey__free(m->env, stored);
    return status == COVEY_OK ? tell(m, size) : status;
}

static covey_status make_frames(maker *m) {
    covey_status status = COVEY_OK;
    frame_plan frame = {.parts = m->plan.parts};
    for (size_t i = 0; status == COVEY_OK && i < m->plan.count; i++) {
        const covey__plan_part *part = &m->plan.parts[i];
        frame.count++;
        if (part->kind == COVEY__PATCH_TENSOR) frame.coded_bytes += (size_t)part->size;
        if (!part->ends_frame) continue;
        status = make_frame(m, &frame);
        frame = (frame_plan){.parts = m->plan.parts + i + 1};
    }
    return status;
}

/* --- The whole --- */

static size_t next_piece(const covey__map *map, size_t at) {
    size_t left = at < map->size ? map->size - at : 0;
    return left < HASH_BYTES ? left : HASH_BYTES;
}

/* The digests of both files, side by side. */
static covey_status hash_ends(maker *m) {
    covey__sha256 old, fresh;
    size_t most = m->old.size > m->fresh.size ? m->old.size : m->fresh.size;
    covey_status status = COVEY_OK;
    covey__sha256_init(&old);
    covey__sha256_init(&fresh);
    for (size_t at = 0; status == COVEY_OK && at < most; at += HASH_BYTES) {
        size_t old_size = next_piece(&m->old, at), new_size = next_piece(&m->fresh, at);
        covey__sha256_update_pair(&old, m->old.data + (old_size == 0 ? 0 : at), old_size, &fresh,
                                  m->fresh.data + (new_size == 0 ? 0 : at), new_size);
        status = tell(m, 0);
    }
    covey__sha256_final(&old, m->ends.old_sha256);
    covey__sha256_final(&fresh, m->ends.new_sha256);
    return status;
}

static covey_status check_maps(const maker *m) {
    covey_status status = covey__map_check(&m->old, m->error);
    return status == COVEY_OK ? covey__map_check(&m->fresh, m->error) : status;
}

static covey_status make_all(maker *m) {
    covey__match_file old = {m->old.data, m->old.size}, fresh = {m->fresh.data, m->fresh.size};
    m->ends.old_size = old.size;
    m->ends.new_size = fresh.size;
    covey_status status = hash_ends(m);
    if (status == COVEY_OK)
        status = covey__patch_plan_make(m->env, &old, &fresh, &m->plan, m->error);
    if (status != COVEY_OK) return status;
    uint64_t coded = m->plan.coded_bytes;
    m->total = fresh.size + (coded < SAMPLE_BYTES ? coded : SAMPLE_BYTES);
    status = fit_tables(m);
    if (status == COVEY_OK) status = check_maps(m);
    if (status == COVEY_OK) status = make_frames(m);
    if (status == COVEY_OK) status = check_maps(m);
    if (status != COVEY_OK) return status;
    m->stats.old_size = old.size;
    m->stats.new_size = fresh.size;
    uint64_t payloads = m->writer.payload_size;
    status = covey__patch_writer_finish(&m->writer, &m->ends, &m->stats.head_size,
                                        m->stats.head_sha256, m->error);
    m->stats.patch_size = m->stats.head_size + payloads;
    return status;
}

static void release(maker *m) {
    covey__patch_plan_free(&m->plan);
    covey__stream_writer_free(m->stream);
    covey__byte_packer_free(m->packer);
    covey__buffer_free(&m->payload);
    covey__buffer_free(&m->trial);
    covey__map_close(&m->old);
    covey__map_close(&m->fresh);
}

covey_status covey__patch_make(const covey__env *env, const char *old_path, const char *new_path,
                               const char *patch_path, const covey__patch_options *options,
                               covey__patch_stats *stats, covey_error *error) {
    maker m = {.env = env, .error = error};
    if (options != NULL) m.options = *options;
    covey__buffer_init(&m.payload, env, COVEY__PATCH_PAYLOAD_MAX);
    covey__buffer_init(&m.trial, env, COVEY__PATCH_PAYLOAD_MAX);
    covey_status status = covey__map_path(env, old_path, &m.old, error);
    if (status == COVEY_OK) status = covey__map_path(env, new_path, &m.fresh, error);
    if (status == COVEY_OK) {
        status = covey__patch_writer_open(env, patch_path, &m.writer, error);
        if (status == COVEY_OK) status = make_all(&m);
        covey__patch_writer_close(&m.writer);
    }
    release(&m);
    if (status == COVEY_OK && stats != NULL) *stats = m.stats;
    return status;
}
