#include "vault/audit/verify_internal.h"

#include "vault/audit/index.h"
#include "vault/audit/log.h"
#include "vault/audit/logkey.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_PATH "audit/log"
#define RETRIES 8

bool cv_verify_is_fatal(enum cv_status status)
{
    return status == CV_IO || status == CV_INTERNAL || status == CV_CONFIG;
}

/* A link, a FIFO or the like in the place of a file that certvault made is no
 * matter of settings: it was put there. */
static enum cv_status judge_file(const struct cv_verify *v, const char *path,
                                 enum cv_status status)
{
    struct stat st;

    return status == CV_CONFIG &&
                   fstatat(v->vault, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                   !S_ISREG(st.st_mode)
               ? CV_INTEGRITY
               : status;
}

static enum cv_status read_key(struct cv_verify *v,
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
    status = judge_file(v, "audit/key.pub", status);
    v->has_key = status == CV_OK;
    if (cv_verify_is_fatal(status)) {
        *err = why;
        return status;
    }
    if (status == CV_INTEGRITY) {
        cv_verify_add(v, "key", why.text);
    }
    return CV_OK;
}

static enum cv_status read_checkpoint(struct cv_verify *v, struct cv_err *err)
{
    struct cv_err why;
    struct stat st;
    enum cv_status status = CV_NOT_FOUND;

