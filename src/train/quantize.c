/* Weight types by name. */
#include <strings.h>

#include "base/error.h"
#include <covey/train.h>

covey_status covey_weight_type_parse(const char *name, covey_weight_type *type,
                                     covey_error *error) {
    static const struct {
        const char *name;
        covey_weight_type type;
    } all[] = {{"F32", COVEY_WEIGHT_F32},
               {"F16", COVEY_WEIGHT_F16},
               {"Q8_0", COVEY_WEIGHT_Q8_0},
               {"Q4_0", COVEY_WEIGHT_Q4_0}};
    for (size_t i = 0; name && i < sizeof all / sizeof all[0]; i++)
        if (strcasecmp(name, all[i].name) == 0) {
            *type = all[i].type;
            return COVEY_OK;
        }
    return covey__fail(error, COVEY_ERROR_UNSUPPORTED,
                       "quantize: type \"%s\" is not here, only F32, F16, Q8_0 and Q4_0",
                       name ? name : "");
}
