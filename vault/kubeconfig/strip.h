/* Taking client keys out of a kubeconfig and leaving the rest.
 *
 * The same document comes out without the client-key-data and
 * client-certificate-data of the users whose key is among those named; all
 * else stays in its order: other users, unknown fields, styles of quoting. A
 * user that had nothing else stays as `user: {}`, so that contexts that name it
 * still read. Comments of a YAML file are lost, and its indentation becomes two
 * blanks; a JSON file comes out indented by two blanks. Before it is handed
 * over, the new text is read again and compared with the old. */
#ifndef CERTVAULT_KUBECONFIG_STRIP_H
#define CERTVAULT_KUBECONFIG_STRIP_H

#include "vault/base/buf.h"

struct cv_strip_result {
    size_t removed; /* users whose key was taken out */
    size_t left;    /* users that still have a client key */
};

/* Appends to `out`, which should lie in an arena (other users' secrets are in
 * it), `text` without the keys that the `n` SPKI digests name. `arena` takes
 * what is read. CV_INVALID where `text` cannot be read (vault/yaml/yaml.h) or a
 * user's key in it cannot; CV_NOT_FOUND where a digest is no user's;
 * CV_INTERNAL where the new text would not be the same. Nothing usable is in
 * `out` on failure. */
CV_MUST_USE enum cv_status
cv_strip_keys(struct cv_arena *arena, struct cv_bytes text,
              const uint8_t (*spki_sha256)[32], size_t n, struct cv_buf *out,
              struct cv_strip_result *result, struct cv_err *err);

#endif
