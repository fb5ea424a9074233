/* Signed notes, checkpoint texts and verifier keys. A text that is taken must
 * be the one that we write for it. */
#include "vault/audit/checkpoint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_text(struct cv_bytes text)
{
    struct cv_checkpoint c;
    struct cv_buf again;

    if (cv_checkpoint_parse(text, &c, NULL) != CV_OK) {
        return;
    }
    cv_buf_init(&again, NULL, 4096);
    cv_checkpoint_text(&c, &again);
    /* an origin with a NUL in it would be cut: no note lets one through */
    if (memchr(text.data, '\0', text.len) == NULL &&
        (again.len != text.len ||
         memcmp(again.data, text.data, text.len) != 0)) {
        abort();
    }
    cv_buf_wipe(&again);
}

static void try_key(const char *text, size_t len)
{
    struct cv_note_key key;
    struct cv_buf again;

    if (cv_note_key_parse(text, &key, NULL) != CV_OK) {
        return;
    }
    cv_buf_init(&again, NULL, 4096);
    cv_note_key_text(&key, &again);
    if (again.len != len || memcmp(again.data, text, len) != 0) {
        abort();
    }
    cv_buf_wipe(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char vkey[] = "certvault.example/audit/vault-7f3a+764557c8+"
                               "AcJ1WBTY3kN2pWwMXisdUIWLP+egyGMnBkzE8tULEPj9";
    static bool started;
    struct cv_note_key key;
    struct cv_checkpoint c;
    struct cv_bytes text;
    struct cv_buf joined;
    char *copy;

    if (!started && cv_arena_start(NULL) != CV_OK) {
        abort();
    }
    started = true;
    if (cv_note_key_parse(vkey, &key, NULL) != CV_OK) {
        abort();
    }
    (void)cv_note_open((struct cv_bytes){data, size}, &key, 1, &text, NULL);
    (void)cv_checkpoint_open((struct cv_bytes){data, size}, &key, &c, NULL);
    try_text((struct cv_bytes){data, size});
    copy = calloc(1, size + 1);
    if (copy == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    try_key(copy, strlen(copy));
    cv_buf_init(&joined, NULL, 1 << 20);
    (void)cv_note_join((struct cv_bytes){(const uint8_t *)"x\n", 2}, copy,
                       &joined, NULL);
    cv_buf_wipe(&joined);
    free(copy);
    return 0;
}
