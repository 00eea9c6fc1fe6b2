/* What the files of filters share. */
#ifndef COVEY_TEXT_TEMPLATE_FILTER_H
#define COVEY_TEXT_TEMPLATE_FILTER_H

#include "text/template_value.h"

typedef covey_status (*covey__filter_fn)(covey__render *render, covey__text name,
                                         const covey__value *value,
                                         const covey__arguments *arguments, covey__value *out);

/* NULL where the file has no such filter. */
covey__filter_fn covey__find_list_filter(covey__text name);
covey__filter_fn covey__find_text_filter(covey__text name);

/* `name` is that of the filter, for the error. */
covey_status covey__need_string(covey__render *render, covey__text name,
                                const covey__value *value) COVEY_MUST_USE;
covey_status covey__need_argument(covey__render *render, covey__text name,
                                  const covey__value *argument) COVEY_MUST_USE;
/* A new list of room for `count`. */
covey_status covey__new_list(covey__render *render, size_t count,
                             covey__value **items) COVEY_MUST_USE;

/* value.a.b.0 by a path "a.b.0", or value[n]: undefined where it leads nowhere. */
covey_status covey__value_path(covey__render *render, const covey__value *value,
                               const covey__value *path, covey__value *out) COVEY_MUST_USE;

#endif
