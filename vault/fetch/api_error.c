#include "vault/fetch/api_error.h"

#include "vault/base/json.h"
#include "vault/fetch/api_internal.h"
#include "vault/fetch/retry.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static void copy_id(const char *text, size_t len, char out[CV_ERR_ID_LEN])
{
    out[0] = '\0';
    if (len >= CV_ERR_ID_LEN) {
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) &&
            memchr("-_.:", text[i], 4) == NULL) {
            return; /* an id is shown and stored: no odd ones */
        }
    }
    if (len > 0) {
        memcpy(out, text, len);
    }
    out[len] = '\0';
}

/* Ids and codes are short: one that repeats a secret goes whole. */
static void drop_secret(char *text, const struct cv_api_error_masks *masks)
{
    if (cv_api_text_repeats(text, masks)) {
        text[0] = '\0';
    }
}

void cv_api_error_request_id(const struct cv_http_answer *a,
                             const struct cv_api_error_masks *masks,
                             char out[CV_ERR_ID_LEN])
{
    struct cv_bytes value;

    out[0] = '\0';
    if (cv_http_answer_header(a, "x-request-id", &value)) {
        copy_id((const char *)value.data, value.len, out);
    }
    drop_secret(out, masks);
}

/* A code: a text, or a number in decimal. "" for anything else. */
static void copy_code(const cJSON *item, char out[CV_API_ERROR_CODE_LEN])
{
    out[0] = '\0';
    if (cJSON_IsNumber(item)) {
        (void)snprintf(out, CV_API_ERROR_CODE_LEN, "%.0f", item->valuedouble);
    } else if (cJSON_IsString(item)) {
        (void)cv_err_quote(out, CV_API_ERROR_CODE_LEN, item->valuestring,
                           strlen(item->valuestring));
    }
}

/* What an object says, before it is made fit to be shown. */
struct found {
    const cJSON *code;
    const cJSON *message;
};

static bool find_pair(const cJSON *object, struct found *out)
{
    static const char *const pairs[][2] = {{"errorCode", "errorMessage"},
                                           {"error_code", "error_msg"},
                                           {"errorCode", "errorMsg"},
                                           {"code", "message"}};
    const size_t n = sizeof(pairs) / sizeof(pairs[0]);

    /* whole pairs first; a code without its message is better than none */
    for (size_t i = 0; i < 2 * n; i++) {
        out->code = cJSON_GetObjectItemCaseSensitive(object, pairs[i % n][0]);
        out->message =
            cJSON_GetObjectItemCaseSensitive(object, pairs[i % n][1]);
        if ((cJSON_IsString(out->code) || cJSON_IsNumber(out->code)) &&
            (i >= n || cJSON_IsString(out->message))) {
            return true;
        }
    }
    return false;
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(item) ? item->valuestring : "";
}

/* Reads the members of `object`, or of an object in it. */
static bool read_object(const cJSON *object, struct cv_api_error *e,
                        struct cv_buf *message)
{
    struct found f;
    const cJSON *alt, *item;
    const char *first, *detail;

    if (!find_pair(object, &f)) {
        cJSON_ArrayForEach(item, object)
        {
            if (cJSON_IsObject(item) && find_pair(item, &f)) {
                object = item;
                break;
            }
        }
        if (item == NULL) {
            return false;
        }
    }
    copy_code(f.code, e->code);
    alt = cJSON_GetObjectItemCaseSensitive(object, "error_code");
    copy_code(alt, e->alt_code);
    if (strcmp(e->alt_code, e->code) == 0) {
        e->alt_code[0] = '\0';
    }
    first = cJSON_IsString(f.message) ? f.message->valuestring : "";
    detail = text_of(object, "message");
    cv_buf_add_str(message, first);
    if (*detail != '\0' && strcmp(first, detail) != 0) {
        cv_buf_add_str(message, *first != '\0' ? " " : "");
        cv_buf_add_str(message, detail);
    }
    return e->code[0] != '\0';
}

static void read_body(const struct cv_http_answer *a, struct cv_api_error *e,
                      struct cv_buf *message)
{
    struct cv_arena *was = cv_json_use(message->arena);
    cJSON *tree = NULL;

