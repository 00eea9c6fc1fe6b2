/* JSON: whatever parses is written, parsed and written again, and both texts must be the same. An
 * error must carry a message and leave nothing allocated. */
#include "fuzz/fuzz_target.h"

#include "base/json.h"

#include <string.h>

#define ARENA_MAX ((size_t)64 << 20)

static covey_status parse(const covey__env *env, covey__arena *arena, const char *text, size_t size,
                          const covey__json **root) {
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__arena_init(arena, env, ARENA_MAX);
    covey__json_limits limits = {1u << 20, 64, 100000};
    covey_status status = covey__json_parse(arena, text, size, limits, root, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    FUZZ_CHECK(status == error.status);
    return status;
}

static void write_tree(const covey__json *root, covey__buffer *out, bool pretty) {
    covey__json_writer writer;
    covey__json_writer_init(&writer, out, pretty);
    covey__json_put_node(&writer, root);
    FUZZ_CHECK(out->status == COVEY_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__env_init(&env);
    covey__arena first, second;
    covey__buffer once, twice;
    covey__buffer_init(&once, &env, (size_t)64 << 20);
    covey__buffer_init(&twice, &env, (size_t)64 << 20);
    const covey__json *root, *again;
    if (parse(&env, &first, (const char *)data, size, &root) == COVEY_OK) {
        write_tree(root, &once, size % 2 == 0);
        FUZZ_CHECK(parse(&env, &second, once.data, once.size, &again) == COVEY_OK);
        write_tree(again, &twice, size % 2 == 0);
        FUZZ_CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
        covey__arena_free(&second);
    }
    covey__arena_free(&first);
    covey__buffer_free(&once);
    covey__buffer_free(&twice);
    return 0;
}
