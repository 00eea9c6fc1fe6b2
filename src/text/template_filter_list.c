/* Filters that order and group lists: sort, dictsort, unique, groupby, min, max, sum, batch, slice.
 * Keys are taken and checked once, so that sorting itself cannot fail: all are numbers or all are
 * strings, which count without their case unless asked otherwise. */
#include "text/template_filter.h"

#include "base/sort.h"
#include <string.h>

typedef struct keyed {
    covey__value key;
    const covey__value *item;
} keyed;

typedef struct key_options {
    const covey__value *attribute; /* NULL: the items themselves */
    bool case_sensitive;
    bool reverse;
} key_options;

covey_status covey__value_path(covey__render *r, const covey__value *value,
                               const covey__value *path, covey__value *out) {
    *out = *value;
    if (path->kind == COVEY__VALUE_INTEGER) {
        return covey__value_item(r, value, path, out);
    }
    COVEY__TRY(covey__need_string(r, (covey__text){"attribute", 9}, path));
    const char *data = path->as.string.data;
    for (size_t from = 0, size = path->as.string.size; from <= size;) {
        size_t to = from;
        bool digits = true;
        for (; to < size && data[to] != '.'; to++) {
            digits = digits && data[to] >= '0' && data[to] <= '9';
        }
        covey__value part, of = *out;
        COVEY__TRY(covey__string_slice(r, path, from, to, &part));
        if (digits && to > from && to - from < 10 && of.kind == COVEY__VALUE_LIST) {
            part = covey__value_integer(0);
            for (size_t i = from; i < to; i++) {
                part.as.integer = part.as.integer * 10 + (data[i] - '0');
            }
        }
        COVEY__TRY(covey__value_item(r, &of, &part, out));
        from = to + 1;
    }
    return COVEY_OK;
}

/* The keys of all items, each comparable with each. */
static covey_status take_keys(covey__render *r, const covey__value *items, size_t count,
                              const key_options *options, keyed **out) {
    keyed *keys = covey__render_alloc(r, count + 1, sizeof *keys);
    if (!keys) {
        return covey__render_no_memory(r);
    }
    COVEY__TRY(covey__render_step(r, count * sizeof *keys));
    for (size_t i = 0; i < count; i++) {
        keyed *one = &keys[i];
        one->item = &items[i];
        one->key = items[i];
        if (options->attribute) {
            COVEY__TRY(covey__value_path(r, &items[i], options->attribute, &one->key));
        }
        bool string = covey__is_string(&one->key);
        if (!(string || covey__is_number(&one->key)) ||
            (i > 0 && string != covey__is_string(&keys[0].key))) {
            return covey__render_fail(r, "%s and %s cannot be put in order",
                                      covey__value_kind_name(&keys[0].key),
                                      covey__value_kind_name(&one->key));
        }
        if (string && !options->case_sensitive) {
            COVEY__TRY(covey__string_case_of(r, &one->key, COVEY__CASE_LOWER, &one->key));
        }
    }
    *out = keys;
    return COVEY_OK;
}

static int compare_keys(const void *a, const void *b) {
    return covey__value_order(&((const keyed *)a)->key, &((const keyed *)b)->key);
}

static int compare_keys_back(const void *a, const void *b) {
    return compare_keys(b, a);
}

/* The items by their keys, in an array of pointers to what take_keys made. */
static covey_status sort_items(covey__render *r, const covey__value *items, size_t count,
                               const key_options *options, const keyed ***out) {
    keyed *keys;
    COVEY__TRY(take_keys(r, items, count, options, &keys));
    const void **order = covey__render_alloc(r, 2 * count + 1, sizeof *order);
    if (!order) {
        return covey__render_no_memory(r);
    }
    size_t work = count;
    for (size_t i = 0; i < count; i++) {
        order[i] = &keys[i];
        work += covey__is_string(&keys[i].key) ? keys[i].key.as.string.size : 0;
    }
    COVEY__TRY(covey__render_step(r, 32 * work)); /* n log n, with texts compared to their ends */
    covey__sort_pointers(order, order + count, count,
                         options->reverse ? compare_keys_back : compare_keys);
    *out = (const keyed **)order;
    return COVEY_OK;
}

static bool flag_of(const covey__arguments *arguments, size_t index, const char *name) {
    const covey__value *flag = covey__argument(arguments, index, name);
    return flag && covey__value_is_true(flag);
}

