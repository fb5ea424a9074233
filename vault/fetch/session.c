#include "vault/fetch/session_internal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* A Cloud with a profile, a regions.yaml and a CA bundle. */
#define CLOUD_CEILING CV_MIB(8)

/* ---- opening ---- */

/* Writes the Cloud in one spelling: what it says is what counts. */
static enum cv_status spell(const cJSON *cloud, struct cv_buf *text,
                            struct cv_err *err)
{
    cv_json_write(cloud, CV_JSON_CANONICAL, text);
    return cv_buf_status(text, "cloud", err);
}

static void digest(const struct cv_buf *text, uint8_t out[32])
{
    (void)crypto_generichash(out, 32, text->data, text->len, NULL, 0);
}

static enum cv_status copy_cloud(struct cv_session *s, const cJSON *cloud,
                                 struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status st;

    cv_buf_init(&text, s->arena, CLOUD_CEILING);
    st = spell(cloud, &text, err);
    if (st == CV_OK) {
        digest(&text, s->key);
        st = cv_json_parse(s->arena, cv_buf_bytes(&text), &s->tree, err);
    }
    cv_buf_wipe(&text);
    return st;
}

bool cv_session_is_for(const struct cv_session *s, const cJSON *cloud)
{
    struct cv_arena *arena = NULL;
    struct cv_buf text;
    uint8_t key[32];
    bool same = false;

    if (cv_arena_new(CLOUD_CEILING * 2, &arena, NULL) != CV_OK) {
        return false;
    }
    cv_buf_init(&text, arena, CLOUD_CEILING);
    if (spell(cloud, &text, NULL) == CV_OK) {
        digest(&text, key);
        same = sodium_memcmp(key, s->key, sizeof(key)) == 0;
    }
    cv_arena_free(arena);
    return same;
}

/* "cce.<region>.<rest>" tells the region where none was named. */
static void guess_region(struct cv_session *s)
{
    const char *name = s->service[CV_REGION_CCE].ends.origin[0].name;
    size_t len;

    if (s->region != NULL || strncmp(name, "cce.", 4) != 0) {
        return;
    }
    len = strcspn(name + 4, ".");
    if (len > 0 && len < sizeof(s->guessed_region) && name[4 + len] == '.') {
        memcpy(s->guessed_region, name + 4, len);
        s->guessed_region[len] = '\0';
        s->region = cv_region_check(s->guessed_region, NULL) == CV_OK
                        ? s->guessed_region
                        : NULL;
    }
}

static enum cv_status read_cloud(struct cv_session *s, const cJSON *cloud,
                                 struct cv_err *err)
{
    enum cv_status st = copy_cloud(s, cloud, err);

    if (st == CV_OK) {
        st = cv_cloud_read(s->tree, &s->cloud, err);
    }
    if (st == CV_OK) {
        st = cv_credentials_find(&s->cloud, s->arena, &s->credentials, err);
    }
    if (st != CV_OK) {
        return st;
    }
    s->region = s->cloud.region;
    s->project_id = s->credentials.project_id;
    st = cv_session_ends(s, CV_REGION_CCE, err);
    if (st == CV_OK) {
        guess_region(s);
    }
    return st;
}

enum cv_status cv_session_open(const cJSON *cloud,
                               const struct cv_session_hooks *hooks,
                               struct cv_session **out, struct cv_err *err)
{
    struct cv_session *s = calloc(1, sizeof(*s));
    enum cv_status st;

    *out = NULL;
    if (s == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    if (hooks != NULL) {
        s->hooks = *hooks;
    }
    st = cv_http_start(err);
    if (st == CV_OK) {
        st = cv_arena_new(CLOUD_CEILING * 4, &s->arena, err);
    }
    if (st == CV_OK) {
        cv_signing_init(&s->signing, s->arena);
        cv_session_begin(s);
        st = read_cloud(s, cloud, err);
    }
    if (st != CV_OK) {
        cv_session_free(s);
        return st;
    }
    *out = s;
    return CV_OK;
}

void cv_session_free(struct cv_session *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < SESSION_SERVICES; i++) {
        for (size_t k = 0; k < CV_REGION_ENDS; k++) {
            cv_http_free(s->service[i].http[k]);
        }
    }
    cv_http_free(s->metadata_http);
    cv_arena_free(s->arena);
    sodium_memzero(s, sizeof(*s));
    free(s);
}

void cv_session_forget(struct cv_session *s)
{
    for (size_t i = 0; i < SESSION_SERVICES; i++) {
        for (size_t k = 0; k < CV_REGION_ENDS; k++) {
            if (s->service[i].http[k] != NULL) {
                cv_http_forget(s->service[i].http[k]);
            }
        }
    }
}

void cv_session_begin(struct cv_session *s)
{
    s->begun_ms = cv_session_clock_now_ms(s);
}

/* ---- asking it ---- */

const struct cv_cloud *cv_session_cloud(const struct cv_session *s)
{
    return &s->cloud;
}

const char *cv_session_region(const struct cv_session *s)
{
    return s->region;
}

const char *cv_session_named_project(const struct cv_session *s)
{
    return s->credentials.project_id;
}

bool cv_session_endpoints(struct cv_session *s, enum cv_region_service service,
                          struct cv_buf *out)
{
    const struct cv_region_ends *ends = &s->service[service].ends;

