/* Publishing: from ensemble folders to a release that the metadata names.
 *
 * bundle/release.h checks the folders to the last byte, cuts them and hands over each blob. Blobs
 * are collected into batches; for each, the server says which it lacks, and only those are sent.
 * Then goes the release document, a blob too; then patches from earlier versions, and their index;
 * then the product's role, one version up, with both documents among its targets; last, the release
 * itself. Any failure can be answered by doing it all
 * again: what arrived is whole, and is not sent twice.
 *
 * Invariants: a private key signs in this process (or in the signer's) and never leaves it. A batch
 * holds at most BATCH_BYTES beyond one blob.
 *
 * Neighbours: publish_patches.c makes patches; client.c makes the calls; docs/api.md says what they
 * mean.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/sha256.h"
#include "bundle/patch_index.h"
#include "bundle/release.h"
#include "fleet/client_metadata.h"
#include "fleet/publish_patches.h"

#define BATCH_COUNT  256
#define BATCH_BYTES  (16u << 20)
#define CLASSES_MAX  8
#define VARIANTS_MAX COVEY__VARIANT_COUNT_MAX

typedef struct publication {
    covey_fleet_client *client;
    const covey_fleet_publish_options *options;
    covey_fleet_published *result;
    uint64_t bytes_expected; /* of all components, for the progress */
    covey__buffer bytes;     /* the batch's blobs, one after the other */
    struct {
        uint8_t sha256[32];
        size_t offset, size;
    } batch[BATCH_COUNT];
    size_t batch_count;
    char target[160];  /* the release's name in the metadata */
    char patches[160]; /* its patch index's */
    char role[COVEY__METADATA_ROLE_SIZE];
    covey__metadata_set *served; /* what the control plane had at the beginning */
} publication;

/* ---- batches ------------------------------------------------------------------------------ */

static covey_status put_blob(publication *p, const uint8_t sha256[32], const void *data,
                             size_t size, covey_error *error) {
    char hex[65], path[96];
    covey__hex(sha256, 32, hex);
    (void)snprintf(path, sizeof(path), "/v1/blobs/sha256/%s", hex);
    covey_status status = covey__fleet_call(p->client, "PUT", path, data, size, NULL, NULL, error);
    if (status != COVEY_OK) return status;
    p->result->blobs_sent++;
    p->result->bytes_sent += size;
    return COVEY_OK;
}

static void show_progress(publication *p) {
    if (p->options->progress == NULL) return;
    uint64_t total = p->bytes_expected;
    if (p->result->bytes_total > total) total = p->result->bytes_total;
    p->options->progress(p->options->progress_user, p->result->bytes_total, total,
                         p->result->bytes_sent);
}

/* Marks what the server has: its entry's size becomes 0. */
static covey_status ask_missing(publication *p, bool missing[BATCH_COUNT], covey_error *error) {
    covey__buffer body, answer;
    covey__arena arena;
    covey__json_writer w;
    const covey__json *root, *list;
    covey__buffer_init(&body, p->client->env, 1u << 20);
    covey__buffer_init(&answer, p->client->env, 1u << 20);
    covey__arena_init(&arena, p->client->env, 4u << 20);
    covey__json_writer_init(&w, &body, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "blobs");
    covey__json_begin_array(&w);
    for (size_t i = 0; i < p->batch_count; i++) {
        char hex[65];
        covey__hex(p->batch[i].sha256, 32, hex);
        covey__json_put_string(&w, hex);
    }
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    covey_status status = covey__buffer_check(&body, error, "request");
    if (status == COVEY_OK) {
        status = covey__fleet_call(p->client, "POST", "/v1/blobs/missing", body.data, body.size,
                                   &answer, NULL, error);
    }
    if (status == COVEY_OK) {
        status = covey__json_parse(&arena, answer.data, answer.size, COVEY__JSON_LIMITS_DEFAULT,
                                   &root, error);
    }
    if (status == COVEY_OK) {
        status = covey__json_member(root, "missing", "missing", COVEY__JSON_ARRAY, &list, error);
    }
    for (const covey__json *each = status == COVEY_OK ? list->child : NULL; each != NULL;
         each = each->next) {
        uint8_t sha256[32];
        if (each->kind != COVEY__JSON_STRING || !covey__unhex(each->text, each->size, sha256, 32)) {
            continue;
        }
        for (size_t i = 0; i < p->batch_count; i++) {
            if (memcmp(p->batch[i].sha256, sha256, 32) == 0) missing[i] = true;
        }
    }
    covey__arena_free(&arena);
    covey__buffer_free(&answer);
    covey__buffer_free(&body);
    return status;
}

