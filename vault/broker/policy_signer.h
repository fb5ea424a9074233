/* A key that may sign policies, as a text: a verifier key (Ed25519). */
#ifndef CERTVAULT_BROKER_POLICY_SIGNER_H
#define CERTVAULT_BROKER_POLICY_SIGNER_H

#include "vault/audit/note.h"
#include "vault/base/json.h"

/* Reads one. CV_INVALID, with how one is made as the hint. */
CV_MUST_USE enum cv_status cv_policy_signer_parse(const char *vkey,
                                                  struct cv_note_key *out,
                                                  struct cv_err *err);

/* Reads each of `list` (NULL: none): texts, at most CV_LIMIT_SIGNERS.
 * CV_INVALID; *bad, where `bad` is not NULL, is which. */
CV_MUST_USE enum cv_status cv_policy_signer_check(const cJSON *list,
                                                  const cJSON **bad,
                                                  struct cv_err *err);

#endif
