/* X25519 against RFC 7748, AES-256-GCM against cases 13 to 16 of the GCM specification by McGrew
 * and Viega, scrypt against RFC 7914. */
#include "support/support.h"

#include "base/sha256.h"
#include "trust/crypto_openssl.h"

#include <openssl/err.h>
#include <string.h>

static size_t unhex(const char *text, uint8_t *out) {
    assert_true(covey__unhex(text, strlen(text), out, strlen(text) / 2));
    return strlen(text) / 2;
}

static covey_status agree(const uint8_t ours[32], const uint8_t theirs[32], uint8_t shared[32]) {
    const covey_crypto *crypto = covey__crypto_openssl();
    covey_status status = crypto->x25519(crypto->user, ours, theirs, shared);
    assert_int_equal(ERR_peek_error(), 0);
    return status;
}

static void check_agreed(const char *ours_hex, const char *theirs_hex, const char *shared_hex) {
    uint8_t ours[32], theirs[32], expected[32], shared[32];
    unhex(ours_hex, ours);
    unhex(theirs_hex, theirs);
    unhex(shared_hex, expected);
    assert_int_equal(agree(ours, theirs, shared), COVEY_OK);
    assert_memory_equal(shared, expected, 32);
}

static void x25519_gives_what_the_rfc_says(void **state) {
    (void)state;
    /* Section 5.2. */
    check_agreed("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                 "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                 "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    /* Section 6.1: Bob's key with Alice's. */
    check_agreed("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                 "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
                 "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    check_agreed("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                 "0900000000000000000000000000000000000000000000000000000000000000",
                 "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    uint8_t k[32] = {9}, u[32] = {9}, next[32], expected[32];
    for (int i = 0; i < 1000; i++) { /* section 5.2, the loop */
        assert_int_equal(agree(k, u, next), COVEY_OK);
        memcpy(u, k, 32);
        memcpy(k, next, 32);
    }
    unhex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", expected);
    assert_memory_equal(k, expected, 32);
}

/* Points of small order agree with anyone on zeros: each must be refused. */
static void x25519_refuses_points_of_small_order(void **state) {
    (void)state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    uint8_t ours[32] = {1, 2, 3}, theirs[32], shared[32];
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        unhex(points[i], theirs);
        assert_int_equal(agree(ours, theirs, shared), COVEY_ERROR_MISMATCH);
    }
}

#define K15 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
#define P60                                                                                        \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"                             \
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
#define C60                                                                                        \
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"                             \
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
#define ZERO32 "0000000000000000000000000000000000000000000000000000000000000000"

static const struct {
    const char *key, *nonce, *aad, *plain, *sealed;
} gcm_rows[] = {
    {ZERO32, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {ZERO32, "000000000000000000000000", "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {K15, "cafebabefacedbaddecaf888", "", P60 "1aafd255",
     C60 "898015adb094dac5d93471bdec1a502270e3cc6c"},
    {K15, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", P60,
     C60 "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void gcm_gives_what_the_specification_says(void **state) {
    (void)state;
    const covey_crypto *crypto = covey__crypto_openssl();
    for (size_t i = 0; i < sizeof gcm_rows / sizeof *gcm_rows; i++) {
        uint8_t key[32], nonce[12], aad[32], plain[80], expected[96], made[96];
        unhex(gcm_rows[i].key, key);
        unhex(gcm_rows[i].nonce, nonce);
        size_t aad_size = unhex(gcm_rows[i].aad, aad), size = unhex(gcm_rows[i].plain, plain);
        assert_int_equal(unhex(gcm_rows[i].sealed, expected), size + 16);
        assert_int_equal(
            crypto->aes256_gcm_seal(NULL, key, nonce, aad, aad_size, plain, size, made), COVEY_OK);
        assert_memory_equal(made, expected, size + 16);
        /* In place, back and forth. */
        assert_int_equal(
            crypto->aes256_gcm_open(NULL, key, nonce, aad, aad_size, made, size + 16, made),
            COVEY_OK);
        assert_memory_equal(made, plain, size);
        assert_int_equal(crypto->aes256_gcm_seal(NULL, key, nonce, aad, aad_size, made, size, made),
                         COVEY_OK);
        assert_memory_equal(made, expected, size + 16);
    }
}

static void gcm_opens_nothing_that_was_changed(void **state) {
    (void)state;
    const covey_crypto *crypto = covey__crypto_openssl();
    uint8_t key[32], nonce[12], aad[20], sealed[96], plain[96];
    unhex(gcm_rows[3].key, key);
    unhex(gcm_rows[3].nonce, nonce);
    unhex(gcm_rows[3].aad, aad);
    size_t size = unhex(gcm_rows[3].sealed, sealed);
    struct {
        uint8_t *bytes;
        size_t size;
    } parts[] = {{key, 32}, {nonce, 12}, {aad, 20}, {sealed, size}};
    for (size_t p = 0; p < 4; p++)
        for (size_t bit = 0; bit < 8 * parts[p].size; bit++) {
            parts[p].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(
                crypto->aes256_gcm_open(NULL, key, nonce, aad, 20, sealed, size, plain),
                COVEY_ERROR_MISMATCH);
            parts[p].bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    for (size_t shorter = 0; shorter < size; shorter++)
        assert_int_equal(crypto->aes256_gcm_open(NULL, key, nonce, aad, 20, sealed, shorter, plain),
                         COVEY_ERROR_MISMATCH);
    assert_int_equal(crypto->aes256_gcm_open(NULL, key, nonce, aad, 19, sealed, size, plain),
                     COVEY_ERROR_MISMATCH);
    assert_int_equal(crypto->aes256_gcm_open(NULL, key, nonce, aad, 20, sealed, size, plain),
                     COVEY_OK);
}

static void scrypt_gives_what_the_rfc_says(void **state) {
    (void)state;
    static const struct {
        const char *password, *salt;
        uint64_t n;
        uint32_t r, p;
        const char *out;
    } rows[] = {
        {"", "", 16, 1, 1,
         "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
         "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"},
        {"password", "NaCl", 1024, 8, 16,
         "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
         "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"},
        {"pleaseletmein", "SodiumChloride", 16384, 8, 1,
         "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
         "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"},
    };
    const covey_crypto *crypto = covey__crypto_openssl();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t expected[64], made[64];
        covey_scrypt asked = {rows[i].password, strlen(rows[i].password),
                              rows[i].salt,     strlen(rows[i].salt),
                              rows[i].n,        rows[i].r,
                              rows[i].p};
        unhex(rows[i].out, expected);
        assert_int_equal(crypto->scrypt(NULL, &asked, made, sizeof made), COVEY_OK);
        assert_memory_equal(made, expected, sizeof made);
    }
}

static void scrypt_is_bounded(void **state) {
    (void)state;
    static const struct {
        uint64_t n;
        uint32_t r, p;
        covey_status status;
    } rows[] = {
        {0, 8, 1, COVEY_ERROR_INVALID_ARGUMENT},
        {1, 8, 1, COVEY_ERROR_INVALID_ARGUMENT},
        {1000, 8, 1, COVEY_ERROR_INVALID_ARGUMENT},
        {1024, 0, 1, COVEY_ERROR_INVALID_ARGUMENT},
        {1024, 8, 0, COVEY_ERROR_INVALID_ARGUMENT},
        {1024, 8, 17, COVEY_ERROR_INVALID_ARGUMENT},
        {1 << 19, 8, 1, COVEY_ERROR_LIMIT},
        {(uint64_t)1 << 60, 8, 1, COVEY_ERROR_LIMIT},
        {2, 0xffffffff, 1, COVEY_ERROR_LIMIT},
        {(uint64_t)1 << 63, 0xffffffff, 16, COVEY_ERROR_LIMIT},
    };
    const covey_crypto *crypto = covey__crypto_openssl();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t out[32];
        covey_scrypt asked = {"p", 1, "s", 1, rows[i].n, rows[i].r, rows[i].p};
        assert_int_equal(crypto->scrypt(NULL, &asked, out, sizeof out), rows[i].status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x25519_gives_what_the_rfc_says),
        cmocka_unit_test(x25519_refuses_points_of_small_order),
        cmocka_unit_test(gcm_gives_what_the_specification_says),
        cmocka_unit_test(gcm_opens_nothing_that_was_changed),
        cmocka_unit_test(scrypt_gives_what_the_rfc_says),
        cmocka_unit_test(scrypt_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
