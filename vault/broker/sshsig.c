#include "vault/broker/sshsig.h"

#include "vault/base/encode.h"
#include "vault/base/json.h"
#include "vault/wire/client.h"
#include "vault/wire/serve.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define INTERFACE "io.certvault.Signature"
#define BEGIN "-----BEGIN SSH SIGNATURE-----\n"
#define END "-----END SSH SIGNATURE-----"
#define MAGIC "SSHSIG"
#define ED25519 "ssh-ed25519"
#define SK_ED25519 "sk-ssh-ed25519@openssh.com"
#define TOUCHED 0x01
#define ASK_MS 5000
#define KEYS_MAX 64 /* of one user that are tried */

/* What is left of something that is read. */
struct rest {
    const uint8_t *data;
    size_t len;
};

static bool take(struct rest *r, size_t len, struct cv_bytes *out)
{
    if (len > r->len) {
        return false;
    }
    *out = (struct cv_bytes){r->data, len};
    r->data += len;
    r->len -= len;
    return true;
}

static bool take_number(struct rest *r, uint32_t *out)
{
    struct cv_bytes b;

    if (!take(r, 4, &b)) {
        return false;
    }
    *out = (uint32_t)b.data[0] << 24 | (uint32_t)b.data[1] << 16 |
           (uint32_t)b.data[2] << 8 | b.data[3];
    return true;
}

static bool take_string(struct rest *r, struct cv_bytes *out)
{
    uint32_t len;

    return take_number(r, &len) && take(r, len, out);
}

static bool is_text(struct cv_bytes b, const char *text)
{
    return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

static void put_string(struct cv_buf *out, const void *data, size_t len)
{
    const uint8_t size[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16),
                             (uint8_t)(len >> 8), (uint8_t)len};

    cv_buf_add(out, size, sizeof(size));
    cv_buf_add(out, data, len);
}

/* A signature, taken apart; everything is borrowed. */
struct parts {
    struct cv_bytes key, hash_name, signature;
    struct cv_bytes type, raw, application; /* of the key */
    uint8_t flags;                          /* of a security key's */
    struct cv_bytes counter;
    bool sk;
};

static bool read_key(struct parts *p)
{
    struct rest r = {p->key.data, p->key.len};

    if (!take_string(&r, &p->type) || !take_string(&r, &p->raw)) {
        return false;
    }
    p->sk = is_text(p->type, SK_ED25519);
    if (!p->sk && !is_text(p->type, ED25519)) {
        return false;
    }
    return (!p->sk || take_string(&r, &p->application)) && r.len == 0 &&
           p->raw.len == crypto_sign_PUBLICKEYBYTES;
}

static bool read_signature(struct cv_bytes blob, struct parts *p)
{
    struct rest r = {blob.data, blob.len};
    struct cv_bytes type, flags;

    if (!take_string(&r, &type) || type.len != p->type.len ||
        memcmp(type.data, p->type.data, type.len) != 0 ||
        !take_string(&r, &p->signature) ||
        p->signature.len != crypto_sign_BYTES) {
        return false;
    }
    if (p->sk) {
        if (!take(&r, 1, &flags) || !take(&r, 4, &p->counter)) {
            return false;
        }
        p->flags = flags.data[0];
    }
    return r.len == 0;
}

static enum cv_status take_apart(struct cv_bytes blob, struct parts *p,
                                 struct cv_err *err)
{
    struct rest r = {blob.data, blob.len};
    struct cv_bytes magic, space, reserved, signature;
    uint32_t version;

    if (!take(&r, sizeof(MAGIC) - 1, &magic) || !is_text(magic, MAGIC) ||
        !take_number(&r, &version) || version != 1 ||
        !take_string(&r, &p->key) || !take_string(&r, &space) ||
        !take_string(&r, &reserved) || !take_string(&r, &p->hash_name) ||
        !take_string(&r, &signature) || r.len != 0) {
        return cv_fail(err, CV_DENIED, "this is no OpenSSH signature");
    }
    if (!is_text(space, CV_SSHSIG_NAMESPACE)) {
        return cv_fail(err, CV_DENIED,
                       "the signature is not for the namespace %s",
                       CV_SSHSIG_NAMESPACE);
    }
    if (!read_key(p)) {
        return cv_fail(err, CV_DENIED,
                       "the signature is not by an Ed25519 key");
    }
    return read_signature(signature, p)
               ? CV_OK
               : cv_fail(err, CV_DENIED, "this is no OpenSSH signature");
}

static bool is_key(const struct parts *p, const struct cv_policy_key *k)
{
    if (memcmp(p->raw.data, k->ed25519, sizeof(k->ed25519)) != 0) {
        return false;
    }
    return p->sk ? k->application != NULL &&
                       is_text(p->application, k->application)
                 : k->application == NULL;
}

