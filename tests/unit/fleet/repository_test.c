/* Key folders: made, changed with the keys that are here and with those that are not, signed
 * elsewhere, cut off at every step. */
#include "fleet_repository.h"

#include "fleet/metadata_house.h"

#include <sys/stat.h>
#include <unistd.h>

#define DAY INT64_C(86400000)

typedef struct fixture {
    test_folder folder;
    covey_runtime *runtime;
    char keys[300], away[300], file[300];
    int64_t now_ms;
    int64_t calls, fails; /* of the fault point: which one, 0 for none */
} fixture;

static int64_t clock_of(void *user) {
    return ((fixture *)user)->now_ms;
}

static int fault(void *user, const char *point, const char *subject) {
    fixture *f = user;
    (void)point;
    (void)subject;
    return ++f->calls == f->fails ? 5 /* EIO */ : 0;
}

static int set_up(void **state) {
    static fixture f;
    covey_error error = {0};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    memset(&f, 0, sizeof f);
    f.now_ms = INT64_C(1790000000000);
    options.clock = clock_of;
    options.clock_user = &f;
    test_folder_make(&f.folder);
    repository_check(covey_fleet_runtime_open(&options, &f.runtime, &error), &error);
    snprintf(f.keys, sizeof f.keys, "%s/keys", f.folder.path);
    snprintf(f.away, sizeof f.away, "%s/away", f.folder.path);
    snprintf(f.file, sizeof f.file, "%s/to-sign.json", f.folder.path);
    assert_int_equal(mkdir(f.away, 0700), 0);
    repository_make(f.runtime, f.keys);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    covey_runtime_close(f->runtime);
    test_folder_remove(&f->folder);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* The id of the key in a file of the folder. */
static const char *id_of(covey_fleet_keys *keys, const char *file) {
    for (size_t i = 0; i < keys->holder_count; i++)
        if (strcmp(keys->holders[i].name, file) == 0) return keys->holders[i].key.id;
    fail_msg("%s is not here", file);
    return "";
}

static size_t key_count(covey_fleet_keys *keys, const char *role) {
    const covey__tuf_document *targets = covey__metadata_item_find(keys->set, "targets")->document;
    for (size_t i = 0; i < targets->role_count; i++)
        if (strcmp(targets->roles[i].name, role) == 0) return targets->roles[i].key_count;
    return 0;
}

static void a_new_folder(void **state) {
    fixture *f = *state;
    static const char *const files[] = {"root-1.key",  "root-2.key",   "root-3.key",
                                        "targets.key", "steering.key", "assistant.key",
                                        "online.key"};
    char path[400];
    struct stat info;
    covey_error error = {0};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", f->keys, files[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 077, 0);
    }
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    assert_int_equal(repository_version(keys, "root"), 1);
    assert_int_equal(repository_version(keys, "assistant"), 1);
    const covey__tuf_document *root = covey__metadata_item_find(keys->set, "root")->document;
    assert_int_equal(root->top[COVEY__TUF_ROOT].threshold, 2);
    assert_int_equal(root->top[COVEY__TUF_ROOT].key_count, 3);
    assert_true(root->consistent_snapshot);
    covey_fleet_keys_close(keys);
    /* Nothing is overwritten, and names are those of files and roles. */
    covey_fleet_keys_make_options options = COVEY_FLEET_KEYS_MAKE_OPTIONS_INIT;
    options.folder = f->keys;
    assert_int_equal(covey_fleet_keys_make(f->runtime, &options, &error), COVEY_ERROR_EXISTS);
    static const char *const wrong[] = {"steering", "a/b", "", "root", ".x", "root-1"};
    options.folder = f->away;
    options.product_count = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.products = &wrong[i];
        if (covey_fleet_keys_make(f->runtime, &options, &error) != COVEY_ERROR_INVALID_ARGUMENT)
            fail_msg("a product \"%s\" was taken", wrong[i]);
    }
    options.product_count = 0;
    options.threshold = 4;
    assert_int_equal(covey_fleet_keys_make(f->runtime, &options, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
}

static void documents_that_were_changed_by_hand(void **state) {
    fixture *f = *state;
    covey_fleet_keys *keys = NULL;
    covey_error error = {0};
    char path[400];
    size_t size;
    snprintf(path, sizeof path, "%s/metadata/1.targets.json", f->keys);
    char *text = test_read(path, &size);
    char *at = strstr(text, "assistant/*/*");
    assert_non_null(at);
    at[0] = 'b';
    test_write(path, text, size);
    free(text);
    assert_int_equal(covey_fleet_keys_open(f->runtime, f->keys, NULL, NULL, &keys, &error),
                     COVEY_ERROR_SIGNATURE);
    assert_non_null(strstr(error.message, "targets"));
}

static void changes_with_all_keys_here(void **state) {
    fixture *f = *state;
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    covey_error error = {0};
    char *text = NULL, old_id[65];
    /* A second key for the product, both needed from then on. */
    change.role = "assistant";
    change.make_new = true;
    change.threshold = 2;
    assert_non_null(strstr(repository_apply(keys, &change), "made the key assistant-2.key"));
    assert_int_equal(key_count(keys, "assistant"), 2);
    assert_int_equal(repository_version(keys, "targets"), 2);
    assert_int_equal(repository_version(keys, "assistant"), 2); /* one signature was too few */
    assert_int_equal(repository_version(keys, "steering"), 1);
    /* Not below the threshold; then with a lower one. */
    snprintf(old_id, sizeof old_id, "%s", id_of(keys, "assistant.key"));
    change = (covey_fleet_keys_change)COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = "assistant";
    change.remove = old_id;
    assert_int_equal(covey_fleet_keys_apply(keys, &change, &text, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    change.threshold = 1;
    repository_apply(keys, &change);
    assert_int_equal(key_count(keys, "assistant"), 1);
    assert_int_equal(repository_version(keys, "assistant"), 2); /* the other one's still holds */
    /* All keys of a role at once. */
    change = (covey_fleet_keys_change)COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = "steering";
    change.rotate = true;
    change.make_new = true;
    repository_apply(keys, &change);
    assert_int_equal(repository_version(keys, "steering"), 2);
    change.role = "targets";
    repository_apply(keys, &change);
    assert_int_equal(repository_version(keys, "root"), 2);
    assert_int_equal(repository_version(keys, "targets"), 5);
    change.role = "online";
    repository_apply(keys, &change);
    assert_int_equal(repository_version(keys, "root"), 3);
    assert_int_equal(repository_version(keys, "targets"), 5);
    /* What is no key of the role, and what is no role. */
    change = (covey_fleet_keys_change)COVEY_FLEET_KEYS_CHANGE_INIT;
    change.role = "root";
    change.remove = old_id;
    assert_int_equal(covey_fleet_keys_apply(keys, &change, &text, &error), COVEY_ERROR_NOT_FOUND);
    change.role = "nobody";
    assert_int_equal(covey_fleet_keys_apply(keys, &change, &text, &error), COVEY_ERROR_NOT_FOUND);
    change.role = "../x";
    assert_int_equal(covey_fleet_keys_apply(keys, &change, &text, &error),
                     COVEY_ERROR_INVALID_ARGUMENT);
    covey_fleet_keys_close(keys);
    /* All of it is read again. */
    keys = repository_open(f->runtime, f->keys);
    assert_int_equal(repository_version(keys, "root"), 3);
    covey_fleet_keys_close(keys);
}

static void products_and_renewals(void **state) {
    fixture *f = *state;
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    covey_error error = {0};
    char *text = NULL;
    change.role = "translator";
    change.new_product = true;
    change.make_new = true;
    repository_apply(keys, &change);
    assert_int_equal(repository_version(keys, "translator"), 1);
    char role[COVEY__METADATA_ROLE_SIZE];
    repository_check(covey__repository_speaker(keys, "translator/1.0.0/release.json", role, &error),
                     &error);
    assert_string_equal(role, "translator");
    assert_int_equal(covey__repository_speaker(keys, "translator/x", role, &error),
                     COVEY_ERROR_NOT_FOUND);
    assert_int_equal(covey_fleet_keys_apply(keys, &change, &text, &error), COVEY_ERROR_EXISTS);
    f->now_ms += 100 * DAY;
    change = (covey_fleet_keys_change)COVEY_FLEET_KEYS_CHANGE_INIT;
    change.renew = true;
    repository_apply(keys, &change);
    for (size_t i = 0; i < keys->set->role_count; i++)
        assert_int_equal(keys->set->roles[i].document->expires_ms,
                         (f->now_ms + COVEY__REPOSITORY_TTL_MS) / 1000 * 1000);
    covey_fleet_keys_close(keys);
}

static void expiry_is_told_ahead(void **state) {
    fixture *f = *state;
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    covey_error error = {0};
    int32_t warnings = 0, expired = 0;
    static const struct {
        int64_t days;
        int32_t warnings, expired;
    } cases[] = {{0, 0, 0}, {336, 0, 0}, {338, 4, 0}, {364, 4, 0}, {366, 0, 4}};
    int64_t begin = f->now_ms;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        f->now_ms = begin + cases[i].days * DAY;
        repository_check(
            covey_fleet_keys_status(keys, COVEY_FLEET_TEXT, &text, &warnings, &expired, &error),
            &error);
        assert_int_equal(warnings, cases[i].warnings);
        assert_int_equal(expired, cases[i].expired);
        covey_fleet_keys_text_free(keys, text);
    }
    covey_fleet_keys_close(keys);
    /* An expired folder can be opened: how else would it be renewed? */
    covey_fleet_keys_close(repository_open(f->runtime, f->keys));
}

static bool keep_text(void *user, const char *text) {
    snprintf(user, 8000, "%s", text);
    return true;
}

static covey_status sign_with(fixture *f, const char *folder, const char *key, char shown[8000],
                              covey_error *error) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, key);
    return covey_fleet_sign(f->runtime, f->file, path, NULL, NULL, keep_text, shown, error);
}

