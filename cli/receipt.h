/* --receipt FILE: where the proof goes that what was done is in the record. */
#ifndef CERTVAULT_CLI_RECEIPT_H
#define CERTVAULT_CLI_RECEIPT_H

#include "cli/args.h"
#include "cli/cli.h"

#include <cjson/cJSON.h>

struct cv_receipt {
    const char *path; /* NULL: none is wanted */
    const char *name; /* beneath `dir` */
    int dir;
};

/* Looks at where it is to go, before anything is asked for. CV_USAGE ("-": it
 * is a file), CV_EXISTS (without --yes), CV_NOT_FOUND, CV_IO. cv_receipt_end
 * also after a failure. */
CV_MUST_USE enum cv_status cv_receipt_begin(struct cv_cli *cli,
                                            const struct cv_args *args,
                                            struct cv_receipt *r,
                                            struct cv_err *err);

/* CV_USAGE where it would go into the file `name` beneath `dir`, which `flag`
 * writes. */
CV_MUST_USE enum cv_status cv_receipt_apart(const struct cv_receipt *r, int dir,
                                            const char *name, const char *flag,
                                            struct cv_err *err);

/* Asks for it in a call's parameters. False where memory is gone. */
bool cv_receipt_ask(const struct cv_receipt *r, cJSON *parameters);

/* Writes what the answer has, 0600, whole or not at all; CV_OK at once where
 * none is wanted. `done` says what state things are in where it cannot be
 * written: CV_IO then, whatever it was; CV_INVALID: the answer has none. */
CV_MUST_USE enum cv_status
cv_receipt_write(struct cv_cli *cli, const struct cv_receipt *r,
                 const cJSON *answer, const char *done, struct cv_err *err);
void cv_receipt_end(struct cv_receipt *r);

#endif
