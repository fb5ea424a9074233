#include "vault/base/utf8.h"
#include "vault/yaml/yaml.h"

#include <string.h>

/* Characters of a line that are shown, and how many of them stand before the
 * column at most. */
#define SHOWN 72U
#define BEFORE 48U

static size_t line_start(struct cv_bytes text, uint32_t line)
{
    size_t i = 0;
    for (uint32_t l = 1; l < line; l++) {
        const uint8_t *end =
            i < text.len ? memchr(text.data + i, '\n', text.len - i) : NULL;
        if (end == NULL) {
            return SIZE_MAX;
        }
        i = (size_t)(end - text.data) + 1;
    }
    return i;
}

void cv_yaml_excerpt(struct cv_bytes text, struct cv_yaml_mark mark,
                     struct cv_buf *out)
{
    size_t i = line_start(text, mark.line);
    if (mark.line == 0 || mark.column == 0 || i == SIZE_MAX) {
        return;
    }
    uint32_t first = mark.column > BEFORE ? mark.column - BEFORE : 1;
    cv_buf_add_format(out, "%4u | ", mark.line);
    size_t n = 0;
    for (uint32_t column = 1;
         i < text.len && text.data[i] != '\n' && column < first + SHOWN;
         column++, i += n) {
        uint32_t point = 0;
        n = cv_utf8_next(text.data + i, text.len - i, &point);
        n += n == 0;
        if (column >= first && point != '\r') {
            bool plain = point >= ' ' && point <= '~';
            char blank = point == '\t' ? ' ' : '?';
            cv_buf_add_char(out, plain ? (char)point : blank);
        }
    }
    cv_buf_add_str(out, "\n     | ");
    for (uint32_t column = first; column < mark.column; column++) {
        cv_buf_add_char(out, ' ');
    }
    cv_buf_add_str(out, "^\n");
}
