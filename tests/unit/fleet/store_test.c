/* What every driver of the store must do. The suite takes a store and knows no SQL; a driver adds a
 * line to `open_store`. What only SQLite has (its file, its schema's number) stands at the end. */
#include "support/support.h"

#include "fleet/store.h"
#include "fleet/store_schema.h"
#include "fleet/store_sqlite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct fixture {
    test_folder folder;
    test_env test;
    covey__store *store;
    char path[300];
} fixture;

static void open_store(fixture *f) {
    covey_error error = {0};
    covey_status status = covey__store_open_sqlite(&f->test.env, f->path, &f->store, &error);
    if (status != COVEY_OK) fail_msg("%s", error.message);
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    test_folder_make(&f->folder);
    test_env_init(&f->test);
    snprintf(f->path, sizeof f->path, "%s/fleet.db", f->folder.path);
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    if (f->store != NULL) f->store->driver->close(f->store);
    assert_int_equal(f->test.alive, 0);
    test_folder_remove(&f->folder);
    free(f);
    return 0;
}

static void hash_of(const char *text, uint8_t out[32]) {
    memset(out, 0, 32);
    snprintf((char *)out, 32, "%s", text);
}

static covey__device_state state_of(const char *version) {
    covey__device_state s = {.device_class = 1,
                             .name = version[0] != '\0' ? "assistant" : "",
                             .version = version,
                             .json = "{\"class\":\"small\"}"};
    hash_of(version, s.digest);
    return s;
}

static void add_token(fixture *f, const char *secret, int64_t uses, int64_t expires_ms) {
    uint8_t hash[32];
    covey_error error = {0};
    covey__token_row row = {.uses = uses, .uses_left = uses, .expires_ms = expires_ms, .note = "n"};
    hash_of(secret, hash);
    assert_int_equal(f->store->driver->token_add(f->store, hash, &row, &error), COVEY_OK);
    assert_true(row.id > 0);
}

/* Returns the outcome; the device's id is the number with which it asked for one. */
static covey__enroll_outcome enroll(fixture *f, const char *secret, const char *request, int id,
                                    int64_t now_ms, char out[COVEY__DEVICE_ID_SIZE]) {
    covey__device_state s = state_of("1.0.0");
    covey__enrollment e = {.has_request = request != NULL, .state = &s, .now_ms = now_ms};
    covey__enroll_outcome outcome = COVEY__ENROLL_UNKNOWN;
    char device_token[32];
    covey_error error = {0};
    static int count = 0;
    hash_of(secret, e.token_hash);
    if (request != NULL) hash_of(request, e.request_hash);
    snprintf(e.device_id, sizeof e.device_id, "%032d", id);
    snprintf(device_token, sizeof device_token, "device %d %d", id, count++);
    hash_of(device_token, e.device_token_hash);
    covey_status status = f->store->driver->enroll(f->store, &e, &outcome, &error);
    if (status != COVEY_OK) fail_msg("%s", error.message);
    if (out != NULL) memcpy(out, e.device_id, COVEY__DEVICE_ID_SIZE);
    return outcome;
}

static int64_t device_key(fixture *f, int id);

static void tokens_are_counted_and_expire(void **state) {
    fixture *f = *state;
    char id[COVEY__DEVICE_ID_SIZE];
    add_token(f, "two", 2, 1000);
    assert_int_equal(enroll(f, "nobody's", NULL, 1, 0, NULL), COVEY__ENROLL_UNKNOWN);
    assert_int_equal(enroll(f, "two", NULL, 1, 999, NULL), COVEY__ENROLL_NEW);
    assert_int_equal(enroll(f, "two", NULL, 2, 1000, NULL), COVEY__ENROLL_EXPIRED);
    assert_int_equal(enroll(f, "two", "request", 3, 5, id), COVEY__ENROLL_NEW);
    assert_int_equal(enroll(f, "two", NULL, 4, 6, NULL), COVEY__ENROLL_USED_UP);
    /* The request that used it may ask again and is the same device. */
    assert_int_equal(enroll(f, "two", "request", 5, 7, id), COVEY__ENROLL_AGAIN);
    assert_int_equal(atoi(id + 24), 3);
    assert_int_equal(enroll(f, "two", "request", 5, 1000, id), COVEY__ENROLL_EXPIRED);
}