static void signed_on_two_other_machines(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char *text = NULL, shown[8000];
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    char id[65];
    snprintf(id, sizeof id, "%s", id_of(keys, "root-3.key"));
    covey_fleet_keys_close(keys);
    repository_move(f->keys, "root-1.key", f->away);
    repository_move(f->keys, "root-2.key", f->away);
    keys = repository_open(f->runtime, f->keys);
    change.role = "root";
    change.rotate = true;
    change.make_new = true;
    change.remove = id;
    assert_int_equal(covey_fleet_keys_apply(keys, &change, &text, &error), COVEY_ERROR_SIGNATURE);
    assert_non_null(strstr(error.message, "Missing: root 2 has 1 of 2"));
    assert_int_equal(repository_version(keys, "root"), 1);
    change.export_file = f->file;
    repository_apply(keys, &change);
    assert_int_equal(repository_version(keys, "root"), 1);
    /* root-3 signed as one of the old ones, the new one as one of the new: each group lacks one. */
    assert_int_equal(covey_fleet_import(NULL, keys, f->file, &text, &error), COVEY_ERROR_SIGNATURE);
    assert_non_null(strstr(error.message, "by the keys before it"));
    assert_int_equal(sign_with(f, f->keys, "targets.key", shown, &error), COVEY_ERROR_REFUSED);
    repository_check(sign_with(f, f->away, "root-1.key", shown, &error), &error);
    assert_non_null(strstr(shown, "root, version 2, expires "));
    assert_non_null(strstr(shown, "  root: 2 of"));
    repository_check(covey_fleet_import(NULL, keys, f->file, &text, &error), &error);
    covey_fleet_keys_text_free(keys, text);
    assert_int_equal(repository_version(keys, "root"), 2);
    /* Again is no harm; a change that was overtaken is refused. */
    repository_check(covey_fleet_import(NULL, keys, f->file, &text, &error), &error);
    covey_fleet_keys_text_free(keys, text);
    covey_fleet_keys_close(keys);
}

