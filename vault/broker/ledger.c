#include "vault/broker/ledger.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FILE "logins.lock"
#define LOCK_WAIT_MS 60000
#define LOCK_STEP_MS 20
#define ROW_MAX CV_KIB(4)

/* "login-", 32 hex digits of the identity's SHA-256, NUL */
#define LEAF_LEN (6 + 32 + 1)

/* Another broker is at a login: it ends, or that broker does. */
static enum cv_status take_lock(int dir, int *lock, struct cv_err *err)
{
    const struct timespec pause = {.tv_nsec = LOCK_STEP_MS * 1000000L};
    enum cv_status s =
        cv_file_open(dir, LOCK_FILE, O_RDWR | O_CREAT, lock, err);

    for (long waited = 0; s == CV_OK; waited += LOCK_STEP_MS) {
        if (flock(*lock, LOCK_EX | LOCK_NB) == 0) {
            return CV_OK;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            s = cv_fail_errno(err, CV_IO, "cannot take the lock of logins");
        } else if (waited >= LOCK_WAIT_MS) {
            s = cv_fail(err, CV_BUSY,
                        "another program is logging in to a token");
            cv_err_state(err, "no PIN was tried");
            cv_err_hint(err, "see whether a card reader waits for its PIN, "
                             "then try again");
        } else {
            (void)nanosleep(&pause, NULL);
        }
    }
    cv_file_close(lock);
    return s;
}

static enum cv_status failed_before(const struct cv_ledger_row *row,
                                    const struct cv_ledger_wish *wish,
                                    struct cv_err *err)
{
    char when[CV_CLOCK_TEXT_LEN];
    enum cv_status s = cv_fail(
        err, CV_AUTH,
        "the last login to this token failed or was cut off (%s, %" PRId64
        " since the last good one)",
        cv_clock_format(row->last, when), row->attempts);

    cv_err_state(err, "no PIN was tried: a wrong one may lock the token");
    if (wish->first) {
        cv_err_hint(err, "run this on a terminal and type the PIN");
    } else {
        cv_err_hint(err,
                    "log in by hand when the PIN is sure: certvault token "
                    "login '%s'",
                    wish->uri);
    }
    return s;
}

/* It has failed so often that the next may be the last, and nobody can tell. */
static enum cv_status blind(const struct cv_ledger_row *row, struct cv_err *err)
{
    enum cv_status s = cv_fail(
        err, CV_AUTH,
        "%" PRId64 " logins to this token failed in a row, and it does not "
        "tell how many tries are left",
        row->attempts);

    cv_err_state(err, "no PIN was tried: the next wrong one may lock it");
    cv_err_hint(err, "ask the token's own tool how many tries are left; token "
                     "login on a terminal asks whether to go on");
    return s;
}

static void leaf_of(const char *token, char leaf[LEAF_LEN])
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    (void)crypto_hash_sha256(hash, (const unsigned char *)token, strlen(token));
    memcpy(leaf, "login-", 6);
    (void)sodium_bin2hex(leaf + 6, LEAF_LEN - 6, hash, (LEAF_LEN - 7) / 2);
}

static enum cv_status parse_row(struct cv_bytes text, const char *token,
                                struct cv_ledger_row *row, struct cv_err *err)
{
    const char *said = NULL;
    const struct cv_json_field fields[] = {
        {"token", CV_JSON_STRING, true, &said, CV_LEDGER_TOKEN},
        {"attempts", CV_JSON_INT, true, &row->attempts, 0},
        {"begun", CV_JSON_INT, true, &row->begun, 0},
        {"last", CV_JSON_INT, true, &row->last, 0},
    };
    cJSON *tree;
    enum cv_status s = cv_json_parse(NULL, text, &tree, err);

    if (s == CV_OK) {
        s = cv_json_read(tree, "a login", fields,
                         sizeof(fields) / sizeof(fields[0]), true, err);
    }
    if (s == CV_OK && (strcmp(said, token) != 0 || row->attempts < 1)) {
        s = cv_fail(err, CV_INTEGRITY, "the row is another token's");
    }
    cJSON_Delete(tree);
    return s;
}

/* What cannot be read is taken for a login that nobody knows the end of. */
static void row_of(int dir, const char *token, struct cv_ledger_row *row)
{
    char leaf[LEAF_LEN];
    struct cv_buf text;
    int fd;
    enum cv_status s;

    memset(row, 0, sizeof(*row));
    leaf_of(token, leaf);
    s = cv_file_open(dir, leaf, O_RDONLY, &fd, NULL);
    if (s == CV_NOT_FOUND) {
        return;
    }
    cv_buf_init(&text, NULL, ROW_MAX);
    if (s == CV_OK) {
        s = cv_file_read(fd, leaf, &text, NULL);
    }
    if (s == CV_OK) {
        s = parse_row(cv_buf_bytes(&text), token, row, NULL);
    }
    if (s != CV_OK) {
        *row = (struct cv_ledger_row){.attempts = 1};
    }
    cv_buf_wipe(&text);
    cv_file_close(&fd);
}

