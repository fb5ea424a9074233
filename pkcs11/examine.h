/* Distrust: what a token lets happen to a key that it says it guards.
 *
 * Attributes are what a module says; they prove nothing (NSS lets a key with
 * CKA_EXTRACTABLE=0 be wrapped out). So a key is read back and then attacked,
 * in the ways that are known from the literature on PKCS #11 (Clulow 2003,
 * Tookan), and has to make a signature that its public key verifies.
 *
 * Every object made for an attack is a session object and is destroyed before
 * the function returns (one that a module makes while it says that it failed
 * ends with the session). What an attack changed is set back. Calls block as
 * long as the token takes: some forty calls, among them a key generation. */
#ifndef CERTVAULT_PKCS11_EXAMINE_H
#define CERTVAULT_PKCS11_EXAMINE_H

#include "pkcs11/notes.h"
#include "pkcs11/session.h"

enum cv_examine_attack {
    CV_EXAMINE_READ_SECRET,       /* "read-secret": CKA_VALUE, the private
                                     exponent */
    CV_EXAMINE_READ_PRIMES,       /* "read-primes": primes, CRT values */
    CV_EXAMINE_WRAP_CBC_PAD,      /* "wrap-cbc-pad": CKM_AES_CBC_PAD */
    CV_EXAMINE_WRAP_KEY_WRAP,     /* "wrap-key-wrap": CKM_AES_KEY_WRAP */
    CV_EXAMINE_WRAP_KEY_WRAP_PAD, /* "wrap-key-wrap-pad": 0x210A */
    CV_EXAMINE_WRAP_KWP,          /* "wrap-kwp": 0x210B */
    CV_EXAMINE_WRAP_RSA,          /* "wrap-rsa": RSA_PKCS, OAEP, RSA_AES */
    CV_EXAMINE_WRAP_TWIN,         /* "wrap-twin": under a key of the token's
                                     own that may also decrypt */
    CV_EXAMINE_COPY_EXTRACTABLE,  /* "copy-extractable" */
    CV_EXAMINE_COPY_PLAIN,        /* "copy-plain": SENSITIVE=0 */
    CV_EXAMINE_COPY_PUBLIC,       /* "copy-public": PRIVATE=0 */
    CV_EXAMINE_SET_EXTRACTABLE,   /* "set-extractable" */
    CV_EXAMINE_SET_PLAIN,         /* "set-plain": SENSITIVE=0 */
    CV_EXAMINE_DERIVE,            /* "derive": C_DeriveKey */
    CV_EXAMINE_DIGEST,            /* "digest": C_DigestKey */
    CV_EXAMINE_DECRYPT,           /* "decrypt": C_Decrypt, C_UnwrapKey */
    CV_EXAMINE_ATTACKS
};

enum cv_examine_result {
    CV_EXAMINE_REFUSED,      /* "refused" */
    CV_EXAMINE_LEAKED,       /* "leaked": the key came out, or must be taken
                                to have */
    CV_EXAMINE_MISUSED,      /* "misused": the token did with the key what its
                                attributes forbid; it did not come out */
    CV_EXAMINE_NOT_POSSIBLE, /* "not possible": the token has no such call or
                                mechanism, the key no such part; or it was not
                                tried, because the key is not ours to risk */
    CV_EXAMINE_ERROR         /* "error": neither refused nor done */
};

struct cv_examine_outcome {
    enum cv_examine_result result;
    CK_RV rv; /* of the call that decided it; CKR_OK when none was made */
};

/* The attributes that are read back; each is yes, no, or not told. */
enum cv_examine_flag {
    CV_EXAMINE_TOKEN,
    CV_EXAMINE_PRIVATE,
    CV_EXAMINE_SENSITIVE,
    CV_EXAMINE_EXTRACTABLE,
    CV_EXAMINE_ALWAYS_SENSITIVE,
    CV_EXAMINE_NEVER_EXTRACTABLE,
    CV_EXAMINE_LOCAL,
    CV_EXAMINE_MODIFIABLE,
    CV_EXAMINE_COPYABLE,
    CV_EXAMINE_SIGN,
    CV_EXAMINE_SIGN_RECOVER,
    CV_EXAMINE_MAY_DECRYPT,
    CV_EXAMINE_MAY_UNWRAP,
    CV_EXAMINE_MAY_WRAP,
    CV_EXAMINE_MAY_DERIVE,
    CV_EXAMINE_ALWAYS_AUTHENTICATE,
    CV_EXAMINE_FLAGS
};

enum cv_examine_told { CV_EXAMINE_UNTOLD = 0, CV_EXAMINE_NO, CV_EXAMINE_YES };

struct cv_findings {
    enum cv_examine_told flags[CV_EXAMINE_FLAGS];
    struct cv_examine_outcome attacks[CV_EXAMINE_ATTACKS];
    bool signature;       /* a challenge was signed and verified */
    bool leaky;           /* an attack leaked the key, or the key's attributes
                             say that it may leave */
    struct cv_notes lies; /* where the module said one thing and did another */
};

/* What the key may be for: then using it so is no attack. */
enum cv_examine_mode {
    /* Made by us a moment ago: all attacks, the attributes of the safe template
     * are demanded. */
    CV_EXAMINE_FRESH,
    /* Somebody's key: nothing that writes to it (set, copy are not tried). */
    CV_EXAMINE_ADOPTED,
    /* As FRESH and ADOPTED, for a key that opens a key slot: it may decrypt or
     * derive and need not sign; cv_slotkey_choose shows that it works. */
    CV_EXAMINE_FRESH_SLOT,
    CV_EXAMINE_ADOPTED_SLOT
};

struct cv_examine_order {
    enum cv_examine_mode mode;
    struct cv_bytes spki; /* DER SubjectPublicKeyInfo that it must have */
    /* Where a PIN may be kept for keys that want it with each signature; NULL:
     * none is. */
    struct cv_session_pool *pool;
};

/* Examines the private key `key` in a session (read/write for FRESH) that is
 * logged in. *out is always filled as far as it came. CV_OK says that it was
 * examined, its attributes are as they must be (FRESH: TOKEN, PRIVATE,
 * SENSITIVE, SIGN are yes, EXTRACTABLE is no; MODIFIABLE, COPYABLE and what is
 * not signing are not yes where they are told; ADOPTED: SIGN is not no) and
 * that it made a signature which `spki` verifies: out->leaky is for the caller
 * to judge. CV_INTEGRITY: an attribute is not as asked for, the signature is
 * wrong, or what an attack changed could not be set back; such a key must not
 * be used. CV_LOCKED: the key wants its PIN for each signature and none is kept
 * (all else was done). Else what cv_rv_fail makes of the token's failure. */
CV_MUST_USE enum cv_status
cv_examine_key(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
               CK_OBJECT_HANDLE key, const struct cv_examine_order *order,
               struct cv_findings *out, struct cv_err *err);

/* Words for people and JSON, literals. */
const char *cv_examine_attack_name(enum cv_examine_attack attack);
const char *cv_examine_result_name(enum cv_examine_result result);
const char *cv_examine_flag_name(enum cv_examine_flag flag);

/* The findings as an object, made where cv_json_use says: a boolean for each
 * attribute that the token tells ("sensitive", "never_extractable",
 * "decrypt", ...), "leaky", "signature", "attacks" [{name, result, rv}] in the
 * order above, "lies" [text]. NULL: memory is gone. */
cJSON *cv_examine_json(const struct cv_findings *findings);

#endif
