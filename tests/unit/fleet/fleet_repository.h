/* Key folders for tests: made without passphrases, whose scrypt takes its time on purpose. */
#ifndef COVEY_TEST_FLEET_REPOSITORY_H
#define COVEY_TEST_FLEET_REPOSITORY_H

#include "fleet_double.h"

#include "fleet/repository.h"

static inline void repository_check(covey_status status, const covey_error *error) {
    if (status != COVEY_OK) fail_msg("%s: %s", covey_status_name(status), error->message);
}

/* A key folder with 2 of 3 root keys and the product "assistant". */
static inline void repository_make(covey_runtime *runtime, const char *folder) {
    static const char *const products[] = {"assistant"};
    covey_error error = {0};
    covey_fleet_keys_make_options options = COVEY_FLEET_KEYS_MAKE_OPTIONS_INIT;
    options.folder = folder;
    options.products = products;
    options.product_count = 1;
    repository_check(covey_fleet_keys_make(runtime, &options, &error), &error);
}

static inline covey_fleet_keys *repository_open(covey_runtime *runtime, const char *folder) {
    covey_fleet_keys *keys = NULL;
    covey_error error = {0};
    repository_check(covey_fleet_keys_open(runtime, folder, NULL, NULL, &keys, &error), &error);
    return keys;
}

static inline int64_t repository_version(covey_fleet_keys *keys, const char *role) {
    const covey__metadata_item *item = covey__metadata_item_find(keys->set, role);
    return item != NULL ? item->document->version : 0;
}

/* Applies a change that must succeed; returns what was said in a static buffer. */
static inline const char *repository_apply(covey_fleet_keys *keys,
                                           const covey_fleet_keys_change *change) {
    static _Thread_local char said[2000];
    covey_error error = {0};
    char *text = NULL;
    repository_check(covey_fleet_keys_apply(keys, change, &text, &error), &error);
    snprintf(said, sizeof said, "%s", text);
    covey_fleet_keys_text_free(keys, text);
    return said;
}

static inline void repository_move(const char *from_folder, const char *name,
                                   const char *to_folder) {
    char from[400], to[400];
    snprintf(from, sizeof from, "%s/%s", from_folder, name);
    snprintf(to, sizeof to, "%s/%s", to_folder, name);
    assert_int_equal(rename(from, to), 0);
}

#endif
