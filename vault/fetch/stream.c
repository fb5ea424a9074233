#include "vault/fetch/stream.h"

#include "vault/base/clock.h"
#include "vault/base/limits.h"

#include <curl/curl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* How often it is looked whether all is acknowledged. */
#define LOOK_MS 5

struct cv_stream {
    CURL *easy;
    curl_socket_t fd;
    uint8_t *kept; /* what is being sent; NULL: nothing */
    size_t len, sent;
};

/* curl_easy_setopt is a macro that checks types; its results are gathered. */
#define SET(option, value) \
    ok = ok && curl_easy_setopt(e, (option), (value)) == CURLE_OK

static bool set_up(CURL *e, const char *origin, bool tls, const char *ca_pem)
{
    bool ok = true;
    char url[CV_LIMIT_HOST + 40];

    (void)snprintf(url, sizeof(url), "%s://%s/", tls ? "https" : "http",
                   origin);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_VERBOSE, 0L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CV_LIMIT_HTTP_CONNECT_S * 1000);
    if (!tls) {
        return ok;
    }
    SET(CURLOPT_SSL_ENABLE_ALPN, 0L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSL_CIPHER_LIST, "DEFAULT:!aNULL:!eNULL:!PSK:@SECLEVEL=2");
    if (ca_pem != NULL) {
        struct curl_blob blob = {(void *)(uintptr_t)ca_pem, strlen(ca_pem),
                                 CURL_BLOB_COPY};

        SET(CURLOPT_CAINFO, NULL);
        SET(CURLOPT_CAPATH, NULL);
        SET(CURLOPT_CAINFO_BLOB, &blob);
    }
    return ok;
}

enum cv_status cv_stream_open(const char *origin, bool tls, const char *ca_pem,
                              struct cv_stream **out, struct cv_err *err)
{
    struct cv_stream *s = calloc(1, sizeof(*s));
    CURLcode code;

    *out = NULL;
    if (s == NULL || (s->easy = curl_easy_init()) == NULL ||
        !set_up(s->easy, origin, tls, ca_pem)) {
        cv_stream_close(s);
        return cv_fail(err, CV_INTERNAL, "libcurl lacks what is needed");
    }
    code = curl_easy_perform(s->easy);
    if (code == CURLE_OK) {
        code = curl_easy_getinfo(s->easy, CURLINFO_ACTIVESOCKET, &s->fd);
    }
    if (code != CURLE_OK) {
        cv_stream_close(s);
        return cv_fail_native(err, CV_REMOTE, CV_DOMAIN_CURL, code, "%s",
                              curl_easy_strerror(code));
    }
    *out = s;
    return CV_OK;
}

enum cv_stream_state cv_stream_look(struct cv_stream *s)
{
    char dropped[1024];
    size_t n = 0;
    CURLcode code;

    do {
        code = curl_easy_recv(s->easy, dropped, sizeof(dropped), &n);
    } while (code == CURLE_OK && n > 0);
    return code == CURLE_AGAIN ? CV_STREAM_WHOLE
           : code == CURLE_OK  ? CV_STREAM_ENDED
                               : CV_STREAM_RESET;
}

static int left(int64_t until_ms)
{
    int64_t ms = until_ms - cv_clock_boot_ms();

    return ms <= 0 ? 0 : ms > 1000 ? 1000 : (int)ms;
}

static enum cv_status late(struct cv_err *err)
{
    return cv_fail(err, CV_BUSY, "the server does not take what is sent");
}

/* Until the other end's kernel has it all. */
static enum cv_status settle(struct cv_stream *s, int64_t until_ms,
                             struct cv_err *err)
{
    struct pollfd p = {.fd = s->fd, .events = 0};

    for (;;) {
        struct tcp_info info;
        socklen_t len = sizeof(info);

        memset(&info, 0, sizeof(info));
        if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == -1) {
            return cv_fail_errno(err, CV_REMOTE, "the connection");
        }
        if (info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0) {
            return CV_OK;
        }
        if (left(until_ms) == 0) {
            return late(err);
        }
        if (poll(&p, 1, LOOK_MS) > 0) {
            return CV_OK; /* it ended: whoever looks sees how */
        }
    }
}

static enum cv_status closed(struct cv_err *err)
{
    return cv_fail(err, CV_REMOTE, "the server closed the connection");
}

/* What TLS could not send must come again from the same place. */
static enum cv_status flush(struct cv_stream *s, int64_t until_ms,
                            struct cv_err *err)
{
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};

    while (s->sent < s->len) {
        size_t n = 0;
        CURLcode code =
            curl_easy_send(s->easy, s->kept + s->sent, s->len - s->sent, &n);

        if (code == CURLE_AGAIN && left(until_ms) == 0) {
            return late(err);
        }
        if (code == CURLE_AGAIN) {
            (void)poll(&p, 1, left(until_ms));
        } else if (code != CURLE_OK) {
            return closed(err);
        }
        s->sent += n;
    }
    return CV_OK;
}

static enum cv_status keep(struct cv_stream *s, struct cv_bytes bytes,
                           struct cv_err *err)
{
    s->kept = malloc(bytes.len);
    if (s->kept == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    memcpy(s->kept, bytes.data, bytes.len);
    s->len = bytes.len;
    s->sent = 0;
    return CV_OK;
}

enum cv_status cv_stream_send(struct cv_stream *s, struct cv_bytes bytes,
                              int64_t until_ms, struct cv_err *err)
{
    enum cv_status st = s->kept == NULL ? keep(s, bytes, err) : CV_OK;

    if (st == CV_OK) {
        st = flush(s, until_ms, err);
    }
    if (st == CV_OK) {
        st = settle(s, until_ms, err);
    }
    if (st != CV_OK) {
        return st;
    }
    free(s->kept);
    s->kept = NULL;
    return cv_stream_look(s) == CV_STREAM_WHOLE ? CV_OK : closed(err);
}

bool cv_stream_is_held(const struct cv_stream *s)
{
    return s->kept != NULL;
}

void cv_stream_close(struct cv_stream *s)
{
    if (s != NULL) {
        curl_easy_cleanup(s->easy);
        free(s->kept);
        free(s);
    }
}
