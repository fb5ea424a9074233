#include "vault/fetch/cce.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAYS_MAX 1827
#define DAY_S 86400
#define SOONEST_S 900
#define PATH_LEN 256
#define BODY_LEN 96

#define MAY_CREATE                                                            \
    "cce:cluster:generateClientCredential (and cce:cluster:get, on which it " \
    "depends)"

static const char *const names[] = {[CV_CCE_V3] = "v3",
                                    [CV_CCE_V3_GET] = "v3-get",
                                    [CV_CCE_AUTOPILOT] = "autopilot"};

enum cv_status cv_cce_api_read(const char *word, enum cv_cce_api *out,
                               struct cv_err *err)
{
    *out = CV_CCE_V3;
    if (word == NULL) {
        return CV_OK;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(word, names[i]) == 0) {
            *out = (enum cv_cce_api)i;
            return CV_OK;
        }
    }
    return cv_fail(err, CV_USAGE, "the API is one of v3, v3-get, autopilot");
}

const char *cv_cce_api_name(enum cv_cce_api api)
{
    return names[api];
}

/* ---- what is checked first ---- */

static enum cv_status check_end(enum cv_cce_api api, int64_t end_s,
                                int64_t now_s, struct cv_err *err)
{
    if (api != CV_CCE_V3) {
        (void)cv_fail(err, CV_USAGE, "the API %s takes no end time",
                      cv_cce_api_name(api));
        cv_err_hint(err, "%s",
                    api == CV_CCE_AUTOPILOT ? "give --duration in days"
                                            : "leave --expire-at out");
        return CV_USAGE;
    }
    if (end_s < now_s + SOONEST_S ||
        end_s > now_s + (int64_t)DAYS_MAX * DAY_S) {
        (void)cv_fail(err, CV_USAGE,
                      "the end time is not between 15 minutes "
                      "and five years ahead");
        return CV_USAGE;
    }
    return CV_OK;
}

enum cv_status cv_cce_check(enum cv_cce_api api,
                            const struct cv_cce_validity *v, int64_t now_s,
                            struct cv_err *err)
{
    if (v->expire_at_s != 0) {
        return check_end(api, v->expire_at_s, now_s, err);
    }
    if (api == CV_CCE_V3_GET) {
        if (v->duration != 0 && v->duration != 1) {
            (void)cv_fail(err, CV_USAGE,
                          "the API v3-get lets nobody choose "
                          "how long a certificate is valid");
            cv_err_hint(err, "leave --duration out, or use --api v3");
            return CV_USAGE;
        }
        return CV_OK;
    }
    if (v->duration != -1 && (v->duration < 1 || v->duration > DAYS_MAX)) {
        (void)cv_fail(err, CV_USAGE,
                      "the duration is 1 to %d days, or -1 for the longest",
                      DAYS_MAX);
        return CV_USAGE;
    }
    return CV_OK;
}

const char *cv_cce_body(enum cv_cce_api api, const struct cv_cce_validity *v,
                        char out[BODY_LEN])
{
    time_t t = (time_t)v->expire_at_s;
    struct tm tm;

    out[0] = '\0';
    if (api == CV_CCE_V3_GET) {
        return out;
    }
    if (v->expire_at_s != 0 && gmtime_r(&t, &tm) != NULL) {
        (void)strftime(out, BODY_LEN,
                       "{\"expire_at\":\"%Y-%m-%d %H:%M:%S +0000 UTC\"}", &tm);
    } else {
        (void)snprintf(out, BODY_LEN, "{\"duration\":%lld}",
                       (long long)v->duration);
    }
    return out;
}

/* ---- calls ---- */

/* "/api/v3/projects/P/clusters[/ID[/TAIL]]"; asks for the project first. */
static enum cv_status make_path(struct cv_session *s, enum cv_cce_api api,
                                const char *id, const char *tail,
                                char out[PATH_LEN], struct cv_err *err)
{
    const char *project = NULL;
    enum cv_status st = id == NULL ? CV_OK : cv_cluster_check_id(id, err);

    if (st == CV_OK) {
        st = cv_session_project(s, &project, err);
    }
    if (st == CV_OK) {
        (void)snprintf(out, PATH_LEN, "%s/v3/projects/%s/clusters%s%s%s%s",
                       api == CV_CCE_AUTOPILOT ? "/autopilot" : "/api", project,
                       id != NULL ? "/" : "", id != NULL ? id : "",
                       tail != NULL ? "/" : "", tail != NULL ? tail : "");
    }
    return st;
}

