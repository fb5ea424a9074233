/* What a leaf says: the members of an audit record, but for v, seq and prev,
 * which the log adds.
 *
 * Fill a struct cv_leaf (zeroed first: cv_leaf_init) and append it
 * (cv_log_append_leaf), or build its tree, which can wait. A decision and its
 * outcome share `op`: an outcome leaf must follow a permit of the same op,
 * which `audit verify` checks; a denial has no outcome.
 *
 * There is no free-form member: every text is checked (UTF-8, no control
 * character, a length), and `details` has a closed list of keys per action
 * (details.c). Nothing secret may be put in any of them. */
#ifndef CERTVAULT_AUDIT_LEAF_H
#define CERTVAULT_AUDIT_LEAF_H

#include "vault/base/err.h"
#include "vault/base/limits.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <sys/types.h>

#define CV_LEAF_VERSION 1
#define CV_LEAF_OP 32 /* hex digits of an op */

enum cv_leaf_phase { CV_LEAF_DECISION, CV_LEAF_OUTCOME, CV_LEAF_EVENT };

enum cv_leaf_verdict {
    CV_LEAF_NONE, /* events; outcomes may leave it out */
    CV_LEAF_PERMIT,
    CV_LEAF_DENY
};

struct cv_leaf {
    const char *op; /* CV_LEAF_OP hex digits, see cv_leaf_new_op */
    enum cv_leaf_phase phase;
    int64_t time_s;   /* wall time; < 0: now */
    int64_t mono_ms;  /* CLOCK_BOOTTIME; < 0: now */
    const char *boot; /* boot id; NULL: this one */

    const char *mode; /* agent, exec, service, offline */
    const char *host;
    const char *version; /* NULL: this program's */

    uid_t uid;
    const char *user; /* NULL: "uid:N" */
    bool has_gid;     /* the primary one is known: it comes first */
    gid_t gid;
    const gid_t *gids; /* the supplementary ones */
    size_t n_gids;
    pid_t pid;        /* hint; 0: none */
    const char *exe;  /* hints; NULL or "": none. Control characters in them */
    const char *tty;  /* become '?' */
    int64_t loginuid; /* hint; < 0: none */

    const char *action;   /* one of cv_leaf_actions */
    const char *entry;    /* from here to `ticket` NULL: none */
    const char *entry_id; /* 32 hex */
    const char *spki;     /* 64 hex */
    const char *context;
    const char *reason;
    const char *ticket;

    int64_t policy_version;    /* < 0: no policy member */
    const char *policy_sha256; /* 64 hex */
    enum cv_leaf_verdict decision;
    const char *const *rules;
    size_t n_rules;

    const char *outcome; /* ok, failed, aborted, unknown; NULL: none */
    enum cv_status
        status;           /* of what failed: `error` is its word; CV_OK: none */
    const cJSON *details; /* copied; NULL: {} */
};

/* Zeroes, and sets what has a default other than 0. */
void cv_leaf_init(struct cv_leaf *leaf);

/* Draws an op. */
void cv_leaf_new_op(char out[CV_LEAF_OP + 1]);

/* Builds the tree of what is written; the caller frees *out. CV_INVALID where a
 * member is missing (op, mode, host, action; decision in a decision; outcome in
 * an outcome), is not what it must be, or `details` holds a key or type that
 * the action has not; the text names the member. */
CV_MUST_USE enum cv_status cv_leaf_build(const struct cv_leaf *leaf,
                                         cJSON **out, struct cv_err *err);

#endif
