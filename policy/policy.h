/* A policy: who may do what, with which entry, when, and how far.
 *
 * The language is docs/policy.md. Life of a policy:
 *
 *     cv_policy_parse      strict YAML to rules; nothing outside is looked at
 *     cv_policy_names      the users and groups that it mentions ...
 *     cv_policy_zones      ... and the time zones: looked up by someone else
 *     cv_policy_resolve    what they are on this host, as one JSON object
 *     cv_decide_run        (decide.h) pure, without allocation
 *     cv_policy_free
 *
 * The JSON object ("resolution") is made once, when a policy is applied, by a
 * helper that may ask NSS and read the zone files; the broker stores it beside
 * the text and needs neither afterwards:
 *
 *     {"users": {"alice": 1001, "bob": null}, "groups": {"sre": 2000},
 *      "zones": {"Europe/Berlin": "<base64 of the TZif file>"}}
 *
 * null says "asked, and there is no such name". A lookup that failed (timeout,
 * NSS error) is not a null: the helper must fail then.
 *
 * A policy does not change once it is resolved; then any number of threads may
 * decide by it. It holds no secret. */
#ifndef CERTVAULT_POLICY_POLICY_H
#define CERTVAULT_POLICY_POLICY_H

#include "vault/base/buf.h"
#include "vault/base/json.h"

#include <stdbool.h>
#include <sys/types.h>

#define CV_POLICY_NOTES 32
#define CV_POLICY_NOTE_LEN 256

/* What parsing and resolving have to say beside the error: where it lies, and
 * warnings, which refuse nothing. Zero it before the first use; no cleaning up.
 */
struct cv_policy_notes {
    unsigned error_line;   /* from 1; 0: no place is known */
    unsigned error_column; /* from 1, in characters */
    size_t n_warnings;     /* all of them; the first CV_POLICY_NOTES are kept */
    struct cv_policy_warning {
        unsigned line; /* from 1; 0: none */
        char text[CV_POLICY_NOTE_LEN];
    } warnings[CV_POLICY_NOTES];
};

struct cv_policy;

/* Parses `text`. On success *out is the policy, which keeps nothing of `text`;
 * the caller frees it. On failure *out is NULL: CV_INVALID, the text begins
 * with "line L, column C: " and `notes` has the place; or CV_INTERNAL (memory).
 * `notes` is NULL for a text that was applied already: its grants' verbs are
 * not looked at, which was not always done. */
CV_MUST_USE enum cv_status cv_policy_parse(struct cv_bytes text,
                                           struct cv_policy **out,
                                           struct cv_policy_notes *notes,
                                           struct cv_err *err);

/* NULL is fine. */
void cv_policy_free(struct cv_policy *policy);

/* metadata.name and metadata.version (0 to 2^53). */
const char *cv_policy_name(const struct cv_policy *policy);
int64_t cv_policy_version(const struct cv_policy *policy);

/* SHA-256 of the text as 64 lower-case hex digits. */
const char *cv_policy_sha256(const struct cv_policy *policy);

size_t cv_policy_rules(const struct cv_policy *policy);

/* {"name", "version", "sha256", "rules": count}; NULL when memory is gone. */
cJSON *cv_policy_describe(const struct cv_policy *policy);

/* The user and group names that it mentions (also in `from` and `keys`), each
 * once:
 *     {"users": ["alice"], "groups": ["sre"]}
 * "*" is none of them. NULL when memory is gone. */
cJSON *cv_policy_names(const struct cv_policy *policy);

/* The time zones that it mentions, each once, but for "UTC", which needs no
 * file: ["Europe/Berlin"]. NULL when memory is gone. */
cJSON *cv_policy_zones(const struct cv_policy *policy);

/* Gives names their numbers and zones their rules. `resolution` must have a
 * member for each name and zone mentioned, and no other; it is read, not kept.
 * A user or group that is null is an error in a forbid and in a `from`
 * (CV_INVALID), and a warning in a permit's subjects and in `keys`, where it
 * matches nobody. Also CV_INVALID: anything that
 * is malformed, a zone that is missing. CV_INTERNAL: memory. On failure the
 * policy is as it was. `notes` may be NULL. May be called once. */
CV_MUST_USE enum cv_status cv_policy_resolve(struct cv_policy *policy,
                                             const cJSON *resolution,
                                             struct cv_policy_notes *notes,
                                             struct cv_err *err);

/* For `policy test` and `policy check` of a file: gives it its zones alone
 * ({"Europe/Berlin": "<base64>"}); such a policy decides only requests whose
 * subject goes by name. Errors as above. */
CV_MUST_USE enum cv_status cv_policy_set_zones(struct cv_policy *policy,
                                               const cJSON *zones,
                                               struct cv_err *err);