static void an_old_device_token_ends_when_enrolled_again(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__device_known known;
    covey__device_state s = state_of("1.0.0");
    covey__enrollment e = {.has_request = true, .state = &s, .now_ms = 1};
    covey__enroll_outcome outcome;
    uint8_t first[32], second[32];
    add_token(f, "t", 1, 1000);
    hash_of("t", e.token_hash);
    hash_of("r", e.request_hash);
    hash_of("first", first);
    hash_of("second", second);
    memcpy(e.device_token_hash, first, 32);
    snprintf(e.device_id, sizeof e.device_id, "%032d", 1);
    const covey__store_driver *d = f->store->driver;
    assert_int_equal(d->enroll(f->store, &e, &outcome, &error), COVEY_OK);
    assert_int_equal(d->device_by_token(f->store, first, &known, &error), COVEY_OK);
    assert_string_equal(known.name, "assistant");
    assert_string_equal(known.version, "1.0.0");
    memcpy(e.device_token_hash, second, 32);
    assert_int_equal(d->enroll(f->store, &e, &outcome, &error), COVEY_OK);
    assert_int_equal(outcome, COVEY__ENROLL_AGAIN);
    assert_int_equal(d->device_by_token(f->store, first, &known, &error), COVEY_ERROR_NOT_FOUND);
    assert_int_equal(d->device_by_token(f->store, second, &known, &error), COVEY_OK);
}

typedef struct seen_row {
    covey__device_known known;
    char outcome[32], message[64], release[64];
    int64_t last_seen_ms;
    int count;
    char ids[600];
} seen_row;

static covey_status note_device(void *user, const covey__device_row *row) {
    seen_row *s = user;
    s->known = row->known;
    s->last_seen_ms = row->last_seen_ms;
    snprintf(s->outcome, sizeof s->outcome, "%s", row->update_release ? row->update_outcome : "");
    snprintf(s->message, sizeof s->message, "%s", row->update_release ? row->update_message : "");
    snprintf(s->release, sizeof s->release, "%s", row->update_release ? row->update_release : "");
    size_t used = strlen(s->ids);
    snprintf(s->ids + used, sizeof s->ids - used, "%d ", atoi(row->known.id + 24));
    s->count++;
    return COVEY_OK;
}

static seen_row get_device(fixture *f, int id) {
    seen_row row = {0};
    char text[COVEY__DEVICE_ID_SIZE];
    covey_error error = {0};
    snprintf(text, sizeof text, "%032d", id);
    assert_int_equal(f->store->driver->device_get(f->store, text, note_device, &row, &error),
                     COVEY_OK);
    return row;
}

static int64_t device_key(fixture *f, int id) {
    return get_device(f, id).known.key;
}

static void pages_and_filters(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    add_token(f, "many", 10, 1000);
    for (int i = 9; i > 0; i--) enroll(f, "many", NULL, i, 1, NULL);
    covey__device_state s = state_of("2.0.0");
    s.device_class = 3;
    assert_int_equal(f->store->driver->device_update(f->store, device_key(f, 4), &s, 77, &error),
                     COVEY_OK);
    covey__device_filter filter = {.limit = 4, .after = "", .device_class = -1};
    seen_row page = {0};
    assert_int_equal(f->store->driver->device_each(f->store, &filter, note_device, &page, &error),
                     COVEY_OK);
    assert_string_equal(page.ids, "1 2 3 4 ");
    char after[COVEY__DEVICE_ID_SIZE];
    snprintf(after, sizeof after, "%032d", 7);
    filter.after = after;
    memset(&page, 0, sizeof page);
    assert_int_equal(f->store->driver->device_each(f->store, &filter, note_device, &page, &error),
                     COVEY_OK);
    assert_string_equal(page.ids, "8 9 ");
    filter = (covey__device_filter){.limit = 9, .after = "", .device_class = 3};
    memset(&page, 0, sizeof page);
    assert_int_equal(f->store->driver->device_each(f->store, &filter, note_device, &page, &error),
                     COVEY_OK);
    assert_string_equal(page.ids, "4 ");
    filter =
        (covey__device_filter){.limit = 9, .after = "", .device_class = -1, .version = "1.0.0"};
    memset(&page, 0, sizeof page);
    assert_int_equal(f->store->driver->device_each(f->store, &filter, note_device, &page, &error),
                     COVEY_OK);
    assert_int_equal(page.count, 8);
    assert_int_equal(get_device(f, 4).last_seen_ms, 77);
}

