/* Patches of releases, from folders to what a device finds: which are made, which are kept, what is
 * carried over, from another machine too, and who is offered the release first. */
#include "fleet_repository.h"

#include "bundle/patch_index.h"
#include "delta/patch.h"
#include "fleet/fleet_server.h"
#include "unit/bundle/ensemble_folder.h"

typedef struct publisher {
    fleet_double *f;
    covey_fleet_client *client;
    covey_fleet_keys *keys;
    char rows[2000]; /* what was told of patches, a line each */
} publisher;

static publisher publisher_open(fleet_double *f) {
    publisher p = {.f = f};
    covey_error error = {0};
    char folder[300], *text = NULL;
    snprintf(folder, sizeof folder, "%s/keys", f->folder.path);
    repository_make(f->runtime, folder);
    fleet_stop(f);
    snprintf(f->online_key, sizeof f->online_key, "%s/online.key", folder);
    fleet_start(f);
    p.keys = repository_open(f->runtime, folder);
    repository_check(covey_fleet_client_open(f->runtime, covey_fleet_server_url(f->server),
                                             covey_fleet_server_token_file(f->server), &p.client,
                                             &error),
                     &error);
    repository_check(covey_fleet_keys_push(p.client, p.keys, &text, &error), &error);
    covey_fleet_keys_text_free(p.keys, text);
    return p;
}

static void publisher_close(publisher *p) {
    covey_fleet_keys_close(p->keys);
    covey_fleet_client_close(p->client);
}

/* A bundle whose model is version 1's with `steps` floats of its second tensor moved a little. */
static void make_bundle(fleet_double *f, const char *version, const char *variant, int steps) {
    static const covey__manifest_part parts[] = {{.role = "model", .file = "model.gguf"},
                                                 {.role = "tools", .file = "tools.json"}};
    char folder[300], path[400];
    size_t size;
    covey_error error = {0};
    const covey__env *env = covey__runtime_env(f->runtime);
    snprintf(folder, sizeof folder, "%s/%s-%s", f->folder.path, version, variant);
    ensemble_make(env, folder, version, variant, 1);
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    char *data = test_read(path, &size);
    for (int i = 0; i < steps; i++) data[size - 4 - 400 * (size_t)i] ^= 1;
    test_write(path, data, size);
    free(data);
    covey__manifest_spec spec = {.name = "assistant",
                                 .version = version,
                                 .variant = variant,
                                 .parts = parts,
                                 .part_count = 2,
                                 .memory_bytes = 1000000,
                                 .arithmetic_version = 1,
                                 .app = ">=1.0.0 <3.0.0"};
    covey_status status = covey__manifest_write(env, folder, &spec, &error);
    if (status != COVEY_OK) fail_msg("manifest: %s", error.message);
}

static void note_row(void *user, const covey_fleet_patch *row) {
    publisher *p = user;
    size_t at = strlen(p->rows);
    assert_true(!row->kept || (row->patch_bytes > 0 && row->patch_bytes < row->chunk_bytes));
    snprintf(p->rows + at, sizeof p->rows - at, "%s %s from %s: %s\n", row->file, row->variant,
             row->from_release, row->why);
}

static covey_fleet_published publish(publisher *p, covey_fleet_publish_options options,
                                     const char *version) {
    char folder[300];
    covey_error error = {0};
    covey_fleet_published result = COVEY_FLEET_PUBLISHED_INIT;
    snprintf(folder, sizeof folder, "%s/%s-q8_0", p->f->folder.path, version);
    covey_fleet_bundle bundles[] = {{folder, NULL}};
    options.bundles = bundles;
    options.bundle_count = 1;
    options.keys = p->keys;
    options.patch = note_row;
    options.patch_user = p;
    p->rows[0] = '\0';
    covey_status status = covey_fleet_publish(p->client, &options, &result, &error);
    if (status != COVEY_OK) fail_msg("publish %s: %s", version, error.message);
    return result;
}

static const covey_fleet_publish_options usual = COVEY_FLEET_PUBLISH_OPTIONS_INIT;

/* The patch index as the control plane serves it; NULL when the metadata names none. */
static covey__patch_index *served_index(publisher *p, const char *version) {
    covey__metadata_target target;
    covey__patch_index *index = NULL;
    covey__buffer text;
    covey_error error = {0};
    char name[100];
    const covey__env *env = covey__runtime_env(p->f->runtime);
    snprintf(name, sizeof name, "assistant/%s/patches.json", version);
    if (covey__metadata_find(p->f->server->house.metadata, name, &target, NULL)) return NULL;
    covey__buffer_init(&text, env, COVEY__PATCH_INDEX_BYTES_MAX);
    repository_check(covey__blob_read(&p->f->server->blobs, target.sha256, &text, &error), &error);
    repository_check(covey__patch_index_parse(env, text.data, text.size, &index, &error), &error);
    covey__buffer_free(&text);
    return index;
}

