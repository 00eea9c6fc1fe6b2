/* Files for an apply: an open file as its source or target, and the whole of applying for three
 * paths. What is written as the new file goes to the disk in pieces while the next are made, and
 * bytes that pass through leave the system's cache as it was where that is asked for. */
#include "delta/patch.h"

#include "base/error.h"
#include "base/file_cache.h"
#include "base/sha256.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FEED_BYTES  (1u << 20)
#define FLUSH_BYTES (8u << 20) /* set out for the disk at a time */

/* --- A file as source or target --- */

static covey_status file_read(void *user, uint64_t offset, void *data, size_t size,
                              covey_error *error) {
    const covey__patch_file *f = user;
    return f->passing
               ? covey__file_read_passing(f->env, f->descriptor, f->path, offset, data, size, error)
               : covey__file_read_at(f->env, f->descriptor, f->path, offset, data, size, error);
}

static covey_status file_write(void *user, uint64_t offset, const void *data, size_t size,
                               covey_error *error) {
    const covey__patch_file *f = user;
    return covey__file_write_at(f->env, f->descriptor, f->path, offset, data, size, error);
}

/* Two stretches are under way at most: the one that is waited for, and the one behind it. */
static covey_status file_frame_done(void *user, uint64_t new_offset, covey_error *error) {
    covey__patch_file *f = user;
    covey_status status = COVEY_OK;
    if (!f->passing || new_offset < f->begun + FLUSH_BYTES) return COVEY_OK;
    if (f->begun > f->flushed)
        status = covey__flush_finish(f->env, f->descriptor, f->path, f->flushed,
                                     f->begun - f->flushed, error);
    if (status != COVEY_OK) return status;
    f->flushed = f->begun;
    status =
        covey__flush_start(f->env, f->descriptor, f->path, f->begun, new_offset - f->begun, error);
    if (status == COVEY_OK) f->begun = new_offset;
    return status;
}

covey_status covey__patch_file_source(covey__patch_file *file, covey__patch_source *source,
                                      covey_error *error) {
    struct stat facts;
    *source = (covey__patch_source){.read = file_read, .user = file};
    covey_status status = covey__file_facts(file->env, file->descriptor, file->path, &facts, error);
    if (status != COVEY_OK) return status;
    if (!S_ISREG(facts.st_mode)) {
        char shown[240];
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "%s: expected a file, found %s",
                           covey__printable(file->path, strlen(file->path), shown, sizeof shown),
                           S_ISDIR(facts.st_mode) ? "a folder" : "something else");
    }
    source->size = (uint64_t)facts.st_size;
    return COVEY_OK;
}

void covey__patch_file_target(covey__patch_file *file, covey__patch_target *target) {
    file->flushed = file->begun = 0;
    *target = (covey__patch_target){
        .write = file_write, .read = file_read, .frame_done = file_frame_done, .user = file};
}

/* --- Three paths --- */

typedef struct files_run {
    const covey__env *env;
    const covey__patch_options *options; /* may be NULL */
    covey__patch_file old_file, patch_file, new_file;
    covey__patch_source patch;
    covey__patch_apply *apply;
    uint8_t *piece; /* FEED_BYTES */
} files_run;

/* O_NONBLOCK: the open of a pipe would wait for its writer, and no signal ends that. */
static covey_status open_to_read(files_run *run, const char *path, covey__patch_file *file,
                                 covey__patch_source *source, covey_error *error) {
    *file = (covey__patch_file){.env = run->env, .path = path, .descriptor = -1};
    covey_status status =
        covey__file_open(run->env, path, O_RDONLY | O_NONBLOCK, 0, &file->descriptor, error);
    return status != COVEY_OK ? status : covey__patch_file_source(file, source, error);
}

static covey_status tell(const files_run *run, covey_error *error) {
    const covey__patch_options *options = run->options;
    covey__patch_position position;
    if (options == NULL || options->progress == NULL) return COVEY_OK;
    covey__patch_apply_position(run->apply, &position);
    covey_status status =
        options->progress(options->progress_user, position.new_offset, position.new_size);
    if (status == COVEY_OK) return COVEY_OK;
    return covey__fail(error, status, "patch: stopped by the caller");
}

