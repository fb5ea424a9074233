#include "vault/fetch/api_internal.h"
#include "vault/fetch/session_internal.h"

#include <stdio.h>
#include <string.h>

#define ID_TOKEN_KEYS_S 21600
#define PROJECTS_SHOWN 5

/* Adds an object member and returns it; NULL stays NULL. */
static cJSON *object(cJSON *parent, const char *key)
{
    return parent == NULL ? NULL : cJSON_AddObjectToObject(parent, key);
}

static bool text(cJSON *parent, const char *key, const char *value)
{
    return parent != NULL &&
           (value == NULL || cv_json_add_str(parent, key, value));
}

/* Writes `tree` into the session's arena as a request's body. */
static enum cv_status write_body(struct cv_session *s, const cJSON *tree,
                                 struct cv_bytes *out, struct cv_err *err)
{
    struct cv_buf body;
    enum cv_status st;

    cv_buf_init(&body, s->arena, CV_LIMIT_TOKEN_FILE * 2);
    cv_json_write(tree, CV_JSON_COMPACT, &body);
    st = cv_buf_status(&body, "a request to IAM", err);
    *out = cv_buf_bytes(&body);
    return st;
}

static const char *keep(struct cv_session *s, const char *value, size_t len,
                        struct cv_err *err)
{
    return cv_arena_copy(s->arena, value, len, err);
}

static enum cv_status status_of(const struct cv_err *err)
{
    return err != NULL ? err->status : CV_INTERNAL;
}

/* ---- a token ---- */

static bool add_user(cJSON *identity, const struct cv_cloud_user *u)
{
    cJSON *methods = cJSON_AddArrayToObject(identity, "methods");
    cJSON *user = object(object(identity, "password"), "user");
    bool ok = methods != NULL &&
              cJSON_AddItemToArray(methods, cJSON_CreateString("password")) &&
              text(user, u->id != NULL ? "id" : "name",
                   u->id != NULL ? u->id : u->name) &&
              text(user, "password", u->password);

    if (ok && u->id == NULL) {
        ok = text(object(user, "domain"), "name", u->domain);
    }
    if (ok && u->totp != NULL) {
        cJSON *totp = object(object(identity, "totp"), "user");

        ok = cJSON_AddItemToArray(methods, cJSON_CreateString("totp")) &&
             text(totp, u->id != NULL ? "id" : "name",
                  u->id != NULL ? u->id : u->name) &&
             text(totp, "passcode", u->totp);
    }
    return ok;
}

static enum cv_status user_body(struct cv_session *s, struct cv_bytes *out,
                                struct cv_err *err)
{
    struct cv_arena *was = cv_json_use(s->arena);
    cJSON *tree = cJSON_CreateObject();
    cJSON *auth = object(tree, "auth");
    cJSON *identity = object(auth, "identity");
    cJSON *project = object(object(auth, "scope"), "project");
    enum cv_status st = CV_OK;

    if (identity == NULL || !add_user(identity, s->credentials.user) ||
        !text(project, s->project_id != NULL ? "id" : "name",
              s->project_id != NULL ? s->project_id : s->region)) {
        st = cv_fail(err, CV_INTERNAL, "out of memory");
    } else {
        st = write_body(s, tree, out, err);
    }
    (void)cv_json_use(was);
    return st;
}

/* X-Subject-Token, copied. */
static enum cv_status take_token(struct cv_session *s,
                                 const struct cv_session_answer *a,
                                 const char **out, struct cv_err *err)
{
    struct cv_bytes value;
    bool there = cv_http_answer_header(&a->http, "x-subject-token", &value);

    *out = there ? keep(s, (const char *)value.data, value.len, err) : NULL;
    if (there && *out == NULL) {
        return status_of(err);
    }
    if (!there || !cv_credentials_is_token(*out)) {
        *out = NULL;
        return cv_fail(err, CV_REMOTE, "IAM answered without a token");
    }
    return CV_OK;
}

/* token.project.id comes for free. */
static void learn_project(struct cv_session *s,
                          const struct cv_session_answer *a)
{
    cJSON *tree = NULL;
    const cJSON *id = NULL;

    if (s->project_id != NULL ||
        cv_session_parse(a, "a token", s->arena, &tree, NULL) != CV_OK) {
        return;
    }
    id = cJSON_GetObjectItemCaseSensitive(tree, "token");
    id = cJSON_GetObjectItemCaseSensitive(id, "project");
    id = cJSON_GetObjectItemCaseSensitive(id, "id");
    if (cJSON_IsString(id) &&
        cv_credentials_check_project(id->valuestring, NULL) == CV_OK) {
        s->project_id = id->valuestring; /* lives in the arena */
    }
}

