#include "policy/cases.h"

#include "policy/cases_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES 20000

/* "limit", "approvals"; NULL: it is not for now alone. */
static const char *wait_of(const struct cv_decide_result *result)
{
    return result->cause == CV_DECIDE_LIMITED     ? "limit"
           : result->cause == CV_DECIDE_APPROVALS ? "approvals"
                                                  : NULL;
}

static bool is_text(const char *wanted, const char *got)
{
    return wanted == NULL || (got != NULL && strcmp(wanted, got) == 0);
}

static bool is_expected(const struct cv_cases_test *t,
                        const struct cv_decide_result *result)
{
    return result->permit == t->permit && is_text(t->offer, result->offer) &&
           is_text(t->wait, wait_of(result));
}

static bool add_result(cJSON *items, const struct cv_cases_test *t,
                       const struct cv_decide_result *result,
                       const char *because, int64_t index, int64_t line)
{
    bool ok = is_expected(t, result);
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
        !cv_json_add_str(o, "wait", wait_of(result)) ||
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
    struct cv_cases_test t = {0};
    struct cv_decide_result result;
    struct cv_err why;
    char permitted[CV_LIMIT_NAME + 32];
    (void)snprintf(r->where, sizeof(r->where), "case %lld: ", (long long)index);
    t.request.subject.by_name = true;
    t.request.mode = CV_DECIDE_MODE_SERVICE;
    t.request.now_s = now_s;
    enum cv_status st = cv_cases_read(policy, r, node, &t);
    if (st == CV_OK) {
        const char *because = why.text;
        cv_err_init(&why);
        st = cv_decide_command(policy, &t.request, &result, &why);
        if (st == CV_OK) {
            (void)snprintf(permitted, sizeof(permitted),
                           "permitted by rule \"%s\"", result.offer);
            because = permitted;
        }
        *passed = is_expected(&t, &result);
        if (st != CV_INTERNAL)
            st = CV_OK;
        if (st == CV_INTERNAL || !add_result(items, &t, &result, because, index,
                                             cv_reader_line(r, node)))
            st = cv_cases_no_memory(r);
    }
    cv_cases_free(&t);
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
        return cv_cases_no_memory(r);
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
        st = cv_cases_no_memory(r);
    if (!cv_json_add_item(o, "items", items) && st == CV_OK)
        st = cv_cases_no_memory(r);
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
    st = o == NULL ? cv_cases_no_memory(&r)
                   : run_document(policy, &r, tree, now_s, o);
    cv_yaml_marks_free(marks);
    cJSON_Delete(tree);
    if (st != CV_OK) {
        cJSON_Delete(o);
        return st;
    }
    *out = o;
    return CV_OK;
}
