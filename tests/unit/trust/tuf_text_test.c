/* Patterns, quoted names and bins against what is written down of them. */
#include "support/support.h"

#include "base/buffer.h"
#include "trust/tuf_text.h"

#include <stdio.h>
#include <string.h>

static void patterns(void **unused) {
    (void)unused;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"targets/*.tgz", "targets/foo.tgz", true}, /* the specification's own */
        {"targets/*.tgz", "targets/foo.txt", false},
        {"foo-version-?.tgz", "foo-version-2.tgz", true},
        {"foo-version-?.tgz", "foo-version-alpha.tgz", false},
        {"*.tgz", "foo.tgz", true},
        {"*.tgz", "targets/foo.tgz", false},
        {"foo.tgz", "foo.tgz", true},
        {"foo.tgz", "bar.tgz", false},
        {"*", "a", true},
        {"*", "", true},
        {"*", "a/b", false},
        {"*/*", "a/b", true},
        {"*/*", "a", false},
        {"", "", true},
        {"a/", "a/", true},
        {"a/*", "a/", true},
        {"a", "a/", false},
        {"*a*b*c", "xxaxxbxxc", true},
        {"*a*b*c", "xxaxxbxxcd", false},
        {"a*/b", "aaa/b", true},
        {"a*/b", "aaa/c/b", false},
        {"?", "/", false},
        {"?", "\xc3\xa9", true}, /* one character, two bytes */
        {"??", "\xc3\xa9", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]x", "dx", true},
        {"[!a-c]x", "ax", false},
        {"[^a]", "^", true}, /* only "!" negates */
        {"[]]", "]", true},
        {"[a-]", "-", true},
        {"[", "[", true}, /* no set: itself */
        {"[ab", "[ab", true},
        {"[a/b]", "[a/b]", true},
        {"*.md", ".md", true},
        {"A", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (covey__tuf_glob(cases[i].pattern, cases[i].name) != cases[i].matches)
            fail_msg("\"%s\" and \"%s\"", cases[i].pattern, cases[i].name);
    }
    char many[1025], name[1025]; /* stars do not make it slow */
    for (int i = 0; i < 1024; i++) many[i] = i % 2 == 0 ? '*' : 'a', name[i] = 'a';
    many[1023] = 'b';
    many[1024] = name[1024] = '\0';
    assert_false(covey__tuf_glob(many, name));
}

static void quoting(void **unused) {
    (void)unused;
    covey__env env;
    covey__buffer out;
    covey__env_init(&env);
    covey__buffer_init(&out, &env, 1000);
    assert_int_equal(covey__tuf_quote_segment(&out, "aZ09-._~/?#% \xc3\xa9"), COVEY_OK);
    assert_string_equal(out.data, "aZ09-._~%2F%3F%23%25%20%C3%A9");
    covey__buffer_clear(&out);
    assert_int_equal(covey__tuf_quote_path(&out, "a/b c:@!?#%"), COVEY_OK);
    assert_string_equal(out.data, "a/b%20c:@!%3F%23%25");
    covey__buffer_free(&out);
}

static void local_names(void **unused) {
    (void)unused;
    static const char *const names[][2] = {
        {"targets", "targets"}, {"..", "%2E."},        {".hidden", "%2Ehidden"},
        {"a.b", "a.b"},         {"a/b", "a%2Fb"},      {"Role", "%52ole"},
        {"%2F", "%252%46"},     {"a\\b:", "a%5Cb%3A"}, {"\xc3\xa9", "%C3%A9"},
    };
    char out[COVEY__TUF_LOCAL_SIZE], longest[600];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        covey__tuf_local_name(names[i][0], out);
        assert_string_equal(out, names[i][1]);
    }
    memset(longest, 'a', sizeof longest);
    longest[196] = '\0';
    covey__tuf_local_name(longest, out);
    assert_string_equal(out, longest);
    longest[196] = 'a';
    longest[599] = '\0';
    covey__tuf_local_name(longest, out);
    assert_int_equal(strlen(out), 66);
    assert_memory_equal(out, "%_", 2);
}

static void bins(void **unused) {
    (void)unused;
    /* SHA-256("abc") begins ba78 16bf */
    static const struct {
        uint32_t bits;
        const char *name;
    } cases[] = {{1, "p-1"},  {4, "p-b"},     {5, "p-17"},
                 {8, "p-ba"}, {14, "p-2e9e"}, {32, "p-ba7816bf"}};
    covey__env env;
    covey__buffer out;
    covey__env_init(&env);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey__buffer_init(&out, &env, 100);
        assert_int_equal(covey__tuf_bin_name(&out, "p", cases[i].bits, "abc"), COVEY_OK);
        assert_string_equal(out.data, cases[i].name);
        covey__buffer_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),
        cmocka_unit_test(quoting),
        cmocka_unit_test(local_names),
        cmocka_unit_test(bins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
