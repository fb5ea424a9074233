#include "cli/output.h"

#include "cli/output_yaml.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_LEN CV_KIB(8)

enum cv_status cv_output_parse(const char *word, enum cv_output_format *out,
                               struct cv_err *err)
{
    static const char *const words[] = {"table", "json", "yaml", "name"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (enum cv_output_format)i;
            return CV_OK;
        }
    }
    return cv_fail(err, CV_USAGE, "-o takes table, json, yaml or name");
}

bool cv_output_is_terminal(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

void cv_output_begin(struct cv_output *o, bool no_color, bool lost)
{
    const char *term = getenv("TERM");
    const char *wish = getenv("NO_COLOR");
    bool plain = no_color || (wish != NULL && wish[0] != '\0') ||
                 term == NULL || strcmp(term, "dumb") == 0;

    o->talks = isatty(STDERR_FILENO) == 1;
    o->color = !plain && cv_output_is_terminal();
    o->color_err = !plain && o->talks;
    o->lost = lost ? CV_IO : CV_OK;
}

enum cv_status cv_output_write(struct cv_output *o, struct cv_bytes bytes,
                               struct cv_err *err)
{
    enum cv_status s;

    if (bytes.len == 0) {
        return CV_OK;
    }
    if (o->lost != CV_OK) {
        return cv_fail(err, o->lost, "standard output is closed");
    }
    cv_output_progress_end(o);
    s = cv_file_write(STDOUT_FILENO, bytes, "standard output", err);
    if (s != CV_OK) {
        o->lost = s;
    }
    return s;
}

enum cv_status cv_output_write_buf(struct cv_output *o, struct cv_buf *b,
                                   struct cv_err *err)
{
    enum cv_status s = cv_buf_status(b, "the output", err);

    if (s == CV_OK) {
        s = cv_output_write(o, cv_buf_bytes(b), err);
    }
    cv_buf_wipe(b);
    return s;
}

enum cv_status cv_output_line(struct cv_output *o, struct cv_err *err,
                              const char *fmt, ...)
{
    char text[512];
    struct cv_buf b;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    cv_buf_init(&b, NULL, LINE_LEN);
    cv_output_escape(&b, text);
    cv_buf_add_char(&b, '\n');
    return cv_output_write_buf(o, &b, err);
}

static void escape_lines(struct cv_buf *b, const char *text)
{
    char line[512];

    while (*text != '\0') {
        size_t n = strcspn(text, "\n\t");
        size_t part = n < sizeof(line) ? n : sizeof(line) - 1;

        memcpy(line, text, part);
        line[part] = '\0';
        cv_output_escape(b, line);
        text += part;
        if (part == n && *text != '\0') {
            cv_buf_add_char(b, *text++);
        }
    }
}

enum cv_status cv_output_text(struct cv_output *o, const char *text,
                              struct cv_err *err)
{
    size_t len = strlen(text);
    struct cv_buf b;

    cv_buf_init(&b, NULL, CV_LIMIT_FRAME * 4);
    if (cv_output_is_terminal()) {
        escape_lines(&b, text);
    } else {
        cv_buf_add_str(&b, text);
    }
    if (len > 0 && text[len - 1] != '\n') {
        cv_buf_add_char(&b, '\n');
    }
    return cv_output_write_buf(o, &b, err);
}

enum cv_status cv_output_document(struct cv_output *o, const cJSON *document,
                                  struct cv_err *err)
{
    struct cv_buf b;

    cv_buf_init(&b, NULL, CV_LIMIT_FRAME * 3);
    if (o->format == CV_OUTPUT_YAML) {
        cv_output_yaml(document, &b);
    } else {
        cv_json_write(document, CV_JSON_PRETTY, &b);
        cv_buf_add_char(&b, '\n');
    }
    return cv_output_write_buf(o, &b, err);
}

enum cv_status cv_output_json_line(struct cv_output *o, const cJSON *value,
                                   struct cv_err *err)
{
    struct cv_buf b;

    cv_buf_init(&b, NULL, CV_LIMIT_FRAME * 2);
    cv_json_write(value, CV_JSON_COMPACT, &b);
    cv_buf_add_char(&b, '\n');
    return cv_output_write_buf(o, &b, err);
}

enum cv_status cv_output_end(struct cv_output *o, struct cv_err *err)
{
    if (o->lost != CV_OK) {
        return cv_fail(err, o->lost, "standard output is closed");
    }
    if (close(STDOUT_FILENO) != 0) {
        return cv_fail_errno(err, CV_IO, "standard output");
    }
    return CV_OK;
}

/* Standard error: nobody can be told when that fails. */
CV_PRINTF(3, 0)
static void say(struct cv_output *o, const char *before, const char *fmt,
                va_list ap)
{
    char text[1024];
    struct cv_buf b;

    (void)vsnprintf(text, sizeof(text), fmt, ap);
    cv_output_progress_end(o);
    cv_buf_init(&b, NULL, LINE_LEN);
    cv_buf_add_str(&b, "certvault: ");
    cv_buf_add_str(&b, before);
    cv_output_escape(&b, text);
    cv_buf_add_char(&b, '\n');
    if (cv_buf_status(&b, "a note", NULL) == CV_OK) {
        (void)!cv_file_write(STDERR_FILENO, cv_buf_bytes(&b), "", NULL);
    }
    cv_buf_wipe(&b);
}

void cv_output_note(struct cv_output *o, const char *fmt, ...)
{
    va_list ap;

    if (o->quiet) {
        return;
    }
    va_start(ap, fmt);
    say(o, "", fmt, ap);
    va_end(ap);
}

void cv_output_warn(struct cv_output *o, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(o, "warning: ", fmt, ap);
    va_end(ap);
}

void cv_output_progress(struct cv_output *o, const char *fmt, ...)
{
    char text[256];
    struct cv_buf b;
    va_list ap;

    if (!o->talks || o->quiet) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    cv_buf_init(&b, NULL, LINE_LEN);
    cv_buf_add_str(&b, "\r\033[K");
    cv_output_escape(&b, text);
    if (cv_buf_status(&b, "progress", NULL) == CV_OK) {
        (void)!cv_file_write(STDERR_FILENO, cv_buf_bytes(&b), "", NULL);
        o->progress = true;
    }
    cv_buf_wipe(&b);
}

void cv_output_progress_end(struct cv_output *o)
{
    static const uint8_t erase[] = "\r\033[K";

    if (o->progress) {
        o->progress = false;
        (void)!cv_file_write(STDERR_FILENO,
                             (struct cv_bytes){erase, sizeof(erase) - 1}, "",
                             NULL);
    }
}

static void error_json(struct cv_buf *b, const struct cv_err *e)
{
    cJSON *root = cJSON_CreateObject();

    if (root != NULL && cv_json_add_item(root, "error", cv_json_from_err(e))) {
        cv_json_write(root, CV_JSON_COMPACT, b);
        cv_buf_add_char(b, '\n');
    }
    cJSON_Delete(root);
}

static void error_text(const struct cv_output *o, struct cv_buf *b,
                       const struct cv_err *e)
{
    cv_buf_add_str(b,
                   o->color_err ? "\033[31mcertvault:\033[0m " : "certvault: ");
    cv_output_escape(b, e->text);
    if (e->request_id[0] != '\0') {
        cv_buf_add_str(b, " (request ");
        cv_output_escape(b, e->request_id);
        cv_buf_add_str(b, ")");
    }
    if (e->state[0] != '\0') {
        cv_buf_add_str(b, o->one_line ? "; " : "\nstate: ");
        cv_output_escape(b, e->state);
    }
    if (e->hint[0] != '\0') {
        cv_buf_add_str(b, o->one_line ? "; " : "\nhint: ");
        cv_output_escape(b, e->hint);
    }
    cv_buf_add_char(b, '\n');
    for (unsigned i = 0; o->verbose && i < e->n_frames; i++) {
        cv_buf_add_format(b, "at: %s:%d\n", e->frames[i].file,
                          e->frames[i].line);
    }
}

void cv_output_error_words(const struct cv_output *o, const struct cv_err *e,
                           struct cv_buf *b)
{
    if (o->format == CV_OUTPUT_JSON) {
        error_json(b, e);
    } else {
        error_text(o, b, e);
    }
}

void cv_output_error(struct cv_output *o, const struct cv_err *e)
{
    struct cv_buf b;

    cv_output_progress_end(o);
    cv_buf_init(&b, NULL, LINE_LEN);
    cv_output_error_words(o, e, &b);
    if (cv_buf_status(&b, "an error", NULL) == CV_OK) {
        (void)!cv_file_write(STDERR_FILENO, cv_buf_bytes(&b), "", NULL);
    }
    cv_buf_wipe(&b);
}

void cv_output_excerpt(struct cv_output *o, const char *text)
{
    struct cv_buf b;

    if (text == NULL || o->format == CV_OUTPUT_JSON) {
        return;
    }
    cv_buf_init(&b, NULL, LINE_LEN);
    escape_lines(&b, text);
    if (b.len > 0 && b.data[b.len - 1] != '\n') {
        cv_buf_add_char(&b, '\n');
    }
    if (cv_buf_status(&b, "an excerpt", NULL) == CV_OK) {
        (void)!cv_file_write(STDERR_FILENO, cv_buf_bytes(&b), "", NULL);
    }
    cv_buf_wipe(&b);
}

void cv_output_escape(struct cv_buf *b, const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t len = text ? strlen(text) : 0;

    while (len > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, len, &point);

        if (n > 0 && cv_utf8_is_shown(point)) {
            cv_buf_add(b, p, n);
        } else {
            n = n > 0 ? n : 1;
            for (size_t i = 0; i < n; i++) {
                cv_buf_add_format(b, "\\x%02x", p[i]);
            }
        }
        p += n;
        len -= n;
    }
}
