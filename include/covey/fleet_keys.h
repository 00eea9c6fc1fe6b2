/* The publisher's side of trust: a folder of keys, and the metadata that they sign (docs/trust.md,
 * docs/fleet.md). For programs that link the fleet's static library. What is made here is checked
 * as a device would check it before it leaves. */
#ifndef COVEY_FLEET_KEYS_H
#define COVEY_FLEET_KEYS_H

#include <covey/fleet.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An opened key folder: DIR/NAME.key (encrypted with a passphrase, or plain), DIR/NAME.signer (a
 * program that signs), DIR/metadata (what was signed), DIR/root.json (to ship with the app). Used
 * from one thread at a time; other processes wait until it is closed. */
typedef struct covey_fleet_keys covey_fleet_keys;

#define COVEY_FLEET_PASSPHRASE_SIZE 1025

/* Asked for the passphrase of a key file when it is needed. Writes text and a NUL, at most
 * COVEY_FLEET_PASSPHRASE_SIZE bytes, and returns true; false means that there is none. The text is
 * wiped after use. */
typedef bool (*covey_fleet_passphrase_fn)(void *user, const char *key_file, bool is_new,
                                          char text[COVEY_FLEET_PASSPHRASE_SIZE]);

typedef struct covey_fleet_keys_make_options {
    size_t size;
    const char *folder;
    int32_t root_keys, threshold;
    const char *const *products; /* names of ensembles; each gets a role and a key of its own */
    size_t product_count;
    covey_fleet_passphrase_fn passphrase; /* NULL: keys are plain files, for tests and demos */
    void *passphrase_user;
} covey_fleet_keys_make_options;
#define COVEY_FLEET_KEYS_MAKE_OPTIONS_INIT                                                         \
    { sizeof(covey_fleet_keys_make_options), NULL, 3, 2, NULL, 0, NULL, NULL }

/* Makes a key folder with a first signed root, targets, a steering role and the products' roles.
 * COVEY_ERROR_EXISTS when it has metadata or any of the keys: nothing is overwritten. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_keys_make(
    covey_runtime *runtime, const covey_fleet_keys_make_options *options, covey_error *error);

/* One key for a role that somebody else's folder changes: FILE (private, encrypted unless
 * `passphrase` is NULL) and `public_key`, 64 hex digits to be handed on. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_key_make(covey_runtime *runtime, const char *file,
                                                           covey_fleet_passphrase_fn passphrase,
                                                           void *passphrase_user,
                                                           char public_key[65], covey_error *error);

COVEY_API COVEY_MUST_USE covey_status covey_fleet_keys_open(
    covey_runtime *runtime, const char *folder, covey_fleet_passphrase_fn passphrase,
    void *passphrase_user, covey_fleet_keys **keys, covey_error *error);
/* NULL is allowed. */
COVEY_API void covey_fleet_keys_close(covey_fleet_keys *keys);
/* Frees a text that a call below made. NULL is allowed. */
COVEY_API void covey_fleet_keys_text_free(covey_fleet_keys *keys, char *text);

/* Roles, versions, keys, thresholds, expiry, and which keys are here. `*warnings` counts roles that
 * expire within four weeks, `*expired` those that have. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_keys_status(covey_fleet_keys *keys,
                                                              covey_fleet_format format,
                                                              char **text, int32_t *warnings,
                                                              int32_t *expired, covey_error *error);

typedef struct covey_fleet_keys_change {
    size_t size;
    const char *role; /* "root", "targets", "online", "steering", a product; NULL with `renew` */
    const char *const *public_files; /* keys to add: 64 hex digits, PEM, or a TUF key object */
    size_t public_count;
    bool make_new;              /* and one made here, in the folder */
    const char *remove;         /* the id of a key, or how it begins; NULL: none */
    bool rotate;                /* with `remove` NULL: all keys that the role has */
    int32_t threshold;          /* 0: as it is */
    bool new_product;           /* `role` is a product that there is not yet */
    bool renew;                 /* nothing but a new version with a new expiry; NULL: every role */
    const char *const *program; /* NULL-ended: the first key of `public_files` signs by this program
                                   (an absolute path first); kept as DIR/NAME.signer */
    const char *export_file;    /* write what is to be signed here; nothing else changes */
} covey_fleet_keys_change;
#define COVEY_FLEET_KEYS_CHANGE_INIT                                                               \
    {                                                                                              \
        sizeof(covey_fleet_keys_change), NULL, NULL, 0, false, NULL, false, 0, false, false, NULL, \
            NULL                                                                                   \
    }

