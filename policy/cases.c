#include "policy/cases.h"

#include "policy/explain.h"
#include "policy/policy_internal.h"
#include "policy/reader_internal.h"

#include "vault/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES 20000

/* One case: a request and what is expected of it. All texts are borrowed from
 * the tree; the lists of pointers are its own. */
struct test {
    struct cv_decide_request request;
    struct cv_decide_entry entry;
    const char **groups;
    const char **keys;
    const char **values;
    const char *context;
    const char *name;
    bool permit; /* expected */
};

static void test_free(struct test *t)
{
    free(t->groups);
    free(t->keys);
    free(t->values);
}

static enum cv_status no_memory(struct cv_reader *r)
{
    return cv_fail(r->err, CV_INTERNAL, "no memory for the cases");
}

static enum cv_status read_groups(struct cv_reader *r, const cJSON *node,
                                  struct test *t)
{
    size_t n;
    const cJSON *item;
    if (cJSON_IsArray(node) && node->child == NULL)
        return CV_OK;
    enum cv_status st = cv_reader_list(r, node, "groups", CV_DECIDE_GROUPS, &n);
    if (st != CV_OK)
        return st;
    t->groups = calloc(n, sizeof(*t->groups));
    if (t->groups == NULL)
        return no_memory(r);
    n = 0;
    cJSON_ArrayForEach(item, node)
    {
        st = cv_reader_text(r, item, "a group", CV_POLICY_WHO, &t->groups[n++]);
        if (st != CV_OK)
            return st;
    }
    t->request.subject.groups = t->groups;
    t->request.subject.n_groups = n;
    return CV_OK;
}

static enum cv_status read_labels(struct cv_reader *r, const cJSON *node,
                                  struct test *t)
{
    const cJSON *item;
    size_t n = 0;
    if (!cJSON_IsObject(node))
        return cv_reader_refuse(r, node, false,
                                "labels must be a mapping, {key: value}");
    cJSON_ArrayForEach(item, node) n++;
    if (n > CV_LIMIT_LABELS)
        return cv_reader_refuse(r, node, false, "there are too many labels");
    t->keys = calloc(n + 1, sizeof(*t->keys));
    t->values = calloc(n + 1, sizeof(*t->values));
    if (t->keys == NULL || t->values == NULL)
        return no_memory(r);
    n = 0;
    cJSON_ArrayForEach(item, node)
    {
        t->keys[n] = item->string;
        enum cv_status st = cv_reader_text(r, item, "a label's value",
                                           CV_LIMIT_LABEL, &t->values[n++]);
        if (st != CV_OK)
            return st;
    }
    t->entry.keys = t->keys;
    t->entry.values = t->values;
    t->entry.n_labels = n;
    return CV_OK;
}

static enum cv_status read_entry(struct cv_reader *r, const cJSON *node,
                                 struct test *t)
{
    const cJSON *name, *labels, *provenance, *leaky;
    const struct cv_reader_field fields[] = {
        {"name", true, &name},
        {"labels", false, &labels},
        {"provenance", false, &provenance},
        {"leaky", false, &leaky},
    };
    static const char *const words[] = {"born",     "adopted", "unwrapped",
                                        "imported", "sealed",  NULL};
    unsigned word;
    enum cv_status st = cv_reader_mapping(r, node, "entry", fields, 4);
    if (st == CV_OK)
        st = cv_reader_text(r, name, "the entry's name", CV_LIMIT_NAME,
                            &t->entry.name);
    if (st == CV_OK && labels != NULL)
        st = read_labels(r, labels, t);
    if (st == CV_OK && provenance != NULL) {
        st = cv_reader_word(r, provenance, "provenance", words, &word);
        if (st == CV_OK)
            t->entry.provenance = words[word];
    }
    if (st == CV_OK && leaky != NULL)
        st = cv_reader_bool(r, leaky, "leaky", &t->entry.leaky);
    t->request.entry = &t->entry;
    return st;
}

static enum cv_status read_action(struct cv_reader *r, const cJSON *node,
                                  struct test *t)
{
    const char *words[CV_ACTION_COUNT];
    unsigned word;
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++)
        words[a - 1] = cv_action_name((enum cv_action)a);
    words[CV_ACTION_COUNT - 1] = NULL;
    enum cv_status st = cv_reader_word(r, node, "action", words, &word);
    if (st == CV_OK)
        t->request.action = (enum cv_action)(word + 1);
    return st;
}

