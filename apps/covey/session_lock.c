/* flock on a file beside the session's, which is itself replaced at the end and so cannot be held.
 * It is removed again by who holds it; who opened it before that sees that the name leads elsewhere
 * now, and tries again. The system drops the lock of a process that dies. */
#include "covey/session_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_MAX 100

/* Whether the name still leads to what was opened. */
static bool is_there(int descriptor, const char *path) {
    struct stat opened, named;
    return fstat(descriptor, &opened) == 0 && stat(path, &named) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

bool app_session_lock_take(const char *file, app_session_lock *lock, covey_error *error) {
    *lock = (app_session_lock){.descriptor = -1};
    if (asprintf(&lock->path, "%s.lock", file) < 0) {
        lock->path = NULL;
        return true;
    }
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        int descriptor = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (descriptor < 0) return true;
        bool held = flock(descriptor, LOCK_EX | LOCK_NB) == 0;
        bool busy = !held && errno == EWOULDBLOCK;
        if (held && is_there(descriptor, lock->path)) {
            lock->descriptor = descriptor;
            return true;
        }
        close(descriptor);
        if (busy) {
            error->status = COVEY_ERROR_BUSY;
            snprintf(error->message, sizeof error->message,
                     "--session %.200s: another covey run goes on with this conversation; wait for "
                     "it, or name another file",
                     file);
            return false;
        }
        if (!held) return true;
    }
    return true;
}

void app_session_lock_drop(app_session_lock *lock) {
    if (lock->path && lock->descriptor >= 0) {
        unlink(lock->path);
        close(lock->descriptor);
    }
    free(lock->path);
    *lock = (app_session_lock){.descriptor = -1};
}
