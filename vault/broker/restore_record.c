/* Who may restore over a vault, and the leaf that says that somebody did. */
#include "vault/broker/restore_internal.h"

#include "policy/decide.h"
#include "vault/audit/leaf.h"
#include "vault/base/clock.h"
#include "vault/base/json.h"
#include "vault/store/store_policy.h"

#include <string.h>
#include <unistd.h>

#define GROUPS 256

/* Who asks: this process runs as the one who does. */
struct who {
    gid_t groups[GROUPS];
    int n_groups;
    char host[65];
    char op[CV_LEAF_OP + 1];
};

static void who_is_it(struct who *w)
{
    char name[65] = "";

    w->n_groups = getgroups(GROUPS, w->groups);
    w->n_groups = w->n_groups < 0 ? 0 : w->n_groups;
    (void)gethostname(name, sizeof(name) - 1);
    (void)cv_err_quote(w->host, sizeof(w->host), name, strlen(name));
    if (w->host[0] == '\0') {
        memcpy(w->host, "unknown", 8);
    }
    cv_leaf_new_op(w->op);
}

static void leaf_begin(const struct cv_restore *r, const struct who *w,
                       struct cv_leaf *leaf)
{
    cv_leaf_init(leaf);
    leaf->op = w->op;
    leaf->mode = "offline";
    leaf->host = w->host;
    leaf->uid = getuid();
    leaf->gids = w->groups;
    leaf->n_gids = (size_t)w->n_groups;
    leaf->action = "admin";
    leaf->reason = r->o->reason;
    leaf->ticket = r->o->ticket;
}

static enum cv_status append(struct cv_log *log, const struct cv_leaf *leaf,
                             struct cv_err *err)
{
    enum cv_status s = cv_log_append_leaf(log, leaf, NULL, err);

    return s == CV_OK ? cv_log_commit(log, err) : s;
}

static enum cv_status load(struct cv_vault *v, struct cv_policy **out,
                           struct cv_err *err)
{
    struct cv_store_policy *row = NULL;
    cJSON *resolution = NULL;
    enum cv_status s = cv_store_policy_current(v->store, &row, err);

    *out = NULL;
    if (s == CV_OK) {
        s = cv_policy_parse(
            (struct cv_bytes){(const uint8_t *)row->text, strlen(row->text)},
            out, NULL, err);
    }
    if (s == CV_OK) {
        s = cv_json_parse(NULL,
                          (struct cv_bytes){(const uint8_t *)row->resolution,
                                            strlen(row->resolution)},
                          &resolution, err);
    }
    if (s == CV_OK) {
        s = cv_policy_resolve(*out, resolution, NULL, err);
    }
    cJSON_Delete(resolution);
    cv_store_policy_free(row);
    return s;
}

static enum cv_status record_denial(struct cv_restore *r, const struct who *w,
                                    const struct cv_policy *policy,
                                    const struct cv_decide_result *result,
                                    struct cv_err *err)
{
    struct cv_leaf leaf;
    cJSON *details = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(details, "method", "Restore");
    leaf_begin(r, w, &leaf);
    leaf.phase = CV_LEAF_DECISION;
    leaf.decision = CV_LEAF_DENY;
    leaf.status = CV_DENIED;
    leaf.rules = result->rules;
    leaf.n_rules = result->n_rules;
    leaf.policy_version = cv_policy_version(policy);
    leaf.policy_sha256 = cv_policy_sha256(policy);
    leaf.details = details;
    s = cv_vault_enter(r->existing, err);
    if (s == CV_OK) {
        s = append(r->existing->log, &leaf, err);
        cv_vault_leave(r->existing);
    }
    cJSON_Delete(details);
    return s;
}

enum cv_status cv_restore_decide(struct cv_restore *r, struct cv_err *err)
{
    struct cv_decide_request rq;
    struct cv_decide_result result;
    struct cv_policy *policy = NULL;
    struct who w;
    enum cv_status s;

    if (r->existing == NULL) {
        return CV_OK; /* there is no vault whose policy could say no */
    }
    who_is_it(&w);
    s = load(r->existing, &policy, err);
    if (s == CV_OK) {
        memset(&rq, 0, sizeof(rq));
        rq.subject.uid = getuid();
        rq.subject.gid = getgid();
        rq.subject.gids = w.groups;
        rq.subject.n_gids = (size_t)w.n_groups;
        rq.action = CV_ACTION_ADMIN;
        rq.reason = r->o->reason;
        rq.ticket = r->o->ticket;
        rq.mode = CV_DECIDE_MODE_EXEC;
        rq.now_s = cv_clock_now_s();
        s = cv_decide_run(policy, &rq, &result, err);
        if (s != CV_OK) {
            s = record_denial(r, &w, policy, &result, NULL) == CV_OK ? s
                                                                     : CV_IO;
        }
    }
    cv_policy_free(policy);
    return s;
}

static cJSON *details_of(const struct cv_restore *r)
{
    cJSON *details = cJSON_CreateObject();
    char made[CV_CLOCK_TEXT_LEN];
    uint8_t root[CV_TREE_HASH];
    uint64_t size;

    (void)cv_json_add_str(details, "method", "Restore");
    (void)cv_json_add_str(details, "vault_id", r->head.vault_id);
    (void)cv_json_add_int(details, "leaves", (int64_t)r->head.leaves);
    (void)cv_json_add_str(details, "made",
                          cv_clock_format(r->head.created_s, made));
    (void)cv_json_add_hex(details, "digest",
                          (struct cv_bytes){r->digest, sizeof(r->digest)});
    (void)cv_json_add_int(details, "unfinished", (int64_t)r->unfinished);
    (void)cv_json_add_int(details, "requests_closed", (int64_t)r->requests);
    if (r->existing == NULL) {
        return details;
    }
    if (cv_restore_texts_lost(r) > 0) {
        (void)cv_json_add_int(details, "lost_texts",
                              (int64_t)cv_restore_texts_lost(r));
    }
    size = cv_log_size(r->existing->log);
    if (r->differs || size > r->head.leaves) {
        cv_tree_root(cv_log_tree(r->existing->log), root);
        (void)cv_json_add_bool(details, "rolled_back", true);
        (void)cv_json_add_int(details, "lost_size", (int64_t)size);
        (void)cv_json_add_base64(details, "lost_root",
                                 (struct cv_bytes){root, sizeof(root)});
        if (!r->differs) {
            (void)cv_json_add_int(details, "lost_leaves",
                                  (int64_t)(size - r->head.leaves));
        }
    }
    return details;
}

enum cv_status cv_restore_record(struct cv_restore *r, struct cv_err *err)
{
    cJSON *details = details_of(r);
    struct cv_log *log = NULL;
    struct cv_leaf leaf;
    struct who w;
    enum cv_status s = cv_log_open(r->stage, CV_LOG_WRITE, &log, err);

    if (s == CV_OK && cv_log_torn(log) > 0) {
        s = cv_fail(err, CV_INTEGRITY, "the backup's log has a torn end");
    }
    if (s == CV_OK) {
        who_is_it(&w);
        leaf_begin(r, &w, &leaf);
        leaf.phase = CV_LEAF_EVENT;
        leaf.outcome = "ok";
        leaf.details = details;
        s = append(log, &leaf, err);
    }
    cv_log_close(log);
    cJSON_Delete(details);
    return s;
}
