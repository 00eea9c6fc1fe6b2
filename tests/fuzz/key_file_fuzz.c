/* Key files, those of content keys among them: what opens is a key with its public half, and a file
 * never asks scrypt for more than the format allows. The seeds are encrypted with the passphrase
 * "p". */
#include "fuzz/fuzz_target.h"

#include "trust/envelope.h"
#include "trust/key_file.h"

#include <string.h>

/* The bounds hold; then little work is done whatever the file says. */
static covey_status small_scrypt(void *user, const covey_scrypt *parameters, void *out,
                                 size_t out_size) {
    (void)user;
    FUZZ_CHECK(parameters->n >= 2 && parameters->n <= COVEY__KEY_N_MAX);
    FUZZ_CHECK((parameters->n & (parameters->n - 1)) == 0);
    FUZZ_CHECK(parameters->r == 8 && parameters->p >= 1 && parameters->p <= 4);
    covey_scrypt small = *parameters;
    if (small.n > 64) small.n = 64;
    return covey__crypto_openssl()->scrypt(NULL, &small, out, out_size);
}

/* A content key that is taken has the id that the file names. */
static void content_key(const covey__env *env, const uint8_t *data, size_t size) {
    covey__content_key key, again;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_status status = covey__content_key_parse(env, (const char *)data, size, &key, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return;
    covey__content_key_of(key.key, &again);
    FUZZ_CHECK(memcmp(&key, &again, sizeof key) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey_crypto table = *covey__crypto_openssl();
    covey__key key, again;
    covey__key_facts facts, only_facts;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__passphrase passphrase = {"p", 1, 0};
    covey__env_init(&env);
    table.scrypt = small_scrypt;
    env.crypto = &table;
    content_key(&env, data, size);
    covey_status first =
        covey__key_parse(&env, (const char *)data, size, NULL, &only_facts, NULL, &error);
    FUZZ_CHECK((first == COVEY_OK) == (error.message[0] == '\0'));
    covey_status status =
        covey__key_parse(&env, (const char *)data, size, &passphrase, &facts, &key, NULL);
    if (status != COVEY_OK) return 0;
    FUZZ_CHECK(first == COVEY_OK && facts.encrypted == only_facts.encrypted);
    FUZZ_CHECK(memcmp(facts.public_key, key.public_key, 32) == 0);
    FUZZ_CHECK(covey__key_from_seed(&env, key.seed, &again, NULL) == COVEY_OK);
    FUZZ_CHECK(memcmp(&again, &key, sizeof key) == 0);
    status = covey__key_parse(&env, (const char *)data, size, NULL, &facts, &key, NULL);
    FUZZ_CHECK(status == (facts.encrypted ? COVEY_ERROR_DENIED : COVEY_OK));
    return 0;
}
