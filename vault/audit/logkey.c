#include "vault/audit/logkey.h"

#include "vault/audit/logkey_internal.h"
#include "vault/audit/logkey_token.h"
#include "vault/audit/notekey.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_PATH LOGKEY_SECRET
#define NEXT_PATH LOGKEY_NEXT
#define PUBLIC_PATH "audit/key.pub"
#define SECRET_WORD "PRIVATE+KEY+"
#define FILE_MAX 1024
#define ARENA CV_KIB(64)

/* PRIVATE+KEY+<name>+<id>+base64(type || seed) LF, in the arena of `out`. */
static void write_secret(const struct cv_note_key *key, const uint8_t *seed,
                         uint8_t *both, struct cv_buf *out)
{
    both[0] = (uint8_t)key->type;
    memcpy(both + 1, seed, CV_LOGKEY_SEED);
    cv_buf_add_format(out, SECRET_WORD "%s+", key->name);
    cv_encode_hex((struct cv_bytes){key->id, sizeof key->id}, out);
    cv_buf_add_char(out, '+');
    cv_encode_base64((struct cv_bytes){both, 1 + CV_LOGKEY_SEED}, out);
    cv_buf_add_char(out, '\n');
}

/* Fills `secret` (in its arena) and `key` with a new pair. */
static enum cv_status draw(struct cv_arena *arena, const char *origin,
                           struct cv_buf *secret, struct cv_note_key *key,
                           struct cv_err *err)
{
    uint8_t *room = cv_arena_alloc(arena, 32 + 64 + 64, err);
    uint8_t public_key[32];
    enum cv_status status;

    if (room == NULL) {
        return err != NULL ? err->status : CV_INTERNAL;
    }
    randombytes_buf(room, 32);
    if (crypto_sign_seed_keypair(public_key, room + 32, room) != 0) {
        return cv_fail(err, CV_INTERNAL, "cannot make a log key");
    }
    status = cv_note_key_make(origin, CV_NOTE_ED25519, public_key, key, err);
    if (status != CV_OK) {
        return status;
    }
    write_secret(key, room, room + 96, secret);
    return cv_buf_status(secret, "the log key", err);
}

enum cv_status cv_logkey_store_public(int vault, const struct cv_note_key *key,
                                      struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status status;

    cv_buf_init(&text, NULL, FILE_MAX);
    cv_note_key_text(key, &text);
    cv_buf_add_char(&text, '\n');
    status = cv_buf_status(&text, "the log key", err);
    if (status == CV_OK) {
        status =
            cv_file_replace(vault, PUBLIC_PATH, cv_buf_bytes(&text), 0600, err);
    }
    cv_buf_wipe(&text);
    return status;
}

static enum cv_status store_pair(int vault, const struct cv_buf *secret,
                                 const struct cv_note_key *key,
                                 struct cv_err *err)
{
    enum cv_status status =
        cv_file_create(vault, SECRET_PATH, cv_buf_bytes(secret), 0600, err);

    return status == CV_OK ? cv_logkey_store_public(vault, key, err) : status;
}

enum cv_status cv_logkey_folder(int vault, struct cv_err *err)
{
    return mkdirat(vault, "audit", 0700) == 0 || errno == EEXIST
               ? CV_OK
               : cv_fail_errno(err, CV_IO, "cannot make audit/");
}

enum cv_status cv_logkey_create(int vault, const char *origin,
                                struct cv_note_key *out, struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_buf secret;
    struct cv_err own;
    enum cv_status status;

    if (err == NULL) {
        cv_err_init(&own);
        err = &own;
    }
    memset(out, 0, sizeof *out);
    status = cv_logkey_folder(vault, err);
    if (status == CV_OK) {
        status = cv_arena_new(ARENA, &arena, err);
    }
    if (status != CV_OK) {
        return status;
    }
    cv_buf_init(&secret, arena, FILE_MAX);
    status = draw(arena, origin, &secret, out, err);
    if (status == CV_OK) {
        status = store_pair(vault, &secret, out, err);
    }
    cv_arena_free(arena);
    return status;
}

enum cv_status cv_logkey_line(int vault, const char *path, struct cv_buf *out,
                              struct cv_err *err)
{
    int fd = -1;
    enum cv_status status = cv_file_open(vault, path, O_RDONLY, &fd, err);

