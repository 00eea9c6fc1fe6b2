/* Opening, first roots and options; and the fault tests of a whole refresh: each allocation refused
 * in turn, each system call failed in turn, and the process killed at each of them. The store is
 * the old one or the new one, document by document, and the next refresh arrives. */
#include "support/tuf_double.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED     77
#define POINTS_MAX 400

static void first_roots(void **unused) {
    (void)unused;
    tuf_double d;
    covey_error error = {0};
    tuf_double_open(&d);
    tuf_double_publish(&d, TUF_ALL);
    const tuf_double_file *root = tuf_double_find(&d, "1.root.json");
    const tuf_double_file *other = tuf_double_find(&d, "timestamp.json");
    char store[300];
    snprintf(store, sizeof store, "%s", test_path(&d.folder, "store"));
    assert_int_equal(covey_tuf_init(d.runtime, store, other->data, other->size, &error),
                     COVEY_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "expected \"root\", found \"timestamp\""));
    assert_null(test_read(test_path(&d.folder, "store/root.json"), &(size_t){0}));
    char *spoiled = malloc(root->size);
    memcpy(spoiled, root->data, root->size);
    *strstr(spoiled, "1.0.31") = '2';
    assert_int_equal(covey_tuf_init(d.runtime, store, spoiled, root->size, NULL),
                     COVEY_ERROR_UNSUPPORTED);
    memcpy(spoiled, root->data, root->size);
    char *date = strstr(spoiled, "expires\":\"20");
    assert_non_null(date);
    date[12] = '9';
    assert_int_equal(covey_tuf_init(d.runtime, store, spoiled, root->size, NULL),
                     COVEY_ERROR_SIGNATURE);
    free(spoiled);
    assert_int_equal(covey_tuf_init(d.runtime, store, root->data, root->size, NULL), COVEY_OK);
    assert_string_equal(d.log, "");
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    covey_tuf *tuf;
    options.store_dir = store;
    assert_int_equal(covey_tuf_open(d.runtime, &options, &tuf, NULL), COVEY_ERROR_INVALID_ARGUMENT);
    options.metadata_url = "http://repository.test/metadata/";
    assert_int_equal(covey_tuf_open(d.runtime, &options, &tuf, NULL), COVEY_OK);
    covey_tuf_target target = COVEY_TUF_TARGET_INIT;
    assert_int_equal(covey_tuf_download(tuf, &target, "nowhere", NULL),
                     COVEY_ERROR_INVALID_ARGUMENT);
    assert_int_equal(covey_tuf_find(tuf, "nothing", &target, NULL), COVEY_ERROR_NOT_FOUND);
    covey_tuf_report report = COVEY_TUF_REPORT_INIT;
    covey_tuf_get_report(tuf, &report);
    assert_int_equal(report.request_count, 4);
    assert_true(report.received_bytes > 500);
    covey_tuf_close(tuf);
    covey_tuf_close(NULL);
    tuf_double_close(&d);
}

/* An older, smaller options struct and report are understood. */
static void older_callers(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    tuf_double_publish(&d, TUF_ALL);
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    covey_tuf_report report = COVEY_TUF_REPORT_INIT;
    covey_tuf *tuf;
    options.size = offsetof(covey_tuf_options, headers);
    options.header_count = 99; /* unknown to it */
    char store[300];
    snprintf(store, sizeof store, "%s", test_path(&d.folder, "store"));
    options.store_dir = store;
    options.metadata_url = "http://repository.test/metadata/";
    options.root = tuf_double_find(&d, "1.root.json")->data;
    options.root_size = tuf_double_find(&d, "1.root.json")->size;
    assert_int_equal(covey_tuf_open(d.runtime, &options, &tuf, NULL), COVEY_OK);
    report.size = offsetof(covey_tuf_report, expires_ms);
    report.expires_ms = 5;
    assert_int_equal(covey_tuf_refresh(tuf, 0, &report, NULL), COVEY_OK);
    assert_int_equal(report.after.targets, 1);
    assert_int_equal(report.expires_ms, 5);
    covey_tuf_close(tuf);
    options.size = 0;
    assert_int_equal(covey_tuf_open(d.runtime, &options, &tuf, NULL), COVEY_ERROR_INVALID_ARGUMENT);
    tuf_double_close(&d);
}

/* ---- Faults ------------------------------------------------------------------------------------
 */

typedef struct trap {
    int count, at;
    int error; /* errno to fail with; 0 ends the process */
    char point[32];
} trap;

static int on_point(void *user, const char *point, const char *subject) {
    trap *t = user;
    (void)subject;
    if (++t->count != t->at) return 0;
    snprintf(t->point, sizeof t->point, "%s", point);
    if (t->error == 0) _exit(KILLED);
    return t->error;
}

