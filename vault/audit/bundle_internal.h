/* What the makers and checkers of bundles share. */
#ifndef CERTVAULT_AUDIT_BUNDLE_INTERNAL_H
#define CERTVAULT_AUDIT_BUNDLE_INTERNAL_H

#include "vault/audit/bundle.h"
#include "vault/audit/record_internal.h"

/* The policies that records name, each once. */
struct cv_bundle_policies {
    struct cv_bundle_policy {
        uint64_t version;
        char sha256[65];
    } * items;
    size_t n, last;
};

/* Takes what a record names; a record may name none. CV_INVALID: too many;
 * CV_INTEGRITY: it is no policy; CV_INTERNAL. */
CV_MUST_USE enum cv_status cv_bundle_policy(struct cv_bundle_policies *p,
                                            const struct cv_record *record,
                                            struct cv_err *err);
void cv_bundle_policies_free(struct cv_bundle_policies *p);

/* A text member, as spelt between the quotes. */
struct cv_bytes cv_bundle_text(const struct cv_record *record, const char *key);

bool cv_bundle_is_in(struct cv_bytes text, const cJSON *list);

/* Likewise for a record that was read. */
bool cv_bundle_matches(const struct cv_record *record, const char *entry,
                       const cJSON *ids);

/* bundle_read.c: a bundle's files, which anybody may have made. */

/* Appends a file of the folder: a regular one, no link. CV_INTEGRITY: it is not
 * there, is something else, or longer than `out` may be; CV_IO. */
CV_MUST_USE enum cv_status cv_bundle_read(int dir, const char *name,
                                          struct cv_buf *out,
                                          struct cv_err *err);

/* Calls `fn` for each name in the folder `name` beneath `dir` ("." itself) but
 * "." and "..": in no order, and at most `most` of them. CV_INTEGRITY: more, or
 * no folder; CV_NOT_FOUND: it is not there; CV_IO. */
typedef enum cv_status cv_bundle_name_fn(void *ctx, const char *name,
                                         struct cv_err *err);
CV_MUST_USE enum cv_status cv_bundle_names(int dir, const char *name,
                                           unsigned most, cv_bundle_name_fn *fn,
                                           void *ctx, struct cv_err *err);

/* Calls `fn` for each line of the file, without its LF. CV_INTEGRITY: a line
 * that is empty, longer than a record, or without LF. */
typedef enum cv_status cv_bundle_line_fn(void *ctx, struct cv_bytes line,
                                         struct cv_err *err);
CV_MUST_USE enum cv_status cv_bundle_lines(int dir, const char *name,
                                           cv_bundle_line_fn *fn, void *ctx,
                                           struct cv_err *err);

#endif