    if (status != CV_OK) {
        return status;
    }
    status = cv_file_read(fd, path, out, err);
    cv_file_close(&fd);
    if (status == CV_INVALID ||
        (status == CV_OK && (out->len < 2 || out->data[out->len - 1] != '\n' ||
                             memchr(out->data, '\n', out->len - 1) != NULL ||
                             memchr(out->data, '\0', out->len) != NULL))) {
        return cv_fail(err, CV_INTEGRITY, "%s is not a key", path);
    }
    if (status == CV_OK) {
        out->data[--out->len] = '\0';
    }
    return status;
}

enum cv_status cv_logkey_read(int vault, struct cv_note_key *out,
                              struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status status;

    memset(out, 0, sizeof *out);
    cv_buf_init(&text, NULL, FILE_MAX);
    status = cv_logkey_line(vault, PUBLIC_PATH, &text, err);
    if (status == CV_OK &&
        (cv_note_key_parse(cv_buf_text(&text), out, NULL) != CV_OK ||
         out->type != CV_NOTE_ED25519)) {
        status = cv_fail(err, CV_INTEGRITY, "%s is not a key", PUBLIC_PATH);
    }
    cv_buf_wipe(&text);
    return status;
}

/* The seed out of the file's text; NULL where that is not the private half. */
static const uint8_t *parse_secret(const char *text,
                                   const struct cv_note_key *key, uint8_t *room)
{
    struct cv_note_key other;
    uint8_t public_key[32];
    char head[sizeof SECRET_WORD + CV_NOTE_NAME + 16];
    char id[2 * sizeof key->id + 1];
    size_t n;

    sodium_bin2hex(id, sizeof id, key->id, sizeof key->id);
    (void)snprintf(head, sizeof head, SECRET_WORD "%s+%s+", key->name, id);
    n = strlen(head);
    if (strncmp(text, head, n) != 0 ||
        cv_decode_base64_exact(text + n, "the key", room, 1 + CV_LOGKEY_SEED,
                               NULL) != CV_OK ||
        room[0] != CV_NOTE_ED25519 ||
        crypto_sign_seed_keypair(public_key, room + 64, room + 1) != 0 ||
        cv_note_key_make(key->name, CV_NOTE_ED25519, public_key, &other,
                         NULL) != CV_OK ||
        memcmp(other.public_key, key->public_key, sizeof public_key) != 0) {
        return NULL;
    }
    return room + 1;
}

static enum cv_status read_seed(int vault, const char *path,
                                const struct cv_note_key *key,
                                struct cv_arena *arena, struct cv_bytes *seed,
                                struct cv_err *err)
{
    struct cv_buf text;
    struct cv_err own;
    uint8_t *room;
    enum cv_status status;

    if (err == NULL) {
        cv_err_init(&own);
        err = &own;
    }
    *seed = (struct cv_bytes){NULL, 0};
    room = cv_arena_alloc(arena, 64 + 64, err);
    if (room == NULL) {
        return err->status;
    }
    cv_buf_init(&text, arena, FILE_MAX);
    status = cv_logkey_line(vault, path, &text, err);
    if (status == CV_OK) {
        seed->data = parse_secret(cv_buf_text(&text), key, room);
        seed->len = seed->data == NULL ? 0 : CV_LOGKEY_SEED;
        if (seed->data == NULL) {
            status =
                cv_fail(err, CV_INTEGRITY, "%s is not the private half of %s",
                        path, PUBLIC_PATH);
        }
    }
    return status;
}

enum cv_status cv_logkey_read_seed(int vault, const struct cv_note_key *key,
                                   struct cv_arena *arena,
                                   struct cv_bytes *seed, struct cv_err *err)
{
    return read_seed(vault, SECRET_PATH, key, arena, seed, err);
}

enum cv_status cv_logkey_next_seed(int vault, const struct cv_note_key *key,
                                   struct cv_arena *arena,
                                   struct cv_bytes *seed, struct cv_err *err)
{
    return read_seed(vault, NEXT_PATH, key, arena, seed, err);
}

enum cv_status cv_logkey_next_draw(const char *origin, struct cv_arena *arena,
                                   struct cv_buf *file, struct cv_note_key *out,
                                   struct cv_err *err)
{
    memset(out, 0, sizeof *out);
    cv_buf_init(file, arena, FILE_MAX);
    return draw(arena, origin, file, out, err);
}

enum cv_status cv_logkey_next_write(int vault, const struct cv_buf *file,
                                    struct cv_err *err)
{
    return cv_file_replace(vault, NEXT_PATH, cv_buf_bytes(file), 0600, err);
}