    if (a->body.len > 0 && a->body.data[0] == '{' &&
        cv_json_parse(message->arena, a->body, &tree, NULL) == CV_OK &&
        read_object(tree, e, message)) {
        if (e->request_id[0] == '\0') {
            const char *id = text_of(tree, "request_id");

            copy_id(id, strlen(id), e->request_id);
        }
    } else {
        cv_buf_add(message, a->body.data,
                   a->body.len < 512 ? a->body.len : 512);
        e->from_body = true;
    }
    (void)cv_json_use(was);
}

void cv_api_error_read(const struct cv_http_answer *a,
                       const struct cv_api_error_masks *masks, int64_t now_s,
                       struct cv_api_error *out)
{
    char value[64];
    struct cv_arena *arena = NULL;
    struct cv_buf message;

    memset(out, 0, sizeof(*out));
    out->status = a->status;
    cv_api_error_request_id(a, masks, out->request_id);
    (void)cv_http_answer_header_text(a, "retry-after", value, sizeof(value));
    out->retry_after_s = cv_retry_after(*value != '\0' ? value : NULL, now_s);
    (void)cv_http_answer_header_text(a, "date", value, sizeof(value));
    out->server_time_s = cv_retry_date(value);
    if (cv_arena_new(CV_LIMIT_HTTP_BODY * 24, &arena, NULL) == CV_OK) {
        cv_buf_init(&message, arena, CV_LIMIT_HTTP_BODY * 2);
        read_body(a, out, &message);
        cv_api_text_clean(&message, masks, out->message, sizeof(out->message));
        cv_arena_free(arena);
    }
    drop_secret(out->request_id, masks);
    drop_secret(out->code, masks);
    drop_secret(out->alt_code, masks);
    if (out->code[0] == '\0') {
        (void)snprintf(out->code, sizeof(out->code), "%ld", a->status);
    }
}

/* ---- judging ---- */

/* The number of a gateway code, "0301" of APIGW.0301 and APIG.0301; else "". */
static const char *gateway(const struct cv_api_error *e)
{
    if (strncmp(e->code, "APIGW.", 6) == 0) {
        return e->code + 6;
    }
    return strncmp(e->code, "APIG.", 5) == 0 ? e->code + 5 : "";
}

static bool is_gateway(const struct cv_api_error *e, const char *number)
{
    return strcmp(gateway(e), number) == 0;
}

bool cv_api_error_wants_token(const struct cv_api_error *e)
{
    return e->status == 401 &&
           (is_gateway(e, "0307") ||
            (is_gateway(e, "0301") &&
             (strstr(e->message, "token expires") != NULL ||
              strstr(e->message, "decrypt token fail") != NULL)));
}

/* "server time:20261122T040506Z" in the message of an expired signature. */
static int64_t time_in_message(const char *message)
{
    const char *at = strstr(message, "server time:");
    char text[CV_API_TIME_LEN];
    size_t n;

    if (at == NULL) {
        return -1;
    }
    at += strlen("server time:");
    at += strspn(at, " ");
    n = strcspn(at, ", ");
    if (n == 0 || n >= sizeof(text)) {
        return -1;
    }
    memcpy(text, at, n);
    text[n] = '\0';
    return cv_api_text_time(text);
}

/* True, with the hint set, where our clock is what is wrong. */
static bool hint_clock(const struct cv_api_error *e, int64_t now_s,
                       struct cv_err *err)
{
    char ours[CV_CLOCK_TEXT_LEN], theirs[CV_CLOCK_TEXT_LEN];
    int64_t server = time_in_message(e->message);
    int64_t off;

    if (server < 0) {
        server = e->server_time_s;
    }
    off = now_s - server;
    if (server < 0 || (off < CV_API_SKEW_S && off > -CV_API_SKEW_S)) {
        return false;
    }
    cv_err_hint(err,
                "this machine's clock is %lld minutes %s the server's (here "
                "%s, there %s): set it, then try again",
                (long long)((off < 0 ? -off : off) / 60),
                off < 0 ? "behind" : "ahead of", cv_clock_format(now_s, ours),
                cv_clock_format(server, theirs));
    return true;
}

