/* Which module has a token, and calling it. */
#include "vault/broker/module_internal.h"
#include "vault/broker/module_process_internal.h"

#include "vault/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tokens whose module is remembered. */
#define REMEMBERED 64

/* How often what only reads is asked again: after a reload that did not help
 * comes a new process. */
#define AGAIN 2

struct remembered {
    char *uri; /* as it was asked for */
    struct cv_module_process *module;
};

struct cv_module_table {
    struct cv_module_process *all[CV_LIMIT_MODULES];
    size_t n;
    bool listed;
    struct remembered remembered[REMEMBERED];
    size_t next; /* of them to be written over */
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static void process_free(struct cv_module_process *p)
{
    if (p != NULL) {
        cv_module_process_stop(p);
        free(p->uri);
        free(p);
    }
}

void cv_module_stop_all(struct cv_broker *b)
{
    struct cv_module_table *t = b->modules;

    for (size_t i = 0; t != NULL && i < t->n; i++) {
        process_free(t->all[i]);
    }
    for (size_t i = 0; t != NULL && i < REMEMBERED; i++) {
        free(t->remembered[i].uri);
    }
    free(t);
    b->modules = NULL;
}

cJSON *cv_module_status(const struct cv_broker *b)
{
    const struct cv_module_table *t = b->modules;
    int64_t now = cv_clock_boot_ms();
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; t != NULL && i < t->n; i++) {
        const struct cv_module_process *p = t->all[i];
        cJSON *item = cJSON_CreateObject();

        if (!cv_json_add_str(item, "name", p->name) ||
            !cv_json_add_bool(item, "running", p->channel != NULL) ||
            (p->wait_until_ms > now &&
             !cv_json_add_int(item, "waits_s",
                              (p->wait_until_ms - now + 999) / 1000)) ||
            !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static enum cv_status add(struct cv_module_table *t,
                          struct cv_module_process **out, struct cv_err *err)
{
    if (t->n == CV_LIMIT_MODULES) {
        return cv_fail(err, CV_CONFIG, "more than %d PKCS#11 modules",
                       CV_LIMIT_MODULES);
    }
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return no_memory(err);
    }
    t->all[t->n++] = *out;
    return CV_OK;
}

static enum cv_status read_list(struct cv_module_table *t, const cJSON *list,
                                struct cv_err *err)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        const char *name = NULL, *path = NULL;
        const struct cv_json_field fields[] = {
            {"name", CV_JSON_STRING, true, &name, CV_MODULE_PROCESS_NAME},
            {"path", CV_JSON_STRING, true, &path, PATH_MAX - 1},
        };
        struct cv_module_process *p;
        enum cv_status s = cv_json_read(item, "Modules", fields, 2, false, err);

        if (s == CV_OK) {
            s = add(t, &p, err);
        }
        if (s != CV_OK) {
            return s;
        }
        (void)snprintf(p->name, sizeof(p->name), "%s", name);
        (void)snprintf(p->path, sizeof(p->path), "%s", path);
    }
    return CV_OK;
}

/* The process that was asked for the list may still load any of them. */
static enum cv_status list(struct cv_broker *b, struct cv_module_table *t,
                           struct cv_err *err)
{
    struct cv_module_process first = {.loaded = true};
    struct cv_message reply = {0};
    enum cv_status s = cv_module_process_start(b->spawner, &first, err);

    if (s == CV_OK) {
        s = cv_module_process_call(b, &first, "Modules", cJSON_CreateObject(),
                                   0, CV_LIMIT_MODULE_S, &reply, err);
    }
    if (s == CV_OK) {
        s = read_list(
            t, cJSON_GetObjectItemCaseSensitive(reply.tree, "modules"), err);
    }
    cv_message_free(&reply);
    if (s == CV_OK && t->n > 0 && first.channel != NULL) {
        t->all[0]->channel = first.channel;
        t->all[0]->child = first.child;
    } else {
        cv_module_process_stop(&first);
    }
    t->listed = s == CV_OK;
    return s;
}

