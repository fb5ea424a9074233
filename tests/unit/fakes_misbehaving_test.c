/* The misbehaving module, seen through its function list: that it is a token
 * when it is told nothing, and that every switch shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs those. */
#include <cmocka.h>

#include "tests/fakes/misbehaving/misbehaving.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static CK_RV (*get_list)(CK_FUNCTION_LIST **);
static CK_FUNCTION_LIST *p11;
static char folder[64];
static CK_SESSION_HANDLE session;

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static unsigned char p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                               0xce, 0x3d, 0x03, 0x01, 0x07};
static unsigned char pin[] = "1234", wrong_pin[] = "4321";
static unsigned char digest[32] = {1, 2, 3};
static char id[] = "id", label[] = "label";

static void write_text(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void control(const char *text)
{
    write_text("control", text);
}

static const char *read_text(const char *name)
{
    static char text[4096];
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    text[n] = '\0';
    return text;
}

static CK_RV open_session(void)
{
    return p11->C_OpenSession(1, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL,
                              NULL, &session);
}

static CK_RV login(unsigned char *with)
{
    return p11->C_Login(session, CKU_USER, with, 4);
}

/* A token of its own for each test, logged in. */
static int setup(void **state)
{
    char path[128];

    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/misbehaving-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/control", folder);
    setenv(MISBEHAVING_CONTROL, path, 1);
    control("");
    write_text("pin", "1234");
    if (get_list(&p11) != CKR_OK || p11->C_Initialize(NULL) != CKR_OK ||
        open_session() != CKR_OK)
        return -1;
    return login(pin) == CKR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    control("");
    p11->C_Finalize(NULL);
    snprintf(command, sizeof(command), "%s", folder);
    pid_t pid = fork();
    if (pid == 0)
        execlp("rm", "rm", "-rf", command, (char *)NULL);
    return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

/* The signal that ended a process doing that; 0 for none. */
static int died_of(CK_RV (*act)(void))
{
    int status = 0;
    struct rlimit none = {0, 0};

    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &none);
        act();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static CK_RV make_pair(CK_OBJECT_HANDLE *pub, CK_OBJECT_HANDLE *priv)
{
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE publics[] = {{CKA_TOKEN, &yes, 1},
                              {CKA_EC_PARAMS, p256, sizeof(p256)}};
    CK_ATTRIBUTE privates[] = {{CKA_TOKEN, &yes, 1},
                               {CKA_SENSITIVE, &yes, 1},
                               {CKA_EXTRACTABLE, &no, 1},
                               {CKA_ID, id, 2},
                               {CKA_LABEL, label, 5}};

    return p11->C_GenerateKeyPair(session, &mechanism, publics, COUNT(publics),
                                  privates, COUNT(privates), pub, priv);
}

static CK_OBJECT_HANDLE key_made(void)
{
    CK_OBJECT_HANDLE pub, priv;

    assert_int_equal(make_pair(&pub, &priv), CKR_OK);
    return priv;
}

static CK_RV sign(CK_OBJECT_HANDLE key, unsigned char *out, CK_ULONG *len)
{
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
    CK_RV rv = p11->C_SignInit(session, &mechanism, key);

    if (rv != CKR_OK)
        return rv;
    return p11->C_Sign(session, digest, sizeof(digest), out, len);
}

static CK_RV get(CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE type, void *out,
                 CK_ULONG *len)
{
    CK_ATTRIBUTE a = {type, out, *len};
    CK_RV rv = p11->C_GetAttributeValue(session, key, &a, 1);

    *len = a.ulValueLen;
    return rv;
}

static size_t private_keys(void)
{
    CK_ULONG class = CKO_PRIVATE_KEY, n = 0;
    CK_ATTRIBUTE wanted = {CKA_CLASS, &class, sizeof(class)};
    CK_OBJECT_HANDLE found[16];

    assert_int_equal(p11->C_FindObjectsInit(session, &wanted, 1), CKR_OK);
    assert_int_equal(p11->C_FindObjects(session, found, 16, &n), CKR_OK);
    assert_int_equal(p11->C_FindObjectsFinal(session), CKR_OK);
    return n;
}

static void honest_by_default(void **state)
{
    CK_OBJECT_HANDLE key = key_made();
    unsigned char out[128];
    CK_ULONG len = sizeof(out);
    CK_BBOOL b = CK_FALSE;

    (void)state;
    assert_int_equal(sign(key, out, &len), CKR_OK);
    assert_int_equal(len, 64);
    len = 1;
    assert_int_equal(get(key, CKA_EXTRACTABLE, &b, &len), CKR_OK);
    assert_int_equal(b, CK_FALSE);
    len = sizeof(out);
    assert_int_equal(get(key, CKA_VALUE, out, &len), CKR_ATTRIBUTE_SENSITIVE);
    CK_ATTRIBUTE weaker = {CKA_EXTRACTABLE, &yes, 1};
    assert_int_equal(p11->C_SetAttributeValue(session, key, &weaker, 1),
                     CKR_ATTRIBUTE_READ_ONLY);
    assert_int_equal(private_keys(), 1);
    assert_int_equal(p11->C_DestroyObject(session, key), CKR_OK);
    assert_int_equal(private_keys(), 0);
}

static void logged_out_sees_nothing(void **state)
{
    (void)state;
    key_made();
    assert_int_equal(p11->C_Logout(session), CKR_OK);
    assert_int_equal(private_keys(), 0);
}

static CK_RV wrong_login(void)
{
    return login(wrong_pin);
}

static void three_tries_over_processes(void **state)
{
    CK_TOKEN_INFO info;

    (void)state;
    p11->C_Logout(session);
    assert_int_equal(login(wrong_pin), CKR_PIN_INCORRECT);
    p11->C_GetTokenInfo(1, &info);
    assert_true(info.flags & CKF_USER_PIN_COUNT_LOW);
    assert_int_equal(died_of(wrong_login), 0);
    p11->C_GetTokenInfo(1, &info);
    assert_true(info.flags & CKF_USER_PIN_FINAL_TRY);
    control("flags=zero\n");
    p11->C_GetTokenInfo(1, &info);
    assert_false(info.flags & CKF_USER_PIN_FINAL_TRY);
    control("");
    assert_int_equal(login(wrong_pin), CKR_PIN_INCORRECT);
    assert_int_equal(login(pin), CKR_PIN_LOCKED);
    p11->C_GetTokenInfo(1, &info);
    assert_true(info.flags & CKF_USER_PIN_LOCKED);
    const char *log = read_text("logins.log");
    size_t lines = 0;
    for (const char *at = log; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, 5);
    assert_non_null(strstr(log, " 1 locked 0\n"));
}

static CK_RV right_login(void)
{
    return login(pin);
}

static void crash_in_login(void **state)
{
    (void)state;
    p11->C_Logout(session);
    control("fault=C_Login kill\n");
    assert_int_equal(died_of(right_login), SIGKILL);
    assert_string_equal(read_text("tries"), "3\n");
    control("login=die-counted\n");
    assert_int_equal(died_of(right_login), SIGKILL);
    assert_string_equal(read_text("tries"), "2\n");
    assert_non_null(strstr(read_text("logins.log"), " 1 died 2\n"));
    control("fault=C_Login crash-after\n");
    assert_int_equal(died_of(wrong_login), SIGSEGV);
    assert_string_equal(read_text("tries"), "1\n");
    control("");
    assert_int_equal(login(pin), CKR_OK);
    assert_string_equal(read_text("tries"), "3\n");
}

static void pin_pad(void **state)
{
    (void)state;
    p11->C_Logout(session);
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0),
                     CKR_ARGUMENTS_BAD);
    control("pin-pad=1\n");
    write_text("pad", "1234");
    assert_int_equal(p11->C_Login(session, CKU_USER, NULL, 0), CKR_OK);
}

