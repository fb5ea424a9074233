#include "vault/audit/kept.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A line: a note as JSON, whose characters may take six bytes each. */
#define LINE_MAX_LEN (6 * CV_LIMIT_NOTE + 256)

static cJSON *item_of(struct cv_bytes note, int64_t now)
{
    char when[CV_CLOCK_TEXT_LEN];
    struct cv_buf text;
    cJSON *item = cJSON_CreateObject();
    bool ok;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_add(&text, note.data, note.len);
    ok = text.status == CV_OK &&
         cv_json_add_str(item, "note", cv_buf_text(&text)) &&
         cv_json_add_str(item, "time", cv_clock_format(now, when));
    cv_buf_wipe(&text);
    if (!ok) {
        cJSON_Delete(item);
        item = NULL;
    }
    return item;
}

/* One write, at the end: a line of another process is not torn by it. */
static void append(int fd, struct cv_bytes note, int64_t now, bool begin)
{
    cJSON *item = item_of(note, now);
    struct cv_buf line;
    ssize_t n;

    cv_buf_init(&line, NULL, LINE_MAX_LEN);
    if (item != NULL) {
        if (begin) {
            cv_buf_add_char(&line, '\n'); /* one that was cut off ends here */
        }
        cv_json_write(item, CV_JSON_CANONICAL, &line);
        cv_buf_add_char(&line, '\n');
        if (line.status == CV_OK) {
            n = write(fd, line.data, line.len);
            (void)n; /* what is torn is passed over */
        }
    }
    cJSON_Delete(item);
    cv_buf_wipe(&line);
}

void cv_kept_add(int vault, struct cv_bytes note)
{
    int64_t now = cv_clock_now_s();
    struct stat st;
    char last = '\n';
    int fd = -1;

    if (cv_file_open(vault, CV_KEPT_PATH, O_RDWR | O_CREAT | O_APPEND, &fd,
                     NULL) != CV_OK) {
        return;
    }
    if (fstat(fd, &st) == 0 &&
        (st.st_size == 0 || st.st_mtime > now ||
         now - st.st_mtime >= CV_KEPT_EVERY_S) &&
        (uint64_t)st.st_size < CV_LIMIT_KEPT &&
        (st.st_size == 0 || pread(fd, &last, 1, st.st_size - 1) == 1)) {
        append(fd, note, now, last != '\n');
    }
    cv_file_close(&fd);
}

/* What a line says; false for one that is none. */
static bool read_line(struct cv_bytes line, struct cv_buf *note,
                      struct cv_checkpoint *out)
{
    const char *text = NULL, *when = NULL;
    const struct cv_json_field fields[] = {
        {"note", CV_JSON_TEXT, true, &text, CV_LIMIT_NOTE},
        {"time", CV_JSON_STRING, true, &when, CV_CLOCK_TEXT_LEN},
    };
    const char *end;
    cJSON *item = NULL;
    bool ok =
        cv_json_parse(NULL, line, &item, NULL) == CV_OK &&
        cv_json_read(item, "a checkpoint", fields, 2, true, NULL) == CV_OK;

    if (ok) {
        end = strstr(text, "\n\n");
        ok = end != NULL &&
             cv_checkpoint_parse((struct cv_bytes){(const uint8_t *)text,
                                                   (size_t)(end - text) + 1},
                                 out, NULL) == CV_OK;
    }
    if (ok) {
        cv_buf_wipe(note);
        cv_buf_add_str(note, text);
        ok = note->status == CV_OK;
    }
    cJSON_Delete(item);
    return ok;
}

static enum cv_status take_lines(struct cv_buf *lines, cv_kept_fn *fn,
                                 void *ctx, uint64_t *damaged,
                                 struct cv_err *err)
{
    struct cv_checkpoint c;
    struct cv_buf note;
    size_t at = 0;
    enum cv_status status = CV_OK;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    while (status == CV_OK && at < lines->len) {
        const uint8_t *from = lines->data + at;
        const uint8_t *end = memchr(from, '\n', lines->len - at);