static enum cv_status put_row(int dir, const char *token,
                              const struct cv_ledger_row *row,
                              struct cv_err *err)
{
    char leaf[LEAF_LEN];
    struct cv_buf text;
    cJSON *tree = cJSON_CreateObject();
    enum cv_status s = CV_OK;

    leaf_of(token, leaf);
    cv_buf_init(&text, NULL, ROW_MAX);
    if (!cv_json_add_str(tree, "token", token) ||
        !cv_json_add_int(tree, "attempts", row->attempts) ||
        !cv_json_add_int(tree, "begun", row->begun) ||
        !cv_json_add_int(tree, "last", row->last)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        cv_json_write(tree, CV_JSON_COMPACT, &text);
        s = cv_buf_status(&text, "a login", err);
    }
    if (s == CV_OK) {
        s = cv_file_replace(dir, leaf, cv_buf_bytes(&text), 0600, err);
    }
    cJSON_Delete(tree);
    cv_buf_wipe(&text);
    return s;
}

/* Not synced: a row that comes back after a power failure is safe. */
static void remove_row(int dir, const char *token)
{
    char leaf[LEAF_LEN];

    leaf_of(token, leaf);
    (void)unlinkat(dir, leaf, 0);
}

static enum cv_status allowed(const struct cv_ledger_wish *wish,
                              const struct cv_ledger_row *before,
                              struct cv_err *err)
{
    if (before->attempts == 0 || (wish->first && wish->human)) {
        return CV_OK;
    }
    if (!wish->human || !wish->anew) {
        return failed_before(before, wish, err);
    }
    if (!wish->told && before->attempts >= CV_LEDGER_BLIND &&
        wish->despite != before->attempts) {
        return blind(before, err);
    }
    return CV_OK;
}

/* The lock is held. */
static enum cv_status note(const struct cv_ledger_wish *wish,
                           struct cv_ledger_attempt *attempt,
                           struct cv_err *err)
{
    struct cv_ledger_row row;
    enum cv_status s;

    row_of(attempt->dir, attempt->token, &attempt->before);
    s = allowed(wish, &attempt->before, err);
    if (s != CV_OK) {
        return s;
    }
    row = attempt->before;
    row.attempts++;
    row.last = cv_clock_now_s();
    row.begun = row.attempts == 1 ? row.last : row.begun;
    return put_row(attempt->dir, attempt->token, &row, err);
}

enum cv_status cv_ledger_begin(int dir, const struct cv_ledger_wish *wish,
                               struct cv_ledger_attempt *out,
                               struct cv_err *err)
{
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    out->dir = dir;
    out->lock = -1;
    if (strlen(wish->token) > CV_LEDGER_TOKEN) {
        return cv_fail(err, CV_INVALID, "the token's identity is too long");
    }
    memcpy(out->token, wish->token, strlen(wish->token) + 1);
    s = take_lock(dir, &out->lock, err);
    if (s == CV_OK) {
        s = note(wish, out, err);
    }
    if (s != CV_OK) {
        cv_file_close(&out->lock);
    }
    return s;
}

void cv_ledger_finish(struct cv_ledger_attempt *attempt, enum cv_ledger_end how)
{
    if (attempt->lock == -1) {
        return;
    }
    if (how == CV_LEDGER_GOOD ||
        (how == CV_LEDGER_UNTRIED && attempt->before.attempts == 0)) {
        remove_row(attempt->dir, attempt->token);
    } else if (how == CV_LEDGER_UNTRIED) {
        (void)!put_row(attempt->dir, attempt->token, &attempt->before, NULL);
    }
    cv_file_close(&attempt->lock);
}

void cv_ledger_refused(int dir, const char *token)
{
    struct cv_ledger_row row;
    int lock = -1;

    if (strlen(token) > CV_LEDGER_TOKEN ||
        take_lock(dir, &lock, NULL) != CV_OK) {
        return;
    }
    row_of(dir, token, &row);
    if (row.attempts == 0) {
        row.attempts = 1;
        row.begun = row.last = cv_clock_now_s();
        (void)!put_row(dir, token, &row, NULL);
    }
    cv_file_close(&lock);
}

enum cv_status cv_ledger_look(int dir, const char *token, const char *uri,
                              struct cv_err *err)
{
    const struct cv_ledger_wish wish = {.token = token, .uri = uri};
    struct cv_ledger_row row;

    row_of(dir, token, &row);
    return row.attempts > 0 ? failed_before(&row, &wish, err) : CV_OK;
}

int64_t cv_ledger_attempts(int dir, const char *token)
{
    struct cv_ledger_row row;

    row_of(dir, token, &row);
    return row.attempts;
}
