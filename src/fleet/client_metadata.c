/* A key folder against a control plane: the newest of both holds, and each is verified as a device
 * would from the root that the folder has.
 *
 * The root chain is walked first, a version at a time; then the timestamp names the snapshot, and
 * that the rest. Expiry is not asked for: a publisher must be able to revive what expired. Where
 * the folder has a version that was never served and the control plane serves another document
 * under the same version, what is served holds, since devices may have it.
 *
 * Neighbours: client.c makes the calls; metadata_check.c judges the whole.
 */
#include "fleet/client_metadata.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/sha256.h"

#define BODY_BYTES_MAX (32u << 20)
#define TEXT_BYTES_MAX (1u << 20)

/* ---- what is served ------------------------------------------------------------------------ */

/* NOT_FOUND when it is not there. */
static covey_status get_document(covey_fleet_client *client, const char *name, covey__buffer *out,
                                 covey_error *error) {
    char path[COVEY__METADATA_ROLE_SIZE + 60];
    int http_status = 0;
    (void)snprintf(path, sizeof(path), "/v1/metadata/%s", name);
    covey_status status = covey__fleet_call(client, "GET", path, NULL, 0, out, &http_status, error);
    return http_status == 404 ? COVEY_ERROR_NOT_FOUND : status;
}

static covey_status pull_roots(covey_fleet_client *client, covey__metadata_set *served,
                               covey_fleet_keys *keys, covey__metadata_set *next,
                               covey_error *error) {
    covey__buffer text;
    covey_status status = COVEY_OK;
    covey__buffer_init(&text, client->env, COVEY__METADATA_BYTES_MAX);
    const covey__metadata_item *root = covey__metadata_item_find(keys->set, "root");
    /* The one that is here must be the one that is there, else these are two repositories. */
    int64_t version = root->document->version;
    while (status == COVEY_OK) {
        char name[40];
        (void)snprintf(name, sizeof(name), "%" PRId64 ".root.json", version);
        covey__buffer_clear(&text);
        status = get_document(client, name, &text, error);
        if (status != COVEY_OK) break;
        const covey__metadata_item *held = covey__metadata_item_find(next, "root");
        if (held->document->version == version) {
            if (held->text.size != text.size || memcmp(held->text.data, text.data, text.size) != 0)
                status = covey__fail(error, COVEY_ERROR_MISMATCH,
                                     "root %" PRId64 ": the control plane serves another one than "
                                     "this folder has",
                                     version);
        } else {
            covey__tuf_document *parsed = NULL;
            status = covey__tuf_parse(client->env, COVEY__TUF_ROOT, text.data, text.size, &parsed,
                                      error);
            if (status == COVEY_OK)
                status = covey__metadata_check_root(client->env, held->document, parsed, error);
            covey__tuf_free(parsed);
            if (status == COVEY_OK)
                status = covey__metadata_put(next, "root", text.data, text.size, error);
        }
        if (status == COVEY_OK)
            status = covey__metadata_put(served, "root", text.data, text.size, error);
        version++;
    }
    covey__buffer_free(&text);
    return status == COVEY_ERROR_NOT_FOUND ? COVEY_OK : status;
}

/* A folder may be roots ahead of what is served: which one is, is found downwards. */
static covey_status find_served_root(covey_fleet_client *client, covey__metadata_set *served,
                                     covey_fleet_keys *keys, covey_error *error) {
    covey__buffer text;
    covey_status status = COVEY_ERROR_NOT_FOUND;
    covey__buffer_init(&text, client->env, COVEY__METADATA_BYTES_MAX);
    int64_t version = covey__metadata_item_find(keys->set, "root")->document->version;
    for (int64_t v = version - 1; status == COVEY_ERROR_NOT_FOUND && v >= 1; v--) {
        char name[40];
        (void)snprintf(name, sizeof(name), "%" PRId64 ".root.json", v);
        covey__buffer_clear(&text);
        status = get_document(client, name, &text, error);
        if (status == COVEY_OK)
            status = covey__metadata_put(served, "root", text.data, text.size, error);
    }
    covey__buffer_free(&text);
    return status == COVEY_ERROR_NOT_FOUND ? COVEY_OK : status;
}

