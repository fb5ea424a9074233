#include "vault/broker/archive.h"

#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIXED (CV_ARCHIVE_MAGIC_LEN + 8) /* magic, version, length */
#define STEP CV_KIB(256)
#define WORD "certvault backup"

static const struct {
    const char *path;
    uint64_t max;
} parts[] = {
    [CV_ARCHIVE_KEY] = {"audit/key.pub", CV_LIMIT_NOTE},
    [CV_ARCHIVE_SEALED] = {"audit/log.key.sealed", CV_LIMIT_SEALED},
    [CV_ARCHIVE_CHECKPOINT] = {"audit/checkpoint", CV_LIMIT_NOTE},
    [CV_ARCHIVE_ARCHIVED] = {"audit/archived", CV_LIMIT_NOTE},
    [CV_ARCHIVE_STORE] = {"vault.db", CV_LIMIT_BACKUP_PART},
    [CV_ARCHIVE_KEPT] = {"audit/checkpoints", CV_LIMIT_KEPT + CV_LIMIT_NOTE},
    [CV_ARCHIVE_HASHES] = {"audit/archived.hashes", CV_LIMIT_BACKUP_PART},
    [CV_ARCHIVE_LOG] = {"audit/log", CV_LIMIT_BACKUP_PART},
};

const char *cv_archive_path(enum cv_archive_part part)
{
    return parts[part].path;
}

