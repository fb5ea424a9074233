/* The key that signs checkpoints, where it lies on a token. In place of the
 * secret the vault's folder then has, in audit/log.key (and, while the key is
 * being changed, in audit/log.key.next):
 *
 *     TOKEN+KEY+<verifier key> SP <PKCS#11 URI of the private key> LF
 *
 * Nothing of it is secret. Blocking: files. */
#ifndef CERTVAULT_AUDIT_LOGKEY_TOKEN_H
#define CERTVAULT_AUDIT_LOGKEY_TOKEN_H

#include "vault/audit/logkey.h"

/* As cv_logkey_create, for a key that a token has already. CV_EXISTS, CV_IO;
 * CV_INVALID: no such URI can be kept. */
CV_MUST_USE enum cv_status cv_logkey_token_create(int vault,
                                                  const struct cv_note_key *key,
                                                  const char *uri,
                                                  struct cv_err *err);

/* As cv_logkey_next_write, for a key that a token has. */
CV_MUST_USE enum cv_status cv_logkey_token_next(int vault,
                                                const struct cv_note_key *key,
                                                const char *uri,
                                                struct cv_err *err);

/* After a restore, which has audit/key.pub already: audit/log.key. */
CV_MUST_USE enum cv_status
cv_logkey_token_restore(int vault, const struct cv_note_key *key,
                        const char *uri, struct cv_err *err);

/* Appends the URI of audit/log.key, or (`next`) of audit/log.key.next.
 * CV_NOT_FOUND: that is a secret, or not there. CV_INTEGRITY: it is another
 * key's than `key`; CV_CONFIG (owner, mode), CV_IO. */
CV_MUST_USE enum cv_status cv_logkey_token_uri(int vault, bool next,
                                               const struct cv_note_key *key,
                                               struct cv_buf *out,
                                               struct cv_err *err);

/* The public half of such a file's bytes. CV_INVALID: it is none. */
CV_MUST_USE enum cv_status cv_logkey_token_public(struct cv_bytes file,
                                                  struct cv_note_key *out,
                                                  struct cv_err *err);

#endif