/* The snapshot that the timestamp names, both verified; an empty buffer when nothing is served. */
static covey_status pull_snapshot(covey_fleet_client *client, covey__metadata_set *served,
                                  covey_error *error) {
    covey__buffer text;
    char name[48];
    const covey__metadata_item *root = covey__metadata_item_find(served, "root");
    covey__buffer_init(&text, client->env, COVEY__METADATA_BYTES_MAX);
    covey_status status = get_document(client, "timestamp.json", &text, error);
    if (status == COVEY_OK)
        status = covey__metadata_put(served, "timestamp", text.data, text.size, error);
    if (status == COVEY_OK) {
        const covey__tuf_document *timestamp =
            covey__metadata_item_find(served, "timestamp")->document;
        const covey__tuf_file *file = covey__tuf_file_find(timestamp, "snapshot.json");
        status = covey__tuf_verify(client->env, timestamp,
                                   &root->document->top[COVEY__TUF_TIMESTAMP], error);
        if (status == COVEY_OK && file == NULL)
            status = covey__fail(error, COVEY_ERROR_FORMAT, "timestamp: it names no snapshot");
        if (status == COVEY_OK) {
            (void)snprintf(name, sizeof(name), "%" PRId64 ".snapshot.json", file->version);
            covey__buffer_clear(&text);
            status = get_document(client, name, &text, error);
        }
        if (status == COVEY_OK) status = covey__tuf_file_check(file, text.data, text.size, error);
    }
    if (status == COVEY_OK)
        status = covey__metadata_put(served, "snapshot", text.data, text.size, error);
    if (status == COVEY_OK)
        status =
            covey__tuf_verify(client->env, covey__metadata_item_find(served, "snapshot")->document,
                              &root->document->top[COVEY__TUF_SNAPSHOT], error);
    covey__buffer_free(&text);
    return status;
}

static covey_status pull_role(covey_fleet_client *client, covey__metadata_set *served,
                              const covey__tuf_file *file, covey_error *error) {
    char role[COVEY__METADATA_ROLE_SIZE], name[COVEY__METADATA_ROLE_SIZE + 32];
    covey__buffer text;
    size_t size = strlen(file->name);
    if (size < 6 || size - 5 >= sizeof(role) || strcmp(file->name + size - 5, ".json") != 0)
        return covey__fail(error, COVEY_ERROR_FORMAT, "snapshot: it names a strange role");
    (void)snprintf(role, sizeof(role), "%.*s", (int)(size - 5), file->name);
    if (!covey__metadata_role_valid(role))
        return covey__fail(error, COVEY_ERROR_FORMAT, "snapshot: it names a strange role");
    (void)snprintf(name, sizeof(name), "%" PRId64 ".%s", file->version, file->name);
    covey__buffer_init(&text, client->env, COVEY__METADATA_BYTES_MAX);
    covey_status status = get_document(client, name, &text, error);
    if (status == COVEY_OK) status = covey__tuf_file_check(file, text.data, text.size, error);
    if (status == COVEY_OK) status = covey__metadata_put(served, role, text.data, text.size, error);
    covey__buffer_free(&text);
    return status;
}

static covey_status pull_served(covey_fleet_client *client, covey_fleet_keys *keys,
                                covey__metadata_set *served, covey__metadata_set *next,
                                covey_error *error) {
    covey_status status = pull_roots(client, served, keys, next, error);
    if (status == COVEY_OK && covey__metadata_item_find(served, "root") == NULL)
        status = find_served_root(client, served, keys, error);
    if (status != COVEY_OK || covey__metadata_item_find(served, "root") == NULL) return status;
    status = pull_snapshot(client, served, error);
    if (status == COVEY_ERROR_NOT_FOUND) return COVEY_OK;
    if (status != COVEY_OK) return status;
    const covey__tuf_document *snapshot = covey__metadata_item_find(served, "snapshot")->document;
    for (size_t i = 0; status == COVEY_OK && i < snapshot->file_count; i++)
        status = pull_role(client, served, snapshot->files[i], error);
    /* All of what is served must hold together before a word of it is taken. */
    return status == COVEY_OK ? covey__metadata_check(served, INT64_MIN, error) : status;
}

