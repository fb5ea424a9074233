/* The log's key on a token: the line that stands in the vault's folder in place
 * of the secret, and no other bytes. */
#include "audit_test.h"

#include "vault/audit/logkey_token.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define URI "pkcs11:token=audit;id=%01%02;object=a;type=private"

static struct cv_note_key other_key(const struct audit_vault *v)
{
    struct cv_note_key key;
    uint8_t bytes[32];

    memcpy(bytes, v->key.public_key, sizeof bytes);
    bytes[3] ^= 1;
    assert_int_equal(
        cv_note_key_make(v->key.name, CV_NOTE_ED25519, bytes, &key, NULL),
        CV_OK);
    return key;
}

static enum cv_status uri_of(const struct audit_vault *v, bool next,
                             const struct cv_note_key *key, const char *want)
{
    struct cv_buf uri;
    enum cv_status s;

    cv_buf_init(&uri, NULL, CV_LIMIT_TOKEN_URI + 1);
    s = cv_logkey_token_uri(v->fd, next, key, &uri, NULL);
    assert_string_equal(s == CV_OK ? want : "", cv_buf_text(&uri));
    cv_buf_wipe(&uri);
    return s;
}

static void takes_the_place_of_a_secret(void **state)
{
    struct audit_vault v;
    struct cv_note_key next, read;

    (void)state;
    audit_test_vault(&v);
    next = other_key(&v);
    assert_int_equal(uri_of(&v, false, &v.key, ""), CV_NOT_FOUND);
    assert_int_equal(uri_of(&v, true, &next, ""), CV_NOT_FOUND);
    assert_int_equal(cv_logkey_token_next(v.fd, &next, URI, NULL), CV_OK);
    assert_int_equal(cv_logkey_next_read(v.fd, &read, NULL), CV_OK);
    assert_memory_equal(read.public_key, next.public_key, 32);
    assert_int_equal(uri_of(&v, true, &next, URI), CV_OK);
    assert_int_equal(uri_of(&v, true, &v.key, ""), CV_INTEGRITY);
    assert_int_equal(cv_logkey_next_take(v.fd, &next, NULL), CV_OK);
    cv_logkey_next_drop(v.fd);
    assert_int_equal(uri_of(&v, false, &next, URI), CV_OK);
    assert_int_equal(cv_logkey_read(v.fd, &read, NULL), CV_OK);
    assert_memory_equal(read.public_key, next.public_key, 32);
    audit_test_remove(&v);
}

/* The file that was the log's key has no name any more, and no secret. */
static void overwrites_what_it_replaces(void **state)
{
    struct audit_vault v;
    struct cv_note_key next;
    char path[200], bytes[64];
    FILE *before;

    (void)state;
    audit_test_vault(&v);
    next = other_key(&v);
    (void)snprintf(path, sizeof path, "%s/audit/log.key", v.path);
    before = fopen(path, "rb");
    assert_non_null(before);
    assert_int_equal(cv_logkey_token_next(v.fd, &next, URI, NULL), CV_OK);
    assert_int_equal(cv_logkey_next_take(v.fd, &next, NULL), CV_OK);
    assert_int_equal(fread(bytes, 1, sizeof bytes, before), sizeof bytes);
    (void)fclose(before);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal(bytes[i], 0);
    }
    audit_test_remove(&v);
}

static void keeps_no_other_uri(void **state)
{
    static const char *const bad[] = {
        "",           "x",          "pkcs11",      "file:/x",
        "pkcs11:a b", "pkcs11:a\n", "pkcs11:\x7f", "pkcs11:\xc3\xa4"};
    struct audit_vault v;
    char longest[CV_LIMIT_TOKEN_URI + 2];

    (void)state;
    audit_test_vault(&v);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(cv_logkey_token_next(v.fd, &v.key, bad[i], NULL),
                         CV_INVALID);
    }
    assert_false(cv_logkey_next_is_there(v.fd));
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "pkcs11:", 7);
    longest[CV_LIMIT_TOKEN_URI + 1] = '\0';
    assert_int_equal(cv_logkey_token_next(v.fd, &v.key, longest, NULL),
                     CV_INVALID);
    longest[CV_LIMIT_TOKEN_URI] = '\0';
    assert_int_equal(cv_logkey_token_next(v.fd, &v.key, longest, NULL), CV_OK);
    assert_int_equal(uri_of(&v, true, &v.key, longest), CV_OK);
    /* A second vault in the same place is none. */
    assert_int_equal(cv_logkey_token_create(v.fd, &v.key, URI, NULL),
                     CV_EXISTS);
    audit_test_remove(&v);
}

static void takes_no_other_bytes(void **state)
{
    struct audit_vault v;
    struct cv_note_key read;
    uint8_t *line;
    size_t len;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_logkey_token_next(v.fd, &v.key, URI, NULL), CV_OK);
    line = audit_test_read(&v, "audit/log.key.next", &len);
    assert_int_equal(
        cv_logkey_token_public((struct cv_bytes){line, len}, &read, NULL),
        CV_OK);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(
            cv_logkey_token_public((struct cv_bytes){line, cut}, &read, NULL),
            CV_INVALID);
    }
    /* Up to the URI each byte counts. */
    for (size_t i = 0; i < len - strlen(URI) + strlen("pkcs11:") - 1; i++) {
        line[i] ^= 1;
        audit_test_write(&v, "audit/log.key.next", line, len);
        assert_int_not_equal(uri_of(&v, true, &v.key, ""), CV_OK);
        line[i] ^= 1;
    }
    free(line);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_place_of_a_secret),
        cmocka_unit_test(overwrites_what_it_replaces),
        cmocka_unit_test(keeps_no_other_uri),
        cmocka_unit_test(takes_no_other_bytes),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
