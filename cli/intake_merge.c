#include "cli/intake_merge.h"

#include "cli/intake_file.h"
#include "cli/intake_offline.h"
#include "cli/merge_text.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/yaml/yaml.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MARK "certvault"
#define KEY_MAX 700
#define EDITS 48
#define LOCK_MS 30000

enum { CLUSTER, USER, CONTEXT, N_KINDS };

static const struct {
    const char *list;
    const char *key;
} kinds[N_KINDS] = {
    {"clusters", "cluster"}, {"users", "user"}, {"contexts", "context"}};

struct merge {
    const char *name; /* of the file */
    const char *vault;
    const char *entry;
    const char *context;
    const cJSON *document; /* NULL: what is ours is taken out */
    bool replace;
    bool dry_run;

    struct cv_arena *arena;
    struct cv_intake_file file;
    bool absent;
    cJSON *tree;
    const char *current; /* current-context; NULL: none */
    struct cv_merge_edit edits[EDITS];
    size_t n;
    const char *names[N_KINDS]; /* how ours are called in the file */
    const char *seen_vault;     /* of what is to be taken out */
    cJSON *notes;               /* the reply's */
    struct cv_arena *replys;    /* where that lives */
    struct cv_err *err;
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const char *text_of(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* "before NAME behind" */
static void note(struct merge *m, const char *before, const char *name,
                 const char *behind)
{
    struct cv_arena *used = cv_json_use(m->replys);
    char shown[160], line[400];
    cJSON *item;

    (void)snprintf(line, sizeof(line), "%s %s %s", before,
                   cv_err_quote(shown, sizeof(shown), name, strlen(name)),
                   behind);
    item = cJSON_CreateString(line);
    if (!cJSON_AddItemToArray(m->notes, item)) {
        cJSON_Delete(item);
    }
    (void)cv_json_use(used);
}

/* ---- what is there ---- */

static const cJSON *list_of(const struct merge *m, int kind)
{
    return cJSON_GetObjectItemCaseSensitive(m->tree, kinds[kind].list);
}

/* Of what vault, entry and context an item is; NULL: not ours. */
static const cJSON *mark_of(const cJSON *item, int kind)
{
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(item, kinds[kind].key);
    const cJSON *one;

    cJSON_ArrayForEach(one,
                       cJSON_GetObjectItemCaseSensitive(body, "extensions"))
    {
        if (same_text(text_of(one, "name"), MARK)) {
            return cJSON_GetObjectItemCaseSensitive(one, "extension");
        }
    }
    return NULL;
}

static enum cv_status check_list(struct merge *m, int kind)
{
    const cJSON *list = list_of(m, kind), *item;
    size_t n = 0;

    if (list == NULL || cJSON_IsNull(list)) {
        return CV_OK;
    }
    if (!cJSON_IsArray(list)) {
        return cv_fail(m->err, CV_INVALID, "%s is no list", kinds[kind].list);
    }
    cJSON_ArrayForEach(item, list)
    {
        if (++n > CV_LIMIT_KUBECONFIG_ITEMS) {
            return cv_fail(m->err, CV_INVALID, "%s has more than %d items",
                           kinds[kind].list, CV_LIMIT_KUBECONFIG_ITEMS);
        }
        if (text_of(item, "name") == NULL) {
            return cv_fail(m->err, CV_INVALID, "%s[%zu] has no name",
                           kinds[kind].list, n - 1);
        }
    }
    return CV_OK;
}

static enum cv_status check_tree(struct merge *m)
{
    const char *kind, *version;
    enum cv_status s = CV_OK;

    if (cJSON_IsNull(m->tree)) {
        m->tree = cJSON_CreateObject();
    }
    if (!cJSON_IsObject(m->tree)) {
        return cv_fail(m->err, CV_INVALID, "it is no kubeconfig");
    }
    kind = text_of(m->tree, "kind");
    version = text_of(m->tree, "apiVersion");
    if ((kind != NULL && strcmp(kind, "Config") != 0) ||
        (version != NULL && strcmp(version, "v1") != 0)) {
        return cv_fail(m->err, CV_INVALID, "it is no kubeconfig");
    }
    for (int i = 0; i < N_KINDS && s == CV_OK; i++) {
        s = check_list(m, i);
    }
    m->current = text_of(m->tree, "current-context");
    if (m->current != NULL && m->current[0] == '\0') {
        m->current = NULL;
    }
    return s;
}

/* Nothing but blanks and comments? */
static bool is_blank(struct cv_bytes text)
{
    bool comment = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        comment = (comment || c == '#') && c != '\n';
        if (!comment && c != ' ' && c != '\n' && c != '\r') {
            return false;
        }
    }
    return true;
}

/* Two of us must not read the same and then write over each other. The lock is
 * the folder's, and goes with this process. */
static enum cv_status lock_folder(struct merge *m)
{
    return cv_file_lock(CV_INTAKE_OFFLINE_INPUT, LOCK_MS,
                        "the kubeconfig's folder", m->err);
}

static enum cv_status read_it(struct merge *m)
{
    enum cv_status s = cv_intake_file_read(CV_INTAKE_OFFLINE_INPUT, m->name,
                                           true, m->arena, &m->file, m->err);