static covey_status flush(publication *p, covey_error *error) {
    bool missing[BATCH_COUNT] = {false};
    if (p->batch_count == 0) return COVEY_OK;
    covey_status status = ask_missing(p, missing, error);
    for (size_t i = 0; i < p->batch_count && status == COVEY_OK; i++) {
        if (!missing[i]) continue;
        status = put_blob(p, p->batch[i].sha256, p->bytes.data + p->batch[i].offset,
                          p->batch[i].size, error);
        show_progress(p);
    }
    p->batch_count = 0;
    covey__buffer_clear(&p->bytes);
    show_progress(p);
    return status;
}

static covey_status take_blob(void *user, const uint8_t sha256[32], const void *data, size_t size,
                              covey_error *error) {
    publication *p = user;
    for (size_t i = 0; i < p->batch_count; i++) {
        if (memcmp(p->batch[i].sha256, sha256, 32) == 0) return COVEY_OK;
    }
    if (p->batch_count == BATCH_COUNT || p->bytes.size > BATCH_BYTES) {
        covey_status status = flush(p, error);
        if (status != COVEY_OK) return status;
    }
    memcpy(p->batch[p->batch_count].sha256, sha256, 32);
    p->batch[p->batch_count].offset = p->bytes.size;
    p->batch[p->batch_count].size = size;
    if (covey__buffer_append(&p->bytes, data, size) != COVEY_OK) {
        return covey__buffer_check(&p->bytes, error, "publish: batch");
    }
    p->batch_count++;
    p->result->blob_count++;
    p->result->bytes_total += size;
    return COVEY_OK;
}

/* ---- before anything is sent -------------------------------------------------------------- */

/* Name, version and size of the bundles, by their manifests. */
static covey_status look_at_bundles(publication *p, covey_error *error) {
    const covey__env *env = p->client->env;
    char name[132] = "";
    for (size_t i = 0; i < p->options->bundle_count; i++) {
        const char *folder = p->options->bundles[i].folder;
        covey__manifest *manifest = NULL;
        char found[132];
        covey_status status = covey__manifest_read(env, folder, &manifest, error);
        if (status != COVEY_OK) return covey__prefix(error, status, "%s", folder);
        (void)snprintf(found, sizeof(found), "%.64s@%.64s", manifest->name, manifest->version);
        for (size_t k = 0; k < manifest->component_count; k++) {
            p->bytes_expected += manifest->components[k].size;
        }
        covey__manifest_free(manifest);
        const char *wanted = i > 0 ? name : p->options->release;
        if (wanted != NULL && strcmp(found, wanted) != 0) {
            return covey__fail(error, COVEY_ERROR_MISMATCH, "%s: is %s, expected %s", folder, found,
                               wanted);
        }
        memcpy(name, found, sizeof(name));
    }
    (void)snprintf(p->result->release, sizeof(p->result->release), "%s", name);
    return COVEY_OK;
}

/* "tiny,small" into names; NULL is all. The text is cut in place. */
static covey_status split_classes(char *text, const char **names, size_t *count,
                                  covey_error *error) {
    static const char *const known[] = {"tiny", "small", "medium", "large"};
    char *rest = text, *each;
    *count = 0;
    while ((each = strsep(&rest, ",")) != NULL) {
        bool right = false;
        for (size_t i = 0; i < 4; i++) right = right || strcmp(each, known[i]) == 0;
        if (!right || *count == CLASSES_MAX) {
            char shown[40];
            return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                               "classes: expected some of tiny,small,medium,large, found \"%s\"",
                               covey__printable(each, strlen(each), shown, sizeof(shown)));
        }
        names[(*count)++] = each;
    }
    return COVEY_OK;
}

static covey_status build(publication *p, covey__buffer *document, covey_error *error) {
    const covey__env *env = p->client->env;
    covey__release_source sources[VARIANTS_MAX] = {{0}};
    const char *classes[VARIANTS_MAX][CLASSES_MAX];
    char *texts[VARIANTS_MAX] = {NULL};
    size_t count = p->options->bundle_count;
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        const char *list = p->options->bundles[i].classes;
        texts[i] = covey__strdup(env, list != NULL ? list : "tiny,small,medium,large");
        if (texts[i] == NULL) {
            status = covey__no_memory(error, "classes", 0);
            break;
        }
        sources[i] =
            (covey__release_source){.folder = p->options->bundles[i].folder, .classes = classes[i]};
        status = split_classes(texts[i], classes[i], &sources[i].class_count, error);
    }
    if (status == COVEY_OK) {
        status = covey__release_build(env, sources, count, document, error, take_blob, p);
    }
    if (status == COVEY_OK) status = flush(p, error);
    for (size_t i = 0; i < count; i++) covey__free(env, texts[i]);
    return status;
}

