/* The floor's file from arbitrary bytes: what is damaged is empty, and what was read is written so
 * that it reads back the same. */
#include "fuzz/fuzz_target.h"

#include "trust/tuf_floor.h"

#include <string.h>
#include <unistd.h>

static void write_bytes(const char *path, const uint8_t *data, size_t size) {
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(fwrite(data, 1, size, file) == size);
    FUZZ_CHECK(fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[256];
    covey__env env;
    covey__tuf_floor floor, again;
    static const char *ids[] = {"key-1"};
    covey__tuf_role role = {.name = "timestamp", .key_ids = ids, .key_count = 1};
    covey__env_init(&env);
    const char *parent = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%.200s/covey-fuzz-floor-%ld",
                   parent != NULL ? parent : "/tmp", (long)getpid());
    write_bytes(path, data, size);
    FUZZ_CHECK(covey__tuf_floor_load(&floor, &env, path, NULL) == COVEY_OK);
    int64_t before = covey__tuf_floor_version(&floor, &role);
    FUZZ_CHECK(covey__tuf_floor_raise(&floor, &role, 1, NULL) == COVEY_OK);
    floor.changed = true;
    FUZZ_CHECK(covey__tuf_floor_save(&floor, NULL) == COVEY_OK);
    FUZZ_CHECK(covey__tuf_floor_load(&again, &env, path, NULL) == COVEY_OK);
    FUZZ_CHECK(again.role_count == floor.role_count);
    FUZZ_CHECK(again.time_ms == floor.time_ms);
    FUZZ_CHECK(covey__tuf_floor_version(&again, &role) >= before);
    covey__tuf_floor_free(&again);
    covey__tuf_floor_free(&floor);
    (void)unlink(path);
    return 0;
}
