/* Refreshes against a repository in this process: requests, chains of roots, expiry, rollbacks,
 * recovery by rotation of keys, and the floor. */
#include "support/tuf_double.h"

static void assert_store(tuf_double *d, const char *name, const char *served) {
    size_t size = 0;
    char path[64];
    snprintf(path, sizeof path, "store/%s.json", name);
    char *stored = test_read(test_path(&d->folder, path), &size);
    if (served == NULL) {
        assert_null(stored);
        return;
    }
    const tuf_double_file *file = tuf_double_find(d, served);
    assert_non_null(stored);
    assert_non_null(file);
    assert_int_equal(size, file->size);
    assert_memory_equal(stored, file->data, size);
    free(stored);
}

static void publish(tuf_double *d) {
    tuf_double_open(d);
    tuf_double_publish(d, TUF_ALL);
}

static void asks_for_no_more_than_it_needs(void **unused) {
    (void)unused;
    tuf_double d;
    covey_tuf_report report = COVEY_TUF_REPORT_INIT;
    publish(&d);
    assert_int_equal(tuf_double_refresh(&d, true, &report, NULL), COVEY_OK);
    assert_string_equal(d.log, "2.root.json timestamp.json 1.snapshot.json 1.targets.json ");
    assert_int_equal(report.before.root, 1);
    assert_int_equal(report.before.timestamp, 0);
    assert_int_equal(report.after.targets, 1);
    assert_int_equal(report.request_count, 4);
    assert_int_equal(report.expires_ms, d.now_ms + 30 * TUF_DAY_MS);
    assert_int_equal(report.time_ms, d.now_ms);
    assert_false(report.time_is_floor);
    assert_store(&d, "root", "1.root.json");
    assert_store(&d, "timestamp", "timestamp.json");
    assert_store(&d, "snapshot", "1.snapshot.json");
    assert_store(&d, "targets", "1.targets.json");
    assert_int_equal(tuf_double_refresh(&d, true, &report, NULL), COVEY_OK);
    assert_string_equal(d.log, "2.root.json timestamp.json ");
    assert_int_equal(report.before.snapshot, 1);
    covey_tuf *tuf = tuf_double_client(&d, true);
    d.log[0] = '\0';
    assert_int_equal(covey_tuf_refresh(tuf, 1, &report, NULL), COVEY_OK);
    assert_string_equal(d.log, "timestamp.json "); /* nothing new is one request */
    tuf_double_bump(&d, TUF_TIMESTAMP | TUF_SNAPSHOT);
    d.log[0] = '\0';
    assert_int_equal(covey_tuf_refresh(tuf, 1, &report, NULL), COVEY_OK);
    assert_string_equal(d.log, "timestamp.json 2.snapshot.json ");
    assert_int_equal(report.before.snapshot, 1);
    assert_int_equal(report.after.snapshot, 2);
    covey_tuf_close(tuf);
    tuf_double_close(&d);
}

static void without_consistent_snapshots(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    d.consistent = false;
    d.hashes = true;
    tuf_double_publish(&d, TUF_ALL);
    tuf_assert_refresh(&d, false, COVEY_OK);
    assert_string_equal(d.log, "2.root.json timestamp.json snapshot.json targets.json ");
    tuf_double_close(&d);
}

static void follows_the_chain_of_roots(void **unused) {
    (void)unused;
    tuf_double d;
    publish(&d);
    d.root.expires_ms = d.now_ms - TUF_DAY_MS; /* one on the way may be expired */
    tuf_double_bump(&d, TUF_ROOT);
    d.root.expires_ms = d.now_ms + TUF_DAY_MS;
    d.root.keys = 1u << 5; /* a new key, signed by both */
    d.root.signers = 1u << 5 | 1u << 0;
    tuf_double_bump(&d, TUF_ROOT);
    d.root.signers = 1u << 5;
    tuf_double_bump(&d, TUF_ROOT);
    tuf_assert_refresh(&d, true, COVEY_OK);
    assert_string_equal(d.log, "2.root.json 3.root.json 4.root.json 5.root.json timestamp.json "
                               "1.snapshot.json 1.targets.json ");
    assert_store(&d, "root", "4.root.json");
    covey_tuf *tuf = tuf_double_client(&d, true);
    tuf_double_bump(&d, TUF_ROOT);
    tuf_double_bump(&d, TUF_ROOT);
    d.log[0] = '\0'; /* the newest is known: no question whether there is one more */
    assert_int_equal(covey_tuf_refresh(tuf, 6, NULL, NULL), COVEY_OK);
    assert_string_equal(d.log, "5.root.json 6.root.json timestamp.json ");
    covey_tuf_close(tuf);
    tuf_double_close(&d);
}