static void put_u32(uint32_t v, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

/* What is in it says which version it is: one head has one spelling, and older
 * readers read what has nothing that they do not know. */
static int64_t version_of(const struct cv_archive_head *head)
{
    return head->sizes[CV_ARCHIVE_KEPT] > 0       ? CV_ARCHIVE_VERSION_KEPT
           : head->sizes[CV_ARCHIVE_ARCHIVED] > 0 ? CV_ARCHIVE_VERSION_ARCHIVED
                                                  : CV_ARCHIVE_VERSION;
}

static bool is_archived(int i)
{
    return i == CV_ARCHIVE_ARCHIVED || i == CV_ARCHIVE_HASHES;
}

static bool has_part(int64_t version, int i)
{
    return i == CV_ARCHIVE_KEPT
               ? version == CV_ARCHIVE_VERSION_KEPT
               : version > CV_ARCHIVE_VERSION || !is_archived(i);
}

static int count_parts(int64_t version)
{
    int n = 0;

    for (int i = 0; i < CV_ARCHIVE_PARTS; i++) {
        n += has_part(version, i);
    }
    return n;
}

/* Where the version has a part it may be empty; else it would be another. */
static bool may_be_empty(int64_t version, int i)
{
    return i == CV_ARCHIVE_SEALED || i == CV_ARCHIVE_CHECKPOINT ||
           i == CV_ARCHIVE_LOG ||
           (version == CV_ARCHIVE_VERSION_KEPT && is_archived(i));
}

static cJSON *parts_tree(const struct cv_archive_head *head)
{
    cJSON *list = cJSON_CreateArray();

    for (int i = 0; i < CV_ARCHIVE_PARTS; i++) {
        cJSON *part;

        if (!has_part(version_of(head), i)) {
            continue;
        }
        part = cJSON_CreateObject();

        if (!cv_json_add_str(part, "name", parts[i].path) ||
            !cv_json_add_int(part, "size", (int64_t)head->sizes[i]) ||
            !cJSON_AddItemToArray(list, part)) {
            cJSON_Delete(part);
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static cJSON *log_tree(const struct cv_archive_head *head)
{
    cJSON *log = cJSON_CreateObject();

    if (!cv_json_add_int(log, "size", (int64_t)head->leaves) ||
        !cv_json_add_base64(
            log, "root", (struct cv_bytes){head->root, sizeof(head->root)})) {
        cJSON_Delete(log);
        return NULL;
    }
    return log;
}

/* The head's text: canonical, so that one head has one spelling. */
static void write_text(const struct cv_archive_head *head, struct cv_buf *out)
{
    char when[CV_CLOCK_TEXT_LEN];
    cJSON *tree = cJSON_CreateObject();

    if (cv_json_add_str(tree, "format", WORD) &&
        cv_json_add_int(tree, "v", version_of(head)) &&
        cv_json_add_str(tree, "vault_id", head->vault_id) &&
        cv_json_add_str(tree, "program", head->program) &&
        cv_json_add_str(tree, "created",
                        cv_clock_format(head->created_s, when)) &&
        cv_json_add_item(tree, "log", log_tree(head)) &&
        cv_json_add_item(tree, "parts", parts_tree(head))) {
        cv_json_write(tree, CV_JSON_CANONICAL, out);
    } else {
        out->status = CV_INTERNAL;
    }
    cJSON_Delete(tree);
}

void cv_archive_write_head(const struct cv_archive_head *head,
                           struct cv_buf *out)
{
    uint8_t fixed[8];
    struct cv_buf text;

    cv_buf_init(&text, NULL, CV_LIMIT_BACKUP_HEAD);
    write_text(head, &text);
    put_u32((uint32_t)version_of(head), fixed);
    put_u32((uint32_t)text.len, fixed + 4);
    cv_buf_add(out, CV_ARCHIVE_MAGIC, CV_ARCHIVE_MAGIC_LEN);
    cv_buf_add(out, fixed, sizeof(fixed));
    cv_buf_add(out, text.data, text.len);
    if (text.status != CV_OK && out->status == CV_OK) {
        out->status = text.status;
    }
    cv_buf_wipe(&text);
}

static uint64_t size_of(const struct cv_archive_head *head, uint64_t text_len)
{
    uint64_t size = FIXED + text_len + CV_ARCHIVE_DIGEST;

    for (int i = 0; i < CV_ARCHIVE_PARTS; i++) {
        size += head->sizes[i];
    }
    return size;
}

uint64_t cv_archive_size(const struct cv_archive_head *head)
{
    struct cv_buf text;
    uint64_t size;

    cv_buf_init(&text, NULL, CV_LIMIT_BACKUP_HEAD);
    write_text(head, &text);
    size = size_of(head, text.len);
    cv_buf_wipe(&text);
    return size;
}

/* Reading. */

struct reader {
    int fd;
    crypto_hash_sha256_state sha;
    uint8_t *room; /* STEP bytes */
};

static enum cv_status is_cut(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INTEGRITY, "the backup is cut short");

    cv_err_hint(err, "copy it again from where it was kept, or take another");
    return s;
}

/* Exactly `len` bytes into `out`, hashed. */
static enum cv_status take(struct reader *r, uint8_t *out, size_t len,
                           struct cv_err *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(r->fd, out + done, len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cv_fail_errno(err, CV_IO, "cannot read the backup");
        }
        if (n == 0) {
            return is_cut(err);
        }
        done += (size_t)n;
    }
    (void)crypto_hash_sha256_update(&r->sha, out, len);
    return CV_OK;
}

static enum cv_status no_head(struct cv_err *err)
{
    return cv_fail(err, CV_INTEGRITY, "the backup's head is damaged");
}

static enum cv_status read_part(const cJSON *item, int64_t version, int at,
                                struct cv_archive_head *head,
                                struct cv_err *err)
{
    const char *name = NULL;
    int64_t size = -1;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, 64},
        {"size", CV_JSON_INT, true, &size, 0},
    };

    if (cv_json_read(item, "a part", fields, 2, true, NULL) != CV_OK ||
        strcmp(name, parts[at].path) != 0 || size < 0 ||
        (uint64_t)size > parts[at].max ||
        (size == 0 && !may_be_empty(version, at))) {
        return no_head(err);
    }
    head->sizes[at] = (uint64_t)size;
    return CV_OK;
}

