#include "cli/report_text.h"

#include "cli/output.h"
#include "cli/output_table.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 80
#define ROWS 200 /* of one list that are printed */
#define CELL CV_KIB(64)

/* One column: where it comes from and how wide it is; 0: the rest of the
 * line. */
struct column {
    const char *title, *path;
    int width;
};

static const struct column use_columns[] = {
    {"WHO", "actor", 14},   {"ENTRY", "entry", 17},    {"USES", "uses", 5},
    {"REQ", "requests", 6}, {"SIGN", "signatures", 6}, {"EXP", "exports", 4},
    {"LAST", "last", 20},
};

static const struct column export_columns[] = {
    {"RECORD", "seq", 8},   {"TIME", "time", 20},      {"WHO", "actor", 12},
    {"ENTRY", "entry", 18}, {"RESULT", "outcome", 16},
};

static const struct column denial_columns[] = {
    {"COUNT", "count", 6},  {"WHO", "actor", 14}, {"WHAT", "action", 12},
    {"ENTRY", "entry", 20}, {"LAST", "last", 20},
};

static const struct column refusal_columns[] = {
    {"COUNT", "count", 6},  {"WHO", "actor", 11}, {"WHAT", "action", 11},
    {"ENTRY", "entry", 13}, {"WHY", "error", 12}, {"LAST", "last", 20},
};

static const struct column glass_columns[] = {
    {"RECORD", "seq", 8},   {"TIME", "time", 20},   {"WHO", "actor", 12},
    {"WHAT", "action", 10}, {"ENTRY", "entry", 24},
};

static const struct column approval_columns[] = {
    {"RECORD", "seq", 8}, {"TIME", "time", 20},      {"BY", "actor", 12},
    {"", "method", 8},    {"WHAT", "for_action", 8}, {"ENTRY", "entry", 17},
};

static const struct column change_columns[] = {
    {"RECORD", "seq", 8},   {"TIME", "time", 20},   {"WHO", "actor", 12},
    {"WHAT", "action", 13}, {"ENTRY", "entry", 12}, {"RESULT", "outcome", 8},
};

static const struct column event_columns[] = {
    {"RECORD", "seq", 8},
    {"TIME", "time", 20},
    {"WHAT", "action", 10},
    {"", "because", 37},
};

static const struct column expiring_columns[] = {
    {"ENDS", "not_after", 20},
    {"ENTRY", "name", 44},
    {"KEY", "location", 12},
};

static const struct {
    const char *list, *title, *none;
    const struct column *columns;
    size_t n;
    const char *more; /* of an item, on a line of its own */
} sections[] = {
    {"uses", "Used and given out, by whom", "nothing", use_columns, 7, NULL},
    {"exports", "Keys that left the vault", "none", export_columns, 5,
     "reason"},
    {"denials", "Denied", "nothing", denial_columns, 5, "because"},
    {"refusals", "Refused, and not by policy", "nothing", refusal_columns, 6,
     NULL},
    {"break_glass", "Break-glass", "none", glass_columns, 5, "reason"},
    {"approvals", "Approvals", "none", approval_columns, 6, "reason"},
    {"changes", "Changes", "none", change_columns, 6, "reason"},
    {"expiring", "Entries that end within 30 days (of now, not of the record)",
     "none", expiring_columns, 3, NULL},
    {"events", "What the log tells of itself", "nothing", event_columns, 4,
     NULL},
};

/* Cuts a text to so many characters; what is cut off is marked. Then fills up
 * to the column's end. */
static void add_cell(struct cv_buf *out, const char *text, int width, bool last)
{
    struct cv_buf shown;
    const uint8_t *p;
    size_t left;
    int n = 0, all = 0;

    cv_buf_init(&shown, NULL, CELL);
    cv_output_escape(&shown, text);
    p = (const uint8_t *)cv_buf_text(&shown);
    left = shown.len;
    for (size_t i = 0; i < left; i++) {
        all += (p[i] & 0xc0) != 0x80;
    }
    while (left > 0) {
        uint32_t point = 0;
        size_t len = cv_utf8_next(p, left, &point);

        len = len == 0 ? 1 : len;
        if (n + 1 == width && all > width) {
            cv_buf_add_char(out, '~');
            n++;
            break;
        }
        cv_buf_add(out, p, len);
        p += len;
        left -= len;
        n++;
    }
    for (; !last && n < width; n++) {
        cv_buf_add_char(out, ' ');
    }
    cv_buf_add_str(out, last ? "\n" : " ");
    cv_buf_wipe(&shown);
}

static void add_row(struct cv_buf *out, const cJSON *item,
                    const struct column *columns, size_t n)
{
    cv_buf_add_str(out, "  ");
    for (size_t i = 0; i < n; i++) {
        struct cv_buf cell;

        cv_buf_init(&cell, NULL, CELL);
        if (item == NULL) {
            cv_buf_add_str(&cell, columns[i].title);
        } else if (cv_output_table_at(item, columns[i].path) != NULL) {
            cv_output_table_cell(cv_output_table_at(item, columns[i].path),
                                 &cell);
        } else {
            cv_buf_add_str(&cell, "-");
        }
        add_cell(out, cv_buf_text(&cell), columns[i].width, i + 1 == n);
        cv_buf_wipe(&cell);
    }
}

