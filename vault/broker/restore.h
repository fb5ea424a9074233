/* Restoring a backup into a folder that nobody serves, by a process of its own
 * (certvaultd --offline), and looking at one.
 *
 * The backup is read whole before anything of it counts: its digest, the log's
 * tree against the head and the checkpoint, the store's own check, that this
 * program knows every row of the journal and can read the policy. An existing
 * vault is replaced only by a backup of the same vault whose log continues its
 * own: anything else would lose records. docs/formats.md, "Restore". */
#ifndef CERTVAULT_BROKER_RESTORE_H
#define CERTVAULT_BROKER_RESTORE_H

#include "vault/base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>

struct cv_restore_options {
    int file;           /* the backup, open; borrowed */
    const char *folder; /* where to; absolute */
    int dir;            /* the same, open and checked; borrowed */
    bool dry_run;       /* look, leave nothing */
    bool accept_rollback;
    const char *reason; /* may be NULL */
    const char *ticket;
};

/* *report (the caller's; NULL when the backup itself is no good):
 *     {"backup": {"vault_id", "created", "program", "digest", "size", "leaves",
 *       "entries", "policy_version", "slots": [kind], "tokens": [uri]},
 *      "target": "new|same|ahead|behind|apart", "restored": bool,
 *      "leaves_lost", "texts_lost", "entries_lost": [name], "unfinished",
 *      "requests_closed"}
 * "target" is what the backup is to what is there; "texts_lost" records stay as
 * hashes alone: the vault has them, the backup was made behind their archive. A
 * dry run of what would be refused is refused too, with the report.
 *
 * On CV_OK without dry_run the vault is in `folder`/restoring; the next broker
 * that opens the folder puts it in its place (place.h).
 * CV_INVALID: no backup, or another vault's; CV_INTEGRITY: damaged, newer, or
 * older than what is there (rollback), or without text that is there;
 * CV_DENIED: the policy of the vault that is there; CV_BUSY: somebody has it
 * open; CV_EXISTS: what is there is no vault; CV_IO. */
CV_MUST_USE enum cv_status cv_restore_run(const struct cv_restore_options *o,
                                          cJSON **report, struct cv_err *err);

#endif
