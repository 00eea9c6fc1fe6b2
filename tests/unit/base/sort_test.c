/* The pointer sort: order, stability and hostile inputs, at every small size. */
#include "support/support.h"

#include "base/sort.h"

#include <stdlib.h>

typedef struct item {
    int key, place;
} item;

static size_t comparisons;

static int compare(const void *a, const void *b) {
    comparisons++;
    return ((const item *)a)->key - ((const item *)b)->key;
}

static void check(size_t count, int key_count, uint64_t *seed) {
    item *items = malloc((count + 1) * sizeof *items);
    const void **pointers = malloc((2 * count + 1) * sizeof *pointers);
    assert_true(items != NULL && pointers != NULL);
    for (size_t i = 0; i < count; i++) {
        items[i] = (item){(int)(test_random(seed) % (uint64_t)key_count), (int)i};
        pointers[i] = &items[i];
    }
    comparisons = 0;
    covey__sort_pointers(pointers, pointers + count, count, compare);
    size_t levels = 0;
    while ((size_t)1 << levels < count) levels++;
    assert_true(comparisons <= count * levels);
    for (size_t i = 1; i < count; i++) {
        const item *before = pointers[i - 1], *after = pointers[i];
        assert_true(before->key <= after->key);
        if (before->key == after->key) assert_true(before->place < after->place);
    }
    free(items);
    free(pointers);
}

static void sorts_and_keeps_the_order_of_equals(void **state) {
    (void)state;
    uint64_t seed = 3;
    for (size_t count = 0; count < 70; count++)
        for (int keys = 1; keys < 100; keys += 30) check(count, keys, &seed);
    check(10000, 1000, &seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sorts_and_keeps_the_order_of_equals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
