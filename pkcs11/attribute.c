#include "pkcs11/attribute.h"

#include <stdlib.h>
#include <string.h>

#define GUARD_LEN 64
#define TOGETHER 4 /* values that are read with one call */
#define GUARD 0xA5

#define N(name)                  \
    {                            \
        CKA_##name, "CKA_" #name \
    }
static const struct {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
} NAMES[] = {
    N(CLASS),
    N(TOKEN),
    N(PRIVATE),
    N(LABEL),
    N(APPLICATION),
    N(VALUE),
    N(OBJECT_ID),
    N(CERTIFICATE_TYPE),
    N(ISSUER),
    N(SERIAL_NUMBER),
    N(TRUSTED),
    N(CERTIFICATE_CATEGORY),
    N(KEY_TYPE),
    N(SUBJECT),
    N(ID),
    N(SENSITIVE),
    N(ENCRYPT),
    N(DECRYPT),
    N(WRAP),
    N(UNWRAP),
    N(SIGN),
    N(SIGN_RECOVER),
    N(VERIFY),
    N(VERIFY_RECOVER),
    N(DERIVE),
    N(START_DATE),
    N(END_DATE),
    N(MODULUS),
    N(MODULUS_BITS),
    N(PUBLIC_EXPONENT),
    N(PRIVATE_EXPONENT),
    N(PRIME_1),
    N(PRIME_2),
    N(EXPONENT_1),
    N(EXPONENT_2),
    N(COEFFICIENT),
    N(VALUE_LEN),
    N(EXTRACTABLE),
    N(LOCAL),
    N(NEVER_EXTRACTABLE),
    N(ALWAYS_SENSITIVE),
    N(KEY_GEN_MECHANISM),
    N(MODIFIABLE),
    N(COPYABLE),
    N(DESTROYABLE),
    N(EC_PARAMS),
    N(EC_POINT),
    N(ALWAYS_AUTHENTICATE),
    N(WRAP_WITH_TRUSTED),
    N(WRAP_TEMPLATE),
    N(UNWRAP_TEMPLATE),
    N(ALLOWED_MECHANISMS),
    N(PUBLIC_KEY_INFO),
};
#undef N

const char *cv_attribute_name(CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (NAMES[i].type == type) {
            return NAMES[i].name;
        }
    }
    return "CKA_?";
}

static enum cv_status fault(CK_ATTRIBUTE_TYPE type, const char *what,
                            struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "the token's %s %s", cv_attribute_name(type),
            what);
    cv_err_hint(err, "the module does not keep to PKCS#11: tell its vendor");
    return CV_INTEGRITY;
}

/* Reads at most `max` bytes to `room`, which has GUARD_LEN more. */
static enum cv_status read_into(struct cv_attribute_place at,
                                CK_ATTRIBUTE_TYPE type, uint8_t *room,
                                size_t max, size_t *len, struct cv_err *err)
{
    CK_ATTRIBUTE a = {type, room, max};
    CK_RV rv;

    memset(room + max, GUARD, GUARD_LEN);
    rv = at.functions->C_GetAttributeValue(at.session, at.object, &a, 1);
    for (size_t i = 0; i < GUARD_LEN; i++) {
        if (room[max + i] != GUARD) {
            return fault(type, "was written past its end", err);
        }
    }
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID ||
        (rv == CKR_OK && a.ulValueLen == CK_UNAVAILABLE_INFORMATION)) {
        return cv_fail(err, CV_NOT_FOUND, "the object has no %s",
                       cv_attribute_name(type));
    }
    if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && a.ulValueLen > max)) {
        return fault(type, "is longer than can be", err);
    }
    if (rv != CKR_OK) {
        enum cv_status status = cv_rv_fail(err, rv, "C_GetAttributeValue");

        cv_err_prefix(err, "%s", cv_attribute_name(type));
        return status;
    }
    *len = a.ulValueLen;
    return CV_OK;
}

enum cv_status cv_attribute_read(struct cv_attribute_place at,
                                 CK_ATTRIBUTE_TYPE type, struct cv_buf *out,
                                 struct cv_err *err)
{
    size_t max = type == CKA_ID ? CV_LIMIT_TOKEN_ID : CV_LIMIT_ATTRIBUTE;
    size_t len = 0, before = out->len;
    uint8_t *room = calloc(1, max + GUARD_LEN);
    enum cv_status status;