/* Whoever carries the file can write what it says held before. */
static void nothing_hides_in_a_base(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    covey__signing *signing = NULL;
    char shown[8000];
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    covey__tuf_make_target evil = {.name = "assistant/6.6.6/release.json", .length = 1};
    covey__tuf_make_target good = {.name = "assistant/1.0.0/release.json", .length = 2};
    covey__draft_change change = {.target = &evil};
    repository_check(covey__signing_new(keys->env, keys->set, &signing, &error), &error);
    repository_check(covey__draft_targets(signing, "assistant", &change, f->now_ms, &error),
                     &error);
    const covey__metadata_item *draft = covey__metadata_item_find(signing->drafts, "assistant");
    repository_check(covey__metadata_put(signing->bases, "assistant", draft->text.data,
                                         draft->text.size, &error),
                     &error);
    change.target = &good;
    repository_check(covey__draft_targets(signing, "assistant", &change, f->now_ms, &error),
                     &error);
    repository_check(covey__signing_write(signing, f->file, &error), &error);
    covey__signing_free(signing);
    repository_check(sign_with(f, f->keys, "assistant.key", shown, &error), &error);
    assert_non_null(strstr(shown, "assistant/6.6.6/release.json"));
    assert_non_null(strstr(shown, "assistant/1.0.0/release.json"));
    covey_fleet_keys_close(keys);
}

