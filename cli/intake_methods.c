#include "cli/intake_methods.h"

#include "cli/intake_seal.h"
#include "cli/intake_server.h"
#include "cli/intake_witness.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/fetch/cce.h"
#include "vault/kubeconfig/kubeconfig.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DAY_S 86400
#define SKEW_TOLD_S 300

/* An answer of 1 MiB, its JSON, its certificates. */
#define CALL_ARENA CV_LIMIT_SECRET_ARENA

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

void cv_intake_methods_end(struct cv_intake_methods_state *state)
{
    cv_session_free(state->session);
    state->session = NULL;
}

/* ---- what every call begins with ---- */

struct ask {
    struct cv_session *session;
    enum cv_cce_api api;
};

static enum cv_status begin(struct cv_intake_methods_state *state,
                            const cJSON *cloud, struct ask *out,
                            struct cv_err *err)
{
    const struct cv_session_hooks hooks = {.watch = CV_PROCESS_SOCKET};
    enum cv_status s = CV_OK;

    if (state->session == NULL || !cv_session_is_for(state->session, cloud)) {
        cv_intake_methods_end(state);
        s = cv_session_open(cloud, &hooks, &state->session, err);
    }
    if (s != CV_OK) {
        return s;
    }
    cv_session_begin(state->session);
    out->session = state->session;
    return cv_cce_api_read(cv_session_cloud(out->session)->api, &out->api, err);
}

/* Members that tell where a cluster is. */
static bool add_place(cJSON *o, const struct ask *a, const char *project)
{
    return cv_json_add_str(o, "api", cv_cce_api_name(a->api)) &&
           cv_json_add_str(o, "region", cv_session_region(a->session)) &&
           cv_json_add_str(o, "project_id", project);
}

/* ---- Where ---- */

static bool add_endpoints(cJSON *out, const char *key,
                          struct cv_session *session,
                          enum cv_region_service service)
{
    struct cv_buf text;
    bool ok;

    cv_buf_init(&text, NULL, CV_REGION_ENDS * CV_ORIGIN_TEXT_LEN);
    ok = cv_session_endpoints(session, service, &text) &&
         (text.len == 0 || cv_json_add_str(out, key, cv_buf_text(&text)));
    cv_buf_wipe(&text);
    return ok;
}

static enum cv_status where(void *context, const cJSON *parameters,
                            struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *cloud = NULL;
    const char *project = NULL;
    bool look_up = false;
    const struct cv_json_field fields[] = {
        {"cloud", CV_JSON_OBJECT, true, &cloud, 0},
        {"look_up", CV_JSON_BOOL, false, &look_up, 0},
    };
    struct ask a;
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s =
        cv_json_read(parameters, "Where", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = begin(context, cloud, &a, err);
    }
    if (s == CV_OK) {
        project = cv_session_named_project(a.session);
        if (project == NULL && look_up) {
            s = cv_session_project(a.session, &project, err);
        }
    }
    if (s == CV_OK &&
        (!add_place(out, &a, project) ||
         !add_endpoints(out, "endpoint", a.session, CV_REGION_CCE) ||
         !add_endpoints(out, "iam_endpoint", a.session, CV_REGION_IAM))) {
        s = no_memory(err);
    }
    return s;
}

/* ---- Clusters ---- */

static enum cv_status add_clusters(cJSON *reply, const struct ask *a,
                                   const struct cv_cluster_list *list,
                                   struct cv_err *err)
{
    cJSON *items = cJSON_AddArrayToObject(reply, "items");
    const char *project = NULL;
    enum cv_status s = cv_session_project(a->session, &project, err);

    for (size_t i = 0; s == CV_OK && i < list->n; i++) {
        cJSON *item = cv_cluster_to_json(&list->item[i]);

        if (item == NULL || !add_place(item, a, project) ||
            !cJSON_AddItemToArray(items, item)) {
            cJSON_Delete(item);
            return no_memory(err);
        }
    }
    return s == CV_OK && items == NULL ? no_memory(err) : s;
}

