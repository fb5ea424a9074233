#include "cli/days.h"

#include "vault/base/clock.h"

#include <string.h>

#define DAY_S 86400

bool cv_days_read(const char *text, int64_t *days)
{
    int64_t seconds = 0;

    if (strcmp(text, "-1") == 0) {
        *days = -1;
        return true;
    }
    if (cv_clock_parse_duration(text, true, &seconds, NULL) != CV_OK ||
        seconds <= 0 || seconds % DAY_S != 0 || seconds / DAY_S > CV_DAYS_MAX) {
        return false;
    }
    *days = seconds / DAY_S;
    return true;
}
