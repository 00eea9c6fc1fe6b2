/* Attention with NEON: attention_v128.h for this set. */
#define COVEY__SET(name) name##_neon
#include "kernel/attention_v128.h"
