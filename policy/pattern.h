/* Ticket expressions: POSIX extended regular expressions (IEEE Std 1003.1,
 * section 9.4) without back-references, matched against a whole string.
 *
 * Taken: literals, `.`, bracket expressions with ranges and [:classes:],
 * groups,
 * `|`, `*`, `+`, `?`, `{m}`, `{m,}`, `{m,n}`, `^`, `$`, a backslash before
 * punctuation. What POSIX leaves undefined is refused: an empty branch, two
 * repeats in a row, a backslash before a letter or digit (so back-references,
 * \d and \w too). Patterns are ASCII; text is matched byte by byte.
 *
 * The matcher runs all alternatives at once (Thompson, CACM 11(6), 1968): time
 * is the length of the text times the size of the program, whatever either
 * holds, and both have ceilings. */
#ifndef CERTVAULT_POLICY_PATTERN_H
#define CERTVAULT_POLICY_PATTERN_H

#include "vault/base/err.h"

#include <stdbool.h>

/* Instructions of one program. */
#define CV_PATTERN_SIZE 1024
/* Groups within groups. */
#define CV_PATTERN_DEPTH 16
/* The most that {m,n} may count to (RE_DUP_MAX's least value). */
#define CV_PATTERN_REPEAT 255

struct cv_pattern;

/* Compiles the C string `text` (at most CV_LIMIT_PATTERN bytes). On success
 * *out is the caller's; on failure it is NULL: CV_INVALID with the offset, or
 * CV_INTERNAL (memory). */
CV_MUST_USE enum cv_status cv_pattern_compile(const char *text,
                                              struct cv_pattern **out,
                                              struct cv_err *err);

/* Does all of `text` (`len` bytes) match? Allocates nothing. */
bool cv_pattern_matches(const struct cv_pattern *pattern, const char *text,
                        size_t len);

/* Instructions it has. */
size_t cv_pattern_size(const struct cv_pattern *pattern);

/* NULL is fine. */
void cv_pattern_free(struct cv_pattern *pattern);

#endif
