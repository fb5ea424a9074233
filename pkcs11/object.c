#include "pkcs11/object.h"

#include "pkcs11/crypto_internal.h"

#include "vault/base/limits.h"

#include <string.h>

#define BATCH 64
/* Up to so many results are checked for being one object listed twice. */
#define TWICE_MAX 256

/* A limit that is exceeded, told by the one who set it. */
static enum cv_status too_many(size_t max, struct cv_err *err)
{
    cv_fail(err, CV_INVALID, "the token holds more than %zu such objects", max);
    cv_err_hint(err, "remove what is not needed from the token");
    return CV_INVALID;
}

/* Is this a failure of the token, or its word that the object has no such
 * attribute? Only the latter says anything of the object. */
static bool is_failure(enum cv_status status)
{
    return status != CV_OK && status != CV_NOT_FOUND && status != CV_DENIED &&
           status != CV_INTEGRITY;
}

/* Does the object have exactly this value? {NULL, 0} is had by all. */
static enum cv_status has_value(struct cv_attribute_place at,
                                CK_ATTRIBUTE_TYPE type, struct cv_bytes wanted,
                                bool *same, struct cv_err *err)
{
    struct cv_buf value;
    enum cv_status status;

    if (wanted.data == NULL || !*same) {
        return CV_OK;
    }
    cv_buf_init(&value, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_attribute_read(at, type, &value, err);
    *same = status == CV_OK && value.len == wanted.len &&
            (value.len == 0 || memcmp(value.data, wanted.data, value.len) == 0);
    cv_buf_wipe(&value);
    return is_failure(status) ? status : CV_OK;
}

/* Class and id with one call: what almost every search is for. */
static bool fits_plainly(struct cv_attribute_place at,
                         const struct cv_object_filter *filter)
{
    struct cv_attribute_value values[2] = {
        {.type = CKA_CLASS, .max = sizeof(CK_ULONG)},
        {.type = CKA_ID, .max = CV_LIMIT_TOKEN_ID}};

    return filter->by_class && filter->id.data != NULL &&
           filter->label.data == NULL && filter->value.data == NULL &&
           cv_attribute_read_all(at, values, 2) &&
           values[0].len == sizeof(CK_ULONG) &&
           memcmp(values[0].data, &filter->class, sizeof(CK_ULONG)) == 0 &&
           values[1].len == filter->id.len &&
           memcmp(values[1].data, filter->id.data, filter->id.len) == 0;
}

static enum cv_status fits(struct cv_attribute_place at,
                           const struct cv_object_filter *filter, bool *out,
                           struct cv_err *err)
{
    enum cv_status status = CV_OK;
    CK_ULONG class = 0;

    if (fits_plainly(at, filter)) {
        *out = true;
        return CV_OK;
    }

    *out = true;
    if (filter->by_class) {
        status = cv_attribute_ulong(at, CKA_CLASS, &class, err);
        *out = status == CV_OK && class == filter->class;
        status = is_failure(status) ? status : CV_OK;
    }
    if (status == CV_OK) {
        status = has_value(at, CKA_ID, filter->id, out, err);
    }
    if (status == CV_OK) {
        status = has_value(at, CKA_LABEL, filter->label, out, err);
    }
    if (status == CV_OK) {
        status = has_value(at, CKA_VALUE, filter->value, out, err);
    }
    return status;
}

static void make_template(const struct cv_object_filter *filter,
                          struct cv_attribute_template *t)
{
    cv_attribute_start(t);
    if (filter->by_class) {
        cv_attribute_add_ulong(t, CKA_CLASS, filter->class);
    }
    if (filter->id.data != NULL) {
        cv_attribute_add_bytes(t, CKA_ID, filter->id);
    }
    if (filter->label.data != NULL) {
        cv_attribute_add_bytes(t, CKA_LABEL, filter->label);
    }
    if (filter->value.data != NULL) {
        cv_attribute_add_bytes(t, CKA_VALUE, filter->value);
    }
    if (filter->token_only) {
        cv_attribute_add_bool(t, CKA_TOKEN, true);
    }
}

static bool is_listed(const CK_OBJECT_HANDLE *list, size_t n,
                      CK_OBJECT_HANDLE object)
{
    for (size_t i = 0; i < n && i < TWICE_MAX; i++) {
        if (list[i] == object) {
            return true;
        }
    }
    return false;
}

/* All handles of a search that was begun; one over `max` is an error. */
static enum cv_status collect(CK_FUNCTION_LIST *functions,
                              CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out,
                              size_t max, size_t *n, struct cv_err *err)
{
    CK_OBJECT_HANDLE batch[BATCH];
    size_t seen = 0;

    for (;;) {
        CK_ULONG count = 0;
        CK_RV rv = functions->C_FindObjects(session, batch, BATCH, &count);

        if (rv != CKR_OK) {
            return cv_rv_fail(err, rv, "C_FindObjects");
        }
        if (count > BATCH) {
            return cv_fail(err, CV_INTEGRITY,
                           "the module found more objects than it was asked "
                           "for");
        }
        if (count == 0) {
            return CV_OK;
        }
        /* One that lists the same objects for ever ends here too. */
        seen += count;
        if (seen > CV_LIMIT_TOKEN_OBJECTS) {
            return too_many(max, err);
        }
        for (CK_ULONG i = 0; i < count; i++) {
            if (is_listed(out, *n, batch[i])) {
                continue;
            }
            if (*n == max) {
                return too_many(max, err);
            }
            out[(*n)++] = batch[i];
        }
    }
}

enum cv_status cv_object_find(CK_FUNCTION_LIST *functions,
                              CK_SESSION_HANDLE session,
                              const struct cv_object_filter *filter,
                              CK_OBJECT_HANDLE *out, size_t max, size_t *n,
                              struct cv_err *err)
{
    struct cv_attribute_template t;
    enum cv_status status;
    size_t found = 0;
    CK_RV rv;

    *n = 0;
    make_template(filter, &t);
    rv = functions->C_FindObjectsInit(session, t.items, t.n);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_FindObjectsInit");
    }
    status = collect(functions, session, out, max, &found, err);
    rv = functions->C_FindObjectsFinal(session);
    if (status == CV_OK && rv != CKR_OK) {
        status = cv_rv_fail(err, rv, "C_FindObjectsFinal");
    }
    for (size_t i = 0; status == CV_OK && i < found; i++) {
        struct cv_attribute_place at = {functions, session, out[i]};
        bool fit = false;

        status = fits(at, filter, &fit, err);
        if (status == CV_OK && fit) {
            out[(*n)++] = out[i];
        }
    }
    *n = status == CV_OK ? *n : 0;
    return status;
}

