#include "vault/base/limits.h"
#include "vault/base/utf8.h"
#include "vault/yaml/yaml_internal.h"

#include <string.h>

#define BYTE_ORDER_MARK 0xfeffU

/* Why the character at text.data[i] cannot be taken; NULL if it can. NEL, LS
 * and PS are line ends to libyaml and to nobody else; a carriage return alone
 * hides the line before it. */
static const char *fault(struct cv_bytes text, size_t i, uint32_t point,
                         bool line_start)
{
    if (point == '\r') {
        bool pair = i + 1 < text.len && text.data[i + 1] == '\n';
        return pair ? NULL : "a carriage return without a line feed";
    }
    if (point == '\n' || point == '\t') {
        return NULL;
    }
    if (point == BYTE_ORDER_MARK) {
        return "a byte order mark";
    }
    /* libyaml's time for directives grows with the square of their number. */
    if (point == '%' && line_start) {
        return "a directive; they are not taken";
    }
    return cv_utf8_is_shown(point) ? NULL : "a character that cannot be shown";
}

enum cv_status cv_yaml_scan_check(struct cv_bytes text,
                                  struct cv_yaml_mark *bad, struct cv_err *err)
{
    if (text.len > CV_LIMIT_YAML_FILE) {
        return cv_fail(err, CV_INVALID, "the text is larger than %zu bytes",
                       CV_LIMIT_YAML_FILE);
    }
    struct cv_yaml_mark at = {1, 1};
    size_t n = 0;
    for (size_t i = 0; i < text.len; i += n) {
        uint32_t point = 0;
        n = cv_utf8_next(text.data + i, text.len - i, &point);
        const char *why = n == 0 ? "a byte that is not UTF-8"
                                 : fault(text, i, point, at.column == 1);
        if (why != NULL) {
            *bad = at;
            return cv_fail(err, CV_INVALID, "line %u, column %u: %s", at.line,
                           at.column, why);
        }
        at.column++;
        if (point == '\n') {
            at.line++;
            at.column = 1;
        }
    }
    return CV_OK;
}
