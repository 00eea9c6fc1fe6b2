/* Background priority of the calling thread. On Linux both the I/O class and the nice value belong
 * to threads, not to processes. The I/O class can be given back by anyone; a nice value that was
 * raised only with a right, which is asked for before. SCHED_IDLE is not used: on a device that is
 * busy without end an update would stand still, and a thread that is preempted while it holds the
 * allocator's lock would hold up whoever serves. At nice 10 it gets a tenth of a core that others
 * want.
 */
#include "base/thread_calm.h"

#include <errno.h>
#include <string.h>

#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/ioprio.h, which not every C library's headers have. */
#define IOPRIO_WHO_THREAD 1
#define IOPRIO_IDLE       (3 << 13)

static bool read_disk(int *value) {
    long found = syscall(SYS_ioprio_get, IOPRIO_WHO_THREAD, 0);
    *value = (int)found;
    return found >= 0;
}

static bool set_disk(int value) {
    return syscall(SYS_ioprio_set, IOPRIO_WHO_THREAD, 0, value) == 0;
}

static bool read_processor(int *value) {
    errno = 0;
    *value = getpriority(PRIO_PROCESS, 0);
    return errno == 0;
}

static bool set_processor(int value) {
    return setpriority(PRIO_PROCESS, 0, value) == 0;
}

/* Whether this process may go back to a nice value. The super-user's right is found by trying on
 * the value that the thread has: by one, and back. */
static bool may_restore(int value) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NICE, &limit) == 0 &&
        (limit.rlim_cur == RLIM_INFINITY || 20 - value <= (int64_t)limit.rlim_cur))
        return true;
    if (value <= -20 || !set_processor(value - 1)) return false;
    return set_processor(value); /* raising needs no right */
}

void covey__calm_enter(const covey__env *env, bool for_good, covey__calm *before) {
    memset(before, 0, sizeof *before);
    if (covey__fault(env, "priority", "") != 0) return;
    int value;
    if (read_disk(&value) && value >> 13 != 3 && set_disk(IOPRIO_IDLE)) {
        before->disk = true;
        before->disk_before = value;
    }
    if (read_processor(&value) && value < COVEY__CALM_NICE && (for_good || may_restore(value)) &&
        set_processor(COVEY__CALM_NICE)) {
        before->processor = true;
        before->processor_before = value;
    }
}

void covey__calm_leave(const covey__calm *before) {
    if (before->disk) (void)set_disk(before->disk_before);
    if (before->processor) (void)set_processor(before->processor_before);
}

#else

void covey__calm_enter(const covey__env *env, bool for_good, covey__calm *before) {
    (void)env;
    (void)for_good;
    memset(before, 0, sizeof *before);
}

void covey__calm_leave(const covey__calm *before) {
    (void)before;
}

#endif
