/* The token process's methods, called over a socket by the client half: what
 * they answer, what they refuse, and that refusals hold no secret. */
#include "tests/unit/seal_test.h"

#include "cli/token_methods.h"
#include "vault/base/process.h"
#include "vault/seal/target.h"
#include "vault/wire/client.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define METHOD(name) "io.certvault.Token." name
#define WAIT_MS 20000
#define VAULT "000102030405060708090a0b0c0d0e0f"
#define ENTRY "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define KEY_FILE "canary-0123456789abcdef0123456789"
#define OTHER_FILE "another-0123456789abcdef012345678"

struct fixture {
    struct cv_channel *ch;
    struct cv_arena *arena;
    pid_t pid;
    char public_key[64];
    cJSON *slots;
};

static void serve(int fd)
{
    struct cv_keyring *ring = NULL;
    struct cv_err e;
    enum cv_status s;

    cv_err_init(&e);
    s = cv_keyring_new(&ring, &e);
    if (s == CV_OK) {
        s = cv_serve_loop(&cv_token_methods, ring, fd, WAIT_MS, &e);
    }
    cv_keyring_free(ring);
    _exit(s == CV_OK ? 0 : 1);
}

static void begin(struct fixture *f)
{
    struct cv_err e;
    int pair[2];

    memset(f, 0, sizeof(*f));
    cv_err_init(&e);
    f->arena = new_arena();
    f->slots = cJSON_CreateArray();
    assert_ok(cv_process_pair(pair, &e), &e);
    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0) {
        (void)close(pair[0]);
        serve(pair[1]);
    }
    (void)close(pair[1]);
    assert_ok(cv_channel_new(pair[0], CV_LIMIT_FRAME, &f->ch, &e), &e);
}

static void end(struct fixture *f)
{
    cv_channel_free(f->ch);
    assert_int_equal(cv_process_wait(f->pid), 0);
    cv_arena_free(f->arena);
    cJSON_Delete(f->slots);
}

