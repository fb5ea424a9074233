/* P10: every attack of pkcs11/examine.h against a module that has exactly the
 * hole that the attack looks for, and then against one that has none. An attack
 * that never succeeds shows nothing about the attacker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those. */
#include <cmocka.h>

#include "pkcs11/import.h"
#include "pkcs11/sign.h"
#include "tests/fakes/misbehaving/misbehaving.h"
#include "tests/unit/full.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char folder[64];
static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;
static const char *const kinds[] = {"p256", "rsa2048"};

/* RSA keys take long to make: in a short run only where nothing else will do.
 */
static bool too_long(size_t kind, const char *hole)
{
    return kind == 1 && !cv_full_run() && strcmp(hole, "read-primes") != 0 &&
           strcmp(hole, "decrypt") != 0;
}

static void write_text(const char *name, const char *what)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(what, f);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    CK_RV (*get_list)(CK_FUNCTION_LIST **);
    char path[128];
    unsigned char pin[] = "1234";
    void *module = dlopen(CV_MISBEHAVING_MODULE, RTLD_NOW | RTLD_LOCAL);

    (void)state;
    if (module == NULL)
        return -1;
    void *symbol = dlsym(module, "C_GetFunctionList");
    memcpy(&get_list, &symbol, sizeof(get_list));
    snprintf(folder, sizeof(folder), "/tmp/holes-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/control", folder);
    setenv(MISBEHAVING_CONTROL, path, 1);
    write_text("control", "");
    write_text("pin", "1234");
    return get_list(&p11) != CKR_OK || p11->C_Initialize(NULL) != CKR_OK ||
           p11->C_OpenSession(1, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                              NULL, &session) != CKR_OK ||
           p11->C_Login(session, CKU_USER, pin, 4) != CKR_OK;
}