static const covey__value *attribute_of(const covey__arguments *arguments, size_t index) {
    const covey__value *attribute = covey__argument(arguments, index, "attribute");
    return attribute && attribute->kind != COVEY__VALUE_NONE ? attribute : NULL;
}

static covey_status filter_sort(covey__render *r, covey__text name, const covey__value *value,
                                const covey__arguments *arguments, covey__value *out) {
    key_options options = {attribute_of(arguments, 2), flag_of(arguments, 1, "case_sensitive"),
                           flag_of(arguments, 0, "reverse")};
    const covey__value *items;
    const keyed **order;
    covey__value *sorted;
    size_t count;
    (void)name;
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    COVEY__TRY(sort_items(r, items, count, &options, &order));
    COVEY__TRY(covey__new_list(r, count, &sorted));
    for (size_t i = 0; i < count; i++) {
        sorted[i] = *order[i]->item;
    }
    *out = covey__value_list(sorted, count);
    return COVEY_OK;
}

static covey_status filter_dictsort(covey__render *r, covey__text name, const covey__value *value,
                                    const covey__arguments *arguments, covey__value *out) {
    const covey__value *by = covey__argument(arguments, 1, "by");
    bool by_value =
        by && covey__is_string(by) && by->as.string.size > 0 && by->as.string.data[0] == 'v';
    covey__value index = covey__value_integer(by_value), pairs;
    covey__arguments none = {.count = 0}, sorting = {.count = 3, .positional_count = 3};
    (void)name;
    COVEY__TRY(covey__apply_filter(r, (covey__text){"items", 5}, value, &none, &pairs));
    sorting.values[0] = covey__value_bool(flag_of(arguments, 2, "reverse"));
    sorting.values[1] = covey__value_bool(flag_of(arguments, 0, "case_sensitive"));
    sorting.values[2] = index;
    return filter_sort(r, name, &pairs, &sorting, out);
}

static covey_status filter_extreme(covey__render *r, covey__text name, const covey__value *value,
                                   const covey__arguments *arguments, covey__value *out) {
    key_options options = {attribute_of(arguments, 1), flag_of(arguments, 0, "case_sensitive"),
                           false};
    const covey__value *items;
    keyed *keys, *best;
    size_t count;
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    COVEY__TRY(take_keys(r, items, count, &options, &keys));
    *out = covey__value_undefined();
    best = keys;
    for (size_t i = 1; i < count; i++) {
        int order = covey__value_order(&keys[i].key, &best->key);
        best = covey__text_is(name, "max") ? (order > 0 ? &keys[i] : best)
                                           : (order < 0 ? &keys[i] : best);
    }
    if (count > 0) {
        *out = *best->item;
    }
    return COVEY_OK;
}

static covey_status filter_unique(covey__render *r, covey__text name, const covey__value *value,
                                  const covey__arguments *arguments, covey__value *out) {
    const covey__value *attribute = attribute_of(arguments, 1), *items;
    bool case_sensitive = flag_of(arguments, 0, "case_sensitive");
    covey__value *kept, *keys;
    size_t count, used = 0;
    (void)name;
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    COVEY__TRY(covey__new_list(r, count, &kept));
    COVEY__TRY(covey__new_list(r, count, &keys));
    for (size_t i = 0; i < count; i++) {
        covey__value key = items[i];
        bool seen = false;
        if (attribute) {
            COVEY__TRY(covey__value_path(r, &items[i], attribute, &key));
        }
        if (covey__is_string(&key) && !case_sensitive) {
            COVEY__TRY(covey__string_case_of(r, &key, COVEY__CASE_LOWER, &key));
        }
        for (size_t j = 0; j < used && !seen; j++) {
            COVEY__TRY(covey__render_step(r, 0));
            COVEY__TRY(covey__value_equal(r, &keys[j], &key, &seen));
        }
        if (!seen) {
            keys[used] = key;
            kept[used++] = items[i];
        }
    }
    *out = covey__value_list(kept, used);
    return COVEY_OK;
}

