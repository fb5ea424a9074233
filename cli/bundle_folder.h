/* A folder that gets its name when it is whole. */
#ifndef CERTVAULT_CLI_BUNDLE_FOLDER_H
#define CERTVAULT_CLI_BUNDLE_FOLDER_H

#include "vault/base/arena.h"

#include <limits.h>

struct cv_bundle_folder {
    const char *path;        /* as it was typed */
    int parent;              /* where it will be */
    char name[NAME_MAX + 1]; /* its name there, */
    char part[NAME_MAX + 1]; /* and the one until it is whole */
    int dir;                 /* open; -1: not made yet */
};

/* Looks whether `path` is free. CV_EXISTS, CV_NOT_FOUND, CV_INVALID, CV_IO;
 * cv_bundle_folder_end also after a failure. */
CV_MUST_USE enum cv_status cv_bundle_folder_look(const char *path,
                                                 struct cv_bundle_folder *f,
                                                 struct cv_err *err);
/* Makes it, 0700, under the other name. CV_EXISTS, CV_IO. */
CV_MUST_USE enum cv_status cv_bundle_folder_make(struct cv_bundle_folder *f,
                                                 struct cv_err *err);
/* Adds a folder in it, or a file (0600), or more to a file. CV_IO. */
CV_MUST_USE enum cv_status cv_bundle_folder_sub(struct cv_bundle_folder *f,
                                                const char *name,
                                                struct cv_err *err);
CV_MUST_USE enum cv_status cv_bundle_folder_add(struct cv_bundle_folder *f,
                                                const char *name,
                                                const char *text,
                                                struct cv_err *err);
/* Gives it its name. CV_EXISTS, CV_IO. */
CV_MUST_USE enum cv_status cv_bundle_folder_name(struct cv_bundle_folder *f,
                                                 struct cv_err *err);
/* Lets go of it; what has no name yet is taken away with all that is in it. */
void cv_bundle_folder_end(struct cv_bundle_folder *f);

#endif
