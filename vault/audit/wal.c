#include "vault/audit/wal_internal.h"

#include "vault/audit/crc32c_internal.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER CV_KIB(256)
#define SECTOR 512u
#define LOOKS 1000 /* at a frame that changes while it is looked at */

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

enum cv_status cv_wal_init(struct cv_wal *wal, int fd, uint64_t offset,
                           uint64_t end, struct cv_err *err)
{
    memset(wal, 0, sizeof *wal);
    wal->fd = fd;
    wal->buffer = malloc(BUFFER);
    if (wal->buffer == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    cv_wal_seek(wal, offset, end);
    return CV_OK;
}

void cv_wal_wipe(struct cv_wal *wal)
{
    free(wal->buffer);
    memset(wal, 0, sizeof *wal);
    wal->fd = -1;
}

void cv_wal_seek(struct cv_wal *wal, uint64_t offset, uint64_t end)
{
    wal->offset = offset;
    wal->end = end;
    wal->buffer_len = 0;
}

/* Reads `len` bytes at `offset`, fewer only at the end of the file. */
static enum cv_status read_at(int fd, uint64_t offset, uint8_t *out, size_t len,
                              size_t *got, struct cv_err *err)
{
    *got = 0;
    while (*got < len) {
        ssize_t n = pread(fd, out + *got, len - *got, (off_t)(offset + *got));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cv_fail_errno(err, CV_IO, "cannot read audit/log");
        }
        if (n == 0) {
            break;
        }
        *got += (size_t)n;
    }
    return CV_OK;
}

/* Makes *p point at `len` bytes from the offset on (`len` is within the end as
 * it was; *p NULL where the file is shorter by now). */
static enum cv_status look(struct cv_wal *wal, size_t len, const uint8_t **p,
                           struct cv_err *err)
{
    uint64_t skip = wal->offset - wal->buffer_at;
    uint64_t left = wal->end - wal->offset;
    enum cv_status status;

    *p = NULL;
    if (wal->buffer_len == 0 || wal->offset < wal->buffer_at ||
        skip > wal->buffer_len || wal->buffer_len - skip < len) {
        status = read_at(wal->fd, wal->offset, wal->buffer,
                         left < BUFFER ? (size_t)left : BUFFER,
                         &wal->buffer_len, err);
        if (status != CV_OK) {
            return status;
        }
        wal->buffer_at = wal->offset;
        skip = 0;
    }
    if (wal->buffer_len - skip >= len) {
        *p = wal->buffer + skip;
    }
    return CV_OK;
}

/* Where the zeros begin that the file ends with (`end` where it does not),
 * looking no further back than `from`. */
static enum cv_status find_zeros(struct cv_wal *wal, uint64_t from,
                                 uint64_t *zeros, struct cv_err *err)
{
    uint64_t at = wal->end;

    wal->buffer_len = 0;
    while (at > from) {
        size_t len = at - from < BUFFER ? (size_t)(at - from) : BUFFER;
        size_t got = 0;
        enum cv_status status =
            read_at(wal->fd, at - len, wal->buffer, len, &got, err);

        if (status != CV_OK) {
            return status;
        }
        while (got > 0 && wal->buffer[got - 1] == 0) {
            got--;
        }
        if (got > 0) {
            *zeros = at - len + got;
            return CV_OK;
        }
        at -= len;
    }
    *zeros = from;
    return CV_OK;
}

/* One look, at what is buffered. */
static enum cv_status look_at_frame(struct cv_wal *wal, enum cv_wal_kind *kind,
                                    struct cv_bytes *record, struct cv_err *err)
{
    uint64_t left = wal->end - wal->offset;
    const uint8_t *p = NULL;
    enum cv_status status;
    size_t len;

