/* A token to try things on: SoftHSM2's or NSS softokn's module, loaded into the
 * test itself, with a token in a folder that the test makes and removes. */
#ifndef CERTVAULT_TESTS_UNIT_PKCS11_SCRATCH_H
#define CERTVAULT_TESTS_UNIT_PKCS11_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/base/arena.h"

#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>

enum scratch_kind { SCRATCH_SOFTHSM, SCRATCH_NSS };

struct scratch {
    CK_FUNCTION_LIST *f;    /* what the code under test calls: a copy */
    CK_FUNCTION_LIST *real; /* the module's own */
    CK_SESSION_HANDLE s;    /* read/write, the user logged in */
    CK_SLOT_ID slot;
    enum scratch_kind kind;
    struct cv_arena *arena;
    void *module;
    char folder[64];
    CK_FUNCTION_LIST patched;
};

/* Makes a token and logs in; skips the test (with a message) where the module
 * is not installed. One at a time. */
void scratch_begin(struct scratch *t, enum scratch_kind kind);
void scratch_end(struct scratch *t);

/* Ends the session and begins a new one, logged in. */
void scratch_again(struct scratch *t);

/* Token objects that the session sees. */
size_t scratch_objects(struct scratch *t);
/* All objects, those of the session too. */
size_t scratch_all(struct scratch *t);

/* A key of a kind ("rsa", "ec-p256", "ec-p384", "ed25519") in PKCS#8, its SPKI,
 * and a certificate of it that it signed itself, in PEM; in the arena. */
struct scratch_key {
    struct cv_bytes der, spki, pem;
};
struct scratch_key scratch_make_key(struct scratch *t, const char *kind);

/* One boolean attribute: 0, 1, or -1 where the token does not tell. */
int scratch_flag(struct scratch *t, CK_OBJECT_HANDLE object,
                 CK_ATTRIBUTE_TYPE type);

struct cv_bytes scratch_bytes(const char *text);

#endif
