#include "cli/runtime.h"

#include "vault/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH_BYTES 8
#define LOCK_MS 30000

/* Ours and closed to others; *fd is the caller's. */
static bool is_usable(const char *path, int *fd)
{
    return path != NULL && path[0] == '/' &&
           cv_file_open_folder(path, fd, NULL) == CV_OK;
}

/* Whatever stands in the way, somebody put it there. */
static enum cv_status untrusted(struct cv_err *err)
{
    cv_err_prefix(err, "the runtime folder");
    if (err != NULL) {
        err->status = CV_CONFIG;
    }
    return CV_CONFIG;
}

/* The folder of this login, or one of our own where there is none. */
static enum cv_status find_base(bool make, char *out, size_t out_len, int *fd,
                                struct cv_err *err)
{
    const char *given = getenv("XDG_RUNTIME_DIR");
    enum cv_status s;
    int n;

    if (is_usable(given, fd)) {
        n = snprintf(out, out_len, "%s", given);
        return n > 0 && (size_t)n < out_len
                   ? CV_OK
                   : cv_fail(err, CV_CONFIG, "XDG_RUNTIME_DIR is too long");
    }
    (void)snprintf(out, out_len, "/run/user/%u", (unsigned)geteuid());
    if (is_usable(out, fd)) {
        return CV_OK;
    }
    (void)snprintf(out, out_len, "/tmp/certvault-%u", (unsigned)geteuid());
    if (make && mkdir(out, 0700) == -1 && errno != EEXIST) {
        return cv_fail_errno(err, CV_IO, "cannot make %s", out);
    }
    s = cv_file_open_folder(out, fd, err);
    if (s != CV_OK && s != CV_NOT_FOUND) {
        s = untrusted(err);
        cv_err_hint(err,
                    "see who made %s; or set XDG_RUNTIME_DIR to a folder "
                    "of yours with mode 0700",
                    out);
    }
    return s;
}

enum cv_status cv_runtime_open(bool make, struct cv_runtime *out,
                               struct cv_err *err)
{
    char base[PATH_MAX - 16];
    int fd = -1;
    enum cv_status s = find_base(make, base, sizeof(base), &fd, err);

    out->dir = -1;
    if (s != CV_OK) {
        cv_file_close(&fd);
        return s;
    }
    (void)snprintf(out->folder, sizeof(out->folder), "%s/certvault", base);
    if (make && mkdirat(fd, "certvault", 0700) == -1 && errno != EEXIST) {
        s = cv_fail_errno(err, CV_IO, "cannot make %s", out->folder);
    }
    cv_file_close(&fd);
    if (s == CV_OK) {
        s = cv_file_open_folder(out->folder, &out->dir, err);
    }
    return s == CV_OK || s == CV_NOT_FOUND ? s : untrusted(err);
}

void cv_runtime_close(struct cv_runtime *r)
{
    cv_file_close(&r->dir);
}

enum cv_status
cv_runtime_socket(const struct cv_runtime *r, const char *leaf,
                  char out[sizeof(((struct sockaddr_un *)NULL)->sun_path)],
                  struct cv_err *err)
{
    const size_t size = sizeof(((struct sockaddr_un *)NULL)->sun_path);
    int n = snprintf(out, size, "%s/%s", r->folder, leaf);
    enum cv_status s;

    if (n > 0 && (size_t)n < size) {
        return CV_OK;
    }
    s = cv_fail(err, CV_CONFIG,
                "the runtime folder's path is too long for a socket");
    cv_err_hint(err, "set XDG_RUNTIME_DIR to a shorter one, or give "
                     "--no-agent");
    return s;
}

enum cv_status cv_runtime_name(const struct cv_runtime *r, const char *vault,
                               struct cv_runtime_names *out, struct cv_err *err)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * HASH_BYTES + 1];

    (void)crypto_hash_sha256(hash, (const unsigned char *)vault, strlen(vault));
    (void)sodium_bin2hex(hex, sizeof(hex), hash, HASH_BYTES);
    (void)snprintf(out->socket_leaf, sizeof(out->socket_leaf), "%s.sock", hex);
    (void)snprintf(out->lock_leaf, sizeof(out->lock_leaf), "%s.lock", hex);
    return cv_runtime_socket(r, out->socket_leaf, out->socket, err);
}

enum cv_status cv_runtime_lock(const struct cv_runtime *r,
                               const struct cv_runtime_names *names, int *fd,
                               struct cv_err *err)
{
    enum cv_status s =
        cv_file_open(r->dir, names->lock_leaf, O_RDWR | O_CREAT, fd, err);

    if (s == CV_OK) {
        s = cv_file_lock(*fd, LOCK_MS, "the agent's lock", err);
    }
    if (s != CV_OK) {
        cv_file_close(fd);
    }
    return s;
}
