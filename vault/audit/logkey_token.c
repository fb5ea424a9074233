#include "vault/audit/logkey_token.h"

#include "vault/audit/logkey_internal.h"
#include "vault/base/file.h"

#include <string.h>

#define WORD "TOKEN+KEY+"
#define SCHEME "pkcs11:"

/* One line, and nothing in it that is not of a URI. */
static bool is_uri(const char *uri)
{
    const size_t len = strlen(uri);

    if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0 || len > CV_LIMIT_TOKEN_URI) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (uri[i] <= ' ' || uri[i] > '~') {
            return false;
        }
    }
    return true;
}

static enum cv_status write_line(const struct cv_note_key *key, const char *uri,
                                 struct cv_buf *out, struct cv_err *err)
{
    cv_buf_init(out, NULL, LOGKEY_FILE);
    if (!is_uri(uri)) {
        return cv_fail(err, CV_INVALID,
                       "the URI of the log's key cannot be kept");
    }
    cv_buf_add_str(out, WORD);
    cv_note_key_text(key, out);
    cv_buf_add_format(out, " %s\n", uri);
    return cv_buf_status(out, "the log's key", err);
}

enum cv_status cv_logkey_token_restore(int vault, const struct cv_note_key *key,
                                       const char *uri, struct cv_err *err)
{
    struct cv_buf line;
    enum cv_status s = write_line(key, uri, &line, err);

    if (s == CV_OK) {
        s = cv_file_create(vault, LOGKEY_SECRET, cv_buf_bytes(&line), 0600,
                           err);
    }
    cv_buf_wipe(&line);
    return s;
}

enum cv_status cv_logkey_token_create(int vault, const struct cv_note_key *key,
                                      const char *uri, struct cv_err *err)
{
    enum cv_status s = cv_logkey_folder(vault, err);

    if (s == CV_OK) {
        s = cv_logkey_token_restore(vault, key, uri, err);
    }
    return s == CV_OK ? cv_logkey_store_public(vault, key, err) : s;
}

enum cv_status cv_logkey_token_next(int vault, const struct cv_note_key *key,
                                    const char *uri, struct cv_err *err)
{
    struct cv_buf line;
    enum cv_status s = write_line(key, uri, &line, err);

    if (s == CV_OK) {
        s = cv_file_replace(vault, LOGKEY_NEXT, cv_buf_bytes(&line), 0600, err);
    }
    cv_buf_wipe(&line);
    return s;
}

/* Takes a line apart, in its place. False: it is no such line. */
static bool parse(char *line, struct cv_note_key *key, const char **uri)
{
    char *blank;

    if (strncmp(line, WORD, strlen(WORD)) != 0 ||
        (blank = strchr(line, ' ')) == NULL) {
        return false;
    }
    *blank = '\0';
    *uri = blank + 1;
    return is_uri(*uri) &&
           cv_note_key_parse(line + strlen(WORD), key, NULL) == CV_OK &&
           key->type == CV_NOTE_ED25519;
}

static bool is_same(const struct cv_note_key *a, const struct cv_note_key *b)
{
    return strcmp(a->name, b->name) == 0 &&
           memcmp(a->public_key, b->public_key, sizeof a->public_key) == 0;
}

enum cv_status cv_logkey_token_uri(int vault, bool next,
                                   const struct cv_note_key *key,
                                   struct cv_buf *out, struct cv_err *err)
{
    const char *path = next ? LOGKEY_NEXT : LOGKEY_SECRET, *uri;
    struct cv_arena *arena = NULL;
    struct cv_note_key said;
    struct cv_buf line;
    enum cv_status s = cv_arena_new(CV_KIB(64), &arena, err);

    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(&line, arena, LOGKEY_FILE); /* it may be a secret */
    s = cv_logkey_line(vault, path, &line, err);
    if (s == CV_OK && strncmp(cv_buf_text(&line), WORD, strlen(WORD)) != 0) {
        s = cv_fail(err, CV_NOT_FOUND, "the log's key is in its file");
    } else if (s == CV_OK && (!parse((char *)line.data, &said, &uri) ||
                              !is_same(&said, key))) {
        s = cv_fail(err, CV_INTEGRITY, "%s is not the log's key", path);
    }
    if (s == CV_OK) {
        cv_buf_add_str(out, uri);
        s = cv_buf_status(out, "the log's key", err);
    }
    cv_arena_free(arena);
    return s;
}

enum cv_status cv_logkey_token_public(struct cv_bytes file,
                                      struct cv_note_key *out,
                                      struct cv_err *err)
{
    const char *uri;
    struct cv_buf line;
    bool is;

    memset(out, 0, sizeof *out);
    if (file.len < strlen(WORD) || memcmp(file.data, WORD, strlen(WORD)) != 0 ||
        file.data[file.len - 1] != '\n' ||
        memchr(file.data, '\0', file.len) != NULL ||
        memchr(file.data, '\n', file.len - 1) != NULL) {
        return cv_fail(err, CV_INVALID, "not a key on a token");
    }
    cv_buf_init(&line, NULL, LOGKEY_FILE);
    cv_buf_add(&line, file.data, file.len - 1);
    is = cv_buf_status(&line, "a key", NULL) == CV_OK &&
         parse((char *)(uintptr_t)cv_buf_text(&line), out, &uri);
    cv_buf_wipe(&line);
    return is ? CV_OK : cv_fail(err, CV_INVALID, "not a key on a token");
}
