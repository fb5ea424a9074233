/* What can be mended is mended, once, and without a PIN; the rest is told. */
#include "tests/unit/pkcs11_rig.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static enum cv_status sign(struct rig *r, const struct cv_buf *spki)
{
    struct cv_sign_key key = {rig_bytes("id"), cv_buf_bytes(spki)};
    struct cv_buf signature;
    enum cv_status status;

    cv_buf_init(&signature, NULL, CV_LIMIT_SIGNATURE);
    cv_err_init(&r->err);
    status = cv_sign(r->pool, &key, "ecdsa_secp256r1_sha256",
                     rig_bytes("to be signed"), &signature, &r->err);
    assert_true((signature.len != 0) == (status == CV_OK));
    cv_buf_wipe(&signature);
    return status;
}

static size_t logins(const struct rig *r)
{
    return rig_count(r, "logins.log", "\n");
}

/* A token with one key, logged in. */
static void begin(struct rig *r, enum rig_kind kind, struct cv_buf *spki)
{
    rig_begin(r, kind);
    rig_login(r);
    cv_buf_init(spki, NULL, CV_LIMIT_ATTRIBUTE);
    assert_true(rig_generate(r, "p256", "id", true, spki));
    assert_int_equal(sign(r, spki), CV_OK);
}

static void end(struct rig *r, struct cv_buf *spki)
{
    cv_buf_wipe(spki);
    rig_end(r);
}

/* One answer that means that a session is no good: done again in another, with
 * the login that the module still holds. */
static void test_once(void **state)
{
    static const char *const calls[] = {
        "C_Sign",          "C_SignInit",         "C_FindObjectsInit",
        "C_FindObjects",   "C_FindObjectsFinal", "C_GetAttributeValue",
        "C_GetSessionInfo"};
    static const char *const answers[] = {
        "0x5", "0x6", "0x30", "0xb0", "0xb3", "0x82", "0x60", "0x91", "0x90"};
    struct rig r;
    struct cv_buf spki;
    char control[64];

    (void)state;
    begin(&r, RIG_FAKE, &spki);
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        for (size_t a = 0; a < sizeof(answers) / sizeof(answers[0]); a++) {
            (void)snprintf(control, sizeof(control), "once=%s rv:%s\n",
                           calls[c], answers[a]);
            rig_write(&r, "control", control);
            rig_remove(&r, "fired-1");
            if (sign(&r, &spki) != CV_OK) {
                fail_msg("%s: %s", control, r.err.text);
            }
            assert_int_equal(access(rig_path(&r, "fired-1"), F_OK), 0);
            assert_int_equal(cv_session_recover(r.pool), CV_RV_NONE);
        }
    }
    assert_int_equal(logins(&r), 1);
    end(&r, &spki);
}

/* The repair stumbles too: still no login is lost. */
static void test_twice(void **state)
{
    static const char *const calls[] = {"C_GetTokenInfo", "C_GetSlotInfo",
                                        "C_OpenSession", "C_CloseSession"};
    struct rig r;
    struct cv_buf spki;
    char control[96];

    (void)state;
    begin(&r, RIG_FAKE, &spki);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        (void)snprintf(control, sizeof(control),
                       "once=C_Sign rv:0x5\nonce=%s rv:0x5\n", calls[i]);
        rig_write(&r, "control", control);
        rig_remove(&r, "fired-1");
        rig_remove(&r, "fired-2");
        if (sign(&r, &spki) != CV_OK) {
            /* No session could be opened before the last was closed. */
            assert_string_equal(calls[i], "C_OpenSession");
            assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
            rig_login(&r);
        }
        assert_int_equal(access(rig_path(&r, "fired-2"), F_OK), 0);
        assert_int_equal(sign(&r, &spki), CV_OK);
    }
    end(&r, &spki);
}

