/* The policy in force, out of the store; never an older one than before. */
#include "vault/broker/broker_internal.h"
#include "vault/broker/policies_internal.h"
#include "vault/store/store_policy.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof((struct cv_broker){0}.resolution) ==
                   crypto_generichash_BYTES,
               "the room is a hash's");

enum cv_status cv_broker_policy_row(const struct cv_store_policy *row,
                                    struct cv_policy **out, cJSON **resolution,
                                    struct cv_err *err)
{
    struct cv_bytes names = {(const uint8_t *)row->resolution,
                             strlen(row->resolution)};
    enum cv_status s;

    *resolution = NULL;
    s = cv_policy_parse(
        (struct cv_bytes){(const uint8_t *)row->text, strlen(row->text)}, out,
        NULL, err);
    if (s == CV_OK) {
        s = cv_json_parse(NULL, names, resolution, err);
    }
    if (s == CV_OK) {
        s = cv_policy_resolve(*out, *resolution, NULL, err);
    }
    if (s != CV_OK) {
        cJSON_Delete(*resolution);
        cv_policy_free(*out);
        *resolution = NULL;
        *out = NULL;
    }
    return s;
}

static enum cv_status rolled_back(struct cv_err *err)
{
    cv_err_state(err, "nothing is decided: the vault refuses to serve");
    cv_err_hint(err, "vault.db is older than the record, or was changed: put "
                     "the right one back; certvault audit query --action "
                     "policy.apply shows what was applied");
    return CV_INTEGRITY;
}

/* Two floors: what this broker had in force before, and what the record's
 * leaves were written under. */
static enum cv_status check_floor(const struct cv_broker *b,
                                  const struct cv_store_policy *row,
                                  struct cv_err *err)
{
    const struct cv_log_policy *seen =
        b->vault->log != NULL ? cv_log_last_policy(b->vault->log) : NULL;

    if (b->policy != NULL && row->version < cv_policy_version(b->policy)) {
        cv_fail(err, CV_INTEGRITY,
                "the policy was rolled back: version %lld is in the store, "
                "%lld was in force",
                (long long)row->version,
                (long long)cv_policy_version(b->policy));
        return rolled_back(err);
    }
    if (seen != NULL && row->version < seen->version) {
        cv_fail(err, CV_INTEGRITY,
                "the policy was rolled back: version %lld is in the store, "
                "the record knows %lld",
                (long long)row->version, (long long)seen->version);
        return rolled_back(err);
    }
    if (seen != NULL && row->version == seen->version &&
        strcmp(row->sha256, seen->sha256) != 0) {
        cv_fail(err, CV_INTEGRITY,
                "the policy was changed: version %lld is another one in the "
                "record",
                (long long)row->version);
        return rolled_back(err);
    }
    return CV_OK;
}

static enum cv_status
take(struct cv_broker *b, const struct cv_store_policy *row, struct cv_err *err)
{
    uint8_t hash[crypto_generichash_BYTES];
    struct cv_policy *policy = NULL;
    cJSON *resolution = NULL;
    enum cv_status s = CV_OK;

    (void)crypto_generichash(hash, sizeof(hash),
                             (const uint8_t *)row->resolution,
                             strlen(row->resolution), NULL, 0);
    if (b->policy != NULL &&
        strcmp(row->sha256, cv_policy_sha256(b->policy)) == 0 &&
        memcmp(hash, b->resolution, sizeof(hash)) == 0) {
        return CV_OK;
    }
    s = cv_broker_policy_row(row, &policy, &resolution, err);
    cJSON_Delete(resolution);
    if (s != CV_OK) {
        cv_err_prefix(err, "the policy in force cannot be used");
        return s;
    }
    cv_policy_free(b->policy);
    b->policy = policy;
    memcpy(b->resolution, hash, sizeof(hash));
    return CV_OK;
}

enum cv_status cv_broker_policy_load(struct cv_broker *b, struct cv_err *err)
{
    struct cv_store_policy *row;
    enum cv_status s = cv_store_policy_current(b->vault->store, &row, err);

    if (s != CV_OK) {
        return s == CV_NOT_FOUND
                   ? cv_fail(err, CV_INTEGRITY, "the vault has no policy")
                   : s;
    }
    s = check_floor(b, row, err);
    if (s == CV_OK) {
        s = take(b, row, err);
    }
    cv_store_policy_free(row);
    return s;
}
