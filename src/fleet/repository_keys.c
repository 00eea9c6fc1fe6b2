/* The files of a key folder that sign: NAME.key (docs/formats/key-file.md) and NAME.signer, which
 * names a program and the public key that it signs with:
 *
 *   {"format": 1, "program": ["/usr/bin/token-sign", "--slot", "9c"], "key": {a TUF key object}}
 *
 * Invariants: a private key is in memory only while its holder is open, and is wiped when it
 * closes; passphrases are wiped right after use. Public halves are read without a passphrase.
 *
 * Neighbours: repository.c opens the folder; trust/signer.h and signer_program.h sign.
 */
#include "fleet/repository.h"
#include "fleet/signer_program.h"

#include "base/error.h"
#include "base/file.h"
#include "base/runtime.h"
#include "base/sha256.h"

#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX     (64u << 10)
#define ARGUMENT_COUNT_MAX 32

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);
    return size > end_size && strcmp(text + size - end_size, end) == 0;
}

/* ---- public keys --------------------------------------------------------------------------- */

static covey_status read_object(const covey__env *env, covey__arena *arena, const char *text,
                                size_t size, covey__public_key *key, covey_error *error) {
    const covey__json *root;
    covey__arena tree;
    covey__arena_init(&tree, env, 1u << 20);
    covey_status status =
        covey__json_parse(&tree, text, size, COVEY__JSON_LIMITS_DEFAULT, &root, error);
    if (status == COVEY_OK && covey__json_get(root, "key") != NULL)
        root = covey__json_get(root, "key");
    if (status == COVEY_OK) status = covey__public_key_read(arena, root, key, error);
    if (status == COVEY_OK && key->scheme == COVEY__KEY_UNKNOWN)
        status = covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                             "the key's type or scheme is not known here: expected Ed25519, ECDSA "
                             "P-256 or RSA");
    covey__arena_free(&tree);
    return status;
}

static const char *scheme_of_pem(const char *text, size_t size) {
    uint8_t info[COVEY__KEY_INFO_BYTES_MAX];
    const uint8_t *bytes;
    size_t info_size, bytes_size;
    if (!covey__pem_decode(text, size, info, sizeof(info), &info_size)) return NULL;
    switch (covey__key_info_read(info, info_size, &bytes, &bytes_size)) {
    case COVEY__KEY_KIND_ED25519:
        return "\"keytype\":\"ed25519\",\"scheme\":\"ed25519\"";
    case COVEY__KEY_KIND_P256:
        return "\"keytype\":\"ecdsa\",\"scheme\":\"ecdsa-sha2-nistp256\"";
    case COVEY__KEY_KIND_RSA:
        return "\"keytype\":\"rsa\",\"scheme\":\"rsassa-pss-sha256\"";
    default:
        return NULL;
    }
}

static covey_status read_pem(const covey__env *env, covey__arena *arena, const covey__buffer *text,
                             covey__public_key *key, covey_error *error) {
    covey__buffer object;
    covey__json_writer w;
    const char *scheme = scheme_of_pem(text->data, text->size);
    if (scheme == NULL)
        return covey__fail(error, COVEY_ERROR_FORMAT,
                           "expected one PEM block of an Ed25519, P-256 or RSA public key");
    covey__buffer_init(&object, env, FILE_BYTES_MAX);
    (void)covey__buffer_format(&object, "{%s,\"keyval\":{\"public\":", scheme);
    covey__json_writer_init(&w, &object, false);
    covey__json_put_text(&w, text->data, text->size);
    (void)covey__buffer_text(&object, "}}");
    covey_status status = covey__buffer_check(&object, error, "a key");
    if (status == COVEY_OK) status = read_object(env, arena, object.data, object.size, key, error);
    covey__buffer_free(&object);
    return status;
}

