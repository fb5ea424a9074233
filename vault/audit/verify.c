#include "vault/audit/verify.h"

#include "vault/audit/checkpoint.h"
#include "vault/audit/logkey.h"
#include "vault/audit/ops_internal.h"
#include "vault/audit/record_internal.h"
#include "vault/audit/report_internal.h"
#include "vault/audit/state_internal.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_PATH "audit/log"
#define RETRIES 8

/* A statement about the log at some size, to be held against it. */
struct claim {
    bool there;
    bool seen; /* the log reached its size */
    struct cv_checkpoint c;
};

struct verify {
    int vault;
    int fd;
    struct cv_report report;
    bool has_key;
    struct cv_note_key key;
    struct claim checkpoint; /* audit/checkpoint */
    bool checkpoint_bad;
    struct claim anchor; /* the note that was given */
    struct cv_state state;
    bool state_seen[CV_STATE_FRONTIERS];
    struct cv_frontier at; /* behind the last frame */
    uint64_t records;      /* frames that are right */
    struct cv_ops permits;
    bool torn;
    unsigned retries;
};

static void add(struct verify *v, const char *what, const char *why)
{
    cv_report_add(&v->report, what, CV_REPORT_NOWHERE, CV_REPORT_NOWHERE, why);
}

static void add_here(struct verify *v, const char *what, const char *why)
{
    cv_report_add(&v->report, what, v->at.tree.size, v->at.offset, why);
}

/* Failures that are no finding about the log. */
static bool is_fatal(enum cv_status status)
{
    return status == CV_IO || status == CV_INTERNAL || status == CV_CONFIG;
}

static enum cv_status read_key(struct verify *v,
                               const struct cv_verify_options *options,
                               struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status;

    if (options != NULL && options->vkey != NULL) {
        status = cv_note_key_parse(options->vkey, &v->key, err);
        v->has_key = status == CV_OK;
        return status;
    }
    cv_err_init(&why);
    status = cv_logkey_read(v->vault, &v->key, &why);
    v->has_key = status == CV_OK;
    if (is_fatal(status)) {
        *err = why;
        return status;
    }
    if (status == CV_INTEGRITY) {
        add(v, "key", why.text);
    }
    return CV_OK;
}

static enum cv_status read_checkpoint(struct verify *v, struct cv_err *err)
{
    struct cv_err why;
    struct stat st;
    enum cv_status status = CV_NOT_FOUND;

    cv_err_init(&why);
    if (v->has_key) {
        status = cv_checkpoint_read(v->vault, &v->key, &v->checkpoint.c, NULL,
                                    NULL, &why);
    } else if (fstatat(v->vault, "audit/checkpoint", &st,
                       AT_SYMLINK_NOFOLLOW) == 0) {
        status = cv_fail(&why, CV_INTEGRITY,
                         "there is a checkpoint, but audit/key.pub is gone");
    }
    v->checkpoint.there = status == CV_OK;
    if (is_fatal(status)) {
        *err = why;
        return status;
    }
    if (status == CV_INTEGRITY) {
        v->checkpoint_bad = true;
        add(v, "checkpoint", why.text);
    }
    return CV_OK;
}

static void read_anchor(struct verify *v,
                        const struct cv_verify_options *options)
{
    struct cv_err why;

    if (options == NULL || options->checkpoint.len == 0) {
        return;
    }
    cv_err_init(&why);
    if (!v->has_key) {
        add(v, "anchor", "there is no key to check the given checkpoint by");
    } else if (cv_checkpoint_open(options->checkpoint, &v->key, &v->anchor.c,
                                  &why) != CV_OK) {
        cv_err_prefix(&why, "the given checkpoint");
        add(v, "anchor", why.text);
    } else {
        v->anchor.there = true;
    }
}

static enum cv_status read_state(struct verify *v, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    status = cv_state_read(v->vault, &v->state, &why);
    if (is_fatal(status)) {
        *err = why;
        return status;
    }
    if (status == CV_INTEGRITY) {
        add(v, "state", why.text);
    }
    if (v->state.n > 0 && !v->checkpoint.there && !v->checkpoint_bad) {
        add(v, "checkpoint", "the last checkpoint is gone");
    }
    return CV_OK;
}

/* Reads what is derived first and opens the log last: a writer that goes on
 * meanwhile can then only make the log longer. */
