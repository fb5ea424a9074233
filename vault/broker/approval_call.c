#include "vault/broker/approval_call.h"

#include "vault/broker/held_internal.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define CALL_MAX CV_KIB(12)
#define MEMBERS 18
#define DIGEST_SHOWN 16

/* One member: where it is in the parameters ("cloud.region": inside of
 * `cloud`), and the words before its value. */
struct member {
    const char *path;
    const char *words;
};

struct call {
    const char *method;
    const char *does; /* in words; NULL: the action says it */
    bool plain;       /* without any of its members it is the action alone */
    bool identity;    /* also which key, and its certificate and clusters */
    struct member members[MEMBERS];
};

/* clang-format off */
static const struct call calls[] = {
    {"Rename", "rename", false, false, {{"new_name", "to"}}},
    {"Label", "label", false, false, {{"set", "set"}, {"remove", "remove"}}},
    {"Pin", "pin the server", false, false, {{"spki", "to SPKI"}}},
    {"ServerKey", "ask the server for its key", false, false, {{NULL, NULL}}},
    {"Remove", NULL, true, false,
     {{"keep_key", "keep the key"}, {"destroy_key", "destroy the key"}}},
    {"Import", NULL, false, true,
     {{"labels", "labels"}, {"exportable", "exportable"}, {"to", "to"}}},
    {"Check", "open the key", false, false, {{NULL, NULL}}},
    {"KeyFind", "find a key", false, false, {{"uri", "at"}}},
    {"Adopt", "adopt", false, true,
     {{"uri", "the key at"}, {"labels", "labels"}}},
    {"Generate", "generate", false, false,
     {{"alg", "a key"}, {"token", "on"}, {"labels", "labels"}}},
    {"Install", "install a certificate", false, true, {{NULL, NULL}}},
    {"Fetch", NULL, false, false,
     {{"cluster", "cluster"}, {"cluster_id", "cluster id"},
      {"cloud.region", "region"}, {"cloud.project_id", "project"},
      {"cloud.endpoint", "endpoint"}, {"cloud.iam_endpoint", "IAM endpoint"},
      {"cloud.api", "api"}, {"cloud.proxy", "through the proxy"},
      {"cloud.ca_pem", "CA SHA-256"}, {"cloud.regions", "regions SHA-256"},
      {"duration", "days"}, {"expire_at", "until"},
      {"name", "name"}, {"labels", "labels"}, {"exportable", "exportable"},
      {"to", "to"}}},
    {"PolicyApply", NULL, false, false, {{"text", "SHA-256"}}},
    {"Approve", "approve", false, false, {{"id", "request"}}},
    {"Deny", "deny", false, false, {{"id", "request"}}},
    /* admin */
    {"Lock", "lock", false, false, {{NULL, NULL}}},
    {"LockAll", "lock --all", false, false, {{NULL, NULL}}},
    {"UnlockAll", "unlock --all", false, false, {{NULL, NULL}}},
    {"Grants", "list grants", false, false, {{"all", "of all"}}},
    {"GrantsRevoke", "revoke grants", false, false,
     {{"ids", ""}, {"user", "of"}}},
    {"SlotList", "list slots", false, false, {{NULL, NULL}}},
    {"SlotAdd", "add a slot", false, false,
     {{"key.kind", ""}, {"key.path", ""}, {"key.name", ""}, {"key.uri", ""}}},
    {"SlotRemove", "remove the slot", false, false, {{"id", ""}}},
    {"SlotChange", "change the slot", false, false,
     {{"id", ""}, {"key.kind", "to"}, {"key.path", ""}, {"key.name", ""},
      {"key.uri", ""}}},
    {"SlotRecovery", "make a recovery key", false, false, {{NULL, NULL}}},
    {"TokenList", "list tokens", false, false, {{"uri", ""}}},
    {"TokenObjects", "list the objects of", false, false, {{"uri", ""}}},
    {"TokenProbe", "probe", false, false,
     {{"uri", ""}, {"destructive", "with a destructive test"}}},
    {"TokenLogin", "log in to", false, false, {{"token_uri", ""}}},
    {"TokenChangePin", "change the PIN of", false, false, {{"token_uri", ""}}},
    {"TokenLost", "give up", false, false, {{"uri", ""}}},
    {"Backup", "back up the vault", false, false, {{NULL, NULL}}},
    {"Destroy", "destroy the vault", false, false,
     {{"keep_keys", "but the keys on tokens"},
      {"with_record", "with its record"}}},
    {"AuditAnchor", "anchor the checkpoint", false, false, {{NULL, NULL}}},
    {"AuditKeyRotate", "give the log another key", false, false,
     {{"to", "at"}}},
    {"AuditRebuild", "rebuild what is derived from the record", false, false,
     {{NULL, NULL}}},
    {"AuditArchive", "archive the record", false, false,
     {{"before", "before"}}},
    {"AuditSend", "send the record to its sinks", false, false, {{NULL, NULL}}},
};
/* clang-format on */

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const struct call *call_of(const char *method)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (method != NULL && strcmp(calls[i].method, method) == 0) {
            return &calls[i];
        }
    }
    return NULL;
}

