/* Denials that come in storms. Of one user the first CV_DENIALS_SINGLE in a
 * minute have a leaf each; those that follow are counted, and told by one leaf
 * at the minute's end: how many, of what, for which reasons. So nobody can fill
 * the disk, or keep it busy, by being denied. Nothing else is ever counted
 * instead of written: a permit has its leaf, whoever asks, and waits for no
 * denial.
 *
 * A denial is what policy refused, what a valid client asked for and was
 * refused for another reason, and what the relay refused or was refused under a
 * grant (its user's, then).
 *
 * Whoever must have its leaf, for it says more than that it was a denial (a
 * request for approval that was filed), sets ask->told before.
 *
 * What is counted and not told yet (less than a minute's) is lost if the broker
 * is killed; the leaves of the first ones are not. */
#ifndef CERTVAULT_BROKER_DENIALS_H
#define CERTVAULT_BROKER_DENIALS_H

#include "policy/action.h"
#include "vault/base/err.h"

#include <stdbool.h>

#define CV_DENIALS_SINGLE 60

struct cv_ask;
struct cv_broker;
struct cv_denials; /* the table: who was denied in the last minute */

/* A denial with `status` of what `ask` is about. True: it is counted, and gets
 * no leaf; ask->counted says so too. Counted or not, `ask` is asked about once.
 */
bool cv_denials_take(struct cv_ask *ask, enum cv_status status);

/* For the answer to one that was counted. */
void cv_denials_say(struct cv_err *err);

/* Not entered. Tells of those whose minute is over; `now`: of all. True while
 * some wait to be told of. */
bool cv_denials_tick(struct cv_broker *b, bool now);

void cv_denials_free(struct cv_denials *d);

#endif
