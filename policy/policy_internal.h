/* What a policy is once it is parsed. Everything but patterns and zones lies in
 * the policy's pool; nothing changes after cv_policy_resolve. */
#ifndef CERTVAULT_POLICY_POLICY_INTERNAL_H
#define CERTVAULT_POLICY_POLICY_INTERNAL_H

#include "policy/decide.h"
#include "policy/pattern.h"
#include "policy/pool_internal.h"
#include "policy/zone.h"

#include "vault/base/limits.h"

/* Instructions of all ticket expressions together. */
#define CV_POLICY_PATTERN_STEPS ((size_t)1024 * 1024)
/* Time zones that one policy may name. */
#define CV_POLICY_ZONES 64
/* Items of one list. */
#define CV_POLICY_ITEMS 1024
/* Bytes of a user's or group's name. */
#define CV_POLICY_WHO 255

/* uids that stand for nobody: -1, -2, and the number that the kernel shows for
 * what it cannot map (user_namespaces(7)). */
#define CV_POLICY_UID_OVERFLOW 65534U
#define CV_POLICY_UID_LAST 4294967293U

enum cv_provenance {
    CV_PROVENANCE_NONE = 0,
    CV_PROVENANCE_BORN,
    CV_PROVENANCE_ADOPTED,
    CV_PROVENANCE_UNWRAPPED,
    CV_PROVENANCE_IMPORTED,
    CV_PROVENANCE_SEALED,
    CV_PROVENANCE_COUNT
};

/* Numbers, such as uids, or numbers of names. */
struct cv_numbers {
    size_t n;
    uint32_t *list;
};

struct cv_globs {
    size_t n;
    const char **list;
};

struct cv_label_glob {
    const char *key;
    const char *value; /* a glob */
};

struct cv_rule_subjects {
    bool everyone;
    struct cv_numbers users;  /* numbers in the policy's users */
    struct cv_numbers groups; /* and in its groups */
    struct cv_numbers uids;   /* as written */
    /* By cv_policy_resolve, sorted: */
    struct cv_numbers all_uids; /* `uids` and what `users` are */
    struct cv_numbers all_gids;
};

struct cv_rule_entries {
    bool given;
    bool any_name; /* names are "*" alone */
    struct cv_globs names;
    size_t n_labels;
    struct cv_label_glob *labels;
    unsigned provenance; /* a bit each; 0: not given */
    bool leaky;
};

struct cv_rule_when {
    bool reason;
    bool tty;
    bool hours;
    unsigned from; /* minutes since midnight */
    unsigned until;
    unsigned days;      /* a bit each, 1: Monday; 0: not given */
    size_t zone;        /* number in the policy's zones; CV_TEXTS_NONE: UTC */
    unsigned zone_line; /* where it is written */
    unsigned zone_column;
    unsigned modes;           /* a bit each; 0: not given */
    int64_t anchor_age_s;     /* 0: not given */
    struct cv_globs contexts; /* literal; n 0: not given */
    struct cv_pattern *ticket;
    const char *hours_text; /* as written, for words */
    const char *days_text;
    const char *zone_text;
    const char *ticket_text;
};

struct cv_rule {
    const char *name;
    unsigned line;
    bool forbid;
    uint32_t actions; /* a bit each */
    struct cv_rule_subjects subjects;
    struct cv_rule_entries entries;
    struct cv_rule_when when;
    struct cv_policy_grant grant;
    struct cv_policy_limit limit;
    struct cv_policy_require require;
    struct cv_rule_subjects from; /* who `require` means */
    bool break_glass;
};

/* A user who has keys: a run of the policy's. */
struct cv_signer {
    uint32_t user; /* number in the policy's users */
    unsigned line;
    size_t first;
    size_t n;
    bool known; /* by cv_policy_resolve: there is such a user, and */
    uint32_t uid;
};

struct cv_policy {
    struct cv_pool pool;
    const char *name;
    int64_t version;
    char sha256[65];
    size_t n_rules;
    struct cv_rule *rules;
    struct cv_texts names; /* of the rules, in their order */
    unsigned uses;
    int64_t longest_per_s;
    int64_t anchor_age_s; /* the smallest of all rules; 0: none */
    size_t n_keys;
    struct cv_policy_key *keys;
    size_t n_signers;
    struct cv_signer *signers;
    struct cv_texts users;
    struct cv_texts groups;
    struct cv_texts zones;
    struct cv_zone **zone; /* one for each of zones; NULL: not set */
    size_t pattern_steps;
    bool has_zones; /* all of them are set */
    bool resolved;
    struct cv_index *index; /* by cv_policy_resolve */
};

/* Zones out of {"name": "<base64>"}, each mentioned one and no other: *out is
 * an array, one for each of policy->zones, that the caller frees with
 * cv_policy_drop_zones. `notes` (may be NULL) gets the place of a bad one. */
enum cv_status cv_policy_load_zones(const struct cv_policy *policy,
                                    const cJSON *zones, struct cv_zone ***out,
                                    struct cv_policy_notes *notes,
                                    struct cv_err *err);
void cv_policy_drop_zones(const struct cv_policy *policy,
                          struct cv_zone **zones);

/* The permit called `name` (NULL: none); NULL where there is no such. */
const struct cv_rule *cv_policy_permit(const struct cv_policy *policy,
                                       const char *name);

/* Adds a warning to `notes` (NULL is fine). */
void cv_policy_warn(struct cv_policy_notes *notes, unsigned line,
                    const char *fmt, ...) CV_PRINTF(3, 4);

/* "born" and so on; NONE for another word. */
enum cv_provenance cv_policy_provenance(const char *word);

#endif
