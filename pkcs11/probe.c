#include "pkcs11/probe.h"

#include "pkcs11/mechanism.h"
#include "pkcs11/probe_internal.h"

#include <stdlib.h>
#include <string.h>

#define ARENA CV_MIB(2)
#define RANDOM_LEN 64
/* Of 1,024 fair bits fewer than 400 or more than 624 are set once in 10^11
 * times (seven standard deviations of 16). */
#define BITS_MIN 400
#define BITS_MAX 624
#define RANDOM_ROUNDS 2
#define TEXT_MAX 65

const struct probe_kind cv_probe_kinds[PROBE_KINDS] = {
    {"rsa", "rsa2048", CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS, 2048},
    {"ec-p256", "p256", CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, 256},
    {"ec-p384", "p384", CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, 384},
    {"ed25519", "ed25519", CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA, 256},
};

/* What each signature of TLS needs, the one or the other. */
static const struct {
    const char *algorithm;
    CK_MECHANISM_TYPE whole, digest;
} signatures[] = {
    {"rsa_pkcs1_sha256", CKM_SHA256_RSA_PKCS, CKM_RSA_PKCS},
    {"rsa_pkcs1_sha384", CKM_SHA384_RSA_PKCS, CKM_RSA_PKCS},
    {"rsa_pkcs1_sha512", CKM_SHA512_RSA_PKCS, CKM_RSA_PKCS},
    {"rsa_pss_rsae_sha256", CKM_SHA256_RSA_PKCS_PSS, CKM_RSA_PKCS_PSS},
    {"rsa_pss_rsae_sha384", CKM_SHA384_RSA_PKCS_PSS, CKM_RSA_PKCS_PSS},
    {"rsa_pss_rsae_sha512", CKM_SHA512_RSA_PKCS_PSS, CKM_RSA_PKCS_PSS},
    {"ecdsa_secp256r1_sha256", CKM_ECDSA_SHA256, CKM_ECDSA},
    {"ecdsa_secp384r1_sha384", CKM_ECDSA_SHA384, CKM_ECDSA},
    {"ed25519", CKM_EDDSA, CKM_EDDSA},
};
#define SIGNATURES (sizeof(signatures) / sizeof(signatures[0]))

static bool signs(const struct probe *p, CK_MECHANISM_TYPE type)
{
    return cv_mechanism_has(p->f, p->s, type, CKF_SIGN, NULL);
}

static bool add_null(cJSON *object, const char *key)
{
    return cv_json_add_item(object, key, cJSON_CreateNull());
}

/* A field of CK_TOKEN_INFO, without the blanks at its end, printable. */
static bool add_field(cJSON *object, const char *key, const uint8_t *field,
                      size_t len)
{
    char text[TEXT_MAX];

    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0')) {
        len--;
    }
    return cv_json_add_str(
        object, key,
        cv_err_quote(text, sizeof(text), (const char *)field, len));
}

static bool add_version(cJSON *object, const char *key, CK_VERSION v)
{
    struct cv_buf text;
    bool ok;

    cv_buf_init(&text, NULL, 16);
    cv_buf_add_format(&text, "%u.%u", v.major, v.minor);
    ok = cv_json_add_str(object, key, cv_buf_text(&text));
    cv_buf_wipe(&text);
    return ok;
}

