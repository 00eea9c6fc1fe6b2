/* Release documents: what is taken must be safe to choose from and to check against. */
#include "fuzz/fuzz_target.h"

#include "bundle/release.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const classes[] = {"tiny", "small", "medium", "large", ""};
    covey__env env;
    covey__release *release;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__env_init(&env);
    covey_status status = covey__release_parse(&env, (const char *)data, size, &release, &error);
    FUZZ_CHECK((status == COVEY_OK) == (release != NULL));
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return 0;
    FUZZ_CHECK(release->variant_count > 0);
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        const covey__release_variant *variant = covey__release_choose(release, classes[i]);
        FUZZ_CHECK(variant == NULL || variant->component_count > 0);
        FUZZ_CHECK(variant == NULL || variant->manifest_size <= COVEY__MANIFEST_BYTES_MAX);
    }
    covey__release_free(release);
    return 0;
}
