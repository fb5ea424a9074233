/* What the files of a restore share. */
#ifndef CERTVAULT_BROKER_RESTORE_INTERNAL_H
#define CERTVAULT_BROKER_RESTORE_INTERNAL_H

#include "vault/audit/archived.h"
#include "vault/audit/checkpoint.h"
#include "vault/audit/log.h"
#include "vault/audit/tiles.h"
#include "vault/broker/archive.h"
#include "vault/broker/restore.h"
#include "vault/broker/vault.h"

/* A checkpoint that was kept: of some size, whose signature is looked at where
 * it does not fit. */
struct cv_restore_kept {
    uint64_t size;
    uint8_t root[CV_TREE_HASH];
    bool fits;
};

struct cv_restore {
    const struct cv_restore_options *o;
    struct cv_archive_head head;
    uint8_t digest[CV_ARCHIVE_DIGEST];
    int stage; /* the folder that it is written to */
    char stage_path[PATH_MAX];
    int out;                   /* the part that is being written; -1 */
    enum cv_archive_part part; /* of `out` */
    /* the log, as it goes by */
    struct cv_note_key key;
    struct cv_checkpoint checkpoint; /* size 0: none */
    struct cv_buf frames;
    struct cv_tree tree;
    struct cv_archived gone;        /* before the backup's log */
    struct cv_archived_watch watch; /* who said so */
    struct cv_restore_kept *kept;   /* by size */
    size_t n_kept, at_kept;         /* those before are of less than the tree */
    bool kept_read;
    struct cv_tiles *tiles; /* that are made of its hashes; dry run: NULL */
    struct cv_log_policy policy; /* the highest that its leaves name */
    const char *wrong;           /* what does not fit in it; NULL: nothing */
    /* what is there already */
    struct cv_vault *existing; /* NULL: nothing */
    int existing_log;
    struct cv_archived existing_gone; /* before that one's */
    uint64_t compared;
    bool differs;
    int service;         /* flock: a folder without a vault is ours meanwhile */
    uint64_t unfinished; /* changes on tokens that are forgotten */
    uint64_t requests;   /* for approval, that were closed */
};

/* restore_read.c: reads the backup into the stage (a dry run: all but the log)
 * and checks all that can be checked of it by itself. */
CV_MUST_USE enum cv_status cv_restore_read(struct cv_restore *r,
                                           struct cv_err *err);

/* restore_kept.c: the checkpoints of earlier times that came along, out of the
 * stage (once); each is held against the tree when that is as large; at the end
 * r->wrong is set where one that the log's key signed is not of this log. */
CV_MUST_USE enum cv_status cv_restore_kept_read(struct cv_restore *r,
                                                struct cv_err *err);
void cv_restore_kept_meet(struct cv_restore *r);
CV_MUST_USE enum cv_status cv_restore_kept_judge(struct cv_restore *r,
                                                 struct cv_err *err);
void cv_restore_kept_free(struct cv_restore *r);

/* restore.c: records that the log in the vault that is there has, and the
 * backup as hashes alone: they were archived when it was made. After
 * cv_restore_read. */
uint64_t cv_restore_texts_lost(const struct cv_restore *r);

/* restore_store.c: opens the store in the stage and checks it; what the report
 * says of it goes into `about`; rows about tokens are taken out unless it is a
 * dry run: nothing on a token may be destroyed by what an old copy says. */
CV_MUST_USE enum cv_status cv_restore_store(struct cv_restore *r, cJSON *report,
                                            cJSON *about, struct cv_err *err);

/* restore_left.c: counts the changes on tokens that were cut off, in the backup
 * (its `store`) and in the vault that it replaces, and puts the URIs of those
 * tokens, each once, into the report (`tokens_left`). Before they go. */
CV_MUST_USE enum cv_status cv_restore_left(struct cv_restore *r,
                                           struct cv_store *store,
                                           cJSON *report, struct cv_err *err);

/* restore_record.c: does the policy of the vault that is there permit it? A
 * denial is recorded there. */
CV_MUST_USE enum cv_status cv_restore_decide(struct cv_restore *r,
                                             struct cv_err *err);

/* restore_record.c: the leaf that says so, at the end of the log in the stage.
 */
CV_MUST_USE enum cv_status cv_restore_record(struct cv_restore *r,
                                             struct cv_err *err);

#endif
