/* The defaults of a runtime: what base may not know of, OpenSSL and libcurl, is filled in here. */
#include "base/runtime.h"
#include "transport/transport_curl.h"
#include "trust/crypto.h"

#include <string.h>

covey_status covey_runtime_open(const covey_runtime_options *options, covey_runtime **runtime,
                                covey_error *error) {
    covey_runtime_options full = COVEY_RUNTIME_OPTIONS_INIT;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    full.size = sizeof full;
    if (!full.crypto) full.crypto = covey__crypto_openssl();
    if (!full.transport) full.transport = covey__transport_curl();
    return covey__runtime_new(&full, runtime, error);
}
