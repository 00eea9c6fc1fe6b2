/* The metadata that the control plane serves: what it takes, what it refuses, and what a crash at
 * any point leaves. */
#include "support/support.h"

#include "base/file.h"
#include "base/sha256.h"
#include "fleet/metadata.h"
#include "trust/tuf_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW  INT64_C(1800000000000)
#define YEAR (INT64_C(365) * 86400000)

enum { ROOT_1, ROOT_2, ROOT_3, TARGETS, TEAM, ONLINE, OTHER, KEY_COUNT };

typedef struct fixture {
    test_env test;
    test_folder folder;
    covey__key keys[KEY_COUNT];
    covey__public_key public_keys[KEY_COUNT];
    covey__arena arena;
    covey__signer online, other;
    covey__buffer documents[8]; /* in turn */
    size_t next;
} fixture;

static void check(covey_status status, const covey_error *error) {
    if (status != COVEY_OK) fail_msg("%s: %s", covey_status_name(status), error->message);
}

static int64_t fixed_clock(void *user) {
    (void)user;
    return NOW;
}

static int set_up(void **state) {
    static fixture f;
    covey_error error = {0};
    memset(&f, 0, sizeof f);
    test_env_init(&f.test);
    f.test.env.crypto = covey__crypto_openssl();
    f.test.env.clock = fixed_clock;
    test_folder_make(&f.folder);
    covey__arena_init(&f.arena, &f.test.env, 1u << 20);
    for (int i = 0; i < KEY_COUNT; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};
        check(covey__key_from_seed(&f.test.env, seed, &f.keys[i], &error), &error);
        check(covey__public_key_make(&f.arena, COVEY_KEY_ED25519, f.keys[i].public_key, 32,
                                     &f.public_keys[i], &error),
              &error);
    }
    check(covey__signer_of_key(&f.test.env, &f.keys[ONLINE], &f.online, &error), &error);
    check(covey__signer_of_key(&f.test.env, &f.keys[OTHER], &f.other, &error), &error);
    for (int i = 0; i < 8; i++)
        covey__buffer_init(&f.documents[i], &f.test.env, COVEY__METADATA_BYTES_MAX);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey__signer_close(&f->online);
    covey__signer_close(&f->other);
    covey__arena_free(&f->arena);
    for (int i = 0; i < 8; i++) covey__buffer_free(&f->documents[i]);
    test_folder_remove(&f->folder);
    assert_int_equal(f->test.alive, 0);
    return 0;
}

/* The document in `plain`, signed by these keys, in one of the fixture's buffers. */
static covey__metadata_document sign(fixture *f, const char *role, covey__buffer *plain,
                                     const int *keys, size_t count) {
    covey_error error = {0};
    covey__buffer *out = &f->documents[f->next++ % 8];
    for (size_t i = 0; i < count; i++) {
        covey__buffer_clear(out);
        check(
            covey__tuf_sign(&f->test.env, plain->data, plain->size, &f->keys[keys[i]], out, &error),
            &error);
        covey__buffer_clear(plain);
        check(covey__buffer_append(plain, out->data, out->size), &error);
    }
    covey__buffer_free(plain);
    return (covey__metadata_document){role, out->data, out->size};
}

typedef struct root_plan {
    int64_t version;
    int online, targets;
    int signers[3];
    size_t signer_count;
} root_plan;

static covey__metadata_document make_root(fixture *f, root_plan plan) {
    covey_error error = {0};
    covey__buffer plain;
    covey__tuf_signers roles[4] = {{f->public_keys, 3, 2},
                                   {&f->public_keys[plan.online], 1, 1},
                                   {&f->public_keys[plan.online], 1, 1},
                                   {&f->public_keys[plan.targets], 1, 1}};
    covey__buffer_init(&plain, &f->test.env, COVEY__METADATA_BYTES_MAX);
    check(covey__tuf_make_root(&f->test.env, (covey__tuf_head){plan.version, NOW + YEAR}, roles,
                               &plain, &error),
          &error);
    return sign(f, "root", &plain, plan.signers, plan.signer_count);
}

static covey__metadata_document make_targets(fixture *f, int64_t version, int key) {
    static const char *const paths[] = {"assistant/*/*"};
    covey_error error = {0};
    covey__buffer plain;
    covey__tuf_make_delegation team = {.name = "assistant",
                                       .signers = {&f->public_keys[TEAM], 1, 1},
                                       .terminating = true,
                                       .paths = paths,
                                       .path_count = 1};
    covey__tuf_make_content content = {.delegations = &team, .delegation_count = 1};
    covey__buffer_init(&plain, &f->test.env, COVEY__METADATA_BYTES_MAX);
    check(covey__tuf_make_targets(&f->test.env, (covey__tuf_head){version, NOW + YEAR}, &content,
                                  &plain, &error),
          &error);
    return sign(f, "targets", &plain, &key, 1);
}