static enum cv_status table_of(struct cv_broker *b,
                               struct cv_module_table **out, struct cv_err *err)
{
    if (b->modules == NULL) {
        b->modules = calloc(1, sizeof(*b->modules));
    }
    *out = b->modules;
    if (b->modules == NULL) {
        return no_memory(err);
    }
    return b->modules->listed ? CV_OK : list(b, b->modules, err);
}

static void remember(struct cv_module_table *t, const char *uri,
                     struct cv_module_process *p)
{
    struct remembered *r = &t->remembered[t->next++ % REMEMBERED];

    free(r->uri);
    r->uri = strdup(uri);
    r->module = r->uri != NULL ? p : NULL;
}

static struct cv_module_process *recall(const struct cv_module_table *t,
                                        const char *uri)
{
    for (size_t i = 0; i < REMEMBERED; i++) {
        if (t->remembered[i].uri != NULL &&
            strcmp(t->remembered[i].uri, uri) == 0) {
            return t->remembered[i].module;
        }
    }
    return NULL;
}

void cv_module_remember(struct cv_broker *b, const char *uri, const char *as)
{
    struct cv_module_process *p =
        b->modules != NULL ? recall(b->modules, as) : NULL;

    if (p != NULL && recall(b->modules, uri) == NULL) {
        remember(b->modules, uri, p);
    }
}

/* How long a method may take. */
static int timeout_of(const char *method)
{
    static const char *const slow[] = {
        "Login",    "Relogin",         "ChangePin", "Import",
        "Generate", "Accepts",         "Examine",   "UnwrapSlot",
        "Probe",    "PutCertificates", "LogKey",
    };

    for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++) {
        if (strcmp(slow[i], method) == 0) {
            return CV_LIMIT_MODULE_LONG_S;
        }
    }
    return CV_LIMIT_MODULE_S;
}

/* What changes nothing on the token may be asked twice. */
static bool is_repeatable(const char *method)
{
    static const char *const reads[] = {
        "Tokens",  "Mechanisms", "Objects", "Snapshot", "Sign",
        "FindKey", "Accepts",    "Debris",  "LogSign",
    };

    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        if (strcmp(reads[i], method) == 0) {
            return true;
        }
    }
    return false;
}

static enum cv_status call(struct cv_broker *b, struct cv_module_process *p,
                           const char *method, cJSON *parameters,
                           unsigned flags, struct cv_message *reply,
                           struct cv_err *err)
{
    enum cv_status s = cv_module_process_call(b, p, method, parameters, flags,
                                              timeout_of(method), reply, err);
    const char *word = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(reply->tree, "recover"));

    if (s != CV_OK && word != NULL && strcmp(word, "restart") == 0) {
        cv_module_process_replace(p, err);
    }
    return s;
}

/* Asks one module for its tokens; *tokens is on the heap. */
static enum cv_status ask_tokens(struct cv_broker *b,
                                 struct cv_module_process *p, const char *uri,
                                 cJSON **tokens, struct cv_err *err)
{
    struct cv_message reply = {0};
    enum cv_status s = CV_OK;

    *tokens = NULL;
    for (int i = 0; i < 2; i++) {
        cJSON *parameters = cJSON_CreateObject();
        int64_t ended_ms = p->ended_ms;

        cv_message_free(&reply);
        if (!cv_json_add_str(parameters, "uri", uri)) {
            cJSON_Delete(parameters);
            return no_memory(err);
        }
        s = call(b, p, "Tokens", parameters, 0, &reply, err);
        /* Only a process that broke down is worth another. */
        if (s == CV_OK || p->ended_ms == ended_ms || p->wait_until_ms != 0) {
            break;
        }
    }
    if (s == CV_OK) {
        *tokens = cJSON_DetachItemFromObjectCaseSensitive(reply.tree, "tokens");
        if (!cJSON_IsArray(*tokens)) {
            cJSON_Delete(*tokens);
            *tokens = NULL;
            s = cv_fail(err, CV_INTERNAL, "%s: no list of tokens", p->name);
        }
    }
    cv_message_free(&reply);
    return s;
}

