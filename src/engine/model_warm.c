/* Touching a model's pages before its first answer needs them. Reading through the map is what an
 * answer does, so that is what is done, a page at a time: where the file is cached, the pages
 * become this process's; where it is not, they are read, with the reader's priority. Steps are
 * small, since the caller may be a thread that must give way. */
#include "engine/engine.h"

#include "base/error.h"
#include "gguf/gguf.h"

#define WARM_PAGE ((size_t)4096)
#define WARM_STEP ((uint64_t)4 << 20)

uint64_t covey_model_warm(const covey_model *model, uint64_t bytes_max,
                          covey_model_goes_on_fn goes_on, void *user) {
    uint64_t touched = 0, asked = 0;
    if (covey__gguf_check_file(model->gguf, NULL)) return 0; /* it would fault */
    for (size_t i = 0; i < covey__gguf_tensor_count(model->gguf); i++) {
        const covey__gguf_tensor *tensor = covey__gguf_tensor_at(model->gguf, i);
        const volatile uint8_t *bytes = tensor->data;
        for (uint64_t at = 0; at < tensor->bytes; at += WARM_PAGE) {
            if (bytes_max && touched >= bytes_max) return touched;
            (void)bytes[at];
            touched += tensor->bytes - at < WARM_PAGE ? tensor->bytes - at : WARM_PAGE;
            if (touched - asked < WARM_STEP) continue;
            asked = touched;
            if ((goes_on && !goes_on(user)) || covey__gguf_check_file(model->gguf, NULL))
                return touched;
        }
    }
    return touched;
}
