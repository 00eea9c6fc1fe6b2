/* Names that may become paths, and those that may not on some system. */
#include "support/support.h"

#include "bundle/manifest.h"

#include <string.h>

static void files(void **state) {
    (void)state;
    static const char *const good[] = {"model.gguf", "adapters/a.gguf", "a",  "A-b_c.9", "console",
                                       "com",        "comet.txt",       "_x", "a..b"};
    static const char *const wrong[] = {
        "",       ".",       "..",       "../a",    "a/..",   "a/../b",      "/a",    "a/",
        "a//b",   "a/b/c",   ".hidden",  "a/.b",    "a\\b",   "c:",          "a:b",   "a b",
        "a\nb",   "nul",     "NUL",      "nul.txt", "con",    "aux.json",    "prn",   "com1",
        "LPT9.x", "dir/con", "con/file", "a.",      "dir./b", "caf\xc3\xa9", "a\x01", "~",
        "a/b.",   "$HOME",   "*",        "a?",      "\xff",   "a%00b",       "dir/",  "com0"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (!covey__component_name_valid(good[i])) fail_msg("\"%s\" is refused", good[i]);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (covey__component_name_valid(wrong[i])) fail_msg("\"%s\" is taken", wrong[i]);
    char lengthy[130];
    memset(lengthy, 'a', sizeof lengthy);
    lengthy[128] = '\0';
    assert_true(covey__component_name_valid(lengthy));
    lengthy[128] = 'a';
    lengthy[129] = '\0';
    assert_false(covey__component_name_valid(lengthy));
}

static void names(void **state) {
    (void)state;
    static const char *const good[] = {"assistant", "q8_0", "a", "3b-instruct", "A.b"};
    static const char *const wrong[] = {"", "-a", ".a", "_a", "a/b", "a b", "a@1", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(covey__ensemble_name_valid(good[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(covey__ensemble_name_valid(wrong[i]));
    char lengthy[66];
    memset(lengthy, 'a', sizeof lengthy);
    lengthy[65] = '\0';
    assert_false(covey__ensemble_name_valid(lengthy));
    lengthy[64] = '\0';
    assert_true(covey__ensemble_name_valid(lengthy));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(files), cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
