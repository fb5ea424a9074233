#include "pkcs11/token.h"

#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No PIN is longer than this for us, whatever a token says. */
static unsigned pin_len(CK_ULONG len)
{
    return len > CV_LIMIT_PIN ? CV_LIMIT_PIN : (unsigned)len;
}

static void take_flags(struct cv_token_info *t, CK_FLAGS flags)
{
    t->initialized = (flags & CKF_TOKEN_INITIALIZED) != 0;
    t->login_required = (flags & CKF_LOGIN_REQUIRED) != 0;
    t->protected_path = (flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
    t->write_protected = (flags & CKF_WRITE_PROTECTED) != 0;
    t->has_rng = (flags & CKF_RNG) != 0;
    t->pin.initialized = (flags & CKF_USER_PIN_INITIALIZED) != 0;
    t->pin.count_low = (flags & CKF_USER_PIN_COUNT_LOW) != 0;
    t->pin.final_try = (flags & CKF_USER_PIN_FINAL_TRY) != 0;
    t->pin.locked = (flags & CKF_USER_PIN_LOCKED) != 0;
    t->pin.to_be_changed = (flags & CKF_USER_PIN_TO_BE_CHANGED) != 0;
}

enum cv_status cv_token_read(const struct cv_module *module, CK_SLOT_ID slot,
                             struct cv_token_info *out, struct cv_err *err)
{
    const CK_FUNCTION_LIST *f = cv_module_functions(module);
    CK_SLOT_INFO info;
    CK_RV rv;

    memset(out, 0, sizeof(*out));
    memset(&info, 0, sizeof(info));
    out->slot = slot;
    rv = f->C_GetSlotInfo(slot, &info);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetSlotInfo");
    }
    rv = f->C_GetTokenInfo(slot, &out->raw);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetTokenInfo");
    }
    (void)cv_module_text(out->label, out->raw.label, sizeof(out->raw.label));
    (void)cv_module_text(out->manufacturer, out->raw.manufacturerID,
                         sizeof(out->raw.manufacturerID));
    (void)cv_module_text(out->model, out->raw.model, sizeof(out->raw.model));
    (void)cv_module_text(out->serial, out->raw.serialNumber,
                         sizeof(out->raw.serialNumber));
    (void)cv_module_text(out->slot_description, info.slotDescription,
                         sizeof(info.slotDescription));
    take_flags(out, out->raw.flags);
    out->removable = (info.flags & CKF_REMOVABLE_DEVICE) != 0;
    out->pin.min = pin_len(out->raw.ulMinPinLen);
    out->pin.max = pin_len(out->raw.ulMaxPinLen);
    if (out->pin.max < out->pin.min) {
        out->pin.min = out->pin.max = 0;
    }
    return CV_OK;
}

/* The slots that have a token. The number may grow between the two calls, and
 * a module may say that it wrote more than it was given room for. */
static enum cv_status slots(const struct cv_module *module,
                            CK_SLOT_ID out[CV_LIMIT_TOKENS], CK_ULONG *n,
                            struct cv_err *err)
{
    const CK_FUNCTION_LIST *f = cv_module_functions(module);
    CK_ULONG count = 0;
    CK_RV rv;

    *n = 0;
    /* Only the call without a buffer makes some modules look for readers. */
    rv = f->C_GetSlotList(CK_TRUE, NULL, &count);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetSlotList");
    }
    count = CV_LIMIT_TOKENS;
    rv = f->C_GetSlotList(CK_TRUE, out, &count);
    if (rv == CKR_BUFFER_TOO_SMALL || count > CV_LIMIT_TOKENS) {
        return cv_fail(err, CV_UNAVAILABLE,
                       "the module has more than %d tokens", CV_LIMIT_TOKENS);
    }
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetSlotList");
    }
    *n = count;
    return CV_OK;
}

static bool slot_fits(const struct cv_module *module, const struct cv_uri *uri,
                      CK_SLOT_ID slot)
{
    CK_SLOT_INFO info;

    memset(&info, 0, sizeof(info));
    return cv_module_functions(module)->C_GetSlotInfo(slot, &info) == CKR_OK &&
           cv_uri_match_slot(uri, slot, &info);
}

enum cv_status cv_token_list(const struct cv_module *module,
                             const struct cv_uri *uri,
                             struct cv_token_info *out, size_t max, size_t *n,
                             struct cv_err *err)
{
    CK_SLOT_ID ids[CV_LIMIT_TOKENS];
    CK_ULONG count = 0;
    enum cv_status status;

