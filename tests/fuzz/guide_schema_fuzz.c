/* JSON Schemas: whatever the text, it is refused with a message or compiled within bounds; then the
 * shortest answer, found by walking the automaton's own costs, is one that it allows, and each of
 * its beginnings is allowed too. */
#include "fuzz/guide_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    covey_guide_options options = COVEY_GUIDE_OPTIONS_INIT;
    covey_guide *guide = NULL;
    covey_error error = {COVEY_OK, 0, 0, 0, ""};
    if (size > 0 && (data[0] & 1)) options.spaces = COVEY_GUIDE_SPACES_NONE;
    covey_status status = covey_guide_new_json_schema(guide_fuzz_runtime(), (const char *)data,
                                                      size, &options, &guide, &error);
    guide_fuzz_check(status, guide, &error);
    return 0;
}
