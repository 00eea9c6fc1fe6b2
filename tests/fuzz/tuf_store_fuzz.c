/* A store whose files hold arbitrary bytes: a refresh without a network falls back to the root that
 * came with the app or says why not, and never accepts what no key signed. The input is what
 * root.json, timestamp.json, snapshot.json and targets.json hold, a NUL between each. */
#include "fuzz/fuzz_target.h"

#include "base/file.h"
#include "base/runtime.h"
#include "trust/crypto.h"

#include <covey/tuf.h>

#include <string.h>
#include <unistd.h>

static covey_status no_network(void *user, const covey_http_request *request,
                               covey_http_response *response, covey_http_sink sink, void *sink_user,
                               covey_error *error) {
    (void)user;
    (void)request;
    (void)sink;
    (void)sink_user;
    response->status = 0;
    if (error != NULL) (void)snprintf(error->message, sizeof error->message, "no network");
    return COVEY_ERROR_NETWORK;
}

static void put(const char *folder, const char *name, const uint8_t *data, size_t size) {
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s.json", folder, name);
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(fwrite(data, 1, size, file) == size);
    FUZZ_CHECK(fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"root", "timestamp", "snapshot", "targets"};
    char folder[256];
    covey_runtime_options runtime_options = COVEY_RUNTIME_OPTIONS_INIT;
    covey_tuf_options options = COVEY_TUF_OPTIONS_INIT;
    covey_tuf_report report = COVEY_TUF_REPORT_INIT;
    covey_transport transport = {.size = sizeof transport, .fetch = no_network};
    covey_runtime *runtime = NULL;
    covey_tuf *tuf = NULL;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    runtime_options.crypto = covey__crypto_openssl();
    runtime_options.transport = &transport;
    FUZZ_CHECK(covey__runtime_new(&runtime_options, &runtime, NULL) == COVEY_OK);
    const char *parent = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.200s/covey-fuzz-store-%ld",
                   parent != NULL ? parent : "/tmp", (long)getpid());
    const covey__env *env = covey__runtime_env(runtime);
    FUZZ_CHECK(covey__folder_make(env, folder, NULL) == COVEY_OK);
    const uint8_t *at = data, *end = data + size;
    for (int i = 0; i < 4; i++) {
        const uint8_t *stop = i < 3 && at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
        size_t count = (size_t)((stop != NULL ? stop : end) - at);
        put(folder, names[i], at, count);
        at = stop != NULL ? stop + 1 : end;
    }
    options.store_dir = folder;
    options.metadata_url = "http://repository.test/";
    FUZZ_CHECK(covey_tuf_open(runtime, &options, &tuf, NULL) == COVEY_OK);
    covey_status status = covey_tuf_refresh(tuf, 0, &report, &error);
    FUZZ_CHECK(status != COVEY_OK); /* the timestamp cannot be asked for */
    FUZZ_CHECK(error.message[0] != '\0');
    covey_tuf_close(tuf);
    FUZZ_CHECK(covey__tree_remove(env, folder, NULL) == COVEY_OK);
    covey_runtime_close(runtime);
    return 0;
}