static enum cv_status read_time(struct cv_reader *r, const cJSON *node,
                                struct test *t)
{
    const char *text;
    enum cv_status st = cv_reader_text(r, node, "at", CV_LIMIT_URL, &text);
    if (st == CV_OK && cv_clock_parse(text, &t->request.now_s, NULL) != CV_OK)
        st = cv_reader_refuse(r, node, false,
                              "at must be a time such as "
                              "2026-11-23T10:00:00+01:00, or a date");
    return st;
}

static enum cv_status read_mode(struct cv_reader *r, const cJSON *node,
                                struct test *t)
{
    static const char *const words[] = {"exec", "agent", "service", NULL};
    unsigned word;
    enum cv_status st = cv_reader_word(r, node, "mode", words, &word);
    if (st == CV_OK)
        t->request.mode = cv_decide_mode_from_name(words[word]);
    return st;
}

/* The keys that few cases have. */
struct extras {
    const cJSON *reason, *ticket, *at, *context, *mode, *tty, *duration,
        *read_only;
};

static enum cv_status read_extras(struct cv_reader *r, const struct extras *e,
                                  struct test *t)
{
    struct cv_decide_request *q = &t->request;
    enum cv_status st = CV_OK;
    if (e->reason != NULL)
        st =
            cv_reader_text(r, e->reason, "reason", CV_LIMIT_REASON, &q->reason);
    if (st == CV_OK && e->ticket != NULL)
        st =
            cv_reader_text(r, e->ticket, "ticket", CV_LIMIT_TICKET, &q->ticket);
    if (st == CV_OK && e->at != NULL)
        st = read_time(r, e->at, t);
    if (st == CV_OK && e->context != NULL) {
        st = cv_reader_text(r, e->context, "context", CV_LIMIT_HOST,
                            &t->context);
        q->contexts = &t->context;
        q->n_contexts = 1;
    }
    if (st == CV_OK && e->mode != NULL)
        st = read_mode(r, e->mode, t);
    if (st == CV_OK && e->tty != NULL)
        st = cv_reader_bool(r, e->tty, "tty", &q->tty);
    if (st == CV_OK && e->duration != NULL)
        st = cv_reader_duration(r, e->duration, "duration", &q->duration_s);
    if (st == CV_OK && e->read_only != NULL)
        st = cv_reader_bool(r, e->read_only, "read_only", &q->read_only);
    return st;
}

static enum cv_status read_case(struct cv_reader *r, const cJSON *node,
                                struct test *t)
{
    static const char *const effects[] = {"deny", "permit", NULL};
    const cJSON *name, *user, *groups, *action, *entry, *expect;
    struct extras e;
    const struct cv_reader_field fields[] = {
        {"name", false, &name},
        {"user", true, &user},
        {"groups", false, &groups},
        {"action", true, &action},
        {"entry", false, &entry},
        {"expect", true, &expect},
        {"reason", false, &e.reason},
        {"ticket", false, &e.ticket},
        {"at", false, &e.at},
        {"context", false, &e.context},
        {"mode", false, &e.mode},
        {"tty", false, &e.tty},
        {"duration", false, &e.duration},
        {"read_only", false, &e.read_only},
    };
    unsigned word = 0;
    enum cv_status st = cv_reader_mapping(r, node, "a case", fields,
                                          sizeof(fields) / sizeof(fields[0]));
    if (st == CV_OK && name != NULL)
        st = cv_reader_text(r, name, "name", CV_LIMIT_REASON, &t->name);
    if (st == CV_OK)
        st = cv_reader_text(r, user, "user", CV_POLICY_WHO,
                            &t->request.subject.user);
    if (st == CV_OK && groups != NULL)
        st = read_groups(r, groups, t);
    if (st == CV_OK)
        st = read_action(r, action, t);
    if (st == CV_OK && entry != NULL)
        st = read_entry(r, entry, t);
    if (st == CV_OK)
        st = cv_reader_word(r, expect, "expect", effects, &word);
    t->permit = word == 1;
    return st == CV_OK ? read_extras(r, &e, t) : st;
}

static bool add_result(cJSON *items, const struct test *t,
                       const struct cv_decide_result *result,
                       const char *because, int64_t index, int64_t line)
{
    bool ok = result->permit == t->permit;
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !cv_json_add_int(o, "index", index) ||
        !cv_json_add_int(o, "line", line) ||
        !cv_json_add_str(o, "name", t->name) ||
        !cv_json_add_str(o, "user", t->request.subject.user) ||
        !cv_json_add_str(o, "action", cv_action_name(t->request.action)) ||
        !cv_json_add_str(o, "entry", t->entry.name) ||
        !cv_json_add_str(o, "expect", t->permit ? "permit" : "deny") ||
        !cv_json_add_str(o, "got", result->permit ? "permit" : "deny") ||
        !cv_json_add_bool(o, "ok", ok) ||
        !cv_json_add_str(o, "offer", result->offer) ||
        !cv_json_add_str(o, "because", because) ||
        !cJSON_AddItemToArray(items, o)) {
        cJSON_Delete(o);
        return false;
    }
    return true;
}

