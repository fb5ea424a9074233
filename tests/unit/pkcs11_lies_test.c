/* The library against a module that lies and breaks (H39 to H50 of the hostile
 * inputs): nothing is believed, no PIN is tried that nobody asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those. */
#include <cmocka.h>

#include "pkcs11/sign.h"
#include "tests/fakes/misbehaving/misbehaving.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char folder[64];
static struct cv_module_list *list;
static struct cv_module *module;
static struct cv_session_pool *pool;
static struct cv_buf spki;
static const struct cv_bytes id = {(const uint8_t *)"the-id", 6};
static const struct cv_bytes right = {(const uint8_t *)"1234", 4};
static const struct cv_bytes wrong = {(const uint8_t *)"4321", 4};
static const struct cv_bytes text = {(const uint8_t *)"what is signed", 14};

static void write_text(const char *name, const char *what)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(what, f);
    assert_int_equal(fclose(f), 0);
}

static void control(const char *what)
{
    write_text("control", what);
}

/* C_Login calls that reached the token. */
static size_t attempts(void)
{
    char path[128], line[128];
    size_t n = 0;

    snprintf(path, sizeof(path), "%s/logins.log", folder);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        n++;
    if (f != NULL)
        fclose(f);
    return n;
}

static enum cv_status load(const char *path, struct cv_err *err)
{
    const struct cv_module_configured configured = {
        .name = "fake", .path = path, .reserved = NULL};
    static const char *const none[] = {NULL};
    const struct cv_module_options options = {.configured = &configured,
                                              .n_configured = 1,
                                              .folders = none,
                                              .own_files = true};
    const struct cv_module_entry *entry = NULL;
    enum cv_status s = cv_module_list_new(&options, &list, err);

    if (s == CV_OK)
        s = cv_module_list_select(list, "fake", NULL, &entry, err);
    if (s == CV_OK)
        s = cv_module_load(list, entry, &module, err);
    return s;
}

static void make_key(void)
{
    static unsigned char curve[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_BBOOL yes = CK_TRUE;
    char key_id[] = "the-id";
    CK_ATTRIBUTE pub[] = {{CKA_TOKEN, &yes, 1},
                          {CKA_ID, key_id, 6},
                          {CKA_EC_PARAMS, curve, sizeof(curve)}};
    CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &yes, 1}, {CKA_ID, key_id, 6}};
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_OBJECT_HANDLE pub_key, key;
    CK_SESSION_HANDLE session;
    struct cv_err err = {0};
    CK_FUNCTION_LIST *f = cv_module_functions(module);

    assert_int_equal(
        cv_session_take(pool, CV_SESSION_RW | CV_SESSION_USER, &session, &err),
        CV_OK);
    assert_int_equal(f->C_GenerateKeyPair(session, &mechanism, pub, COUNT(pub),
                                          priv, COUNT(priv), &pub_key, &key),
                     CKR_OK);
    cv_buf_wipe(&spki);
    assert_int_equal(
        cv_object_spki((struct cv_attribute_place){f, session, pub_key}, &spki,
                       &err),
        CV_OK);
    cv_session_give(pool, session, false);
}

/* A token, and nothing loaded. */
static int setup_token(void **state)
{
    char path[128];

    (void)state;
    cv_buf_init(&spki, NULL, 4096);
    snprintf(folder, sizeof(folder), "/tmp/lies-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/control", folder);
    setenv(MISBEHAVING_CONTROL, path, 1);
    control("");
    write_text("pin", "1234");
    return 0;
}

static int setup(void **state)
{
    struct cv_err err = {0};
    struct cv_uri *uri = NULL;

    if (setup_token(state) != 0 || load(CV_MISBEHAVING_MODULE, &err) != CV_OK ||
        cv_uri_parse("pkcs11:token=rig", &uri, &err) != CV_OK ||
        cv_session_pool_new(module, uri, &pool, &err) != CV_OK) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    cv_uri_free(uri);
    return 0;
}

