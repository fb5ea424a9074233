/* Bytes in and out of a socket, with TLS or without. */
#include "vault/relay/leg_internal.h"

#include "vault/relay/tls_internal.h"
#include "vault/relay/upstream.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* What an errno says of a connection. */
static enum cv_leg_io broken_errno(struct cv_leg *leg, int number)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "the connection broke: %s",
                   strerrordesc_np(number));
    cv_leg_break(leg, number == 0 ? "the connection broke" : text);
    return CV_LEG_IO_BROKEN;
}

/* What libssl says. */
static enum cv_leg_io broken_tls(struct cv_leg *leg)
{
    unsigned long code = cv_tls_cause();
    int reason = ERR_GET_REASON(code);
    const char *word = ERR_reason_error_string(code);
    const char *alert = word != NULL ? strstr(word, " alert ") : NULL;
    char text[160];

    if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        cv_leg_break(leg, "the connection was cut: it ended without TLS's "
                          "close_notify");
        return CV_LEG_IO_BROKEN;
    }
    /* In TLS 1.3 a server refuses a client certificate only now. */
    if (!SSL_is_server(leg->ssl) && reason > SSL_AD_REASON_OFFSET) {
        struct cv_err why;

        cv_err_init(&why);
        (void)cv_upstream_fail(code, &why);
        cv_leg_break(leg, why.text);
        return CV_LEG_IO_BROKEN;
    }
    /* "tlsv13 alert certificate required" */
    if (reason > SSL_AD_REASON_OFFSET && alert != NULL) {
        (void)snprintf(text, sizeof(text),
                       "the other end sent the TLS alert: %s",
                       alert + strlen(" alert "));
    } else {
        (void)snprintf(text, sizeof(text), "TLS failed: %s",
                       word != NULL ? word : "no reason is known");
    }
    cv_leg_break(leg, text);
    return CV_LEG_IO_BROKEN;
}

/* What became of a libssl call that returned `rc`, which is not success. */
static enum cv_leg_io after_tls(struct cv_leg *leg, int rc)
{
    int number = errno;

    switch (SSL_get_error(leg->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return CV_LEG_IO_IN;
    case SSL_ERROR_WANT_WRITE:
        return CV_LEG_IO_OUT;
    case SSL_ERROR_ZERO_RETURN:
        return CV_LEG_IO_ENDED;
    case SSL_ERROR_SYSCALL:
        return broken_errno(leg, number);
    default:
        return broken_tls(leg);
    }
}

static bool must_wait(int number)
{
    return number == EAGAIN || number == EWOULDBLOCK || number == EINTR;
}

enum cv_leg_io cv_leg_recv(struct cv_leg *leg, uint8_t *buf, size_t len,
                           size_t *n)
{
    ssize_t got;

    *n = 0;
    if (leg->ssl != NULL) {
        enum cv_leg_io io;
        int rc;

        ERR_clear_error();
        rc = SSL_read_ex(leg->ssl, buf, len, n);
        if (rc == 1) {
            return CV_LEG_IO_DONE;
        }
        io = after_tls(leg, rc);
        if (io == CV_LEG_IO_IN) {
            /* A ticket or a new key that came on its own left a buffer for an
             * answer behind, which SSL_MODE_RELEASE_BUFFERS keeps. */
            (void)SSL_free_buffers(leg->ssl);
        }
        return io;
    }
    got = recv(leg->fd, buf, len, 0);
    if (got > 0) {
        *n = (size_t)got;
        return CV_LEG_IO_DONE;
    }
    if (got == 0) {
        return CV_LEG_IO_ENDED;
    }
    return must_wait(errno) ? CV_LEG_IO_IN : broken_errno(leg, errno);
}

enum cv_leg_io cv_leg_send(struct cv_leg *leg, const uint8_t *data, size_t len,
                           size_t *n)
{
    ssize_t sent;

    *n = 0;
    if (leg->ssl != NULL) {
        int rc;

        ERR_clear_error();
        rc = SSL_write_ex(leg->ssl, data, len, n);
        return rc == 1 ? CV_LEG_IO_DONE : after_tls(leg, rc);
    }
    sent = send(leg->fd, data, len, MSG_NOSIGNAL);
    if (sent >= 0) {
        *n = (size_t)sent;
        return CV_LEG_IO_DONE;
    }
    return must_wait(errno) ? CV_LEG_IO_OUT : broken_errno(leg, errno);
}

enum cv_leg_io cv_leg_shut(struct cv_leg *leg)
{
    int rc;

    if (leg->ssl == NULL) {
        (void)shutdown(leg->fd, SHUT_WR);
        return CV_LEG_IO_DONE;
    }
    ERR_clear_error();
    rc = SSL_shutdown(leg->ssl);
    if (rc >= 0) {
        return CV_LEG_IO_DONE; /* 0: sent, the other end's not seen yet */
    }
    return SSL_get_error(leg->ssl, rc) == SSL_ERROR_WANT_WRITE ? CV_LEG_IO_OUT
                                                               : CV_LEG_IO_DONE;
}
