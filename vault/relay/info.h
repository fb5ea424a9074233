/* What a request asks of a kube-apiserver, read as the apiserver itself reads
 * it (k8s.io/apiserver, endpoints/request, RequestInfoFactory with the prefixes
 * "api" and "apis").
 *
 * The relay decides by this, so what the apiserver, or a proxy before it, could
 * read in another way is refused (CV_INVALID, to be answered with 400):
 * anything but origin-form (RFC 9112 section 3.2.1), methods other than GET,
 * HEAD, POST, PUT, PATCH, DELETE and OPTIONS in capitals, bytes that must be
 * escaped in a target, wrong escapes, an escaped slash, percent sign, backslash
 * or control character, text that is not UTF-8, empty, "." and ".." segments
 * (one slash at the end is fine, as it is there), "watch" and "proxy" with
 * nothing behind, the legacy prefix "watch" with a method that changes, and in
 * the query of a list: wrong escapes, ";", two watch or fieldSelector that
 * differ. */
#ifndef CERTVAULT_RELAY_INFO_H
#define CERTVAULT_RELAY_INFO_H

#include "vault/base/err.h"
#include "vault/base/limits.h"
#include "vault/relay/slice.h"

/* Texts are never NULL, "" where there is none; they lie in `room` (or are
 * literals), so that one cannot be copied by assignment. */
struct cv_info {
    bool is_resource;
    /* get list watch create update patch delete deletecollection proxy; "" for
     * another method on a resource; the method in small letters where it is no
     * resource. */
    const char *verb;
    const char *group; /* "" for /api */
    const char *version;
    const char *ns; /* namespace; "" for none */
    const char *resource;
    const char *subresource;
    const char *name;   /* from the path, or a list's metadata.name= */
    const char *path;   /* unescaped, without the query; printable UTF-8 */
    const char *method; /* "GET", a literal */
    char room[2 * (CV_LIMIT_RELAY_PATH + 1) + CV_LIMIT_RELAY_NAME + 1];
};

/* Reads a request's method and target (path and query, still escaped). Pure;
 * allocates nothing. CV_INVALID; the text says what is wrong with it and shows
 * none of it. `out` is empty texts then, but for the method where it is one. */
CV_MUST_USE enum cv_status cv_info_parse(struct cv_slice method,
                                         struct cv_slice target,
                                         struct cv_info *out,
                                         struct cv_err *err);

#endif