/* The file's bytes, in `arena`. */
static enum cv_status read_next(int vault, struct cv_arena *arena,
                                struct cv_buf *out, struct cv_err *err)
{
    int fd = -1;
    enum cv_status status = cv_file_open(vault, NEXT_PATH, O_RDONLY, &fd, err);

    cv_buf_init(out, arena, LOGKEY_FILE);
    if (status == CV_OK) {
        status = cv_file_read(fd, NEXT_PATH, out, err);
    }
    cv_file_close(&fd);
    return status == CV_INVALID ? CV_INTEGRITY : status;
}

bool cv_logkey_is_there(int vault)
{
    return faccessat(vault, SECRET_PATH, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool cv_logkey_next_is_there(int vault)
{
    return faccessat(vault, NEXT_PATH, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

enum cv_status cv_logkey_next_read(int vault, struct cv_note_key *out,
                                   struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_buf file;
    enum cv_status status;

    memset(out, 0, sizeof *out);
    if (!cv_logkey_next_is_there(vault)) {
        return cv_fail(err, CV_NOT_FOUND, "there is no %s", NEXT_PATH);
    }
    status = cv_arena_new(ARENA, &arena, err);
    if (status != CV_OK) {
        return status;
    }
    status = read_next(vault, arena, &file, err);
    if (status == CV_OK &&
        cv_logkey_token_public(cv_buf_bytes(&file), out, NULL) != CV_OK) {
        status = cv_notekey_public(cv_buf_bytes(&file), arena, out, err);
    }
    cv_arena_free(arena);
    return status == CV_INVALID
               ? cv_fail(err, CV_INTEGRITY, "%s is not a key", NEXT_PATH)
               : status;
}

/* The beginning of a key's file, where its secret is. */
static void overwrite(int *fd, const char *path)
{
    static const uint8_t zeros[256];

    if (*fd != -1) {
        (void)!cv_file_write(*fd, (struct cv_bytes){zeros, sizeof zeros}, path,
                             NULL);
        cv_file_close(fd);
    }
}

/* The file before it goes for good once it has no name any more: until then it
 * is the log's key. */
enum cv_status cv_logkey_next_take(int vault, const struct cv_note_key *key,
                                   struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_buf file;
    int before = -1;
    enum cv_status status = cv_arena_new(ARENA, &arena, err);

    if (status != CV_OK) {
        return status;
    }
    status = read_next(vault, arena, &file, err);
    if (status == CV_OK) {
        (void)!cv_file_open(vault, SECRET_PATH, O_WRONLY, &before, NULL);
        status =
            cv_file_replace(vault, SECRET_PATH, cv_buf_bytes(&file), 0600, err);
    }
    cv_arena_free(arena);
    if (status == CV_OK) {
        overwrite(&before, SECRET_PATH);
    }
    cv_file_close(&before);
    return status == CV_OK ? cv_logkey_store_public(vault, key, err) : status;
}

void cv_logkey_next_drop(int vault)
{
    int fd = -1;

    if (cv_file_open(vault, NEXT_PATH, O_WRONLY, &fd, NULL) != CV_OK) {
        fd = -1;
    }
    overwrite(&fd, NEXT_PATH);
    (void)unlinkat(vault, NEXT_PATH, 0);
}

enum cv_status cv_logkey_restore(int vault, const struct cv_note_key *key,
                                 struct cv_bytes seed, struct cv_err *err)
{
    struct cv_arena *arena = NULL;
    struct cv_buf secret;
    uint8_t public_key[32], *room;
    enum cv_status status = cv_arena_new(ARENA, &arena, err);

    if (status != CV_OK) {
        return status;
    }
    room = cv_arena_alloc(arena, 64 + 64, err);
    if (room == NULL) {
        cv_arena_free(arena);
        return CV_INTERNAL;
    }
    cv_buf_init(&secret, arena, FILE_MAX);
    if (seed.len != CV_LOGKEY_SEED ||
        crypto_sign_seed_keypair(public_key, room, seed.data) != 0 ||
        memcmp(public_key, key->public_key, sizeof public_key) != 0) {
        status = cv_fail(err, CV_INTEGRITY,
                         "that is not the private half of "
                         "the log's key");
    }
    if (status == CV_OK) {
        write_secret(key, seed.data, room + 64, &secret);
        status = cv_buf_status(&secret, "the log key", err);
    }
    if (status == CV_OK) {
        status = cv_file_create(vault, SECRET_PATH, cv_buf_bytes(&secret), 0600,
                                err);
    }
    cv_arena_free(arena);
    return status;
}
