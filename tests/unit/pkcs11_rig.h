/* Tokens for unit tests: each test has a folder of its own, and in it a
 * SoftHSM2 token, an NSS data base or the misbehaving module's token, all with
 * the user PIN 1234. */
#ifndef CERTVAULT_TESTS_UNIT_PKCS11_RIG_H
#define CERTVAULT_TESTS_UNIT_PKCS11_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those. */
#include <cmocka.h>

#include "pkcs11/sign.h"
#include "tests/unit/full.h"
#include "vault/base/limits.h"

#include <openssl/evp.h>

#define RIG_PIN "1234"
#define RIG_SO_PIN "12345678"
#define RIG_SKIP 77

enum rig_kind { RIG_SOFTHSM, RIG_NSS, RIG_FAKE };

struct rig {
    enum rig_kind kind;
    char folder[64];
    struct cv_module_list *list;
    struct cv_module *module;
    struct cv_uri *uri;
    struct cv_session_pool *pool; /* nobody is logged in */
    CK_FUNCTION_LIST *f;
    struct cv_err err;
};

/* The module's file; NULL where it is not installed. */
const char *rig_file(enum rig_kind kind);

/* What main returns: RIG_SKIP where all went well but a module was not there.
 */
int rig_result(int failed);

/* A folder, a module that was started, a token, a pool. Any failure fails the
 * test. rig_begin_with also writes the token's configuration (SoftHSM's) or the
 * control file (the misbehaving module's) with `more` at its end. */
void rig_begin(struct rig *r, enum rig_kind kind);
void rig_begin_with(struct rig *r, enum rig_kind kind, const char *more);
void rig_end(struct rig *r);

/* A folder alone; its tree goes with rig_end. */
void rig_folder(struct rig *r);

/* A path in the folder is good for 15 more calls. rig_read: static room, ""
 * where there is none. */
const char *rig_path(const struct rig *r, const char *name);
void rig_write(const struct rig *r, const char *name, const char *text);
const char *rig_read(const struct rig *r, const char *name);
void rig_remove(const struct rig *r, const char *name);
/* How often `word` is in such a file. */
size_t rig_count(const struct rig *r, const char *name, const char *word);

/* Copies a file into the folder, 0644. */
void rig_copy(const struct rig *r, const char *from, const char *name);

/* Logs in with RIG_PIN. */
void rig_login(struct rig *r);

/* Makes a token's key pair: "rsa2048", "p256", "p384", "p521", "ed25519". The
 * public key object is kept or not. `spki` gets its public key, taken from the
 * objects' own attributes. False where the token has no such keys. */
bool rig_generate(struct rig *r, const char *kind, const char *id,
                  bool keep_public, struct cv_buf *spki);

/* Puts a private key object for `key` (RSA or EC) on the token. */
void rig_import(struct rig *r, EVP_PKEY *key, const char *id);

/* A self-signed certificate of `key`, in DER. */
void rig_certify(EVP_PKEY *key, struct cv_buf *der);

/* A software key: "rsa2048", "p256", ... and its SubjectPublicKeyInfo. */
EVP_PKEY *rig_key(const char *kind, struct cv_buf *spki);

struct cv_bytes rig_bytes(const char *text);

/* Does the whole of something with a session of the pool. */
CK_SESSION_HANDLE rig_session(struct rig *r, unsigned flags);

#endif
