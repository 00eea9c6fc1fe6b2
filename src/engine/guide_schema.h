/* What the files that compile JSON Schema share: trees for the text of JSON values. */
#ifndef COVEY_ENGINE_GUIDE_SCHEMA_H
#define COVEY_ENGINE_GUIDE_SCHEMA_H

#include "base/json.h"
#include "engine/guide.h"

/* ---- Strings (guide_pattern.c, guide_format.c) ---- */

/* A part of a string's content as JSON writes it, and how many characters it stands for. */
typedef struct covey__guide_pattern {
    covey__guide_node *node;
    uint32_t min, max;           /* max may be COVEY__GUIDE_NO_END */
    covey__guide_node *variable; /* the one part whose length is not fixed, a repeat of single
                                    characters, where there is such a one: its counts may be
                                    narrowed */
} covey__guide_pattern;

/* An ECMA-262 regular expression of the stated subset, found anywhere in the string unless it is
 * anchored. Refuses with `where` in front. */
covey__guide_pattern covey__guide_pattern_of(covey__guide_builder *builder, const char *pattern,
                                             size_t size, const char *where);
/* The pattern of a format; NULL for one that is not known. */
const char *covey__guide_format_of(const char *name);
/* The known ones, for a message. */
#define COVEY__GUIDE_FORMATS                                                                       \
    "date, time, date-time, duration, email, hostname, ipv4, ipv6, uri and uuid"
/* One character of a set as JSON writes it: plainly, or by its shortest escape. */
covey__guide_node *covey__guide_json_char(covey__guide_builder *builder, covey__guide_set set);
/* Any character of a JSON string, in any way of writing it. */
covey__guide_node *covey__guide_any_char(covey__guide_builder *builder);

/* ---- Names of members (guide_schema_names.c) ---- */

/* A name in quotes, with JSON's escapes. */
covey__guide_node *covey__guide_json_name(covey__guide_builder *builder, const char *name,
                                          size_t size);
/* Between the quotes: any name but those given, of characters `name_char`, none of them escaped.
 * Refuses with `where` in front. */
covey__guide_node *covey__guide_other_name(covey__guide_builder *builder, const covey__text *given,
                                           size_t given_count, covey__guide_node *name_char,
                                           const char *where);

/* ---- Numbers (guide_number.c) ---- */

#define COVEY__GUIDE_DIGITS_MAX 64

/* A decimal: 0.25 is {false, "0", "25"}. */
typedef struct covey__guide_decimal {
    bool negative;
    char whole[COVEY__GUIDE_DIGITS_MAX + 1];    /* no zeros in front; "0" */
    char fraction[COVEY__GUIDE_DIGITS_MAX + 1]; /* no zeros behind; may be "" */
} covey__guide_decimal;

typedef struct covey__guide_bounds {
    bool has_low, has_high, low_open, high_open; /* open: the bound itself is out */
    covey__guide_decimal low, high;
    bool has_step;
    covey__guide_decimal step; /* multipleOf */
} covey__guide_bounds;

/* The number as it is written; false when it has more digits than are kept. */
bool covey__guide_decimal_of(const char *text, covey__guide_decimal *out);
int covey__guide_decimal_compare(const covey__guide_decimal *a, const covey__guide_decimal *b);
/* Refuses with `where` in front. */
covey__guide_node *covey__guide_integer(covey__guide_builder *builder,
                                        const covey__guide_bounds *bounds, const char *where);
covey__guide_node *covey__guide_real(covey__guide_builder *builder,
                                     const covey__guide_bounds *bounds, const char *where);

/* ---- Schemas (guide_schema.c, guide_schema_check.c) ---- */

enum {
    COVEY__SCHEMA_NULL = 1,
    COVEY__SCHEMA_BOOLEAN = 2,
    COVEY__SCHEMA_INTEGER = 4,
    COVEY__SCHEMA_REAL = 8, /* "number" is both */
    COVEY__SCHEMA_NUMBER = 12,
    COVEY__SCHEMA_STRING = 16,
    COVEY__SCHEMA_ARRAY = 32,
    COVEY__SCHEMA_OBJECT = 64,
    COVEY__SCHEMA_ALL = 127
};

/* Looks at every keyword of a schema: refuses what is not supported, or stands beside what it may
 * not stand beside, by name and place. */
bool covey__schema_check(covey__guide_builder *builder, const covey__json *schema,
                         const char *where);
/* The types that it allows, by `type`, or by the keywords it has where it has none; 0 on failure.
 */
unsigned covey__schema_types(covey__guide_builder *builder, const covey__json *schema,
                             const char *where);
/* The type of a value; a number without a fraction is COVEY__SCHEMA_INTEGER, one with too many
 * digits may be either. */
unsigned covey__schema_type_of(const covey__json *value);
/* What a local reference points to; NULL refuses. */
const covey__json *covey__schema_resolve(covey__guide_builder *builder, const covey__json *root,
                                         const covey__json *reference, const char *where);
/* Whether no value satisfies both, as far as can be shown. `*work` counts comparisons, which are
 * bounded. */
bool covey__schema_disjoint(const covey__json *root, const covey__json *a, const covey__json *b,
                            uint32_t *work);
/* One schema for all of a list: of objects that have properties and required members alone. NULL
 * refuses. */
const covey__json *covey__schema_join(covey__guide_builder *builder, const covey__json *root,
                                      const covey__json *list, const char *where);
bool covey__schema_equal(const covey__json *a, const covey__json *b);

#endif
