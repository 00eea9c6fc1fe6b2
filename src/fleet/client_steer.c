/* Steering statements (docs/formats/steering.md): written into a document here, checked as a device
 * would, signed by the steering role and sent.
 *
 *   DIR/steering/PRODUCT.json          as people are writing it
 *   DIR/steering/PRODUCT.served.json   the last one that the metadata names, as far as it is known
 *
 * Invariant: nothing is sent that a device which holds the served document would refuse.
 *
 * Neighbours: bundle/steering.c reads and judges; client_metadata.c sends.
 */
#include "bundle/steering.h"
#include "fleet/client_metadata.h"

#include "base/error.h"
#include "base/file.h"
#include "base/semver.h"
#include "base/sha256.h"
#include "base/utc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct steer {
    covey_fleet_client *client; /* may be NULL */
    covey_fleet_keys *keys;
    const char *product;
    char *working_path, *served_path;
    char target[COVEY__METADATA_ROLE_SIZE + 20];
    covey__buffer working, served;        /* texts; empty: none */
    covey__steering *held;                /* of `served` */
    const covey__tuf_entry *entry;        /* what the metadata names; NULL: nothing */
    covey__metadata_set *there;           /* what is served, with a client */
    char role[COVEY__METADATA_ROLE_SIZE]; /* that speaks for it */
} steer;

static void steer_close(steer *s) {
    covey__steering_free(s->held);
    covey__metadata_set_free(s->there);
    covey__buffer_free(&s->working);
    covey__buffer_free(&s->served);
    covey__free(s->keys->env, s->working_path);
    covey__free(s->keys->env, s->served_path);
}

static bool names(const covey__tuf_entry *entry, const covey__buffer *text) {
    uint8_t digest[32];
    if (entry == NULL || text->size == 0) return false;
    covey__sha256_of(text->data, text->size, digest);
    return memcmp(digest, entry->hashes.sha256, 32) == 0;
}

static covey_status read_optional(steer *s, const char *path, covey__buffer *out,
                                  covey_error *error) {
    covey_status status = covey__file_read(s->keys->env, path, out, error);
    return status == COVEY_ERROR_NOT_FOUND ? COVEY_OK : status;
}

static covey_status fetch_served(steer *s, covey_error *error) {
    char hex[65], path[96];
    if (names(s->entry, &s->served)) return COVEY_OK;
    if (names(s->entry, &s->working)) {
        covey__buffer_clear(&s->served);
        return covey__buffer_append(&s->served, s->working.data, s->working.size);
    }
    if (s->client == NULL)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "the steering document that holds is not here: name the control plane "
                           "(--url)");
    covey__hex(s->entry->hashes.sha256, 32, hex);
    (void)snprintf(path, sizeof(path), "/v1/blobs/sha256/%s", hex);
    covey_status status =
        covey__fleet_call(s->client, "GET", path, NULL, 0, &s->served, NULL, error);
    if (status == COVEY_OK && !names(s->entry, &s->served))
        status = covey__fail(error, COVEY_ERROR_MISMATCH,
                             "the control plane answered with another steering document than the "
                             "metadata names");
    if (status == COVEY_OK)
        status = covey__file_replace(s->keys->env, s->served_path, s->served.data, s->served.size,
                                     error);
    return status;
}

