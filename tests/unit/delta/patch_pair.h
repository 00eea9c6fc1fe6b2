/* Pairs of files for the tests of patches, and the ways to make and apply one. */
#ifndef COVEY_TEST_PATCH_PAIR_H
#define COVEY_TEST_PATCH_PAIR_H

#include "support/support.h"

#include "delta/patch.h"

#include <stdlib.h>
#include <string.h>

typedef struct patch_bytes {
    uint8_t *data;
    size_t size;
} patch_bytes;

/* Old and new file in a folder of their own. */
typedef struct patch_pair {
    test_env test;
    test_folder folder;
    char old_path[300], new_path[300], patch_path[300], out_path[300];
    patch_bytes old, fresh, patch;
} patch_pair;

static inline void patch_pair_begin(patch_pair *p) {
    memset(p, 0, sizeof *p);
    test_env_init(&p->test);
    test_folder_make(&p->folder);
    strcpy(p->old_path, test_path(&p->folder, "old"));
    strcpy(p->new_path, test_path(&p->folder, "new"));
    strcpy(p->patch_path, test_path(&p->folder, "patch"));
    strcpy(p->out_path, test_path(&p->folder, "out"));
}

static inline void patch_pair_end(patch_pair *p) {
    free(p->old.data);
    free(p->fresh.data);
    free(p->patch.data);
    test_folder_remove(&p->folder);
    assert_int_equal(p->test.alive, 0);
}

static inline void patch_random(patch_bytes *bytes, size_t size, uint64_t seed) {
    free(bytes->data);
    bytes->data = malloc(size + 1);
    bytes->size = size;
    for (size_t i = 0; i < size; i++) bytes->data[i] = (uint8_t)test_random(&seed);
}

static inline patch_bytes patch_read_file(const char *path) {
    patch_bytes bytes;
    bytes.data = (uint8_t *)test_read(path, &bytes.size);
    assert_non_null(bytes.data);
    return bytes;
}

/* Both files are written, and the patch is made and read. */
static inline void patch_pair_make(patch_pair *p, covey__patch_stats *stats) {
    covey_error error = {0};
    test_write(p->old_path, p->old.data, p->old.size);
    test_write(p->new_path, p->fresh.data, p->fresh.size);
    covey_status status = covey__patch_make(&p->test.env, p->old_path, p->new_path, p->patch_path,
                                            NULL, stats, &error);
    if (status != COVEY_OK) fail_msg("make: %s", error.message);
    free(p->patch.data);
    p->patch = patch_read_file(p->patch_path);
    assert_int_equal(stats->patch_size, p->patch.size);
}

static inline void patch_pair_apply(patch_pair *p) {
    covey_error error = {0};
    covey_status status = covey__patch_apply_files(&p->test.env, p->old_path, p->patch_path,
                                                   p->out_path, NULL, &error);
    if (status != COVEY_OK) fail_msg("apply: %s", error.message);
    patch_bytes out = patch_read_file(p->out_path);
    assert_int_equal(out.size, p->fresh.size);
    assert_memory_equal(out.data, p->fresh.data, out.size);
    free(out.data);
}

/* Memory as both sides of an apply. */
typedef struct patch_memory {
    const patch_bytes *old;
    patch_bytes out; /* as large as the new file; `size` is how far it was written */
    size_t room;
    size_t fail_after; /* this many writes; 0: never */
    size_t writes;
} patch_memory;

static inline covey_status patch_memory_old(void *user, uint64_t offset, void *data, size_t size,
                                            covey_error *error) {
    const patch_memory *m = user;
    (void)error;
    assert_true(offset <= m->old->size && size <= m->old->size - offset);
    memcpy(data, m->old->data + offset, size);
    return COVEY_OK;
}

static inline covey_status patch_memory_write(void *user, uint64_t offset, const void *data,
                                              size_t size, covey_error *error) {
    patch_memory *m = user;
    (void)error;
    assert_true(offset <= m->room && size <= m->room - offset);
    m->writes++;
    if (m->fail_after != 0 && m->writes > m->fail_after) return COVEY_ERROR_IO;
    memcpy(m->out.data + offset, data, size);
    if (m->out.size < offset + size) m->out.size = (size_t)offset + size;
    return COVEY_OK;
}

static inline covey_status patch_memory_read(void *user, uint64_t offset, void *data, size_t size,
                                             covey_error *error) {
    const patch_memory *m = user;
    (void)error;
    if (offset > m->out.size || size > m->out.size - offset) return COVEY_ERROR_FORMAT;
    memcpy(data, m->out.data + offset, size);
    return COVEY_OK;
}

static inline void patch_memory_begin(patch_memory *m, const patch_bytes *old, size_t new_size,
                                      covey__patch_apply_options *options) {
    memset(m, 0, sizeof *m);
    m->old = old;
    m->room = new_size;
    m->out.data = calloc(1, new_size + 1);
    *options = (covey__patch_apply_options){
        .old_file = {patch_memory_old, m, old->size},
        .new_file = {patch_memory_write, patch_memory_read, NULL, m},
    };
}

#endif
