#include "vault/seal/target.h"

#include "vault/base/limits.h"
#include "vault/seal/seal_internal.h"

#include <sodium.h>
#include <stdlib.h>

struct cv_target {
    struct cv_arena *arena;
    struct cv_box_pair pair;
};

enum cv_status cv_target_new(struct cv_target **out, struct cv_err *err)
{
    struct cv_target *t = calloc(1, sizeof(*t));
    uint8_t *secret = NULL;
    enum cv_status s;

    *out = NULL;
    if (t == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_arena_new(CV_KIB(4), &t->arena, err);
    if (s == CV_OK) {
        secret = cv_arena_alloc(t->arena, CV_BOX_KEY_LEN, err);
        s = secret != NULL ? CV_OK : seal_failed(err);
    }
    if (s != CV_OK || secret == NULL) {
        cv_target_free(t);
        return s;
    }
    (void)crypto_box_keypair(t->pair.public_key, secret);
    t->pair.secret_key = secret;
    *out = t;
    return CV_OK;
}

void cv_target_free(struct cv_target *target)
{
    if (target != NULL) {
        cv_arena_free(target->arena);
        free(target);
    }
}

const struct cv_box_pair *cv_target_pair(const struct cv_target *target)
{
    return &target->pair;
}

enum cv_status cv_target_seal(const uint8_t public_key[CV_BOX_KEY_LEN],
                              struct cv_bytes secret, struct cv_buf *out,
                              struct cv_err *err)
{
    uint8_t sealed[CV_LIMIT_KEY_FILE + crypto_box_SEALBYTES];

    if (secret.len == 0 || secret.len > CV_LIMIT_KEY_FILE) {
        return cv_fail(err, CV_INVALID,
                       "a secret of %zu bytes is not passed "
                       "on",
                       secret.len);
    }
    if (crypto_box_seal(sealed, secret.data, secret.len, public_key) != 0) {
        return cv_fail(err, CV_INVALID, "the key to seal to is none");
    }
    cv_buf_add(out, sealed, secret.len + crypto_box_SEALBYTES);
    return cv_buf_status(out, "the sealed secret", err);
}

enum cv_status cv_target_open(const struct cv_target *target,
                              struct cv_bytes sealed, struct cv_arena *arena,
                              struct cv_bytes *secret, struct cv_err *err)
{
    const struct cv_box_pair *p = &target->pair;
    size_t len = sealed.len - crypto_box_SEALBYTES;
    uint8_t *out;

    secret->data = NULL;
    secret->len = 0;
    if (sealed.len <= crypto_box_SEALBYTES || len > CV_LIMIT_KEY_FILE) {
        return cv_fail(err, CV_INTEGRITY, "this is no sealed secret");
    }
    out = cv_arena_alloc(arena, len, err);
    if (out == NULL) {
        return seal_failed(err);
    }
    if (crypto_box_seal_open(out, sealed.data, sealed.len, p->public_key,
                             p->secret_key) != 0) {
        return cv_fail(err, CV_INTEGRITY,
                       "the secret was sealed to another key, or changed");
    }
    secret->data = out;
    secret->len = len;
    return CV_OK;
}