static void times_never_go_back(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    add_token(f, "t", 1, 1000);
    enroll(f, "t", NULL, 1, 500, NULL);
    covey__seen seen[] = {{device_key(f, 1), 900}, {device_key(f, 1), 700}};
    assert_int_equal(f->store->driver->seen(f->store, seen, 2, &error), COVEY_OK);
    assert_int_equal(get_device(f, 1).last_seen_ms, 900);
}

static void revoked_devices_stay_known(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char id[COVEY__DEVICE_ID_SIZE];
    add_token(f, "t", 2, 1000);
    enroll(f, "t", "r", 1, 1, id);
    assert_int_equal(f->store->driver->device_revoke(f->store, id, &error), COVEY_OK);
    assert_true(get_device(f, 1).known.revoked);
    assert_int_equal(f->store->driver->device_revoke(f->store, "nobody", &error),
                     COVEY_ERROR_NOT_FOUND);
    /* Repeating its enrollment does not bring it back; another device may still enroll. */
    assert_int_equal(enroll(f, "t", "r", 2, 1, id), COVEY__ENROLL_USED_UP);
    assert_int_equal(enroll(f, "t", "r2", 2, 1, id), COVEY__ENROLL_NEW);
}

static covey_status count_wrap(void *user, const covey__wrap_device *row) {
    int *counts = user; /* seen, with a key, wrapped, current */
    counts[0]++;
    counts[1] += row->has_key;
    counts[2] += row->has_wrap;
    counts[3] += row->is_current;
    return COVEY_OK;
}

static covey_status note_wrap_key(void *user, const covey__wrap_key *key) {
    *(covey__wrap_key *)user = *key;
    return COVEY_OK;
}

/* Tells a key of the device's own. */
static void say_key(fixture *f, int id, uint8_t key) {
    covey_error error = {0};
    covey__device_state s = state_of("1.0.0");
    s.has_encryption_key = true;
    memset(s.encryption_key, key, 32);
    assert_int_equal(f->store->driver->device_update(f->store, device_key(f, id), &s, 5, &error),
                     COVEY_OK);
}

