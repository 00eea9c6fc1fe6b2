/* A stable merge sort of pointers: n log n steps whatever the input, so that a hostile file cannot
 * make it slow, with scratch from the caller. */
#ifndef COVEY_BASE_SORT_H
#define COVEY_BASE_SORT_H

#include <stddef.h>

/* Below, equal, above: negative, 0, positive. */
typedef int (*covey__compare_fn)(const void *a, const void *b);

/* Sorts `items`; `scratch` holds `count` pointers too. */
void covey__sort_pointers(const void **items, const void **scratch, size_t count,
                          covey__compare_fn compare);

#endif
