#include "policy/index_internal.h"
#include "policy/policy_internal.h"

#include "vault/base/name.h"
#include "vault/yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cv_policy_free(struct cv_policy *policy)
{
    if (policy == NULL)
        return;
    for (size_t i = 0; i < policy->n_rules; i++)
        cv_pattern_free(policy->rules[i].when.ticket);
    cv_policy_drop_zones(policy, policy->zone);
    cv_index_free(policy->index);
    cv_pool_free(&policy->pool);
    free(policy);
}

const char *cv_policy_name(const struct cv_policy *policy)
{
    return policy->name;
}

int64_t cv_policy_version(const struct cv_policy *policy)
{
    return policy->version;
}

const char *cv_policy_sha256(const struct cv_policy *policy)
{
    return policy->sha256;
}

size_t cv_policy_rules(const struct cv_policy *policy)
{
    return policy->n_rules;
}

cJSON *cv_policy_describe(const struct cv_policy *policy)
{
    cJSON *o = cJSON_CreateObject();
    if (o == NULL || !cv_json_add_str(o, "name", policy->name) ||
        !cv_json_add_int(o, "version", policy->version) ||
        !cv_json_add_str(o, "sha256", policy->sha256) ||
        !cv_json_add_int(o, "rules", (int64_t)policy->n_rules)) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

static cJSON *texts_json(const struct cv_texts *t)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; list != NULL && i < t->n; i++) {
        cJSON *item = cJSON_CreateString(t->list[i]);
        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

cJSON *cv_policy_names(const struct cv_policy *policy)
{
    cJSON *o = cJSON_CreateObject();
    if (o == NULL ||
        !cv_json_add_item(o, "users", texts_json(&policy->users)) ||
        !cv_json_add_item(o, "groups", texts_json(&policy->groups))) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

cJSON *cv_policy_zones(const struct cv_policy *policy)
{
    return texts_json(&policy->zones);
}

void cv_policy_warn(struct cv_policy_notes *notes, unsigned line,
                    const char *fmt, ...)
{
    if (notes == NULL || notes->n_warnings++ >= CV_POLICY_NOTES)
        return;
    struct cv_policy_warning *w = &notes->warnings[notes->n_warnings - 1];
    va_list args;
    w->line = line;
    va_start(args, fmt);
    (void)vsnprintf(w->text, sizeof(w->text), fmt, args);
    va_end(args);
}

void cv_policy_render(struct cv_bytes text, unsigned line, unsigned column,
                      struct cv_buf *out)
{
    cv_yaml_excerpt(text, (struct cv_yaml_mark){line, column}, out);
}

void cv_policy_default(uid_t owner, struct cv_buf *out)
{
    cv_buf_add_str(out, "apiVersion: certvault/v1\n"
                        "kind: Policy\n"
                        "metadata: {name: default, version: 0}\n"
                        "rules:\n"
                        "# Written by init: the owner may do everything but "
                        "export. To change it, apply a\n"
                        "# policy with a higher version.\n"
                        "- name: owner\n"
                        "  effect: permit\n");
    cv_buf_add_format(out, "  subjects: {uids: [%lu]}\n", (unsigned long)owner);
    cv_buf_add_str(out, "  actions:\n");
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++) {
        if (a != CV_ACTION_EXPORT)
            cv_buf_add_format(out, "  - %s\n",
                              cv_action_name((enum cv_action)a));
    }
}

const char *cv_policy_record_name(enum cv_policy_record record)
{
    static const char *const names[] = {"writes", "off", "all"};
    return (unsigned)record < 3 ? names[record] : "writes";
}

enum cv_provenance cv_policy_provenance(const char *word)
{
    static const char *const provenances[CV_PROVENANCE_COUNT] = {
        "none", "born", "adopted", "unwrapped", "imported", "sealed"};
    for (unsigned p = 1; p < CV_PROVENANCE_COUNT; p++) {
        if (strcmp(provenances[p], word) == 0)
            return (enum cv_provenance)p;
    }
    return CV_PROVENANCE_NONE;
}