covey_status covey__public_key_file(const covey__env *env, covey__arena *arena, const char *path,
                                    covey__public_key *key, covey_error *error) {
    covey__buffer text;
    uint8_t bytes[32];
    covey__buffer_init(&text, env, FILE_BYTES_MAX);
    covey_status status = covey__file_read(env, path, &text, error);
    if (status == COVEY_OK) {
        const char *data = text.data != NULL ? text.data : "";
        size_t start = strspn(data, " \t\r\n");
        size_t word = strcspn(data + start, " \t\r\n");
        if (covey__unhex(data + start, word, bytes, 32)) {
            status = covey__public_key_make(arena, COVEY_KEY_ED25519, bytes, 32, key, error);
        } else if (data[start] == '{') {
            status = read_object(env, arena, data, text.size, key, error);
        } else {
            status = read_pem(env, arena, &text, key, error);
        }
    }
    covey__buffer_free(&text);
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "%s", path);
}

/* ---- holders ------------------------------------------------------------------------------- */

covey__holder *covey__holder_find(covey_fleet_keys *keys, const covey__public_key *key) {
    for (size_t i = 0; i < keys->holder_count; i++)
        if (memcmp(keys->holders[i].key.fingerprint, key->fingerprint, 32) == 0)
            return &keys->holders[i];
    return NULL;
}

covey_status covey__holder_read(const covey__env *env, covey__arena *arena, const char *path,
                                covey__holder *holder, covey_error *error) {
    covey_status status;
    const char *slash = strrchr(path, '/');
    memset(holder, 0, sizeof(*holder));
    (void)snprintf(holder->name, sizeof(holder->name), "%s", slash != NULL ? slash + 1 : path);
    holder->is_program = ends_with(path, ".signer");
    if (holder->is_program) {
        status = covey__public_key_file(env, arena, path, &holder->key, error);
    } else {
        covey__key_facts facts;
        status = covey__key_facts_read(env, path, &facts, error);
        if (status == COVEY_OK) {
            holder->encrypted = facts.encrypted;
            status = covey__public_key_make(arena, COVEY_KEY_ED25519, facts.public_key, 32,
                                            &holder->key, error);
        }
    }
    if (status != COVEY_OK) return status;
    holder->path = covey__arena_strndup(arena, path, strlen(path));
    return holder->path != NULL ? COVEY_OK : covey__no_memory(error, "a path", strlen(path));
}

static covey_status open_program(const covey__env *env, covey__holder *holder, covey_error *error) {
    const char *arguments[ARGUMENT_COUNT_MAX + 1] = {NULL};
    const char *environment[ARGUMENT_COUNT_MAX + 1] = {NULL};
    covey__arena tree;
    covey__buffer text;
    const covey__json *root, *list;
    covey__arena_init(&tree, env, 1u << 20);
    covey__buffer_init(&text, env, FILE_BYTES_MAX);
    covey_status status = covey__file_read(env, holder->path, &text, error);
    if (status == COVEY_OK)
        status = covey__json_parse(&tree, text.data, text.size, COVEY__JSON_LIMITS_DEFAULT, &root,
                                   error);
    if (status == COVEY_OK)
        status = covey__json_member(root, "program", "program", COVEY__JSON_ARRAY, &list, error);
    for (int part = 0; status == COVEY_OK && part < 2; part++) {
        size_t count = 0;
        if (part == 1) list = covey__json_get(root, "environment");
        const covey__json *each = list != NULL ? list->child : NULL;
        for (; each != NULL && count < ARGUMENT_COUNT_MAX; each = each->next)
            if (each->kind == COVEY__JSON_STRING)
                (part == 0 ? arguments : environment)[count++] = each->text;
    }
    if (status == COVEY_OK) {
        covey__signer_program program = {arguments, environment, 0};
        status = covey__signer_of_program(env, &program, holder->key.scheme, holder->key.bytes,
                                          holder->key.size, &holder->signer, error);
    }
    covey__buffer_free(&text);
    covey__arena_free(&tree);
    return status;
}