    *n = 0;
    if (uri != NULL && !cv_uri_match_library(uri, cv_module_info(module))) {
        return CV_OK;
    }
    status = slots(module, ids, &count, err);
    for (CK_ULONG i = 0; status == CV_OK && i < count && *n < max; i++) {
        struct cv_token_info *t = &out[*n];

        if ((uri == NULL || slot_fits(module, uri, ids[i])) &&
            cv_token_read(module, ids[i], t, NULL) == CV_OK &&
            (uri == NULL || cv_uri_match_token(uri, t))) {
            (*n)++;
        }
    }
    return status;
}

enum cv_status cv_token_find(const struct cv_module *module,
                             const struct cv_uri *uri,
                             struct cv_token_info *out, struct cv_err *err)
{
    struct cv_token_info *all = calloc(CV_LIMIT_TOKENS, sizeof(*all));
    size_t n = 0, kept = 0;
    enum cv_status status;

    memset(out, 0, sizeof(*out));
    if (all == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    status = cv_token_list(module, uri, all, CV_LIMIT_TOKENS, &n, err);
    /* SoftHSM always shows one more slot, with a token that is not there yet;
     * nobody means it who does not say so. */
    for (size_t i = 0; i < n; i++) {
        if (all[i].initialized) {
            all[kept++] = all[i];
        }
    }
    if (status == CV_OK && kept == 0) {
        status = cv_fail(err, CV_NOT_FOUND,
                         n == 0 ? "module %s has no such token"
                                : "the token of module %s is not initialised",
                         cv_module_entry(module)->name);
        cv_err_hint(err, "`certvault token list` shows what is there");
    } else if (status == CV_OK && kept > 1) {
        status = cv_fail(err, CV_INVALID,
                         "the URI fits %zu tokens: \"%s\" (serial %s), "
                         "\"%s\" (serial %s)",
                         kept, all[0].label, all[0].serial, all[1].label,
                         all[1].serial);
        cv_err_hint(err, "say which with token= or serial=");
    }
    if (status == CV_OK) {
        *out = all[0];
    }
    free(all);
    return status;
}

bool cv_token_same(const struct cv_token_info *a, const struct cv_token_info *b)
{
    return memcmp(a->raw.manufacturerID, b->raw.manufacturerID,
                  sizeof(a->raw.manufacturerID)) == 0 &&
           memcmp(a->raw.model, b->raw.model, sizeof(a->raw.model)) == 0 &&
           memcmp(a->raw.serialNumber, b->raw.serialNumber,
                  sizeof(a->raw.serialNumber)) == 0 &&
           memcmp(a->raw.label, b->raw.label, sizeof(a->raw.label)) == 0;
}

static size_t add_encoded(char *out, size_t n, const char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (; *text != '\0' && n + 4 < CV_TOKEN_IDENTITY_LEN; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f || c == '|' || c == '%') {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    return n;
}

const char *cv_token_identity(const struct cv_token_info *token,
                              char out[CV_TOKEN_IDENTITY_LEN])
{
    /* 32 + 16 + 16 bytes, each at most three characters: always room. */
    size_t n = add_encoded(out, 0, token->manufacturer);

    out[n++] = '|';
    n = add_encoded(out, n, token->model);
    out[n++] = '|';
    n = add_encoded(out, n, token->serial);
    out[n] = '\0';
    return out;
}

bool cv_token_has(const struct cv_module *module, CK_SLOT_ID slot,
                  CK_MECHANISM_TYPE type, CK_FLAGS flags,
                  CK_MECHANISM_INFO *info)
{
    CK_MECHANISM_INFO own;

    memset(&own, 0, sizeof(own));
    if (cv_module_functions(module)->C_GetMechanismInfo(slot, type, &own) !=
        CKR_OK) {
        return false;
    }
    if (info != NULL) {
        *info = own;
    }
    return (own.flags & flags) == flags;
}

enum cv_status cv_token_mechanisms(const struct cv_module *module,
                                   CK_SLOT_ID slot, CK_MECHANISM_TYPE *out,
                                   size_t max, size_t *n, struct cv_err *err)
{
    const CK_FUNCTION_LIST *f = cv_module_functions(module);
    CK_ULONG count = max;
    CK_RV rv;

    *n = 0;
    rv = f->C_GetMechanismList(slot, out, &count);
    if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && count > max)) {
        return cv_fail(err, CV_UNAVAILABLE,
                       "the token has more than %zu mechanisms", max);
    }
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_GetMechanismList");
    }
    *n = count;
    return CV_OK;
}
