/* Signed policies: who may sign, and is this one signed?
 *
 * A signature is a C2SP signed note whose text is
 *     certvault-policy/v1 <vault id> LF <version> LF <base64 of SHA-256> LF
 * so that it holds for these bytes, this version and this vault alone. */
#include "vault/audit/note.h"
#include "vault/base/encode.h"
#include "vault/broker/policies_internal.h"
#include "vault/broker/policy_signer.h"

#include <stdio.h>
#include <string.h>

#define META "policy_signers"
#define META_LEN CV_KIB(8)

struct signers {
    size_t n;
    struct cv_note_key key[CV_LIMIT_SIGNERS];
};

/* A signer must not be the log's key: that one lies beside the log, where the
 * broker itself could sign with it. */
static enum cv_status check_key(const struct cv_note_key *key,
                                const struct cv_note_key *log,
                                struct cv_err *err)
{
    if (strcmp(key->name, log->name) == 0 ||
        memcmp(key->public_key, log->public_key, sizeof(key->public_key)) ==
            0) {
        return cv_fail(err, CV_INVALID,
                       "a policy signer must not be the audit log's key");
    }
    return CV_OK;
}

static enum cv_status add_key(struct signers *out, const char *vkey,
                              const struct cv_note_key *log, struct cv_err *err)
{
    enum cv_status s;

    if (out->n == CV_LIMIT_SIGNERS) {
        return cv_fail(err, CV_INVALID, "more than %d policy signers",
                       CV_LIMIT_SIGNERS);
    }
    s = cv_policy_signer_parse(vkey, &out->key[out->n], err);
    if (s == CV_OK) {
        s = check_key(&out->key[out->n], log, err);
    }
    out->n += s == CV_OK ? 1 : 0;
    return s;
}

enum cv_status cv_broker_policy_store_signers(struct cv_vault *v,
                                              const cJSON *list,
                                              struct cv_err *err)
{
    struct signers all = {0};
    struct cv_buf text;
    const cJSON *item;
    enum cv_status s = CV_OK;

    if (cJSON_GetArraySize(list) == 0) {
        return CV_OK;
    }
    cv_buf_init(&text, NULL, META_LEN);
    cJSON_ArrayForEach(item, list)
    {
        if (s == CV_OK) {
            s = add_key(&all, item->valuestring, &v->log_key, err);
            cv_buf_add_format(&text, "%s\n", item->valuestring);
        }
    }
    if (s == CV_OK) {
        s = cv_buf_status(&text, "the policy signers", err);
    }
    if (s == CV_OK) {
        s = cv_store_meta_put(v->store, META, cv_buf_text(&text), err);
    }
    cv_buf_wipe(&text);
    return s;
}

/* Those of init, a line each. */
static enum cv_status stored(struct cv_broker *b, struct signers *out,
                             struct cv_err *err)
{
    struct cv_buf text;
    struct cv_err none;
    char *at, *end;
    enum cv_status s;

    cv_err_init(&none);
    cv_buf_init(&text, NULL, META_LEN);
    s = cv_store_meta_get(b->vault->store, META, &text, &none);
    if (s == CV_NOT_FOUND) {
        cv_buf_wipe(&text);
        return CV_OK;
    }
    if (s != CV_OK) {
        *err = none;
    }
    at = s == CV_OK && text.len > 0 ? (char *)text.data : NULL;
    while (s == CV_OK && at != NULL && (end = strchr(at, '\n')) != NULL) {
        *end = '\0';
        s = add_key(out, at, &b->vault->log_key, err);
        at = end + 1;
    }
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status all_signers(struct cv_broker *b, struct signers *out,
                                  struct cv_err *err)
{
    char *const *more = b->options->policy_signers;
    enum cv_status s;

