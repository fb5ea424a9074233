/* clusters and fetch: intake asks the cloud, the broker decides and stores. */
#include "vault/base/clock.h"
#include "vault/base/name.h"
#include "vault/broker/freeze.h"
#include "vault/broker/held_internal.h"
#include "vault/broker/meanwhile.h"
#include "vault/broker/service_internal.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fetch {
    const cJSON *cloud, *labels;
    const char *cluster_id, *cluster, *expire_at, *name, *to;
    int64_t duration;
    bool exportable, dry_run, as_service;
    char id[64];                       /* of the cluster, found out */
    char base_name[CV_LIMIT_NAME + 1]; /* what the entry is to be called, or
                                          what policy is asked about where the
                                          name holds {context} */
    struct cv_held *held; /* the token that takes the key; NULL: the vault */
};

/* What CCE's certificates are for. */
#define CCE_KEY_TYPE "RSA"
#define CCE_KEY_BITS 2048

/* Instance metadata speaks for the machine: only for the broker's own user. */
static cJSON *cloud_for(const struct cv_broker *b, const cJSON *cloud)
{
    cJSON *copy = cJSON_Duplicate(cloud, true);

    if (copy != NULL && b->caller->peer.uid != geteuid()) {
        cJSON_DeleteItemFromObjectCaseSensitive(copy, "metadata");
        (void)cv_json_add_bool(copy, "metadata", false);
    }
    return copy;
}

/* `alone`: what is under way at a token has nobody served beside it. */
static enum cv_status intake(struct cv_broker *b, bool alone,
                             const char *method, cJSON *parameters,
                             struct cv_message *reply, struct cv_err *err)
{
    char full[64];

    (void)snprintf(full, sizeof(full), "%s.%s", CV_INTERFACE_INTAKE, method);
    return alone ? cv_helper_call(&b->intake, full, parameters,
                                  CV_CLIENT_SECRET_IN, reply, err)
                 : cv_meanwhile_call(b, &b->intake, full, parameters,
                                     CV_CLIENT_SECRET_IN, reply, err);
}

