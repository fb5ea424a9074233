/* RFC 7512 URIs: "pkcs11:token=work;serial=42;id=%01?module-name=softhsm2".
 *
 * Stricter than the RFC and than p11-kit, whose parser does the work: nothing
 * that is not understood is passed over. Refused with CV_USAGE: an attribute
 * twice, an attribute that is none of the RFC's, control characters and bytes
 * that are not UTF-8 in a text (CKA_ID is bytes), a value longer than the
 * token's field, a version or slot number that is no number, and
 *   pin-value    a PIN does not belong into a command line or a file,
 *   pin-source   unless it is file:/absolute/path or an absolute path: a pipe
 *                ("|command") is never run.
 * `module-path` must be absolute. */
#ifndef CERTVAULT_PKCS11_URI_H
#define CERTVAULT_PKCS11_URI_H

#include "vault/base/buf.h"

#include <p11-kit/pkcs11.h>

struct cv_uri;
struct cv_token_info;

/* Does `text` begin with "pkcs11:" (any case)? */
bool cv_uri_is(const char *text);

/* *out is NULL on failure: CV_USAGE as above, CV_INTERNAL (memory). The error
 * never shows the value of a refused attribute. */
CV_MUST_USE enum cv_status cv_uri_parse(const char *text, struct cv_uri **out,
                                        struct cv_err *err);
void cv_uri_free(struct cv_uri *uri);

/* Do the URI's token attributes (token, manufacturer, serial, model) fit? A
 * URI without any fits every token. */
bool cv_uri_match_token(const struct cv_uri *uri,
                        const struct cv_token_info *token);

/* The same for slot-id, slot-description, slot-manufacturer; and for
 * library-description, library-manufacturer, library-version. */
bool cv_uri_match_slot(const struct cv_uri *uri, CK_SLOT_ID id,
                       const CK_SLOT_INFO *info);
bool cv_uri_match_library(const struct cv_uri *uri, const CK_INFO *info);

/* Does it name a token (token, manufacturer, serial, model or a slot) at all?
 */
bool cv_uri_names_token(const struct cv_uri *uri);

/* What it names, borrowed; NULL, {NULL, 0} or false where it does not. `class`
 * is that of `type=` (cert, data, private, public, secret-key). */
const char *cv_uri_module_name(const struct cv_uri *uri);
const char *cv_uri_module_path(const struct cv_uri *uri);
const char *cv_uri_pin_file(const struct cv_uri *uri);
struct cv_bytes cv_uri_id(const struct cv_uri *uri);
struct cv_bytes cv_uri_label(const struct cv_uri *uri); /* object= */
bool cv_uri_class(const struct cv_uri *uri, CK_OBJECT_CLASS *out);

/* Appends the URI of a token: model, manufacturer, serial, token, in this
 * order, so that one token always has one spelling; empty ones left out. */
void cv_uri_add_token(const struct cv_token_info *token, struct cv_buf *out);

/* Appends the URI of a key on it: as above, then id, object (where `label` is
 * not NULL) and type=private. */
void cv_uri_add_key(const struct cv_token_info *token, struct cv_bytes id,
                    const char *label, struct cv_buf *out);

#endif
