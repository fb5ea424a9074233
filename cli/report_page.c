#include "cli/report_page.h"

#include "cli/output_table.h"
#include "cli/report_text.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define PART_MAX CV_MIB(32)

/* report_files.c, made of report/page.css and report/page.js. */
extern const char cv_report_page_css[];
extern const char cv_report_page_js[];

struct cv_report_page {
    struct cv_out_file *file;
    const cJSON *left, *right; /* borrowed */
    struct cv_buf line;
};

static enum cv_status put(struct cv_report_page *p, struct cv_buf *text,
                          struct cv_err *err)
{
    enum cv_status s = cv_buf_status(text, "the page", err);

    if (s == CV_OK) {
        s = cv_out_file_add(p->file, cv_buf_bytes(text), err);
    }
    cv_buf_wipe(text);
    return s;
}

/* As a Content-Security-Policy names a script or style that may stand in the
 * page. */
static void add_source(struct cv_buf *out, const char *text)
{
    uint8_t hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, (const uint8_t *)text, strlen(text));
    cv_buf_add_str(out, "'sha256-");
    cv_encode_base64((struct cv_bytes){hash, sizeof(hash)}, out);
    cv_buf_add_str(out, "'");
}

static void add_head(struct cv_buf *out)
{
    cv_buf_add_str(out,
                   "<!doctype html>\n<html lang=\"en\">\n<head>\n"
                   "<meta charset=\"utf-8\">\n"
                   "<meta http-equiv=\"Content-Security-Policy\" content=\""
                   "default-src 'none'; style-src ");
    add_source(out, cv_report_page_css);
    cv_buf_add_str(out, "; script-src ");
    add_source(out, cv_report_page_js);
    cv_buf_add_str(out, "; base-uri 'none'; form-action 'none'\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, "
                        "initial-scale=1\">\n"
                        "<meta name=\"referrer\" content=\"no-referrer\">\n"
                        "<title>certvault: what the record says</title>\n"
                        "<style>");
    cv_buf_add_str(out, cv_report_page_css);
    cv_buf_add_str(out, "</style>\n</head>\n<body>\n<script type=\"text/plain\""
                        " id=\"leaves\">\n");
}

enum cv_status cv_report_page_begin(struct cv_out_file *file,
                                    const struct cv_leaves *leaves,
                                    struct cv_report_page **out,
                                    struct cv_err *err)
{
    struct cv_report_page *p;
    struct cv_buf text;

    *out = NULL;
    if (leaves->end - leaves->first > CV_REPORT_PAGE_MAX) {
        cv_fail(err, CV_INVALID, "%llu records are too many for one page",
                (unsigned long long)(leaves->end - leaves->first));
        cv_err_state(err, "no page was written");
        cv_err_hint(err,
                    "name a shorter period (--since, --until); a page "
                    "takes %d records",
                    CV_REPORT_PAGE_MAX);
        return CV_INVALID;
    }
    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    p->file = file;
    p->left = cJSON_GetObjectItemCaseSensitive(leaves->head, "left");
    p->right = cJSON_GetObjectItemCaseSensitive(leaves->head, "right");
    cv_buf_init(&p->line, NULL, 4 * CV_LIMIT_LEAF);
    *out = p;
    cv_buf_init(&text, NULL, PART_MAX);
    add_head(&text);
    return put(p, &text, err);
}

/* A record is ASCII; nothing in it can end the element that it stands in once
 * no `<` is left. */
enum cv_status cv_report_page_leaf(struct cv_report_page *page,
                                   struct cv_bytes leaf, struct cv_err *err)
{
    const uint8_t *p = leaf.data, *end = p + leaf.len, *next;
    enum cv_status s;

    page->line.len = 0;
    for (; (next = memchr(p, '<', (size_t)(end - p))) != NULL; p = next + 1) {
        cv_buf_add(&page->line, p, (size_t)(next - p));
        cv_buf_add_str(&page->line, "\xe2\x80\xb9");
    }
    cv_buf_add(&page->line, p, (size_t)(end - p));
    cv_buf_add_char(&page->line, '\n');
    s = cv_buf_status(&page->line, "a record", err);
    return s == CV_OK
               ? cv_out_file_add(page->file, cv_buf_bytes(&page->line), err)
               : s;
}