    *record = (struct cv_bytes){NULL, 0};
    *kind = left == 0 ? CV_WAL_END : CV_WAL_SHORT;
    if (left < CV_WAL_HEADER) {
        return CV_OK;
    }
    status = look(wal, CV_WAL_HEADER, &p, err);
    if (status != CV_OK || p == NULL) {
        return status;
    }
    len = get_u32(p);
    if (len == 0 || len > CV_LIMIT_LEAF) {
        *kind = CV_WAL_LENGTH;
        return CV_OK;
    }
    if (len > left - CV_WAL_HEADER) {
        return CV_OK;
    }
    status = look(wal, CV_WAL_HEADER + len, &p, err);
    if (status != CV_OK || p == NULL) {
        return status;
    }
    *record = (struct cv_bytes){p + CV_WAL_HEADER, len};
    *kind = cv_crc32c_of(*record) == get_u32(p + 4) ? CV_WAL_FRAME : CV_WAL_CRC;
    return CV_OK;
}

/* What tells whether two looks saw the same: of the bytes that a frame may
 * have. */
static uint32_t seen(const struct cv_wal *wal)
{
    size_t skip = (size_t)(wal->offset - wal->buffer_at);
    size_t len = wal->buffer_len > skip ? wal->buffer_len - skip : 0;

    if (wal->offset < wal->buffer_at || len == 0) {
        return 0;
    }
    if (len > CV_WAL_HEADER + CV_LIMIT_LEAF) {
        len = CV_WAL_HEADER + CV_LIMIT_LEAF;
    }
    return cv_crc32c_of((struct cv_bytes){wal->buffer + skip, len});
}

/* Nothing but zeros, up to a whole step: kept ahead by a writer that stays. */
static enum cv_status is_ahead(struct cv_wal *wal, bool *yes,
                               struct cv_err *err)
{
    uint64_t zeros = 0;
    enum cv_status status = CV_OK;

    *yes = false;
    if (wal->end % CV_WAL_STEP == 0) {
        status = find_zeros(wal, wal->offset, &zeros, err);
        *yes = status == CV_OK && zeros == wal->offset;
    }
    return status;
}

enum cv_status cv_wal_next(struct cv_wal *wal, enum cv_wal_kind *kind,
                           struct cv_bytes *record, struct cv_err *err)
{
    bool ahead = false;
    int looks = LOOKS;
    uint32_t before;
    enum cv_status status = look_at_frame(wal, kind, record, err);

    while (status == CV_OK && looks > 0 && *kind != CV_WAL_FRAME &&
           *kind != CV_WAL_END) {
        before = seen(wal);
        if (*kind == CV_WAL_LENGTH) {
            status = is_ahead(wal, &ahead, err);
        }
        if (status != CV_OK || ahead) {
            *kind = CV_WAL_END;
            return status;
        }
        wal->buffer_len = 0;
        status = look_at_frame(wal, kind, record, err);
        looks = seen(wal) == before ? 0 : looks - 1;
    }
    if (status == CV_OK && (*kind == CV_WAL_FRAME || *kind == CV_WAL_CRC)) {
        wal->offset += CV_WAL_HEADER + record->len;
    }
    return status;
}

static uint64_t round_up(uint64_t at)
{
    return (at + SECTOR - 1) / SECTOR * SECTOR;
}

/* The rule's second half: sectors of the write that never got to the disk. */
static bool is_zero_tail(const struct cv_wal *wal, uint64_t offset,
                         uint64_t frame_end, uint64_t zeros,
                         enum cv_wal_kind kind)
{
    uint64_t boundary = round_up(zeros > offset ? zeros : offset);

    /* Zeros that were being put ahead: they end at a boundary at least. */
    if (kind == CV_WAL_LENGTH && zeros <= offset && wal->end % SECTOR == 0) {
        return true;
    }
    if (boundary >= wal->end) {
        return false;
    }
    switch (kind) {
    case CV_WAL_CRC:
        return boundary < frame_end;
    case CV_WAL_LENGTH: /* then the zeros reach into the header */
        return zeros <= offset || boundary < offset + CV_WAL_HEADER;
    default:
        return true;
    }
}

/* Could these bytes, behind a header, be the beginning of a record? A length
 * that was changed takes in the next frame's header, which has bytes that no
 * record has. */
