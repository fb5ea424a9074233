/* The caller's kubeconfigs, as intake --offline reaches them: through one
 * descriptor alone, a file, a pipe, or a folder.
 *
 * In a folder only regular files right in it are opened, by a plain name, and
 * no symbolic link is followed. */
#ifndef CERTVAULT_CLI_INTAKE_FILE_H
#define CERTVAULT_CLI_INTAKE_FILE_H

#include "vault/base/buf.h"

#include <sys/stat.h>

/* A file that was read. */
struct cv_intake_file {
    int folder; /* borrowed; -1: none */
    const char *name;
    int fd; /* -1: not open */
    bool writable;
    struct stat st;
    struct cv_buf text; /* in the arena */
    uint8_t digest[32]; /* SHA-256 of the text */
};

/* Reads `name` in the folder `input`, or (`name` NULL) `input` itself. With
 * `write` it is opened so that its bytes can be overwritten, where its mode
 * lets us. CV_USAGE (a name where there is no folder, or none where there is),
 * CV_NOT_FOUND (also where it may not be read, but with `write`), CV_INVALID (a
 * link, no regular file, over CV_LIMIT_KUBECONFIG), CV_IO. Call
 * cv_intake_file_close in every case. */
CV_MUST_USE enum cv_status cv_intake_file_read(int input, const char *name,
                                               bool write,
                                               struct cv_arena *arena,
                                               struct cv_intake_file *out,
                                               struct cv_err *err);

void cv_intake_file_close(struct cv_intake_file *f);

/* Could cv_intake_file_replace do its work? */
bool cv_intake_file_replaceable(const struct cv_intake_file *f);

/* Puts `text` in the file's place in one step, with its owner and mode; then
 * overwrites the bytes of the old one. Nothing changes on failure: CV_INVALID
 * (another link to it would keep the keys; it changed since it was read),
 * CV_IO. */
CV_MUST_USE enum cv_status cv_intake_file_replace(struct cv_intake_file *f,
                                                  struct cv_bytes text,
                                                  struct cv_err *err);

/* Puts `text` in the file's place in one step, as `kubectl config` would: with
 * its owner and a mode of 0600 or tighter. What it was stays beside it under
 * the name that is written to `backup`, NAME.certvault-backup-TIME (NAME not
 * there before (`absent`): none, and `backup` is ""). Nothing changes on
 * failure: CV_BUSY (it changed since it was read; kubectl's NAME.lock is
 * there), CV_IO. */
CV_MUST_USE enum cv_status
cv_intake_file_update(struct cv_intake_file *f, bool absent,
                      struct cv_bytes text, int64_t now_s, char *backup,
                      size_t backup_len, struct cv_err *err);

#endif