static enum cv_status clusters(void *context, const cJSON *parameters,
                               struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *cloud = NULL;
    const struct cv_json_field fields[] = {
        {"cloud", CV_JSON_OBJECT, true, &cloud, 0},
    };
    struct cv_cluster_list list = {NULL, 0};
    struct ask a;
    enum cv_status s =
        cv_json_read(parameters, "Clusters", fields, COUNT(fields), true, err);

    if (s == CV_OK) {
        s = begin(context, cloud, &a, err);
    }
    if (s == CV_OK) {
        s = cv_cce_list(a.session, a.api, &list, err);
    }
    if (s == CV_OK) {
        s = add_clusters(cv_reply_parameters(reply), &a, &list, err);
    }
    cv_cluster_list_free(&list);
    return s;
}

/* ---- Find ---- */

static enum cv_status find_by_name(const struct ask *a, const char *name,
                                   struct cv_cluster *out, struct cv_err *err)
{
    struct cv_cluster_list list = {NULL, 0};
    const struct cv_cluster *found = NULL;
    enum cv_status s = cv_cce_list(a->session, a->api, &list, err);

    if (s == CV_OK) {
        s = cv_cluster_find(&list, name, &found, err);
    }
    if (s == CV_OK) {
        *out = *found;
    }
    cv_cluster_list_free(&list);
    return s;
}

static enum cv_status find(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *cloud = NULL;
    const char *id = NULL, *name = NULL, *project = NULL;
    const struct cv_json_field fields[] = {
        {"cloud", CV_JSON_OBJECT, true, &cloud, 0},
        {"cluster_id", CV_JSON_STRING, false, &id, CV_LIMIT_FRAME},
        {"cluster", CV_JSON_STRING, false, &name, 0},
    };
    struct cv_cluster c;
    struct ask a;
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s =
        cv_json_read(parameters, "Find", fields, COUNT(fields), true, err);

    if (s == CV_OK && (id == NULL) == (name == NULL)) {
        s = cv_fail(err, CV_USAGE, "either an id or a name of a cluster");
    }
    if (s == CV_OK && id != NULL) {
        s = cv_cluster_check_id(id, err);
    }
    if (s == CV_OK) {
        s = begin(context, cloud, &a, err);
    }
    if (s == CV_OK) {
        s = id != NULL ? cv_cce_show(a.session, a.api, id, &c, err)
                       : find_by_name(&a, name, &c, err);
    }
    if (s == CV_OK) {
        s = cv_session_project(a.session, &project, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(out, "cluster_id", c.id) ||
         !cv_json_add_str(out, "cluster", c.name[0] != '\0' ? c.name : NULL) ||
         !cv_json_add_str(out, "project_id", project) ||
         !cv_json_add_str(out, "region", cv_session_region(a.session)) ||
         !cv_json_add_str(out, "phase", c.phase))) {
        s = no_memory(err);
    }
    return s;
}

/* ---- Fetch ---- */

struct fetch {
    struct ask ask;
    const cJSON *cloud;
    const cJSON *target_json;
    const char *cluster_id;
    const char *expire_at;
    struct cv_cce_validity validity;
    struct cv_intake_seal_target target;
    struct cv_arena *arena;
    struct cv_kubeconfig *file;
    char request_id[CV_ERR_ID_LEN];
    char port_id[64];
};

static enum cv_status read_fetch(const cJSON *parameters, struct fetch *f,
                                 struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"cloud", CV_JSON_OBJECT, true, &f->cloud, 0},
        {"cluster_id", CV_JSON_STRING, true, &f->cluster_id, CV_LIMIT_FRAME},
        {"duration", CV_JSON_INT, false, &f->validity.duration, 0},
        {"expire_at", CV_JSON_STRING, false, &f->expire_at, 64},
        {"target", CV_JSON_OBJECT, true, &f->target_json, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Fetch", fields, COUNT(fields), true, err);

    if (s == CV_OK && f->expire_at != NULL) {
        s = cv_clock_parse(f->expire_at, &f->validity.expire_at_s, err);
        if (s != CV_OK) {
            cv_err_prefix(err, "the end time");
        }
    }
    if (s == CV_OK) {
        s = cv_cluster_check_id(f->cluster_id, err);
    }
    if (s == CV_OK) {
        s = cv_intake_seal_read_target(f->target_json, &f->target, err);
    }
    /* whatever is wrong here was typed */
    if (s == CV_INVALID) {
        s = CV_USAGE;
        err->status = s;
    }
    return s;
}