/* As setup, logged in and with a key. */
static int setup_key(void **state)
{
    struct cv_err err = {0};

    if (setup(state) != 0 || cv_login_user(pool, right, 0, &err) != CV_OK)
        return -1;
    make_key();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    control("");
    cv_session_pool_free(pool);
    cv_module_free(module);
    cv_module_list_free(list);
    cv_buf_wipe(&spki);
    pool = NULL;
    module = NULL;
    list = NULL;
    pid_t pid = fork();
    if (pid == 0)
        execlp("rm", "rm", "-rf", folder, (char *)NULL);
    return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

static enum cv_status sign(struct cv_err *err)
{
    struct cv_sign_key key = {id, cv_buf_bytes(&spki)};
    struct cv_buf out;

    cv_buf_init(&out, NULL, 4096);
    enum cv_status s =
        cv_sign(pool, &key, "ecdsa_secp256r1_sha256", text, &out, err);
    /* Nothing leaves that was not verified. */
    assert_true(s == CV_OK ? out.len > 64 : out.len == 0);
    cv_buf_wipe(&out);
    return s;
}

/* --- PINs (H39, H40) --- */

static void flags_are_read_before_each_login(void **state)
{
    static const struct {
        const char *flags;
        enum cv_status machine, human;
    } rows[] = {
        {"flags=low\n", CV_LOCKED, CV_OK},
        {"flags=final\n", CV_LOCKED, CV_LOCKED},
        {"flags=locked\n", CV_LOCKED, CV_LOCKED},
        {"flags=zero\n", CV_OK, CV_OK},
        {"flags=honest\n", CV_OK, CV_OK},
    };
    struct cv_err err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        for (unsigned human = 0; human < 2; human++) {
            enum cv_status wanted = human ? rows[i].human : rows[i].machine;
            size_t before = attempts();
            control(rows[i].flags);
            assert_int_equal(
                cv_login_user(pool, right, human ? CV_LOGIN_HUMAN : 0, &err),
                wanted);
            assert_int_equal(attempts() - before, wanted == CV_OK);
            assert_int_equal(cv_login_out(pool, &err), CV_OK);
        }
}

static void a_wrong_pin_is_one_attempt(void **state)
{
    struct cv_err err = {0};

    (void)state;
    assert_int_equal(cv_login_user(pool, wrong, CV_LOGIN_HUMAN, &err), CV_AUTH);
    assert_int_equal(attempts(), 1);
    /* The count is low now: a program does not go on, a person may. */
    assert_int_equal(cv_login_user(pool, right, 0, &err), CV_LOCKED);
    assert_int_equal(attempts(), 1);
    assert_int_equal(cv_login_user(pool, wrong, CV_LOGIN_HUMAN, &err), CV_AUTH);
    assert_int_equal(attempts(), 2);
    assert_int_equal(cv_login_user(pool, right, CV_LOGIN_HUMAN, &err),
                     CV_LOCKED);
    assert_int_equal(attempts(), 2);
}

static void an_empty_pin_reaches_no_module(void **state)
{
    static const struct cv_bytes empty = {(const uint8_t *)"", 0};
    struct cv_err err = {0};

    (void)state;
    assert_int_not_equal(cv_login_user(pool, empty, CV_LOGIN_HUMAN, &err),
                         CV_OK);
    assert_int_not_equal(
        cv_login_user(pool, (struct cv_bytes){NULL, 0}, 0, &err), CV_OK);
    assert_int_equal(attempts(), 0);
}

static void on_the_pin_pad(void **state)
{
    struct cv_err err = {0};

    (void)state;
    control("pin-pad=1\n");
    write_text("pad", "1234");
    assert_int_equal(cv_session_refresh(pool, &err), CV_OK);
    assert_int_equal(
        cv_login_user(pool, (struct cv_bytes){NULL, 0}, CV_LOGIN_HUMAN, &err),
        CV_OK);
    assert_int_equal(attempts(), 1);
}

static void a_key_that_wants_its_pin_each_time(void **state)
{
    struct cv_err err = {0};

    (void)state;
    control("always-authenticate=1\n");
    assert_int_equal(cv_login_user(pool, right, 0, &err), CV_OK);
    make_key();
    size_t before = attempts();
    assert_int_equal(sign(&err), CV_LOCKED);
    assert_int_equal(attempts(), before);
    assert_int_equal(cv_login_out(pool, &err), CV_OK);
    assert_int_equal(cv_login_user(pool, right, CV_LOGIN_KEEP, &err), CV_OK);
    before = attempts();
    assert_int_equal(sign(&err), CV_OK);
    assert_int_equal(sign(&err), CV_OK);
    assert_int_equal(attempts(), before + 2);
}

/* What was kept is wrong by now: tried once, then wiped. */
static void a_kept_pin_is_not_tried_twice(void **state)
{
    struct cv_err err = {0};

    (void)state;
    control("always-authenticate=1\n");
    assert_int_equal(cv_login_user(pool, right, CV_LOGIN_KEEP, &err), CV_OK);
    make_key();
    write_text("pin", "5678");
    size_t before = attempts();
    for (int i = 0; i < 5; i++)
        assert_int_not_equal(sign(&err), CV_OK);
    assert_int_equal(attempts(), before + 1);
}

/* --- modules (H42) --- */

static int load_in_a_child(const char *path)
{
    int status;

    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct cv_err err = {0};
        _exit((int)load(path, &err));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void function_lists_that_are_none(void **state)
{
    static const char *const lies[] = {
        "none",      "null-all",  "null:C_Sign",  "null:C_Finalize",
        "version:3", "version:1", "null:C_Login", "error"};
    char line[64];

    (void)state;
    for (size_t i = 0; i < COUNT(lies); i++) {
        snprintf(line, sizeof(line), "list=%s\n", lies[i]);
        control(line);
        int got = load_in_a_child(CV_MISBEHAVING_MODULE);
        if (got != CV_CONFIG &&
            (got != CV_UNAVAILABLE || strcmp(lies[i], "error") != 0))
            fail_msg("list=%s: status %d", lies[i], got);
    }
    control("");
    assert_int_equal(load_in_a_child(CV_NO_LIST_MODULE), CV_CONFIG);
    assert_int_equal(load_in_a_child(CV_MISBEHAVING_MODULE), CV_OK);
}

/* --- attributes (H44) --- */

static void lengths_are_not_believed(void **state)
{
    static const char *const lies[] = {"length=max\n", "length=grow\n",
                                       "id=huge\n"};
    struct cv_err err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(lies); i++) {
        control(lies[i]);
        enum cv_status s = sign(&err);
        if (s == CV_OK)
            fail_msg("%s was believed", lies[i]);
    }
    control("");
    assert_int_equal(sign(&err), CV_OK);
}

/* --- signatures (H50), handles (H45) --- */

static void signatures_are_verified(void **state)
{
    static const char *const lies[] = {"sign=wrong\n", "sign=zero\n",
                                       "sign=short\n", "sign=long\n",
                                       "sign=empty\n"};
    struct cv_err err = {0};

    (void)state;
    assert_int_equal(sign(&err), CV_OK);
    for (size_t i = 0; i < COUNT(lies); i++) {
        control(lies[i]);
        if (sign(&err) != CV_INTEGRITY)
            fail_msg("%s", lies[i]);
    }
}

static void a_handle_that_is_another_key(void **state)
{
    struct cv_err err = {0};
    struct cv_buf kept = spki;

    (void)state;
    cv_buf_init(&spki, NULL, 4096);
    make_key(); /* the same id, another key: now nothing tells which */
    cv_buf_wipe(&spki);
    spki = kept;
    enum cv_status s = sign(&err);
    assert_true(s == CV_OK || s == CV_INTEGRITY);
    control("handles=stale\n");
    assert_int_equal(sign(&err), CV_INTEGRITY);
}

/* --- devices that go away (H45, H46) --- */

static void what_can_be_mended_is(void **state)
{
    static const char *const faults[] = {
        "once=C_SignInit sessions\n",
        "once=C_Sign rv:0x30\n",     /* DEVICE_ERROR */
        "once=C_SignInit rv:0xb3\n", /* SESSION_HANDLE_INVALID */
        "once=C_SignInit rv:0x82\n", /* OBJECT_HANDLE_INVALID */
        "once=C_FindObjectsInit rv:0xb3\n",
    };
    struct cv_err err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(faults); i++) {
        char fired[128];
        size_t before = attempts();
        snprintf(fired, sizeof(fired), "%s/fired-1", folder);
        unlink(fired);
        control(faults[i]);
        (void)sign(&err);
        /* No PIN by itself, whatever happened. */
        assert_int_equal(attempts(), before);
        control("");
        enum cv_status s = sign(&err);
        if (s == CV_LOCKED) {
            assert_int_equal(cv_login_user(pool, right, 0, &err), CV_OK);
            s = sign(&err);
        }
        if (s != CV_OK)
            fail_msg("after %s: %s", faults[i], err.text);
    }
}

