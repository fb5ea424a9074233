#include "cli/intake_witness.h"

#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/base/utf8.h"
#include "vault/fetch/http.h"

#include <stdio.h>
#include <string.h>

#define ADD "/add-checkpoint"
#define TOTAL_MS 20000
#define ANSWER_MAX CV_KIB(16) /* signature lines, or a number */

/* A witness' prefix: where it is, and the path before what is asked for. */
struct prefix {
    struct cv_origin origin;
    char target[CV_LIMIT_ANCHOR + sizeof(ADD)];
};

static enum cv_status read_prefix(const char *url, struct prefix *out,
                                  struct cv_err *err)
{
    const bool plain = strncmp(url, "http://", 7) == 0;
    const char *path = strstr(url, "://");
    char host[CV_LIMIT_ANCHOR + 1];
    size_t len;

    path = path != NULL ? strchr(path + 3, '/') : NULL;
    path = path != NULL ? path : url + strlen(url);
    len = (size_t)(path - url);
    if (len >= sizeof(host) || strlen(path) > CV_LIMIT_ANCHOR) {
        return cv_fail(err, CV_USAGE, "the witness' URL is too long");
    }
    memcpy(host, url, len);
    host[len] = '\0';
    len = strlen(path);
    while (len > 0 && path[len - 1] == '/') {
        len--;
    }
    (void)snprintf(out->target, sizeof(out->target), "%.*s%s", (int)len, path,
                   ADD);
    return cv_origin_parse(host, plain ? CV_ORIGIN_PLAIN : CV_ORIGIN_TYPED,
                           "the witness' URL", &out->origin, err);
}

/* Text that may be handed on: what is not is none. */
static bool is_text(struct cv_bytes b)
{
    size_t at = 0;

    while (at < b.len) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(b.data + at, b.len - at, &point);

        if (n == 0 || (point < 0x20 && point != '\n') || point == 0x7f) {
            return false;
        }
        at += n;
    }
    return true;
}

static enum cv_status answer(const struct cv_http_answer *a, cJSON *out,
                             struct cv_err *err)
{
    char type[64], body[ANSWER_MAX + 1];

    if (a->body.len > ANSWER_MAX || !is_text(a->body)) {
        return cv_fail(err, CV_REMOTE,
                       "the witness' answer is too long, or no text");
    }
    (void)cv_http_answer_header_text(a, "content-type", type, sizeof(type));
    if (a->body.len > 0) {
        memcpy(body, a->body.data, a->body.len);
    }
    body[a->body.len] = '\0';
    return cv_json_add_int(out, "status", a->status) &&
                   cv_json_add_str(out, "type", type) &&
                   cv_json_add_str(out, "body", body)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

enum cv_status cv_intake_witness_add(void *context, const cJSON *parameters,
                                     struct cv_reply *reply, struct cv_err *err)
{
    static const struct cv_signing_pair type = {"Content-Type",
                                                "application/octet-stream"};
    const char *url = NULL, *ca_pem = NULL, *body = NULL;
    const struct cv_json_field fields[] = {
        {"url", CV_JSON_STRING, true, &url, CV_LIMIT_ANCHOR},
        {"ca_pem", CV_JSON_TEXT, false, &ca_pem, CV_LIMIT_PEM},
        {"body", CV_JSON_TEXT, true, &body, CV_LIMIT_NOTE + CV_KIB(8)},
    };
    struct cv_http_request request = {
        .method = "POST", .headers = &type, .n_headers = 1};
    struct cv_http_config config = {.total_ms = TOTAL_MS,
                                    .watch = CV_PROCESS_SOCKET};
    struct cv_http *http = NULL;
    struct cv_http_answer a;
    struct prefix p;
    enum cv_status s =
        cv_json_read(parameters, "AddCheckpoint", fields,
                     sizeof(fields) / sizeof(fields[0]), true, err);

    (void)context;
    if (s == CV_OK) {
        s = read_prefix(url, &p, err);
    }
    if (s == CV_OK) {
        config.origin = &p.origin;
        config.ca_pem = ca_pem;
        s = cv_http_new(&config, &http, err);
    }
    if (s != CV_OK) {
        return s;
    }
    request.target = p.target;
    request.body = (struct cv_bytes){(const uint8_t *)body, strlen(body)};
    cv_http_send(http, &request, TOTAL_MS, &a);
    s = a.end == CV_HTTP_ANSWERED ? answer(&a, cv_reply_parameters(reply), err)
                                  : cv_http_answer_fail(&a, &p.origin, err);
    cv_http_free(http);
    return s;
}
