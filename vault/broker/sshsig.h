/* Signatures as `ssh-keygen -Y sign` makes them (OpenSSH's PROTOCOL.sshsig),
 * by Ed25519 keys and by those of security keys (PROTOCOL.u2f:
 * sk-ssh-ed25519@openssh.com, touched).
 *
 * They come from outside, so they are read and verified by a child of the
 * spawner that holds nothing else (cv_sshsig_serve), one for each signature. */
#ifndef CERTVAULT_BROKER_SSHSIG_H
#define CERTVAULT_BROKER_SSHSIG_H

#include "policy/policy.h"
#include "vault/base/buf.h"
#include "vault/base/limits.h"
#include "vault/wire/channel.h"

#define CV_SSHSIG_NAMESPACE "certvault-approval"
#define CV_SSHSIG_MAX CV_KIB(16) /* armoured */

/* "SHA256:..." as ssh-keygen -l shows it. */
#define CV_SSHSIG_FINGERPRINT 52
void cv_sshsig_fingerprint(const struct cv_policy_key *key,
                           char out[CV_SSHSIG_FINGERPRINT]);

/* Is `armoured` a signature of `text` in that namespace by one of `keys`?
 * *which is its place among them. CV_DENIED: it is not, the text says why;
 * CV_INTERNAL. Nothing secret is used. */
CV_MUST_USE enum cv_status cv_sshsig_verify(const char *armoured,
                                            struct cv_bytes text,
                                            const struct cv_policy_key *keys,
                                            size_t n, size_t *which,
                                            struct cv_err *err);

/* The child's side: serves `socket` until it closes. */
void cv_sshsig_serve(int socket);

/* The broker's side: as cv_sshsig_verify, by the child at the other end of
 * `ch`. Also CV_UNAVAILABLE. Waits at most 5 s. */
CV_MUST_USE enum cv_status
cv_sshsig_ask(struct cv_channel *ch, const char *armoured, struct cv_bytes text,
              const struct cv_policy_key *keys, size_t n, size_t *which,
              struct cv_err *err);

#endif
