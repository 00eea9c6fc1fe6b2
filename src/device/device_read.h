/* The device's facts, read from a root that stands for the system so that tests can play any
 * device. The public call is covey_device_read (covey/device.h). */
#ifndef COVEY_DEVICE_DEVICE_READ_H
#define COVEY_DEVICE_DEVICE_READ_H

#include <covey/device.h>

#include "base/env.h"

/* `root` NULL or "": this system. Otherwise ROOT/proc/meminfo, ROOT/proc/cpuinfo,
 * ROOT/proc/sys/kernel/osrelease, ROOT/proc/self/cgroup, ROOT/proc/net/route, ROOT/sys/… are read,
 * and cores, architecture and instruction set come from files as well where they are there
 * (ROOT/covey/cores, …/architecture, …/isa). Nothing that is absent is an error. */
covey_status covey__device_read_at(const covey__env *env, const char *root, const char *state_dir,
                                   const covey_signals *pushed, covey_device_facts *facts,
                                   covey_error *error) COVEY_MUST_USE;

/* The class by memory and instruction set, as device.h says. */
covey_device_class covey__device_classify(int64_t memory_total_bytes, const char *isa);

#endif
