/* The relay's door to kubectl: TLS on 127.0.0.1, for who holds a certificate
 * that the broker had made for a grant, in a socket of the grant's user.
 *
 *   TLS     1.2 (ECDHE with AEAD alone) and 1.3, ALPN h2 and http/1.1. No
 *           tickets, sessions, compression or renegotiation: every connection
 *           shows its certificate.
 *   client  must have a certificate of the client CA, valid now, for TLS
 *           clients (an extended key usage that says so), that names one grant:
 *           the one SAN URI `certvault:grant:<32 lower-case hex>`.
 *
 * An SSL of this context is used on the event loop: SSL_accept and so on never
 * block, buffers are released while a connection is idle. */
#ifndef CERTVAULT_RELAY_TLS_FRONT_H
#define CERTVAULT_RELAY_TLS_FRONT_H

#include "vault/base/arena.h"
#include "vault/relay/grant.h"

#include <openssl/types.h>
#include <sys/types.h>

/* The listener's context (SSL_CTX_free). `certificate` and `client_ca` are PEM,
 * chain and bundle; `secret` is the certificate's key, PEM, unencrypted:
 * libcrypto keeps a copy until the context and its SSLs are gone. *out is NULL
 * on failure: CV_INVALID, CV_INTERNAL. Call cv_upstream_start first. */
CV_MUST_USE enum cv_status cv_tls_front_new(struct cv_bytes certificate,
                                            struct cv_bytes secret,
                                            struct cv_bytes client_ca,
                                            SSL_CTX **out, struct cv_err *err);

/* The grant that the client's certificate names, after the handshake.
 * CV_DENIED: none, or more than one; `id` is "" then. */
CV_MUST_USE enum cv_status
cv_tls_front_grant(SSL *ssl, char id[CV_GRANT_ID_LEN + 1], struct cv_err *err);

/* Whether ALPN chose h2. */
bool cv_tls_front_is_h2(const SSL *ssl);

/* Whose socket is at the other end of `fd`, an accepted TCP connection over
 * this host's loopback: asked of the kernel (sock_diag(7)), which must still
 * have it established. CV_DENIED: it is gone, half closed, or not of this host;
 * CV_UNAVAILABLE: the kernel does not say. Does not block. Opens a netlink
 * socket for each question. */
CV_MUST_USE enum cv_status cv_tls_front_uid(int fd, uid_t *out,
                                            struct cv_err *err);

/* Who listens on 127.0.0.1:`port`, or on it on all addresses. CV_NOT_FOUND:
 * nobody (any more); CV_UNAVAILABLE. */
CV_MUST_USE enum cv_status cv_tls_front_holder(int port, uid_t *out,
                                               struct cv_err *err);

#endif