static const covey__patch_edge *edge(const covey__patch_index *index, const char *from,
                                     const char *to) {
    for (size_t i = 0; i < index->edge_count; i++)
        if (!strcmp(index->edges[i].from_release, from) && !strcmp(index->edges[i].to_release, to))
            return &index->edges[i];
    return NULL;
}

/* Puts the patch together from its chunks, applies it to the old folder's model, and compares. */
static void apply_edge(publisher *p, const covey__patch_edge *e, const char *from, const char *to) {
    covey__buffer bytes;
    covey__chunk_index *index = NULL;
    covey_error error = {0};
    char old_path[400], new_path[400], patch[400], made[400];
    size_t patch_size = 0, made_size, new_size;
    const covey__env *env = covey__runtime_env(p->f->runtime);
    covey__buffer_init(&bytes, env, 16u << 20);
    repository_check(covey__blob_read(&p->f->server->blobs, e->index.sha256, &bytes, &error),
                     &error);
    repository_check(covey__chunk_index_parse(env, bytes.data, bytes.size, &index, &error), &error);
    repository_check(covey__patch_edge_check(e, index, &error), &error);
    snprintf(patch, sizeof patch, "%s/patch", p->f->folder.path);
    char *whole = malloc((size_t)e->patch.size);
    for (size_t i = 0; i < index->chunk_count; i++) {
        covey__buffer_clear(&bytes);
        repository_check(
            covey__blob_read(&p->f->server->blobs, index->chunks[i].blob, &bytes, &error), &error);
        memcpy(whole + patch_size, bytes.data, bytes.size);
        patch_size += bytes.size;
    }
    test_write(patch, whole, patch_size);
    free(whole);
    snprintf(old_path, sizeof old_path, "%s/%s-q8_0/model.gguf", p->f->folder.path, from);
    snprintf(new_path, sizeof new_path, "%s/%s-q8_0/model.gguf", p->f->folder.path, to);
    snprintf(made, sizeof made, "%s/made", p->f->folder.path);
    repository_check(covey__patch_apply_files(env, old_path, patch, made, NULL, &error), &error);
    char *a = test_read(new_path, &new_size), *b = test_read(made, &made_size);
    assert_int_equal(new_size, made_size);
    assert_memory_equal(a, b, new_size);
    free(a);
    free(b);
    covey__chunk_index_free(index);
    covey__buffer_free(&bytes);
}

static void patches_are_made_from_the_last_two_versions_and_carried(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    make_bundle(f, "1.0.0", "q8_0", 0);
    make_bundle(f, "1.1.0", "q8_0", 20);
    make_bundle(f, "1.2.0", "q8_0", 40);
    make_bundle(f, "1.3.0", "q8_0", 60);
    assert_int_equal(publish(&p, usual, "1.0.0").patches_kept, 0);
    assert_null(served_index(&p, "1.0.0"));
    assert_int_equal(publish(&p, usual, "1.1.0").patches_kept, 1);
    covey__patch_index *index = served_index(&p, "1.1.0");
    assert_non_null(index);
    assert_int_equal(index->edge_count, 1);
    apply_edge(&p, edge(index, "1.0.0", "1.1.0"), "1.0.0", "1.1.0");
    covey__patch_index_free(index);
    covey_fleet_published second = publish(&p, usual, "1.2.0");
    assert_int_equal(second.patches_kept, 2);
    assert_true(second.patch_bytes > 0);
    index = served_index(&p, "1.2.0");
    assert_int_equal(index->edge_count, 3);
    apply_edge(&p, edge(index, "1.0.0", "1.2.0"), "1.0.0", "1.2.0");
    assert_non_null(edge(index, "1.0.0", "1.1.0")); /* carried: a chain is in one document */
    assert_true(covey__patch_index_serves(index, "1.0.0", "q8_0"));
    covey__patch_index_free(index);
    assert_int_equal(publish(&p, usual, "1.3.0").patches_kept, 2);
    index = served_index(&p, "1.3.0");
    assert_null(edge(index, "1.0.0", "1.3.0"));
    assert_non_null(edge(index, "1.0.0", "1.1.0"));
    assert_non_null(edge(index, "1.0.0", "1.2.0"));
    assert_non_null(edge(index, "1.1.0", "1.2.0"));
    covey__patch_index_free(index);
    /* Again: nothing is made, nothing is sent, nothing is signed. */
    int64_t version = repository_version(p.keys, "assistant");
    covey_fleet_published again = publish(&p, usual, "1.3.0");
    assert_true(again.was_known);
    assert_int_equal(again.bytes_sent, 0);
    assert_string_equal(p.rows, "");
    assert_int_equal(repository_version(p.keys, "assistant"), version);
    publisher_close(&p);
}

