/* The libcurl maker of covey_transport (include/covey/runtime.h). */
#ifndef COVEY_TRANSPORT_TRANSPORT_CURL_H
#define COVEY_TRANSPORT_TRANSPORT_CURL_H

#include "base/env.h"

/* The default transport: static, without state, for any thread. Each exchange opens a connection
 * of its own. Any method goes ("HEAD", "PUT", "PATCH" and "DELETE" too). */
const covey_transport *covey__transport_curl(void);

/* The same with connections kept open between exchanges, at most `idle_max` of them. `fetch` of the
 * table may be called from any thread until the pool is freed. */
typedef struct covey__transport_pool covey__transport_pool;
covey_status covey__transport_pool_new(const covey__env *env, size_t idle_max,
                                       covey__transport_pool **pool,
                                       covey_error *error) COVEY_MUST_USE;
void covey__transport_pool_free(covey__transport_pool *pool);
const covey_transport *covey__transport_pool_table(const covey__transport_pool *pool);

#endif
