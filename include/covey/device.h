/* What this device is and can sustain now. */
#ifndef COVEY_DEVICE_H
#define COVEY_DEVICE_H

#include <covey/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A tier by what a device can sustain. Half of the memory that it has counts as being for models;
 * memory that is free at the moment does not move a device between tiers. */
typedef enum covey_device_class {
    COVEY_CLASS_TINY = 0,   /* under 1 GiB for models, or a scalar CPU */
    COVEY_CLASS_SMALL = 1,  /* from 1 GiB */
    COVEY_CLASS_MEDIUM = 2, /* from 4 GiB */
    COVEY_CLASS_LARGE = 3   /* from 12 GiB */
} covey_device_class;

/* Read from the system, overridden by what the app pushed. Unknown numbers are -1, unknown text is
 * "". */
typedef struct covey_device_facts {
    size_t size;
    char os[32];           /* "linux" */
    char os_version[32];   /* "6.1.0" */
    char architecture[16]; /* "x86_64" */
    char cpu[64];
    char isa[16];               /* the best instruction set that CPU and OS support */
    int32_t core_count;         /* that this process may use */
    int64_t memory_total_bytes; /* of the machine, or of the control group where that is less */
    int64_t memory_available_bytes;
    int64_t storage_available_bytes; /* where the state directory is */
    int32_t battery_percent;
    int32_t charging;
    int32_t network; /* covey_network */
    int32_t thermal_percent;
    covey_device_class device_class;
} covey_device_facts;
#define COVEY_DEVICE_FACTS_INIT                                                                    \
    {                                                                                              \
        sizeof(covey_device_facts), "", "", "", "", "", -1, -1, -1, -1, -1, -1,                    \
            COVEY_NETWORK_UNKNOWN, -1, COVEY_CLASS_TINY                                            \
    }

/* Fills `facts`. `state_dir` names the file system whose space is told; NULL leaves it unknown. A
 * fact that cannot be read is unknown, not a failure. Any thread. */
COVEY_API COVEY_MUST_USE covey_status covey_device_read(covey_runtime *runtime,
                                                        const char *state_dir,
                                                        covey_device_facts *facts,
                                                        covey_error *error);

/* "tiny", "small", "medium", "large". Static memory. */
COVEY_API const char *covey_device_class_name(covey_device_class device_class);

#ifdef __cplusplus
}
#endif
#endif