/* `json` as text with ' for ", so that it can be read here. */
static cJSON *object(const char *json)
{
    char *text = strdup(json), *at;
    cJSON *out;

    assert_non_null(text);
    for (at = text; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    out = cJSON_Parse(text);
    assert_non_null(out);
    free(text);
    return out;
}

static enum cv_status call(struct fixture *f, const char *method,
                           cJSON *parameters, struct cv_message *reply,
                           struct cv_err *e)
{
    cv_err_init(e);
    return cv_client_call(f->ch, method, parameters,
                          CV_CLIENT_SECRET_IN | CV_CLIENT_SECRET_OUT, WAIT_MS,
                          reply, e);
}

/* Calls and expects a refusal, whose texts hold nothing of the secrets. */
static void refused(struct fixture *f, const char *method, cJSON *parameters,
                    enum cv_status want)
{
    struct cv_message reply = {0};
    struct cv_err e;
    enum cv_status s = call(f, method, parameters, &reply, &e);

    if (s != want) {
        print_error("%s: %s (%s)\n", method, cv_err_code_name(s), e.text);
    }
    assert_int_equal(s, want);
    assert_null(strstr(e.text, "canary"));
    assert_null(strstr(e.hint, "canary"));
    cv_message_free(&reply);
}

static void create(struct fixture *f)
{
    struct cv_message reply = {0};
    struct cv_err e;

    assert_ok(call(f, METHOD("Create"), object("{'vault_id': '" VAULT "'}"),
                   &reply, &e),
              &e);
    (void)snprintf(f->public_key, sizeof(f->public_key), "%s",
                   member(reply.tree, "public_key"));
    cv_message_free(&reply);
}

static cJSON *secret_of(const char *kind, const char *secret, const char *path)
{
    cJSON *key = cJSON_CreateObject();

    assert_true(cv_json_add_str(key, "kind", kind) &&
                cv_json_add_base64(key, "secret", TEXT(secret)) &&
                cv_json_add_str(key, "path", path));
    return key;
}

static cJSON *wrap_call(const char *id, cJSON *key)
{
    cJSON *p = cJSON_CreateObject();

    assert_true(cv_json_add_str(p, "id", id) &&
                cv_json_add_item(p, "key", key));
    return p;
}

static cJSON *open_call(struct fixture *f, cJSON *key)
{
    cJSON *p = cJSON_CreateObject();

    assert_true(cv_json_add_str(p, "vault_id", VAULT) &&
                cv_json_add_str(p, "public_key", f->public_key) &&
                cv_json_add_item(p, "slots", cJSON_Duplicate(f->slots, true)) &&
                cv_json_add_item(p, "key", key));
    return p;
}

/* Takes the slot out of an answer, onto the heap. */
static void keep_slot(struct fixture *f, const struct cv_message *reply)
{
    const cJSON *slot = cJSON_GetObjectItem(reply->tree, "slot");

    assert_non_null(slot);
    assert_true(cJSON_AddItemToArray(f->slots, cJSON_Duplicate(slot, true)));
}

static void add_file_slot(struct fixture *f)
{
    struct cv_message reply = {0};
    struct cv_err e;

    assert_ok(call(f, METHOD("Wrap"),
                   wrap_call("f1", secret_of("file", KEY_FILE, "/k")), &reply,
                   &e),
              &e);
    keep_slot(f, &reply);
    cv_message_free(&reply);
}

static cJSON *sealed_call(struct fixture *f, const char *name,
                          const char *digest)
{
    struct cv_box_binding b;
    uint8_t public_key[CV_BOX_KEY_LEN];
    cJSON *p = cJSON_CreateObject(), *s = cJSON_CreateObject();
    struct test_key key;
    struct cv_buf sealed;
    struct cv_err e;

    cv_err_init(&e);
    read_key(name, f->arena, &key);
    assert_int_equal(cv_decode_base64_exact(f->public_key, "it", public_key,
                                            sizeof(public_key), &e),
                     CV_OK);
    assert_int_equal(
        cv_decode_hex_exact(VAULT, "it", b.vault_id, CV_BOX_ID_LEN, &e), CV_OK);
    assert_int_equal(
        cv_decode_hex_exact(ENTRY, "it", b.entry_id, CV_BOX_ID_LEN, &e), CV_OK);
    memcpy(b.spki_sha256, key.digest, CV_BOX_DIGEST_LEN);
    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    assert_ok(cv_box_seal(public_key, &b, key.der, f->arena, &sealed, &e), &e);
    assert_true(cv_json_add_str(s, "vault_id", VAULT) &&
                cv_json_add_str(s, "entry_id", ENTRY) &&
                cv_json_add_hex(s, "spki_sha256", BYTES(b.spki_sha256)) &&
                cv_json_add_str(s, "certificate", (const char *)key.pem.data) &&
                cv_json_add_base64(s, "sealed", cv_buf_bytes(&sealed)) &&
                cv_json_add_item(p, "key", s) &&
                cv_json_add_str(p, "digest", digest));
    cv_buf_wipe(&sealed);
    return p;
}

static void test_life(void **state)
{
    struct cv_message reply = {0};
    struct fixture f;
    struct cv_err e;

    (void)state;
    begin(&f);
    create(&f);
    add_file_slot(&f);
    assert_ok(call(&f, METHOD("Lock"), NULL, &reply, &e), &e);
    cv_message_free(&reply);
    refused(&f, METHOD("Wrap"),
            wrap_call("x", secret_of("file", KEY_FILE, "/k")), CV_LOCKED);
    refused(&f, METHOD("Export"), sealed_call(&f, "p256", NULL), CV_LOCKED);
    refused(&f, METHOD("Check"), sealed_call(&f, "p256", NULL), CV_LOCKED);
    refused(&f, METHOD("Open"),
            open_call(&f, secret_of("file", OTHER_FILE, NULL)), CV_AUTH);
    assert_ok(call(&f, METHOD("Open"),
                   open_call(&f, secret_of("file", KEY_FILE, "/elsewhere")),
                   &reply, &e),
              &e);
    assert_string_equal(member(reply.tree, "slot_id"), "f1");
    cv_message_free(&reply);
    refused(&f, METHOD("Create"), object("{'vault_id': '" VAULT "'}"),
            CV_EXISTS);
    end(&f);
}

static void test_recovery(void **state)
{
    struct cv_message reply = {0};
    struct cv_bytes code;
    struct fixture f;
    struct cv_err e;

    (void)state;
    begin(&f);
    refused(&f, METHOD("Recovery"), object("{'id': 'r1'}"), CV_LOCKED);
    create(&f);
    assert_ok(call(&f, METHOD("Recovery"), object("{'id': 'r1'}"), &reply, &e),
              &e);
    keep_slot(&f, &reply);
    code = member_base64(reply.tree, "secret", f.arena);
    assert_int_equal(code.len, 41);
    cv_message_free(&reply);
    assert_ok(call(&f, METHOD("Open"),
                   open_call(&f, secret_of("recovery", (const char *)code.data,
                                           NULL)),
                   &reply, &e),
              &e);
    cv_message_free(&reply);
    end(&f);
}

static void test_keys(void **state)
{
    static const char *const names[] = {"rsa2048", "p256", "p384", "p521",
                                        "ed25519"};
    struct cv_message reply = {0};
    uint8_t digest[CV_BOX_DIGEST_LEN];
    char hex[2 * CV_BOX_DIGEST_LEN + 1];
    struct cv_bytes pem, want;
    struct test_key key;
    struct fixture f;
    struct cv_err e;
    size_t i;

    (void)state;
    begin(&f);
    create(&f);
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        read_key(names[i], f.arena, &key);
        cv_box_digest(key.der, digest);
        (void)sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
        assert_ok(call(&f, METHOD("Check"), sealed_call(&f, names[i], NULL),
                       &reply, &e),
                  &e);
        cv_message_free(&reply);
        assert_ok(call(&f, METHOD("Check"), sealed_call(&f, names[i], hex),
                       &reply, &e),
                  &e);
        cv_message_free(&reply);
        assert_ok(call(&f, METHOD("Export"), sealed_call(&f, names[i], NULL),
                       &reply, &e),
                  &e);
        pem = member_base64(reply.tree, "secret", f.arena);
        assert_ok(cv_match_pem(key.der, f.arena, &want, &e), &e);
        assert_true(cv_bytes_equal(pem, want));
        cv_message_free(&reply);
    }
    hex[0] = hex[0] == '0' ? '1' : '0';
    refused(&f, METHOD("Check"), sealed_call(&f, "ed25519", hex), CV_INTEGRITY);
    end(&f);
}

