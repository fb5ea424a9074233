#include "vault/audit/anchored.h"

#include "vault/audit/checkpoint.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "audit/cosigned/"
#define DASH "\xe2\x80\x94 "
#define TIME 8 /* bytes between the key id and the signature */

/* The next signature line of that name from *at on: its base64. */
static bool next_line(const uint8_t **at, const uint8_t *end,
                      const struct cv_note_key *witness,
                      struct cv_bytes *base64)
{
    const size_t name = strlen(witness->name);
    const size_t head = sizeof(DASH) - 1 + name;

    while (*at < end) {
        const uint8_t *line = *at;
        const uint8_t *stop = memchr(line, '\n', (size_t)(end - line));

        stop = stop != NULL ? stop : end;
        *at = stop < end ? stop + 1 : end;
        if ((size_t)(stop - line) > head + 1 &&
            memcmp(line, DASH, sizeof(DASH) - 1) == 0 &&
            memcmp(line + sizeof(DASH) - 1, witness->name, name) == 0 &&
            line[head] == ' ') {
            *base64 = (struct cv_bytes){line + head + 1,
                                        (size_t)(stop - line) - head - 1};
            return true;
        }
    }
    return false;
}

/* Does it hold id, time, signature of this very key? */
static bool is_of_key(struct cv_bytes base64, const struct cv_note_key *witness,
                      struct cv_buf *blob)
{
    cv_buf_wipe(blob);
    return cv_decode_base64((const char *)base64.data, base64.len, false,
                            "a signature", blob, NULL) == CV_OK &&
           blob->len >= sizeof(witness->id) + TIME &&
           memcmp(blob->data, witness->id, sizeof(witness->id)) == 0;
}

void cv_anchored_pick(struct cv_bytes lines, const struct cv_note_key *witness,
                      struct cv_buf *note)
{
    const uint8_t *at = lines.data, *end = lines.len > 0 ? at + lines.len : at;
    struct cv_bytes base64;
    struct cv_buf blob;

    cv_buf_init(&blob, NULL, 256);
    while (next_line(&at, end, witness, &base64)) {
        if (is_of_key(base64, witness, &blob)) {
            cv_buf_add_format(note, DASH "%s ", witness->name);
            cv_buf_add(note, base64.data, base64.len);
            cv_buf_add_char(note, '\n');
        }
    }
    cv_buf_wipe(&blob);
}

/* What the line of this very key holds: id, time, signature. */
static bool find_blob(struct cv_bytes note, const struct cv_note_key *witness,
                      struct cv_buf *blob)
{
    const uint8_t *end = note.data + note.len;
    const uint8_t *at = memmem(note.data, note.len, "\n\n", 2);
    struct cv_bytes base64;

    while (at != NULL && next_line(&at, end, witness, &base64)) {
        if (is_of_key(base64, witness, blob)) {
            return true;
        }
    }
    return false;
}

enum cv_status cv_anchored_time(struct cv_bytes note,
                                const struct cv_note_key *witness,
                                int64_t *time_s, struct cv_err *err)
{
    struct cv_bytes text;
    struct cv_buf blob;
    uint64_t time = 0;
    enum cv_status s = CV_OK;

    *time_s = 0;
    cv_buf_init(&blob, NULL, 256);
    if (note.len == 0 || !find_blob(note, witness, &blob)) {
        s = cv_fail(err, CV_NOT_FOUND, "the witness has not signed this");
    }
    /* Every line of that key is verified. */
    if (s == CV_OK) {
        s = cv_note_open(note, witness, 1, &text, err);
    }
    for (size_t i = 0; s == CV_OK && i < TIME; i++) {
        time = time << 8 | blob.data[sizeof(witness->id) + i];
    }
    cv_buf_wipe(&blob);
    if (s == CV_OK && (time == 0 || time > (uint64_t)INT64_MAX)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the witness has signed no time that could be");
    }
    if (s == CV_OK) {
        *time_s = (int64_t)time;
    }
    return s;
}

void cv_anchored_notes(struct cv_bytes text, const char *origin,
                       cv_anchored_note_fn *fn, void *ctx)
{
    const size_t name = strlen(origin);
    const uint8_t *at = text.data;
    const uint8_t *end = at != NULL ? at + text.len : NULL;

    while (at != NULL && (size_t)(end - at) > name) {
        const uint8_t *middle = memmem(at, (size_t)(end - at), "\n\n", 2);
        const uint8_t *last =
            middle != NULL
                ? memmem(middle + 2, (size_t)(end - middle) - 2, "\n\n", 2)
                : NULL;

        if (middle == NULL) {
            break;
        }
        if (memcmp(at, origin, name) == 0) {
            fn(ctx,
               (struct cv_bytes){at, last != NULL ? (size_t)(last - at) + 1
                                                  : (size_t)(end - at)},
               (size_t)(middle - at) + 1);
        }
        at = middle + 2;
    }
}

static enum cv_status read_file(int vault, const struct cv_note_key *witness,
                                struct cv_buf *note, struct cv_err *err)
{
    struct cv_buf path;
    int fd = -1;
    enum cv_status s;

