#include "vault/store/store_pin.h"

#include "vault/store/store_internal.h"

#include <string.h>

static void pin_digest(const struct cv_store *store, const char *token,
                       const struct cv_store_pin *pin,
                       uint8_t out[CV_STORE_DIGEST])
{
    const int64_t numbers[] = {pin->attempts, pin->begun, pin->last};
    uint8_t bytes[sizeof numbers];
    const struct cv_store_field fields[] = {
        {token, strlen(token)},
        {bytes, sizeof bytes},
    };

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)((uint64_t)numbers[i / 8] >> (8 * (i % 8)));
    }
    cv_store_digest_of(store, "logins", fields, 2, out);
}

/* The row that the statement stands on. */
static enum cv_status read_row(const struct cv_store *store, sqlite3_stmt *s,
                               struct cv_store_pin *pin, struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];

    pin->attempts = sqlite3_column_int64(s, 2);
    pin->begun = sqlite3_column_int64(s, 3);
    pin->last = sqlite3_column_int64(s, 4);
    pin_digest(store, cv_store_sql_column(s, 0), pin, digest);
    return cv_store_digest_check(s, 1, digest, "the list of logins", err);
}

enum cv_status cv_store_pin_get(struct cv_store *store, const char *token,
                                struct cv_store_pin *out, struct cv_err *err)
{
    sqlite3_stmt *s;
    bool row = false;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_PIN_GET, &s, err);

    memset(out, 0, sizeof *out);
    if (status != CV_OK) {
        return status;
    }
    cv_store_sql_text(s, 1, token);
    status = cv_store_sql_step(store, s, &row, err);
    if (status == CV_OK && row) {
        status = read_row(store, s, out, err);
        cv_store_sql_done(s);
    } else if (status == CV_OK) {
        status = cv_fail(err, CV_NOT_FOUND, "no login to it is open");
    }
    return status;
}

static bool is_token(const char *token)
{
    size_t len = strnlen(token, CV_STORE_PIN_TOKEN + 1);

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)token[i] < 0x20 || (unsigned char)token[i] > 0x7e) {
            return false;
        }
    }
    return len > 0 && len <= CV_STORE_PIN_TOKEN;
}

enum cv_status cv_store_pin_put(struct cv_store *store, const char *token,
                                const struct cv_store_pin *pin,
                                struct cv_err *err)
{
    uint8_t digest[CV_STORE_DIGEST];
    sqlite3_stmt *s;
    bool own;
    enum cv_status status;

    if (!is_token(token) || pin->attempts < 1) {
        return cv_fail(err, CV_INVALID, "not a token's identity");
    }
    status = cv_store_sql_enter(store, &own, err);
    if (status != CV_OK) {
        return status;
    }
    status = cv_store_sql_get(store, CV_SQL_PIN_PUT, &s, err);
    if (status == CV_OK) {
        pin_digest(store, token, pin, digest);
        cv_store_sql_text(s, 1, token);
        cv_store_sql_blob(s, 2, digest, sizeof digest);
        cv_store_sql_int(s, 3, pin->attempts);
        cv_store_sql_int(s, 4, pin->begun);
        cv_store_sql_int(s, 5, pin->last);
        status = cv_store_sql_run(store, s, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}

enum cv_status cv_store_pin_remove(struct cv_store *store, const char *token,
                                   struct cv_err *err)
{
    sqlite3_stmt *s;
    bool own;
    enum cv_status status = cv_store_sql_enter(store, &own, err);

    if (status != CV_OK) {
        return status;
    }
    status = cv_store_sql_get(store, CV_SQL_PIN_REMOVE, &s, err);
    if (status == CV_OK) {
        cv_store_sql_text(s, 1, token);
        status = cv_store_sql_run(store, s, err);
    }
    return cv_store_sql_leave(store, own, status, err);
}

enum cv_status cv_store_pin_list(struct cv_store *store, cv_store_pin_fn *fn,
                                 void *ctx, struct cv_err *err)
{
    sqlite3_stmt *s;
    bool row = true;
    enum cv_status status = cv_store_sql_get(store, CV_SQL_PIN_LIST, &s, err);

    while (status == CV_OK && row) {
        status = cv_store_sql_step(store, s, &row, err);
        if (status == CV_OK && row) {
            struct cv_store_pin pin;

            status = read_row(store, s, &pin, err);
            if (status == CV_OK) {
                status = fn(ctx, cv_store_sql_column(s, 0), &pin, err);
            }
            if (status != CV_OK) {
                cv_store_sql_done(s);
            }
        }
    }
    return status;
}