    if (s == CV_NOT_FOUND && m->document != NULL) {
        m->absent = true;
        cv_err_init(m->err);
        m->tree = cJSON_CreateObject();
        return CV_OK;
    }
    if (s == CV_OK && is_blank(cv_buf_bytes(&m->file.text))) {
        m->tree = cJSON_CreateObject();
    } else if (s == CV_OK) {
        s = cv_yaml_parse(m->arena, cv_buf_bytes(&m->file.text), &m->tree, NULL,
                          NULL, m->err);
    }
    return s == CV_OK ? check_tree(m) : s;
}

/* ---- putting in ---- */

static bool set_member(cJSON *object, const char *key, const cJSON *value)
{
    cJSON *copy = cJSON_Duplicate(value, true);
    bool ok;

    if (cJSON_GetObjectItemCaseSensitive(object, key) != NULL) {
        ok = cJSON_ReplaceItemInObjectCaseSensitive(object, key, copy) != 0;
    } else {
        ok = cJSON_AddItemToObject(object, key, copy) != 0;
    }
    return copy != NULL && ok;
}

/* Our mark in place of the one that is there; others' extensions stay. */
static bool set_extensions(cJSON *body, const cJSON *ours)
{
    cJSON *list = cJSON_GetObjectItemCaseSensitive(body, "extensions"), *one;

    if (!cJSON_IsArray(list)) {
        return set_member(body, "extensions", ours);
    }
    cJSON_ArrayForEach(one, list)
    {
        if (same_text(text_of(one, "name"), MARK)) {
            return set_member(
                one, "extension",
                cJSON_GetObjectItemCaseSensitive(ours->child, "extension"));
        }
    }
    return cJSON_AddItemToArray(list, cJSON_Duplicate(ours->child, true)) != 0;
}

/* What we say goes; what the user added (a namespace, variables of the plugin)
 * stays. */
static bool update_body(cJSON *body, const cJSON *ours)
{
    const cJSON *member, *inner;
    bool ok = true;

    cJSON_ArrayForEach(member, ours)
    {
        cJSON *there = cJSON_GetObjectItemCaseSensitive(body, member->string);

        if (strcmp(member->string, "extensions") == 0) {
            ok = set_extensions(body, member) && ok;
        } else if (strcmp(member->string, "namespace") == 0 && there != NULL) {
            continue;
        } else if (cJSON_IsObject(member) && cJSON_IsObject(there)) {
            cJSON_ArrayForEach(inner, member)
            {
                ok = set_member(there, inner->string, inner) && ok;
            }
        } else {
            ok = set_member(body, member->string, member) && ok;
        }
    }
    return ok;
}

static enum cv_status add_edit(struct merge *m, int kind, ssize_t index,
                               const cJSON *item)
{
    if (m->n == EDITS) {
        return cv_fail(m->err, CV_INVALID, "too much of it is ours");
    }
    m->edits[m->n++] = (struct cv_merge_edit){kinds[kind].list, index, item};
    return CV_OK;
}

/* Ours, by its mark; else what has its name. */
static const cJSON *find(const struct merge *m, int kind, const char *name,
                         ssize_t *index, bool *ours)
{
    const cJSON *item, *named = NULL;
    ssize_t i = 0, at = -1;

    *ours = false;
    cJSON_ArrayForEach(item, list_of(m, kind))
    {
        const cJSON *mark = mark_of(item, kind);

        if (mark != NULL && same_text(text_of(mark, "vault"), m->vault) &&
            same_text(text_of(mark, "entry"), m->entry) &&
            same_text(text_of(mark, "context"), m->context)) {
            *ours = true;
            *index = i;
            return item;
        }
        if (named == NULL && same_text(text_of(item, "name"), name)) {
            named = item;
            at = i;
        }
        i++;
    }
    *index = at;
    return named;
}

static enum cv_status taken(struct merge *m, int kind, const char *name)
{
    char shown[160];
    enum cv_status s =
        cv_fail(m->err, CV_EXISTS, "the %s %s is there and is not ours",
                kinds[kind].key,
                cv_err_quote(shown, sizeof(shown), name, strlen(name)));

