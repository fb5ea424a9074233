#include "vault/relay/http1_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

const char *cv_http1_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "";
}

/* Could it be one line's text? */
static bool is_line(struct cv_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_word(struct cv_slice s)
{
    return s.len > 0 && is_line(s) && memchr(s.at, ' ', s.len) == NULL &&
           memchr(s.at, '\t', s.len) == NULL;
}

static void spoil(struct cv_buf *out)
{
    if (out->status == CV_OK) {
        out->status = CV_INVALID;
    }
}

static void add(struct cv_buf *out, struct cv_slice s)
{
    if (s.len > 0) {
        cv_buf_add(out, s.at, s.len);
    }
}

void cv_http1_put_request(struct cv_buf *out, struct cv_slice method,
                          const char *prefix, struct cv_slice target,
                          const char *host)
{
    if (!cv_http1_is_token(method) || !is_word(target) ||
        (prefix[0] != '\0' && !is_word(cv_slice_of(prefix))) ||
        !is_word(cv_slice_of(host))) {
        spoil(out);
        return;
    }
    add(out, method);
    cv_buf_add_char(out, ' ');
    cv_buf_add_str(out, prefix);
    add(out, target);
    cv_buf_add_str(out, " HTTP/1.1\r\nHost: ");
    cv_buf_add_str(out, host);
    cv_buf_add_str(out, "\r\n");
}

void cv_http1_put_status(struct cv_buf *out, int status)
{
    if (status < 100 || status > 999) {
        spoil(out);
        return;
    }
    cv_buf_add_format(out, "HTTP/1.1 %d %s\r\n", status,
                      cv_http1_reason(status));
}

void cv_http1_put_header(struct cv_buf *out, struct cv_slice name,
                         struct cv_slice value)
{
    if (!cv_http1_is_token(name) || !is_line(value)) {
        spoil(out);
        return;
    }
    add(out, name);
    cv_buf_add_str(out, ": ");
    add(out, value);
    cv_buf_add_str(out, "\r\n");
}

void cv_http1_put_length(struct cv_buf *out, uint64_t length)
{
    cv_buf_add_format(out, "Content-Length: %" PRIu64 "\r\n", length);
}

void cv_http1_put_end(struct cv_buf *out)
{
    cv_buf_add_str(out, "\r\n");
}

size_t cv_http1_chunk_line(char out[CV_HTTP1_CHUNK_LINE], size_t len)
{
    int n = snprintf(out, CV_HTTP1_CHUNK_LINE, "%zx\r\n", len);

    return n > 0 ? (size_t)n : 0;
}
