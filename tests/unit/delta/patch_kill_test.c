/* A patch that is applied, or made, is disturbed at every action on its files in every way of
 * support/proof.h: at the new file's name stands nothing, or the old bytes, or the new ones, whole;
 * the base and the patch are never touched; the next try comes to the same. */
#include "patch_pair.h"

#include "gguf/gguf.h"
#include "support/proof.h"

#include <stdio.h>

typedef struct pair {
    covey__env env;
    patch_bytes old, fresh, patch, before; /* before: at the new file's name; empty: nothing */
    bool makes;                            /* the patch is made, not applied */
} pair;

static const char *path_of(const char *root, const char *name) {
    static char paths[4][400];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", root, name);
    return paths[turn];
}

static covey_status go(pair *p, const char *root, covey_error *error) {
    if (p->makes)
        return covey__patch_make(&p->env, path_of(root, "old"), path_of(root, "new"),
                                 path_of(root, "out"), NULL, NULL, error);
    return covey__patch_apply_files(&p->env, path_of(root, "old"), path_of(root, "patch"),
                                    path_of(root, "out"), NULL, error);
}

static void act(void *user, const char *root, proof_how how) {
    pair *p = user;
    covey_error error = {0};
    p->env.fault = disk_point;
    covey_status status = go(p, root, &error);
    if (status && how == PROOF_ON) status = go(p, root, &error);
    if (status && how != PROOF_ONCE) fail_msg("%s", error.message);
}

static bool has(const char *path, const patch_bytes *bytes) {
    size_t size = 0;
    char *found = test_read(path, &size);
    bool same = found && size == bytes->size && !memcmp(found, bytes->data, size);
    free(found);
    return same;
}

static void again(void *user, const char *root) {
    pair *p = user;
    covey_error error = {0};
    const patch_bytes *want = p->makes ? &p->patch : &p->fresh;
    char out[400];
    size_t size = 0;
    snprintf(out, sizeof out, "%s", path_of(root, "out"));
    char *found = test_read(out, &size);
    if (!has(path_of(root, "old"), &p->old)) fail_msg("the base was touched");
    if (!(p->makes ? has(path_of(root, "new"), &p->fresh) : has(path_of(root, "patch"), &p->patch)))
        fail_msg("what it was to be made from was touched");
    if (found && !has(out, want) && !(p->before.size && has(out, &p->before)))
        fail_msg("half a file stands at its name: %zu bytes", size);
    free(found);
    p->env.fault = disk_point;
    if (go(p, root, &error)) fail_msg("again: %s", error.message);
    if (!has(out, want)) fail_msg("again, and it is another file");
}

/* Takes what `p` was made of into a folder of its own. */
static void prove(const char *name, patch_pair *p, const patch_bytes *before, bool makes) {
    test_folder folder;
    pair it = {.old = p->old, .fresh = p->fresh, .patch = p->patch, .makes = makes};
    if (before) it.before = *before;
    covey__env_init(&it.env);
    test_folder_make(&folder);
    test_write(test_path(&folder, "old"), p->old.data, p->old.size);
    if (makes)
        test_write(test_path(&folder, "new"), p->fresh.data, p->fresh.size);
    else
        test_write(test_path(&folder, "patch"), p->patch.data, p->patch.size);
    if (before) test_write(test_path(&folder, "out"), before->data, before->size);
    proof_case test = {.name = name, .user = &it, .act = act, .again = again, .twice = 5};
    (void)proof_run(&test, folder.path);
}

/* Bytes with pieces that moved, were changed and are new, in more than one frame. */
static void bytes_pair(patch_pair *p) {
    covey__patch_stats stats;
    patch_pair_begin(p);
    patch_random(&p->old, 300000, 1);
    patch_random(&p->fresh, 310000, 2);
    memcpy(p->fresh.data + 5000, p->old.data, 150000);
    memcpy(p->fresh.data + 160000, p->old.data + 150007, 140000);
    p->fresh.data[70000] ^= 1;
    patch_pair_make(p, &stats);
}

/* Tensors of 8-bit and 4-bit blocks whose codes changed here and there: frames that are predicted.
 */
static void write_model(const covey__env *env, const char *path, uint64_t changes) {
    static const uint64_t shape[2] = {256, 64};
    static const covey__type types[3] = {COVEY__TYPE_Q8_0, COVEY__TYPE_Q4_K, COVEY__TYPE_F32};
    static const size_t sizes[3] = {17408, 9216, 65536};
    covey__gguf_writer *writer;
    covey_error error = {0};
    char name[32];
    uint64_t same = 1;
    assert_int_equal(covey__gguf_writer_new(env, path, &writer, &error), COVEY_OK);
    covey__gguf_put_string(writer, "general.architecture", "llama", 5);
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "tensor.%d", i);
        assert_int_equal(covey__gguf_add_tensor(writer, name, types[i], 2, shape, &error),
                         COVEY_OK);
    }
    assert_int_equal(covey__gguf_write_header(writer, &error), COVEY_OK);
    for (int i = 0; i < 3; i++) {
        uint8_t *data = malloc(sizes[i]);
        for (size_t n = 0; n < sizes[i]; n++) {
            data[n] = (uint8_t)(test_random(&same) & 0x3f);
            if (changes && test_random(&changes) % 16 == 0) data[n] ^= 1;
        }
        assert_int_equal(covey__gguf_write_data(writer, data, sizes[i], &error), COVEY_OK);
        free(data);
    }
    assert_int_equal(covey__gguf_finish(writer, &error), COVEY_OK);
    covey__gguf_writer_free(writer);
}

static void model_pair(patch_pair *p) {
    covey__patch_stats stats;
    patch_pair_begin(p);
    write_model(&p->test.env, p->old_path, 0);
    write_model(&p->test.env, p->new_path, 7);
    p->old = patch_read_file(p->old_path);
    p->fresh = patch_read_file(p->new_path);
    patch_pair_make(p, &stats);
    assert_true(stats.bytes[COVEY__PATCH_TENSOR] > 0);
}

int main(void) {
    patch_pair p;
    bytes_pair(&p);
    prove("apply", &p, NULL, false);
    prove("apply over a file", &p, &p.old, false);
    prove("make", &p, NULL, true);
    patch_pair_end(&p);
    model_pair(&p);
    prove("apply to a model", &p, NULL, false);
    patch_pair_end(&p);
    return proof_end();
}
