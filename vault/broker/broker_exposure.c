/* AuditExposure: what somebody has, or had out, that still works; and what ends
 * each. For the day on which somebody leaves. */
#include "policy/compare.h"
#include "vault/audit/query.h"
#include "vault/base/clock.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/policies_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES 16 /* rules named for one answer */
#define ENDED_LEN 512

struct exposure {
    struct cv_broker *broker;
    const char *actor; /* a name as the record has it, or a uid; NULL: all */
    int64_t now_s;
    cJSON *items, *exports; /* exports: of the log, by their op */
    cJSON *docs;            /* entries */
    size_t n_docs;
    bool complete;
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* Is this the one who is asked about? */
static bool is_actor(const struct exposure *x, const char *name, int64_t uid)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "uid:%lld", (long long)uid);
    return x->actor == NULL || strcmp(x->actor, name) == 0 ||
           (uid >= 0 &&
            (strcmp(x->actor, text) == 0 || strcmp(x->actor, text + 4) == 0));
}

static bool put(struct exposure *x, cJSON *item, bool ok)
{
    if (!ok || !cJSON_AddItemToArray(x->items, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

/* ---- exports ---- */

/* Nothing left the vault: it was not opened, or not permitted after all. What
 * failed on its way out may have arrived in part. */
static bool came_to_nothing(const cJSON *leaf)
{
    const char *error = cv_entry_text(leaf, "error");

    return strcmp(cv_entry_text(leaf, "outcome"), "ok") != 0 &&
           strcmp(error, "io") != 0 && strcmp(error, "unavailable") != 0 &&
           strcmp(error, "internal") != 0;
}

static bool still_valid(const struct exposure *x, const cJSON *details)
{
    const char *until = cv_entry_text(details, "not_after");
    int64_t ends_s = 0;

    return until[0] == '\0' || cv_clock_parse(until, &ends_s, NULL) != CV_OK ||
           ends_s > x->now_s;
}

static enum cv_status take_export(void *context, uint64_t seq,
                                  struct cv_bytes leaf, struct cv_err *err)
{
    struct exposure *x = context;
    cJSON *tree = NULL;
    const char *op;
    enum cv_status s = cv_json_parse(NULL, leaf, &tree, err);

    (void)seq;
    if (s != CV_OK) {
        return s;
    }
    op = cv_entry_text(tree, "op");
    if (strcmp(cv_entry_text(tree, "phase"), "outcome") == 0) {
        if (came_to_nothing(tree)) {
            cJSON_DeleteItemFromObjectCaseSensitive(x->exports, op);
        }
    } else if (strcmp(cv_entry_text(tree, "phase"), "decision") == 0 &&
               strcmp(cv_entry_text(tree, "decision"), "permit") == 0 &&
               still_valid(x, member(tree, "details"))) {
        return cJSON_AddItemToObject(x->exports, op, tree) ? CV_OK
                                                           : no_memory(err);
    }
    cJSON_Delete(tree);
    return CV_OK;
}

/* Kubernetes cannot revoke a client certificate: what ends it is done in the
 * cluster. */
static void end_of_export(const cJSON *details, char out[ENDED_LEN])
{
    const char *until = cv_entry_text(details, "not_after");

    (void)snprintf(
        out, ENDED_LEN, "%s%s%s",
        cJSON_IsTrue(member(details, "high_risk"))
            ? "in the cluster: another CA (RBAC does not bind system:masters)"
            : "in the cluster: kubectl delete the role bindings of its subject",
        until[0] != '\0' ? "; else it ends at " : "", until);
}

static bool add_export(struct exposure *x, const cJSON *leaf)
{
    static const char *const from_leaf[] = {"time", "entry", "entry_id",
                                            "reason", "ticket"};
    static const char *const from_details[] = {"not_after", "serial",
                                               "subject"};
    const cJSON *details = member(leaf, "details");
    cJSON *item = cJSON_CreateObject();
    char ended[ENDED_LEN];
    bool ok = cv_json_add_str(item, "kind", "export") &&
              cv_json_add_item(item, "actor",
                               cJSON_Duplicate(member(leaf, "actor"), true)) &&
              cv_json_add_item(item, "seq",
                               cJSON_Duplicate(member(leaf, "seq"), true));

    for (size_t i = 0; i < sizeof(from_leaf) / sizeof(from_leaf[0]); i++) {
        const char *text = cv_entry_text(leaf, from_leaf[i]);

        ok = ok &&
             (text[0] == '\0' || cv_json_add_str(item, from_leaf[i], text));
    }
    for (size_t i = 0; i < sizeof(from_details) / sizeof(from_details[0]);
         i++) {
        const char *text = cv_entry_text(details, from_details[i]);

        ok = ok &&
             (text[0] == '\0' || cv_json_add_str(item, from_details[i], text));
    }
    end_of_export(details, ended);
    return put(x, item, ok && cv_json_add_str(item, "ended_by", ended));
}

static enum cv_status add_exports(struct exposure *x, struct cv_err *err)
{
    struct cv_query_filter filter;
    bool distrusted = false;
    const cJSON *leaf;
    enum cv_status s;

    cv_query_init(&filter);
    filter.actor = x->actor;
    filter.action = "export";
    filter.indexed = true;
    filter.distrusted = &distrusted;
    x->exports = cJSON_CreateObject();
    s = x->exports == NULL ? no_memory(err) : cv_broker_index(x->broker, err);
    if (s == CV_OK) {
        s = cv_query_run(x->broker->vault->dir, &filter, take_export, x, err);
    }
    if (distrusted) {
        cv_broker_index_distrust(x->broker);
    }
    cJSON_ArrayForEach(leaf, x->exports)
    {
        if (s == CV_OK && !add_export(x, leaf)) {
            s = no_memory(err);
        }
    }
    return s;
}

/* ---- grants ---- */

static enum cv_status add_grants(struct exposure *x, struct cv_err *err)
{
    struct cv_broker *b = x->broker;
    const int64_t now = cv_clock_boot_ms();

    for (size_t i = 0; i < b->grants.n; i++) {
        const struct cv_grant *g = b->grants.all[i];
        char ended[ENDED_LEN];
        cJSON *item;

        if (!g->given || cv_grant_is_over(g, now) ||
            !is_actor(x, g->who.user, (int64_t)g->who.peer.uid)) {
            continue;
        }
        (void)snprintf(ended, sizeof(ended), "certvault grants revoke %s",
                       g->id);
        item = cv_broker_grant_item(g);
        (void)cJSON_DeleteItemFromObjectCaseSensitive(item, "kind");
        if (!put(x, item,
                 cv_json_add_str(item, "kind", "grant") &&
                     cv_json_add_str(item, "ended_by", ended))) {
            return no_memory(err);
        }
    }
    return CV_OK;
}

/* ---- what the policy of now permits ---- */

static enum cv_status add_doc(void *context, const struct cv_store_entry *row,
                              struct cv_err *err)
{
    struct exposure *x = context;
    cJSON *doc = NULL;
    enum cv_status s = cv_json_parse(
        NULL, (struct cv_bytes){(const uint8_t *)row->doc, strlen(row->doc)},
        &doc, err);

    x->n_docs++;
    if (s == CV_OK && !cJSON_AddItemToArray(x->docs, doc)) {
        cJSON_Delete(doc);
        s = no_memory(err);
    }
    return s;
}

/* Adds the rules of the last answer that are not there yet. */
static bool add_rules(cJSON *rules, const struct cv_compare *c)
{
    const char *names[NAMES];
    size_t n = cv_compare_rules(c, names, NAMES);
    bool ok = true;

    for (size_t i = 0; i < n && i < NAMES; i++) {
        const cJSON *there;
        bool known = false;

        cJSON_ArrayForEach(there, rules)
        {
            known = known || strcmp(there->valuestring, names[i]) == 0;
        }
        ok = ok && (known ||
                    cJSON_AddItemToArray(rules, cJSON_CreateString(names[i])));
    }
    return ok;
}

/* One person and one entry: what of it may be used or taken out. */
static bool add_may(struct exposure *x, struct cv_compare *c,
                    const struct cv_broker_policy_person *p, const cJSON *doc)
{
    static const enum cv_action actions[] = {CV_ACTION_USE, CV_ACTION_SIGN_RAW,
                                             CV_ACTION_EXPORT, CV_ACTION_ISSUE};
    struct cv_entry_subject subject;
    cJSON *item = cJSON_CreateObject();
    cJSON *may = cJSON_AddObjectToObject(item, "may");
    cJSON *rules = cJSON_AddArrayToObject(item, "rules");
    bool ok = may != NULL && rules != NULL;

    cv_entry_subject_fill(doc, &subject);
    cv_compare_look(c, &p->subject, &subject.entry);
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        enum cv_compare_may how = cv_compare_may(c, actions[i]);

        if (how == CV_COMPARE_NO ||
            (actions[i] == CV_ACTION_EXPORT &&
             !cJSON_IsTrue(member(doc, "exportable")))) {
            continue;
        }
        ok = ok &&
             cv_json_add_str(may, cv_action_name(actions[i]),
                             cv_compare_may_name(how)) &&
             add_rules(rules, c);
    }
    if (ok && may->child == NULL) {
        cJSON_Delete(item);
        return true;
    }
    return put(x, item,
               ok && cv_json_add_str(item, "kind", "policy") &&
                   cv_json_add_str(item, p->kind, p->name) &&
                   cv_json_add_str(item, "entry", cv_entry_text(doc, "name")) &&
                   cv_json_add_str(item, "ended_by",
                                   "certvault policy apply FILE, a policy "
                                   "whose rules do not match them"));
}

static enum cv_status add_person(struct exposure *x, struct cv_compare *c,
                                 const struct cv_broker_policy_person *p,
                                 struct cv_err *err)
{
    const cJSON *doc;

    cJSON_ArrayForEach(doc, x->docs)
    {
        if (!add_may(x, c, p, doc)) {
            return no_memory(err);
        }
    }
    return CV_OK;
}

/* The number that the policy has for this name, also where the host knows it no
 * more: whoever gets that number next would be let in. */
static int64_t uid_of(const struct exposure *x,
                      const struct cv_broker_policy_side *side)
{
    const cJSON *uid = x->actor != NULL
                           ? member(member(side->resolution, "users"), x->actor)
                           : NULL;

    return cJSON_IsNumber(uid) ? (int64_t)uid->valuedouble : -1;
}

/* Those who are asked about; where no rule and no group names them, they are
 * everybody else. */
static enum cv_status add_people(struct exposure *x, struct cv_compare *c,
                                 const struct cv_broker_policy_people *people,
                                 int64_t uid, struct cv_err *err)
{
    const struct cv_broker_policy_person *rest = NULL;
    enum cv_status s = CV_OK;
    bool found = false;

    if (people->n * (x->n_docs + 1) > CV_LIMIT_REVIEW && x->actor == NULL) {
        s = cv_fail(err, CV_INVALID, "there are too many users and entries");
        cv_err_hint(err, "narrow it: --actor NAME");
        return s;
    }
    for (size_t i = 0; i < people->n && s == CV_OK; i++) {
        const struct cv_broker_policy_person *p = &people->list[i];
        bool user = strcmp(p->kind, "user") == 0;

        if (x->actor == NULL || (user && (is_actor(x, p->name, p->uid) ||
                                          (uid >= 0 && p->uid == uid)))) {
            s = add_person(x, c, p, err);
            found = true;
        } else if (strcmp(p->kind, "everyone") == 0) {
            rest = p;
        }
    }
    return s == CV_OK && !found && rest != NULL ? add_person(x, c, rest, err)
                                                : s;
}

static enum cv_status add_policy(struct exposure *x, struct cv_err *err)
{
    struct cv_broker *b = x->broker;
    enum cv_decide_mode mode =
        (enum cv_decide_mode)(CV_DECIDE_MODE_EXEC + (int)b->options->mode);
    struct cv_broker_policy_side side = {0};
    struct cv_broker_policy_people people = {
        .broker = b, .sides = &side, .n_sides = 1};
    struct cv_compare *c = NULL;
    struct cv_store_filter filter;
    enum cv_status s = cv_broker_policy_side_current(b, &side, err);

    cv_store_entry_filter_init(&filter);
    x->docs = cJSON_CreateArray();
    if (s == CV_OK && x->docs != NULL) {
        s = cv_store_entry_list(b->vault->store, &filter, add_doc, x, err);
    }
    if (s == CV_OK) {
        s = cv_compare_new(side.policy, mode, &c, err);
    }
    if (s == CV_OK) {
        s = cv_broker_policy_people_find(&people, err);
    }
    if (s == CV_OK) {
        x->complete = people.complete;
        s = add_people(x, c, &people, uid_of(x, &side), err);
    }
    cv_broker_policy_people_free(&people);
    cv_compare_free(c);
    cv_broker_policy_side_free(&side);
    return s;
}

static enum cv_status look(struct exposure *x, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    /* What waits to be written counts. */
    if (cv_broker_flush(x->broker, true)) {
        s = cv_fail(err, CV_IO, "the record cannot be written");
    }
    if (s == CV_OK) {
        s = add_grants(x, err);
    }
    if (s == CV_OK) {
        s = add_exports(x, err);
    }
    return s == CV_OK ? add_policy(x, err) : s;
}

CV_BROKER_METHOD(audit_exposure)
{
    struct exposure x = {.broker = context, .now_s = cv_clock_now_s()};
    const struct cv_json_field fields[] = {
        {"actor", CV_JSON_STRING, false, &x.actor, CV_NAMES_LEN - 1},
        CV_BROKER_ASK_FIELDS,
    };
    cJSON *out = cv_reply_parameters(reply);
    struct cv_ask ask;
    enum cv_status s =
        cv_ask_begin(x.broker, CV_ACTION_AUDIT_READ, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "AuditExposure", CV_BROKER_FIELDS(fields),
                         true, err);
    }
    if (s == CV_OK) {
        s = cv_ask_read(&ask, NULL, err);
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
        return s;
    }
    x.items = cJSON_AddArrayToObject(out, "items");
    s = x.items != NULL ? look(&x, err) : no_memory(err);
    if (s == CV_OK && !cv_json_add_bool(out, "complete", x.complete)) {
        s = no_memory(err);
    }
    cJSON_Delete(x.exports);
    cJSON_Delete(x.docs);
    return s;
}
