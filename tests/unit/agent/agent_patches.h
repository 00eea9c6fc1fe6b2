/* Releases with patches for tests of the agent: models that differ in each chunk by a little, so
 * that chunks are dear and patches are not. */
#ifndef COVEY_TEST_AGENT_PATCHES_H
#define COVEY_TEST_AGENT_PATCHES_H

#include "agent_double.h"

#include "bundle/patch_index.h"
#include "delta/chunk_maker.h"
#include "delta/patch.h"

/* Ensemble `generation` of a line: a byte of each 16 KiB differs from the one before, and with
 * `fresh` bytes at the begin nothing is as it was, so that a patch takes about that much. */
static inline void patches_ensemble(control_double *c, const char *name, const char *version,
                                    size_t size, uint64_t generation, size_t fresh) {
    char text[4096], hex[65], path[400];
    uint8_t digest[32];
    const char *folder = test_path(&c->folder, name);
    assert_int_equal(mkdir(folder, 0700), 0);
    uint8_t *model = malloc(size);
    uint64_t state = 1, own = 1000 + generation;
    for (size_t i = 0; i < size; i++) model[i] = (uint8_t)test_random(&state);
    for (uint64_t g = 1; g <= generation; g++)
        for (size_t at = 100 * g; at < size; at += 16384) model[at] ^= 0xff;
    for (size_t i = 0; i < fresh && i < size; i++) model[i] = (uint8_t)test_random(&own);
    covey__sha256_of(model, size, digest);
    covey__hex(digest, 32, hex);
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    test_write(path, model, size);
    free(model);
    snprintf(text, sizeof text,
             "{\"format\":1,\"name\":\"assistant\",\"version\":\"%s\",\"variant\":\"q8_0\","
             "\"components\":["
             "{\"role\":\"model\",\"file\":\"model.gguf\",\"size\":%zu,\"sha256\":\"%s\"}],"
             "\"needs\":{\"memory_bytes\":1000,\"engine_interface\":1,\"arithmetic_version\":1,"
             "\"app\":\"*\"}}",
             version, size, hex);
    snprintf(path, sizeof path, "%s/ensemble.json", folder);
    test_write(path, text, strlen(text));
}

/* An edge: folders and versions. */
typedef struct patches_edge {
    const char *from, *from_version, *to, *to_version;
    const char *instead; /* the patch is made from this folder's model: a wrong one */
    bool lost;           /* its chunks are not served */
} patches_edge;

static inline covey_status patches_take(void *user, const covey__chunk *chunk, const void *stored,
                                        covey_error *error) {
    return double_add_blob(user, chunk->blob, stored, chunk->stored_size, error);
}

/* Of a folder's model. */
static inline covey__patch_blob patches_model(control_double *c, const char *folder,
                                              char path[400]) {
    covey__patch_blob blob;
    size_t size;
    snprintf(path, 400, "%s/model.gguf", test_path(&c->folder, folder));
    char *data = test_read(path, &size);
    assert_non_null(data);
    covey__sha256_of(data, size, blob.sha256);
    blob.size = size;
    free(data);
    return blob;
}

/* Makes the patches and names them in the metadata beside VERSION's release document. Returns the
 * bytes of all of them. */
static inline uint64_t patches_publish(control_double *c, const char *version,
                                       const patches_edge *list, size_t count) {
    static const char *variants[] = {"q8_0"};
    const covey__env *env = covey__runtime_env(c->runtime);
    covey__patch_edge edges[8];
    covey__buffer bytes;
    covey_error error = {0};
    uint64_t total = 0;
    char name[120];
    for (size_t i = 0; i < count; i++) {
        char from[400], to[400], base[400], patch[400];
        covey__chunk_index *index = NULL;
        covey__patch_edge *e = &edges[i];
        *e = (covey__patch_edge){.role = "model",
                                 .file = "model.gguf",
                                 .from_release = list[i].from_version,
                                 .to_release = list[i].to_version,
                                 .variants = variants,
                                 .variant_count = 1};
        e->from = patches_model(c, list[i].from, from);
        e->to = patches_model(c, list[i].to, to);
        patches_model(c, list[i].instead ? list[i].instead : list[i].from, base);
        snprintf(patch, sizeof patch, "%s", test_path(&c->folder, "made.patch"));
        if (covey__patch_make(env, base, to, patch, NULL, NULL, &error))
            fail_msg("%s", error.message);
        if (covey__chunk_index_make_even(env, patch, &index, &error,
                                         list[i].lost ? NULL : patches_take, c))
            fail_msg("%s", error.message);
        covey__buffer_init(&bytes, env, COVEY__INDEX_BYTES_MAX);
        assert_int_equal(covey__chunk_index_write(index, &bytes, &error), COVEY_OK);
        memcpy(e->patch.sha256, index->component_sha256, 32);
        e->patch.size = index->component_size;
        covey__sha256_of(bytes.data, bytes.size, e->index.sha256);
        e->index.size = bytes.size;
        double_add_blob(c, e->index.sha256, bytes.data, bytes.size, NULL);
        total += covey__patch_edge_bytes(e);
        covey__buffer_free(&bytes);
        covey__chunk_index_free(index);
    }
    covey__buffer_init(&bytes, env, COVEY__PATCH_INDEX_BYTES_MAX);
    if (covey__patch_index_write(env, "assistant", version, edges, count, &bytes, &error))
        fail_msg("%s", error.message);
    assert_true(c->repository.release_count < REPO_TARGETS_MAX);
    covey__tuf_make_target *target = &c->repository.releases[c->repository.release_count++];
    snprintf(name, sizeof name, "assistant/%s/patches.json", version);
    target->name = covey__arena_strndup(&c->repository.arena, name, strlen(name));
    target->length = bytes.size;
    covey__sha256_of(bytes.data, bytes.size, target->sha256);
    double_add_blob(c, target->sha256, bytes.data, bytes.size, NULL);
    covey__buffer_free(&bytes);
    return total;
}

/* A device that shipped with 1.0.0 of the line and is enrolled; generation 1 is built as "v110". */
static inline covey_agent *patches_device(control_double *c, size_t size, size_t fresh) {
    covey_error error = {0};
    double_open(c);
    patches_ensemble(c, "builtin", "1.0.0", size, 0, 0);
    patches_ensemble(c, "v110", "1.1.0", size, 1, fresh);
    covey_agent *agent = double_agent(c, true);
    if (covey_agent_enroll(agent, "http://fleet.test/", "cve_x", NULL, &error))
        fail_msg("%s", error.message);
    return agent;
}

/* Sets the rollout's budget in the target that is offered. */
static inline void patches_budget(control_double *c, uint64_t bytes_max) {
    char *at = strstr(c->target, ",\"bytes_max\"");
    if (at == NULL) at = strrchr(c->target, '}');
    size_t room = sizeof c->target - (size_t)(at - c->target);
    snprintf(at, room, ",\"bytes_max\":%llu}", (unsigned long long)bytes_max);
}

#endif
