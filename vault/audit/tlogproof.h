/* Proofs that travel: C2SP tlog-proof files (.tlog-proof).
 *
 *     c2sp.org/tlog-proof@v1 LF
 *     extra <base64> LF                     (optional)
 *     index <decimal> LF
 *     <base64 of a hash> LF                 ... the inclusion proof
 *     LF
 *     <the signed checkpoint>
 *
 * Whoever has the record, the log's verifier key and such a file needs nothing
 * else: no log, no vault, no program of ours. A receipt is such a file whose
 * extra line holds the record's own bytes; that line is not authenticated by
 * itself: the leaf's hash is computed from it. Nothing here blocks. */
#ifndef CERTVAULT_AUDIT_TLOGPROOF_H
#define CERTVAULT_AUDIT_TLOGPROOF_H

#include "vault/audit/checkpoint.h"
#include "vault/audit/proof.h"
#include "vault/base/limits.h"

/* Appends the file for leaf `index`; `note` is the checkpoint's signed note,
 * `extra` what the extra line says (len 0: there is none). */
CV_MUST_USE enum cv_status
cv_tlogproof_write(struct cv_bytes extra, uint64_t index,
                   const struct cv_proof *proof, struct cv_bytes note,
                   struct cv_buf *out, struct cv_err *err);

/* What a file says, borrowed from it. */
struct cv_tlogproof {
    uint64_t index;
    struct cv_proof proof;
    struct cv_bytes note;
    struct cv_bytes extra; /* base64; len 0: no such line */
};

/* Reads one (of CV_LIMIT_PROOF bytes at most) strictly. CV_INTEGRITY: it is not
 * one. */
CV_MUST_USE enum cv_status cv_tlogproof_read(struct cv_bytes file,
                                             struct cv_tlogproof *out,
                                             struct cv_err *err);

/* Appends the record that a receipt brings along. CV_INTEGRITY: the file is
 * not one that can be read; CV_USAGE: it brings none. */
CV_MUST_USE enum cv_status cv_tlogproof_record(struct cv_bytes file,
                                               struct cv_buf *out,
                                               struct cv_err *err);

/* Does the file prove that `record` (its bytes as logged) is in the log of one
 * of `keys`? keys[0] must have signed the checkpoint and be its origin; the
 * others are witnesses, whose lines must verify where there are any. *out (may
 * be NULL) is the checkpoint. CV_INTEGRITY: it does not. */
CV_MUST_USE enum cv_status
cv_tlogproof_check(struct cv_bytes file, struct cv_bytes record,
                   const struct cv_note_key *keys, size_t n_keys,
                   struct cv_checkpoint *out, uint64_t *index,
                   struct cv_err *err);

#endif
