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
#define SIZE_MAX_VALUE UINT64_C(9007199254740992)

void cv_checkpoint_text(const struct cv_checkpoint *c, struct cv_buf *out)
{
    cv_buf_add_format(out, "%s\n%llu\n", c->origin,
                      (unsigned long long)c->size);
    cv_encode_base64((struct cv_bytes){c->root, sizeof c->root}, out);
    cv_buf_add_char(out, '\n');
}

/* The line at the start of `text`, without its LF, which is passed over. */
static bool next_line(struct cv_bytes *text, struct cv_bytes *line)
{
    const uint8_t *end =
        text->len == 0 ? NULL : memchr(text->data, '\n', text->len);

    if (end == NULL) {
        return false;
    }
    *line = (struct cv_bytes){text->data, (size_t)(end - text->data)};
    text->data += line->len + 1;
    text->len -= line->len + 1;
    return true;
}

static bool read_size(struct cv_bytes line, uint64_t *size)
{
    *size = 0;
    if (line.len == 0 || line.len > 16 ||
        (line.len > 1 && line.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return false;
        }
        *size = *size * 10 + (line.data[i] - '0');
    }
    return *size <= SIZE_MAX_VALUE;
}

static bool read_root(struct cv_bytes line, uint8_t out[CV_TREE_HASH])
{
    char text[64];

    if (line.len >= sizeof text) {
        return false;
    }
    /* libsodium 1.0.18 takes every byte from 0x80 up for a base64 digit. */
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] >= 0x80) {
            return false;
        }
    }
    memcpy(text, line.data, line.len);
    text[line.len] = '\0';
    return cv_decode_base64_exact(text, "the root", out, CV_TREE_HASH, NULL) ==
           CV_OK;
}

enum cv_status cv_checkpoint_parse(struct cv_bytes text,
                                   struct cv_checkpoint *out,
                                   struct cv_err *err)
{
    struct cv_bytes origin, size, root;

    memset(out, 0, sizeof *out);
    if (!next_line(&text, &origin) || !next_line(&text, &size) ||
        !next_line(&text, &root) || text.len != 0 || origin.len == 0 ||
        origin.len > CV_NOTE_NAME || !read_size(size, &out->size) ||
        !read_root(root, out->root)) {
        memset(out, 0, sizeof *out);
        return cv_fail(err, CV_INTEGRITY, "not a checkpoint");
    }
    memcpy(out->origin, origin.data, origin.len);
    return CV_OK;
}

enum cv_status cv_checkpoint_open(struct cv_bytes note,
                                  const struct cv_note_key *key,
                                  struct cv_checkpoint *out, struct cv_err *err)
{
    struct cv_bytes text;
    enum cv_status status = cv_note_open(note, key, 1, &text, err);

    memset(out, 0, sizeof *out);
    if (status == CV_OK) {
        status = cv_checkpoint_parse(text, out, err);
    }
    if (status == CV_OK && strcmp(out->origin, key->name) != 0) {
        memset(out, 0, sizeof *out);
        status =
            cv_fail(err, CV_INTEGRITY, "a checkpoint of another log's origin");
    }
    return status;
}

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
