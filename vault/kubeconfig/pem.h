/* PEM (RFC 7468), read strictly where it matters.
 *
 * A text is blocks with anything between them: lines outside of blocks are
 * passed over (openssl writes a certificate's facts there). Inside a block is
 * base64 alone, blanks and line ends anywhere; a header (RFC 1421, as
 * `Proc-Type: 4,ENCRYPTED`) is refused. BEGIN and END stand at the start of
 * their lines and name the same label; a block is neither empty nor open at the
 * end, and no block begins in another. At most CV_LIMIT_PEM bytes. */
#ifndef CERTVAULT_KUBECONFIG_PEM_H
#define CERTVAULT_KUBECONFIG_PEM_H

#include "vault/base/buf.h"

#define CV_PEM_LABEL_MAX 32

struct cv_pem_block {
    char label[CV_PEM_LABEL_MAX + 1]; /* "CERTIFICATE" */
    struct cv_bytes der;              /* in the arena */
};

/* Reads up to `max` blocks of `text` into `blocks`; *n tells how many there
 * are. CV_INVALID where it is not as above, has no block, or more than `max`.
 */
CV_MUST_USE enum cv_status cv_pem_read(struct cv_arena *arena,
                                       struct cv_bytes text,
                                       struct cv_pem_block *blocks, size_t max,
                                       size_t *n, struct cv_err *err);

/* Appends `der` as one block with lines of 64 characters. */
void cv_pem_write(const char *label, struct cv_bytes der, struct cv_buf *out);

#endif
