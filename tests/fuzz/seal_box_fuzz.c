/* What is inside a sealed key. A box that was not sealed to the vault never
 * gets past its tag, so the input is the frame, and is sealed here: that is
 * what anyone with the public key can do. Opened bytes must be what a frame
 * says they are. */
#include "vault/seal/box_internal.h"

#include <stdlib.h>
#include <string.h>

static struct cv_arena *start(struct cv_box_pair *pair)
{
    struct cv_arena *arena = NULL;
    uint8_t *secret;

    if (cv_arena_start(NULL) != CV_OK ||
        cv_arena_new(CV_MIB(1), &arena, NULL) != CV_OK) {
        abort();
    }
    secret = cv_arena_alloc(arena, CV_BOX_KEY_LEN, NULL);
    (void)crypto_box_keypair(pair->public_key, secret);
    pair->secret_key = secret;
    return arena;
}

/* The binding that the frame names, as far as it goes: else nothing but the
 * ids would ever be looked at. */
static void read_binding(const uint8_t *data, size_t len,
                         struct cv_box_binding *out)
{
    memset(out, 0, sizeof(*out));
    if (len >= BOX_AT_LEN) {
        memcpy(out, data + BOX_AT_VAULT, sizeof(*out));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cv_box_pair pair;
    static struct cv_arena *keys;
    struct cv_box_binding binding;
    struct cv_arena *arena = NULL;
    struct cv_bytes der, sealed;
    uint8_t *box;
    struct cv_err err;

    if (keys == NULL) {
        keys = start(&pair);
    }
    box = malloc(1 + crypto_box_SEALBYTES + size);
    if (box == NULL || cv_arena_new(CV_MIB(1), &arena, NULL) != CV_OK) {
        abort();
    }
    box[0] = BOX_VERSION;
    (void)crypto_box_seal(box + 1, data, size, pair.public_key);
    sealed.data = box;
    sealed.len = 1 + crypto_box_SEALBYTES + size;
    read_binding(data, size, &binding);
    cv_err_init(&err);
    if (cv_box_open(&pair, &binding, sealed, arena, &der, &err) == CV_OK) {
        if (der.len == 0 || size % BOX_BLOCK != 0 ||
            BOX_AT_KEY + der.len >= size ||
            memcmp(der.data, data + BOX_AT_KEY, der.len) != 0 ||
            data[BOX_AT_KEY + der.len] != 0x80) {
            abort();
        }
    } else if (der.data != NULL || err.text[0] == '\0') {
        abort();
    }
    /* and as it came, which nobody sealed */
    sealed.data = data;
    sealed.len = size;
    if (cv_box_open(&pair, &binding, sealed, arena, &der, &err) == CV_OK) {
        abort();
    }
    cv_arena_free(arena);
    free(box);
    return 0;
}
