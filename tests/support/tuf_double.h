/* A repository of The Update Framework for tests: roles with keys, thresholds, versions and expiry
 * that are published as signed documents, and clients of it. */
#ifndef COVEY_TEST_TUF_DOUBLE_H
#define COVEY_TEST_TUF_DOUBLE_H

#include "support/tuf_signing.h"

static inline void tuf_double_common(const char *type, const tuf_double_role *role,
                                     covey__buffer *out) {
    char expires[COVEY__UTC_SIZE];
    covey__utc_format(role->expires_ms, expires);
    (void)covey__buffer_format(out,
                               "{\"_type\":\"%s\",\"spec_version\":\"1.0.31\",\"version\":%" PRId64
                               ",\"expires\":\"%s\",",
                               type, role->version, expires);
}

/* Signs what `text` holds and serves it as [VERSION.]NAME.json; empties `text`. */
static inline void tuf_double_serve(tuf_double *d, const char *name, int64_t version,
                                    unsigned signers, covey__buffer *text) {
    char file[160];
    size_t size;
    char *data = tuf_double_sign(d, text->data, signers, &size);
    if (version > 0)
        snprintf(file, sizeof file, "%" PRId64 ".%s.json", version, name);
    else
        snprintf(file, sizeof file, "%s.json", name);
    tuf_double_put(d, file, data, size);
    free(data);
    covey__buffer_clear(text);
}

/* Appends "name":{...} of what is served for a snapshot or a timestamp. */
static inline void tuf_double_meta(tuf_double *d, const char *name, int64_t version,
                                   covey__buffer *out) {
    char file[160], hex[65];
    uint8_t digest[32];
    snprintf(file, sizeof file, "%" PRId64 ".%s.json", version, name);
    if (!d->consistent) snprintf(file, sizeof file, "%s.json", name);
    const tuf_double_file *found = tuf_double_find(d, file);
    (void)covey__buffer_format(out, "\"%s.json\":{\"version\":%" PRId64, name, version);
    if (d->hashes && found != NULL) {
        covey__sha256_of(found->data, found->size, digest);
        covey__hex(digest, 32, hex);
        (void)covey__buffer_format(out, ",\"length\":%zu,\"hashes\":{\"sha256\":\"%s\"}",
                                   found->size, hex);
    }
    (void)covey__buffer_text(out, "}");
}

static inline void tuf_double_publish_root(tuf_double *d, covey__buffer *text) {
    const tuf_double_role *roles[] = {&d->root, &d->timestamp, &d->snapshot, &d->targets};
    static const char *const names[] = {"root", "timestamp", "snapshot", "targets"};
    tuf_double_common("root", &d->root, text);
    (void)covey__buffer_format(
        text, "\"consistent_snapshot\":%s,\"keys\":", d->consistent ? "true" : "false");
    tuf_double_keys(d, d->root.keys | d->timestamp.keys | d->snapshot.keys | d->targets.keys, text);
    (void)covey__buffer_text(text, ",\"roles\":{");
    for (int i = 0; i < 4; i++) {
        (void)covey__buffer_format(text, "%s\"%s\":{", i > 0 ? "," : "", names[i]);
        tuf_double_role_text(roles[i]->keys, roles[i]->threshold, text);
        (void)covey__buffer_text(text, "}");
    }
    (void)covey__buffer_text(text, "}}");
    tuf_double_serve(d, "root", d->root.version, d->root.signers, text);
}

/* Serves the roles of the mask at the versions that they have now. */
static inline void tuf_double_publish(tuf_double *d, int which) {
    covey__buffer text;
    covey__buffer_init(&text, d->env, 32u << 20);
    if (which & TUF_ROOT) tuf_double_publish_root(d, &text);
    if (which & TUF_TARGETS) {
        tuf_double_common("targets", &d->targets, &text);
        (void)covey__buffer_format(&text, "\"targets\":{%s}%s%s}", d->target_list,
                                   d->delegations != NULL ? ",\"delegations\":" : "",
                                   d->delegations != NULL ? d->delegations : "");
        tuf_double_serve(d, "targets", d->consistent ? d->targets.version : 0, d->targets.signers,
                         &text);
    }
    if (which & TUF_SNAPSHOT) {
        tuf_double_common("snapshot", &d->snapshot, &text);
        (void)covey__buffer_text(&text, "\"meta\":{");
        tuf_double_meta(d, "targets", d->targets.version, &text);
        (void)covey__buffer_format(&text, "%s}}", d->more_meta);
        tuf_double_serve(d, "snapshot", d->consistent ? d->snapshot.version : 0,
                         d->snapshot.signers, &text);
    }
    if (which & TUF_TIMESTAMP) {
        char issued[COVEY__UTC_SIZE];
        tuf_double_common("timestamp", &d->timestamp, &text);
        covey__utc_format(d->issued_ms, issued);
        if (d->issued_ms != 0)
            (void)covey__buffer_format(&text, "\"covey_issued\":\"%s\",", issued);
        (void)covey__buffer_text(&text, "\"meta\":{");
        tuf_double_meta(d, "snapshot", d->snapshot.version, &text);
        (void)covey__buffer_text(&text, "}}");
        tuf_double_serve(d, "timestamp", 0, d->timestamp.signers, &text);
    }
    covey__buffer_free(&text);
}

