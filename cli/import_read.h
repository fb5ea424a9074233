/* The reading half of `import`: files are read by an intake that runs as the
 * caller, without network; what comes back is sealed to the vault already. */
#ifndef CERTVAULT_CLI_IMPORT_READ_H
#define CERTVAULT_CLI_IMPORT_READ_H

#include "cli/cli.h"

/* One file that was read. */
struct cv_import_read_file {
    char *name;    /* of the file in its folder; for messages otherwise */
    cJSON *answer; /* {identities, left, digest, strippable} */
};

/* What there is to read. */
struct cv_import_read {
    struct cv_cli *cli;
    const char *path;      /* as it was typed */
    const cJSON *contexts; /* only these; NULL: all */
    const cJSON *target;   /* {vault_id, public_key}; NULL: the vault's */
    int fd;                /* the file, or the folder that holds the files */
    bool named;            /* fd is a folder: files have names in it */
    bool many;             /* a folder was given */
    char **names;          /* n of them, sorted, when `named` */
    size_t n;
    struct cv_offline *intake;
};

/* Opens `path` (a file, a folder, "-") and finds out what files there are; with
 * `strip`, a single file is opened through its folder, so that it can be
 * replaced. CV_NOT_FOUND, CV_INVALID (neither file nor folder, too many files),
 * CV_IO. r->cli and r->contexts are set already. */
CV_MUST_USE enum cv_status cv_import_read_open(struct cv_import_read *r,
                                               const char *path, bool strip,
                                               struct cv_err *err);

/* Reads file `i`. *out is freed by cv_import_read_free_file. CV_INVALID and
 * what intake says of the file; CV_UNAVAILABLE: intake is gone. */
CV_MUST_USE enum cv_status cv_import_read_file(struct cv_import_read *r,
                                               size_t i,
                                               struct cv_import_read_file *out,
                                               struct cv_err *err);
void cv_import_read_free_file(struct cv_import_read_file *file);

/* Takes the keys with these SPKI digests (an array of hex texts, taken) out of
 * file `i`, if it still is what was read. *left: client keys that stay. */
CV_MUST_USE enum cv_status cv_import_read_strip(struct cv_import_read *r,
                                                size_t i, const char *digest,
                                                cJSON *spki, int *left,
                                                struct cv_err *err);

/* Closes all; a zeroed one with fd -1 is fine. */
void cv_import_read_close(struct cv_import_read *r);

/* The name that identities of file `i` get where --name does not say; "" where
 * the file's name says nothing (config, kubeconfig, standard input). */
void cv_import_read_stem(const struct cv_import_read *r, size_t i, char *out,
                         size_t out_len);

#endif