static void hint_401(const struct cv_api_error *e,
                     const struct cv_api_error_about *about, struct cv_err *err)
{
    if (about->keys && hint_clock(e, about->now_s, err)) {
        return;
    }
    if (is_gateway(e, "0307") || cv_api_error_wants_token(e)) {
        cv_err_hint(err, "the token has expired or belongs to another region: "
                         "get a new one for this region's project");
    } else if (strstr(e->message, "MFA") != NULL) {
        cv_err_hint(err, "this user needs a one-time passcode beside the "
                         "password");
    } else if (strstr(e->message, "reach the limit") != NULL) {
        cv_err_hint(err, "the access key is locked after wrong signatures: "
                         "wait five minutes, and check the secret key first");
    } else if (about->keys) {
        cv_err_hint(err, "check the access key, its secret and (temporary "
                         "keys) the security token; it is not tried again, "
                         "since wrong signatures lock a key");
    } else {
        cv_err_hint(err, "check the user, its account and the password, or "
                         "get a new token");
    }
}

static void hint_403(const struct cv_api_error *e,
                     const struct cv_api_error_about *about, struct cv_err *err)
{
    static const char *const state[] = {"CCE.01403003", "CCE.01403004",
                                        "CCE.01403005", "CCE.01403006",
                                        "CCE.01403009"};

    for (size_t i = 0; i < sizeof(state) / sizeof(state[0]); i++) {
        if (strcmp(e->code, state[i]) == 0) {
            cv_err_hint(err, "the cluster's state forbids it now: look at it "
                             "with `certvault clusters`, try later");
            return;
        }
    }
    if (strcmp(e->code, "CCE.01403002") == 0 || is_gateway(e, "0310")) {
        cv_err_hint(err, "the account or project is restricted: see the "
                         "console for what is owed or frozen");
    } else if (strncmp(gateway(e), "04", 2) == 0) {
        cv_err_hint(err, "the cloud does not take requests from this address");
    } else if (is_gateway(e, "0802")) {
        cv_err_hint(err, "this user may not use this region");
    } else if (about->permission != NULL) {
        cv_err_hint(err, "ask for the IAM permission %s", about->permission);
    } else {
        cv_err_hint(err, "ask the account's administrator for the right to do "
                         "this");
    }
}

static void hint_404(const struct cv_api_error *e, struct cv_err *err)
{
    if (is_gateway(e, "0101") || is_gateway(e, "0103")) {
        cv_err_hint(err, "the endpoint does not offer this API: check the "
                         "region, --endpoint and --api");
    } else {
        cv_err_hint(err, "check the cluster, the project and the region: "
                         "`certvault clusters` lists what is there");
    }
}

static void hint(const struct cv_api_error *e,
                 const struct cv_api_error_about *about, struct cv_err *err)
{
    switch (e->status) {
    case 400:
    case 409:
        cv_err_hint(err, "the cloud refuses the request as it is: see its "
                         "message; nothing was changed");
        break;
    case 401:
        hint_401(e, about, err);
        break;
    case 403:
        hint_403(e, about, err);
        break;
    case 404:
        hint_404(e, err);
        break;
    case 429:
        cv_err_hint(err, "too many requests: wait a minute, then try again");
        break;
    default:
        if (e->status >= 500) {
            cv_err_hint(err, "the fault is the cloud's: try again later; tell "
                             "its support the request id");
        }
        break;
    }
}

enum cv_status cv_api_error_fail(const struct cv_api_error *e,
                                 const struct cv_api_error_about *about,
                                 struct cv_err *err)
{
    enum cv_status s = e->status == 429 ? CV_BUSY : CV_REMOTE;
    bool quiet = e->from_body || e->message[0] == '\0';
    char code[2 * CV_API_ERROR_CODE_LEN + 4];

    (void)snprintf(code, sizeof(code), "%s%s%s", e->code,
                   e->alt_code[0] != '\0' ? ", " : "", e->alt_code);
    if (strtol(e->code, NULL, 10) == e->status) {
        (void)cv_fail_native(err, s, CV_DOMAIN_HTTP, e->status,
                             "%s answered %ld to %s%s%s", about->host,
                             e->status, about->what, quiet ? "" : ": ",
                             quiet ? "" : e->message);
    } else {
        (void)cv_fail_native(err, s, CV_DOMAIN_HTTP, e->status,
                             "%s answered %ld (%s) to %s%s%s", about->host,
                             e->status, code, about->what, quiet ? "" : ": ",
                             quiet ? "" : e->message);
    }
    hint(e, about, err);
    if (err != NULL) {
        (void)snprintf(err->request_id, sizeof(err->request_id), "%s",
                       e->request_id);
        err->retry_after_s = e->retry_after_s;
    }
    return s;
}
