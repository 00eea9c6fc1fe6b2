/* Numbers as text in the C locale, whatever the app has set: a decimal point is always '.'. */
#ifndef COVEY_BASE_C_LOCALE_H
#define COVEY_BASE_C_LOCALE_H

#include <stddef.h>

/* The number that begins `text`, rounded to nearest; infinity beyond double's range. */
double covey__c_strtod(const char *text);

/* The shortest decimal that reads back as `value`, which must be finite; 32 bytes hold any. */
#define COVEY__C_DOUBLE_SIZE 32
void covey__c_format_double(double value, char out[COVEY__C_DOUBLE_SIZE]);

/* The same for a float: what its reader rounds to float is the value again. */
void covey__c_format_float(float value, char out[COVEY__C_DOUBLE_SIZE]);

/* As snprintf with a format of one directive for a double, such as "%.2f". */
int covey__c_format(const char *format, double value, char *out, size_t size);

#endif