/* The answer as a kubeconfig. A certificate was minted: what goes wrong from
 * here on has to say so. */
static enum cv_status read_answer(struct fetch *f,
                                  const struct cv_session_answer *answer,
                                  struct cv_err *err)
{
    const struct cv_kubeconfig_want want = {
        .now_s = cv_session_now_s(f->ask.session)};
    size_t blank = 0;
    enum cv_status s;

    while (blank < answer->body.len &&
           memchr(" \t\r\n", answer->body.data[blank], 4) != NULL) {
        blank++;
    }
    if (blank == answer->body.len || answer->body.data[blank] != '{') {
        s = cv_fail(err, CV_INVALID, "no JSON object"); /* YAML neither */
    } else {
        s = cv_kubeconfig_read(f->arena, answer->body, &want, &f->file, err);
    }
    if (s == CV_OK) {
        return s;
    }
    cv_err_prefix(err, "the cloud's answer");
    cv_err_state(err, "the cloud issued a certificate; nothing of it was kept");
    memcpy(err->request_id, answer->request_id, sizeof(err->request_id));
    if (s == CV_INVALID && !answer->delimited) {
        s = CV_REMOTE; /* it may have been cut */
        err->status = s;
    }
    return s;
}

static enum cv_status ask_cloud(struct fetch *f, struct cv_err *err)
{
    struct cv_session_answer answer;
    enum cv_status s = cv_cce_create_cert(
        f->ask.session, f->ask.api, f->cluster_id, &f->validity, &answer, err);

    if (s == CV_OK) {
        memcpy(f->request_id, answer.request_id, sizeof(f->request_id));
        if (!cv_http_answer_header_text(&answer.http, "port-id", f->port_id,
                                        sizeof(f->port_id)) ||
            strspn(f->port_id, "0123456789abcdefABCDEF-") !=
                strlen(f->port_id)) {
            f->port_id[0] = '\0';
        }
        s = read_answer(f, &answer, err);
    }
    cv_session_forget(f->ask.session);
    return s;
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

/* What an entry remembers of where it came from. */
static enum cv_status add_source(cJSON *reply, const struct fetch *f,
                                 struct cv_err *err)
{
    struct cv_session *session = f->ask.session;
    const struct cv_cloud *cloud = cv_session_cloud(session);
    const struct cv_origin *cce = cv_session_origin(session, CV_REGION_CCE);
    const struct cv_origin *iam = cv_session_origin(session, CV_REGION_IAM);
    cJSON *o = cJSON_AddObjectToObject(reply, "source");
    char end[CV_CLOCK_TEXT_LEN];
    const char *project = NULL;
    enum cv_status s = cv_session_project(session, &project, err);
    bool ok =
        s == CV_OK && cv_json_add_str(o, "kind", "cce") &&
        add_place(o, &f->ask, project) &&
        cv_json_add_str(o, "cluster_id", f->cluster_id) &&
        cv_json_add_str(o, "request_id", or_null(f->request_id)) &&
        cv_json_add_str(o, "port_id", or_null(f->port_id)) &&
        cv_json_add_str(o, "endpoint", cce->url) &&
        cv_json_add_str(o, "iam_endpoint", iam != NULL ? iam->url : NULL) &&
        cv_json_add_str(o, "ca_pem", cloud->ca_pem);

