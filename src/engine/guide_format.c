/* The formats of JSON Schema that are supported, as patterns. Dates are those of the calendar, leap
 * years and all. Where a format is larger than what is sensible to generate (e-mail, URI, host
 * names), the pattern is a part of it: what it allows is valid. RFC 3339 (its appendix A for
 * durations), 5321, 1123, 4291, 3986, 9562. */
#include "engine/guide_schema.h"

#include <string.h>

#define LEAP "(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(?:\\d{4}-(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|"                                       \
    "\\d{4}-(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|"                                                  \
    "\\d{4}-02-(?:0[1-9]|1\\d|2[0-8])|" LEAP "-02-29)"
#define TIME                                                                                       \
    "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?"                                         \
    "(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define DAYS    "\\d{1,4}D"
#define MONTHS  "\\d{1,4}M(?:" DAYS ")?"
#define MINUTES "\\d{1,4}M(?:\\d{1,4}S)?"
#define CLOCK   "T(?:\\d{1,4}H(?:" MINUTES ")?|" MINUTES "|\\d{1,4}S)"
#define LABEL   "[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
#define HOST    LABEL "(?:\\." LABEL "){0,3}"
#define OCTET   "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define HEX4    "[0-9a-fA-F]{1,4}"
#define PCHAR   "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", "^" DATE "$"},
    {"time", "^" TIME "$"},
    {"date-time", "^" DATE "T" TIME "$"},
    {"duration",
     "^P(?:\\d{1,4}W|(?:" DAYS "|" MONTHS "|\\d{1,4}Y(?:" MONTHS ")?)(?:" CLOCK ")?|" CLOCK ")$"},
    {"email",
     "^[A-Za-z0-9_%+-]{1,30}(?:\\.[A-Za-z0-9_%+-]{1,15}){0,2}@" LABEL "(?:\\." LABEL "){1,3}$"},
    {"hostname", "^" HOST "$"},
    {"ipv4", "^" OCTET "(?:\\." OCTET "){3}$"},
    {"ipv6", "^(?:(?:" HEX4 ":){7}" HEX4 "|(?:" HEX4 ":){1,7}:|(?:" HEX4 ":){1,6}:" HEX4 "|(?:" HEX4
             ":){1,5}(?::" HEX4 "){1,2}|(?:" HEX4 ":){1,4}(?::" HEX4 "){1,3}|(?:" HEX4
             ":){1,3}(?::" HEX4 "){1,4}|(?:" HEX4 ":){1,2}(?::" HEX4 "){1,5}|" HEX4 ":(?::" HEX4
             "){1,6}|:(?::" HEX4 "){1,7}|::)$"},
    {"uri", "^[a-z][a-z0-9+.-]{1,15}://" HOST "(?::[1-9]\\d{0,4})?(?:/" PCHAR "*)*(?:\\?(?:" PCHAR
            "|[/?])*)?(?:#(?:" PCHAR "|[/?])*)?$"},
    {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"},
};

const char *covey__guide_format_of(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(formats[i].name, name)) return formats[i].pattern;
    return NULL;
}
