#include "cli/status_http.h"

#include "vault/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LINES 64
#define TARGET 256

/* RFC 9110, 5.6.2. */
static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* What is left of a head, and the lines in it. */
struct head {
    const char *at, *end;
    unsigned lines, hosts;
};

/* The next line, without its CR LF; false: it has none, or holds what no line
 * may. */
static bool next_line(struct head *h, struct cv_bytes *line)
{
    const char *begin = h->at;

    for (const char *p = begin; p < h->end; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '\r') {
            if (p + 1 >= h->end || p[1] != '\n') {
                return false;
            }
            *line =
                (struct cv_bytes){(const uint8_t *)begin, (size_t)(p - begin)};
            h->at = p + 2;
            return true;
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return false;
}

static bool equals(struct cv_bytes a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.data, b, a.len) == 0;
}

/* In whatever case; `b` is lower-case. */
static bool is_called(struct cv_bytes a, const char *b)
{
    if (a.len != strlen(b)) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        char c = (char)a.data[i];

        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != b[i]) {
            return false;
        }
    }
    return true;
}

/* Up to the next blank, which is taken too. */
static bool take_word(struct cv_bytes *line, struct cv_bytes *word)
{
    const uint8_t *blank = memchr(line->data, ' ', line->len);

    if (blank == NULL || blank == line->data) {
        return false;
    }
    *word = (struct cv_bytes){line->data, (size_t)(blank - line->data)};
    line->len -= word->len + 1;
    line->data = blank + 1;
    return true;
}

/* 0: so far so good. */
static int read_target(struct cv_bytes target, struct cv_status_http *out)
{
    if (target.len > TARGET) {
        return 414;
    }
    if (target.data[0] != '/') {
        return 400;
    }
    if (equals(target, "/metrics")) {
        out->what = CV_STATUS_HTTP_METRICS;
    } else if (equals(target, "/status")) {
        out->what = CV_STATUS_HTTP_STATUS;
    } else {
        return 404;
    }
    return 0;
}

static int read_request_line(struct cv_bytes line, bool *is_old,
                             struct cv_status_http *out)
{
    struct cv_bytes method, target;

    if (!take_word(&line, &method) || !take_word(&line, &target)) {
        return 400;
    }
    for (size_t i = 0; i < method.len; i++) {
        if (!is_token((char)method.data[i])) {
            return 400;
        }
    }
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f) {
            return 400;
        }
    }
    if (line.len != 8 || memcmp(line.data, "HTTP/", 5) != 0 ||
        line.data[5] < '0' || line.data[5] > '9' || line.data[6] != '.' ||
        line.data[7] < '0' || line.data[7] > '9') {
        return 400;
    }
    *is_old = equals(line, "HTTP/1.0");
    if (!*is_old && !equals(line, "HTTP/1.1")) {
        return 505;
    }
    out->head = equals(method, "HEAD");
    if (!out->head && !equals(method, "GET")) {
        return 405;
    }
    return read_target(target, out);
}

static int read_field(struct cv_bytes line, struct head *h)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    struct cv_bytes name = line, value = line;

    if (++h->lines > LINES) {
        return 431;
    }
    if (colon == NULL || colon == line.data) {
        return 400;
    }
    name.len = (size_t)(colon - line.data);
    for (size_t i = 0; i < name.len; i++) {
        if (!is_token((char)name.data[i])) {
            return 400; /* a folded line begins with a blank */
        }
    }
    value.data = colon + 1;
    value.len = line.len - name.len - 1;
    while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) {
        value.data++;
        value.len--;
    }
    while (value.len > 0 && (value.data[value.len - 1] == ' ' ||
                             value.data[value.len - 1] == '\t')) {
        value.len--;
    }
    if (is_called(name, "host")) {
        return ++h->hosts > 1 || value.len == 0 ? 400 : 0;
    }
    if (is_called(name, "transfer-encoding") ||
        (is_called(name, "content-length") && !equals(value, "0"))) {
        return 400; /* there is nothing to be sent here */
    }
    return is_called(name, "expect") ? 417 : 0;
}

/* The bytes up to the empty line and with it; 0: it is not there. */
static size_t head_len(struct cv_bytes bytes)
{
    for (size_t i = 0; i + 4 <= bytes.len; i++) {
        if (memcmp(bytes.data + i, "\r\n\r\n", 4) == 0) {
            return i + 4;
        }
    }
    return 0;
}

static int read_head(struct head *h, struct cv_status_http *out)
{
    struct cv_bytes line = {NULL, 0};
    bool is_old = false;
    int refused = 400, code;

    if (next_line(h, &line)) {
        refused = read_request_line(line, &is_old, out);
    }
    /* The form of the rest comes before whether there is such a thing. */
    for (;;) {
        if (!next_line(h, &line)) {
            return 400;
        }
        if (line.len == 0) {
            break;
        }
        code = read_field(line, h);
        if (code != 0) {
            return code;
        }
    }
    if (refused == 0 && h->hosts == 0 && !is_old) {
        return 400;
    }
    return refused != 0 ? refused : 200;
}

void cv_status_http_parse(struct cv_bytes head, struct cv_status_http *out)
{
    size_t len = head_len(head);
    struct head h = {.at = (const char *)head.data};

    memset(out, 0, sizeof(*out));
    if (len == 0 || len > CV_STATUS_HTTP_HEAD) {
        out->code = head.len >= CV_STATUS_HTTP_HEAD ? 431 : 0;
        return;
    }
    h.end = h.at + len;
    out->code = read_head(&h, out);
}

bool cv_status_http_read(int fd, int limit_ms, struct cv_status_http *out)
{
    char bytes[CV_STATUS_HTTP_HEAD];
    int64_t end = cv_clock_boot_ms() + limit_ms;
    size_t len = 0;

    memset(out, 0, sizeof(*out));
    while (out->code == 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - cv_clock_boot_ms();
        ssize_t n;

        if (left <= 0 || poll(&p, 1, (int)left) == 0) {
            out->code = 408;
            break;
        }
        n = read(fd, bytes + len, sizeof(bytes) - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            out->code = 400;
            return len > 0;
        }
        len += (size_t)n;
        cv_status_http_parse((struct cv_bytes){(const uint8_t *)bytes, len},
                             out);
    }
    return true;
}

static const char *words_of(int code)
{
    static const struct {
        int code;
        const char *words;
    } all[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i].code == code) {
            return all[i].words;
        }
    }
    return "Bad Request";
}

void cv_status_http_answer(const struct cv_status_http *request,
                           struct cv_bytes body, struct cv_buf *out)
{
    const char *words = words_of(request->code);
    const char *type = "text/plain; charset=utf-8";
    const bool done = request->code == 200;

    if (done && request->what == CV_STATUS_HTTP_METRICS) {
        type = "text/plain; version=0.0.4; charset=utf-8";
    } else if (done) {
        type = "application/json";
    }
    cv_buf_add_format(out,
                      "HTTP/1.1 %d %s\r\n"
                      "Content-Type: %s\r\n"
                      "Content-Length: %zu\r\n"
                      "Cache-Control: no-store\r\n"
                      "X-Content-Type-Options: nosniff\r\n"
                      "Connection: close\r\n%s\r\n",
                      request->code, words, type,
                      done ? body.len : strlen(words) + 1,
                      request->code == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (request->head) {
        return;
    }
    if (done) {
        cv_buf_add(out, body.data, body.len);
    } else {
        cv_buf_add_format(out, "%s\n", words);
    }
}
