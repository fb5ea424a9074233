/* Which modules there are, whose files may be loaded, and that nothing is
 * loaded to find out. */
#include "tests/unit/pkcs11_rig.h"

#include <p11-kit/uri.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
    static struct rig r;

    rig_folder(&r);
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    rig_end(*state);
    return 0;
}

static void make_folder(const struct rig *r, const char *name, mode_t mode)
{
    assert_int_equal(mkdir(rig_path(r, name), 0700), 0);
    assert_int_equal(chmod(rig_path(r, name), mode), 0);
}

/* The list of the rig's folders "user", "system" and "package". */
static enum cv_status list_with(struct rig *r,
                                const struct cv_module_configured *configured,
                                size_t n, const char *user, bool any_of_root)
{
    const char *folders[] = {rig_path(r, "system"), rig_path(r, "package"),
                             NULL};
    struct cv_module_options options = {.configured = configured,
                                        .n_configured = n,
                                        .folders = folders,
                                        .user_folder = user,
                                        .any_of_root = any_of_root,
                                        .own_files = true};

    cv_module_list_free(r->list);
    cv_err_init(&r->err);
    return cv_module_list_new(&options, &r->list, &r->err);
}

/* What is listed, as "name=path name=path". */
static const char *listed(const struct rig *r)
{
    static char text[2048];
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < cv_module_list_count(r->list); i++) {
        const struct cv_module_entry *e = cv_module_list_at(r->list, i);

        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s=%s",
                                i == 0 ? "" : " ", e->name, e->path);
    }
    return text;
}

static void test_list(void **state)
{
    struct rig *r = *state;

    make_folder(r, "system", 0755);
    make_folder(r, "package", 0755);
    make_folder(r, "user", 0700);
    rig_write(r, "package/b.module",
              "# a comment\n\nmodule: /lib/b.so\npriority: 3\nwhat: ever\n");
    rig_write(r, "package/a.module", "module:/lib/a.so");
    rig_write(r, "package/c.module", "\t module :  /lib/c c.so \r\n");
    rig_write(r, "package/r.module", "module: relative.so\n");
    rig_write(r, "package/none.module", "priority: 1\n");
    rig_write(r, "package/empty.module", "module:\n");
    rig_write(r, "package/proxy.module", "module: /lib/p11-kit-proxy.so\n");
    rig_write(r, "package/proxy2.module", "module: p11-kit-proxy.so\n");
    rig_write(r, "package/trust.module",
              "module: /lib/t.so\ntrust-policy: yes\n");
    rig_write(r, "package/remote.module",
              "module: /lib/s.so\nremote: |ssh host p11-kit remote\n");
    rig_write(r, "package/readme.txt", "this is no module file");
    rig_write(r, "package/.hidden.module", "module: /lib/h.so\n");
    rig_write(r, "package/e1.module", "module: /e1\nenable-in: seahorse\n");
    rig_write(r, "package/e2.module",
              "module: /e2\nenable-in: seahorse, certvault\n");
    rig_write(r, "package/d1.module", "module: /d1\ndisable-in: certvault\n");
    rig_write(r, "package/d2.module", "module: /d2\ndisable-in: certvaultd\n");
    /* The system's file goes before the package's, key by key. */
    rig_write(r, "package/m.module", "module: /m1\nx-init-reserved: one\n");
    rig_write(r, "system/m.module", "module: /m2\n");
    /* The last of a kind in one file counts. */
    rig_write(r, "system/l.module", "module: /l1\nmodule: /l2\n");

    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_OK);
    assert_string_equal(
        listed(r), "b=/lib/b.so a=/lib/a.so c=/lib/c c.so d2=/d2 e2=/e2 l=/l2 "
                   "m=/m2 "
                   "r=" CV_RELATIVE "/relative.so");
    assert_string_equal(cv_module_list_at(r->list, 6)->reserved, "one");
    assert_null(cv_module_list_at(r->list, 0)->real);
    assert_int_equal(cv_module_list_at(r->list, 0)->source, CV_MODULE_P11KIT);
    assert_null(cv_module_list_at(r->list, 8));

    /* The user's own files go first, where they count at all. */
    rig_write(r, "user/m.module", "module: /m3\nx-init-reserved:\n");
    rig_write(r, "user/d1.module", "disable-in: other\n");
    assert_int_equal(list_with(r, NULL, 0, rig_path(r, "user"), false), CV_OK);
    assert_non_null(strstr(listed(r), "m=/m3"));
    assert_non_null(strstr(listed(r), "d1=/d1"));
    for (size_t i = 0; i < cv_module_list_count(r->list); i++) {
        const struct cv_module_entry *e = cv_module_list_at(r->list, i);

        if (strcmp(e->name, "m") == 0) {
            assert_null(e->reserved); /* said to be empty */
        }
    }
}

