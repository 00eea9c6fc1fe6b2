/* Small system files under a root that stands for the system. What is absent or odd is no error:
 * the fact then stays unknown. */
#ifndef COVEY_DEVICE_DEVICE_FILE_H
#define COVEY_DEVICE_DEVICE_FILE_H

#include <covey/device.h>

#include "base/env.h"

/* The first `capacity - 1` bytes of ROOT/PATH with trailing white space cut; false when there is no
 * such file. `root` is "" for the system itself. */
bool covey__device_text(const char *root, const char *path, char *out, size_t capacity);
/* The decimal integer that the file begins with. */
bool covey__device_number(const char *root, const char *path, int64_t *out);

/* What the parts of device_read.c fill in. */
void covey__device_memory(const char *root, covey_device_facts *facts);
int32_t covey__device_cores(const char *root);
void covey__device_power(const covey__env *env, const char *root, covey_device_facts *facts);
void covey__device_thermal(const covey__env *env, const char *root, covey_device_facts *facts);
void covey__device_network(const char *root, covey_device_facts *facts);

#endif
