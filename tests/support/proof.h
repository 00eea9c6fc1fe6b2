/* A proof by exhaustion: what is to be disturbed runs once to count its actions, and then once for
 * each action and each way in which it can go wrong (docs/base.md, "The simulated disk"):
 *
 *   killed      the process ends before the action; all that it wrote is there
 *   power lost  the same, and of what was not synced nothing is left, or names without bytes, bytes
 *               without names, any subset in any order
 *   short       a write or an answer takes half, and the process ends there, or goes on and the
 *               rest fails
 *   torn        a rename whose target is gone, or that left both names
 *   EIO, ENOSPC the action fails, once; the process goes on
 *   twice       killed, and killed again while it recovers: a sample
 *
 * After each it is started again, has to be whole at once, has to arrive, and has to leave the same
 * files as an undisturbed run. States of the disk that were seen before are not tried again: what
 * follows from them is known. Runs of forked processes, on all cores. */
#ifndef COVEY_TEST_PROOF_H
#define COVEY_TEST_PROOF_H

#include "support/disk.h"

typedef enum proof_how {
    PROOF_WHOLE, /* nothing is disturbed: fails when it does not succeed */
    PROOF_ONCE,  /* something fails: ends in order when it cannot go on */
    PROOF_ON     /* something fails: tries again in the same process, as an app that lives on */
} proof_how;

typedef struct proof_case {
    const char *name;
    void *user;
    /* Both run in processes of their own, the disk armed at `root`, and fail by fail_msg. */
    void (*act)(void *user, const char *root, proof_how how); /* what is disturbed */
    void (*again)(void *user,
                  const char *root); /* starts again; asserts that it is whole, goes on */
    /* Whether a file's bytes, beside its name, are those of an undisturbed run; NULL: all. */
    bool (*same_bytes)(const char *path);
    /* A file that may be there or not; NULL: none. */
    bool (*may_stay)(const char *path);
    bool only_ends; /* no failures that the process survives */
    int twice;      /* one of so many states is killed again in its recovery; 0: none */
} proof_case;

/* Runs from main, outside of cmocka's runner, with `root` as it is before `act`; `root` is
 * removed. Prints a table. Returns how many states were lost. */
int proof_run(const proof_case *test, const char *root);
/* The sum of all cases, in the words of cmocka's runner, which tools/run-tests reads. Returns the
 * program's exit status. */
int proof_end(void);

/* Wraps a transport: requests and pieces of answers are actions. */
void proof_transport(covey_transport *transport);

#endif