/* The same answer again and again: told, with what is left to do. */
static void test_for_good(void **state)
{
    static const struct {
        const char *answer;
        enum cv_status status;
        enum cv_rv_recover recover;
    } table[] = {
        {"0x5", CV_UNAVAILABLE, CV_RV_RELOAD},
        {"0x30", CV_UNAVAILABLE, CV_RV_RELOAD},
        {"0x32", CV_LOCKED, CV_RV_RELOGIN}, /* sessions are closed then */
        {"0xb3", CV_UNAVAILABLE, CV_RV_RELOAD},
        {"0x82", CV_UNAVAILABLE, CV_RV_RELOAD},
        {"0x190", CV_UNAVAILABLE, CV_RV_RELOAD},
        {"0x1a0", CV_UNAVAILABLE, CV_RV_RESTART},
        {"0x2", CV_INTERNAL, CV_RV_NONE},
        {"0x31", CV_UNAVAILABLE, CV_RV_NONE},
    };
    char control[64];

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct rig r;
        struct cv_buf spki;

        begin(&r, RIG_FAKE, &spki);
        (void)snprintf(control, sizeof(control), "fault=C_Sign rv:%s\n",
                       table[i].answer);
        rig_write(&r, "control", control);
        if (sign(&r, &spki) != table[i].status ||
            cv_session_recover(r.pool) != table[i].recover) {
            fail_msg("%s: %s, %s", control, r.err.text,
                     cv_rv_recover_word(cv_session_recover(r.pool)));
        }
        /* And when it is over, all is well or a login is wanted. */
        rig_write(&r, "control", "");
        if (sign(&r, &spki) != CV_OK) {
            assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
        }
        assert_int_equal(logins(&r), 1);
        end(&r, &spki);
    }
}

/* After a reload everything is opened anew, and nobody is logged in. */
static void test_reload(void **state)
{
    struct rig r;
    struct cv_buf spki;

    (void)state;
    begin(&r, RIG_FAKE, &spki);
    assert_int_equal(cv_module_reload(r.module, &r.err), CV_OK);
    assert_int_equal(sign(&r, &spki), CV_LOCKED);
    assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
    assert_int_equal(logins(&r), 1);
    rig_login(&r);
    assert_int_equal(sign(&r, &spki), CV_OK);
    end(&r, &spki);
}

/* A module that does not start again: only another process helps. */
static void test_reload_fails(void **state)
{
    struct rig r;
    struct cv_buf spki;

    (void)state;
    begin(&r, RIG_FAKE, &spki);
    rig_write(&r, "control", "fault=C_Initialize rv:0x5\n");
    assert_int_equal(cv_module_reload(r.module, &r.err), CV_UNAVAILABLE);
    assert_false(cv_module_is_started(r.module));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sign(&r, &spki), CV_UNAVAILABLE);
        assert_int_equal(cv_session_recover(r.pool), CV_RV_RESTART);
    }
    end(&r, &spki);
}

/* The card is pulled in the middle, and put back. */
static void test_pulled(void **state)
{
    struct rig r;
    struct cv_buf spki;

    (void)state;
    begin(&r, RIG_FAKE, &spki);
    rig_write(&r, "control", "present=0\n");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sign(&r, &spki), CV_UNAVAILABLE);
        assert_int_equal(cv_session_recover(r.pool), CV_RV_GIVE_UP);
    }
    rig_write(&r, "control", "");
    assert_int_equal(sign(&r, &spki), CV_LOCKED);
    assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
    assert_int_equal(logins(&r), 1);
    rig_login(&r);
    assert_int_equal(sign(&r, &spki), CV_OK);
    assert_int_equal(logins(&r), 2);
    /* Another card in its place is not it. */
    rig_write(&r, "control", "serial=0002\n");
    cv_err_init(&r.err);
    assert_int_equal(cv_session_refresh(r.pool, &r.err), CV_UNAVAILABLE);
    assert_int_equal(sign(&r, &spki), CV_UNAVAILABLE);
    assert_int_equal(logins(&r), 2);
    end(&r, &spki);
}