static void files_that_are_no_signing_files(void **state) {
    fixture *f = *state;
    static const char *const wrong[] = {
        "",
        "{",
        "[]",
        "{\"format\":2}",
        "{\"format\":1,\"drafts\":[],\"bases\":[]}",
        "{\"format\":1,\"drafts\":[{\"role\":\"root\",\"document\":\"{}\"}],\"bases\":[]}",
        "{\"format\":1,\"drafts\":[{\"role\":\"../x\",\"document\":\"{}\"}],\"bases\":[]}",
        "{\"format\":1,\"release\":\"xyz\",\"drafts\":[],\"bases\":[]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        covey_error error = {0};
        char shown[8000];
        test_write(f->file, wrong[i], strlen(wrong[i]));
        covey_status status = sign_with(f, f->keys, "root-1.key", shown, &error);
        if (status != COVEY_ERROR_FORMAT && status != COVEY_ERROR_LIMIT)
            fail_msg("\"%s\": %s", wrong[i], covey_status_name(status));
    }
}

static void public_keys_in_files(void **state) {
    fixture *f = *state;
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    static const struct {
        const char *text;
        covey_key_scheme scheme; /* 0: refused */
    } cases[] = {
        {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n", COVEY_KEY_ED25519},
        {"{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":"
         "\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"}}",
         COVEY_KEY_ED25519},
        {"-----BEGIN PUBLIC KEY-----\n"
         "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
         "-----END PUBLIC KEY-----\n",
         COVEY_KEY_ED25519},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 0},
        {"{\"keytype\":\"x\",\"scheme\":\"y\",\"keyval\":{}}", 0},
        {"d75a", 0},
        {"", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__public_key key;
        covey_error error = {0};
        test_write(f->file, cases[i].text, strlen(cases[i].text));
        covey_status status =
            covey__public_key_file(keys->env, &keys->arena, f->file, &key, &error);
        if ((status == COVEY_OK) != (cases[i].scheme != 0))
            fail_msg("case %zu: %s", i, error.message);
        if (status == COVEY_OK) assert_int_equal(key.scheme, cases[i].scheme);
    }
    covey_fleet_keys_close(keys);
}

