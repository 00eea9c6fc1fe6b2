/* Metadata of The Update Framework over HTTP (docs/trust.md, docs/api.md): documents out to anyone,
 * documents in from publishers, and targets under the names that clients of TUF ask for.
 *
 * Invariants: what has a version in its name never changes, so caches may keep it for ever; the
 * timestamp is what moves, and is never kept longer than a minute. A set of documents is taken
 * whole or not at all, and only when every blob that it names is here: a device must never be sent
 * after what is not there.
 *
 * Neighbours: metadata.c judges and keeps; metadata_house.c renews; http_blobs.c hands out bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fleet/routes.h"

#define DOCUMENT_COUNT_MAX 320
#define TREE_BYTES_MAX     (96u << 20)

/* ---- out ---------------------------------------------------------------------------------- */

static int respond(covey__exchange *x, const char *tag, const char *cache, bool not_modified) {
    struct MHD_Response *response = MHD_create_response_from_buffer(
        not_modified ? 0 : x->answer.size, not_modified ? (void *)(uintptr_t) "" : x->answer.data,
        MHD_RESPMEM_MUST_COPY);
    if (response == NULL) return covey__answer_error(x, 503, "busy", "out of memory: try again");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, tag);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, cache);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    x->response = response;
    return not_modified ? 304 : 200;
}

int covey__api_metadata_get(covey__exchange *x) {
    covey_error error = {0};
    uint8_t digest[32];
    char hex[65], tag[72];
    covey_status status =
        covey__metadata_read(x->server->house.metadata, x->parameter, &x->answer, &error);
    if (status == COVEY_ERROR_NOT_FOUND) {
        return covey__answer_error(x, 404, "not_found", "this document is not here");
    }
    if (status != COVEY_OK) return covey__answer_failure(x, status, &error);
    covey__sha256_of(x->answer.data != NULL ? x->answer.data : "", x->answer.size, digest);
    covey__hex(digest, 32, hex);
    (void)snprintf(tag, sizeof(tag), "\"%s\"", hex);
    const char *known =
        MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH);
    bool same = known != NULL && (strcmp(known, "*") == 0 || strstr(known, tag) != NULL);
    bool moves = strcmp(x->parameter, "timestamp.json") == 0;
    return respond(x, tag, moves ? "public, max-age=30" : "public, max-age=31536000, immutable",
                   same);
}

/* "DIR/HASH.FILE" to the target's name "DIR/FILE" and the hash; false when it is no such path. */
static bool split_target(const char *path, char *name, size_t capacity, char hex[65]) {
    const char *slash = strrchr(path, '/');
    const char *last = slash != NULL ? slash + 1 : path;
    size_t folder = (size_t)(last - path);
    if (strspn(last, "0123456789abcdef") != 64 || last[64] != '.' || last[65] == '\0') return false;
    memcpy(hex, last, 64);
    hex[64] = '\0';
    int size = snprintf(name, capacity, "%.*s%s", (int)folder, path, last + 65);
    return size > 0 && (size_t)size < capacity;
}

int covey__api_target_get(covey__exchange *x) {
    covey__metadata_target target;
    char name[sizeof(x->parameter)], hex[65];
    /* The hash may be that of a version before the newest: a device that read the metadata a moment
     * ago fetches what stood there. It can be no other than the one that it will check. */
    if (!split_target(x->parameter, name, sizeof(name), hex) ||
        covey__metadata_find(x->server->house.metadata, name, &target, NULL) != COVEY_OK) {
        return covey__answer_error(x, 404, "not_found", "the metadata names no such target");
    }
    memcpy(x->parameter, hex, sizeof(hex));
    return covey__api_blob_get(x);
}

/* ---- in ----------------------------------------------------------------------------------- */

static int refuse(covey__exchange *x, covey_status status, const covey_error *error) {
    switch (status) {
    case COVEY_ERROR_SIGNATURE:
        return covey__answer_error(x, 403, "bad_signature", "%s", error->message);
    case COVEY_ERROR_DENIED:
        return covey__answer_error(x, 403, "wrong_online_key", "%s", error->message);
    case COVEY_ERROR_ROLLBACK:
        return covey__answer_error(x, 409, "conflict", "%s", error->message);
    case COVEY_ERROR_EXPIRED:
        return covey__answer_error(x, 422, "expired", "%s", error->message);
    case COVEY_ERROR_FORMAT:
    case COVEY_ERROR_MISMATCH:
    case COVEY_ERROR_LIMIT:
    case COVEY_ERROR_NOT_FOUND:
    case COVEY_ERROR_UNSUPPORTED:
        return covey__answer_error(x, 422, "bad_metadata", "%s", error->message);
    default:
        return covey__answer_failure(x, status, error);
    }
}