/* Both were written by cv_crypto_spki, so equal keys have equal bytes. */
static bool same_key(struct cv_bytes a, struct cv_bytes b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* What an object says of its public key. */
enum says { MATCHES, DIFFERS, SILENT, FAILED };

static enum says ask(struct cv_attribute_place at, struct cv_bytes spki,
                     struct cv_err *err)
{
    struct cv_buf own;
    struct cv_err why;
    enum cv_status status;
    enum says says = SILENT;

    cv_err_init(&why);
    cv_buf_init(&own, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_object_spki(at, &own, &why);
    if (status == CV_OK) {
        says = same_key(cv_buf_bytes(&own), spki) ? MATCHES : DIFFERS;
    } else if (status == CV_INVALID || status == CV_INTEGRITY) {
        says = DIFFERS; /* whatever it is, it is not this key */
    } else if (status != CV_NOT_FOUND && status != CV_DENIED) {
        says = FAILED;
        if (err != NULL) {
            *err = why;
        }
    }
    cv_buf_wipe(&own);
    return says;
}

/* Asks what lies beside a private key that does not tell its public one. */
static enum cv_status ask_beside(CK_FUNCTION_LIST *functions,
                                 CK_SESSION_HANDLE session, struct cv_bytes id,
                                 struct cv_bytes spki, enum says *says,
                                 struct cv_err *err)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PUBLIC_KEY, CKO_CERTIFICATE};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    enum cv_status status = CV_OK;

    *says = SILENT;
    for (size_t c = 0; c < 2 && *says != MATCHES; c++) {
        struct cv_object_filter filter = {
            .by_class = true, .class = classes[c], .id = id};
        size_t n = 0;

        status = cv_object_find(functions, session, &filter, found,
                                CV_LIMIT_TOKEN_KEYS, &n, err);
        for (size_t i = 0; status == CV_OK && i < n && *says != MATCHES; i++) {
            struct cv_attribute_place at = {functions, session, found[i]};
            enum says one = ask(at, spki, err);

            if (one == FAILED) {
                return err == NULL ? CV_UNAVAILABLE : err->status;
            }
            *says = one == SILENT ? *says : one;
        }
        if (status != CV_OK) {
            return status;
        }
    }
    return CV_OK;
}

static enum cv_status other_key(struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY,
            "the token's key with this id is not the key of the certificate");
    cv_err_state(err, "it was not used");
    cv_err_hint(err, "another program put it there, or the token was made "
                     "anew: `certvault token objects` shows what there is");
    return CV_INTEGRITY;
}

