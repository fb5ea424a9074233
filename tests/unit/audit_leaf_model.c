/* See audit_leaf_model.h. */
#include "audit_leaf_model.h"

#include "vault/audit/details.h"
#include "vault/base/clock.h"
#include "vault/base/json.h"
#include "vault/base/utf8.h"

#include <stdio.h>
#include <string.h>

#define WORD 64  /* longest of our own words */
#define HINT 256 /* longest hint kept */
#define USER 256
#define RULE 256
#define GIDS_MAX 1024

/* UTF-8 without C0 and DEL, at most `max` bytes. */
static bool is_text(const char *text, size_t max)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t len = strnlen(text, max + 1);

    if (len > max) {
        return false;
    }
    while (len > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, len, &point);

        if (n == 0 || point < 0x20 || point == 0x7f) {
            return false;
        }
        p += n;
        len -= n;
    }
    return true;
}

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, "0123456789abcdef") == len && text[len] == '\0';
}

/* A member with the form it must have. */
struct text {
    const char *value;
    size_t max; /* bytes; or, for hex, digits */
    bool hex;
    bool required;
};

static bool check_texts(const struct text *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = t[i].value;
        bool ok;

        if (value == NULL || value[0] == '\0') {
            ok = !t[i].required && (value == NULL || !t[i].hex);
        } else {
            ok = t[i].hex ? is_hex(value, t[i].max) : is_text(value, t[i].max);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool is_outcome(const char *word)
{
    static const char *const words[] = {"ok", "failed", "aborted", "unknown"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_phase(const struct cv_leaf *l)
{
    if (l->phase == CV_LEAF_DECISION && l->decision == CV_LEAF_NONE) {
        return false;
    }
    if (l->phase == CV_LEAF_OUTCOME &&
        (l->outcome == NULL || l->decision == CV_LEAF_DENY)) {
        return false;
    }
    if (l->outcome != NULL && !is_outcome(l->outcome)) {
        return false;
    }
    if (l->policy_version >= 0 && l->policy_sha256 == NULL) {
        return false;
    }
    if (l->n_gids > GIDS_MAX) {
        return false;
    }
    for (size_t i = 0; i < l->n_rules; i++) {
        if (l->rules[i] == NULL || !is_text(l->rules[i], RULE)) {
            return false;
        }
    }
    return true;
}

static bool check(const struct cv_leaf *l)
{
    const struct text texts[] = {
        {l->op, CV_LEAF_OP, true, true},
        {l->boot, WORD, false, false},
        {l->mode, WORD, false, true},
        {l->host, HINT, false, true},
        {l->version, WORD, false, false},
        {l->user, USER, false, false},
        {l->entry, CV_LIMIT_NAME, false, false},
        {l->entry_id, 32, true, false},
        {l->spki, 64, true, false},
        {l->context, CV_LIMIT_URL, false, false},
        {l->reason, CV_LIMIT_REASON, false, false},
        {l->ticket, CV_LIMIT_TICKET, false, false},
        {l->policy_sha256, 64, true, false},
    };

    return check_texts(texts, sizeof texts / sizeof texts[0]) &&
           check_phase(l) && l->action != NULL &&
           cv_details_is_action(l->action) &&
           (l->details == NULL ||
            cv_details_check(l->action, l->details, NULL) == CV_OK);
}

/* What cannot be told who it is from: shown for what it is worth. */
static bool add_hint(cJSON *object, const char *key, const char *text)
{
    char clean[HINT + 1];
    size_t len = 0;

    if (text == NULL || text[0] == '\0') {
        return true;
    }
    for (; text[len] != '\0' && len < HINT; len++) {
        uint8_t c = (uint8_t)text[len];

        clean[len] = c < 0x20 || c >= 0x7f ? '?' : text[len];
    }
    clean[len] = '\0';
    return cv_json_add_str(object, key, clean);
}

static bool add_broker(cJSON *leaf, const struct cv_leaf *l)
{
    cJSON *o = cJSON_CreateObject();
    bool ok = cv_json_add_str(o, "mode", l->mode) &&
              cv_json_add_str(o, "host", l->host) &&
              cv_json_add_str(o, "version",
                              l->version == NULL ? CV_VERSION : l->version);

    return cv_json_add_item(leaf, "broker", o) && ok;
}

static bool add_gid(cJSON *gids, gid_t gid)
{
    cJSON *item = cJSON_CreateNumber(gid);

    if (item == NULL || !cJSON_AddItemToArray(gids, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

static bool add_actor(cJSON *leaf, const struct cv_leaf *l)
{
    cJSON *o = cJSON_CreateObject(), *hints = cJSON_CreateObject();
    cJSON *gids = cJSON_CreateArray();
    char user[32];
    bool ok;

    (void)snprintf(user, sizeof user, "uid:%lu", (unsigned long)l->uid);
    ok = cv_json_add_int(o, "uid", l->uid) &&
         cv_json_add_str(o, "user", l->user == NULL ? user : l->user) &&
         (l->pid <= 0 || cv_json_add_int(o, "pid", l->pid)) &&
         add_hint(hints, "exe", l->exe) && add_hint(hints, "tty", l->tty) &&
         (l->loginuid < 0 || cv_json_add_int(hints, "loginuid", l->loginuid));
    ok = ok && (!l->has_gid || add_gid(gids, l->gid));
    for (size_t i = 0; i < l->n_gids && ok; i++) {
        ok = (l->has_gid && l->gids[i] == l->gid) || add_gid(gids, l->gids[i]);
    }
    ok = cv_json_add_item(o, "gids", gids) && ok;
    ok = cv_json_add_item(o, "hints", hints) && ok;
    return cv_json_add_item(leaf, "actor", o) && ok;
}

static bool add_policy(cJSON *leaf, const struct cv_leaf *l)
{
    cJSON *o;
    bool ok;

    if (l->policy_version < 0) {
        return true;
    }
    o = cJSON_CreateObject();
    ok = cv_json_add_int(o, "version", l->policy_version) &&
         cv_json_add_str(o, "sha256", l->policy_sha256);
    return cv_json_add_item(leaf, "policy", o) && ok;
}

static bool add_rules(cJSON *leaf, const struct cv_leaf *l)
{
    cJSON *rules = cJSON_CreateArray();
    bool ok = rules != NULL;

    for (size_t i = 0; i < l->n_rules && ok; i++) {
        cJSON *rule = cJSON_CreateString(l->rules[i]);

        ok = rule != NULL && cJSON_AddItemToArray(rules, rule);
        if (!ok) {
            cJSON_Delete(rule);
        }
    }
    return cv_json_add_item(leaf, "rules", rules) && ok;
}

static bool add_when(cJSON *leaf, const struct cv_leaf *l)
{
    static const char *const phases[] = {"decision", "outcome", "event"};
    char time[CV_CLOCK_TEXT_LEN];
    int64_t at = l->time_s < 0 ? cv_clock_now_s() : l->time_s;
    int64_t mono = l->mono_ms < 0 ? cv_clock_boot_ms() : l->mono_ms;

    return cv_json_add_str(leaf, "op", l->op) &&
           cv_json_add_str(leaf, "phase", phases[l->phase]) &&
           cv_json_add_str(leaf, "time", cv_clock_format(at, time)) &&
           cv_json_add_int(leaf, "mono_ms", mono) &&
           cv_json_add_str(leaf, "boot",
                           l->boot == NULL ? cv_clock_boot_id() : l->boot);
}

static bool add_what(cJSON *leaf, const struct cv_leaf *l)
{
    return cv_json_add_str(leaf, "action", l->action) &&
           cv_json_add_str(leaf, "entry", l->entry) &&
           cv_json_add_str(leaf, "entry_id", l->entry_id) &&
           cv_json_add_str(leaf, "spki", l->spki) &&
           cv_json_add_str(leaf, "context", l->context) &&
           cv_json_add_str(leaf, "reason", l->reason) &&
           cv_json_add_str(leaf, "ticket", l->ticket);
}

static bool add_verdict(cJSON *leaf, const struct cv_leaf *l)
{
    const char *decision = l->decision == CV_LEAF_PERMIT ? "permit"
                           : l->decision == CV_LEAF_DENY ? "deny"
                                                         : NULL;
    cJSON *details = l->details == NULL ? cJSON_CreateObject()
                                        : cJSON_Duplicate(l->details, true);

    return cv_json_add_item(leaf, "details", details) && add_policy(leaf, l) &&
           cv_json_add_str(leaf, "decision", decision) && add_rules(leaf, l) &&
           cv_json_add_str(leaf, "outcome", l->outcome) &&
           (l->status == CV_OK ||
            cv_json_add_str(leaf, "error", cv_err_code_name(l->status)));
}

cJSON *audit_leaf_model_build(const struct cv_leaf *leaf)
{
    cJSON *tree = check(leaf) ? cJSON_CreateObject() : NULL;

    if (tree != NULL && (!add_when(tree, leaf) || !add_broker(tree, leaf) ||
                         !add_actor(tree, leaf) || !add_what(tree, leaf) ||
                         !add_verdict(tree, leaf))) {
        cJSON_Delete(tree);
        tree = NULL;
    }
    return tree;
}
