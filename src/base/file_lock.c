/* Locks between processes: flock on a file of its own, which stays behind when the lock is dropped
 * (removing it would let two processes hold two files of one name). The system drops the lock of a
 * process that dies. */
#include "base/file.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

covey_status covey__lock_take(const covey__env *env, const char *path, bool wait, int *lock,
                              covey_error *error) {
    int descriptor;
    covey_status status =
        covey__file_open(env, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, &descriptor, error);
    if (status != COVEY_OK) return status;
    int code;
    do {
        code = covey__fault(env, "lock", path);
        if (code == 0 && flock(descriptor, wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) code = errno;
    } while (code == EINTR);
    if (code == 0) {
        *lock = descriptor;
        return COVEY_OK;
    }
    if (code == EWOULDBLOCK) {
        char shown[240];
        status = covey__fail(error, COVEY_ERROR_BUSY, "%s: another process holds this lock",
                             covey__printable(path, strlen(path), shown, sizeof shown));
    } else {
        status = covey__fail_path(error, code, "lock", path);
    }
    close(descriptor);
    return status;
}

void covey__lock_drop(int lock) {
    if (lock >= 0) close(lock);
}
