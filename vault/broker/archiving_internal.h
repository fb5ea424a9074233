/* Taking the oldest records out of the log (AuditArchive), as the rest of the
 * broker sees it. vault/audit/archived.h says what is left behind. */
#ifndef CERTVAULT_BROKER_ARCHIVING_INTERNAL_H
#define CERTVAULT_BROKER_ARCHIVING_INTERNAL_H

#include "vault/broker/broker_internal.h"

/* A caller goes: what it was archiving stays in the log, and the record says
 * so. */
void cv_archiving_left(struct cv_broker *b, struct cv_caller *caller);

/* Lets go of an archive that is being read. */
void cv_archiving_drop(struct cv_broker *b);

/* A limit that counts `per_s` back would miss records that are archived:
 * CV_INVALID, and the hint says from when on it would not. */
CV_MUST_USE enum cv_status
cv_archiving_allows(struct cv_broker *b, int64_t per_s, struct cv_err *err);

#endif