/* What a token would do: RSA-OAEP with SHA-256, by the key that the slot's
 * public key belongs to. */
static struct cv_bytes token_opens(struct fixture *f, EVP_PKEY *key,
                                   const cJSON *slot)
{
    struct cv_bytes data =
        member_base64(cJSON_GetObjectItem(slot, "token"), "data", f->arena);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    uint8_t *out = cv_arena_alloc(f->arena, 512, NULL);
    size_t len = 512;

    assert_int_equal(EVP_PKEY_decrypt_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING),
                     1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()), 1);
    assert_int_equal(EVP_PKEY_decrypt(ctx, out, &len, data.data, data.len), 1);
    EVP_PKEY_CTX_free(ctx);
    assert_int_equal(len, 32);
    return (struct cv_bytes){out, len};
}

/* A secret, sealed to a key that the process makes for it. */
static cJSON *sealed_secret(struct fixture *f, struct cv_bytes secret)
{
    struct cv_message reply = {0};
    cJSON *key = cJSON_CreateObject();
    struct cv_bytes to;
    struct cv_buf sealed;
    struct cv_err e;

    assert_ok(call(f, METHOD("Target"), NULL, &reply, &e), &e);
    to = member_base64(reply.tree, "public_key", f->arena);
    cv_message_free(&reply);
    assert_int_equal(to.len, CV_BOX_KEY_LEN);
    cv_buf_init(&sealed, NULL, CV_KIB(1));
    assert_ok(cv_target_seal(to.data, secret, &sealed, &e), &e);
    assert_true(cv_json_add_str(key, "kind", "token") &&
                cv_json_add_base64(key, "secret", cv_buf_bytes(&sealed)));
    cv_buf_wipe(&sealed);
    return key;
}

