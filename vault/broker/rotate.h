/* The key that signs the log, and its change for another one
 * (vault/audit/rotation.h): what is signed, by which key, and where a change
 * that was cut off stands. */
#ifndef CERTVAULT_BROKER_ROTATE_H
#define CERTVAULT_BROKER_ROTATE_H

#include "vault/base/buf.h"

struct cv_broker;
struct cv_vault;

/* Entered. Notices that the log has got another key since, also by another
 * broker; finishes a change whose checkpoint both keys have signed, and forgets
 * one whose leaf never came to be. Afterwards vault->rotating says whether the
 * next checkpoint wants both signatures. CV_INTEGRITY, CV_IO. */
CV_MUST_USE enum cv_status cv_rotate_look(struct cv_vault *vault,
                                          struct cv_err *err);

/* Lets the token process sign the log's text: appends its line, or both keys'
 * lines, to `lines`. */
CV_MUST_USE enum cv_status cv_rotate_sign(struct cv_broker *b,
                                          const struct cv_buf *text,
                                          struct cv_buf *lines,
                                          struct cv_err *err);

/* Entered. Draws another key and queues the leaf that says so, as the outcome
 * of `ask`; the caller commits and has a checkpoint made. CV_BUSY: a change is
 * not finished yet. What failed is CV_INTERNAL, CV_IO, CV_UNAVAILABLE, and then
 * nothing is queued. */
struct cv_ask;
CV_MUST_USE enum cv_status cv_rotate_begin(struct cv_ask *ask,
                                           struct cv_err *err);

#endif