/* A rotation of targets, which makes a root and targets, with each step failing in turn. */
static void cut_at_every_step(void **state) {
    fixture *f = *state;
    int old_sets = 0, new_sets = 0;
    bool done = false;
    for (int64_t step = 1; !done; step++) {
        char folder[300];
        snprintf(folder, sizeof folder, "%s/cut-%d", f->folder.path, (int)step);
        repository_make(f->runtime, folder);
        covey_fleet_keys *keys = repository_open(f->runtime, folder);
        covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
        covey_error error = {0};
        char *text = NULL;
        covey__env broken = *keys->env;
        const covey__env *whole = keys->env;
        broken.fault = fault;
        broken.fault_user = f;
        f->calls = 0;
        f->fails = step;
        keys->env = &broken;
        change.role = "targets";
        change.rotate = true;
        change.make_new = true;
        done = covey_fleet_keys_apply(keys, &change, &text, &error) == COVEY_OK && f->calls < step;
        covey_fleet_keys_text_free(keys, text);
        keys->env = whole;
        keys->set->env = whole;
        for (size_t i = 0; i < keys->holder_count; i++) keys->holders[i].signer.env = whole;
        covey_fleet_keys_close(keys);
        keys = repository_open(f->runtime, folder);
        int64_t root = repository_version(keys, "root");
        assert_int_equal(repository_version(keys, "targets"), root);
        (root == 1 ? &old_sets : &new_sets)[0]++;
        covey_fleet_keys_close(keys);
    }
    assert_true(old_sets > 5 && new_sets >= 1);
}

typedef struct parse_input {
    const char *text;
    size_t size;
} parse_input;

static covey_status parse_and_draft(const covey__env *env, void *user, covey_error *error) {
    const parse_input *in = user;
    covey__signing *signing = NULL;
    covey__tuf_make_target target = {.name = "assistant/1.0.0/release.json", .length = 3};
    covey__draft_change change = {.target = &target};
    covey_status status = covey__signing_parse(env, in->text, in->size, &signing, error);
    if (status == COVEY_OK) status = covey__draft_targets(signing, "assistant", &change, 1, error);
    covey__signing_free(signing);
    return status;
}

static void memory_runs_out(void **state) {
    fixture *f = *state;
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    covey_fleet_keys_change change = COVEY_FLEET_KEYS_CHANGE_INIT;
    parse_input in;
    change.role = "assistant";
    change.renew = true;
    change.export_file = f->file;
    repository_apply(keys, &change);
    covey_fleet_keys_close(keys);
    char *text = test_read(f->file, &in.size);
    in.text = text;
    assert_true(test_fail_each_allocation(parse_and_draft, &in) > 50);
    free(text);
}

static bool give_passphrase(void *user, const char *key_file, bool is_new,
                            char text[COVEY_FLEET_PASSPHRASE_SIZE]) {
    (void)key_file;
    (void)is_new;
    snprintf(text, COVEY_FLEET_PASSPHRASE_SIZE, "%s", (const char *)user);
    return true;
}

static void a_passphrase_is_needed(void **state) {
    fixture *f = *state;
    covey_error error = {0};
    char path[400], public_key[65], right[] = "right", wrong[] = "wrong";
    snprintf(path, sizeof path, "%s/mine.key", f->away);
    repository_check(
        covey_fleet_key_make(f->runtime, path, give_passphrase, right, public_key, &error), &error);
    covey_fleet_keys *keys = repository_open(f->runtime, f->keys);
    covey__holder holder;
    repository_check(covey__holder_read(keys->env, &keys->arena, path, &holder, &error), &error);
    assert_true(holder.encrypted);
    assert_int_equal(covey__holder_open(keys->env, &holder, NULL, NULL, &error),
                     COVEY_ERROR_DENIED);
    assert_int_equal(covey__holder_open(keys->env, &holder, give_passphrase, wrong, &error),
                     COVEY_ERROR_DENIED);
    repository_check(covey__holder_open(keys->env, &holder, give_passphrase, right, &error),
                     &error);
    covey__holder_close(keys->env, &holder);
    covey_fleet_keys_close(keys);
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(a_new_folder),
                                       TEST(documents_that_were_changed_by_hand),
                                       TEST(changes_with_all_keys_here),
                                       TEST(products_and_renewals),
                                       TEST(expiry_is_told_ahead),
                                       TEST(signed_on_two_other_machines),
                                       TEST(nothing_hides_in_a_base),
                                       TEST(files_that_are_no_signing_files),
                                       TEST(public_keys_in_files),
                                       TEST(cut_at_every_step),
                                       TEST(memory_runs_out),
                                       TEST(a_passphrase_is_needed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
