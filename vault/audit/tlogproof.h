/* Proofs that travel: C2SP tlog-proof files (.tlog-proof).
 *
 *     c2sp.org/tlog-proof@v1 LF
 *     extra <base64> LF                     (optional; none is written)
 *     index <decimal> LF
 *     <base64 of a hash> LF                 ... the inclusion proof
 *     LF
 *     <the signed checkpoint>
 *
 * Whoever has the record, the log's verifier key and such a file needs nothing
 * else: no log, no vault, no program of ours. Nothing here blocks. */
#ifndef CERTVAULT_AUDIT_TLOGPROOF_H
#define CERTVAULT_AUDIT_TLOGPROOF_H

#include "vault/audit/checkpoint.h"
#include "vault/audit/proof.h"
#include "vault/base/limits.h"

#define CV_TLOGPROOF_LEN CV_KIB(64) /* longest file that is read */

/* Appends the file for leaf `index`; `note` is the checkpoint's signed note. */
CV_MUST_USE enum cv_status cv_tlogproof_write(uint64_t index,
                                              const struct cv_proof *proof,
                                              struct cv_bytes note,
                                              struct cv_buf *out,
                                              struct cv_err *err);

/* What a file says, borrowed from it. */
struct cv_tlogproof {
    uint64_t index;
    struct cv_proof proof;
    struct cv_bytes note;
};

/* Reads one strictly. CV_INTEGRITY: it is not one. */
CV_MUST_USE enum cv_status cv_tlogproof_read(struct cv_bytes file,
                                             struct cv_tlogproof *out,
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