    cv_buf_init(&path, NULL, 64);
    cv_buf_add_str(&path, FOLDER);
    cv_encode_hex((struct cv_bytes){witness->id, sizeof(witness->id)}, &path);
    s = cv_file_open(vault, cv_buf_text(&path), O_RDONLY, &fd, err);
    if (s == CV_OK) {
        s = cv_file_read(fd, cv_buf_text(&path), note, err);
        s = s == CV_INVALID ? CV_INTEGRITY : s;
        cv_file_close(&fd);
    }
    cv_buf_wipe(&path);
    return s;
}

/* What the witness signed; the log's own line under it may be by a key that the
 * log had before (rotation.h). */
static enum cv_status open_note(struct cv_bytes note,
                                const struct cv_note_key *log_key,
                                const struct cv_note_key *witness,
                                struct cv_checkpoint *out, struct cv_err *err)
{
    const struct cv_note_key keys[] = {*log_key, *witness};
    struct cv_bytes text;
    enum cv_status s = cv_note_open(note, keys, 2, &text, err);

    if (s == CV_OK) {
        s = cv_checkpoint_parse(text, out, err);
    }
    if (s == CV_OK && strcmp(out->origin, log_key->name) != 0) {
        s = cv_fail(err, CV_INTEGRITY, "a checkpoint of another log's origin");
    }
    return s;
}

static enum cv_status read_one(int vault, const struct cv_note_key *log_key,
                               const struct cv_note_key *witness,
                               struct cv_anchored_one *out, struct cv_err *err)
{
    struct cv_checkpoint c;
    struct cv_buf note;
    enum cv_status s;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    s = read_file(vault, witness, &note, err);
    if (s == CV_OK) {
        s = cv_anchored_time(cv_buf_bytes(&note), witness, &out->time_s, err);
        s = s == CV_NOT_FOUND ? CV_INTEGRITY : s;
        if (s == CV_OK) {
            s = open_note(cv_buf_bytes(&note), log_key, witness, &c, err);
        }
        if (s != CV_OK) {
            cv_err_prefix(err, "the checkpoint of the witness %s",
                          witness->name);
        }
    }
    cv_buf_wipe(&note);
    if (s == CV_OK) {
        memcpy(out->name, witness->name, sizeof(out->name));
        out->size = c.size;
        memcpy(out->root, c.root, sizeof(out->root));
    }
    return s;
}

enum cv_status cv_anchored_read(int vault, const struct cv_note_key *log_key,
                                const struct cv_note_key *witnesses, size_t n,
                                struct cv_anchored *out, struct cv_err *err)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < n && out->n < CV_ANCHORED_MOST; i++) {
        struct cv_anchored_one one;
        struct cv_err why;
        size_t at = 0;
        enum cv_status s;

        cv_err_init(&why);
        s = read_one(vault, log_key, &witnesses[i], &one, &why);
        if (s == CV_NOT_FOUND) {
            continue;
        }
        if (s != CV_OK) {
            if (err != NULL) {
                *err = why;
            }
            return s;
        }
        while (at < out->n && out->at[at].size >= one.size) {
            at++;
        }
        memmove(&out->at[at + 1], &out->at[at],
                (out->n - at) * sizeof(out->at[0]));
        out->at[at] = one;
        out->n++;
    }
    return CV_OK;
}

struct names {
    char at[CV_ANCHORED_MOST][9];
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void read_names(int folder, struct names *names)
{
    DIR *d = fdopendir(folder);
    const struct dirent *e;

    names->n = 0;
    while (d != NULL && names->n < CV_ANCHORED_MOST &&
           (e = readdir(d)) != NULL) {
        if (strlen(e->d_name) == 8 &&
            strspn(e->d_name, "0123456789abcdef") == 8) {
            memcpy(names->at[names->n++], e->d_name, 9);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    } else {
        cv_file_close(&folder);
    }
    qsort(names->at, names->n, sizeof(names->at[0]), by_name);
}

enum cv_status cv_anchored_each(int vault, cv_anchored_fn *fn, void *ctx,
                                struct cv_err *err)
{
    struct names names;
    enum cv_status s = CV_OK;
    int folder = openat(vault, "audit/cosigned",
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (folder < 0) {
        return errno == ENOENT ? CV_OK
                               : cv_fail_errno(err, CV_IO, "audit/cosigned");
    }
    read_names(folder, &names);
    for (size_t i = 0; s == CV_OK && i < names.n; i++) {
        char path[sizeof(FOLDER) + 8];
        struct cv_buf note;
        int fd = -1;

        (void)snprintf(path, sizeof(path), FOLDER "%s", names.at[i]);
        cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
        s = cv_file_open(vault, path, O_RDONLY, &fd, err);
        if (s == CV_OK) {
            s = cv_file_read(fd, path, &note, err);
            cv_file_close(&fd);
        }
        s = s == CV_OK ? fn(ctx, names.at[i], cv_buf_bytes(&note), err)
            : s == CV_NOT_FOUND || s == CV_INVALID ? CV_OK
                                                   : s;
        cv_buf_wipe(&note);
    }
    return s;
}
