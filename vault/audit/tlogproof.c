#include "vault/audit/tlogproof.h"

#include "vault/base/encode.h"

#include <string.h>

#define MAGIC "c2sp.org/tlog-proof@v1"
#define INDEX "index "
#define EXTRA "extra "

enum cv_status cv_tlogproof_write(struct cv_bytes extra, uint64_t index,
                                  const struct cv_proof *proof,
                                  struct cv_bytes note, struct cv_buf *out,
                                  struct cv_err *err)
{
    cv_buf_add_str(out, MAGIC "\n");
    if (extra.len > 0) {
        cv_buf_add_str(out, EXTRA);
        cv_encode_base64(extra, out);
        cv_buf_add_char(out, '\n');
    }
    cv_buf_add_format(out, INDEX "%llu\n", (unsigned long long)index);
    for (unsigned i = 0; i < proof->n; i++) {
        cv_encode_base64((struct cv_bytes){proof->hash[i], CV_TREE_HASH}, out);
        cv_buf_add_char(out, '\n');
    }
    cv_buf_add_char(out, '\n');
    cv_buf_add(out, note.data, note.len);
    return cv_buf_status(out, "a proof", err);
}

static enum cv_status bad(const char *why, struct cv_err *err)
{
    return cv_fail(err, CV_INTEGRITY, "not a proof file: %s", why);
}

/* The next line without its LF; false where there is none. */
static bool next_line(struct cv_bytes *file, struct cv_bytes *line)
{
    const uint8_t *end =
        file->len == 0 ? NULL : memchr(file->data, '\n', file->len);

    if (end == NULL) {
        return false;
    }
    *line = (struct cv_bytes){file->data, (size_t)(end - file->data)};
    file->data += line->len + 1;
    file->len -= line->len + 1;
    return true;
}

static bool begins(struct cv_bytes line, const char *word)
{
    return line.len >= strlen(word) &&
           memcmp(line.data, word, strlen(word)) == 0;
}

static bool read_index(struct cv_bytes line, uint64_t *out)
{
    const size_t from = strlen(INDEX);

    *out = 0;
    if (!begins(line, INDEX) || line.len == from || line.len > from + 16 ||
        (line.data[from] == '0' && line.len > from + 1)) {
        return false;
    }
    for (size_t i = from; i < line.len; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return false;
        }
        *out = *out * 10 + (line.data[i] - '0');
    }
    return true;
}

static bool read_base64(struct cv_bytes line, uint8_t *out, size_t len)
{
    char text[64];

    if (line.len >= sizeof text) {
        return false;
    }
    /* libsodium 1.0.18 takes every byte from 0x80 up for a base64 digit. */
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] >= 0x80 || line.data[i] == '\0') {
            return false;
        }
    }
    memcpy(text, line.data, line.len);
    text[line.len] = '\0';
    return cv_decode_base64_exact(text, "a hash", out, len, NULL) == CV_OK;
}

/* Any bytes, but in base64's one spelling. */
static bool read_extra(struct cv_bytes line, struct cv_bytes *extra)
{
    struct cv_buf bytes;
    bool ok;

    line.data += strlen(EXTRA);
    line.len -= strlen(EXTRA);
    cv_buf_init(&bytes, NULL, CV_LIMIT_PROOF);
    ok = line.len > 0 && memchr(line.data, '\0', line.len) == NULL &&
         cv_decode_base64((const char *)line.data, line.len, false, "extra",
                          &bytes, NULL) == CV_OK;
    cv_buf_wipe(&bytes);
    *extra = line;
    return ok;
}

enum cv_status cv_tlogproof_read(struct cv_bytes file, struct cv_tlogproof *out,
                                 struct cv_err *err)
{
    struct cv_bytes line;

    memset(out, 0, sizeof *out);
    if (file.len > CV_LIMIT_PROOF) {
        return bad("it is too long", err);
    }
    if (!next_line(&file, &line) || line.len != strlen(MAGIC) ||
        !begins(line, MAGIC)) {
        return bad("its first line is not " MAGIC, err);
    }
    if (!next_line(&file, &line)) {
        return bad("it ends too soon", err);
    }
    if (begins(line, EXTRA)) {
        if (!read_extra(line, &out->extra)) {
            return bad("its extra line is not base64", err);
        }
        if (!next_line(&file, &line)) {
            return bad("it ends too soon", err);
        }
    }
    if (!read_index(line, &out->index)) {
        return bad("it names no index", err);
    }
    while (next_line(&file, &line) && line.len > 0) {
        if (out->proof.n == CV_PROOF_MAX ||
            !read_base64(line, out->proof.hash[out->proof.n++], CV_TREE_HASH)) {
            return bad("a line is not a hash, or there are too many", err);
        }
    }
    if (line.len != 0 || file.len == 0) {
        return bad("the checkpoint is missing", err);
    }
    out->note = file;
    return CV_OK;
}

enum cv_status cv_tlogproof_record(struct cv_bytes file, struct cv_buf *out,
                                   struct cv_err *err)
{
    struct cv_tlogproof said;
    enum cv_status status = cv_tlogproof_read(file, &said, err);

    if (status == CV_OK && said.extra.len == 0) {
        status = cv_fail(err, CV_USAGE, "the proof does not bring its record");
        cv_err_hint(err, "--record FILE: what audit record prints");
    }
    return status == CV_OK
               ? cv_decode_base64((const char *)said.extra.data, said.extra.len,
                                  false, "the record", out, err)
               : status;
}

enum cv_status cv_tlogproof_check(struct cv_bytes file, struct cv_bytes record,
                                  const struct cv_note_key *keys, size_t n_keys,
                                  struct cv_checkpoint *out, uint64_t *index,
                                  struct cv_err *err)
{
    struct cv_tlogproof said;
    struct cv_checkpoint at;
    struct cv_bytes text;
    uint8_t leaf[CV_TREE_HASH];
    enum cv_status status = cv_tlogproof_read(file, &said, err);

    if (status == CV_OK) {
        status = cv_checkpoint_open(said.note, &keys[0], &at, err);
    }
    if (status == CV_OK && n_keys > 1) {
        status = cv_note_open(said.note, keys, n_keys, &text, err);
    }
    if (status == CV_OK) {
        /* The leaf's hash from the record's own bytes: an inner node must not
         * pass for one. */
        cv_tree_leaf(record, leaf);
        status = cv_proof_check_inclusion(said.index, at.size, leaf,
                                          &said.proof, at.root, err);
    }
    if (status == CV_OK && out != NULL) {
        *out = at;
    }
    if (status == CV_OK && index != NULL) {
        *index = said.index;
    }
    return status;
}
