/* What a disk holds, and what it may hold after the power went: the model behind disk.h. A tree of
 * files and folders as it was, and a journal of what was done since, each step marked once a sync
 * made it last. What a crash leaves is the tree with some of the steps applied. Which promises of
 * file systems that assumes is in docs/base.md, "The simulated disk". */
#ifndef COVEY_TEST_DISK_MODEL_H
#define COVEY_TEST_DISK_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a crash leaves of the steps that no sync made last. */
typedef enum disk_fate {
    DISK_KEPT,      /* all: the process died, the system lives on */
    DISK_LOST,      /* none */
    DISK_NAMES,     /* names and sizes without the bytes, which are zeros or garbage */
    DISK_BYTES,     /* the bytes without the names */
    DISK_RANDOM,    /* any of them, in any order: a subset by the seed, writes torn */
    DISK_TORN_GONE, /* the last step was a rename: its target is gone, its source still there */
    DISK_TORN_BOTH, /* the last step was a rename: both names are there */
    DISK_FATES
} disk_fate;

typedef struct disk_image { /* a tree in one piece: what is compared, kept and sent */
    uint8_t *data;
    size_t size, capacity;
} disk_image;
void disk_image_free(disk_image *image);

/* One entry of an image, in the order of names, a folder before what is in it. `at` begins at 0;
 * false at the end. */
typedef struct disk_entry {
    const char *path; /* "" is the root */
    bool is_folder;
    uint32_t node;
    uint64_t mtime;
    const uint8_t *data;
    size_t size;
} disk_entry;
bool disk_image_next(const disk_image *image, size_t *at, disk_entry *entry);

typedef struct disk_name {
    uint32_t node;
    char *text;
} disk_name;

typedef struct disk_node {
    bool is_folder;
    uint8_t *data;
    size_t size, capacity;
    uint64_t mtime;
    disk_name *names; /* sorted */
    size_t name_count;
} disk_node;

typedef struct disk_tree { /* node 0 is the root */
    disk_node *nodes;
    size_t count;
} disk_tree;

typedef enum disk_step_kind {
    STEP_LINK,
    STEP_UNLINK,
    STEP_RENAME,
    STEP_WRITE,
    STEP_SIZE
} disk_step_kind;

typedef struct disk_step {
    disk_step_kind kind;
    bool durable;
    bool doomed; /* a sync of it failed: no later one makes it last */
    uint32_t node, folder, folder2;
    char *name, *name2;
    uint64_t offset, mtime;
    uint8_t *data;
    size_t size;
} disk_step;

typedef struct disk_model {
    disk_tree base, live;
    disk_step *steps;
    size_t count, capacity;
    uint64_t ticks;   /* times of changes */
    uint64_t version; /* counts what changes the states that a crash may leave */
} disk_model;

void disk_model_load(disk_model *model, const disk_image *image);
void disk_model_free(disk_model *model);
#define DISK_NONE UINT32_MAX
/* The node at a path below the root, "a/b"; DISK_NONE. */
uint32_t disk_model_find(const disk_model *model, uint32_t from, const char *path);
/* The folder of a path and the last part of it. */
uint32_t disk_model_parent(const disk_model *model, uint32_t from, const char *path,
                           const char **name);
uint32_t disk_model_make(disk_model *model, uint32_t folder, const char *name, bool is_folder);
void disk_model_link(disk_model *model, uint32_t node, uint32_t folder, const char *name);
void disk_model_unlink(disk_model *model, uint32_t folder, const char *name);
void disk_model_rename(disk_model *model, uint32_t folder, const char *name, uint32_t folder2,
                       const char *name2);
void disk_model_write(disk_model *model, uint32_t node, uint64_t offset, const void *data,
                      size_t size);
void disk_model_size(disk_model *model, uint32_t node, uint64_t size);
void disk_model_sync(disk_model *model, uint32_t node);
void disk_model_doom(disk_model *model, uint32_t node);

/* What is left; replaces what `out` held. */
void disk_model_crash(const disk_model *model, disk_fate fate, uint64_t seed, disk_image *out);
/* The image of a real folder, and a folder made of an image; the folder must be empty or absent. */
void disk_image_of(const char *root, disk_image *out);
void disk_image_lay_out(const disk_image *image, const char *root);

#endif