    cv_err_init(&why);
    if (v->has_key) {
        status = cv_checkpoint_read(v->vault, &v->key, &v->checkpoint.c, NULL,
                                    &v->checkpoint_age_s, &why);
        status = judge_file(v, "audit/checkpoint", status);
    } else if (fstatat(v->vault, "audit/checkpoint", &st,
                       AT_SYMLINK_NOFOLLOW) == 0) {
        status = cv_fail(&why, CV_INTEGRITY,
                         "there is a checkpoint, but audit/key.pub is gone");
    }
    v->checkpoint.there = status == CV_OK;
    if (cv_verify_is_fatal(status)) {
        *err = why;
        return status;
    }
    if (status == CV_INTEGRITY) {
        v->checkpoint_bad = true;
        cv_verify_add(v, "checkpoint", why.text);
    }
    return CV_OK;
}

/* What a note says, whoever signed it. */
static bool read_claim(struct cv_bytes note, struct cv_checkpoint *out)
{
    const uint8_t *end = memmem(note.data, note.len, "\n\n", 2);

    return end != NULL &&
           cv_checkpoint_parse(
               (struct cv_bytes){note.data, (size_t)(end - note.data) + 1}, out,
               NULL) == CV_OK;
}

/* A note that the log's key has not signed may be by one that it had before:
 * the log itself says which those are. */
static void read_anchor(struct cv_verify *v,
                        const struct cv_verify_options *options)
{
    struct cv_err why;

    if (options == NULL || options->checkpoint.len == 0) {
        return;
    }
    cv_err_init(&why);
    v->anchor.there = true;
    if (!v->has_key) {
        cv_verify_add(v, "anchor",
                      "there is no key to check the given checkpoint by");
        v->anchor.there = false;
    } else if (cv_checkpoint_open(options->checkpoint, &v->key, &v->anchor.c,
                                  &why) != CV_OK) {
        v->anchor_unsigned = read_claim(options->checkpoint, &v->anchor.c) &&
                             strcmp(v->anchor.c.origin, v->key.name) == 0;
        v->anchor.there = v->anchor_unsigned;
        if (!v->anchor.there) {
            cv_err_prefix(&why, "the given checkpoint");
            cv_verify_add(v, "anchor", why.text);
        }
    }
}

/* Who of the witnesses signed the note that was given. */
static void read_given(struct cv_verify *v,
                       const struct cv_verify_options *options)
{
    for (size_t i = 0; v->anchor.there && i < options->n_witnesses; i++) {
        if (cv_anchored_time(options->checkpoint, &options->witnesses[i],
                             &v->given_s, NULL) == CV_OK) {
            v->given_by = options->witnesses[i].name;
            return;
        }
    }
}

static enum cv_status read_cosigned(struct cv_verify *v,
                                    const struct cv_verify_options *options,
                                    struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status;

    if (options == NULL || options->n_witnesses == 0 || !v->has_key) {
        return CV_OK;
    }
    read_given(v, options);
    cv_err_init(&why);
    status = cv_anchored_read(v->vault, &v->key, options->witnesses,
                              options->n_witnesses, &v->cosigned, &why);
    if (cv_verify_is_fatal(status)) {
        *err = why;
        return status;
    }
    if (status == CV_INTEGRITY) {
        v->cosigned.n = 0;
        cv_verify_add(v, "witness", why.text);
    }
    for (size_t i = 0; i < v->cosigned.n; i++) {
        v->witness[i].there = true;
        v->witness[i].c.size = v->cosigned.at[i].size;
        memcpy(v->witness[i].c.root, v->cosigned.at[i].root, CV_TREE_HASH);
    }
    return CV_OK;
}

static enum cv_status read_state(struct cv_verify *v, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    status =
        judge_file(v, "audit/state", cv_state_read(v->vault, &v->state, &why));
    if (cv_verify_is_fatal(status)) {
        *err = why;
        return status;
    }
    if (status == CV_INTEGRITY) {
        cv_verify_add(v, "state", why.text);
    }
    if (v->state.n > 0 && !v->checkpoint.there && !v->checkpoint_bad) {
        cv_verify_add(v, "checkpoint", "the last checkpoint is gone");
    }
    return CV_OK;
}

/* Reads what is derived first and opens the log last: a writer that goes on
 * meanwhile can then only make the log longer. */
static enum cv_status open_all(struct cv_verify *v,
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
        cv_verify_places_read(v, options);
        status = read_cosigned(v, options, err);
    }
    if (status == CV_OK) {
        status = read_state(v, err);
    }
    if (status == CV_OK) {
        status = cv_verify_tiles_read(v, err);
    }
    if (status == CV_OK) {
        status = cv_verify_kept_read(v, err);
    }
    if (status == CV_OK) {
        status = cv_verify_archived_read(v, err);
    }
    if (status != CV_OK) {
        return status;
    }
    cv_err_init(&why);
    status = judge_file(
        v, LOG_PATH, cv_file_open(v->vault, LOG_PATH, O_RDONLY, &v->fd, &why));
    if (status == CV_INTEGRITY) {
        cv_verify_add(v, "log", "the log is no file (" LOG_PATH ")");
        return CV_OK;
    }
    if (status == CV_NOT_FOUND &&
        (v->has_key || v->checkpoint.there || v->report.found > 0)) {
        cv_verify_add(v, "log", "the log is gone (" LOG_PATH ")");
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

/* Did a writer change the file's size since? Then what was read last may be of
 * two times, and is read again. */
static bool changed_meanwhile(struct cv_verify *v, struct cv_wal *wal)
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

static bool is_covered(const struct cv_verify *v)
{
    return (v->checkpoint.there && v->checkpoint.c.size > v->at.tree.size) ||
           (v->anchor.there && v->anchor.c.size > v->at.tree.size) ||
           (v->cosigned.n > 0 && v->cosigned.at[0].size > v->at.tree.size);
}

static void take(struct cv_verify *v, struct cv_bytes leaf, bool whole)
{
    struct cv_verify_look look;
    uint8_t hash[CV_TREE_HASH];

    cv_verify_look_at(leaf, &look, hash);
    cv_verify_take(v, &look, hash, NULL, leaf, whole);
}

/* One step; *more false at the end. */
static enum cv_status step(struct cv_verify *v, struct cv_wal *wal, bool *more,
                           struct cv_err *err)
{
    enum cv_wal_kind kind;
    struct cv_bytes leaf;
    bool torn = false, covered = is_covered(v);
    enum cv_status status = cv_wal_next(wal, &kind, &leaf, err);

    if (status != CV_OK) {
        return status;
    }
    if (kind == CV_WAL_FRAME) {
        take(v, leaf, true);
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
    if (!covered) {
        status = cv_verify_kept_covers(v, &covered, err);
    }
    covered = covered || cv_verify_places_covers(v);
    if (status == CV_OK && !covered) {
        status = cv_wal_is_torn(wal, v->at.offset, kind, &torn, err);
    }
    if (status != CV_OK || torn) {
        v->torn = torn;
        return status;
    }
    if (kind == CV_WAL_CRC) {
        cv_wal_seek(wal, v->at.offset, wal->end);
        status = cv_wal_next(wal, &kind, &leaf, err);
        take(v, leaf, kind == CV_WAL_FRAME);
        *more = status == CV_OK && leaf.len > 0;
        return status;
    }
    cv_verify_add_here(v, "frame", "the frame is damaged or cut off");
    return CV_OK;
}

/* All at once as far as all is well, and from there on step by step. */
static enum cv_status scan(struct cv_verify *v,
                           const struct cv_verify_options *options,
                           struct cv_err *err)
{
    struct cv_wal wal;
    struct stat st;
    bool more = true;
    enum cv_status status;

    if (fstat(v->fd, &st) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot look at %s", LOG_PATH);
    }
    status = cv_verify_archived_begin(v, options, err);
    if (status != CV_OK) {
        return status;
    }
    cv_verify_claims(v);
    cv_verify_pass(v, (uint64_t)st.st_size, options);
    status = cv_wal_init(&wal, v->fd, v->at.offset, (uint64_t)st.st_size, err);
    while (status == CV_OK && more) {
        status = step(v, &wal, &more, err);
    }
    cv_wal_wipe(&wal);
    return status;
}

/* Nothing tells then how far the log once went. */
static void note_bare(struct cv_verify *v)
{
    if (!v->checkpoint.there && !v->checkpoint_bad && v->at.tree.size > 0) {
        cv_report_add(&v->notes, "checkpoint", CV_REPORT_NOWHERE,
                      CV_REPORT_NOWHERE, CV_LOG_BARE);
    }
}

/* What speaks of a size that the log did not reach. */
static void check_short(struct cv_verify *v)
{
    if (v->tiles != NULL) {
        cv_tiles_check_end(v->tiles);
    }
    if (v->checkpoint.there && !v->checkpoint.seen) {
        cv_verify_add(v, "size", "the log is shorter than its checkpoint");
        v->checkpoint_bad = true;
    }
    if (v->anchor.there && !v->anchor.seen) {
        cv_verify_add(v, "anchor",
                      "the log is shorter than the given checkpoint");
    }
    for (size_t i = 0; i < v->cosigned.n; i++) {
        if (!v->witness[i].seen) {
            cv_verify_add(v, "witness",
                          "the log is shorter than a witness has signed");
        }
    }
    for (unsigned i = 0; i < v->state.n; i++) {
        if (!v->state_seen[i]) {
            cv_verify_add(v, "state",
                          "audit/state speaks of records that are not there");
        }
    }
}

static bool add_witness(cJSON *list, const char *name, uint64_t size,
                        int64_t time_s)
{
    char time[CV_CLOCK_TEXT_LEN];
    cJSON *o = cJSON_CreateObject();

    if (cv_json_add_str(o, "name", name) &&
        cv_json_add_int(o, "size", (int64_t)size) &&
        cv_json_add_str(o, "time", cv_clock_format(time_s, time)) &&
        cJSON_AddItemToArray(list, o)) {
        return true;
    }
    cJSON_Delete(o);
    return false;
}

/* Whose word there is for it beside the log's own. */
static bool add_anchored(cJSON *o, const struct cv_verify *v)
{
    bool whole = v->report.found == 0, any = false, ok = true;
    cJSON *list = cJSON_CreateArray();
    const char *kind = cv_verify_places_kind(v);

    for (size_t i = 0; whole && i < v->cosigned.n; i++) {
        any = true;
        ok =
            ok && add_witness(list, v->cosigned.at[i].name,
                              v->cosigned.at[i].size, v->cosigned.at[i].time_s);
    }
    if (whole && !any && v->given_by != NULL) {
        any = true;
        ok = add_witness(list, v->given_by, v->anchor.c.size, v->given_s);
    }
    return cv_json_add_str(o, "anchored",
                           any                        ? "witness"
                           : whole && kind != NULL    ? kind
                           : whole && v->anchor.there ? "file"
                                                      : "none") &&
           cv_json_add_item(o, "witnesses", list) &&
           cv_verify_places_report(v, o) && ok;
}

/* The index beside the log, where there is one: against a log that is whole. */
static enum cv_status check_index(struct cv_verify *v, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status = CV_OK;

    cv_err_init(&why);
    if (v->report.found == 0) {
        status = cv_index_check(v->vault, &why);
    }
    if (status == CV_INTEGRITY) {
        cv_verify_add(v, "index", why.text);
        return CV_OK;
    }
    if (status != CV_OK) {
        *err = why;
    }
    return status;
}

static bool add_figures(cJSON *o, const struct cv_verify *v)
{
    return cv_json_add_int(o, "tiles", (int64_t)v->tiles_size) &&
           cv_json_add_int(o, "permits", (int64_t)v->ops.permits) &&
           cv_json_add_int(o, "without_outcome", (int64_t)v->ops.open);
}

/* How far it reaches, and how old it is: what came since is signed by nobody.
 */
static bool add_last(cJSON *o, const struct cv_verify *v)
{
    return cv_json_add_int(o, "checkpoint_size",
                           (int64_t)v->checkpoint.c.size) &&
           cv_json_add_int(o, "checkpoint_age_s", v->checkpoint_age_s);
}

static enum cv_status make_report(struct cv_verify *v, cJSON **out,
                                  struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];
    const char *checkpoint = v->checkpoint_bad     ? "invalid"
                             : v->checkpoint.there ? "valid"
                                                   : "missing";
    cJSON *o = cJSON_CreateObject();
    bool ok;

    cv_tree_root(&v->at.tree, root);
    ok = !v->memory && cv_json_add_bool(o, "ok", v->report.found == 0) &&
         cv_json_add_int(o, "records", (int64_t)v->records) &&
         cv_json_add_int(o, "size", (int64_t)v->at.tree.size) &&
         cv_json_add_base64(o, "root", (struct cv_bytes){root, sizeof root}) &&
         cv_json_add_str(o, "checkpoint", checkpoint) &&
         (!v->checkpoint.there || add_last(o, v)) &&
         cv_json_add_str(o, "tail", v->torn ? "torn" : "clean") &&
         add_anchored(o, v) && add_figures(o, v) &&
         cv_verify_archived_report(v, o) &&
         cv_json_add_item(o, "errors", cv_report_json(&v->report)) &&
         cv_json_add_item(o, "notes", cv_report_json(&v->notes));
    if (!ok) {
        cJSON_Delete(o);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    *out = o;
    return CV_OK;
}

static enum cv_status tell(const struct cv_verify *v, struct cv_err *err)
{
    if (v->report.found == 0) {
        return CV_OK;
    }
    cv_fail(err, CV_INTEGRITY, "the audit log does not verify: %s",
            v->report.items[0].message);
    cv_err_state(err, "%llu %s; nothing was changed",
                 (unsigned long long)v->report.found,
                 v->report.found == 1 ? "error" : "errors");
    cv_err_hint(err, v->report.derived
                         ? "the log itself is as it should be; what is derived "
                           "from it is made again by: certvault audit rebuild"
                         : "keep a copy of the vault's folder; compare it with "
                           "a checkpoint or a backup kept elsewhere");
    return CV_INTEGRITY;
}

/* Has the log another key by now than the one that was read? A change of keys
 * that ended meanwhile: what was read before it and after it fits together no
 * more. */
static bool key_changed(const struct cv_verify *v,
                        const struct cv_verify_options *options)
{
    struct cv_note_key now;

    return (options == NULL || options->vkey == NULL) && v->has_key &&
           cv_logkey_read(v->vault, &now, NULL) == CV_OK &&
           memcmp(now.public_key, v->key.public_key, sizeof now.public_key) !=
               0;
}

/* *again: it found something, and is to be asked once more. */
static enum cv_status verify_once(int vault,
                                  const struct cv_verify_options *options,
                                  cJSON **report, bool *again,
                                  struct cv_err *err)
{
    struct cv_verify v;
    enum cv_status status;

    memset(&v, 0, sizeof v);
    v.vault = vault;
    v.fd = -1;
    cv_ops_init(&v.ops);
    status = cv_report_init(&v.report) && cv_report_init(&v.notes)
                 ? open_all(&v, options, err)
                 : cv_fail(err, CV_INTERNAL, "out of memory");
    if (status == CV_OK && v.fd >= 0) {
        status = scan(&v, options, err);
    }
    if (status == CV_OK) {
        status = cv_verify_archived_end(&v, err);
    }
    if (status == CV_OK) {
        check_short(&v);
        note_bare(&v);
        cv_verify_tiles_end(&v);
        cv_verify_keys_end(&v, options == NULL ? (struct cv_bytes){NULL, 0}
                                               : options->checkpoint);
        cv_verify_keys_store(&v, options == NULL ? NULL : options->store_key);
        cv_verify_places_end(&v);
        status = cv_verify_kept_end(&v, err);
    }
    if (status == CV_OK) {
        status = check_index(&v, err);
    }
    if (status == CV_OK) {
        status = make_report(&v, report, err);
    }
    if (status == CV_OK) {
        status = tell(&v, err);
    }
    *again = status == CV_INTEGRITY && key_changed(&v, options);
    cv_file_close(&v.fd);
    cv_ops_wipe(&v.ops);
    cv_carried_free(&v.changes);
    free(v.kept);
    free(v.placed);
    cv_tiles_check_free(v.tiles);
    cv_report_wipe(&v.report);
    cv_report_wipe(&v.notes);
    return status;
}

enum cv_status cv_verify_log(int vault, const struct cv_verify_options *options,
                             cJSON **report, struct cv_err *err)
{
    bool again = false;
    struct cv_err own;
    enum cv_status status;

    *report = NULL;
    if (err == NULL) {
        cv_err_init(&own);
        err = &own;
    }
    status = verify_once(vault, options, report, &again, err);
    if (again) {
        cJSON_Delete(*report);
        *report = NULL;
        cv_err_init(err);
        status = verify_once(vault, options, report, &again, err);
    }
    return status;
}