/* ---- the release's metadata --------------------------------------------------------------- */

/* What would fail at the end should be known before minutes of uploading: the role, and its key. */
static covey_status prepare_keys(publication *p, covey_error *error) {
    covey_fleet_keys *keys = p->options->keys;
    char *at = strchr(p->result->release, '@');
    (void)snprintf(p->target, sizeof(p->target), "%.*s/%s/release.json",
                   (int)(at - p->result->release), p->result->release, at + 1);
    (void)snprintf(p->patches, sizeof(p->patches), "%.*s/%s/" COVEY__PATCH_INDEX_FILE,
                   (int)(at - p->result->release), p->result->release, at + 1);
    covey_status status = covey__fleet_pull(p->client, keys, &p->served, error);
    if (status == COVEY_OK) status = covey__repository_speaker(keys, p->target, p->role, error);
    if (status != COVEY_OK || p->options->export_file != NULL) return status;
    const covey__tuf_document *targets = covey__metadata_item_find(keys->set, "targets")->document;
    for (size_t i = 0; i < targets->role_count; i++) {
        const covey__tuf_role *role = &targets->roles[i];
        if (strcmp(role->name, p->role) != 0) continue;
        for (size_t k = 0; k < role->key_count; k++) {
            covey__holder *holder =
                role->keys[k] != NULL ? covey__holder_find(keys, &role->keys[k]->key) : NULL;
            if (holder == NULL) continue;
            return covey__holder_open(keys->env, holder, keys->passphrase, keys->passphrase_user,
                                      error);
        }
    }
    return covey__fail(error, COVEY_ERROR_SIGNATURE,
                       "no key of the role %s is here: --export FILE writes what is to be signed "
                       "elsewhere",
                       p->role);
}

/* The role's next version with these among its targets, signed and kept. */
static covey_status sign_targets(publication *p, const covey__tuf_make_target *targets,
                                 size_t count, covey_error *error) {
    covey_fleet_keys *keys = p->options->keys;
    covey__signing *signing = NULL;
    bool complete = false;
    covey_status status = covey__signing_new(keys->env, keys->set, &signing, error);
    if (status != COVEY_OK) return status;
    (void)snprintf(signing->purpose, sizeof(signing->purpose), "publish %s", p->result->release);
    memcpy(signing->release, p->result->digest, sizeof(signing->release));
    memcpy(signing->release_name, p->result->release, sizeof(signing->release_name));
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        covey__draft_change change = {.target = &targets[i]};
        status = covey__draft_targets(signing, p->role, &change, covey__now_ms(keys->env), error);
    }
    if (status == COVEY_OK)
        status = covey__repository_finish(keys, signing, p->options->export_file, &complete, error);
    covey__signing_free(signing);
    p->result->was_exported = status == COVEY_OK && !complete;
    return status;
}

/* The entry of a target in what holds; NULL: there is none. */
static const covey__tuf_entry *held_entry(const publication *p, const char *target) {
    const covey__metadata_item *item = covey__metadata_item_find(p->options->keys->set, p->role);
    return item != NULL ? covey__tuf_entry_find(item->document, target) : NULL;
}

static covey__tuf_make_target as_target(const char *name, const covey__buffer *document) {
    covey__tuf_make_target target = {.name = name, .length = document->size};
    covey__sha256_of(document->data, document->size, target.sha256);
    return target;
}