static covey__metadata_document make_team(fixture *f, int64_t version, int key,
                                          const char *target) {
    covey_error error = {0};
    covey__buffer plain;
    covey__tuf_make_target one = {.name = target, .length = 5};
    covey__tuf_make_content content = {.targets = &one, .target_count = target != NULL};
    covey__sha256_of("hello", 5, one.sha256);
    covey__buffer_init(&plain, &f->test.env, COVEY__METADATA_BYTES_MAX);
    check(covey__tuf_make_targets(&f->test.env, (covey__tuf_head){version, NOW + YEAR}, &content,
                                  &plain, &error),
          &error);
    return sign(f, "assistant", &plain, &key, 1);
}

static const root_plan first_root = {1, ONLINE, TARGETS, {ROOT_1, ROOT_2}, 2};

static covey__metadata *open_metadata(fixture *f) {
    covey__metadata *metadata = NULL;
    covey_error error = {0};
    check(covey__metadata_open(&f->test.env, test_path(&f->folder, "metadata"), &f->online,
                               &metadata, &error),
          &error);
    return metadata;
}

static covey__metadata *begin(fixture *f) {
    covey_error error = {0};
    covey__metadata *metadata = open_metadata(f);
    covey__metadata_document documents[] = {make_root(f, first_root), make_targets(f, 1, TARGETS),
                                            make_team(f, 1, TEAM, NULL)};
    check(covey__metadata_accept(metadata, documents, 3, NOW, &error), &error);
    return metadata;
}

static void first_set_and_a_release(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__metadata_target target;
    covey__metadata *metadata = begin(f);
    assert_int_equal(covey__metadata_newest(metadata).root, 1);
    assert_int_equal(covey__metadata_newest(metadata).timestamp, 1);
    assert_int_equal(covey__metadata_find(metadata, "assistant/1.0.0/release.json", &target, NULL),
                     COVEY_ERROR_NOT_FOUND);
    covey__metadata_document team = make_team(f, 2, TEAM, "assistant/1.0.0/release.json");
    check(covey__metadata_accept(metadata, &team, 1, NOW, &error), &error);
    for (int again = 0; again < 2; again++) {
        check(covey__metadata_find(metadata, "assistant/1.0.0/release.json", &target, &error),
              &error);
        assert_int_equal(target.length, 5);
        assert_string_equal(target.role, "assistant");
        assert_int_equal(covey__metadata_newest(metadata).timestamp, 2);
        covey__metadata_close(metadata);
        metadata = open_metadata(f);
    }
    covey__metadata_close(metadata);
}

static void names_of_documents(void **state) {
    fixture *f = *state;
    static const char *const right[] = {"1.root.json", "1.targets.json", "1.assistant.json",
                                        "1.snapshot.json", "timestamp.json"};
    static const char *const wrong[] = {"root.json",
                                        "2.root.json",
                                        "../metadata",
                                        "1.timestamp.json",
                                        "01.root.json",
                                        "1.root",
                                        "",
                                        "1.../x.json",
                                        ".json",
                                        "1..json",
                                        "timestamp.json.new",
                                        "1./etc.json"};
    covey__metadata *metadata = begin(f);
    covey__buffer text;
    covey__buffer_init(&text, &f->test.env, COVEY__METADATA_BYTES_MAX);
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        covey_error error = {0};
        covey__buffer_clear(&text);
        check(covey__metadata_read(metadata, right[i], &text, &error), &error);
        assert_true(text.size > 100);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (covey__metadata_read(metadata, wrong[i], &text, NULL) != COVEY_ERROR_NOT_FOUND)
            fail_msg("\"%s\" was read", wrong[i]);
    covey__buffer_free(&text);
    covey__metadata_close(metadata);
}

static void refused(fixture *f, covey__metadata *metadata, covey__metadata_document document,
                    covey_status expected) {
    covey_error error = {0};
    covey__metadata_versions before = covey__metadata_newest(metadata);
    covey_status status = covey__metadata_accept(metadata, &document, 1, NOW, &error);
    (void)f;
    if (status != expected)
        fail_msg("%s expected, %s: %s", covey_status_name(expected), covey_status_name(status),
                 error.message);
    assert_int_equal(covey__metadata_newest(metadata).timestamp, before.timestamp);
    assert_int_equal(covey__metadata_newest(metadata).root, before.root);
}

