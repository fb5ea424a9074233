/* audit archive: the oldest records into a file, and out of the vault. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct archive {
    struct cv_cli *cli;
    const char *path;
    struct cv_file_draft draft;
    int64_t first, before, bytes;
    char digest[2 * crypto_hash_sha256_BYTES + 1];
};

static const struct cv_output_column columns[] = {
    {"file", "file", NULL, NULL},     {"first", "first", NULL, NULL},
    {"before", "before", NULL, NULL}, {"until", "until", NULL, NULL},
    {"bytes", "bytes", NULL, NULL},   {"digest", "digest", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "AuditArchive",
    .name = "file",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

static int64_t number_of(const cJSON *tree, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(tree, key);

    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : -1;
}

static enum cv_status look(const char *path, struct cv_err *err)
{
    const char *name;
    struct stat st;
    int dir = -1;
    enum cv_status s = cv_path_open_parent(path, &dir, &name, err);

    if (s == CV_OK && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        s = cv_fail(err, CV_EXISTS, "%s is there already", path);
        cv_err_state(err, "nothing was archived");
        cv_err_hint(err, "an archive is never written over: another name");
    }
    cv_file_close(&dir);
    return s;
}

static enum cv_status take_piece(struct archive *a, const cJSON *answer,
                                 size_t *len, struct cv_err *err)
{
    const char *text = cv_output_table_text(answer, "data");
    struct cv_buf piece;
    enum cv_status s;

    if (text == NULL) {
        return cv_fail(err, CV_INVALID, "the broker's answer has no data");
    }
    cv_buf_init(&piece, NULL, CV_LIMIT_BACKUP_STEP);
    s = cv_decode_base64(text, strlen(text), false, "the archive", &piece, err);
    *len = piece.len;
    if (s == CV_OK) {
        s = cv_file_write(a->draft.fd, cv_buf_bytes(&piece), a->path, err);
    }
    cv_buf_wipe(&piece);
    return s == CV_NOT_FOUND ? CV_IO : s;
}

static enum cv_status copy_all(struct archive *a, struct cv_err *err)
{
    size_t len = 1;
    enum cv_status s = CV_OK;

    while (s == CV_OK && len > 0) {
        struct cv_call call = {.method = "AuditArchiveRead",
                               .parameters = cJSON_CreateObject()};
        struct cv_message reply;

        s = cv_call_run(a->cli, &call, &reply, err);
        if (s == CV_OK) {
            s = take_piece(a, reply.tree, &len, err);
            cv_output_progress(
                &a->cli->out, "%lld of %lld records",
                (long long)(number_of(reply.tree, "next") - a->first),
                (long long)(a->before - a->first));
            cv_message_free(&reply);
        }
        a->bytes += (int64_t)len;
    }
    cv_output_progress_end(&a->cli->out);
    return s;
}

/* What is on the disk now. */
static enum cv_status read_back(struct archive *a, struct cv_err *err)
{
    uint8_t room[4096], digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state sha;
    off_t at = 0;
    ssize_t n = 1;

    if (fsync(a->draft.fd) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot write %s", a->path);
    }
    (void)crypto_hash_sha256_init(&sha);
    while (n > 0) {
        n = pread(a->draft.fd, room, sizeof(room), at);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n < 0) {
            return cv_fail_errno(err, CV_IO, "cannot read %s", a->path);
        }
        (void)crypto_hash_sha256_update(&sha, room, (size_t)n);
        at += n;
    }
    (void)crypto_hash_sha256_final(&sha, digest);
    (void)sodium_bin2hex(a->digest, sizeof(a->digest), digest, sizeof(digest));
    return CV_OK;
}

static enum cv_status publish(struct archive *a, struct cv_err *err)
{
    enum cv_status s;

    cv_interrupt_hold();
    s = cv_file_draft_publish(&a->draft, false, err);
    cv_interrupt_release();
    return s;
}

/* The file has its name before anything leaves the log. */
static enum cv_status finish(struct archive *a, const cJSON **answer,
                             struct cv_err *err)
{
    cJSON *parameters;
    enum cv_status s = read_back(a, err);

    if (s == CV_OK) {
        s = publish(a, err);
    }
    if (s != CV_OK) {
        cv_err_state(err, "nothing was archived");
        return s;
    }
    parameters = cJSON_CreateObject();
    (void)cv_json_add_str(parameters, "digest", a->digest);
    s = cv_call_simple(a->cli, "AuditArchiveEnd", parameters, answer, err);
    if (s != CV_OK && (err->state[0] == '\0')) {
        cv_err_state(err,
                     "%s is there and whole; certvault audit status tells "
                     "whether the records are in the log still",
                     a->path);
    }
    return s;
}

static enum cv_status run(struct archive *a, int64_t before, struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(a->cli), *shown;
    const cJSON *answer = NULL;
    enum cv_status s;

    (void)cv_json_add_int(parameters, "before", before);
    s = cv_call_simple(a->cli, "AuditArchive", parameters, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    a->first = number_of(answer, "first");
    a->before = number_of(answer, "before");
    if (a->before != before) {
        cv_output_note(&a->cli->out,
                       "records are archived by the 256: those before %lld",
                       (long long)a->before);
    }
    s = copy_all(a, err);
    if (s != CV_OK) {
        cv_err_state(err, "nothing was archived");
        return s;
    }
    s = finish(a, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    shown = cJSON_CreateObject();
    (void)cv_json_add_str(shown, "file", a->path);
    (void)cv_json_add_int(shown, "first", a->first);
    (void)cv_json_add_int(shown, "before", a->before);
    (void)cv_json_add_str(shown, "until",
                          cv_output_table_text(answer, "until"));
    (void)cv_json_add_int(shown, "bytes", a->bytes);
    (void)cv_json_add_str(shown, "digest", a->digest);
    answer = cv_cli_keep(a->cli, shown, err);
    return answer != NULL
               ? cv_output_table_object(&a->cli->out, &view, answer, err)
               : CV_INTERNAL;
}

CV_CMD(audit_archive)
{
    const char *text = cv_args_value(args, "before");
    struct archive a = {.cli = cli, .path = cv_args_value(args, "output")};
    struct stat st;
    int64_t before = 0;
    enum cv_status s;

    if (text == NULL || a.path == NULL || strcmp(a.path, "-") == 0) {
        s = cv_fail(err, CV_USAGE,
                    "audit archive wants --before SEQ and --output FILE");
        cv_err_hint(err, "the file is all that is left of the records' text: "
                         "on another disk, and kept");
        return s;
    }
    s = cv_check_number(text, "--before", 1, CV_CHECK_SEQ_MAX, &before, err);
    if (s == CV_OK) {
        s = look(a.path, err);
    }
    if (s == CV_OK) {
        s = cv_file_draft_begin(AT_FDCWD, a.path, &a.draft, err);
    }
    if (s != CV_OK) {
        return s;
    }
    if (fstat(a.draft.fd, &st) == 0 && (st.st_mode & 077) != 0) {
        cv_output_warn(&cli->out,
                       "the file system of %s keeps no modes: others may be "
                       "able to read the archive",
                       a.path);
    }
    s = run(&a, before, err);
    cv_file_draft_end(&a.draft);
    if (s == CV_OK) {
        cv_output_note(&cli->out,
                       "the log begins with record %lld now; keep the file: "
                       "proofs of older records need it",
                       (long long)a.before);
    }
    return s;
}
