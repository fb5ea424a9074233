#include "vault/audit/details.h"

#include "vault/base/utf8.h"

#include <string.h>

#define INTEGER_MAX 9007199254740991.0

enum kind {
    TEXT,  /* up to CV_DETAILS_TEXT bytes */
    COUNT, /* an integer, 0..2^53-1; what can be negative is a TEXT */
    FLAG,
    LIST, /* of texts */
    PAIRS /* object of texts: labels */
};

struct rule {
    const char *actions; /* blank-separated; "*": any */
    const char *key;
    enum kind kind;
};

#define TAKES_IN "fetch fetch.service import"
#define CHANGES "edit remove policy.apply admin"

/* clang-format off */
static const struct rule rules[] = {
    /* what was asked for, and how it went */
    {"*", "command", TEXT},         /* of the command line: "audit query" */
    {"*", "method", TEXT},          /* of the interface */
    {"*", "dry_run", FLAG},
    {"admin fetch fetch.service", "read", FLAG}, /* nothing was changed, and
                                                    no good outcome follows */
    {"*", "items", COUNT},          /* how many it was about, or answered */
    {"*", "failed", COUNT},         /* how many of them failed */
    {"*", "names", LIST},
    {"*", "denials", COUNT},        /* connections turned away */
    {"*", "count", COUNT},          /* denials that this one stands for */
    {"*", "denied", LIST},          /* of what, why, how many: "use denied 9" */
    {"*", "uids", LIST},            /* of them, the first who were counted */
    {"*", "since", TEXT},
    {"*", "until", TEXT},
    {"*", "because", TEXT},         /* a decision's own words, no input's */
    {"*", "missing", TEXT},         /* reason, ticket, exportable, ... */
    {"*", "offer", TEXT},           /* the rule whose offer was taken */
    {"*", "request_id", TEXT},      /* a cloud API's */
    {"*", "native", TEXT},          /* the number beneath an error */
    {"*", "request", TEXT},         /* for approval: filed, approved or used */
    {"*", "approvals", COUNT},      /* that it had */
    {"*", "break_glass", FLAG},     /* by a rule for emergencies */
    {"*", "uncounted", FLAG},       /* permitted and counted before */
    {"approve", "for_action", TEXT},
    {"approve", "for_uid", COUNT},
    {"approve", "for_rule", TEXT},
    {"approve", "digest", TEXT},    /* of what is approved, SHA-256 */
    {"approve", "key", TEXT},       /* that signed it */
    /* keys and certificates taken in */
    {TAKES_IN, "source", TEXT},     /* cce, file, token */
    {TAKES_IN, "api", TEXT},
    {TAKES_IN, "endpoint", TEXT},
    {TAKES_IN, "iam_endpoint", TEXT},
    {TAKES_IN, "region", TEXT},
    {TAKES_IN, "project_id", TEXT},
    {TAKES_IN, "cluster", TEXT},
    {TAKES_IN, "cluster_id", TEXT},
    {TAKES_IN, "duration", TEXT},   /* days; may be -1 */
    {TAKES_IN, "expire_at", TEXT},
    {TAKES_IN, "digest", TEXT},     /* of the file, SHA-256 */
    {TAKES_IN, "labels", PAIRS},
    {TAKES_IN, "exportable", FLAG},
    {TAKES_IN, "location", TEXT},
    {TAKES_IN " remove admin gc-destroy journal", "token_uri", TEXT},
    {TAKES_IN, "provenance", TEXT},
    {TAKES_IN, "leaky", FLAG},
    {TAKES_IN, "shred", FLAG},
    {TAKES_IN, "ca_set", TEXT},
    {TAKES_IN, "verify", TEXT},
    {TAKES_IN, "contexts", LIST},
    {TAKES_IN, "notes", LIST},
    {TAKES_IN " export use issue", "serial", TEXT},
    {TAKES_IN " export use issue", "not_after", TEXT},
    {TAKES_IN " export use issue", "subject", TEXT},
    {TAKES_IN " export use issue", "groups", LIST},
    {TAKES_IN " export use issue", "high_risk", FLAG}, /* system:masters */
    /* given out or used */
    {"export use", "server", TEXT},
    {"export use", "unverified", FLAG},
    {"export", "tty", FLAG},
    {"export", "digest", TEXT},     /* of what was given out */
    {"use sign.raw", "purpose", TEXT},
    {"use sign.raw", "algorithm", TEXT},
    {"use", "grant", TEXT},
    {"use", "kind", TEXT},          /* exec, proxy, credential */
    {"use", "record", TEXT},
    {"use", "verify", TEXT},
    {"use", "verbs", LIST},
    {"use", "namespaces", LIST},
    {"use", "resources", LIST},
    {"use", "server_spki", TEXT},   /* base64 of SHA-256 */
    {"use", "signatures", COUNT},   /* under a grant that ended */
    {"use", "recorded", COUNT},
    {"use", "refused", COUNT},
    {"use", "audit_id", TEXT},      /* of a request, as the cluster has it */
    {"use", "verb", TEXT},
    {"use", "group", TEXT},
    {"use", "resource", TEXT},
    {"use", "subresource", TEXT},
    {"use", "namespace", TEXT},
    {"use", "object", TEXT},
    {"use", "path", TEXT},
    {"use", "upgrade", TEXT},
    {"use", "read_only", FLAG},
    {"use", "seconds", COUNT},
    /* asked */
    {"list", "labels", PAIRS},
    {"list", "labels_any", LIST},
    {"list", "pattern", TEXT},
    {"list", "expires_within", COUNT},
    {"audit.read", "actor", TEXT},
    {"audit.read", "filter_action", TEXT},
    {"audit.read", "filter_entry", TEXT},
    {"audit.read", "filter_outcome", TEXT},
    {"audit.read", "limit", COUNT},
    {"audit.read", "record", COUNT},
    /* changed */
    {"edit", "old_name", TEXT},
    {"edit", "new_name", TEXT},
    {"edit", "labels", PAIRS},      /* as they are afterwards */
    {"edit", "set", PAIRS},
    {"edit", "removed", LIST},
    {"edit", "pin", TEXT},
    {"edit", "pinned_context", TEXT},
    {"remove", "exportable", FLAG},
    {"remove", "provenance", TEXT},
    {"remove", "not_after", TEXT},
    {"policy.apply", "old_version", COUNT},
    {"policy.apply", "new_version", COUNT},
    {"policy.apply", "old_sha256", TEXT},
    {"policy.apply", "new_sha256", TEXT},
    {"policy.apply", "signer", TEXT},
    {"policy.apply", "warnings", COUNT},
    {"policy.apply", "rules_added", LIST},   /* names, the first of each */
    {"policy.apply", "rules_removed", LIST},
    {"policy.apply", "rules_changed", LIST},
    {"policy.apply", "rules_omitted", COUNT}, /* that are not named */
    {"admin", "slot", TEXT},        /* its id */
    {"admin", "new_slot", TEXT},
    {"admin", "slot_kind", TEXT},
    {"admin", "slots", COUNT},
    {"admin use", "token", TEXT},   /* its URI */
    {"admin", "pin_source", TEXT},  /* tty, file, ...; never a PIN */
    {"admin", "attempts", COUNT},   /* logins since the last good one */
    {"admin", "destructive", FLAG},
    {"admin", "path", TEXT},        /* a key file's */
    {"admin broker", "vault_id", TEXT},
    {"admin broker", "public_key", TEXT},
    {"admin broker", "log_key", TEXT}, /* the verifier key */
    {"admin", "old_log_key", TEXT},   /* rotation.h: the one that was, */
    {"admin", "new_log_key", TEXT},   /* the one that is, */
    {"admin", "old_signature", TEXT}, /* and what both signed */
    {"admin", "new_signature", TEXT},
    {"admin", "leaf", LIST},          /* carried.h: one that did, in pieces */
    {"admin broker", "version", TEXT},
    {"admin", "digest", TEXT},      /* of a backup: the end of its file */
    {"admin", "bytes", COUNT},
    {"admin", "leaves", COUNT},     /* of the log that is in it */
    {"admin", "size", COUNT},       /* records below it are archived */
    {"admin", "commitment", TEXT},  /* to what audit/archived then opens */
    {"admin", "signature", TEXT},   /* the log's key's, of what is archived */
    {"admin", "made", TEXT},        /* when it was made */
    {"admin", "rolled_back", FLAG}, /* restored over newer records */
    {"admin", "lost_leaves", COUNT}, /* of them; the log they were in had */
    {"admin", "lost_size", COUNT},  /* this size */
    {"admin", "lost_root", TEXT},   /* and this root */
    {"admin", "lost_texts", COUNT}, /* of records that stay as hashes */
    {"admin", "unfinished", COUNT}, /* changes on tokens that were dropped */
    {"admin", "requests_closed", COUNT}, /* for approval, likewise */
    {"admin", "keys_kept", COUNT},  /* keys left on tokens */
    {"admin", "with_record", FLAG}, /* the record goes too */
    /* what happened by itself */
    {"log", "torn_bytes", COUNT},
    {"log", "size", COUNT},
    {"log", "anchor", TEXT},        /* its kind */
    {"log", "place", TEXT},         /* a path, a URI, a witness' name */
    {"sink", "sink", TEXT},         /* that skipped ahead */
    {"sink", "from", COUNT},        /* the first record that it did not get */
    {"sink", "to", COUNT},          /* and the last */
    {"broker", "socket", TEXT},
    {"broker", "uid", COUNT},
    {"broker", "peer_uid", COUNT},
    {"journal", "cut_op", TEXT},    /* the op that was cut off */
    {"journal", "cut_action", TEXT},
    {"journal", "finished", FLAG},  /* else taken back */
    {"gc-destroy", "cut_op", TEXT}, /* what was cut off there */
    {"gc-destroy", "object", TEXT}, /* its class */
    {"gc-destroy", "digest", TEXT}, /* of its attributes */
    {"remove", "key_kept", FLAG},   /* the key stays on its token */
    {"clock", "before", TEXT},
    {"clock", "after", TEXT},
    {CHANGES, "state", TEXT},
};
/* clang-format on */