static cJSON *token_key(struct cv_bytes spki, const char *form)
{
    cJSON *key = cJSON_CreateObject(), *token = cJSON_CreateObject();

    assert_true(cv_json_add_str(key, "kind", "token") &&
                cv_json_add_str(token, "uri", "pkcs11:token=t;id=%01") &&
                cv_json_add_base64(token, "spki", spki) &&
                cv_json_add_str(token, "form", form) &&
                cv_json_add_item(key, "token", token));
    return key;
}

static void test_token_slot(void **state)
{
    struct cv_bytes spki, secret;
    struct cv_message reply = {0};
    uint8_t der[512], *at = der;
    struct test_key key;
    struct fixture f;
    struct cv_err e;
    EVP_PKEY *pkey;
    const uint8_t *pkcs8;
    PKCS8_PRIV_KEY_INFO *info;
    cJSON *again;

    (void)state;
    begin(&f);
    create(&f);
    read_key("rsa2048", f.arena, &key);
    pkcs8 = key.der.data;
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &pkcs8, (long)key.der.len);
    pkey = EVP_PKCS82PKEY(info);
    assert_non_null(pkey);
    spki.len = (size_t)i2d_PUBKEY(pkey, &at);
    spki.data = der;
    refused(&f, METHOD("Wrap"),
            wrap_call("t1", token_key(spki, "no-such-form")), CV_INVALID);
    refused(&f, METHOD("Wrap"),
            wrap_call("t1", token_key(spki, "ecdh-hkdf-sha256")), CV_INVALID);
    assert_ok(call(&f, METHOD("Wrap"),
                   wrap_call("t1", token_key(spki, "rsa-oaep-sha256")), &reply,
                   &e),
              &e);
    keep_slot(&f, &reply);
    cv_message_free(&reply);
    secret = token_opens(&f, pkey, cJSON_GetArrayItem(f.slots, 0));
    /* nothing waits for a secret yet; then one does, and only for one */
    refused(&f, METHOD("Open"),
            open_call(&f, secret_of("token", KEY_FILE, NULL)), CV_INVALID);
    again = sealed_secret(&f, secret);
    assert_ok(call(&f, METHOD("Open"),
                   open_call(&f, cJSON_Duplicate(again, true)), &reply, &e),
              &e);
    assert_string_equal(member(reply.tree, "slot_id"), "t1");
    cv_message_free(&reply);
    refused(&f, METHOD("Open"), open_call(&f, again), CV_INVALID);
    refused(&f, METHOD("Open"),
            open_call(&f, sealed_secret(
                              &f, TEXT("another of 32 bytes ............"))),
            CV_AUTH);
    EVP_PKEY_free(pkey);
    PKCS8_PRIV_KEY_INFO_free(info);
    end(&f);
}

