/* Encrypted components under a known key: what opens is, sealed again from its plain bytes, the
 * very same file. */
#include "fuzz/fuzz_target.h"

#include "base/sha256.h"
#include "trust/envelope.h"

#include <string.h>

/* The whole of a file with one chunk. */
static void open_file(const covey__envelope *envelope, const covey__content_key *key,
                      const uint8_t *data, size_t size) {
    const covey__envelope_header *header = &envelope->header;
    covey__envelope_header made;
    uint8_t digest[32], plain[4096], sealed[4096 + 16];
    size_t plain_size = (size_t)header->plain_size;
    if (header->chunk_count != 1 || plain_size > sizeof plain) return;
    if (size != covey__envelope_size(plain_size)) return;
    const uint8_t *chunk = data + COVEY__ENVELOPE_HEADER_BYTES;
    if (covey__envelope_chunk_open(envelope, 0, chunk, plain, NULL) != COVEY_OK) return;
    covey__sha256_of(plain, plain_size, digest);
    FUZZ_CHECK(covey__envelope_header_make(key, plain_size, digest, &made, NULL) == COVEY_OK);
    FUZZ_CHECK(memcmp(made.bytes, data, COVEY__ENVELOPE_HEADER_BYTES) == 0);
    FUZZ_CHECK(covey__envelope_chunk_seal(envelope, 0, plain, sealed, NULL) == COVEY_OK);
    FUZZ_CHECK(memcmp(sealed, chunk, plain_size + 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey__env env;
    covey__content_key key;
    covey__envelope_header header;
    covey__envelope envelope;
    uint8_t bytes[32];
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey__env_init(&env);
    env.crypto = covey__crypto_openssl();
    for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)(i * 3);
    covey__content_key_of(bytes, &key);
    covey_status status = covey__envelope_header_read(data, size, &header, &error);
    FUZZ_CHECK((status == COVEY_OK) == (error.message[0] == '\0'));
    if (status != COVEY_OK) return 0;
    FUZZ_CHECK(memcmp(header.bytes, data, COVEY__ENVELOPE_HEADER_BYTES) == 0);
    FUZZ_CHECK(header.chunk_count >= 1 && header.plain_size <= COVEY__ENVELOPE_PLAIN_MAX);
    uint64_t total = covey__envelope_size(header.plain_size), sum = COVEY__ENVELOPE_HEADER_BYTES;
    sum += (header.chunk_count - 1) * (COVEY__ENVELOPE_CHUNK_BYTES + 16);
    sum += covey__envelope_chunk_size(&header, header.chunk_count - 1) + 16;
    FUZZ_CHECK(sum == total);
    if (covey__envelope_open(&env, &key, &header, &envelope, NULL) == COVEY_OK)
        open_file(&envelope, &key, data, size);
    return 0;
}