static void pulled_and_put_back(void **state)
{
    struct cv_err err = {0};
    size_t before = attempts();

    (void)state;
    control("present=0\n");
    assert_int_equal(sign(&err), CV_UNAVAILABLE);
    assert_int_equal(sign(&err), CV_UNAVAILABLE);
    control("");
    assert_int_equal(sign(&err), CV_LOCKED);
    assert_int_equal(attempts(), before);
    assert_int_equal(cv_login_user(pool, right, 0, &err), CV_OK);
    assert_int_equal(sign(&err), CV_OK);
}

static void another_program_logged_it_out(void **state)
{
    struct cv_err err = {0};
    size_t before = attempts();

    (void)state;
    control("once=C_FindObjectsInit logout\n");
    assert_int_not_equal(sign(&err), CV_INTEGRITY);
    assert_int_equal(sign(&err), CV_LOCKED);
    assert_int_equal(attempts(), before);
}

static void broken_for_good(void **state)
{
    struct cv_err err = {0};
    size_t before = attempts();

    (void)state;
    control("fault=1+ rv:0x5\n"); /* GENERAL_ERROR */
    assert_int_equal(sign(&err), CV_UNAVAILABLE);
    enum cv_rv_recover recover = cv_session_recover(pool);
    assert_true(recover == CV_RV_RELOAD || recover == CV_RV_RESTART);
    assert_int_equal(attempts(), before);
}

int main(void)
{
    struct cv_err err = {0};
#define LOGGED_OUT(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define WITH_KEY(name) \
    cmocka_unit_test_setup_teardown(name, setup_key, teardown)
    const struct CMUnitTest tests[] = {
        LOGGED_OUT(flags_are_read_before_each_login),
        LOGGED_OUT(a_wrong_pin_is_one_attempt),
        LOGGED_OUT(an_empty_pin_reaches_no_module),
        LOGGED_OUT(on_the_pin_pad),
        LOGGED_OUT(a_key_that_wants_its_pin_each_time),
        LOGGED_OUT(a_kept_pin_is_not_tried_twice),
        cmocka_unit_test_setup_teardown(function_lists_that_are_none,
                                        setup_token, teardown),
        WITH_KEY(lengths_are_not_believed),
        WITH_KEY(signatures_are_verified),
        WITH_KEY(a_handle_that_is_another_key),
        WITH_KEY(what_can_be_mended_is),
        WITH_KEY(pulled_and_put_back),
        WITH_KEY(another_program_logged_it_out),
        WITH_KEY(broken_for_good),
    };

    if (cv_arena_start(&err) != CV_OK || cv_sign_start(&err) != CV_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
