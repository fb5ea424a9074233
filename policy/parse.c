#include "policy/parse_internal.h"

#include "vault/base/encode.h"
#include "vault/base/name.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION_MAX ((int64_t)1 << 53)

enum cv_status cv_parse_no_memory(struct cv_parser *p)
{
    return cv_fail(p->reader.err, CV_INTERNAL, "no memory for the policy");
}

static enum cv_status digest(struct cv_policy *policy, struct cv_bytes text,
                             struct cv_err *err)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    if (crypto_hash_sha256(hash, text.data, text.len) != 0)
        return cv_fail(err, CV_INTERNAL, "SHA-256 failed");
    (void)sodium_bin2hex(policy->sha256, sizeof(policy->sha256), hash,
                         sizeof(hash));
    return CV_OK;
}

static enum cv_status parse_head(struct cv_parser *p, const cJSON *version,
                                 const cJSON *kind)
{
    static const char *const versions[] = {"certvault/v1", NULL};
    static const char *const kinds[] = {"Policy", NULL};
    unsigned n;
    enum cv_status st =
        cv_reader_word(&p->reader, version, "apiVersion", versions, &n);
    if (st == CV_OK)
        st = cv_reader_word(&p->reader, kind, "kind", kinds, &n);
    return st;
}

static enum cv_status parse_metadata(struct cv_parser *p, const cJSON *node)
{
    const cJSON *name;
    const cJSON *version;
    const struct cv_reader_field fields[] = {
        {"name", true, &name},
        {"version", true, &version},
    };
    const char *text = NULL;
    enum cv_status st =
        cv_reader_mapping(&p->reader, node, "metadata", fields, 2);
    if (st == CV_OK)
        st = cv_reader_text(&p->reader, name, "metadata.name", CV_LIMIT_NAME,
                            &text);
    if (st == CV_OK && cv_name_check(text, NULL) != CV_OK) {
        st = cv_reader_refuse(&p->reader, name, false,
                              "metadata.name is not a name");
        cv_err_hint(p->reader.err,
                    "letters, digits, \".\", \"_\", \"-\" and \"/\"");
    }
    if (st == CV_OK)
        st = cv_reader_integer(&p->reader, version, "metadata.version", 0,
                               VERSION_MAX, &p->policy->version);
    if (st != CV_OK)
        return st;
    p->policy->name = cv_pool_copy(&p->policy->pool, text);
    return p->policy->name == NULL ? cv_parse_no_memory(p) : CV_OK;
}

/* Names are unique; the second one is refused. */
static enum cv_status
check_unique(struct cv_parser *p, const struct cv_rule *rule, const cJSON *node)
{
    struct cv_texts *names = &p->policy->names;
    if (cv_pool_find(names, rule->name) != CV_TEXTS_NONE) {
        p->reader.where[0] = '\0';
        return cv_reader_refuse(&p->reader, node, false,
                                "a rule is already called \"%s\"", rule->name);
    }
    if (cv_pool_intern(&p->policy->pool, names, rule->name) == CV_TEXTS_NONE)
        return cv_parse_no_memory(p);
    return CV_OK;
}

static enum cv_status parse_rules(struct cv_parser *p, const cJSON *node)
{
    struct cv_policy *policy = p->policy;
    size_t n;
    enum cv_status st =
        cv_reader_list(&p->reader, node, "rules", CV_LIMIT_RULES, &n);
    if (st != CV_OK)
        return st;
    policy->rules = cv_pool_alloc(&policy->pool, n * sizeof(*policy->rules));
    if (policy->rules == NULL)
        return cv_parse_no_memory(p);
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        struct cv_rule *rule = &policy->rules[policy->n_rules++];
        st = cv_parse_rule(p, item, rule);
        if (st == CV_OK)
            st = check_unique(p, rule, item);
        if (st != CV_OK)
            return st;
    }
    p->reader.where[0] = '\0';
    return CV_OK;
}

static void warn_lockout(const struct cv_policy *policy,
                         struct cv_policy_notes *notes)
{
    for (size_t i = 0; i < policy->n_rules; i++) {
        if (!policy->rules[i].forbid &&
            (policy->rules[i].actions >> CV_ACTION_POLICY_APPLY & 1) != 0)
            return;
    }
    cv_policy_warn(notes, 0,
                   "no rule permits policy.apply: nobody could apply the next "
                   "policy");
}

static enum cv_status parse_document(struct cv_parser *p, const cJSON *tree)
{
    const cJSON *version;
    const cJSON *kind;
    const cJSON *metadata;
    const cJSON *rules;
    const cJSON *keys;
    const struct cv_reader_field fields[] = {
        {"apiVersion", true, &version}, {"kind", true, &kind},
        {"metadata", true, &metadata},  {"rules", true, &rules},
        {"keys", false, &keys},
    };
    enum cv_status st =
        cv_reader_mapping(&p->reader, tree, "the policy", fields, 5);
    if (st == CV_OK)
        st = parse_head(p, version, kind);
    if (st == CV_OK)
        st = parse_metadata(p, metadata);
    if (st == CV_OK)
        st = parse_rules(p, rules);
    if (st == CV_OK && keys != NULL)
        st = cv_parse_keys(p, keys);
    if (st == CV_OK)
        warn_lockout(p->policy, p->reader.notes);
    return st;
}

enum cv_status cv_policy_parse(struct cv_bytes text, struct cv_policy **out,
                               struct cv_policy_notes *notes,
                               struct cv_err *err)
{
    cJSON *tree = NULL;
    struct cv_yaml_marks *marks = NULL;
    *out = NULL;
    if (text.len > CV_LIMIT_POLICY)
        return cv_fail(err, CV_INVALID,
                       "the policy has %zu bytes, over the limit of %zu",
                       text.len, CV_LIMIT_POLICY);
    struct cv_policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL)
        return cv_fail(err, CV_INTERNAL, "no memory for the policy");
    enum cv_status st = cv_reader_begin(text, notes, &tree, &marks, err);
    if (st == CV_OK) {
        struct cv_parser p = {{marks, notes, err, ""}, policy};
        st = parse_document(&p, tree);
    }
    if (st == CV_OK)
        st = digest(policy, text, err);
    policy->has_zones = policy->zones.n == 0;
    cv_yaml_marks_free(marks);
    cJSON_Delete(tree);
    if (st != CV_OK) {
        cv_policy_free(policy);
        return st;
    }
    *out = policy;
    return CV_OK;
}
