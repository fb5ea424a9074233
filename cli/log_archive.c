#include "cli/log_archive.h"

#include "cli/path.h"

#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HEADER 8 /* of a frame: length u32le, CRC-32C u32le */

static uint32_t u32le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

/* Of `len` bytes at `at`; fewer only at the file's end. */
static enum cv_status take(int fd, int64_t at, uint8_t *out, size_t len,
                           size_t *got, struct cv_err *err)
{
    *got = 0;
    while (*got < len) {
        ssize_t n = pread(fd, out + *got, len - *got, at + (off_t)*got);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cv_fail_errno(err, CV_IO, "cannot read the archive");
        }
        if (n == 0) {
            break;
        }
        *got += (size_t)n;
    }
    return CV_OK;
}

static enum cv_status no_archive(struct cv_err *err)
{
    return cv_fail(err, CV_INVALID,
                   "this is no archive of a log, or it is damaged");
}

/* The record at `at`. */
static enum cv_status record_at(int fd, int64_t at, uint32_t len,
                                struct cv_buf *out, struct cv_err *err)
{
    uint8_t *room = cv_buf_room(out, len);
    size_t got = 0;
    enum cv_status s = CV_OK;

    if (room != NULL) {
        s = take(fd, at + HEADER, room, len, &got, err);
    }
    if (s == CV_OK && room != NULL && got < len) {
        return no_archive(err);
    }
    cv_buf_took(out, got);
    return s == CV_OK ? cv_buf_status(out, "a record", err) : s;
}

/* The first record says its number. */
static enum cv_status first_of(int fd, uint32_t len, int64_t *first,
                               struct cv_err *err)
{
    const cJSON *seq;
    cJSON *tree = NULL;
    struct cv_buf record;
    enum cv_status s;

    cv_buf_init(&record, NULL, CV_LIMIT_LEAF);
    s = record_at(fd, 0, len, &record, err);
    if (s == CV_OK &&
        cv_json_parse(NULL, cv_buf_bytes(&record), &tree, NULL) != CV_OK) {
        s = no_archive(err);
    }
    seq = cJSON_GetObjectItemCaseSensitive(tree, "seq");
    if (s == CV_OK && !cJSON_IsNumber(seq)) {
        s = no_archive(err);
    }
    *first = s == CV_OK ? (int64_t)seq->valuedouble : 0;
    cJSON_Delete(tree);
    cv_buf_wipe(&record);
    return s;
}

static enum cv_status find(int fd, int64_t seq, struct cv_buf *out,
                           struct cv_err *err)
{
    int64_t at = 0, first = 0, n = 0;
    enum cv_status s = CV_OK;

    for (;; n++) {
        uint8_t header[HEADER];
        size_t got = 0;
        uint32_t len;

        s = take(fd, at, header, sizeof(header), &got, err);
        if (s != CV_OK || got == 0) {
            break;
        }
        len = u32le(header);
        if (got < sizeof(header) || len == 0 || len > CV_LIMIT_LEAF) {
            return no_archive(err);
        }
        if (n == 0) {
            s = first_of(fd, len, &first, err);
        }
        if (s != CV_OK) {
            break;
        }
        if (first + n == seq) {
            return record_at(fd, at, len, out, err);
        }
        at += HEADER + (int64_t)len;
    }
    if (s != CV_OK) {
        return s;
    }
    return n == 0 ? no_archive(err)
                  : cv_fail(err, CV_NOT_FOUND,
                            "the archive has the records %lld to %lld",
                            (long long)first, (long long)(first + n - 1));
}

/* What is no text is no record, and could not be sent. */
static bool is_text(const struct cv_buf *record)
{
    for (size_t i = 0; i < record->len; i++) {
        if (record->data[i] < 0x20 || record->data[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

enum cv_status cv_log_archive_add(const char *path, int64_t seq,
                                  cJSON *parameters, struct cv_err *err)
{
    struct cv_buf record;
    int fd = -1;
    enum cv_status s = cv_path_open_input(path, &fd, err);

    cv_buf_init(&record, NULL, CV_LIMIT_LEAF + 1);
    if (s == CV_OK) {
        s = find(fd, seq, &record, err);
    }
    if (s == CV_OK && !is_text(&record)) {
        s = cv_fail(err, CV_INTEGRITY, "record %lld of the archive is damaged",
                    (long long)seq);
    }
    if (s == CV_OK &&
        !cv_json_add_str(parameters, "record", cv_buf_text(&record))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&record);
    cv_file_close(&fd);
    return s;
}
