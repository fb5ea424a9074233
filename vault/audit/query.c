#include "vault/audit/query.h"

#include "vault/audit/archived.h"
#include "vault/audit/index_internal.h"
#include "vault/audit/query_internal.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_PATH "audit/log"

void cv_query_init(struct cv_query_filter *filter)
{
    memset(filter, 0, sizeof *filter);
    filter->since_s = INT64_MIN;
    filter->until_s = INT64_MAX;
}

enum cv_status cv_query_read(const cJSON *object, struct cv_query_filter *out,
                             struct cv_err *err)
{
    int64_t limit = 0;
    const struct cv_json_field fields[] = {
        {"actor", CV_JSON_STRING, false, &out->actor, 0},
        {"action", CV_JSON_STRING, false, &out->action, 0},
        {"entry", CV_JSON_STRING, false, &out->entry, 0},
        {"entry_id", CV_JSON_STRING, false, &out->entry_id, 0},
        {"outcome", CV_JSON_STRING, false, &out->outcome, 0},
        {"since", CV_JSON_INT, false, &out->since_s, 0},
        {"until", CV_JSON_INT, false, &out->until_s, 0},
        {"limit", CV_JSON_INT, false, &limit, 0},
    };
    enum cv_status status;

    cv_query_init(out);
    status = cv_json_read(object, "filter", fields,
                          sizeof fields / sizeof fields[0], true, err);
    if (status == CV_OK && limit < 0) {
        status = cv_fail(err, CV_INVALID, "filter: limit is negative");
    }
    out->limit = status == CV_OK ? (uint64_t)limit : 0;
    return status;
}

static enum cv_status damaged(uint64_t seq, uint64_t offset, struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "audit/log, record %llu at byte %llu is damaged",
            (unsigned long long)seq, (unsigned long long)offset);
    cv_err_hint(err, "run `certvault audit verify`");
    return CV_INTEGRITY;
}

/* What does not read as a frame. A writer may be at work: its half-written
 * frame, or one whose torn end was just cut off, is the end for now. */
static enum cv_status take_tail(int vault, struct cv_wal *wal,
                                const struct cv_query_cursor *at,
                                enum cv_wal_kind kind, struct cv_err *err)
{
    struct cv_archived gone;
    struct stat st;
    bool torn = false;
    enum cv_status status;

    if (kind == CV_WAL_END) {
        return CV_OK;
    }
    /* The zeros of a hole look like a torn end: this comes first. */
    if (cv_archived_read(vault, &gone, NULL) == CV_OK &&
        at->seq < gone.tree.size) {
        return cv_fail(err, CV_BUSY,
                       "records were archived while they were read");
    }
    status = cv_wal_is_torn(wal, at->offset, kind, &torn, err);
    if (status != CV_OK || torn) {
        return status;
    }
    if (fstat(wal->fd, &st) == 0 && (uint64_t)st.st_size < wal->end) {
        return CV_OK;
    }
    return damaged(at->seq, at->offset, err);
}

static enum cv_status scan_file(int vault, int fd, struct cv_query_cursor *at,
                                cv_query_scan_fn *fn, void *ctx,
                                struct cv_err *err)
{
    struct cv_wal wal;
    struct stat st;
    enum cv_status status;

    if (fstat(fd, &st) != 0) {
        return cv_fail_errno(err, CV_IO, "cannot look at %s", LOG_PATH);
    }
    if ((uint64_t)st.st_size < at->offset) {
        return cv_fail(err, CV_INTEGRITY, "the audit log became shorter");
    }
    status = cv_wal_init(&wal, fd, at->offset, (uint64_t)st.st_size, err);
    while (status == CV_OK) {
        enum cv_wal_kind kind;
        struct cv_bytes leaf;

        status = cv_wal_next(&wal, &kind, &leaf, err);
        if (status != CV_OK) {
            break;
        }
        if (kind != CV_WAL_FRAME) {
            status = take_tail(vault, &wal, at, kind, err);
            break;
        }
        status = fn(ctx, at, leaf, err);
        if (status == CV_OK) {
            at->seq++;
            at->offset = wal.offset;
        }
    }
    cv_wal_wipe(&wal);
    return status;
}

/* The log begins behind what is archived: nobody reads before that. */
static enum cv_status begin(int vault, struct cv_query_cursor *at,
                            struct cv_err *err)
{
    struct cv_archived gone;
    enum cv_status status = cv_archived_read(vault, &gone, err);

    if (status == CV_OK && at->seq < gone.tree.size) {
        *at = (struct cv_query_cursor){gone.offset, gone.tree.size};
    }
    return status;
}

enum cv_status cv_query_scan(int vault, struct cv_query_cursor *at,
                             cv_query_scan_fn *fn, void *ctx,
                             struct cv_err *err)
{
    int fd = -1;
    enum cv_status status = cv_file_open(vault, LOG_PATH, O_RDONLY, &fd, err);

