/* Rules of two texts, by name. Compared as trees: so that nothing of a rule is
 * left out, whatever the language grows. */
#include "policy/compare.h"

#include "policy/pool_internal.h"

#include "vault/yaml/yaml.h"

#include <stdlib.h>

struct side {
    cJSON *tree;
    struct cv_texts names;
    const cJSON **rules; /* by the numbers of `names` */
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "no memory for a comparison");
}

static enum cv_status read_side(struct cv_pool *pool, struct cv_bytes text,
                                struct side *out, struct cv_err *err)
{
    const cJSON *rule;
    size_t n = 0;
    enum cv_status st = cv_yaml_parse(NULL, text, &out->tree, NULL, NULL, err);
    if (st != CV_OK)
        return st;
    const cJSON *rules = cJSON_GetObjectItemCaseSensitive(out->tree, "rules");
    cJSON_ArrayForEach(rule, rules) n++;
    out->rules = calloc(n + 1, sizeof(*out->rules));
    if (out->rules == NULL)
        return no_memory(err);
    cJSON_ArrayForEach(rule, rules)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(rule, "name");
        if (!cJSON_IsString(name))
            return cv_fail(err, CV_INVALID, "a rule has no name");
        size_t at = cv_pool_intern(pool, &out->names, name->valuestring);
        if (at == CV_TEXTS_NONE)
            return no_memory(err);
        out->rules[at] = rule;
    }
    return CV_OK;
}

static bool add(cJSON *list, const char *name)
{
    cJSON *item = cJSON_CreateString(name);
    if (item != NULL && cJSON_AddItemToArray(list, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool compare(const struct side *old, const struct side *new, cJSON *out)
{
    cJSON *added = cJSON_AddArrayToObject(out, "added");
    cJSON *removed = cJSON_AddArrayToObject(out, "removed");
    cJSON *changed = cJSON_AddArrayToObject(out, "changed");
    bool good = added != NULL && removed != NULL && changed != NULL;
    for (size_t i = 0; good && i < new->names.n; i++) {
        const char *name = new->names.list[i];
        size_t at = cv_pool_find(&old->names, name);
        if (at == CV_TEXTS_NONE)
            good = add(added, name);
        else if (!cJSON_Compare(old->rules[at], new->rules[i], true))
            good = add(changed, name);
    }
    for (size_t i = 0; good && i < old->names.n; i++) {
        if (cv_pool_find(&new->names, old->names.list[i]) == CV_TEXTS_NONE)
            good = add(removed, old->names.list[i]);
    }
    return good;
}

enum cv_status cv_compare_texts(struct cv_bytes old, struct cv_bytes new,
                                cJSON **out, struct cv_err *err)
{
    struct cv_pool pool = {0};
    struct side sides[2] = {{0}, {0}};
    enum cv_status st = read_side(&pool, old, &sides[0], err);
    if (st == CV_OK)
        st = read_side(&pool, new, &sides[1], err);
    *out = st == CV_OK ? cJSON_CreateObject() : NULL;
    if (st == CV_OK && (*out == NULL || !compare(&sides[0], &sides[1], *out))) {
        cJSON_Delete(*out);
        *out = NULL;
        st = no_memory(err);
    }
    for (size_t i = 0; i < 2; i++) {
        cJSON_Delete(sides[i].tree);
        free(sides[i].rules);
    }
    cv_pool_free(&pool);
    return st;
}
