/* Is this the full run (`sh tests/run.sh --full`)? CV_FULL is 0 or 1. */
#ifndef CERTVAULT_TESTS_UNIT_FULL_H
#define CERTVAULT_TESTS_UNIT_FULL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool cv_full_run(void)
{
    const char *full = getenv("CV_FULL");

    return full != NULL && full[0] != '\0' && strcmp(full, "0") != 0;
}

#endif
