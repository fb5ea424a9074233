#include "vault/fetch/session_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- building ---- */

struct list {
    struct cv_signing_pair *pairs;
    size_t n;
};

static void add(struct list *l, const char *name, const char *value)
{
    if (value != NULL && l->n < SESSION_HEADERS) {
        l->pairs[l->n++] = (struct cv_signing_pair){name, value};
    }
}

/* Is the derived form asked for, and is this a host that takes it? */
static bool derives(const struct cv_session *s, const struct cv_origin *o)
{
    return s->cloud.derived && s->region != NULL &&
           !cv_signing_default_host(o->host);
}

static enum cv_status sign(struct cv_session *s, const struct call *c,
                           const struct cv_origin *o,
                           struct cv_signing_request *r, struct list *headers,
                           char date[CV_SIGNING_DATE_LEN], struct cv_err *err)
{
    enum cv_status st;

    add(headers, "X-Project-Id", c->is->project ? s->project_id : NULL);
    add(headers, "X-Security-Token", s->auth.security_token);
    r->headers = headers->pairs;
    r->n_headers = headers->n;
    r->ak = s->auth.ak;
    r->sk = s->auth.sk;
    r->date = cv_signing_date(cv_session_clock_now_s(s), date);
    if (derives(s, o)) {
        r->region = s->region;
        r->service = c->is->service == CV_REGION_CCE ? "cce" : "iam";
    }
    st = cv_signing_make(&s->signing, r, err);
    if (st == CV_OK) {
        add(headers, "X-Sdk-Date", r->date);
        add(headers, "Authorization", cv_buf_text(&s->signing.authorization));
    }
    return st;
}

enum cv_status cv_call_build(struct cv_session *s, const struct call *c,
                             const char *path, struct call_request *out,
                             struct cv_err *err)
{
    const struct session_service *v = &s->service[c->is->service];
    const struct cv_origin *o = &v->ends.origin[v->at];
    struct list headers = {out->headers, 0};
    struct cv_signing_request r = {.method = c->is->method,
                                   .host = o->host,
                                   .path = path,
                                   .query = c->is->query,
                                   .n_query = c->is->n_query,
                                   .body = c->is->body};
    enum cv_status st;

    /* the vendor's SDKs send it with GET too */
    add(&headers, "Content-Type", "application/json");
    if (!c->open && s->auth.token == NULL) {
        st = sign(s, c, o, &r, &headers, out->date, err);
    } else {
        st = cv_signing_target(&s->signing, &r, err);
        add(&headers, "X-Auth-Token", c->open ? NULL : s->auth.token);
    }
    add(&headers, c->extra.name, c->extra.value);
    out->http =
        (struct cv_http_request){.method = c->is->method,
                                 .target = cv_buf_text(&s->signing.target),
                                 .headers = out->headers,
                                 .n_headers = headers.n,
                                 .body = c->is->body,
                                 .large = c->is->large};
    return st;
}

/* ---- judging ---- */

enum cv_retry_end cv_call_end(const struct cv_http_answer *a)
{
    switch (a->end) {
    case CV_HTTP_ANSWERED:
        return CV_RETRY_ANSWERED;
    case CV_HTTP_UNRESOLVED:
    case CV_HTTP_UNREACHED:
        return CV_RETRY_UNREACHED;
    case CV_HTTP_TIMED_OUT:
        return CV_RETRY_TIMED_OUT;
    default:
        return CV_RETRY_FINAL;
    }
}

double cv_call_retry_after(struct cv_session *s, const struct cv_http_answer *a)
{
    char value[64];

    if (a->end != CV_HTTP_ANSWERED ||
        !cv_http_answer_header_text(a, "retry-after", value, sizeof(value))) {
        return -1;
    }
    return cv_retry_after(value, cv_session_clock_now_s(s));
}

/* All that was sent or could be said back. */
static struct cv_api_error_masks masks_of(const struct cv_session *s)
{
    const struct cv_credentials *c = &s->credentials;
    const struct cv_cloud_user *u = c->user;

    return (struct cv_api_error_masks){
        .text = {s->auth.token, s->auth.sk, s->auth.security_token,
                 s->metadata_token, c->token, c->id_token,
                 u != NULL ? u->password : NULL, u != NULL ? u->totp : NULL},
        .n = 8};
}

static enum cv_status fail_status(struct cv_session *s, const struct call *c,
                                  const struct cv_origin *o,
                                  const struct cv_http_answer *a, bool *stale,
                                  struct cv_err *err)
{
    const struct cv_api_error_masks masks = masks_of(s);
    const struct cv_api_error_about about = {
        .what = c->is->what,
        .host = o->name,
        .permission = c->is->permission,
        .keys = !c->open && s->auth.token == NULL,
        .now_s = cv_session_clock_now_s(s)};
    struct cv_api_error e;

    cv_api_error_read(a, &masks, about.now_s, &e);
    if (stale != NULL) {
        *stale = !about.keys && !c->open && cv_api_error_wants_token(&e);
    }
    return cv_api_error_fail(&e, &about, err);
}

