#include "vault/broker/ledger.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FILE "logins.lock"
#define FIRST_FILE "logins.failed"
#define LOCK_WAIT_MS 60000
#define LOCK_STEP_MS 20

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

static enum cv_status failed_before(const struct cv_store_pin *pin,
                                    const char *uri, struct cv_err *err)
{
    char when[CV_CLOCK_TEXT_LEN];
    enum cv_status s = cv_fail(
        err, CV_AUTH,
        "the last login to this token failed or was cut off (%s, %" PRId64
        " since the last good one)",
        cv_clock_format(pin->last, when), pin->attempts);

    cv_err_state(err, "no PIN was tried: a wrong one may lock the token");
    cv_err_hint(err,
                "log in by hand when the PIN is sure: certvault token "
                "login '%s'",
                uri);
    return s;
}

/* It has failed so often that the next may be the last, and nobody can tell. */
static enum cv_status blind(const struct cv_store_pin *pin, struct cv_err *err)
{
    enum cv_status s = cv_fail(
        err, CV_AUTH,
        "%" PRId64 " logins to this token failed in a row, and it does not "
        "tell how many tries are left",
        pin->attempts);

    cv_err_state(err, "no PIN was tried: the next wrong one may lock it");
    cv_err_hint(err, "ask the token's own tool how many tries are left; token "
                     "login on a terminal asks whether to go on");
    return s;
}

static enum cv_status row_of(struct cv_store *store, const char *token,
                             struct cv_store_pin *pin, struct cv_err *err)
{
    struct cv_err missing;
    enum cv_status s;

    cv_err_init(&missing);
    s = cv_store_pin_get(store, token, pin, &missing);
    if (s == CV_NOT_FOUND) {
        memset(pin, 0, sizeof(*pin));
        return CV_OK;
    }
    if (s != CV_OK && err != NULL) {
        *err = missing;
    }
    return s;
}

static enum cv_status allowed(const struct cv_ledger_wish *wish,
                              const struct cv_store_pin *before,
                              struct cv_err *err)
{
    if (before->attempts == 0) {
        return CV_OK;
    }
    if (!wish->human || !wish->anew) {
        return failed_before(before, wish->uri, err);
    }
    if (!wish->told && before->attempts >= CV_LEDGER_BLIND &&
        wish->despite != before->attempts) {
        return blind(before, err);
    }
    return CV_OK;
}

enum cv_status cv_ledger_begin(struct cv_store *store, int dir,
                               const struct cv_ledger_wish *wish,
                               struct cv_ledger_attempt *out,
                               struct cv_err *err)
{
    struct cv_store_pin row;
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    out->lock = -1;
    if (strlen(wish->token) > CV_STORE_PIN_TOKEN) {
        return cv_fail(err, CV_INVALID, "the token's identity is too long");
    }
    memcpy(out->token, wish->token, strlen(wish->token) + 1);
    s = take_lock(dir, &out->lock, err);
    if (s == CV_OK) {
        s = row_of(store, out->token, &out->before, err);
    }
    if (s == CV_OK) {
        s = allowed(wish, &out->before, err);
    }
    if (s == CV_OK) {
        row = out->before;
        row.attempts++;
        row.last = cv_clock_now_s();
        row.begun = row.attempts == 1 ? row.last : row.begun;
        out->number = row.attempts;
        s = cv_store_pin_put(store, out->token, &row, err);
    }
    if (s != CV_OK) {
        cv_file_close(&out->lock);
    }
    return s;
}

void cv_ledger_finish(struct cv_store *store, struct cv_ledger_attempt *attempt,
                      enum cv_ledger_end how)
{
    if (attempt->lock == -1) {
        return;
    }
    if (how == CV_LEDGER_GOOD ||
        (how == CV_LEDGER_UNTRIED && attempt->before.attempts == 0)) {
        (void)!cv_store_pin_remove(store, attempt->token, NULL);
    } else if (how == CV_LEDGER_UNTRIED) {
        (void)!cv_store_pin_put(store, attempt->token, &attempt->before, NULL);
    }
    cv_file_close(&attempt->lock);
}

void cv_ledger_refused(struct cv_store *store, int dir, const char *token)
{
    struct cv_store_pin row;
    int lock = -1;

    if (take_lock(dir, &lock, NULL) != CV_OK) {
        return;
    }
    if (row_of(store, token, &row, NULL) == CV_OK && row.attempts == 0) {
        row.attempts = 1;
        row.begun = row.last = cv_clock_now_s();
        (void)!cv_store_pin_put(store, token, &row, NULL);
    }
    cv_file_close(&lock);
}

enum cv_status cv_ledger_look(struct cv_store *store, const char *token,
                              const char *uri, struct cv_err *err)
{
    struct cv_store_pin row;
    enum cv_status s = row_of(store, token, &row, err);

    return s == CV_OK && row.attempts > 0 ? failed_before(&row, uri, err) : s;
}

enum cv_status cv_ledger_first_look(int dir, bool human, struct cv_err *err)
{
    enum cv_status s;

    if (human || faccessat(dir, FIRST_FILE, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
        return CV_OK;
    }
    s = cv_fail(err, CV_AUTH,
                "the last login to a token from here failed or "
                "was cut off");
    cv_err_state(err, "no PIN was tried: a wrong one may lock the token");
    cv_err_hint(err, "run this on a terminal and type the PIN, or remove "
                     "" FIRST_FILE " in the vault's folder when it is sure");
    return s;
}

/* A private broker makes one login before there is a vault, and one at a time.
 */
static int first_lock = -1;

enum cv_status cv_ledger_first_begin(int dir, bool human, struct cv_err *err)
{
    static const char text[] = "a login that has not succeeded\n";
    const struct cv_bytes bytes = {(const uint8_t *)text, sizeof(text) - 1};
    enum cv_status s = take_lock(dir, &first_lock, err);

    if (s == CV_OK) {
        s = cv_ledger_first_look(dir, human, err);
    }
    if (s == CV_OK) {
        s = cv_file_replace(dir, FIRST_FILE, bytes, 0600, err);
    }
    if (s != CV_OK) {
        cv_file_close(&first_lock);
    }
    return s;
}

void cv_ledger_first_finish(int dir, enum cv_ledger_end how)
{
    if (how != CV_LEDGER_NOT_GOOD) {
        (void)unlinkat(dir, FIRST_FILE, 0);
    }
    cv_file_close(&first_lock);
}
