/* A whole copy of the database, for a backup. */
#ifndef CERTVAULT_STORE_STORE_COPY_H
#define CERTVAULT_STORE_STORE_COPY_H

#include "vault/store/store.h"

/* Writes vault.db as it is now into `fd`, at its offset: everything that was
 * committed, nothing that was not, whatever other processes do meanwhile.
 * *size is how many bytes that were. Not inside a transaction. Blocking: as
 * long as the file takes; others' writes wait. CV_BUSY: another process reads
 * an old state and does not end. */
CV_MUST_USE enum cv_status cv_store_copy(struct cv_store *store, int fd,
                                         uint64_t *size, struct cv_err *err);

#endif
