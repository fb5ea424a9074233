#include "vault/fetch/http_answer.h"

#include <curl/curl.h>
#include <openssl/x509_vfy.h>
#include <string.h>

static struct cv_bytes trim(const uint8_t *at, size_t len)
{
    while (len > 0 && (*at == ' ' || *at == '\t')) {
        at++;
        len--;
    }
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t' ||
                       at[len - 1] == '\r' || at[len - 1] == '\n')) {
        len--;
    }
    return (struct cv_bytes){at, len};
}

bool cv_http_answer_header(const struct cv_http_answer *a, const char *name,
                           struct cv_bytes *out)
{
    size_t want = strlen(name);
    const uint8_t *at = a->head.data;
    size_t left = a->head.len;

    *out = (struct cv_bytes){NULL, 0};
    while (left > 0) {
        const uint8_t *end = memchr(at, '\n', left);
        size_t len = end == NULL ? left : (size_t)(end - at) + 1;

        if (len > want && at[want] == ':' &&
            strncasecmp((const char *)at, name, want) == 0) {
            *out = trim(at + want + 1, len - want - 1);
            return true;
        }
        at += len;
        left -= len;
    }
    return false;
}

bool cv_http_answer_header_text(const struct cv_http_answer *a,
                                const char *name, char *out, size_t out_len)
{
    struct cv_bytes value;

    out[0] = '\0';
    if (!cv_http_answer_header(a, name, &value) || value.len >= out_len) {
        return false;
    }
    if (value.len > 0) {
        memcpy(out, value.data, value.len);
    }
    out[value.len] = '\0';
    return true;
}

bool cv_http_answer_is_json(const struct cv_http_answer *a)
{
    static const char json[] = "application/json";
    struct cv_bytes value;
    size_t len = sizeof(json) - 1;

    return cv_http_answer_header(a, "content-type", &value) &&
           value.len >= len &&
           strncasecmp((const char *)value.data, json, len) == 0 &&
           (value.len == len || value.data[len] == ';' ||
            value.data[len] == ' ');
}

static const char *tls_reason(const struct cv_http_answer *a)
{
    if (a->verify != 0) {
        return X509_verify_cert_error_string(a->verify);
    }
    return a->curl == CURLE_PEER_FAILED_VERIFICATION
               ? "its certificate is not for this host"
               : "TLS cannot be set up";
}

static const char *reason(const struct cv_http_answer *a)
{
    switch (a->end) {
    case CV_HTTP_UNRESOLVED:
        return "its name cannot be resolved";
    case CV_HTTP_UNREACHED:
        return "the connection was refused or reset";
    case CV_HTTP_TIMED_OUT:
        return "no answer in time";
    case CV_HTTP_CUT:
        return a->why != NULL ? a->why : "the answer was cut short";
    case CV_HTTP_UNTRUSTED:
        return tls_reason(a);
    case CV_HTTP_BLOCKED:
        return "its name leads to an address that no cloud has";
    default:
        return a->why != NULL ? a->why : "the answer is no HTTP answer";
    }
}

static const char *advice(const struct cv_http_answer *a)
{
    switch (a->end) {
    case CV_HTTP_UNRESOLVED:
        return "check the region or --endpoint, and this machine's name server";
    case CV_HTTP_UNREACHED:
    case CV_HTTP_TIMED_OUT:
        return "check that this machine reaches the endpoint; a proxy is used "
               "only when --proxy names it";
    case CV_HTTP_UNTRUSTED:
        return "check the endpoint; for a certificate of an authority of your "
               "own give --ca-file";
    case CV_HTTP_BLOCKED:
        return "check this machine's name server; an address of your own is "
               "taken when --endpoint names it";
    case CV_HTTP_CUT:
        return "try again; if it stays, something stands between this machine "
               "and the endpoint";
    default:
        return "check that the endpoint is the cloud's API and not a login "
               "page or proxy";
    }
}

enum cv_status cv_http_answer_fail(const struct cv_http_answer *a,
                                   const struct cv_origin *origin,
                                   struct cv_err *err)
{
    if (a->end == CV_HTTP_LOCAL) {
        return cv_fail(err, a->memory == CV_OK ? CV_INTERNAL : a->memory,
                       "no memory for an answer of %s", origin->url);
    }
    if (a->end == CV_HTTP_ALONE) {
        return cv_fail(err, CV_UNAVAILABLE, "whoever asked has hung up");
    }
    (void)cv_fail_native(err, CV_REMOTE, CV_DOMAIN_CURL, a->curl, "%s: %s",
                         origin->url, reason(a));
    cv_err_hint(err, "%s", advice(a));
    return CV_REMOTE;
}