static enum cv_status read_fetch(const cJSON *parameters, struct fetch *f,
                                 struct cv_err *err)
{
    const struct cv_json_field fields[] = {
        {"cloud", CV_JSON_OBJECT, true, &f->cloud, 0},
        {"cluster_id", CV_JSON_STRING, false, &f->cluster_id, 0},
        {"cluster", CV_JSON_STRING, false, &f->cluster, 0},
        {"duration", CV_JSON_INT, false, &f->duration, 0},
        {"expire_at", CV_JSON_STRING, false, &f->expire_at, 0},
        {"name", CV_JSON_STRING, false, &f->name, CV_LIMIT_NAME},
        {"exportable", CV_JSON_BOOL, false, &f->exportable, 0},
        {"labels", CV_JSON_OBJECT, false, &f->labels, 0},
        {"to", CV_JSON_STRING, false, &f->to, CV_HELD_URI},
        {"dry_run", CV_JSON_BOOL, false, &f->dry_run, 0},
        {"as_service", CV_JSON_BOOL, false, &f->as_service, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s =
        cv_json_read(parameters, "Fetch", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK && (f->cluster_id == NULL) == (f->cluster == NULL)) {
        s = cv_fail(err, CV_USAGE,
                    "one of --cluster-id and --cluster is "
                    "needed");
    }
    if (s == CV_OK && f->to != NULL && f->exportable) {
        s = cv_fail(err, CV_INVALID, "what is on a token is never exported");
    }
    return s;
}

/* A name in the cloud as a NAME here: what it may not hold becomes '-'. */
static void name_from(const char *text, char out[CV_LIMIT_NAME + 1])
{
    size_t n = 0;

    for (; text[n] != '\0' && n < CV_LIMIT_NAME; n++) {
        char c = text[n];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  (c >= '0' && c <= '9') || (n > 0 && (c == '.' || c == '_'));

        out[n] = ok ? c : '-';
    }
    out[n] = '\0';
    if (cv_name_check(out, NULL) != CV_OK) {
        (void)snprintf(out, CV_LIMIT_NAME + 1, "cluster");
    }
}

#define CONTEXT "{context}"

/* `pattern` with `context` in the place of {context}; behind it, where there
 * are several and the pattern does not say where. */
static enum cv_status expand_name(const char *pattern, const char *context,
                                  bool several, char out[CV_LIMIT_NAME + 1],
                                  struct cv_err *err)
{
    const char *place = strstr(pattern, CONTEXT);
    int len;

    if (place != NULL) {
        len =
            snprintf(out, CV_LIMIT_NAME + 1, "%.*s%s%s", (int)(place - pattern),
                     pattern, context, place + strlen(CONTEXT));
    } else {
        len = snprintf(out, CV_LIMIT_NAME + 1, several ? "%s-%s" : "%s",
                       pattern, context);
    }
    if (len < 0 || len > CV_LIMIT_NAME) {
        return cv_fail(err, CV_INVALID,
                       "the name of the entry would be too long");
    }
    return cv_name_check(out, err);
}

/* Which cluster, and what its entry is to be called. The cloud is asked only
 * for what the command did not say. */
static enum cv_status find_cluster(struct cv_broker *b, struct fetch *f,
                                   struct cv_err *err)
{
    struct cv_message reply = {0};
    const char *id = NULL, *name = NULL, *skip;
    const struct cv_json_field fields[] = {
        {"cluster_id", CV_JSON_STRING, true, &id, sizeof(f->id) - 1},
        {"cluster", CV_JSON_STRING, false, &name, 0},
        {"project_id", CV_JSON_STRING, false, &skip, 0},
        {"region", CV_JSON_STRING, false, &skip, 0},
        {"phase", CV_JSON_STRING, false, &skip, 0},
    };
    cJSON *p;
    enum cv_status s;

    if (f->cluster_id != NULL && f->name != NULL) {
        (void)snprintf(f->id, sizeof(f->id), "%s", f->cluster_id);
        return expand_name(f->name, "internal", false, f->base_name, err);
    }
    p = cJSON_CreateObject();
    if (!cv_json_add_item(p, "cloud", cloud_for(b, f->cloud)) ||
        !cv_json_add_str(p, "cluster_id", f->cluster_id) ||
        !cv_json_add_str(p, "cluster", f->cluster)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = intake(b, false, "Find", p, &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Find", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        (void)snprintf(f->id, sizeof(f->id), "%s", id);
        if (f->name != NULL) {
            s = expand_name(f->name, "internal", false, f->base_name, err);
        } else {
            name_from(name != NULL ? name : id, f->base_name);
        }
    }
    cv_message_free(&reply);
    return s;
}

static bool add_all(cJSON *to, const cJSON *from, const char *const *keys,
                    size_t n)
{
    bool ok = true;

    for (size_t i = 0; ok && i < n; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, keys[i]);

        ok = item == NULL ||
             cv_json_add_item(to, keys[i], cJSON_Duplicate(item, true));
    }
    return ok;
}

/* What others approve of a fetch is where it goes, also where that comes out of
 * an environment or a profile: these are of the caller's hand, and may be
 * others when the command is run again. So the parameters that approvals are of
 * have what intake makes of them. `look_up`: the cloud may be asked which
 * project it is; else one that nobody names is left to the service's
 * credentials. What is made has no secret in it. A policy without approvals
 * pays nothing. */
static enum cv_status bind_place(struct cv_ask *ask, const struct fetch *f,
                                 bool look_up, cJSON **bound,
                                 struct cv_err *err)
{
    static const char *const kept[] = {"proxy", "ca_pem", "regions"};
    static const char *const places[] = {"api", "region", "project_id",
                                         "endpoint", "iam_endpoint"};
    struct cv_broker *b = ask->broker;
    struct cv_message answer = {0};
    const cJSON *item;
    cJSON *p, *cloud;
    bool ok;
    enum cv_status s;

    if (b->options->mode != CV_BROKER_SERVICE ||
        (cv_policy_uses(b->policy) & CV_POLICY_USES_APPROVALS) == 0) {
        return CV_OK;
    }
    p = cJSON_CreateObject();
    if (!cv_json_add_item(p, "cloud", cloud_for(b, f->cloud)) ||
        !cv_json_add_bool(p, "look_up", look_up)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = intake(b, false, "Where", p, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    cloud = cJSON_CreateObject();
    ok =
        add_all(cloud, f->cloud, kept, sizeof(kept) / sizeof(kept[0])) &&
        add_all(cloud, answer.tree, places, sizeof(places) / sizeof(places[0]));
    cv_message_free(&answer);
    *bound = cJSON_CreateObject();
    ok = cv_json_add_item(*bound, "cloud", cloud) && ok;
    cJSON_ArrayForEach(item, ask->parameters)
    {
        ok = ok && (strcmp(item->string, "cloud") == 0 ||
                    cv_json_add_item(*bound, item->string,
                                     cJSON_Duplicate(item, true)));
    }
    ask->parameters = *bound;
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* The entry as far as it is known before the certificate is: policy looks at
 * its name, labels and provenance. */
static cJSON *provisional(const struct fetch *f)
{
    cJSON *doc = cJSON_CreateObject();

    (void)cv_json_add_str(doc, "name", f->base_name);
    (void)cv_json_add_str(doc, "provenance", "sealed");
    (void)cv_json_add_bool(doc, "leaky", false);
    if (f->labels != NULL) {
        (void)cv_json_add_item(doc, "labels", cJSON_Duplicate(f->labels, true));
    }
    return doc;
}

static cJSON *fetch_details(const struct fetch *f, size_t entries)
{
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "cluster_id", f->id);
    if (f->expire_at != NULL) {
        (void)cv_json_add_str(details, "expire_at", f->expire_at);
    } else {
        char days[24];

        (void)snprintf(days, sizeof(days), "%lld", (long long)f->duration);
        (void)cv_json_add_str(details, "duration", days);
    }
    if (entries > 0) {
        (void)cv_json_add_int(details, "items", (int64_t)entries);
    }
    return details;
}

/* All that could refuse the certificate afterwards is looked at before one is
 * minted: the name, the labels, the policy, the record. */
static enum cv_status before_minting(struct cv_ask *ask, const struct fetch *f,
                                     const cJSON *doc, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    struct cv_store_entry *row = NULL;
    cJSON *other = NULL, *details = fetch_details(f, 0);
    struct cv_err missing;
    enum cv_status s = cv_name_check(f->base_name, err);

    cv_err_init(&missing);
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        if (cv_broker_load_entry(b, f->base_name, false, &row, &other,
                                 &missing) == CV_OK) {
            s = cv_fail(err, CV_EXISTS, "there is an entry %s already",
                        f->base_name);
            cv_err_state(err, "no certificate was asked for");
            cv_err_hint(err, "choose another with --name");
        } else if (missing.status != CV_NOT_FOUND) {
            *err = missing;
            s = missing.status;
        }
        if (s != CV_OK) {
            s = cv_ask_tell(ask, doc, NULL, s, err);
        } else {
            s = f->dry_run ? cv_ask_check(ask, doc, details, err)
                           : cv_ask_decide(ask, doc, details, err);
        }
        if (s == CV_OK) {
            s = cv_broker_commit(b, err);
        }
        cv_broker_leave(b);
    }
    cv_store_entry_free(row);
    cJSON_Delete(other);
    cJSON_Delete(details);
    return s;
}

/* To whom intake seals the key: the vault, or the token, for once. */
static enum cv_status target_of(struct cv_broker *b, const struct fetch *f,
                                char out[64], struct cv_err *err)
{
    const char *key = b->vault->public_key;
    const struct cv_json_field fields[] = {
        {"public_key", CV_JSON_STRING, true, &key, 63},
    };
    struct cv_message answer = {0};
    enum cv_status s = CV_OK;

    if (f->held != NULL) {
        s = cv_held_call(f->held, "Target", cJSON_CreateObject(), &answer, NULL,
                         err);
        if (s == CV_OK) {
            s = cv_json_read(answer.tree, "Target", fields, 1, true, err);
        }
    }
    if (s == CV_OK) {
        (void)snprintf(out, 64, "%s", key);
    }
    cv_message_free(&answer);
    return s;
}

static enum cv_status mint(struct cv_broker *b, const struct fetch *f,
                           struct cv_message *reply, struct cv_err *err)
{
    char key[64] = "";
    enum cv_status s = target_of(b, f, key, err);
    cJSON *p, *target;

    if (s != CV_OK) {
        return s;
    }
    p = cJSON_CreateObject();
    target = cJSON_AddObjectToObject(p, "target");

    if (!cv_json_add_str(target, "vault_id", b->vault->id) ||
        !cv_json_add_str(target, "public_key", key) ||
        !cv_json_add_item(p, "cloud", cloud_for(b, f->cloud)) ||
        !cv_json_add_str(p, "cluster_id", f->id) ||
        !cv_json_add_str(p, "expire_at", f->expire_at) ||
        (f->expire_at == NULL &&
         !cv_json_add_int(p, "duration", f->duration))) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return intake(b, f->held != NULL, "Fetch", p, reply, err);
}

/* One identity is called as the command said; of several each gets its first
 * context's name behind it, or in the place of {context}. */
static enum cv_status name_takes(const struct fetch *f, struct cv_take *takes,
                                 size_t n, char (*names)[CV_LIMIT_NAME + 1],
                                 struct cv_err *err)
{
    const char *pattern = f->name != NULL ? f->name : f->base_name;

    for (size_t i = 0; i < n; i++) {
        enum cv_status s =
            expand_name(pattern, cv_entry_text(takes[i].identity, "suffix"),
                        n > 1, names[i], err);

        if (s != CV_OK) {
            return s;
        }
        takes[i].name = names[i];
    }
    return CV_OK;
}

/* What was minted is one fetch: each entry of it is given by the same rule, and
 * by what that was given by. */
static void hold_to(const struct cv_ask *ask, struct cv_take *takes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(takes[i].ask.held_rule, sizeof(takes[i].ask.held_rule),
                       "%s", ask->held_rule);
        takes[i].ask.held_approvals = ask->held_approvals;
    }
}

static enum cv_status store(struct cv_ask *ask, const struct fetch *f,
                            const cJSON *parameters, struct cv_take *takes,
                            size_t n, struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    cJSON *details = fetch_details(f, n);
    bool one = false; /* what was decided before, under that name */
    enum cv_status s = cv_broker_enter(b, err);

    /* Others were served meanwhile; one of them may have frozen it. */
    if (s == CV_OK && (s = cv_freeze_check(ask, err)) != CV_OK) {
        cv_err_state(err, "the cloud issued a certificate; nothing of it was "
                          "kept");
        if (cv_ask_outcome(ask, s, details, NULL) == CV_OK) {
            (void)!cv_broker_commit(b, NULL);
        }
        cv_broker_leave(b);
    }
    if (s != CV_OK) {
        cJSON_Delete(details);
        return s;
    }
    cv_take_prepare(b, ask->action, parameters, takes, n);
    hold_to(ask, takes, n);
    one = n == 1 && takes[0].err.status == CV_OK &&
          strcmp(takes[0].name, f->base_name) == 0;
    if (one) {
        /* It was decided before it was minted: the outcome is that request's.
         */
        const cJSON *doc = takes[0].doc;

        takes[0].ask = *ask;
        takes[0].ask.doc = doc;
        takes[0].decided = true;
    }
    cv_take_check_free(b, takes, n);
    s = cv_take_store(b, takes, n, true, false, err);
    if (!one) {
        (void)!cv_ask_outcome(ask, s, details, NULL);
        (void)!cv_broker_commit(b, NULL);
    }
    cv_broker_leave(b);
    cJSON_Delete(details);
    return s;
}

/* Sealed to the token: taken there, all or none. */
static enum cv_status store_on_token(struct cv_ask *ask, const struct fetch *f,
                                     const cJSON *parameters,
                                     struct cv_take *takes, size_t n,
                                     struct cv_err *err)
{
    cJSON *details;
    enum cv_status s;

    cv_take_prepare(ask->broker, ask->action, parameters, takes, n);
    hold_to(ask, takes, n);
    s = cv_take_first_refused(takes, n, err);
    for (size_t i = 0; i < n && s == CV_OK; i++) {
        if (!cv_entry_token_set(takes[i].doc, "ready",
                                cv_entry_text(ask->doc, "provenance"), false)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    if (s == CV_OK && n == 1 && strcmp(takes[0].name, f->base_name) == 0) {
        const cJSON *doc = takes[0].doc;

        takes[0].ask = *ask;
        takes[0].ask.doc = doc;
        takes[0].decided = true;
    }
    if (s == CV_OK) {
        s = cv_held_take(f->held, takes, n, err);
    }
    if (!takes[0].decided) {
        details = fetch_details(f, n);
        cv_ask_outcome_now(ask, s, details);
        cJSON_Delete(details);
    }
    if (s != CV_OK && err->state[0] == '\0') {
        cv_err_state(err, "the cloud issued a certificate; nothing of it was "
                          "kept");
    }
    return s;
}

/* What came back, stored and answered. */
static enum cv_status take_in(struct cv_ask *ask, const struct fetch *f,
                              const cJSON *parameters, const cJSON *minted,
                              struct cv_reply *reply, struct cv_err *err)
{
    const cJSON *identities = NULL, *source = NULL, *notes = NULL, *item;
    const struct cv_json_field fields[] = {
        {"identities", CV_JSON_ARRAY, true, &identities, 0},
        {"source", CV_JSON_OBJECT, true, &source, 0},
        {"notes", CV_JSON_ARRAY, false, &notes, 0},
    };
    enum cv_status s =
        cv_json_read(minted, "Fetch", CV_BROKER_FIELDS(fields), true, err);
    size_t n = (size_t)cJSON_GetArraySize(identities), i = 0;
    struct cv_take *takes;
    char(*names)[CV_LIMIT_NAME + 1];

    if (s == CV_OK && (n == 0 || n > CV_LIMIT_CONTEXTS)) {
        s = cv_fail(err, CV_INVALID, "the answer holds %zu identities", n);
    }
    if (s != CV_OK) {
        cv_ask_outcome_now(ask, s, NULL);
        return s;
    }
    takes = calloc(n, sizeof(*takes));
    names = calloc(n, sizeof(*names));
    if (takes == NULL || names == NULL) {
        free(takes);
        free(names);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cJSON_ArrayForEach(item, identities)
    {
        takes[i].identity = item;
        takes[i++].origin =
            (struct cv_entry_origin){.source = source,
                                     .labels = f->labels,
                                     .exportable = f->exportable,
                                     .provenance = "sealed",
                                     .now_s = cv_clock_now_s()};
    }
    s = name_takes(f, takes, n, names, err);
    if (s == CV_OK && f->held != NULL) {
        s = store_on_token(ask, f, parameters, takes, n, err);
    } else if (s == CV_OK) {
        s = store(ask, f, parameters, takes, n, err);
    }
    if (s == CV_OK) {
        s = cv_take_answer(takes, n, cv_reply_parameters(reply), err);
    }
    if (s == CV_OK && notes != NULL) {
        (void)cv_json_add_item(cv_reply_parameters(reply), "notes",
                               cJSON_Duplicate(notes, true));
    }
    cv_take_free(takes, n);
    free(names);
    return s;
}

static enum cv_status run_fetch(struct cv_ask *ask, struct fetch *f,
                                const cJSON *parameters, struct cv_reply *reply,
                                struct cv_err *err)
{
    struct cv_broker *b = ask->broker;
    struct cv_message minted = {0};
    cJSON *doc = provisional(f), *details;
    enum cv_status s = CV_OK;

    if (f->held != NULL) {
        s = cv_held_may(f->held, ask, doc, CCE_KEY_TYPE, CCE_KEY_BITS, err);
    }
    if (s == CV_OK) {
        s = before_minting(ask, f, doc, err);
    }

    if (s == CV_OK && f->dry_run) {
        cJSON *items =
            cJSON_AddArrayToObject(cv_reply_parameters(reply), "items");

        (void)cJSON_AddItemToArray(items, cJSON_CreateObject());
        (void)cv_json_add_item(items->child, "entry", doc);
        return CV_OK;
    }
    if (s == CV_OK) {
        s = mint(b, f, &minted, err);
        if (s == CV_OK) {
            s = take_in(ask, f, parameters, minted.tree, reply, err);
        } else {
            details = fetch_details(f, 0);
            cv_ask_outcome_now(ask, s, details);
            cJSON_Delete(details);
            err->audit_seq = ask->seq;
        }
    }
    cv_message_free(&minted);
    ask->doc = NULL;
    cJSON_Delete(doc);
    return s;
}

/* Entered. Are approvals what is missing? */
static bool would_wait(const struct cv_ask *ask, const cJSON *doc)
{
    struct cv_ask trial = *ask;

    return cv_ask_would_now(&trial, doc, NULL) == CV_BUSY &&
           trial.result.cause == CV_DECIDE_APPROVALS;
}

/* Nobody sees what the service's credentials see who may not use them: it is
 * decided before the cloud is asked for the cluster, too, where the command
 * says what the entry is called. */
static enum cv_status may_as_service(struct cv_ask *ask, const struct fetch *f,
                                     struct cv_err *err)
{
    struct fetch known = *f;
    cJSON *doc = NULL;
    enum cv_status s = CV_OK;

    (void)snprintf(known.id, sizeof(known.id), "%s",
                   f->cluster_id != NULL ? f->cluster_id : f->cluster);
    name_from(known.id, known.base_name);
    if (f->name != NULL) {
        s = expand_name(f->name, "internal", false, known.base_name, err);
    } else if (f->cluster != NULL) {
        name_from(f->cluster, known.base_name);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(ask->broker, err);
    }
    if (s == CV_OK) {
        doc = provisional(&known);
        /* Nobody is asked to approve what has another name in the end. */
        if (f->name != NULL || f->cluster != NULL || !would_wait(ask, doc)) {
            s = cv_ask_check(ask, doc, NULL, err);
        }
        if (s == CV_OK) {
            s = cv_broker_commit(ask->broker, err);
        }
        cv_broker_leave(ask->broker);
    }
    ask->doc = NULL;
    cJSON_Delete(doc);
    return s;
}

CV_BROKER_METHOD(fetch)
{
    struct cv_broker *b = context;
    struct cv_held held = {.lock = -1};
    struct fetch f = {.duration = 1};
    cJSON *own = NULL, *bound = NULL;
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_FETCH, parameters, &ask, err);

    if (s == CV_OK) {
        s = read_fetch(parameters, &f, err);
    }
    if (s == CV_OK && f.as_service) {
        ask.action = CV_ACTION_FETCH_SERVICE;
    }
    /* Nobody has intake go anywhere who could not fetch anything. */
    if (s == CV_OK) {
        s = cv_ask_could(&ask, err);
    }
    if (s == CV_OK && f.as_service) {
        s = cv_service_cloud(b, f.cloud, &own, err);
        f.cloud = own;
    }
    if (s == CV_OK) {
        s = bind_place(&ask, &f, !f.as_service, &bound, err);
    }
    if (s == CV_OK && f.as_service) {
        s = may_as_service(&ask, &f, err);
    }
    if (s == CV_OK) {
        s = find_cluster(b, &f, err);
    }
    if (s == CV_OK && f.to != NULL) {
        s = cv_held_may_go_as(&ask, f.base_name, f.labels, err);
    }
    if (s == CV_OK && f.to != NULL) {
        f.held = &held;
        s = cv_held_open(b, f.to, reply, &held, err);
    }
    if (s == CV_OK) {
        s = run_fetch(&ask, &f, parameters, reply, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cv_held_close(&held);
    cJSON_Delete(bound);
    cJSON_Delete(own);
    return s;
}

CV_BROKER_METHOD(clusters)
{
    struct cv_broker *b = context;
    const cJSON *cloud = NULL;
    bool as_service = false;
    cJSON *own = NULL;
    const struct cv_json_field fields[] = {
        {"cloud", CV_JSON_OBJECT, true, &cloud, 0},
        {"as_service", CV_JSON_BOOL, false, &as_service, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_message answer = {0};
    struct cv_ask ask;
    cJSON *p;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_FETCH, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Clusters", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK && as_service) {
        ask.action = CV_ACTION_FETCH_SERVICE;
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s == CV_OK && as_service) {
        s = cv_service_cloud(b, cloud, &own, err);
        cloud = own;
    }
    if (s == CV_OK) {
        p = cJSON_CreateObject();
        (void)cv_json_add_item(p, "cloud", cloud_for(b, cloud));
        s = intake(b, false, "Clusters", p, &answer, err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_item(
            cv_reply_parameters(reply), "items",
            cJSON_DetachItemFromObjectCaseSensitive(answer.tree, "items"));
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    }
    cv_message_free(&answer);
    cJSON_Delete(own);
    return s;
}
