/* Lines from a terminal, with editing and history, that a signal can interrupt. */
#ifndef COVEY_APPS_LINE_EDITOR_H
#define COVEY_APPS_LINE_EDITOR_H

#include <stdbool.h>

/* Reads the history of `path` where there is one. NULL keeps none. */
void app_lines_begin(const char *path);
/* The next line in new memory, free it; NULL at the end (Ctrl-D), and when the process was asked to
 * end. Ctrl-C begins the line anew. Lines that are not blank join the history. */
char *app_lines_read(const char *prompt);
/* Writes the history, for its owner alone; false when it cannot. */
bool app_lines_end(const char *path);

#endif