    cv_err_state(m->err, "the file is as it was");
    cv_err_hint(m->err, "rename one of them (certvault rename, kubectl config "
                        "rename-context); --yes replaces it");
    return s;
}

static enum cv_status put_one(struct merge *m, int kind)
{
    const cJSON *wanted =
        cJSON_GetObjectItemCaseSensitive(m->document, kinds[kind].list);
    const cJSON *item = wanted != NULL ? wanted->child : NULL, *there;
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(item, kinds[kind].key);
    const char *name = text_of(item, "name");
    cJSON *made;
    ssize_t index;
    bool ours;

    if (name == NULL || !cJSON_IsObject(body)) {
        return cv_fail(m->err, CV_USAGE, "the document has no %s",
                       kinds[kind].key);
    }
    there = find(m, kind, name, &index, &ours);
    if (there != NULL && !ours && !m->replace) {
        return taken(m, kind, name);
    }
    made = cJSON_Duplicate(ours ? there : item, true);
    m->names[kind] = text_of(made, "name");
    if (made == NULL || (ours && !update_body(cJSON_GetObjectItemCaseSensitive(
                                                  made, kinds[kind].key),
                                              body))) {
        return no_memory(m->err);
    }
    if (kind == CONTEXT) {
        cJSON *refers = cJSON_GetObjectItemCaseSensitive(made, "context");

        if (!set_member(refers, "cluster",
                        cJSON_CreateString(m->names[CLUSTER])) ||
            !set_member(refers, "user", cJSON_CreateString(m->names[USER]))) {
            return no_memory(m->err);
        }
    }
    if (there != NULL && cJSON_Compare(there, made, true)) {
        return CV_OK;
    }
    return add_edit(m, kind, there != NULL ? index : -1, made);
}

/* ---- taking out ---- */

static enum cv_status take_one(struct merge *m, int kind, const cJSON *item,
                               ssize_t index)
{
    const cJSON *mark = mark_of(item, kind);
    const char *vault = text_of(mark, "vault");

    if (mark == NULL || !same_text(text_of(mark, "entry"), m->entry) ||
        (m->context != NULL &&
         !same_text(text_of(mark, "context"), m->context)) ||
        (m->vault != NULL && !same_text(vault, m->vault))) {
        return CV_OK;
    }
    if (m->seen_vault != NULL && !same_text(vault, m->seen_vault)) {
        return cv_fail(m->err, CV_INVALID,
                       "it has entries of that name from several vaults");
    }
    m->seen_vault = vault != NULL ? vault : "";
    if (kind == CONTEXT && same_text(text_of(item, "name"), m->current)) {
        note(m, "the current context is still", m->current,
             "which is gone: kubectl config use-context NAME");
    }
    return add_edit(m, kind, index, NULL);
}

/* Does an edit take this item out? */
static bool goes(const struct merge *m, int kind, const char *name)
{
    const cJSON *item;
    ssize_t index = 0;

    cJSON_ArrayForEach(item, list_of(m, kind))
    {
        for (size_t i = 0; i < m->n; i++) {
            if (strcmp(m->edits[i].list, kinds[kind].list) == 0 &&
                m->edits[i].index == index &&
                same_text(text_of(item, "name"), name)) {
                return true;
            }
        }
        index++;
    }
    return false;
}

/* Contexts of the user's own that lose what they name. */
static void note_orphans(struct merge *m)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list_of(m, CONTEXT))
    {
        const cJSON *c = cJSON_GetObjectItemCaseSensitive(item, "context");
        const char *name = text_of(item, "name");

        if (!goes(m, CONTEXT, name) &&
            (goes(m, CLUSTER, text_of(c, "cluster")) ||
             goes(m, USER, text_of(c, "user")))) {
            note(m, "the context", name, "is not ours and names what is gone");
        }
    }
}

