/* Catching up with what is in the file. */
#include "vault/audit/kept.h"
#include "vault/audit/log_internal.h"
#include "vault/audit/record_internal.h"
#include "vault/audit/rotation.h"
#include "vault/audit/wal_internal.h"

#include <string.h>

static enum cv_status broken(const struct cv_log *log, const char *why,
                             struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "audit/log, record %llu at byte %llu: %s",
            (unsigned long long)log->done.tree.size,
            (unsigned long long)log->done.offset, why);
    cv_err_state(err, "the vault refuses to write and to release");
    cv_err_hint(err, "run `certvault audit verify`; keep a copy of the folder "
                     "before anything is repaired");
    return CV_INTEGRITY;
}

static enum cv_status check_root(const struct cv_log *log,
                                 const struct cv_checkpoint *last,
                                 struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];

    if (last == NULL || last->size != log->done.tree.size) {
        return CV_OK;
    }
    cv_tree_root(&log->done.tree, root);
    if (memcmp(root, last->root, sizeof root) != 0) {
        return broken(log, "the log is not the one that its checkpoint signed",
                      err);
    }
    return CV_OK;
}

static void raise_policy(struct cv_log_policy *policy,
                         const struct cv_canon *record)
{
    struct cv_bytes said = cv_canon_get(record, "policy"), sha256;
    struct cv_canon members;
    uint64_t version = 0;

    if (said.len == 0 || !cv_canon_scan(said, &members) ||
        !cv_canon_uint(cv_canon_get(&members, "version"), &version) ||
        (int64_t)version <= policy->version) {
        return;
    }
    sha256 = cv_canon_string(cv_canon_get(&members, "sha256"));
    if (sha256.len == sizeof policy->sha256 - 1) {
        policy->version = (int64_t)version;
        memcpy(policy->sha256, sha256.data, sha256.len);
        policy->sha256[sha256.len] = '\0';
    }
}

void cv_log_policy_raise(struct cv_log_policy *policy, struct cv_bytes record)
{
    struct cv_canon all;

    if (cv_canon_scan(record, &all)) {
        raise_policy(policy, &all);
    }
}

/* Under which policy was it written? */
static void take_policy(struct cv_log *log, const struct cv_record *record)
{
    raise_policy(&log->policy, &record->all);
}

/* Copies a text as spelt; "" where it has no room. */
static void copy(char *to, size_t size, struct cv_bytes text)
{
    size_t len = text.len < size ? text.len : 0;

    if (len > 0) {
        memcpy(to, text.data, len);
    }
    to[len] = '\0';
}

/* Does it give the log another key? */
static void take_rotation(struct cv_log *log, const struct cv_record *record)
{
    struct cv_rotation r;

    if (cv_record_is(record->action, "admin") &&
        cv_record_is(record->phase, "outcome") &&
        cv_rotation_read(cv_canon_get(&record->all, "details"), &r, NULL) ==
            CV_OK) {
        log->has_rotated = true;
        log->rotated = r.to;
    }
}

void cv_log_remember(struct cv_log *log, const struct cv_record *record)
{
    struct cv_log_moment *m = &log->last;
    uint64_t mono = 0;

    take_rotation(log, record);
    copy(m->time, sizeof m->time, record->time);
    copy(m->boot, sizeof m->boot,
         cv_canon_string(cv_canon_get(&record->all, "boot")));
    m->mono_ms = cv_canon_uint(cv_canon_get(&record->all, "mono_ms"), &mono) &&
                         mono <= INT64_MAX
                     ? (int64_t)mono
                     : -1;
}

static enum cv_status take_frame(struct cv_log *log, struct cv_bytes leaf,
                                 struct cv_err *err)
{
    struct cv_frontier *f = &log->done;
    struct cv_record record;
    const char *wrong = cv_record_follow(leaf, f->tree.size, f->prev, &record);

    if (wrong != NULL) {
        return broken(log, wrong, err);
    }
    take_policy(log, &record);
    cv_tree_leaf(leaf, f->prev);
    cv_tree_append(&f->tree, f->prev);
    f->offset += CV_WAL_HEADER + leaf.len;
    cv_log_remember(log, &record);
    return CV_OK;
}

struct above {
    const struct cv_log *log;
    bool found;
};

static enum cv_status look_above(void *ctx, const struct cv_checkpoint *c,
                                 struct cv_bytes note, struct cv_err *err)
{
    struct above *a = ctx;
    struct cv_checkpoint said;

    (void)err;
    a->found = a->found ||
               (c->size > a->log->done.tree.size &&
                cv_checkpoint_open(note, &a->log->key, &said, NULL) == CV_OK);
    return CV_OK;
}

/* Does a checkpoint that was kept speak of what would be dropped? The last one
 * may be of an earlier time: put back, or lost with the power. Who drops
 * nothing does not ask: he has no lock, and a writer may have signed since. */
static enum cv_status check_kept(const struct cv_log *log, struct cv_err *err)
{
    struct above a = {log, false};
    enum cv_status status = CV_OK;

    if (log->has_key && log->mode != CV_LOG_READ) {
        status = cv_kept_each(log->vault, look_above, &a, err);
    }
    return a.found && status == CV_OK
               ? broken(log, "cut off below a checkpoint that was kept", err)
               : status;
}

/* What does not read as a frame: a torn tail, or damage. */
static enum cv_status take_tail(struct cv_log *log, struct cv_wal *wal,
                                enum cv_wal_kind kind,
                                const struct cv_checkpoint *last,
                                struct cv_err *err)
{
    struct cv_checkpoint fresh;
    bool torn = false, found = last != NULL;
    enum cv_status status =
        cv_wal_is_torn(wal, log->done.offset, kind, &torn, err);

    if (status == CV_OK && torn && last == NULL) {
        status = cv_log_last(log, &fresh, &found, err);
        last = &fresh;
    }
    if (status != CV_OK) {
        return status;
    }
    if (!torn) {
        return broken(log, "the frame is damaged", err);
    }
    if (found && last->size > log->done.tree.size) {
        return broken(log, "cut off below the last checkpoint", err);
    }
    status = check_kept(log, err);
    if (status != CV_OK) {
        return status;
    }
    log->torn = wal->end - log->done.offset;
    return CV_OK;
}

enum cv_status cv_log_scan(struct cv_log *log, uint64_t end,
                           const struct cv_checkpoint *last, struct cv_err *err)
{
    struct cv_wal wal;
    enum cv_wal_kind kind = CV_WAL_FRAME;
    const uint64_t begin = log->done.offset;
    enum cv_status status = cv_wal_init(&wal, log->fd, begin, end, err);

    log->torn = 0;
    log->length = end;
    if (status == CV_OK) {
        status = check_root(log, last, err);
    }
    while (status == CV_OK && kind == CV_WAL_FRAME) {
        struct cv_bytes leaf;

        status = cv_wal_next(&wal, &kind, &leaf, err);
        if (status != CV_OK || kind == CV_WAL_END) {
            break;
        }
        if (kind == CV_WAL_FRAME) {
            log->unsynced = log->mode != CV_LOG_READ;
            status = take_frame(log, leaf, err);
            if (status == CV_OK) {
                status = check_root(log, last, err);
            }
            if (last != NULL && log->done.tree.size <= last->size) {
                cv_state_pass(&log->way, begin, &log->done);
            }
        } else {
            status = take_tail(log, &wal, kind, last, err);
        }
    }
    if (status == CV_OK && last != NULL && last->size > log->done.tree.size) {
        status = broken(log, "the log is shorter than its checkpoint", err);
    }
    cv_wal_wipe(&wal);
    log->next = log->done;
    return status;
}