/* Content keys: stored for the key that a device has, handed out while it has it. */
static void a_wrap_is_for_the_key_that_is(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    const covey__store_driver *d = f->store->driver;
    char one[COVEY__DEVICE_ID_SIZE], two[COVEY__DEVICE_ID_SIZE];
    uint8_t id[16] = {1}, other[16] = {2}, got[80];
    add_token(f, "t", 3, 1000);
    enroll(f, "t", NULL, 1, 1, one);
    enroll(f, "t", NULL, 2, 1, two);
    say_key(f, 1, 0x11);
    covey__wrap wraps[3] = {{.device = one}, {.device = two}, {.device = "nobody"}};
    for (int i = 0; i < 3; i++) {
        memset(wraps[i].device_key, 0x11, 32);
        memset(wraps[i].wrapped, 0x70 + i, 80);
    }
    assert_int_equal(d->wrap_add(f->store, id, wraps, 3, 9, &error), COVEY_OK);
    assert_true(wraps[0].stored);
    assert_false(wraps[1].stored || wraps[2].stored);
    assert_int_equal(d->wrap_get(f->store, id, device_key(f, 1), got, &error), COVEY_OK);
    assert_memory_equal(got, wraps[0].wrapped, 80);
    assert_int_equal(d->wrap_get(f->store, other, device_key(f, 1), got, &error),
                     COVEY_ERROR_NOT_FOUND);
    assert_int_equal(d->wrap_get(f->store, id, device_key(f, 2), got, &error),
                     COVEY_ERROR_NOT_FOUND);
    covey__wrap_key key = {.devices_wrapped = -1};
    assert_int_equal(d->wrap_each(f->store, note_wrap_key, &key, &error), COVEY_OK);
    assert_int_equal(key.devices_wrapped, 1);
    assert_int_equal(key.devices_lacking, 1);
    assert_int_equal(key.last_ms, 9);
    /* Another key: the wrap is there, and worth nothing until it is replaced. */
    say_key(f, 1, 0x22);
    assert_int_equal(d->wrap_get(f->store, id, device_key(f, 1), got, &error),
                     COVEY_ERROR_NOT_FOUND);
    covey__wrap_filter filter = {.after = "", .lacking = true, .limit = 10};
    memcpy(filter.key, id, 16);
    int counts[4] = {0};
    assert_int_equal(d->wrap_devices(f->store, &filter, count_wrap, counts, &error), COVEY_OK);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 1);
    assert_int_equal(counts[3], 0);
    memset(wraps[0].device_key, 0x22, 32);
    assert_int_equal(d->wrap_add(f->store, id, wraps, 1, 10, &error), COVEY_OK);
    assert_int_equal(d->wrap_get(f->store, id, device_key(f, 1), got, &error), COVEY_OK);
    /* Revoked: gone, and out of the list. */
    assert_int_equal(d->device_revoke(f->store, one, &error), COVEY_OK);
    assert_int_equal(d->wrap_get(f->store, id, device_key(f, 1), got, &error),
                     COVEY_ERROR_NOT_FOUND);
    assert_int_equal(d->wrap_add(f->store, id, wraps, 1, 11, &error), COVEY_OK);
    assert_false(wraps[0].stored);
    memset(counts, 0, sizeof counts);
    filter.lacking = false;
    assert_int_equal(d->wrap_devices(f->store, &filter, count_wrap, counts, &error), COVEY_OK);
    assert_int_equal(counts[0], 1);
}

/* ---- releases and rollouts ---------------------------------------------------------------- */

static covey_status note_release_key(void *user, const covey__release_row *row) {
    *(int64_t *)user = row->key;
    return COVEY_OK;
}

static int64_t add_release(fixture *f, const char *version, const char *digest,
                           covey_status expected, bool expect_known) {
    covey_error error = {0};
    bool was_known = false;
    int64_t key = 0;
    covey__release_row row = {
        .name = "assistant", .version = version, .size = 10, .bytes = 20, .published_ms = 5};
    hash_of(digest, row.digest);
    assert_int_equal(f->store->driver->release_add(f->store, &row, &was_known, &error), expected);
    assert_int_equal(was_known && expected == COVEY_OK, expect_known);
    if (expected != COVEY_OK) return 0;
    assert_int_equal(f->store->driver->release_get(f->store, "assistant", version, note_release_key,
                                                   &key, &error),
                     COVEY_OK);
    return key;
}

static void a_version_is_never_changed(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    int64_t key = add_release(f, "1.0.0", "a", COVEY_OK, false);
    assert_int_equal(add_release(f, "1.0.0", "a", COVEY_OK, true), key);
    add_release(f, "1.0.0", "b", COVEY_ERROR_EXISTS, false);
    assert_int_equal(f->store->driver->release_get(f->store, "assistant", "9.9.9", note_release_key,
                                                   &key, &error),
                     COVEY_ERROR_NOT_FOUND);
}

