/* The tiles beside the log: read before it, held against it as it is read
 * (verify_take.c), and what is left to be said at its end. */
#include "vault/audit/verify_internal.h"

#include <stdio.h>

#define BEING_MADE_S 2

static void say(void *ctx, enum cv_tiles_finding kind, const char *why)
{
    struct cv_verify *v = ctx;

    switch (kind) {
    case CV_TILES_WRONG:
        cv_verify_add(v, "tiles", why);
        break;
    case CV_TILES_NOTE:
        cv_report_add(&v->notes, "tiles", CV_REPORT_NOWHERE, CV_REPORT_NOWHERE,
                      why);
        break;
    default:
        v->memory = true;
        break;
    }
}

enum cv_status cv_verify_tiles_read(struct cv_verify *v, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    cv_tiles_reach(v->vault, &v->tiles_reach);
    status =
        cv_tiles_check_open(v->vault, &v->tiles_reach, say, v, &v->tiles, &why);
    if (cv_verify_is_fatal(status)) {
        *err = why;
        return status;
    }
    if (status == CV_INTEGRITY) {
        cv_verify_add(v, "tiles", why.text);
    }
    v->tiles_size = v->tiles == NULL ? 0 : cv_tiles_check_size(v->tiles);
    return CV_OK;
}

/* A crash leaves tiles behind of records that are in the log, never of others:
 * they are made when a checkpoint is over these. */
static void check_reach(struct cv_verify *v)
{
    char why[CV_REPORT_MESSAGE];

    if (v->report.found == 0 && v->tiles_reach.size > v->at.tree.size) {
        (void)snprintf(why, sizeof why,
                       "%s: the log has no such records; take it away, or run "
                       "certvault audit rebuild",
                       v->tiles_reach.path);
        cv_verify_add(v, "tiles", why);
    }
}

/* Derived, and made again by the next checkpoint, as after a restore: no error;
 * but whoever reads the log by its tiles finds none. */
static void note_missing(struct cv_verify *v)
{
    const uint64_t size = v->checkpoint.there ? v->checkpoint.c.size : 0;
    uint64_t full = 0, offset;
    char why[CV_REPORT_MESSAGE];
    bool marked;

    if (v->tiles == NULL || v->report.found > 0 || size == 0) {
        return;
    }
    full = cv_tiles_check_full(v->tiles, &marked);
    /* Unless they are being made: each checkpoint comes before them. */
    if ((marked &&
         (full + CV_TILE_WIDTH > size || v->checkpoint_age_s < BEING_MADE_S)) ||
        (cv_tiles_mark(v->vault, &full, &offset, NULL) == CV_OK &&
         full + CV_TILE_WIDTH > size)) {
        return;
    }
    (void)snprintf(why, sizeof why,
                   full > 0 ? "the tiles end after record %llu; the next "
                              "checkpoint goes on, or certvault audit rebuild"
                            : "there are no tiles (" CV_TILES_MARK "); the "
                              "next checkpoint makes them, or certvault audit "
                              "rebuild",
                   (unsigned long long)full - 1);
    cv_report_add(&v->notes, "tiles", CV_REPORT_NOWHERE, CV_REPORT_NOWHERE,
                  why);
}

void cv_verify_tiles_end(struct cv_verify *v)
{
    check_reach(v);
    note_missing(v);
}
