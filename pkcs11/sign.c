#include "pkcs11/sign.h"

#include "pkcs11/session_internal.h"
#include "pkcs11/sign_internal.h"
#include "vault/base/limits.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#define DIGEST_MAX 64
#define GUARD_LEN 64
#define GUARD 0xA5

enum cv_status cv_sign_start(struct cv_err *err)
{
    static const char *const names[] = {"SHA256", "SHA384", "SHA512"};

    for (size_t i = 0; i < 3; i++) {
        if (cv_crypto_digest(names[i]) == NULL) {
            return cv_fail(err, CV_INTERNAL, "libcrypto does not start");
        }
    }
    return CV_OK;
}

/* The algorithm and the parsed key, when they fit. */
static enum cv_status fit(const char *algorithm, struct cv_bytes spki,
                          const struct cv_sign_algorithm **a,
                          const struct cv_crypto_key **key, struct cv_err *err)
{
    char shown[64];
    enum cv_status status;

    *a = cv_sign_find(algorithm);
    *key = NULL;
    if (*a == NULL) {
        return cv_fail(
            err, CV_INVALID, "%s is no signature algorithm here",
            cv_err_quote(shown, sizeof(shown), algorithm, strlen(algorithm)));
    }
    status = cv_crypto_spki(spki, key, err);
    if (status != CV_OK) {
        return status;
    }
    if (strcmp((*key)->kind, (*a)->kind) != 0) {
        return cv_fail(err, CV_INVALID, "%s does not go with a key of kind %s",
                       (*a)->name, (*key)->kind);
    }
    return CV_OK;
}

enum cv_status cv_sign_fits(const char *algorithm, struct cv_bytes spki,
                            struct cv_err *err)
{
    const struct cv_sign_algorithm *a;
    const struct cv_crypto_key *key;