static void test_list_of_nothing(void **state)
{
    struct rig *r = *state;

    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_OK);
    assert_int_equal(cv_module_list_count(r->list), 0);
}

static void test_configured(void **state)
{
    struct rig *r = *state;
    struct cv_module_configured two[] = {{"x", "/x.so", NULL},
                                         {"a", "/conf.so", "options"}};
    static const struct cv_module_configured bad[][2] = {
        {{"x", "/x.so", NULL}, {"x", "/y.so", NULL}},
        {{"", "/x.so", NULL}, {"b", "/b", NULL}},
        {{"x/y", "/x.so", NULL}, {"b", "/b", NULL}},
        {{".x", "/x.so", NULL}, {"b", "/b", NULL}},
        {{"x", "x.so", NULL}, {"b", "/b", NULL}},
        {{"x", "", NULL}, {"b", "/b", NULL}},
    };

    make_folder(r, "package", 0755);
    rig_write(r, "package/a.module", "module: /lib/a.so\npriority: 9\n");
    rig_write(r, "package/z.module", "module: /lib/z.so\npriority: 9\n");
    /* The configuration's own go first, and instead of others of the name. */
    assert_int_equal(list_with(r, two, 2, NULL, false), CV_OK);
    assert_string_equal(listed(r), "a=/conf.so x=/x.so z=/lib/z.so");
    assert_string_equal(cv_module_list_at(r->list, 0)->reserved, "options");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(list_with(r, bad[i], 2, NULL, false), CV_CONFIG);
        assert_null(r->list);
    }
}

static void test_bad_files(void **state)
{
    static const char *const bad[] = {"module\n", ": x\n",
                                      "module: /a\nno colon\n", "[section]\n",
                                      "-----BEGIN CERTIFICATE-----\n"};
    struct rig *r = *state;
    char *long_one = malloc(CV_LIMIT_MODULE_FILE + 2);

    assert_non_null(long_one);
    make_folder(r, "package", 0755);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rig_write(r, "package/a.module", bad[i]);
        assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_CONFIG);
    }
    memset(long_one, '\n', CV_LIMIT_MODULE_FILE + 1);
    long_one[CV_LIMIT_MODULE_FILE + 1] = '\0';
    rig_write(r, "package/a.module", long_one);
    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_CONFIG);
    long_one[CV_LIMIT_MODULE_LINES + 1] = '\0';
    rig_write(r, "package/a.module", long_one);
    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_CONFIG);
    free(long_one);
    /* One that others can write decides nothing. */
    rig_write(r, "package/a.module", "module: /a\n");
    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_OK);
    assert_int_equal(chmod(rig_path(r, "package/a.module"), 0666), 0);
    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_CONFIG);
    assert_int_equal(chmod(rig_path(r, "package/a.module"), 0644), 0);
    assert_int_equal(chmod(rig_path(r, "package"), 0777), 0);
    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_CONFIG);
    assert_int_equal(chmod(rig_path(r, "package"), 0755), 0);
}

