/* What the relay's unit tests share: a grant to start from. */
#ifndef CERTVAULT_TESTS_UNIT_RELAY_TEST_H
#define CERTVAULT_TESTS_UNIT_RELAY_TEST_H

#include "vault/relay/grant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define GRANT_ID "0123456789abcdef0123456789abcdef"
#define GRANT_PIN "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

/* A grant as the broker writes it; `more` is put behind its members. */
#define GRANT_JSON(upstream, more)                                           \
    "{\"id\":\"" GRANT_ID "\",\"uid\":1000,\"entry\":\"prod\","              \
    "\"entry_id\":\"e1\",\"context\":\"internal\",\"upstream\":{"            \
    "\"server\":\"https://10.0.0.1:6443\",\"names\":[],"                     \
    "\"verify\":\"ca\",\"pins\":[],\"certificates\":\"PEM\\n\","             \
    "\"spki\":\"MAA=\",\"algorithms\":[\"ecdsa_secp256r1_sha256\"]" upstream \
    "},\"read_only\":false,\"record\":\"writes\","                           \
    "\"ends_ms\":5000" more "}"

/* Sets one member (with a dot: of the upstream) to a JSON value, or takes it
 * out (NULL). The tree is the caller's. */
static inline cJSON *grant_tree(const char *member, const char *value)
{
    cJSON *tree = cJSON_Parse(GRANT_JSON("", ""));
    cJSON *object = tree;

    assert_non_null(tree);
    if (member != NULL && member[0] == '.') {
        object = cJSON_GetObjectItemCaseSensitive(tree, "upstream");
        member++;
    }
    if (member != NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(object, member);
    }
    if (value != NULL) {
        cJSON *item = cJSON_Parse(value);

        assert_non_null(item);
        assert_true(cJSON_AddItemToObject(object, member, item));
    }
    return tree;
}

static inline enum cv_status grant_with(const char *member, const char *value,
                                        struct cv_grant **out,
                                        struct cv_err *err)
{
    cJSON *tree = grant_tree(member, value);
    enum cv_status s = cv_grant_parse(tree, out, err);

    cJSON_Delete(tree);
    return s;
}

static inline int relay_start(void **state)
{
    (void)state;
    cv_arena_allow_unlocked();
    assert_int_equal(cv_arena_start(NULL), CV_OK);
    cv_json_start();
    return 0;
}

#endif
