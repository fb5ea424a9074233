/* Asking a human once: of several commands that need the same thing opened, one
 * asks and the others wait for how it ends.
 *
 * Who may ask holds the subject until the thing is open (cv_prompt_done: all
 * who wait go on) or its connection ends (a refusal: the next who waits may
 * ask). Only an agent keeps such an order; its callers are one user's. */
#ifndef CERTVAULT_BROKER_PROMPT_H
#define CERTVAULT_BROKER_PROMPT_H

#include "vault/broker/loop.h"

#include <stdbool.h>

/* The subject of opening the vault; that of a login is the token's URI. */
#define CV_PROMPT_UNLOCK "unlock"

struct cv_prompt_wait {
    struct cv_prompt_wait *next;
    struct cv_caller *caller;
    bool holds;
    char *subject;
};

/* The first is the one that has waited longest. */
struct cv_prompt {
    struct cv_prompt_wait *first;
};

/* Puts `caller` in the row for `subject`; *granted: it may ask now. Else it is
 * told later, over its channel. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_prompt_ask(struct cv_prompt *p,
                                         struct cv_caller *caller,
                                         const char *subject, bool *granted,
                                         struct cv_err *err);

/* Does another caller hold the subject? */
bool cv_prompt_is_held(const struct cv_prompt *p,
                       const struct cv_caller *caller, const char *subject);

/* How many wait for somebody else's answer. */
size_t cv_prompt_waiting(const struct cv_prompt *p);

/* It is open: whoever waits for it need not ask. */
void cv_prompt_done(struct cv_prompt *p, const char *subject);

/* The caller is gone. */
void cv_prompt_left(struct cv_prompt *p, struct cv_caller *caller);

#endif
