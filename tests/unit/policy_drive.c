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
    gid_t gids[MAX];
    const char *groups[MAX];
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

static void read_request(const cJSON *o, struct parsed *p)
{
    struct cv_decide_request *r = &p->request;
    const cJSON *item;
    memset(p, 0, sizeof(*p));
    r->subject.by_name = cJSON_IsString(get(o, "user"));
    r->subject.user = text(o, "user");
    r->subject.groups = p->groups;
    r->subject.n_groups = texts(get(o, "groups"), p->groups);
    r->subject.uid = (uid_t)number(o, "uid");
    r->subject.gid = (gid_t)number(o, "gid");
    r->subject.gids = p->gids;
    cJSON_ArrayForEach(item, get(o, "gids")) p->gids[r->subject.n_gids++] =
        (gid_t)item->valuedouble;
    r->action = cv_action_from_name(text(o, "action"));
    if (cJSON_IsObject(get(o, "entry")))
        read_entry(get(o, "entry"), p);
    r->reason = text(o, "reason");
    r->ticket = text(o, "ticket");
    r->contexts = p->contexts;
    r->n_contexts = texts(get(o, "contexts"), p->contexts);
    r->mode = cv_decide_mode_from_name(text(o, "mode"));
    r->tty = cJSON_IsTrue(get(o, "tty"));
    r->read_only = cJSON_IsTrue(get(o, "read_only"));
    r->now_s = number(o, "now");
    r->duration_s = number(o, "duration");
}

static void check_explanation(const struct cv_policy *policy,
                              const struct cv_decide_request *r,
                              const struct cv_decide_result *result)
{
    cJSON *o;
    if (cv_explain_make(policy, r, &o, NULL) != CV_OK)
        stop("no explanation");
    const char *offer = text(o, "offer");
    if (strcmp(text(o, "decision"), result->permit ? "permit" : "deny") != 0 ||
        (offer == NULL) != (result->offer == NULL) ||
        (offer != NULL && strcmp(offer, result->offer) != 0))
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
    if (result->cause <= CV_DECIDE_NO_RULE &&
        result->permit != (permitted && !forbidden))
        stop("the rules of the explanation say something else");
    cJSON_Delete(o);
}

/* The filter of lists must show exactly what would be permitted. */
static void check_list(const struct cv_policy *policy,
                       const struct cv_decide_request *r,
                       const struct cv_decide_result *result)
{
    struct cv_decide_list *list;
    struct cv_decide_result all;
    struct cv_decide_request asked = *r;
    bool shows = false;
    if (r->action != CV_ACTION_LIST || r->entry == NULL)
        return;
    asked.entry = NULL;
    if (cv_decide_list_new(policy, &asked, &list, &all, NULL) == CV_OK) {
        shows = cv_decide_list_shows(list, r->entry);
        cv_decide_list_free(list);
    }
    if (shows != result->permit)
        stop("the filter of lists says something else");
}

static cJSON *decide_one(const struct cv_policy *policy, const cJSON *node)
{
    struct parsed p;
    struct cv_decide_result result;
    struct cv_err err;
    cv_err_init(&err);
    read_request(node, &p);
    enum cv_status st = cv_decide_run(policy, &p.request, &result, &err);
    if ((st == CV_OK) != result.permit || (st != CV_OK && st != CV_DENIED))
        stop("status and result do not agree");
    if (!result.permit && err.text[0] == '\0')
        stop("a denial without words");
    check_explanation(policy, &p.request, &result);
    check_list(policy, &p.request, &result);
    cJSON *o = cJSON_CreateObject();
    cJSON *rules = cJSON_CreateArray();
    for (size_t i = 0; i < result.n_rules; i++)
        cJSON_AddItemToArray(rules, cJSON_CreateString(result.rules[i]));
    if (!cv_json_add_bool(o, "permit", result.permit) ||
        !cv_json_add_str(o, "offer", result.offer) ||
        !cv_json_add_int(o, "duration", result.duration_s) ||
        !cv_json_add_bool(o, "read_only", result.grant.read_only) ||
        !cv_json_add_item(o, "rules", rules))
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
        const cJSON *item;
        cJSON_ArrayForEach(item, get(line, "requests"))
            cJSON_AddItemToArray(results, decide_one(policy, item));
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