/* `patches` is empty where there are none. */
static covey_status publish_targets(publication *p, const covey__buffer *document,
                                    const covey__buffer *patches, covey_error *error) {
    covey_fleet_keys *keys = p->options->keys;
    covey__tuf_make_target release = as_target(p->target, document), changed[2];
    const covey__tuf_entry *held = held_entry(p, p->target);
    size_t count = 0;
    covey_status status = COVEY_OK;
    covey__hex(release.sha256, 32, p->result->digest);
    if (held != NULL && memcmp(held->hashes.sha256, release.sha256, 32) != 0)
        return covey__fail(error, COVEY_ERROR_MISMATCH,
                           "conflict: %s is signed already with another document: a version is "
                           "never changed",
                           p->result->release);
    if (held == NULL) changed[count++] = release;
    if (patches->size > 0) {
        changed[count] = as_target(p->patches, patches);
        held = held_entry(p, p->patches);
        if (held == NULL || memcmp(held->hashes.sha256, changed[count].sha256, 32) != 0) count++;
    }
    if (count > 0) status = sign_targets(p, changed, count, error);
    if (status != COVEY_OK || p->result->was_exported) return status;
    status = covey__fleet_push(p->client, keys, p->served, NULL, error);
    if (status != COVEY_OK) return status;
    return covey__fleet_post_release(p->client, p->result->digest, &p->result->was_known, error);
}

/* ---- patches ------------------------------------------------------------------------------ */

static void count_patch(void *user, const covey_fleet_patch *patch) {
    publication *p = user;
    if (patch->kept) p->result->patches_kept++;
    if (patch->kept) p->result->patch_bytes += patch->patch_bytes;
    if (p->options->patch != NULL) p->options->patch(p->options->patch_user, patch);
}

/* What has patches already is not given them again, unless it is said from which versions. */
static covey_status make_patches(publication *p, const covey__buffer *document,
                                 covey__buffer *patches, covey_error *error) {
    covey_fleet_publish_options options = *p->options;
    bool wanted = options.patch_from_count > 0 || options.patch_count > 0;
    if (!wanted || (options.patch_from_count == 0 && held_entry(p, p->patches) != NULL))
        return COVEY_OK;
    options.patch = count_patch;
    options.patch_user = p;
    covey__patch_making making = {.client = p->client,
                                  .set = p->options->keys->set,
                                  .options = &options,
                                  .document = document->data,
                                  .document_size = document->size,
                                  .blob = take_blob,
                                  .blob_user = p};
    covey_status status = covey__publish_patches(&making, patches, error);
    if (status == COVEY_OK && patches->size > 0) {
        uint8_t digest[32];
        covey__sha256_of(patches->data, patches->size, digest);
        status = take_blob(p, digest, patches->data, patches->size, error);
    }
    return status == COVEY_OK ? flush(p, error) : status;
}

static covey_status publish(publication *p, covey_error *error) {
    covey__buffer document, patches;
    uint8_t digest[32];
    covey__buffer_init(&document, p->client->env, COVEY__RELEASE_BYTES_MAX);
    covey__buffer_init(&patches, p->client->env, COVEY__PATCH_INDEX_BYTES_MAX);
    covey_status status = look_at_bundles(p, error);
    if (status == COVEY_OK) status = prepare_keys(p, error);
    if (status == COVEY_OK) status = build(p, &document, error);
    if (status == COVEY_OK) {
        covey__sha256_of(document.data, document.size, digest);
        status = take_blob(p, digest, document.data, document.size, error);
    }
    if (status == COVEY_OK) status = flush(p, error);
    if (status == COVEY_OK) status = make_patches(p, &document, &patches, error);
    if (status == COVEY_OK) status = publish_targets(p, &document, &patches, error);
    covey__metadata_set_free(p->served);
    covey__buffer_free(&document);
    covey__buffer_free(&patches);
    return status;
}

covey_status covey_fleet_publish(covey_fleet_client *client,
                                 const covey_fleet_publish_options *options,
                                 covey_fleet_published *published, covey_error *error) {
    covey_fleet_publish_options full = COVEY_FLEET_PUBLISH_OPTIONS_INIT;
    covey_fleet_published result = COVEY_FLEET_PUBLISHED_INIT;
    memcpy(&full, options, options->size < sizeof(full) ? options->size : sizeof(full));
    if (full.bundle_count < 1 || full.bundle_count > VARIANTS_MAX || full.keys == NULL) {
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "publish: expected 1 to %d bundles and a key folder", VARIANTS_MAX);
    }
    publication *p = covey__calloc(client->env, 1, sizeof(*p));
    if (p == NULL) return covey__no_memory(error, "publish", sizeof(*p));
    p->client = client;
    p->options = &full;
    p->result = &result;
    covey__buffer_init(&p->bytes, client->env, BATCH_BYTES + COVEY__INDEX_BYTES_MAX + 1);
    covey_status status = publish(p, error);
    covey__buffer_free(&p->bytes);
    covey__free(client->env, p);
    size_t known = published->size < sizeof(result) ? published->size : sizeof(result);
    result.size = published->size;
    memcpy(published, &result, known);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "publish");
}