static covey_status feed_all(files_run *run, covey_error *error) {
    covey_status status = COVEY_OK;
    for (uint64_t at = 0; status == COVEY_OK && at < run->patch.size;) {
        uint64_t left = run->patch.size - at;
        size_t size = left < FEED_BYTES ? (size_t)left : FEED_BYTES;
        status = run->patch.read(run->patch.user, at, run->piece, size, error);
        if (status == COVEY_OK)
            status = covey__patch_apply_feed(run->apply, run->piece, size, error);
        if (status == COVEY_OK) status = tell(run, error);
        at += size;
    }
    return status == COVEY_OK ? covey__patch_apply_finish(run->apply, error) : status;
}

/* SHA-256 of the base, to say of a wrong one which it is. */
static covey_status hash_old(files_run *run, const covey__patch_source *old, uint8_t digest[32],
                             covey_error *error) {
    covey__sha256 hash;
    covey__sha256_init(&hash);
    covey_status status = COVEY_OK;
    for (uint64_t at = 0; status == COVEY_OK && at < old->size;) {
        uint64_t left = old->size - at;
        size_t size = left < FEED_BYTES ? (size_t)left : FEED_BYTES;
        status = old->read(old->user, at, run->piece, size, error);
        if (status == COVEY_OK) covey__sha256_update(&hash, run->piece, size);
        at += size;
    }
    covey__sha256_final(&hash, digest);
    return status;
}

/* A mismatch whose cause is another base says so, with both digests; any other stays. */
static covey_status explain(files_run *run, const covey__patch_source *old,
                            const covey__patch_head *head, covey_error *error) {
    uint8_t digest[32];
    char wanted[65], found[65];
    if (head == NULL) return COVEY_ERROR_MISMATCH;
    if (hash_old(run, old, digest, NULL) != COVEY_OK || !memcmp(digest, head->old_sha256, 32))
        return COVEY_ERROR_MISMATCH;
    covey__hex(head->old_sha256, 32, wanted);
    covey__hex(digest, 32, found);
    return covey__fail(error, COVEY_ERROR_MISMATCH,
                       "%s is not the base of this patch: SHA-256 %s expected, found %s",
                       run->old_file.path, wanted, found);
}

static covey_status apply_to(files_run *run, const covey__patch_source *old,
                             const covey__replacement *file, covey_error *error) {
    covey__patch_apply_options options = {.old_file = *old};
    run->new_file = (covey__patch_file){
        .env = run->env, .path = file->temporary, .descriptor = file->descriptor};
    covey__patch_file_target(&run->new_file, &options.new_file);
    covey_status status = covey__patch_apply_open(run->env, &options, &run->apply, error);
    if (status == COVEY_OK) status = feed_all(run, error);
    if (status == COVEY_ERROR_MISMATCH)
        status = explain(run, old, covey__patch_apply_head(run->apply), error);
    covey__patch_apply_close(run->apply);
    return status;
}

covey_status covey__patch_apply_files(const covey__env *env, const char *old_path,
                                      const char *patch_path, const char *new_path,
                                      const covey__patch_options *options, covey_error *error) {
    files_run run = {.env = env, .options = options};
    run.old_file.descriptor = run.patch_file.descriptor = -1;
    covey__patch_source old;
    covey__replacement file = {.descriptor = -1};
    covey_status status = COVEY_OK;
    run.piece = covey__alloc(env, FEED_BYTES);
    if (run.piece == NULL) return covey__no_memory(error, "patch", FEED_BYTES);
    status = open_to_read(&run, old_path, &run.old_file, &old, error);
    if (status == COVEY_OK)
        status = open_to_read(&run, patch_path, &run.patch_file, &run.patch, error);
    if (status == COVEY_OK) status = covey__replace_begin(env, new_path, true, &file, error);
    if (status == COVEY_OK) {
        status = apply_to(&run, &old, &file, error);
        if (status == COVEY_OK) status = covey__replace_commit(&file, error);
        covey__replace_abort(&file);
    }
    if (run.old_file.descriptor >= 0) close(run.old_file.descriptor);
    if (run.patch_file.descriptor >= 0) close(run.patch_file.descriptor);
    covey__free(env, run.piece);
    return status;
}
