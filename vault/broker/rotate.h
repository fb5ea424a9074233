/* The key that signs the log, and its change for another one
 * (vault/audit/rotation.h): what is signed, by which key, and where a change
 * that was cut off stands. */
#ifndef CERTVAULT_BROKER_ROTATE_H
#define CERTVAULT_BROKER_ROTATE_H

#include "vault/audit/rotation.h"
#include "vault/broker/signer.h"

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

/* A change of the log's key. A token takes its time, so what it is asked is
 * asked with the vault's lock free:
 *
 *     cv_rotate_prepare   not entered: the key is made, on a token written down
 *                         first (signer.h), and what both can sign is signed
 *     cv_rotate_begin     entered: nobody changed the log's key meanwhile;
 *                         audit/log.key.next, and the leaf queued. The caller
 *                         commits and has a checkpoint made
 *     cv_rotate_end       not entered, always: what came to no leaf is taken
 *                         back
 */
struct cv_rotate_change {
    struct cv_rotation keys;
    const char *uri; /* the new key's token; NULL: it goes into its file */
    char token[CV_LIMIT_TOKEN_URI + 1]; /* the same, with its serial number */
    struct cv_signer_key made;
    struct cv_arena *arena; /* of `file` */
    struct cv_buf file;     /* audit/log.key.next, where that has a secret */
    struct cv_buf text, old_line, new_line;
    int lock;    /* cv_signer_lock's; -1: none */
    bool queued; /* there may be a leaf: nothing is taken back any more */
};

/* `uri` (borrowed; else NULL) is of a token that is logged in, or of a key on
 * it. Fills *out, whatever it returns. CV_BUSY: a change is not finished yet;
 * CV_INVALID: the key is the log's already, or signs policies; cv_signer_make's
 * and cv_signer_line's. */
CV_MUST_USE enum cv_status cv_rotate_prepare(struct cv_broker *b,
                                             const char *uri,
                                             struct cv_rotate_change *out,
                                             struct cv_err *err);

/* The leaf is the outcome of `ask`. CV_BUSY: the log has got another key since,
 * or is getting one; CV_INTERNAL, CV_IO, CV_UNAVAILABLE. */
struct cv_ask;
CV_MUST_USE enum cv_status cv_rotate_begin(struct cv_ask *ask,
                                           struct cv_rotate_change *change,
                                           struct cv_err *err);

/* Not entered, after cv_rotate_begin. The leaf did not reach the disk, and the
 * log has its key as before; `err` is told what is left. False: it is there, or
 * nobody knows. */
bool cv_rotate_is_lost(struct cv_broker *b,
                       const struct cv_rotate_change *change,
                       struct cv_err *err);

/* `err` (of the failure, if there is no leaf) is told what is left. */
void cv_rotate_end(struct cv_broker *b, struct cv_rotate_change *change,
                   struct cv_err *err);

#endif