static int teardown(void **state)
{
    (void)state;
    p11->C_Finalize(NULL);
    pid_t pid = fork();
    if (pid == 0)
        execlp("rm", "rm", "-rf", folder, (char *)NULL);
    return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

/* Handles of all that is there; removed where `destroy`. */
static size_t objects(bool destroy)
{
    CK_OBJECT_HANDLE found[64];
    CK_ULONG n = 0;

    assert_int_equal(p11->C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(p11->C_FindObjects(session, found, COUNT(found), &n),
                     CKR_OK);
    assert_int_equal(p11->C_FindObjectsFinal(session), CKR_OK);
    for (CK_ULONG i = 0; i < n && destroy; i++)
        assert_int_equal(p11->C_DestroyObject(session, found[i]), CKR_OK);
    return n;
}

static enum cv_status make(const char *kind, const char *lie, bool allow_leaky,
                           struct cv_import_result *out, struct cv_err *err)
{
    const struct cv_generate_order order = {
        .algorithm = kind,
        .purpose = CV_GENERATE_SIGN,
        .id = {(const uint8_t *)"0123456789abcdef", 16},
        .label = "certvault:test"};
    struct cv_buf spki;

    cv_buf_init(&spki, NULL, 4096);
    write_text("control", lie);
    enum cv_status s = cv_import_generate(p11, session, &order, allow_leaky,
                                          NULL, &spki, out, err);
    write_text("control", "");
    cv_buf_wipe(&spki);
    return s;
}

static void none_where_there_is_no_hole(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct cv_import_result result = {0};
        struct cv_err err = {0};
        if (make(kinds[k], "", false, &result, &err) != CV_OK)
            fail_msg("%s: %s", kinds[k], err.text);
        for (size_t a = 0; a < CV_EXAMINE_ATTACKS; a++) {
            enum cv_examine_result got = result.findings.attacks[a].result;
            if (got == CV_EXAMINE_LEAKED || got == CV_EXAMINE_MISUSED)
                fail_msg("%s: %s", kinds[k], cv_examine_attack_name(a));
        }
        assert_false(result.findings.leaky);
        objects(true);
    }
}

/* What the attack of the hole finds; others may find it as well. */
static enum cv_examine_result found(const char *kind, const char *hole,
                                    enum cv_examine_attack attack, bool *leaky)
{
    struct cv_import_result result = {0};
    struct cv_err err = {0};
    char lie[64];

    snprintf(lie, sizeof(lie), "leak=%s\n", hole);
    enum cv_status s = make(kind, lie, true, &result, &err);
    if (s != CV_OK && s != CV_INTEGRITY)
        fail_msg("%s, %s: %s", kind, hole, err.text);
    if (s != CV_OK)
        assert_int_equal(objects(false), 0);
    objects(true);
    *leaky = result.findings.leaky;
    return result.findings.attacks[attack].result;
}

static void each_attack_finds_its_hole(void **state)
{
    (void)state;
    for (size_t a = 0; a < CV_EXAMINE_ATTACKS; a++) {
        const char *hole = cv_examine_attack_name((enum cv_examine_attack)a);
        bool seen = false;
        for (size_t k = 0; k < COUNT(kinds); k++) {
            bool leaky;
            if (too_long(k, hole))
                continue;
            enum cv_examine_result got =
                found(kinds[k], hole, (enum cv_examine_attack)a, &leaky);
            seen =
                seen || got == CV_EXAMINE_LEAKED || got == CV_EXAMINE_MISUSED;
            if (leaky != (got == CV_EXAMINE_LEAKED))
                fail_msg("%s, %s: %s, leaky %d", kinds[k], hole,
                         cv_examine_result_name(got), leaky);
            print_message("%s, %s: %s\n", kinds[k], hole,
                          cv_examine_result_name(got));
        }
        if (!seen)
            fail_msg("%s was not found", hole);
    }
}

/* By these the key itself comes out: refused unless somebody permits it, and
 * then nothing is left. */
static void what_leaks_is_refused_and_destroyed(void **state)
{
    static const char *const holes[] = {
        "read-secret",     "wrap-cbc-pad", "wrap-key-wrap", "wrap-key-wrap-pad",
        "wrap-kwp",        "wrap-rsa",     "wrap-twin",     "copy-extractable",
        "set-extractable", "all"};

    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (size_t i = 0; i < COUNT(holes); i++) {
            struct cv_import_result result = {0};
            struct cv_err err = {0};
            char lie[64];
            if (too_long(k, holes[i]))
                continue;
            snprintf(lie, sizeof(lie), "leak=%s\n", holes[i]);
            enum cv_status s = make(kinds[k], lie, false, &result, &err);
            if (s != CV_DENIED && s != CV_INTEGRITY)
                fail_msg("%s, %s: status %d", kinds[k], holes[i], s);
            if (objects(false) != 0)
                fail_msg("%s, %s: left behind", kinds[k], holes[i]);
        }
}

static void nothing_is_believed(void **state)
{
    static const char *const lies[] = {
        "create=nothing\n", "create=half\n", "extractable=1\n",
        "value=readable\n", "sign=wrong\n",  "sign=empty\n",
        "sign=short\n",     "id=huge\n",     "length=max\n",
        "length=grow\n",    "capacity=1\n"};

    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (size_t i = 0; i < COUNT(lies); i++) {
            struct cv_import_result result = {0};
            struct cv_err err = {0};
            if (too_long(k, lies[i]))
                continue;
            enum cv_status s = make(kinds[k], lies[i], false, &result, &err);
            if (s == CV_OK)
                fail_msg("%s: %s was believed", kinds[k], lies[i]);
            /* What cannot be found by its id is the journal's affair. */
            bool lost = strcmp(lies[i], "create=half\n") == 0 ||
                        strcmp(lies[i], "id=huge\n") == 0 ||
                        strncmp(lies[i], "length=", 7) == 0;
            if (objects(false) != 0 && !lost)
                fail_msg("%s: %s left %zu behind (%s)", kinds[k], lies[i],
                         objects(false), err.text);
            objects(true);
        }
}

int main(void)
{
    struct cv_err err = {0};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_where_there_is_no_hole),
        cmocka_unit_test(each_attack_finds_its_hole),
        cmocka_unit_test(what_leaks_is_refused_and_destroyed),
        cmocka_unit_test(nothing_is_believed),
    };

    if (cv_arena_start(&err) != CV_OK || cv_sign_start(&err) != CV_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