static struct cv_session_call create_call(enum cv_cce_api api, const char *body)
{
    return (struct cv_session_call){
        .service = CV_REGION_CCE,
        .method = api == CV_CCE_V3_GET ? "GET" : "POST",
        .body = {(const uint8_t *)body, strlen(body)},
        .status = 200,
        .project = true,
        .what = "the request for a certificate",
        .permission = MAY_CREATE};
}

enum cv_status cv_cce_create_cert(struct cv_session *s, enum cv_cce_api api,
                                  const char *cluster_id,
                                  const struct cv_cce_validity *v,
                                  struct cv_session_answer *out,
                                  struct cv_err *err)
{
    char path[PATH_LEN], body[BODY_LEN];
    struct cv_session_call call = create_call(api, cv_cce_body(api, v, body));
    enum cv_status st = cv_cce_check(api, v, cv_session_now_s(s), err);

    if (st == CV_OK) {
        st = make_path(s, api, cluster_id, "clustercert", path, err);
    }
    call.path = path;
    return st != CV_OK ? st : cv_session_send(s, &call, out, err);
}

struct many {
    struct cv_session *s;
    const struct cv_cce_many *is;
    char path[PATH_LEN];
};

static const char *many_path(void *context, size_t i)
{
    struct many *m = context;

    /* ids were checked and the project is known: it cannot fail */
    if (make_path(m->s, m->is->api, m->is->cluster_ids[i], "clustercert",
                  m->path, NULL) != CV_OK) {
        m->path[0] = '\0';
    }
    return m->path;
}

static void many_done(void *context, size_t i, enum cv_status status,
                      const struct cv_session_answer *answer,
                      const struct cv_err *err)
{
    struct many *m = context;

    m->is->done(m->is->context, i, status, answer, err);
}

enum cv_status cv_cce_create_certs(struct cv_session *s,
                                   const struct cv_cce_many *is,
                                   struct cv_err *err)
{
    char body[BODY_LEN];
    struct many m = {.s = s, .is = is};
    const struct cv_session_call call =
        create_call(is->api, cv_cce_body(is->api, &is->validity, body));
    const struct cv_session_many many = {.call = &call,
                                         .n = is->n,
                                         .parallel = is->parallel,
                                         .path = many_path,
                                         .done = many_done,
                                         .context = &m};
    enum cv_status st =
        cv_cce_check(is->api, &is->validity, cv_session_now_s(s), err);

    for (size_t i = 0; st == CV_OK && i < is->n; i++) {
        st = cv_cluster_check_id(is->cluster_ids[i], err);
    }
    return st != CV_OK ? st : cv_session_many_send(s, &many, err);
}

/* Sends a GET and parses what comes. The caller frees *tree. */
static enum cv_status get(struct cv_session *s, const char *path, bool large,
                          const char *what, const char *permission,
                          cJSON **tree, struct cv_err *err)
{
    const struct cv_session_call call = {.service = CV_REGION_CCE,
                                         .method = "GET",
                                         .path = path,
                                         .status = 200,
                                         .large = large,
                                         .project = true,
                                         .what = what,
                                         .permission = permission};
    struct cv_session_answer a;
    struct cv_arena *was = cv_json_use(NULL);
    enum cv_status st = cv_session_send(s, &call, &a, err);

    *tree = NULL;
    if (st == CV_OK) {
        st = cv_session_parse(&a, what, NULL, tree, err);
    }
    if (st == CV_INVALID) {
        st = CV_REMOTE; /* nothing of the caller's is wrong */
        if (err != NULL) {
            err->status = st;
        }
    }
    cv_session_forget(s);
    (void)cv_json_use(was);
    return st;
}

