/* Messages kept with a session file: what is read is made again to the byte, and all of it lies
 * within the bytes. */
#include "fuzz/fuzz_target.h"

#include "covey/message_pack.h"

#include <string.h>

#define MESSAGES_MAX 256

typedef struct messages {
    covey_message items[MESSAGES_MAX];
    size_t count;
    const char *from, *end;
} messages;

static bool take(void *user, const char *role, const char *content) {
    messages *all = user;
    FUZZ_CHECK(role >= all->from && role < content && content + strlen(content) < all->end);
    if (all->count == MESSAGES_MAX) return false;
    all->items[all->count++] = (covey_message){role, content};
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    messages all = {.count = 0};
    size_t again_size = 0;
    char *bytes = malloc(size + !size); /* exactly as long: reading beyond is found */
    if (!bytes) return 0;
    memcpy(bytes, data, size);
    all.from = bytes;
    all.end = bytes + size;
    if (app_unpack_messages(bytes, size, take, &all)) {
        char *again = app_pack_messages(all.items, all.count, &again_size);
        FUZZ_CHECK(again && again_size == size && memcmp(again, bytes, size) == 0);
        free(again);
    }
    free(bytes);
    return 0;
}