covey_status covey__holder_open(const covey__env *env, covey__holder *holder,
                                covey_fleet_passphrase_fn passphrase, void *user,
                                covey_error *error) {
    char text[COVEY_FLEET_PASSPHRASE_SIZE] = "";
    covey_status status = COVEY_OK;
    if (holder->is_open) return COVEY_OK;
    if (holder->is_program) {
        status = open_program(env, holder, error);
    } else if (holder->encrypted) {
        if (passphrase == NULL || !passphrase(user, holder->path, false, text))
            return covey__fail(error, COVEY_ERROR_DENIED,
                               "%s: it is encrypted, and no passphrase "
                               "was given",
                               holder->path);
        covey__passphrase secret = {.text = text, .size = strlen(text)};
        status = covey__signer_of_file(env, holder->path, &secret, &holder->signer, error);
    } else {
        status = covey__signer_of_file(env, holder->path, NULL, &holder->signer, error);
    }
    explicit_bzero(text, sizeof(text));
    holder->is_open = status == COVEY_OK;
    return status == COVEY_OK ? COVEY_OK : covey__prefix(error, status, "%s", holder->name);
}

void covey__holder_close(const covey__env *env, covey__holder *holder) {
    (void)env;
    if (holder->is_open) covey__signer_close(&holder->signer);
    holder->is_open = false;
}

/* ---- the folder ---------------------------------------------------------------------------- */

typedef struct scan {
    covey_fleet_keys *keys;
    covey_error *error;
} scan;

static covey_status scan_one(void *user, const char *name, bool is_folder) {
    scan *s = user;
    covey_fleet_keys *keys = s->keys;
    if (is_folder || (!ends_with(name, ".key") && !ends_with(name, ".signer"))) return COVEY_OK;
    for (size_t i = 0; i < keys->holder_count; i++)
        if (strcmp(keys->holders[i].name, name) == 0) return COVEY_OK;
    if (keys->holder_count == COVEY__REPOSITORY_SIGNERS)
        return covey__fail(s->error, COVEY_ERROR_LIMIT, "at most %d keys are read from a folder",
                           COVEY__REPOSITORY_SIGNERS);
    char *path = covey__path_join(keys->env, keys->folder, name);
    if (path == NULL) return covey__no_memory(s->error, "a path", 0);
    covey_status status = covey__holder_read(keys->env, &keys->arena, path,
                                             &keys->holders[keys->holder_count], s->error);
    if (status == COVEY_OK) keys->holder_count++;
    covey__free(keys->env, path);
    return status;
}

covey_status covey__repository_scan(covey_fleet_keys *keys, covey_error *error) {
    scan s = {keys, error};
    return covey__folder_list(keys->env, keys->folder, error, scan_one, &s);
}

static covey_status write_key(const covey__env *env, const char *path, const covey__key *key,
                              covey_fleet_passphrase_fn passphrase, void *user,
                              covey_error *error) {
    char text[COVEY_FLEET_PASSPHRASE_SIZE] = "";
    if (passphrase == NULL) return covey__key_write(env, path, key, error);
    if (!passphrase(user, path, true, text) || text[0] == '\0') {
        explicit_bzero(text, sizeof(text));
        return covey__fail(error, COVEY_ERROR_DENIED, "%s: no passphrase was given", path);
    }
    covey__passphrase secret = {.text = text, .size = strlen(text)};
    covey_status status = covey__key_write_encrypted(env, path, key, &secret, error);
    explicit_bzero(text, sizeof(text));
    return status;
}

covey_status covey__repository_key_make(const covey__env *env, const char *folder, const char *name,
                                        covey_fleet_passphrase_fn passphrase, void *user,
                                        covey__key *key, covey_error *error) {
    char *path = covey__format(env, "%s/%s.key", folder, name);
    if (path == NULL) return covey__no_memory(error, "a path", 0);
    covey_status status = covey__key_make(env, key, error);
    if (status == COVEY_OK) status = write_key(env, path, key, passphrase, user, error);
    if (status != COVEY_OK) covey__key_wipe(key);
    covey__free(env, path);
    return status;
}

covey_status covey_fleet_key_make(covey_runtime *runtime, const char *file,
                                  covey_fleet_passphrase_fn passphrase, void *passphrase_user,
                                  char public_key[65], covey_error *error) {
    const covey__env *env = covey__runtime_env(runtime);
    covey__key key;
    covey_status status = covey__key_make(env, &key, error);
    if (status != COVEY_OK) return status;
    status = write_key(env, file, &key, passphrase, passphrase_user, error);
    if (status == COVEY_OK) covey__hex(key.public_key, 32, public_key);
    covey__key_wipe(&key);
    return status;
}
