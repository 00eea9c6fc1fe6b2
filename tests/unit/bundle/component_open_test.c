/* Encrypted components as a device opens them: each byte that differs, another key, another file's
 * chunks and another file's whole are refused, and nothing of what was refused can be read. */
#include "ensemble_folder.h"

#include "base/runtime.h"
#include "base/sha256.h"
#include "bundle/component_open.h"

#include <errno.h>
#include <sys/stat.h>

#define PLAIN_BYTES ((size_t)(2u << 20) + 1000) /* three chunks */

static test_folder folder;
static covey_runtime *runtime;
static covey__content_key key, other_key;
static char file[300], twin[300];
static char *plain;

static const covey__manifest_part parts[] = {
    {.role = "model", .file = "model.gguf"},
    {.role = "probes", .file = "probes.bin", .encrypted = true},
    {.role = "template", .file = "twin.bin", .encrypted = true}};

static int set_up(void **state) {
    (void)state;
    covey_error error = {0};
    covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
    options.crypto = covey__crypto_openssl();
    test_folder_make(&folder);
    assert_int_equal(covey__runtime_new(&options, &runtime, &error), COVEY_OK);
    const covey__env *env = covey__runtime_env(runtime);
    assert_int_equal(covey__content_key_make(env, &key, &error), COVEY_OK);
    assert_int_equal(covey__content_key_make(env, &other_key, &error), COVEY_OK);
    strcpy(file, test_path(&folder, "probes.bin"));
    strcpy(twin, test_path(&folder, "twin.bin"));
    plain = malloc(PLAIN_BYTES);
    uint64_t seed = 5;
    for (size_t i = 0; i < PLAIN_BYTES; i++) plain[i] = (char)test_random(&seed);
    ensemble_model(env, test_path(&folder, "model.gguf"), 1);
    test_write(file, plain, PLAIN_BYTES);
    plain[0] ^= 1; /* the twin has the same size and another content */
    test_write(twin, plain, PLAIN_BYTES);
    plain[0] ^= 1;
    assert_int_equal(covey__envelope_encrypt_file(env, &key, file, file, &error), COVEY_OK);
    assert_int_equal(covey__envelope_encrypt_file(env, &key, twin, twin, &error), COVEY_OK);
    covey__manifest_spec spec = {.name = "assistant",
                                 .version = "1.0.0",
                                 .variant = "q8_0",
                                 .parts = parts,
                                 .part_count = 3,
                                 .arithmetic_version = 1};
    assert_int_equal(covey__manifest_write(env, folder.path, &spec, &error), COVEY_OK);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    free(plain);
    covey_runtime_close(runtime);
    test_folder_remove(&folder);
    return 0;
}

/* Opens the ensemble, gives it `with` (may be NULL) and maps its probes. */
static covey_status open_probes(const covey__content_key *with, covey__map *map,
                                covey_error *error) {
    covey_ensemble *ensemble;
    memset(error, 0, sizeof *error);
    if (covey_ensemble_open(runtime, folder.path, COVEY_CHECK_MANIFEST, &ensemble, error) !=
        COVEY_OK)
        fail_msg("%s", error->message);
    assert_true(covey_ensemble_encrypted(ensemble));
    if (with != NULL)
        assert_int_equal(covey_ensemble_give_key(ensemble, with->key, error), COVEY_OK);
    const covey__component *component = &covey__ensemble_manifest(ensemble)->components[1];
    covey_status status = covey__component_map(ensemble, component, map, error);
    covey_ensemble_close(ensemble);
    if (status != COVEY_OK) assert_int_equal(map->size, 0);
    return status;
}

static void the_key_opens_it(void **state) {
    (void)state;
    covey__map map;
    covey_error error;
    assert_int_equal(open_probes(&key, &map, &error), COVEY_OK);
    assert_int_equal(map.size, PLAIN_BYTES);
    assert_memory_equal(map.data, plain, PLAIN_BYTES);
    covey__map_close(&map);
    assert_int_equal(open_probes(NULL, &map, &error), COVEY_ERROR_DENIED);
    char hex[33];
    covey__hex(key.id, 16, hex);
    assert_non_null(strstr(error.message, hex));
}

