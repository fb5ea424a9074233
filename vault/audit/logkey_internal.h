/* Between logkey.c and logkey_token.c alone. */
#ifndef CERTVAULT_AUDIT_LOGKEY_INTERNAL_H
#define CERTVAULT_AUDIT_LOGKEY_INTERNAL_H

#include "vault/audit/logkey.h"
#include "vault/base/limits.h"

#define LOGKEY_SECRET "audit/log.key"
#define LOGKEY_NEXT "audit/log.key.next"

/* Bytes of either: a verifier key and a token's URI are the longest. */
#define LOGKEY_FILE (CV_LIMIT_TOKEN_URI + CV_KIB(1))

/* Makes audit/ beneath the vault's folder. */
CV_MUST_USE enum cv_status cv_logkey_folder(int vault, struct cv_err *err);

/* Writes audit/key.pub. */
CV_MUST_USE enum cv_status cv_logkey_store_public(int vault,
                                                  const struct cv_note_key *key,
                                                  struct cv_err *err);

/* Reads the one line that `path` is, without its LF and ended by NUL.
 * CV_INTEGRITY: it is not one. */
CV_MUST_USE enum cv_status cv_logkey_line(int vault, const char *path,
                                          struct cv_buf *out,
                                          struct cv_err *err);

#endif
