/* What the parts of an examination share. */
#ifndef CERTVAULT_PKCS11_EXAMINE_INTERNAL_H
#define CERTVAULT_PKCS11_EXAMINE_INTERNAL_H

#include "pkcs11/attribute.h"
#include "pkcs11/examine.h"
#include "pkcs11/keywrap.h"
#include "vault/base/limits.h"

#include <openssl/evp.h>

struct examine {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE key;
    const struct cv_examine_order *order;
    bool fresh; /* we may write to it */
    bool slot;  /* it is there to decrypt or derive */
    CK_KEY_TYPE type;
    EVP_PKEY *public_key;   /* order->spki */
    struct cv_arena *arena; /* what comes out of the token */
    /* A key to wrap with, whose value is known; made by the first who needs it
     * (cv_examine_aes), CK_INVALID_HANDLE where there is none. */
    CK_OBJECT_HANDLE aes;
    const uint8_t *aes_value;
    CK_RV aes_rv;
    bool aes_tried;
    bool unrestored; /* what an attack changed could not be set back */
    struct cv_findings *out;
};

/* What `rv`, which is not CKR_OK, says of an attack. */
enum cv_examine_result cv_examine_of(CK_RV rv);

/* Writes down an attempt: an attack made of several attempts is what the worst
 * of them was. */
void cv_examine_note(struct examine *e, enum cv_examine_attack attack,
                     enum cv_examine_result result, CK_RV rv);

#define cv_examine_lie(e, ...) cv_notes_add(&(e)->out->lies, __VA_ARGS__)

/* Is it (the beginning of) the examined key in PKCS#8? */
bool cv_examine_opens(const struct examine *e, struct cv_bytes plain);

/* One boolean attribute, as it is told now. */
enum cv_examine_told cv_examine_flag_now(const struct examine *e,
                                         CK_OBJECT_HANDLE object,
                                         CK_ATTRIBUTE_TYPE type);

/* The wrapping key; CKR_OK when there is one. */
CK_RV cv_examine_aes(struct examine *e);

/* Wraps `object` under `wrapping` into the arena; the wrapped bytes. */
CK_RV cv_examine_wrap_out(struct examine *e, CK_MECHANISM *mechanism,
                          CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE object,
                          struct cv_bytes *out);

/* Does `object` (the key, or a copy of it) come out by reading or by wrapping
 * with the known key? */
bool cv_examine_comes_out(struct examine *e, CK_OBJECT_HANDLE object);

/* Reads one secret part; true when the token tells it. */
bool cv_examine_reads(struct examine *e, CK_OBJECT_HANDLE object,
                      CK_ATTRIBUTE_TYPE type, CK_RV *rv);

/* Sets a boolean of the key, a thing that should be refused, and sets it back.
 * *changed says whether the token said that it did; `during` (may be NULL) is
 * asked in between. */
CK_RV cv_examine_set(struct examine *e, CK_ATTRIBUTE_TYPE type, bool value,
                     bool (*during)(struct examine *, CK_OBJECT_HANDLE),
                     bool *came_out);

/* The attacks, in three files, and the signature. */
void cv_examine_attack_wrap(struct examine *e);
void cv_examine_attack_out(struct examine *e);
void cv_examine_attack_use(struct examine *e);
CV_MUST_USE enum cv_status cv_examine_sign(struct examine *e,
                                           struct cv_err *err);

#endif
