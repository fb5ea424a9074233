/* Which key does the server at an address show?
 *
 * Nothing is believed of it: the handshake (TLS 1.2 or later) is broken off as
 * soon as its certificate came, before anything is sent in it. What comes of it
 * is for a person to compare with what the server's keeper says. */
#ifndef CERTVAULT_FETCH_SERVER_KEY_H
#define CERTVAULT_FETCH_SERVER_KEY_H

#include "vault/base/err.h"

#include <stdint.h>

#define CV_SERVER_KEY_DIGEST 32

/* Connects to `host` (a name, or an address without brackets) and `port`, asks
 * for `server_name` (SNI; NULL: for host) and fills `spki` with the SHA-256 of
 * the SubjectPublicKeyInfo (RFC 5280 section 4.1) of its certificate. Blocks
 * for CV_LIMIT_HTTP_CONNECT_S at most. CV_REMOTE: nobody is there, or it speaks
 * no TLS; CV_INTERNAL. cv_http_start must have been called. */
CV_MUST_USE enum cv_status
cv_server_key_read(const char *host, int port, const char *server_name,
                   uint8_t spki[CV_SERVER_KEY_DIGEST], struct cv_err *err);

#endif
