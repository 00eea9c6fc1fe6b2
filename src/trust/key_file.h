/* Private keys in files (docs/formats/key-file.md): plain ones, readable by the owner alone, for
 * keys that must work unattended, and ones encrypted with a passphrase for keys that people hold.
 */
#ifndef COVEY_TRUST_KEY_FILE_H
#define COVEY_TRUST_KEY_FILE_H

#include "base/buffer.h"
#include "trust/crypto.h"

#define COVEY__PASSPHRASE_BYTES_MAX 1024u
#define COVEY__KEY_N_MAX            (1u << 18)
#define COVEY__KEY_N_USUAL          (1u << 17)

/* Borrowed for the call; whoever holds the text wipes it. */
typedef struct covey__passphrase {
    const char *text;
    size_t size;
    uint32_t n; /* scrypt's cost when writing, a power of two; 0: COVEY__KEY_N_USUAL */
} covey__passphrase;

/* What a file says without its passphrase; only opening it proves the public key right. */
typedef struct covey__key_facts {
    uint8_t public_key[32];
    bool encrypted;
} covey__key_facts;

/* Writes a new file with mode 0600, encrypted unless `passphrase` is NULL; EXISTS when there is
 * one, which is never overwritten. */
covey_status covey__key_write(const covey__env *env, const char *path, const covey__key *key,
                              covey_error *error) COVEY_MUST_USE;
covey_status covey__key_write_encrypted(const covey__env *env, const char *path,
                                        const covey__key *key, const covey__passphrase *passphrase,
                                        covey_error *error) COVEY_MUST_USE;

/* Reads a plain file. DENIED when it is encrypted, not the user's own, or others may read it;
 * FORMAT when it holds no key. */
covey_status covey__key_read(const covey__env *env, const char *path, covey__key *key,
                             covey_error *error) COVEY_MUST_USE;
/* Reads either; the passphrase (NULL: there is none) is used when the file is encrypted. DENIED
 * when it is wrong, too. */
covey_status covey__key_open(const covey__env *env, const char *path,
                             const covey__passphrase *passphrase, covey__key *key,
                             covey_error *error) COVEY_MUST_USE;
covey_status covey__key_facts_read(const covey__env *env, const char *path, covey__key_facts *facts,
                                   covey_error *error) COVEY_MUST_USE;

/* The same of text in memory: what a key file holds. `facts` may be had with `key` NULL. */
covey_status covey__key_parse(const covey__env *env, const char *text, size_t size,
                              const covey__passphrase *passphrase, covey__key_facts *facts,
                              covey__key *key, covey_error *error) COVEY_MUST_USE;

/* Small secrets of other kinds in files of their owner alone. Writing: EXISTS when there is one.
 * Reading: as covey__key_read; `text` gets at most COVEY__KEY_FILE_BYTES_MAX bytes, which the
 * caller wipes. */
#define COVEY__KEY_FILE_BYTES_MAX 4096u
covey_status covey__owner_file_write(const covey__env *env, const char *path,
                                     const covey__buffer *text, covey_error *error) COVEY_MUST_USE;
covey_status covey__owner_file_read(const covey__env *env, const char *path,
                                    char text[COVEY__KEY_FILE_BYTES_MAX], size_t *size,
                                    covey_error *error) COVEY_MUST_USE;

#endif
