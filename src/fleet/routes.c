/* The API as a table (docs/api.md): method, path, who may ask, how long a body may be, who answers.
 *
 * Neighbours: http.c walks it; routes.h names the handlers.
 */
#include "fleet/routes.h"

#define KIB(n) ((size_t)(n) << 10)

const covey__route covey__routes[] = {
    /* For devices. */
    {"POST", "/v1/checkin", COVEY__AUTH_DEVICE, KIB(16), covey__api_checkin},
    {"POST", "/v1/reports", COVEY__AUTH_DEVICE, KIB(64), covey__api_reports},
    {"POST", "/v1/enroll", COVEY__AUTH_NONE, KIB(16), covey__api_enroll},
    {"GET", "/v1/blobs/sha256/*", COVEY__AUTH_NONE, 0, covey__api_blob_get},
    {"HEAD", "/v1/blobs/sha256/*", COVEY__AUTH_NONE, 0, covey__api_blob_get},
    {"GET", "/v1/metadata/*", COVEY__AUTH_NONE, 0, covey__api_metadata_get},
    {"GET", "/v1/targets/**", COVEY__AUTH_NONE, 0, covey__api_target_get},
    {"GET", "/v1/content-keys/*", COVEY__AUTH_DEVICE, 0, covey__api_content_key_get},
    /* For publishers and operators. */
    {"POST", "/v1/metadata", COVEY__AUTH_ADMIN, KIB(32768), covey__api_metadata_add},
    {"PUT", "/v1/blobs/sha256/*", COVEY__AUTH_ADMIN, COVEY__BLOB_BYTES_MAX, covey__api_blob_put},
    {"POST", "/v1/blobs/missing", COVEY__AUTH_ADMIN, KIB(512), covey__api_blobs_missing},
    {"GET", "/v1/releases", COVEY__AUTH_ADMIN, 0, covey__api_releases_list},
    {"POST", "/v1/releases", COVEY__AUTH_ADMIN, KIB(4), covey__api_release_add},
    {"GET", "/v1/rollouts", COVEY__AUTH_ADMIN, 0, covey__api_rollouts_list},
    {"POST", "/v1/rollouts", COVEY__AUTH_ADMIN, KIB(16), covey__api_rollout_add},
    {"GET", "/v1/rollouts/*", COVEY__AUTH_ADMIN, 0, covey__api_rollout_get},
    {"PATCH", "/v1/rollouts/*", COVEY__AUTH_ADMIN, KIB(16), covey__api_rollout_change},
    {"GET", "/v1/devices", COVEY__AUTH_ADMIN, 0, covey__api_devices_list},
    {"GET", "/v1/devices/*", COVEY__AUTH_ADMIN, 0, covey__api_device_get},
    {"DELETE", "/v1/devices/*", COVEY__AUTH_ADMIN, 0, covey__api_device_revoke},
    {"GET", "/v1/enroll-tokens", COVEY__AUTH_ADMIN, 0, covey__api_tokens_list},
    {"POST", "/v1/enroll-tokens", COVEY__AUTH_ADMIN, KIB(4), covey__api_token_add},
    {"GET", "/v1/content-keys", COVEY__AUTH_ADMIN, 0, covey__api_content_keys_list},
    {"POST", "/v1/content-keys", COVEY__AUTH_ADMIN, KIB(512), covey__api_content_keys_add},
    {"GET", "/v1/content-keys/*/devices", COVEY__AUTH_ADMIN, 0, covey__api_content_key_devices},
    /* For whoever watches the process. */
    {"GET", "/health", COVEY__AUTH_NONE, 0, covey__api_health},
    {"GET", "/metrics", COVEY__AUTH_NONE, 0, covey__api_metrics},
};

const size_t covey__route_count = sizeof(covey__routes) / sizeof(covey__routes[0]);