static void test_too_many(void **state)
{
    struct rig *r = *state;
    char name[64];

    make_folder(r, "package", 0755);
    for (int i = 0; i <= CV_LIMIT_MODULES; i++) {
        (void)snprintf(name, sizeof(name), "package/m%d.module", i);
        rig_write(r, name, "module: /m\n");
    }
    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_CONFIG);
    rig_remove(r, "package/m0.module");
    assert_int_equal(list_with(r, NULL, 0, NULL, false), CV_OK);
    assert_int_equal(cv_module_list_count(r->list), CV_LIMIT_MODULES);
}

static enum cv_status select_by(struct rig *r, const char *name,
                                const char *uri,
                                const struct cv_module_entry **out)
{
    struct cv_uri *parsed = NULL;
    enum cv_status status;

    if (uri != NULL) {
        assert_int_equal(cv_uri_parse(uri, &parsed, NULL), CV_OK);
    }
    cv_err_init(&r->err);
    status = cv_module_list_select(r->list, name, parsed, out, &r->err);
    cv_uri_free(parsed);
    return status;
}

/* module-path= with a path of the rig's. */
static const char *path_uri(const struct rig *r, const char *name)
{
    static char text[512];

    (void)snprintf(text, sizeof(text), "pkcs11:?module-path=%s",
                   rig_path(r, name));
    return text;
}

static void test_select(void **state)
{
    struct rig *r = *state;
    const struct cv_module_entry *e = NULL;
    struct cv_module_configured two[2];
    char a[256], b[256];

    (void)snprintf(a, sizeof(a), "%s/a.so", r->folder);
    (void)snprintf(b, sizeof(b), "%s/b.so", r->folder);
    rig_copy(r, CV_MISBEHAVING_SO, "a.so");
    rig_copy(r, CV_MISBEHAVING_SO, "b.so");
    assert_int_equal(symlink("a.so", rig_path(r, "link.so")), 0);
    two[0] = (struct cv_module_configured){"a", a, NULL};
    two[1] = (struct cv_module_configured){"b", "/not/there.so", NULL};

    assert_int_equal(list_with(r, two, 1, NULL, false), CV_OK);
    assert_int_equal(select_by(r, NULL, NULL, &e), CV_OK);
    assert_string_equal(e->name, "a");
    /* One that is not installed does not count. */
    assert_int_equal(list_with(r, two, 2, NULL, false), CV_OK);
    assert_int_equal(select_by(r, NULL, "pkcs11:token=x", &e), CV_OK);
    assert_string_equal(e->name, "a");
    two[1].path = b;
    assert_int_equal(list_with(r, two, 2, NULL, false), CV_OK);
    assert_int_equal(select_by(r, NULL, NULL, &e), CV_CONFIG);
    assert_null(e);
    assert_non_null(strstr(r->err.hint, "a, b"));
    assert_int_equal(select_by(r, "b", NULL, &e), CV_OK);
    assert_string_equal(e->name, "b");
    assert_int_equal(select_by(r, "c", NULL, &e), CV_CONFIG);
    assert_int_equal(select_by(r, NULL, "pkcs11:?module-name=b", &e), CV_OK);
    assert_string_equal(e->name, "b");
    assert_int_equal(select_by(r, "a", "pkcs11:?module-name=b", &e), CV_CONFIG);
    /* By what the path leads to, however it is spelt. */
    assert_int_equal(select_by(r, NULL, path_uri(r, "link.so"), &e), CV_OK);
    assert_string_equal(e->name, "a");
    assert_int_equal(select_by(r, NULL, path_uri(r, "./b.so"), &e), CV_OK);
    assert_string_equal(e->name, "b");
    assert_int_equal(select_by(r, "a", path_uri(r, "b.so"), &e), CV_CONFIG);
    assert_null(e);
    rig_copy(r, CV_MISBEHAVING_SO, "c.so");
    assert_int_equal(select_by(r, NULL, path_uri(r, "c.so"), &e), CV_CONFIG);
    assert_int_equal(select_by(r, NULL, path_uri(r, "no.so"), &e), CV_CONFIG);
}

