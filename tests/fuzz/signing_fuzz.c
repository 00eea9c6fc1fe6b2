/* A file that carries what is to be signed: what is read is written and read again with the same
 * text, and can be shown and judged, whatever its documents say. */
#include "fuzz/fuzz_target.h"

#include "fleet/repository.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__signing *signing = NULL, *again = NULL;
    covey__buffer first, second, shown;
    covey__env_init(&env);
    env.crypto = covey__crypto_openssl();
    covey_status status = covey__signing_parse(&env, (const char *)data, size, &signing, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return 0;
    covey__buffer_init(&first, &env, 64u << 20);
    covey__buffer_init(&second, &env, 64u << 20);
    covey__buffer_init(&shown, &env, 64u << 20);
    FUZZ_CHECK(covey__signing_text(signing, &first, &error) == COVEY_OK);
    FUZZ_CHECK(covey__signing_parse(&env, first.data, first.size, &again, &error) == COVEY_OK);
    FUZZ_CHECK(covey__signing_text(again, &second, &error) == COVEY_OK);
    FUZZ_CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    covey__signing_show(signing, NULL, &shown);
    FUZZ_CHECK(shown.size > 0);
    (void)covey__signing_complete(signing, &shown);
    covey__buffer_free(&shown);
    covey__buffer_free(&second);
    covey__buffer_free(&first);
    covey__signing_free(again);
    covey__signing_free(signing);
    return 0;
}