/* An answer below 400 that is not what the call expects. */
static enum cv_status fail_odd(const struct call *c, const struct cv_origin *o,
                               const struct cv_http_answer *a,
                               struct cv_err *err)
{
    if (a->status >= 300) {
        (void)cv_fail_native(err, CV_REMOTE, CV_DOMAIN_HTTP, a->status,
                             "%s answered %ld, a redirect, to %s", o->name,
                             a->status, c->is->what);
        cv_err_hint(err, "no redirect is followed: check the endpoint, and "
                         "whether a login page stands before it");
    } else if (a->status != c->is->status) {
        (void)cv_fail_native(err, CV_REMOTE, CV_DOMAIN_HTTP, a->status,
                             "%s answered %ld to %s where %ld is due", o->name,
                             a->status, c->is->what, c->is->status);
    } else if (a->body.len == 0) {
        (void)cv_fail_native(err, CV_REMOTE, CV_DOMAIN_HTTP, a->status,
                             "%s answered %s with nothing", o->name,
                             c->is->what);
    } else {
        (void)cv_fail_native(err, CV_REMOTE, CV_DOMAIN_HTTP, a->status,
                             "%s answered %s with something that is not JSON",
                             o->name, c->is->what);
        cv_err_hint(err, "check that the endpoint is the cloud's API and not "
                         "a login page or proxy");
    }
    return CV_REMOTE;
}

static void note_skew(struct cv_session *s, const struct cv_http_answer *a)
{
    char value[64];
    int64_t date;

    if (!cv_http_answer_header_text(a, "date", value, sizeof(value))) {
        return;
    }
    date = cv_retry_date(value);
    if (date >= 0) {
        s->skew_s = date - cv_session_clock_now_s(s);
    }
}

enum cv_status cv_call_check(struct cv_session *s, const struct call *c,
                             const struct cv_http_answer *a,
                             struct cv_session_answer *out, bool *stale,
                             struct cv_err *err)
{
    const struct session_service *v = &s->service[c->is->service];
    const struct cv_origin *o = &v->ends.origin[v->at];
    const struct cv_api_error_masks masks = masks_of(s);
    bool good;

    memset(out, 0, sizeof(*out));
    if (a->end != CV_HTTP_ANSWERED) {
        return cv_http_answer_fail(a, o, err);
    }
    note_skew(s, a);
    if (a->status >= 400) {
        return fail_status(s, c, o, a, stale, err);
    }
    out->http = *a;
    out->body = a->body;
    out->delimited = a->delimited;
    cv_api_error_request_id(a, &masks, out->request_id);
    good = a->status == c->is->status &&
           (c->is->empty || (a->body.len > 0 && cv_http_answer_is_json(a)));
    if (!good) {
        (void)fail_odd(c, o, a, err);
        if (err != NULL) {
            memcpy(err->request_id, out->request_id, sizeof(err->request_id));
        }
        return CV_REMOTE;
    }
    return CV_OK;
}

/* ---- sending ---- */

/* A further endpoint stands in for one whose name or TLS fails. */
static bool next_end(struct session_service *v, const struct cv_http_answer *a)
{
    if ((a->end != CV_HTTP_UNRESOLVED && a->end != CV_HTTP_UNTRUSTED) ||
        v->at + 1 >= v->ends.n) {
        return false;
    }
    v->at++;
    return true;
}

static enum cv_status send_once(struct cv_session *s, const struct call *c,
                                struct cv_http_answer *a, struct cv_err *err)
{
    struct session_service *v = &s->service[c->is->service];
    struct call_request r;
    struct cv_http *http = NULL;
    enum cv_status st;

    do {
        st = cv_call_build(s, c, c->is->path, &r, err);
        if (st != CV_OK) {
            return st;
        }
        if (s->hooks.send != NULL) {
            s->hooks.send(s->hooks.context, &v->ends.origin[v->at], &r.http, a);
            continue;
        }
        st = cv_session_http(s, c->is->service, &http, err);
        if (st != CV_OK) {
            return st;
        }
        cv_http_send(http, &r.http, cv_session_clock_left_ms(s), a);
    } while (next_end(v, a));
    return CV_OK;
}

enum cv_status cv_call_run(struct cv_session *s, const struct call *c,
                           struct cv_session_answer *out, bool *stale,
                           struct cv_err *err)
{
    struct cv_http_answer a;
    struct cv_retry retry;
    int64_t wait_ms = 0;
    enum cv_status st = cv_session_ends(s, c->is->service, err);

    if (st != CV_OK) {
        return st;
    }
    if (cv_session_clock_left_ms(s) <= 0) {
        return cv_fail(err, CV_REMOTE, "the cloud took too long");
    }
    cv_retry_begin(&retry, cv_session_clock_now_ms(s),
                   cv_session_clock_left_ms(s));
    for (;;) {
        st = send_once(s, c, &a, err);
        if (st != CV_OK) {
            return st;
        }
        if ((a.end == CV_HTTP_ANSWERED && a.status < 400) ||
            !cv_retry_next(&retry, cv_call_end(&a), a.status,
                           cv_call_retry_after(s, &a),
                           cv_session_clock_now_ms(s),
                           cv_session_clock_chance(s), &wait_ms)) {
            return cv_call_check(s, c, &a, out, stale, err);
        }
        if (!cv_session_clock_wait(s, wait_ms)) {
            return cv_fail(err, CV_UNAVAILABLE, "whoever asked has hung up");
        }
    }
}