static enum cv_status open_all(struct verify *v,
                               const struct cv_verify_options *options,
                               struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status = read_key(v, options, err);

    if (status == CV_OK) {
        status = read_checkpoint(v, err);
    }
    if (status == CV_OK) {
        read_anchor(v, options);
        status = read_state(v, err);
    }
    if (status != CV_OK) {
        return status;
    }
    cv_err_init(&why);
    status = cv_file_open(v->vault, LOG_PATH, O_RDONLY, &v->fd, &why);
    if (status == CV_NOT_FOUND &&
        (v->has_key || v->checkpoint.there || v->report.found > 0)) {
        add(v, "log", "the log is gone (" LOG_PATH ")");
        return CV_OK;
    }
    if (status != CV_OK) {
        *err = why;
        if (status == CV_NOT_FOUND) {
            status = cv_fail(err, CV_NOT_FOUND, "there is no audit log here");
        }
    }
    return status;
}

static void check_claim(struct verify *v, struct claim *claim, const char *what,
                        const char *why)
{
    uint8_t root[CV_TREE_HASH];

    if (!claim->there || claim->seen || claim->c.size != v->at.tree.size) {
        return;
    }
    claim->seen = true;
    cv_tree_root(&v->at.tree, root);
    if (memcmp(root, claim->c.root, sizeof root) != 0) {
        add(v, what, why);
        v->checkpoint_bad = v->checkpoint_bad || claim == &v->checkpoint;
    }
}

static void check_state(struct verify *v)
{
    for (unsigned i = 0; i < v->state.n; i++) {
        const struct cv_frontier *f = &v->state.at[i];

        if (f->tree.size != v->at.tree.size) {
            continue;
        }
        v->state_seen[i] = true;
        if (f->offset != v->at.offset ||
            memcmp(f->prev, v->at.prev, sizeof f->prev) != 0 ||
            memcmp(f->tree.nodes, v->at.tree.nodes,
                   (size_t)f->tree.n * CV_TREE_HASH) != 0) {
            add(v, "state", "audit/state is not what the log says");
        }
    }
}

/* At every size, the first one included. */
static void check_claims(struct verify *v)
{
    check_claim(v, &v->checkpoint, "checkpoint",
                "the log is not the one that its checkpoint signed");
    check_claim(v, &v->anchor, "anchor",
                "the log is not the one that the given checkpoint signed");
    check_state(v);
}

static void check_pair(struct verify *v, const struct cv_record *r)
{
    if (cv_record_is(r->phase, "decision")) {
        if (cv_record_is(r->decision, "permit") &&
            !cv_ops_add(&v->permits, r->op)) {
            v->report.memory = true;
        }
    } else if (cv_record_is(r->phase, "outcome") &&
               !cv_ops_has(&v->permits, r->op)) {
        add_here(v, "pair", "an outcome without a permit before it");
    }
}

static void take_frame(struct verify *v, struct cv_bytes leaf, bool whole)
{
    struct cv_record record;
    const char *wrong = cv_record_read(leaf, &record);

    if (!whole) {
        add_here(v, "crc", "the checksum is wrong");
    } else if (wrong != NULL) {
        add_here(v, "form", wrong);
    } else if (record.seq != v->at.tree.size) {
        add_here(v, "seq", "seq is not its place in the log");
    } else if (memcmp(record.prev, v->at.prev, CV_TREE_HASH) != 0) {
        add_here(v, "prev", "prev is not the hash of the record before it");
    } else {
        v->records++;
        check_pair(v, &record);
    }
    cv_tree_leaf(leaf, v->at.prev);
    cv_tree_append(&v->at.tree, v->at.prev);
    v->at.offset += CV_WAL_HEADER + leaf.len;
    check_claims(v);
}

/* Did a writer change the file's size since? Then what was read last may be of
 * two times, and is read again. */
static bool changed_meanwhile(struct verify *v, struct cv_wal *wal)
{
    struct stat st;

    if (v->retries == RETRIES || fstat(v->fd, &st) != 0 ||
        (uint64_t)st.st_size == wal->end ||
        (uint64_t)st.st_size < v->at.offset) {
        return false;
    }
    v->retries++;
    cv_wal_seek(wal, v->at.offset, (uint64_t)st.st_size);
    return true;
}

static bool is_covered(const struct verify *v)
{
    return (v->checkpoint.there && v->checkpoint.c.size > v->at.tree.size) ||
           (v->anchor.there && v->anchor.c.size > v->at.tree.size);
}

/* One step; *more false at the end. */
static enum cv_status step(struct verify *v, struct cv_wal *wal, bool *more,
                           struct cv_err *err)
{
    enum cv_wal_kind kind;
    struct cv_bytes leaf;
    bool torn = false;
    enum cv_status status = cv_wal_next(wal, &kind, &leaf, err);

