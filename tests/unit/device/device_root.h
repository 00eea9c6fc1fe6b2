/* A folder that stands for a system: tests write the files that a device would have. */
#ifndef COVEY_TEST_DEVICE_ROOT_H
#define COVEY_TEST_DEVICE_ROOT_H

#include "support/support.h"

#include "base/file.h"
#include "device/device_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct device_root {
    test_env test;
    test_folder folder;
} device_root;

/* Writes ROOT/PATH and the folders before it. */
static inline void root_put(device_root *root, const char *path, const char *text) {
    char full[700];
    covey_error error;
    snprintf(full, sizeof full, "%s%s", root->folder.path, path);
    char *slash = strrchr(full, '/');
    *slash = '\0';
    assert_int_equal(covey__folder_make(&root->test.env, full, &error), COVEY_OK);
    *slash = '/';
    test_write(full, text, strlen(text));
}

static inline int root_set_up(void **state) {
    static device_root root;
    test_env_init(&root.test);
    test_folder_make(&root.folder);
    *state = &root;
    return 0;
}

static inline int root_tear_down(void **state) {
    device_root *root = *state;
    test_folder_remove(&root->folder);
    assert_int_equal(root->test.alive, 0);
    return 0;
}

static inline covey_device_facts root_read(device_root *root, const covey_signals *pushed) {
    covey_device_facts facts;
    covey_error error;
    assert_int_equal(
        covey__device_read_at(&root->test.env, root->folder.path, NULL, pushed, &facts, &error),
        COVEY_OK);
    return facts;
}

#endif
