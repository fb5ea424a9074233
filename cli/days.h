/* How long a certificate is to hold, in days. */
#ifndef CERTVAULT_CLI_DAYS_H
#define CERTVAULT_CLI_DAYS_H

#include <stdbool.h>
#include <stdint.h>

#define CV_DAYS_MAX 1827

/* "30", "30d", or "-1" (as long as the cloud gives): 1 to CV_DAYS_MAX whole
 * days. */
bool cv_days_read(const char *text, int64_t *days);

#endif
