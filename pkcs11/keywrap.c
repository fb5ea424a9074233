#include "pkcs11/keywrap.h"

#include "vault/base/limits.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define BLOCK 8      /* of AES key wrap */
#define CBC_BLOCK 16 /* of AES */

static const char *cipher_name(enum cv_keywrap_form form)
{
    return form == CV_KEYWRAP_CBC      ? "AES-256-CBC"
           : form == CV_KEYWRAP_PADDED ? "AES-256-WRAP-PAD"
                                       : "AES-256-WRAP";
}

/* One pass of the cipher over `in`; *len bytes are written to `out`, which has
 * room for in.len + 2 * CBC_BLOCK. */
static bool run(enum cv_keywrap_form form, const uint8_t *key, bool wrap,
                struct cv_bytes in, uint8_t *out, size_t *len)
{
    static const uint8_t zero[CBC_BLOCK];
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, cipher_name(form), NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int first = 0, last = 0;
    bool ok = false;

    if (cipher != NULL && ctx != NULL) {
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        ok = EVP_CipherInit_ex2(ctx, cipher, key,
                                form == CV_KEYWRAP_CBC ? zero : NULL,
                                wrap ? 1 : 0, NULL) &&
             EVP_CipherUpdate(ctx, out, &first, in.data, (int)in.len) &&
             first >= 0 && EVP_CipherFinal_ex(ctx, out + first, &last) &&
             last >= 0;
    }
    *len = ok ? (size_t)first + (size_t)last : 0;
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return ok && *len > 0;
}

/* How many bytes of padding RFC 3394 needs in front of it. */
static size_t padding_of(enum cv_keywrap_form form, size_t len)
{
    size_t left = BLOCK - len % BLOCK;

    if (form == CV_KEYWRAP_PKCS7) {
        return left;
    }
    return form == CV_KEYWRAP_PLAIN ? left % BLOCK : 0;
}

enum cv_status cv_keywrap_wrap(enum cv_keywrap_form form, const uint8_t *key,
                               struct cv_bytes plain, struct cv_arena *arena,
                               struct cv_bytes *out, struct cv_err *err)
{
    size_t padding = padding_of(form, plain.len);
    struct cv_bytes padded = {NULL, plain.len + padding};
    uint8_t *work, *wrapped;

    *out = (struct cv_bytes){NULL, 0};
    if (plain.len == 0 || plain.len > CV_LIMIT_KEY_DER) {
        return cv_fail(err, CV_INVALID, "%zu bytes are no key to be wrapped",
                       plain.len);
    }
    work = cv_arena_alloc(arena, padded.len, err);
    wrapped = cv_arena_alloc(arena, padded.len + 2 * CBC_BLOCK, err);
    if (work == NULL || wrapped == NULL) {
        return err != NULL ? err->status : CV_INTERNAL;
    }
    memcpy(work, plain.data, plain.len);
    if (form == CV_KEYWRAP_PKCS7) {
        memset(work + plain.len, (int)padding, padding);
    }
    padded.data = work;
    if (!run(form, key, true, padded, wrapped, &out->len)) {
        return cv_fail(err, CV_INTERNAL, "libcrypto does not wrap a key");
    }
    out->data = wrapped;
    return CV_OK;
}

/* Takes PKCS #7 padding off. */
static bool unpad(struct cv_bytes *b)
{
    size_t n = b->len > 0 ? b->data[b->len - 1] : 0, i;

    if (n == 0 || n > BLOCK || n > b->len) {
        return false;
    }
    for (i = 1; i <= n; i++) {
        if (b->data[b->len - i] != n) {
            return false;
        }
    }
    b->len -= n;
    return true;
}

bool cv_keywrap_unwrap(enum cv_keywrap_form form, const uint8_t *key,
                       struct cv_bytes wrapped, struct cv_arena *arena,
                       struct cv_bytes *out)
{
    uint8_t *plain;
    bool ok;

    *out = (struct cv_bytes){NULL, 0};
    if (wrapped.len == 0 || wrapped.len > CV_LIMIT_SEALED) {
        return false;
    }
    plain = cv_arena_alloc(arena, wrapped.len + 2 * CBC_BLOCK, NULL);
    if (plain == NULL) {
        return false;
    }
    ok = run(form, key, false, wrapped, plain, &out->len);
    out->data = plain;
    if (ok && form == CV_KEYWRAP_PKCS7) {
        ok = unpad(out);
    }
    if (!ok) {
        *out = (struct cv_bytes){NULL, 0};
    }
    return ok;
}

uint8_t *cv_keywrap_key(struct cv_arena *arena, struct cv_err *err)
{
    uint8_t *key = cv_arena_alloc(arena, CV_KEYWRAP_KEY_LEN, err);

    if (key != NULL && RAND_priv_bytes(key, CV_KEYWRAP_KEY_LEN) != 1) {
        (void)cv_fail(err, CV_INTERNAL, "libcrypto has no random numbers");
        return NULL;
    }
    return key;
}