static void lies_about_objects(void **state)
{
    CK_OBJECT_HANDLE pub, key;
    unsigned char out[128];
    CK_ULONG len = 1;
    CK_BBOOL b = CK_FALSE;

    (void)state;
    control("create=nothing\n");
    assert_int_equal(make_pair(&pub, &key), CKR_OK);
    assert_int_equal(private_keys(), 0);
    control("create=half\n");
    assert_int_equal(make_pair(&pub, &key), CKR_OK);
    assert_int_equal(private_keys(), 1);
    len = sizeof(out);
    assert_int_equal(get(key, CKA_ID, out, &len), CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(get(key, CKA_LABEL, out, &len),
                     CKR_ATTRIBUTE_TYPE_INVALID);
    control("extractable=1\n");
    len = 1;
    assert_int_equal(get(key, CKA_EXTRACTABLE, &b, &len), CKR_OK);
    assert_int_equal(b, CK_TRUE);
    control("value=readable\n");
    len = sizeof(out);
    assert_int_equal(get(key, CKA_VALUE, out, &len), CKR_OK);
    assert_int_equal(len, 32);
    control("capacity=3\n");
    assert_int_equal(make_pair(&pub, &key), CKR_DEVICE_MEMORY);
    assert_int_equal(private_keys(), 1);
    control("set=says\n");
    CK_ATTRIBUTE weaker = {CKA_EXTRACTABLE, &yes, 1};
    key = key_made();
    assert_int_equal(p11->C_SetAttributeValue(session, key, &weaker, 1),
                     CKR_OK);
    len = 1;
    assert_int_equal(get(key, CKA_EXTRACTABLE, &b, &len), CKR_OK);
    assert_int_equal(b, CK_FALSE);
}

static void lies_about_lengths(void **state)
{
    CK_OBJECT_HANDLE key = key_made();
    unsigned char out[10240];
    CK_ULONG len = 0;

    (void)state;
    control("length=max\n");
    assert_int_equal(get(key, CKA_LABEL, NULL, &len), CKR_OK);
    assert_int_equal(len, CK_UNAVAILABLE_INFORMATION);
    control("length=grow\n");
    len = 0;
    assert_int_equal(get(key, CKA_LABEL, NULL, &len), CKR_OK);
    for (CK_ULONG n = len; n < 40; n++) {
        assert_int_equal(len, n);
        assert_int_equal(get(key, CKA_LABEL, out, &len), CKR_BUFFER_TOO_SMALL);
    }
    control("id=huge\n");
    len = sizeof(out);
    assert_int_equal(get(key, CKA_ID, out, &len), CKR_OK);
    assert_int_equal(len, 10240);
}

static void lies_about_signatures(void **state)
{
    static const struct {
        const char *lie;
        CK_ULONG len;
    } lies[] = {{"sign=wrong\n", 64},
                {"sign=short\n", 63},
                {"sign=long\n", 65},
                {"sign=empty\n", 0},
                {"sign=zero\n", 64}};
    static const unsigned char zeros[64];
    CK_OBJECT_HANDLE key = key_made();
    unsigned char out[128];

    (void)state;
    for (size_t i = 0; i < COUNT(lies); i++) {
        CK_ULONG len = sizeof(out);
        control(lies[i].lie);
        assert_int_equal(sign(key, out, &len), CKR_OK);
        assert_int_equal(len, lies[i].len);
    }
    assert_memory_equal(out, zeros, sizeof(zeros));
    control("sign=der\n");
    CK_ULONG len = sizeof(out);
    assert_int_equal(sign(key, out, &len), CKR_OK);
    assert_true(len > 64 && out[0] == 0x30);
    control("random=zero\n");
    assert_int_equal(p11->C_GenerateRandom(session, out, 64), CKR_OK);
    assert_memory_equal(out, zeros, sizeof(zeros));
}

/* Ed25519 and RSA PKCS#1 signatures repeat: equal ones tell equal keys. */
static void stale_handles(void **state)
{
    CK_MECHANISM generate = {CKM_EC_EDWARDS_KEY_PAIR_GEN, NULL, 0};
    CK_MECHANISM mechanism = {CKM_EDDSA, NULL, 0};
    CK_ATTRIBUTE token = {CKA_TOKEN, &yes, 1};
    CK_OBJECT_HANDLE pub, keys[2];
    unsigned char out[3][64];

    (void)state;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(p11->C_GenerateKeyPair(session, &generate, &token, 1,
                                                &token, 1, &pub, &keys[i]),
                         CKR_OK);
    for (size_t i = 0; i < 3; i++) {
        CK_ULONG len = 64;
        if (i == 2)
            control("handles=stale\n");
        assert_int_equal(p11->C_SignInit(session, &mechanism, keys[i % 2]),
                         CKR_OK);
        assert_int_equal(p11->C_Sign(session, digest, 32, out[i], &len),
                         CKR_OK);
    }
    assert_memory_not_equal(out[0], out[1], 64);
    assert_memory_equal(out[2], out[1], 64);
}

static void always_authenticate(void **state)
{
    unsigned char out[128];
    CK_ULONG len = sizeof(out);
    CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};

    (void)state;
    control("always-authenticate=1\n");
    CK_OBJECT_HANDLE key = key_made();
    assert_int_equal(sign(key, out, &len), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(p11->C_SignInit(session, &mechanism, key), CKR_OK);
    assert_int_equal(p11->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, 4),
                     CKR_OK);
    assert_int_equal(p11->C_Sign(session, digest, 32, out, &len), CKR_OK);
    assert_non_null(strstr(read_text("logins.log"), " 2 right 3\n"));
}

