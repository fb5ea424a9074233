/* A token to try things on, and things to try: the rig's token with its user
 * logged in, whose functions a test can replace one by one. */
#ifndef CERTVAULT_TESTS_UNIT_PKCS11_SCRATCH_H
#define CERTVAULT_TESTS_UNIT_PKCS11_SCRATCH_H

#include "tests/unit/pkcs11_rig.h"

struct scratch {
    struct rig rig;
    CK_FUNCTION_LIST *f;    /* what the code under test calls: `patched` */
    CK_FUNCTION_LIST *real; /* the module's own */
    CK_FUNCTION_LIST patched;
    CK_SESSION_HANDLE s; /* read/write, the user logged in */
    struct cv_arena *arena;
};

/* Makes a token and logs in; skips the test where there is no such module. */
void scratch_begin(struct scratch *t, enum rig_kind kind);
void scratch_end(struct scratch *t);

/* The misbehaving module's switches, from now on. */
void scratch_misbehave(struct scratch *t, const char *control);

/* Ends all sessions and begins a new one, logged in. */
void scratch_again(struct scratch *t);

/* Token objects that the session sees; all of them, those of the session too.
 */
size_t scratch_objects(struct scratch *t);
size_t scratch_all(struct scratch *t);

/* Prints class and label of all that is there, for a test that is about to
 * fail. */
void scratch_show(struct scratch *t);

/* A key of a kind ("rsa", "ec-p256", "ec-p384", "ed25519") in PKCS#8, its SPKI,
 * and a certificate of it that it signed itself, in PEM; in the arena. */
struct scratch_key {
    struct cv_bytes der, spki, pem;
};
struct scratch_key scratch_make_key(struct scratch *t, const char *kind);

/* Does the token say that it has this mechanism? */
bool scratch_has(struct scratch *t, CK_MECHANISM_TYPE mechanism);

/* One boolean attribute: 0, 1, or -1 where the token does not tell. */
int scratch_flag(struct scratch *t, CK_OBJECT_HANDLE object,
                 CK_ATTRIBUTE_TYPE type);

/* Fails the test with what the error says. */
void scratch_ok(enum cv_status s, const struct cv_err *err);

#endif
