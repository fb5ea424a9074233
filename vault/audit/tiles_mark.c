/* How far the tiles go. */
#include "vault/audit/tiles_internal.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX CV_KIB(4)

static enum cv_status read_file(int vault, const char *path,
                                const struct cv_json_field *fields, size_t n,
                                cJSON **root, struct cv_err *err)
{
    struct cv_buf text;
    int fd = -1;
    enum cv_status status = cv_file_open(vault, path, O_RDONLY, &fd, err);

    *root = NULL;
    if (status != CV_OK) {
        return status;
    }
    cv_buf_init(&text, NULL, FILE_MAX);
    status = cv_file_read(fd, path, &text, err);
    cv_file_close(&fd);
    if (status == CV_OK) {
        status = cv_json_parse(NULL, cv_buf_bytes(&text), root, err);
    }
    if (status == CV_OK) {
        status = cv_json_read(*root, path, fields, n, true, err);
    }
    cv_buf_wipe(&text);
    return status;
}

enum cv_status cv_tiles_mark(int vault, uint64_t *size, uint64_t *offset,
                             struct cv_err *err)
{
    int64_t s = 0, o = 0;
    const struct cv_json_field fields[] = {
        {"offset", CV_JSON_INT, true, &o, 0},
        {"size", CV_JSON_INT, true, &s, 0},
    };
    cJSON *root;
    enum cv_status status =
        read_file(vault, CV_TILES_MARK, fields, 2, &root, err);

    if (status == CV_INVALID || (status == CV_OK && (s < 0 || o < 0)) ||
        s % CV_TILE_WIDTH != 0 || s > INT64_C(1) << 53) {
        status = cv_fail(err, CV_NOT_FOUND, "%s cannot be read", CV_TILES_MARK);
    }
    *size = status == CV_OK ? (uint64_t)s : 0;
    *offset = status == CV_OK ? (uint64_t)o : 0;
    cJSON_Delete(root);
    return status;
}

/* How far the partial tiles go, 0 where nobody knows. They were not synced: as
 * long as the machine runs they are what was written, and after that they may
 * be anything. */
static uint64_t read_last(int vault)
{
    int64_t s = 0;
    const char *boot = NULL;
    const struct cv_json_field fields[] = {
        {"boot", CV_JSON_STRING, true, &boot, 64},
        {"size", CV_JSON_INT, true, &s, 0},
    };
    cJSON *root;
    bool ours =
        read_file(vault, CV_TILES_LAST, fields, 2, &root, NULL) == CV_OK &&
        s > 0 && strcmp(boot, cv_clock_boot_id()) == 0;

    cJSON_Delete(root);
    return ours ? (uint64_t)s : 0;
}

enum cv_status cv_tiles_size(int vault, uint64_t *size, struct cv_err *err)
{
    uint64_t offset, last;
    enum cv_status status = cv_tiles_mark(vault, size, &offset, err);

    if (status == CV_OK) {
        last = read_last(vault);
        *size = last / CV_TILE_WIDTH == *size / CV_TILE_WIDTH ? last : *size;
    }
    return status;
}

enum cv_status cv_tiles_set_mark(int vault, uint64_t size, uint64_t offset,
                                 struct cv_err *err)
{
    char text[80];
    int len = snprintf(text, sizeof text, "{\"offset\":%llu,\"size\":%llu}\n",
                       (unsigned long long)offset, (unsigned long long)size);

    return cv_file_replace(
        vault, CV_TILES_MARK,
        (struct cv_bytes){(const uint8_t *)text, (size_t)len}, 0600, err);
}

enum cv_status cv_tiles_set_last(int vault, uint64_t size, struct cv_err *err)
{
    char text[120];
    int len =
        snprintf(text, sizeof text, "{\"boot\":\"%.40s\",\"size\":%llu}\n",
                 cv_clock_boot_id(), (unsigned long long)size);

    return cv_file_replace_unsynced(
        vault, CV_TILES_LAST,
        (struct cv_bytes){(const uint8_t *)text, (size_t)len}, 0600, err);
}