/* One life of a client: all of a refresh, a delegated role, a download. */
static covey_status live(tuf_double *d, bool with_floor, covey_error *error) {
    covey_tuf_target target = COVEY_TUF_TARGET_INIT;
    covey_tuf *tuf = tuf_double_client(d, with_floor);
    char path[300];
    snprintf(path, sizeof path, "%s", test_path(&d->folder, "target"));
    covey_status status = covey_tuf_refresh(tuf, 0, NULL, error);
    if (status == COVEY_OK) status = covey_tuf_find(tuf, "file", &target, error);
    if (status == COVEY_OK) status = covey_tuf_download(tuf, &target, path, error);
    covey_tuf_close(tuf);
    return status;
}

/* Every document at version `version`, with a new root key from one to the next. */
static void publish_version(tuf_double *d, int version) {
    static char delegations[2000], meta[64];
    covey__buffer keys;
    covey__buffer_init(&keys, d->env, 1u << 16);
    tuf_double_keys(d, 1u << 4, &keys);
    snprintf(delegations, sizeof delegations,
             "{\"keys\":%s,\"roles\":[{\"name\":\"a\",\"paths\":[\"*\"],\"keyids\":[\"key-4\"],"
             "\"threshold\":1}]}",
             keys.data);
    covey__buffer_free(&keys);
    d->delegations = delegations;
    d->hashes = true;
    d->issued_ms = d->now_ms + version * 1000;
    d->root.signers = 1u << 0 | 1u << (8 + version);
    d->root.keys = 1u << (8 + version);
    if (version > 1) d->root.signers |= 1u << (7 + version);
    d->root.version = d->timestamp.version = d->snapshot.version = d->targets.version = version;
    tuf_double_delegate(
        d, &(tuf_double_delegated){"a",
                                   {1u << 4, 1u << 4, 1, version, d->now_ms + TUF_DAY_MS},
                                   tuf_double_target(d, "file", version == 1 ? "one" : "two"),
                                   NULL});
    snprintf(meta, sizeof meta, ",\"a.json\":{\"version\":%d}", version);
    d->more_meta = meta;
    tuf_double_publish(d, TUF_ALL);
}

/* The bytes at `path` are those of one of the two documents, or of none (when it may be absent). */
static void assert_old_or_new(tuf_double *d, const char *path, const char *old, const char *new) {
    size_t size;
    char *found = test_read(test_path(&d->folder, path), &size);
    assert_non_null(found);
    const tuf_double_file *a = tuf_double_find(d, old), *b = tuf_double_find(d, new);
    bool is_a = a != NULL && size == a->size && memcmp(found, a->data, size) == 0;
    bool is_b = b != NULL && size == b->size && memcmp(found, b->data, size) == 0;
    free(found);
    if (!is_a && !is_b) fail_msg("%s is neither the old nor the new", path);
}

static void assert_whole(tuf_double *d) {
    assert_old_or_new(d, "store/root.json", "1.root.json", "2.root.json");
    assert_old_or_new(d, "store/timestamp.json", "old", "timestamp.json");
    assert_old_or_new(d, "store/snapshot.json", "1.snapshot.json", "2.snapshot.json");
    assert_old_or_new(d, "store/targets.json", "1.targets.json", "2.targets.json");
    assert_old_or_new(d, "store/a.json", "1.a.json", "2.a.json");
    char *target = test_read(test_path(&d->folder, "target"), &(size_t){0});
    assert_true(strcmp(target, "one") == 0 || strcmp(target, "two") == 0);
    free(target);
}

/* A device that has version 1 of all, before a repository that has version 2. */
static void prepare(tuf_double *d, bool with_floor) {
    covey_error error = {0};
    tuf_double_open(d);
    publish_version(d, 1);
    const tuf_double_file *timestamp = tuf_double_find(d, "timestamp.json");
    tuf_double_put(d, "old", timestamp->data, timestamp->size);
    if (live(d, with_floor, &error) != COVEY_OK) fail_msg("%s", error.message);
    publish_version(d, 2);
}

/* Back to version 1 on the device: its folder is copied from the one that was kept. */
static void run(const tuf_double *d, const char *script) {
    char command[900];
    snprintf(command, sizeof command, "cd '%s' && %s", d->folder.path, script);
    assert_int_equal(system(command), 0);
}
#define KEEP                                                                                       \
    "rm -rf kept && mkdir kept && cp -r store target kept/ && if [ -f floor.json ]; then cp "      \
    "floor.json kept/; fi"
#define RESTORE "rm -rf store target floor.json && cp -r kept/* ."

static void assert_arrives(tuf_double *d, bool with_floor, const char *where) {
    covey_error error = {0};
    if (live(d, with_floor, &error) != COVEY_OK) fail_msg("after %s: %s", where, error.message);
    assert_old_or_new(d, "store/timestamp.json", "timestamp.json", "timestamp.json");
    assert_old_or_new(d, "store/a.json", "2.a.json", "2.a.json");
}

