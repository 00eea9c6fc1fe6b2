/* The defaults of a runtime: what base may not know of, OpenSSL and libcurl, is filled in here. The
 * default transport keeps its connections open between exchanges, for an update is many small ones.
 */
#include "base/error.h"
#include "base/runtime.h"
#include "transport/transport_curl.h"
#include "trust/crypto.h"

#include <string.h>

#define IDLE_CONNECTIONS 4

static void close_pool(void *user) {
    covey__transport_pool_free(user);
}

covey_status covey_runtime_open(const covey_runtime_options *options, covey_runtime **runtime,
                                covey_error *error) {
    covey_runtime_options full = COVEY_RUNTIME_OPTIONS_INIT;
    covey__transport_pool *pool = NULL;
    if (options) memcpy(&full, options, options->size < sizeof full ? options->size : sizeof full);
    full.size = sizeof full;
    if (!full.crypto) full.crypto = covey__crypto_openssl();
    covey_status status = covey__runtime_new(&full, runtime, error);
    if (status || full.transport) return status;
    status =
        covey__transport_pool_new(covey__runtime_env(*runtime), IDLE_CONNECTIONS, &pool, error);
    if (status) {
        covey_runtime_close(*runtime);
        *runtime = NULL;
        return covey__prefix(error, status, "runtime");
    }
    covey__runtime_lend_transport(*runtime, covey__transport_pool_table(pool), close_pool, pool);
    return COVEY_OK;
}
