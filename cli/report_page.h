/* A report as one HTML page that needs nothing else, and checks itself: it has
 * every record of the period byte for byte, hashes them, follows the hashes to
 * the signed checkpoint, and shows what came out (report/page.js).
 *
 * What comes from the log is data to the page, never markup: records are ASCII
 * by their form, and `<` stands in the file as U+2039, which no record holds.
 */
#ifndef CERTVAULT_CLI_REPORT_PAGE_H
#define CERTVAULT_CLI_REPORT_PAGE_H

#include "cli/leaves.h"
#include "cli/out_file.h"

/* Records in one page; a browser has to hold them all. */
#define CV_REPORT_PAGE_MAX 300000

struct cv_report_page;

/* Writes what comes before the records. CV_INVALID: too many of them. `file` is
 * borrowed until the end. */
CV_MUST_USE enum cv_status cv_report_page_begin(struct cv_out_file *file,
                                                const struct cv_leaves *leaves,
                                                struct cv_report_page **out,
                                                struct cv_err *err);
CV_MUST_USE enum cv_status cv_report_page_leaf(struct cv_report_page *page,
                                               struct cv_bytes leaf,
                                               struct cv_err *err);
/* `report` is the document that -o json prints. */
CV_MUST_USE enum cv_status cv_report_page_end(struct cv_report_page *page,
                                              const cJSON *report,
                                              struct cv_err *err);
void cv_report_page_free(struct cv_report_page *page);

#endif
