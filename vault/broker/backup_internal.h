/* Backups, as the rest of the broker sees them. */
#ifndef CERTVAULT_BROKER_BACKUP_INTERNAL_H
#define CERTVAULT_BROKER_BACKUP_INTERNAL_H

#include "vault/broker/broker_internal.h"

/* The log's key in a vault that was restored and not opened since. */
#define CV_BACKUP_SEALED_KEY "audit/log.key.sealed"

/* A caller goes: a backup that it was reading is not finished, and the record
 * says so. */
void cv_backup_left(struct cv_broker *b, struct cv_caller *caller);

/* Is one being read, by somebody who goes on with it? */
bool cv_backup_is_read(const struct cv_broker *b);

/* Lets go of a backup that is being read. */
void cv_backup_drop(struct cv_broker *b);

/* Was the vault restored, and not opened since? Nobody can sign checkpoints
 * then. */
bool cv_backup_is_log_key_sealed(const struct cv_broker *b);

/* The box is open: the log's key of a vault that was restored is put back where
 * it belongs. What fails is recorded; the vault is open all the same, and the
 * next opening tries again. */
void cv_backup_open_log_key(struct cv_broker *b);

#endif
