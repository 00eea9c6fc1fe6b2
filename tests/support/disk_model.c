/* The journal and its replay, as disk_model.h declares them. Steps that last and stand first are
 * applied to the tree for good, so a replay is over what is not synced yet. Plain C library:
 * nothing of src is used, so that no mistake there hides here. */
#include "support/disk_model.h"

#include "support/support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void *take(void *pointer, size_t size) {
    void *taken = realloc(pointer, size ? size : 1);
    if (!taken) abort();
    return taken;
}

static char *copy_text(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(take(NULL, size), text, size);
}

/* ---- Images -----------------------------------------------------------------------------------
 */

void disk_image_free(disk_image *image) {
    free(image->data);
    *image = (disk_image){0};
}

static void put(disk_image *image, const void *data, size_t size) {
    if (image->size + size > image->capacity) {
        image->capacity = 2 * (image->size + size);
        image->data = take(image->data, image->capacity);
    }
    if (size) memcpy(image->data + image->size, data, size);
    image->size += size;
}

typedef struct head {
    uint32_t is_folder, node, path_size, zero;
    uint64_t mtime, size;
} head;

static void put_entry(disk_image *image, const disk_entry *entry) {
    head h = {entry->is_folder, entry->node, (uint32_t)strlen(entry->path) + 1, 0,
              entry->mtime,     entry->size};
    put(image, &h, sizeof h);
    put(image, entry->path, h.path_size);
    put(image, entry->data, entry->size);
}

bool disk_image_next(const disk_image *image, size_t *at, disk_entry *entry) {
    head h;
    if (*at == image->size) return false;
    memcpy(&h, image->data + *at, sizeof h);
    *at += sizeof h;
    *entry = (disk_entry){(const char *)image->data + *at, h.is_folder,   h.node, h.mtime,
                          image->data + *at + h.path_size, (size_t)h.size};
    *at += h.path_size + (size_t)h.size;
    return true;
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Nodes are numbered as they are met; two names of one inode are two nodes here. */
static void capture(const char *root, const char *path, uint32_t *next, disk_image *out) {
    char full[1024], below[1024];
    struct stat info;
    snprintf(full, sizeof full, "%s/%s", root, path);
    if (lstat(full, &info)) fail_msg("%s: cannot be looked at", full);
    uint32_t node = (*next)++;
    if (!S_ISDIR(info.st_mode)) {
        size_t size = 0;
        char *data = test_read(full, &size);
        put_entry(out, &(disk_entry){path, false, node, node + 1, (uint8_t *)data, size});
        free(data);
        return;
    }
    struct dirent **names = NULL;
    int count = scandir(full, &names, NULL, compare_names);
    put_entry(out, &(disk_entry){path, true, node, node + 1, NULL, 0});
    for (int i = 0; i < count; i++) {
        snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "/" : "", names[i]->d_name);
        if (strcmp(names[i]->d_name, ".") && strcmp(names[i]->d_name, ".."))
            capture(root, below, next, out);
        free(names[i]);
    }
    free(names);
}

void disk_image_of(const char *root, disk_image *out) {
    uint32_t next = 0;
    out->size = 0;
    capture(root, "", &next, out);
}

void disk_image_lay_out(const disk_image *image, const char *root) {
    char *paths[4096] = {0};
    char full[1024];
    disk_entry entry;
    for (size_t at = 0; disk_image_next(image, &at, &entry);) {
        snprintf(full, sizeof full, "%s/%s", root, entry.path);
        if (entry.is_folder) {
            if (mkdir(full, 0700) && entry.path[0]) fail_msg("%s: cannot be made", full);
            continue;
        }
        if (entry.node < 4096 && paths[entry.node]) {
            if (link(paths[entry.node], full)) fail_msg("%s: cannot be linked", full);
            continue;
        }
        test_write(full, entry.data, entry.size);
        (void)chmod(full, 0600);
        if (entry.node < 4096) paths[entry.node] = copy_text(full);
    }
    for (int i = 0; i < 4096; i++) free(paths[i]);
}

/* ---- Trees ------------------------------------------------------------------------------------
 */