static bool is_id(const char *text)
{
    return strspn(text, "0123456789abcdef") == CV_ARCHIVE_ID &&
           text[CV_ARCHIVE_ID] == '\0';
}

static enum cv_status read_tree(const cJSON *tree, struct cv_archive_head *head,
                                struct cv_err *err)
{
    const char *format = NULL, *id = NULL, *program = NULL, *created = NULL,
               *root = NULL;
    const cJSON *log = NULL, *list = NULL, *item;
    int64_t v = 0, leaves = -1;
    const struct cv_json_field fields[] = {
        {"format", CV_JSON_STRING, true, &format, 32},
        {"v", CV_JSON_INT, true, &v, 0},
        {"vault_id", CV_JSON_STRING, true, &id, CV_ARCHIVE_ID},
        {"program", CV_JSON_STRING, true, &program, CV_ARCHIVE_PROGRAM},
        {"created", CV_JSON_STRING, true, &created, CV_CLOCK_TEXT_LEN},
        {"log", CV_JSON_OBJECT, true, &log, 0},
        {"parts", CV_JSON_ARRAY, true, &list, 0},
    };
    const struct cv_json_field log_fields[] = {
        {"size", CV_JSON_INT, true, &leaves, 0},
        {"root", CV_JSON_STRING, true, &root, 64},
    };
    int at = 0;

    if (cv_json_read(tree, "the head", fields, 7, true, NULL) != CV_OK ||
        cv_json_read(log, "the log", log_fields, 2, true, NULL) != CV_OK ||
        !is_id(id) || leaves < 0 ||
        cv_clock_parse(created, &head->created_s, NULL) != CV_OK ||
        cv_decode_base64_exact(root, "the root", head->root, sizeof(head->root),
                               NULL) != CV_OK ||
        cJSON_GetArraySize(list) != count_parts(v)) {
        return no_head(err);
    }
    head->leaves = (uint64_t)leaves;
    (void)snprintf(head->vault_id, sizeof(head->vault_id), "%s", id);
    (void)snprintf(head->program, sizeof(head->program), "%s", program);
    cJSON_ArrayForEach(item, list)
    {
        while (at < CV_ARCHIVE_PARTS && !has_part(v, at)) {
            head->sizes[at++] = 0;
        }
        if (read_part(item, v, at++, head, err) != CV_OK) {
            return CV_INTEGRITY;
        }
    }
    return (head->sizes[CV_ARCHIVE_ARCHIVED] > 0) ==
                   (head->sizes[CV_ARCHIVE_HASHES] > 0)
               ? CV_OK
               : no_head(err);
}

/* What was read must be what would be written: one spelling. */
static enum cv_status read_text(struct cv_bytes text,
                                struct cv_archive_head *head,
                                struct cv_err *err)
{
    struct cv_buf again;
    cJSON *tree = NULL;
    enum cv_status s = cv_json_parse(NULL, text, &tree, NULL);

    s = s == CV_OK ? read_tree(tree, head, err) : no_head(err);
    cJSON_Delete(tree);
    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&again, NULL, CV_LIMIT_BACKUP_HEAD);
    write_text(head, &again);
    if (again.status != CV_OK || again.len != text.len ||
        memcmp(again.data, text.data, text.len) != 0) {
        s = no_head(err);
    }
    cv_buf_wipe(&again);
    return s;
}

static enum cv_status newer(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INTEGRITY,
                               "the backup was written by a newer certvault");

    cv_err_hint(err, "use that version, or a newer one");
    return s;
}

static enum cv_status read_head(struct reader *r, struct cv_archive_head *head,
                                struct cv_err *err)
{
    uint8_t fixed[FIXED];
    struct stat st;
    uint32_t version, len;
    enum cv_status s = take(r, fixed, CV_ARCHIVE_MAGIC_LEN, NULL);

