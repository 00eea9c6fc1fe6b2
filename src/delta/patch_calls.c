/* The public calls of covey/delta.h: options and results of any size, and the walk that sums a
 * patch's parts up by tensor. */
#include <covey/delta.h>

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "base/sha256.h"
#include "delta/patch.h"
#include "gguf/gguf.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN_NAME 256

/* The caller's callback takes a status of its own; the arguments are the same. */
static covey__patch_options with_progress(covey_delta_progress_fn progress, void *user) {
    return (covey__patch_options){.progress = progress, .progress_user = user};
}

static bool facts_of(const covey__env *env, const char *path, struct stat *facts) {
    int descriptor;
    if (covey__file_open(env, path, O_RDONLY | O_NONBLOCK, 0, &descriptor, NULL) != COVEY_OK)
        return false;
    covey_status status = covey__file_facts(env, descriptor, path, facts, NULL);
    close(descriptor);
    return status == COVEY_OK;
}

/* Under any of its names. */
static bool same_file(const covey__env *env, const char *one, const char *other) {
    struct stat a, b;
    return facts_of(env, one, &a) && facts_of(env, other, &b) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* What is written may never be one of the files that are read, even where replacing is allowed:
 * the only copy of a model would be gone. */
static covey_status check_new(const covey__env *env, const char *path, const char *const read[2],
                              bool replace, covey_error *error) {
    bool there;
    char shown[240];
    for (int i = 0; i < 2; i++)
        if (same_file(env, path, read[i]))
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "%s: is one of the files to read; name another one to write",
                               covey__printable(path, strlen(path), shown, sizeof shown));
    if (replace) return COVEY_OK;
    covey_status status = covey__file_find(env, path, &there, error);
    if (status != COVEY_OK || !there) return status;
    return covey__fail(error, COVEY_ERROR_EXISTS, "%s: is there already",
                       covey__printable(path, strlen(path), shown, sizeof shown));
}

static void add_kind(covey_delta_result *r, covey__patch_kind kind, uint64_t bytes) {
    if (kind == COVEY__PATCH_COPY) r->copied_bytes += bytes;
    if (kind == COVEY__PATCH_STORED) r->stored_bytes += bytes;
    if (kind == COVEY__PATCH_COMPRESSED) r->compressed_bytes += bytes;
    if (kind == COVEY__PATCH_TENSOR) r->coded_bytes += bytes;
}

/* `out->size` stays: what the caller knows of is set. */
static void give(void *out, const void *made, size_t made_size) {
    size_t size;
    memcpy(&size, out, sizeof size);
    size_t known = size < made_size ? size : made_size;
    memcpy((char *)out + sizeof size, (const char *)made + sizeof size, known - sizeof size);
}

covey_status covey_delta_make(covey_runtime *runtime, const covey_delta_make_options *options,
                              covey_delta_result *result, covey_error *error,
                              covey_delta_progress_fn progress, void *user) {
    covey_delta_make_options own = COVEY_DELTA_MAKE_OPTIONS_INIT;
    if (options != NULL && options->size >= sizeof(size_t))
        memcpy(&own, options, options->size < sizeof own ? options->size : sizeof own);
    if (runtime == NULL || !own.old_path || !own.new_path || !own.patch_path ||
        (result != NULL && result->size < sizeof(size_t)))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "delta: expected a runtime, two files and a patch");
    const covey__env *env = covey__runtime_env(runtime);
    covey__patch_options make = with_progress(progress, user);
    covey__patch_stats stats;
    covey_status status = check_new(
        env, own.patch_path, (const char *const[]){own.old_path, own.new_path}, own.replace, error);
    if (status == COVEY_OK)
        status = covey__patch_make(env, own.old_path, own.new_path, own.patch_path, &make, &stats,
                                   error);
    if (status != COVEY_OK) return covey__prefix(error, status, "delta");
    covey_delta_result made = COVEY_DELTA_RESULT_INIT;
    made.old_bytes = stats.old_size;
    made.new_bytes = stats.new_size;
    made.patch_bytes = stats.patch_size;
    made.head_bytes = stats.head_size;
    for (int i = 0; i < COVEY__PATCH_KINDS; i++)
        add_kind(&made, (covey__patch_kind)i, stats.bytes[i]);
    if (result != NULL) give(result, &made, sizeof made);
    return COVEY_OK;
}

covey_status covey_delta_apply(covey_runtime *runtime, const covey_delta_apply_options *options,
                               covey_error *error, covey_delta_progress_fn progress, void *user) {
    covey_delta_apply_options own = COVEY_DELTA_APPLY_OPTIONS_INIT;
    if (options != NULL && options->size >= sizeof(size_t))
        memcpy(&own, options, options->size < sizeof own ? options->size : sizeof own);
    if (runtime == NULL || !own.old_path || !own.patch_path || !own.new_path)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "delta: expected a runtime, a patch and two files");
    const covey__env *env = covey__runtime_env(runtime);
    covey__patch_options apply = with_progress(progress, user);
    covey_status status = check_new(
        env, own.new_path, (const char *const[]){own.old_path, own.patch_path}, own.replace, error);
    if (status == COVEY_OK)
        status = covey__patch_apply_files(env, own.old_path, own.patch_path, own.new_path, &apply,
                                          error);
    return status == COVEY_OK ? status : covey__prefix(error, status, "delta");
}

/* --- What a patch says of itself --- */