static size_t place_of(const disk_node *folder, const char *name, bool *there) {
    size_t low = 0, high = folder->name_count;
    *there = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(folder->names[middle].text, name);
        if (!order) *there = true;
        if (!order) return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t node_at(const disk_tree *tree, uint32_t folder, const char *name) {
    bool there;
    size_t at = place_of(tree->nodes + folder, name, &there);
    return there ? tree->nodes[folder].names[at].node : DISK_NONE;
}

static void set_name(disk_tree *tree, uint32_t folder, const char *name, uint32_t node) {
    bool there;
    disk_node *to = tree->nodes + folder;
    size_t at = place_of(to, name, &there);
    if (!there) {
        to->names = take(to->names, (to->name_count + 1) * sizeof *to->names);
        memmove(to->names + at + 1, to->names + at, (to->name_count - at) * sizeof *to->names);
        to->name_count++;
        to->names[at].text = copy_text(name);
    }
    to->names[at].node = node;
}

static void drop_name(disk_tree *tree, uint32_t folder, const char *name) {
    bool there;
    disk_node *from = tree->nodes + folder;
    size_t at = place_of(from, name, &there);
    if (!there) return;
    free(from->names[at].text);
    from->name_count--;
    memmove(from->names + at, from->names + at + 1, (from->name_count - at) * sizeof *from->names);
}

static void add_node(disk_tree *tree, bool is_folder) {
    tree->nodes = take(tree->nodes, (tree->count + 1) * sizeof *tree->nodes);
    tree->nodes[tree->count++] = (disk_node){.is_folder = is_folder};
}

static void set_size(disk_node *node, size_t size) {
    if (size > node->capacity) {
        node->capacity = size;
        node->data = take(node->data, size);
    }
    if (size > node->size) memset(node->data + node->size, 0, size - node->size);
    node->size = size;
}

static void copy_tree(disk_tree *to, const disk_tree *from) {
    to->count = from->count;
    to->nodes = take(NULL, from->count * sizeof *to->nodes);
    for (size_t i = 0; i < from->count; i++) {
        const disk_node *node = from->nodes + i;
        disk_node *copy = to->nodes + i;
        *copy = *node;
        copy->capacity = node->size;
        copy->data = node->size ? memcpy(take(NULL, node->size), node->data, node->size) : NULL;
        copy->names = take(NULL, node->name_count * sizeof *copy->names);
        for (size_t n = 0; n < node->name_count; n++)
            copy->names[n] = (disk_name){node->names[n].node, copy_text(node->names[n].text)};
    }
}

static void free_tree(disk_tree *tree) {
    for (size_t i = 0; i < tree->count; i++) {
        for (size_t n = 0; n < tree->nodes[i].name_count; n++) free(tree->nodes[i].names[n].text);
        free(tree->nodes[i].names);
        free(tree->nodes[i].data);
    }
    free(tree->nodes);
    *tree = (disk_tree){0};
}

static void put_tree(const disk_tree *tree, uint32_t node, const char *path, disk_image *out) {
    const disk_node *at = tree->nodes + node;
    char below[1024];
    put_entry(out, &(disk_entry){path, at->is_folder, node, at->mtime, at->data, at->size});
    for (size_t i = 0; at->is_folder && i < at->name_count; i++) {
        snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "/" : "", at->names[i].text);
        put_tree(tree, at->names[i].node, below, out);
    }
}

/* ---- The model --------------------------------------------------------------------------------
 */

void disk_model_load(disk_model *model, const disk_image *image) {
    disk_entry entry;
    *model = (disk_model){0};
    for (size_t at = 0; disk_image_next(image, &at, &entry);) {
        while (model->base.count <= entry.node) add_node(&model->base, false);
        disk_node *node = model->base.nodes + entry.node;
        node->is_folder = entry.is_folder;
        node->mtime = entry.mtime;
        if (entry.mtime > model->ticks) model->ticks = entry.mtime;
        if (!entry.is_folder) {
            set_size(node, entry.size);
            if (entry.size) memcpy(node->data, entry.data, entry.size);
        }
        if (!entry.path[0]) continue;
        const char *name;
        disk_model look = {.live = model->base};
        uint32_t folder = disk_model_parent(&look, 0, entry.path, &name);
        set_name(&model->base, folder, name, entry.node);
    }
    copy_tree(&model->live, &model->base);
}

