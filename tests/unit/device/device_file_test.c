/* Reads of small system files: cut, bounded, and never blocking. */
#include "device_root.h"

#include "device/device_file.h"

#include <sys/stat.h>

static void text_is_cut_and_bounded(void **state) {
    device_root *root = *state;
    char text[8];
    root_put(root, "/a", "word \n\n");
    assert_true(covey__device_text(root->folder.path, "/a", text, sizeof text));
    assert_string_equal(text, "word");
    root_put(root, "/a", "a longer text");
    assert_true(covey__device_text(root->folder.path, "/a", text, sizeof text));
    assert_string_equal(text, "a longe");
    root_put(root, "/a", "\n");
    assert_false(covey__device_text(root->folder.path, "/a", text, sizeof text));
    assert_false(covey__device_text(root->folder.path, "/absent", text, sizeof text));
    assert_string_equal(text, "");
    assert_false(covey__device_text(root->folder.path, "", text, sizeof text)); /* a folder */
    assert_int_equal(mkfifo(test_path(&root->folder, "fifo"), 0600), 0);
    assert_false(covey__device_text(root->folder.path, "/fifo", text, sizeof text));
}

static void numbers(void **state) {
    device_root *root = *state;
    int64_t value = 5;
    root_put(root, "/n", "-12 and more\n");
    assert_true(covey__device_number(root->folder.path, "/n", &value));
    assert_int_equal(value, -12);
    root_put(root, "/n", "max");
    assert_false(covey__device_number(root->folder.path, "/n", &value));
    root_put(root, "/n", "99999999999999999999999");
    assert_false(covey__device_number(root->folder.path, "/n", &value));
    assert_int_equal(value, -12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_is_cut_and_bounded, root_set_up, root_tear_down),
        cmocka_unit_test_setup_teardown(numbers, root_set_up, root_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
