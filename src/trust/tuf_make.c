/* The writer of TUF metadata. It holds no policy: which role signs what, and how long it is good,
 * is for its callers (src/fleet). Keys are written under the id that their own object gives, so two
 * documents of ours never name one key differently.
 *
 * Neighbours: tuf_document.c reads what is written here; canonical_json.c says which bytes are
 * signed. */
#include "trust/tuf_make.h"

#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/sort.h"
#include "base/utc.h"
#include "trust/canonical_json.h"

#include <string.h>

#define SPEC_VERSION        "1.0.34"
#define DOCUMENT_BYTES_MAX  (16u << 20)
#define DOCUMENT_NODES_MAX  (1u << 19)
#define TREE_BYTES_MAX      (96u << 20)
#define SIGNATURE_BYTES_MAX 1024

/* ---- Documents --------------------------------------------------------------------------------
 */

static void begin(covey__json_writer *writer, covey__buffer *out, const char *type,
                  covey__tuf_head head) {
    char expires[COVEY__UTC_SIZE];
    covey__utc_format(head.expires_ms, expires);
    covey__json_writer_init(writer, out, false);
    covey__json_begin_object(writer);
    covey__json_name(writer, "signatures");
    covey__json_begin_array(writer);
    covey__json_end_array(writer);
    covey__json_name(writer, "signed");
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "_type", type);
    covey__json_member_string(writer, "spec_version", SPEC_VERSION);
    covey__json_member_i64(writer, "version", head.version);
    covey__json_member_string(writer, "expires", expires);
}

static covey_status end(covey__json_writer *writer, const char *type, covey_error *error) {
    covey__json_end_object(writer);
    covey__json_end_object(writer);
    return covey__buffer_check(writer->out, error, type);
}

static void put_digest(covey__json_writer *writer, const uint8_t sha256[32]) {
    char hex[65];
    covey__hex(sha256, 32, hex);
    covey__json_name(writer, "hashes");
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "sha256", hex);
    covey__json_end_object(writer);
}

/* Whether this key stood in the roles before already. */
static bool is_known(const covey__tuf_signers *const *roles, size_t role, size_t key) {
    const char *id = roles[role]->keys[key].id;
    for (size_t r = 0; r <= role; r++)
        for (size_t k = 0; k < (r < role ? roles[r]->key_count : key); k++)
            if (strcmp(roles[r]->keys[k].id, id) == 0) return true;
    return false;
}

static void put_keys(covey__json_writer *writer, const covey__tuf_signers *const *roles,
                     size_t role_count) {
    covey__json_name(writer, "keys");
    covey__json_begin_object(writer);
    for (size_t r = 0; r < role_count; r++)
        for (size_t k = 0; k < roles[r]->key_count; k++) {
            if (is_known(roles, r, k)) continue;
            covey__json_name(writer, roles[r]->keys[k].id);
            covey__public_key_write(writer, &roles[r]->keys[k]);
        }
    covey__json_end_object(writer);
}

static void put_signers(covey__json_writer *writer, const covey__tuf_signers *signers) {
    covey__json_name(writer, "keyids");
    covey__json_begin_array(writer);
    for (size_t i = 0; i < signers->key_count; i++)
        covey__json_put_string(writer, signers->keys[i].id);
    covey__json_end_array(writer);
    covey__json_member_i64(writer, "threshold", signers->threshold);
}

covey_status covey__tuf_make_root(const covey__env *env, covey__tuf_head head,
                                  const covey__tuf_signers roles[4], covey__buffer *out,
                                  covey_error *error) {
    static const char *const names[] = {"root", "timestamp", "snapshot", "targets"};
    const covey__tuf_signers *all[] = {&roles[0], &roles[1], &roles[2], &roles[3]};
    covey__json_writer writer;
    (void)env;
    begin(&writer, out, "root", head);
    covey__json_member_bool(&writer, "consistent_snapshot", true);
    put_keys(&writer, all, 4);
    covey__json_name(&writer, "roles");
    covey__json_begin_object(&writer);
    for (size_t i = 0; i < 4; i++) {
        covey__json_name(&writer, names[i]);
        covey__json_begin_object(&writer);
        put_signers(&writer, &roles[i]);
        covey__json_end_object(&writer);
    }
    covey__json_end_object(&writer);
    return end(&writer, "trust: root", error);
}