static bool hash_text(const struct parts *p, struct cv_bytes text,
                      struct cv_buf *signed_data)
{
    unsigned char hash[crypto_hash_sha512_BYTES];
    size_t len;

    if (is_text(p->hash_name, "sha512")) {
        (void)crypto_hash_sha512(hash, text.data, text.len);
        len = crypto_hash_sha512_BYTES;
    } else if (is_text(p->hash_name, "sha256")) {
        (void)crypto_hash_sha256(hash, text.data, text.len);
        len = crypto_hash_sha256_BYTES;
    } else {
        return false;
    }
    cv_buf_add_str(signed_data, MAGIC);
    put_string(signed_data, CV_SSHSIG_NAMESPACE,
               sizeof(CV_SSHSIG_NAMESPACE) - 1);
    put_string(signed_data, "", 0);
    put_string(signed_data, p->hash_name.data, p->hash_name.len);
    put_string(signed_data, hash, len);
    return true;
}

/* What a security key signs instead of the data itself. */
static void wrap(const struct parts *p, struct cv_buf *data, struct cv_buf *out)
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    (void)crypto_hash_sha256(hash, p->application.data, p->application.len);
    cv_buf_add(out, hash, sizeof(hash));
    cv_buf_add(out, &p->flags, 1);
    cv_buf_add(out, p->counter.data, p->counter.len);
    (void)crypto_hash_sha256(hash, data->data, data->len);
    cv_buf_add(out, hash, sizeof(hash));
}

static enum cv_status verify(const struct parts *p, struct cv_bytes text,
                             struct cv_err *err)
{
    struct cv_buf data, wrapped;
    const struct cv_buf *m = &data;
    enum cv_status s = CV_OK;

    cv_buf_init(&data, NULL, CV_KIB(4));
    cv_buf_init(&wrapped, NULL, CV_KIB(4));
    if (!hash_text(p, text, &data)) {
        s = cv_fail(err, CV_DENIED, "the signature is by an unknown digest");
    } else if (p->sk && (p->flags & TOUCHED) == 0) {
        s = cv_fail(err, CV_DENIED, "nobody touched the security key");
    }
    if (s == CV_OK && p->sk) {
        wrap(p, &data, &wrapped);
        m = &wrapped;
    }
    if (s == CV_OK) {
        s = cv_buf_status(m, "what is signed", err);
    }
    if (s == CV_OK && crypto_sign_verify_detached(p->signature.data, m->data,
                                                  m->len, p->raw.data) != 0) {
        s = cv_fail(err, CV_DENIED,
                    "the signature is of something else, or damaged");
    }
    cv_buf_wipe(&data);
    cv_buf_wipe(&wrapped);
    return s;
}

static enum cv_status disarm(const char *armoured, struct cv_buf *out,
                             struct cv_err *err)
{
    const char *end;

    if (strncmp(armoured, BEGIN, sizeof(BEGIN) - 1) != 0) {
        return cv_fail(err, CV_DENIED, "this is no OpenSSH signature");
    }
    armoured += sizeof(BEGIN) - 1;
    end = strstr(armoured, END);
    if (end == NULL ||
        strspn(end + sizeof(END) - 1, "\r\n") !=
            strlen(end + sizeof(END) - 1) ||
        cv_decode_base64(armoured, (size_t)(end - armoured), true,
                         "the signature", out, NULL) != CV_OK) {
        return cv_fail(err, CV_DENIED, "this is no OpenSSH signature");
    }
    return CV_OK;
}

enum cv_status cv_sshsig_verify(const char *armoured, struct cv_bytes text,
                                const struct cv_policy_key *keys, size_t n,
                                size_t *which, struct cv_err *err)
{
    struct parts p = {0};
    struct cv_buf blob;
    enum cv_status s;

    *which = n;
    cv_buf_init(&blob, NULL, CV_SSHSIG_MAX);
    s = disarm(armoured, &blob, err);
    if (s == CV_OK) {
        s = take_apart(cv_buf_bytes(&blob), &p, err);
    }
    for (size_t i = 0; s == CV_OK && i < n && *which == n; i++) {
        *which = is_key(&p, &keys[i]) ? i : n;
    }
    if (s == CV_OK && *which == n) {
        s = cv_fail(err, CV_DENIED,
                    "the signature is by none of your keys in the policy");
    }
    if (s == CV_OK) {
        s = verify(&p, text, err);
    }
    cv_buf_wipe(&blob);
    return s;
}