static covey_status steer_open(steer *s, covey_fleet_client *client, covey_fleet_keys *keys,
                               const char *product, covey_error *error) {
    const covey__env *env = keys->env;
    memset(s, 0, sizeof(*s));
    s->client = client;
    s->keys = keys;
    s->product = product;
    covey__buffer_init(&s->working, env, COVEY__STEERING_BYTES_MAX);
    covey__buffer_init(&s->served, env, COVEY__STEERING_BYTES_MAX);
    if (product == NULL || !covey__metadata_role_valid(product))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "expected a product's name");
    (void)snprintf(s->target, sizeof(s->target), "steering/%s.json", product);
    char *folder = covey__path_join(env, keys->folder, "steering");
    s->working_path = covey__format(env, "%s/steering/%s.json", keys->folder, product);
    s->served_path = covey__format(env, "%s/steering/%s.served.json", keys->folder, product);
    covey_status status = folder != NULL && s->working_path != NULL && s->served_path != NULL
                              ? covey__folder_make(env, folder, error)
                              : covey__no_memory(error, "a path", 0);
    covey__free(env, folder);
    if (status == COVEY_OK && client != NULL)
        status = covey__fleet_pull(client, keys, &s->there, error);
    if (status == COVEY_OK) status = covey__repository_speaker(keys, s->target, s->role, error);
    if (status == COVEY_OK) status = read_optional(s, s->working_path, &s->working, error);
    if (status == COVEY_OK) status = read_optional(s, s->served_path, &s->served, error);
    const covey__metadata_item *item = covey__metadata_item_find(keys->set, s->role);
    s->entry = item != NULL ? covey__tuf_entry_find(item->document, s->target) : NULL;
    if (status == COVEY_OK && s->entry == NULL) covey__buffer_clear(&s->served);
    if (status == COVEY_OK && s->entry != NULL) status = fetch_served(s, error);
    if (status == COVEY_OK && s->served.size > 0)
        status = covey__steering_parse(env, s->served.data, s->served.size, &s->held, error);
    return status;
}

/* ---- minimums that nothing reaches --------------------------------------------------------- */

/* "1.2.0" of "assistant/1.2.0/release.json"; false for another target. */
static bool version_of(const char *target, const char *product, char version[80]) {
    static const char end[] = "/release.json";
    size_t prefix = strlen(product), size = strlen(target);
    if (size <= prefix + sizeof(end) || size - prefix - sizeof(end) >= 80 ||
        strncmp(target, product, prefix) != 0 || target[prefix] != '/' ||
        strcmp(target + size - (sizeof(end) - 1), end) != 0)
        return false;
    (void)snprintf(version, 80, "%.*s", (int)(size - prefix - sizeof(end)), target + prefix + 1);
    return covey__semver_valid(version);
}

/* The highest version that the metadata names, as far as it is known here; "" when there is none.
 */
static void find_newest(const steer *s, char newest[80]) {
    char target[COVEY__METADATA_ROLE_SIZE + 32], role[COVEY__METADATA_ROLE_SIZE], version[80];
    newest[0] = '\0';
    (void)snprintf(target, sizeof(target), "%s/0.0.0/release.json", s->product);
    if (covey__repository_speaker(s->keys, target, role, NULL) != COVEY_OK) return;
    const covey__metadata_item *item = covey__metadata_item_find(s->keys->set, role);
    for (size_t i = 0; item != NULL && i < item->document->target_count; i++) {
        const covey__tuf_entry *entry = item->document->targets[i];
        if (version_of(entry->name, s->product, version) &&
            (newest[0] == '\0' || covey__semver_compare(version, newest) > 0))
            (void)snprintf(newest, 80, "%s", version);
    }
}

/* It is right where the release comes next, and for ever in the way where it was a slip. */
static void warn_of_minimums(const steer *s, const covey__steering *document) {
    char newest[80];
    find_newest(s, newest);
    for (size_t i = 0; i < document->statement_count; i++) {
        const covey__steering_statement *said = &document->statements[i];
        if (said->kind != COVEY__STEERING_MINIMUM ||
            (newest[0] != '\0' && covey__semver_compare(said->version, newest) <= 0))
            continue;
        covey__log(
            s->keys->env, COVEY_LOG_WARN, "steer",
            "%s: minimum %s is above every release of %s that is published (%s%s): until one "
            "reaches it, devices take no update. Once devices have seen it, it cannot be "
            "taken back",
            said->id, said->version, s->product, newest[0] != '\0' ? "newest: " : "none", newest);
    }
}

