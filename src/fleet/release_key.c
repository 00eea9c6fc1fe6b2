/* Public keys in files: one line of hex, so that they can be read aloud and compared.
 *
 * Neighbours: trust/key_file.h has the private half.
 */
#include "fleet/release_key.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

covey_status covey__release_key_read(const covey__env *env, const char *path, uint8_t key[32],
                                     covey_error *error) {
    covey__buffer text;
    covey__buffer_init(&text, env, 4096);
    covey_status status = covey__file_read(env, path, &text, error);
    if (status == COVEY_OK) {
        size_t size = strcspn(text.data != NULL ? text.data : "", " \t\r\n");
        if (text.data == NULL || !covey__unhex(text.data, size, key, 32)) {
            status = covey__fail(error, COVEY_ERROR_FORMAT,
                                 "%s: expected 64 hex digits, a public key as `covey-fleet keys "
                                 "init` writes it to release.pub",
                                 path);
        }
    }
    covey__buffer_free(&text);
    return status;
}
