/* A file of the caller's that comes from the broker in pieces: a backup, an
 * archive of records. It has no name until all of it is there and was looked
 * at; what ends before leaves nothing. Blocking: files. */
#ifndef CERTVAULT_CLI_ARRIVAL_H
#define CERTVAULT_CLI_ARRIVAL_H

#include "cli/cli.h"
#include "vault/base/file.h"

struct cv_arrival {
    struct cv_cli *cli;
    const char *path; /* borrowed */
    const char *what; /* a literal: "backup" */
    struct cv_file_draft draft;
    int64_t most;  /* bytes that may come: what was announced */
    int64_t bytes; /* that came */
};

/* May it get its name? CV_EXISTS: something has that, and is no file, or a file
 * (*is_file) and `replaces` false; state and hint are the caller's to say. What
 * is wrong with the folder it lies in. */
CV_MUST_USE enum cv_status cv_arrival_look(const char *path, bool replaces,
                                           bool *is_file, struct cv_err *err);

/* Begins it; warns where others could read it. Nothing may come until the
 * caller says how much (`most`). After CV_OK cv_arrival_end is due. */
CV_MUST_USE enum cv_status cv_arrival_begin(struct cv_cli *cli,
                                            const char *path, const char *what,
                                            struct cv_arrival *a,
                                            struct cv_err *err);

/* The `data` of an answer, at its end; *len 0: it was the last. CV_INVALID;
 * CV_INTEGRITY: more than `most` came, and nothing of it was written; CV_IO. */
CV_MUST_USE enum cv_status cv_arrival_take(struct cv_arrival *a,
                                           const cJSON *answer, size_t *len,
                                           struct cv_err *err);

/* What is said of a broker that does not send what it announced, behind the
 * text; CV_INTEGRITY, always. */
enum cv_status cv_arrival_distrust(const struct cv_arrival *a,
                                   struct cv_err *err);

/* What came is on the disk. CV_IO. */
CV_MUST_USE enum cv_status cv_arrival_sync(struct cv_arrival *a,
                                           struct cv_err *err);

/* Gives it its name, whole or not at all; an interrupt waits. */
CV_MUST_USE enum cv_status
cv_arrival_publish(struct cv_arrival *a, bool replaces, struct cv_err *err);

void cv_arrival_end(struct cv_arrival *a);

#endif
