/* Corpora to train on: a file of JSON lines either gives two texts for each line that is not empty,
 * none longer than its line, or is refused with its line's number. */
#include "fuzz/fuzz_target.h"

#include "base/env.h"
#include "train/train_corpus.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct seen {
    size_t turns, bytes;
} seen;

static covey_status count(void *user, const char *said, size_t said_size, const char *answer,
                          size_t answer_size, covey_error *error) {
    seen *s = user;
    (void)error;
    FUZZ_CHECK(said != NULL && answer != NULL);
    s->turns++;
    s->bytes += strnlen(said, said_size) + strnlen(answer, answer_size);
    return COVEY_OK;
}

static size_t count_lines(const uint8_t *data, size_t size) {
    size_t lines = 0;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t length = end ? (size_t)(end - data) - at : size - at;
        lines += length > 1 || (length == 1 && data[at] != '\r');
        at += length + 1;
    }
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey_error error = {0};
    char path[64];
    seen s = {0, 0};
    covey__env_init(&env);
    int file = memfd_create("corpus", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0 && write(file, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    const char *paths[] = {path};
    covey_status status = covey__corpus_walk(&env, paths, 1, &error, count, NULL, &s);
    close(file);
    if (status == COVEY_OK)
        FUZZ_CHECK(s.turns == count_lines(data, size));
    else
        FUZZ_CHECK(strncmp(error.message, "train: corpus", 13) == 0);
    FUZZ_CHECK(s.bytes <= size);
    return 0;
}