/* ---- writing a statement ------------------------------------------------------------------- */

static void member(covey__json_writer *w, const char *name, const char *text) {
    if (text != NULL) covey__json_member_string(w, name, text);
}

static void write_names(covey__json_writer *w, const char *name, const char *const *names_of,
                        size_t count) {
    if (count == 0) return;
    covey__json_name(w, name);
    covey__json_begin_array(w);
    for (size_t i = 0; i < count; i++) covey__json_put_string(w, names_of[i]);
    covey__json_end_array(w);
}

static covey_status write_cohort(steer *s, covey__json_writer *w, double percent,
                                 covey_error *error) {
    uint8_t salt[16];
    char hex[33], number[32];
    covey_status status = covey__random(s->keys->env, salt, sizeof(salt), error);
    if (status != COVEY_OK) return status;
    covey__hex(salt, sizeof(salt), hex);
    long long milli = (long long)(percent * 1000.0 + 0.5);
    int size = snprintf(number, sizeof(number), "%lld.%03lld", milli / 1000, milli % 1000);
    covey__json_name(w, "cohort");
    covey__json_begin_object(w);
    covey__json_member_string(w, "salt", hex);
    covey__json_name(w, "percent");
    covey__json_put_raw(w, number, (size_t)size);
    covey__json_end_object(w);
    return COVEY_OK;
}

static covey_status write_statement(steer *s, covey__json_writer *w,
                                    const covey_fleet_statement *said, const char *id,
                                    covey_error *error) {
    char issued[COVEY__UTC_SIZE];
    covey_status status = COVEY_OK;
    covey__utc_format(covey__now_ms(s->keys->env), issued);
    covey__json_begin_object(w);
    covey__json_member_string(w, "id", id);
    member(w, "kind", said->kind);
    member(w, "versions", said->versions);
    member(w, "version", said->version);
    member(w, "flag", said->flag);
    member(w, "at", said->at);
    write_names(w, "variants", said->variants, said->variant_count);
    write_names(w, "classes", said->classes, said->class_count);
    member(w, "app", said->app);
    if (said->percent < 100.0) status = write_cohort(s, w, said->percent, error);
    member(w, "reason", said->reason);
    member(w, "author", said->author);
    covey__json_member_string(w, "issued", issued);
    covey__json_end_object(w);
    return status;
}

static bool id_taken(const covey__steering *base, const char *id) {
    for (size_t i = 0; base != NULL && i < base->statement_count; i++)
        if (strcmp(base->statements[i].id, id) == 0) return true;
    return false;
}

/* The document `base` (NULL: none yet), of which `text` is the JSON, with one statement more. */
static covey_status write_document(steer *s, const covey__buffer *text, const covey__steering *base,
                                   int64_t serial, const covey_fleet_statement *said,
                                   covey__buffer *out, covey_error *error) {
    covey__arena tree;
    covey__json_writer w;
    const covey__json *root = NULL;
    char id[65];
    covey__arena_init(&tree, s->keys->env, COVEY__STEERING_ARENA_BYTES);
    covey_status status = COVEY_OK;
    if (base != NULL)
        status = covey__json_parse(&tree, text->data, text->size, COVEY__JSON_LIMITS_DEFAULT, &root,
                                   error);
    (void)snprintf(id, sizeof(id), "%s", said->id != NULL ? said->id : "");
    for (int n = 1; id[0] == '\0' || (said->id == NULL && id_taken(base, id)); n++)
        (void)snprintf(id, sizeof(id), "%.40s-%d", said->kind, n);
    covey__json_writer_init(&w, out, true);
    covey__json_begin_object(&w);
    covey__json_member_i64(&w, "format", 1);
    covey__json_name(&w, "requires");
    const covey__json *requires = covey__json_get(root, "requires");
    if (requires != NULL) {
        covey__json_put_node(&w, requires);
    } else {
        covey__json_begin_array(&w);
        covey__json_end_array(&w);
    }
    covey__json_member_string(&w, "product", s->product);
    covey__json_member_i64(&w, "serial", serial);
    covey__json_name(&w, "statements");
    covey__json_begin_array(&w);
    const covey__json *list = covey__json_get(root, "statements");
    for (const covey__json *each = list != NULL ? list->child : NULL; each != NULL;
         each = each->next)
        covey__json_put_node(&w, each);
    if (status == COVEY_OK) status = write_statement(s, &w, said, id, error);
    covey__json_end_array(&w);
    covey__json_end_object(&w);
    (void)covey__buffer_byte(out, '\n');
    if (status == COVEY_OK) status = covey__buffer_check(out, error, "the steering document");
    covey__arena_free(&tree);
    return status;
}