static int by_name(const void *a, const void *b) {
    const covey__tuf_make_target *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void put_target(covey__json_writer *writer, const covey__tuf_make_target *target) {
    covey__json_name(writer, target->name);
    covey__json_begin_object(writer);
    covey__json_member_u64(writer, "length", target->length);
    put_digest(writer, target->sha256);
    if (target->custom != NULL) {
        covey__json_name(writer, "custom");
        covey__json_put_raw(writer, target->custom, strlen(target->custom));
    }
    covey__json_end_object(writer);
}

static covey_status put_delegations(const covey__env *env, covey__json_writer *writer,
                                    const covey__tuf_make_content *content, covey_error *error) {
    const covey__tuf_signers **all = covey__calloc(env, content->delegation_count, sizeof *all);
    if (all == NULL) return covey__no_memory(error, "delegations", content->delegation_count);
    for (size_t i = 0; i < content->delegation_count; i++)
        all[i] = &content->delegations[i].signers;
    covey__json_name(writer, "delegations");
    covey__json_begin_object(writer);
    put_keys(writer, all, content->delegation_count);
    covey__json_name(writer, "roles");
    covey__json_begin_array(writer);
    for (size_t i = 0; i < content->delegation_count; i++) {
        const covey__tuf_make_delegation *delegation = &content->delegations[i];
        covey__json_begin_object(writer);
        covey__json_member_string(writer, "name", delegation->name);
        put_signers(writer, &delegation->signers);
        covey__json_member_bool(writer, "terminating", delegation->terminating);
        covey__json_name(writer, "paths");
        covey__json_begin_array(writer);
        for (size_t p = 0; p < delegation->path_count; p++)
            covey__json_put_string(writer, delegation->paths[p]);
        covey__json_end_array(writer);
        covey__json_end_object(writer);
    }
    covey__json_end_array(writer);
    covey__json_end_object(writer);
    covey__free(env, all);
    return COVEY_OK;
}

covey_status covey__tuf_make_targets(const covey__env *env, covey__tuf_head head,
                                     const covey__tuf_make_content *content, covey__buffer *out,
                                     covey_error *error) {
    covey__json_writer writer;
    size_t count = content->target_count;
    const void **sorted = covey__calloc(env, 2 * count + 1, sizeof *sorted);
    if (sorted == NULL) return covey__no_memory(error, "targets", count);
    for (size_t i = 0; i < count; i++) sorted[i] = &content->targets[i];
    covey__sort_pointers(sorted, sorted + count, count, by_name);
    begin(&writer, out, "targets", head);
    covey__json_name(&writer, "targets");
    covey__json_begin_object(&writer);
    for (size_t i = 0; i < count; i++) put_target(&writer, sorted[i]);
    covey__json_end_object(&writer);
    covey_status status = COVEY_OK;
    if (content->delegation_count > 0) status = put_delegations(env, &writer, content, error);
    covey__free(env, sorted);
    return status == COVEY_OK ? end(&writer, "trust: targets", error) : status;
}

static void put_file(covey__json_writer *writer, const covey__tuf_make_file *file) {
    covey__json_name(writer, file->name);
    covey__json_begin_object(writer);
    covey__json_member_i64(writer, "version", file->version);
    covey__json_member_u64(writer, "length", file->length);
    put_digest(writer, file->sha256);
    covey__json_end_object(writer);
}

static void put_meta(covey__json_writer *writer, const covey__tuf_make_file *files, size_t count) {
    covey__json_name(writer, "meta");
    covey__json_begin_object(writer);
    for (size_t i = 0; i < count; i++) put_file(writer, &files[i]);
    covey__json_end_object(writer);
}

covey_status covey__tuf_make_snapshot(const covey__env *env, covey__tuf_head head,
                                      const covey__tuf_make_file *files, size_t file_count,
                                      covey__buffer *out, covey_error *error) {
    covey__json_writer writer;
    (void)env;
    begin(&writer, out, "snapshot", head);
    put_meta(&writer, files, file_count);
    return end(&writer, "trust: snapshot", error);
}

covey_status covey__tuf_make_timestamp(const covey__env *env, covey__tuf_head head,
                                       int64_t issued_ms, const covey__tuf_make_file *snapshot,
                                       covey__buffer *out, covey_error *error) {
    char issued[COVEY__UTC_SIZE];
    covey__json_writer writer;
    (void)env;
    covey__utc_format(issued_ms, issued);
    begin(&writer, out, "timestamp", head);
    covey__json_member_string(&writer, "covey_issued", issued);
    put_meta(&writer, snapshot, 1);
    return end(&writer, "trust: timestamp", error);
}

/* ---- Signatures -------------------------------------------------------------------------------
 */

static covey_status open_envelope(covey__arena *arena, const void *document, size_t size,
                                  const covey__json **signatures, const covey__json **signed_part,
                                  covey_error *error) {
    const covey__json *root;
    covey__json_limits limits = {DOCUMENT_BYTES_MAX, 32, DOCUMENT_NODES_MAX};
    covey_status status = covey__json_parse(arena, document, size, limits, &root, error);
    if (status == COVEY_OK)
        status = covey__json_member(root, "signatures", "signatures", COVEY__JSON_ARRAY, signatures,
                                    error);
    if (status == COVEY_OK)
        status =
            covey__json_member(root, "signed", "signed", COVEY__JSON_OBJECT, signed_part, error);
    return status;
}

covey_status covey__tuf_sign_bytes(const covey__env *env, const void *document, size_t size,
                                   covey__buffer *out, covey_error *error) {
    covey__arena arena;
    const covey__json *signatures = NULL, *signed_part = NULL;
    covey__arena_init(&arena, env, TREE_BYTES_MAX);
    covey_status status = open_envelope(&arena, document, size, &signatures, &signed_part, error);
    if (status == COVEY_OK) status = covey__canonical_json(signed_part, out, error);
    covey__arena_free(&arena);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "trust: metadata");
}