    if (cv_session_ends(s, service, NULL) == CV_OK) {
        for (size_t i = 0; i < ends->n; i++) {
            cv_buf_add_str(out, i > 0 ? "," : "");
            cv_buf_add_str(out, ends->origin[i].url);
        }
    }
    return cv_buf_status(out, "endpoints", NULL) == CV_OK;
}

const struct cv_origin *cv_session_origin(struct cv_session *s,
                                          enum cv_region_service service)
{
    struct session_service *v = &s->service[service];

    return cv_session_ends(s, service, NULL) == CV_OK ? &v->ends.origin[v->at]
                                                      : NULL;
}

int64_t cv_session_skew_s(const struct cv_session *s)
{
    return s->skew_s;
}

int64_t cv_session_now_s(const struct cv_session *s)
{
    return cv_session_clock_now_s(s);
}

/* ---- making it ready ---- */

enum cv_status cv_session_ends(struct cv_session *s,
                               enum cv_region_service service,
                               struct cv_err *err)
{
    struct session_service *v = &s->service[service];
    enum cv_status st;

    if (v->found) {
        return CV_OK;
    }
    st = cv_region_find(service, &s->cloud, s->region,
                        s->credentials.iam_endpoint, &v->ends, err);
    v->found = st == CV_OK;
    return st;
}

enum cv_status cv_session_http(struct cv_session *s,
                               enum cv_region_service service,
                               struct cv_http **out, struct cv_err *err)
{
    struct session_service *v = &s->service[service];
    const struct cv_http_config config = {.origin = &v->ends.origin[v->at],
                                          .ca_pem = s->cloud.ca_pem,
                                          .proxy = s->cloud.proxy,
                                          .watch = s->hooks.watch};
    enum cv_status st = CV_OK;

    if (v->http[v->at] == NULL) {
        st = cv_http_new(&config, &v->http[v->at], err);
    }
    *out = v->http[v->at];
    return st;
}

/* Are temporary keys there that last a while? */
static bool has_fresh_keys(const struct cv_session *s)
{
    return s->auth.ak != NULL &&
           (s->auth.expires_s == 0 ||
            s->auth.expires_s - cv_session_clock_now_s(s) >= SESSION_RENEW_S);
}

static enum cv_status prepare_auth(struct cv_session *s, struct cv_err *err)
{
    const struct cv_credentials *c = &s->credentials;

    switch (c->kind) {
    case CV_CREDENTIALS_TOKEN:
        s->auth.token = c->token;
        return CV_OK;
    case CV_CREDENTIALS_KEYS:
        s->auth.ak = c->ak;
        s->auth.sk = c->sk;
        s->auth.security_token = c->security_token;
        return CV_OK;
    case CV_CREDENTIALS_USER:
        return s->auth.token != NULL ? CV_OK : cv_iam_user_token(s, err);
    case CV_CREDENTIALS_ID_TOKEN:
        return has_fresh_keys(s) ? CV_OK : cv_iam_id_token_keys(s, err);
    case CV_CREDENTIALS_METADATA:
        return has_fresh_keys(s) ? CV_OK : cv_metadata_keys(s, err);
    }
    return cv_fail(err, CV_INTERNAL, "credentials of no kind");
}

enum cv_status cv_session_prepare(struct cv_session *s,
                                  const struct cv_session_call *call,
                                  struct cv_err *err)
{
    enum cv_status st = prepare_auth(s, err);

    if (st == CV_OK && call->project && s->project_id == NULL) {
        st = cv_iam_project(s, err);
    }
    return st != CV_OK ? st : cv_session_ends(s, call->service, err);
}

enum cv_status cv_session_project(struct cv_session *s, const char **out,
                                  struct cv_err *err)
{
    enum cv_status st = prepare_auth(s, err);

    if (st == CV_OK && s->project_id == NULL) {
        st = cv_iam_project(s, err);
    }
    *out = s->project_id;
    return st;
}

/* ---- calls ---- */

/* A token can be had again: from a user whose passcode was not spent. */
static bool can_renew(const struct cv_session *s)
{
    return s->credentials.kind == CV_CREDENTIALS_USER &&
           s->credentials.user->totp == NULL;
}

enum cv_status cv_session_send(struct cv_session *s,
                               const struct cv_session_call *call,
                               struct cv_session_answer *out,
                               struct cv_err *err)
{
    const struct call c = {.is = call};
    bool stale = false;
    enum cv_status st = cv_session_prepare(s, call, err);

    if (st == CV_OK) {
        st = cv_call_run(s, &c, out, &stale, err);
    }
    if (st != CV_OK && stale && can_renew(s)) {
        s->auth.token = NULL;
        st = prepare_auth(s, err);
        if (st == CV_OK) {
            st = cv_call_run(s, &c, out, NULL, err);
        }
    }
    return st;
}

enum cv_status cv_session_parse(const struct cv_session_answer *answer,
                                const char *what, struct cv_arena *arena,
                                cJSON **out, struct cv_err *err)
{
    enum cv_status st = cv_json_parse(arena, answer->body, out, err);

    if (st == CV_OK && !cJSON_IsObject(*out)) {
        st = cv_fail(err, CV_INVALID, "no JSON object");
    }
    if (st == CV_INVALID) {
        cv_err_prefix(err, "the answer (%s) cannot be read", what);
        if (!answer->delimited) {
            /* it may have been cut: the connection's end was its only end */
            st = CV_REMOTE;
            if (err != NULL) {
                err->status = st;
            }
        }
    }
    if (st != CV_OK && err != NULL) {
        memcpy(err->request_id, answer->request_id, sizeof(err->request_id));
    }
    return st;
}
