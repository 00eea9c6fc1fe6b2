/* TUF's root metadata from arbitrary bytes: refused with a message, or a document within its bounds
 * that can be verified, searched and let go of. */
#include "fuzz/tuf_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_tuf_document(COVEY__TUF_ROOT, data, size);
    return 0;
}