static void free_step(disk_step *step) {
    free(step->name);
    free(step->name2);
    free(step->data);
}

void disk_model_free(disk_model *model) {
    free_tree(&model->base);
    free_tree(&model->live);
    for (size_t i = 0; i < model->count; i++) free_step(model->steps + i);
    free(model->steps);
    *model = (disk_model){0};
}

uint32_t disk_model_parent(const disk_model *model, uint32_t from, const char *path,
                           const char **name) {
    char part[512];
    uint32_t at = from;
    for (;;) {
        while (*path == '/') path++;
        size_t size = strcspn(path, "/");
        const char *rest = path + size;
        while (*rest == '/') rest++;
        *name = path;
        if (!*rest || at == DISK_NONE) return at;
        snprintf(part, sizeof part, "%.*s", (int)size, path);
        if (strcmp(part, ".")) at = node_at(&model->live, at, part);
        path = rest;
    }
}

uint32_t disk_model_find(const disk_model *model, uint32_t from, const char *path) {
    char last[512];
    const char *name;
    uint32_t folder = disk_model_parent(model, from, path, &name);
    if (folder == DISK_NONE || !*name || !strcmp(name, ".")) return folder;
    snprintf(last, sizeof last, "%.*s", (int)strcspn(name, "/"), name);
    return node_at(&model->live, folder, last);
}

/* How the bytes of a step that no sync made last come out. */
typedef enum byte_fate { BYTES_WHOLE, BYTES_NONE, BYTES_HALF, BYTES_ZERO, BYTES_GARBAGE } byte_fate;

static void apply_bytes(disk_node *node, const disk_step *step, byte_fate fate, uint64_t seed) {
    if (fate == BYTES_NONE) return;
    node->mtime = step->mtime;
    if (step->kind == STEP_SIZE) {
        set_size(node, (size_t)step->offset);
        return;
    }
    size_t size = fate == BYTES_HALF ? step->size / 2 : step->size;
    if (step->offset + size > node->size) set_size(node, (size_t)step->offset + size);
    for (size_t i = 0; i < size; i++)
        node->data[step->offset + i] = fate == BYTES_ZERO      ? 0
                                       : fate == BYTES_GARBAGE ? (uint8_t)test_random(&seed)
                                                               : step->data[i];
}

static void apply(disk_tree *tree, const disk_step *step, byte_fate fate, uint64_t seed) {
    switch (step->kind) {
    case STEP_LINK:
        set_name(tree, step->folder, step->name, step->node);
        break;
    case STEP_UNLINK:
        if (node_at(tree, step->folder, step->name) == step->node)
            drop_name(tree, step->folder, step->name);
        break;
    case STEP_RENAME:
        if (node_at(tree, step->folder, step->name) == step->node)
            drop_name(tree, step->folder, step->name);
        set_name(tree, step->folder2, step->name2, step->node);
        break;
    case STEP_WRITE:
    case STEP_SIZE:
        apply_bytes(tree->nodes + step->node, step, fate, seed);
        break;
    }
}

static void settle(disk_model *model) {
    size_t done = 0;
    for (; done < model->count && model->steps[done].durable; done++) {
        apply(&model->base, model->steps + done, BYTES_WHOLE, 0);
        free_step(model->steps + done);
    }
    if (!done) return;
    model->count -= done;
    memmove(model->steps, model->steps + done, model->count * sizeof *model->steps);
}

static void add_step(disk_model *model, disk_step step) {
    if (model->count == model->capacity) {
        model->capacity = 2 * model->capacity + 64;
        model->steps = take(model->steps, model->capacity * sizeof *model->steps);
    }
    step.mtime = ++model->ticks;
    model->version++;
    model->steps[model->count++] = step;
    apply(&model->live, &step, BYTES_WHOLE, 0);
}

static char *part_of(const char *name) {
    char *copy = copy_text(name);
    copy[strcspn(copy, "/")] = 0;
    return copy;
}

void disk_model_link(disk_model *model, uint32_t node, uint32_t folder, const char *name) {
    add_step(model,
             (disk_step){.kind = STEP_LINK, .node = node, .folder = folder, .name = part_of(name)});
}

