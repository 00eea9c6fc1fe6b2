/* What the fuzz targets of TUF's four kinds of metadata share. */
#ifndef COVEY_FUZZ_TUF_FUZZ_H
#define COVEY_FUZZ_TUF_FUZZ_H

#include "fuzz/fuzz_target.h"

#include "trust/crypto.h"
#include "trust/tuf_document.h"
#include "trust/tuf_text.h"

#include <string.h>

static inline void fuzz_tuf_role(const covey__env *env, const covey__tuf_document *document,
                                 const covey__tuf_role *role) {
    FUZZ_CHECK(role->threshold >= 1);
    FUZZ_CHECK(role->key_count <= COVEY__TUF_ROLE_KEY_COUNT_MAX);
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_status status = covey__tuf_verify(env, document, role, &error);
    FUZZ_CHECK(status == COVEY_OK || error.message[0] != '\0');
    FUZZ_CHECK(status != COVEY_OK || (int64_t)role->key_count >= role->threshold);
    for (size_t i = 0; i < role->pattern_count; i++)
        (void)covey__tuf_glob(role->patterns[i], "product/1.0.0/release.json");
}

static inline void fuzz_tuf_document(covey__tuf_type type, const uint8_t *data, size_t size) {
    covey__env env;
    covey__tuf_document *document = NULL;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__env_init(&env);
    env.crypto = covey__crypto_openssl();
    covey_status status = covey__tuf_parse(&env, type, data, size, &document, &error);
    FUZZ_CHECK((status == COVEY_OK) == (document != NULL));
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (document == NULL) return;
    FUZZ_CHECK(document->version >= 1 && document->version < INT64_MAX);
    FUZZ_CHECK(document->canonical_size > 0);
    for (int i = 0; type == COVEY__TUF_ROOT && i < COVEY__TUF_TOP_COUNT; i++)
        fuzz_tuf_role(&env, document, document->top + i);
    for (size_t i = 0; i < document->role_count && i < 8; i++)
        fuzz_tuf_role(&env, document, document->roles + i);
    if (document->bin_bits > 0) fuzz_tuf_role(&env, document, &document->bin);
    for (size_t i = 0; i < document->file_count; i++) {
        const covey__tuf_file *file = document->files[i];
        FUZZ_CHECK(covey__tuf_file_find(document, file->name) == file);
    }
    for (size_t i = 0; i < document->target_count; i++) {
        const covey__tuf_entry *entry = document->targets[i];
        FUZZ_CHECK(covey__tuf_entry_find(document, entry->name) == entry);
    }
    covey__tuf_slim(document);
    covey__tuf_free(document);
}

#endif
