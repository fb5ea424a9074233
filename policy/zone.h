/* Time zones: local time from a TZif file (RFC 9636), as plain arithmetic on
 * bytes that were read long before.
 *
 * Version 2 and later of the format are taken, their 64-bit data and their
 * footer (a POSIX TZ string, for times behind the last transition). Files that
 * count leap seconds ("right/") are refused: certvault's time does not. */
#ifndef CERTVAULT_POLICY_ZONE_H
#define CERTVAULT_POLICY_ZONE_H

#include "vault/base/buf.h"

#include <stdbool.h>

#define CV_ZONE_FILE (64 * 1024) /* bytes, at most */
#define CV_ZONE_NAME 64          /* characters of a name, at most */

struct cv_zone;

/* Is it the name of a zone: parts of letters, digits, "_", "+", "-", divided by
 * "/", each beginning with a letter? So it can be put behind a folder. */
bool cv_zone_is_name(const char *name);

/* Parses a file's bytes, of which nothing is kept. On success *out is the
 * caller's; on failure NULL: CV_INVALID, or CV_INTERNAL (memory). */
CV_MUST_USE enum cv_status
cv_zone_parse(struct cv_bytes file, struct cv_zone **out, struct cv_err *err);

/* Seconds that local time is ahead of UTC at `t` (seconds since 1970). A NULL
 * zone is UTC. */
int32_t cv_zone_offset(const struct cv_zone *zone, int64_t t);

/* NULL is fine. */
void cv_zone_free(struct cv_zone *zone);

/* Local time: minutes since midnight, and the day of the week (0: Monday). */
void cv_zone_local(const struct cv_zone *zone, int64_t t, unsigned *minute,
                   unsigned *weekday);

#endif
