#include "vault/audit/checkpoint.h"

#include "vault/audit/log_internal.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PATH "audit/checkpoint"

enum cv_status cv_checkpoint_read(int vault, const struct cv_note_key *key,
                                  struct cv_checkpoint *out,
                                  struct cv_buf *note, int64_t *age_s,
                                  struct cv_err *err)
{
    struct cv_buf text;
    struct stat st;
    int fd = -1;
    enum cv_status status = cv_file_open(vault, PATH, O_RDONLY, &fd, err);

    memset(out, 0, sizeof *out);
    if (status != CV_OK) {
        return status;
    }
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    status = cv_file_read(fd, PATH, &text, err);
    if (status == CV_OK && age_s != NULL) {
        *age_s = fstat(fd, &st) == 0 && st.st_mtime < cv_clock_now_s()
                     ? cv_clock_now_s() - st.st_mtime
                     : 0;
    }
    cv_file_close(&fd);
    if (status == CV_INVALID) {
        status = cv_fail(err, CV_INTEGRITY, "%s is not a checkpoint", PATH);
    }
    if (status == CV_OK) {
        status = cv_checkpoint_open(cv_buf_bytes(&text), key, out, err);
        if (status != CV_OK) {
            cv_err_prefix(err, "%s", PATH);
        }
    }
    if (status == CV_OK && note != NULL) {
        cv_buf_add(note, text.data, text.len);
        status = cv_buf_status(note, PATH, err);
    }
    cv_buf_wipe(&text);
    return status;
}

static enum cv_status contradiction(struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "the last checkpoint does not fit the log");
    cv_err_state(err, "no checkpoint was written");
    cv_err_hint(err, "run `certvault audit verify`");
    return CV_INTEGRITY;
}

static void checkpoint_of(const struct cv_log *log,
                          const struct cv_frontier *at,
                          struct cv_checkpoint *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->origin, log->key.name, sizeof out->origin);
    out->size = at->tree.size;
    cv_tree_root(&at->tree, out->root);
}

enum cv_status cv_checkpoint_begin(struct cv_log *log, struct cv_buf *text,
                                   struct cv_err *err)
{
    struct cv_checkpoint last, now;
    bool found = false;
    enum cv_status status;

    if (!log->has_key) {
        cv_fail(err, CV_INTEGRITY, "audit/key.pub is gone");
        cv_err_hint(err, "it can be made again from audit/log.key");
        return CV_INTEGRITY;
    }
    status = cv_log_last(log, &last, &found, err);
    if (status != CV_OK) {
        return status;
    }
    checkpoint_of(log, &log->next, &now);
    if (found && last.size == now.size) {
        return memcmp(last.root, now.root, sizeof now.root) == 0
                   ? CV_OK
                   : contradiction(err);
    }
    if (found && last.size > now.size) {
        return contradiction(err);
    }
    log->mark = log->next;
    cv_checkpoint_text(&now, text);
    return cv_buf_status(text, "a checkpoint", err);
}

/* Is this the text that cv_checkpoint_begin gave? */
static bool is_ours(const struct cv_log *log, struct cv_bytes text,
                    struct cv_checkpoint *out)
{
    struct cv_checkpoint ours;

    checkpoint_of(log, &log->mark, &ours);
    return cv_checkpoint_parse(text, out, NULL) == CV_OK &&
           out->size == ours.size && strcmp(out->origin, ours.origin) == 0 &&
           memcmp(out->root, ours.root, sizeof ours.root) == 0;
}

/* The note, once it is clear that it is ours and that it goes on from the one
 * that is stored; empty where that one is not older. */
static enum cv_status make_note(const struct cv_log *log, struct cv_bytes text,
                                const char *line, struct cv_buf *note,
                                struct cv_err *err)
{
    struct cv_checkpoint last, ours, opened;
    bool found = false;
    enum cv_status status;

    if (!is_ours(log, text, &ours)) {
        return cv_fail(err, CV_INTEGRITY,
                       "the text signed is not this log's checkpoint");
    }
    status = cv_log_last(log, &last, &found, err);
    if (status != CV_OK) {
        return status;
    }
    if (found && last.size == ours.size &&
        memcmp(last.root, ours.root, sizeof ours.root) != 0) {
        return contradiction(err);
    }
    if (found && last.size >= ours.size) {
        return CV_OK;
    }
    status = cv_note_join(text, line, note, err);
    if (status == CV_OK) {
        status =
            cv_checkpoint_open(cv_buf_bytes(note), &log->key, &opened, err);
    }
    return status == CV_INVALID ? CV_INTEGRITY : status;
}

enum cv_status cv_checkpoint_finish(struct cv_log *log, struct cv_bytes text,
                                    const char *line, struct cv_err *err)
{
    struct cv_buf note;
    enum cv_status status;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    status = make_note(log, text, line, &note, err);
    if (status == CV_OK && note.len > 0) {
        status = cv_log_settle(log, err);
    }
    if (status == CV_OK && note.len > 0) {
        status =
            cv_file_replace(log->vault, PATH, cv_buf_bytes(&note), 0600, err);
        if (status == CV_OK) {
            status = cv_state_write(log->vault, &log->state, &log->mark, err);
        }
    }
    cv_buf_wipe(&note);
    return status;
}

static enum cv_status commit_note(struct cv_log *log, struct cv_bytes note,
                                  struct cv_err *err)
{
    int fd;
    enum cv_status status =
        cv_file_stage(log->vault, PATH, note, 0600, &fd, err);

    if (status == CV_OK) {
        status = cv_log_commit(log, err);
    }
    if (status == CV_OK) {
        status = fd == -1 ? cv_file_replace(log->vault, PATH, note, 0600, err)
                          : cv_file_publish(log->vault, PATH, fd, err);
    }
    cv_file_close(&fd);
    if (status == CV_OK) {
        status = cv_state_write(log->vault, &log->state, &log->mark, err);
    }
    return status;
}

enum cv_status cv_checkpoint_commit(struct cv_log *log, struct cv_bytes text,
                                    const char *line, struct cv_err *err)
{
    struct cv_buf note;
    enum cv_status status;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    status = make_note(log, text, line, &note, err);
    if (status == CV_OK) {
        status = note.len > 0 ? commit_note(log, cv_buf_bytes(&note), err)
                              : cv_log_commit(log, err);
    }
    cv_buf_wipe(&note);
    return status;
}

enum cv_status cv_checkpoint_sync(int vault, struct cv_err *err)
{
    int fd = openat(vault, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum cv_status status;

    if (fd < 0) {
        return cv_fail_errno(err, CV_IO, "cannot open the folder of the log");
    }
    status = cv_file_sync_folder(fd, err);
    cv_file_close(&fd);
    return status;
}
