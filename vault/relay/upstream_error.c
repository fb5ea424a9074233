/* What libssl says went wrong, in words for who runs kubectl. */
#include "vault/relay/upstream.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/sslerr.h>
#include <string.h>

/* RFC 8446 section 6: alerts that refuse the client, not TLS. */
static const struct alert {
    int number;
    const char *what;
    const char *hint;
} ALERTS[] = {
    {SSL_AD_BAD_CERTIFICATE, "it does not take it", NULL},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, "it does not take its kind", NULL},
    {SSL_AD_CERTIFICATE_REVOKED, "it is revoked", NULL},
    {SSL_AD_CERTIFICATE_EXPIRED, "it is expired",
     "`certvault show` tells until when it is good; then fetch or import anew"},
    {SSL_AD_CERTIFICATE_UNKNOWN, "it does not take it", NULL},
    {SSL_AD_UNKNOWN_CA, "it is of a CA that the server does not know",
     "is it this cluster's certificate?"},
    {SSL_AD_ACCESS_DENIED, "it may not", NULL},
    {SSL_AD_DECRYPT_ERROR, "the signature is not its key's", NULL},
    {SSL_AD_CERTIFICATE_REQUIRED, "none was shown", NULL},
};

/* The alert's name; SSL_alert_desc_string_long does not know TLS 1.3's. */
static const char *name_of(unsigned long code)
{
    const char *text = ERR_reason_error_string(code);
    const char *name = text != NULL ? strstr(text, " alert ") : NULL;

    return name != NULL ? name + strlen(" alert ") : "one without a name";
}

static enum cv_status alert(unsigned long code, int number, struct cv_err *err)
{
    for (size_t i = 0; i < sizeof(ALERTS) / sizeof(ALERTS[0]); i++) {
        if (ALERTS[i].number == number) {
            (void)cv_fail_native(
                err, CV_REMOTE, CV_DOMAIN_OPENSSL, (long)code,
                "the server refuses the client certificate: %s (TLS alert: "
                "%s)",
                ALERTS[i].what, name_of(code));
            if (ALERTS[i].hint != NULL) {
                cv_err_hint(err, "%s", ALERTS[i].hint);
            }
            return CV_REMOTE;
        }
    }
    (void)cv_fail_native(err, CV_REMOTE, CV_DOMAIN_OPENSSL, (long)code,
                         "the server ended TLS with the alert: %s",
                         name_of(code));
    if (number == SSL_AD_PROTOCOL_VERSION) {
        cv_err_hint(err, "it must speak TLS 1.2 or 1.3");
    }
    return CV_REMOTE;
}

enum cv_status cv_upstream_fail(unsigned long code, struct cv_err *err)
{
    int reason = ERR_GET_REASON(code);
    const char *text;

    if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET &&
        reason < SSL_AD_REASON_OFFSET + 256) {
        return alert(code, reason - SSL_AD_REASON_OFFSET, err);
    }
    if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
        switch (reason) {
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_HTTP_REQUEST:
        case SSL_R_PACKET_LENGTH_TOO_LONG:
            return cv_fail_native(err, CV_REMOTE, CV_DOMAIN_OPENSSL, (long)code,
                                  "what answers there does not speak TLS");
        case SSL_R_UNSUPPORTED_PROTOCOL:
            return cv_fail_native(err, CV_REMOTE, CV_DOMAIN_OPENSSL, (long)code,
                                  "the server speaks neither TLS 1.2 nor 1.3");
        case SSL_R_UNEXPECTED_EOF_WHILE_READING:
            return cv_fail_native(err, CV_REMOTE, CV_DOMAIN_OPENSSL, (long)code,
                                  "the server closed the connection");
        default:
            break;
        }
    }
    text = ERR_reason_error_string(code);
    return cv_fail_native(err, CV_REMOTE, CV_DOMAIN_OPENSSL, (long)code,
                          "TLS with the server failed: %s",
                          text != NULL ? text : "no reason is known");
}
