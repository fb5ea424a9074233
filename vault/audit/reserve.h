/* Space kept for the record: the file audit/reserve.
 *
 * Its blocks are allocated and hold nothing. When the disk is full a commit
 * that must not be lost (a permit, an outcome) is given so many of them as it
 * needs, block by block; denials and reads are not (vault/audit/log.h). A
 * service keeps one; agents and private brokers make none, but take from one
 * that is there.
 *
 * The vault's lock is held. Blocking: files. */
#ifndef CERTVAULT_AUDIT_RESERVE_H
#define CERTVAULT_AUDIT_RESERVE_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Makes it as large as `want` bytes, or a quarter of what is free where that is
 * less; *size is what it is then. CV_IO: it could not be made larger (there is
 * no room, or the file system cannot allocate ahead). */
CV_MUST_USE enum cv_status cv_reserve_keep(int vault, uint64_t want,
                                           uint64_t *size, struct cv_err *err);

/* Gives so much of it back to the file system, in whole blocks. False: there is
 * nothing left. */
bool cv_reserve_give(int vault, uint64_t bytes);

/* What is left. 0 also where there is none. */
uint64_t cv_reserve_size(int vault);

#endif
