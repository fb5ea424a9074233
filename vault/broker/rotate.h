/* The key that signs the log, and its change for another one
 * (vault/audit/rotation.h): what is signed, by which key, and where a change
 * that was cut off stands. */
#ifndef CERTVAULT_BROKER_ROTATE_H
#define CERTVAULT_BROKER_ROTATE_H

#include "vault/audit/note.h"

struct cv_broker;
struct cv_vault;

/* Entered. Notices that the log has got another key since, also by another
 * broker; finishes a change whose checkpoint both keys have signed, and forgets
 * one whose leaf never came to be. Afterwards vault->rotating says whether the
 * next checkpoint wants both signatures. CV_INTEGRITY, CV_IO. */
CV_MUST_USE enum cv_status cv_rotate_look(struct cv_vault *vault,
                                          struct cv_err *err);

/* Puts the key, and the URI that audit/log.key has of it, into the store. */
CV_MUST_USE enum cv_status cv_rotate_store(struct cv_vault *vault,
                                           const struct cv_note_key *key,
                                           struct cv_err *err);
#define CV_ROTATE_TOKEN "log_key_token" /* what the store calls the URI */

/* Has the log's text signed (signer.h): appends its line, or both keys' lines,
 * to `lines`. */
CV_MUST_USE enum cv_status cv_rotate_sign(struct cv_broker *b,
                                          const struct cv_buf *text,
                                          struct cv_buf *lines,
                                          struct cv_err *err);

/* Entered. Draws another key, in its file or (`uri`, else NULL) on a token that
 * is logged in, where that takes its time, and queues the leaf that says so, as
 * the outcome of `ask`; the caller commits and has a checkpoint made. CV_BUSY:
 * a change is not finished yet. What failed is CV_INTERNAL, CV_IO,
 * CV_UNAVAILABLE, or cv_signer_make's, and then nothing is queued, and no key
 * is left. */
struct cv_ask;
CV_MUST_USE enum cv_status cv_rotate_begin(struct cv_ask *ask, const char *uri,
                                           struct cv_err *err);

#endif
