/* A disk for tests that can break: the system calls of the program under test pass through here
 * (the linker's --wrap, set by tests/CMakeLists.txt for who includes this header), so every action
 * on a file below one folder is seen, counted, can fail or be cut short, and is written down with
 * what a sync made last. The folder is a real one. At any action the states that a crash may leave
 * there can be asked for (disk_model.h).
 *
 * What is armed belongs to the process that armed it and to what it forks. Calls on other files
 * pass untouched, and so do those of the C library itself: test_write and test_read are not seen.
 * While armed, inode numbers, times of change, the monotonic clock and random bytes are made up:
 * the same in each run. */
#ifndef COVEY_TEST_DISK_H
#define COVEY_TEST_DISK_H

#include "support/disk_model.h"

#include "base/env.h"

typedef enum disk_kind {
    DISK_OPEN,
    DISK_CREATE,
    DISK_STAT,
    DISK_READ,
    DISK_LIST,
    DISK_MAP,
    DISK_LOCK,
    DISK_WRITE,
    DISK_RESIZE, /* truncate, reserve, punch */
    DISK_CHMOD,
    DISK_SYNC,
    DISK_SYNC_FOLDER,
    DISK_RENAME,
    DISK_LINK,
    DISK_UNLINK,
    DISK_MKDIR,
    DISK_ASK,     /* of the network: a request goes out */
    DISK_RECEIVE, /* a piece of its answer comes */
    DISK_STEP,    /* a step of the program: a fault point without a system call */
    DISK_KINDS
} disk_kind;
const char *disk_kind_name(disk_kind kind);

typedef struct disk_action {
    int64_t number; /* from 1 */
    disk_kind kind;
    const char *subject; /* a path below the root, an address, a fault point */
    bool halfway;        /* a write that took half so far; a rename that is done, for torn ones */
} disk_action;

typedef struct disk_plan {
    int64_t at; /* the action that is disturbed; 0: none */
    int error;  /* errno that it fails with; 0: it does not */
    bool cut;   /* a write or an answer: takes the first half, then fails */
    /* Called before each action, and halfway. */
    void (*each)(void *user, const disk_action *action);
    void *user;
} disk_plan;

/* Lays the image out at `root`, which must not be there, and watches it. */
void disk_arm(const char *root, const disk_image *image, const disk_plan *plan);
/* Nothing is watched any more; how many actions there were. */
int64_t disk_disarm(void);
/* The state that a crash leaves now. */
void disk_crash(disk_fate fate, uint64_t seed, disk_image *out);
/* Whether the path below the root is a folder. */
bool disk_is_folder(const char *path);
/* Counts what changes the states that a crash may leave. */
uint64_t disk_version(void);
/* An action that is no system call on a file. 0, or what it fails with. */
int disk_act(disk_kind kind, const char *subject);

/* For covey__env.fault: points with a system call behind them are only noted; others, the agent's
 * steps, are actions. */
int disk_point(void *user, const char *point, const char *subject);
/* The first system call, other than a look at a name, that came without a fault point before it
 * since arming; "" when all had one. */
const char *disk_unannounced(void);
/* Random bytes, the same in each run; for covey_crypto.random. */
covey_status disk_random(void *user, void *out, size_t size);

#endif
