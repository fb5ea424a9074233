/* Attributes: reading them from a module that may lie about lengths, and
 * templates to give to one.
 *
 * A value is read in one call, into a buffer of ours that is as long as the
 * longest value that is taken (CV_LIMIT_ATTRIBUTE; CKA_ID: CV_LIMIT_TOKEN_ID),
 * is zeroed and has a guard behind it. So there is no length to be believed
 * first, and none that can have grown in between; one that cannot be is
 * refused.
 */
#ifndef CERTVAULT_PKCS11_ATTRIBUTE_H
#define CERTVAULT_PKCS11_ATTRIBUTE_H

#include "pkcs11/rv.h"
#include "vault/base/buf.h"
#include "vault/base/limits.h"

/* Where an object is read. */
struct cv_attribute_place {
    CK_FUNCTION_LIST *functions;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object;
};

/* Appends the value of `type` to `out` (whose ceiling also holds). CV_NOT_FOUND
 * (the object has no such attribute, or the token does not tell),
 * CV_DENIED (sensitive or unextractable), CV_INTEGRITY (lengths that cannot
 * be), else as cv_rv_status. `out` is as before on failure. */
CV_MUST_USE enum cv_status cv_attribute_read(struct cv_attribute_place at,
                                             CK_ATTRIBUTE_TYPE type,
                                             struct cv_buf *out,
                                             struct cv_err *err);

/* One CK_ULONG or CK_BBOOL; also CV_INTEGRITY where its length is another, or a
 * CK_BBOOL is neither 0 nor 1. */
CV_MUST_USE enum cv_status cv_attribute_ulong(struct cv_attribute_place at,
                                              CK_ATTRIBUTE_TYPE type,
                                              CK_ULONG *out,
                                              struct cv_err *err);
CV_MUST_USE enum cv_status cv_attribute_bool(struct cv_attribute_place at,
                                             CK_ATTRIBUTE_TYPE type, bool *out,
                                             struct cv_err *err);

/* Several short values with one call, because a module may open a file for each
 * call. */
struct cv_attribute_value {
    CK_ATTRIBUTE_TYPE type;
    size_t max; /* bytes that are taken, at most CV_LIMIT_TOKEN_ID */
    size_t len; /* what came */
    uint8_t data[CV_LIMIT_TOKEN_ID];
};

/* True when all of them could be read; false for any other answer, which may
 * mean any of them: then they are to be read one by one. */
CV_MUST_USE bool cv_attribute_read_all(struct cv_attribute_place at,
                                       struct cv_attribute_value *values,
                                       size_t n);

/* "CKA_EXTRACTABLE", a literal; "CKA_?" for one that it does not know. */
const char *cv_attribute_name(CK_ATTRIBUTE_TYPE type);

/* A template that is built up; values added by pointer are borrowed until it
 * was used. Too many stick as `full`, which makes every use fail. */
#define CV_ATTRIBUTE_TEMPLATE 40
struct cv_attribute_template {
    CK_ATTRIBUTE items[CV_ATTRIBUTE_TEMPLATE];
    CK_ULONG numbers[CV_ATTRIBUTE_TEMPLATE];
    CK_BBOOL flags[CV_ATTRIBUTE_TEMPLATE];
    CK_ULONG n;
    bool full;
};

void cv_attribute_start(struct cv_attribute_template *t);
void cv_attribute_add_bool(struct cv_attribute_template *t,
                           CK_ATTRIBUTE_TYPE type, bool value);
void cv_attribute_add_ulong(struct cv_attribute_template *t,
                            CK_ATTRIBUTE_TYPE type, CK_ULONG value);
void cv_attribute_add_bytes(struct cv_attribute_template *t,
                            CK_ATTRIBUTE_TYPE type, struct cv_bytes value);
void cv_attribute_add_text(struct cv_attribute_template *t,
                           CK_ATTRIBUTE_TYPE type, const char *value);

#endif