/* Another program logs the token out, or closes everything. */
static void test_logged_out(void **state)
{
    static const char *const faults[] = {
        "once=C_Sign logout\n", "once=C_SignInit logout\n",
        "once=C_Sign sessions\n", "once=C_FindObjectsInit sessions\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct rig r;
        struct cv_buf spki;
        enum cv_status status;

        begin(&r, RIG_FAKE, &spki);
        rig_write(&r, "control", faults[i]);
        status = sign(&r, &spki);
        if (status == CV_OK) {
            /* This one signs on in an operation that was begun. */
            status = sign(&r, &spki);
        }
        if (status != CV_LOCKED) {
            fail_msg("%s: %s", faults[i], r.err.text);
        }
        assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
        assert_int_equal(logins(&r), 1);
        rig_login(&r);
        assert_int_equal(logins(&r), 2);
        assert_int_equal(sign(&r, &spki), CV_OK);
        end(&r, &spki);
    }
}

/* The token forgot the login and the module did not notice. */
static void test_login_lost_unnoticed(void **state)
{
    struct rig r;
    struct cv_buf spki;

    (void)state;
    begin(&r, RIG_FAKE, &spki);
    rig_write(&r, "control", "once=C_SignInit rv:0x101\n");
    assert_int_equal(sign(&r, &spki), CV_LOCKED);
    assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
    rig_login(&r);
    /* It really logged in anew. */
    assert_int_equal(logins(&r), 2);
    assert_int_equal(sign(&r, &spki), CV_OK);
    end(&r, &spki);
}

static unsigned worked;

static enum cv_status work(CK_FUNCTION_LIST *functions,
                           CK_SESSION_HANDLE session, void *context,
                           struct cv_err *err)
{
    (void)functions;
    (void)session;
    worked++;
    return cv_rv_fail(err, *(CK_RV *)context, "C_Work");
}

static unsigned work_with(struct rig *r, CK_RV rv, unsigned flags)
{
    worked = 0;
    assert_int_not_equal(cv_session_do(r->pool, flags, work, &rv, NULL), CV_OK);
    return worked;
}

static void test_how_often(void **state)
{
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_FAKE);
    assert_int_equal(work_with(&r, CKR_GENERAL_ERROR, 0), 2);
    assert_int_equal(work_with(&r, CKR_GENERAL_ERROR, CV_SESSION_ONCE), 1);
    assert_int_equal(cv_session_recover(r.pool), CV_RV_RETRY);
    assert_int_equal(work_with(&r, CKR_MECHANISM_INVALID, 0), 1);
    assert_int_equal(work_with(&r, CKR_PIN_INCORRECT, 0), 1);
    /* Not at all where a login is wanted and nobody is logged in. */
    assert_int_equal(work_with(&r, CKR_GENERAL_ERROR, CV_SESSION_USER), 0);
    assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOGIN);
    rig_end(&r);
}

static void test_bounded(void **state)
{
    CK_SESSION_HANDLE sessions[CV_LIMIT_TOKEN_SESSIONS], more = 0;
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_FAKE);
    for (size_t i = 0; i < CV_LIMIT_TOKEN_SESSIONS; i++) {
        sessions[i] = rig_session(&r, i % 2 == 0 ? CV_SESSION_RW : 0);
    }
    assert_int_equal(cv_session_take(r.pool, 0, &more, &r.err), CV_BUSY);
    cv_session_give(r.pool, sessions[1], false);
    /* Idle, but read-only: another is opened in its place. */
    more = rig_session(&r, CV_SESSION_RW);
    for (size_t i = 0; i < CV_LIMIT_TOKEN_SESSIONS; i++) {
        cv_session_give(r.pool, sessions[i], i % 2 == 0);
    }
    cv_session_give(r.pool, more, false);
    cv_session_give(r.pool, 4711, true); /* none of ours */
    rig_write(&r, "control", "fault=C_OpenSession rv:0xb1\n");
    assert_int_equal(cv_module_reload(r.module, NULL), CV_OK);
    assert_int_equal(cv_session_take(r.pool, 0, &more, &r.err), CV_BUSY);
    assert_int_equal(more, CK_INVALID_HANDLE);
    rig_end(&r);
}

