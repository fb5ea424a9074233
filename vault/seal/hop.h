/* Certificates of the local hop, between a client on this host and the relay.
 *
 *     server CA    EC P-256, made once for a vault; its key is sealed like an
 *                  entry's. Kubeconfigs hold its certificate
 *     server       for 127.0.0.1 and localhost, a new key each time
 *     client CA    made in this process, never stored, dead with it
 *     client       one for each grant: CN "uid:<uid>", O "certvault hop",
 *                  description the entry, SAN URI "certvault:grant:<32 hex>"
 *
 * The forms are RFC 5280. Keys are PKCS#8 DER in an arena; libcrypto's copies
 * are wiped when they are freed, before a function returns. Times are seconds
 * since 1970 and an input; every certificate is valid from an hour before it
 * was made, for clocks that are set back. Nothing here blocks.
 *
 * Threads: one at a time. */
#ifndef CERTVAULT_SEAL_HOP_H
#define CERTVAULT_SEAL_HOP_H

#include "vault/seal/box.h"

#define CV_HOP_GRANT_LEN 32 /* hex digits */
#define CV_HOP_CA_S ((int64_t)3652 * 86400)
#define CV_HOP_SERVER_S ((int64_t)30 * 86400)
#define CV_HOP_URI "certvault:grant:"

struct cv_hop;

/* *out NULL on failure (CV_INTERNAL, what arenas fail with). */
CV_MUST_USE enum cv_status cv_hop_new(struct cv_hop **out, struct cv_err *err);

/* Wipes all keys; NULL is fine. */
void cv_hop_free(struct cv_hop *hop);

/* A key and its certificate. */
struct cv_hop_pair {
    struct cv_bytes key_der; /* PKCS#8, in the arena that the call was given */
    struct cv_buf certificate; /* PEM, to be wiped by the caller */
};

/* A new server CA. Nothing of it is kept. CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_hop_make_ca(int64_t now_s, struct cv_arena *arena,
                                          struct cv_hop_pair *out,
                                          struct cv_err *err);

/* SHA-256 of the SubjectPublicKeyInfo of a key (PKCS#8 DER). CV_INTEGRITY. */
CV_MUST_USE enum cv_status cv_hop_spki(struct cv_bytes key_der,
                                       uint8_t out[CV_BOX_DIGEST_LEN],
                                       struct cv_err *err);

/* A new server certificate under the CA (PEM and key), until CV_HOP_SERVER_S
 * from now or the CA's end. CV_EXPIRED: the CA has ended. */
CV_MUST_USE enum cv_status
cv_hop_make_server(struct cv_bytes ca_pem, struct cv_bytes ca_key,
                   int64_t now_s, struct cv_arena *arena,
                   struct cv_hop_pair *out, struct cv_err *err);

/* The client CA's certificate (PEM, borrowed), made now if there is none. */
CV_MUST_USE enum cv_status cv_hop_client_ca(struct cv_hop *hop, int64_t now_s,
                                            const char **pem,
                                            struct cv_err *err);

struct cv_hop_wish {
    const char *grant; /* CV_HOP_GRANT_LEN lower-case hex digits */
    int64_t uid;
    const char *entry;
    int64_t not_after_s;
};

/* The client certificate of a grant; for one that has it, the same again, and
 * its key. `*certificate` is borrowed until it is forgotten. CV_NOT_FOUND: this
 * process has made no client CA; CV_INVALID: `wish`; CV_BUSY: CV_LIMIT_GRANTS
 * have one. */
CV_MUST_USE enum cv_status cv_hop_mint(struct cv_hop *hop,
                                       const struct cv_hop_wish *wish,
                                       int64_t now_s, struct cv_bytes *key_der,
                                       const char **certificate,
                                       struct cv_err *err);

/* Wipes the key of a grant (NULL: of all). One that is not known is fine. */
void cv_hop_forget(struct cv_hop *hop, const char *grant);

#endif