void cv_sshsig_fingerprint(const struct cv_policy_key *key,
                           char out[CV_SSHSIG_FINGERPRINT])
{
    const char *type = key->application != NULL ? SK_ED25519 : ED25519;
    unsigned char hash[crypto_hash_sha256_BYTES];
    struct cv_buf blob;

    cv_buf_init(&blob, NULL, CV_KIB(4));
    put_string(&blob, type, strlen(type));
    put_string(&blob, key->ed25519, sizeof(key->ed25519));
    if (key->application != NULL) {
        put_string(&blob, key->application, strlen(key->application));
    }
    (void)crypto_hash_sha256(hash, blob.data, blob.len);
    memcpy(out, "SHA256:", 7);
    (void)sodium_bin2base64(out + 7, CV_SSHSIG_FINGERPRINT - 7, hash,
                            sizeof(hash),
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    cv_buf_wipe(&blob);
}

/* The child */

static enum cv_status read_one(const cJSON *item, struct cv_policy_key *out,
                               struct cv_err *err)
{
    const char *key = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_STRING, true, &key, 64},
        {"application", CV_JSON_STRING, false, &out->application, 256},
    };
    enum cv_status s = cv_json_read(item, "a key", fields, 2, true, err);

    if (s == CV_OK) {
        s = cv_decode_hex_exact(key, "a key", out->ed25519,
                                sizeof(out->ed25519), err);
    }
    return s;
}

static enum cv_status serve_verify(void *context, const cJSON *parameters,
                                   struct cv_reply *reply, struct cv_err *err)
{
    const char *text = NULL, *signature = NULL;
    const cJSON *list = NULL, *item;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_KIB(16)},
        {"signature", CV_JSON_TEXT, true, &signature, CV_SSHSIG_MAX},
        {"keys", CV_JSON_ARRAY, true, &list, 0},
    };
    struct cv_policy_key keys[KEYS_MAX] = {0};
    size_t n = 0, which = 0;
    enum cv_status s = cv_json_read(parameters, "Verify", fields, 3, true, err);

    (void)context;
    if (s != CV_OK) {
        return s;
    }
    cJSON_ArrayForEach(item, list)
    {
        if (s == CV_OK && n < KEYS_MAX) {
            s = read_one(item, &keys[n++], err);
        }
    }
    if (s == CV_OK) {
        s = cv_sshsig_verify(
            signature, (struct cv_bytes){(const uint8_t *)text, strlen(text)},
            keys, n, &which, err);
    }
    if (s == CV_OK &&
        !cv_json_add_int(cv_reply_parameters(reply), "which", (int64_t)which)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

void cv_sshsig_serve(int socket)
{
    static const struct cv_method methods[] = {
        {"Verify", serve_verify, false},
    };
    static const struct cv_interface iface = {
        .name = INTERFACE,
        .description = "interface " INTERFACE "\n",
        .methods = methods,
        .n_methods = sizeof(methods) / sizeof(methods[0]),
    };

    (void)!cv_serve_loop(&iface, NULL, socket, ASK_MS, NULL);
}

/* The broker */

static cJSON *list_of(const struct cv_policy_key *keys, size_t n)
{
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;

    for (size_t i = 0; ok && i < n && i < KEYS_MAX; i++) {
        cJSON *item = cJSON_CreateObject();

        ok = cv_json_add_hex(
                 item, "key",
                 (struct cv_bytes){keys[i].ed25519, sizeof(keys[i].ed25519)}) &&
             (keys[i].application == NULL ||
              cv_json_add_str(item, "application", keys[i].application)) &&
             cJSON_AddItemToArray(list, item);
        if (!ok) {
            cJSON_Delete(item);
        }
    }
    if (!ok) {
        cJSON_Delete(list);
        list = NULL;
    }
    return list;
}

enum cv_status cv_sshsig_ask(struct cv_channel *ch, const char *armoured,
                             struct cv_bytes text,
                             const struct cv_policy_key *keys, size_t n,
                             size_t *which, struct cv_err *err)
{
    int64_t at = -1;
    const struct cv_json_field fields[] = {
        {"which", CV_JSON_INT, true, &at, 0},
    };
    struct cv_message reply = {0};
    char *copy = strndup((const char *)text.data, text.len);
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    *which = n;
    if (copy == NULL || !cv_json_add_str(p, "text", copy) ||
        !cv_json_add_str(p, "signature", armoured) ||
        !cv_json_add_item(p, "keys", list_of(keys, n))) {
        cJSON_Delete(p);
        free(copy);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    free(copy);
    s = cv_client_call(ch, INTERFACE ".Verify", p, 0, ASK_MS, &reply, err);
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Verify", fields, 1, true, err);
    }
    if (s == CV_OK && (at < 0 || (uint64_t)at >= n)) {
        s = cv_fail(err, CV_UNAVAILABLE, "the signature could not be checked");
    }
    *which = s == CV_OK ? (size_t)at : n;
    cv_message_free(&reply);
    return s;
}
