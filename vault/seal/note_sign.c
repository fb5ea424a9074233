#include "vault/seal/note_sign.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"
#include "vault/seal/seal_internal.h"

#include <sodium.h>
#include <string.h>

#define TYPE_ED25519 0x01
#define KEY_ID_LEN 4
#define NUMBER_LEN 20 /* digits of the largest size */
#define ROOT_LEN 44   /* of 32 bytes, in base64 */

_Static_assert(CV_NOTE_SIGN_SEED_LEN == crypto_sign_SEEDBYTES, "Ed25519");

static enum cv_status check_name(const char *name, struct cv_err *err)
{
    struct cv_bytes b = {(const uint8_t *)name, strlen(name)};

    if (b.len == 0 || b.len > CV_LIMIT_HOST || !cv_name_is_printable(b) ||
        strpbrk(name, " +") != NULL) {
        return cv_fail(err, CV_INVALID,
                       "a note's key name is 1 to %d bytes of printable UTF-8 "
                       "without blanks and '+'",
                       CV_LIMIT_HOST);
    }
    return CV_OK;
}

/* Line by line, so that cv_name_is_printable can judge each. */
static enum cv_status check_text(struct cv_bytes text, struct cv_err *err)
{
    size_t at = 0;

    if (text.len == 0 || text.len > CV_LIMIT_NOTE ||
        text.data[text.len - 1] != '\n') {
        return cv_fail(err, CV_INVALID,
                       "a note's text is 1 to %zu bytes and ends with a line "
                       "feed",
                       CV_LIMIT_NOTE);
    }
    while (at < text.len) {
        const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
        struct cv_bytes line = {text.data + at,
                                (size_t)(end - (text.data + at))};

        if (!cv_name_is_printable(line)) {
            return cv_fail(err, CV_INVALID,
                           "a note's text holds what is not printable UTF-8, "
                           "in the line at byte %zu",
                           at);
        }
        at += line.len + 1;
    }
    return CV_OK;
}

/* c2sp.org/signed-note, "Signatures". */
static void key_id(const char *name,
                   const uint8_t public_key[crypto_sign_PUBLICKEYBYTES],
                   uint8_t out[KEY_ID_LEN])
{
    static const uint8_t between[2] = {'\n', TYPE_ED25519};
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state st;

    (void)crypto_hash_sha256_init(&st);
    (void)crypto_hash_sha256_update(&st, (const uint8_t *)name, strlen(name));
    (void)crypto_hash_sha256_update(&st, between, sizeof(between));
    (void)crypto_hash_sha256_update(&st, public_key,
                                    crypto_sign_PUBLICKEYBYTES);
    (void)crypto_hash_sha256_final(&st, digest);
    memcpy(out, digest, KEY_ID_LEN);
}

enum cv_status cv_note_sign_line(const char *name, struct cv_bytes seed,
                                 struct cv_bytes text, struct cv_buf *out,
                                 struct cv_err *err)
{
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t signature[KEY_ID_LEN + crypto_sign_BYTES];
    struct cv_bytes whole = {signature, sizeof(signature)};
    struct cv_arena *scratch = NULL;
    enum cv_status s;
    uint8_t *secret;

    if ((s = check_name(name, err)) != CV_OK ||
        (s = check_text(text, err)) != CV_OK) {
        return s;
    }
    if (seed.len != CV_NOTE_SIGN_SEED_LEN) {
        return cv_fail(err, CV_INVALID, "a note's seed is %d bytes",
                       CV_NOTE_SIGN_SEED_LEN);
    }
    s = cv_arena_new(CV_KIB(4), &scratch, err);
    if (s != CV_OK) {
        return s;
    }
    secret = cv_arena_alloc(scratch, crypto_sign_SECRETKEYBYTES, err);
    if (secret == NULL) {
        cv_arena_free(scratch);
        return seal_failed(err);
    }
    (void)crypto_sign_seed_keypair(public_key, secret, seed.data);
    key_id(name, public_key, signature);
    (void)crypto_sign_detached(signature + KEY_ID_LEN, NULL, text.data,
                               text.len, secret);
    cv_arena_free(scratch);
    cv_buf_add_str(out, "\xe2\x80\x94 "); /* U+2014 */
    cv_buf_add_str(out, name);
    cv_buf_add_char(out, ' ');
    cv_encode_base64(whole, out);
    cv_buf_add_char(out, '\n');
    return cv_buf_status(out, "the signature line", err);
}

/* The next line of `text`, without its line feed. */
static struct cv_bytes next_line(struct cv_bytes *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->len);
    struct cv_bytes line = {text->data,
                            end != NULL ? (size_t)(end - text->data) : 0};

    if (end == NULL) {
        text->len = 0;
        return line;
    }
    text->data = end + 1;
    text->len -= line.len + 1;
    return line;
}

static bool is_number(struct cv_bytes line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return false;
        }
    }
    return line.len > 0 && line.len <= NUMBER_LEN;
}

static bool is_root(struct cv_bytes line)
{
    char text[ROOT_LEN + 1];
    uint8_t root[crypto_hash_sha256_BYTES];

    if (line.len != ROOT_LEN) {
        return false;
    }
    memcpy(text, line.data, ROOT_LEN);
    text[ROOT_LEN] = '\0';
    return cv_decode_base64_exact(text, "a root", root, sizeof(root), NULL) ==
           CV_OK;
}

#define LINES 9 /* most that a text has which the log's key signs */

static bool is_checkpoint(const struct cv_bytes *lines, size_t n)
{
    return n == 3 && lines[0].len > 0 && is_number(lines[1]) &&
           is_root(lines[2]);
}

static bool is_rotation(const struct cv_bytes *lines, size_t n)
{
    static const struct cv_bytes first = {
        (const uint8_t *)"certvault log key rotation", 26};

    return n == 4 && cv_bytes_equal(lines[0], first);
}

/* vault/audit/archived.h */
static bool is_archive(const struct cv_bytes *lines, size_t n)
{
    static const struct cv_bytes first = {
        (const uint8_t *)"certvault log archive", 21};

    return n == LINES && cv_bytes_equal(lines[0], first) && lines[1].len > 0 &&
           is_number(lines[2]) && is_root(lines[3]) && is_root(lines[4]) &&
           is_number(lines[5]);
}

enum cv_status cv_note_sign_check(struct cv_bytes text, struct cv_err *err)
{
    struct cv_bytes rest = text, lines[LINES];
    size_t n = 0;
    enum cv_status s = check_text(text, err);

    if (s != CV_OK) {
        return s;
    }
    while (rest.len > 0 && n < LINES) {
        lines[n++] = next_line(&rest);
    }
    if (rest.len == 0 && (is_checkpoint(lines, n) || is_rotation(lines, n) ||
                          is_archive(lines, n))) {
        return CV_OK;
    }
    return cv_fail(
        err, CV_INVALID,
        "the log's key signs checkpoints, its own change and what is "
        "archived, and this is none of them");
}
