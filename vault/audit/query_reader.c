/* Single leaves of the log, at places that somebody names. */
#include "vault/audit/query_internal.h"

#include "vault/audit/crc32c_internal.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHOLE (CV_WAL_HEADER + CV_LIMIT_LEAF)
#define AHEAD 4096 /* most leaves are shorter, and neighbours are asked for */

enum cv_status cv_query_reader_open(int vault, struct cv_query_reader *reader,
                                    struct cv_err *err)
{
    memset(reader, 0, sizeof *reader);
    reader->fd = -1;
    reader->buffer = malloc(WHOLE);
    if (reader->buffer == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    return cv_file_open(vault, "audit/log", O_RDONLY, &reader->fd, err);
}

void cv_query_reader_close(struct cv_query_reader *reader)
{
    cv_file_close(&reader->fd);
    free(reader->buffer);
    reader->buffer = NULL;
}

static enum cv_status fill(struct cv_query_reader *r, uint64_t at, size_t len,
                           struct cv_err *err)
{
    r->at = at;
    r->len = 0;
    while (r->len < len) {
        ssize_t n = pread(r->fd, r->buffer + r->len, len - r->len,
                          (off_t)(at + r->len));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cv_fail_errno(err, CV_IO, "cannot read audit/log");
        }
        if (n == 0) {
            break;
        }
        r->len += (size_t)n;
    }
    return CV_OK;
}

/* Makes *out point at `len` bytes at `at`; NULL where the file ends before. */
static enum cv_status look(struct cv_query_reader *r, uint64_t at, size_t len,
                           const uint8_t **out, struct cv_err *err)
{
    enum cv_status status = CV_OK;

    if (at < r->at || at - r->at > r->len || r->len - (at - r->at) < len) {
        status = fill(r, at, len > AHEAD ? len : AHEAD, err);
    }
    *out = status == CV_OK && r->len - (at - r->at) >= len
               ? r->buffer + (at - r->at)
               : NULL;
    return status;
}

static uint32_t u32le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

enum cv_status cv_query_lied(struct cv_err *err)
{
    cv_fail(err, CV_INTEGRITY, "the index of the log is not the log's");
    cv_err_state(err, "the log itself was not found to be damaged");
    cv_err_hint(err, "run `certvault audit verify`; `certvault audit rebuild` "
                     "makes the index again");
    return CV_INTEGRITY;
}

enum cv_status cv_query_reader_leaf(struct cv_query_reader *reader,
                                    const struct cv_query_cursor *at,
                                    struct cv_bytes *leaf,
                                    struct cv_record *record,
                                    struct cv_err *err)
{
    const uint8_t *frame = NULL;
    uint32_t crc = 0;
    size_t len = 0;
    enum cv_status status =
        look(reader, at->offset, CV_WAL_HEADER, &frame, err);

    if (status == CV_OK && frame != NULL) {
        len = u32le(frame);
        crc = u32le(frame + 4);
        frame = NULL;
        if (len > 0 && len <= CV_LIMIT_LEAF) {
            status = look(reader, at->offset, CV_WAL_HEADER + len, &frame, err);
        }
    }
    if (status != CV_OK) {
        return status;
    }
    if (frame == NULL) {
        return cv_query_lied(err);
    }
    *leaf = (struct cv_bytes){frame + CV_WAL_HEADER, len};
    if (cv_crc32c_of(*leaf) != crc) {
        return cv_query_lied(err);
    }
    return cv_query_check(at, *leaf, record, err);
}
