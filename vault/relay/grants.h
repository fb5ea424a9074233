/* The grants that the relay was given, and those that have ended, which are
 * remembered for a while so that who still comes is told why.
 *
 * Threads: the loop's, but for cv_grants_upstream. */
#ifndef CERTVAULT_RELAY_GRANTS_H
#define CERTVAULT_RELAY_GRANTS_H

#include "vault/relay/grant.h"
#include "vault/relay/upstream.h"

struct cv_grants;

struct cv_grants_item {
    struct cv_grant *grant; /* NULL: it has ended */
    uid_t uid;
    const char *why;  /* of one that has ended: for its user */
    const char *hint; /* NULL: none */
};

/* NULL: memory is gone. */
struct cv_grants *cv_grants_new(void);

/* NULL is fine. No thread is in cv_grants_upstream. */
void cv_grants_free(struct cv_grants *g);

/* Takes a reference of `grant` and of `up`. Replaces one with this id. CV_BUSY:
 * there are CV_LIMIT_RELAY_GRANTS that live; CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_grants_add(struct cv_grants *g,
                                         struct cv_grant *grant,
                                         struct cv_upstream *up,
                                         struct cv_err *err);

/* What is known of an id; false: nothing. Borrowed until the next change. */
bool cv_grants_find(const struct cv_grants *g, const char *id,
                    struct cv_grants_item *out);

/* Is there one that lives? */
bool cv_grants_has(const struct cv_grants *g, const char *id);

/* Has this user a grant, or had one not long ago? */
bool cv_grants_knows(const struct cv_grants *g, uid_t uid);

/* It has ended. `why` and `hint` (NULL: none) are copied. False: there is none
 * that lives. */
bool cv_grants_end(struct cv_grants *g, const char *id, const char *why,
                   const char *hint);

/* Writes the id of one that lives and whose time is over at `boot_ms`; false:
 * there is none. Forgets those that ended long ago. */
bool cv_grants_over(struct cv_grants *g, int64_t boot_ms,
                    char id[CV_GRANT_ID_LEN + 1]);

/* How many live. */
size_t cv_grants_count(const struct cv_grants *g);

/* From any thread: the way to the server of one that lives, a reference of the
 * caller's; NULL: it has ended. */
struct cv_upstream *cv_grants_upstream(struct cv_grants *g, const char *id);

/* From any thread: may this grant's failure be told now? Once a minute. */
bool cv_grants_may_tell(struct cv_grants *g, const char *id);

#endif
