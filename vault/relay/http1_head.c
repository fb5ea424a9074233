#include "vault/relay/http1_internal.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LENGTH_DIGITS 18 /* what surely fits into 63 bits */

/* What the header lines say about the message, before it is put together. */
struct facts {
    unsigned hosts, lengths, codings, upgrades, expects;
    bool close, keep, upgrade; /* named by Connection */
    struct cv_slice length, coding;
};

bool cv_http1_is_tchar(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool cv_http1_is_token(struct cv_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!cv_http1_is_tchar(s.at[i])) {
            return false;
        }
    }
    return s.len > 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct cv_slice cv_http1_trim(struct cv_slice s)
{
    while (s.len > 0 && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.at[s.len - 1])) {
        s.len--;
    }
    return s;
}

bool cv_http1_element(struct cv_slice *list, struct cv_slice *element)
{
    if (list->len == 0) {
        return false;
    }
    const char *comma = memchr(list->at, ',', list->len);
    size_t len = comma != NULL ? (size_t)(comma - list->at) : list->len;
    struct cv_slice first = {list->at, len};
    size_t taken = len + (comma != NULL ? 1 : 0);

    *element = cv_http1_trim(first);
    list->at += taken;
    list->len -= taken;
    return true;
}

/* Takes the line at the start of *rest, without its CRLF. */
static struct cv_slice take_line(struct cv_slice *rest)
{
    const char *end = memchr(rest->at, '\n', rest->len);
    size_t taken = (size_t)(end - rest->at) + 1;
    struct cv_slice line = {rest->at, taken - 2};

    rest->at += taken;
    rest->len -= taken;
    return line;
}

/* "HTTP/1.0" or "HTTP/1.1". */
static bool read_version(struct cv_slice s, struct cv_head *out)
{
    out->minor = cv_slice_is(s, "HTTP/1.1") ? 1 : 0;
    return out->minor == 1 || cv_slice_is(s, "HTTP/1.0");
}

/* Where the next space is; NULL: none. */
static const char *space_in(struct cv_slice s)
{
    return s.len > 0 ? memchr(s.at, ' ', s.len) : NULL;
}

static const char *read_request_line(struct cv_slice line, struct cv_head *out)
{
    const char *first = space_in(line);

    if (first == NULL) {
        return "is no request line";
    }
    out->method = (struct cv_slice){line.at, (size_t)(first - line.at)};
    struct cv_slice rest = {first + 1, line.len - out->method.len - 1};
    const char *second = space_in(rest);
    if (second == NULL) {
        return "is no request line";
    }
    out->target = (struct cv_slice){rest.at, (size_t)(second - rest.at)};
    struct cv_slice version = {second + 1, rest.len - out->target.len - 1};
    if (!read_version(version, out)) {
        return "is not of HTTP/1.1";
    }
    if (!cv_http1_is_token(out->method)) {
        return "has a method that is none";
    }
    if (cv_slice_names(out->method, "CONNECT") ||
        cv_slice_names(out->method, "TRACE")) {
        return "asks for CONNECT or TRACE";
    }
    if (out->target.len == 0 || out->target.at[0] != '/' ||
        memchr(out->target.at, '\t', out->target.len) != NULL) {
        return "has a target that is no path";
    }
    return NULL;
}

static const char *read_status_line(struct cv_slice line, struct cv_head *out)
{
    static const size_t bare = sizeof("HTTP/1.1 200") - 1;
    struct cv_slice version = {line.at, sizeof("HTTP/1.1") - 1};
    const char *digits = line.at + version.len + 1;

    if (line.len < bare || !read_version(version, out) ||
        line.at[version.len] != ' ' ||
        (line.len > bare && line.at[bare] != ' ')) {
        return "is no status line of HTTP/1.1";
    }
    for (int i = 0; i < 3; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return "has no status";
        }
        out->status = out->status * 10 + (digits[i] - '0');
    }
    return out->status >= 100 && out->status <= 599 ? NULL : "has no status";
}

