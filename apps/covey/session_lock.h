/* One process at a time goes on with a conversation that is kept in a file. */
#ifndef COVEY_APPS_SESSION_LOCK_H
#define COVEY_APPS_SESSION_LOCK_H

#include <covey/base.h>

typedef struct app_session_lock {
    char *path;     /* "FILE.lock" */
    int descriptor; /* -1: none is held */
} app_session_lock;

/* False with BUSY while another process holds it. Where no lock can be made at all (a folder that
 * may not be written, a file system without locks) none is held, and it is true. */
bool app_session_lock_take(const char *file, app_session_lock *lock, covey_error *error);
void app_session_lock_drop(app_session_lock *lock);

#endif