static bool any_logged_in(const cJSON *tokens)
{
    const cJSON *token;

    cJSON_ArrayForEach(token, tokens)
    {
        if (cJSON_IsTrue(
                cJSON_GetObjectItemCaseSensitive(token, "logged_in"))) {
            return true;
        }
    }
    return false;
}

/* A token that this process showed before and does not show now: some modules
 * see what was put back only when they are started anew. So another process is
 * asked, and takes this one's place if it sees more; else this one stays, which
 * may be the only one that will see it. Never at the cost of another token's
 * login. */
static void look_anew(struct cv_broker *b, struct cv_module_process *p,
                      const char *uri, cJSON **tokens)
{
    struct cv_module_process *fresh;
    cJSON *others = NULL, *seen = NULL;

    if (p->channel == NULL || recall(b->modules, uri) != p ||
        ask_tokens(b, p, NULL, &others, NULL) != CV_OK ||
        any_logged_in(others)) {
        cJSON_Delete(others);
        return;
    }
    cJSON_Delete(others);
    fresh = calloc(1, sizeof(*fresh));
    if (fresh == NULL) {
        return;
    }
    memcpy(fresh->name, p->name, sizeof(fresh->name));
    fresh->uri = p->uri != NULL ? strdup(p->uri) : NULL;
    if (ask_tokens(b, fresh, uri, &seen, NULL) == CV_OK &&
        cJSON_GetArraySize(seen) > 0 && fresh->channel != NULL) {
        cv_module_process_stop(p);
        p->channel = fresh->channel;
        p->child = fresh->child;
        p->loaded = fresh->loaded;
        fresh->channel = NULL;
        cJSON_Delete(*tokens);
        *tokens = seen;
        seen = NULL;
    }
    cJSON_Delete(seen);
    process_free(fresh);
}

static enum cv_status tokens_of(struct cv_broker *b,
                                struct cv_module_process *p, const char *uri,
                                cJSON **tokens, struct cv_err *err)
{
    enum cv_status s = ask_tokens(b, p, uri, tokens, err);

    if (s == CV_OK && uri != NULL && cJSON_GetArraySize(*tokens) == 0) {
        look_anew(b, p, uri, tokens);
    }
    return s;
}

/* The module that the URI names is selected where it is loaded: by a process
 * that then turns out to be one of the table's, or one more. */
static enum cv_status select_by_uri(struct cv_broker *b,
                                    struct cv_module_table *t, const char *uri,
                                    struct cv_module_process **out,
                                    struct cv_err *err)
{
    struct cv_module_process *p;
    cJSON *tokens = NULL;
    enum cv_status s = add(t, &p, err);

    if (s != CV_OK) {
        return s;
    }
    p->uri = strdup(uri);
    s = p->uri != NULL ? tokens_of(b, p, uri, &tokens, err) : no_memory(err);
    cJSON_Delete(tokens);
    if (s != CV_OK) {
        process_free(t->all[--t->n]);
        return s;
    }
    *out = p;
    for (size_t i = 0; i + 1 < t->n; i++) {
        struct cv_module_process *known = t->all[i];

        /* By name too: one file may be configured twice, for two tokens. */
        if (strcmp(known->path, p->path) == 0 &&
            strcmp(known->name, p->name) == 0) {
            if (known->channel == NULL || !known->loaded) {
                cv_module_process_stop(known);
                known->channel = p->channel;
                known->child = p->child;
                known->loaded = p->loaded;
                p->channel = NULL;
            }
            process_free(t->all[--t->n]);
            *out = known;
            break;
        }
    }
    return CV_OK;
}

static enum cv_status not_found(const char *uri, const struct cv_err *failed,
                                struct cv_err *err)
{
    char shown[160], why[CV_ERR_STATE_LEN];
    enum cv_status s;