    if (room == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    status = read_into(at, type, room, max, &len, err);
    if (status == CV_OK) {
        cv_buf_add(out, room, len);
        status = cv_buf_status(out, cv_attribute_name(type), err);
    }
    if (status != CV_OK) {
        out->len = before;
    }
    /* It may be what a token should not have told. */
    explicit_bzero(room, max);
    free(room);
    return status;
}

bool cv_attribute_read_all(struct cv_attribute_place at,
                           struct cv_attribute_value *values, size_t n)
{
    uint8_t room[TOGETHER][CV_LIMIT_TOKEN_ID + GUARD_LEN];
    CK_ATTRIBUTE items[TOGETHER];
    bool good = n <= TOGETHER;

    memset(room, 0, sizeof(room));
    for (size_t i = 0; good && i < n; i++) {
        memset(room[i] + values[i].max, GUARD, GUARD_LEN);
        items[i] = (CK_ATTRIBUTE){values[i].type, room[i], values[i].max};
    }
    good = good && at.functions->C_GetAttributeValue(at.session, at.object,
                                                     items, n) == CKR_OK;
    for (size_t i = 0; good && i < n; i++) {
        for (size_t k = 0; k < GUARD_LEN; k++) {
            good = good && room[i][values[i].max + k] == GUARD;
        }
        good = good && items[i].ulValueLen <= values[i].max;
        if (good) {
            values[i].len = items[i].ulValueLen;
            memcpy(values[i].data, room[i], values[i].len);
        }
    }
    return good;
}

enum cv_status cv_attribute_ulong(struct cv_attribute_place at,
                                  CK_ATTRIBUTE_TYPE type, CK_ULONG *out,
                                  struct cv_err *err)
{
    uint8_t room[sizeof(*out) + GUARD_LEN];
    size_t len = 0;
    enum cv_status status;

    *out = 0;
    status = read_into(at, type, room, sizeof(*out), &len, err);
    if (status == CV_OK && len != sizeof(*out)) {
        status = fault(type, "has not the length of a number", err);
    }
    if (status == CV_OK) {
        memcpy(out, room, sizeof(*out));
    }
    return status;
}

enum cv_status cv_attribute_bool(struct cv_attribute_place at,
                                 CK_ATTRIBUTE_TYPE type, bool *out,
                                 struct cv_err *err)
{
    uint8_t room[sizeof(CK_BBOOL) + GUARD_LEN];
    size_t len = 0;
    enum cv_status status;

    *out = false;
    status = read_into(at, type, room, sizeof(CK_BBOOL), &len, err);
    if (status == CV_OK && (len != sizeof(CK_BBOOL) || room[0] > 1)) {
        status = fault(type, "is neither true nor false", err);
    }
    if (status == CV_OK) {
        *out = room[0] == CK_TRUE;
    }
    return status;
}

void cv_attribute_start(struct cv_attribute_template *t)
{
    memset(t, 0, sizeof(*t));
}

/* The next item; NULL when there is no room. */
static CK_ATTRIBUTE *next(struct cv_attribute_template *t,
                          CK_ATTRIBUTE_TYPE type)
{
    if (t->n == CV_ATTRIBUTE_TEMPLATE) {
        t->full = true;
        return NULL;
    }
    t->items[t->n].type = type;
    return &t->items[t->n++];
}

void cv_attribute_add_bool(struct cv_attribute_template *t,
                           CK_ATTRIBUTE_TYPE type, bool value)
{
    CK_ATTRIBUTE *a = next(t, type);

    if (a != NULL) {
        CK_BBOOL *place = &t->flags[t->n - 1];

        *place = value ? CK_TRUE : CK_FALSE;
        a->pValue = place;
        a->ulValueLen = sizeof(*place);
    }
}

void cv_attribute_add_ulong(struct cv_attribute_template *t,
                            CK_ATTRIBUTE_TYPE type, CK_ULONG value)
{
    CK_ATTRIBUTE *a = next(t, type);

    if (a != NULL) {
        CK_ULONG *place = &t->numbers[t->n - 1];

        *place = value;
        a->pValue = place;
        a->ulValueLen = sizeof(*place);
    }
}

void cv_attribute_add_bytes(struct cv_attribute_template *t,
                            CK_ATTRIBUTE_TYPE type, struct cv_bytes value)
{
    CK_ATTRIBUTE *a = next(t, type);
    /* The interface takes a pointer that is not const. */
    union {
        const void *ours;
        void *theirs;
    } pointer = {value.data};

    if (a != NULL) {
        a->pValue = pointer.theirs;
        a->ulValueLen = value.len;
    }
}

void cv_attribute_add_text(struct cv_attribute_template *t,
                           CK_ATTRIBUTE_TYPE type, const char *value)
{
    cv_attribute_add_bytes(
        t, type, (struct cv_bytes){(const uint8_t *)value, strlen(value)});
}
