/* The defaults of a runtime in programs of the fleet: what base may not know of, OpenSSL and
 * libcurl, is filled in here. (libcovey has its own, over more layers: src/library.)
 *
 * Neighbours: base/runtime.h.
 */
#include <covey/fleet.h>

#include <string.h>

#include "base/runtime.h"
#include "transport/transport_curl.h"
#include "trust/crypto_openssl.h"

covey_status covey_fleet_runtime_open(const covey_runtime_options *options, covey_runtime **runtime,
                                      covey_error *error) {
    covey_runtime_options full = COVEY_RUNTIME_OPTIONS_INIT;
    if (options != NULL) {
        memcpy(&full, options, options->size < sizeof(full) ? options->size : sizeof(full));
    }
    full.size = sizeof(full);
    if (full.crypto == NULL) full.crypto = covey__crypto_openssl();
    if (full.transport == NULL) full.transport = covey__transport_curl();
    return covey__runtime_new(&full, runtime, error);
}