static bool is_own(enum cv_action action)
{
    switch (action) {
    case CV_ACTION_FETCH:
    case CV_ACTION_FETCH_SERVICE:
    case CV_ACTION_IMPORT:
    case CV_ACTION_EDIT:
    case CV_ACTION_APPROVE:
    case CV_ACTION_POLICY_APPLY:
    case CV_ACTION_ADMIN:
        return true;
    default:
        return false;
    }
}

/* Of what is not asked for by the command itself. */
static bool is_of_entry(enum cv_action action)
{
    return action != CV_ACTION_LIST && action != CV_ACTION_AUDIT_READ &&
           action != CV_ACTION_POLICY_READ;
}

enum cv_status cv_approval_call_check(enum cv_action action, bool named,
                                      struct cv_err *err)
{
    const char *word = cv_action_name(action);
    enum cv_status s;

    if (action == CV_ACTION_NONE) {
        s = cv_fail(err, CV_USAGE, "there is no such action");
        cv_err_hint(err, "certvault(1) lists the actions");
    } else if (is_own(action)) {
        s = cv_fail(err, CV_USAGE, "%s is asked for by the command itself",
                    word);
        cv_err_hint(err, "run it: what it lacks is filed, and it says so");
    } else if (is_of_entry(action) && !named) {
        s = cv_fail(err, CV_USAGE, "%s is asked for of an entry", word);
        cv_err_hint(err, "certvault request %s NAME", word);
    } else if (!is_of_entry(action) && named) {
        s = cv_fail(err, CV_USAGE, "%s is not asked for of one entry", word);
        cv_err_hint(err, "certvault request %s", word);
    } else {
        s = CV_OK;
    }
    return s;
}

/* "cloud.region" in the parameters; NULL: it is not there. */
static const cJSON *at(const cJSON *from, const char *path)
{
    const char *dot = strchr(path, '.');
    char outer[32];

    if (dot == NULL) {
        return cJSON_GetObjectItemCaseSensitive(from, path);
    }
    (void)snprintf(outer, sizeof(outer), "%.*s", (int)(dot - path), path);
    return cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(from, outer), dot + 1);
}

/* Is it as if it had not been said? */
static bool is_nothing(const cJSON *item)
{
    return item == NULL || cJSON_IsNull(item) || cJSON_IsFalse(item) ||
           ((cJSON_IsArray(item) || cJSON_IsObject(item)) &&
            item->child == NULL);
}

static void digest(struct cv_bytes text, char out[65])
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    (void)crypto_hash_sha256(hash, text.data, text.len);
    (void)sodium_bin2hex(out, 65, hash, sizeof(hash));
}

/* Whole files, which nobody looks through, go by their digest; a policy as
 * everywhere. */
static const char *digest_key(const char *path)
{
    if (strcmp(path, "text") == 0) {
        return "sha256";
    }
    return strcmp(path, "cloud.ca_pem") == 0 ||
                   strcmp(path, "cloud.regions") == 0
               ? path
               : NULL;
}

static bool add_text_digest(cJSON *to, const char *key, const cJSON *item)
{
    const char *text = cJSON_IsString(item) ? item->valuestring : "";
    char hex[65];

    digest((struct cv_bytes){(const uint8_t *)text, strlen(text)}, hex);
    return cv_json_add_str(to, key, hex);
}

/* Others see it, and it is kept: a URI with more in it than what names a token,
 * a key and a module stands there as its hash. What it holds might be a PIN. */
static bool add_item(cJSON *to, const char *path, const cJSON *item)
{
    const char *uri = cJSON_GetStringValue(item);
    char text[sizeof("sha256:") + 64] = "sha256:";

    if (uri != NULL && strncmp(uri, "token:", 6) == 0) {
        uri += 6;
    }
    if (uri == NULL || strncasecmp(uri, "pkcs11:", 7) != 0 ||
        cv_held_uri_is_shown(uri)) {
        return cv_json_add_item(to, path, cJSON_Duplicate(item, true));
    }
    digest((struct cv_bytes){(const uint8_t *)uri, strlen(uri)}, text + 7);
    return cv_json_add_str(to, path, text);
}

static bool add_members(cJSON *to, const struct call *call,
                        const cJSON *parameters)
{
    bool ok = true;

    for (size_t i = 0; ok && i < MEMBERS && call->members[i].path != NULL;
         i++) {
        const char *path = call->members[i].path;
        const cJSON *item = at(parameters, path);
        const char *key;

        if (is_nothing(item)) {
            continue;
        }
        key = digest_key(path);
        ok = key != NULL ? add_text_digest(to, key, item)
                         : add_item(to, path, item);
    }
    return ok;
}