typedef struct counts_row {
    covey__rollout_row row;
    int found;
} counts_row;

static covey_status note_rollout(void *user, const covey__rollout_row *row) {
    assert_string_equal(row->patched_from, ",1.0.0/q8_0,");
    counts_row *c = user;
    c->row = *row;
    c->found++;
    return COVEY_OK;
}

static covey__rollout_row get_rollout(fixture *f) {
    counts_row c = {0};
    covey_error error = {0};
    assert_int_equal(f->store->driver->rollout_each(f->store, true, note_rollout, &c, &error),
                     COVEY_OK);
    assert_int_equal(c.found, 1);
    return c.row;
}

static int64_t add_rollout(fixture *f, int64_t release) {
    covey_error error = {0};
    covey__rollout_row row = {.release.key = release,
                              .percent_milli = 25000,
                              .classes = 6,
                              .note = "x",
                              .created_ms = 9,
                              .bytes_max = 1 << 20,
                              .patched_first = true,
                              .patched_from = ",1.0.0/q8_0,"};
    memset(row.salt, 3, sizeof row.salt);
    assert_int_equal(f->store->driver->rollout_add(f->store, &row, &error), COVEY_OK);
    return row.key;
}

static void rollouts_change_until_aborted(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    const covey__store_driver *d = f->store->driver;
    int64_t key = add_rollout(f, add_release(f, "1.1.0", "a", COVEY_OK, false));
    covey__rollout_row row = get_rollout(f);
    assert_int_equal(row.percent_milli, 25000);
    assert_int_equal(row.classes, 6);
    assert_int_equal(row.salt[15], 3);
    assert_int_equal(
        d->rollout_change(f->store, key, &(covey__rollout_change){50000, -1, -1, -1}, 10, &error),
        COVEY_OK);
    assert_int_equal(d->rollout_change(f->store, key,
                                       &(covey__rollout_change){-1, COVEY__ROLLOUT_PAUSED, -1, -1},
                                       11, &error),
                     COVEY_OK);
    covey__rollout_change budget = {-1, -1, 4096, 0};
    assert_int_equal(row.bytes_max, 1 << 20);
    assert_true(row.patched_first);
    assert_int_equal(d->rollout_change(f->store, key, &budget, 11, &error), COVEY_OK);
    row = get_rollout(f);
    assert_int_equal(row.bytes_max, 4096);
    assert_false(row.patched_first);
    assert_int_equal(row.percent_milli, 50000);
    assert_int_equal(row.state, COVEY__ROLLOUT_PAUSED);
    assert_int_equal(row.changed_ms, 11);
    assert_int_equal(d->rollout_change(f->store, key,
                                       &(covey__rollout_change){-1, COVEY__ROLLOUT_ABORTED, -1, -1},
                                       12, &error),
                     COVEY_OK);
    assert_int_equal(
        d->rollout_change(f->store, key,
                          &(covey__rollout_change){100000, COVEY__ROLLOUT_RUNNING, -1, -1}, 13,
                          &error),
        COVEY_ERROR_NOT_FOUND);
    assert_int_equal(get_rollout(f).state, COVEY__ROLLOUT_ABORTED);
    assert_int_equal(
        d->rollout_change(f->store, key + 1, &(covey__rollout_change){1, -1, -1, -1}, 1, &error),
        COVEY_ERROR_NOT_FOUND);
}

/* ---- reports ------------------------------------------------------------------------------ */

static size_t report(fixture *f, int64_t device, const char *id, const char *phase,
                     const char *outcome, const char *message) {
    covey__report r = {.id = id,
                       .phase = phase,
                       .outcome = outcome,
                       .release = "assistant@1.1.0",
                       .rollout = "r-1",
                       .message = message,
                       .time_ms = 4};
    size_t accepted = 9;
    covey_error error = {0};
    assert_int_equal(f->store->driver->report_add(f->store, device, &r, 1, 5, &accepted, &error),
                     COVEY_OK);
    return accepted;
}

