/* Ensemble manifests. What is taken must agree with itself: names that are safe, one model, sums
 * that fit; and its checks of needs must not fail on it. */
#include "fuzz/fuzz_target.h"

#include "bundle/manifest.h"
#include "trust/envelope.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__manifest *manifest;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__platform platform;
    char os_version[32];
    covey__env_init(&env);
    covey_status status = covey__manifest_parse(&env, (const char *)data, size, &manifest, &error);
    FUZZ_CHECK((status == COVEY_OK) == (manifest != NULL));
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return 0;
    FUZZ_CHECK(covey__ensemble_name_valid(manifest->name));
    FUZZ_CHECK(covey__manifest_find(manifest, "model") != NULL);
    for (size_t i = 0; i < manifest->component_count; i++) {
        const covey__component *one = &manifest->components[i];
        FUZZ_CHECK(!one->encrypted || (covey__role_may_hide(one->role) &&
                                       covey__envelope_size(one->plain_size) == one->size));
        FUZZ_CHECK(covey__component_name_valid(manifest->components[i].file));
        FUZZ_CHECK(strstr(manifest->components[i].file, "..") == NULL ||
                   strstr(manifest->components[i].file, "../") == NULL);
    }
    covey__platform_default(&platform, os_version);
    status = covey__manifest_check_needs(manifest, &platform, &error);
    FUZZ_CHECK(status == COVEY_OK || status == COVEY_ERROR_UNSUPPORTED);
    covey__manifest_free(manifest);
    return 0;
}
