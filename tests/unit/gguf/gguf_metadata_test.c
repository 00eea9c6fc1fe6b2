/* Hostile GGUF metadata: each mistake gives one error that names the key. */
#include "unit/gguf/gguf_bytes.h"

static bytes file;

static void bad_keys(void **state) {
    (void)state;
    add_header(&file, 3, 0, 1);
    add_u64(&file, UINT64_MAX);
    add_padding(&file, 8, 64);
    expect(&file, COVEY_ERROR_FORMAT, "metadata key 0 goes past the end");
    static const char *const bad[] = {"a\nb", "\x7f", "\xff", "\xc3"};
    for (int i = 0; i < 4; i++) {
        add_header(&file, 3, 0, 1);
        add_key(&file, bad[i], COVEY__GGUF_U64);
        add_u64(&file, 0);
        expect(&file, COVEY_ERROR_FORMAT, "the key is not plain UTF-8 text");
    }
    add_header(&file, 3, 0, 1);
    add_key(&file, "", COVEY__GGUF_U64);
    add_u64(&file, 0);
    expect(&file, COVEY_ERROR_FORMAT, "metadata key 0: expected 1 to 65535 bytes, found 0");
    add_header(&file, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        add_key(&file, "same", COVEY__GGUF_U32);
        add_u32(&file, 1);
    }
    expect(&file, COVEY_ERROR_FORMAT, "key \"same\": it is there twice");
}

static void bad_values(void **state) {
    (void)state;
    add_header(&file, 3, 0, 1);
    add_key(&file, "k", 13);
    add_u64(&file, 0);
    expect(&file, COVEY_ERROR_UNSUPPORTED, "key \"k\": its value type 13 is not known");
    add_header(&file, 3, 0, 1);
    add_key(&file, "flag", COVEY__GGUF_BOOL);
    add_bytes(&file, "\2", 1);
    expect(&file, COVEY_ERROR_FORMAT, "key \"flag\": a bool is neither 0 nor 1");
    add_header(&file, 3, 0, 1);
    add_key(&file, "s", COVEY__GGUF_STRING);
    add_u64(&file, 100);
    expect(&file, COVEY_ERROR_FORMAT, "key \"s\"");
    add_header(&file, 3, 0, 1);
    add_key(&file, "s", COVEY__GGUF_STRING);
    add_u64(&file, UINT64_MAX - 7);
    add_padding(&file, 8, 64);
    expect(&file, COVEY_ERROR_FORMAT, "key \"s\"");
    static const uint32_t kinds[] = {COVEY__GGUF_U8, COVEY__GGUF_F64, COVEY__GGUF_STRING,
                                     COVEY__GGUF_ARRAY};
    static const uint64_t counts[] = {1000, UINT64_MAX, UINT64_MAX / 8, UINT64_C(1) << 61};
    for (int k = 0; k < 4; k++)
        for (int c = 0; c < 4; c++) {
            add_header(&file, 3, 0, 1);
            add_array(&file, "list", kinds[k], counts[c]);
            add_padding(&file, 8, 64);
            expect(&file, COVEY_ERROR_FORMAT, "key \"list\": its count");
        }
    add_header(&file, 3, 0, 1);
    add_array(&file, "list", COVEY__GGUF_STRING, 2);
    add_text(&file, "good");
    add_u64(&file, 50);
    expect(&file, COVEY_ERROR_FORMAT, "key \"list\": string 1 of 2 goes past the end");
    add_header(&file, 3, 0, 1);
    add_array(&file, "list", 99, 0);
    expect(&file, COVEY_ERROR_UNSUPPORTED, "key \"list\": its value type 99");
    add_header(&file, 3, 0, 1);
    add_array(&file, "list", COVEY__GGUF_ARRAY, 1);
    for (int depth = 0; depth < 200; depth++) {
        add_u32(&file, COVEY__GGUF_ARRAY);
        add_u64(&file, 1);
    }
    expect(&file, COVEY_ERROR_LIMIT, "key \"list\": arrays nested deeper than 4");
}

static void bad_alignments(void **state) {
    (void)state;
    static const uint32_t bad[] = {0, 1, 4, 12, 33, 96, 0x80000000u, UINT32_MAX};
    for (int i = 0; i < 8; i++) {
        add_header(&file, 3, 0, 1);
        add_key(&file, "general.alignment", COVEY__GGUF_U32);
        add_u32(&file, bad[i]);
        expect(&file, COVEY_ERROR_FORMAT, "key \"general.alignment\": expected");
    }
    add_header(&file, 3, 0, 1);
    add_key(&file, "general.alignment", COVEY__GGUF_STRING);
    add_text(&file, "32");
    expect(&file, COVEY_ERROR_FORMAT,
           "key \"general.alignment\": expected an integer, found string");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_keys),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(bad_alignments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
