/* The chat template as a component of its own: it must be the one that the model carries, since
 * that is the one that answers. */
#ifndef COVEY_BUNDLE_MODEL_TEMPLATE_H
#define COVEY_BUNDLE_MODEL_TEMPLATE_H

#include "bundle/manifest.h"

/* OK when there is no template component, or the model's tokenizer.chat_template has its bytes. */
covey_status covey__template_check(const covey__env *env, const covey__manifest *manifest,
                                   const char *folder, covey_error *error) COVEY_MUST_USE;

/* Copies a GGUF from `from` to `to` with `text` as its chat template; everything else stays. */
covey_status covey__template_set(const covey__env *env, const char *from, const char *to,
                                 const char *text, size_t size, covey_error *error) COVEY_MUST_USE;

#endif
