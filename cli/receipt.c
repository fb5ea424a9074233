#include "cli/receipt.h"
#include "cli/inside.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum cv_status cv_receipt_begin(struct cv_cli *cli, const struct cv_args *args,
                                struct cv_receipt *r, struct cv_err *err)
{
    struct stat st;
    enum cv_status s;

    *r = (struct cv_receipt){cv_args_value(args, "receipt"), NULL, -1};
    if (r->path == NULL) {
        return CV_OK;
    }
    if (strcmp(r->path, "-") == 0) {
        return cv_fail(err, CV_USAGE, "a receipt is written into a file");
    }
    s = cv_inside_check_output(cli, r->path, err);
    if (s == CV_OK) {
        s = cv_path_open_target(r->path, &r->dir, &r->name, err);
    }
    if (s == CV_OK && fstatat(r->dir, r->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (!cli->yes || !S_ISREG(st.st_mode))) {
        s = cv_fail(err, CV_EXISTS, "%s is there already", r->path);
        cv_err_state(err, "nothing was asked for, nothing was written");
        cv_err_hint(err, "%s",
                    S_ISREG(st.st_mode) ? "--yes replaces it"
                                        : "it is not a file, and stays");
    }
    return s;
}

enum cv_status cv_receipt_apart(const struct cv_receipt *r, int dir,
                                const char *name, const char *flag,
                                struct cv_err *err)
{
    struct stat ours, theirs;
    enum cv_status s;

    if (r->path == NULL || strcmp(r->name, name) != 0 ||
        fstat(r->dir, &ours) != 0 || fstat(dir, &theirs) != 0 ||
        ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino) {
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "--%s and --receipt name the same file", flag);
    cv_err_state(err, "nothing was asked for, nothing was written");
    return s;
}

bool cv_receipt_ask(const struct cv_receipt *r, cJSON *parameters)
{
    return r->path == NULL || cv_json_add_bool(parameters, "receipt", true);
}

enum cv_status cv_receipt_write(struct cv_cli *cli, const struct cv_receipt *r,
                                const cJSON *answer, const char *done,
                                struct cv_err *err)
{
    const char *text = cv_output_table_text(answer, "receipt");
    const cJSON *seq = cJSON_GetObjectItemCaseSensitive(answer, "audit_seq");
    double number = cJSON_IsNumber(seq) ? seq->valuedouble : -1;
    struct cv_bytes bytes = {(const uint8_t *)text, text ? strlen(text) : 0};
    enum cv_status s;

    if (r->path == NULL) {
        return CV_OK;
    }
    if (text == NULL) {
        s = cv_fail(err, CV_INVALID, "the broker's answer has no receipt");
    } else {
        s = cli->yes ? cv_file_replace(r->dir, r->name, bytes, 0600, err)
                     : cv_file_create(r->dir, r->name, bytes, 0600, err);
    }
    if (s == CV_OK) {
        cv_output_note(&cli->out, "record %.0f is proved by %s", number,
                       r->path);
        return CV_OK;
    }
    cv_err_prefix(err, "the receipt was not written");
    cv_err_state(err, "%s; the record has it (%.0f)", done, number);
    cv_err_hint(err, "certvault audit prove %.0f makes a proof of it again",
                number);
    if (text != NULL && err != NULL) {
        err->status = CV_IO;
    }
    return text != NULL ? CV_IO : s;
}

void cv_receipt_end(struct cv_receipt *r)
{
    cv_file_close(&r->dir);
}
