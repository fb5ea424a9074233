/* Shared by session and login: the pool. */
#ifndef CERTVAULT_PKCS11_SESSION_INTERNAL_H
#define CERTVAULT_PKCS11_SESSION_INTERNAL_H

#include "pkcs11/session.h"
#include "vault/base/limits.h"

struct cv_session_slot {
    CK_SESSION_HANDLE handle;
    bool open, busy, rw;
};

/* A private key object whose signature was good for a public key. It is a hint
 * that saves asking the objects beside it again, never a reason to trust what
 * it signs: each signature is checked. */
struct cv_session_proof {
    CK_OBJECT_HANDLE object; /* CK_INVALID_HANDLE: none */
    uint8_t spki[32];        /* SHA-256 */
    bool every_time;         /* CKA_ALWAYS_AUTHENTICATE */
};

#define CV_SESSION_PROOFS 16

struct cv_session_pool {
    struct cv_module *module;
    struct cv_token_info token; /* as last read */
    uint64_t generation;        /* of the module, when sessions were opened */
    struct cv_session_slot slots[CV_LIMIT_TOKEN_SESSIONS];
    enum cv_rv_recover recover; /* what the last failure asks for */
    struct cv_arena *pin_arena; /* NULL: no PIN is kept */
    struct cv_bytes pin;
    struct cv_session_proof proofs[CV_SESSION_PROOFS];
    size_t next_proof;
    bool want_pin; /* a key asked for one and none was kept: log in anew */
    bool
        refused; /* a key's own login had a wrong PIN, and none was right yet */
};

/* What the module says of a login in this session. */
CV_MUST_USE enum cv_status cv_session_state(struct cv_session_pool *pool,
                                            CK_SESSION_HANDLE session,
                                            bool *user, struct cv_err *err);

/* Wipes the PIN that is kept. */
void cv_session_forget_pin(struct cv_session_pool *pool);

/* Keeps a copy of a PIN that worked; without memory for it none is kept. */
void cv_session_keep_pin(struct cv_session_pool *pool, struct cv_bytes pin);

/* Notes what `err` asks for after `tried` was tried. */
void cv_session_note(struct cv_session_pool *pool, const struct cv_err *err,
                     enum cv_rv_recover tried);

#endif
