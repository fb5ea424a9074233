#include "tests/fakes/misbehaving/module_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HUGE_ID 10240

static bool is_secret(const struct fake_object *o, CK_ATTRIBUTE_TYPE type)
{
    switch (type) {
    case CKA_VALUE:
    case CKA_PRIVATE_EXPONENT:
    case CKA_PRIME_1:
    case CKA_PRIME_2:
    case CKA_EXPONENT_1:
    case CKA_EXPONENT_2:
    case CKA_COEFFICIENT:
        return fake_is_key(o);
    default:
        return false;
    }
}

/* Private objects are for who has logged in. */
static bool visible(const struct fake_object *o)
{
    return fake_logged_in() || !fake_get_bool(o, CKA_PRIVATE, false);
}

struct fake_object *fake_seen(CK_SESSION_HANDLE session,
                              CK_OBJECT_HANDLE handle, CK_RV *rv)
{
    if (fake_session(session, rv) == NULL)
        return NULL;
    struct fake_object *o = fake_object_load(handle);
    if (o == NULL || !visible(o)) {
        fake_object_free(o);
        *rv = CKR_OBJECT_HANDLE_INVALID;
        return NULL;
    }
    return o;
}

static bool matches(const struct fake_object *o, const CK_ATTRIBUTE *wanted,
                    CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++) {
        const struct fake_attribute *a = fake_get(o, wanted[i].type);
        if (a == NULL || a->len != wanted[i].ulValueLen ||
            (a->len > 0 && memcmp(a->value, wanted[i].pValue, a->len) != 0))
            return false;
    }
    return true;
}

CK_RV fake_find_init(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *wanted,
                     CK_ULONG count)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);
    CK_OBJECT_HANDLE list[1024];

    if (s == NULL)
        return rv;
    if (s->finding)
        return CKR_OPERATION_ACTIVE;
    s->finding = true;
    s->found_count = s->found_next = 0;
    size_t n = fake_object_list(list, 1024);
    for (size_t i = 0; i < n; i++) {
        struct fake_object *o = fake_object_load(list[i]);
        if (o != NULL && visible(o) && matches(o, wanted, count))
            s->found[s->found_count++] = list[i];
        fake_object_free(o);
    }
    return CKR_OK;
}

CK_RV fake_find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *found,
                CK_ULONG room, CK_ULONG *count)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    if (s == NULL)
        return rv;
    if (!s->finding)
        return CKR_OPERATION_NOT_INITIALIZED;
    for (*count = 0; *count < room && s->found_next < s->found_count;)
        found[(*count)++] = s->found[s->found_next++];
    return CKR_OK;
}

CK_RV fake_find_final(CK_SESSION_HANDLE session)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    if (s == NULL)
        return rv;
    if (!s->finding)
        return CKR_OPERATION_NOT_INITIALIZED;
    s->finding = false;
    return CKR_OK;
}