/* Makes the documents that a change needs, signs them with the keys that are here, and keeps them
 * in the folder, all or none. COVEY_ERROR_SIGNATURE names who must sign too when that is not
 * enough: then `export_file` is the way. `*text` says what was done. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_keys_apply(covey_fleet_keys *keys,
                                                             const covey_fleet_keys_change *change,
                                                             char **text, covey_error *error);

/* Takes what the control plane serves and is newer, verified; then sends what it lacks. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_keys_pull(covey_fleet_client *client,
                                                            covey_fleet_keys *keys,
                                                            covey_error *error);
COVEY_API COVEY_MUST_USE covey_status covey_fleet_keys_push(covey_fleet_client *client,
                                                            covey_fleet_keys *keys, char **text,
                                                            covey_error *error);

/* Says what a file of documents to be signed holds, and adds the signature of a key file (.key) or
 * signer file (.signer) to each document that the key may sign; with `key_file` NULL it only says.
 * Needs no network and no key folder. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_sign(covey_runtime *runtime, const char *file,
                                                       const char *key_file,
                                                       covey_fleet_passphrase_fn passphrase,
                                                       void *passphrase_user,
                                                       bool (*agree)(void *user, const char *text),
                                                       void *agree_user, covey_error *error);

/* Takes such a file back: keeps its documents in the folder once the thresholds are met
 * (COVEY_ERROR_SIGNATURE says who is missing), and, unless `client` is NULL, sends them and
 * publishes the release that is in it. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_import(covey_fleet_client *client,
                                                         covey_fleet_keys *keys, const char *file,
                                                         char **text, covey_error *error);

/* ---- steering ---------------------------------------------------------------------------- */

/* docs/formats/steering.md says what each kind means. Texts may be NULL where a kind has none. */
typedef struct covey_fleet_statement {
    size_t size;
    const char *kind, *product, *reason, *author;
    const char *id; /* NULL: made from the kind and a number */
    const char *versions, *version, *flag, *at, *app;
    const char *const *variants;
    size_t variant_count;
    const char *const *classes;
    size_t class_count;
    double percent; /* of devices; 100 or more: all */
} covey_fleet_statement;
#define COVEY_FLEET_STATEMENT_INIT                                                                 \
    {                                                                                              \
        sizeof(covey_fleet_statement), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
            NULL, 0, NULL, 0, 100.0                                                                \
    }

/* Adds a statement to DIR/steering/PRODUCT.json, which is sent by covey_fleet_steer_push. With a
 * client, what is served is taken first. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_steer_add(covey_fleet_client *client,
                                                            covey_fleet_keys *keys,
                                                            const covey_fleet_statement *statement,
                                                            char **text, covey_error *error);
/* The document as it is here. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_steer_show(covey_fleet_keys *keys,
                                                             const char *product, char **text,
                                                             covey_error *error);
/* Checks that the document may follow the one that is served, signs and sends it; with
 * `export_file`, writes what is to be signed instead. COVEY_ERROR_REFUSED when a device would not
 * take it. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_steer_push(covey_fleet_client *client,
                                                             covey_fleet_keys *keys,
                                                             const char *product,
                                                             const char *export_file, char **text,
                                                             covey_error *error);

#ifdef __cplusplus
}
#endif
#endif