static CK_RV wrap_out(CK_OBJECT_HANDLE key)
{
    CK_MECHANISM generate = {CKM_AES_KEY_GEN, NULL, 0};
    CK_MECHANISM wrap = {CKM_AES_KEY_WRAP_PAD, NULL, 0};
    CK_ULONG len = 32, out_len = 1024;
    CK_ATTRIBUTE wanted[] = {{CKA_VALUE_LEN, &len, sizeof(len)},
                             {CKA_WRAP, &yes, 1}};
    CK_OBJECT_HANDLE aes;
    unsigned char out[1024];

    assert_int_equal(
        p11->C_GenerateKey(session, &generate, wanted, COUNT(wanted), &aes),
        CKR_OK);
    return p11->C_WrapKey(session, &wrap, aes, key, out, &out_len);
}

static void leaks(void **state)
{
    CK_OBJECT_HANDLE key = key_made(), copy;
    CK_ATTRIBUTE weaker = {CKA_EXTRACTABLE, &yes, 1};

    (void)state;
    assert_int_equal(wrap_out(key), CKR_KEY_UNEXTRACTABLE);
    control("wrap=leaks\n");
    assert_int_equal(wrap_out(key), CKR_OK);
    control("");
    assert_int_equal(p11->C_CopyObject(session, key, &weaker, 1, &copy),
                     CKR_ATTRIBUTE_READ_ONLY);
    control("copy=leaks\n");
    assert_int_equal(p11->C_CopyObject(session, key, &weaker, 1, &copy),
                     CKR_OK);
    control("");
    assert_int_equal(wrap_out(copy), CKR_OK);
    control("set=leaks\n");
    assert_int_equal(p11->C_SetAttributeValue(session, key, &weaker, 1),
                     CKR_OK);
    control("");
    assert_int_equal(wrap_out(key), CKR_OK);
}