    /* Whether one that is not asked now shows it is known in a while. */
    if (failed->status == CV_BUSY) {
        if (err != NULL) {
            *err = *failed;
        }
        return CV_BUSY;
    }
    s = cv_fail(err, CV_NOT_FOUND, "no module shows a token that fits %s",
                cv_err_quote(shown, sizeof(shown), uri, strlen(uri)));

    if (failed->status != CV_OK) {
        cv_err_state(err, "not every module answers: %s",
                     cv_err_quote(why, sizeof(why) - 40, failed->text,
                                  strlen(failed->text)));
    }
    cv_err_hint(err, "certvault token list shows what there is");
    return s;
}

static enum cv_status find(struct cv_broker *b, const char *uri,
                           struct cv_module_process **out, struct cv_err *err)
{
    struct cv_module_table *t;
    struct cv_err failed;
    enum cv_status s = table_of(b, &t, err);

    *out = s == CV_OK ? recall(t, uri) : NULL;
    if (s != CV_OK || *out != NULL) {
        return s;
    }
    if (strstr(uri, "module-path=") != NULL ||
        strstr(uri, "module-name=") != NULL) {
        s = select_by_uri(b, t, uri, out, err);
        if (s == CV_OK) {
            remember(t, uri, *out);
        }
        return s;
    }
    cv_err_init(&failed);
    for (size_t i = 0; i < t->n; i++) {
        cJSON *tokens;
        bool fits;

        s = tokens_of(b, t->all[i], uri, &tokens, &failed);
        if (s == CV_USAGE) {
            *err = failed;
            return s;
        }
        fits = s == CV_OK && cJSON_GetArraySize(tokens) > 0;
        cJSON_Delete(tokens);
        if (fits) {
            *out = t->all[i];
            remember(t, uri, *out);
            return CV_OK;
        }
    }
    return not_found(uri, &failed, err);
}

enum cv_status cv_module_look(struct cv_broker *b, const char *uri,
                              cJSON **tokens, struct cv_err *err)
{
    struct cv_module_process *p;
    enum cv_status s = find(b, uri, &p, err);

    *tokens = NULL;
    return s == CV_OK ? tokens_of(b, p, uri, tokens, err) : s;
}

/* Was it the process, and can a new one do better? */
static bool is_worth_repeating(struct cv_broker *b, const char *uri,
                               const struct cv_module_process *p,
                               int64_t ended_ms, const struct cv_message *reply)
{
    const char *word = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(reply->tree, "recover"));
    struct cv_module_token token;
    struct cv_reply *none = NULL;

    if (p->channel == NULL) {
        return p->ended_ms != ended_ms && p->wait_until_ms == 0;
    }
    return word != NULL && strcmp(word, "relogin") == 0 &&
           cv_module_token(b, uri, &token, NULL, NULL) == CV_OK &&
           cv_module_need_login(b, uri, none, NULL) == CV_OK;
}

/* A key's own login had a wrong PIN: nothing is tried with it by itself. */
static void note_refused(struct cv_broker *b, const struct cv_message *reply)
{
    const char *token = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(reply->tree, "refused"));

    if (token != NULL) {
        cv_ledger_refused(cv_broker_logins(b), token);
    }
}

enum cv_status cv_module_call(struct cv_broker *b, const char *token_uri,
                              const char *method, cJSON *parameters,
                              unsigned flags, struct cv_message *reply,
                              struct cv_err *err)
{
    cJSON *again =
        is_repeatable(method) ? cJSON_Duplicate(parameters, true) : NULL;
    struct cv_module_process *p;
    struct cv_err local;
    struct cv_err *e = err != NULL ? err : &local;
    int64_t ended_ms;
    enum cv_status s;

    cv_err_init(e);
    *reply = (struct cv_message){0};
    s = find(b, token_uri, &p, e);
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        cJSON_Delete(again);
        return s;
    }
    ended_ms = p->ended_ms;
    s = call(b, p, method, parameters, flags, reply, e);
    for (int i = 0; i < AGAIN && s != CV_OK && again != NULL &&
                    is_worth_repeating(b, token_uri, p, ended_ms, reply);
         i++) {
        ended_ms = p->ended_ms;
        cv_message_free(reply);
        cv_err_init(e);
        s = call(b, p, method, cJSON_Duplicate(again, true), flags, reply, e);
    }
    cJSON_Delete(again);
    if (s != CV_OK) {
        note_refused(b, reply);
    }
    return s;
}

