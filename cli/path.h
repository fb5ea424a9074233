/* Paths that the caller typed or that the environment gives. */
#ifndef CERTVAULT_CLI_PATH_H
#define CERTVAULT_CLI_PATH_H

#include "vault/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* "folder/name" into `out`. False when it does not fit. */
bool cv_path_join(const char *folder, const char *name, char *out,
                  size_t out_len);

/* `path` as seen from the root. Links on the way to its last part are resolved
 * (where that way exists), the last part is not: whether it may be a link is
 * for whoever opens it to say. CV_INVALID (empty, too long), CV_IO. */
CV_MUST_USE enum cv_status cv_path_absolute(const char *path, char *out,
                                            size_t out_len, struct cv_err *err);

/* CV_USAGE where `path` is "-": for what is written into files only. */
CV_MUST_USE enum cv_status cv_path_check_file(const char *path,
                                              struct cv_err *err);

/* Opens a file that a command was told to read, as cv_file_open_input does: one
 * that may not be read is as good as none. CV_NOT_FOUND (both), CV_INVALID,
 * CV_IO. */
CV_MUST_USE enum cv_status cv_path_open_input(const char *path, int *fd,
                                              struct cv_err *err);

/* Opens the folder that holds `path` for reading; *name is `path`'s last part,
 * borrowed. CV_INVALID (no last part), CV_NOT_FOUND, CV_IO. */
CV_MUST_USE enum cv_status cv_path_open_parent(const char *path, int *dir,
                                               const char **name,
                                               struct cv_err *err);

/* As cv_path_open_parent, for a file that is to be made once what cannot be
 * taken back is done: also CV_IO where the caller may make none there. */
CV_MUST_USE enum cv_status cv_path_open_target(const char *path, int *dir,
                                               const char **name,
                                               struct cv_err *err);

/* $variable/certvault, else $HOME/fallback/certvault (XDG base directories; a
 * variable that is not absolute is passed over). CV_CONFIG where HOME is not
 * set. */
CV_MUST_USE enum cv_status cv_path_xdg(const char *variable,
                                       const char *fallback, char *out,
                                       size_t out_len, struct cv_err *err);

/* $HOME/`name`. False where HOME is not set or it does not fit. */
bool cv_path_home(const char *name, char *out, size_t out_len);

#endif