static enum cv_status ambiguous(size_t n, struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY,
            "%zu private keys with the same id could be meant", n);
    cv_err_state(err, "none was used");
    cv_err_hint(err, "give the others another id, or remove them: `certvault "
                     "token objects` shows them");
    return CV_INTEGRITY;
}

/* What the private keys with one id say. */
struct count {
    size_t matching, silent, differing;
    CK_OBJECT_HANDLE match, quiet;
};

static enum cv_status judge(const struct count *c, CK_OBJECT_HANDLE *out,
                            struct cv_err *err)
{
    if (c->matching > 1 || (c->matching == 0 && c->silent > 1)) {
        return ambiguous(c->matching + c->silent, err);
    }
    if (c->matching + c->silent == 0) {
        if (c->differing != 0) {
            return other_key(err);
        }
        cv_fail(err, CV_NOT_FOUND, "the token has no private key with this id");
        cv_err_hint(err, "`certvault token objects` shows what there is");
        return CV_NOT_FOUND;
    }
    *out = c->matching != 0 ? c->match : c->quiet;
    return CV_OK;
}

static enum cv_status ask_all(CK_FUNCTION_LIST *functions,
                              CK_SESSION_HANDLE session, struct cv_bytes id,
                              struct cv_bytes spki, struct count *c,
                              struct cv_err *err)
{
    struct cv_object_filter filter = {
        .by_class = true, .class = CKO_PRIVATE_KEY, .id = id};
    CK_OBJECT_HANDLE found[CV_LIMIT_TOKEN_KEYS];
    enum cv_status status;
    size_t n = 0;

    status = cv_object_find(functions, session, &filter, found,
                            CV_LIMIT_TOKEN_KEYS, &n, err);
    for (size_t i = 0; status == CV_OK && i < n; i++) {
        struct cv_attribute_place at = {functions, session, found[i]};
        enum says one = ask(at, spki, err);

        if (one == FAILED) {
            return err == NULL ? CV_UNAVAILABLE : err->status;
        }
        c->matching += one == MATCHES;
        c->silent += one == SILENT;
        c->differing += one == DIFFERS;
        c->match = one == MATCHES ? found[i] : c->match;
        c->quiet = one == SILENT ? found[i] : c->quiet;
    }
    return status;
}

enum cv_status cv_object_find_private(CK_FUNCTION_LIST *functions,
                                      CK_SESSION_HANDLE session,
                                      struct cv_bytes id, struct cv_bytes spki,
                                      CK_OBJECT_HANDLE *out, bool *proven,
                                      struct cv_err *err)
{
    const struct cv_crypto_key *key = NULL;
    struct cv_buf wanted;
    struct count c = {0};
    enum says beside = SILENT;
    enum cv_status status;

    *out = CK_INVALID_HANDLE;
    *proven = false;
    if (id.data == NULL || id.len == 0 || spki.len == 0) {
        return cv_fail(err, CV_INVALID,
                       "a key is named by its id and its public key");
    }
    cv_buf_init(&wanted, NULL, CV_LIMIT_ATTRIBUTE);
    status = cv_crypto_spki(spki, &key, err);
    if (status == CV_OK) {
        cv_buf_add(&wanted, key->spki.data, key->spki.len);
        status = cv_buf_status(&wanted, "a public key", err);
    }
    if (status == CV_OK) {
        status =
            ask_all(functions, session, id, cv_buf_bytes(&wanted), &c, err);
    }
    if (status == CV_OK) {
        status = judge(&c, out, err);
    }
    if (status == CV_OK && c.matching == 0) {
        status = ask_beside(functions, session, id, cv_buf_bytes(&wanted),
                            &beside, err);
        if (status == CV_OK && beside == DIFFERS) {
            status = other_key(err);
        }
    }
    cv_buf_wipe(&wanted);
    if (status != CV_OK) {
        *out = CK_INVALID_HANDLE;
        return status;
    }
    *proven = c.matching != 0 || beside == MATCHES;
    return CV_OK;
}

const char *cv_object_class_name(CK_OBJECT_CLASS class)
{
    static const struct {
        CK_OBJECT_CLASS class;
        const char *name;
    } classes[] = {
        {CKO_PRIVATE_KEY, "private-key"},
        {CKO_PUBLIC_KEY, "public-key"},
        {CKO_SECRET_KEY, "secret-key"},
        {CKO_CERTIFICATE, "certificate"},
        {CKO_DATA, "data"},
    };

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (classes[i].class == class) {
            return classes[i].name;
        }
    }
    return "other";
}