static enum cv_status take_out(struct merge *m)
{
    enum cv_status s = CV_OK;

    for (int kind = 0; kind < N_KINDS; kind++) {
        const cJSON *item;
        ssize_t index = 0;

        cJSON_ArrayForEach(item, list_of(m, kind))
        {
            s = take_one(m, kind, item, index++);
            if (s != CV_OK) {
                return s;
            }
        }
    }
    if (m->n == 0) {
        s = cv_fail(m->err, CV_NOT_FOUND, "nothing in it is of %s", m->entry);
        cv_err_hint(m->err, "kubectl config get-contexts shows what is there");
        return s;
    }
    note_orphans(m);
    return CV_OK;
}

/* ---- the method ---- */

static enum cv_status read_request(const cJSON *parameters, struct merge *m)
{
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &m->name, 0},
        {"vault", CV_JSON_STRING, false, &m->vault, 64},
        {"entry", CV_JSON_STRING, true, &m->entry, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, false, &m->context, KEY_MAX},
        {"document", CV_JSON_OBJECT, false, &m->document, 0},
        {"replace", CV_JSON_BOOL, false, &m->replace, 0},
        {"dry_run", CV_JSON_BOOL, false, &m->dry_run, 0},
    };

    return cv_json_read(parameters, "Merge", fields, COUNT(fields), true,
                        m->err);
}

static enum cv_status change(struct merge *m)
{
    enum cv_status s = CV_OK;

    if (m->document == NULL) {
        return take_out(m);
    }
    for (int kind = 0; kind < N_KINDS && s == CV_OK; kind++) {
        s = put_one(m, kind);
    }
    return s;
}

static enum cv_status write_it(struct merge *m, char backup[300])
{
    struct cv_buf text;
    enum cv_status s;

    backup[0] = '\0';
    cv_buf_init(&text, m->arena, CV_LIMIT_KUBECONFIG * 2);
    s = cv_merge_text(m->arena, cv_buf_bytes(&m->file.text), m->tree, m->edits,
                      m->n, &text, m->err);
    if (s != CV_OK || m->dry_run) {
        return s;
    }
    m->file.name = m->name;
    m->file.folder = CV_INTAKE_OFFLINE_INPUT;
    return cv_intake_file_update(&m->file, m->absent, cv_buf_bytes(&text),
                                 cv_clock_now_s(), backup, 300, m->err);
}

static enum cv_status run(struct merge *m, char backup[300])
{
    enum cv_status s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &m->arena, m->err);

    if (s != CV_OK) {
        return s;
    }
    /* Other users' secrets are in the file. */
    m->replys = cv_json_use(m->arena);
    s = lock_folder(m);
    if (s == CV_OK) {
        s = read_it(m);
    }
    if (s == CV_OK) {
        s = change(m);
    }
    (void)cv_json_use(m->replys);
    return s == CV_OK && m->n > 0 ? write_it(m, backup) : s;
}

enum cv_status cv_intake_merge(void *context, const cJSON *parameters,
                               struct cv_reply *reply, struct cv_err *err)
{
    cJSON *out = cv_reply_parameters(reply);
    struct merge m = {.err = err};
    char backup[300] = "";
    enum cv_status s = read_request(parameters, &m);

    (void)context;
    m.file.fd = -1;
    m.notes = cJSON_AddArrayToObject(out, "notes");
    if (s == CV_OK) {
        s = m.notes != NULL ? run(&m, backup) : no_memory(err);
    }
    if (s == CV_OK &&
        (!cv_json_add_bool(out, "changed", m.n > 0) ||
         !cv_json_add_str(out, "backup", backup[0] ? backup : NULL) ||
         !cv_json_add_str(out, "context", m.names[CONTEXT]) ||
         !cv_json_add_str(out, "current_context", m.current))) {
        s = no_memory(err);
    }
    cv_intake_file_close(&m.file);
    cv_arena_free(m.arena);
    return s;
}