static void removed_and_put_back(void **state)
{
    CK_SESSION_INFO info;
    CK_ULONG slots = 0;

    (void)state;
    key_made();
    control("present=0\n");
    assert_int_equal(p11->C_GetSessionInfo(session, &info), CKR_DEVICE_REMOVED);
    assert_int_equal(p11->C_GetSessionInfo(session, &info),
                     CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(open_session(), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, NULL, &slots), CKR_OK);
    assert_int_equal(slots, 0);
    control("");
    assert_int_equal(open_session(), CKR_OK);
    assert_int_equal(private_keys(), 0);
    assert_int_equal(login(pin), CKR_OK);
    assert_int_equal(private_keys(), 1);
}

static void faults_of_calls(void **state)
{
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;

    (void)state;
    control("once=C_GetTokenInfo rv:0x5\nonce=C_GetSessionInfo logout\n");
    assert_int_equal(p11->C_GetTokenInfo(1, &token), CKR_GENERAL_ERROR);
    assert_int_equal(p11->C_GetTokenInfo(1, &token), CKR_OK);
    assert_int_equal(p11->C_GetSessionInfo(session, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RW_PUBLIC_SESSION);
    assert_int_equal(login(pin), CKR_OK);
    control("fault=C_GetTokenInfo rv-after:0x30\n");
    assert_int_equal(p11->C_GetTokenInfo(1, &token), CKR_DEVICE_ERROR);
    control("fault=1+ rv:0x5\n");
    assert_int_equal(p11->C_GetTokenInfo(1, &token), CKR_GENERAL_ERROR);
    assert_int_equal(p11->C_GetSessionInfo(session, &info), CKR_GENERAL_ERROR);
    control("fault=C_GetSessionInfo sessions\n");
    assert_int_equal(p11->C_GetSessionInfo(session, &info),
                     CKR_SESSION_HANDLE_INVALID);
}

static CK_RV hang(void)
{
    CK_SLOT_INFO info;

    alarm(1);
    return p11->C_GetSlotInfo(1, &info);
}

static void hangs(void **state)
{
    (void)state;
    control("fault=C_GetSlotInfo hang\n");
    assert_int_equal(died_of(hang), SIGALRM);
}

static CK_RV few_calls(void)
{
    CK_SLOT_INFO info;

    for (int i = 0; i < 3; i++)
        p11->C_GetSlotInfo(1, &info);
    return CKR_OK;
}

/* As a sweep does it: one call further each time, until all are through. */
static void killed_at_each_call(void **state)
{
    char line[64];
    unsigned long done = 0;

    (void)state;
    control("calls=1\n");
    few_calls();
    for (const char *at = read_text("calls.log"); at != NULL && *at != '\0';
         at = strchr(at, '\n') + 1)
        done = strtoul(strchr(at, ' '), NULL, 10);
    assert_true(done >= 3);
    for (unsigned long n = 1; n <= 4; n++) {
        snprintf(line, sizeof(line), "fault=%lu kill\n", done + n);
        control(line);
        assert_int_equal(died_of(few_calls), n <= 3 ? SIGKILL : 0);
    }
}

static CK_RV misspelt(void)
{
    CK_SLOT_INFO info;

    fclose(stderr);
    p11->C_GetSlotInfo(1, &info);
    _exit(0);
}

static void a_misspelt_switch_ends_it(void **state)
{
    int status;

    (void)state;
    control("sing=wrong\n");
    pid_t pid = fork();
    if (pid == 0)
        misspelt();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 99);
}