/* ---- the newest of both -------------------------------------------------------------------- */

static covey_status merge(covey__metadata_set *served, covey__metadata_set *next,
                          const covey__env *env, covey_error *error) {
    covey_status status = COVEY_OK;
    for (size_t i = 0; status == COVEY_OK && i < served->role_count; i++) {
        const covey__metadata_item *item = &served->roles[i];
        const covey__metadata_item *held = covey__metadata_item_find(next, item->name);
        if (item->document->type != COVEY__TUF_TARGETS) continue;
        int64_t version = held != NULL ? held->document->version : 0;
        bool differs = held != NULL && (held->text.size != item->text.size ||
                                        memcmp(held->text.data, item->text.data, item->text.size));
        if (version > item->document->version) continue;
        if (version == item->document->version && !differs) continue;
        if (version == item->document->version)
            covey__log(env, COVEY_LOG_WARN, "fleet",
                       "%s %" PRId64 ": the control plane serves another one than was made here; "
                       "that one holds: make this folder's change again",
                       item->name, version);
        status = covey__metadata_put(next, item->name, item->text.data, item->text.size, error);
    }
    return status;
}

covey_status covey__fleet_pull(covey_fleet_client *client, covey_fleet_keys *keys,
                               covey__metadata_set **served, covey_error *error) {
    covey__metadata_set *next = NULL;
    *served = NULL;
    covey_status status = covey__metadata_set_new(client->env, served, error);
    if (status == COVEY_OK) status = covey__metadata_set_copy(keys->set, &next, error);
    if (status == COVEY_OK) status = pull_served(client, keys, *served, next, error);
    if (status == COVEY_OK) status = merge(*served, next, client->env, error);
    if (status == COVEY_OK && covey__metadata_item_find(next, "targets") != NULL) {
        status = covey__metadata_check(next, INT64_MIN, error);
        if (status != COVEY_OK)
            status = covey__prefix(error, status,
                                   "what is served does not fit to what was changed here");
    }
    if (status == COVEY_OK && covey__metadata_item_find(next, "targets") != NULL)
        status = covey__repository_keep(keys, next, error);
    covey__metadata_set_free(next);
    if (status == COVEY_OK) return COVEY_OK;
    covey__metadata_set_free(*served);
    *served = NULL;
    return covey__prefix(error, status, "metadata");
}

/* ---- sending ------------------------------------------------------------------------------- */

static void write_document(covey__json_writer *w, const char *role, const covey__buffer *text) {
    covey__json_begin_object(w);
    covey__json_member_string(w, "role", role);
    covey__json_name(w, "document");
    covey__json_put_text(w, text->data, text->size);
    covey__json_end_object(w);
}

static void say_sent(covey__buffer *sent, const char *role, int64_t version) {
    if (sent != NULL) (void)covey__buffer_format(sent, "sent %s %" PRId64 "\n", role, version);
}

/* Every root between: each must be served for ever. */
static covey_status write_roots(covey_fleet_keys *keys, int64_t from, covey__json_writer *w,
                                covey__buffer *sent, size_t *count, covey_error *error) {
    int64_t to = covey__metadata_item_find(keys->set, "root")->document->version;
    covey_status status = COVEY_OK;
    for (int64_t version = from + 1; status == COVEY_OK && version <= to; version++) {
        covey__buffer text;
        covey__buffer_init(&text, keys->env, COVEY__METADATA_BYTES_MAX);
        status = covey__repository_text(keys, "root", version, &text, error);
        if (status == COVEY_OK) {
            write_document(w, "root", &text);
            say_sent(sent, "root", version);
            (*count)++;
        }
        covey__buffer_free(&text);
    }
    return status;
}