/* Whether every blob that the document's targets name is here, with its length. */
static covey_status check_targets(covey__exchange *x, const covey__metadata_document *document,
                                  covey_error *error) {
    covey__tuf_document *parsed = NULL;
    if (strcmp(document->role, "root") == 0) return COVEY_OK;
    covey_status status = covey__tuf_parse(x->env, COVEY__TUF_TARGETS, document->data,
                                           document->size, &parsed, error);
    for (size_t i = 0; status == COVEY_OK && i < parsed->target_count; i++) {
        const covey__tuf_entry *entry = parsed->targets[i];
        uint64_t size = 0;
        char shown[200];
        status = entry->hashes.has_sha256
                     ? covey__blob_size(&x->server->blobs, entry->hashes.sha256, &size, error)
                     : COVEY_ERROR_NOT_FOUND;
        if (status == COVEY_ERROR_NOT_FOUND ||
            (status == COVEY_OK && size != (uint64_t)entry->length)) {
            status = covey__fail(
                error, COVEY_ERROR_MISMATCH,
                "target %s: its blob is not here with %" PRId64 " bytes: upload it first",
                covey__printable(entry->name, strlen(entry->name), shown, sizeof(shown)),
                entry->length);
        }
    }
    covey__tuf_free(parsed);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "%s", document->role);
}

/* The body's documents; their texts lie in the arena. */
static covey_status read_documents(covey__exchange *x, covey__arena *arena,
                                   covey__metadata_document *documents, size_t *count,
                                   covey_error *error) {
    static const char *const members[] = {"documents", NULL}, *const own[] = {"role", "document",
                                                                              NULL};
    const covey__json *root, *list, *text;
    covey__json_limits limits = {x->route->body_bytes_max, 8, 4096};
    *count = 0;
    covey_status status = covey__json_parse(arena, x->body.size > 0 ? x->body.data : "",
                                            x->body.size, limits, &root, error);
    if (status == COVEY_OK) status = covey__json_only(root, "", members, error);
    if (status == COVEY_OK) {
        status =
            covey__json_member(root, "documents", "documents", COVEY__JSON_ARRAY, &list, error);
    }
    if (status != COVEY_OK) return status;
    if (list->size < 1 || list->size > DOCUMENT_COUNT_MAX) {
        return covey__fail(error, COVEY_ERROR_LIMIT, "documents: expected 1 to %d, found %zu",
                           DOCUMENT_COUNT_MAX, list->size);
    }
    for (const covey__json *each = list->child; each != NULL; each = each->next) {
        covey__metadata_document *document = &documents[(*count)++];
        status = covey__json_only(each, "documents[]", own, error);
        if (status == COVEY_OK) {
            status = covey__json_string(each, "role", "documents[].role", &document->role, error);
        }
        if (status == COVEY_OK) {
            status = covey__json_member(each, "document", "documents[].document",
                                        COVEY__JSON_STRING, &text, error);
        }
        if (status != COVEY_OK) return status;
        document->data = text->text;
        document->size = text->size;
    }
    return COVEY_OK;
}

static int take(covey__exchange *x, const covey__metadata_document *documents, size_t count) {
    covey_error error = {0};
    covey__metadata *metadata = x->server->house.metadata;
    covey__json_writer w;
    covey_status status = COVEY_OK;
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        status = check_targets(x, &documents[i], &error);
    }
    if (status == COVEY_OK) {
        status = covey__metadata_accept(metadata, documents, count, covey__now_ms(x->env), &error);
    }
    if (status != COVEY_OK) return refuse(x, status, &error);
    for (size_t i = 0; i < count; i++) {
        covey__log(x->env, COVEY_LOG_INFO, "fleet", "metadata: a new %s is served",
                   documents[i].role);
    }
    covey__metadata_versions versions = covey__metadata_newest(metadata);
    covey__json_writer_init(&w, &x->answer, false);
    covey__json_begin_object(&w);
    covey__json_member_i64(&w, "root", versions.root);
    covey__json_member_i64(&w, "timestamp", versions.timestamp);
    covey__json_end_object(&w);
    return 200;
}

int covey__api_metadata_add(covey__exchange *x) {
    covey_error error = {0};
    covey__arena arena;
    size_t count = 0;
    int answer;
    if (!x->server->house.has_online) {
        return covey__answer_error(x, 409, "no_online_key",
                                   "this control plane has no online key, so its metadata cannot "
                                   "change: start it with --online-key FILE (covey-fleet keys "
                                   "init makes one)");
    }
    covey__metadata_document *documents =
        covey__calloc(x->env, DOCUMENT_COUNT_MAX, sizeof(*documents));
    if (documents == NULL) return covey__answer_error(x, 503, "busy", "out of memory: try again");
    covey__arena_init(&arena, x->env, TREE_BYTES_MAX);
    covey_status status = read_documents(x, &arena, documents, &count, &error);
    answer = status == COVEY_OK ? take(x, documents, count) : covey__bad_field(x, &error);
    covey__arena_free(&arena);
    covey__free(x->env, documents);
    return answer;
}

/* ---- in other answers ---------------------------------------------------------------------- */

void covey__metadata_write_versions(covey__exchange *x, covey__json_writer *w) {
    covey__metadata_versions versions = covey__metadata_newest(x->server->house.metadata);
    covey__json_name(w, "metadata");
    covey__json_begin_object(w);
    covey__json_member_i64(w, "root", versions.root);
    covey__json_member_i64(w, "timestamp", versions.timestamp);
    covey__json_end_object(w);
}
