/* What the parts of creating a key share: a key taken apart, and the safe
 * template. */
#ifndef CERTVAULT_PKCS11_CREATE_INTERNAL_H
#define CERTVAULT_PKCS11_CREATE_INTERNAL_H

#include "pkcs11/create.h"
#include "pkcs11/generate.h"
#include "vault/base/limits.h"

#include <openssl/evp.h>

/* softoknt.h: an EC key that is unwrapped must be told its point. */
#define CREATE_CKA_NSS_DB 0xD5A0DB00UL

enum create_number {
    CREATE_N,
    CREATE_E,
    CREATE_D,
    CREATE_P,
    CREATE_Q,
    CREATE_DP,
    CREATE_DQ,
    CREATE_QINV,
    CREATE_NUMBERS
};

/* A key as PKCS#11 takes it. All of it lies in an arena, big-endian; the EC
 * scalar is as long as the curve's order. */
struct create_parts {
    const char *kind; /* "rsa", "ec-p256", "ec-p384", "ed25519" */
    unsigned bits;
    CK_KEY_TYPE key_type;
    CK_MECHANISM_TYPE sign;                 /* what signing with it is called */
    struct cv_bytes number[CREATE_NUMBERS]; /* RSA; public: N and E */
    struct cv_bytes params;                 /* CKA_EC_PARAMS: a DER OID */
    struct cv_bytes point;  /* CKA_EC_POINT: the point in a DER OCTET STRING */
    struct cv_bytes raw;    /* the point without it */
    struct cv_bytes secret; /* EC scalar, Ed25519 seed; empty when public */
};

/* Takes a PKCS#8 key or a DER SubjectPublicKeyInfo apart. CV_INVALID: not one,
 * or of a kind or size that is not used here; CV_INTERNAL and what arenas fail
 * with. */
CV_MUST_USE enum cv_status cv_create_parts_private(struct cv_bytes key_der,
                                                   struct cv_arena *arena,
                                                   struct create_parts *out,
                                                   struct cv_err *err);
CV_MUST_USE enum cv_status cv_create_parts_public(struct cv_bytes spki,
                                                  struct cv_arena *arena,
                                                  struct create_parts *out,
                                                  struct cv_err *err);

/* A new private key of this kind, made in software, as PKCS#8 in `arena`.
 * CV_INVALID: no such kind. */
CV_MUST_USE enum cv_status cv_create_parts_make(const char *kind, unsigned bits,
                                                struct cv_arena *arena,
                                                struct cv_bytes *key_der,
                                                struct cv_err *err);

/* The curve's CKA_EC_PARAMS; empty for what is none. */
struct cv_bytes cv_create_parts_curve(const char *kind);

/* What the private key's template says. */
struct create_want {
    struct cv_bytes id;
    const char *label;
    bool token; /* false: a session object */
    bool bare;  /* without what a token may not know, to be copied from */
    enum cv_generate_purpose purpose;
    CK_KEY_TYPE key_type;
};

/* Makes one attempt with a template that has all of the safe one (without
 * CKA_CLASS and CKA_KEY_TYPE); it may add to it. */
typedef CK_RV create_attempt(void *context, struct cv_attribute_template *t,
                             CK_OBJECT_HANDLE *out);

struct create_place {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    struct cv_arena *arena; /* NULL where nothing secret is made */
};

/* An attempt calls this last, when all is in the template. */
void cv_create_template_order(struct cv_attribute_template *t);

/* Attempts with the whole safe template, then, as long as the answer is about
 * attributes, without such members as a token may not know: each alone, then
 * one more at a time. What a failed attempt leaves of that id is destroyed.
 * What had to be left out becomes a note. CKR_OK, or the answer to the whole
 * template. */
CK_RV cv_create_template_try(const struct create_place *at,
                             const struct create_want *want,
                             create_attempt *attempt, void *context,
                             CK_OBJECT_HANDLE *out, struct cv_notes *notes);