/* Outside the service: any file that root owns and nobody else can write. */
static void test_select_any_of_root(void **state)
{
    struct rig *r = *state;
    const struct cv_module_entry *e = NULL;
    struct stat st;
    const char *file = rig_file(RIG_SOFTHSM);
    char uri[512];

    rig_copy(r, CV_MISBEHAVING_SO, "c.so");
    assert_int_equal(list_with(r, NULL, 0, NULL, true), CV_OK);
    assert_int_equal(select_by(r, NULL, path_uri(r, "c.so"), &e),
                     geteuid() == 0 ? CV_OK : CV_CONFIG);
    assert_int_equal(chmod(rig_path(r, "c.so"), 0664), 0);
    assert_int_equal(list_with(r, NULL, 0, NULL, true), CV_OK);
    assert_int_equal(select_by(r, NULL, path_uri(r, "c.so"), &e), CV_CONFIG);
    assert_int_equal(select_by(r, NULL, path_uri(r, "no.so"), &e), CV_CONFIG);
    if (file != NULL && stat(file, &st) == 0 && st.st_uid == 0) {
        (void)snprintf(uri, sizeof(uri), "pkcs11:?module-path=%s", file);
        assert_int_equal(select_by(r, NULL, uri, &e), CV_OK);
        assert_int_equal(e->source, CV_MODULE_PATH);
    }
}

static void test_check_file(void **state)
{
    struct rig *r = *state;

    rig_copy(r, CV_MISBEHAVING_SO, "a.so");
    make_folder(r, "open", 0777);
    make_folder(r, "group", 0775);
    make_folder(r, "sticky", 01777);
    make_folder(r, "good", 0755);
    rig_copy(r, CV_MISBEHAVING_SO, "open/a.so");
    rig_copy(r, CV_MISBEHAVING_SO, "group/a.so");
    rig_copy(r, CV_MISBEHAVING_SO, "sticky/a.so");
    assert_int_equal(symlink("../a.so", rig_path(r, "good/link.so")), 0);
    assert_int_equal(symlink("../a.so", rig_path(r, "open/link.so")), 0);
    assert_int_equal(symlink("../open/link.so", rig_path(r, "good/by.so")), 0);
    assert_int_equal(symlink("open", rig_path(r, "way")), 0);
    assert_int_equal(symlink("loop", rig_path(r, "loop")), 0);
    assert_int_equal(symlink(".", rig_path(r, "here")), 0);

    assert_int_equal(cv_module_check_file(rig_path(r, "a.so"), true, NULL),
                     CV_OK);
    assert_int_equal(
        cv_module_check_file(rig_path(r, "good/link.so"), true, NULL), CV_OK);
    assert_int_equal(
        cv_module_check_file(rig_path(r, "here/./here/../good//link.so"), true,
                             NULL),
        CV_CONFIG); /* here/.. is the folder above */
    assert_int_equal(
        cv_module_check_file(rig_path(r, "good/.././here/a.so"), true, NULL),
        CV_OK);
    /* A sticky folder is no danger to a file of ours in it. */
    assert_int_equal(
        cv_module_check_file(rig_path(r, "sticky/a.so"), true, NULL), CV_OK);
    {
        static const char *const bad[] = {
            "open/a.so",    "group/a.so",
            "open/link.so", "good/by.so",
            "way/a.so",     "loop",
            "good",         "not.so",
            "a.so/x",       "good/../open/../open/a.so"};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            if (cv_module_check_file(rig_path(r, bad[i]), true, &r->err) !=
                CV_CONFIG) {
                fail_msg("taken: %s", bad[i]);
            }
            assert_int_equal(r->err.status, CV_CONFIG);
        }
    }
    assert_int_equal(cv_module_check_file("a.so", true, NULL), CV_CONFIG);
    assert_int_equal(cv_module_check_file("", true, NULL), CV_CONFIG);
    assert_int_equal(cv_module_check_file("/", true, NULL), CV_CONFIG);
    assert_int_equal(cv_module_check_file("/dev/null", true, NULL), CV_CONFIG);
    assert_int_equal(chmod(rig_path(r, "a.so"), 0646), 0);
    assert_int_equal(cv_module_check_file(rig_path(r, "a.so"), true, NULL),
                     CV_CONFIG);
    assert_int_equal(chmod(rig_path(r, "a.so"), 0664), 0);
    assert_int_equal(cv_module_check_file(rig_path(r, "a.so"), true, NULL),
                     CV_CONFIG);
}

