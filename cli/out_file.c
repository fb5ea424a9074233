#include "cli/out_file.h"

#include "cli/inside.h"
#include "cli/path.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PENDING CV_KIB(256)

static enum cv_status look(const struct cv_cli *cli, int dir, const char *name,
                           const char *path, struct cv_err *err)
{
    struct stat st;
    enum cv_status s;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        (S_ISREG(st.st_mode) && cli->yes)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_EXISTS, "%s is there already", path);
    cv_err_state(err, "nothing was asked for, nothing was written");
    if (S_ISREG(st.st_mode)) {
        cv_err_hint(err, "--yes replaces it, once the new one is whole");
    }
    return s;
}

enum cv_status cv_out_file_begin(struct cv_cli *cli, const char *path,
                                 struct cv_out_file *out, struct cv_err *err)
{
    const char *name;
    int dir = -1;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    out->draft.fd = -1;
    out->draft.folder = -1;
    out->replace = cli->yes;
    cv_buf_init(&out->pending, NULL, 2 * PENDING);
    s = cv_path_check_file(path, err);
    if (s == CV_OK) {
        s = cv_inside_check_output(cli, path, err);
    }
    if (s == CV_OK) {
        s = cv_path_open_parent(path, &dir, &name, err);
    }
    if (s == CV_OK) {
        s = look(cli, dir, name, path, err);
    }
    if (s == CV_OK) {
        s = cv_file_draft_begin(dir, name, &out->draft, err);
    }
    cv_file_close(&dir);
    return s;
}

static enum cv_status flush(struct cv_out_file *out, struct cv_err *err)
{
    enum cv_status s = cv_buf_status(&out->pending, "the file", err);

    if (s == CV_OK && out->pending.len > 0) {
        s = cv_file_write(out->draft.fd, cv_buf_bytes(&out->pending),
                          "the file", err);
        out->pending.len = 0;
    }
    return s;
}

enum cv_status cv_out_file_add(struct cv_out_file *out, struct cv_bytes data,
                               struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (out->pending.len + data.len > PENDING) {
        s = flush(out, err);
    }
    if (s == CV_OK && data.len > PENDING) {
        return cv_file_write(out->draft.fd, data, "the file", err);
    }
    cv_buf_add(&out->pending, data.data, data.len);
    return s;
}

enum cv_status cv_out_file_publish(struct cv_out_file *out, struct cv_err *err)
{
    enum cv_status s = flush(out, err);

    return s == CV_OK ? cv_file_draft_publish(&out->draft, out->replace, err)
                      : s;
}

void cv_out_file_end(struct cv_out_file *out)
{
    cv_buf_wipe(&out->pending);
    cv_file_draft_end(&out->draft);
}
