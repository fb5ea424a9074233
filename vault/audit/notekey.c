#include "vault/audit/notekey.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define WORD "PRIVATE+KEY+"
#define SEED 32
#define TYPED (1 + SEED)

static enum cv_status out_of(struct cv_err *err)
{
    return err != NULL && err->status != CV_OK ? err->status : CV_INTERNAL;
}

enum cv_status cv_notekey_make(const char *name, struct cv_buf *secret,
                               struct cv_note_key *out, struct cv_err *err)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t *room =
        cv_arena_alloc(secret->arena, TYPED + crypto_sign_SECRETKEYBYTES, err);
    enum cv_status s;

    if (room == NULL) {
        return out_of(err);
    }
    room[0] = CV_NOTE_ED25519;
    randombytes_buf(room + 1, SEED);
    if (crypto_sign_seed_keypair(public_key, room + TYPED, room + 1) != 0) {
        return cv_fail(err, CV_INTERNAL, "cannot make a key");
    }
    s = cv_note_key_make(name, CV_NOTE_ED25519, public_key, out, err);
    if (s != CV_OK) {
        return s;
    }
    cv_buf_add_format(secret, WORD "%s+", out->name);
    cv_encode_hex((struct cv_bytes){out->id, sizeof(out->id)}, secret);
    cv_buf_add_char(secret, '+');
    cv_encode_base64((struct cv_bytes){room, TYPED}, secret);
    cv_buf_add_char(secret, '\n');
    return cv_buf_status(secret, "the key file", err);
}

static enum cv_status not_a_key(struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_INVALID,
                               "this is no key that signs "
                               "notes");

    cv_err_hint(err, "certvault policy key FILE makes one");
    return s;
}

/* The key out of its file; `room` gets type, seed and secret key. */
static enum cv_status read_key(struct cv_bytes file, uint8_t *room,
                               struct cv_arena *arena, struct cv_note_key *out,
                               struct cv_err *err)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    char id[2 * sizeof(out->id) + 1];
    size_t len = file.len;
    char *text, *name, *told, *value;

    if (len > 0 && file.data[len - 1] == '\n') {
        len--;
    }
    if (len > CV_NOTEKEY_FILE || memchr(file.data, '\n', len) != NULL ||
        memchr(file.data, '\0', len) != NULL) {
        return not_a_key(err);
    }
    text = cv_arena_copy(arena, file.data, len, err);
    if (text == NULL) {
        return out_of(err);
    }
    name = text + strlen(WORD);
    if (strncmp(text, WORD, strlen(WORD)) != 0 ||
        (told = strchr(name, '+')) == NULL ||
        (value = strchr(told + 1, '+')) == NULL) {
        return not_a_key(err);
    }
    *told++ = '\0';
    *value++ = '\0';
    if (cv_decode_base64_exact(value, "the key", room, TYPED, NULL) != CV_OK ||
        room[0] != CV_NOTE_ED25519 ||
        crypto_sign_seed_keypair(public_key, room + TYPED, room + 1) != 0 ||
        cv_note_key_make(name, CV_NOTE_ED25519, public_key, out, NULL) !=
            CV_OK) {
        return not_a_key(err);
    }
    (void)sodium_bin2hex(id, sizeof(id), out->id, sizeof(out->id));
    return strcmp(id, told) == 0 ? CV_OK : not_a_key(err);
}

enum cv_status cv_notekey_sign(struct cv_bytes file, struct cv_arena *arena,
                               struct cv_bytes text, struct cv_buf *out,
                               struct cv_note_key *key, struct cv_err *err)
{
    uint8_t signature[4 + crypto_sign_BYTES];
    struct cv_note_key own;
    struct cv_buf line;
    uint8_t *room =
        cv_arena_alloc(arena, TYPED + crypto_sign_SECRETKEYBYTES, err);
    enum cv_status s = room != NULL ? CV_OK : out_of(err);

    key = key != NULL ? key : &own;
    if (s == CV_OK) {
        s = read_key(file, room, arena, key, err);
    }
    if (s == CV_OK) {
        s = cv_note_check_text(text, err);
    }
    if (s != CV_OK) {
        return s;
    }
    memcpy(signature, key->id, sizeof(key->id));
    (void)crypto_sign_detached(signature + sizeof(key->id), NULL, text.data,
                               text.len, room + TYPED);
    cv_buf_init(&line, NULL, CV_KIB(1));
    cv_buf_add_format(&line, "\xe2\x80\x94 %s ", key->name); /* U+2014 */
    cv_encode_base64((struct cv_bytes){signature, sizeof(signature)}, &line);
    s = cv_buf_status(&line, "the signature", err);
    if (s == CV_OK) {
        s = cv_note_join(text, cv_buf_text(&line), out, err);
    }
    cv_buf_wipe(&line);
    return s;
}

enum cv_status cv_notekey_public(struct cv_bytes file, struct cv_arena *arena,
                                 struct cv_note_key *out, struct cv_err *err)
{
    uint8_t *room =
        cv_arena_alloc(arena, TYPED + crypto_sign_SECRETKEYBYTES, err);

    return room == NULL ? out_of(err) : read_key(file, room, arena, out, err);
}