/* Only root can give files away. */
static void test_check_owner(void **state)
{
    struct rig *r = *state;

    rig_copy(r, CV_MISBEHAVING_SO, "a.so");
    assert_int_equal(cv_module_check_file(rig_path(r, "a.so"), false, NULL),
                     geteuid() == 0 ? CV_OK : CV_CONFIG);
    if (geteuid() != 0) {
        skip();
    }
    make_folder(r, "theirs", 0755);
    rig_copy(r, CV_MISBEHAVING_SO, "theirs/a.so");
    assert_int_equal(symlink("a.so", rig_path(r, "link.so")), 0);
    assert_int_equal(chown(rig_path(r, "theirs"), 65534, 65534), 0);
    assert_int_equal(
        cv_module_check_file(rig_path(r, "theirs/a.so"), true, NULL),
        CV_CONFIG);
    assert_int_equal(lchown(rig_path(r, "link.so"), 65534, 65534), 0);
    assert_int_equal(cv_module_check_file(rig_path(r, "link.so"), true, NULL),
                     CV_CONFIG);
    assert_int_equal(chown(rig_path(r, "a.so"), 65534, 65534), 0);
    assert_int_equal(cv_module_check_file(rig_path(r, "a.so"), true, NULL),
                     CV_CONFIG);
}

static bool is_mapped(const char *path)
{
    char line[1024];
    FILE *f = fopen("/proc/self/maps", "re");
    bool found = false;

    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        found = found || strstr(line, path) != NULL;
    }
    (void)fclose(f);
    return found;
}

static enum cv_status load_one(struct rig *r, const char *name,
                               const char *control)
{
    struct cv_module_configured one = {"one", rig_path(r, name), NULL};
    const struct cv_module_entry *e = NULL;
    struct cv_module *m = NULL;
    enum cv_status status;

    rig_write(r, "control", control);
    (void)setenv("CV_MISBEHAVING", rig_path(r, "control"), 1);
    assert_int_equal(list_with(r, &one, 1, NULL, false), CV_OK);
    assert_int_equal(select_by(r, "one", NULL, &e), CV_OK);
    cv_err_init(&r->err);
    status = cv_module_load(r->list, e, &m, &r->err);
    assert_true((m != NULL) == (status == CV_OK));
    cv_module_free(m);
    return status;
}

/* Neither listing, nor choosing, nor refusing loads anything. */
static void test_nothing_is_opened(void **state)
{
    struct rig *r = *state;

    make_folder(r, "open", 0777);
    rig_copy(r, CV_MISBEHAVING_SO, "open/a.so");
    assert_int_equal(load_one(r, "open/a.so", ""), CV_CONFIG);
    assert_false(is_mapped(rig_path(r, "open/a.so")));
    assert_string_not_equal(r->err.state, "");
    assert_int_equal(chmod(rig_path(r, "open"), 0755), 0);
    assert_int_equal(load_one(r, "open/a.so", ""), CV_OK);
    assert_true(is_mapped(rig_path(r, "open/a.so")));
}