static enum cv_status gather(cJSON *items, cJSON *tokens, struct cv_err *err)
{
    while (tokens->child != NULL) {
        cJSON *item = cJSON_DetachItemViaPointer(tokens, tokens->child);

        if (!cJSON_AddItemToArray(items, item)) {
            cJSON_Delete(item);
            return no_memory(err);
        }
    }
    return CV_OK;
}

static enum cv_status tell_failed(cJSON *failed,
                                  const struct cv_module_process *p,
                                  const struct cv_err *why, struct cv_err *err)
{
    cJSON *item = cJSON_CreateObject();

    if (!cv_json_add_str(item, "name", p->name) ||
        !cv_json_add_str(item, "error", why->text) ||
        (why->retry_after_s >= 0 &&
         cJSON_AddNumberToObject(item, "retry_after", why->retry_after_s) ==
             NULL) ||
        !cJSON_AddItemToArray(failed, item)) {
        cJSON_Delete(item);
        return no_memory(err);
    }
    return CV_OK;
}

enum cv_status cv_module_tokens(struct cv_broker *b, const char *uri,
                                cJSON *items, cJSON *failed, struct cv_err *err)
{
    struct cv_module_process *only = NULL;
    struct cv_module_table *t;
    enum cv_status s = table_of(b, &t, err);

    if (s == CV_OK && uri != NULL && strstr(uri, "module-") != NULL) {
        s = find(b, uri, &only, err);
    }
    for (size_t i = 0; s == CV_OK && i < t->n; i++) {
        struct cv_err why;
        cJSON *tokens;

        if (only != NULL && t->all[i] != only) {
            continue;
        }
        cv_err_init(&why);
        s = tokens_of(b, t->all[i], uri, &tokens, &why);
        if (s == CV_OK) {
            s = gather(items, tokens, err);
            cJSON_Delete(tokens);
        } else if (s == CV_USAGE) {
            *err = why;
        } else {
            s = tell_failed(failed, t->all[i], &why, err);
        }
    }
    return s;
}

void cv_module_need_also(struct cv_broker *b, const char *token_uri,
                         struct cv_reply *reply)
{
    cJSON *failure = cv_reply_failure(reply), *item;
    cJSON *also = cJSON_GetObjectItemCaseSensitive(failure, "also");
    struct cv_module_token token;

    if (cv_module_token(b, token_uri, &token, NULL, NULL) != CV_OK ||
        token.logged_in || !token.login_required) {
        return;
    }
    cJSON_ArrayForEach(item, also)
    {
        if (strcmp(cv_entry_text(item, "token_uri"), token.uri) == 0) {
            return;
        }
    }
    if (also == NULL) {
        also = cJSON_AddArrayToObject(failure, "also");
    }
    item = cJSON_CreateObject();
    if (!cv_json_add_str(item, "token_uri", token.uri) ||
        !cv_json_add_str(item, "label", token.label) ||
        !cv_json_add_bool(item, "protected_path", token.protected_path) ||
        !cJSON_AddItemToArray(also, item)) {
        cJSON_Delete(item);
    }
}

enum cv_status cv_module_need_entry(struct cv_broker *b, const char *token_uri,
                                    struct cv_reply *reply, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status s;

    cv_err_init(&why);
    s = cv_module_need_login(b, token_uri, reply, &why);
    if (s == CV_NOT_FOUND) {
        s = CV_UNAVAILABLE;
        why.status = s;
        cv_err_state(&why, "no other token is used in its place");
        cv_err_hint(&why, "put it back; where another has the same key: rm "
                          "--keep-key, then adopt");
    }
    if (s != CV_OK && err != NULL) {
        *err = why;
    }
    return s;
}
