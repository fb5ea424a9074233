#include "vault/base/buf.h"
#include "vault/base/name.h"
#include "vault/kubeconfig/kube_room_internal.h"
#include "vault/kubeconfig/x509_internal.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>

#include <string.h>

#define MASTERS "system:masters"
#define GROUP_MAX 256

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "out of memory");
}

/* Copies what fits; dots tell that more was there. */
static enum cv_status keep(struct cv_arena *arena, const char *text, size_t len,
                           size_t max, const char **out, struct cv_err *err)
{
    struct cv_buf b;
    cv_buf_init(&b, arena, max + 3);
    cv_buf_add(&b, text, len < max ? len : max);
    cv_buf_add_str(&b, len > max ? "..." : "");
    *out = cv_buf_text(&b);
    return cv_buf_status(&b, "a name", err);
}

enum cv_status cv_x509_name(struct cv_arena *arena, const X509_NAME *name,
                            const char **out, struct cv_err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return no_memory(err);
    }
    enum cv_status st;
    char *text = NULL;
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) {
        st = cv_fail(err, CV_INVALID,
                     "a name in the certificate cannot be read");
    } else {
        long len = BIO_get_mem_data(bio, &text);
        st = keep(arena, text, (size_t)len, CV_CERTIFICATE_NAME_MAX, out, err);
    }
    BIO_free(bio);
    return st;
}

enum cv_status cv_x509_serial(struct cv_arena *arena,
                              const ASN1_INTEGER *serial, const char **out,
                              struct cv_err *err)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(serial, NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    *out = hex != NULL ? cv_arena_copy(arena, hex, strlen(hex), err) : NULL;
    enum cv_status st = CV_OK;
    if (hex == NULL) {
        st = no_memory(err);
    } else if (*out == NULL) {
        st = cv_kube_room_failed(err);
    }
    OPENSSL_free(hex);
    BN_free(number);
    return st;
}

/* `text` if it may be shown as it is, else with \XX for all that is not
 * printable ASCII. */
static enum cv_status group_text(struct cv_arena *arena, struct cv_bytes text,
                                 const char **out, struct cv_err *err)
{
    if (text.len <= GROUP_MAX && cv_name_is_printable(text)) {
        *out = cv_arena_copy(arena, text.data, text.len, err);
        return *out != NULL ? CV_OK : cv_kube_room_failed(err);
    }
    struct cv_buf b;
    cv_buf_init(&b, arena, 4 * GROUP_MAX);
    for (size_t i = 0; i < text.len && i < GROUP_MAX; i++) {
        uint8_t c = text.data[i];
        if (c >= ' ' && c <= '~' && c != '\\') {
            cv_buf_add_char(&b, (char)c);
        } else {
            cv_buf_add_format(&b, "\\%02X", c);
        }
    }
    cv_buf_add_str(&b, text.len > GROUP_MAX ? "..." : "");
    *out = cv_buf_text(&b);
    return cv_buf_status(&b, "a group", err);
}

static enum cv_status add_group(struct cv_arena *arena,
                                const ASN1_STRING *value, const char **out,
                                bool *masters, struct cv_err *err)
{
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, value);
    struct cv_bytes text = {utf8, len < 0 ? 0 : (size_t)len};
    if (len < 0) {
        text = (struct cv_bytes){ASN1_STRING_get0_data(value),
                                 (size_t)ASN1_STRING_length(value)};
    } else if (text.len == strlen(MASTERS) &&
               memcmp(text.data, MASTERS, text.len) == 0) {
        *masters = true;
    }
    enum cv_status st = group_text(arena, text, out, err);
    OPENSSL_free(utf8);
    return st;
}

enum cv_status cv_x509_groups(struct cv_arena *arena, const X509_NAME *subject,
                              struct cv_certificate *out, struct cv_err *err)
{
    const char *groups[CV_CERTIFICATE_GROUPS_MAX];
    size_t n = 0;
    for (int i = -1; (i = X509_NAME_get_index_by_NID(
                          subject, NID_organizationName, i)) >= 0;) {
        if (n == CV_CERTIFICATE_GROUPS_MAX) {
            return cv_fail(err, CV_INVALID,
                           "the certificate is in more than %d groups",
                           CV_CERTIFICATE_GROUPS_MAX);
        }
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        enum cv_status st = add_group(arena, X509_NAME_ENTRY_get_data(entry),
                                      &groups[n++], &out->masters, err);
        if (st != CV_OK) {
            return st;
        }
    }
    const char **kept = cv_arena_alloc(arena, (n + 1) * sizeof(*kept), err);
    if (kept == NULL) {
        return cv_kube_room_failed(err);
    }
    memcpy(kept, groups, n * sizeof(*kept));
    out->groups = kept;
    out->n_groups = n;
    return CV_OK;
}
