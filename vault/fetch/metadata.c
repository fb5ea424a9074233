/* Temporary keys of the instance that this runs on (ECS metadata service). */
#include "vault/fetch/session_internal.h"

#include <string.h>

#define ADDRESS "http://169.254.169.254"
#define WAIT_MS 3000
#define TOKEN_LIFE "21600"
#define TOKEN_LIFE_S 21600
#define TOKEN_RENEW_S 600 /* a token with less left is renewed */

static enum cv_status ask(struct cv_session *s, const char *method,
                          const char *target,
                          const struct cv_signing_pair *header,
                          struct cv_http_answer *a, struct cv_err *err)
{
    const struct cv_http_request r = {.method = method,
                                      .target = target,
                                      .headers = header,
                                      .n_headers =
                                          header->value != NULL ? 1 : 0};
    struct cv_origin origin;
    enum cv_status st = cv_origin_parse(
        s->hooks.metadata_url != NULL ? s->hooks.metadata_url : ADDRESS,
        CV_ORIGIN_METADATA, "the metadata address", &origin, err);
    const struct cv_http_config config = {.origin = &origin,
                                          .connect_ms = WAIT_MS,
                                          .total_ms = WAIT_MS,
                                          .watch = s->hooks.watch};

    if (st != CV_OK) {
        return st;
    }
    if (s->hooks.send != NULL) {
        s->hooks.send(s->hooks.context, &origin, &r, a);
    } else {
        if (s->metadata_http == NULL) {
            st = cv_http_new(&config, &s->metadata_http, err);
        }
        if (st != CV_OK) {
            return st;
        }
        cv_http_send(s->metadata_http, &r, WAIT_MS, a);
    }
    if (a->end != CV_HTTP_ANSWERED) {
        st = cv_http_answer_fail(a, &origin, err);
        cv_err_hint(err, "only a cloud instance has metadata: name other "
                         "credentials");
    }
    return st;
}

static enum cv_status fail(const struct cv_http_answer *a, struct cv_err *err)
{
    (void)cv_fail_native(err, CV_REMOTE, CV_DOMAIN_HTTP, a->status,
                         "the metadata service answered %ld", a->status);
    cv_err_hint(err, "set an agency for this instance (Configure Cloud "
                     "Service Agency), or name other credentials");
    return CV_REMOTE;
}

/* Where the service has tokens, gets one. */
static enum cv_status get_token(struct cv_session *s, struct cv_err *err)
{
    static const struct cv_signing_pair life = {"X-Metadata-Token-Ttl-Seconds",
                                                TOKEN_LIFE};
    struct cv_http_answer a;
    size_t len;
    enum cv_status st =
        ask(s, "PUT", "/meta-data/latest/api/token", &life, &a, err);

    s->metadata_token = NULL;
    if (st != CV_OK) {
        return st;
    }
    if (a.status == 404 || a.status == 405 || a.status == 503) {
        return CV_OK; /* no token mode */
    }
    if (a.status != 200) {
        return fail(&a, err);
    }
    len = a.body.len;
    while (len > 0 &&
           (a.body.data[len - 1] == '\n' || a.body.data[len - 1] == '\r')) {
        len--;
    }
    s->metadata_token = cv_arena_copy(s->arena, a.body.data, len, err);
    if (s->metadata_token == NULL) {
        return err != NULL ? err->status : CV_INTERNAL;
    }
    if (!cv_credentials_is_token(s->metadata_token)) {
        s->metadata_token = NULL;
        return cv_fail(err, CV_REMOTE,
                       "the metadata service gave a token "
                       "that no request can carry");
    }
    s->metadata_renew_s =
        cv_session_clock_now_s(s) + TOKEN_LIFE_S - TOKEN_RENEW_S;
    return CV_OK;
}

/* Is this a 401 that a new token may cure? */
static bool wants_token(const struct cv_session *s,
                        const struct cv_http_answer *a)
{
    static const char agency[] = "Please configure Cloud Service Agency first";

    return a->status == 401 && s->metadata_token != NULL &&
           memmem(a->body.data, a->body.len, agency, sizeof(agency) - 1) ==
               NULL;
}

static enum cv_status get_keys(struct cv_session *s, struct cv_http_answer *a,
                               struct cv_err *err)
{
    const struct cv_signing_pair token = {"X-Metadata-Token",
                                          s->metadata_token};

    return ask(s, "GET", "/openstack/latest/securitykey", &token, a, err);
}

enum cv_status cv_metadata_keys(struct cv_session *s, struct cv_err *err)
{
    struct cv_http_answer a;
    cJSON *tree = NULL;
    enum cv_status st = CV_OK;

    if (s->metadata_token == NULL ||
        cv_session_clock_now_s(s) >= s->metadata_renew_s) {
        st = get_token(s, err);
    }
    if (st == CV_OK) {
        st = get_keys(s, &a, err);
    }
    if (st == CV_OK && wants_token(s, &a)) {
        st = get_token(s, err);
        if (st == CV_OK) {
            st = get_keys(s, &a, err);
        }
    }
    if (st != CV_OK) {
        return st;
    }
    if (a.status != 200) {
        return fail(&a, err);
    }
    st = cv_json_parse(s->arena, a.body, &tree, err);
    if (st != CV_OK) {
        cv_err_prefix(err, "the metadata service");
        if (err != NULL) {
            err->status = CV_REMOTE;
        }
        return CV_REMOTE;
    }
    return cv_iam_take_keys(s, tree, "the metadata service", err);
}
