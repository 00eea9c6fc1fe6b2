/* GBNF: what the notation means, as llama.cpp's grammars/README.md says it, byte by byte, and what
 * is refused with which words. */
#include "guide_cases.h"

static const guide_case cases[] = {
    {"root ::= \"abc\"", {"abc"}, {"", "ab", "abcd", "ABC"}},
    {"root ::= \"\"", {""}, {"a"}},
    {"root ::= \"a\" | \"b\" | \"\"", {"a", "b", ""}, {"ab", "c"}},
    {"root ::= [a-c]", {"a", "b", "c"}, {"d", "", "aa"}},
    {"root ::= [^a-c]", {"d", "\n", "\xc3\xa9", "\xf0\x9f\x98\x80"}, {"a", "\x80", "\xc3"}},
    {"root ::= [a\\]\\[\\\\]", {"a", "]", "[", "\\"}, {"b", "-"}},
    {"root ::= [-a]", {"-", "a"}, {"b"}},
    {"root ::= [a-]", {"-", "a"}, {"b"}},
    {"root ::= [\\x41-\\u0043\\U0001F600]", {"A", "C", "\xf0\x9f\x98\x80"}, {"D"}},
    {"root ::= [\xd0\xb0-\xd1\x8f]+", {"\xd0\xb6\xd1\x8f"}, {"x", "\xd0"}},
    {"root ::= .", {"a", "\n", "\xe2\x82\xac"}, {"", "ab", "\xff"}},
    {"root ::= \"\\\"\\\\\\n\\t\\r\\x41\\u00e9\"", {"\"\\\n\t\rA\xc3\xa9"}, {"x"}},
    {"root ::= \"a\"*", {"", "a", "aaaa"}, {"b", "ab"}},
    {"root ::= \"a\"+", {"a", "aaa"}, {"", "b"}},
    {"root ::= \"a\"?", {"", "a"}, {"aa"}},
    {"root ::= \"a\"{3}", {"aaa"}, {"aa", "aaaa"}},
    {"root ::= \"a\"{2,}", {"aa", "aaaaa"}, {"a"}},
    {"root ::= (\"a\" { 1 , # at most\n 2 }){2}", {"aa", "aaa", "aaaa"}, {"a", "aaaaa"}},
    {"root ::= \"a\"{1,3}", {"a", "aaa"}, {"", "aaaa"}},
    {"root ::= \"a\"{0,2} \"b\"", {"b", "ab", "aab"}, {"aaab"}},
    {"root ::= (\"a\" | \"bc\")+ \"d\"", {"ad", "bcabcd"}, {"d", "bd"}},
    {"root ::= (\"a\" \"b\"?){2}", {"aa", "abab", "aba"}, {"a", "abb"}},
    {"root ::= (\"a\"*)*", {"", "aaa"}, {"b"}},
    {"root ::= (\"a\"?){2,3} \"b\"", {"b", "aaab"}, {"aaaab"}},
    {"# a comment\nroot ::= x # another\n\nx ::= \"y\"\n", {"y"}, {"x"}},
    {"root ::= a |\n  b\na ::= \"1\"\nb ::= \"2\"", {"1", "2"}, {"3"}},
    {"root ::= a\n  | b\na ::= \"1\"\nb ::= \"2\"", {"1", "2"}, {"12"}},
    {"root ::= (\n  \"a\" # one\n  | \"b\"\n)\r\n", {"a", "b"}, {"ab"}},
    {"root ::= ws \"x\" ws\nws ::= [ \\t\\n]*", {"x", " \n x\t"}, {"xx"}},
    {"root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {"(", "())", ")("}},
    {"root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"",
     {"", "ab", "aabc", "aaabcb"},
     {"a", "aab", "ba", "abab"}},
    {"root ::= s\ns ::= \"a\" s s | \"a\"", {"a", "aaa", "aaaaa"}, {"aa", "aaaa", ""}},
    {"root ::= x x?\nx ::= \"a\" | \"ab\" | \"b\"",
     {"a", "ab", "aab", "abb", "bab", "abab"},
     {"c", "aaa"}},
    {"root ::= e \"c\"\ne ::= \"\" | \"b\"", {"c", "bc"}, {"b", "bbc"}},
    {"root ::= n n n\nn ::= \"x\"?", {"", "x", "xx", "xxx"}, {"xxxx"}},
    {"root ::= list\nlist ::= item | item \",\" list\nitem ::= [0-9]+",
     {"1", "1,22,333"},
     {",", "1,"}},
    {"root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= num | \"(\" expr \")\"\nnum ::= [0-9]+",
     {"1", "1+2*(3-4)", "((1))"},
     {"1+", "(1", "1++2", ""}},
    {"root ::= object\nvalue ::= object | array | string | number | (\"true\" | \"false\" | "
     "\"null\") ws\n"
     "object ::= \"{\" ws ( string \":\" ws value (\",\" ws string \":\" ws value)* )? \"}\" ws\n"
     "array ::= \"[\" ws ( value (\",\" ws value)* )? \"]\" ws\n"
     "string ::= \"\\\"\" ( [^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" "
     "[0-9a-fA-F]{4}) )* \"\\\"\" ws\n"
     "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] "
     "[1-9]{0,15})? ws\n"
     "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}",
     {"{}", "{\"a\": [1, 2.5, {\"b\":null}]\n  }", "{\"\\u00e9\\n\":\"\xc3\xa9\"}"},
     {"{\"a\"}", "[1]", "{\"a\":1,}", "{\"a\":  1}"}},
};

static const refused_case refused[] = {
    {"", COVEY_ERROR_FORMAT, "no rule \"root\""},
    {"x ::= \"a\"", COVEY_ERROR_FORMAT, "no rule \"root\""},
    {"root ::= x", COVEY_ERROR_FORMAT, "\"x\" is used"},
    {"root ::= \"a", COVEY_ERROR_FORMAT, "line 1, column 10: a literal without its end"},
    {"root ::= [a", COVEY_ERROR_FORMAT, "class without"},
    {"root ::= (\"a\"", COVEY_ERROR_FORMAT, "parenthesis"},
    {"root ::= \"a\")", COVEY_ERROR_FORMAT, "expected the end of the line"},
    {"root ::= *", COVEY_ERROR_FORMAT, "expected a literal"},
    {"root \"a\"", COVEY_ERROR_FORMAT, "expected ::="},
    {"\n\n  ?", COVEY_ERROR_FORMAT, "line 3, column 3"},
    {"root ::= \"\\q\"", COVEY_ERROR_FORMAT, "unknown escape"},
    {"root ::= \"\\x4\"", COVEY_ERROR_FORMAT, "hexadecimal"},
    {"root ::= \"\\ud800\"", COVEY_ERROR_FORMAT, "surrogate"},
    {"root ::= [b-a]", COVEY_ERROR_FORMAT, "end is before"},
    {"root ::= \"a\"{3,2}", COVEY_ERROR_FORMAT, "m at most n"},
    {"root ::= \"a\"{x}", COVEY_ERROR_FORMAT, "column 13: expected {m}"},
    {"root ::= \"a\"{1", COVEY_ERROR_FORMAT, "expected {m}"},
    {"root ::= \"a\"{100000}", COVEY_ERROR_LIMIT, "65536"},
    {"root ::= \"a\"\nroot ::= \"b\"", COVEY_ERROR_FORMAT, "above already"},
    {"root ::= root \"a\" | \"b\"", COVEY_ERROR_UNSUPPORTED, "left recursion: the rule \"root\""},
    {"root ::= a\na ::= b \"x\" | \"y\"\nb ::= a \"z\" | \"q\"", COVEY_ERROR_UNSUPPORTED,
     "left recursion"},
    {"root ::= e root \"a\" | \"b\"\ne ::= \"x\"?", COVEY_ERROR_UNSUPPORTED, "left recursion"},
    {"root ::= \"a\" root", COVEY_ERROR_INVALID_ARGUMENT, "nothing satisfies"},
    {"root ::= root", COVEY_ERROR_INVALID_ARGUMENT, "nothing satisfies"},
    {"root ::= <think>", COVEY_ERROR_UNSUPPORTED, "tokens in a grammar"},
    {"root ::= !<[12]>", COVEY_ERROR_UNSUPPORTED, "tokens in a grammar"},
    {"root ::= \"\xff\"", COVEY_ERROR_FORMAT, "UTF-8"},
};

static void test_cases(void **state) {
    (void)state;
    assert_true(run_cases(false, cases, sizeof cases / sizeof *cases) > 120);
}

static void test_refused(void **state) {
    (void)state;
    run_refused(false, refused, sizeof refused / sizeof *refused);
}

/* Text of much ambiguity, and depth: neither memory nor time runs away. */
static void test_ambiguous(void **state) {
    (void)state;
    static const char *const grammars[] = {
        "root ::= s\ns ::= \"a\" s s | \"a\" s | \"a\"",
        "root ::= (\"a\" | \"a\" \"a\" | \"a\" \"a\" \"a\")*", "root ::= \"a\" root \"a\" | \"a\"?",
        "root ::= x*\nx ::= y | y y\ny ::= \"a\" | \"a\" z\nz ::= \"a\"*"};
    for (size_t g = 0; g < 4; g++) {
        covey_error error = {.message = ""};
        covey_guide *guide = NULL;
        must(new_guide(false, grammars[g], &guide, &error), &error);
        char text[1000];
        memset(text, 'a', sizeof text);
        size_t matched;
        bool whole;
        covey_status status = covey_guide_match(guide, text, sizeof text, &matched, &whole, &error);
        assert_true(status == COVEY_OK || status == COVEY_ERROR_LIMIT);
        covey_guide_free(guide);
    }
}

/* Calls within each other end at their limit: the text is not allowed, and nothing worse. */
static void test_depth(void **state) {
    (void)state;
    covey_error error = {.message = ""};
    covey_guide *guide = NULL;
    must(new_guide(false, "root ::= \"(\" root \")\" | \"\"", &guide, &error), &error);
    static char text[4000];
    for (size_t depth = 100; depth <= 1900; depth += 450) {
        size_t matched;
        bool whole;
        memset(text, '(', depth);
        memset(text + depth, ')', depth);
        must(covey_guide_match(guide, text, 2 * depth, &matched, &whole, &error), &error);
        assert_int_equal(whole, depth < COVEY__GUIDE_CALLS_MAX);
    }
    covey_guide_free(guide);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, open_cases, close_cases);
}
