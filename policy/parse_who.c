#include "policy/parse_internal.h"

#include <string.h>

/* users and groups: names, numbered; "*" as a user is everyone. */
static enum cv_status parse_who(struct cv_parser *p, const cJSON *node,
                                const char *what, bool *everyone,
                                struct cv_texts *texts, struct cv_numbers *out)
{
    size_t n;
    enum cv_status st =
        cv_reader_list(&p->reader, node, what, CV_POLICY_ITEMS, &n);
    if (st != CV_OK)
        return st;
    out->list = cv_pool_alloc(&p->policy->pool, n * sizeof(*out->list));
    if (out->list == NULL)
        return cv_parse_no_memory(p);
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        const char *text;
        st = cv_reader_text(&p->reader, item, what, CV_POLICY_WHO, &text);
        if (st != CV_OK)
            return st;
        if (everyone != NULL && strcmp(text, "*") == 0) {
            *everyone = true;
            continue;
        }
        if (strpbrk(text, "*?") != NULL) {
            st = cv_reader_refuse(&p->reader, item, false,
                                  "%s are names, not patterns", what);
            cv_err_hint(p->reader.err, "users: [\"*\"] is everyone");
            return st;
        }
        size_t number = cv_pool_intern(&p->policy->pool, texts, text);
        if (number == CV_TEXTS_NONE)
            return cv_parse_no_memory(p);
        out->list[out->n++] = (uint32_t)number;
    }
    return CV_OK;
}

static enum cv_status parse_uids(struct cv_parser *p, const cJSON *node,
                                 struct cv_numbers *out)
{
    size_t n;
    enum cv_status st =
        cv_reader_list(&p->reader, node, "uids", CV_POLICY_ITEMS, &n);
    if (st != CV_OK)
        return st;
    out->list = cv_pool_alloc(&p->policy->pool, n * sizeof(*out->list));
    if (out->list == NULL)
        return cv_parse_no_memory(p);
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        int64_t uid;
        st = cv_reader_integer(&p->reader, item, "a uid", 0, CV_POLICY_UID_LAST,
                               &uid);
        if (st == CV_OK && uid == CV_POLICY_UID_OVERFLOW)
            st = cv_reader_refuse(&p->reader, item, false,
                                  "uid 65534 stands for a user that the kernel "
                                  "cannot name and is always denied");
        if (st != CV_OK)
            return st;
        out->list[out->n++] = (uint32_t)uid;
    }
    return CV_OK;
}

enum cv_status cv_parse_subjects(struct cv_parser *p, const cJSON *node,
                                 const char *what, struct cv_rule_subjects *s)
{
    const cJSON *users;
    const cJSON *groups;
    const cJSON *uids;
    const struct cv_reader_field fields[] = {
        {"users", false, &users},
        {"groups", false, &groups},
        {"uids", false, &uids},
    };
    enum cv_status st = cv_reader_mapping(&p->reader, node, what, fields, 3);
    if (st == CV_OK && users == NULL && groups == NULL && uids == NULL) {
        st = cv_reader_refuse(&p->reader, node, false, "%s names nobody", what);
        cv_err_hint(p->reader.err, "users: [\"*\"] is everyone");
    }
    if (st == CV_OK && users != NULL)
        st = parse_who(p, users, "users", &s->everyone, &p->policy->users,
                       &s->users);
    if (st == CV_OK && groups != NULL)
        st = parse_who(p, groups, "groups", NULL, &p->policy->groups,
                       &s->groups);
    if (st == CV_OK && uids != NULL)
        st = parse_uids(p, uids, &s->uids);
    return st;
}