covey_status covey__fleet_push(covey_fleet_client *client, covey_fleet_keys *keys,
                               covey__metadata_set *served, covey__buffer *sent,
                               covey_error *error) {
    covey__buffer body;
    covey__json_writer w;
    size_t count = 0;
    const covey__metadata_item *root = covey__metadata_item_find(served, "root");
    covey__buffer_init(&body, client->env, BODY_BYTES_MAX);
    covey__json_writer_init(&w, &body, false);
    covey__json_begin_object(&w);
    covey__json_name(&w, "documents");
    covey__json_begin_array(&w);
    covey_status status =
        write_roots(keys, root != NULL ? root->document->version : 0, &w, sent, &count, error);
    for (size_t i = 0; i < keys->set->role_count; i++) {
        const covey__metadata_item *item = &keys->set->roles[i];
        const covey__metadata_item *there = covey__metadata_item_find(served, item->name);
        if (item->document->type != COVEY__TUF_TARGETS) continue;
        if (there != NULL && there->document->version >= item->document->version) continue;
        write_document(&w, item->name, &item->text);
        say_sent(sent, item->name, item->document->version);
        count++;
    }
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    if (status == COVEY_OK) status = covey__buffer_check(&body, error, "request");
    if (status == COVEY_OK && count > 0)
        status = covey__fleet_call(client, "POST", "/v1/metadata", body.data, body.size, NULL, NULL,
                                   error);
    covey__buffer_free(&body);
    return status;
}

covey_status covey__fleet_put_blob(covey_fleet_client *client, const void *data, size_t size,
                                   covey_error *error) {
    char hex[65], path[96];
    uint8_t digest[32];
    covey__sha256_of(data, size, digest);
    covey__hex(digest, 32, hex);
    (void)snprintf(path, sizeof(path), "/v1/blobs/sha256/%s", hex);
    return covey__fleet_call(client, "PUT", path, data, size, NULL, NULL, error);
}

covey_status covey__fleet_post_release(covey_fleet_client *client, const char *digest,
                                       bool *was_known, covey_error *error) {
    char body[100];
    int http_status = 0;
    (void)snprintf(body, sizeof(body), "{\"digest\":\"%.64s\"}", digest);
    covey_status status = covey__fleet_call(client, "POST", "/v1/releases", body, strlen(body),
                                            NULL, &http_status, error);
    if (was_known != NULL) *was_known = http_status == 200;
    return status;
}

/* ---- the public calls ---------------------------------------------------------------------- */

static covey_status take_text(covey__buffer *out, char **text, covey_error *error) {
    size_t size;
    (void)covey__buffer_text(out, ""); /* never NULL */
    covey_status status = covey__buffer_check(out, error, "report");
    if (status == COVEY_OK) *text = covey__buffer_take(out, &size);
    covey__buffer_free(out);
    return status;
}

covey_status covey_fleet_keys_pull(covey_fleet_client *client, covey_fleet_keys *keys,
                                   covey_error *error) {
    covey__metadata_set *served;
    covey_status status = covey__fleet_pull(client, keys, &served, error);
    covey__metadata_set_free(served);
    if (status == COVEY_OK && covey__metadata_item_find(keys->set, "targets") == NULL)
        status = covey__fail(error, COVEY_ERROR_NOT_FOUND,
                             "the control plane serves no metadata yet: \"covey-fleet keys push\" "
                             "from the folder that has it");
    return status;
}

covey_status covey_fleet_keys_push(covey_fleet_client *client, covey_fleet_keys *keys, char **text,
                                   covey_error *error) {
    covey__metadata_set *served;
    covey__buffer sent;
    *text = NULL;
    covey__buffer_init(&sent, keys->env, TEXT_BYTES_MAX);
    covey_status status = covey__fleet_pull(client, keys, &served, error);
    if (status == COVEY_OK) status = covey__fleet_push(client, keys, served, &sent, error);
    if (status == COVEY_OK && sent.size == 0)
        (void)covey__buffer_text(&sent, "the control plane has all of it\n");
    covey__metadata_set_free(served);
    if (status == COVEY_OK) return take_text(&sent, text, error);
    covey__buffer_free(&sent);
    return status;
}