typedef struct shower {
    const covey__patch_head *head;
    covey_delta_info info;
    covey_delta_result totals;
    covey_delta_tensor tensor; /* the one whose parts are summed up */
    char name[SHOWN_NAME];
    bool open;
    covey_delta_tensor_fn each;
    void *user;
} shower;

static covey_status close_tensor(shower *s) {
    if (!s->open) return COVEY_OK;
    s->open = false;
    if (s->name[0] != '\0') s->info.tensor_count++;
    return s->each == NULL ? COVEY_OK : s->each(s->user, &s->tensor);
}

static covey_status open_tensor(shower *s, const covey__patch_part *part) {
    covey_status status = close_tensor(s);
    const covey__type_info *type = covey__type_get(part->type);
    covey__printable(part->name, part->name_size, s->name, sizeof s->name);
    memset(&s->tensor, 0, sizeof s->tensor);
    s->tensor.size = sizeof s->tensor;
    s->tensor.name = s->name;
    s->tensor.type = type == NULL ? "" : type->name;
    s->open = true;
    return status;
}

static covey_status show_part(shower *s, const covey__patch_part *part) {
    covey_status status = COVEY_OK;
    if (part->named || !s->open) status = open_tensor(s, part);
    covey_delta_result sums = {0};
    add_kind(&sums, part->kind, part->size);
    s->tensor.bytes += part->size;
    s->tensor.copied_bytes += sums.copied_bytes;
    s->tensor.stored_bytes += sums.stored_bytes;
    s->tensor.compressed_bytes += sums.compressed_bytes;
    s->tensor.coded_bytes += sums.coded_bytes;
    s->tensor.patch_bytes += (uint64_t)part->stored + part->coded;
    if (part->factor != COVEY__PATCH_NO_FACTOR)
        s->tensor.rank = s->head->factors[part->factor].rank;
    add_kind(&s->totals, part->kind, part->size);
    return status;
}

static covey_status show_all(shower *s) {
    const covey__patch_head *head = s->head;
    covey__patch_cursor cursor = {.head = head};
    covey_status status = COVEY_OK;
    covey__patch_part part;
    while (status == COVEY_OK && covey__patch_part_next(&cursor, &part))
        status = show_part(s, &part);
    if (status == COVEY_OK) status = close_tensor(s);
    s->info.old_bytes = head->old_size;
    s->info.new_bytes = head->new_size;
    s->info.patch_bytes = head->patch_size;
    s->info.head_bytes = head->head_size;
    s->info.copied_bytes = s->totals.copied_bytes;
    s->info.stored_bytes = s->totals.stored_bytes;
    s->info.compressed_bytes = s->totals.compressed_bytes;
    s->info.coded_bytes = s->totals.coded_bytes;
    covey__hex(head->old_sha256, 32, s->info.old_sha256);
    covey__hex(head->new_sha256, 32, s->info.new_sha256);
    s->info.part_count = head->part_count;
    s->info.frame_count = head->frame_count;
    return status;
}

/* The head of the patch that is open, whose size must be what the head says. */
static covey_status read_head(const covey__env *env, covey__patch_file *file,
                              covey__patch_head **head, covey_error *error) {
    uint8_t fixed[COVEY__PATCH_FIXED], *bytes = NULL;
    covey__patch_source source;
    uint64_t size = 0;
    covey_status status = covey__patch_file_source(file, &source, error);
    if (status == COVEY_OK) status = source.read(source.user, 0, fixed, sizeof fixed, error);
    if (status == COVEY_OK) status = covey__patch_head_size(fixed, &size, error);
    if (status == COVEY_OK) {
        bytes = covey__alloc(env, (size_t)size);
        if (bytes == NULL) status = covey__no_memory(error, "head", (size_t)size);
    }
    if (status == COVEY_OK) status = source.read(source.user, 0, bytes, (size_t)size, error);
    if (status == COVEY_OK) status = covey__patch_head_parse(env, bytes, (size_t)size, head, error);
    covey__free(env, bytes);
    if (status == COVEY_OK && (*head)->patch_size != source.size)
        status = covey__fail(error, COVEY_ERROR_FORMAT,
                             "%s: has %" PRIu64 " bytes, the patch in it %" PRIu64, file->path,
                             source.size, (*head)->patch_size);
    return status;
}

covey_status covey_delta_show(covey_runtime *runtime, const char *patch_path,
                              covey_delta_info *info, covey_error *error,
                              covey_delta_tensor_fn each, void *user) {
    if (runtime == NULL || patch_path == NULL || (info != NULL && info->size < sizeof(size_t)))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "delta: expected a runtime and a patch");
    const covey__env *env = covey__runtime_env(runtime);
    covey__patch_file file = {.env = env, .path = patch_path, .descriptor = -1};
    covey__patch_head *head = NULL;
    covey_status status =
        covey__file_open(env, patch_path, O_RDONLY | O_NONBLOCK, 0, &file.descriptor, error);
    if (status == COVEY_OK) status = read_head(env, &file, &head, error);
    if (status == COVEY_OK) {
        shower s = {.head = head, .info = COVEY_DELTA_INFO_INIT, .each = each, .user = user};
        status = show_all(&s);
        if (status != COVEY_OK)
            status = covey__fail(error, status, "stopped by the caller");
        else if (info != NULL)
            give(info, &s.info, sizeof s.info);
    }
    covey__patch_head_free(head);
    if (file.descriptor >= 0) close(file.descriptor);
    return status == COVEY_OK ? status : covey__prefix(error, status, "delta");
}
