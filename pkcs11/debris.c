#include "pkcs11/debris.h"

#include "pkcs11/data.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define SHA256_LEN 32
#define DIGEST_CHARS 64
#define AMBIGUOUS '?'
#define KNOWN_MIN 16 /* hex digits: 8 bytes */
#define UNTOLD 0xFFFFFFFFU
#define TEXT_MAX 256 /* of a label or an id that is shown */

/* What an object's digest is made of, in this order. */
static const CK_ATTRIBUTE_TYPE parts[] = {CKA_CLASS,
                                          CKA_KEY_TYPE,
                                          CKA_LABEL,
                                          CKA_ID,
                                          CKA_CERTIFICATE_TYPE,
                                          CKA_MODULUS,
                                          CKA_PUBLIC_EXPONENT,
                                          CKA_EC_PARAMS,
                                          CKA_EC_POINT,
                                          CKA_APPLICATION,
                                          CKA_OBJECT_ID};

static const struct {
    CK_KEY_TYPE type;
    const char *name;
} key_types[] = {
    {CKK_RSA, "rsa"},
    {CKK_EC, "ec"},
    {CKK_EC_EDWARDS, "ed25519"},
    {CKK_AES, "aes"},
    {CKK_GENERIC_SECRET, "generic"},
};

static void put_u32(EVP_MD_CTX *ctx, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16),
                        (uint8_t)(value >> 8), (uint8_t)value};

    (void)EVP_DigestUpdate(ctx, bytes, sizeof(bytes));
}

static void put_part(EVP_MD_CTX *ctx, struct cv_attribute_place at,
                     CK_ATTRIBUTE_TYPE type)
{
    struct cv_buf value;

    cv_buf_init(&value, NULL, CV_LIMIT_CERT_DER);
    put_u32(ctx, (uint32_t)type);
    if (cv_attribute_read(at, type, &value, NULL) == CV_OK) {
        put_u32(ctx, (uint32_t)value.len);
        (void)EVP_DigestUpdate(ctx, value.data, value.len);
    } else {
        put_u32(ctx, UNTOLD);
    }
    cv_buf_wipe(&value);
}

/* The digest in hex; false when libcrypto fails. */
static bool digest_of(struct cv_attribute_place at,
                      char out[CV_DEBRIS_DIGEST_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t digest[SHA256_LEN];
    CK_ULONG class = 0;
    struct cv_buf hex;
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    size_t i;

    if (ok) {
        for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
            put_part(ctx, at, parts[i]);
        }
        if (cv_attribute_ulong(at, CKA_CLASS, &class, NULL) == CV_OK &&
            class == CKO_CERTIFICATE) {
            put_part(ctx, at, CKA_VALUE);
        }
        ok = EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
    }
    EVP_MD_CTX_free(ctx);
    cv_buf_init(&hex, NULL, CV_DEBRIS_DIGEST_LEN);
    if (ok) {
        cv_encode_hex((struct cv_bytes){digest, sizeof(digest)}, &hex);
        ok = cv_buf_status(&hex, "a digest", NULL) == CV_OK;
    }
    if (ok) {
        memcpy(out, cv_buf_text(&hex), CV_DEBRIS_DIGEST_LEN);
    }
    cv_buf_wipe(&hex);
    return ok;
}

/* Everything on the token that the session sees. */
struct everything {
    CK_OBJECT_HANDLE *handles;
    char (*digests)[CV_DEBRIS_DIGEST_LEN];
    size_t n;
};

static void everything_free(struct everything *all)
{
    free(all->handles);
    free(all->digests);
    memset(all, 0, sizeof(*all));
}

static enum cv_status look(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                           struct everything *all, struct cv_err *err)
{
    /* All of them: an object that was cut off may not say that it is on the
     * token. */
    struct cv_object_filter filter = {.token_only = false};
    enum cv_status st;
    size_t i;