static covey_status take_text(covey__buffer *out, char **text, covey_error *error) {
    size_t size;
    (void)covey__buffer_text(out, "");
    covey_status status = covey__buffer_check(out, error, "report");
    if (status == COVEY_OK) *text = covey__buffer_take(out, &size);
    return status;
}

/* What a device would not take is refused, however it says so. */
static covey_status refused(covey_status status, covey_error *error) {
    if (status != COVEY_ERROR_DENIED && status != COVEY_ERROR_EXISTS) return status;
    if (error != NULL) error->status = COVEY_ERROR_REFUSED;
    return COVEY_ERROR_REFUSED;
}

static covey_status add_statement(steer *s, const covey_fleet_statement *said, covey__buffer *out,
                                  covey_error *error) {
    const covey__env *env = s->keys->env;
    covey__steering *working = NULL, *next = NULL;
    covey_status status = COVEY_OK;
    if (s->working.size > 0)
        status = covey__steering_parse(env, s->working.data, s->working.size, &working, error);
    if (status != COVEY_OK) return covey__prefix(error, status, "%s", s->working_path);
    /* What was written here and not sent yet is gone on with; else what holds is the base. */
    bool pending = working != NULL && (s->held == NULL || working->serial > s->held->serial);
    const covey__steering *base = pending ? working : s->held;
    int64_t serial = pending ? working->serial : s->held != NULL ? s->held->serial + 1 : 1;
    status = write_document(s, pending ? &s->working : &s->served, base, serial, said, out, error);
    if (status == COVEY_OK) status = covey__steering_parse(env, out->data, out->size, &next, error);
    if (status == COVEY_OK) status = covey__steering_follows(s->held, next, error);
    if (status == COVEY_OK)
        status = covey__file_replace(env, s->working_path, out->data, out->size, error);
    if (status == COVEY_OK) warn_of_minimums(s, next);
    covey__steering_free(next);
    covey__steering_free(working);
    return refused(status, error);
}

covey_status covey_fleet_steer_add(covey_fleet_client *client, covey_fleet_keys *keys,
                                   const covey_fleet_statement *statement, char **text,
                                   covey_error *error) {
    covey_fleet_statement full = COVEY_FLEET_STATEMENT_INIT;
    steer s;
    covey__buffer out;
    memcpy(&full, statement, statement->size < sizeof(full) ? statement->size : sizeof(full));
    *text = NULL;
    if (full.kind == NULL || full.reason == NULL || full.author == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT,
                           "steer: expected a kind, a reason and an author");
    covey__buffer_init(&out, keys->env, COVEY__STEERING_BYTES_MAX);
    covey_status status = steer_open(&s, client, keys, full.product, error);
    if (status == COVEY_OK) status = add_statement(&s, &full, &out, error);
    if (status == COVEY_OK) status = take_text(&out, text, error);
    covey__buffer_free(&out);
    steer_close(&s);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "steer");
}

