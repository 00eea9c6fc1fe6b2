/* The merge sort of sort.h, bottom up: runs of 1, 2, 4 … are merged from one array into the other.
 * Used for names in folders, members of JSON objects and keys of GGUF files. */
#include "base/sort.h"

#include <string.h>

static void merge(const void **out, const void *const *left, size_t left_count,
                  const void *const *right, size_t right_count, covey__compare_fn compare) {
    while (left_count > 0 && right_count > 0) {
        if (compare(*left, *right) <= 0) { /* equal ones keep their order */
            *out++ = *left++;
            left_count--;
        } else {
            *out++ = *right++;
            right_count--;
        }
    }
    while (left_count-- > 0) *out++ = *left++;
    while (right_count-- > 0) *out++ = *right++;
}

void covey__sort_pointers(const void **items, const void **scratch, size_t count,
                          covey__compare_fn compare) {
    const void **from = items, **to = scratch;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t at = 0; at < count;) {
            size_t left = count - at < width ? count - at : width;
            size_t right = count - at - left < width ? count - at - left : width;
            merge(to + at, from + at, left, from + at + left, right, compare);
            at += left + right;
        }
        const void **swap = from;
        from = to;
        to = swap;
    }
    if (from != items) memcpy(items, from, count * sizeof *items);
}