    if (status == CV_NOT_FOUND) {
        return cv_fail(err, CV_NOT_FOUND, "there is no audit log");
    }
    if (status == CV_OK) {
        status = begin(vault, at, err);
    }
    if (status == CV_OK) {
        status = scan_file(vault, fd, at, fn, ctx, err);
    }
    cv_file_close(&fd);
    return status;
}

enum cv_status cv_query_check(const struct cv_query_cursor *at,
                              struct cv_bytes leaf, struct cv_record *record,
                              struct cv_err *err)
{
    if (cv_record_read(leaf, record) != NULL || record->seq != at->seq) {
        return damaged(at->seq, at->offset, err);
    }
    return CV_OK;
}

struct find {
    uint64_t seq;
    struct cv_buf *out;
};

static enum cv_status find_one(void *ctx, const struct cv_query_cursor *at,
                               struct cv_bytes leaf, struct cv_err *err)
{
    struct find *find = ctx;
    struct cv_record record;
    enum cv_status status;

    if (at->seq != find->seq) {
        return CV_OK;
    }
    status = cv_query_check(at, leaf, &record, err);
    if (status == CV_OK) {
        cv_buf_add(find->out, leaf.data, leaf.len);
        status = cv_buf_status(find->out, "an audit record", err);
    }
    return status == CV_OK ? CV_QUERY_STOP : status;
}

enum cv_status cv_query_record(int vault, uint64_t seq, struct cv_buf *out,
                               struct cv_err *err)
{
    struct find find = {seq, out};
    struct cv_archived gone;
    struct cv_query_cursor from;
    enum cv_status status = cv_archived_read(vault, &gone, err);

    if (status != CV_OK) {
        return status;
    }
    if (seq < gone.tree.size) {
        return cv_archived_refuse(&gone, seq, err);
    }
    cv_index_seek(vault, seq, &from);
    status = cv_query_scan(vault, &from, find_one, &find, err);

    if (status == CV_QUERY_STOP) {
        return CV_OK;
    }
    if (status == CV_OK) {
        cv_fail(err, CV_NOT_FOUND, "the audit log has no record %llu",
                (unsigned long long)seq);
        cv_err_hint(err, "it has %llu, numbered from 0",
                    (unsigned long long)from.seq);
        return CV_NOT_FOUND;
    }
    return status;
}

struct follow {
    cv_query_fn *fn;
    void *ctx;
};

static enum cv_status follow_one(void *ctx, const struct cv_query_cursor *at,
                                 struct cv_bytes leaf, struct cv_err *err)
{
    const struct follow *follow = ctx;
    struct cv_record record;
    enum cv_status status = cv_query_check(at, leaf, &record, err);

    return status == CV_OK ? follow->fn(follow->ctx, at->seq, leaf, err)
                           : status;
}

enum cv_status cv_query_follow(int vault, struct cv_query_cursor *cursor,
                               cv_query_fn *fn, void *ctx, struct cv_err *err)
{
    struct follow follow = {fn, ctx};

    return cv_query_scan(vault, cursor, follow_one, &follow, err);
}

struct last {
    struct cv_query_cursor *ring;
    uint64_t n;
};

static enum cv_status last_one(void *ctx, const struct cv_query_cursor *at,
                               struct cv_bytes leaf, struct cv_err *err)
{
    struct last *last = ctx;

    (void)leaf;
    (void)err;
    last->ring[at->seq % last->n] = *at;
    return CV_OK;
}

enum cv_status cv_query_tail(int vault, uint64_t last,
                             struct cv_query_cursor *cursor, cv_query_fn *fn,
                             void *ctx, struct cv_err *err)
{
    struct last ring = {NULL, last < CV_QUERY_RING ? last + 1 : CV_QUERY_RING};
    struct cv_query_cursor end = {0, 0};
    enum cv_status status;

    memset(cursor, 0, sizeof *cursor);
    ring.ring = calloc((size_t)ring.n, sizeof *ring.ring);
    if (ring.ring == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    if (last > 0) {
        cv_index_end(vault, &end);
        cv_index_seek(vault, end.seq > last ? end.seq - last : 0, &end);
    }
    status = cv_query_scan(vault, &end, last_one, &ring, err);
    if (status == CV_OK && last > 0 && end.seq > 0) {
        uint64_t n = last < ring.n ? last : ring.n;

        n = n < end.seq ? n : end.seq;
        *cursor = ring.ring[(end.seq - n) % ring.n];
    } else if (status == CV_OK) {
        *cursor = end;
    }
    free(ring.ring);
    return status == CV_OK && last > 0
               ? cv_query_follow(vault, cursor, fn, ctx, err)
               : status;
}
