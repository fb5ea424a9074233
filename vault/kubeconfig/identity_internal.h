/* Finishing an identity once its key, chain and contexts are known. */
#ifndef CERTVAULT_KUBECONFIG_IDENTITY_INTERNAL_H
#define CERTVAULT_KUBECONFIG_IDENTITY_INTERNAL_H

#include "vault/kubeconfig/identity.h"

/* Marks the default context: externalTLSVerify or internal where it verifies
 * the server (CCE's own current-context is one that does not), then the
 * current one, then the first that verifies, then the first. */
void cv_identity_choose(struct cv_identity *identity, const char *current);

/* Makes identities[i]'s suffix of its first context's name, unlike those of
 * the `i` before it. */
void cv_identity_name(struct cv_identity *identities, size_t i);

/* Adds a note, printf-like; `identity->notes` is made at the first. */
CV_MUST_USE enum cv_status cv_identity_note(struct cv_arena *arena,
                                            struct cv_identity *identity,
                                            struct cv_err *err, const char *fmt,
                                            ...) CV_PRINTF(4, 5);

/* Room for notes: one a context and these. */
#define CV_IDENTITY_NOTES 4

#endif
