/* Text as a JSON string, for the programs' --json. */
#ifndef COVEY_APPS_JSON_TEXT_H
#define COVEY_APPS_JSON_TEXT_H

#include <stdio.h>

/* Writes `text` with its quotes. What is not UTF-8 becomes U+FFFD. */
void app_put_json_text(FILE *out, const char *text);

#endif
