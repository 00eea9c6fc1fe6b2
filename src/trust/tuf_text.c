/* Quoted names, path patterns and hash bins of The Update Framework. All of it is pure and
 * works on NUL-terminated UTF-8 that was checked before. Neighbours: tuf_fetch.c
 * (URLs), tuf_store.c (local names), tuf_find.c (patterns and bins). */
#include "trust/tuf_text.h"
#include "base/sha256.h"

#include <stdio.h>
#include <string.h>

static bool alphanumeric(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static covey_status quote(covey__buffer *out, const char *text, const char *plain) {
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (alphanumeric(c) || strchr(plain, c) != NULL)
            (void)covey__buffer_byte(out, *at);
        else
            (void)covey__buffer_format(out, "%%%02X", c);
    }
    return out->status;
}

covey_status covey__tuf_quote_segment(covey__buffer *out, const char *text) {
    return quote(out, text, "-._~");
}

covey_status covey__tuf_quote_path(covey__buffer *out, const char *text) {
    return quote(out, text, "-._~/:@!$&'()*+,;=");
}

void covey__tuf_local_name(const char *name, char out[COVEY__TUF_LOCAL_SIZE]) {
    size_t used = 0;
    for (const char *at = name; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '_' ||
                     (c == '.' && at != name);
        if (used + 4 > COVEY__TUF_LOCAL_SIZE) {
            uint8_t digest[32];
            covey__sha256_of(name, strlen(name), digest);
            memcpy(out, "%_", 2);
            covey__hex(digest, sizeof digest, out + 2);
            return;
        }
        if (plain)
            out[used++] = *at;
        else
            used += (size_t)snprintf(out + used, COVEY__TUF_LOCAL_SIZE - used, "%%%02X", c);
    }
    out[used] = '\0';
}

/* The character at `*at`, which it moves on. */
static uint32_t next_character(const char **at) {
    const unsigned char *text = (const unsigned char *)*at;
    uint32_t c = text[0];
    int more = c < 0xc0 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (more > 0) c &= 0x3fu >> more;
    size_t used = 1;
    while (more-- > 0 && (text[used] & 0xc0) == 0x80) c = c << 6 | (text[used++] & 0x3fu);
    *at += used;
    return c;
}

/* What follows a '[': whether the set holds `c`, and where it ends. False from `*is_set` when it
 * has no ']' in this segment, so that the bracket stands for itself. */
static bool in_set(const char **pattern, uint32_t c, bool *is_set) {
    const char *at = *pattern;
    bool negated = *at == '!', found = false;
    if (negated) at++;
    bool first = true;
    while (first || *at != ']') {
        if (*at == '\0' || *at == '/') {
            *is_set = false;
            return false;
        }
        first = false;
        uint32_t low = next_character(&at), high = low;
        if (at[0] == '-' && at[1] != ']' && at[1] != '\0' && at[1] != '/') {
            at++;
            high = next_character(&at);
        }
        found = found || (low <= c && c <= high);
    }
    *pattern = at + 1;
    *is_set = true;
    return found != negated;
}

/* Matches one character of both; false when they differ or either segment ends. */
static bool one_matches(const char **pattern, const char **name) {
    if (**name == '\0' || **name == '/' || **pattern == '\0' || **pattern == '/') return false;
    const char *p = *pattern, *n = *name;
    uint32_t wanted = next_character(&p), found = next_character(&n);
    bool is_set = false, right = wanted == '?' || wanted == found;
    if (wanted == '[') {
        bool held = in_set(&p, found, &is_set);
        if (is_set) right = held;
    }
    if (!right) return false;
    *pattern = p;
    *name = n;
    return true;
}

bool covey__tuf_glob(const char *pattern, const char *name) {
    const char *star = NULL, *retry = NULL; /* of this segment */
    for (;;) {
        bool name_ends = *name == '\0' || *name == '/';
        bool pattern_ends = *pattern == '\0' || *pattern == '/';
        if (name_ends && pattern_ends) {
            if (*name != *pattern) return false;
            if (*name == '\0') return true;
            name++, pattern++;
            star = retry = NULL;
        } else if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (!one_matches(&pattern, &name)) {
            if (star == NULL || *retry == '\0' || *retry == '/') return false;
            (void)next_character(&retry);
            pattern = star;
            name = retry;
        }
    }
}

covey_status covey__tuf_bin_name(covey__buffer *out, const char *prefix, uint32_t bits,
                                 const char *target) {
    uint8_t digest[32];
    covey__sha256_of(target, strlen(target), digest);
    uint32_t top = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 |
                   (uint32_t)digest[2] << 8 | digest[3];
    int width = (int)(bits + 3) / 4;
    return covey__buffer_format(out, "%s-%0*lx", prefix, width,
                                (unsigned long)(top >> (32 - bits)));
}
