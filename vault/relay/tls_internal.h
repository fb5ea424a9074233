/* What both of the relay's TLS sides do alike. */
#ifndef CERTVAULT_RELAY_TLS_INTERNAL_H
#define CERTVAULT_RELAY_TLS_INTERNAL_H

#include "vault/base/arena.h"

#include <openssl/types.h>
#include <openssl/x509.h>

/* TLS 1.2 and 1.3, ECDHE and AEAD; no tickets, sessions, compression or
 * renegotiation, no key log; writes that may be partial and moved, buffers
 * released when idle. False: libssl refuses. */
CV_MUST_USE bool cv_tls_prepare(SSL_CTX *ctx);

/* Why a call of libssl failed: the last error that is libssl's own, else the
 * last one; 0: there is none. The queue is empty then. */
unsigned long cv_tls_cause(void);

/* The CERTIFICATE blocks of `pem`, 1 to `max` of them (X509_free_all). Other
 * blocks are passed over, text between them too. CV_INVALID, naming `what`;
 * CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_tls_read(struct cv_bytes pem, int max,
                                       const char *what, STACK_OF(X509) * *out,
                                       struct cv_err *err);

/* Frees what cv_tls_read gave. NULL is fine. */
void cv_tls_free(STACK_OF(X509) * certificates);

/* Gives `ctx` the chain: the first is its own certificate. False: it will not
 * have it (too weak a key or signature). */
CV_MUST_USE bool cv_tls_use_chain(SSL_CTX *ctx, STACK_OF(X509) * chain);

/* Makes these, and nothing else, what `ctx` trusts. False: memory. */
CV_MUST_USE bool cv_tls_trust(SSL_CTX *ctx, STACK_OF(X509) * authorities);

#endif
