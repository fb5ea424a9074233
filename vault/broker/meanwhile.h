/* A helper that takes long, and the others, who need not wait for it.
 *
 * The cloud may take a minute to answer intake. In the service a call of it
 * lets the loop serve others meanwhile: one call at a time, and only requests
 * that change neither entries nor policy (the table is in meanwhile.c). All
 * others stay in line until the call is over, so that what was decided and
 * checked before it is true after it too.
 *
 * Beside a call of a token's process (module_wait_internal.h) the table is
 * shorter: nothing that needs a token, or ends what others use.
 *
 * Who calls must not have entered the vault (cv_broker_enter), and no call of a
 * module or the token process may be under way. */
#ifndef CERTVAULT_BROKER_MEANWHILE_H
#define CERTVAULT_BROKER_MEANWHILE_H

#include "vault/broker/broker_internal.h"

/* As cv_helper_call; b->caller is whose request it is for. Where the loop
 * cannot serve others (no service, or another call is waited for) it is just
 * that. */
CV_MUST_USE enum cv_status
cv_meanwhile_call(struct cv_broker *b, struct cv_helper *helper,
                  const char *method, cJSON *parameters, unsigned flags,
                  struct cv_message *reply, struct cv_err *err);

/* The same for work of the broker's own that is done in steps: between begin
 * (false: others cannot be served, the rest does nothing) and end, each turn
 * serves those who wait by now. */
bool cv_meanwhile_begin(struct cv_broker *b);
void cv_meanwhile_turn(struct cv_broker *b);
void cv_meanwhile_end(struct cv_broker *b);

/* The loop's hooks: while intake works, and (of clients alone) while a token
 * does. */
bool cv_meanwhile_may(void *context, const struct cv_caller *caller,
                      const struct cv_message *request);
bool cv_meanwhile_may_beside(void *context, const struct cv_caller *caller,
                             const struct cv_message *request);

/* And what does not overtake a lock or the like that has to stay because a
 * token is at work (ending.h). */
bool cv_meanwhile_gives(void *context, const struct cv_caller *caller,
                        const struct cv_message *request);

#endif