    if (s == CV_IO) {
        return cv_fail_errno(err, CV_IO, "cannot read the backup");
    }
    if (s != CV_OK ||
        memcmp(fixed, CV_ARCHIVE_MAGIC, CV_ARCHIVE_MAGIC_LEN) != 0) {
        return cv_fail(err, CV_INVALID, "this is no backup of certvault");
    }
    s = take(r, fixed + CV_ARCHIVE_MAGIC_LEN, 8, err);
    if (s != CV_OK) {
        return s;
    }
    version = get_u32(fixed + CV_ARCHIVE_MAGIC_LEN);
    if (version < CV_ARCHIVE_VERSION || version > CV_ARCHIVE_VERSION_KEPT) {
        return newer(err);
    }
    len = get_u32(fixed + CV_ARCHIVE_MAGIC_LEN + 4);
    if (len == 0 || len > CV_LIMIT_BACKUP_HEAD) {
        return no_head(err);
    }
    s = take(r, r->room, len, err);
    if (s == CV_OK) {
        s = read_text((struct cv_bytes){r->room, len}, head, err);
    }
    if (s == CV_OK && version != (uint32_t)version_of(head)) {
        s = no_head(err);
    }
    if (s == CV_OK && fstat(r->fd, &st) == 0 && S_ISREG(st.st_mode) &&
        (uint64_t)st.st_size < size_of(head, len)) {
        s = is_cut(err);
    }
    return s;
}

static enum cv_status read_parts(struct reader *r,
                                 const struct cv_archive_head *head,
                                 cv_archive_each *each, void *context,
                                 struct cv_err *err)
{
    enum cv_status s = CV_OK;

    for (int i = 0; i < CV_ARCHIVE_PARTS && s == CV_OK; i++) {
        uint64_t left = head->sizes[i];

        while (left > 0 && s == CV_OK) {
            size_t len = left < STEP ? (size_t)left : STEP;

            s = take(r, r->room, len, err);
            if (s == CV_OK && each != NULL) {
                s = each(context, (enum cv_archive_part)i,
                         (struct cv_bytes){r->room, len}, err);
            }
            left -= len;
        }
    }
    return s;
}

static enum cv_status read_end(struct reader *r,
                               uint8_t digest[CV_ARCHIVE_DIGEST],
                               struct cv_err *err)
{
    uint8_t found[CV_ARCHIVE_DIGEST], more;
    enum cv_status s;

    (void)crypto_hash_sha256_final(&r->sha, digest);
    (void)crypto_hash_sha256_init(&r->sha);
    s = take(r, found, sizeof(found), err);
    if (s == CV_OK && memcmp(found, digest, sizeof(found)) != 0) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the backup was changed or damaged: its digest does not "
                    "match");
        cv_err_hint(err, "copy it again from where it was kept, or take "
                         "another");
    }
    if (s == CV_OK && read(r->fd, &more, 1) != 0) {
        s = cv_fail(err, CV_INTEGRITY, "there is something behind the backup");
    }
    return s;
}

enum cv_status
cv_archive_read(int fd, struct cv_archive_head *head,
                enum cv_status (*begun)(void *context, struct cv_err *err),
                cv_archive_each *each, void *context,
                uint8_t digest[CV_ARCHIVE_DIGEST], struct cv_err *err)
{
    struct reader r = {.fd = fd, .room = malloc(STEP)};
    enum cv_status s;

    memset(head, 0, sizeof(*head));
    memset(digest, 0, CV_ARCHIVE_DIGEST);
    if (r.room == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    (void)lseek(fd, 0, SEEK_SET);
    (void)crypto_hash_sha256_init(&r.sha);
    s = read_head(&r, head, err);
    if (s == CV_OK && begun != NULL) {
        s = begun(context, err);
    }
    if (s == CV_OK) {
        s = read_parts(&r, head, each, context, err);
    }
    if (s == CV_OK) {
        s = read_end(&r, digest, err);
    }
    free(r.room);
    return s;
}
