#include "vault/broker/policy_signer.h"

#include "vault/base/limits.h"

enum cv_status cv_policy_signer_parse(const char *vkey, struct cv_note_key *out,
                                      struct cv_err *err)
{
    enum cv_status s = cv_note_key_parse(vkey, out, err);

    if (s == CV_OK && out->type != CV_NOTE_ED25519) {
        s = cv_fail(err, CV_INVALID, "a policy signer is an Ed25519 key");
    }
    if (s != CV_OK) {
        cv_err_hint(err, "certvault policy key FILE makes one and prints its "
                         "verifier key");
    }
    return s;
}

enum cv_status cv_policy_signer_check(const cJSON *list, const cJSON **bad,
                                      struct cv_err *err)
{
    struct cv_note_key key;
    const cJSON *item;
    size_t n = 0;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(item, list)
    {
        if (n++ == CV_LIMIT_SIGNERS) {
            s = cv_fail(err, CV_INVALID, "more than %d policy signers",
                        CV_LIMIT_SIGNERS);
        } else if (!cJSON_IsString(item)) {
            s = cv_fail(err, CV_INVALID, "a policy signer is a text");
        } else {
            s = cv_policy_signer_parse(item->valuestring, &key, err);
        }
        if (s != CV_OK) {
            if (bad != NULL) {
                *bad = item;
            }
            return s;
        }
    }
    return CV_OK;
}
