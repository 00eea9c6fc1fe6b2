/* HMAC against RFC 4231, HKDF against RFC 5869, appendix A. */
#include "support/support.h"

#include "trust/hkdf.h"

#include <string.h>

static void check(const uint8_t *made, const char *expected) {
    char hex[300];
    covey__hex(made, strlen(expected) / 2, hex);
    assert_string_equal(hex, expected);
}

static void hmac_gives_what_the_rfc_says(void **state) {
    (void)state;
    static const char data[] = "what do ya want for nothing?";
    static const char longer[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    uint8_t digest[32], key[131];
    covey__hmac hmac;
    covey__hmac_init(&hmac, "Jefe", 4);
    for (size_t i = 0; i < strlen(data); i++) covey__hmac_update(&hmac, data + i, 1);
    covey__hmac_final(&hmac, digest);
    check(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    covey__hmac_init(&hmac, key, sizeof key);
    covey__hmac_update(&hmac, longer, strlen(longer));
    covey__hmac_final(&hmac, digest);
    check(digest, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void fill(uint8_t *out, uint8_t first, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = (uint8_t)(first + i);
}

static void hkdf_gives_what_the_rfc_says(void **state) {
    (void)state;
    uint8_t ikm[80], salt[80], info[80], prk[32], out[82];
    memset(ikm, 0x0b, 22);
    fill(salt, 0, 13);
    fill(info, 0xf0, 10);
    covey__hkdf_extract(salt, 13, ikm, 22, prk);
    check(prk, "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    covey__hkdf_expand(prk, info, 10, out, 42);
    check(out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
               "34007208d5b887185865");
    covey__hkdf_extract(NULL, 0, ikm, 22, prk);
    check(prk, "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
    covey__hkdf_expand(prk, NULL, 0, out, 42);
    check(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
               "9d201395faa4b61a96c8");
    fill(ikm, 0, 80);
    fill(salt, 0x60, 80);
    fill(info, 0xb0, 80);
    covey__hkdf_extract(salt, 80, ikm, 80, prk);
    check(prk, "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244");
    covey__hkdf_expand(prk, info, 80, out, 82);
    check(out, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
               "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
               "cc30c58179ec3e87c14c01d5c1f3434f1d87");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_gives_what_the_rfc_says),
        cmocka_unit_test(hkdf_gives_what_the_rfc_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
