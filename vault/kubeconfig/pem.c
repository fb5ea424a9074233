#include "vault/kubeconfig/pem.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <string.h>

#define DASHES "-----"
#define LINE 64U

static bool begins(struct cv_bytes line, const char *with)
{
    size_t len = strlen(with);
    return line.len >= len && memcmp(line.data, with, len) == 0;
}

/* Takes the next line off *text; what ends it, and blanks before that, are not
 * part of it. */
static struct cv_bytes take_line(struct cv_bytes *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end != NULL ? (size_t)(end - text->data) : text->len;
    struct cv_bytes line = {text->data, len};
    size_t whole = len + (end != NULL);
    *text = (struct cv_bytes){text->data + whole, text->len - whole};
    while (line.len > 0 && strchr(" \t\r", line.data[line.len - 1]) != NULL &&
           line.data[line.len - 1] != '\0') {
        line.len--;
    }
    return line;
}

/* Is `line` "-----WORD LABEL-----"? Copies the label. */
static bool boundary(struct cv_bytes line, const char *word,
                     char label[CV_PEM_LABEL_MAX + 1])
{
    size_t head = strlen(word);
    if (!begins(line, word) || line.len <= head + strlen(DASHES)) {
        return false;
    }
    size_t len = line.len - head - strlen(DASHES);
    if (len > CV_PEM_LABEL_MAX ||
        memcmp(line.data + head + len, DASHES, strlen(DASHES)) != 0) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t c = line.data[head + i];
        if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != ' ') {
            return false;
        }
    }
    memcpy(label, line.data + head, len);
    label[len] = '\0';
    return true;
}

/* Takes the rest of a block off *text: base64 up to its END. */
static enum cv_status read_body(struct cv_arena *arena, struct cv_bytes *text,
                                struct cv_pem_block *block, struct cv_err *err)
{
    const uint8_t *body = text->data;
    const uint8_t *end = NULL;
    for (;;) {
        if (text->len == 0) {
            return cv_fail(err, CV_INVALID, "a PEM block has no end");
        }
        end = text->data;
        struct cv_bytes line = take_line(text);
        char label[CV_PEM_LABEL_MAX + 1];
        if (boundary(line, "-----END ", label)) {
            if (strcmp(label, block->label) != 0) {
                return cv_fail(err, CV_INVALID,
                               "a PEM block ends with another label");
            }
            break;
        }
        if (memchr(line.data, ':', line.len) != NULL) {
            return cv_fail(err, CV_INVALID,
                           "a PEM block has headers (an encrypted key?)");
        }
        if (memchr(line.data, '-', line.len) != NULL) {
            return cv_fail(err, CV_INVALID,
                           "a PEM block holds more than base64");
        }
    }
    struct cv_buf der;
    cv_buf_init(&der, arena, CV_LIMIT_PEM);
    enum cv_status st =
        cv_decode_base64((const char *)body, (size_t)(end - body), true,
                         "the inside of a PEM block", &der, err);
    block->der = cv_buf_bytes(&der);
    if (st == CV_OK && block->der.len == 0) {
        st = cv_fail(err, CV_INVALID, "a PEM block is empty");
    }
    return st;
}

enum cv_status cv_pem_read(struct cv_arena *arena, struct cv_bytes text,
                           struct cv_pem_block *blocks, size_t max, size_t *n,
                           struct cv_err *err)
{
    *n = 0;
    if (text.len > CV_LIMIT_PEM) {
        return cv_fail(err, CV_INVALID, "the PEM text is larger than %zu bytes",
                       CV_LIMIT_PEM);
    }
    while (text.len > 0) {
        struct cv_bytes line = take_line(&text);
        struct cv_pem_block block = {.label = ""};
        if (!boundary(line, "-----BEGIN ", block.label)) {
            if (memmem(line.data, line.len, DASHES, strlen(DASHES)) != NULL) {
                return cv_fail(err, CV_INVALID, "a broken line of PEM");
            }
            continue;
        }
        if (*n == max) {
            return cv_fail(err, CV_INVALID, "more than %zu PEM block%s", max,
                           max == 1 ? "" : "s");
        }
        enum cv_status st = read_body(arena, &text, &block, err);
        if (st != CV_OK) {
            return st;
        }
        blocks[(*n)++] = block;
    }
    return *n > 0 ? CV_OK : cv_fail(err, CV_INVALID, "no PEM block");
}

void cv_pem_write(const char *label, struct cv_bytes der, struct cv_buf *out)
{
    cv_buf_add_format(out, "-----BEGIN %s-----\n", label);
    for (size_t i = 0; i < der.len; i += LINE / 4 * 3) {
        size_t len = der.len - i < LINE / 4 * 3 ? der.len - i : LINE / 4 * 3;
        cv_encode_base64((struct cv_bytes){der.data + i, len}, out);
        cv_buf_add_char(out, '\n');
    }
    cv_buf_add_format(out, "-----END %s-----\n", label);
}
