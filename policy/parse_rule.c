#include "policy/parse_internal.h"

#include "vault/base/name.h"

#include <stdio.h>
#include <string.h>

enum cv_status cv_parse_bits(struct cv_parser *p, const cJSON *node,
                             const char *what, const char *const *words,
                             unsigned *out)
{
    size_t n;
    enum cv_status st =
        cv_reader_list(&p->reader, node, what, CV_POLICY_ITEMS, &n);
    const cJSON *item;
    *out = 0;
    if (st != CV_OK)
        return st;
    cJSON_ArrayForEach(item, node)
    {
        unsigned word;
        st = cv_reader_word(&p->reader, item, what, words, &word);
        if (st != CV_OK)
            return st;
        *out |= 1U << word;
    }
    return CV_OK;
}

/* Could a name or a label's value be like that? What can match nothing would
 * make a forbid that forbids nothing. */
static bool is_glob(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._/-*?") == strlen(text);
}

static bool is_literal(const char *text)
{
    return strpbrk(text, "*?") == NULL;
}

static enum cv_status check_text(struct cv_parser *p, const cJSON *node,
                                 const char *what, enum cv_parse_text kind,
                                 const char *text)
{
    enum cv_status st = CV_OK;
    if (kind == CV_PARSE_GLOB && !is_glob(text)) {
        st = cv_reader_refuse(&p->reader, node, false,
                              "%s: this pattern can match nothing", what);
        cv_err_hint(p->reader.err,
                    "letters, digits, \".\", \"_\", \"-\", \"/\"; \"*\" is any "
                    "run, \"?\" one character");
    } else if (kind == CV_PARSE_LITERAL && !is_literal(text)) {
        st = cv_reader_refuse(&p->reader, node, false,
                              "%s are names, not patterns", what);
    }
    return st;
}

enum cv_status cv_parse_texts(struct cv_parser *p, const cJSON *node,
                              const char *what, size_t max,
                              enum cv_parse_text kind, struct cv_globs *out)
{
    size_t n;
    enum cv_status st =
        cv_reader_list(&p->reader, node, what, CV_POLICY_ITEMS, &n);
    if (st != CV_OK)
        return st;
    /* One more: the lists of a grant end with NULL. */
    out->list = cv_pool_alloc(&p->policy->pool, (n + 1) * sizeof(*out->list));
    if (out->list == NULL)
        return cv_parse_no_memory(p);
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        const char *text;
        st = cv_reader_text(&p->reader, item, what, max, &text);
        if (st == CV_OK)
            st = check_text(p, item, what, kind, text);
        if (st != CV_OK)
            return st;
        text = cv_pool_copy(&p->policy->pool, text);
        if (text == NULL)
            return cv_parse_no_memory(p);
        out->list[out->n++] = text;
    }
    return CV_OK;
}

static enum cv_status parse_actions(struct cv_parser *p, const cJSON *node,
                                    struct cv_rule *rule)
{
    const char *words[CV_ACTION_COUNT + 1];
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++)
        words[a] = cv_action_name((enum cv_action)a);
    words[0] = "*";
    words[CV_ACTION_COUNT] = NULL;
    unsigned bits;
    enum cv_status st = cv_parse_bits(p, node, "actions", words, &bits);
    if (st == CV_OK)
        rule->actions = (bits & 1) != 0 ? UINT32_MAX : bits;
    return st;
}

static enum cv_status parse_labels(struct cv_parser *p, const cJSON *node,
                                   struct cv_rule *rule)
{
    struct cv_rule_entries *e = &rule->entries;
    if (!cJSON_IsObject(node) || node->child == NULL)
        return cv_reader_refuse(&p->reader, node, false,
                                "labels must be a mapping, {key: value}");
    const cJSON *item;
    size_t n = 0;
    cJSON_ArrayForEach(item, node) n++;
    if (n > CV_LIMIT_LABELS)
        return cv_reader_refuse(&p->reader, node, false,
                                "labels has %zu keys, over the limit of %d", n,
                                CV_LIMIT_LABELS);
    e->labels = cv_pool_alloc(&p->policy->pool, n * sizeof(*e->labels));
    if (e->labels == NULL)
        return cv_parse_no_memory(p);
    cJSON_ArrayForEach(item, node)
    {
        const char *value;
        if (cv_name_check_label(item->string, "x", NULL) != CV_OK)
            return cv_reader_refuse(&p->reader, item, true,
                                    "labels: no label has such a key");
        enum cv_status st = cv_reader_text(&p->reader, item, "a label's value",
                                           CV_LIMIT_PATTERN, &value);
        if (st == CV_OK)
            st = check_text(p, item, "labels", CV_PARSE_GLOB, value);
        if (st != CV_OK)
            return st;
        struct cv_label_glob *l = &e->labels[e->n_labels++];
        l->key = cv_pool_copy(&p->policy->pool, item->string);
        l->value = cv_pool_copy(&p->policy->pool, value);
        if (l->key == NULL || l->value == NULL)
            return cv_parse_no_memory(p);
    }
    if (n > 1 && !rule->forbid)
        cv_policy_warn(p->reader.notes, cv_reader_line(&p->reader, node),
                       "rule \"%s\": any one of its labels is enough",
                       rule->name);
    return CV_OK;
}

