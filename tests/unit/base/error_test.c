/* Errors: statuses, cutting, one line, prefixes. */
#include "support/support.h"

#include "base/error.h"
#include "base/utf8_sequence.h"

#include <errno.h>
#include <string.h>

static void a_failure_fills_all(void **state) {
    (void)state;
    covey_error error;
    memset(&error, 0x7f, sizeof error);
    assert_int_equal(covey__fail(&error, COVEY_ERROR_FORMAT, "part %d: %s", 3, "bad"),
                     COVEY_ERROR_FORMAT);
    assert_int_equal(error.status, COVEY_ERROR_FORMAT);
    assert_int_equal(error.system_code, 0);
    assert_int_equal(error.expected, 0);
    assert_string_equal(error.message, "part 3: bad");
    assert_int_equal(covey__fail(NULL, COVEY_ERROR_LIMIT, "x"), COVEY_ERROR_LIMIT);
    assert_int_equal(covey__fail_sizes(&error, COVEY_ERROR_LIMIT, 10, 20, "size"),
                     COVEY_ERROR_LIMIT);
    assert_int_equal(error.expected, 10);
    assert_int_equal(error.found, 20);
}

static void errno_decides_the_status(void **state) {
    (void)state;
    static const struct {
        int code;
        covey_status status;
    } cases[] = {{ENOSPC, COVEY_ERROR_NO_SPACE},  {EDQUOT, COVEY_ERROR_NO_SPACE},
                 {ENOENT, COVEY_ERROR_NOT_FOUND}, {ENOMEM, COVEY_ERROR_NO_MEMORY},
                 {EACCES, COVEY_ERROR_DENIED},    {EPERM, COVEY_ERROR_DENIED},
                 {EIO, COVEY_ERROR_IO},           {EROFS, COVEY_ERROR_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        covey_error error;
        assert_int_equal(covey__fail_errno(&error, cases[i].code, "file"), cases[i].status);
        assert_int_equal(error.system_code, cases[i].code);
    }
    covey_error error;
    (void)covey__fail_errno(&error, ENOENT, "a/b: open");
    assert_string_equal(error.message, "a/b: open: No such file or directory (errno 2)");
}

static void a_long_errno_message_keeps_its_end(void **state) {
    (void)state;
    char name[600];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    covey_error error;
    (void)covey__fail_errno(&error, ENOENT, "%s", name);
    assert_int_equal(strlen(error.message), COVEY_ERROR_MESSAGE_SIZE - 1);
    assert_non_null(strstr(error.message, "(errno 2)"));
}

static void messages_are_one_line_of_utf8(void **state) {
    (void)state;
    covey_error error;
    (void)covey__fail(&error, COVEY_ERROR_FORMAT, "a\nb\tc\x01 \xff d");
    assert_string_equal(error.message, "a b c  ? d");
    for (int shift = 0; shift < 4; shift++) { /* the cut falls at each byte of a character */
        char text[700];
        memset(text, 'x', (size_t)shift);
        for (size_t at = (size_t)shift; at + 4 < sizeof text; at += 4)
            memcpy(text + at, "\xf0\x9f\x98\x80", 5);
        (void)covey__fail(&error, COVEY_ERROR_FORMAT, "%s", text);
        size_t size = strlen(error.message);
        assert_true(size > COVEY_ERROR_MESSAGE_SIZE - 5);
        assert_true(covey__utf8_valid(error.message, size));
        assert_null(strchr(error.message, '?'));
    }
}

static void a_message_can_be_made_of_itself(void **state) {
    (void)state;
    covey_error error;
    (void)covey__fail(&error, COVEY_ERROR_IO, "inner");
    (void)covey__fail(&error, COVEY_ERROR_FORMAT, "outer (%s)", error.message);
    assert_string_equal(error.message, "outer (inner)");
}

static void prefixes_stack(void **state) {
    (void)state;
    covey_error error;
    covey_status status = covey__fail(&error, COVEY_ERROR_MISMATCH, "digest differs");
    status = covey__prefix(&error, status, "component \"%s\"", "model");
    status = covey__prefix(&error, status, "bundle");
    assert_int_equal(status, COVEY_ERROR_MISMATCH);
    assert_string_equal(error.message, "bundle: component \"model\": digest differs");
    covey_error silent = {COVEY_OK, 0, 0, 0, ""};
    assert_int_equal(covey__prefix(&silent, COVEY_ERROR_BUSY, "x"), COVEY_ERROR_BUSY);
    assert_string_equal(silent.message, "x: busy");
    assert_int_equal(covey__prefix(&silent, COVEY_OK, "y"), COVEY_OK);
    assert_string_equal(silent.message, "x: busy");
}

static void printable_is_bounded(void **state) {
    (void)state;
    char out[16];
    assert_string_equal(covey__printable("abc", 3, out, sizeof out), "abc");
    assert_string_equal(covey__printable("a\0b\n\x7f\xc3\x28", 7, out, sizeof out), "a?b??"
                                                                                    "?(");
    assert_string_equal(covey__printable("\xc2\x9b"
                                         "31m",
                                         5, out, sizeof out),
                        "?31m");
    assert_string_equal(covey__printable("123456789012345", 15, out, sizeof out),
                        "123456789012345");
    assert_string_equal(covey__printable("1234567890123456", 16, out, sizeof out),
                        "123456789012...");
    assert_string_equal(covey__printable("12345678901\xc3\xa9yz..", 17, out, sizeof out),
                        "12345678901...");
    assert_string_equal(covey__printable("", 0, out, sizeof out), "");
}

static void every_status_has_a_name(void **state) {
    (void)state;
    for (int i = COVEY_OK; i <= COVEY_ERROR_SIGNATURE; i++)
        assert_string_not_equal(covey_status_name((covey_status)i), "unknown");
    assert_string_equal(covey_status_name(COVEY_ERROR_NOT_FOUND), "not_found");
    assert_string_equal(covey_status_name(COVEY_ERROR_CONTEXT_SIZE), "context_size");
    assert_string_equal(covey_status_name(COVEY_ERROR_INTERNAL), "internal");
    assert_string_equal(covey_status_name((covey_status)24), "unknown");
    assert_string_equal(covey_status_name((covey_status)-1), "unknown");
    assert_string_equal(covey_version(), COVEY_VERSION);
}

static void utf8_sequences(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size, length;
    } cases[] = {
        {"a", 1, 1},
        {"\xc3\xa9", 2, 2},
        {"\xe4\xb8\xad", 3, 3},
        {"\xf0\x9f\x98\x80", 4, 4},
        {"\xf4\x8f\xbf\xbf", 4, 4}, /* U+10FFFF */
        {"", 0, 0},
        {"\xc3", 1, 0},     /* cut */
        {"\x80", 1, 0},     /* alone */
        {"\xc0\x80", 2, 0}, /* overlong */
        {"\xc1\xbf", 2, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0},
        {"\xed\xa0\x80", 3, 0}, /* surrogate */
        {"\xed\x9f\xbf", 3, 3},
        {"\xf4\x90\x80\x80", 4, 0}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", 4, 0},
        {"\xe4\xb8(", 3, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(covey__utf8_sequence(cases[i].text, cases[i].size), cases[i].length);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_fills_all),
        cmocka_unit_test(errno_decides_the_status),
        cmocka_unit_test(a_long_errno_message_keeps_its_end),
        cmocka_unit_test(messages_are_one_line_of_utf8),
        cmocka_unit_test(a_message_can_be_made_of_itself),
        cmocka_unit_test(prefixes_stack),
        cmocka_unit_test(printable_is_bounded),
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(utf8_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
