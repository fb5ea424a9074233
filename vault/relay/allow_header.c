#include "vault/relay/allow.h"

#include <strings.h>

/* Names in small letters; one that ends with '-' stands for all that begin so.
 */
static const struct {
    const char *name;
    enum cv_allow_header what;
} headers[] = {
    /* Who asks is the certificate's to say. */
    {"authorization", CV_ALLOW_REFUSE},
    {"impersonate-", CV_ALLOW_REFUSE},
    {"x-remote-", CV_ALLOW_REFUSE},
    {"client-cert", CV_ALLOW_REFUSE},
    {"client-cert-chain", CV_ALLOW_REFUSE},
    /* What is asked for is the request line's. */
    {"x-http-method", CV_ALLOW_REFUSE},
    {"x-http-method-override", CV_ALLOW_REFUSE},
    {"x-method-override", CV_ALLOW_REFUSE},
    {"x-original-url", CV_ALLOW_REFUSE},
    {"x-rewrite-url", CV_ALLOW_REFUSE},
    /* The relay sets its own. */
    {"audit-id", CV_ALLOW_DROP},
    {"host", CV_ALLOW_DROP},
    {"content-length", CV_ALLOW_DROP},
    {"expect", CV_ALLOW_DROP},
    /* Where it comes from is not the client's to say. */
    {"forwarded", CV_ALLOW_DROP},
    {"x-forwarded-", CV_ALLOW_DROP},
    {"x-real-ip", CV_ALLOW_DROP},
    /* Of this connection alone (RFC 9110 section 7.6.1). */
    {"connection", CV_ALLOW_DROP},
    {"keep-alive", CV_ALLOW_DROP},
    {"proxy-", CV_ALLOW_DROP},
    {"te", CV_ALLOW_DROP},
    {"trailer", CV_ALLOW_DROP},
    {"transfer-encoding", CV_ALLOW_DROP},
    {"upgrade", CV_ALLOW_DROP},
    {"http2-settings", CV_ALLOW_DROP},
};

/* Is `name` the entry's, but for case and '_' for '-'? */
static bool is_entry(struct cv_slice name, const char *entry)
{
    size_t len = strlen(entry);
    bool prefix = entry[len - 1] == '-';

    if (prefix ? name.len < len : name.len != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = name.at[i] == '_' ? '-' : name.at[i];

        if (c >= 'A' && c <= 'Z') {
            c = (char)(c - 'A' + 'a');
        }
        if (c != entry[i]) {
            return false;
        }
    }
    return true;
}

/* kube-apiserver takes a bearer token from a WebSocket's subprotocols, for
 * browsers, which cannot set Authorization. */
static bool has_bearer(struct cv_slice value)
{
    static const char bearer[] = "base64url.bearer.authorization.k8s.io";
    size_t len = sizeof(bearer) - 1;

    for (size_t i = 0; i + len <= value.len; i++) {
        if (strncasecmp(value.at + i, bearer, len) == 0) {
            return true;
        }
    }
    return false;
}

enum cv_allow_header cv_allow_header(struct cv_slice name,
                                     struct cv_slice value)
{
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        if (is_entry(name, headers[i].name)) {
            return headers[i].what;
        }
    }
    if (is_entry(name, "sec-websocket-protocol") && has_bearer(value)) {
        return CV_ALLOW_REFUSE;
    }
    return CV_ALLOW_KEEP;
}

enum cv_status cv_allow_header_denied(struct cv_slice name, struct cv_err *err)
{
    char shown[64];
    enum cv_status s =
        cv_fail(err, CV_DENIED, "the header %s is not taken from clients",
                cv_err_quote(shown, sizeof(shown), name.at, name.len));

    cv_err_hint(err, "the certificate says who asks; leave out --as, --token "
                     "and the like");
    return s;
}