        if (end == NULL) {
            break;
        }
        if (read_line((struct cv_bytes){from, (size_t)(end - from)}, &note,
                      &c)) {
            status = fn(ctx, &c, cv_buf_bytes(&note), err);
        } else {
            *damaged += end > from;
        }
        at += (size_t)(end - from) + 1;
    }
    cv_buf_wipe(&note);
    cv_buf_drop(lines, at);
    return status;
}

enum cv_status cv_kept_each(int vault, cv_kept_fn *fn, void *ctx,
                            struct cv_err *err)
{
    uint64_t damaged;

    return cv_kept_look(vault, fn, ctx, &damaged, err);
}

enum cv_status cv_kept_look(int vault, cv_kept_fn *fn, void *ctx,
                            uint64_t *damaged, struct cv_err *err)
{
    struct cv_buf lines;
    struct cv_err why;
    int fd = -1;
    enum cv_status status;

    *damaged = 0;
    cv_err_init(&why);
    status = cv_file_open(vault, CV_KEPT_PATH, O_RDONLY, &fd, &why);
    if (status == CV_NOT_FOUND) {
        return CV_OK;
    }
    if (status != CV_OK && err != NULL) {
        *err = why;
    }
    cv_buf_init(&lines, NULL, 2 * (size_t)LINE_MAX_LEN);
    while (status == CV_OK) {
        uint8_t *room = cv_buf_room(&lines, CV_KIB(64));
        ssize_t n = room == NULL ? -1 : read(fd, room, CV_KIB(64));

        if (n < 0 && room != NULL && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break; /* also where a line is longer than any of ours */
        }
        cv_buf_took(&lines, (size_t)n);
        status = take_lines(&lines, fn, ctx, damaged, err);
    }
    *damaged += lines.len > 0; /* without an end, or without end */
    cv_buf_wipe(&lines);
    cv_file_close(&fd);
    return status;
}

struct around {
    uint64_t below, above;
    const struct cv_note_key *key; /* of the one after */
    struct cv_kept_pair *pair;
};

static void take(struct cv_buf *to, struct cv_checkpoint *said,
                 const struct cv_checkpoint *c, struct cv_bytes note)
{
    cv_buf_wipe(to);
    cv_buf_add(to, note.data, note.len);
    *said = *c;
}

static enum cv_status look(void *ctx, const struct cv_checkpoint *c,
                           struct cv_bytes note, struct cv_err *err)
{
    struct around *a = ctx;
    struct cv_kept_pair *p = a->pair;
    struct cv_checkpoint said;

    (void)err;
    if (c->size > 0 && c->size <= a->below &&
        (p->before_note.len == 0 || c->size > p->before.size)) {
        take(&p->before_note, &p->before, c, note);
    }
    if (c->size >= a->above &&
        (p->after_note.len == 0 || c->size < p->after.size) &&
        cv_checkpoint_open(note, a->key, &said, NULL) == CV_OK) {
        take(&p->after_note, &p->after, c, note);
    }
    return CV_OK;
}

/* Signed by none of them: none. */
static void believe(struct cv_buf *note, struct cv_checkpoint *said,
                    const struct cv_note_key *keys, size_t n)
{
    for (size_t i = n; note->len > 0 && i > 0; i--) {
        if (cv_checkpoint_open(cv_buf_bytes(note), &keys[i - 1], said, NULL) ==
            CV_OK) {
            return;
        }
    }
    cv_buf_wipe(note);
}

enum cv_status cv_kept_around(int vault, const struct cv_note_key *keys,
                              size_t n, uint64_t below, uint64_t above,
                              struct cv_kept_pair *out, struct cv_err *err)
{
    struct around a = {below, above, &keys[n - 1], out};
    enum cv_status status;

    memset(out, 0, sizeof *out);
    cv_buf_init(&out->before_note, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&out->after_note, NULL, CV_LIMIT_NOTE);
    status = cv_kept_each(vault, look, &a, err);
    believe(&out->before_note, &out->before, keys, n);
    return status;
}

void cv_kept_pair_wipe(struct cv_kept_pair *pair)
{
    cv_buf_wipe(&pair->before_note);
    cv_buf_wipe(&pair->after_note);
}