    if (status != CV_OK) {
        return status;
    }
    if (kind == CV_WAL_FRAME) {
        take_frame(v, leaf, true);
        return CV_OK;
    }
    *more = false;
    if (kind == CV_WAL_END) {
        return CV_OK;
    }
    if (changed_meanwhile(v, wal)) {
        *more = true;
        return CV_OK;
    }
    if (!is_covered(v)) {
        status = cv_wal_is_torn(wal, v->at.offset, kind, &torn, err);
    }
    if (status != CV_OK || torn) {
        v->torn = torn;
        return status;
    }
    if (kind == CV_WAL_CRC) {
        cv_wal_seek(wal, v->at.offset, wal->end);
        status = cv_wal_next(wal, &kind, &leaf, err);
        take_frame(v, leaf, kind == CV_WAL_FRAME);
        *more = status == CV_OK && leaf.len > 0;
        return status;
    }
    add_here(v, "frame", "the frame is damaged or cut off");
    return CV_OK;
}

static enum cv_status scan(struct verify *v, struct cv_err *err)
{
    struct cv_wal wal;
    struct stat st;
    bool more = true;
    enum cv_status status;

    if (fstat(v->fd, &st) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot look at %s", LOG_PATH);
    }
    check_claims(v);
    status = cv_wal_init(&wal, v->fd, 0, (uint64_t)st.st_size, err);
    while (status == CV_OK && more) {
        status = step(v, &wal, &more, err);
    }
    cv_wal_wipe(&wal);
    return status;
}

/* What speaks of a size that the log did not reach. */
static void check_short(struct verify *v)
{
    if (v->checkpoint.there && !v->checkpoint.seen) {
        add(v, "size", "the log is shorter than its checkpoint");
        v->checkpoint_bad = true;
    }
    if (v->anchor.there && !v->anchor.seen) {
        add(v, "anchor", "the log is shorter than the given checkpoint");
    }
    for (unsigned i = 0; i < v->state.n; i++) {
        if (!v->state_seen[i]) {
            add(v, "state", "audit/state speaks of records that are not there");
        }
    }
}

static enum cv_status make_report(struct verify *v, cJSON **out,
                                  struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];
    const char *checkpoint = v->checkpoint_bad     ? "invalid"
                             : v->checkpoint.there ? "valid"
                                                   : "missing";
    cJSON *o = cJSON_CreateObject(), *errors = v->report.errors;
    bool ok;

    v->report.errors = NULL;
    cv_tree_root(&v->at.tree, root);
    ok = !v->report.memory && cv_json_add_bool(o, "ok", v->report.found == 0) &&
         cv_json_add_int(o, "records", (int64_t)v->records) &&
         cv_json_add_int(o, "size", (int64_t)v->at.tree.size) &&
         cv_json_add_base64(o, "root", (struct cv_bytes){root, sizeof root}) &&
         cv_json_add_str(o, "checkpoint", checkpoint) &&
         cv_json_add_str(o, "tail", v->torn ? "torn" : "clean") &&
         cv_json_add_str(o, "anchored",
                         v->anchor.there && v->anchor.seen &&
                                 v->report.found == 0
                             ? "file"
                             : "none");
    ok = cv_json_add_item(o, "errors", errors) && ok;
    if (!ok) {
        cJSON_Delete(o);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    *out = o;
    return CV_OK;
}

static enum cv_status tell(const struct verify *v, struct cv_err *err)
{
    if (v->report.found == 0) {
        return CV_OK;
    }
    cv_fail(err, CV_INTEGRITY, "the audit log does not verify: %s",
            v->report.first);
    cv_err_state(err, "%llu %s; nothing was changed",
                 (unsigned long long)v->report.found,
                 v->report.found == 1 ? "error" : "errors");
    cv_err_hint(err, "keep a copy of the vault's folder; compare it with a "
                     "checkpoint or a backup kept elsewhere");
    return CV_INTEGRITY;
}

enum cv_status cv_verify_log(int vault, const struct cv_verify_options *options,
                             cJSON **report, struct cv_err *err)
{
    struct verify v;
    struct cv_err own;
    enum cv_status status;

    *report = NULL;
    if (err == NULL) {
        cv_err_init(&own);
        err = &own;
    }
    memset(&v, 0, sizeof v);
    v.vault = vault;
    v.fd = -1;
    cv_ops_init(&v.permits);
    if (!cv_report_init(&v.report)) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    status = open_all(&v, options, err);
    if (status == CV_OK && v.fd >= 0) {
        status = scan(&v, err);
    }
    if (status == CV_OK) {
        check_short(&v);
        status = make_report(&v, report, err);
    }
    if (status == CV_OK) {
        status = tell(&v, err);
    }
    cv_file_close(&v.fd);
    cv_ops_wipe(&v.permits);
    cv_report_wipe(&v.report);
    return status;
}