static void killed_at_every_point(void **unused) {
    (void)unused;
    for (int with_floor = 0; with_floor < 2; with_floor++) {
        tuf_double d;
        int at = 1, killed = 0;
        prepare(&d, with_floor);
        run(&d, KEEP);
        for (; at < POINTS_MAX; at++, killed++) {
            int status = 0;
            fflush(stdout);
            pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                trap t = {.at = at};
                covey__env *env = covey__runtime_env_for_tests(d.runtime);
                env->fault = on_point;
                env->fault_user = &t;
                (void)!live(&d, with_floor, NULL);
                _exit(0);
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFEXITED(status));
            if (WEXITSTATUS(status) != KILLED) break;
            assert_whole(&d);
            assert_arrives(&d, with_floor, "a kill");
            run(&d, RESTORE);
        }
        assert_in_range(killed, 40, POINTS_MAX - 1);
        print_message("killed at %d points\n", killed);
        tuf_double_close(&d);
    }
}

static void failed_at_every_point(void **unused) {
    (void)unused;
    static const int errors[] = {EIO, ENOSPC};
    for (int with_floor = 0; with_floor < 2; with_floor++) {
        tuf_double d;
        prepare(&d, with_floor);
        run(&d, KEEP);
        covey__env *env = covey__runtime_env_for_tests(d.runtime);
        for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
            for (int at = 1; at < POINTS_MAX; at++) {
                trap t = {.at = at, .error = errors[i]};
                env->fault = on_point;
                env->fault_user = &t;
                (void)!live(&d, with_floor, NULL);
                env->fault = NULL;
                if (t.count < at) break;
                assert_whole(&d);
                assert_arrives(&d, with_floor, t.point);
                run(&d, RESTORE);
                assert_true(at < POINTS_MAX - 1);
            }
        }
        tuf_double_close(&d);
    }
}

typedef struct counter {
    int64_t alive, count, fail_at;
} counter;

static void *count_resize(void *user, void *pointer, size_t size) {
    counter *c = user;
    if (size == 0) {
        if (pointer != NULL) c->alive--;
        free(pointer);
        return NULL;
    }
    if (++c->count == c->fail_at) return NULL;
    void *block = realloc(pointer, size);
    if (pointer == NULL && block != NULL) c->alive++;
    return block;
}

static void each_allocation_refused(void **unused) {
    (void)unused;
    tuf_double d;
    prepare(&d, true);
    run(&d, KEEP);
    covey__env *env = covey__runtime_env_for_tests(d.runtime);
    covey_allocator own = env->allocator;
    int64_t refused = 0;
    for (;; refused++) {
        counter c = {0, 0, refused + 1};
        covey_error error = {0};
        covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
        covey_tuf_target target = COVEY_TUF_TARGET_INIT;
        covey_tuf *tuf = NULL;
        char store[300], floor[300], path[300];
        snprintf(store, sizeof store, "%s/store", d.folder.path);
        snprintf(floor, sizeof floor, "%s/floor.json", d.folder.path);
        snprintf(path, sizeof path, "%s/target", d.folder.path);
        options.store_dir = store;
        options.floor_path = floor;
        options.metadata_url = "http://repository.test/metadata";
        options.targets_url = "http://repository.test/targets";
        env->allocator = (covey_allocator){count_resize, &c};
        covey_status status = covey_tuf_open(d.runtime, &options, &tuf, &error);
        if (status == COVEY_OK) status = covey_tuf_refresh(tuf, 0, NULL, &error);
        if (status == COVEY_OK) status = covey_tuf_find(tuf, "file", &target, &error);
        if (status == COVEY_OK) status = covey_tuf_download(tuf, &target, path, &error);
        covey_tuf_close(tuf);
        env->allocator = own;
        if (c.alive != 0) fail_msg("%d blocks left after %s", (int)c.alive, error.message);
        if (c.count < c.fail_at) {
            if (status != COVEY_OK) fail_msg("%s", error.message);
            break;
        }
        if (status != COVEY_ERROR_NO_MEMORY && status != COVEY_OK)
            fail_msg("allocation %d: %s (%s)", (int)refused + 1, error.message,
                     covey_status_name(status));
        assert_whole(&d);
        if (refused % 16 == 0) assert_arrives(&d, true, "a refused allocation");
        run(&d, RESTORE);
    }
    print_message("%d allocations refused\n", (int)refused);
    assert_true(refused > 100);
    tuf_double_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_roots),
        cmocka_unit_test(older_callers),
        cmocka_unit_test(killed_at_every_point),
        cmocka_unit_test(failed_at_every_point),
        cmocka_unit_test(each_allocation_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