    if (ok && f->validity.expire_at_s != 0) {
        ok = cv_json_add_str(o, "expire_at",
                             cv_clock_format(f->validity.expire_at_s, end));
    } else if (ok && f->ask.api != CV_CCE_V3_GET) {
        ok = cv_json_add_int(o, "duration", f->validity.duration);
    }
    return ok || s != CV_OK ? s : no_memory(err);
}

static bool add_note(cJSON *notes, const char *text)
{
    cJSON *item = cJSON_CreateString(text);

    if (item == NULL || !cJSON_AddItemToArray(notes, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

/* Is the certificate's life what was asked for, give or take a day? */
static bool add_life_note(cJSON *notes, const struct fetch *f, int64_t end_s)
{
    int64_t now_s = cv_session_now_s(f->ask.session);
    int64_t wanted_s = f->validity.expire_at_s != 0
                           ? f->validity.expire_at_s
                           : now_s + f->validity.duration * DAY_S;
    char text[160], end[CV_CLOCK_TEXT_LEN];
    bool chosen = f->validity.expire_at_s != 0 ||
                  (f->ask.api != CV_CCE_V3_GET && f->validity.duration > 0);

    if (f->ask.api == CV_CCE_V3_GET) {
        (void)snprintf(text, sizeof(text),
                       "the API v3-get chose how long the certificate is "
                       "valid: until %s",
                       cv_clock_format(end_s, end));
        return add_note(notes, text);
    }
    if (!chosen || llabs(end_s - wanted_s) <= DAY_S) {
        return true;
    }
    (void)snprintf(text, sizeof(text),
                   "the certificate is valid until %s, which is not what was "
                   "asked for",
                   cv_clock_format(end_s, end));
    return add_note(notes, text);
}

static enum cv_status add_notes(cJSON *reply, const struct fetch *f,
                                struct cv_err *err)
{
    cJSON *notes = cJSON_AddArrayToObject(reply, "notes");
    int64_t skew_s = cv_session_skew_s(f->ask.session);
    char text[160];
    bool ok = notes != NULL;

    for (size_t i = 0; ok && i < f->file->n_notes; i++) {
        ok = add_note(notes, f->file->notes[i]);
    }
    if (ok) {
        ok = add_life_note(notes, f, f->file->identities[0].leaf.not_after_s);
    }
    if (ok && llabs(skew_s) > SKEW_TOLD_S) {
        (void)snprintf(text, sizeof(text),
                       "this machine's clock is %lld minutes %s the cloud's",
                       (long long)(llabs(skew_s) / 60),
                       skew_s > 0 ? "behind" : "ahead of");
        ok = add_note(notes, text);
    }
    return ok ? CV_OK : no_memory(err);
}

static enum cv_status answer_fetch(cJSON *reply, const struct fetch *f,
                                   struct cv_err *err)
{
    enum cv_status s = cv_intake_seal_identities(reply, "identities", f->file,
                                                 &f->target, f->arena, err);

    if (s == CV_OK) {
        s = add_source(reply, f, err);
    }
    return s != CV_OK ? s : add_notes(reply, f, err);
}

static enum cv_status fetch(void *context, const cJSON *parameters,
                            struct cv_reply *reply, struct cv_err *err)
{
    struct fetch f = {.cloud = NULL};
    enum cv_status s = read_fetch(parameters, &f, err);

    if (s == CV_OK) {
        s = begin(context, f.cloud, &f.ask, err);
    }
    if (s == CV_OK) {
        s = cv_arena_new(CALL_ARENA, &f.arena, err);
    }
    if (s == CV_OK) {
        s = ask_cloud(&f, err);
    }
    if (s == CV_OK) {
        s = answer_fetch(cv_reply_parameters(reply), &f, err);
    }
    cv_arena_free(f.arena);
    return s;
}

/* ---- Deliver ---- */

static enum cv_status deliver(void *context, const cJSON *parameters,
                              struct cv_reply *reply, struct cv_err *err)
{
    struct cv_intake_methods_state *state = context;

    return cv_intake_sink_deliver(&state->sink, parameters, reply, err);
}

static const struct cv_method methods[] = {
    {"Where", where, false},
    {"Clusters", clusters, false},
    {"Find", find, false},
    {"Fetch", fetch, false},
    {"AddCheckpoint", cv_intake_witness_add, false},
    {"ServerKey", cv_intake_server_key, false},
    {"Deliver", deliver, false},
};

const struct cv_interface cv_intake_methods = {
    .name = CV_INTERFACE_INTAKE,
    .description = cv_interface_intake,
    .methods = methods,
    .n_methods = COUNT(methods),
};
