/* SHA-256: the standard's vectors, every way of splitting, both block functions; hexadecimal. */
#include "support/support.h"

#include "base/cpu.h"
#include "base/sha256.h"
#include "base/sha256_blocks.h"

#include <stdlib.h>
#include <string.h>

static void hash_hex(const void *data, size_t size, char out[65]) {
    uint8_t digest[32];
    covey__sha256_of(data, size, digest);
    covey__hex(digest, sizeof digest, out);
}

/* FIPS 180-4's examples (NIST, "Examples with Intermediate Values") and the million of 'a'. */
static void the_standards_vectors(void **state) {
    (void)state;
    static const struct {
        const char *text, *digest;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    char hex[65];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hash_hex(cases[i].text, strlen(cases[i].text), hex);
        assert_string_equal(hex, cases[i].digest);
    }
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    hash_hex(million, 1000000, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void any_split_gives_the_same(void **state) {
    (void)state;
    uint64_t seed = 7;
    uint8_t data[1000], whole[32], parts[32];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)test_random(&seed);
    for (size_t size = 0; size < 200; size++) {
        covey__sha256_of(data, size, whole);
        for (size_t cut = 0; cut <= size; cut += 1 + size / 16) {
            covey__sha256 hash;
            covey__sha256_init(&hash);
            covey__sha256_update(&hash, data, cut);
            covey__sha256_update(&hash, data + cut, size - cut);
            covey__sha256_final(&hash, parts);
            assert_memory_equal(whole, parts, 32);
        }
    }
    covey__sha256 hash;
    covey__sha256_init(&hash);
    for (size_t i = 0; i < sizeof data; i++) covey__sha256_update(&hash, data + i, 1);
    covey__sha256_final(&hash, parts);
    covey__sha256_of(data, sizeof data, whole);
    assert_memory_equal(whole, parts, 32);
}

static void both_block_functions_agree(void **state) {
    (void)state;
    if (!covey__sha256_blocks_shani_is_built() || !covey__cpu_read().sha) {
        print_message("skipped: this CPU has no SHA instructions\n");
        skip();
    }
    uint64_t seed = 11;
    uint8_t *data = malloc(64 * 40 + 1);
    assert_non_null(data);
    for (int round = 0; round < 500; round++) {
        size_t blocks = (size_t)(test_random(&seed) % 40), skew = (size_t)(test_random(&seed) % 2);
        uint32_t a[8], b[8];
        for (size_t i = 0; i < 64 * 40 + 1; i++) data[i] = (uint8_t)(test_random(&seed) >> 13);
        for (int i = 0; i < 8; i++) a[i] = b[i] = (uint32_t)test_random(&seed);
        covey__sha256_blocks_portable(a, data + skew, blocks);
        covey__sha256_blocks_shani(b, data + skew, blocks);
        assert_memory_equal(a, b, sizeof a);
    }
    free(data);
}

static void hexadecimal(void **state) {
    (void)state;
    const uint8_t data[4] = {0x00, 0x9f, 0xa0, 0xff};
    char text[9];
    uint8_t back[4];
    covey__hex(data, 4, text);
    assert_string_equal(text, "009fa0ff");
    assert_true(covey__unhex(text, 8, back, 4));
    assert_memory_equal(data, back, 4);
    assert_true(covey__unhex("009FA0fF", 8, back, 4));
    assert_memory_equal(data, back, 4);
    assert_false(covey__unhex("009fa0f", 7, back, 4));
    assert_false(covey__unhex("009fa0ff0", 9, back, 4));
    assert_false(covey__unhex("009fa0fg", 8, back, 4));
    assert_false(covey__unhex("0x9fa0ff", 8, back, 4));
    assert_true(covey__unhex("", 0, back, 0));
}

static void secrets_are_compared_whole(void **state) {
    (void)state;
    uint8_t a[32], b[32];
    memset(a, 3, sizeof a);
    memcpy(b, a, sizeof a);
    assert_true(covey__equal_secret(a, b, 32));
    for (int i = 0; i < 32; i++) {
        b[i] ^= 0x10;
        assert_false(covey__equal_secret(a, b, 32));
        b[i] ^= 0x10;
    }
    assert_true(covey__equal_secret(a, b, 0));
}

/* A pair of updates is two updates, whatever was taken before and how long each is. */
static void pairs_are_two_updates(void **state) {
    (void)state;
    uint8_t data[1000], alone[32], paired[32];
    uint64_t seed = 8;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)test_random(&seed);
    for (int round = 0; round < 2000; round++) {
        covey__sha256 a, b, pair_a, pair_b;
        size_t before_a = test_random(&seed) % 130, before_b = test_random(&seed) % 130;
        size_t size_a = test_random(&seed) % 400, size_b = test_random(&seed) % 400;
        size_t at_a = test_random(&seed) % 300, at_b = test_random(&seed) % 300;
        covey__sha256_init(&a);
        covey__sha256_init(&b);
        covey__sha256_update(&a, data, before_a);
        covey__sha256_update(&b, data, before_b);
        pair_a = a;
        pair_b = b;
        covey__sha256_update_pair(&pair_a, data + at_a, size_a, &pair_b, data + at_b, size_b);
        covey__sha256_update(&a, data + at_a, size_a);
        covey__sha256_update(&b, data + at_b, size_b);
        covey__sha256_final(&a, alone);
        covey__sha256_final(&pair_a, paired);
        assert_memory_equal(alone, paired, 32);
        covey__sha256_final(&b, alone);
        covey__sha256_final(&pair_b, paired);
        assert_memory_equal(alone, paired, 32);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_two_updates),
        cmocka_unit_test(the_standards_vectors),
        cmocka_unit_test(any_split_gives_the_same),
        cmocka_unit_test(both_block_functions_agree),
        cmocka_unit_test(hexadecimal),
        cmocka_unit_test(secrets_are_compared_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