static const char *read_line(struct cv_slice line, struct cv_header *out)
{
    const char *colon = memchr(line.at, ':', line.len);

    if (is_blank(line.at[0])) {
        return "has a folded line";
    }
    if (colon == NULL) {
        return "has a header line without a colon";
    }
    out->name = (struct cv_slice){line.at, (size_t)(colon - line.at)};
    if (!cv_http1_is_token(out->name)) {
        return "has a header with a wrong name";
    }
    struct cv_slice value = {colon + 1, line.len - out->name.len - 1};
    out->value = cv_http1_trim(value);
    return NULL;
}

/* A request names only what this reader knows the meaning of: whatever else it
 * named would be taken out on the way, so that what was decided about and what
 * arrives were two things. */
static const char *read_connection(struct cv_slice list, bool request,
                                   struct facts *f)
{
    struct cv_slice element;

    while (cv_http1_element(&list, &element)) {
        if (cv_slice_names(element, "close")) {
            f->close = true;
        } else if (cv_slice_names(element, "keep-alive")) {
            f->keep = true;
        } else if (cv_slice_names(element, "upgrade")) {
            f->upgrade = true;
        } else if (request && element.len > 0 &&
                   !cv_slice_names(element, "te")) {
            return "has a Connection that names other headers";
        }
    }
    return NULL;
}

static const char *note_header(const struct cv_header *h, bool request,
                               struct cv_head *out, struct facts *f)
{
    if (cv_slice_names(h->name, "connection")) {
        return read_connection(h->value, request, f);
    }
    if (cv_slice_names(h->name, "content-length")) {
        f->lengths++;
        f->length = h->value;
    } else if (cv_slice_names(h->name, "transfer-encoding")) {
        f->codings++;
        f->coding = h->value;
    } else if (cv_slice_names(h->name, "upgrade")) {
        f->upgrades++;
        out->upgrade = h->value;
    } else if (request && cv_slice_names(h->name, "host")) {
        f->hosts++;
        out->host = h->value;
    } else if (request && cv_slice_names(h->name, "expect")) {
        f->expects++;
        out->expect_continue = true;
        if (!cv_slice_names(h->value, "100-continue")) {
            return "expects more than 100-continue";
        }
    }
    return NULL;
}

static bool read_length(struct cv_slice text, uint64_t *out)
{
    *out = 0;
    if (text.len == 0 || text.len > LENGTH_DIGITS ||
        (text.at[0] == '0' && text.len > 1)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') {
            return false;
        }
        *out = *out * 10 + (uint64_t)(text.at[i] - '0');
    }
    return true;
}

/* Content-Length and Transfer-Encoding, each by itself and both together. */
static const char *frame(struct cv_head *out, const struct facts *f)
{
    if (f->lengths + f->codings > 1) {
        return "has more than one Content-Length or Transfer-Encoding";
    }
    if (f->codings == 1) {
        out->framing = CV_HTTP1_CHUNKED;
        return out->minor == 1 && cv_slice_names(f->coding, "chunked")
                   ? NULL
                   : "has a Transfer-Encoding other than chunked";
    }
    if (f->lengths == 1) {
        if (!read_length(f->length, &out->length)) {
            return "has a wrong Content-Length";
        }
        out->framing = out->length > 0 ? CV_HTTP1_LENGTH : CV_HTTP1_NONE;
    }
    return NULL;
}

static bool is_host_text(struct cv_slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.at[i];

        if ((c < '0' || c > '9') && (c < 'a' || c > 'z') &&
            (c < 'A' || c > 'Z') && strchr(".-_:[]", c) == NULL) {
            return false;
        }
    }
    return host.len > 0;
}