covey_status covey_fleet_steer_show(covey_fleet_keys *keys, const char *product, char **text,
                                    covey_error *error) {
    covey__buffer out;
    *text = NULL;
    if (product == NULL || !covey__metadata_role_valid(product))
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "expected a product's name");
    char *path = covey__format(keys->env, "%s/steering/%s.json", keys->folder, product);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey__buffer_init(&out, keys->env, COVEY__STEERING_BYTES_MAX);
    covey_status status = covey__file_read(keys->env, path, &out, error);
    if (status == COVEY_OK) status = take_text(&out, text, error);
    covey__buffer_free(&out);
    covey__free(keys->env, path);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "steer");
}

/* ---- sending ------------------------------------------------------------------------------- */

static covey_status check_follows(steer *s, covey_error *error) {
    covey__steering *next = NULL;
    covey_status status =
        covey__steering_parse(s->keys->env, s->working.data, s->working.size, &next, error);
    if (status == COVEY_OK && strcmp(next->product, s->product) != 0)
        status = covey__fail(error, COVEY_ERROR_REFUSED, "the document is of another product");
    if (status == COVEY_OK) status = covey__steering_follows(s->held, next, error);
    if (status == COVEY_OK) warn_of_minimums(s, next);
    covey__steering_free(next);
    return refused(status, error);
}

static covey_status sign_document(steer *s, const char *export_file, bool *complete,
                                  covey_error *error) {
    covey__signing *signing = NULL;
    covey__tuf_make_target target = {.name = s->target, .length = s->working.size};
    covey__draft_change change = {.target = &target};
    covey__sha256_of(s->working.data, s->working.size, target.sha256);
    covey_status status = covey__signing_new(s->keys->env, s->keys->set, &signing, error);
    if (status != COVEY_OK) return status;
    (void)snprintf(signing->purpose, sizeof(signing->purpose), "steer %s", s->product);
    (void)covey__buffer_append(&signing->blob, s->working.data, s->working.size);
    status = covey__buffer_check(&signing->blob, error, s->target);
    if (status == COVEY_OK)
        status =
            covey__draft_targets(signing, s->role, &change, covey__now_ms(s->keys->env), error);
    if (status == COVEY_OK)
        status = covey__repository_finish(s->keys, signing, export_file, complete, error);
    covey__signing_free(signing);
    return status;
}

static covey_status push(steer *s, const char *export_file, covey__buffer *out,
                         covey_error *error) {
    bool complete = true;
    covey_status status = COVEY_OK;
    if (s->working.size == 0)
        return covey__fail(error, COVEY_ERROR_NOT_FOUND,
                           "nothing was written for %s: \"covey-fleet steer kill %s ...\"",
                           s->product, s->product);
    if (s->client == NULL && export_file == NULL)
        return covey__fail(error, COVEY_ERROR_INVALID_ARGUMENT, "expected a control plane");
    if (!names(s->entry, &s->working)) {
        status = check_follows(s, error);
        if (status == COVEY_OK) status = sign_document(s, export_file, &complete, error);
    }
    if (status == COVEY_OK && export_file != NULL)
        return covey__buffer_format(out, "wrote %s for signing\n", export_file);
    if (status == COVEY_OK)
        status = covey__fleet_put_blob(s->client, s->working.data, s->working.size, error);
    if (status == COVEY_OK) status = covey__fleet_push(s->client, s->keys, s->there, out, error);
    if (status == COVEY_OK && out->size == 0)
        (void)covey__buffer_text(out, "the control plane has it\n");
    return status;
}

covey_status covey_fleet_steer_push(covey_fleet_client *client, covey_fleet_keys *keys,
                                    const char *product, const char *export_file, char **text,
                                    covey_error *error) {
    steer s;
    covey__buffer out;
    *text = NULL;
    covey__buffer_init(&out, keys->env, 1u << 20);
    covey_status status = steer_open(&s, client, keys, product, error);
    if (status == COVEY_OK) status = push(&s, export_file, &out, error);
    if (status == COVEY_OK) status = take_text(&out, text, error);
    covey__buffer_free(&out);
    steer_close(&s);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "steer");
}
