/* The store's schema as numbered migrations, forward only. */
#ifndef COVEY_FLEET_STORE_SCHEMA_H
#define COVEY_FLEET_STORE_SCHEMA_H

#include <stddef.h>

/* covey__migrations[n] brings schema n to n + 1 (PRAGMA user_version holds the number). A migration
 * that was released is never edited; the next one is appended. */
extern const char *const covey__migrations[];
extern const size_t covey__migration_count;

#endif