/* It can only be true; false would be a permit like any other. */
static enum cv_status parse_true(struct cv_parser *p, const cJSON *node,
                                 const char *what, bool *out)
{
    enum cv_status st = cv_reader_bool(&p->reader, node, what, out);
    if (st == CV_OK && !*out) {
        st = cv_reader_refuse(&p->reader, node, false, "%s can only be true",
                              what);
        cv_err_hint(p->reader.err, "leave it out");
    }
    return st;
}

static enum cv_status parse_entries(struct cv_parser *p, const cJSON *node,
                                    struct cv_rule *rule)
{
    static const char *const provenances[] = {
        "born", "adopted", "unwrapped", "imported", "sealed", NULL};
    struct cv_rule_entries *e = &rule->entries;
    const cJSON *names;
    const cJSON *labels;
    const cJSON *provenance;
    const cJSON *leaky;
    const struct cv_reader_field fields[] = {
        {"names", false, &names},
        {"labels", false, &labels},
        {"provenance", false, &provenance},
        {"leaky", false, &leaky},
    };
    enum cv_status st =
        cv_reader_mapping(&p->reader, node, "entries", fields, 4);
    if (st == CV_OK && node->child == NULL) {
        st = cv_reader_refuse(&p->reader, node, false, "entries is empty");
        cv_err_hint(p->reader.err, "leave it out: then it is any entry");
    }
    if (st != CV_OK)
        return st;
    e->given = true;
    if (names != NULL)
        st = cv_parse_texts(p, names, "names", CV_LIMIT_PATTERN, CV_PARSE_GLOB,
                            &e->names);
    if (st == CV_OK && labels != NULL)
        st = parse_labels(p, labels, rule);
    if (st == CV_OK && provenance != NULL) {
        st = cv_parse_bits(p, provenance, "provenance", provenances,
                           &e->provenance);
        e->provenance <<= CV_PROVENANCE_BORN;
    }
    if (st == CV_OK && leaky != NULL)
        st = parse_true(p, leaky, "leaky", &e->leaky);
    e->any_name = e->names.n == 1 && strcmp(e->names.list[0], "*") == 0 &&
                  labels == NULL && provenance == NULL && leaky == NULL;
    return st;
}

/* What the relay tells apart; whoever writes another verb means one of these. A
 * text that was applied before this was looked at stays what it is: there such
 * a verb permits nothing. */
static enum cv_status check_verbs(struct cv_parser *p, const cJSON *node)
{
    static const char *const verbs[] = {
        "get",    "list",  "watch",  "create",
        "update", "patch", "delete", "deletecollection",
        "*",      NULL};
    static const char *const creates[] = {"exec", "attach", "portforward",
                                          "proxy"};
    const cJSON *item;
    unsigned word;
    if (p->reader.notes == NULL)
        return CV_OK;
    cJSON_ArrayForEach(item, node)
    {
        enum cv_status st =
            cv_reader_word(&p->reader, item, "verbs", verbs, &word);
        for (size_t i = 0; st != CV_OK && i < 4; i++) {
            if (cJSON_IsString(item) &&
                strcmp(item->valuestring, creates[i]) == 0)
                cv_err_hint(p->reader.err, "%s needs \"create\"", creates[i]);
        }
        if (st != CV_OK)
            return st;
    }
    return CV_OK;
}

/* A list that limits, kept for the relay. */
static enum cv_status parse_limits(struct cv_parser *p, const cJSON *node,
                                   const char *what, const char *const **out)
{
    struct cv_globs list = {0, NULL};
    if (node == NULL)
        return CV_OK;
    enum cv_status st =
        cv_parse_texts(p, node, what, CV_LIMIT_HOST, CV_PARSE_ANY_TEXT, &list);
    *out = list.list;
    return st;
}

static enum cv_status parse_grant(struct cv_parser *p, const cJSON *node,
                                  struct cv_policy_grant *g)
{
    static const char *const records[] = {"writes", "off", "all", NULL};
    const cJSON *max;
    const cJSON *read_only;
    const cJSON *verbs;
    const cJSON *namespaces;
    const cJSON *resources;
    const cJSON *record;
    const struct cv_reader_field fields[] = {
        {"max_duration", false, &max},    {"read_only", false, &read_only},
        {"verbs", false, &verbs},         {"namespaces", false, &namespaces},
        {"resources", false, &resources}, {"record", false, &record},
    };
    enum cv_status st = cv_reader_mapping(&p->reader, node, "grant", fields, 6);
    unsigned word = CV_POLICY_RECORD_WRITES;
    if (st == CV_OK && max != NULL)
        st = cv_reader_duration(&p->reader, max, "max_duration",
                                &g->max_duration_s);
    if (st == CV_OK && read_only != NULL)
        st = cv_reader_bool(&p->reader, read_only, "read_only", &g->read_only);
    if (st == CV_OK && record != NULL)
        st = cv_reader_word(&p->reader, record, "record", records, &word);
    g->record = (enum cv_policy_record)word;
    if (st == CV_OK)
        st = parse_limits(p, verbs, "verbs", &g->verbs);
    if (st == CV_OK)
        st = check_verbs(p, verbs);
    if (st == CV_OK)
        st = parse_limits(p, namespaces, "namespaces", &g->namespaces);
    if (st == CV_OK)
        st = parse_limits(p, resources, "resources", &g->resources);
    return st;
}