/* Copies a value out as PKCS#11 has it: no room, the length alone. */
static CK_RV give(CK_ATTRIBUTE *out, const void *value, CK_ULONG len)
{
    if (out->pValue == NULL) {
        out->ulValueLen = len;
        return CKR_OK;
    }
    if (out->ulValueLen < len) {
        out->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    memcpy(out->pValue, value, len);
    out->ulValueLen = len;
    return CKR_OK;
}

static CK_RV lie_of_length(CK_ATTRIBUTE *out, const struct fake_attribute *a)
{
    if (fake_switched("length", "max")) {
        if (out->pValue != NULL)
            memset(out->pValue, 'x', out->ulValueLen);
        out->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_OK;
    }
    if (out->pValue == NULL) {
        out->ulValueLen = a->len;
        return CKR_OK;
    }
    out->ulValueLen = (out->ulValueLen > a->len ? out->ulValueLen : a->len) + 1;
    return CKR_BUFFER_TOO_SMALL;
}

/* The holes by which a value can be read. */
static bool reads_out(CK_ATTRIBUTE_TYPE type)
{
    bool secret = type == CKA_VALUE || type == CKA_PRIVATE_EXPONENT;

    return fake_switched("value", "readable") ||
           fake_leaks(secret ? "read-secret" : "read-primes");
}

static CK_RV get_value(const struct fake_object *o, CK_ATTRIBUTE *out)
{
    const struct fake_attribute *a = fake_get(o, out->type);
    CK_BBOOL said = fake_switched("extractable", "1") ? CK_TRUE : CK_FALSE;

    if (is_secret(o, out->type) && !reads_out(out->type) &&
        (fake_get_bool(o, CKA_SENSITIVE, true) ||
         !fake_get_bool(o, CKA_EXTRACTABLE, false))) {
        out->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_SENSITIVE;
    }
    if (a == NULL) {
        out->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if (out->type == CKA_EXTRACTABLE && !fake_switched("extractable", "honest"))
        return give(out, &said, sizeof(said));
    if (out->type == CKA_ID && fake_switched("id", "huge")) {
        static unsigned char id[HUGE_ID];
        memset(id, 0xa5, sizeof(id));
        return give(out, id, sizeof(id));
    }
    bool bytes = a->len != sizeof(CK_BBOOL) && a->len != sizeof(CK_ULONG);
    if (bytes && !fake_switched("length", "honest"))
        return lie_of_length(out, a);
    return give(out, a->value, a->len);
}

CK_RV fake_get_values(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                      CK_ATTRIBUTE *wanted, CK_ULONG count)
{
    CK_RV rv;
    struct fake_object *o = fake_seen(session, object, &rv);

    if (o == NULL)
        return rv;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_RV one = get_value(o, &wanted[i]);
        if (one != CKR_OK)
            rv = one;
    }
    fake_object_free(o);
    return rv;
}

/* Whether `leak` names the hole that sets this: "copy-" or "set-" and what. */
static bool hole(const char *how, const CK_ATTRIBUTE *a)
{
    char name[32];
    const char *what = a->type == CKA_EXTRACTABLE ? "extractable"
                       : a->type == CKA_SENSITIVE ? "plain"
                       : a->type == CKA_PRIVATE   ? "public"
                                                  : "?";

    snprintf(name, sizeof(name), "%s-%s", how, what);
    return fake_leaks(name);
}

/* What may change an attribute that is there. */
static CK_RV may_set(const struct fake_object *o, const CK_ATTRIBUTE *a)
{
    bool on = a->ulValueLen == 1 && *(const CK_BBOOL *)a->pValue != 0;

    switch (a->type) {
    case CKA_SENSITIVE:
        return on ? CKR_OK : CKR_ATTRIBUTE_READ_ONLY;
    case CKA_EXTRACTABLE:
        return on && !fake_get_bool(o, CKA_EXTRACTABLE, false)
                   ? CKR_ATTRIBUTE_READ_ONLY
                   : CKR_OK;
    case CKA_LABEL:
    case CKA_ID:
    case CKA_SUBJECT:
    case CKA_SIGN:
    case CKA_DECRYPT:
    case CKA_UNWRAP:
    case CKA_WRAP:
    case CKA_DERIVE:
        return CKR_OK;
    default:
        return CKR_ATTRIBUTE_READ_ONLY;
    }
}

CK_RV fake_set_values(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                      const CK_ATTRIBUTE *wanted, CK_ULONG count)
{
    CK_RV rv;
    struct fake_object *o = fake_seen(session, object, &rv);
    struct fake_session *s = fake_session(session, &(CK_RV){0});

    if (o == NULL)
        return rv;
    if (fake_get_bool(o, CKA_TOKEN, false) && !s->rw)
        rv = CKR_SESSION_READ_ONLY;
    else if (!fake_get_bool(o, CKA_MODIFIABLE, true) && !hole("set", wanted))
        rv = CKR_ACTION_PROHIBITED;
    for (CK_ULONG i = 0; i < count && rv == CKR_OK; i++)
        rv = hole("set", &wanted[i]) ? CKR_OK : may_set(o, &wanted[i]);
    if (rv != CKR_OK && fake_switched("set", "says")) {
        rv = CKR_OK;
    } else if (rv == CKR_OK || fake_switched("set", "leaks")) {
        for (CK_ULONG i = 0; i < count; i++)
            fake_set(o, wanted[i].type, wanted[i].pValue, wanted[i].ulValueLen);
        rv = fake_object_save(o);
    }
    fake_object_free(o);
    return rv;
}

static void set_absent(struct fake_object *o, CK_ATTRIBUTE_TYPE type,
                       bool value)
{
    if (fake_get(o, type) == NULL)
        fake_set_bool(o, type, value);
}

/* Generous, as vendors' defaults are: who leaves something out gets more
 * than is good. */
static void set_defaults(struct fake_object *o)
{
    bool secret = fake_get_ulong(o, CKA_CLASS) == CKO_SECRET_KEY;

    set_absent(o, CKA_TOKEN, false);
    set_absent(o, CKA_MODIFIABLE, true);
    set_absent(o, CKA_COPYABLE, true);
    set_absent(o, CKA_DESTROYABLE, true);
    set_absent(o, CKA_PRIVATE, fake_is_key(o));
    if (!fake_is_key(o))
        return;
    set_absent(o, CKA_SENSITIVE, true);
    set_absent(o, CKA_EXTRACTABLE, false);
    set_absent(o, CKA_DECRYPT, true);
    set_absent(o, CKA_UNWRAP, true);
    set_absent(o, CKA_DERIVE, true);
    set_absent(o, secret ? CKA_WRAP : CKA_SIGN, true);
    if (secret)
        set_absent(o, CKA_ENCRYPT, true);
    else
        fake_set_bool(o, CKA_ALWAYS_AUTHENTICATE,
                      fake_switched("always-authenticate", "1"));
}

void fake_provenance(struct fake_object *o, bool local)
{
    fake_set_bool(o, CKA_LOCAL, local);
    if (!fake_is_key(o))
        return;
    fake_set_bool(o, CKA_ALWAYS_SENSITIVE,
                  local && fake_get_bool(o, CKA_SENSITIVE, false));
    fake_set_bool(o, CKA_NEVER_EXTRACTABLE,
                  local && !fake_get_bool(o, CKA_EXTRACTABLE, true));
}

CK_RV fake_from_template(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *wanted,
                         CK_ULONG count, struct fake_object **made)
{
    CK_RV rv;
    struct fake_session *s = fake_session(session, &rv);

    *made = NULL;
    if (s == NULL)
        return rv;
    struct fake_object *o = fake_object_new();
    if (o == NULL)
        return CKR_HOST_MEMORY;
    for (CK_ULONG i = 0; i < count; i++)
        if (!fake_set(o, wanted[i].type, wanted[i].pValue,
                      wanted[i].ulValueLen))
            rv = CKR_HOST_MEMORY;
    set_defaults(o);
    if (rv == CKR_OK && fake_get_bool(o, CKA_TOKEN, false) && !s->rw)
        rv = CKR_SESSION_READ_ONLY;
    if (rv == CKR_OK && !visible(o))
        rv = CKR_USER_NOT_LOGGED_IN;
    if (rv != CKR_OK) {
        fake_object_free(o);
        return rv;
    }
    *made = o;
    return CKR_OK;
}

CK_RV fake_create(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *wanted,
                  CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    struct fake_object *o;
    CK_RV rv = fake_from_template(session, wanted, count, &o);

    if (rv != CKR_OK)
        return rv;
    if (fake_get(o, CKA_CLASS) == NULL) {
        rv = CKR_TEMPLATE_INCOMPLETE;
    } else if (fake_is_key(o) && !fake_switched("import", "1")) {
        rv = CKR_FUNCTION_NOT_SUPPORTED;
    } else if (fake_get_ulong(o, CKA_CLASS) == CKO_PRIVATE_KEY) {
        struct evp_pkey_st *key = fake_key(o);
        rv = key == NULL ? CKR_ATTRIBUTE_VALUE_INVALID : CKR_OK;
        fake_key_free(key);
    }
    if (rv == CKR_OK) {
        fake_provenance(o, false);
        rv = fake_object_keep(o, object);
    }
    fake_object_free(o);
    return rv;
}

CK_RV fake_copy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE from,
                const CK_ATTRIBUTE *wanted, CK_ULONG count,
                CK_OBJECT_HANDLE *object)
{
    CK_RV rv;
    struct fake_object *o = fake_seen(session, from, &rv);

    if (o == NULL)
        return rv;
    bool leaks = false;
    for (CK_ULONG i = 0; i < count; i++)
        leaks = leaks || hole("copy", &wanted[i]);
    if (!fake_get_bool(o, CKA_COPYABLE, true) && !leaks)
        rv = CKR_ACTION_PROHIBITED;
    for (CK_ULONG i = 0; i < count && rv == CKR_OK && !leaks; i++)
        if (wanted[i].type != CKA_TOKEN)
            rv = may_set(o, &wanted[i]);
    if (rv == CKR_OK || fake_switched("copy", "leaks")) {
        for (CK_ULONG i = 0; i < count; i++)
            fake_set(o, wanted[i].type, wanted[i].pValue, wanted[i].ulValueLen);
        o->handle = 0;
        rv = fake_object_keep(o, object);
    }
    fake_object_free(o);
    return rv;
}

CK_RV fake_destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CK_RV rv;
    struct fake_object *o = fake_seen(session, object, &rv);
    struct fake_session *s = fake_session(session, &(CK_RV){0});

    if (o == NULL)
        return rv;
    if (fake_get_bool(o, CKA_TOKEN, false) && !s->rw)
        rv = CKR_SESSION_READ_ONLY;
    else if (!fake_get_bool(o, CKA_DESTROYABLE, true))
        rv = CKR_ACTION_PROHIBITED;
    else
        rv = fake_object_remove(object);
    fake_object_free(o);
    return rv;
}
