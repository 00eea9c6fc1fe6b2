/* Attention with SSE4.1: attention_v128.h for this set. */
#define COVEY__SET(name) name##_sse41
#include "kernel/attention_v128.h"