static covey_status note_refusal(void *user, const char *release, const char *reason) {
    char *text = user;
    snprintf(text, 200, "%s: %s", release, reason);
    return COVEY_OK;
}

static void a_report_counts_once(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char refusal[200] = "";
    add_token(f, "t", 2, 1000);
    enroll(f, "t", NULL, 1, 1, NULL);
    enroll(f, "t", NULL, 2, 1, NULL);
    int64_t device = device_key(f, 1), other = device_key(f, 2);
    int64_t rollout = add_rollout(f, add_release(f, "1.1.0", "a", COVEY_OK, false));
    assert_int_equal(f->store->driver->rollout_offered(f->store, rollout, device, 1, &error),
                     COVEY_OK);
    assert_int_equal(f->store->driver->rollout_offered(f->store, rollout, device, 2, &error),
                     COVEY_OK);
    assert_int_equal(report(f, device, "e1", "fetch", "failed", "no network"), 1);
    assert_int_equal(get_rollout(f).failed_count, 1);
    assert_int_equal(report(f, device, "e2", "commit", "ok", ""), 1);
    covey__rollout_row row = get_rollout(f);
    assert_int_equal(row.offered_count, 1);
    assert_int_equal(row.done_count, 1);
    assert_int_equal(row.failed_count, 0);
    assert_string_equal(get_device(f, 1).outcome, "ok");
    /* A retry of the first, even one that now says something else, moves nothing. */
    assert_int_equal(report(f, device, "e1", "probe", "refused", "changed its mind"), 0);
    assert_string_equal(get_device(f, 1).outcome, "ok");
    assert_int_equal(get_rollout(f).done_count, 1);
    assert_int_equal(
        f->store->driver->refusal_each(f->store, device, note_refusal, refusal, &error), COVEY_OK);
    assert_string_equal(refusal, "");
    /* A failure that arrives late does not undo what was done. */
    assert_int_equal(report(f, device, "e3", "fetch", "failed", "late"), 1);
    assert_int_equal(get_rollout(f).done_count, 1);
    /* Ids are the device's own: another may use the same. */
    assert_int_equal(report(f, other, "e1", "fetch", "ok", ""), 1);
}

static void a_refusal_is_kept_with_its_reason(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char refusal[200] = "";
    add_token(f, "t", 1, 1000);
    enroll(f, "t", NULL, 1, 1, NULL);
    int64_t device = device_key(f, 1);
    int64_t rollout = add_rollout(f, add_release(f, "1.1.0", "a", COVEY_OK, false));
    assert_int_equal(f->store->driver->rollout_offered(f->store, rollout, device, 1, &error),
                     COVEY_OK);
    report(f, device, "e1", "probe", "refused", "score 0.5 is under 0.9");
    covey__device_state s = state_of("1.0.0");
    s.refused[0] = "assistant@1.1.0";
    s.refused_count = 1;
    assert_int_equal(f->store->driver->device_update(f->store, device, &s, 9, &error), COVEY_OK);
    assert_int_equal(
        f->store->driver->refusal_each(f->store, device, note_refusal, refusal, &error), COVEY_OK);
    assert_string_equal(refusal, "assistant@1.1.0: score 0.5 is under 0.9");
    /* A check-in that says nothing of refusals changes none; one that names others drops it. */
    s.refused_count = 0;
    assert_int_equal(f->store->driver->device_update(f->store, device, &s, 10, &error), COVEY_OK);
    refusal[0] = 0;
    assert_int_equal(
        f->store->driver->refusal_each(f->store, device, note_refusal, refusal, &error), COVEY_OK);
    assert_string_not_equal(refusal, "");
    s.refused[0] = "assistant@1.0.5";
    s.refused_count = 1;
    s.refused_said = true;
    assert_int_equal(f->store->driver->device_update(f->store, device, &s, 11, &error), COVEY_OK);
    refusal[0] = 0;
    assert_int_equal(
        f->store->driver->refusal_each(f->store, device, note_refusal, refusal, &error), COVEY_OK);
    assert_string_equal(refusal, "assistant@1.0.5: the device said so when it checked in");
    assert_int_equal(get_rollout(f).refused_count, 1);
    assert_string_equal(get_device(f, 1).message, "score 0.5 is under 0.9");
}

