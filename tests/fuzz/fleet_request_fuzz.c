/* What devices send: a check-in's body into the state that is kept. Whatever passes must be kept as
 * JSON that reads back, is bounded whatever came in, and is the same when it is read again. */
#include "fuzz/fuzz_target.h"

#include "fleet/cohort.h"
#include "fleet/device_state.h"

#include <string.h>

#define STATE_MAX 8192

static covey_status read_state(const covey__env *env, const char *text, size_t size,
                               covey__arena *arena, covey__buffer *out,
                               covey__device_state *state) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    const covey__json *root;
    covey__json_limits limits = {16384, 16, 32768};
    covey__arena_init(arena, env, 8u << 20);
    covey__buffer_init(out, env, STATE_MAX);
    covey_status status = covey__json_parse(arena, text, size, limits, &root, &error);
    if (status == COVEY_OK && root->kind != COVEY__JSON_OBJECT) return COVEY_ERROR_FORMAT;
    if (status == COVEY_OK) status = covey__device_state_read(root, out, state, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__arena first, second;
    covey__buffer once, twice;
    covey__device_state state, again;
    char name[COVEY__RELEASE_NAME_SIZE], version[COVEY__RELEASE_NAME_SIZE];
    covey__env_init(&env);
    if (read_state(&env, (const char *)data, size, &first, &once, &state) == COVEY_OK) {
        FUZZ_CHECK(covey__class_name(state.device_class) != NULL);
        FUZZ_CHECK(state.refused_count <= COVEY__REFUSED_COUNT_MAX);
        for (size_t i = 0; i < state.refused_count; i++) {
            FUZZ_CHECK(covey__release_split(state.refused[i], name, version));
        }
        FUZZ_CHECK(strlen(state.name) < COVEY__RELEASE_NAME_SIZE);
        FUZZ_CHECK(strlen(state.version) < COVEY__RELEASE_NAME_SIZE);
        /* The kept form is flat; as a request it lacks its "device". Its members still parse. */
        const covey__json *root;
        covey__arena_init(&second, &env, 8u << 20);
        covey__json_limits limits = {STATE_MAX, 16, 32768};
        FUZZ_CHECK(covey__json_parse(&second, once.data, once.size, limits, &root, NULL) ==
                   COVEY_OK);
        covey__arena_free(&second);
        /* Reading is a function of the bytes alone. */
        FUZZ_CHECK(read_state(&env, (const char *)data, size, &second, &twice, &again) == COVEY_OK);
        FUZZ_CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
        covey__buffer_free(&twice);
        covey__arena_free(&second);
    }
    covey__buffer_free(&once);
    covey__arena_free(&first);
    return 0;
}
