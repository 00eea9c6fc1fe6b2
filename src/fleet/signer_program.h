/* Signing by an external program: a PKCS#11 token, a KMS, a card (docs/trust.md). */
#ifndef COVEY_FLEET_SIGNER_PROGRAM_H
#define COVEY_FLEET_SIGNER_PROGRAM_H

#include "trust/signer.h"

#define COVEY__SIGNER_TIMEOUT_MS 60000u

/* Copied when the signer is made. */
typedef struct covey__signer_program {
    const char *const *arguments;   /* NULL-ended; the first is the program's absolute path */
    const char *const *environment; /* NULL-ended "NAME=value" beside ours; NULL: none */
    uint32_t timeout_ms;            /* for one signature; 0: COVEY__SIGNER_TIMEOUT_MS */
} covey__signer_program;

/* The program is started for each signature, without a shell. It gets the bytes on its standard
 * input and writes the signature to its standard output, raw or in hex (white space behind that is
 * fine), and ends with status 0. Its environment is PATH, LANG, COVEY_KEY_ID (the key's id) and
 * what the options add, so what a KMS needs (a home, a token) must be named. What it says on its
 * standard error is part of the error's message. The public key is given as covey__public_key_make
 * takes it, and each signature is verified with it. */
covey_status covey__signer_of_program(const covey__env *env, const covey__signer_program *program,
                                      covey_key_scheme scheme, const void *key, size_t key_size,
                                      covey__signer *signer, covey_error *error) COVEY_MUST_USE;

#endif
