#include "vault/audit/note.h"

#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/base/utf8.h"

#include <sodium.h>
#include <string.h>

#define DASH "\xe2\x80\x94" /* U+2014 */
#define SIGNATURE 64
#define LONGEST_LINE 512

/* libsodium 1.0.18 takes every byte from 0x80 up for a base64 digit. */
static bool is_ascii(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* No blanks and no '+', as C2SP signed-note has it; here also nothing that a
 * terminal should not see. */
static bool is_name(const char *name, size_t len)
{
    const uint8_t *p = (const uint8_t *)name;

    if (len == 0 || len > CV_NOTE_NAME) {
        return false;
    }
    while (len > 0) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(p, len, &point);

        if (n == 0 || !cv_utf8_is_shown(point) || point == ' ' ||
            point == '+' || point == 0xa0 || point == 0x1680 ||
            (point >= 0x2000 && point <= 0x200a) || point == 0x202f ||
            point == 0x205f || point == 0x3000) {
            return false;
        }
        p += n;
        len -= n;
    }
    return true;
}

static void make_id(struct cv_note_key *key)
{
    crypto_hash_sha256_state s;
    uint8_t hash[crypto_hash_sha256_BYTES];
    const uint8_t between[2] = {'\n', (uint8_t)key->type};

    crypto_hash_sha256_init(&s);
    crypto_hash_sha256_update(&s, (const uint8_t *)key->name,
                              strlen(key->name));
    crypto_hash_sha256_update(&s, between, sizeof between);
    crypto_hash_sha256_update(&s, key->public_key, sizeof key->public_key);
    crypto_hash_sha256_final(&s, hash);
    memcpy(key->id, hash, sizeof key->id);
}

enum cv_status cv_note_check_name(const char *name, struct cv_err *err)
{
    enum cv_status s;

    if (is_name(name, strlen(name))) {
        return CV_OK;
    }
    s = cv_fail(err, CV_INVALID, "the key's name is not one");
    cv_err_hint(err,
                "1 to %d bytes without blanks and '+', such as "
                "example.org/audit",
                CV_NOTE_NAME);
    return s;
}

enum cv_status cv_note_key_make(const char *name, enum cv_note_type type,
                                const uint8_t public_key[32],
                                struct cv_note_key *out, struct cv_err *err)
{
    enum cv_status s = cv_note_check_name(name, err);

    memset(out, 0, sizeof *out);
    if (s != CV_OK) {
        return s;
    }
    if (type != CV_NOTE_ED25519 && type != CV_NOTE_COSIGNATURE) {
        return cv_fail(err, CV_INVALID, "the key's type is not known");
    }
    memcpy(out->name, name, strlen(name));
    out->type = type;
    memcpy(out->public_key, public_key, sizeof out->public_key);
    make_id(out);
    return CV_OK;
}

enum cv_status cv_note_key_parse(const char *vkey, struct cv_note_key *out,
                                 struct cv_err *err)
{
    const char *plus = strchr(vkey, '+');
    uint8_t id[4], key[33];
    char hex[9], name[CV_NOTE_NAME + 1];
    size_t len;

    memset(out, 0, sizeof *out);
    if (plus == NULL || strnlen(plus, 10) < 10 || plus[9] != '+' ||
        (size_t)(plus - vkey) > CV_NOTE_NAME) {
        return cv_fail(err, CV_INVALID,
                       "not a verifier key: <name>+<key id>+<base64>");
    }
    len = (size_t)(plus - vkey);
    memcpy(name, vkey, len);
    name[len] = '\0';
    memcpy(hex, plus + 1, 8);
    hex[8] = '\0';
    if (!is_ascii(plus, strlen(plus))) {
        return cv_fail(err, CV_INVALID, "the key: not base64");
    }
    if (cv_decode_hex_exact(hex, "the key id", id, sizeof id, err) != CV_OK ||
        cv_decode_base64_exact(plus + 10, "the key", key, sizeof key, err) !=
            CV_OK) {
        return CV_INVALID;
    }
    if (cv_note_key_make(name, (enum cv_note_type)key[0], key + 1, out, err) !=
        CV_OK) {
        return CV_INVALID;
    }
    if (memcmp(id, out->id, sizeof id) != 0) {
        memset(out, 0, sizeof *out);
        return cv_fail(err, CV_INVALID, "the key id is not the key's");
    }
    return CV_OK;
}