    return fit(algorithm, spki, &a, &key, err);
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct cv_sign_algorithm *a)
{
    if (a->scheme == CV_SIGN_PKCS1) {
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    }
    return a->scheme != CV_SIGN_PSS ||
           (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

static enum cv_status verify(const struct cv_sign_algorithm *a,
                             const struct cv_crypto_key *key,
                             struct cv_bytes data, struct cv_bytes signature,
                             struct cv_err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *use = NULL; /* the context's */
    bool good;

    good = ctx != NULL &&
           EVP_DigestVerifyInit_ex(ctx, &use, a->digest, cv_crypto_context(),
                                   NULL, key->key, NULL) == 1 &&
           set_padding(use, a) &&
           EVP_DigestVerify(ctx, signature.data, signature.len, data.data,
                            data.len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!good) {
        cv_fail(err, CV_INTEGRITY,
                "the signature is not one by the certificate's key");
        cv_err_state(err, "it was thrown away");
        cv_err_hint(err, "the token holds another key under this id, or its "
                         "module is broken");
        return CV_INTEGRITY;
    }
    return CV_OK;
}

enum cv_status cv_sign_verify(const char *algorithm, struct cv_bytes spki,
                              struct cv_bytes data, struct cv_bytes signature,
                              struct cv_err *err)
{
    const struct cv_sign_algorithm *a;
    const struct cv_crypto_key *key;
    enum cv_status status = fit(algorithm, spki, &a, &key, err);

    return status == CV_OK ? verify(a, key, data, signature, err) : status;
}

/* Everything that one signature needs. */
struct job {
    struct cv_session_pool *pool;
    CK_FUNCTION_LIST *functions;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object;
    const struct cv_sign_algorithm *a;
    const struct cv_crypto_key *key;
    struct cv_bytes data;
    const struct cv_session_proof *proof; /* NULL: none yet */
    bool every_time;                      /* CKA_ALWAYS_AUTHENTICATE */
    uint8_t digest[DIGEST_MAX];
    struct cv_buf raw; /* what the token answered */
};

/* One way to have it made: a mechanism, and what goes into it. */
enum input { DATA, DIGEST, DIGEST_INFO, PSS_BLOCK };

struct way {
    CK_MECHANISM_TYPE type;
    enum input input;
    bool parameters; /* CK_RSA_PKCS_PSS_PARAMS */
};

/* The ways of a scheme; returns how many. First those that hash: a TPM's key
 * that may sign and not decrypt has no other. */
static size_t ways_of(const struct cv_sign_algorithm *a, struct way out[3])
{
    switch (a->scheme) {
    case CV_SIGN_PKCS1:
        out[0] = (struct way){a->whole, DATA, false};
        out[1] = (struct way){CKM_RSA_PKCS, DIGEST_INFO, false};
        return 2;
    case CV_SIGN_PSS:
        out[0] = (struct way){a->whole, DATA, true};
        out[1] = (struct way){CKM_RSA_PKCS_PSS, DIGEST, true};
        out[2] = (struct way){CKM_RSA_X_509, PSS_BLOCK, false};
        return 3;
    case CV_SIGN_ECDSA:
        out[0] = (struct way){CKM_ECDSA, DIGEST, false};
        return 1;
    case CV_SIGN_EDDSA:
        break;
    }
    out[0] = (struct way){CKM_EDDSA, DATA, false};
    return 1;
}

/* Does this answer mean that another mechanism may do? */
static bool is_not_this_way(CK_RV rv)
{
    return rv == CKR_MECHANISM_INVALID || rv == CKR_MECHANISM_PARAM_INVALID ||
           rv == CKR_FUNCTION_NOT_SUPPORTED || rv == CKR_ARGUMENTS_BAD ||
           rv == CKR_DATA_LEN_RANGE || rv == CKR_DATA_INVALID ||
           rv == CKR_KEY_TYPE_INCONSISTENT ||
           rv == CKR_KEY_FUNCTION_NOT_PERMITTED;
}

static enum cv_status make_input(const struct job *job, enum input input,
                                 struct cv_buf *out, struct cv_err *err)
{
    switch (input) {
    case DIGEST:
        cv_buf_add(out, job->digest, job->a->digest_len);
        break;
    case DIGEST_INFO:
        cv_sign_add_digest_info(job->a, job->digest, out);
        break;
    case PSS_BLOCK:
        return cv_sign_add_pss(job->a, job->digest, job->key->bits, out, err);
    case DATA:
        cv_buf_add(out, job->data.data, job->data.len);
        break;
    }
    return cv_buf_status(out, "what is to be signed", err);
}

/* C_Sign into a buffer of ours with a guard behind it. */
static enum cv_status c_sign(struct job *job, struct cv_buf *input,
                             struct cv_err *err)
{
    uint8_t room[CV_LIMIT_SIGNATURE + GUARD_LEN];
    CK_ULONG len = CV_LIMIT_SIGNATURE;
    bool intact = true;
    CK_RV rv;

    memset(room + CV_LIMIT_SIGNATURE, GUARD, GUARD_LEN);
    rv = job->functions->C_Sign(job->session, input->data, input->len, room,
                                &len);
    for (size_t i = 0; i < GUARD_LEN; i++) {
        intact = intact && room[CV_LIMIT_SIGNATURE + i] == GUARD;
    }
    if (!intact || rv == CKR_BUFFER_TOO_SMALL ||
        (rv == CKR_OK && (len > CV_LIMIT_SIGNATURE || len == 0))) {
        cv_fail(err, CV_INTEGRITY, "the token's signature is longer than any");
        cv_err_state(err, "it was thrown away");
        return CV_INTEGRITY;
    }
    if (rv != CKR_OK) {
        return cv_rv_fail(err, rv, "C_Sign");
    }
    cv_buf_wipe(&job->raw);
    cv_buf_add(&job->raw, room, len);
    return cv_buf_status(&job->raw, "a signature", err);
}

static enum cv_status go_way(struct job *job, const struct way *way,
                             struct cv_err *err)
{
    CK_RSA_PKCS_PSS_PARAMS pss = {job->a->hash, job->a->mgf,
                                  job->a->digest_len};
    CK_MECHANISM mechanism = {way->type, NULL, 0};
    struct cv_buf input;
    enum cv_status status;
    CK_RV rv;

    if (way->parameters) {
        mechanism.pParameter = &pss;
        mechanism.ulParameterLen = sizeof(pss);
    }
    cv_buf_init(&input, NULL, CV_LIMIT_SIGNED + CV_LIMIT_SIGNATURE);
    status = make_input(job, way->input, &input, err);
    if (status == CV_OK) {
        rv = job->functions->C_SignInit(job->session, &mechanism, job->object);
        if (rv != CKR_OK) {
            status = cv_rv_fail(err, rv, "C_SignInit");
        }
    }
    if (status == CV_OK && job->every_time) {
        status = cv_login_for_use(job->pool, job->session, err);
    }
    if (status == CV_OK) {
        status = c_sign(job, &input, err);
    }
    cv_buf_wipe(&input);
    return status;
}

static enum cv_status no_way(const struct job *job, struct cv_err *err)
{
    cv_fail(err, CV_INVALID, "the token has no mechanism for %s", job->a->name);
    cv_err_hint(err, "`certvault token probe` shows what it has");
    return CV_INVALID;
}

/* Tries the ways that the token says it has; what it has but does not do is
 * passed over. */
static enum cv_status make(struct job *job, struct cv_err *err)
{
    struct way ways[3];
    size_t n = ways_of(job->a, ways);
    const struct cv_token_info *token = cv_session_token(job->pool);
    enum cv_status status = no_way(job, err);

    for (size_t i = 0; i < n; i++) {
        struct cv_err why;

        if (!cv_token_has(cv_session_module(job->pool), token->slot,
                          ways[i].type, CKF_SIGN, NULL)) {
            continue;
        }
        cv_err_init(&why);
        status = go_way(job, &ways[i], &why);
        if (status == CV_OK) {
            return CV_OK;
        }
        if (err != NULL) {
            *err = why;
        }
        if (!is_not_this_way(cv_rv_of(&why))) {
            return status;
        }
    }
    return status;
}

/* The answer in the form that TLS has it in. */
static enum cv_status take_answer(const struct job *job, struct cv_buf *out,
                                  struct cv_err *err)
{
    struct cv_bytes raw = cv_buf_bytes(&job->raw);
    size_t want = job->a->scheme == CV_SIGN_ECDSA   ? 2 * job->key->scalar_len
                  : job->a->scheme == CV_SIGN_EDDSA ? 64
                                                    : (job->key->bits + 7) / 8;

    if (raw.len != want) {
        cv_fail(err, CV_INTEGRITY,
                "the token's signature has %zu bytes instead of %zu", raw.len,
                want);
        cv_err_state(err, "it was thrown away");
        return CV_INTEGRITY;
    }
    if (job->a->scheme == CV_SIGN_ECDSA) {
        return cv_sign_add_ecdsa(raw, out, err);
    }
    cv_buf_add(out, raw.data, raw.len);
    return cv_buf_status(out, "a signature", err);
}

static enum cv_status prepare(struct job *job, struct cv_err *err)
{
    struct cv_attribute_place at = {job->functions, job->session, job->object};

    if (job->data.len > CV_LIMIT_SIGNED) {
        return cv_fail(err, CV_INVALID, "more than %zu bytes to be signed",
                       CV_LIMIT_SIGNED);
    }
    /* Modules that do not know the attribute do not ask for the PIN. */
    if (job->proof != NULL) {
        job->every_time = job->proof->every_time;
    } else if (cv_attribute_bool(at, CKA_ALWAYS_AUTHENTICATE, &job->every_time,
                                 NULL) != CV_OK) {
        job->every_time = false;
    }
    if (job->every_time && !cv_login_kept(job->pool)) {
        /* Before C_SignInit, which would stay active. */
        return cv_login_for_use(job->pool, job->session, err);
    }
    if (job->a->digest == NULL) {
        return CV_OK;
    }
    return cv_sign_digest(job->a, job->data, job->digest, err);
}

/* From the found object to the checked signature. */
static enum cv_status run(struct job *job, struct cv_buf *out,
                          struct cv_err *err)
{
    struct cv_buf signature;
    enum cv_status status;

    cv_buf_init(&job->raw, NULL, CV_LIMIT_SIGNATURE);
    cv_buf_init(&signature, NULL, CV_LIMIT_SIGNATURE);
    status = prepare(job, err);
    if (status == CV_OK) {
        status = make(job, err);
    }
    if (status == CV_OK) {
        status = take_answer(job, &signature, err);
    }
    if (status == CV_OK) {
        status =
            verify(job->a, job->key, job->data, cv_buf_bytes(&signature), err);
    }
    if (status == CV_OK) {
        cv_buf_add(out, signature.data, signature.len);
        status = cv_buf_status(out, "a signature", err);
    }
    cv_buf_wipe(&job->raw);
    cv_buf_wipe(&signature);
    return status;
}

enum cv_status cv_sign_data(struct cv_session_pool *pool,
                            CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                            struct cv_bytes spki, const char *algorithm,
                            struct cv_bytes data, struct cv_buf *out,
                            struct cv_err *err)
{
    struct job job = {.pool = pool,
                      .functions = cv_module_functions(cv_session_module(pool)),
                      .session = session,
                      .object = object,
                      .data = data};
    enum cv_status status = fit(algorithm, spki, &job.a, &job.key, err);

    return status == CV_OK ? run(&job, out, err) : status;
}

/* cv_sign as work in a session. */
struct request {
    struct cv_session_pool *pool;
    const struct cv_sign_key *key;
    const char *algorithm;
    struct cv_bytes data;
    struct cv_buf *out;
};

static bool digest_spki(struct cv_bytes spki, uint8_t out[32])
{
    const EVP_MD *md = cv_crypto_digest("SHA256");

    return md != NULL &&
           EVP_Digest(spki.data, spki.len, out, NULL, md, NULL) == 1;
}

/* The one private key with this id, if it has signed for this public key
 * before; NULL: it is to be looked at more closely. */
static struct cv_session_proof *find_proven(const struct request *r,
                                            CK_FUNCTION_LIST *functions,
                                            CK_SESSION_HANDLE session,
                                            const uint8_t spki[32])
{
    struct cv_object_filter filter = {
        .by_class = true, .class = CKO_PRIVATE_KEY, .id = r->key->id};
    CK_OBJECT_HANDLE object;
    size_t n = 0;
    bool any = false;

    for (size_t i = 0; i < CV_SESSION_PROOFS; i++) {
        any = any || (r->pool->proofs[i].object != CK_INVALID_HANDLE &&
                      memcmp(r->pool->proofs[i].spki, spki, 32) == 0);
    }
    if (!any ||
        cv_object_find(functions, session, &filter, &object, 1, &n, NULL) !=
            CV_OK ||
        n != 1) {
        return NULL;
    }
    for (size_t i = 0; i < CV_SESSION_PROOFS; i++) {
        struct cv_session_proof *p = &r->pool->proofs[i];

        if (p->object == object && memcmp(p->spki, spki, 32) == 0) {
            return p;
        }
    }
    return NULL;
}

static void prove(struct job *job, const uint8_t spki[32])
{
    struct cv_session_pool *pool = job->pool;
    struct cv_session_proof *p =
        &pool->proofs[pool->next_proof++ % CV_SESSION_PROOFS];

    p->object = job->object;
    p->every_time = job->every_time;
    memcpy(p->spki, spki, 32);
}

static enum cv_status find_and_sign(CK_FUNCTION_LIST *functions,
                                    CK_SESSION_HANDLE session, void *context,
                                    struct cv_err *err)
{
    const struct request *r = context;
    struct job job = {.pool = r->pool,
                      .functions = functions,
                      .session = session,
                      .data = r->data};
    struct cv_session_proof *proof;
    enum cv_status status = CV_OK;
    uint8_t spki[32];
    bool proven = false;

    if (!digest_spki(r->key->spki, spki)) {
        return cv_fail(err, CV_INTERNAL, "libcrypto does not make a digest");
    }
    proof = find_proven(r, functions, session, spki);
    if (proof != NULL) {
        job.object = proof->object;
        job.proof = proof;
    } else {
        status =
            cv_object_find_private(functions, session, r->key->id, r->key->spki,
                                   &job.object, &proven, err);
    }
    if (status == CV_OK) {
        status = fit(r->algorithm, r->key->spki, &job.a, &job.key, err);
    }
    if (status == CV_OK) {
        status = run(&job, r->out, err);
    }
    if (status == CV_OK && proof == NULL) {
        prove(&job, spki);
    } else if (status != CV_OK && proof != NULL) {
        memset(proof, 0, sizeof(*proof));
    }
    return status;
}

enum cv_status cv_sign(struct cv_session_pool *pool,
                       const struct cv_sign_key *key, const char *algorithm,
                       struct cv_bytes data, struct cv_buf *out,
                       struct cv_err *err)
{
    struct request r = {pool, key, algorithm, data, out};
    enum cv_status status = cv_sign_fits(algorithm, key->spki, err);

    if (status != CV_OK) {
        return status;
    }
    return cv_session_do(pool, CV_SESSION_USER, find_and_sign, &r, err);
}
