/* What the tests of vault/seal share. */
#ifndef CERTVAULT_TESTS_UNIT_SEAL_TEST_H
#define CERTVAULT_TESTS_UNIT_SEAL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/seal/keyring.h"
#include "vault/seal/match.h"
#include "vault/seal/note_sign.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The least that a passphrase slot may ask for: tests are many. */
static const struct cv_slot_cost cheap = {1, CV_SLOT_MEMORY_KIB_MIN};

#define TEXT(s) ((struct cv_bytes){(const uint8_t *)(s), strlen(s)})
#define BYTES(a) ((struct cv_bytes){(a), sizeof(a)})

/* Fails the test with what the error says. */
#define assert_ok(s, e)                                                   \
    do {                                                                  \
        enum cv_status found_ = (s);                                      \
        if (found_ != CV_OK) {                                            \
            print_error("%s: %s\n", cv_err_code_name(found_), (e)->text); \
        }                                                                 \
        assert_int_equal(found_, CV_OK);                                  \
    } while (0)

static inline int setup(void **state)
{
    struct cv_err e;

    (void)state;
    cv_err_init(&e);
    if (cv_arena_start(&e) != CV_OK || cv_match_start(&e) != CV_OK) {
        return -1;
    }
    cv_json_start();
    return 0;
}

static inline struct cv_arena *new_arena(void)
{
    struct cv_arena *arena = NULL;

    assert_int_equal(cv_arena_new(CV_MIB(4), &arena, NULL), CV_OK);
    return arena;
}

/* All of a file of tests/data/seal. */
static inline cJSON *read_data(const char *name)
{
    char path[512];
    struct cv_buf text;
    struct cv_err e;
    cJSON *json = NULL;
    int fd = -1;

    cv_err_init(&e);
    (void)snprintf(path, sizeof(path), "%s/seal/%s", CV_TEST_DATA, name);
    cv_buf_init(&text, NULL, CV_MIB(4));
    assert_ok(cv_file_open_input(path, &fd, &e), &e);
    assert_ok(cv_file_read(fd, name, &text, &e), &e);
    cv_file_close(&fd);
    assert_ok(cv_json_parse(NULL, cv_buf_bytes(&text), &json, &e), &e);
    cv_buf_wipe(&text);
    return json;
}

static inline const char *member(const cJSON *object, const char *key)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, key);

    assert_true(cJSON_IsString(m));
    return m->valuestring;
}

static inline void member_hex(const cJSON *object, const char *key,
                              uint8_t *out, size_t len)
{
    assert_int_equal(
        cv_decode_hex_exact(member(object, key), key, out, len, NULL), CV_OK);
}

/* The bytes of a base64 member, in `arena`. */
static inline struct cv_bytes
member_base64(const cJSON *object, const char *key, struct cv_arena *arena)
{
    const char *text = member(object, key);
    struct cv_buf b;

    cv_buf_init(&b, arena, CV_MIB(1));
    assert_int_equal(cv_decode_base64(text, strlen(text), false, key, &b, NULL),
                     CV_OK);
    return cv_buf_bytes(&b);
}

/* A name of keys.json taken apart: DER, PEM and its public key's digest. */
struct test_key {
    struct cv_bytes der;
    struct cv_bytes pem;
    uint8_t digest[CV_BOX_DIGEST_LEN];
};

/* Finds the digest in vectors.json, where a key of this name matches. */
static inline void read_key(const char *name, struct cv_arena *arena,
                            struct test_key *out)
{
    cJSON *json = read_data("vectors.json");
    const cJSON *m;
    bool found = false;

    cJSON_ArrayForEach(m, cJSON_GetObjectItem(json, "matches"))
    {
        if (strcmp(member(m, "name"), name) == 0) {
            const char *pem = member(m, "certificate");

            out->der = member_base64(m, "key_der", arena);
            out->pem.len = strlen(pem);
            out->pem.data =
                (uint8_t *)cv_arena_copy(arena, pem, out->pem.len, NULL);
            member_hex(m, "spki_sha256", out->digest, sizeof(out->digest));
            found = true;
        }
    }
    assert_true(found);
    cJSON_Delete(json);
}

#endif