static void what_saves_too_little_is_dropped_and_said(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    make_bundle(f, "1.0.0", "q8_0", 0);
    make_bundle(f, "1.1.0", "q8_0", 20);
    char path[400], old_path[400];
    size_t size;
    /* Another model altogether: its second tensor is all new. */
    snprintf(path, sizeof path, "%s/1.2.0-q8_0", f->folder.path);
    ensemble_make(covey__runtime_env(f->runtime), path, "1.2.0", "q8_0", 99);
    publish(&p, usual, "1.0.0");
    covey_fleet_publish_options none = usual;
    none.patch_count = 0;
    assert_int_equal(publish(&p, none, "1.1.0").patches_kept, 0);
    assert_null(served_index(&p, "1.1.0"));
    assert_string_equal(p.rows, "");
    assert_int_equal(publish(&p, usual, "1.2.0").patches_kept, 0);
    if (!strstr(p.rows, "dropped: saves")) fail_msg("%s", p.rows);
    if (!strstr(p.rows, "30 % are asked for")) fail_msg("%s", p.rows);
    assert_null(served_index(&p, "1.2.0"));
    /* Patches may come after the release: from the version that is named. */
    const char *from[] = {"1.0.0"};
    covey_fleet_publish_options later = usual;
    later.patch_from = from;
    later.patch_from_count = 1;
    snprintf(old_path, sizeof old_path, "%s/kept", f->folder.path);
    later.patch_folder = old_path;
    covey_fleet_published added = publish(&p, later, "1.1.0");
    assert_true(added.was_known);
    assert_int_equal(added.patches_kept, 1);
    covey__patch_index *index = served_index(&p, "1.1.0");
    assert_non_null(index);
    char hex[65];
    covey__hex(index->edges[0].from.sha256, 32, hex);
    covey__patch_index_free(index);
    /* Once more from another version: what is there already stays. */
    make_bundle(f, "0.9.0", "q8_0", 5);
    publish(&p, none, "0.9.0");
    from[0] = "0.9.0";
    assert_int_equal(publish(&p, later, "1.1.0").patches_kept, 1);
    index = served_index(&p, "1.1.0");
    assert_int_equal(index->edge_count, 2);
    assert_non_null(edge(index, "1.0.0", "1.1.0"));
    assert_non_null(edge(index, "0.9.0", "1.1.0"));
    covey__patch_index_free(index);
    snprintf(path, sizeof path, "%s/kept/%s.component", f->folder.path, hex);
    char *kept = test_read(path, &size); /* for the next time */
    assert_non_null(kept);
    free(kept);
    publisher_close(&p);
}

static void those_with_a_patch_are_offered_it_first(void **state) {
    fleet_double *f = *state;
    publisher p = publisher_open(f);
    covey_error error = {0};
    char *text = NULL;
    make_bundle(f, "1.0.0", "q8_0", 0);
    make_bundle(f, "1.1.0", "q8_0", 20);
    publish(&p, usual, "1.0.0");
    covey_fleet_rollout_options options = COVEY_FLEET_ROLLOUT_OPTIONS_INIT;
    options.release = "assistant@1.0.0";
    options.patched_first = true;
    assert_int_equal(
        covey_fleet_rollout_create(p.client, &options, COVEY_FLEET_TEXT, &text, &error),
        COVEY_ERROR_REMOTE);
    if (!strstr(error.message, "no_patches")) fail_msg("%s", error.message);
    publish(&p, usual, "1.1.0");
    options.release = "assistant@1.1.0";
    options.bytes_max = 123456;
    repository_check(
        covey_fleet_rollout_create(p.client, &options, COVEY_FLEET_TEXT, &text, &error), &error);
    if (!strstr(text, "those with a patch first, at most 120.6 KiB a device")) fail_msg("%s", text);
    covey_fleet_text_free(p.client, text);
    fleet_device old = fleet_enroll(f, "small"), older = fleet_enroll(f, "small");
    fleet_expect(f, fleet_checkin(f, &old, "small", "1.0.0"), 200);
    assert_string_equal(fleet_target(f), "assistant@1.1.0");
    assert_non_null(strstr(fleet_text(f), "\"bytes_max\":123456"));
    fleet_expect(f, fleet_checkin(f, &older, "small", "0.9.0"), 200);
    assert_string_equal(fleet_target(f), "");
    covey_fleet_rollout_changes changes = COVEY_FLEET_ROLLOUT_CHANGES_INIT;
    changes.everyone = true;
    changes.bytes_max = 0;
    repository_check(
        covey_fleet_rollout_change(p.client, "r-1", &changes, COVEY_FLEET_TEXT, &text, &error),
        &error);
    assert_null(strstr(text, "patch first"));
    covey_fleet_text_free(p.client, text);
    fleet_expect(f, fleet_checkin(f, &older, "small", "0.9.0"), 200);
    assert_string_equal(fleet_target(f), "assistant@1.1.0");
    assert_null(strstr(fleet_text(f), "bytes_max"));
    publisher_close(&p);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fleet_setup, fleet_teardown)
    const struct CMUnitTest tests[] = {
        TEST(patches_are_made_from_the_last_two_versions_and_carried),
        TEST(what_saves_too_little_is_dropped_and_said),
        TEST(those_with_a_patch_are_offered_it_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