static enum cv_status is_beginning(struct cv_wal *wal, uint64_t offset,
                                   bool *yes, struct cv_err *err)
{
    size_t len = (size_t)(wal->end - offset), got = 0;
    enum cv_status status;

    if (len < CV_WAL_HEADER) {
        *yes = true;
        return CV_OK;
    }
    if (len > CV_WAL_HEADER + CV_LIMIT_LEAF) {
        *yes = false; /* the file was shorter a moment ago */
        return CV_OK;
    }
    wal->buffer_len = 0;
    status = read_at(wal->fd, offset, wal->buffer, len, &got, err);
    *yes = status == CV_OK;
    for (size_t i = CV_WAL_HEADER; i < got && *yes; i++) {
        *yes = wal->buffer[i] >= 0x20 && wal->buffer[i] < 0x7f;
    }
    return status;
}

/* Where zeros are kept ahead, the sectors of one write get to the disk in any
 * order: what did not is zero, and behind it may be what did. No record has a
 * zero, no frame the length 0. Told only while the zeros ahead are there, and
 * nothing that was synced can look so. */
static enum cv_status is_hole(struct cv_wal *wal, uint64_t offset,
                              uint64_t frame_end, uint64_t zeros,
                              enum cv_wal_kind kind, bool *yes,
                              struct cv_err *err)
{
    size_t len = CV_WAL_HEADER, got = 0;
    uint64_t boundary = round_up(offset + 1);
    enum cv_status status;

    *yes = false;
    if (wal->end % CV_WAL_STEP != 0 || round_up(zeros) >= wal->end ||
        kind == CV_WAL_SHORT) {
        return CV_OK;
    }
    if (kind == CV_WAL_CRC) {
        len = (size_t)(frame_end - offset);
    }
    wal->buffer_len = 0;
    status = read_at(wal->fd, offset, wal->buffer, len, &got, err);
    if (status != CV_OK || got < len) {
        return status;
    }
    if (len > CV_WAL_HEADER) {
        *yes =
            memchr(wal->buffer + CV_WAL_HEADER, 0, len - CV_WAL_HEADER) != NULL;
    }
    if (!*yes && boundary < offset + 4) {
        len = (size_t)(boundary - offset);
    } else {
        len = 4;
    }
    *yes = *yes || memcmp(wal->buffer, (const uint8_t[4]){0}, len) == 0;
    return CV_OK;
}

enum cv_status cv_wal_is_torn(struct cv_wal *wal, uint64_t offset,
                              enum cv_wal_kind kind, bool *torn,
                              struct cv_err *err)
{
    uint64_t zeros = 0, frame_end = wal->offset;
    enum cv_status status;

    *torn = false;
    if (kind == CV_WAL_FRAME || kind == CV_WAL_END) {
        return CV_OK;
    }
    status = find_zeros(wal, offset, &zeros, err);
    if (status != CV_OK) {
        return status;
    }
    *torn = is_zero_tail(wal, offset, frame_end, zeros, kind);
    if (!*torn) {
        status = is_hole(wal, offset, frame_end, zeros, kind, torn, err);
    }
    if (status != CV_OK || *torn || kind != CV_WAL_SHORT) {
        return status;
    }
    return is_beginning(wal, offset, torn, err);
}

size_t cv_wal_begin(struct cv_buf *out)
{
    static const uint8_t header[CV_WAL_HEADER];
    size_t frame = out->len;

    cv_buf_add(out, header, sizeof header);
    return frame;
}

struct cv_bytes cv_wal_record(const struct cv_buf *out, size_t frame)
{
    size_t from = frame + CV_WAL_HEADER;

    if (out->status != CV_OK || out->len < from) {
        return (struct cv_bytes){NULL, 0};
    }
    return (struct cv_bytes){out->data + from, out->len - from};
}

void cv_wal_end(struct cv_buf *out, size_t frame)
{
    struct cv_bytes record = cv_wal_record(out, frame);

    if (record.data != NULL) {
        put_u32(out->data + frame, (uint32_t)record.len);
        put_u32(out->data + frame + 4, cv_crc32c_of(record));
    }
}
