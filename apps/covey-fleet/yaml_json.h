/* Documents that people write, YAML or JSON, as JSON: what the library reads. */
#ifndef COVEY_APPS_YAML_JSON_H
#define COVEY_APPS_YAML_JSON_H

#include <stddef.h>

/* Reads the file (at most 1 MiB, "-" is standard input) and writes it as one JSON text in new
 * memory, to be freed with free(). NULL after `message` says what is wrong, with the line. Anchors,
 * tags and several documents are refused: one could not see from the text what they come to. */
char *app_yaml_to_json(const char *path, size_t *size, char *message, size_t capacity);

#endif