static cJSON *token_json(const struct probe *p)
{
    cJSON *out = cJSON_CreateObject();
    CK_TOKEN_INFO info = {0};
    CK_SLOT_ID slot;

    if (!cv_mechanism_slot(p->f, p->s, &slot) ||
        p->f->C_GetTokenInfo(slot, &info) != CKR_OK) {
        return out;
    }
    if (!add_field(out, "label", info.label, sizeof(info.label)) ||
        !add_field(out, "manufacturer", info.manufacturerID,
                   sizeof(info.manufacturerID)) ||
        !add_field(out, "model", info.model, sizeof(info.model)) ||
        !add_field(out, "serial", info.serialNumber,
                   sizeof(info.serialNumber)) ||
        !add_version(out, "firmware", info.firmwareVersion) ||
        !add_version(out, "hardware", info.hardwareVersion)) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static cJSON *mechanism_json(const struct probe *p, CK_MECHANISM_TYPE type)
{
    char room[CV_MECHANISM_NAME_LEN];
    cJSON *out = cJSON_CreateObject();
    CK_MECHANISM_INFO info = {0};

    (void)cv_mechanism_has(p->f, p->s, type, 0, &info);
    if (!cv_json_add_str(out, "name", cv_mechanism_name(type, room)) ||
        !cv_json_add_int(out, "number", (int64_t)(type & 0xFFFFFFFFUL)) ||
        !cv_json_add_int(out, "min",
                         (int64_t)(info.ulMinKeySize & INT32_MAX)) ||
        !cv_json_add_int(out, "max",
                         (int64_t)(info.ulMaxKeySize & INT32_MAX)) ||
        !cv_json_add_item(out, "flags", cv_mechanism_flags(info.flags))) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static bool append(cJSON *list, cJSON *item)
{
    if (list != NULL && item != NULL && cJSON_AddItemToArray(list, item)) {
        return true;
    }
    cJSON_Delete(item);
    return false;
}

static enum cv_status add_mechanisms(const struct probe *p, cJSON *out,
                                     struct cv_err *err)
{
    CK_MECHANISM_TYPE *types = calloc(CV_MECHANISM_MAX, sizeof(*types));
    cJSON *list = cJSON_CreateArray();
    size_t n = 0, i;
    enum cv_status s;
    bool ok;

    if (types == NULL) {
        cJSON_Delete(list);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_mechanism_list(p->f, p->s, types, CV_MECHANISM_MAX, &n, err);
    ok = list != NULL;
    for (i = 0; ok && i < n; i++) {
        ok = append(list, mechanism_json(p, types[i]));
    }
    free(types);
    ok = cv_json_add_item(out, "mechanisms", list) && ok;
    if (s == CV_OK && !ok) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

/* {listed, works, rv}; the first only where it is a question. */
static cJSON *try_json(const struct probe_try *t, const bool *listed)
{
    cJSON *out = cJSON_CreateObject();
    bool ok = out != NULL;

    if (listed != NULL) {
        ok = cv_json_add_bool(out, "listed", *listed);
    }
    ok = ok && (t->tried ? cv_json_add_bool(out, "works", t->works)
                         : add_null(out, "works"));
    ok = ok && (t->tried && (t->works || t->rv != CKR_OK)
                    ? cv_json_add_str(out, "rv", cv_rv_name(t->rv))
                    : add_null(out, "rv"));
    if (!ok) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static bool add_way(const struct probe *p, cJSON *out, size_t kind)
{
    if (!p->destructive) {
        return add_null(out, "way");
    }
    return cv_json_add_str(
        out, "way",
        p->import[kind].works ? cv_create_way_name(p->way[kind]) : "none");
}

static cJSON *key_json(const struct probe *p, size_t kind)
{
    const struct probe_kind *k = &cv_probe_kinds[kind];
    CK_MECHANISM_INFO info = {0};
    bool generates =
        cv_mechanism_has(p->f, p->s, k->generate, CKF_GENERATE_KEY_PAIR, NULL);
    bool listed = cv_mechanism_has(p->f, p->s, k->sign, CKF_SIGN, &info);
    cJSON *out = cJSON_CreateObject();

    if (!cv_json_add_str(out, "kind", k->kind) ||
        !cv_json_add_item(out, "generate",
                          try_json(&p->generate[kind], &generates)) ||
        !cv_json_add_item(out, "import", try_json(&p->import[kind], &listed)) ||
        !cv_json_add_item(out, "sign", try_json(&p->sign[kind], &listed)) ||
        !add_way(p, out, kind) ||
        !cv_json_add_int(out, "bits_min",
                         (int64_t)(info.ulMinKeySize & INT32_MAX)) ||
        !cv_json_add_int(out, "bits_max",
                         (int64_t)(info.ulMaxKeySize & INT32_MAX))) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static cJSON *unwrap_json(const struct probe *p, size_t i)
{
    const struct create_unwrap_way *way = &cv_create_unwrap_ways[i];
    bool listed =
        cv_mechanism_has(p->f, p->s, way->mechanism, CKF_UNWRAP, NULL);
    cJSON *out = try_json(&p->unwrap[i], &listed);

    if (out != NULL && !cv_json_add_str(out, "mechanism", way->name)) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static cJSON *signature_json(const struct probe *p, size_t i)
{
    cJSON *out = cJSON_CreateObject();
    bool listed = signs(p, signatures[i].whole) ||
                  signs(p, signatures[i].digest) ||
                  (strncmp(signatures[i].algorithm, "rsa_pss", 7) == 0 &&
                   signs(p, CKM_RSA_X_509));

    if (!cv_json_add_str(out, "algorithm", signatures[i].algorithm) ||
        !cv_json_add_bool(out, "listed", listed)) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

/* An array of `n` items that `make` makes. */
static cJSON *list_json(const struct probe *p, size_t n,
                        cJSON *(*make)(const struct probe *, size_t))
{
    cJSON *list = cJSON_CreateArray();
    size_t i;

    for (i = 0; list != NULL && i < n; i++) {
        if (!append(list, make(p, i))) {
            cJSON_Delete(list);
            return NULL;
        }
    }
    return list;
}

static unsigned bits_set(const uint8_t *data, size_t len)
{
    unsigned n = 0, b;
    size_t i;

    for (i = 0; i < len; i++) {
        for (b = data[i]; b != 0; b &= b - 1) {
            n++;
        }
    }
    return n;
}

/* A generator that is broken outright is seen here, a weak one is not. */
static cJSON *random_json(struct probe *p)
{
    uint8_t bytes[RANDOM_ROUNDS][RANDOM_LEN] = {{0}};
    unsigned bits = 0;
    CK_RV rv = CKR_OK;
    bool distinct, works;
    cJSON *out;
    size_t i;

    for (i = 0; rv == CKR_OK && i < RANDOM_ROUNDS; i++) {
        rv = p->f->C_GenerateRandom(p->s, bytes[i], RANDOM_LEN);
    }
    bits = bits_set(bytes[0], sizeof(bytes));
    distinct = memcmp(bytes[0], bytes[1], RANDOM_LEN) != 0;
    works = rv == CKR_OK && distinct && bits >= BITS_MIN && bits <= BITS_MAX;
    if (rv == CKR_OK && !works) {
        cv_notes_add(&p->lies, "C_GenerateRandom answers CKR_OK with bytes "
                               "that are not random");
    }
    out = cJSON_CreateObject();
    if (!cv_json_add_bool(out, "works", works) ||
        !cv_json_add_bool(out, "distinct", rv == CKR_OK && distinct) ||
        !cv_json_add_str(out, "rv", cv_rv_name(rv))) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static cJSON *sessions_json(const struct probe *p)
{
    CK_SESSION_HANDLE open[CV_PROBE_SESSIONS];
    cJSON *out = cJSON_CreateObject();
    CK_TOKEN_INFO info = {0};
    CK_SLOT_ID slot = 0;
    CK_RV rv = CKR_OK;
    size_t n = 0, i;
    bool ok, known;

    if (cv_mechanism_slot(p->f, p->s, &slot)) {
        while (n < CV_PROBE_SESSIONS && rv == CKR_OK) {
            rv = p->f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL,
                                     &open[n]);
            n += rv == CKR_OK;
        }
    }
    for (i = 0; i < n; i++) {
        (void)p->f->C_CloseSession(open[i]);
    }
    known = p->f->C_GetTokenInfo(slot, &info) == CKR_OK &&
            info.ulMaxSessionCount != CK_UNAVAILABLE_INFORMATION &&
            info.ulMaxSessionCount != CK_EFFECTIVELY_INFINITE;
    ok = cv_json_add_int(out, "opened", (int64_t)n) &&
         (known ? cv_json_add_int(out, "limit",
                                  (int64_t)(info.ulMaxSessionCount & INT32_MAX))
                : add_null(out, "limit")) &&
         (rv == CKR_OK ? add_null(out, "refused")
                       : cv_json_add_str(out, "refused", cv_rv_name(rv)));
    if (!ok) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

static cJSON *slot_key_json(const struct probe *p)
{
    cJSON *out = cJSON_CreateObject();

    if (!cv_json_add_bool(out, "rsa_oaep",
                          cv_mechanism_has(p->f, p->s, CKM_RSA_PKCS_OAEP,
                                           CKF_DECRYPT, NULL)) ||
        !cv_json_add_bool(
            out, "ecdh",
            cv_mechanism_has(p->f, p->s, CKM_ECDH1_DERIVE, CKF_DERIVE, NULL))) {
        cJSON_Delete(out);
        return NULL;
    }
    return out;
}

/* What is listed and was tried, and does not work, is a lie too. */
static void compare(struct probe *p)
{
    size_t i;

    for (i = 0; i < PROBE_KINDS; i++) {
        const struct probe_kind *k = &cv_probe_kinds[i];
        char room[CV_MECHANISM_NAME_LEN];

        if (p->generate[i].tried && !p->generate[i].works &&
            cv_mechanism_has(p->f, p->s, k->generate, CKF_GENERATE_KEY_PAIR,
                             NULL)) {
            cv_notes_add(&p->lies, "it lists %s, and makes no %s keys: %s",
                         cv_mechanism_name(k->generate, room), k->kind,
                         cv_rv_name(p->generate[i].rv));
        }
    }
    for (i = 0; i < cv_create_unwrap_ways_n; i++) {
        const struct create_unwrap_way *way = &cv_create_unwrap_ways[i];
        char room[CV_MECHANISM_NAME_LEN];

        if (p->unwrap[i].tried && p->unwrap[i].rv == CKR_MECHANISM_INVALID &&
            cv_mechanism_has(p->f, p->s, way->mechanism, CKF_UNWRAP, NULL)) {
            cv_notes_add(&p->lies, "it lists %s for unwrapping, and has none",
                         cv_mechanism_name(way->mechanism, room));
        }
    }
}

/* What the destructive half found. */
static bool add_tried(struct probe *p, cJSON *out)
{
    compare(p);
    return cv_json_add_item(out, "keys", list_json(p, PROBE_KINDS, key_json)) &&
           cv_json_add_item(
               out, "unwrap",
               list_json(p, cv_create_unwrap_ways_n, unwrap_json)) &&
           (p->transport != NULL
                ? cv_json_add_str(out, "transport", p->transport)
                : add_null(out, "transport")) &&
           cv_json_add_item(out, "certificates",
                            try_json(&p->certificates, NULL)) &&
           cv_json_add_item(out, "public_keys",
                            try_json(&p->public_keys, NULL)) &&
           cv_json_add_item(out, "data", try_json(&p->data, NULL)) &&
           (p->examined ? cv_json_add_item(out, "findings",
                                           cv_examine_json(&p->findings)) &&
                              cv_json_add_bool(out, "leaky", p->findings.leaky)
                        : add_null(out, "findings") && add_null(out, "leaky"));
}

static enum cv_status report(struct probe *p, cJSON *out, struct cv_err *err)
{
    enum cv_status s = add_mechanisms(p, out, err);

    if (s != CV_OK) {
        return s;
    }
    if (p->destructive) {
        cv_probe_scratch(p);
    }
    if (!cv_json_add_item(out, "token", token_json(p)) || !add_tried(p, out) ||
        !cv_json_add_item(out, "signatures",
                          list_json(p, SIGNATURES, signature_json)) ||
        !cv_json_add_bool(out, "pss",
                          signs(p, CKM_RSA_PKCS_PSS) ||
                              signs(p, CKM_RSA_X_509)) ||
        !cv_json_add_item(out, "slot_key", slot_key_json(p)) ||
        !cv_json_add_item(out, "random", random_json(p)) ||
        !cv_json_add_item(out, "sessions", sessions_json(p)) ||
        !cv_json_add_item(out, "lies", cv_notes_json(&p->lies)) ||
        !cv_json_add_int(out, "left_behind", (int64_t)p->left_behind)) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return CV_OK;
}

enum cv_status cv_probe_token(CK_FUNCTION_LIST *functions,
                              CK_SESSION_HANDLE session, bool destructive,
                              cJSON **out, struct cv_err *err)
{
    struct probe p = {.f = functions, .s = session, .destructive = destructive};
    enum cv_status s = cv_arena_new(ARENA, &p.arena, err);

    *out = NULL;
    if (s != CV_OK) {
        return s;
    }
    *out = cJSON_CreateObject();
    s = report(&p, *out, err);
    cv_arena_free(p.arena);
    if (s != CV_OK) {
        cJSON_Delete(*out);
        *out = NULL;
    } else if (p.left_behind > 0) {
        s = cv_fail(err, CV_INTEGRITY,
                    "objects labelled %s could not be destroyed",
                    CV_PROBE_LABEL);
    }
    return s;
}
