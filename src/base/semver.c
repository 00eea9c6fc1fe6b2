/* Semantic versions by semver.org 2.0.0: grammar (2, 9, 10) and precedence (11), and ranges made of
 * comparators. Numbers are compared as digit strings, so their length has no bound. In a range a
 * pre-release counts by precedence alone: 2.0.0-rc.1 is below 2.0.0. Pure functions. */
#include "base/semver.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_identifier_char(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static size_t digits_length(const char *text, size_t size) {
    size_t length = 0;
    while (length < size && is_digit(text[length])) length++;
    return length;
}

/* One number without leading zeros: its length, 0 if there is none. */
static size_t number_length(const char *text, size_t size) {
    size_t length = digits_length(text, size);
    return length > 1 && text[0] == '0' ? 0 : length;
}

static size_t identifier_length(const char *text, size_t size) {
    size_t length = 0;
    while (length < size && is_identifier_char(text[length])) length++;
    return length;
}

/* Dot-joined identifiers; in a pre-release a numeric one has no leading zeros. */
static bool identifiers_length(const char *text, size_t size, bool pre_release, size_t *length) {
    for (size_t at = 0;;) {
        size_t one = identifier_length(text + at, size - at);
        if (one == 0) return false;
        bool numeric = digits_length(text + at, one) == one;
        if (pre_release && numeric && one > 1 && text[at] == '0') return false;
        at += one;
        *length = at;
        if (at == size || text[at] != '.') return true;
        at++;
    }
}

static bool valid_span(const char *text, size_t size) {
    size_t at = 0, length;
    for (int part = 0; part < 3; part++) {
        length = number_length(text + at, size - at);
        if (length == 0) return false;
        at += length;
        if (part == 2) break;
        if (at == size || text[at] != '.') return false;
        at++;
    }
    if (at < size && text[at] == '-') {
        if (!identifiers_length(text + at + 1, size - at - 1, true, &length)) return false;
        at += 1 + length;
    }
    if (at < size && text[at] == '+') {
        if (!identifiers_length(text + at + 1, size - at - 1, false, &length)) return false;
        at += 1 + length;
    }
    return at == size;
}

bool covey__semver_valid(const char *text) {
    return text != NULL && valid_span(text, strlen(text));
}

static int sign(int value) {
    return (value > 0) - (value < 0);
}

static int compare_numbers(const char *a, size_t a_size, const char *b, size_t b_size) {
    if (a_size != b_size) return a_size < b_size ? -1 : 1;
    return sign(memcmp(a, b, a_size));
}

static int compare_identifiers(const char *a, size_t a_size, const char *b, size_t b_size) {
    bool a_numeric = digits_length(a, a_size) == a_size;
    bool b_numeric = digits_length(b, b_size) == b_size;
    if (a_numeric && b_numeric) return compare_numbers(a, a_size, b, b_size);
    if (a_numeric != b_numeric) return a_numeric ? -1 : 1;
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    if (order != 0) return sign(order);
    return a_size == b_size ? 0 : a_size < b_size ? -1 : 1;
}

/* Both point behind the '-'. A version with more identifiers is the higher one. */
static int compare_pre_releases(const char *a, size_t a_size, const char *b, size_t b_size) {
    for (;;) {
        size_t a_length = identifier_length(a, a_size), b_length = identifier_length(b, b_size);
        int order = compare_identifiers(a, a_length, b, b_length);
        if (order != 0) return order;
        bool a_more = a_length < a_size && a[a_length] == '.';
        bool b_more = b_length < b_size && b[b_length] == '.';
        if (!a_more || !b_more) return (int)a_more - (int)b_more;
        a += a_length + 1, a_size -= a_length + 1;
        b += b_length + 1, b_size -= b_length + 1;
    }
}

static int compare_spans(const char *a, size_t a_size, const char *b, size_t b_size) {
    for (int part = 0; part < 3; part++) {
        size_t a_length = digits_length(a, a_size), b_length = digits_length(b, b_size);
        int order = compare_numbers(a, a_length, b, b_length);
        if (order != 0) return order;
        size_t dot = part < 2 ? 1 : 0;
        a += a_length + dot, a_size -= a_length + dot;
        b += b_length + dot, b_size -= b_length + dot;
    }
    bool a_pre = a_size > 0 && a[0] == '-', b_pre = b_size > 0 && b[0] == '-';
    if (!a_pre || !b_pre) return (int)b_pre - (int)a_pre;
    return compare_pre_releases(a + 1, a_size - 1, b + 1, b_size - 1);
}

int covey__semver_compare(const char *a, const char *b) {
    assert(covey__semver_valid(a) && covey__semver_valid(b));
    return compare_spans(a, strlen(a), b, strlen(b));
}

/* The comparator at `*at`, which is moved behind it and the spaces after it. */
typedef struct comparator {
    bool below, equal, above; /* which outcomes of a comparison it accepts */
    const char *version;
    size_t size;
} comparator;

static bool next_comparator(const char **at, comparator *out) {
    const char *text = *at;
    *out = (comparator){text[0] == '<', text[0] == '=', text[0] == '>', NULL, 0};
    if (!out->below && !out->equal && !out->above) return false;
    text++;
    if (!out->equal && text[0] == '=') {
        out->equal = true;
        text++;
    }
    out->version = text;
    out->size = strcspn(text, " ");
    if (!valid_span(text, out->size)) return false;
    text += out->size;
    bool more = text[0] == ' ';
    text += strspn(text, " ");
    *at = text;
    return !more || text[0] != '\0';
}

bool covey__semver_range_valid(const char *range) {
    if (range == NULL || range[0] == '\0') return false;
    if (strcmp(range, "*") == 0) return true;
    comparator one;
    while (range[0] != '\0')
        if (!next_comparator(&range, &one)) return false;
    return true;
}

bool covey__semver_in_range(const char *version, const char *range) {
    if (!covey__semver_valid(version) || !covey__semver_range_valid(range)) return false;
    if (strcmp(range, "*") == 0) return true;
    comparator one;
    while (range[0] != '\0' && next_comparator(&range, &one)) {
        int order = compare_spans(version, strlen(version), one.version, one.size);
        if (!(order < 0 ? one.below : order > 0 ? one.above : one.equal)) return false;
    }
    return true;
}
