/* Files that are ours alone.
 *
 * Checks are made on the open descriptor, never on a path beforehand. Paths
 * inside the vault are opened beneath the folder's descriptor and never follow
 * a symbolic link. */
#ifndef CERTVAULT_BASE_FILE_H
#define CERTVAULT_BASE_FILE_H

#include "vault/base/buf.h"

#include <stdbool.h>
#include <sys/types.h>

/* Closes *fd if it is not -1 and makes it -1. */
void cv_file_close(int *fd);

/* Opens a folder that must belong to this uid with no access for others (0700
 * or tighter). *fd is -1 on failure: CV_NOT_FOUND (absent), CV_CONFIG (not a
 * folder, other owner, open to others, a link), CV_IO. */
CV_MUST_USE enum cv_status cv_file_open_folder(const char *path, int *fd,
                                               struct cv_err *err);

/* Makes a folder 0700 (parents as needed, 0700 too) unless it is there, then
 * opens it as above. */
CV_MUST_USE enum cv_status cv_file_make_folder(const char *path, int *fd,
                                               struct cv_err *err);

/* Opens `name` beneath `dir`, following no link and leaving `dir` nowhere on
 * the way (AT_FDCWD: any path, no link at its end). `flags` as open(2),
 * O_CLOEXEC is added; O_TRUNC takes effect after the checks; a file made gets
 * 0600 and this uid. Must be a regular file, owned by this uid, one link, no
 * access for others. *fd is -1 on failure: CV_NOT_FOUND, CV_EXISTS (O_EXCL),
 * CV_CONFIG (checks), CV_IO. */
CV_MUST_USE enum cv_status cv_file_open(int dir, const char *name, int flags,
                                        int *fd, struct cv_err *err);

/* cv_file_open for reading, whoever else may read or write the file, and
 * whatever other names it has: for what is compared with what is known anyway.
 * CV_CONFIG: no regular file, or a link on the way. */
CV_MUST_USE enum cv_status cv_file_open_loose(int dir, const char *name,
                                              int *fd, struct cv_err *err);

/* Opens a caller's file for reading: any owner, regular file, link followed;
 * opened so that a FIFO or device does not block and is refused. *fd is -1 on
 * failure: CV_NOT_FOUND, CV_INVALID (not a regular file), CV_IO (no
 * permission). */
CV_MUST_USE enum cv_status cv_file_open_input(const char *path, int *fd,
                                              struct cv_err *err);

/* Reads all of `fd` to its end into `out` (its ceiling is the limit).
 * CV_INVALID (too long), CV_IO. */
CV_MUST_USE enum cv_status cv_file_read(int fd, const char *what,
                                        struct cv_buf *out, struct cv_err *err);

/* Writes all of `data` at the current offset, however often the kernel cuts
 * it short. CV_IO. */
CV_MUST_USE enum cv_status cv_file_write(int fd, struct cv_bytes data,
                                         const char *what, struct cv_err *err);

/* Puts `data` at `name` beneath `dir` whole or not at all: a new file beside
 * it (0600, or `mode` where that is not 0), written, fsync, renamed over,
 * folder fsync. On failure nothing is left behind and what was there stays;
 * when only the last fsync fails, the new file is there, and its state says so.
 * A link at `name` is replaced, not followed. CV_IO; CV_NOT_FOUND where the
 * folder is not there. */
CV_MUST_USE enum cv_status cv_file_replace(int dir, const char *name,
                                           struct cv_bytes data, mode_t mode,
                                           struct cv_err *err);

/* cv_file_replace without waiting for the disk, for what can be made again: as
 * long as the machine runs one finds the old file or the new one, whole; after
 * a power failure either, none, or a damaged one. */
CV_MUST_USE enum cv_status cv_file_replace_unsynced(int dir, const char *name,
                                                    struct cv_bytes data,
                                                    mode_t mode,
                                                    struct cv_err *err);

/* cv_file_replace in two steps, for what may get its name only after something
 * else is on disk: what both leave to be synced, the disk takes in one go.
 *
 * The first makes a file without a name and begins to write it out; *fd is -1,
 * with CV_OK, where the file system cannot make one. CV_IO, CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_file_stage(int dir, const char *name,
                                         struct cv_bytes data, mode_t mode,
                                         int *fd, struct cv_err *err);

/* The second waits until it is on disk and puts it at `name`. The folder is not
 * synced: after a power failure what was there before may be there again,
 * whole. `fd` stays the caller's. CV_IO; nothing is left behind. */
CV_MUST_USE enum cv_status cv_file_publish(int dir, const char *name, int fd,
                                           struct cv_err *err);

/* As cv_file_replace, but refuses (CV_EXISTS) where `name` is there. Killed at
 * any point it leaves nothing behind, not even a file of another name (where
 * the file system has O_TMPFILE): the way to write what is secret. */
CV_MUST_USE enum cv_status cv_file_create(int dir, const char *name,
                                          struct cv_bytes data, mode_t mode,
                                          struct cv_err *err);

/* cv_file_create and cv_file_replace for what is written piece by piece: */
#define CV_FILE_NAME 256
struct cv_file_draft {
    int fd;                  /* to be written, and read back; -1: none */
    int folder;              /* its own */
    char base[CV_FILE_NAME]; /* the name it is to have */
    char temp[CV_FILE_NAME]; /* and has meanwhile; "": none */
};

/* Begins a file for `name` beneath `dir`, 0600. Without a name until it is
 * whole, where the file system can do that: killed meanwhile, nothing of it is
 * left. CV_IO, CV_NOT_FOUND. */
CV_MUST_USE enum cv_status cv_file_draft_begin(int dir, const char *name,
                                               struct cv_file_draft *draft,
                                               struct cv_err *err);

/* Puts it on disk, then in its place (with `replace` over what is there, else
 * CV_EXISTS), and syncs the folder. CV_IO. cv_file_draft_end is still to be
 * called. */
CV_MUST_USE enum cv_status cv_file_draft_publish(struct cv_file_draft *draft,
                                                 bool replace,
                                                 struct cv_err *err);

/* Lets go of it; what was not published is gone. */
void cv_file_draft_end(struct cv_file_draft *draft);

/* Takes flock(2)'s exclusive lock on `fd`, waiting up to `wait_ms`; closing the
 * descriptor gives it back. CV_BUSY: `what` is held by another. */
CV_MUST_USE enum cv_status cv_file_lock(int fd, int wait_ms, const char *what,
                                        struct cv_err *err);

/* fsync of a folder. CV_IO. */
CV_MUST_USE enum cv_status cv_file_sync_folder(int dir, struct cv_err *err);

#endif
