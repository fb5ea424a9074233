/* The text of a checkpoint and the note around it; needs no log, so that who
 * only checks one has nothing of it. */
#include "vault/audit/checkpoint.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <string.h>

#define SIZE_MAX_VALUE UINT64_C(9007199254740992)

void cv_checkpoint_text(const struct cv_checkpoint *c, struct cv_buf *out)
{
    cv_buf_add_format(out, "%s\n%llu\n", c->origin,
                      (unsigned long long)c->size);
    cv_encode_base64((struct cv_bytes){c->root, sizeof c->root}, out);
    cv_buf_add_char(out, '\n');
}

/* The line at the start of `text`, without its LF, which is passed over. */
static bool next_line(struct cv_bytes *text, struct cv_bytes *line)
{
    const uint8_t *end =
        text->len == 0 ? NULL : memchr(text->data, '\n', text->len);

    if (end == NULL) {
        return false;
    }
    *line = (struct cv_bytes){text->data, (size_t)(end - text->data)};
    text->data += line->len + 1;
    text->len -= line->len + 1;
    return true;
}

static bool read_size(struct cv_bytes line, uint64_t *size)
{
    *size = 0;
    if (line.len == 0 || line.len > 16 ||
        (line.len > 1 && line.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return false;
        }
        *size = *size * 10 + (line.data[i] - '0');
    }
    return *size <= SIZE_MAX_VALUE;
}

static bool read_root(struct cv_bytes line, uint8_t out[CV_TREE_HASH])
{
    char text[64];

    if (line.len >= sizeof text) {
        return false;
    }
    /* libsodium 1.0.18 takes every byte from 0x80 up for a base64 digit. */
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] >= 0x80) {
            return false;
        }
    }
    memcpy(text, line.data, line.len);
    text[line.len] = '\0';
    return cv_decode_base64_exact(text, "the root", out, CV_TREE_HASH, NULL) ==
           CV_OK;
}

enum cv_status cv_checkpoint_parse(struct cv_bytes text,
                                   struct cv_checkpoint *out,
                                   struct cv_err *err)
{
    struct cv_bytes origin, size, root;

    memset(out, 0, sizeof *out);
    if (!next_line(&text, &origin) || !next_line(&text, &size) ||
        !next_line(&text, &root) || text.len != 0 || origin.len == 0 ||
        origin.len > CV_NOTE_NAME || !read_size(size, &out->size) ||
        !read_root(root, out->root)) {
        memset(out, 0, sizeof *out);
        return cv_fail(err, CV_INTEGRITY, "not a checkpoint");
    }
    memcpy(out->origin, origin.data, origin.len);
    return CV_OK;
}

enum cv_status cv_checkpoint_open(struct cv_bytes note,
                                  const struct cv_note_key *key,
                                  struct cv_checkpoint *out, struct cv_err *err)
{
    struct cv_bytes text;
    enum cv_status status = cv_note_open(note, key, 1, &text, err);

    memset(out, 0, sizeof *out);
    if (status == CV_OK) {
        status = cv_checkpoint_parse(text, out, err);
    }
    if (status == CV_OK && strcmp(out->origin, key->name) != 0) {
        memset(out, 0, sizeof *out);
        status =
            cv_fail(err, CV_INTEGRITY, "a checkpoint of another log's origin");
    }
    return status;
}