/* ---- what comes back signed ---------------------------------------------------------------- */

/* Sends what holds, and what goes with it. */
static covey_status send_signed(covey_fleet_client *client, covey_fleet_keys *keys,
                                covey__signing *signing, covey__buffer *out, covey_error *error) {
    covey__metadata_set *served = NULL;
    covey_status status = COVEY_OK;
    if (signing->blob.size > 0)
        status = covey__fleet_put_blob(client, signing->blob.data, signing->blob.size, error);
    if (status == COVEY_OK) status = covey__fleet_pull(client, keys, &served, error);
    if (status == COVEY_OK) status = covey__fleet_push(client, keys, served, out, error);
    if (status == COVEY_OK && signing->release[0] != '\0') {
        status = covey__fleet_post_release(client, signing->release, NULL, error);
        if (status == COVEY_OK)
            (void)covey__buffer_format(out, "published %s\n", signing->release_name);
    }
    covey__metadata_set_free(served);
    return status;
}

/* Whether what it brings holds here already: an import that was cut off is made again. */
static bool is_kept(covey_fleet_keys *keys, covey__signing *signing) {
    for (size_t i = 0; i < signing->drafts->role_count; i++) {
        const covey__metadata_item *draft = &signing->drafts->roles[i];
        const covey__metadata_item *held = covey__metadata_item_find(keys->set, draft->name);
        if (held == NULL || held->text.size != draft->text.size ||
            memcmp(held->text.data, draft->text.data, draft->text.size) != 0)
            return false;
    }
    return true;
}

static covey_status take_signed(covey_fleet_keys *keys, covey__signing *signing,
                                covey_error *error) {
    covey__buffer missing;
    covey__signing *judged = NULL;
    covey_status status = COVEY_OK;
    if (is_kept(keys, signing)) return COVEY_OK;
    covey__buffer_init(&missing, keys->env, TEXT_BYTES_MAX);
    /* Judged by what holds here, not by what the file says held. */
    status = covey__signing_new(keys->env, keys->set, &judged, error);
    for (size_t i = 0; status == COVEY_OK && i < signing->drafts->role_count; i++) {
        const covey__metadata_item *draft = &signing->drafts->roles[i];
        status = covey__metadata_put(judged->drafts, draft->name, draft->text.data,
                                     draft->text.size, error);
    }
    if (status == COVEY_OK && !covey__signing_complete(judged, &missing))
        status = covey__fail(error, COVEY_ERROR_SIGNATURE, "not enough have signed: %s",
                             missing.data != NULL ? missing.data : "");
    if (status == COVEY_OK) status = covey__repository_commit(keys, judged, error);
    covey__signing_free(judged);
    covey__buffer_free(&missing);
    return status;
}

covey_status covey_fleet_import(covey_fleet_client *client, covey_fleet_keys *keys,
                                const char *file, char **text, covey_error *error) {
    covey__signing *signing = NULL;
    covey__metadata_set *served = NULL;
    covey__buffer out;
    *text = NULL;
    covey__buffer_init(&out, keys->env, TEXT_BYTES_MAX);
    covey_status status = covey__signing_read(keys->env, file, &signing, error);
    if (status == COVEY_OK && client != NULL)
        status = covey__fleet_pull(client, keys, &served, error);
    if (status == COVEY_OK) status = take_signed(keys, signing, error);
    for (size_t i = 0; status == COVEY_OK && i < signing->drafts->role_count; i++)
        (void)covey__buffer_format(&out, "signed version %" PRId64 " of %s\n",
                                   signing->drafts->roles[i].document->version,
                                   signing->drafts->roles[i].name);
    if (status == COVEY_OK && client != NULL)
        status = send_signed(client, keys, signing, &out, error);
    covey__metadata_set_free(served);
    covey__signing_free(signing);
    if (status == COVEY_OK) return take_text(&out, text, error);
    covey__buffer_free(&out);
    return covey__prefix(error, status, "import");
}