static enum cv_status run_case(const struct cv_policy *policy,
                               struct cv_reader *r, const cJSON *node,
                               int64_t now_s, int64_t index, cJSON *items,
                               bool *passed)
{
    struct test t = {0};
    struct cv_decide_result result;
    struct cv_err why;
    char permitted[CV_LIMIT_NAME + 32];
    (void)snprintf(r->where, sizeof(r->where), "case %lld: ", (long long)index);
    t.request.subject.by_name = true;
    t.request.mode = CV_DECIDE_MODE_SERVICE;
    t.request.now_s = now_s;
    enum cv_status st = read_case(r, node, &t);
    if (st == CV_OK) {
        const char *because = why.text;
        cv_err_init(&why);
        if (cv_decide_run(policy, &t.request, &result, &why) == CV_OK) {
            (void)snprintf(permitted, sizeof(permitted),
                           "permitted by rule \"%s\"", result.offer);
            because = permitted;
        }
        *passed = result.permit == t.permit;
        if (!add_result(items, &t, &result, because, index,
                        cv_reader_line(r, node)))
            st = no_memory(r);
    }
    test_free(&t);
    return st;
}

static enum cv_status run_cases(const struct cv_policy *policy,
                                struct cv_reader *r, const cJSON *cases,
                                int64_t now_s, cJSON *o)
{
    const cJSON *item;
    size_t n;
    int64_t index = 0;
    int64_t passed = 0;
    enum cv_status st = cv_reader_list(r, cases, "cases", CASES, &n);
    if (st != CV_OK)
        return st;
    cJSON *items = cJSON_CreateArray();
    if (items == NULL)
        return no_memory(r);
    cJSON_ArrayForEach(item, cases)
    {
        bool good = false;
        st = run_case(policy, r, item, now_s, ++index, items, &good);
        if (st != CV_OK)
            break;
        passed += good ? 1 : 0;
    }
    if (st == CV_OK && (!cv_json_add_int(o, "total", index) ||
                        !cv_json_add_int(o, "passed", passed) ||
                        !cv_json_add_int(o, "failed", index - passed)))
        st = no_memory(r);
    if (!cv_json_add_item(o, "items", items) && st == CV_OK)
        st = no_memory(r);
    return st;
}

static enum cv_status run_document(const struct cv_policy *policy,
                                   struct cv_reader *r, const cJSON *tree,
                                   int64_t now_s, cJSON *o)
{
    static const char *const versions[] = {"certvault/v1", NULL};
    static const char *const kinds[] = {"PolicyTest", NULL};
    const cJSON *version, *kind, *cases;
    const struct cv_reader_field fields[] = {
        {"apiVersion", true, &version},
        {"kind", true, &kind},
        {"cases", true, &cases},
    };
    unsigned n;
    enum cv_status st = cv_reader_mapping(r, tree, "the file", fields, 3);
    if (st == CV_OK)
        st = cv_reader_word(r, version, "apiVersion", versions, &n);
    if (st == CV_OK)
        st = cv_reader_word(r, kind, "kind", kinds, &n);
    return st == CV_OK ? run_cases(policy, r, cases, now_s, o) : st;
}

enum cv_status cv_cases_run(const struct cv_policy *policy,
                            struct cv_bytes text, int64_t now_s, cJSON **out,
                            struct cv_policy_notes *notes, struct cv_err *err)
{
    cJSON *tree = NULL;
    struct cv_yaml_marks *marks = NULL;
    *out = NULL;
    enum cv_status st = cv_reader_begin(text, notes, &tree, &marks, err);
    if (st != CV_OK)
        return st;
    struct cv_reader r = {marks, notes, err, ""};
    cJSON *o = cJSON_CreateObject();
    st = o == NULL ? no_memory(&r) : run_document(policy, &r, tree, now_s, o);
    cv_yaml_marks_free(marks);
    cJSON_Delete(tree);
    if (st != CV_OK) {
        cJSON_Delete(o);
        return st;
    }
    *out = o;
    return CV_OK;
}
