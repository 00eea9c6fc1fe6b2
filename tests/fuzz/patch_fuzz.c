/* Patches: heads as they are, and whole applies. An input for these is an old file, a directory in
 * plain and the payloads behind it; the target packs the directory, so that mutations reach what is
 * in it, and digests are believed, or no mutation would reach the decoders. What is fed must never
 * reach beyond what it was given, and what says that it is done must have made the whole file. The
 * layout of an input: sizes of old file, directory and new file, 4 bytes each, one byte for the
 * size of pieces, then old file, directory, payloads. */
#include "fuzz/fuzz_target.h"

#include "base/buffer.h"
#include "delta/patch.h"
#include "delta/patch_fields.h"

#include <zstd.h>

#include <string.h>

#define PREFACE 13u
#define NEW_MAX (1u << 20)

typedef struct sides {
    const uint8_t *old;
    uint64_t old_size;
    uint8_t *out;
    uint64_t out_size, written;
} sides;

static covey_status read_old(void *user, uint64_t offset, void *data, size_t size,
                             covey_error *error) {
    const sides *s = user;
    (void)error;
    FUZZ_CHECK(offset <= s->old_size && size <= s->old_size - offset);
    memcpy(data, s->old + offset, size);
    return COVEY_OK;
}

static covey_status write_new(void *user, uint64_t offset, const void *data, size_t size,
                              covey_error *error) {
    sides *s = user;
    (void)error;
    FUZZ_CHECK(offset == s->written && size <= s->out_size - offset);
    memcpy(s->out + offset, data, size);
    s->written += size;
    return COVEY_OK;
}

static covey_status read_new(void *user, uint64_t offset, void *data, size_t size,
                             covey_error *error) {
    const sides *s = user;
    (void)error;
    if (offset > s->written || size > s->written - offset) return COVEY_ERROR_FORMAT;
    memcpy(data, s->out + offset, size);
    return COVEY_OK;
}

static void check_known(covey_status status, const covey_error *error) {
    FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_FORMAT ||
               status == COVEY_ERROR_MISMATCH || status == COVEY_ERROR_UNSUPPORTED);
    FUZZ_CHECK((status == COVEY_OK) == (error->message[0] == '\0'));
}

/* The input as the head of a patch. */
static void check_head(const covey__env *env, const uint8_t *data, size_t size) {
    covey__patch_head *head;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_status status = covey__patch_head_parse(env, data, size, &head, &error);
    check_known(status, &error);
    FUZZ_CHECK((status == COVEY_OK) == (head != NULL));
    if (head == NULL) return;
    covey__patch_cursor cursor = {.head = head};
    covey__patch_part part;
    uint64_t sum = 0;
    while (covey__patch_part_next(&cursor, &part)) {
        FUZZ_CHECK(part.new_offset == sum);
        FUZZ_CHECK(part.old_offset + part.old_size <= head->old_size);
        sum += part.size;
    }
    FUZZ_CHECK(sum == head->new_size && cursor.index == head->part_count);
    covey__patch_head_free(head);
}

static void feed_all(covey__patch_apply *apply, const covey__buffer *patch, size_t piece,
                     const sides *s) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_status status = COVEY_OK;
    for (size_t at = 0; status == COVEY_OK && at < patch->size; at += piece) {
        size_t size = patch->size - at < piece ? patch->size - at : piece;
        uint8_t *copy = malloc(size); /* exactly: a byte more is seen by the sanitizer */
        FUZZ_CHECK(copy != NULL);
        memcpy(copy, patch->data + at, size);
        status = covey__patch_apply_feed(apply, copy, size, &error);
        free(copy);
    }
    if (status == COVEY_OK) status = covey__patch_apply_finish(apply, &error);
    check_known(status, &error);
    FUZZ_CHECK(status != COVEY_OK || s->written == s->out_size);
}

static void apply_patch(const covey__env *env, const covey__buffer *patch, size_t piece, sides *s) {
    covey__patch_apply_options options = {.old_file = {read_old, s, s->old_size},
                                          .new_file = {write_new, read_new, NULL, s},
                                          .trust_digests = true};
    covey__patch_apply *apply;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    FUZZ_CHECK(covey__patch_apply_open(env, &options, &apply, &error) == COVEY_OK);
    feed_all(apply, patch, piece, s);
    covey__patch_apply_close(apply);
}

static void check_apply(const covey__env *env, const uint8_t *data, size_t size) {
    if (size < PREFACE) return;
    uint64_t old_size = covey__patch_u32(data), directory_size = covey__patch_u32(data + 4);
    uint64_t new_size = covey__patch_u32(data + 8);
    size_t piece = data[12] == 0 ? SIZE_MAX : (size_t)data[12] * data[12];
    if (old_size + directory_size > size - PREFACE || new_size > NEW_MAX) return;
    const uint8_t *old = data + PREFACE, *directory = old + old_size;
    size_t payload_size = size - PREFACE - (size_t)(old_size + directory_size);
    size_t room = ZSTD_compressBound((size_t)directory_size);
    covey__buffer patch;
    covey__buffer_init(&patch, env, COVEY__PATCH_FIXED + room + payload_size);
    uint8_t *fixed = (uint8_t *)covey__buffer_reserve(&patch, COVEY__PATCH_FIXED + room);
    FUZZ_CHECK(fixed != NULL);
    memset(fixed, 0, COVEY__PATCH_FIXED);
    size_t stored =
        ZSTD_compress(fixed + COVEY__PATCH_FIXED, room, directory, (size_t)directory_size, -5);
    FUZZ_CHECK(!ZSTD_isError(stored));
    memcpy(fixed, COVEY__PATCH_MAGIC, 8);
    covey__patch_put(fixed + 8, COVEY__PATCH_FORMAT, 4);
    covey__patch_put(fixed + 12, stored, 4);
    covey__patch_put(fixed + 16, directory_size, 4);
    covey__patch_put(fixed + 24, old_size, 8);
    covey__patch_put(fixed + 64, new_size, 8);
    patch.size = COVEY__PATCH_FIXED + stored;
    check_head(env, (const uint8_t *)patch.data, patch.size);
    FUZZ_CHECK(covey__buffer_append(&patch, directory + directory_size, payload_size) == COVEY_OK);
    sides s = {.old = old, .old_size = old_size, .out_size = new_size};
    s.out = malloc((size_t)new_size + 1);
    FUZZ_CHECK(s.out != NULL);
    apply_patch(env, &patch, piece, &s);
    free(s.out);
    covey__buffer_free(&patch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__env_init(&env);
    check_head(&env, data, size);
    check_apply(&env, data, size);
    return 0;
}
