/* Lends the policy library to a script: a JSON object a line in, one out.
 *
 *     {"op": "decide", "policy": TEXT, "resolution": {...}, "requests": [...]}
 *     {"op": "zone", "file": BASE64, "times": [...]}
 *     {"op": "pattern", "pattern": TEXT, "texts": [...]}
 *
 * Every request is decided in each way there is (cv_decide_run, an explanation,
 * and the filter of lists); where they do not agree this ends with 3. */
#include "policy/explain.h"
#include "policy/pattern.h"
#include "policy/zone.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX 256

static const cJSON *get(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

static const char *text(const cJSON *o, const char *key)
{
    const cJSON *item = get(o, key);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static int64_t number(const cJSON *o, const char *key)
{
    const cJSON *item = get(o, key);
    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : 0;
}

static void stop(const char *why)
{
    (void)fprintf(stderr, "policy_drive: %s\n", why);
    exit(3);
}

struct parsed {
    struct cv_decide_request request;
    struct cv_decide_entry entry;
    struct cv_decide_approval approvals[MAX];
    struct cv_decide_counts counts;
    gid_t gids[4 * MAX]; /* the caller's, then the approvers' */
    const char *groups[4 * MAX];
    size_t n_gids;
    size_t n_groups;
    const char *keys[MAX];
    const char *values[MAX];
    const char *contexts[MAX];
};

static size_t texts(const cJSON *list, const char **out)
{
    const cJSON *item;
    size_t n = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (n == MAX)
            stop("too many items");
        out[n++] = item->valuestring;
    }
    return n;
}

static void read_entry(const cJSON *o, struct parsed *p)
{
    const cJSON *item;
    p->entry.name = text(o, "name");
    p->entry.provenance = text(o, "provenance");
    p->entry.leaky = cJSON_IsTrue(get(o, "leaky"));
    cJSON_ArrayForEach(item, get(o, "labels"))
    {
        p->keys[p->entry.n_labels] = item->string;
        p->values[p->entry.n_labels++] = item->valuestring;
    }
    p->entry.keys = p->keys;
    p->entry.values = p->values;
    p->request.entry = &p->entry;
}

/* Who, of an approval; lists go behind those that are there. */
static void read_approval(const cJSON *o, struct parsed *p)
{
    const cJSON *item;
    if (p->request.n_approvals == MAX)
        stop("too many approvals");
    struct cv_decide_approval *a = &p->approvals[p->request.n_approvals++];
    a->user = text(o, "user");
    a->groups = &p->groups[p->n_groups];
    a->n_groups = texts(get(o, "groups"), &p->groups[p->n_groups]);
    p->n_groups += a->n_groups;
    a->uid = (uid_t)number(o, "uid");
    a->gid = (gid_t)number(o, "gid");
    a->gids = &p->gids[p->n_gids];
    cJSON_ArrayForEach(item, get(o, "gids"))
    {
        p->gids[p->n_gids++] = (gid_t)item->valuedouble;
        a->n_gids++;
    }
    a->is_signed = cJSON_IsTrue(get(o, "signed"));
}

/* Of what happened so many seconds ago, how much is younger than `per_s` in
 * `later` seconds? */
static uint64_t younger(const cJSON *ages, int64_t per_s, int64_t later)
{
    const cJSON *item;
    uint64_t n = 0;
    cJSON_ArrayForEach(item, ages) n +=
        (int64_t)item->valuedouble + later < per_s ? 1 : 0;
    return n;
}

static bool read_used(void *context, const char *rule, int64_t per_s,
                      uint64_t count, uint64_t *used, int64_t *free_in_s)
{
    const cJSON *ages = get(get(context, "ages"), rule);
    const cJSON *item;
    if (ages == NULL)
        return false;
    *used = younger(ages, per_s, 0);
    *free_in_s = per_s;
    cJSON_ArrayForEach(item, ages)
    {
        int64_t later = per_s - (int64_t)item->valuedouble;
        if (later > 0 && later < *free_in_s &&
            younger(ages, per_s, later) < count)
            *free_in_s = later;
    }
    return true;
}

static bool read_sessions(void *context, const char *rule, uint64_t *live)
{
    const cJSON *n = get(get(context, "sessions"), rule);
    *live = n != NULL ? (uint64_t)n->valuedouble : 0;
    return n != NULL;
}

static void read_facts(cJSON *o, struct parsed *p)
{
    struct cv_decide_request *r = &p->request;
    const cJSON *item;
    cJSON *counts = cJSON_GetObjectItemCaseSensitive(o, "counts");
    cJSON_ArrayForEach(item, get(o, "approvals")) read_approval(item, p);
    r->approvals = p->approvals;
    r->break_glass = cJSON_IsTrue(get(o, "break_glass"));
    r->held_rule = text(get(o, "held"), "rule");
    r->held_approvals = (uint64_t)number(get(o, "held"), "approvals");
    p->counts.context = counts;
    p->counts.used = get(counts, "ages") != NULL ? read_used : NULL;
    p->counts.sessions = get(counts, "sessions") != NULL ? read_sessions : NULL;
    r->counts = counts != NULL ? &p->counts : NULL;
}

static void read_request(cJSON *o, struct parsed *p)
{
    struct cv_decide_request *r = &p->request;
    const cJSON *item;
    memset(p, 0, sizeof(*p));
    r->subject.by_name = cJSON_IsString(get(o, "user"));
    r->subject.user = text(o, "user");
    r->subject.groups = p->groups;
    r->subject.n_groups = texts(get(o, "groups"), p->groups);
    p->n_groups = r->subject.n_groups;
    r->subject.uid = (uid_t)number(o, "uid");
    r->subject.gid = (gid_t)number(o, "gid");
    r->subject.gids = p->gids;
    cJSON_ArrayForEach(item, get(o, "gids")) p->gids[r->subject.n_gids++] =
        (gid_t)item->valuedouble;
    p->n_gids = r->subject.n_gids;
    r->action = cv_action_from_name(text(o, "action"));
    if (cJSON_IsObject(get(o, "entry")))
        read_entry(get(o, "entry"), p);
    r->reason = text(o, "reason");
    r->ticket = text(o, "ticket");
    r->contexts = p->contexts;
    r->n_contexts = texts(get(o, "contexts"), p->contexts);
    r->mode = cv_decide_mode_from_name(text(o, "mode"));
    r->tty = cJSON_IsTrue(get(o, "tty"));
    r->anchored = cJSON_IsNumber(get(o, "anchor_age"));
    r->anchor_age_s = number(o, "anchor_age");
    r->read_only = cJSON_IsTrue(get(o, "read_only"));
    r->now_s = number(o, "now");
    r->duration_s = number(o, "duration");
    read_facts(o, p);
}

static void check_explanation(const struct cv_policy *policy,
                              const struct cv_decide_request *r,
                              const struct cv_decide_result *result)
{
    struct cv_decide_result command;
    cJSON *o;

    /* Of a list without an entry it is the command's answer that is told. */
    if (cv_decide_command(policy, r, &command, NULL) == CV_INTERNAL)
        stop("no decision of the command");
    if (r->action == CV_ACTION_LIST && r->entry == NULL)
        result = &command;
    if (cv_explain_make(policy, r, &o, NULL) != CV_OK)
        stop("no explanation");
    const char *offer = text(o, "offer");
    /* What is not known of limits denies here, and is a condition there. */
    bool conditional = text(o, "condition") != NULL;
    if (conditional &&
        (result->permit || offer == NULL || result->cause < CV_DECIDE_LIMITED))
        stop("the explanation makes a condition where there is none");
    if (!conditional &&
        (strcmp(text(o, "decision"), result->permit ? "permit" : "deny") != 0 ||
         (offer == NULL) != (result->offer == NULL) ||
         (offer != NULL && strcmp(offer, result->offer) != 0)))
        stop("the explanation says something else");
    const cJSON *rule;
    bool forbidden = false;
    bool permitted = false;
    cJSON_ArrayForEach(rule, get(o, "rules"))
    {
        bool matched = cJSON_IsTrue(get(rule, "matched"));
        bool forbid = strcmp(text(rule, "effect"), "forbid") == 0;
        forbidden = forbidden || (matched && forbid);
        permitted = permitted || (matched && !forbid);
    }
    bool offered = result->permit || result->cause >= CV_DECIDE_LIMITED;
    if (result->cause != CV_DECIDE_BAD_INPUT &&
        (offered != (permitted && !forbidden) ||
         forbidden != (result->cause == CV_DECIDE_FORBIDDEN)))
        stop("the rules of the explanation say something else");
    cJSON_Delete(o);
}

/* What the filter of lists says of the entry; *offer (NULL: none), the rule
 * that is recorded for the list. What would not be permitted is never shown. */
static bool list_shows(const struct cv_policy *policy,
                       const struct cv_decide_request *r,
                       const struct cv_decide_result *result,
                       const char **offer)
{
    struct cv_decide_list *list;
    struct cv_decide_result all;
    struct cv_decide_request asked = *r;
    bool shows = false;
    *offer = NULL;
    if (r->action != CV_ACTION_LIST || r->entry == NULL)
        return false;
    asked.entry = NULL;
    if (cv_decide_list_new(policy, &asked, &list, &all, NULL) == CV_OK) {
        shows = cv_decide_list_shows(list, r->entry);
        *offer = all.offer;
        cv_decide_list_free(list);
    }
    if (shows && !result->permit)
        stop("the filter of lists shows what is denied");
    return shows;
}

static const char *const causes[] = {"permitted", "forbidden", "unmet",
                                     "no-rule",   "bad-input", "not-ready",
                                     "limited",   "approvals", "no-counts"};

/* For each rule, in the order of the text, which approvals would count. */
static cJSON *may_approve(const struct cv_policy *policy, const cJSON *rules,
                          const struct cv_decide_request *r)
{
    cJSON *out = cJSON_CreateArray();
    const cJSON *name;
    cJSON_ArrayForEach(name, rules)
    {
        cJSON *list = cJSON_CreateArray();
        for (size_t i = 0; i < r->n_approvals; i++)
            cJSON_AddItemToArray(
                list, cJSON_CreateBool(cv_decide_may_approve(
                          policy, name->valuestring, &r->approvals[i])));
        cJSON_AddItemToArray(out, list);
    }
    return out;
}

static bool add_facts(cJSON *o, const struct cv_decide_result *result)
{
    return cv_json_add_str(o, "cause", causes[result->cause]) &&
           cv_json_add_int(o, "retry", result->retry_s) &&
           cv_json_add_int(o, "needed", (int64_t)result->approvals_needed) &&
           cv_json_add_int(o, "had", (int64_t)result->approvals_had) &&
           cv_json_add_bool(o, "approved", result->approved) &&
           cv_json_add_bool(o, "break_glass", result->break_glass) &&
           cv_json_add_bool(o, "glass_there", result->glass_there);
}

static void check_status(const struct cv_decide_result *result,
                         enum cv_status st, const struct cv_err *err)
{
    bool waits = result->cause == CV_DECIDE_LIMITED ||
                 result->cause == CV_DECIDE_APPROVALS;
    if (st != (result->permit ? CV_OK : waits ? CV_BUSY : CV_DENIED))
        stop("status and result do not agree");
    if (!result->permit && (err->text[0] == '\0' || err->status != st))
        stop("a denial without words");
    if ((int64_t)err->retry_after_s != result->retry_s)
        stop("the error has another time to try again");
}

static cJSON *decide_one(const struct cv_policy *policy, const cJSON *names,
                         cJSON *node)
{
    struct parsed p;
    struct cv_decide_result result;
    struct cv_err err;
    cv_err_init(&err);
    read_request(node, &p);
    enum cv_status st = cv_decide_run(policy, &p.request, &result, &err);
    check_status(&result, st, &err);
    check_explanation(policy, &p.request, &result);
    const char *offer = NULL;
    bool shows = list_shows(policy, &p.request, &result, &offer);
    cJSON *o = cJSON_CreateObject();
    cJSON *rules = cJSON_CreateArray();
    for (size_t i = 0; i < result.n_rules; i++)
        cJSON_AddItemToArray(rules, cJSON_CreateString(result.rules[i]));
    if (!cv_json_add_bool(o, "permit", result.permit) ||
        !cv_json_add_str(o, "offer", result.offer) ||
        !cv_json_add_int(o, "duration", result.duration_s) ||
        !cv_json_add_bool(o, "read_only", result.grant.read_only) ||
        !cv_json_add_bool(o, "shows", shows) ||
        !cv_json_add_str(o, "list_offer", offer) || !add_facts(o, &result) ||
        !cv_json_add_item(o, "rules", rules) ||
        !cv_json_add_item(o, "may", may_approve(policy, names, &p.request)))
        stop("no memory");
    return o;
}

static enum cv_status load(const cJSON *line, struct cv_policy **policy,
                           struct cv_err *err)
{
    const char *t = text(line, "policy");
    enum cv_status st = cv_policy_parse(
        (struct cv_bytes){(const uint8_t *)t, strlen(t)}, policy, NULL, err);
    if (st == CV_OK)
        st = cv_policy_resolve(*policy, get(line, "resolution"), NULL, err);
    return st;
}

static cJSON *decide(const cJSON *line)
{
    struct cv_policy *policy = NULL;
    struct cv_err err;
    cJSON *o = cJSON_CreateObject();
    cv_err_init(&err);
    if (load(line, &policy, &err) != CV_OK) {
        (void)cv_json_add_str(o, "error", err.text);
    } else {
        cJSON *results = cJSON_AddArrayToObject(o, "results");
        cJSON *item;
        cJSON_ArrayForEach(item, get(line, "requests")) cJSON_AddItemToArray(
            results, decide_one(policy, get(line, "names"), item));
    }
    cv_policy_free(policy);
    return o;
}

static cJSON *zone(const cJSON *line)
{
    struct cv_buf file;
    struct cv_zone *z = NULL;
    struct cv_err err;
    cJSON *o = cJSON_CreateObject();
    const char *t = text(line, "file");
    cv_err_init(&err);
    cv_buf_init(&file, NULL, CV_MIB(1));
    enum cv_status st =
        cv_decode_base64(t, strlen(t), false, "file", &file, &err);
    if (st == CV_OK)
        st = cv_zone_parse(cv_buf_bytes(&file), &z, &err);
    if (st != CV_OK)
        (void)cv_json_add_str(o, "error", err.text);
    cJSON *results = cJSON_AddArrayToObject(o, "results");
    const cJSON *item;
    cJSON_ArrayForEach(item, get(line, "times"))
    {
        unsigned minute;
        unsigned day;
        int64_t at = (int64_t)item->valuedouble;
        if (z == NULL)
            break;
        cv_zone_local(z, at, &minute, &day);
        const int got[] = {cv_zone_offset(z, at), (int)minute, (int)day};
        cJSON_AddItemToArray(results, cJSON_CreateIntArray(got, 3));
    }
    cv_zone_free(z);
    cv_buf_wipe(&file);
    return o;
}

static cJSON *pattern(const cJSON *line)
{
    struct cv_pattern *p = NULL;
    struct cv_err err;
    cJSON *o = cJSON_CreateObject();
    cv_err_init(&err);
    if (cv_pattern_compile(text(line, "pattern"), &p, &err) != CV_OK)
        (void)cv_json_add_str(o, "error", err.text);
    cJSON *results = cJSON_AddArrayToObject(o, "results");
    const cJSON *item;
    cJSON_ArrayForEach(item, get(line, "texts"))
    {
        if (p == NULL)
            break;
        const char *t = item->valuestring;
        cJSON_AddItemToArray(
            results, cJSON_CreateBool(cv_pattern_matches(p, t, strlen(t))));
    }
    cv_pattern_free(p);
    return o;
}

static void answer(const char *line, size_t len)
{
    cJSON *in;
    struct cv_buf out;
    if (cv_json_parse(NULL, (struct cv_bytes){(const uint8_t *)line, len}, &in,
                      NULL) != CV_OK)
        stop("a line is not JSON");
    const char *op = text(in, "op");
    cJSON *o = NULL;
    if (op != NULL && strcmp(op, "decide") == 0)
        o = decide(in);
    else if (op != NULL && strcmp(op, "zone") == 0)
        o = zone(in);
    else if (op != NULL && strcmp(op, "pattern") == 0)
        o = pattern(in);
    else
        stop("no such op");
    cv_buf_init(&out, NULL, CV_MIB(16));
    cv_json_write(o, CV_JSON_COMPACT, &out);
    (void)printf("%s\n", cv_buf_text(&out));
    (void)fflush(stdout);
    cv_buf_wipe(&out);
    cJSON_Delete(o);
    cJSON_Delete(in);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    if (cv_arena_start(NULL) != CV_OK)
        stop("libsodium does not start");
    cv_json_start();
    while ((len = getline(&line, &room, stdin)) > 0)
        answer(line, (size_t)len);
    free(line);
    return 0;
}