static void another_key_is_not_taken(void **state) {
    (void)state;
    covey_ensemble *ensemble;
    covey_error error;
    assert_int_equal(
        covey_ensemble_open(runtime, folder.path, COVEY_CHECK_MANIFEST, &ensemble, &error),
        COVEY_OK);
    assert_int_equal(covey_ensemble_give_key(ensemble, other_key.key, &error),
                     COVEY_ERROR_MISMATCH);
    covey_ensemble_close(ensemble);
}

static void every_region_counts(void **state) {
    (void)state;
    static const struct {
        size_t at;
        covey_status status;
    } flips[] = {
        {0, COVEY_ERROR_FORMAT},      /* the mark */
        {8, COVEY_ERROR_UNSUPPORTED}, /* version */
        {12, COVEY_ERROR_FORMAT},     /* chunk size */
        {16, COVEY_ERROR_MISMATCH},   /* plain size */
        {24, COVEY_ERROR_MISMATCH},   /* key id */
        {40, COVEY_ERROR_MISMATCH},   /* component id */
        {72, COVEY_ERROR_FORMAT},     /* the zeros */
        {80, COVEY_ERROR_MISMATCH},   /* the first chunk */
        {80 + 500000, COVEY_ERROR_MISMATCH},
        {80 + (1u << 20), COVEY_ERROR_MISMATCH},           /* its tag */
        {80 + (1u << 20) + 16, COVEY_ERROR_MISMATCH},      /* the second */
        {80 + 2 * ((1u << 20) + 16), COVEY_ERROR_MISMATCH} /* the last */
    };
    covey__map map;
    covey_error error;
    for (size_t i = 0; i < sizeof flips / sizeof *flips; i++) {
        ensemble_flip(file, flips[i].at);
        covey_status status = open_probes(&key, &map, &error);
        if (status == COVEY_OK || (status != flips[i].status && flips[i].at >= 16))
            fail_msg("byte %zu: status %d: %s", flips[i].at, (int)status, error.message);
        ensemble_flip(file, flips[i].at);
    }
    ensemble_flip(file, SIZE_MAX); /* the last tag's end */
    assert_int_equal(open_probes(&key, &map, &error), COVEY_ERROR_MISMATCH);
    ensemble_flip(file, SIZE_MAX);
    assert_int_equal(open_probes(&key, &map, &error), COVEY_OK);
    covey__map_close(&map);
}

static void swapped_and_cut(void **state) {
    (void)state;
    size_t size, twin_size;
    covey__map map;
    covey_error error;
    const size_t sealed = (1u << 20) + 16;
    char *bytes = test_read(file, &size), *twin_bytes = test_read(twin, &twin_size);
    char *changed = malloc(size);
    assert_int_equal(size, twin_size);
    memcpy(changed, bytes, size); /* two chunks change places */
    memcpy(changed + 80, bytes + 80 + sealed, sealed);
    memcpy(changed + 80 + sealed, bytes + 80, sealed);
    test_write(file, changed, size);
    assert_int_equal(open_probes(&key, &map, &error), COVEY_ERROR_MISMATCH);
    memcpy(changed, bytes, size); /* a chunk of the twin at the same place, whose bytes are equal */
    memcpy(changed + 80 + sealed, twin_bytes + 80 + sealed, sealed);
    test_write(file, changed, size);
    assert_int_equal(open_probes(&key, &map, &error), COVEY_ERROR_MISMATCH);
    test_write(file, twin_bytes, size); /* the twin whole, rightly encrypted under the same key */
    assert_int_equal(open_probes(&key, &map, &error), COVEY_ERROR_MISMATCH);
    test_write(file, bytes, size);
    assert_int_equal(open_probes(&key, &map, &error), COVEY_OK);
    covey__map_close(&map);
    /* Cut or grown it does not even pass for a component of this size. */
    covey_ensemble *ensemble;
    test_write(file, bytes, size - sealed);
    assert_int_equal(
        covey_ensemble_open(runtime, folder.path, COVEY_CHECK_MANIFEST, &ensemble, &error),
        COVEY_ERROR_MISMATCH);
    test_write(file, bytes, size);
    free(bytes);
    free(twin_bytes);
    free(changed);
}

