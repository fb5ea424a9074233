/* An expression and a text, divided by a line feed. What compiles matches in
 * time: the fuzzer's own limit is the test. */
#include "policy/pattern.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char pattern[512];
    struct cv_pattern *p;
    struct cv_err err;
    const uint8_t *lf = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t len = lf != NULL ? (size_t)(lf - data) : size;
    if (len >= sizeof(pattern))
        return 0;
    memcpy(pattern, data, len);
    pattern[len] = '\0';
    cv_err_init(&err);
    enum cv_status st = cv_pattern_compile(pattern, &p, &err);
    if (st != CV_OK) {
        if (st != CV_INVALID || p != NULL || err.text[0] == '\0')
            abort();
        return 0;
    }
    if (cv_pattern_size(p) > CV_PATTERN_SIZE)
        abort();
    if (lf != NULL)
        (void)cv_pattern_matches(p, (const char *)lf + 1, size - len - 1);
    (void)cv_pattern_matches(p, pattern, len);
    cv_pattern_free(p);
    return 0;
}
