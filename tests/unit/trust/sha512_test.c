/* SHA-512 against FIPS 180-4's examples and OpenSSL, in pieces of all sizes. */
#include "support/support.h"

#include "base/sha256.h"
#include "trust/sha512.h"

#include <openssl/sha.h>

#include <string.h>

static void examples(void **unused) {
    (void)unused;
    static const char *const cases[][2] = {
        {"", "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
             "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
        {"abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t digest[64];
        char hex[129];
        covey__sha512_of(cases[i][0], strlen(cases[i][0]), digest);
        covey__hex(digest, 64, hex);
        assert_string_equal(hex, cases[i][1]);
    }
}

static void all_sizes(void **unused) {
    (void)unused;
    uint8_t data[700], expected[64], found[64];
    uint64_t random = 7;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)test_random(&random);
    for (size_t size = 0; size <= sizeof data; size++) {
        covey__sha512 hash;
        SHA512(data, size, expected);
        covey__sha512_init(&hash);
        for (size_t at = 0; at < size;) {
            size_t take = (size_t)test_random(&random) % 150 + 1;
            if (take > size - at) take = size - at;
            covey__sha512_update(&hash, data + at, take);
            at += take;
        }
        covey__sha512_final(&hash, found);
        assert_memory_equal(found, expected, 64);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(all_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