enum cv_status cv_iam_user_token(struct cv_session *s, struct cv_err *err)
{
    static const struct cv_signing_pair query[] = {{"nocatalog", "1"}};
    struct cv_session_call is = {.service = CV_REGION_IAM,
                                 .method = "POST",
                                 .path = "/v3/auth/tokens",
                                 .query = query,
                                 .n_query = 1,
                                 .status = 201,
                                 .what = "the request for a token"};
    const struct call c = {.is = &is, .open = true};
    struct cv_session_answer a;
    enum cv_status st;

    if (s->project_id == NULL && s->region == NULL) {
        st = cv_fail(err, CV_USAGE,
                     "a token is for one project, and none is named");
        cv_err_hint(err, "give --region or --project-id");
        return st;
    }
    st = user_body(s, &is.body, err);
    if (st == CV_OK) {
        st = cv_call_run(s, &c, &a, NULL, err);
    }
    if (st == CV_OK) {
        st = take_token(s, &a, &s->auth.token, err);
    }
    if (st == CV_OK) {
        learn_project(s, &a);
    }
    return st;
}

/* ---- temporary keys ---- */

enum cv_status cv_iam_take_keys(struct cv_session *s, const cJSON *tree,
                                const char *who, struct cv_err *err)
{
    const cJSON *credential =
        cJSON_GetObjectItemCaseSensitive(tree, "credential");
    const char *expires = NULL;
    struct session_auth got = {0};
    const struct cv_json_field fields[] = {
        {"access", CV_JSON_STRING, true, &got.ak, 128},
        {"secret", CV_JSON_STRING, true, &got.sk, 256},
        {"securitytoken", CV_JSON_STRING, true, &got.security_token,
         CV_LIMIT_TOKEN_FILE},
        {"expires_at", CV_JSON_STRING, false, &expires, 64},
    };
    enum cv_status st =
        cv_json_read(credential, "credential", fields,
                     sizeof(fields) / sizeof(fields[0]), false, err);

    if (st == CV_OK &&
        (!cv_credentials_is_token(got.ak) || !cv_credentials_is_token(got.sk) ||
         !cv_credentials_is_token(got.security_token))) {
        st = cv_fail(err, CV_REMOTE, "keys that no request can carry");
    }
    if (st == CV_OK && expires != NULL) {
        int64_t t = cv_api_text_time(expires);

        got.expires_s = t > 0 ? t : 0;
    }
    if (st != CV_OK) {
        cv_err_prefix(err, "%s gave no temporary keys", who);
        if (err != NULL) {
            err->status = CV_REMOTE;
        }
        return CV_REMOTE;
    }
    /* the tree may be another arena's */
    got.ak = keep(s, got.ak, strlen(got.ak), err);
    got.sk = keep(s, got.sk, strlen(got.sk), err);
    got.security_token =
        keep(s, got.security_token, strlen(got.security_token), err);
    if (got.ak == NULL || got.sk == NULL || got.security_token == NULL) {
        return status_of(err);
    }
    s->auth = got;
    return CV_OK;
}

static enum cv_status id_token_body(struct cv_session *s, struct cv_bytes *out,
                                    struct cv_err *err)
{
    struct cv_arena *was = cv_json_use(s->arena);
    cJSON *tree = cJSON_CreateObject();
    enum cv_status st;

    if (!text(object(object(tree, "auth"), "id_token"), "id",
              s->credentials.id_token)) {
        st = cv_fail(err, CV_INTERNAL, "out of memory");
    } else {
        st = write_body(s, tree, out, err);
    }
    (void)cv_json_use(was);
    return st;
}

static enum cv_status keys_body(struct cv_session *s, const char *token,
                                struct cv_bytes *out, struct cv_err *err)
{
    struct cv_arena *was = cv_json_use(s->arena);
    cJSON *tree = cJSON_CreateObject();
    cJSON *identity = object(object(tree, "auth"), "identity");
    cJSON *methods =
        identity == NULL ? NULL : cJSON_AddArrayToObject(identity, "methods");
    cJSON *of = object(identity, "token");
    enum cv_status st;

    if (methods == NULL ||
        !cJSON_AddItemToArray(methods, cJSON_CreateString("token")) ||
        !text(of, "id", token) ||
        !cv_json_add_int(of, "duration_seconds", ID_TOKEN_KEYS_S)) {
        st = cv_fail(err, CV_INTERNAL, "out of memory");
    } else {
        st = write_body(s, tree, out, err);
    }
    (void)cv_json_use(was);
    return st;
}

static enum cv_status exchange_id_token(struct cv_session *s,
                                        const char **token, struct cv_err *err)
{
    struct cv_session_call is = {.service = CV_REGION_IAM,
                                 .method = "POST",
                                 .path = "/v3.0/OS-AUTH/id-token/tokens",
                                 .status = 201,
                                 .empty = true, /* the token is a header */
                                 .what = "the request for a token"};
    const struct call c = {
        .is = &is, .open = true, .extra = {"X-Idp-Id", s->credentials.idp_id}};
    struct cv_session_answer a;
    enum cv_status st = id_token_body(s, &is.body, err);

    if (st == CV_OK) {
        st = cv_call_run(s, &c, &a, NULL, err);
    }
    return st != CV_OK ? st : take_token(s, &a, token, err);
}

