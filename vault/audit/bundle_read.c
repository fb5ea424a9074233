/* The files of a bundle: whoever made it may have put anything there. */
#include "vault/audit/bundle_internal.h"

#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum cv_status open_part(int dir, const char *name, int *fd,
                                struct cv_err *err)
{
    struct stat st;

    *fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (*fd == -1) {
        return errno == ENOENT || errno == ELOOP || errno == ENXIO
                   ? cv_fail(err, CV_INTEGRITY, "%s: not there, or no file",
                             name)
                   : cv_fail_errno(err, CV_IO, "%s", name);
    }
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        cv_file_close(fd);
        return cv_fail(err, CV_INTEGRITY, "%s is no file", name);
    }
    return CV_OK;
}

enum cv_status cv_bundle_read(int dir, const char *name, struct cv_buf *out,
                              struct cv_err *err)
{
    int fd = -1;
    enum cv_status status = open_part(dir, name, &fd, err);

    if (status == CV_OK) {
        status = cv_file_read(fd, name, out, err);
    }
    cv_file_close(&fd);
    return status == CV_INVALID
               ? cv_fail(err, CV_INTEGRITY, "%s is too long", name)
               : status;
}

enum cv_status cv_bundle_names(int dir, const char *name, unsigned most,
                               cv_bundle_name_fn *fn, void *ctx,
                               struct cv_err *err)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd == -1 ? NULL : fdopendir(fd);
    enum cv_status status = CV_OK;
    const struct dirent *e;

    if (d == NULL) {
        int why = errno;

        cv_file_close(&fd);
        return why == ENOENT
                   ? cv_fail(err, CV_NOT_FOUND, "%s is not there", name)
                   : cv_fail(err, CV_INTEGRITY, "%s is no folder", name);
    }
    while (status == CV_OK && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        status = most-- == 0 ? cv_fail(err, CV_INTEGRITY,
                                       "%s holds more than a bundle does", name)
                             : fn(ctx, e->d_name, err);
    }
    (void)closedir(d);
    return status;
}

static enum cv_status take_lines(struct cv_buf *text, const char *name,
                                 cv_bundle_line_fn *fn, void *ctx,
                                 struct cv_err *err)
{
    enum cv_status status = CV_OK;
    size_t at = 0;

    while (status == CV_OK && at < text->len) {
        const uint8_t *from = text->data + at;
        const uint8_t *end = memchr(from, '\n', text->len - at);
        size_t len = end != NULL ? (size_t)(end - from) : text->len - at;

        if (len > CV_LIMIT_LEAF || (end != NULL && len == 0)) {
            return cv_fail(err, CV_INTEGRITY,
                           "%s: a line that is no record (its length)", name);
        }
        if (end == NULL) {
            break;
        }
        status = fn(ctx, (struct cv_bytes){from, len}, err);
        at += len + 1;
    }
    cv_buf_drop(text, at);
    return status;
}

static enum cv_status read_lines(int fd, const char *name, struct cv_buf *text,
                                 cv_bundle_line_fn *fn, void *ctx,
                                 struct cv_err *err)
{
    enum cv_status status = CV_OK;
    ssize_t n = 1;

    while (status == CV_OK && n != 0) {
        uint8_t *room = cv_buf_room(text, CV_KIB(128));

        if (room == NULL) {
            return cv_buf_status(text, name, err);
        }
        n = read(fd, room, CV_KIB(128));
        if (n < 0 && errno != EINTR) {
            return cv_fail_errno(err, CV_IO, "%s", name);
        }
        if (n > 0) {
            cv_buf_took(text, (size_t)n);
            status = take_lines(text, name, fn, ctx, err);
        }
    }
    if (status == CV_OK && text->len > 0) {
        status =
            cv_fail(err, CV_INTEGRITY, "%s does not end with a line", name);
    }
    return status;
}

enum cv_status cv_bundle_lines(int dir, const char *name, cv_bundle_line_fn *fn,
                               void *ctx, struct cv_err *err)
{
    struct cv_buf text;
    int fd = -1;
    enum cv_status status = open_part(dir, name, &fd, err);

    cv_buf_init(&text, NULL, CV_KIB(512));
    if (status == CV_OK) {
        status = read_lines(fd, name, &text, fn, ctx, err);
    }
    cv_buf_wipe(&text);
    cv_file_close(&fd);
    return status;
}