void cv_note_key_text(const struct cv_note_key *key, struct cv_buf *out)
{
    uint8_t both[33] = {(uint8_t)key->type};

    memcpy(both + 1, key->public_key, sizeof key->public_key);
    cv_buf_add_format(out, "%s+", key->name);
    cv_encode_hex((struct cv_bytes){key->id, sizeof key->id}, out);
    cv_buf_add_char(out, '+');
    cv_encode_base64((struct cv_bytes){both, sizeof both}, out);
}

/* One signature line. */
struct line {
    const char *name;
    size_t name_len;
    uint8_t id[4];
    uint8_t blob[256]; /* what is behind the id */
    size_t blob_len;
};

/* Reads the line at the start of `text`; the bytes it takes, 0: malformed. */
static size_t read_line(struct cv_bytes text, struct line *line)
{
    const char *p = (const char *)text.data;
    const char *end = memchr(p, '\n', text.len), *space;
    uint8_t blob[sizeof line->id + sizeof line->blob];
    size_t len = 0;

    if (end == NULL || (size_t)(end - p) < sizeof DASH ||
        memcmp(p, DASH " ", sizeof DASH) != 0) {
        return 0;
    }
    line->name = p + sizeof DASH;
    space = memchr(line->name, ' ', (size_t)(end - line->name));
    if (space == NULL || !is_name(line->name, (size_t)(space - line->name))) {
        return 0;
    }
    line->name_len = (size_t)(space - line->name);
    if (!is_ascii(space, (size_t)(end - space)) ||
        sodium_base642bin(blob, sizeof blob, space + 1,
                          (size_t)(end - space - 1), NULL, &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        len <= sizeof line->id) {
        return 0;
    }
    memcpy(line->id, blob, sizeof line->id);
    line->blob_len = len - sizeof line->id;
    memcpy(line->blob, blob + sizeof line->id, line->blob_len);
    return (size_t)(end - p) + 1;
}

static bool is_clean(struct cv_bytes text)
{
    size_t at = 0;

    while (at < text.len) {
        uint32_t point = 0;
        size_t n = cv_utf8_next(text.data + at, text.len - at, &point);

        if (n == 0 || (point < 0x20 && point != '\n') || point == 0x7f) {
            return false;
        }
        at += n;
    }
    return true;
}

static enum cv_status malformed(struct cv_err *err, const char *why)
{
    return cv_fail(err, CV_INTEGRITY, "not a signed note: %s", why);
}

/* Where the text ends (its last LF included) and the signatures begin: the
 * last empty line. */
static enum cv_status split(struct cv_bytes note, struct cv_bytes *text,
                            struct cv_bytes *lines, struct cv_err *err)
{
    const uint8_t *end = note.data + note.len;
    const uint8_t *at = NULL;

    if (note.len > CV_LIMIT_NOTE) {
        return malformed(err, "too long");
    }
    if (note.len == 0 || end[-1] != '\n' || !is_clean(note)) {
        return malformed(err, "control characters, bad UTF-8 or a cut end");
    }
    for (const uint8_t *p = note.data; end - p > 2; p++) {
        if (p[0] == '\n' && p[1] == '\n') {
            at = p;
        }
    }
    if (at == NULL) {
        return malformed(err, "no empty line before the signatures");
    }
    *text = (struct cv_bytes){note.data, (size_t)(at - note.data) + 1};
    *lines = (struct cv_bytes){at + 2, (size_t)(end - at) - 2};
    return CV_OK;
}

static bool verify_ed25519(const struct cv_note_key *key, struct cv_bytes text,
                           const struct line *line)
{
    return line->blob_len == SIGNATURE &&
           crypto_sign_verify_detached(line->blob, text.data, text.len,
                                       key->public_key) == 0;
}

/* C2SP tlog-cosignature: the time is signed in front of the text. */
static bool verify_cosignature(const struct cv_note_key *key,
                               struct cv_bytes text, const struct line *line)
{
    struct cv_buf signed_text;
    uint64_t time_s = 0;
    bool ok;

    if (line->blob_len != 8 + SIGNATURE) {
        return false;
    }
    for (int i = 0; i < 8; i++) {
        time_s = time_s << 8 | line->blob[i];
    }
    cv_buf_init(&signed_text, NULL, CV_LIMIT_NOTE + 64);
    cv_buf_add_format(&signed_text, "cosignature/v1\ntime %llu\n",
                      (unsigned long long)time_s);
    cv_buf_add(&signed_text, text.data, text.len);
    ok = signed_text.status == CV_OK &&
         crypto_sign_verify_detached(line->blob + 8, signed_text.data,
                                     signed_text.len, key->public_key) == 0;
    cv_buf_wipe(&signed_text);
    return ok;
}

static bool is_of(const struct cv_note_key *key, const struct line *line)
{
    return strlen(key->name) == line->name_len &&
           memcmp(key->name, line->name, line->name_len) == 0 &&
           memcmp(key->id, line->id, sizeof line->id) == 0;
}

/* Counts into *verified; false when a known key's line does not verify. */
static bool check_line(const struct line *line, struct cv_bytes text,
                       const struct cv_note_key *keys, size_t n_keys,
                       size_t *verified)
{
    for (size_t i = 0; i < n_keys; i++) {
        if (!is_of(&keys[i], line)) {
            continue;
        }
        if (!(keys[i].type == CV_NOTE_COSIGNATURE
                  ? verify_cosignature(&keys[i], text, line)
                  : verify_ed25519(&keys[i], text, line))) {
            return false;
        }
        (*verified)++;
    }
    return true;
}

enum cv_status cv_note_open(struct cv_bytes note,
                            const struct cv_note_key *keys, size_t n_keys,
                            struct cv_bytes *text, struct cv_err *err)
{
    struct cv_bytes body = {NULL, 0}, lines = {NULL, 0};
    size_t verified = 0, count = 0;
    enum cv_status status = split(note, &body, &lines, err);

    *text = (struct cv_bytes){NULL, 0};
    if (status != CV_OK) {
        return status;
    }
    while (lines.len > 0) {
        struct line line;
        size_t n = read_line(lines, &line);

        if (n == 0 || ++count > CV_NOTE_SIGNATURES) {
            return malformed(err, "a signature line has not the form");
        }
        if (!check_line(&line, body, keys, n_keys, &verified)) {
            return cv_fail(err, CV_INTEGRITY,
                           "the note's signature does not verify");
        }
        lines.data += n;
        lines.len -= n;
    }
    if (verified == 0) {
        return cv_fail(err, CV_INTEGRITY,
                       "the note is not signed by a key that is known here");
    }
    *text = body;
    return CV_OK;
}

enum cv_status cv_note_check_text(struct cv_bytes text, struct cv_err *err)
{
    if (text.len == 0 || text.len > CV_LIMIT_NOTE / 2 ||
        text.data[text.len - 1] != '\n' || !is_clean(text)) {
        return cv_fail(err, CV_INVALID, "not a text that a note can hold");
    }
    return CV_OK;
}

enum cv_status cv_note_join(struct cv_bytes text, const char *line,
                            struct cv_buf *out, struct cv_err *err)
{
    char whole[LONGEST_LINE];
    struct line parts;

    if (cv_note_check_text(text, err) != CV_OK) {
        return CV_INVALID;
    }
    cv_buf_add(out, text.data, text.len);
    cv_buf_add_char(out, '\n');
    do {
        size_t len = strcspn(line, "\n");

        if (len + 2 >= sizeof whole) {
            return cv_fail(err, CV_INVALID, "the signature line is too long");
        }
        memcpy(whole, line, len);
        whole[len] = '\n';
        if (read_line((struct cv_bytes){(const uint8_t *)whole, len + 1},
                      &parts) != len + 1) {
            return cv_fail(err, CV_INVALID, "not a signature line");
        }
        cv_buf_add(out, whole, len + 1);
        line += len;
        line += *line == '\n';
    } while (*line != '\0');
    return cv_buf_status(out, "a note", err);
}

void cv_note_line(const struct cv_note_key *key, const uint8_t signature[64],
                  struct cv_buf *out)
{
    uint8_t both[sizeof key->id + SIGNATURE];

    memcpy(both, key->id, sizeof key->id);
    memcpy(both + sizeof key->id, signature, SIGNATURE);
    cv_buf_add_format(out, DASH " %s ", key->name);
    cv_encode_base64((struct cv_bytes){both, sizeof both}, out);
    cv_buf_add_char(out, '\n');
}