static void serving_it_settles_the_rollout(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    add_token(f, "t", 1, 1000);
    enroll(f, "t", NULL, 1, 1, NULL);
    int64_t device = device_key(f, 1);
    int64_t rollout = add_rollout(f, add_release(f, "1.1.0", "a", COVEY_OK, false));
    assert_int_equal(f->store->driver->rollout_offered(f->store, rollout, device, 1, &error),
                     COVEY_OK);
    covey__device_state s = state_of("1.1.0");
    assert_int_equal(f->store->driver->device_update(f->store, device, &s, 9, &error), COVEY_OK);
    assert_int_equal(get_rollout(f).done_count, 1);
}

static covey_status note_report(void *user, const covey__report *r) {
    seen_row *s = user;
    if (s->count == 0) snprintf(s->message, sizeof s->message, "%s", r->id);
    s->count++;
    return COVEY_OK;
}

static void reports_of_a_device_are_bounded(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    add_token(f, "t", 1, 1000);
    enroll(f, "t", NULL, 1, 1, NULL);
    int64_t device = device_key(f, 1);
    char id[32];
    for (int i = 0; i < COVEY__REPORTS_KEPT + 20; i++) {
        snprintf(id, sizeof id, "e%d", i);
        assert_int_equal(report(f, device, id, "fetch", "ok", ""), 1);
    }
    seen_row row = {0};
    assert_int_equal(
        f->store->driver->report_each(f->store, device, 10000, note_report, &row, &error),
        COVEY_OK);
    assert_int_equal(row.count, COVEY__REPORTS_KEPT);
    assert_string_equal(row.message, id); /* newest first */
}

/* ---- coming back -------------------------------------------------------------------------- */

static void all_is_there_after_closing(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    add_token(f, "t", 1, 1000);
    enroll(f, "t", NULL, 1, 1, NULL);
    add_rollout(f, add_release(f, "1.1.0", "a", COVEY_OK, false));
    f->store->driver->close(f->store);
    f->store = NULL;
    open_store(f);
    assert_string_equal(get_device(f, 1).known.name, "assistant");
    assert_int_equal(get_rollout(f).percent_milli, 25000);
    covey__store_counts counts;
    assert_int_equal(f->store->driver->counts(f->store, &counts, &error), COVEY_OK);
    assert_int_equal(counts.devices, 1);
    assert_int_equal(counts.releases, 1);
}

/* ---- SQLite alone ------------------------------------------------------------------------- */

static void the_file_is_its_owners(void **state) {
    fixture *f = *state;
    struct stat info;
    char wal[310];
    add_token(f, "t", 1, 1000);
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 077, 0);
    snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_equal(stat(wal, &info), 0);
    assert_int_equal(info.st_mode & 077, 0);
}

static void set_page_limit(fixture *f, const char *pages) {
    char sql[80];
    covey__sqlite *s = covey__sqlite_enter(f->store);
    /* Pages that a migration left free would be room. */
    assert_int_equal(sqlite3_exec(s->db, "VACUUM", NULL, NULL, NULL), SQLITE_OK);
    snprintf(sql, sizeof sql, "PRAGMA max_page_count = %s", pages);
    assert_int_equal(sqlite3_exec(s->db, sql, NULL, NULL, NULL), SQLITE_OK);
    covey__sqlite_leave(s);
}