/* A root that the old keys, or the new ones, did not sign is refused; what came before it stays. */
static void root_thresholds(void **unused) {
    (void)unused;
    static const struct {
        unsigned keys, signers;
        int threshold;
        covey_status expected;
    } cases[] = {
        {1u << 5, 1u << 5, 1, COVEY_ERROR_SIGNATURE},
        {1u << 5, 1u << 0, 1, COVEY_ERROR_SIGNATURE},
        {1u << 5, 1u << 5 | 1u << 0 | 1u << 7, 1, COVEY_OK},
        {7u << 5, 1u << 0 | 1u << 5, 2, COVEY_ERROR_SIGNATURE},
        {7u << 5, 1u << 0 | 3u << 6, 2, COVEY_OK},
        {7u << 5, 1u << 0 | 7u << 5, 4, COVEY_ERROR_SIGNATURE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tuf_double d;
        publish(&d);
        tuf_assert_refresh(&d, false, COVEY_OK);
        d.root.keys = cases[i].keys;
        d.root.signers = cases[i].signers;
        d.root.threshold = cases[i].threshold;
        tuf_double_bump(&d, TUF_ROOT);
        tuf_assert_refresh(&d, false, cases[i].expected);
        assert_store(&d, "root", cases[i].expected == COVEY_OK ? "2.root.json" : "1.root.json");
        tuf_double_close(&d);
    }
}

static void root_of_the_wrong_version(void **unused) {
    (void)unused;
    tuf_double d;
    publish(&d);
    const tuf_double_file *one = tuf_double_find(&d, "1.root.json");
    tuf_double_put(&d, "2.root.json", one->data, one->size);
    tuf_assert_refresh(&d, false, COVEY_ERROR_ROLLBACK);
    d.root.version = 3;
    tuf_double_publish(&d, TUF_ROOT);
    const tuf_double_file *three = tuf_double_find(&d, "3.root.json");
    tuf_double_put(&d, "2.root.json", three->data, three->size);
    tuf_assert_refresh(&d, false, COVEY_ERROR_MISMATCH);
    assert_store(&d, "root", "1.root.json");
    tuf_double_close(&d);
}

/* Each role that nobody signed is refused, and those before it are accepted. */
static void unsigned_roles(void **unused) {
    (void)unused;
    static const char *const stored[] = {"root", "timestamp", "snapshot", "targets"};
    for (int i = 1; i < 4; i++) {
        tuf_double d;
        covey_error error = {0};
        covey_tuf_report report = COVEY_TUF_REPORT_INIT;
        tuf_double_open(&d);
        tuf_double_role *roles[] = {&d.root, &d.timestamp, &d.snapshot, &d.targets};
        roles[i]->signers = 1u << 9;
        tuf_double_publish(&d, TUF_ALL);
        assert_int_equal(tuf_double_refresh(&d, true, &report, &error), COVEY_ERROR_SIGNATURE);
        assert_string_equal(report.role, stored[i]);
        assert_non_null(strstr(error.message, stored[i]));
        assert_non_null(strstr(error.message, "good signatures by 1 of 1 keys, found 0"));
        assert_store(&d, stored[i], NULL);
        if (i > 1) assert_store(&d, "timestamp", "timestamp.json");
        if (i > 2) assert_store(&d, "snapshot", "1.snapshot.json");
        tuf_double_close(&d);
    }
}

static void expiry(void **unused) {
    (void)unused;
    static const char *const names[] = {"root", "timestamp", "snapshot", "targets"};
    for (int i = 0; i < 4; i++) {
        tuf_double d;
        covey_error error = {0};
        covey_tuf_report report = COVEY_TUF_REPORT_INIT;
        publish(&d);
        tuf_assert_refresh(&d, true, COVEY_OK);
        tuf_double_role *roles[] = {&d.root, &d.timestamp, &d.snapshot, &d.targets};
        roles[i]->expires_ms = d.now_ms; /* at the very moment is too late */
        tuf_double_bump(&d, TUF_ALL);
        assert_int_equal(tuf_double_refresh(&d, true, &report, &error), COVEY_ERROR_EXPIRED);
        assert_string_equal(report.role, names[i]);
        assert_store(&d, "root", "2.root.json"); /* 5.3.10: checked after it is kept */
        assert_int_equal(report.after.targets, i == 3 ? 1 : 0); /* 0: not looked at */
        roles[i]->expires_ms = d.now_ms + 1000;
        tuf_double_bump(&d, TUF_ALL);
        tuf_assert_refresh(&d, true, COVEY_OK);
        tuf_double_close(&d);
    }
}

static void an_expired_store_can_be_updated(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    d.timestamp.expires_ms = d.snapshot.expires_ms = d.now_ms + 7 * TUF_DAY_MS;
    tuf_double_publish(&d, TUF_ALL);
    tuf_assert_refresh(&d, true, COVEY_OK);
    d.now_ms += 18 * TUF_DAY_MS;
    tuf_assert_refresh(&d, true, COVEY_ERROR_EXPIRED); /* the same version: frozen */
    d.timestamp.expires_ms = d.snapshot.expires_ms = d.now_ms + TUF_DAY_MS;
    tuf_double_bump(&d, TUF_TIMESTAMP | TUF_SNAPSHOT);
    tuf_assert_refresh(&d, true, COVEY_OK);
    tuf_double_close(&d);
}

static void same_version_changes_nothing(void **unused) {
    (void)unused;
    tuf_double d;
    publish(&d);
    tuf_assert_refresh(&d, false, COVEY_OK);
    size_t size;
    char *before = test_read(test_path(&d.folder, "store/timestamp.json"), &size);
    d.snapshot.version = 100;
    tuf_double_publish(&d, TUF_TIMESTAMP);
    tuf_assert_refresh(&d, false, COVEY_OK);
    assert_string_equal(d.log, "2.root.json timestamp.json ");
    size_t after_size;
    char *after = test_read(test_path(&d.folder, "store/timestamp.json"), &after_size);
    assert_int_equal(size, after_size);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
    tuf_double_close(&d);
}

static void rollbacks(void **unused) {
    (void)unused;
    for (int hashes = 0; hashes < 2; hashes++) {
        tuf_double d;
        tuf_double_open(&d);
        d.hashes = hashes != 0;
        d.more_meta = ",\"a.json\":{\"version\":4}";
        d.timestamp.version = d.snapshot.version = d.targets.version = 5;
        tuf_double_publish(&d, TUF_ALL);
        tuf_assert_refresh(&d, false, COVEY_OK);
        d.timestamp.version = 4;
        tuf_double_publish(&d, TUF_TIMESTAMP);
        tuf_assert_refresh(&d, false, COVEY_ERROR_ROLLBACK);
        d.timestamp.version = 6;
        d.snapshot.version = 4;
        tuf_double_publish(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
        tuf_assert_refresh(&d, false, COVEY_ERROR_ROLLBACK);
        assert_string_equal(d.log, "2.root.json timestamp.json ");
        d.snapshot.version = 6;
        d.targets.version = 4;
        tuf_double_publish(&d, TUF_TARGETS | TUF_SNAPSHOT | TUF_TIMESTAMP);
        tuf_assert_refresh(&d, false, COVEY_ERROR_ROLLBACK);
        assert_store(&d, "targets", "5.targets.json");
        d.targets.version = 5;
        d.more_meta = ",\"a.json\":{\"version\":3}";
        d.snapshot.version = d.timestamp.version = 7;
        tuf_double_publish(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
        tuf_assert_refresh(&d, false, COVEY_ERROR_ROLLBACK);
        d.more_meta = ""; /* "a" vanished */
        d.snapshot.version = d.timestamp.version = 8;
        tuf_double_publish(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
        tuf_assert_refresh(&d, false, COVEY_ERROR_ROLLBACK);
        d.more_meta = ",\"a.json\":{\"version\":4}";
        d.snapshot.version = d.timestamp.version = 9;
        tuf_double_publish(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
        tuf_assert_refresh(&d, false, COVEY_OK);
        tuf_double_close(&d);
    }
}

/* What a timestamp or a snapshot says of a file is held against it. */
static void mismatches(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    d.hashes = true;
    tuf_double_publish(&d, TUF_ALL);
    d.targets.expires_ms += 1000; /* other bytes under the same name */
    tuf_double_publish(&d, TUF_TARGETS);
    tuf_assert_refresh(&d, false, COVEY_ERROR_MISMATCH);
    assert_store(&d, "snapshot", "1.snapshot.json");
    d.target_list = "\"longer\":{\"length\":1,\"hashes\":{\"md5\":\"0\"}}";
    tuf_double_publish(&d, TUF_TARGETS);
    tuf_assert_refresh(&d, false, COVEY_ERROR_LIMIT);
    d.target_list = "";
    d.targets.expires_ms -= 1000;
    tuf_double_publish(&d, TUF_TARGETS);
    tuf_assert_refresh(&d, false, COVEY_OK);
    tuf_double_close(&d);
    publish(&d);
    d.targets.version = 2;
    tuf_double_publish(&d, TUF_TARGETS);
    const tuf_double_file *two = tuf_double_find(&d, "2.targets.json");
    tuf_double_put(&d, "1.targets.json", two->data, two->size);
    tuf_assert_refresh(&d, false, COVEY_ERROR_MISMATCH);
    tuf_double_close(&d);
}

/* Recovery from versions that were run up: the keys are rotated. */
static void fast_forward(void **unused) {
    (void)unused;
    for (int with_floor = 0; with_floor < 2; with_floor++) {
        tuf_double d;
        tuf_double_open(&d);
        d.timestamp.version = d.snapshot.version = 99999;
        d.issued_ms = d.now_ms;
        tuf_double_publish(&d, TUF_ALL);
        tuf_assert_refresh(&d, with_floor, COVEY_OK);
        d.timestamp.version = d.snapshot.version = 2;
        tuf_double_publish(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
        tuf_assert_refresh(&d, with_floor, COVEY_ERROR_ROLLBACK);
        /* 2 of 3 keys stay, so the store's documents would still verify */
        d.timestamp.keys = d.timestamp.signers = d.snapshot.keys = d.snapshot.signers = 1u << 6;
        tuf_double_publish(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
        tuf_double_bump(&d, TUF_ROOT);
        tuf_assert_refresh(&d, with_floor, COVEY_OK);
        assert_store(&d, "snapshot", "2.snapshot.json");
        assert_store(&d, "timestamp", "timestamp.json");
        tuf_double_close(&d);
    }
}

/* One key of two goes, and the other's signature would still hold: the store forgets all the same.
 */
static void partial_rotation(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    d.timestamp.keys = d.timestamp.signers = 3u << 6;
    d.timestamp.version = 500;
    tuf_double_publish(&d, TUF_ALL);
    tuf_assert_refresh(&d, false, COVEY_OK);
    d.timestamp.keys = d.timestamp.signers = 1u << 7;
    d.timestamp.version = 2;
    tuf_double_publish(&d, TUF_TIMESTAMP);
    tuf_double_bump(&d, TUF_ROOT);
    tuf_assert_refresh(&d, false, COVEY_OK);
    assert_store(&d, "timestamp", "timestamp.json");
    tuf_double_close(&d);
}

/* The same when the device was killed right after the new root came to the store: the floor knows
 * the old keys. */
static void a_rotation_that_was_cut_short(void **unused) {
    (void)unused;
    for (int with_floor = 0; with_floor < 2; with_floor++) {
        tuf_double d;
        tuf_double_open(&d);
        d.snapshot.keys = d.snapshot.signers = 3u << 6;
        d.timestamp.version = d.snapshot.version = 500;
        tuf_double_publish(&d, TUF_ALL);
        tuf_assert_refresh(&d, with_floor, COVEY_OK);
        d.snapshot.keys = d.snapshot.signers = 1u << 7;
        d.timestamp.keys = d.timestamp.signers |= 1u << 8; /* and one is added */
        d.timestamp.version = d.snapshot.version = 2;
        tuf_double_publish(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
        tuf_double_bump(&d, TUF_ROOT);
        const tuf_double_file *root = tuf_double_find(&d, "2.root.json");
        test_write(test_path(&d.folder, "store/root.json"), root->data, root->size);
        if (with_floor) {
            /* the snapshot's floor is gone; the timestamp's, whose keys stay, holds */
            tuf_assert_refresh(&d, true, COVEY_ERROR_ROLLBACK);
            d.timestamp.version = 501;
            tuf_double_publish(&d, TUF_TIMESTAMP);
            tuf_assert_refresh(&d, true, COVEY_OK);
            assert_store(&d, "snapshot", "2.snapshot.json");
        } else {
            tuf_assert_refresh(&d, false, COVEY_ERROR_ROLLBACK);
        }
        tuf_double_close(&d);
    }
}

/* What was accepted before a later role failed is on the floor all the same. */
static void the_floor_rises_before_a_failure(void **unused) {
    (void)unused;
    tuf_double d;
    test_folder store;
    publish(&d);
    tuf_double_bump(&d, TUF_TIMESTAMP);
    tuf_double_remove(&d, "1.snapshot.json");
    tuf_assert_refresh(&d, true, COVEY_ERROR_REMOTE);
    snprintf(store.path, sizeof store.path, "%s/store", d.folder.path);
    test_folder_remove(&store);
    d.timestamp.version = 1;
    tuf_double_publish(&d, TUF_SNAPSHOT | TUF_TIMESTAMP);
    tuf_assert_refresh(&d, true, COVEY_ERROR_ROLLBACK);
    assert_string_equal(d.log, "2.root.json timestamp.json ");
    tuf_double_close(&d);
}

/* A key that was only added takes nothing back. */
static void an_added_key_forgets_nothing(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    d.timestamp.version = 500;
    tuf_double_publish(&d, TUF_ALL);
    tuf_assert_refresh(&d, true, COVEY_OK);
    d.timestamp.keys |= 1u << 7;
    d.timestamp.version = 2;
    tuf_double_publish(&d, TUF_TIMESTAMP);
    tuf_double_bump(&d, TUF_ROOT);
    tuf_assert_refresh(&d, true, COVEY_ERROR_ROLLBACK);
    test_folder store;
    snprintf(store.path, sizeof store.path, "%s/store", d.folder.path);
    test_folder_remove(&store);
    tuf_assert_refresh(&d, true, COVEY_ERROR_ROLLBACK);
    tuf_double_close(&d);
}

static void a_lost_store_is_no_way_back(void **unused) {
    (void)unused;
    tuf_double d;
    test_folder store;
    publish(&d);
    tuf_double_file old = *tuf_double_find(&d, "timestamp.json");
    char *copy = malloc(old.size);
    memcpy(copy, old.data, old.size);
    old.data = copy;
    tuf_double_bump(&d, TUF_ALL);
    tuf_assert_refresh(&d, true, COVEY_OK);
    tuf_double_put(&d, "timestamp.json", old.data, old.size);
    free(copy);
    snprintf(store.path, sizeof store.path, "%s/store", d.folder.path);
    test_folder_remove(&store);
    tuf_assert_refresh(&d, true, COVEY_ERROR_ROLLBACK);
    tuf_double_publish(&d, TUF_TIMESTAMP);
    snprintf(store.path, sizeof store.path, "%s/store", d.folder.path);
    test_folder_remove(&store);
    tuf_double_remove(&d, "2.root.json"); /* a server that hides the newer root */
    tuf_assert_refresh(&d, true, COVEY_ERROR_ROLLBACK);
    tuf_double_publish(&d, TUF_ROOT);
    tuf_assert_refresh(&d, true, COVEY_OK);
    tuf_double_close(&d);
}

static void a_damaged_store_is_as_good_as_absent(void **unused) {
    (void)unused;
    static const char *const names[] = {"root", "timestamp", "snapshot", "targets"};
    tuf_double d;
    publish(&d);
    for (int i = 0; i < 4; i++) {
        char path[64];
        tuf_assert_refresh(&d, true, COVEY_OK);
        snprintf(path, sizeof path, "store/%s.json", names[i]);
        test_write(test_path(&d.folder, path), "{\"signed\":", 10);
        tuf_assert_refresh(&d, true, COVEY_OK);
        size_t size;
        char *data = test_read(test_path(&d.folder, path), &size);
        data[size / 2] ^= 1;
        test_write(test_path(&d.folder, path), data, size);
        free(data);
        tuf_assert_refresh(&d, true, COVEY_OK);
    }
    test_write(test_path(&d.folder, "floor.json"), "{", 1);
    tuf_assert_refresh(&d, true, COVEY_OK);
    tuf_double_close(&d);
}

static void the_floor_of_time(void **unused) {
    (void)unused;
    tuf_double d;
    covey_tuf_report report = COVEY_TUF_REPORT_INIT;
    publish(&d);
    int64_t today = d.now_ms;
    d.issued_ms = today;
    d.timestamp.expires_ms = today + 2 * TUF_DAY_MS;
    tuf_double_bump(&d, TUF_TIMESTAMP);
    tuf_assert_refresh(&d, true, COVEY_OK);
    d.now_ms = 0; /* the clock starts in 1970 */
    assert_int_equal(tuf_double_refresh(&d, true, &report, NULL), COVEY_OK);
    assert_true(report.time_is_floor);
    assert_int_equal(report.time_ms, today / 1000 * 1000);
    d.issued_ms = 0;
    d.timestamp.expires_ms = today - TUF_DAY_MS; /* what expired before that stays expired */
    tuf_double_bump(&d, TUF_TIMESTAMP);
    tuf_assert_refresh(&d, true, COVEY_ERROR_EXPIRED);
    d.timestamp.expires_ms = today + 900 * TUF_DAY_MS; /* who holds the key runs time up … */
    d.issued_ms = today + 800 * TUF_DAY_MS;
    tuf_double_bump(&d, TUF_TIMESTAMP);
    tuf_assert_refresh(&d, true, COVEY_OK);
    tuf_assert_refresh(&d, true, COVEY_ERROR_EXPIRED);
    d.now_ms = today;
    tuf_assert_refresh(&d, true, COVEY_ERROR_EXPIRED); /* … and locks out, until it is rotated */
    d.timestamp.keys = d.timestamp.signers = 1u << 8;
    d.issued_ms = today;
    tuf_double_bump(&d, TUF_ROOT | TUF_TIMESTAMP);
    tuf_assert_refresh(&d, true, COVEY_OK);
    tuf_double_close(&d);
}

static void the_network_and_the_server(void **unused) {
    (void)unused;
    tuf_double d;
    publish(&d);
    for (int i = 1; i <= 4; i++) {
        d.request_fails = i;
        tuf_assert_refresh(&d, true, COVEY_ERROR_NETWORK);
    }
    tuf_double_bump(&d, TUF_TIMESTAMP);
    d.answer = 500; /* not an answer to whether there is a newer root */
    tuf_assert_refresh(&d, true, COVEY_ERROR_REMOTE);
    d.answer = 404;
    tuf_assert_refresh(&d, true, COVEY_ERROR_REMOTE);
    assert_string_equal(d.log, "2.root.json timestamp.json ");
    d.answer = 0;
    d.endless = UINT64_MAX / 2;
    tuf_assert_refresh(&d, true, COVEY_ERROR_LIMIT);
    d.endless = 0;
    tuf_assert_refresh(&d, true, COVEY_OK);
    tuf_double_close(&d);
}

static void no_root_to_begin_with(void **unused) {
    (void)unused;
    tuf_double d;
    tuf_double_open(&d);
    tuf_assert_refresh(&d, true, COVEY_ERROR_NOT_FOUND);
    assert_string_equal(d.log, "");
    d.root.signers = 1u << 9; /* one that its own keys did not sign */
    tuf_double_publish(&d, TUF_ALL);
    tuf_assert_refresh(&d, true, COVEY_ERROR_SIGNATURE);
    assert_string_equal(d.log, "");
    tuf_double_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_for_no_more_than_it_needs),
        cmocka_unit_test(without_consistent_snapshots),
        cmocka_unit_test(follows_the_chain_of_roots),
        cmocka_unit_test(root_thresholds),
        cmocka_unit_test(root_of_the_wrong_version),
        cmocka_unit_test(unsigned_roles),
        cmocka_unit_test(expiry),
        cmocka_unit_test(an_expired_store_can_be_updated),
        cmocka_unit_test(same_version_changes_nothing),
        cmocka_unit_test(rollbacks),
        cmocka_unit_test(mismatches),
        cmocka_unit_test(fast_forward),
        cmocka_unit_test(partial_rotation),
        cmocka_unit_test(a_rotation_that_was_cut_short),
        cmocka_unit_test(the_floor_rises_before_a_failure),
        cmocka_unit_test(an_added_key_forgets_nothing),
        cmocka_unit_test(a_lost_store_is_no_way_back),
        cmocka_unit_test(a_damaged_store_is_as_good_as_absent),
        cmocka_unit_test(the_floor_of_time),
        cmocka_unit_test(the_network_and_the_server),
        cmocka_unit_test(no_root_to_begin_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