typedef struct trap {
    int count, at;
} trap;

static int on_point(void *user, const char *point, const char *subject) {
    trap *t = user;
    (void)point;
    (void)subject;
    return ++t->count == t->at ? EIO : 0;
}

static covey_allocator whole;

static void *trapped_resize(void *user, void *pointer, size_t size) {
    trap *t = user;
    bool refused = size > 0 && ++t->count == t->at;
    return refused ? NULL : whole.resize(whole.user, pointer, size);
}

/* Each system call and each allocation of an opening fails in turn: nothing is left mapped. */
static void every_failure_leaves_nothing(void **state) {
    (void)state;
    covey__env *env = covey__runtime_env_for_tests(runtime);
    covey_ensemble *ensemble;
    covey_error error;
    covey__map map;
    assert_int_equal(
        covey_ensemble_open(runtime, folder.path, COVEY_CHECK_MANIFEST, &ensemble, &error),
        COVEY_OK);
    assert_int_equal(covey_ensemble_give_key(ensemble, key.key, &error), COVEY_OK);
    const covey__component *component = &covey__ensemble_manifest(ensemble)->components[1];
    whole = env->allocator;
    for (int kind = 0; kind < 2; kind++) {
        covey_status status = COVEY_ERROR_IO;
        int at = 1;
        for (; status != COVEY_OK && at < 100; at++) {
            trap t = {.at = at};
            if (kind == 0) {
                env->fault = on_point;
                env->fault_user = &t;
            } else {
                env->allocator.resize = trapped_resize;
                env->allocator.user = &t;
            }
            status = covey__component_map(ensemble, component, &map, &error);
            env->fault = NULL;
            env->allocator = whole;
            assert_int_equal(t.count >= at, status != COVEY_OK);
            if (status != COVEY_OK) assert_null(map.base);
        }
        assert_int_equal(status, COVEY_OK);
        assert_true(at > 2);
        covey__map_close(&map);
    }
    covey_ensemble_close(ensemble);
}

/* A keystore of one secret. */
static covey_status store_get(void *user, const char *name, void *value, size_t capacity,
                              size_t *size) {
    const char *hex = user;
    char wanted[COVEY__CONTENT_KEY_NAME_SIZE];
    covey__content_key_name(key.id, wanted);
    if (strcmp(name, wanted) != 0) return COVEY_ERROR_NOT_FOUND;
    *size = strlen(hex);
    if (*size > capacity) return COVEY_ERROR_LIMIT;
    memcpy(value, hex, *size);
    return COVEY_OK;
}

static void a_keystore_may_have_it(void **state) {
    (void)state;
    char right[65], wrong[65];
    covey_error error;
    covey__map map;
    covey__hex(key.key, 32, right);
    covey__hex(other_key.key, 32, wrong);
    char *held[] = {right, wrong};
    covey_runtime *kept = runtime;
    for (int i = 0; i < 2; i++) {
        covey_keystore store = {sizeof store, held[i], store_get, NULL, NULL};
        covey_runtime_options options = COVEY_RUNTIME_OPTIONS_INIT;
        options.crypto = covey__crypto_openssl();
        options.keystore = &store;
        assert_int_equal(covey__runtime_new(&options, &runtime, &error), COVEY_OK);
        assert_int_equal(open_probes(NULL, &map, &error), i == 0 ? COVEY_OK : COVEY_ERROR_DENIED);
        covey__map_close(&map);
        covey_runtime_close(runtime);
    }
    runtime = kept;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_opens_it),
        cmocka_unit_test(another_key_is_not_taken),
        cmocka_unit_test(every_region_counts),
        cmocka_unit_test(swapped_and_cut),
        cmocka_unit_test(every_failure_leaves_nothing),
        cmocka_unit_test(a_keystore_may_have_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