/* A full disk in the middle of an enrollment: said so, nothing half done, and then it works. */
static void a_full_store_says_so(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    static char json[8000];
    memset(json, 'a', sizeof json - 1);
    add_token(f, "t", 1, 1000);
    covey__device_state s = state_of("1.0.0");
    covey__enrollment e = {.state = &s, .now_ms = 1};
    covey__enroll_outcome outcome;
    s.json = json; /* more than one page */
    hash_of("t", e.token_hash);
    hash_of("d", e.device_token_hash);
    snprintf(e.device_id, sizeof e.device_id, "%032d", 1);
    set_page_limit(f, "1"); /* as few as there are */
    assert_int_equal(f->store->driver->enroll(f->store, &e, &outcome, &error),
                     COVEY_ERROR_NO_SPACE);
    set_page_limit(f, "100000");
    assert_int_equal(f->store->driver->enroll(f->store, &e, &outcome, &error), COVEY_OK);
    assert_int_equal(outcome, COVEY__ENROLL_NEW); /* the token had not been used up */
}

static void a_newer_schema_is_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__store *again = NULL;
    sqlite3 *db;
    f->store->driver->close(f->store);
    f->store = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %zu", covey__migration_count + 1);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(covey__store_open_sqlite(&f->test.env, f->path, &again, &error),
                     COVEY_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "newer"));
}

/* A store of the first schema, with a device in it, is brought to the newest when it is opened. */
static void an_older_schema_is_brought_up(void **state) {
    fixture *f = *state;
    sqlite3 *db;
    f->store->driver->close(f->store);
    f->store = NULL;
    assert_int_equal(remove(f->path), 0);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, covey__migrations[0], NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "INSERT INTO devices (id, token_hash, class, name, version, state,"
                     " state_digest, enrolled_ms, last_seen_ms) VALUES"
                     " ('00000000000000000000000000000001', x'01', 1, 'assistant', '1.0.0', '{}',"
                     " x'02', 5, 6); PRAGMA user_version = 1",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    open_store(f);
    assert_string_equal(get_device(f, 1).known.version, "1.0.0");
    /* What came with later schemas works on it. */
    covey_error error = {0};
    covey__wrap wrap = {.device = "00000000000000000000000000000001"};
    uint8_t id[16] = {1}, wrapped[80];
    assert_int_equal(f->store->driver->wrap_add(f->store, id, &wrap, 1, 7, &error), COVEY_OK);
    assert_false(wrap.stored); /* it has no key yet */
    covey__device_state s = state_of("1.0.0");
    s.has_encryption_key = true;
    assert_int_equal(f->store->driver->device_update(f->store, 1, &s, 8, &error), COVEY_OK);
    memset(wrap.wrapped, 7, sizeof wrap.wrapped);
    assert_int_equal(f->store->driver->wrap_add(f->store, id, &wrap, 1, 9, &error), COVEY_OK);
    assert_true(wrap.stored);
    assert_int_equal(f->store->driver->wrap_get(f->store, id, 1, wrapped, &error), COVEY_OK);
    assert_int_equal(wrapped[79], 7);
}

static void what_is_no_database_is_refused(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__store *again = NULL;
    f->store->driver->close(f->store);
    f->store = NULL;
    test_write(f->path, "this is a note to myself, and long enough to be read as a header of it",
               70);
    covey_status status = covey__store_open_sqlite(&f->test.env, f->path, &again, &error);
    assert_int_equal(status, COVEY_ERROR_FORMAT);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(tokens_are_counted_and_expire),
        TEST(an_old_device_token_ends_when_enrolled_again),
        TEST(pages_and_filters),
        TEST(times_never_go_back),
        TEST(revoked_devices_stay_known),
        TEST(a_wrap_is_for_the_key_that_is),
        TEST(a_version_is_never_changed),
        TEST(rollouts_change_until_aborted),
        TEST(a_report_counts_once),
        TEST(a_refusal_is_kept_with_its_reason),
        TEST(serving_it_settles_the_rollout),
        TEST(reports_of_a_device_are_bounded),
        TEST(all_is_there_after_closing),
        TEST(the_file_is_its_owners),
        TEST(a_full_store_says_so),
        TEST(a_newer_schema_is_refused),
        TEST(an_older_schema_is_brought_up),
        TEST(what_is_no_database_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
