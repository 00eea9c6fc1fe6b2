/* Small file matters of the programs: owner-only secrets, folders, whole reads, terminals. */
#ifndef COVEY_APPS_FILES_H
#define COVEY_APPS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The whole file or stream in new memory with a NUL behind it, at most `max` bytes; NULL with errno
 * set (EFBIG when it is larger). Free it with free(). */
char *app_read_file(const char *path, size_t max, size_t *size);
char *app_read_stream(FILE *stream, size_t max, size_t *size);
/* Its first line without the newline. For a secret: refused with EPERM when others may read the
 * file. */
char *app_read_secret(const char *path);
/* Creates parents too, owner-only. */
bool app_make_folder(const char *path);
/* Writes an owner-only file by temporary and rename. */
bool app_write_secret(const char *path, const char *text);
/* The same, but false with EEXIST where there is one already: of several processes one wins. */
bool app_create_secret(const char *path, const char *text);
/* What the library made owner-only gets the mode that the user's umask gives any new file: for what
 * was asked for by name, a file or a folder with all in it. */
void app_share(const char *path);
bool app_is_file(const char *path);
bool app_is_folder(const char *path);
/* "a/b" in new memory; NULL when there is none. */
char *app_join(const char *folder, const char *name);

#endif
