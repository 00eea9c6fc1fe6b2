/* Signature documents over fixed bytes. The seed was signed with a key that this file knows the
 * public half of: no mutation may be accepted as a signature over other bytes. */
#include "fuzz/fuzz_target.h"

#include "trust/signature.h"

#include <string.h>

/* The public key of RFC 8032's first test vector; its seed made the seed file, over "a release". */
#define PUBLIC_KEY "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char right[] = "a release", other[] = "A release";
    covey__env env;
    covey__trusted_keys trusted = {.key_count = 0};
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    uint8_t signer[32];
    covey__env_init(&env);
    env.crypto = covey__crypto_openssl();
    FUZZ_CHECK(covey__trusted_add(&trusted, PUBLIC_KEY, NULL) == COVEY_OK);
    covey_status status =
        covey__signature_check(&env, COVEY__DOMAIN_RELEASE, right, strlen(right),
                               (const char *)data, size, &trusted, signer, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    FUZZ_CHECK(status != COVEY_OK || memcmp(signer, trusted.keys[0], 32) == 0);
    status = covey__signature_check(&env, COVEY__DOMAIN_RELEASE, other, strlen(other),
                                    (const char *)data, size, &trusted, signer, &error);
    FUZZ_CHECK(status != COVEY_OK);
    return 0;
}
