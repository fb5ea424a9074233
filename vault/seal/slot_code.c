/* Recovery codes: 33 random symbols of Crockford's base32 (5 bits each, the
 * alphabet without I, L, O, U) and two check symbols: the number that the 33
 * make, modulo 1021. 1021 is the largest prime below 1024: one wrong symbol,
 * or two neighbours in the wrong order, never pass, and of other errors one in
 * a thousand. */
#include "vault/seal/seal_internal.h"
#include "vault/seal/slot_internal.h"

#include <string.h>

#define DATA_LEN 33
#define CHECK_PRIME 1021U
#define GROUP 5
#define CODE_TEXT_LEN (SLOT_CODE_LEN + SLOT_CODE_LEN / GROUP - 1)

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static unsigned check_number(const uint8_t symbols[DATA_LEN])
{
    unsigned n = 0;
    size_t i;

    for (i = 0; i < DATA_LEN; i++) {
        n = (n * 32 + symbols[i]) % CHECK_PRIME;
    }
    return n;
}

/* Which symbol a character stands for; -1: none. */
static int symbol_of(uint8_t c)
{
    const char *at;

    if (c >= 'a' && c <= 'z') {
        c = (uint8_t)(c - 'a' + 'A');
    }
    if (c == 'O') {
        c = '0';
    } else if (c == 'I' || c == 'L') {
        c = '1';
    }
    at = c == 0 ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '-' || c == '\t' || c == '\r' || c == '\n';
}

enum cv_status cv_slot_code_make(struct cv_arena *arena, struct cv_bytes *code,
                                 struct cv_err *err)
{
    uint8_t *symbols = cv_arena_alloc(arena, SLOT_CODE_LEN, err);
    char *text = cv_arena_alloc(arena, CODE_TEXT_LEN + 1, err);
    unsigned check;
    size_t i, n = 0;

    code->data = NULL;
    code->len = 0;
    if (symbols == NULL || text == NULL) {
        return seal_failed(err);
    }
    randombytes_buf(symbols, DATA_LEN);
    for (i = 0; i < DATA_LEN; i++) {
        symbols[i] &= 31;
    }
    check = check_number(symbols);
    symbols[DATA_LEN] = (uint8_t)(check >> 5);
    symbols[DATA_LEN + 1] = check & 31;
    for (i = 0; i < SLOT_CODE_LEN; i++) {
        if (i > 0 && i % GROUP == 0) {
            text[n++] = '-';
        }
        text[n++] = alphabet[symbols[i]];
    }
    code->data = (const uint8_t *)text;
    code->len = n;
    return CV_OK;
}

static enum cv_status mistyped(struct cv_err *err, const char *what)
{
    (void)cv_fail(err, CV_INVALID, "this is not a recovery code: %s", what);
    cv_err_hint(err, "look for a mistyped character; a code has 35 letters "
                     "and digits");
    return CV_INVALID;
}

enum cv_status cv_slot_code_read(struct cv_bytes typed, struct cv_arena *arena,
                                 struct cv_bytes *out, struct cv_err *err)
{
    uint8_t *symbols = cv_arena_alloc(arena, SLOT_CODE_LEN, err);
    size_t i, n = 0;

    out->data = NULL;
    out->len = 0;
    if (symbols == NULL) {
        return seal_failed(err);
    }
    for (i = 0; i < typed.len; i++) {
        int symbol = symbol_of(typed.data[i]);

        if (is_blank(typed.data[i])) {
            continue;
        }
        if (symbol < 0) {
            return mistyped(err, "it holds a character that none has");
        }
        if (n == SLOT_CODE_LEN) {
            return mistyped(err, "it is too long");
        }
        symbols[n++] = (uint8_t)symbol;
    }
    if (n != SLOT_CODE_LEN) {
        return mistyped(err, "it is too short");
    }
    if (check_number(symbols) !=
        symbols[DATA_LEN] * 32U + symbols[DATA_LEN + 1]) {
        return mistyped(err, "its check characters do not fit");
    }
    for (i = 0; i < SLOT_CODE_LEN; i++) {
        symbols[i] = (uint8_t)alphabet[symbols[i]];
    }
    out->data = symbols;
    out->len = SLOT_CODE_LEN;
    return CV_OK;
}
