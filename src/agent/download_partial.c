/* What is kept of a blob over a cut: the file partial.HEX, the blob's first bytes. Its length is
 * the only record, so no record can disagree with the disk; it is not synced, since bytes that a
 * crash tore fail the blob's digest and are fetched again. What cannot be kept costs bytes, and
 * nothing else, so nothing here fails. */
#include "agent/download_parts.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "partial"

static char *path_of(const covey__download_slot *slot) {
    char hex[65];
    const covey__download *d = slot->download;
    if (!d->partial_folder || !slot->item.take) return NULL;
    covey__hex(slot->item.sha256, 32, hex);
    return covey__format(d->env, "%s/" PREFIX ".%s", d->partial_folder, hex);
}

void covey__partial_load(covey__download_slot *slot) {
    const covey__env *env = slot->download->env;
    char *path = path_of(slot);
    int descriptor = -1;
    uint64_t size = 0;
    if (!path || !covey__file_exists(path)) goto out;
    if (covey__file_size(env, path, &size, NULL)) goto out;
    slot->saved = size; /* a file is there, whatever it holds */
    if (!size || size >= slot->item.size ||
        covey__file_open(env, path, O_RDONLY, 0, &descriptor, NULL) ||
        covey__file_read_at(env, descriptor, path, 0, slot->bytes, (size_t)size, NULL)) {
        covey__partial_drop(slot);
    } else {
        slot->have = slot->from_disk = size;
        slot->download->counts.kept_bytes += size;
    }
    if (descriptor >= 0) close(descriptor);
out:
    covey__free(env, path);
}

void covey__partial_save(covey__download_slot *slot) {
    const covey__env *env = slot->download->env;
    int descriptor = -1;
    if (slot->have <= slot->saved || slot->have >= slot->item.size) return;
    char *path = path_of(slot);
    if (!path) return;
    covey_status status = covey__file_open(env, path, O_WRONLY | O_CREAT, 0600, &descriptor, NULL);
    if (!status)
        status = covey__file_write_at(env, descriptor, path, slot->saved, slot->bytes + slot->saved,
                                      (size_t)(slot->have - slot->saved), NULL);
    if (!status)
        slot->saved = slot->have;
    else
        covey__log(env, COVEY_LOG_WARN, "agent", "cannot keep a part of a blob");
    if (descriptor >= 0) close(descriptor);
    covey__free(env, path);
}

void covey__partial_drop(covey__download_slot *slot) {
    const covey__env *env = slot->download->env;
    char *path = slot->saved ? path_of(slot) : NULL;
    if (path && covey__file_remove(env, path, NULL))
        covey__log(env, COVEY_LOG_WARN, "agent", "cannot remove %s", path);
    slot->saved = 0;
    covey__free(env, path);
}

/* ---- Others' parts ----------------------------------------------------------------------------
 */

typedef struct cleaner {
    const covey__env *env;
    const char *folder;
    int count;
} cleaner;

static covey_status clean_one(void *user, const char *name, bool is_folder) {
    cleaner *at = user;
    size_t prefix = sizeof PREFIX - 1;
    if (is_folder || strncmp(name, PREFIX, prefix) != 0) return COVEY_OK;
    bool known = name[prefix] == '.' && strlen(name) == prefix + 65;
    if (known && ++at->count <= COVEY__DOWNLOAD_PARTIALS_MAX) return COVEY_OK;
    char *path = covey__path_join(at->env, at->folder, name);
    if (path && covey__file_remove(at->env, path, NULL))
        covey__log(at->env, COVEY_LOG_WARN, "agent", "cannot remove %s", path);
    covey__free(at->env, path);
    return COVEY_OK;
}

void covey__partial_clean(const covey__env *env, const char *folder) {
    cleaner at = {env, folder, 0};
    if (!covey__file_exists(folder)) return;
    if (covey__folder_list(env, folder, NULL, clean_one, &at))
        covey__log(env, COVEY_LOG_WARN, "agent", "cannot list %s", folder);
}