enum cv_status cv_parse_required(struct cv_parser *p, const cJSON *node,
                                 const char *what, bool *out)
{
    static const char *const words[] = {"required", NULL};
    unsigned word;
    enum cv_status st = cv_reader_word(&p->reader, node, what, words, &word);
    *out = st == CV_OK;
    return st;
}

/* What only permits have. */
static enum cv_status check_extras(struct cv_parser *p,
                                   const struct cv_rule *rule,
                                   const cJSON *const extras[], size_t n)
{
    for (size_t i = 0; rule->forbid && i < n; i++) {
        if (extras[i] == NULL)
            continue;
        enum cv_status st =
            cv_reader_refuse(&p->reader, extras[i], true,
                             "a forbid has no \"%s\"", extras[i]->string);
        cv_err_hint(p->reader.err, "put it into a permit");
        return st;
    }
    return CV_OK;
}

static enum cv_status parse_name(struct cv_parser *p, const cJSON *node,
                                 struct cv_rule *rule)
{
    const char *text;
    enum cv_status st =
        cv_reader_text(&p->reader, node, "name", CV_LIMIT_NAME, &text);
    if (st != CV_OK)
        return st;
    if (cv_name_check(text, NULL) != CV_OK) {
        st = cv_reader_refuse(&p->reader, node, false,
                              "this is not a rule's name");
        cv_err_hint(p->reader.err,
                    "letters, digits, \".\", \"_\", \"-\" and \"/\"");
        return st;
    }
    rule->name = cv_pool_copy(&p->policy->pool, text);
    (void)snprintf(p->reader.where, sizeof(p->reader.where),
                   "rule \"%s\": ", text);
    return rule->name == NULL ? cv_parse_no_memory(p) : CV_OK;
}

enum cv_status cv_parse_rule(struct cv_parser *p, const cJSON *node,
                             struct cv_rule *rule)
{
    static const char *const effects[] = {"permit", "forbid", NULL};
    const cJSON *name, *effect, *subjects, *actions, *entries, *when, *grant,
        *limit, *require, *glass;
    const struct cv_reader_field fields[] = {
        {"name", true, &name},         {"effect", true, &effect},
        {"subjects", true, &subjects}, {"actions", true, &actions},
        {"entries", false, &entries},  {"when", false, &when},
        {"grant", false, &grant},      {"limit", false, &limit},
        {"require", false, &require},  {"break_glass", false, &glass},
    };
    unsigned word = 0;
    p->reader.where[0] = '\0';
    rule->line = cv_reader_line(&p->reader, node);
    rule->when.zone = CV_TEXTS_NONE;
    rule->grant.max_duration_s = CV_POLICY_DEFAULT_DURATION_S;
    enum cv_status st = cv_reader_mapping(&p->reader, node, "a rule", fields,
                                          sizeof(fields) / sizeof(fields[0]));
    if (st == CV_OK)
        st = parse_name(p, name, rule);
    if (st == CV_OK)
        st = cv_reader_word(&p->reader, effect, "effect", effects, &word);
    rule->forbid = word == 1;
    if (st == CV_OK)
        st = check_extras(p, rule,
                          (const cJSON *[]){grant, limit, require, glass}, 4);
    if (st == CV_OK)
        st = cv_parse_subjects(p, subjects, "subjects", &rule->subjects);
    if (st == CV_OK)
        st = parse_actions(p, actions, rule);
    if (st == CV_OK && entries != NULL)
        st = parse_entries(p, entries, rule);
    if (st == CV_OK && when != NULL)
        st = cv_parse_when(p, when, rule);
    if (st == CV_OK && grant != NULL)
        st = parse_grant(p, grant, &rule->grant);
    if (st == CV_OK && limit != NULL)
        st = cv_parse_limit(p, limit, rule);
    if (st == CV_OK && require != NULL)
        st = cv_parse_require(p, require, rule);
    if (st == CV_OK && glass != NULL)
        st = parse_true(p, glass, "break_glass", &rule->break_glass);
    if (rule->break_glass)
        p->policy->uses |= CV_POLICY_USES_BREAK_GLASS;
    return st;
}