static void what_is_not_taken(void **state) {
    fixture *f = *state;
    covey__metadata *metadata = begin(f);
    root_plan one_signer = {2, ONLINE, TARGETS, {ROOT_1}, 1};
    root_plan skips = {3, ONLINE, TARGETS, {ROOT_1, ROOT_2}, 2};
    root_plan strangers = {2, ONLINE, TARGETS, {OTHER, TEAM}, 2};
    root_plan other_online = {2, OTHER, TARGETS, {ROOT_1, ROOT_2}, 2};
    root_plan other_targets = {2, ONLINE, OTHER, {ROOT_1, ROOT_2}, 2};
    refused(f, metadata, make_root(f, one_signer), COVEY_ERROR_SIGNATURE);
    refused(f, metadata, make_root(f, skips), COVEY_ERROR_ROLLBACK);
    refused(f, metadata, make_root(f, strangers), COVEY_ERROR_SIGNATURE);
    refused(f, metadata, make_root(f, other_online), COVEY_ERROR_DENIED);
    refused(f, metadata, make_root(f, other_targets), COVEY_ERROR_SIGNATURE);
    refused(f, metadata, make_targets(f, 2, TEAM), COVEY_ERROR_SIGNATURE);
    refused(f, metadata, make_targets(f, 1, TARGETS), COVEY_ERROR_ROLLBACK);
    refused(f, metadata, make_team(f, 2, TARGETS, NULL), COVEY_ERROR_SIGNATURE);
    refused(f, metadata, make_team(f, 1, TEAM, NULL), COVEY_ERROR_ROLLBACK);
    refused(f, metadata, (covey__metadata_document){"timestamp", "{}", 2}, COVEY_ERROR_FORMAT);
    refused(f, metadata, (covey__metadata_document){"a/b", "{}", 2}, COVEY_ERROR_FORMAT);
    refused(f, metadata, (covey__metadata_document){"assistant", "{}", 2}, COVEY_ERROR_FORMAT);
    /* Expired when it comes. */
    covey_error error = {0};
    covey__metadata_document team = make_team(f, 2, TEAM, NULL);
    assert_int_equal(covey__metadata_accept(metadata, &team, 1, NOW + 2 * YEAR, &error),
                     COVEY_ERROR_EXPIRED);
    covey__metadata_close(metadata);
}

static void targets_keys_rotate_with_their_document(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__metadata *metadata = begin(f);
    root_plan rotated = {2, ONLINE, OTHER, {ROOT_2, ROOT_3}, 2};
    covey__metadata_document both[] = {make_root(f, rotated), make_targets(f, 2, OTHER)};
    check(covey__metadata_accept(metadata, both, 2, NOW, &error), &error);
    assert_int_equal(covey__metadata_newest(metadata).root, 2);
    covey__metadata_close(metadata);
    metadata = open_metadata(f);
    assert_int_equal(covey__metadata_newest(metadata).root, 2);
    covey__metadata_close(metadata);
}

static void renewal(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__metadata *metadata = begin(f);
    check(covey__metadata_renew(metadata, NOW + 1000, &error), &error);
    assert_int_equal(covey__metadata_newest(metadata).timestamp, 1);
    check(covey__metadata_renew(metadata, NOW + COVEY__METADATA_RENEW_MS, &error), &error);
    assert_int_equal(covey__metadata_newest(metadata).timestamp, 2);
    covey__metadata_close(metadata);
    /* Kept over a restart; and without the key nothing is made. */
    check(covey__metadata_open(&f->test.env, test_path(&f->folder, "metadata"), NULL, &metadata,
                               &error),
          &error);
    assert_int_equal(covey__metadata_newest(metadata).timestamp, 2);
    assert_int_equal(covey__metadata_renew(metadata, NOW + YEAR / 2, &error),
                     COVEY_ERROR_UNSUPPORTED);
    covey__metadata_close(metadata);
}

/* Each step of a rotation of root and targets fails in turn: the next start has the old set or the
 * new one, and what it serves is whole. */
static void cut_at_every_step(void **state) {
    fixture *f = *state;
    root_plan rotated = {2, ONLINE, OTHER, {ROOT_2, ROOT_3}, 2};
    bool done = false;
    int old_sets = 0, new_sets = 0;
    for (int64_t step = 1; !done; step++) {
        test_folder_remove(&f->folder);
        test_folder_make(&f->folder);
        covey__metadata *metadata = begin(f);
        covey__metadata_document both[] = {make_root(f, rotated), make_targets(f, 2, OTHER)};
        covey_error error = {0};
        f->test.point = NULL;
        f->test.point_calls = 0;
        f->test.point_fails = step;
        done = covey__metadata_accept(metadata, both, 2, NOW, &error) == COVEY_OK &&
               f->test.point_calls < step;
        f->test.point_fails = 0;
        covey__metadata_close(metadata);
        metadata = open_metadata(f);
        check(covey__metadata_renew(metadata, NOW + 1, &error), &error);
        int64_t root = covey__metadata_newest(metadata).root;
        assert_true(root == 1 || root == 2);
        (root == 1 ? &old_sets : &new_sets)[0]++;
        /* The publisher sends it once more, as far as it is not there. */
        covey_status status = covey__metadata_accept(metadata, root == 1 ? both : both + 1,
                                                     root == 1 ? 2 : 1, NOW + 2, &error);
        if (status != COVEY_OK && status != COVEY_ERROR_ROLLBACK) fail_msg("%s", error.message);
        assert_int_equal(covey__metadata_newest(metadata).root, 2);
        covey__metadata_close(metadata);
    }
    assert_true(old_sets > 3 && new_sets > 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(first_set_and_a_release, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_of_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(targets_keys_rotate_with_their_document, set_up, tear_down),
        cmocka_unit_test_setup_teardown(renewal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cut_at_every_step, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