/* The next version of each role of the mask. */
static inline void tuf_double_bump(tuf_double *d, int which) {
    if (which & TUF_ROOT) d->root.version++;
    if (which & TUF_TIMESTAMP) d->timestamp.version++;
    if (which & TUF_SNAPSHOT) d->snapshot.version++;
    if (which & TUF_TARGETS) d->targets.version++;
    tuf_double_publish(d, which);
}

/* Serves a delegated role with these members of "targets" and these delegations (or NULL). */
typedef struct tuf_double_delegated {
    const char *name;
    tuf_double_role role;
    const char *target_list, *delegations;
} tuf_double_delegated;
static inline void tuf_double_delegate(tuf_double *d, const tuf_double_delegated *delegated) {
    covey__buffer text;
    covey__buffer_init(&text, d->env, 32u << 20);
    tuf_double_common("targets", &delegated->role, &text);
    (void)covey__buffer_format(&text, "\"targets\":{%s}%s%s}",
                               delegated->target_list != NULL ? delegated->target_list : "",
                               delegated->delegations != NULL ? ",\"delegations\":" : "",
                               delegated->delegations != NULL ? delegated->delegations : "");
    tuf_double_serve(d, delegated->name, d->consistent ? delegated->role.version : 0,
                     delegated->role.signers, &text);
    covey__buffer_free(&text);
}

/* "name":{"length":…,"hashes":{…}} for some bytes, which are served as a target too. */
static inline const char *tuf_double_target(tuf_double *d, const char *name, const char *data) {
    static char texts[8][1400];
    static int turn;
    char hex[65], path[400];
    uint8_t digest[32];
    covey__sha256_of(data, strlen(data), digest);
    covey__hex(digest, 32, hex);
    const char *slash = strrchr(name, '/');
    size_t folder = slash != NULL ? (size_t)(slash + 1 - name) : 0;
    if (d->consistent)
        snprintf(path, sizeof path, "targets/%.*s%s.%s", (int)folder, name, hex, name + folder);
    else
        snprintf(path, sizeof path, "targets/%s", name);
    tuf_double_put(d, path, data, strlen(data));
    turn = (turn + 1) % 8;
    snprintf(texts[turn], sizeof texts[turn],
             "\"%s\":{\"length\":%zu,\"hashes\":{\"sha256\":\"%s\"}}", name, strlen(data), hex);
    return texts[turn];
}

/* A client of this repository, begun with its first root. */
static inline covey_tuf *tuf_double_client(tuf_double *d, bool with_floor) {
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    covey_tuf *tuf = NULL;
    covey_error error = {0};
    char store[300], floor[300];
    const tuf_double_file *root = tuf_double_find(d, "1.root.json");
    snprintf(store, sizeof store, "%s/store", d->folder.path);
    snprintf(floor, sizeof floor, "%s/floor.json", d->folder.path);
    options.store_dir = store;
    options.floor_path = with_floor ? floor : NULL;
    options.metadata_url = "http://repository.test/metadata";
    options.targets_url = "http://repository.test/targets/";
    options.root = root != NULL ? root->data : NULL;
    options.root_size = root != NULL ? root->size : 0;
    if (covey_tuf_open(d->runtime, &options, &tuf, &error) != COVEY_OK)
        fail_msg("%s", error.message);
    return tuf;
}

/* One refresh by a new client; what was asked is in d->log. */
static inline covey_status tuf_double_refresh(tuf_double *d, bool with_floor,
                                              covey_tuf_report *report, covey_error *error) {
    covey_tuf *tuf = tuf_double_client(d, with_floor);
    d->log[0] = '\0';
    covey_status status = covey_tuf_refresh(tuf, 0, report, error);
    covey_tuf_close(tuf);
    return status;
}

#define tuf_assert_refresh(d, with_floor, expected)                                                \
    do {                                                                                           \
        covey_error error_ = {0};                                                                  \
        covey_status status_ = tuf_double_refresh(d, with_floor, NULL, &error_);                   \
        if (status_ != (expected))                                                                 \
            fail_msg("%s:%d: expected %s, found %s (%s) after %s", __FILE__, __LINE__,             \
                     covey_status_name(expected), covey_status_name(status_), error_.message,      \
                     (d)->log);                                                                    \
    } while (0)

#endif