/* Which key, and what its certificate and clusters are. */
static enum cv_status add_identity(cJSON *to, const cJSON *doc,
                                   struct cv_err *err)
{
    static const char *const keys[] = {"certificate", "contexts", "ca_set"};
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(doc, "key");
    const char *spki = cv_entry_text(key, "spki_sha256");
    cJSON *tree = cJSON_CreateObject();
    struct cv_buf text;
    char hex[65];
    bool ok = tree != NULL;
    enum cv_status s;

    for (size_t i = 0; ok && i < sizeof(keys) / sizeof(keys[0]); i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(doc, keys[i]);

        ok = item == NULL ||
             cv_json_add_item(tree, keys[i], cJSON_Duplicate(item, true));
    }
    cv_buf_init(&text, NULL, CV_STORE_DOC_MAX);
    cv_json_write(tree, CV_JSON_CANONICAL, &text);
    s = ok ? cv_buf_status(&text, "an identity", err) : no_memory(err);
    if (s == CV_OK) {
        digest(cv_buf_bytes(&text), hex);
        s = cv_json_add_str(to, "spki", spki) &&
                    cv_json_add_str(to, "identity", hex)
                ? CV_OK
                : no_memory(err);
    }
    cJSON_Delete(tree);
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status check_size(const cJSON *call, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CALL_MAX);
    cv_json_write(call, CV_JSON_CANONICAL, &text);
    s = cv_buf_status(&text, "a call that others are to approve", err);
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status fill(const struct cv_ask *ask, const struct call *call,
                           cJSON *to, struct cv_err *err)
{
    enum cv_status s =
        cv_json_add_str(to, "method", ask->method) ? CV_OK : no_memory(err);

    if (s == CV_OK && call != NULL && !add_members(to, call, ask->parameters)) {
        s = no_memory(err);
    }
    if (s == CV_OK && call != NULL && call->identity && ask->doc != NULL) {
        s = add_identity(to, ask->doc, err);
    }
    return s == CV_OK ? check_size(to, err) : s;
}

enum cv_status cv_approval_call(const struct cv_ask *ask, cJSON **out,
                                struct cv_err *err)
{
    const struct call *call = call_of(ask->method);
    struct cv_arena *before;
    enum cv_status s;

    *out = NULL;
    if (call == NULL &&
        (ask->method == NULL || ask->action != CV_ACTION_ADMIN)) {
        return CV_OK;
    }
    before = cv_json_use(NULL);
    *out = cJSON_CreateObject();
    s = fill(ask, call, *out, err);
    if (s != CV_OK ||
        (call != NULL && call->plain && cJSON_GetArraySize(*out) == 1)) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    (void)cv_json_use(before);
    return s;
}

/* Words */

static void add_word(struct cv_buf *out, const char *word)
{
    if (word != NULL && word[0] != '\0') {
        cv_buf_add_str(out, out->len > 0 ? " " : "");
        cv_buf_add_str(out, word);
    }
}

static void add_value(struct cv_buf *out, const cJSON *item)
{
    char number[32];

    if (cJSON_IsString(item)) {
        cv_buf_add_str(out, item->valuestring);
    } else if (cJSON_IsNumber(item)) {
        (void)snprintf(number, sizeof(number), "%.0f", item->valuedouble);
        cv_buf_add_str(out, number);
    }
}

/* A text, a number, "a=b c=d" of an object, "a b" of a list. */
static void add_values(struct cv_buf *out, const cJSON *item)
{
    const cJSON *one;

    if (!cJSON_IsObject(item) && !cJSON_IsArray(item)) {
        cv_buf_add_str(out, cJSON_IsBool(item) ? "" : " ");
        add_value(out, item);
        return;
    }
    cJSON_ArrayForEach(one, item)
    {
        cv_buf_add_str(out, " ");
        if (one->string != NULL) {
            cv_buf_add_str(out, one->string);
            cv_buf_add_str(out, "=");
        }
        add_value(out, one);
    }
}

/* As much of a digest as a person compares; all of it is in the JSON. */
static void add_digest(struct cv_buf *out, const char *word, const cJSON *call,
                       const char *key)
{
    const char *hex = cv_entry_text(call, key);
    char shown[DIGEST_SHOWN + 4];

    if (hex[0] != '\0') {
        add_word(out, word);
        (void)snprintf(shown, sizeof(shown), "%.*s...", DIGEST_SHOWN, hex);
        add_word(out, shown);
    }
}

void cv_approval_call_words(const cJSON *call, struct cv_buf *out)
{
    const char *method = cv_entry_text(call, "method");
    const struct call *known = call_of(method);

    if (known == NULL) {
        add_word(out, method);
        return;
    }
    add_word(out, known->does);
    for (size_t i = 0; i < MEMBERS && known->members[i].path != NULL; i++) {
        const struct member *m = &known->members[i];
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(call, m->path);

        if (item != NULL) {
            add_word(out, m->words);
            add_values(out, item);
        }
    }
    add_digest(out, "SHA-256", call, "sha256");
    if (known->identity) {
        add_digest(out, "SPKI", call, "spki");
    }
}
