/* Any text as a kubeconfig. What is taken can be told as JSON, has one default
 * context an identity, and can be taken out of the text again; what is left is
 * then a kubeconfig without those keys. */
#include "vault/base/limits.h"
#include "vault/kubeconfig/kubeconfig.h"
#include "vault/kubeconfig/strip.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct cv_kubeconfig_want want = {.now_s = 1811808000};

static void check_identity(const struct cv_identity *id)
{
    size_t defaults = 0;
    for (size_t i = 0; i < id->n_contexts; i++) {
        defaults += id->contexts[i].is_default;
    }
    cJSON *json = cv_identity_to_json(id);
    if (json == NULL || defaults != 1 || id->suffix[0] == '\0') {
        abort();
    }
    cJSON_Delete(json);
}

static void check_strip(struct cv_bytes text, const struct cv_kubeconfig *k)
{
    struct cv_arena *arena = NULL;
    struct cv_buf out;
    struct cv_strip_result result;
    struct cv_kubeconfig *again = NULL;
    uint8_t digest[1][32];
    memcpy(digest[0], k->identities[0].key.spki_sha256, 32);
    if (cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, NULL) != CV_OK) {
        abort();
    }
    cv_buf_init(&out, arena, CV_MIB(16));
    if (cv_strip_keys(arena, text, (const uint8_t(*)[32])digest, 1, &out,
                      &result, NULL) != CV_OK ||
        result.removed == 0) {
        abort();
    }
    if (cv_kubeconfig_read(arena, cv_buf_bytes(&out), &want, &again, NULL) ==
        CV_OK) {
        for (size_t i = 0; i < again->n_identities; i++) {
            if (memcmp(again->identities[i].key.spki_sha256, digest[0], 32) ==
                0) {
                abort();
            }
        }
    }
    cv_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started) {
        cv_arena_allow_unlocked();
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
        started = true;
    }
    struct cv_arena *arena = NULL;
    struct cv_kubeconfig *k = NULL;
    struct cv_err err;
    struct cv_bytes text = {data, size};
    cv_err_init(&err);
    if (cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, NULL) != CV_OK) {
        abort();
    }
    if (cv_kubeconfig_read(arena, text, &want, &k, &err) == CV_OK) {
        for (size_t i = 0; i < k->n_identities; i++) {
            check_identity(&k->identities[i]);
        }
        check_strip(text, k);
    } else if (k != NULL || err.text[0] == '\0') {
        abort();
    }
    cv_arena_free(arena);
    return 0;
}