static void drop(cJSON *tree)
{
    struct cv_arena *was = cv_json_use(NULL);

    cJSON_Delete(tree);
    (void)cv_json_use(was);
}

enum cv_status cv_cce_list(struct cv_session *s, enum cv_cce_api api,
                           struct cv_cluster_list *out, struct cv_err *err)
{
    char path[PATH_LEN];
    cJSON *tree = NULL;
    enum cv_status st = make_path(s, api, NULL, NULL, path, err);

    *out = (struct cv_cluster_list){NULL, 0};
    if (st == CV_OK) {
        st = get(s, path, true, "the list of clusters", "cce:cluster:list",
                 &tree, err);
    }
    if (st == CV_OK) {
        st = cv_cluster_read_list(tree, out, err);
    }
    drop(tree);
    return st;
}

enum cv_status cv_cce_show(struct cv_session *s, enum cv_cce_api api,
                           const char *cluster_id, struct cv_cluster *out,
                           struct cv_err *err)
{
    char path[PATH_LEN];
    cJSON *tree = NULL;
    enum cv_status st = make_path(s, api, cluster_id, NULL, path, err);

    if (st == CV_OK) {
        st = get(s, path, false, "the look at the cluster", "cce:cluster:get",
                 &tree, err);
    }
    if (st == CV_OK) {
        st = cv_cluster_read(tree, out, err);
    }
    if (st == CV_OK && strcasecmp(out->id, cluster_id) != 0) {
        st = cv_fail(err, CV_REMOTE, "the cloud answered another cluster");
    }
    drop(tree);
    return st;
}

static void copy_url(const cJSON *status, const char *key,
                     char out[CV_CLUSTER_TEXT_LEN])
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(status, key);

    out[0] = '\0';
    if (cJSON_IsString(item)) {
        (void)cv_err_quote(out, CV_CLUSTER_TEXT_LEN, item->valuestring,
                           strlen(item->valuestring));
    }
}

enum cv_status cv_cce_show_addresses(struct cv_session *s, enum cv_cce_api api,
                                     const char *cluster_id,
                                     struct cv_cce_addresses *out,
                                     struct cv_err *err)
{
    char path[PATH_LEN];
    cJSON *tree = NULL;
    const cJSON *status;
    enum cv_status st = make_path(s, api, cluster_id, "openapi", path, err);

    if (st == CV_OK) {
        st = get(s, path, false, "the cluster's addresses", "cce:cluster:get",
                 &tree, err);
    }
    status = cJSON_GetObjectItemCaseSensitive(tree, "status");
    copy_url(status, "privateEndpoint", out->private_url);
    copy_url(status, "publicEndpoint", out->public_url);
    drop(tree);
    return st;
}

static bool is_user_id(const char *id)
{
    size_t len = strlen(id);

    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)id[i]) && id[i] != '-' && id[i] != '_') {
            return false;
        }
    }
    return len >= 1 && len <= 64;
}

enum cv_status cv_cce_revoke(struct cv_session *s, enum cv_cce_api api,
                             const char *cluster_id, const char *id,
                             bool agency, struct cv_err *err)
{
    char path[PATH_LEN], body[BODY_LEN];
    struct cv_session_call call = {.service = CV_REGION_CCE,
                                   .method = "POST",
                                   .path = path,
                                   .status = 200,
                                   .empty = true,
                                   .project = true,
                                   .what = "the revocation",
                                   .permission =
                                       "cce:cluster:revokeClientCredential"};
    struct cv_session_answer a;
    enum cv_status st;
    int n;

    if (api == CV_CCE_AUTOPILOT) {
        return cv_fail(err, CV_USAGE, "Autopilot has no revocation");
    }
    if (!is_user_id(id)) {
        return cv_fail(err, CV_USAGE, "the user or agency id is none");
    }
    st = make_path(s, api, cluster_id, "clustercertrevoke", path, err);
    if (st != CV_OK) {
        return st;
    }
    n = snprintf(body, sizeof(body), "{\"%s\":\"%s\"}",
                 agency ? "agencyId" : "userId", id);
    call.body = (struct cv_bytes){(const uint8_t *)body, (size_t)n};
    return cv_session_send(s, &call, &a, err);
}