/* JSON in ASCII; `<` is only found within its texts. */
static void add_json(const cJSON *tree, struct cv_buf *out)
{
    struct cv_buf json;

    cv_buf_init(&json, NULL, PART_MAX);
    cv_json_write(tree, CV_JSON_CANONICAL, &json);
    for (const char *p = cv_buf_text(&json); *p != '\0'; p++) {
        if (*p == '<') {
            cv_buf_add_str(out, "\\u003c");
        } else {
            cv_buf_add_char(out, *p);
        }
    }
    if (json.status != CV_OK) {
        out->status = json.status;
    }
    cv_buf_wipe(&json);
}

static void add_escaped(const char *text, struct cv_buf *out)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            cv_buf_add_str(out, "&lt;");
            break;
        case '&':
            cv_buf_add_str(out, "&amp;");
            break;
        default:
            cv_buf_add_char(out, *text);
        }
    }
}

static void add_body(const cJSON *report, struct cv_buf *out)
{
    struct cv_buf text;

    cv_buf_init(&text, NULL, PART_MAX);
    cv_report_text(report, &text);
    cv_buf_add_str(out,
                   "</script>\n<header>\n<h1>What the record says</h1>\n<p "
                   "class=\"soft\">certvault audit report, ");
    add_escaped(cv_output_table_text(report, "period.since"), out);
    cv_buf_add_str(out, " to ");
    add_escaped(cv_output_table_text(report, "period.until"), out);
    cv_buf_add_str(out, " (UTC)</p>\n</header>\n<main id=\"main\">\n"
                        "<div id=\"verdict\" role=\"status\" class=\"unknown\">"
                        "<p class=\"word\">… checking</p>"
                        "<noscript><p>Scripts are off: nothing was checked in "
                        "this browser. What certvault found when it made this "
                        "page stands below.</p></noscript></div>\n"
                        "<noscript><pre>");
    add_escaped(cv_buf_text(&text), out);
    cv_buf_add_str(out, "</pre></noscript>\n</main>\n");
    if (text.status != CV_OK) {
        out->status = text.status;
    }
    cv_buf_wipe(&text);
}

/* Of the lists only what is not in the records goes along: the page makes the
 * others itself, of what it has checked. */
static cJSON *page_head(const struct cv_report_page *p, const cJSON *report)
{
    static const char *const keys[] = {"made",     "vault_id",   "host",
                                       "period",   "checkpoint", "anchored",
                                       "archived", "expiring"};
    cJSON *head = cJSON_CreateObject();
    bool ok = head != NULL;

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && ok; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(report, keys[i]);

        ok = item == NULL ||
             cv_json_add_item(head, keys[i], cJSON_Duplicate(item, true));
    }
    ok = ok &&
         (p->left == NULL ||
          cv_json_add_item(head, "left", cJSON_Duplicate(p->left, true))) &&
         (p->right == NULL ||
          cv_json_add_item(head, "right", cJSON_Duplicate(p->right, true)));
    if (!ok) {
        cJSON_Delete(head);
        return NULL;
    }
    return head;
}

enum cv_status cv_report_page_end(struct cv_report_page *page,
                                  const cJSON *report, struct cv_err *err)
{
    cJSON *head = page_head(page, report);
    struct cv_buf text;

    if (head == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_init(&text, NULL, PART_MAX);
    add_body(report, &text);
    cv_buf_add_str(&text, "<script type=\"application/json\" id=\"head\">");
    add_json(head, &text);
    cv_buf_add_str(&text, "</script>\n<script>");
    cv_buf_add_str(&text, cv_report_page_js);
    cv_buf_add_str(&text, "</script>\n</body>\n</html>\n");
    cJSON_Delete(head);
    return put(page, &text, err);
}

void cv_report_page_free(struct cv_report_page *page)
{
    if (page != NULL) {
        cv_buf_wipe(&page->line);
        free(page);
    }
}
