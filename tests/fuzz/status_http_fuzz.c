/* One HTTP request for the status: what is taken is one of a few forms to the
 * byte, more bytes behind it change nothing, and every answer is framed by its
 * own length. */
#include "cli/status_http.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void check_code(int code)
{
    static const int codes[] = {0, 200, 400, 404, 405, 414, 417, 431, 505};
    bool known = false;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        known = known || code == codes[i];
    }
    need(known);
}

/* By other means than the parser's. */
static void check_taken(struct cv_bytes text, const struct cv_status_http *r)
{
    const char *method = r->head ? "HEAD " : "GET ";
    const char *target = r->what == CV_STATUS_HTTP_METRICS ? "/metrics HTTP/1."
                                                           : "/status HTTP/1.";
    const size_t n = strlen(method) + strlen(target);
    const uint8_t *end = memmem(text.data, text.len, "\r\n\r\n", 4);

    need(end != NULL && (size_t)(end - text.data) + 4 <= CV_STATUS_HTTP_HEAD);
    need(text.len > n + 2 && memcmp(text.data, method, strlen(method)) == 0 &&
         memcmp(text.data + strlen(method), target, strlen(target)) == 0 &&
         (text.data[n] == '0' || text.data[n] == '1') &&
         text.data[n + 1] == '\r');
    for (const uint8_t *p = text.data; p < end; p++) {
        need(*p >= 0x20 || *p == '\t' || *p == '\r' || *p == '\n');
    }
}

static void check_answer(const struct cv_status_http *r)
{
    static const char body[] = "{\"x\":1}\n";
    const struct cv_bytes given = {(const uint8_t *)body, sizeof(body) - 1};
    const char *length, *end;
    struct cv_buf out;
    size_t said;

    cv_buf_init(&out, NULL, CV_KIB(64));
    cv_status_http_answer(r, given, &out);
    need(cv_buf_status(&out, "an answer", NULL) == CV_OK);
    need(strncmp(cv_buf_text(&out), "HTTP/1.1 ", 9) == 0 &&
         strtol(cv_buf_text(&out) + 9, NULL, 10) == r->code);
    length = strstr(cv_buf_text(&out), "Content-Length: ");
    end = strstr(cv_buf_text(&out), "\r\n\r\n");
    need(length != NULL && end != NULL && length < end);
    said = strtoul(length + 16, NULL, 10);
    need(r->head ? end[4] == '\0' : strlen(end + 4) == said);
    need(r->code != 200 || said == given.len);
    cv_buf_wipe(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_status_http whole, part;
    size_t cut;

    if (size == 0) {
        return 0;
    }
    /* The first byte says where it is cut, from its end on. */
    cut = size - 1 > data[0] ? size - 1 - data[0] : 0;
    cv_status_http_parse((struct cv_bytes){data + 1, size - 1}, &whole);
    cv_status_http_parse((struct cv_bytes){data + 1, cut}, &part);
    check_code(whole.code);
    check_code(part.code);
    if (whole.code == 200) {
        check_taken((struct cv_bytes){data + 1, size - 1}, &whole);
    }
    if (part.code == 200) {
        need(whole.code == 200 && whole.what == part.what &&
             whole.head == part.head);
    }
    if (whole.code != 0) {
        check_answer(&whole);
    }
    return 0;
}