/* [(key, items)], by key, each group in the order that its items had. */
static covey_status filter_groupby(covey__render *r, covey__text name, const covey__value *value,
                                   const covey__arguments *arguments, covey__value *out) {
    key_options options = {covey__argument(arguments, 0, "attribute"),
                           flag_of(arguments, 2, "case_sensitive"), false};
    const covey__value *items;
    const keyed **order;
    covey__value *groups;
    size_t count, used = 0;
    COVEY__TRY(covey__need_argument(r, name, options.attribute));
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    COVEY__TRY(sort_items(r, items, count, &options, &order));
    COVEY__TRY(covey__new_list(r, count, &groups));
    for (size_t from = 0, to; from < count; from = to) {
        covey__value *pair, *members;
        for (to = from + 1; to < count && compare_keys(order[from], order[to]) == 0; to++) {
        }
        COVEY__TRY(covey__new_list(r, 2, &pair));
        COVEY__TRY(covey__new_list(r, to - from, &members));
        for (size_t i = from; i < to; i++) {
            members[i - from] = *order[i]->item;
        }
        COVEY__TRY(covey__value_path(r, order[from]->item, options.attribute, &pair[0]));
        pair[1] = covey__value_list(members, to - from);
        groups[used++] = covey__value_tuple(pair, 2);
    }
    *out = covey__value_list(groups, used);
    return COVEY_OK;
}

static covey_status filter_sum(covey__render *r, covey__text name, const covey__value *value,
                               const covey__arguments *arguments, covey__value *out) {
    const covey__value *attribute = attribute_of(arguments, 0), *items;
    const covey__value *start = covey__argument(arguments, 1, "start");
    size_t count;
    (void)name;
    *out = start ? *start : covey__value_integer(0);
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    for (size_t i = 0; i < count; i++) {
        covey__value one = items[i], sum = *out;
        if (attribute) {
            COVEY__TRY(covey__value_path(r, &items[i], attribute, &one));
        }
        COVEY__TRY(covey__apply_operator(r, (covey__text){"+", 1}, &sum, &one, out));
    }
    return COVEY_OK;
}

/* batch(n): lists of n. slice(n): n lists, the first ones longer where it does not come out even.
 */
static covey_status filter_parts(covey__render *r, covey__text name, const covey__value *value,
                                 const covey__arguments *arguments, covey__value *out) {
    bool batch = covey__text_is(name, "batch");
    const covey__value *wanted = covey__argument(arguments, 0, batch ? "linecount" : "slices");
    const covey__value *fill = covey__argument(arguments, 1, "fill_with"), *items;
    size_t count;
    COVEY__TRY(covey__need_argument(r, name, wanted));
    COVEY__TRY(covey__value_items(r, value, &items, &count));
    if (wanted->kind != COVEY__VALUE_INTEGER || wanted->as.integer < 1 ||
        wanted->as.integer > 100000) {
        return covey__render_fail(r, "\"%.*s\" takes 1 to 100000", (int)name.size, name.data);
    }
    size_t n = (size_t)wanted->as.integer, parts = batch ? (count + n - 1) / n : n, at = 0;
    bool fills = fill && fill->kind != COVEY__VALUE_NONE;
    covey__value *lists;
    COVEY__TRY(covey__new_list(r, parts, &lists));
    for (size_t i = 0; i < parts; i++) {
        size_t want = batch ? n : count / n + (i < count % n);
        size_t size = want < count - at ? want : count - at;
        bool padded = fills && (batch ? size < n : i >= count % n);
        lists[i] = covey__value_list(items + at, size);
        at += size;
        if (padded) {
            covey__value *full;
            size_t full_size = batch ? n : size + 1;
            COVEY__TRY(covey__new_list(r, full_size, &full));
            for (size_t k = 0; k < full_size; k++) {
                full[k] = k < size ? lists[i].as.list.items[k] : *fill;
            }
            lists[i] = covey__value_list(full, full_size);
        }
    }
    *out = covey__value_list(lists, parts);
    return COVEY_OK;
}

covey__filter_fn covey__find_list_filter(covey__text name) {
    static const struct {
        const char *name;
        covey__filter_fn apply;
    } filters[] = {
        {"sort", filter_sort},   {"dictsort", filter_dictsort}, {"min", filter_extreme},
        {"max", filter_extreme}, {"unique", filter_unique},     {"groupby", filter_groupby},
        {"sum", filter_sum},     {"batch", filter_parts},       {"slice", filter_parts}};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        if (covey__text_is(name, filters[i].name)) {
            return filters[i].apply;
        }
    }
    return NULL;
}
