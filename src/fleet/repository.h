/* Inside of a key folder (docs/trust.md, "Files of the repository side"): the keys that are here,
 * the documents that hold, and what is being made of them. One thread at a time. */
#ifndef COVEY_FLEET_REPOSITORY_H
#define COVEY_FLEET_REPOSITORY_H

#include <covey/fleet_keys.h>

#include "fleet/metadata_parts.h"
#include "trust/signer.h"
#include "trust/tuf_make.h"

#define COVEY__REPOSITORY_SIGNERS 128
#define COVEY__REPOSITORY_TTL_MS  (INT64_C(365) * 86400000)

/* A key whose private half is at hand: a key file, or a program behind a signer file. */
typedef struct covey__holder {
    char name[96]; /* "root-1.key" */
    char *path;
    bool encrypted, is_program, is_open;
    covey__public_key key; /* of the repository's arena */
    covey__signer signer;  /* once open */
} covey__holder;

struct covey_fleet_keys {
    const covey__env *env;
    char *folder;
    int lock; /* -1: none */
    covey__arena arena;
    covey_fleet_passphrase_fn passphrase;
    void *passphrase_user;
    covey__metadata_set *set; /* what holds; without snapshot and timestamp */
    covey__holder holders[COVEY__REPOSITORY_SIGNERS];
    size_t holder_count;
};

/* `is_new`: makes the folder, and loads no documents. */
covey_status covey__repository_open(const covey__env *env, const char *folder, bool is_new,
                                    covey_fleet_keys **keys, covey_error *error) COVEY_MUST_USE;

/* The key's own file, or NULL when it is not here. */
covey__holder *covey__holder_find(covey_fleet_keys *keys, const covey__public_key *key);
/* Reads a key or signer file's public half. */
covey_status covey__holder_read(const covey__env *env, covey__arena *arena, const char *path,
                                covey__holder *holder, covey_error *error) COVEY_MUST_USE;
/* Makes the signer, asking for the passphrase. */
covey_status covey__holder_open(const covey__env *env, covey__holder *holder,
                                covey_fleet_passphrase_fn passphrase, void *user,
                                covey_error *error) COVEY_MUST_USE;
void covey__holder_close(const covey__env *env, covey__holder *holder);
/* Looks for files that came since the folder was opened. */
covey_status covey__repository_scan(covey_fleet_keys *keys, covey_error *error) COVEY_MUST_USE;

/* A public key from 64 hex digits, PEM, or a TUF key object. */
covey_status covey__public_key_file(const covey__env *env, covey__arena *arena, const char *path,
                                    covey__public_key *key, covey_error *error) COVEY_MUST_USE;
/* A new key in FOLDER/NAME.key. */
covey_status covey__repository_key_make(const covey__env *env, const char *folder, const char *name,
                                        covey_fleet_passphrase_fn passphrase, void *user,
                                        covey__key *key, covey_error *error) COVEY_MUST_USE;

/* ---- documents that are being made -------------------------------------------------------- */

/* What is signed, kept and sent together. */
typedef struct covey__signing {
    const covey__env *env;
    covey__metadata_set *drafts; /* by role */
    covey__metadata_set *bases;  /* those that hold now, of the same roles and of those above */
    char purpose[200];           /* one line for people */
    char release[65];            /* the release document's digest, or "" */
    char release_name[132];
    covey__buffer blob; /* a steering document that goes up first, or empty */
} covey__signing;
covey_status covey__signing_new(const covey__env *env, const covey__metadata_set *holds,
                                covey__signing **signing, covey_error *error) COVEY_MUST_USE;
void covey__signing_free(covey__signing *signing);

/* The document of a role: the draft, else the one that holds, else NULL. */
const covey__tuf_document *covey__signing_newest(covey__signing *signing, const char *role);
/* Roles whose thresholds a draft must meet: one, or two for a root after another. */
size_t covey__signing_judges(covey__signing *signing, const char *role,
                             const covey__tuf_role *judges[2]);