uint32_t disk_model_make(disk_model *model, uint32_t folder, const char *name, bool is_folder) {
    uint32_t node = (uint32_t)model->live.count;
    add_node(&model->base, is_folder);
    add_node(&model->live, is_folder);
    model->base.nodes[node].mtime = model->live.nodes[node].mtime = ++model->ticks;
    disk_model_link(model, node, folder, name);
    return node;
}

void disk_model_unlink(disk_model *model, uint32_t folder, const char *name) {
    char *part = part_of(name);
    add_step(model, (disk_step){.kind = STEP_UNLINK,
                                .node = node_at(&model->live, folder, part),
                                .folder = folder,
                                .name = part});
}

void disk_model_rename(disk_model *model, uint32_t folder, const char *name, uint32_t folder2,
                       const char *name2) {
    char *part = part_of(name);
    add_step(model, (disk_step){.kind = STEP_RENAME,
                                .node = node_at(&model->live, folder, part),
                                .folder = folder,
                                .folder2 = folder2,
                                .name = part,
                                .name2 = part_of(name2)});
}

void disk_model_write(disk_model *model, uint32_t node, uint64_t offset, const void *data,
                      size_t size) {
    uint8_t *copy = memcpy(take(NULL, size), data, size);
    add_step(model,
             (disk_step){
                 .kind = STEP_WRITE, .node = node, .offset = offset, .data = copy, .size = size});
}

void disk_model_size(disk_model *model, uint32_t node, uint64_t size) {
    add_step(model, (disk_step){.kind = STEP_SIZE, .node = node, .offset = size});
}

/* A rename is one step: the sync of either folder makes it last in both. */
static bool concerns(const disk_step *step, uint32_t node) {
    if (step->kind == STEP_WRITE || step->kind == STEP_SIZE) return step->node == node;
    return step->folder == node || (step->kind == STEP_RENAME && step->folder2 == node);
}

void disk_model_sync(disk_model *model, uint32_t node) {
    for (size_t i = 0; i < model->count; i++) {
        disk_step *step = model->steps + i;
        if (step->durable || step->doomed || !concerns(step, node)) continue;
        step->durable = true;
        model->version++;
    }
    settle(model);
}

void disk_model_doom(disk_model *model, uint32_t node) {
    for (size_t i = 0; i < model->count; i++) {
        disk_step *step = model->steps + i;
        bool bytes = step->kind == STEP_WRITE || step->kind == STEP_SIZE;
        if (!step->durable && bytes && step->node == node) step->doomed = true;
    }
}

static bool survives(const disk_step *step, disk_fate fate, uint64_t *seed, byte_fate *bytes) {
    bool is_bytes = step->kind == STEP_WRITE || step->kind == STEP_SIZE;
    *bytes = BYTES_WHOLE;
    if (step->durable || fate == DISK_KEPT || fate == DISK_TORN_GONE || fate == DISK_TORN_BOTH)
        return true;
    uint64_t drawn = test_random(seed);
    switch (fate) {
    case DISK_NAMES:
        *bytes = drawn & 1 ? BYTES_ZERO : BYTES_GARBAGE;
        return true;
    case DISK_BYTES:
        return is_bytes;
    case DISK_RANDOM:
        if (is_bytes) *bytes = (byte_fate)(drawn >> 8) % 5;
        return is_bytes || (drawn & 1);
    default:
        return false;
    }
}

void disk_model_crash(const disk_model *model, disk_fate fate, uint64_t seed, disk_image *out) {
    disk_tree left;
    out->size = 0;
    if (fate == DISK_KEPT) {
        put_tree(&model->live, 0, "", out);
        return;
    }
    copy_tree(&left, &model->base);
    for (size_t i = 0; i < model->count; i++) {
        byte_fate bytes;
        const disk_step *step = model->steps + i;
        bool last = i + 1 == model->count && step->kind == STEP_RENAME;
        if (last && fate == DISK_TORN_GONE) {
            drop_name(&left, step->folder2, step->name2);
        } else if (last && fate == DISK_TORN_BOTH) {
            apply(&left, step, BYTES_WHOLE, 0);
            set_name(&left, step->folder, step->name, step->node);
        } else if (survives(step, fate, &seed, &bytes)) {
            apply(&left, step, bytes, test_random(&seed));
        }
    }
    put_tree(&left, 0, "", out);
    free_tree(&left);
}
