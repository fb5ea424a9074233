/* Connections that had no right to be here: counted, so that a flood of them
 * makes a few lines in the log. For each user the first is told at once, then
 * those of a minute together.
 *
 * Threads: the loop's. */
#ifndef CERTVAULT_RELAY_STRANGERS_H
#define CERTVAULT_RELAY_STRANGERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cv_strangers;

/* `tell` reports: `uid` NULL where it is not known. `why` is a literal. NULL:
 * memory is gone. */
struct cv_strangers *cv_strangers_new(void (*tell)(void *ctx, const uid_t *uid,
                                                   unsigned count,
                                                   const char *why),
                                      void *ctx);
void cv_strangers_free(struct cv_strangers *s);

/* There was one. `uid` NULL: nobody knows whose. More than
 * CV_LIMIT_RELAY_STRANGERS users are counted together, as not known. */
void cv_strangers_add(struct cv_strangers *s, const uid_t *uid, const char *why,
                      int64_t boot_ms);

/* Tells what is due; about once a second. */
void cv_strangers_tick(struct cv_strangers *s, int64_t boot_ms);

#endif
