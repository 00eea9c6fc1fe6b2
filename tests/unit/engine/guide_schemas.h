/* Random JSON Schemas over what guides support, for the tests that generate under them. */
#ifndef COVEY_TESTS_ENGINE_GUIDE_SCHEMAS_H
#define COVEY_TESTS_ENGINE_GUIDE_SCHEMAS_H

#include "synthetic.h"

#include <stdarg.h>

#define SCHEMA_MAX 20000

typedef struct writer {
    char text[SCHEMA_MAX];
    size_t size;
    uint64_t random;
    int definitions;
    bool all_formats; /* those too that guide_validator.h does not know */
} writer;

static inline uint32_t below(writer *w, uint32_t bound) {
    return next_random(&w->random) % bound;
}

static inline void say(writer *w, const char *format, ...) COVEY_PRINTF(2, 3);
static inline void say(writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int size = vsnprintf(w->text + w->size, SCHEMA_MAX - w->size, format, args);
    va_end(args);
    assert_true(size >= 0 && (size_t)size < SCHEMA_MAX - w->size);
    w->size += (size_t)size;
}

static void random_schema(writer *w, int depth);

static inline void random_number(writer *w) {
    bool integer = below(w, 2);
    say(w, "{\"type\":\"%s\"", integer ? "integer" : "number");
    int low = (int)below(w, 2000) - 1000, high = low + 2 + (int)below(w, 1500);
    if (below(w, 2))
        say(w, ",\"%s\":%d.%u", below(w, 2) ? "minimum" : "exclusiveMinimum", low, below(w, 100));
    if (below(w, 2))
        say(w, ",\"%s\":%d.%u", below(w, 2) ? "maximum" : "exclusiveMaximum", high, below(w, 100));
    if (!integer && below(w, 4) == 0) say(w, ",\"multipleOf\":0.01");
    say(w, "}");
}

static inline void random_string(writer *w) {
    static const char *const patterns[] = {"^[a-z]{2,5}$", "^(ab|cd)*e$",  "x+y?z", "^[^a-y]{3}",
                                           "[0-9]{2}$",    "^a[0-9]c$|^q", "^$"};
    static const char *const formats[] = {"date",  "uuid",     "ipv4", "time", "date-time",
                                          "email", "hostname", "ipv6", "uri",  "duration"};
    switch (below(w, 4)) {
    case 0:
        say(w, "{\"type\":\"string\"}");
        break;
    case 1:
        say(w, "{\"type\":\"string\",\"minLength\":%u", below(w, 4));
        if (below(w, 2)) say(w, ",\"maxLength\":%u", 4 + below(w, 300));
        say(w, "}");
        break;
    case 2:
        say(w, "{\"type\":\"string\",\"pattern\":\"%s\"}", patterns[below(w, 7)]);
        break;
    default:
        say(w, "{\"type\":\"string\",\"format\":\"%s\"}",
            formats[below(w, w->all_formats ? 10 : 4)]);
        break;
    }
}

static inline void random_array(writer *w, int depth) {
    uint32_t min = below(w, 3);
    say(w, "{\"type\":\"array\"");
    if (below(w, 3) == 0) {
        say(w, ",\"prefixItems\":[");
        random_schema(w, depth - 1);
        say(w, ",");
        random_schema(w, depth - 1);
        say(w, "]");
    }
    say(w, ",\"items\":");
    random_schema(w, depth - 1);
    if (below(w, 2)) say(w, ",\"minItems\":%u", min);
    if (below(w, 2)) say(w, ",\"maxItems\":%u", min + below(w, 5));
    say(w, "}");
}

static inline void random_object(writer *w, int depth) {
    uint32_t count = below(w, 5);
    say(w, "{\"type\":\"object\",\"properties\":{");
    for (uint32_t i = 0; i < count; i++) {
        say(w, "%s\"%s%u\":", i ? "," : "", below(w, 2) ? "key" : "\xc3\xa9\\\"", i);
        random_schema(w, depth - 1);
    }
    say(w, "}");
    if (count > 0 && below(w, 2)) say(w, ",\"required\":[\"key0\"]");
    switch (below(w, 4)) {
    case 0:
        say(w, ",\"additionalProperties\":false");
        break;
    case 1:
        say(w, ",\"additionalProperties\":true");
        break;
    case 2:
        say(w, ",\"additionalProperties\":");
        random_schema(w, depth - 1);
        break;
    default:
        break;
    }
    say(w, "}");
}

static void random_schema(writer *w, int depth) {
    switch (below(w, depth > 0 ? 12 : 6)) {
    case 0:
        random_number(w);
        break;
    case 1:
        random_string(w);
        break;
    case 2:
        say(w, "{\"enum\":[1,\"a\",null,[true],{\"k\":\"v\"}]}");
        break;
    case 3:
        say(w, "{\"type\":[\"null\",\"boolean\"]}");
        break;
    case 4:
        say(w, "{\"const\":\"const\\n%u\"}", below(w, 9));
        break;
    case 5:
        say(w, "{\"$ref\":\"#/$defs/d%u\"}", below(w, (uint32_t)w->definitions));
        break;
    case 6:
        say(w, "{\"anyOf\":[");
        random_schema(w, depth - 1);
        say(w, ",{\"type\":\"null\"}]}");
        break;
    case 7:
        say(w, "%s", below(w, 2) ? "true" : "{}");
        break;
    case 8:
        random_array(w, depth);
        break;
    default:
        random_object(w, depth);
        break;
    }
}

static inline void write_schema(writer *w, uint64_t seed) {
    w->size = 0;
    w->random = seed * 0x9E3779B97F4A7C15ull + 11;
    w->definitions = 3;
    say(w, "{\"$defs\":{");
    for (int i = 0; i < w->definitions; i++) {
        say(w, "%s\"d%d\":", i ? "," : "", i);
        random_schema(w, 2);
    }
    say(w, "},\"anyOf\":[");
    random_schema(w, 3);
    say(w, "]}");
}

#endif