/* Every member of a sealed key, missing and wrong. */
static void test_sealed_members(void **state)
{
    static const char *const members[] = {"vault_id", "entry_id", "spki_sha256",
                                          "certificate", "sealed"};
    static const char *const wrong[] = {"", "zz", "a\nb", "AAAA="};
    struct fixture f;
    size_t i, j;
    cJSON *p, *key;

    (void)state;
    begin(&f);
    create(&f);
    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        p = sealed_call(&f, "p256", NULL);
        key = cJSON_GetObjectItem(p, "key");
        cJSON_DeleteItemFromObjectCaseSensitive(key, members[i]);
        refused(&f, METHOD("Check"), p, CV_INVALID);
        for (j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
            const bool pem = strcmp(members[i], "certificate") == 0;
            const bool none = strcmp(members[i], "sealed") == 0 && j == 0;

            p = sealed_call(&f, "p256", NULL);
            key = cJSON_GetObjectItem(p, "key");
            assert_true(cJSON_ReplaceItemInObjectCaseSensitive(
                key, members[i], cJSON_CreateString(wrong[j])));
            refused(&f, METHOD("Check"), p,
                    pem || none ? CV_INTEGRITY : CV_INVALID);
        }
    }
    p = sealed_call(&f, "p256", "00");
    refused(&f, METHOD("Check"), p, CV_INVALID);
    p = sealed_call(&f, "p256", NULL);
    assert_true(cv_json_add_str(p, "more", "x"));
    refused(&f, METHOD("Export"), p, CV_INVALID);
    end(&f);
}

static void test_secret_members(void **state)
{
    struct fixture f;
    cJSON *key;

    (void)state;
    begin(&f);
    create(&f);
    refused(&f, METHOD("Wrap"),
            wrap_call("x", secret_of("token", KEY_FILE, NULL)), CV_INVALID);
    refused(&f, METHOD("Wrap"),
            wrap_call("x", secret_of("file", KEY_FILE, NULL)), CV_INVALID);
    refused(&f, METHOD("Wrap"),
            wrap_call("x", secret_of("file", "canary", "/k")), CV_INVALID);
    refused(&f, METHOD("Wrap"),
            wrap_call("x y", secret_of("file", KEY_FILE, "/k")), CV_INVALID);
    refused(&f, METHOD("Wrap"), object("{'id': 'x', 'key': {}}"), CV_INVALID);
    key = secret_of("file", KEY_FILE, "/k");
    assert_true(cJSON_ReplaceItemInObjectCaseSensitive(
        key, "secret", cJSON_CreateString("canary!")));
    refused(&f, METHOD("Wrap"), wrap_call("x", key), CV_INVALID);
    refused(&f, METHOD("Open"), open_call(&f, cJSON_CreateString("x")),
            CV_INVALID);
    refused(&f, METHOD("Create"), object("{'vault_id': 'zz'}"), CV_INVALID);
    refused(&f, METHOD("Create"), NULL, CV_INVALID);
    refused(&f, METHOD("Lock"), object("{'now': true}"), CV_INVALID);
    end(&f);
}

static void test_notes(void **state)
{
    static const char seed[] = "0123456789abcdef0123456789abcdef";
    struct cv_message reply = {0};
    struct cv_buf want;
    struct fixture f;
    struct cv_err e;
    cJSON *p = cJSON_CreateObject();

    (void)state;
    begin(&f);
    cv_err_init(&e);
    assert_true(cv_json_add_str(p, "name", "n") &&
                cv_json_add_base64(p, "secret", TEXT(seed)) &&
                cv_json_add_str(p, "text", "a\nb\n"));
    /* a locked vault signs its log too */
    assert_ok(call(&f, METHOD("SignNote"), p, &reply, &e), &e);
    cv_buf_init(&want, NULL, CV_KIB(1));
    assert_ok(cv_note_sign_line("n", TEXT(seed), TEXT("a\nb\n"), &want, &e),
              &e);
    assert_string_equal(member(reply.tree, "line"), cv_buf_text(&want));
    cv_buf_wipe(&want);
    cv_message_free(&reply);
    refused(&f, METHOD("SignNote"),
            object("{'name': 'n', 'secret': 'AAAA', 'text': 'a\\n'}"),
            CV_INVALID);
    refused(&f, METHOD("SignNote"), object("{'name': 'n', 'text': 'a\\n'}"),
            CV_INVALID);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_recovery),
        cmocka_unit_test(test_token_slot),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_sealed_members),
        cmocka_unit_test(test_secret_members),
        cmocka_unit_test(test_notes),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