static const char *judge_upgrade(struct cv_head *out, const struct facts *f)
{
    if (!f->upgrade && f->upgrades == 0) {
        return NULL;
    }
    if (!f->upgrade || f->upgrades != 1 || out->minor == 0) {
        return "has an upgrade that Connection and Upgrade do not both name";
    }
    if (!cv_slice_names(out->upgrade, "websocket") &&
        !cv_slice_names(out->upgrade, "SPDY/3.1")) {
        return "asks for a protocol other than SPDY/3.1 and websocket";
    }
    if (out->framing != CV_HTTP1_NONE || f->expects > 0) {
        return "has an upgrade with a body";
    }
    return f->close ? "has an upgrade and closes" : NULL;
}

static const char *judge_request(struct cv_head *out, const struct facts *f)
{
    const char *fault = frame(out, f);

    if (fault != NULL) {
        return fault;
    }
    if (f->hosts != 1 || !is_host_text(out->host)) {
        return "has no Host, or several, or a wrong one";
    }
    if (f->expects > 1 || (f->expects == 1 && out->minor == 0)) {
        return "expects more than 100-continue";
    }
    out->keep_alive = out->minor == 1 && !f->close;
    return judge_upgrade(out, f);
}

static const char *judge_answer(struct cv_head *out, const struct facts *f,
                                bool answers_head)
{
    const char *fault = frame(out, f);
    bool interim = out->status < 200;

    if (fault != NULL) {
        return fault;
    }
    if (interim && f->lengths + f->codings > 0) {
        return "is an interim answer with a body";
    }
    if (out->status == 101 &&
        (!f->upgrade || f->upgrades != 1 || out->minor == 0)) {
        return "switches to a protocol that it does not name";
    }
    if (out->status != 101) {
        out->upgrade = (struct cv_slice){NULL, 0};
    }
    if (answers_head || interim || out->status == 204 || out->status == 304) {
        out->framing = CV_HTTP1_NONE;
    } else if (f->lengths + f->codings == 0) {
        out->framing = CV_HTTP1_TO_END;
    }
    out->keep_alive = out->framing != CV_HTTP1_TO_END && !f->close &&
                      (out->minor == 1 || f->keep);
    return NULL;
}

static const char *read_all(struct cv_slice rest, bool request,
                            bool answers_head, struct cv_header *headers,
                            struct cv_head *out)
{
    struct facts f;
    struct cv_slice line = take_line(&rest);
    const char *fault =
        request ? read_request_line(line, out) : read_status_line(line, out);

    memset(&f, 0, sizeof(f));
    out->headers = headers;
    while (fault == NULL) {
        line = take_line(&rest);
        if (line.len == 0) {
            break;
        }
        struct cv_header *h = &headers[out->n_headers++];
        fault = read_line(line, h);
        if (fault == NULL) {
            fault = note_header(h, request, out, &f);
        }
    }
    if (fault != NULL) {
        return fault;
    }
    return request ? judge_request(out, &f)
                   : judge_answer(out, &f, answers_head);
}

enum cv_status cv_http1_read_head(struct cv_slice bytes,
                                  enum cv_http1_side side, bool answers_head,
                                  struct cv_header *headers,
                                  struct cv_head *out, struct cv_err *err)
{
    bool request = side == CV_HTTP1_REQUESTS;

    memset(out, 0, sizeof(*out));
    /* An empty line alone: some clients send one behind a body (RFC 9112
     * section 2.2); none of those that are meant to come here. */
    const char *fault =
        bytes.len <= 2 ? "is empty"
                       : read_all(bytes, request, answers_head, headers, out);
    if (fault == NULL) {
        return CV_OK;
    }
    memset(out, 0, sizeof(*out));
    return cv_fail(err, request ? CV_INVALID : CV_REMOTE, "the %s %s",
                   request ? "request" : "server's answer", fault);
}

bool cv_http1_is_host(struct cv_slice host, int port)
{
    static const char *const names[] = {"127.0.0.1", "localhost"};
    char own[32];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(own, sizeof(own), "%s:%d", names[i], port);
        if (cv_slice_names(host, own)) {
            return true;
        }
    }
    return false;
}
