/* Numbers as text in the C locale, by a locale object rather than the process's setting, which is
 * the app's and may change at any time; and rounded to nearest, whatever the app's rounding mode.
 * glibc and others give the C locale without taking memory; where it cannot be had, the thread's
 * own locale serves. */
#include "base/c_locale.h"
#include "base/pool.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct switched {
    locale_t made, before;
    covey__fp_state fp;
} switched;

static switched enter_c_locale(void) {
    switched state = {newlocale(LC_ALL_MASK, "C", (locale_t)0), (locale_t)0, covey__fp_enter()};
    if (state.made != (locale_t)0) state.before = uselocale(state.made);
    return state;
}

static void leave_c_locale(switched state) {
    covey__fp_leave(state.fp);
    if (state.made == (locale_t)0) return;
    uselocale(state.before);
    freelocale(state.made);
}

double covey__c_strtod(const char *text) {
    switched state = enter_c_locale();
    double value = strtod(text, NULL);
    leave_c_locale(state);
    return value;
}

/* A double of full precision has at most 15 digits that are surely its own and needs at most 17, so
 * three tries find the shortest; a subnormal one may need as few as one. */
void covey__c_format_double(double value, char out[COVEY__C_DOUBLE_SIZE]) {
    switched state = enter_c_locale();
    int digits = fabs(value) < 2.2250738585072014e-308 ? 1 : 15;
    for (; digits <= 17; digits++) {
        snprintf(out, COVEY__C_DOUBLE_SIZE, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    leave_c_locale(state);
}

void covey__c_format_float(float value, char out[COVEY__C_DOUBLE_SIZE]) {
    switched state = enter_c_locale();
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(out, COVEY__C_DOUBLE_SIZE, "%.*g", digits, (double)value);
        if ((float)strtod(out, NULL) == value) break;
    }
    leave_c_locale(state);
}

int covey__c_format(const char *format, double value, char *out, size_t size) {
    switched state = enter_c_locale();
    int written = snprintf(out, size, format, value);
    leave_c_locale(state);
    return written;
}