static const char *const actions[] = {
    "fetch",      "fetch.service", "import",       "list",  "show",
    "use",        "sign.raw",      "export",       "issue", "renew",
    "rotate",     "revoke",        "remove",       "edit",  "approve",
    "audit.read", "policy.read",   "policy.apply", "admin", "log",
    "broker",     "journal",       "gc-destroy",   "clock", "sink",
};

/* Is `word` one of the blank-separated words of `list`? */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    if (len == 0 || strchr(word, ' ') != NULL) {
        return false;
    }
    while (list != NULL) {
        if (strncmp(list, word, len) == 0 &&
            (list[len] == ' ' || list[len] == '\0')) {
            return true;
        }
        list = strchr(list, ' ');
        list = list == NULL ? NULL : list + 1;
    }
    return false;
}

bool cv_details_is_action(const char *action)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (actions[i][0] == action[0] && strcmp(actions[i], action) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_text(const cJSON *item)
{
    const uint8_t *p;
    size_t len;

    if (!cJSON_IsString(item) || item->valuestring == NULL) {
        return false;
    }
    p = (const uint8_t *)item->valuestring;
    len = strlen(item->valuestring);
    if (len > CV_DETAILS_TEXT) {
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

/* What a key of a map may be, so that the leaf stays canonical. */
static bool is_key(const char *key)
{
    return key != NULL && key[0] != '\0' &&
           strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                       "0123456789._/-") == strlen(key);
}

static bool are_texts(const cJSON *list, bool keys)
{
    const cJSON *item;
    int n = 0;

    cJSON_ArrayForEach(item, list)
    {
        if (++n > CV_DETAILS_ITEMS || !is_text(item) ||
            (keys && !is_key(item->string))) {
            return false;
        }
    }
    return true;
}

static bool is_kind(const cJSON *item, enum kind kind)
{
    switch (kind) {
    case TEXT:
        return is_text(item);
    case COUNT:
        return cJSON_IsNumber(item) && item->valuedouble >= 0 &&
               item->valuedouble <= INTEGER_MAX &&
               item->valuedouble == (double)(int64_t)item->valuedouble;
    case FLAG:
        return cJSON_IsBool(item);
    case LIST:
        return cJSON_IsArray(item) && are_texts(item, false);
    case PAIRS:
        return cJSON_IsObject(item) && are_texts(item, true);
    default:
        return false;
    }
}

static const struct rule *find_rule(const char *action, const char *key)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].key[0] == key[0] && strcmp(rules[i].key, key) == 0 &&
            (rules[i].actions[0] == '*' ||
             has_word(rules[i].actions, action))) {
            return &rules[i];
        }
    }
    return NULL;
}

enum cv_status cv_details_check(const char *action, const cJSON *details,
                                struct cv_err *err)
{
    const cJSON *item;
    char shown[64];

    if (!cJSON_IsObject(details)) {
        return cv_fail(err, CV_INVALID, "details: not an object");
    }
    cJSON_ArrayForEach(item, details)
    {
        const char *key = item->string == NULL ? "" : item->string;
        const struct rule *rule = find_rule(action, key);

        cv_err_quote(shown, sizeof shown, key, strlen(key));
        if (rule == NULL) {
            return cv_fail(err, CV_INVALID, "details.%s: not a key of %s",
                           shown, action);
        }
        if (!is_kind(item, rule->kind)) {
            return cv_fail(err, CV_INVALID,
                           "details.%s: wrong type, too long or not printable",
                           shown);
        }
    }
    return CV_OK;
}
