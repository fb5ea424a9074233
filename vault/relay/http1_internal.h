/* What the parts of http1 share. */
#ifndef CERTVAULT_RELAY_HTTP1_INTERNAL_H
#define CERTVAULT_RELAY_HTTP1_INTERNAL_H

#include "vault/relay/http1.h"

/* A letter of a token (RFC 9110 section 5.6.2)? */
bool cv_http1_is_tchar(char c);
/* One token or more letters of it? */
bool cv_http1_is_token(struct cv_slice s);

/* Without spaces and tabs at both ends. */
struct cv_slice cv_http1_trim(struct cv_slice s);

/* Takes the first element of a comma-separated list off *list, without blanks
 * around it (it may be empty). False: there is none left. */
bool cv_http1_element(struct cv_slice *list, struct cv_slice *element);

/* Reads a complete head of `n_lines` lines (the first one too, not the empty
 * one at its end), each ended by CRLF, with no other control character in it
 * than tabs. `headers` has room for n_lines - 1. CV_INVALID. */
CV_MUST_USE enum cv_status
cv_http1_read_head(struct cv_slice bytes, enum cv_http1_side side,
                   bool answers_head, struct cv_header *headers,
                   struct cv_head *out, struct cv_err *err);

#endif
