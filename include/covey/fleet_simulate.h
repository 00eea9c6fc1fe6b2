/* Fleets that are only computed, so that a team can choose before it ships: what updates would
 * cost (docs/simulate.md). Nothing here needs a server, a key or a network. Same documents, same
 * answer. This header is for programs that link the fleet's static library. */
#ifndef COVEY_FLEET_SIMULATE_H
#define COVEY_FLEET_SIMULATE_H

#include <covey/fleet.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One JSON document of settings, as docs/simulate.md names them; all have defaults. `name` is said
 * in errors ("scenario.yaml"). Frozen: it stands in arrays. */
typedef struct covey_fleet_scenario {
    const char *name;
    const char *json;
    size_t size;
} covey_fleet_scenario;

/* Brings a fleet from release to release under each policy of patches, and gives bytes served,
 * storage, patches to make and days to adoption as `*text`: tables, or one JSON document. A later
 * scenario replaces the settings that it names; `count` may be 0. The runtime's threads share the
 * policies; each takes 40 bytes of memory a device and up to 40 MiB, and seconds for a million
 * devices. INVALID_ARGUMENT names the setting that is wrong, FORMAT what is no JSON. Free the text
 * with covey_fleet_simulated_free. */
COVEY_API COVEY_MUST_USE covey_status covey_fleet_simulate_updates(
    covey_runtime *runtime, const covey_fleet_scenario *scenarios, size_t count,
    covey_fleet_format format, char **text, covey_error *error);

/* NULL is allowed. */
COVEY_API void covey_fleet_simulated_free(covey_runtime *runtime, char *text);

#ifdef __cplusplus
}
#endif
#endif
