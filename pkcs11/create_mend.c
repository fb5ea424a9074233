/* Modules that take a template and do not keep to it: NSS gives an unwrapped
 * key usages of its own (CKA_DERIVE, CKA_SIGN_RECOVER, CKA_DECRYPT), whatever
 * it is told. They can be turned off in a copy: so the key is unwrapped again,
 * as an object of the session, and copied to the token as it should be. (A copy
 * of the token's key would be the same row of NSS's database.) */
#include "pkcs11/create_internal.h"

static const CK_ATTRIBUTE_TYPE usages[] = {CKA_SIGN_RECOVER, CKA_DERIVE,
                                           CKA_DECRYPT, CKA_UNWRAP};
#define USAGES (sizeof(usages) / sizeof(usages[0]))

/* Those that are on, as bits. */
static unsigned wrong(const struct create_place *at, CK_OBJECT_HANDLE key)
{
    struct cv_attribute_place place = {at->f, at->s, key};
    unsigned found = 0, i;

    for (i = 0; i < USAGES; i++) {
        bool on = false;

        if (cv_attribute_bool(place, usages[i], &on, NULL) == CV_OK && on) {
            found |= 1U << i;
        }
    }
    return found;
}

static void turn_off(struct cv_attribute_template *t, unsigned which)
{
    unsigned i;

    for (i = 0; i < USAGES; i++) {
        if ((which & (1U << i)) != 0) {
            cv_attribute_add_bool(t, usages[i], false);
        }
    }
}

bool cv_create_mend_is_safe(const struct create_place *at, CK_OBJECT_HANDLE key)
{
    return wrong(at, key) == 0;
}

static CK_RV copy(const struct create_place *at, const struct create_want *want,
                  CK_OBJECT_HANDLE loose, bool copyable, CK_OBJECT_HANDLE *out)
{
    struct cv_attribute_template t;

    cv_attribute_start(&t);
    cv_attribute_add_bytes(&t, CKA_ID, want->id);
    cv_attribute_add_text(&t, CKA_LABEL, want->label);
    cv_attribute_add_bool(&t, CKA_TOKEN, want->token);
    turn_off(&t, wrong(at, loose));
    if (!copyable) {
        cv_attribute_add_bool(&t, CKA_COPYABLE, false);
    }
    cv_attribute_add_bool(&t, CKA_MODIFIABLE, false);
    return at->f->C_CopyObject(at->s, loose, t.items, t.n, out);
}

CK_RV cv_create_mend(const struct create_place *at,
                     const struct create_want *want, CK_OBJECT_HANDLE loose,
                     CK_OBJECT_HANDLE *out)
{
    CK_RV rv = copy(at, want, loose, false, out);

    if (rv != CKR_OK) {
        rv = copy(at, want, loose, true, out);
    }
    if (rv == CKR_OK && wrong(at, *out) != 0) {
        (void)cv_create_unmake(at->f, at->s, want->id, *out);
        rv = CKR_TEMPLATE_INCONSISTENT;
    }
    return rv;
}
