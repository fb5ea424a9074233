/* Lists and single objects, in whichever format was asked for. */
#ifndef CERTVAULT_CLI_OUTPUT_TABLE_H
#define CERTVAULT_CLI_OUTPUT_TABLE_H

#include "cli/output.h"

/* One column, or one line of a single object. */
struct cv_output_column {
    const char *title;
    const char *path; /* "certificate.not_after" into an item */
    /* Makes the cell (unescaped text) where a look at `path` is not enough; it
     * gets the item. NULL: the member at `path`. */
    void (*cell)(const cJSON *item, struct cv_buf *out);
    /* The colour of a cell: an SGR number; 0: none. NULL: none. */
    int (*color)(const cJSON *item);
};

/* What a list or object of one kind looks like. */
struct cv_output_view {
    const char *kind; /* "EntryList", "Entry" */
    const char *name; /* path of what -o name prints */
    const struct cv_output_column *columns;
    size_t n_columns;
    const char *none; /* the note for an empty table; NULL: none */
};

/* Prints `items` (an array, borrowed): a table, names, or the document
 * {"apiVersion", "kind", "items"}. CV_IO, CV_INTERNAL. */
CV_MUST_USE enum cv_status
cv_output_table_list(struct cv_output *o, const struct cv_output_view *view,
                     const cJSON *items, struct cv_err *err);

/* Prints one object: a line for each column that has something to say, its
 * name, or the document with apiVersion and kind before its own members. */
CV_MUST_USE enum cv_status
cv_output_table_object(struct cv_output *o, const struct cv_output_view *view,
                       const cJSON *object, struct cv_err *err);

/* One line of a stream: JSON compact, or the columns parted by two blanks, each
 * at least as wide as its title. */
CV_MUST_USE enum cv_status
cv_output_table_row(struct cv_output *o, const struct cv_output_view *view,
                    const cJSON *item, struct cv_err *err);

/* The member that `path` leads to; NULL where there is none. */
const cJSON *cv_output_table_at(const cJSON *item, const char *path);

/* The same as a string; NULL where it is none. */
const char *cv_output_table_text(const cJSON *item, const char *path);

/* Appends a value as text: strings as they are, lists and objects as words
 * ("a, b", "k=v, k2=v2"). */
void cv_output_table_cell(const cJSON *value, struct cv_buf *out);

#endif