/* This program again, as another process with the same token. */
static void elsewhere(const char *what)
{
    char self[] = "/proc/self/exe", verb[16];
    char *argv[] = {self, verb, NULL};
    int status = 0;
    pid_t pid;

    (void)snprintf(verb, sizeof(verb), "%s", what);
    assert_int_equal(posix_spawn(&pid, self, NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What that process does: all keys called "id" are destroyed. */
static int be_elsewhere(void)
{
    static const char *const none[] = {NULL};
    struct cv_module_configured c = {"rig", rig_file(RIG_SOFTHSM), NULL};
    struct cv_module_options o = {.configured = &c,
                                  .n_configured = 1,
                                  .folders = none,
                                  .own_files = true};
    struct cv_object_filter filter = {.id = rig_bytes("id")};
    CK_OBJECT_HANDLE found[8];
    struct rig r;
    const struct cv_module_entry *e = NULL;
    size_t n = 0;

    memset(&r, 0, sizeof(r));
    cv_arena_allow_unlocked();
    if (cv_arena_start(NULL) != CV_OK ||
        cv_module_list_new(&o, &r.list, NULL) != CV_OK ||
        cv_module_list_select(r.list, "rig", NULL, &e, NULL) != CV_OK ||
        cv_module_load(r.list, e, &r.module, NULL) != CV_OK ||
        cv_uri_parse("pkcs11:token=work", &r.uri, NULL) != CV_OK ||
        cv_session_pool_new(r.module, r.uri, &r.pool, NULL) != CV_OK ||
        cv_login_user(r.pool, rig_bytes(RIG_PIN), 0, NULL) != CV_OK) {
        return 1;
    }
    r.f = cv_module_functions(r.module);
    {
        CK_SESSION_HANDLE session = rig_session(&r, CV_SESSION_RW);

        if (cv_object_find(r.f, session, &filter, found, 8, &n, NULL) !=
                CV_OK ||
            n == 0) {
            return 1;
        }
        for (size_t i = 0; i < n; i++) {
            if (r.f->C_DestroyObject(session, found[i]) != CKR_OK) {
                return 1;
            }
        }
    }
    cv_session_pool_free(r.pool);
    cv_uri_free(r.uri);
    cv_module_free(r.module);
    cv_module_list_free(r.list);
    return 0;
}

/* The key is destroyed by another process, and made again. */
static void test_deleted_elsewhere(void **state)
{
    struct rig r;
    struct cv_buf spki;

    (void)state;
    begin(&r, RIG_SOFTHSM, &spki);
    elsewhere("destroy");
    assert_int_equal(sign(&r, &spki), CV_NOT_FOUND);
    assert_true(cv_session_logged_in(r.pool));
    cv_buf_wipe(&spki);
    assert_true(rig_generate(&r, "p256", "id", true, &spki));
    assert_int_equal(sign(&r, &spki), CV_OK);
    end(&r, &spki);
}

/* The token's folder goes: it is away, which is not that the key is lost. */
static void test_folder_removed(void **state)
{
    struct rig r;
    struct cv_buf spki;

    (void)state;
    begin(&r, RIG_SOFTHSM, &spki);
    assert_int_equal(rename(rig_path(&r, "tokens"), rig_path(&r, "away")), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sign(&r, &spki), CV_UNAVAILABLE);
        assert_int_equal(cv_session_recover(r.pool), CV_RV_RELOAD);
    }
    assert_int_equal(rename(rig_path(&r, "away"), rig_path(&r, "tokens")), 0);
    assert_int_equal(cv_module_reload(r.module, &r.err), CV_OK);
    assert_int_equal(sign(&r, &spki), CV_LOCKED);
    rig_login(&r);
    assert_int_equal(sign(&r, &spki), CV_OK);
    end(&r, &spki);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_for_good),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_reload_fails),
        cmocka_unit_test(test_pulled),
        cmocka_unit_test(test_logged_out),
        cmocka_unit_test(test_login_lost_unnoticed),
        cmocka_unit_test(test_how_often),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_deleted_elsewhere),
        cmocka_unit_test(test_folder_removed),
    };

    if (argc > 1 && strcmp(argv[1], "destroy") == 0) {
        return be_elsewhere();
    }
    return rig_result(cmocka_run_group_tests(tests, NULL, NULL));
}
