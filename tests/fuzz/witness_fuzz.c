/* What a witness answers: signature lines of anybody. What is picked out of
 * them is lines of its key alone, each whole, that a note may carry; and only
 * what it signed is believed. The key is known here, so that lines that verify
 * are found too: where the input begins with a byte below 8, a good line stands
 * behind so many of its lines. */
#include "vault/audit/anchored.h"
#include "vault/audit/checkpoint.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define DASH "\xe2\x80\x94 "
#define NAME "w.example/1"
#define WHEN 1795000000
#define TEXT \
    "certvault.example/log\n5\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
#define NOTE TEXT "\n" DASH "certvault.example/log AAAAAA==\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cv_note_key witness;
static struct cv_buf line; /* which it signed */

static void demand(bool what)
{
    if (!what) {
        abort();
    }
}

static void start(void)
{
    static const uint8_t seed[crypto_sign_SEEDBYTES] = {7};
    static const char signed_text[] = "cosignature/v1\ntime 1795000000\n" TEXT;
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
    uint8_t blob[4 + 8 + crypto_sign_BYTES];

    demand(cv_arena_start(NULL) == CV_OK);
    (void)crypto_sign_seed_keypair(public_key, secret, seed);
    demand(cv_note_key_make(NAME, CV_NOTE_COSIGNATURE, public_key, &witness,
                            NULL) == CV_OK);
    memcpy(blob, witness.id, 4);
    for (unsigned i = 0; i < 8; i++) {
        blob[4 + i] = (uint8_t)((uint64_t)WHEN >> (56 - 8 * i));
    }
    (void)crypto_sign_detached(blob + 12, NULL, (const uint8_t *)signed_text,
                               sizeof(signed_text) - 1, secret);
    cv_buf_init(&line, NULL, CV_KIB(1));
    cv_buf_add_str(&line, DASH NAME " ");
    cv_encode_base64((struct cv_bytes){blob, sizeof(blob)}, &line);
    cv_buf_add_char(&line, '\n');
}

/* The input, with the good line somewhere in it. */
static void compose(const uint8_t *data, size_t size, struct cv_buf *out)
{
    unsigned before = size == 0 || data[0] >= 8 ? 255 : data[0];
    const uint8_t *end;

    if (size == 0) {
        return;
    }
    end = data + size;
    data += before < 255 ? 1 : 0;
    for (; before < 255 && before > 0 && data < end; before--) {
        const uint8_t *lf = memchr(data, '\n', (size_t)(end - data));
        const uint8_t *next = lf != NULL ? lf + 1 : end;

        cv_buf_add(out, data, (size_t)(next - data));
        data = next;
    }
    if (before == 0) {
        cv_buf_add(out, line.data, line.len);
    }
    cv_buf_add(out, data, (size_t)(end - data));
}

static void check_lines(struct cv_bytes picked)
{
    static const char head[] = DASH NAME " ";
    const uint8_t *at = picked.data,
                  *end = picked.len > 0 ? at + picked.len : at;

    while (at < end) {
        const uint8_t *lf = memchr(at, '\n', (size_t)(end - at));

        demand(lf != NULL && (size_t)(lf - at) > sizeof(head) - 1 &&
               memcmp(at, head, sizeof(head) - 1) == 0);
        at = lf + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    struct cv_buf answer, picked, note;
    struct cv_bytes text;
    int64_t time_s = -1;
    enum cv_status s;

    if (!started) {
        start();
        started = true;
    }
    cv_buf_init(&answer, NULL, CV_MIB(1));
    cv_buf_init(&picked, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    compose(data, size, &answer);
    cv_anchored_pick(cv_buf_bytes(&answer), &witness, &picked);
    check_lines(cv_buf_bytes(&picked));
    cv_buf_add_str(&note, NOTE);
    cv_buf_add(&note, picked.data, picked.len);
    if (cv_buf_status(&note, "a note", NULL) == CV_OK) {
        s = cv_anchored_time(cv_buf_bytes(&note), &witness, &time_s, NULL);
        demand(s == CV_OK ? time_s == WHEN : time_s == 0);
        demand(s != CV_OK || cv_note_open(cv_buf_bytes(&note), &witness, 1,
                                          &text, NULL) == CV_OK);
    }
    /* As a file of audit/cosigned, too. */
    (void)cv_anchored_time((struct cv_bytes){data, size}, &witness, &time_s,
                           NULL);
    cv_buf_wipe(&answer);
    cv_buf_wipe(&picked);
    cv_buf_wipe(&note);
    return 0;
}
