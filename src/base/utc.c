/* UTC times as text, by the proleptic Gregorian calendar. The C library's functions are left alone:
 * they read the process's time zone, and some are not safe in threads. Days are counted from a year
 * that begins in March, so that the leap day is the last (as in H. Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms"). */
#include "base/utc.h"

#include <stdio.h>
#include <string.h>

#define SECOND_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

static bool leap(int year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int month) {
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to a date. */
static int64_t days_to(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool digits(const char *text, int count, int *out) {
    *out = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        *out = *out * 10 + (text[i] - '0');
    }
    return true;
}

bool covey__utc_parse(const char *text, int64_t *ms) {
    int year, month, day, hour, minute, second;
    if (strlen(text) != COVEY__UTC_SIZE - 1) return false;
    if (text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' ||
        text[19] != 'Z')
        return false;
    if (!digits(text, 4, &year) || !digits(text + 5, 2, &month) || !digits(text + 8, 2, &day) ||
        !digits(text + 11, 2, &hour) || !digits(text + 14, 2, &minute) ||
        !digits(text + 17, 2, &second))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > month_days(year, month) ||
        hour > 23 || minute > 59 || second > 59)
        return false;
    *ms = (days_to(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * 1000;
    return true;
}

void covey__utc_format(int64_t ms, char out[COVEY__UTC_SIZE]) {
    int64_t second = ms < 0 ? 0 : ms / 1000;
    if (second > SECOND_MAX) second = SECOND_MAX;
    int64_t z = second / 86400 + 719468, rest = second % 86400;
    int64_t era = z / 146097, of_era = z - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * of_year + 2) / 153;
    int day = (int)(of_year - (153 * month_from_march + 2) / 5 + 1);
    int month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    int year = (int)(year_of_era + era * 400 + (month <= 2 ? 1 : 0));
    char text[64];
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, day,
             (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
    memcpy(out, text, COVEY__UTC_SIZE - 1);
    out[COVEY__UTC_SIZE - 1] = 0;
}
