/* The log gets another key: a leaf that says so, signed by both.
 *
 * What is signed is a note (note.h) with two signatures:
 *
 *     certvault log key rotation LF
 *     <origin> LF
 *     <verifier key until now> LF
 *     <verifier key from now on> LF
 *
 * The leaf (action `admin`) holds in its details `old_log_key` and
 * `new_log_key`, and of the two signature lines what is behind the name:
 * `old_signature`, `new_signature`. So whoever has the first key and the log
 * has all that came after it.
 *
 * On the disk the leaf decides: the new key's secret half lies in
 * audit/log.key.next before it; once it is there, the next checkpoint is signed
 * by both keys, and then audit/log.key, audit/key.pub and the store follow.
 * Whoever takes the vault's lock next goes on where another was killed. */
#ifndef CERTVAULT_AUDIT_ROTATION_H
#define CERTVAULT_AUDIT_ROTATION_H

#include "vault/audit/checkpoint.h"

#include <cjson/cJSON.h>

struct cv_rotation {
    struct cv_note_key from;
    struct cv_note_key to;
};

/* Appends the text that both keys sign. */
void cv_rotation_text(const struct cv_rotation *r, struct cv_buf *out);

/* Puts what the leaf says into `details`; the lines are those that the token
 * process gave for the text. CV_INTEGRITY: they are not both keys' signatures;
 * CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_rotation_details(const struct cv_rotation *r, const char *old_line,
                    const char *new_line, cJSON *details, struct cv_err *err);

/* Reads a leaf's details (canonical JSON). CV_NOT_FOUND: it is about no other
 * key; CV_INTEGRITY: it is, and the keys are none, of two origins, or have not
 * signed. */
CV_MUST_USE enum cv_status cv_rotation_read(struct cv_bytes details,
                                            struct cv_rotation *out,
                                            struct cv_err *err);

/* Reads a leaf, and its number. CV_NOT_FOUND: it gives the log no other key;
 * CV_INTEGRITY: it does, and is not signed by both. */
CV_MUST_USE enum cv_status cv_rotation_leaf(struct cv_bytes leaf, uint64_t *seq,
                                            struct cv_rotation *out,
                                            struct cv_err *err);

bool cv_rotation_is_same(const struct cv_note_key *a,
                         const struct cv_note_key *b);

/* The keys that a log had, oldest first, as its leaves give them; none where
 * none was ever changed. Zero it first. */
struct cv_rotation_chain {
    struct cv_note_key *keys;
    size_t n;
};

/* Takes a leaf. CV_NOT_FOUND: it gives the log no other key; CV_INTEGRITY: it
 * does, and is not signed by both, or the one before is not the last of the
 * chain; CV_INVALID: more than CV_LIMIT_LOG_KEYS; CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_rotation_chain_take(struct cv_rotation_chain *c,
                                                  struct cv_bytes leaf,
                                                  struct cv_err *err);

/* Opens a checkpoint that one of them signed; *by (may be NULL) is the newest
 * that did. CV_INTEGRITY: none, or it is no checkpoint of this log. */
CV_MUST_USE enum cv_status
cv_rotation_chain_open(const struct cv_rotation_chain *c, struct cv_bytes note,
                       struct cv_checkpoint *out, size_t *by,
                       struct cv_err *err);
void cv_rotation_chain_free(struct cv_rotation_chain *c);

/* Adds the log's keys to `items`, oldest first, out of the leaves of the log
 * and those that they carry (carried.h): {"vkey", "since": size from which on
 * it signs, "until"?: size, "current"}. Where records are archived and none is
 * carried, nobody knows what came before: the first is since then. `now` is the
 * last one, or the one before where the change to the last is under way.
 * CV_INTEGRITY: the leaves are no chain that leads to it; CV_IO. */
CV_MUST_USE enum cv_status cv_rotation_list(int vault,
                                            const struct cv_note_key *now,
                                            cJSON *items, struct cv_err *err);

#endif