    memset(all, 0, sizeof(*all));
    all->handles = calloc(CV_LIMIT_TOKEN_OBJECTS, sizeof(*all->handles));
    if (all->handles == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    st = cv_object_find(f, s, &filter, all->handles, CV_LIMIT_TOKEN_OBJECTS,
                        &all->n, err);
    if (st == CV_OK && all->n > 0) {
        all->digests = calloc(all->n, sizeof(*all->digests));
        if (all->digests == NULL) {
            st = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    for (i = 0; st == CV_OK && i < all->n; i++) {
        struct cv_attribute_place at = {f, s, all->handles[i]};

        if (!digest_of(at, all->digests[i])) {
            st = cv_fail(err, CV_INTERNAL, "libcrypto makes no digest");
        }
    }
    if (st != CV_OK) {
        everything_free(all);
    }
    return st;
}

enum cv_status cv_debris_snapshot(CK_FUNCTION_LIST *functions,
                                  CK_SESSION_HANDLE session, cJSON **out,
                                  struct cv_err *err)
{
    struct everything all;
    enum cv_status s = look(functions, session, &all, err);
    cJSON *list;
    size_t i;

    *out = NULL;
    if (s != CV_OK) {
        return s;
    }
    list = cJSON_CreateArray();
    for (i = 0; list != NULL && i < all.n; i++) {
        cJSON *item = cJSON_CreateString(all.digests[i]);

        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            list = NULL;
        }
    }
    everything_free(&all);
    *out = list;
    return list != NULL ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static bool is_hex(const char *text, size_t min, size_t max)
{
    size_t len = strlen(text);

    return len >= min && len <= max && len % 2 == 0 &&
           strspn(text, "0123456789abcdef") == len;
}

/* Are both lists what they must be? */
static enum cv_status check_lists(const cJSON *snapshot, const cJSON *known,
                                  struct cv_err *err)
{
    const cJSON *item;

    if (!cJSON_IsArray(snapshot) || (known != NULL && !cJSON_IsArray(known))) {
        return cv_fail(err, CV_INVALID, "not a snapshot of a token");
    }
    cJSON_ArrayForEach(item, snapshot)
    {
        if (!cJSON_IsString(item) ||
            !is_hex(item->valuestring, DIGEST_CHARS, DIGEST_CHARS)) {
            return cv_fail(err, CV_INVALID,
                           "the snapshot of the token holds no digests");
        }
    }
    cJSON_ArrayForEach(item, known)
    {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(item, "id");

        /* A short id would make half the token known. */
        if (!cJSON_IsString(id) ||
            !is_hex(id->valuestring, KNOWN_MIN, TEXT_MAX)) {
            return cv_fail(err, CV_INVALID, "a known key has no id");
        }
    }
    return CV_OK;
}

static bool is_known(const cJSON *known, const char *id)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, known)
    {
        const char *theirs =
            cJSON_GetObjectItemCaseSensitive(item, "id")->valuestring;

        if (strncmp(id, theirs, strlen(theirs)) == 0) {
            return true;
        }
    }
    return false;
}

static size_t count(const cJSON *snapshot, const char *digest)
{
    const cJSON *item;
    size_t n = 0;

    cJSON_ArrayForEach(item, snapshot)
    {
        n += strcmp(item->valuestring, digest) == 0;
    }
    return n;
}

/* An attribute as a text to be shown: hex, or a label made printable. */
static void text_of(struct cv_attribute_place at, CK_ATTRIBUTE_TYPE type,
                    bool hex, char out[TEXT_MAX])
{
    struct cv_buf value, text;

    out[0] = '\0';
    cv_buf_init(&value, NULL, CV_KIB(4));
    cv_buf_init(&text, NULL, CV_KIB(8) + 1);
    if (cv_attribute_read(at, type, &value, NULL) == CV_OK && value.len > 0) {
        if (hex) {
            cv_encode_hex(cv_buf_bytes(&value), &text);
            (void)cv_err_quote(out, TEXT_MAX, cv_buf_text(&text), text.len);
        } else {
            (void)cv_err_quote(out, TEXT_MAX, (const char *)value.data,
                               value.len);
        }
    }
    cv_buf_wipe(&text);
    cv_buf_wipe(&value);
}

static const char *class_of(struct cv_attribute_place at, bool *told)
{
    CK_ULONG class = 0;

    *told = cv_attribute_ulong(at, CKA_CLASS, &class, NULL) == CV_OK;
    return *told ? cv_object_class_name(class) : "unknown";
}

static const char *key_type_of(struct cv_attribute_place at)
{
    CK_ULONG type = 0;
    size_t i;

    if (cv_attribute_ulong(at, CKA_KEY_TYPE, &type, NULL) != CV_OK) {
        return NULL;
    }
    for (i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++) {
        if (key_types[i].type == type) {
            return key_types[i].name;
        }
    }
    return "other";
}

static bool add_object(cJSON *list, struct cv_attribute_place at,
                       const char *digest, const char *id, bool ambiguous)
{
    char label[TEXT_MAX], shown[CV_DEBRIS_DIGEST_LEN];
    bool told;
    const char *class = class_of(at, &told);
    const char *key_type = key_type_of(at);
    bool readable = told && (key_type != NULL || strstr(class, "-key") == NULL);
    cJSON *object = cJSON_CreateObject();

    text_of(at, CKA_LABEL, false, label);
    memcpy(shown, digest, sizeof(shown));
    if (ambiguous) {
        shown[DIGEST_CHARS - 1] = AMBIGUOUS;
    }
    if (cv_json_add_str(object, "digest", shown) &&
        cv_json_add_str(object, "class", class) &&
        cv_json_add_str(object, "label", label) &&
        cv_json_add_str(object, "id", id) &&
        (key_type == NULL || cv_json_add_str(object, "key_type", key_type)) &&
        cv_json_add_bool(object, "readable", readable) &&
        cv_json_add_bool(object, "ambiguous", ambiguous) &&
        cJSON_AddItemToArray(list, object)) {
        return true;
    }
    cJSON_Delete(object);
    return false;
}

/* How many of the first `upto` objects have this digest? */
static size_t seen(const struct everything *all, size_t upto,
                   const char *digest)
{
    size_t i, n = 0;

    for (i = 0; i < upto; i++) {
        n += strcmp(all->digests[i], digest) == 0;
    }
    return n;
}

/* Adds what is more than the snapshot has. Of `k` that look alike and were
 * there before, the first `k` are left out: which they are does not matter,
 * because none of them is destroyed. */
static bool add_debris(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                       const struct everything *all, const cJSON *snapshot,
                       const cJSON *known, cJSON *list)
{
    size_t i;

    for (i = 0; i < all->n; i++) {
        struct cv_attribute_place at = {f, s, all->handles[i]};
        const char *digest = all->digests[i];
        size_t before = count(snapshot, digest);
        char id[TEXT_MAX];

        /* A checkpoint that was put there meanwhile is no half of anything. */
        if (seen(all, i, digest) < before || cv_data_is_anchor(at)) {
            continue;
        }
        text_of(at, CKA_ID, true, id);
        if (!is_known(known, id) &&
            !add_object(list, at, digest, id, before > 0)) {
            return false;
        }
    }
    return true;
}

enum cv_status cv_debris_list(CK_FUNCTION_LIST *functions,
                              CK_SESSION_HANDLE session, const cJSON *snapshot,
                              const cJSON *known, cJSON **out,
                              struct cv_err *err)
{
    struct everything all;
    enum cv_status s = check_lists(snapshot, known, err);
    cJSON *list;

