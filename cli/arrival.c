#include "cli/arrival.h"

#include "cli/interrupt.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum cv_status cv_arrival_look(const char *path, bool replaces, bool *is_file,
                               struct cv_err *err)
{
    const char *name;
    struct stat st;
    int dir = -1;
    enum cv_status s = cv_path_check_file(path, err);

    *is_file = false;
    if (s == CV_OK) {
        s = cv_path_open_parent(path, &dir, &name, err);
    }
    if (s == CV_OK && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        *is_file = S_ISREG(st.st_mode);
        if (!*is_file || !replaces) {
            s = cv_fail(err, CV_EXISTS, "%s is there already", path);
        }
    }
    cv_file_close(&dir);
    return s;
}

enum cv_status cv_arrival_begin(struct cv_cli *cli, const char *path,
                                const char *what, struct cv_arrival *a,
                                struct cv_err *err)
{
    struct stat st;
    enum cv_status s;

    *a = (struct cv_arrival){.cli = cli, .path = path, .what = what};
    s = cv_file_draft_begin(AT_FDCWD, path, &a->draft, err);
    if (s == CV_OK && fstat(a->draft.fd, &st) == 0 && (st.st_mode & 077) != 0) {
        cv_output_warn(&cli->out,
                       "the file system of %s keeps no modes: others may be "
                       "able to read the %s",
                       path, what);
    }
    return s;
}

enum cv_status cv_arrival_distrust(const struct cv_arrival *a,
                                   struct cv_err *err)
{
    cv_err_hint(err,
                "what came was thrown away, and %s is as it was. Run it "
                "again; if that is so again, that broker is not to be "
                "trusted: certvault status says which one answers",
                a->path);
    return CV_INTEGRITY;
}

enum cv_status cv_arrival_take(struct cv_arrival *a, const cJSON *answer,
                               size_t *len, struct cv_err *err)
{
    const char *text = cv_output_table_text(answer, "data");
    struct cv_buf piece;
    enum cv_status s;

    *len = 0;
    if (text == NULL) {
        return cv_fail(err, CV_INVALID, "the broker's answer has no data");
    }
    cv_buf_init(&piece, NULL, CV_LIMIT_BACKUP_STEP);
    s = cv_decode_base64(text, strlen(text), false, a->what, &piece, err);
    if (s == CV_OK && (int64_t)piece.len > a->most - a->bytes) {
        (void)cv_fail(err, CV_INTEGRITY,
                      "the broker sends more than the %lld bytes of %s that "
                      "it announced",
                      (long long)a->most, a->what);
        s = cv_arrival_distrust(a, err);
    }
    if (s == CV_OK) {
        s = cv_file_write(a->draft.fd, cv_buf_bytes(&piece), a->path, err);
    }
    if (s == CV_OK) {
        *len = piece.len;
        a->bytes += (int64_t)piece.len;
    }
    cv_buf_wipe(&piece);
    return s == CV_NOT_FOUND ? CV_IO : s;
}

enum cv_status cv_arrival_sync(struct cv_arrival *a, struct cv_err *err)
{
    return fsync(a->draft.fd) == 0
               ? CV_OK
               : cv_fail_errno(err, CV_IO, "cannot write %s", a->path);
}

enum cv_status cv_arrival_publish(struct cv_arrival *a, bool replaces,
                                  struct cv_err *err)
{
    enum cv_status s;

    cv_interrupt_hold();
    s = cv_file_draft_publish(&a->draft, replaces, err);
    cv_interrupt_release();
    return s;
}

void cv_arrival_end(struct cv_arrival *a)
{
    cv_file_draft_end(&a->draft);
}
