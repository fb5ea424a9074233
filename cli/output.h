/* What the program prints.
 *
 * Data go to standard output by write(2), never through stdio, which keeps
 * copies; a failure to write sticks and becomes the exit code (74) at the end.
 * Talk goes to standard error. Texts from outside are shown escaped: no control
 * character reaches a terminal. */
#ifndef CERTVAULT_CLI_OUTPUT_H
#define CERTVAULT_CLI_OUTPUT_H

#include "vault/base/json.h"

#include <stdbool.h>

enum cv_output_format {
    CV_OUTPUT_TABLE,
    CV_OUTPUT_JSON,
    CV_OUTPUT_YAML,
    CV_OUTPUT_NAME
};

struct cv_output {
    enum cv_output_format format;
    bool format_given; /* -o was there */
    bool color;        /* on standard output */
    bool color_err;
    bool talks; /* standard error is a terminal: progress may be shown */
    bool quiet;
    bool verbose;
    bool one_line;       /* an error with its state and hint is one line */
    bool progress;       /* a line of progress stands on the terminal */
    enum cv_status lost; /* a write to standard output failed */
};

/* The word behind -o. CV_USAGE. */
CV_MUST_USE enum cv_status cv_output_parse(const char *word,
                                           enum cv_output_format *out,
                                           struct cv_err *err);

/* Looks at the terminal and the environment (NO_COLOR, TERM). `lost`: standard
 * output was closed when the program started. */
void cv_output_begin(struct cv_output *o, bool no_color, bool lost);

/* Appends the error as cv_output_error would print it. */
void cv_output_error_words(const struct cv_output *o, const struct cv_err *e,
                           struct cv_buf *b);

/* Is standard output a terminal? */
bool cv_output_is_terminal(void);

/* Writes bytes to standard output. CV_IO, which also sticks. */
CV_MUST_USE enum cv_status
cv_output_write(struct cv_output *o, struct cv_bytes bytes, struct cv_err *err);

/* The same for what a buffer holds, which must be sound, and wipes it. */
CV_MUST_USE enum cv_status
cv_output_write_buf(struct cv_output *o, struct cv_buf *b, struct cv_err *err);

/* One line of text that is known to be safe. */
CV_MUST_USE enum cv_status cv_output_line(struct cv_output *o,
                                          struct cv_err *err, const char *fmt,
                                          ...) CV_PRINTF(3, 4);

/* Lines of text, byte for byte; on a terminal escaped but for line feeds and
 * tabs. A last line feed is added where it is missing. */
CV_MUST_USE enum cv_status cv_output_text(struct cv_output *o, const char *text,
                                          struct cv_err *err);

/* A document as JSON (or YAML where that was chosen). */
CV_MUST_USE enum cv_status cv_output_document(struct cv_output *o,
                                              const cJSON *document,
                                              struct cv_err *err);

/* One line of JSON: for commands that stream. */
CV_MUST_USE enum cv_status cv_output_json_line(struct cv_output *o,
                                               const cJSON *value,
                                               struct cv_err *err);

/* Closes standard output; what could not be written is known now. CV_IO. */
CV_MUST_USE enum cv_status cv_output_end(struct cv_output *o,
                                         struct cv_err *err);

/* A note on standard error unless --quiet; texts in it are escaped. */
void cv_output_note(struct cv_output *o, const char *fmt, ...) CV_PRINTF(2, 3);

/* The same, with "warning: " before it, also under --quiet. */
void cv_output_warn(struct cv_output *o, const char *fmt, ...) CV_PRINTF(2, 3);

/* A line that the next one replaces, on a terminal only. */
void cv_output_progress(struct cv_output *o, const char *fmt, ...)
    CV_PRINTF(2, 3);

/* Takes it away. */
void cv_output_progress_end(struct cv_output *o);

/* The error that ends the run: one line with what was wrong, one with the state
 * of things, one hint; or, in JSON mode, {"error": {...}}. */
void cv_output_error(struct cv_output *o, const struct cv_err *e);

/* Lines that show the place of that error; not in JSON mode. NULL: nothing. */
void cv_output_excerpt(struct cv_output *o, const char *text);

/* Appends text for one line of a terminal: what may not be shown (control and
 * bidirectional characters, bad UTF-8) as \xNN for each byte. NULL: nothing. */
void cv_output_escape(struct cv_buf *b, const char *text);

#endif