static void add_heading(struct cv_buf *out, const char *title)
{
    cv_buf_add_str(out, "\n");
    cv_buf_add_str(out, title);
    cv_buf_add_str(out, "\n");
    for (size_t i = 0; i < strlen(title); i++) {
        cv_buf_add_char(out, '-');
    }
    cv_buf_add_str(out, "\n");
}

static double number(const cJSON *report, const char *path)
{
    const cJSON *item = cv_output_table_at(report, path);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void add_section(struct cv_buf *out, const cJSON *report, size_t at)
{
    const cJSON *list =
        cJSON_GetObjectItemCaseSensitive(report, sections[at].list);
    const char *more = sections[at].more;
    double left = cJSON_GetArraySize(list);
    char omitted[64];
    const cJSON *item;
    int rows = 0;

    (void)snprintf(omitted, sizeof(omitted), "%s_omitted", sections[at].list);
    left += number(report, omitted);
    add_heading(out, sections[at].title);
    if (list == NULL || list->child == NULL) {
        cv_buf_add_format(out, "  %s\n", sections[at].none);
        return;
    }
    add_row(out, NULL, sections[at].columns, sections[at].n);
    cJSON_ArrayForEach(item, list)
    {
        const char *text =
            more != NULL ? cv_output_table_text(item, more) : NULL;

        if (rows++ == ROWS) {
            break;
        }
        left--;
        add_row(out, item, sections[at].columns, sections[at].n);
        if (text != NULL && text[0] != '\0') {
            cv_buf_add_str(out, "           ");
            add_cell(out, text, WIDTH - 11, true);
        }
    }
    if (left > 0) {
        cv_buf_add_format(out, "  and %.0f more: see certvault audit query\n",
                          left);
    }
}

static void add_line(struct cv_buf *out, const char *title, const char *text)
{
    cv_buf_add_format(out, "  %-11s", title);
    add_cell(out, text != NULL && text[0] != '\0' ? text : "-", WIDTH - 13,
             true);
}

/* A long word that must not be cut: on lines of its own. */
static void add_word(struct cv_buf *out, const char *title, const char *word)
{
    const size_t room = WIDTH - 13;
    struct cv_buf shown;
    const char *p;

    cv_buf_init(&shown, NULL, CELL);
    cv_output_escape(&shown, word != NULL ? word : "-");
    for (p = cv_buf_text(&shown); *p != '\0';) {
        size_t n = strlen(p) < room ? strlen(p) : room;

        cv_buf_add_format(out, "  %-11s%.*s\n", title, (int)n, p);
        title = "";
        p += n;
    }
    cv_buf_wipe(&shown);
}

static void add_whole(struct cv_buf *out, const cJSON *report)
{
    char text[160];

    add_heading(out, "Is the record whole?");
    add_line(out, "verdict",
             cv_output_table_text(report, "checkpoint.verdict"));
    (void)snprintf(text, sizeof(text), "over %.0f records",
                   number(report, "checkpoint.size"));
    add_line(out, "checkpoint", text);
    add_word(out, "root", cv_output_table_text(report, "checkpoint.root"));
    add_word(out, "key", cv_output_table_text(report, "checkpoint.key"));
    add_line(out, "anchored", cv_output_table_text(report, "anchored"));
    if (cv_output_table_text(report, "archived") != NULL) {
        add_line(out, "archived", cv_output_table_text(report, "archived"));
    }
    cv_buf_add_str(out,
                   "  The whole log is checked by: certvault audit verify."
                   " A copy of the\n  checkpoint kept elsewhere (certvault "
                   "audit checkpoint) shows that no record\n  before it "
                   "was changed or taken out.\n");
}

void cv_report_text(const cJSON *report, struct cv_buf *out)
{
    char text[160];

    cv_buf_add_str(out, "certvault: what the record says\n"
                        "===============================\n\n");
    (void)snprintf(text, sizeof(text), "%s to %s",
                   cv_output_table_text(report, "period.since"),
                   cv_output_table_text(report, "period.until"));
    add_line(out, "period", text);
    (void)snprintf(text, sizeof(text), "%.0f (from %.0f to %.0f)",
                   number(report, "period.records"),
                   number(report, "period.first"),
                   number(report, "period.end") - 1);
    add_line(out, "records",
             number(report, "period.records") > 0 ? text : "none");
    add_line(out, "vault", cv_output_table_text(report, "vault_id"));
    add_line(out, "host", cv_output_table_text(report, "host"));
    add_line(out, "made", cv_output_table_text(report, "made"));
    add_whole(out, report);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        add_section(out, report, i);
    }
}
