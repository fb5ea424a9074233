/* The way to one grant's server: mutual TLS with a key that is elsewhere.
 *
 *   TLS     1.2 (ECDHE with AEAD alone) and 1.3. 1.3 is not offered where the
 *           key can only do PKCS#1 v1.5, which 1.3 does not have. No tickets,
 *           sessions, compression, renegotiation, post-handshake
 *           authentication or early data: every connection has a signature of
 *           its own. openssl.cnf, SSLKEYLOGFILE and the system's CAs are not
 *           read.
 *   server  verify ca: the chain to one of the grant's CAs (any certificate
 *           given as one is one, as kubectl has it), for TLS servers, valid
 *           now, under the grant's server_name (else the host), or one of
 *           `names`; subject alternative names alone count. verify pin: the
 *           SHA-256 of its SPKI is one of `pins`; where there is a CA too, both
 *           must hold.
 *   client  the grant's chain; the signature is asked for once the server is
 *           verified, with the server's SPKI. A server that does not ask for
 *           the certificate, or asks for one of other CAs than those of the
 *           chain, or for none of the key's algorithms, is not connected to:
 *           the request would be anybody's.
 *
 * Threads: immutable once made; connections may be made by several at once.
 * The provider must outlive it. */
#ifndef CERTVAULT_RELAY_UPSTREAM_H
#define CERTVAULT_RELAY_UPSTREAM_H

#include "pkcs11/provider/provider.h"
#include "vault/relay/grant.h"

#include <openssl/types.h>

struct cv_upstream;

/* Base64 of a SHA-256, and a NUL. */
#define CV_UPSTREAM_SPKI_LEN 45

/* What is to be signed, as io.certvault.Door's Sign has it. All borrowed. */
struct cv_upstream_ask {
    const struct cv_grant *grant;
    const char *purpose;
    const char *algorithm;
    struct cv_bytes data;
    const char *server_spki; /* base64 SHA-256 */
    const char *server;      /* host:port */
};

/* Has it signed and appends the signature. Called on the thread that connects;
 * may block (the timeout of the connection does not reach into it). Its failure
 * is cv_upstream_connect's. */
typedef enum cv_status cv_upstream_sign(void *context,
                                        const struct cv_upstream_ask *ask,
                                        struct cv_buf *signature,
                                        struct cv_err *err);

/* Before any other TLS of the process, and before its sandbox: libssl starts
 * without openssl.cnf. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_upstream_start(struct cv_err *err);

/* For `grant` (a reference is taken). *out has one reference; NULL after a
 * failure: CV_INVALID (certificates, key, CA, pins or algorithms that cannot be
 * used, or do not go together), CV_INTERNAL. Does not block. */
CV_MUST_USE enum cv_status
cv_upstream_new(struct cv_provider *provider, struct cv_grant *grant,
                cv_upstream_sign *sign, void *context, struct cv_upstream **out,
                struct cv_err *err);

/* A reference more; one less, NULL is fine. From any thread. */
struct cv_upstream *cv_upstream_ref(struct cv_upstream *up);
void cv_upstream_unref(struct cv_upstream *up);

enum cv_upstream_flags {
    CV_UPSTREAM_H1_ONLY = 1 /* offer http/1.1 alone */
};

/* How far it came. */
enum cv_upstream_stage {
    CV_UPSTREAM_REACH,  /* no address, or none that answers */
    CV_UPSTREAM_TLS,    /* TLS failed: the server is to blame, or refused us */
    CV_UPSTREAM_VERIFY, /* the server is not the one it should be */
    CV_UPSTREAM_SIGN,   /* the signature was not given */
    CV_UPSTREAM_DONE
};

struct cv_upstream_conn {
    int fd;   /* non-blocking, close-on-exec, TCP_NODELAY; the caller's */
    SSL *ssl; /* over fd, shaken hands with; the caller's. May be used after
                 the struct cv_upstream is gone */
    bool h2;  /* what ALPN chose */
    bool timed_out;
    bool cancelled;
    enum cv_upstream_stage stage;
    char server_spki[CV_UPSTREAM_SPKI_LEN]; /* "" before it is known */
};

/* Resolves, connects (RFC 8305: all addresses, the next after 250 ms), shakes
 * hands, verifies. Blocks until it is there, `timeout_ms` have passed, or
 * `cancel_fd` (-1: none) is readable, which it does not read. On failure fd is
 * -1, ssl NULL, the other members tell how far it came: CV_REMOTE (network,
 * TLS, verification, timeout, cancelled), or what the signer said. */
CV_MUST_USE enum cv_status cv_upstream_connect(struct cv_upstream *up,
                                               unsigned flags, int cancel_fd,
                                               int timeout_ms,
                                               struct cv_upstream_conn *out,
                                               struct cv_err *err);

/* Words for an error of libssl's queue (ERR_get_error's number), said by a
 * server after the handshake: in TLS 1.3 it refuses a client certificate only
 * then. CV_REMOTE. */
enum cv_status cv_upstream_fail(unsigned long code, struct cv_err *err);

#endif