/* The zones that `policy` mentions as an object for the two calls above, read
 * from `folder` (CV_POLICY_ZONE_FOLDER); this function and the next are those
 * of this library that open files. CV_INVALID when a zone is not there or is no
 * time zone file: the text has the rule, and `notes` (may be NULL) the place.
 * *out is the caller's to delete. */
#define CV_POLICY_ZONE_FOLDER "/usr/share/zoneinfo"
CV_MUST_USE enum cv_status cv_policy_read_zones(const struct cv_policy *policy,
                                                const char *folder, cJSON **out,
                                                struct cv_policy_notes *notes,
                                                struct cv_err *err);

/* The zones that `policy` mentions and cv_policy_read_zones would refuse, each
 * once. NULL when memory is gone. */
cJSON *cv_policy_missing_zones(const struct cv_policy *policy,
                               const char *folder);

/* Shows a place of `text`: the line, cut to a width and made safe for a
 * terminal, and a caret below the column.
 *       12 |     when: {hour: "08:00-18:00"}
 *          |            ^
 */
void cv_policy_render(struct cv_bytes text, unsigned line, unsigned column,
                      struct cv_buf *out);

/* Appends the policy that init writes: version 0; the owner may do everything
 * but export. */
void cv_policy_default(uid_t owner, struct cv_buf *out);

/* What a permit gives (its `grant`). Lists are NULL-terminated; NULL: not
 * limited. Borrowed from the policy. */
enum cv_policy_record {
    CV_POLICY_RECORD_WRITES = 0, /* the default */
    CV_POLICY_RECORD_OFF,
    CV_POLICY_RECORD_ALL
};

#define CV_POLICY_DEFAULT_DURATION_S (8 * 3600)

struct cv_policy_grant {
    int64_t max_duration_s; /* CV_POLICY_DEFAULT_DURATION_S where not given */
    bool read_only;
    enum cv_policy_record record;
    const char *const *verbs;
    const char *const *namespaces;
    const char *const *resources;
};

/* How often a permit may be used by one caller (its `limit`); 0: not limited.
 */
struct cv_policy_limit {
    uint64_t count;    /* permitted requests ... */
    int64_t per_s;     /* ... within any period of this many seconds */
    uint64_t sessions; /* grants (`use`) that live at one time */
};

/* Whose consent a permit needs (its `require.approvals`). Lists are borrowed
 * from the policy and NULL-terminated; NULL: not given. */
struct cv_policy_require {
    uint64_t approvals;       /* 0: none is needed */
    bool is_signed;           /* each with a key out of the policy's `keys` */
    const char *const *users; /* "*": everyone */
    const char *const *groups;
    const uint32_t *uids;
    size_t n_uids;
};

/* What of it some rule of the policy uses, as bits: a broker whose policy has
 * none of it needs no counts and no approvals. */
enum cv_policy_use {
    CV_POLICY_USES_LIMITS = 1U << 0, /* limit.count */
    CV_POLICY_USES_SESSIONS = 1U << 1,
    CV_POLICY_USES_APPROVALS = 1U << 2,
    CV_POLICY_USES_BREAK_GLASS = 1U << 3
};
unsigned cv_policy_uses(const struct cv_policy *policy);

/* The longest limit.per of all rules, seconds; 0: there is none. Older leaves
 * count for nothing. */
int64_t cv_policy_longest_per_s(const struct cv_policy *policy);

/* The smallest anchor_age of its rules, in seconds; 0: none has one. */
int64_t cv_policy_anchor_age(const struct cv_policy *policy);

/* What the rule called `rule` limits and requires; NULL: there is no such rule,
 * or it is a forbid. */
const struct cv_policy_limit *cv_policy_limit_of(const struct cv_policy *policy,
                                                 const char *rule);
const struct cv_policy_require *
cv_policy_require_of(const struct cv_policy *policy, const char *rule);

/* A key with which a user signs approvals: a line of `keys`, in the form of
 * authorized_keys (sshd(8)), checked. */
struct cv_policy_key {
    const char *user;
    const char *line;        /* "ssh-ed25519 AAAA... comment", as written */
    const char *application; /* of sk-ssh-ed25519@openssh.com: its application
                                ("ssh:"); NULL: ssh-ed25519 */
    uint8_t ed25519[32];
};

/* The keys of the user whose number is `uid`: *out is borrowed from the policy,
 * the answer is how many (0: none, or the policy is not resolved). */
size_t cv_policy_keys(const struct cv_policy *policy, uid_t uid,
                      const struct cv_policy_key **out);

/* "writes", "off", "all". */
const char *cv_policy_record_name(enum cv_policy_record record);

#endif