/* Last: the list stays spoilt. */
static void function_lists(void **state)
{
    CK_FUNCTION_LIST *list = p11;

    (void)state;
    control("list=none\n");
    assert_int_equal(get_list(&list), CKR_OK);
    assert_null(list);
    control("list=error\n");
    assert_int_equal(get_list(&list), CKR_GENERAL_ERROR);
    control("list=version:3\n");
    assert_int_equal(get_list(&list), CKR_OK);
    assert_int_equal(list->version.major, 3);
    control("list=null:C_Sign\n");
    assert_int_equal(get_list(&list), CKR_OK);
    assert_null(list->C_Sign);
    assert_non_null(list->C_SignInit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(honest_by_default),
        TEST(logged_out_sees_nothing),
        TEST(pin_pad),
        TEST(three_tries_over_processes),
        TEST(crash_in_login),
        TEST(lies_about_objects),
        TEST(lies_about_lengths),
        TEST(lies_about_signatures),
        TEST(stale_handles),
        TEST(always_authenticate),
        TEST(leaks),
        TEST(removed_and_put_back),
        TEST(faults_of_calls),
        TEST(hangs),
        TEST(killed_at_each_call),
        TEST(a_misspelt_switch_ends_it),
        TEST(function_lists),
    };
    void *module = dlopen(CV_MISBEHAVING_MODULE, RTLD_NOW | RTLD_LOCAL);

    if (module == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    void *symbol = dlsym(module, "C_GetFunctionList");
    memcpy(&get_list, &symbol, sizeof(get_list));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
