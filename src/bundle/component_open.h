/* A component's plain bytes, whether its file holds them or their encryption. */
#ifndef COVEY_BUNDLE_COMPONENT_OPEN_H
#define COVEY_BUNDLE_COMPONENT_OPEN_H

#include "base/file.h"
#include "bundle/manifest.h"
#include "trust/envelope.h"

/* The content key by its id: one that was given to the ensemble, else the runtime's keystore's.
 * DENIED when there is none. The caller wipes it. */
covey_status covey__ensemble_content_key(const covey_ensemble *ensemble, const uint8_t id[16],
                                         covey__content_key *key,
                                         covey_error *error) COVEY_MUST_USE;
/* Its name in a keystore: "content_key." and the id in hex. */
#define COVEY__CONTENT_KEY_NAME_SIZE 45
void covey__content_key_name(const uint8_t id[16], char name[COVEY__CONTENT_KEY_NAME_SIZE]);

/* The plain bytes: a map of the file, or, of an encrypted one, memory of our own that is in no core
 * dump. MISMATCH when an encrypted file is not what the manifest says. */
covey_status covey__component_map(const covey_ensemble *ensemble, const covey__component *component,
                                  covey__map *map, covey_error *error) COVEY_MUST_USE;

#endif
