#include "pkcs11/import.h"

#include "vault/base/limits.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

struct importing {
    CK_FUNCTION_LIST *f;
    CK_SESSION_HANDLE s;
    struct cv_bytes id;
    const char *label;
    bool allow_leaky;
    struct cv_session_pool *pool;
    struct cv_import_result *out;
};

/* Examines what was made, and looks whether its like is wanted here. */
static enum cv_status examine(struct importing *i, CK_OBJECT_HANDLE key,
                              struct cv_bytes spki, enum cv_examine_mode mode,
                              struct cv_err *err)
{
    struct cv_examine_order order = {mode, spki, i->pool};
    enum cv_status s =
        cv_examine_key(i->f, i->s, key, &order, &i->out->findings, err);

    if (s == CV_OK && i->out->findings.leaky && !i->allow_leaky) {
        (void)cv_fail(err, CV_DENIED,
                      "the token lets keys out that it says it guards");
        cv_err_hint(err,
                    "use another token; where this one must do, the policy can "
                    "permit leaky tokens");
        return CV_DENIED;
    }
    return s;
}

/* After a failure: takes away what was made, and says so. */
static void take_away(const struct importing *i, struct cv_err *err)
{
    struct cv_err why;
    size_t destroyed = 0;

    cv_err_init(&why);
    if (cv_create_destroy(i->f, i->s, i->id, i->label, &destroyed, &why) !=
        CV_OK) {
        cv_err_state(err,
                     "objects of this key may be left on the token: %.120s",
                     why.text);
        cv_notes_leave(&i->out->notes);
    } else {
        cv_err_state(err, "what was made on the token was destroyed again");
    }
}

/* Is `spki` the public key of the first certificate of `pem`? */
static enum cv_status is_leafs(struct cv_bytes spki, struct cv_bytes pem,
                               struct cv_err *err)
{
    BIO *in = pem.len > 0 && pem.len <= CV_LIMIT_PEM
                  ? BIO_new_mem_buf(pem.data, (int)pem.len)
                  : NULL;
    X509 *leaf = in != NULL ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    EVP_PKEY *certified = leaf != NULL ? X509_get0_pubkey(leaf) : NULL;
    const unsigned char *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    bool same =
        certified != NULL && key != NULL && EVP_PKEY_eq(certified, key) == 1;

    EVP_PKEY_free(key);
    X509_free(leaf);
    BIO_free(in);
    return same
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY, "the key is not the certificate's");
}

/* All but the key itself, which is there; then the whole of it is looked at. */
static enum cv_status complete(struct importing *i, CK_OBJECT_HANDLE key,
                               struct cv_bytes spki,
                               const struct cv_import_order *order,
                               struct cv_err *err)
{
    enum cv_status s = examine(i, key, spki, CV_EXAMINE_FRESH, err);

    if (s == CV_OK) {
        cv_create_public(i->f, i->s, spki, i->id, i->label, &i->out->notes);
        s = cv_create_certificates(i->f, i->s, i->id, i->label,
                                   order->certificates, order->ca,
                                   &i->out->notes, err);
    }
    return s;
}

enum cv_status cv_import_key(CK_FUNCTION_LIST *functions,
                             CK_SESSION_HANDLE session,
                             const struct cv_import_order *order,
                             struct cv_arena *arena,
                             struct cv_import_result *out, struct cv_err *err)
{
    struct importing i = {functions,
                          session,
                          order->key.id,
                          order->key.label,
                          order->allow_leaky,
                          order->pool,
                          out};
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    struct cv_buf spki;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    cv_buf_init(&spki, NULL, CV_LIMIT_KEY_DER);
    s = cv_create_spki(order->key.key_der, &spki, err);
    if (s == CV_OK) {
        s = is_leafs(cv_buf_bytes(&spki), order->certificates, err);
    }
    if (s == CV_OK) {
        s = cv_create_key(functions, session, &order->key, arena, &out->way,
                          &key, &out->notes, err);
    }
    if (s == CV_OK) {
        s = complete(&i, key, cv_buf_bytes(&spki), order, err);
        if (s != CV_OK) {
            take_away(&i, err);
        }
    }
    cv_buf_wipe(&spki);
    return s;
}

enum cv_status
cv_import_generate(CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                   const struct cv_generate_order *order, bool allow_leaky,
                   struct cv_session_pool *pool, struct cv_buf *spki,
                   struct cv_import_result *out, struct cv_err *err)
{
    struct importing i = {functions,   session, order->id, order->label,
                          allow_leaky, pool,    out};
    enum cv_examine_mode mode = order->purpose == CV_GENERATE_SLOT
                                    ? CV_EXAMINE_FRESH_SLOT
                                    : CV_EXAMINE_FRESH;
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    size_t before = spki->len;
    struct cv_bytes der;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    s = cv_generate_key(functions, session, order, spki, &key, &out->notes,
                        err);
    if (s == CV_OK) {
        der = (struct cv_bytes){spki->data + before, spki->len - before};
        s = examine(&i, key, der, mode, err);
        if (s != CV_OK) {
            take_away(&i, err);
        }
    }
    return s;
}
