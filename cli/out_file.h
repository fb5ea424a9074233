/* A file that a command writes piece by piece: 0600, whole or not at all, not
 * over another one without --yes. */
#ifndef CERTVAULT_CLI_OUT_FILE_H
#define CERTVAULT_CLI_OUT_FILE_H

#include "cli/cli.h"
#include "vault/base/file.h"

struct cv_out_file {
    struct cv_file_draft draft;
    bool replace;
    struct cv_buf pending; /* not written yet */
};

/* Looks at `path` before anything is asked for, and begins. CV_EXISTS,
 * CV_NOT_FOUND, CV_IO. cv_out_file_end is to be called in any case. */
CV_MUST_USE enum cv_status cv_out_file_begin(struct cv_cli *cli,
                                             const char *path,
                                             struct cv_out_file *out,
                                             struct cv_err *err);

/* CV_IO. */
CV_MUST_USE enum cv_status cv_out_file_add(struct cv_out_file *out,
                                           struct cv_bytes data,
                                           struct cv_err *err);

/* Puts it in its place, on disk. CV_IO, CV_EXISTS (it came meanwhile). */
CV_MUST_USE enum cv_status cv_out_file_publish(struct cv_out_file *out,
                                               struct cv_err *err);

/* What was not published is gone. */
void cv_out_file_end(struct cv_out_file *out);

#endif
