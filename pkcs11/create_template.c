/* The template that every private key of ours gets, and what happens when a
 * token does not know all of it.
 *
 * CKA_WRAP is not in it: a private key has no such attribute (PKCS#11 2.40,
 * 4.9), and modules that keep to that refuse the whole template for it.
 *
 * The order matters to modules that work through a template while the object
 * is there already. The id comes first, so that what a refusal leaves behind
 * can be found. CKA_MODIFIABLE comes last: SoftHSM, once it has set it, refuses
 * whatever follows when a key is unwrapped. */
#include "pkcs11/create_internal.h"

#include <string.h>

/* What a token may fail to know without the key being any less guarded: the
 * usages that are off by default, and two attributes of later standards. In the
 * order in which they are given up. */
static const struct {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
    const char *then; /* what is the case without it */
} optional[] = {
    {CKA_COPYABLE, "CKA_COPYABLE", "copying is left to the token's rules"},
    {CKA_MODIFIABLE, "CKA_MODIFIABLE", "its attributes may be changed later"},
    {CKA_SIGN_RECOVER, "CKA_SIGN_RECOVER", "the token decides"},
    {CKA_DERIVE, "CKA_DERIVE", "the token decides"},
    {CKA_UNWRAP, "CKA_UNWRAP", "the token decides"},
    {CKA_DECRYPT, "CKA_DECRYPT", "the token decides"},
};
#define OPTIONAL (sizeof(optional) / sizeof(optional[0]))

/* Is this one what the key is for? Then it is not optional, and on. */
static bool wanted(const struct create_want *want, CK_ATTRIBUTE_TYPE type)
{
    return want->purpose == CV_GENERATE_SLOT &&
           type == (want->key_type == CKK_RSA ? CKA_DECRYPT : CKA_DERIVE);
}

static void fill(const struct create_want *want, unsigned without,
                 struct cv_attribute_template *t)
{
    size_t i;

    cv_attribute_start(t);
    cv_attribute_add_bytes(t, CKA_ID, want->id);
    cv_attribute_add_text(t, CKA_LABEL, want->label);
    cv_attribute_add_bool(t, CKA_TOKEN, want->token);
    cv_attribute_add_bool(t, CKA_PRIVATE, true);
    cv_attribute_add_bool(t, CKA_SENSITIVE, true);
    cv_attribute_add_bool(t, CKA_EXTRACTABLE, false);
    cv_attribute_add_bool(t, CKA_SIGN, want->purpose == CV_GENERATE_SIGN);
    for (i = 0; i < OPTIONAL; i++) {
        bool on = wanted(want, optional[i].type);

        if (on || (!want->bare && (without & (1U << i)) == 0)) {
            cv_attribute_add_bool(t, optional[i].type, on);
        }
    }
}

void cv_create_template_order(struct cv_attribute_template *t)
{
    CK_ULONG i;

    for (i = 0; i + 1 < t->n; i++) {
        if (t->items[i].type == CKA_MODIFIABLE) {
            CK_ATTRIBUTE last = t->items[i];

            t->items[i] = t->items[t->n - 1];
            t->items[t->n - 1] = last;
            return;
        }
    }
}

/* Is the answer about what the template says? NSS answers a token object's
 * CKA_COPYABLE, for which its database has no column, with CKR_GENERAL_ERROR:
 * so that one is believed to be about attributes once. */
static bool about_attributes(CK_RV rv, bool first)
{
    return rv == CKR_ATTRIBUTE_TYPE_INVALID ||
           rv == CKR_ATTRIBUTE_VALUE_INVALID || rv == CKR_ATTRIBUTE_READ_ONLY ||
           rv == CKR_TEMPLATE_INCONSISTENT ||
           (first && rv == CKR_GENERAL_ERROR);
}

struct trying {
    const struct create_place *at;
    const struct create_want *want;
    create_attempt *attempt;
    void *context;
    CK_OBJECT_HANDLE *out;
};

/* One attempt; what it leaves when it fails is destroyed (the id was free). */
static CK_RV attempt_without(const struct trying *t, unsigned without)
{
    struct cv_object_filter filter = {.id = t->want->id};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    struct cv_attribute_template template;
    size_t n = 0, i;
    CK_RV rv;

    *t->out = CK_INVALID_HANDLE;
    fill(t->want, without, &template);
    rv = t->attempt(t->context, &template, t->out);
    if (rv == CKR_OK) {
        return rv;
    }
    *t->out = CK_INVALID_HANDLE;
    if (cv_object_find(t->at->f, t->at->s, &filter, found, CV_LIMIT_TOKEN_KEYS,
                       &n, NULL) == CV_OK) {
        for (i = 0; i < n; i++) {
            (void)t->at->f->C_DestroyObject(t->at->s, found[i]);
        }
    }
    return rv;
}

static void note(const struct create_want *want, unsigned without,
                 struct cv_notes *notes)
{
    size_t i;

    for (i = 0; i < OPTIONAL; i++) {
        if ((without & (1U << i)) != 0 && !wanted(want, optional[i].type)) {
            cv_notes_add(notes, "the token does not take %s: %s",
                         optional[i].name, optional[i].then);
        }
    }
}

CK_RV cv_create_template_try(const struct create_place *at,
                             const struct create_want *want,
                             create_attempt *attempt, void *context,
                             CK_OBJECT_HANDLE *out, struct cv_notes *notes)
{
    struct trying t = {at, want, attempt, context, out};
    CK_RV first = attempt_without(&t, 0), rv = first;
    unsigned i, without = 0;

    for (i = 0; about_attributes(rv, i == 0) && i < OPTIONAL; i++) {
        without = 1U << i;
        rv = attempt_without(&t, without);
    }
    for (i = 2; about_attributes(rv, false) && i <= OPTIONAL; i++) {
        without = (1U << i) - 1;
        rv = attempt_without(&t, without);
    }
    if (rv != CKR_OK) {
        return about_attributes(rv, false) ? first : rv;
    }
    note(want, without, notes);
    return CKR_OK;
}
