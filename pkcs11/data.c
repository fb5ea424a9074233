#include "pkcs11/data.h"

#include "pkcs11/rv.h"
#include "vault/base/limits.h"

#include <string.h>

struct found {
    CK_OBJECT_HANDLE at[CV_LIMIT_TOKEN_KEYS];
    size_t n;
};

static enum cv_status find(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                           const char *label, struct found *out,
                           struct cv_err *err)
{
    const struct cv_object_filter filter = {
        .by_class = true,
        .class = CKO_DATA,
        .label = {(const uint8_t *)label, strlen(label)},
        .token_only = true};

    return cv_object_find(f, s, &filter, out->at, CV_LIMIT_TOKEN_KEYS, &out->n,
                          err);
}

enum cv_status cv_data_read(CK_FUNCTION_LIST *functions,
                            CK_SESSION_HANDLE session, const char *label,
                            struct cv_buf *out, struct cv_err *err)
{
    struct found all = {.n = 0};
    enum cv_status s = find(functions, session, label, &all, err);

    for (size_t i = 0; s == CV_OK && i < all.n; i++) {
        const struct cv_attribute_place at = {functions, session, all.at[i]};
        struct cv_buf value;

        cv_buf_init(&value, NULL, CV_LIMIT_ATTRIBUTE);
        s = cv_attribute_read(at, CKA_VALUE, &value, err);
        cv_buf_add(out, value.data, value.len);
        cv_buf_add_char(out, '\n');
        cv_buf_wipe(&value);
    }
    return s == CV_OK ? cv_buf_status(out, "a token's data", err) : s;
}

static enum cv_status create(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                             const char *label, struct cv_bytes value,
                             CK_OBJECT_HANDLE *out, struct cv_err *err)
{
    struct cv_attribute_template t;
    CK_RV rv;

    cv_attribute_start(&t);
    cv_attribute_add_ulong(&t, CKA_CLASS, CKO_DATA);
    cv_attribute_add_bool(&t, CKA_TOKEN, true);
    cv_attribute_add_bool(&t, CKA_PRIVATE, false);
    cv_attribute_add_bool(&t, CKA_MODIFIABLE, true);
    cv_attribute_add_text(&t, CKA_APPLICATION, CV_DATA_APPLICATION);
    cv_attribute_add_text(&t, CKA_LABEL, label);
    cv_attribute_add_bytes(&t, CKA_VALUE, value);
    rv = f->C_CreateObject(s, t.items, t.n, out);
    return rv == CKR_OK ? CV_OK : cv_rv_fail(err, rv, "C_CreateObject (data)");
}

static bool change(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                   CK_OBJECT_HANDLE object, struct cv_bytes value)
{
    struct cv_attribute_template t;

    cv_attribute_start(&t);
    cv_attribute_add_bytes(&t, CKA_VALUE, value);
    return f->C_SetAttributeValue(s, object, t.items, t.n) == CKR_OK;
}

static enum cv_status check(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                            CK_OBJECT_HANDLE object, struct cv_bytes value,
                            struct cv_err *err)
{
    const struct cv_attribute_place at = {f, s, object};
    struct cv_buf got;
    enum cv_status st;

    cv_buf_init(&got, NULL, CV_LIMIT_ATTRIBUTE);
    st = cv_attribute_read(at, CKA_VALUE, &got, err);
    if (st == CV_OK && (got.len != value.len ||
                        memcmp(got.data, value.data, value.len) != 0)) {
        st = cv_fail(err, CV_INTEGRITY,
                     "the token keeps something else than it was given");
    }
    cv_buf_wipe(&got);
    return st;
}

enum cv_status cv_data_write(CK_FUNCTION_LIST *functions,
                             CK_SESSION_HANDLE session, const char *label,
                             struct cv_bytes value, struct cv_err *err)
{
    struct found all = {.n = 0};
    CK_OBJECT_HANDLE kept = CK_INVALID_HANDLE;
    enum cv_status s = find(functions, session, label, &all, err);

    if (s == CV_OK && all.n > 0 &&
        change(functions, session, all.at[0], value)) {
        kept = all.at[0];
    } else if (s == CV_OK) {
        s = create(functions, session, label, value, &kept, err);
    }
    if (s == CV_OK) {
        s = check(functions, session, kept, value, err);
    }
    for (size_t i = 0; s == CV_OK && i < all.n; i++) {
        if (all.at[i] != kept) {
            (void)functions->C_DestroyObject(session, all.at[i]);
        }
    }
    return s;
}

bool cv_data_is_anchor(struct cv_attribute_place at)
{
    const size_t len = strlen(CV_DATA_ANCHOR);
    CK_OBJECT_CLASS class = CKO_VENDOR_DEFINED;
    struct cv_buf label;
    bool is;

    if (cv_attribute_ulong(at, CKA_CLASS, &class, NULL) != CV_OK ||
        class != CKO_DATA) {
        return false;
    }
    cv_buf_init(&label, NULL, CV_LIMIT_ATTRIBUTE);
    is = cv_attribute_read(at, CKA_LABEL, &label, NULL) == CV_OK &&
         label.len >= len && memcmp(label.data, CV_DATA_ANCHOR, len) == 0;
    cv_buf_wipe(&label);
    return is;
}
