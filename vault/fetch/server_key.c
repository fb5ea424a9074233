#include "vault/fetch/server_key.h"

#include "vault/base/limits.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct seen {
    uint8_t *spki;
    bool came;
};

/* libssl asks whether the chain is to be believed. Never: the leaf's key is
 * what was wanted. */
static int on_chain(X509_STORE_CTX *chain, void *context)
{
    struct seen *seen = context;
    X509 *leaf = X509_STORE_CTX_get0_cert(chain);
    unsigned char *der = NULL;
    int len =
        leaf != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der) : -1;

    seen->came = len > 0 && EVP_Digest(der, (size_t)len, seen->spki, NULL,
                                       EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static CURLcode on_tls(CURL *easy, void *tls, void *seen)
{
    (void)easy;
    SSL_CTX_set_cert_verify_callback(tls, on_chain, seen);
    return CURLE_OK;
}

/* An IPv6 address is in brackets where a port follows. */
static void add_host(const char *host, char *out, size_t size)
{
    (void)snprintf(out, size, strchr(host, ':') != NULL ? "[%s]" : "%s", host);
}

struct address {
    char url[CV_LIMIT_HOST + 40];  /* what it is asked for */
    char goes[CV_LIMIT_HOST + 40]; /* where that is */
};

static void write_address(const char *host, int port, const char *server_name,
                          struct address *out)
{
    char name[CV_LIMIT_HOST + 3], to[CV_LIMIT_HOST + 3];

    add_host(server_name != NULL ? server_name : host, name, sizeof(name));
    add_host(host, to, sizeof(to));
    (void)snprintf(out->url, sizeof(out->url), "https://%s:%d/", name, port);
    (void)snprintf(out->goes, sizeof(out->goes), "::%s:%d", to, port);
}

/* curl_easy_setopt is a macro that checks types; its results are gathered. */
#define SET(option, value) \
    ok = ok && curl_easy_setopt(e, (option), (value)) == CURLE_OK

static bool set_up(CURL *e, const struct address *a, struct curl_slist *goes,
                   struct seen *seen)
{
    bool ok = goes != NULL;

    SET(CURLOPT_URL, a->url);
    SET(CURLOPT_CONNECT_TO, goes);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_VERBOSE, 0L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CV_LIMIT_HTTP_CONNECT_S * 1000);
    SET(CURLOPT_TIMEOUT_MS, (long)CV_LIMIT_HTTP_CONNECT_S * 1000);
    SET(CURLOPT_SSL_ENABLE_ALPN, 0L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
    SET(CURLOPT_SSL_CTX_DATA, seen);
    return ok;
}

enum cv_status cv_server_key_read(const char *host, int port,
                                  const char *server_name,
                                  uint8_t spki[CV_SERVER_KEY_DIGEST],
                                  struct cv_err *err)
{
    struct seen seen = {.spki = spki};
    struct curl_slist *goes;
    struct address a;
    CURL *e = curl_easy_init();
    CURLcode code = CURLE_FAILED_INIT;

    write_address(host, port, server_name, &a);
    goes = curl_slist_append(NULL, a.goes);
    if (e != NULL && set_up(e, &a, goes, &seen)) {
        code = curl_easy_perform(e);
    }
    curl_easy_cleanup(e);
    curl_slist_free_all(goes);
    if (seen.came) {
        return CV_OK;
    }
    if (code == CURLE_FAILED_INIT) {
        return cv_fail(err, CV_INTERNAL, "libcurl lacks what is needed");
    }
    return cv_fail_native(err, CV_REMOTE, CV_DOMAIN_CURL, code,
                          "no certificate came from %s port %d: %s", host, port,
                          curl_easy_strerror(code));
}