    *out = NULL;
    if (s == CV_OK) {
        s = look(functions, session, &all, err);
    }
    if (s != CV_OK) {
        return s;
    }
    list = cJSON_CreateArray();
    if (list != NULL &&
        !add_debris(functions, session, &all, snapshot, known, list)) {
        cJSON_Delete(list);
        list = NULL;
    }
    everything_free(&all);
    *out = list;
    return list != NULL ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status destroy_one(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE s,
                                  const struct everything *all,
                                  const char *digest, struct cv_err *err)
{
    struct everything after;
    enum cv_status st;
    size_t i, left;
    CK_RV rv;

    for (i = 0; i < all->n && strcmp(all->digests[i], digest) != 0; i++) {
    }
    if (i == all->n) {
        return cv_fail(err, CV_NOT_FOUND,
                       "no object of the token has this "
                       "digest");
    }
    rv = f->C_DestroyObject(s, all->handles[i]);
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_DestroyObject");
    }
    st = look(f, s, &after, err);
    if (st != CV_OK) {
        return st;
    }
    left = seen(&after, after.n, digest);
    everything_free(&after);
    return left < seen(all, all->n, digest)
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY,
                         "the token said that it destroyed the object, and "
                         "still has it");
}

enum cv_status cv_debris_destroy(CK_FUNCTION_LIST *functions,
                                 CK_SESSION_HANDLE session, const char *digest,
                                 struct cv_err *err)
{
    size_t len = strlen(digest);
    struct everything all;
    enum cv_status s;

    if (len == DIGEST_CHARS && digest[DIGEST_CHARS - 1] == AMBIGUOUS) {
        (void)cv_fail(err, CV_INTEGRITY,
                      "an object that looks the same was on the token before: "
                      "which of them is debris cannot be told");
        cv_err_hint(err, "look at both with the token's own tool");
        return CV_INTEGRITY;
    }
    if (!is_hex(digest, DIGEST_CHARS, DIGEST_CHARS)) {
        return cv_fail(err, CV_INVALID, "not the digest of an object");
    }
    s = look(functions, session, &all, err);
    if (s == CV_OK) {
        s = destroy_one(functions, session, &all, digest, err);
        everything_free(&all);
    }
    return s;
}