static void test_load(void **state)
{
    static const struct {
        const char *control;
        enum cv_status status;
    } table[] = {
        {"", CV_OK},
        {"list=null:C_Sign\n", CV_CONFIG},
        {"list=null:C_Initialize\n", CV_CONFIG},
        {"list=null:C_FindObjectsFinal\n", CV_CONFIG},
        {"list=null-all\n", CV_CONFIG},
        {"list=version:1\n", CV_CONFIG},
        {"list=version:3\n", CV_CONFIG},
        {"list=none\n", CV_CONFIG},
        {"list=error\n", CV_CONFIG},
        {"fault=C_Initialize rv:0x5\n", CV_UNAVAILABLE},
        {"fault=C_Initialize rv:0x7\n", CV_UNAVAILABLE},
        {"fault=C_GetInfo rv:0x5\n", CV_UNAVAILABLE},
        {"once=C_Initialize rv:0xa\n", CV_OK}, /* it cannot lock */
        {"fault=C_Initialize rv:0xa\n", CV_UNAVAILABLE},
        {"", CV_OK},
    };
    struct rig *r = *state;

    rig_write(r, "text.so", "this is no library");
    rig_copy(r, CV_NO_LIST_SO, "no_list.so");
    assert_int_equal(load_one(r, "text.so", ""), CV_CONFIG);
    assert_int_equal(load_one(r, "no_list.so", ""), CV_CONFIG);
    assert_non_null(strstr(r->err.text, "C_GetFunctionList"));
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "m%zu.so", i);
        rig_copy(r, CV_MISBEHAVING_SO, name);
        if (load_one(r, name, table[i].control) != table[i].status) {
            fail_msg("%s: %s", table[i].control, r->err.text);
        }
    }
}

static void test_reload(void **state)
{
    struct rig r;

    (void)state;
    rig_begin(&r, RIG_FAKE);
    assert_int_equal(cv_module_generation(r.module), 1);
    assert_int_equal(cv_module_reload(r.module, &r.err), CV_OK);
    assert_int_equal(cv_module_generation(r.module), 2);
    /* Not again at once, however often it is asked for. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cv_module_reload(r.module, &r.err), CV_BUSY);
        assert_true(r.err.retry_after_s > 0 &&
                    r.err.retry_after_s <= CV_LIMIT_TOKEN_RELOAD_S);
    }
    assert_int_equal(cv_module_generation(r.module), 2);
    rig_end(&r);
    rig_begin(&r, RIG_FAKE);
    rig_write(&r, "control", "fault=C_Initialize rv:0x5\n");
    assert_int_equal(cv_module_reload(r.module, &r.err), CV_UNAVAILABLE);
    rig_end(&r);
}

static void test_text(void **state)
{
    static const struct {
        const char *field, *text;
    } table[] = {
        {"plain", "plain"},
        {"two words   ", "two words"},
        {"   ", ""},
        {"", ""},
        {"\x1b[31mred", "?[31mred"},
        {"a\nb", "a?b"},
        {"\xff\xfe", "??"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"cut\xc3", "cut?"},
        {"\xe2\x80\xaetxt", "???txt"},
    };
    char out[33];

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        unsigned char field[32];

        memset(field, i % 2 == 0 ? ' ' : '\0', sizeof(field));
        memcpy(field, table[i].field, strlen(table[i].field));
        assert_string_equal(cv_module_text(out, field, sizeof(field)),
                            table[i].text);
    }
}

int main(void)
{
#define ONE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_list),
        ONE(test_list_of_nothing),
        ONE(test_configured),
        ONE(test_bad_files),
        ONE(test_too_many),
        ONE(test_select),
        ONE(test_select_any_of_root),
        ONE(test_check_file),
        ONE(test_check_owner),
        ONE(test_nothing_is_opened),
        ONE(test_load),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_text),
    };

    return rig_result(cmocka_run_group_tests(tests, NULL, NULL));
}
