/* GBNF: whatever the text, it is refused with a message or compiled within bounds; then the
 * shortest answer is one that the grammar allows. */
#include "fuzz/guide_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey_guide *guide = NULL;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    covey_status status =
        covey_guide_new_gbnf(guide_fuzz_runtime(), (const char *)data, size, NULL, &guide, &error);
    guide_fuzz_check(status, guide, &error);
    return 0;
}