enum cv_status cv_iam_id_token_keys(struct cv_session *s, struct cv_err *err)
{
    struct cv_session_call is = {.service = CV_REGION_IAM,
                                 .method = "POST",
                                 .path = "/v3.0/OS-CREDENTIAL/securitytokens",
                                 .status = 201,
                                 .what = "the request for temporary keys"};
    const struct call c = {.is = &is, .open = true};
    const char *token = NULL;
    struct cv_session_answer a;
    cJSON *tree = NULL;
    enum cv_status st = exchange_id_token(s, &token, err);

    if (st == CV_OK) {
        st = keys_body(s, token, &is.body, err);
    }
    if (st == CV_OK) {
        st = cv_call_run(s, &c, &a, NULL, err);
    }
    if (st == CV_OK) {
        st = cv_session_parse(&a, "temporary keys", s->arena, &tree, err);
    }
    return st != CV_OK ? st : cv_iam_take_keys(s, tree, "IAM", err);
}

/* ---- the project ---- */

static enum cv_status no_project(const struct cv_session *s,
                                 const struct cv_session_answer *a,
                                 struct cv_err *err)
{
    struct cv_bytes value = {NULL, 0};
    char trace[80];

    (void)cv_http_answer_header(&a->http, "x-iam-trace-id", &value);
    (void)cv_fail(err, CV_REMOTE,
                  "IAM knows no project of the region %s (X-IAM-Trace-Id: %s)",
                  s->region,
                  cv_err_quote(trace, sizeof(trace), (const char *)value.data,
                               value.len));
    cv_err_hint(err, "check the region and the credentials, or give "
                     "--project-id");
    return CV_REMOTE;
}

static enum cv_status many_projects(const struct cv_session *s,
                                    const cJSON *projects, struct cv_err *err)
{
    char ids[PROJECTS_SHOWN * 36 + 8] = "";
    size_t used = 0, n = 0;
    const cJSON *p;

    cJSON_ArrayForEach(p, projects)
    {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(p, "id");

        if (n == PROJECTS_SHOWN) {
            (void)snprintf(ids + used, sizeof(ids) - used, ", ...");
            break;
        }
        if (cJSON_IsString(id) &&
            cv_credentials_check_project(id->valuestring, NULL) == CV_OK) {
            used += (size_t)snprintf(ids + used, sizeof(ids) - used, "%s%s",
                                     n > 0 ? ", " : "", id->valuestring);
            n++;
        }
    }
    (void)cv_fail(err, CV_USAGE, "the region %s has several projects: %s",
                  s->region, ids);
    cv_err_hint(err, "choose one with --project-id");
    return CV_USAGE;
}

static enum cv_status take_project(struct cv_session *s,
                                   const struct cv_session_answer *a,
                                   const cJSON *tree, struct cv_err *err)
{
    const cJSON *projects = cJSON_GetObjectItemCaseSensitive(tree, "projects");
    const cJSON *id;
    int n = cJSON_GetArraySize(projects);

    if (!cJSON_IsArray(projects)) {
        return cv_fail(err, CV_REMOTE, "IAM answered without projects");
    }
    if (n == 0) {
        return no_project(s, a, err);
    }
    if (n > 1) {
        return many_projects(s, projects, err);
    }
    id =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(projects, 0), "id");
    if (!cJSON_IsString(id) ||
        cv_credentials_check_project(id->valuestring, NULL) != CV_OK) {
        return cv_fail(err, CV_REMOTE, "IAM answered a malformed project id");
    }
    s->project_id = id->valuestring; /* lives in the arena */
    return CV_OK;
}

enum cv_status cv_iam_project(struct cv_session *s, struct cv_err *err)
{
    const struct cv_signing_pair query[] = {{"name", s->region}};
    const struct cv_session_call is = {.service = CV_REGION_IAM,
                                       .method = "GET",
                                       .path = "/v3/projects",
                                       .query = query,
                                       .n_query = 1,
                                       .status = 200,
                                       .what = "the look-up of the project",
                                       .permission =
                                           "iam:projects:listProjects"};
    const struct call c = {.is = &is};
    struct cv_session_answer a;
    cJSON *tree = NULL;
    enum cv_status st;

    if (s->region == NULL) {
        st = cv_fail(err, CV_USAGE,
                     "no project is named, nor a region to "
                     "look it up by");
        cv_err_hint(err, "give --region or --project-id");
        return st;
    }
    st = cv_call_run(s, &c, &a, NULL, err);
    if (st == CV_OK) {
        st = cv_session_parse(&a, "projects", s->arena, &tree, err);
    }
    return st != CV_OK ? st : take_project(s, &a, tree, err);
}
