#include "vault/store/store_policy.h"

#include "vault/base/limits.h"
#include "vault/store/store_internal.h"

#include <stdlib.h>
#include <string.h>

static void policy_digest(const struct cv_store *store,
                          const struct cv_store_policy *p,
                          uint8_t out[CV_STORE_DIGEST])
{
    const int64_t numbers[] = {p->version, p->applied};
    uint8_t bytes[16];
    const struct cv_store_field fields[] = {
        {bytes, sizeof bytes},
        {p->sha256, strlen(p->sha256)},
        {p->text, strlen(p->text)},
        {p->resolution, strlen(p->resolution)},
    };

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)((uint64_t)numbers[i / 8] >> (8 * (i % 8)));
    }
    cv_store_digest_of(store, "policy", fields, 4, out);
}

/* The row that the statement stands on; texts are the statement's. */
static enum cv_status read_row(struct cv_store *store, sqlite3_stmt *s,
                               struct cv_store_policy *out, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];

    out->version = sqlite3_column_int64(s, 0);
    out->sha256 = cv_store_sql_column(s, 1);
    out->applied = sqlite3_column_int64(s, 2);
    out->text = cv_store_sql_column(s, 4);
    out->resolution = cv_store_sql_column(s, 5);
    policy_digest(store, out, digest);
    return cv_store_digest_check(s, 3, digest, "a policy", err);
}

struct copy {
    struct cv_store_policy policy;
    char *texts[3];
};

void cv_store_policy_free(struct cv_store_policy *policy)
{
    struct copy *copy = (struct copy *)(void *)policy;

    if (copy == NULL) {
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        free(copy->texts[i]);
    }
    free(copy);
}

static enum cv_status copy_row(const struct cv_store_policy *row,
                               struct cv_store_policy **out, struct cv_err *err)
{
    struct copy *copy = calloc(1, sizeof *copy);

    if (copy == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    copy->policy = *row;
    copy->policy.sha256 = copy->texts[0] = strdup(row->sha256);
    copy->policy.text = copy->texts[1] = strdup(row->text);
    copy->policy.resolution = copy->texts[2] = strdup(row->resolution);
    if (copy->texts[0] == NULL || copy->texts[1] == NULL ||
        copy->texts[2] == NULL) {
        cv_store_policy_free(&copy->policy);
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    *out = &copy->policy;
    return CV_OK;
}

/* The first row of a statement, NULL where there is none. */
static enum cv_status get_row(struct cv_store *store, sqlite3_stmt *s,
                              struct cv_store_policy **out, struct cv_err *err)
{
    struct cv_store_policy row;
    bool found = false;
    enum cv_status status = cv_store_sql_step(store, s, &found, err);

    if (status != CV_OK || !found) {
        return status;
    }
    status = read_row(store, s, &row, err);
    if (status == CV_OK) {
        status = copy_row(&row, out, err);
    }
    cv_store_sql_done(s);
    return status;
}

enum cv_status cv_store_policy_current(struct cv_store *store,
                                       struct cv_store_policy **out,
                                       struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_POLICY_CURRENT, &s, err);

    *out = NULL;
    if (status == CV_OK) {
        status = get_row(store, s, out, err);
    }
    if (status == CV_OK && *out == NULL) {
        status = cv_fail(err, CV_NOT_FOUND, "no policy was ever applied");
    }
    return status;
}

enum cv_status cv_store_policy_version(struct cv_store *store, int64_t version,
                                       struct cv_store_policy **out,
                                       struct cv_err *err)
{
    sqlite3_stmt *s;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_POLICY_VERSION, &s, err);

    *out = NULL;
    if (status == CV_OK) {
        cv_store_sql_int(s, 1, version);
        status = get_row(store, s, out, err);
    }
    if (status == CV_OK && *out == NULL) {
        status = cv_fail(err, CV_NOT_FOUND,
                         "no policy of version %lld was applied here",
                         (long long)version);
        cv_err_hint(err, "certvault policy history lists them");
    }
    return status;
}

