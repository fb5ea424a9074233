#include "vault/relay/refusal.h"

#include "vault/base/utf8.h"
#include "vault/relay/http1.h"

#include <string.h>

#define BODY_MAX 2048

static const struct {
    int code;
    const char *reason;
} reasons[] = {
    {400, "BadRequest"},      {401, "Unauthorized"},
    {403, "Forbidden"},       {404, "NotFound"},
    {408, "Timeout"},         {413, "RequestEntityTooLarge"},
    {429, "TooManyRequests"}, {431, "BadRequest"},
    {502, "BadGateway"},      {503, "ServiceUnavailable"},
    {504, "Timeout"},
};

int cv_refusal_code(enum cv_status status)
{
    switch (status) {
    case CV_DENIED:
        return 403;
    case CV_INVALID:
    case CV_USAGE:
        return 400;
    case CV_AUTH:
    case CV_EXPIRED:
        return 401;
    case CV_NOT_FOUND:
        return 404;
    case CV_BUSY:
        return 429;
    case CV_REMOTE:
    case CV_INTEGRITY:
        return 502;
    default:
        return 503;
    }
}

const char *cv_refusal_reason(int code)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].code == code) {
            return reasons[i].reason;
        }
    }
    return "";
}

/* The inside of a JSON string. */
static void add_text(struct cv_buf *out, const char *text)
{
    const uint8_t *at = (const uint8_t *)text;
    size_t left = strlen(text);

    while (left > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(at, left, &point);

        if (n == 0 || !cv_utf8_is_shown(point)) {
            cv_buf_add_char(out, '?');
            n = n > 0 ? n : 1;
        } else {
            if (point == '"' || point == '\\') {
                cv_buf_add_char(out, '\\');
            }
            cv_buf_add(out, at, n);
        }
        at += n;
        left -= n;
    }
}

void cv_refusal_body(int code, const char *message, const char *hint,
                     struct cv_buf *out)
{
    cv_buf_add_str(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\","
                        "\"metadata\":{},\"status\":\"Failure\","
                        "\"message\":\"certvault: ");
    add_text(out, message);
    if (hint != NULL && hint[0] != '\0') {
        cv_buf_add_str(out, "; ");
        add_text(out, hint);
    }
    cv_buf_add_format(out, "\",\"reason\":\"%s\",\"code\":%d}\n",
                      cv_refusal_reason(code), code);
}

static void put(struct cv_buf *out, const char *name, const char *value)
{
    cv_http1_put_header(out, cv_slice_of(name), cv_slice_of(value));
}

void cv_refusal_http1(int code, const char *message, const char *hint,
                      const char *audit_id, bool head, bool close,
                      struct cv_buf *out)
{
    struct cv_buf body;

    cv_buf_init(&body, NULL, BODY_MAX);
    cv_refusal_body(code, message, hint, &body);
    if (body.status != CV_OK) {
        /* Longer than any error's text is: the code alone must do. */
        cv_buf_wipe(&body);
        cv_refusal_body(code, "refused", NULL, &body);
    }
    cv_http1_put_status(out, code);
    put(out, "Content-Type", "application/json");
    cv_http1_put_length(out, body.len);
    put(out, "Cache-Control", "no-store");
    if (audit_id != NULL) {
        put(out, "Audit-ID", audit_id);
    }
    if (close) {
        put(out, "Connection", "close");
    }
    cv_http1_put_end(out);
    if (!head) {
        cv_buf_add(out, body.data, body.len);
    }
    if (out->status == CV_OK && body.status != CV_OK) {
        out->status = body.status;
    }
    cv_buf_wipe(&body);
}
