/* audit archive: the oldest records into a file, and out of the vault. */
#include "cli/arrival.h"
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/output_table.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define FRAME_MOST (8 + (int64_t)CV_LIMIT_LEAF)

struct archive {
    struct cv_cli *cli;
    struct cv_arrival file;
    int64_t first, before;
    int64_t next; /* the first record that has not come yet */
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
    bool is_file;
    enum cv_status s = cv_arrival_look(path, false, &is_file, err);

    if (s == CV_EXISTS) {
        cv_err_state(err, "nothing was archived");
        cv_err_hint(err, "an archive is never written over: another name");
    }
    return s;
}

/* Records were asked for: it says which come, and by that how many bytes at
 * most (docs/formats.md: eight and the leaf each). */
static enum cv_status take_plan(struct archive *a, const cJSON *answer,
                                int64_t wanted, struct cv_err *err)
{
    a->first = a->next = number_of(answer, "first");
    a->before = number_of(answer, "before");
    if (a->first < 0 || a->first >= a->before || a->before > wanted) {
        (void)cv_fail(err, CV_INTEGRITY,
                      "the broker announced other records than were asked "
                      "for: %lld up to %lld",
                      (long long)a->first, (long long)a->before);
        return cv_arrival_distrust(&a->file, err);
    }
    a->file.most = (a->before - a->first) > INT64_MAX / FRAME_MOST
                       ? INT64_MAX
                       : (a->before - a->first) * FRAME_MOST;
    return CV_OK;
}

/* A piece has at least one record, and none but those. */
static enum cv_status follow(struct archive *a, const cJSON *answer, size_t len,
                             struct cv_err *err)
{
    const int64_t next = number_of(answer, "next"), was = a->next;

    a->next = next;
    if (len > 0 ? next > was && next <= a->before : next == a->before) {
        return CV_OK;
    }
    (void)cv_fail(err, CV_INTEGRITY,
                  "the broker sends other records than it announced: %lld "
                  "behind %lld, of those before %lld",
                  (long long)next, (long long)was, (long long)a->before);
    return cv_arrival_distrust(&a->file, err);
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
            s = cv_arrival_take(&a->file, reply.tree, &len, err);
            if (s == CV_OK) {
                s = follow(a, reply.tree, len, err);
            }
            cv_output_progress(&a->cli->out, "%lld of %lld records",
                               (long long)(a->next - a->first),
                               (long long)(a->before - a->first));
            cv_message_free(&reply);
        }
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

    if (cv_arrival_sync(&a->file, err) != CV_OK) {
        return CV_IO;
    }
    (void)crypto_hash_sha256_init(&sha);
    while (n > 0) {
        n = pread(a->file.draft.fd, room, sizeof(room), at);
        if (n < 0 && errno == EINTR) {
            n = 1;
            continue;
        }
        if (n < 0) {
            return cv_fail_errno(err, CV_IO, "cannot read %s", a->file.path);
        }
        (void)crypto_hash_sha256_update(&sha, room, (size_t)n);
        at += n;
    }
    (void)crypto_hash_sha256_final(&sha, digest);
    (void)sodium_bin2hex(a->digest, sizeof(a->digest), digest, sizeof(digest));
    return CV_OK;
}

/* The file has its name before anything leaves the log. */
static enum cv_status finish(struct archive *a, const cJSON **answer,
                             struct cv_err *err)
{
    cJSON *parameters;
    enum cv_status s = read_back(a, err);

    if (s == CV_OK) {
        s = cv_arrival_publish(&a->file, false, err);
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
                     a->file.path);
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
    s = take_plan(a, answer, before, err);
    if (s != CV_OK) {
        cv_err_state(err, "nothing was archived");
        return s;
    }
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
    (void)cv_json_add_str(shown, "file", a->file.path);
    (void)cv_json_add_int(shown, "first", a->first);
    (void)cv_json_add_int(shown, "before", a->before);
    (void)cv_json_add_str(shown, "until",
                          cv_output_table_text(answer, "until"));
    (void)cv_json_add_int(shown, "bytes", a->file.bytes);
    (void)cv_json_add_str(shown, "digest", a->digest);
    answer = cv_cli_keep(a->cli, shown, err);
    return answer != NULL
               ? cv_output_table_object(&a->cli->out, &view, answer, err)
               : CV_INTERNAL;
}

CV_CMD(audit_archive)
{
    const char *text = cv_args_value(args, "before");
    const char *path = cv_args_value(args, "output");
    struct archive a = {.cli = cli};
    int64_t before = 0;
    enum cv_status s;

    if (text == NULL || path == NULL || strcmp(path, "-") == 0) {
        s = cv_fail(err, CV_USAGE,
                    "audit archive wants --before SEQ and --output FILE");
        cv_err_hint(err, "the file is all that is left of the records' text: "
                         "on another disk, and kept");
        return s;
    }
    s = cv_check_number(text, "--before", 1, CV_CHECK_SEQ_MAX, &before, err);
    if (s == CV_OK) {
        s = look(path, err);
    }
    if (s == CV_OK) {
        s = cv_arrival_begin(cli, path, "archive", &a.file, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = run(&a, before, err);
    cv_arrival_end(&a.file);
    if (s == CV_OK) {
        cv_output_note(&cli->out,
                       "the log begins with record %lld now; keep the file: "
                       "proofs of older records need it",
                       (long long)a.before);
    }
    return s;
}