/* Puts an AES-256 key whose value is `key` on the token, as a session object:
 * encrypted to an RSA pair that is made for it, else as a value. `usage` is
 * CKA_UNWRAP or CKA_WRAP. *how is "rsa-oaep-sha256", "rsa-oaep-sha1" or
 * "value". The last answer on failure. */
CK_RV cv_create_transport(const struct create_place *at, const uint8_t *key,
                          CK_ATTRIBUTE_TYPE usage, CK_OBJECT_HANDLE *out,
                          const char **how);

/* The second of these ways alone, where nothing depends on the AES key. */
CK_RV cv_create_transport_value(const struct create_place *at,
                                const uint8_t *key, CK_ATTRIBUTE_TYPE usage,
                                CK_OBJECT_HANDLE *out);

/* One way of unwrapping a private key. */
struct create_unwrap_way {
    CK_MECHANISM_TYPE mechanism;
    int form; /* enum cv_keywrap_form */
    const char *name;
};
extern const struct create_unwrap_way cv_create_unwrap_ways[];
extern const size_t cv_create_unwrap_ways_n;

/* Unwraps `key_der` (whose parts are `parts`) by one way under `aes` on the
 * token, whose value is `value`. */
CK_RV cv_create_unwrap_by(const struct create_place *at,
                          const struct create_unwrap_way *way,
                          CK_OBJECT_HANDLE aes, const uint8_t *value,
                          const struct create_want *want,
                          const struct create_parts *parts,
                          struct cv_bytes key_der, CK_OBJECT_HANDLE *out,
                          struct cv_notes *notes);

/* Unwraps by the first way that works. The last answer on failure;
 * CKR_MECHANISM_INVALID where the token lists none. */
CK_RV cv_create_unwrap(const struct create_place *at,
                       const struct create_want *want,
                       const struct create_parts *parts,
                       struct cv_bytes key_der, CK_OBJECT_HANDLE *out,
                       struct cv_notes *notes);

/* C_CreateObject with the key's numbers. */
CK_RV cv_create_import(const struct create_place *at,
                       const struct create_want *want,
                       const struct create_parts *parts, CK_OBJECT_HANDLE *out,
                       struct cv_notes *notes);

/* Has the key no usage that our template turns off? */
bool cv_create_mend_is_safe(const struct create_place *at,
                            CK_OBJECT_HANDLE key);

/* Makes what `want` says out of `loose`, an object of the session that is the
 * same key with more usages. `loose` stays. */
CK_RV cv_create_mend(const struct create_place *at,
                     const struct create_want *want, CK_OBJECT_HANDLE loose,
                     CK_OBJECT_HANDLE *out);

/* Refuses (CV_EXISTS) where an object has this id already. */
CV_MUST_USE enum cv_status cv_create_free_id(CK_FUNCTION_LIST *f,
                                             CK_SESSION_HANDLE s,
                                             struct cv_bytes id,
                                             struct cv_err *err);

/* The one private key with this id: what CKR_OK must have made. CV_INTEGRITY:
 * none, or several. */
CV_MUST_USE enum cv_status
cv_create_made(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s, struct cv_bytes id,
               CK_OBJECT_HANDLE *out, struct cv_err *err);

/* After a failure: destroys what has this id, and the `n` objects in `made`,
 * which calls that made something gave (CK_INVALID_HANDLE: none), unless they
 * tell another id; and says in `err`, and in `notes` (NULL: not), what state
 * things are in. */
void cv_create_undo(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                    struct cv_bytes id, const CK_OBJECT_HANDLE *made, size_t n,
                    struct cv_notes *notes, struct cv_err *err);

/* Destroys an object of the session, unless it tells that it is the token's:
 * what a module gives as a new handle may be another's key. */
void cv_create_drop(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                    CK_OBJECT_HANDLE object);

/* Destroys an object that a call said it made, unless it tells another id: a
 * module that gives a wrong handle must not cost somebody a key. False: it may
 * be there still. */
bool cv_create_unmake(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                      struct cv_bytes id, CK_OBJECT_HANDLE object);

#endif