    out->n = 0;
    s = stored(b, out, err);
    for (size_t i = 0; s == CV_OK && more != NULL && more[i] != NULL; i++) {
        s = add_key(out, more[i], &b->vault->log_key, err);
        if (s != CV_OK) {
            cv_err_prefix(err, "the configuration's policy.signers");
            err->status = s = CV_CONFIG;
        }
    }
    return s;
}

enum cv_status cv_broker_policy_sign_not_with(struct cv_broker *b,
                                              const struct cv_note_key *key,
                                              struct cv_err *err)
{
    struct signers all;
    enum cv_status s = all_signers(b, &all, err);

    for (size_t i = 0; s == CV_OK && i < all.n; i++) {
        if (memcmp(all.key[i].public_key, key->public_key,
                   sizeof(key->public_key)) == 0) {
            s = cv_fail(err, CV_INVALID, "that key signs policies");
            cv_err_state(err, "nothing was changed");
            cv_err_hint(err, "the log wants a key of its own: give the token "
                             "alone, and one is made there");
        }
    }
    return s;
}

/* What is signed. */
static enum cv_status text_of(const struct cv_broker *b,
                              const struct cv_policy *policy,
                              struct cv_buf *out, struct cv_err *err)
{
    uint8_t hash[32];
    enum cv_status s = cv_decode_hex_exact(
        cv_policy_sha256(policy), "the digest", hash, sizeof(hash), err);

    if (s == CV_OK) {
        cv_buf_add_format(out, "certvault-policy/v1 %s\n%lld\n", b->vault->id,
                          (long long)cv_policy_version(policy));
        cv_encode_base64((struct cv_bytes){hash, sizeof(hash)}, out);
        cv_buf_add_char(out, '\n');
        s = cv_buf_status(out, "what is signed", err);
    }
    return s;
}

static enum cv_status refuse(enum cv_status s, struct cv_err *err)
{
    cv_err_state(err, "the policy in force is unchanged");
    if (err != NULL && err->hint[0] == '\0') {
        cv_err_hint(err, "certvault policy sign FILE --key KEYFILE makes "
                         "FILE.sig");
    }
    return s;
}

static enum cv_status compare(struct cv_bytes said, const struct cv_buf *wanted,
                              struct cv_err *err)
{
    if (said.len == wanted->len &&
        memcmp(said.data, wanted->data, said.len) == 0) {
        return CV_OK;
    }
    return cv_fail(err, CV_INTEGRITY,
                   "the signature is of another policy, another version or for "
                   "another vault");
}

/* The first key that by itself opens the note. */
static const struct cv_note_key *who(const struct signers *all,
                                     struct cv_bytes note)
{
    struct cv_bytes text;

    for (size_t i = 0; i < all->n; i++) {
        if (cv_note_open(note, &all->key[i], 1, &text, NULL) == CV_OK) {
            return &all->key[i];
        }
    }
    return NULL;
}

enum cv_status cv_broker_policy_verify(struct cv_broker *b,
                                       const struct cv_policy *policy,
                                       const char *note,
                                       char signer[CV_NOTE_NAME + 1],
                                       struct cv_err *err)
{
    struct signers all;
    struct cv_bytes bytes = {(const uint8_t *)note,
                             note != NULL ? strlen(note) : 0};
    struct cv_bytes said;
    struct cv_buf wanted;
    const struct cv_note_key *key;
    enum cv_status s = all_signers(b, &all, err);

    signer[0] = '\0';
    if (s != CV_OK || all.n == 0) {
        return s;
    }
    if (note == NULL) {
        s = cv_fail(err, CV_INTEGRITY,
                    "this vault takes signed policies only, and this one has "
                    "no signature");
        return refuse(s, err);
    }
    s = cv_note_open(bytes, all.key, all.n, &said, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "the policy's signature");
        return refuse(s, err);
    }
    cv_buf_init(&wanted, NULL, CV_KIB(1));
    s = text_of(b, policy, &wanted, err);
    if (s == CV_OK) {
        s = compare(said, &wanted, err);
    }
    cv_buf_wipe(&wanted);
    key = who(&all, bytes);
    if (s == CV_OK && key != NULL) {
        (void)snprintf(signer, CV_NOTE_NAME + 1, "%s", key->name);
    }
    return s == CV_OK ? CV_OK : refuse(s, err);
}