static enum cv_status check(const struct cv_store_policy *p, struct cv_err *err)
{
    if (p->version < 0 || p->sha256 == NULL || p->text == NULL ||
        p->resolution == NULL ||
        strspn(p->sha256, "0123456789abcdef") != CV_STORE_HASH ||
        p->sha256[CV_STORE_HASH] != '\0' ||
        strnlen(p->text, CV_LIMIT_POLICY + 1) > CV_LIMIT_POLICY ||
        strnlen(p->resolution, CV_STORE_DOC_MAX + 1) > CV_STORE_DOC_MAX) {
        return cv_fail(err, CV_INVALID, "not a policy that can be stored");
    }
    return CV_OK;
}

/* Does `next` go on from `now`; *same: there is nothing to write. */
static enum cv_status compare(const struct cv_store_policy *now,
                              const struct cv_store_policy *next, bool *same,
                              struct cv_err *err)
{
    *same = false;
    if (next->version > now->version) {
        return CV_OK;
    }
    if (next->version < now->version) {
        cv_fail(err, CV_INTEGRITY,
                "version %lld is older than the policy in force, %lld",
                (long long)next->version, (long long)now->version);
    } else if (strcmp(next->sha256, now->sha256) != 0) {
        cv_fail(err, CV_INTEGRITY,
                "version %lld is in force already, with another text",
                (long long)now->version);
    } else {
        *same = strcmp(next->resolution, now->resolution) == 0;
        return CV_OK;
    }
    cv_err_hint(err, "give the policy a higher version");
    return CV_INTEGRITY;
}

static enum cv_status put(struct cv_store *store,
                          const struct cv_store_policy *p, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_POLICY_PUT, &s, err);

    if (status != CV_OK) {
        return status;
    }
    policy_digest(store, p, digest);
    cv_store_sql_int(s, 1, p->version);
    cv_store_sql_text(s, 2, p->sha256);
    cv_store_sql_int(s, 3, p->applied);
    cv_store_sql_blob(s, 4, digest, sizeof digest);
    cv_store_sql_text(s, 5, p->text);
    cv_store_sql_text(s, 6, p->resolution);
    return cv_store_sql_run(store, s, err);
}

enum cv_status cv_store_policy_put(struct cv_store *store,
                                   const struct cv_store_policy *policy,
                                   struct cv_err *err)
{
    struct cv_store_policy *now = NULL;
    struct cv_err why;
    bool own = false, same = false;
    enum cv_status status = check(policy, err);

    if (status == CV_OK) {
        status = cv_store_sql_enter(store, &own, err);
    }
    if (status != CV_OK) {
        return status;
    }
    cv_err_init(&why);
    status = cv_store_policy_current(store, &now, &why);
    if (status == CV_OK && now != NULL) {
        status = compare(now, policy, &same, err);
    } else if (status == CV_NOT_FOUND) {
        status = CV_OK;
    } else if (err != NULL) {
        *err = why;
    }
    cv_store_policy_free(now);
    if (status == CV_OK && !same) {
        status = put(store, policy, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}

enum cv_status cv_store_policy_history(struct cv_store *store,
                                       cv_store_policy_fn *fn, void *ctx,
                                       struct cv_err *err)
{
    sqlite3_stmt *s;
    bool row = true;
    enum cv_status status =
        cv_store_sql_get(store, CV_SQL_POLICY_HISTORY, &s, err);

    while (status == CV_OK && row) {
        status = cv_store_sql_step(store, s, &row, err);
        if (status == CV_OK && row) {
            struct cv_store_policy policy;

            status = read_row(store, s, &policy, err);
            policy.text = NULL;
            policy.resolution = NULL;
            status = status == CV_OK ? fn(ctx, &policy, err) : status;
            if (status != CV_OK) {
                cv_store_sql_done(s);
            }
        }
    }
    return status;
}
