/* Text as a JSON string; see json_text.h. */
#include "common/json_text.h"

/* Bytes of the well-formed UTF-8 character at `at`, or 0 (Unicode 15, table 3-7). */
static int character(const unsigned char *at) {
    static const struct {
        unsigned char first, last, second_min, second_max;
        int size;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (*at < forms[i].first || *at > forms[i].last) continue;
        if (forms[i].size == 1) return 1;
        if (at[1] < forms[i].second_min || at[1] > forms[i].second_max) return 0;
        for (int k = 2; k < forms[i].size; k++)
            if (at[k] < 0x80 || at[k] > 0xbf) return 0;
        return forms[i].size;
    }
    return 0;
}

void app_put_json_text(FILE *out, const char *text) {
    putc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        int size = character(at);
        if (!size) {
            fputs("\xef\xbf\xbd", out); /* U+FFFD, as where a file's name is not UTF-8 */
            size = 1;
        } else if (*at == '"' || *at == '\\') {
            fprintf(out, "\\%c", *at);
        } else if (*at < 0x20) {
            fprintf(out, "\\u%04x", *at);
        } else {
            fwrite(at, 1, (size_t)size, out);
        }
        at += size;
    }
    putc('"', out);
}