static void put_signature(covey__json_writer *writer, const char *key_id, const char *hex) {
    covey__json_begin_object(writer);
    covey__json_member_string(writer, "keyid", key_id);
    covey__json_member_string(writer, "sig", hex);
    covey__json_end_object(writer);
}

static bool is_by(const covey__json *signature, const char *key_id) {
    const covey__json *id = covey__json_get(signature, "keyid");
    return id != NULL && id->kind == COVEY__JSON_STRING && strcmp(id->text, key_id) == 0;
}

covey_status covey__tuf_add_signature(const covey__env *env, const void *document, size_t size,
                                      const char *key_id, const void *signature,
                                      size_t signature_size, covey__buffer *out,
                                      covey_error *error) {
    char hex[2 * SIGNATURE_BYTES_MAX + 1];
    covey__arena arena;
    covey__json_writer writer;
    const covey__json *signatures = NULL, *signed_part = NULL;
    if (signature_size > SIGNATURE_BYTES_MAX)
        return covey__fail_sizes(error, COVEY_ERROR_LIMIT, SIGNATURE_BYTES_MAX,
                                 (int64_t)signature_size,
                                 "trust: a signature of %zu bytes; at most %d are expected",
                                 signature_size, SIGNATURE_BYTES_MAX);
    covey__hex(signature, signature_size, hex);
    covey__arena_init(&arena, env, TREE_BYTES_MAX);
    covey_status status = open_envelope(&arena, document, size, &signatures, &signed_part, error);
    if (status == COVEY_OK) {
        covey__json_writer_init(&writer, out, false);
        covey__json_begin_object(&writer);
        covey__json_name(&writer, "signatures");
        covey__json_begin_array(&writer);
        for (const covey__json *each = signatures->child; each != NULL; each = each->next)
            if (!is_by(each, key_id)) covey__json_put_node(&writer, each);
        put_signature(&writer, key_id, hex);
        covey__json_end_array(&writer);
        covey__json_name(&writer, "signed");
        covey__json_put_node(&writer, signed_part);
        covey__json_end_object(&writer);
        status = covey__buffer_check(out, error, "metadata");
    }
    covey__arena_free(&arena);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "trust: metadata");
}

covey_status covey__tuf_sign(const covey__env *env, const void *document, size_t size,
                             const covey__key *key, covey__buffer *out, covey_error *error) {
    uint8_t signature[64];
    covey__public_key public_key;
    covey__arena arena;
    covey__buffer bytes;
    covey__arena_init(&arena, env, 64u << 10);
    covey__buffer_init(&bytes, env, DOCUMENT_BYTES_MAX);
    covey_status status =
        covey__public_key_make(&arena, COVEY_KEY_ED25519, key->public_key, 32, &public_key, error);
    if (status == COVEY_OK) status = covey__tuf_sign_bytes(env, document, size, &bytes, error);
    if (status == COVEY_OK)
        status = covey__sign_bytes(env, bytes.data, bytes.size, key, signature, error);
    if (status == COVEY_OK)
        status = covey__tuf_add_signature(env, document, size, public_key.id, signature,
                                          sizeof signature, out, error);
    covey__buffer_free(&bytes);
    covey__arena_free(&arena);
    return status;
}
