/* The vendor SDKs' credentials file: INI, section [basic] (or [global]).
 *
 *     [basic]
 *     ak = ...
 *     sk = ...
 *
 * Keys that are not known are passed over; a key given twice, a line that is
 * none of a section, a pair, a comment or blank is refused. Nothing that the
 * file names is opened. */
#ifndef CERTVAULT_FETCH_PROFILE_H
#define CERTVAULT_FETCH_PROFILE_H

#include "vault/base/arena.h"

/* Texts live in the arena; NULL: not there, or empty. */
struct cv_profile {
    const char *ak;
    const char *sk;
    const char *security_token;
    const char *project_id;
    const char *domain_id;
    const char *iam_endpoint;
    const char *idp_id;
    const char *id_token_file;
};

/* Reads [basic], or [global] where there is no [basic]. CV_INVALID with the
 * line's number, never its text; else as cv_arena_alloc. */
CV_MUST_USE enum cv_status cv_profile_read(const char *text,
                                           struct cv_arena *arena,
                                           struct cv_profile *out,
                                           struct cv_err *err);

#endif