bool covey__signing_has(covey__signing *signing, const char *role, const covey__public_key *key);
/* Signs the draft of that role. */
covey_status covey__signing_add(covey__signing *signing, const char *role,
                                const covey__signer *signer, covey_error *error) COVEY_MUST_USE;
/* Whether all thresholds are met; what is not is said in `missing` (may be NULL). */
bool covey__signing_complete(covey__signing *signing, covey__buffer *missing);

/* The file's text, and back. */
covey_status covey__signing_text(covey__signing *signing, covey__buffer *text,
                                 covey_error *error) COVEY_MUST_USE;
covey_status covey__signing_parse(const covey__env *env, const char *text, size_t size,
                                  covey__signing **signing, covey_error *error) COVEY_MUST_USE;
covey_status covey__signing_write(covey__signing *signing, const char *path,
                                  covey_error *error) COVEY_MUST_USE;
covey_status covey__signing_read(const covey__env *env, const char *path, covey__signing **signing,
                                 covey_error *error) COVEY_MUST_USE;
/* What it would change, for people: made from the documents themselves. What a base already had is
 * left out only where `key` (may be NULL) signed that base. */
void covey__signing_show(covey__signing *signing, const covey__public_key *key, covey__buffer *out);

/* ---- makers of drafts --------------------------------------------------------------------- */

typedef struct covey__key_list {
    covey__public_key keys[COVEY__TUF_ROLE_KEY_COUNT_MAX];
    size_t count;
    int64_t threshold;
} covey__key_list;
void covey__key_list_of(const covey__tuf_role *role, covey__key_list *list);
covey__tuf_signers covey__key_list_signers(const covey__key_list *list);

/* Puts a draft of root or of targets in, one version up; `roles` and `list` are borrowed. */
covey_status covey__draft_root(covey__signing *signing, const covey__key_list lists[4],
                               int64_t now_ms, covey_error *error) COVEY_MUST_USE;
/* Targets or a delegated role, one version up, with the content of the one that holds. A target of
 * `target`'s name is replaced. Delegation `changed` gets the keys of `list`; it is added when there
 * is none of that name. */
typedef struct covey__draft_change {
    const covey__tuf_make_target *target;
    const char *changed;
    const covey__key_list *list;
    const char *path; /* of a delegation that is added */
} covey__draft_change;
covey_status covey__draft_targets(covey__signing *signing, const char *role,
                                  const covey__draft_change *change, int64_t now_ms,
                                  covey_error *error) COVEY_MUST_USE;

/* The role that speaks for a target, by the delegations in their order. */
covey_status covey__repository_speaker(covey_fleet_keys *keys, const char *target,
                                       char role[COVEY__METADATA_ROLE_SIZE],
                                       covey_error *error) COVEY_MUST_USE;

/* Signs with the keys that are here, as far as thresholds ask for it. */
covey_status covey__repository_sign(covey_fleet_keys *keys, covey__signing *signing,
                                    covey_error *error) COVEY_MUST_USE;
/* Keeps the drafts, all or none, once they are complete. */
covey_status covey__repository_commit(covey_fleet_keys *keys, covey__signing *signing,
                                      covey_error *error) COVEY_MUST_USE;
/* Writes `set` as what holds. */
covey_status covey__repository_keep(covey_fleet_keys *keys, covey__metadata_set *set,
                                    covey_error *error) COVEY_MUST_USE;
/* The one way to the end: sign, then export or commit. *complete is false after an export. */
covey_status covey__repository_finish(covey_fleet_keys *keys, covey__signing *signing,
                                      const char *export_file, bool *complete,
                                      covey_error *error) COVEY_MUST_USE;

/* The text of a document kept under its version; NOT_FOUND when it is not here. */
covey_status covey__repository_text(covey_fleet_keys *keys, const char *role, int64_t version,
                                    covey__buffer *out, covey_error *error) COVEY_MUST_USE;

#endif
