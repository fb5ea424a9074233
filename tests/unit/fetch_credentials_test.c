/* Which credentials are found in what a caller has. */
#include "tests/unit/fetch_test.h"

#include "vault/fetch/credentials.h"
#include "vault/fetch/profile.h"

#define ENV(pairs) "{\"environment\":{" pairs "}}"
#define AK "\"HUAWEICLOUD_SDK_AK\":\"AK1\""
#define SK "\"HUAWEICLOUD_SDK_SK\":\"SK1\""
#define PROJECT "0a1b2c3d4e5f60718293a4b5c6d7e8f9"

struct found {
    cJSON *tree;
    struct cv_arena *arena;
    struct cv_cloud cloud;
    struct cv_credentials c;
    struct cv_err e;
    enum cv_status s;
};

static struct found look(const char *text)
{
    struct found f;

    memset(&f, 0, sizeof(f));
    cv_err_init(&f.e);
    f.tree = parse(text);
    f.arena = new_arena();
    return f;
}

/* `f` must not move between the two: credentials borrow from its cloud. */
static void find(struct found *f)
{
    f->s = cv_cloud_read(f->tree, &f->cloud, &f->e);
    if (f->s == CV_OK) {
        f->s = cv_credentials_find(&f->cloud, f->arena, &f->c, &f->e);
    }
}

static void drop(struct found *f)
{
    cJSON_Delete(f->tree);
    cv_arena_free(f->arena);
}

static void expect_keys(const char *text, const char *ak, const char *sk,
                        const char *security_token)
{
    struct found f = look(text);

    find(&f);
    assert_ok(f.s, &f.e);
    assert_int_equal(f.c.kind, CV_CREDENTIALS_KEYS);
    assert_string_equal(f.c.ak, ak);
    assert_string_equal(f.c.sk, sk);
    if (security_token == NULL) {
        assert_null(f.c.security_token);
    } else {
        assert_string_equal(f.c.security_token, security_token);
    }
    drop(&f);
}

static void expect_kind(const char *text, enum cv_credentials_kind kind)
{
    struct found f = look(text);

    find(&f);
    assert_ok(f.s, &f.e);
    assert_int_equal(f.c.kind, kind);
    drop(&f);
}

static void expect_refused(const char *text, enum cv_status status,
                           const char *part)
{
    struct found f = look(text);

    find(&f);
    assert_refused(f.s, status, &f.e, part);
    drop(&f);
}

static void environment(void **state)
{
    (void)state;
    expect_keys(ENV(AK "," SK), "AK1", "SK1", NULL);
    expect_keys(ENV(AK "," SK ",\"HUAWEICLOUD_SDK_SECURITY_TOKEN\":\"T\""),
                "AK1", "SK1", "T");
    expect_keys(ENV("\"CLOUD_SDK_AK\":\"A2\",\"CLOUD_SDK_SK\":\"S2\""), "A2",
                "S2", NULL);
    expect_keys(
        ENV(AK "," SK ",\"CLOUD_SDK_AK\":\"A2\",\"CLOUD_SDK_SK\":\"S2\""),
        "AK1", "SK1", NULL);
    /* empty is unset: also of the fall-back names */
    expect_keys(ENV("\"HUAWEICLOUD_SDK_AK\":\"\",\"HUAWEICLOUD_SDK_SK\":\"\","
                    "\"HUAWEICLOUD_SDK_SECURITY_TOKEN\":\"stale\","
                    "\"CLOUD_SDK_AK\":\"A2\",\"CLOUD_SDK_SK\":\"S2\""),
                "A2", "S2", NULL);
}

static void profile(void **state)
{
    (void)state;
    expect_keys("{\"profile\":\"[basic]\\nak = P1\\nsk=P2\\n\"}", "P1", "P2",
                NULL);
    expect_keys("{\"profile\":\"[global]\\nak=G\\nsk=G2\\n[basic]\\nak: P1\\n"
                "sk = P2\\nsecurity_token = T\\n\"}",
                "P1", "P2", "T");
    expect_keys("{\"profile\":\"# c\\n; d\\n\\n[other]\\nx\\n[Global]\\r\\n"
                "AK=G\\r\\nsk=G2\\r\\nfuture=1\\n\"}",
                "G", "G2", NULL);
    /* the environment is asked first */
    expect_keys("{\"environment\":{" AK "," SK "},\"profile\":\"[basic]\\n"
                "ak = P1\\nsk=P2\\n\"}",
                "AK1", "SK1", NULL);
    /* an empty profile is as none */
    expect_kind("{\"profile\":\"[basic]\\nak=\\nsk=\\n\",\"metadata\":true}",
                CV_CREDENTIALS_METADATA);
}

static void order(void **state)
{
    static const char user[] = "\"user\":{\"name\":\"u\",\"domain\":\"d\","
                               "\"password\":\"p\"}";
    char text[512];

    (void)state;
    (void)snprintf(text, sizeof(text),
                   "{\"token\":\"T\\n\",%s,\"environment\":{" AK "," SK
                   "},\"metadata\":true}",
                   user);
    expect_kind(text, CV_CREDENTIALS_TOKEN);
    (void)snprintf(text, sizeof(text), "{%s,\"environment\":{" AK "," SK "}}",
                   user);
    expect_kind(text, CV_CREDENTIALS_USER);
    expect_kind("{\"environment\":{" AK "," SK "},\"metadata\":true}",
                CV_CREDENTIALS_KEYS);
    expect_kind("{\"metadata\":true}", CV_CREDENTIALS_METADATA);
    /* id tokens win over keys of the same place */
    expect_kind(ENV(AK "," SK ",\"HUAWEICLOUD_SDK_IDP_ID\":\"i\","
                       "\"HUAWEICLOUD_SDK_ID_TOKEN_FILE\":\"/f\","
                       "\"HUAWEICLOUD_SDK_ID_TOKEN\":\"t\""),
                CV_CREDENTIALS_ID_TOKEN);
    /* one of the two alone does not */
    expect_kind(ENV(AK "," SK ",\"HUAWEICLOUD_SDK_IDP_ID\":\"i\""),
                CV_CREDENTIALS_KEYS);
}

static void refused(void **state)
{
    (void)state;
    expect_refused("{}", CV_USAGE, "no cloud credentials");
    expect_refused(ENV(AK), CV_USAGE, "half of an access key");
    expect_refused(ENV(AK ",\"CLOUD_SDK_SK\":\"S\""), CV_USAGE, "half");
    expect_refused("{\"profile\":\"[basic]\\nsk=x\\n\"}", CV_USAGE, "half");
    expect_refused(ENV("\"HUAWEICLOUD_SDK_AK\":\"a b\"," SK), CV_INVALID,
                   "blank");
    expect_refused("{\"token\":\" \\n\"}", CV_INVALID, "token is empty");
    expect_refused("{\"token\":\"a\\nb\"}", CV_INVALID, "blank");
    expect_refused("{\"token\":\"a\\u00e9b\"}", CV_INVALID, "blank");
    expect_refused(ENV("\"HUAWEICLOUD_SDK_IDP_ID\":\"i\","
                       "\"HUAWEICLOUD_SDK_ID_TOKEN_FILE\":\"/f\""),
                   CV_USAGE, "was not read");
    expect_refused("{\"user\":{\"name\":\"u\",\"password\":\"p\"}}", CV_USAGE,
                   "account");
    expect_refused("{\"user\":{\"id\":\"u\",\"password\":\"\"}}", CV_USAGE,
                   "needs a password");
    expect_refused("{\"user\":{\"id\":\"u\",\"password\":\"p\","
                   "\"totp\":\"12345\"}}",
                   CV_USAGE, "six digits");
    expect_refused("{\"nonsense\":1}", CV_USAGE, "nonsense");
    expect_refused("{\"region\":5}", CV_USAGE, "region");
}

static void projects(void **state)
{
    static const char *const bad[] = {
        "../../x",
        "0a1b%2e",
        "0a1b2c3d4e5f60718293a4b5c6d7e8f",
        "",
        "0A1B2C3D4E5F60718293A4B5C6D7E8F9",
        "0a1b2c3d?e5f60718293a4b5c6d7e8f9",
        "0a1b2c3d4e5f60718293a4b5c6d7e8f9\r\nX: y",
        ("g" PROJECT)};
    struct found f =
        look("{\"project_id\":\"" PROJECT "\",\"environment\":{"
             "\"HUAWEICLOUD_SDK_PROJECT_ID\":\"other\"," AK "," SK "}}");

    (void)state;
    find(&f);
    assert_ok(f.s, &f.e);
    assert_string_equal(f.c.project_id, PROJECT);
    drop(&f);
    f = look("{\"profile\":\"[basic]\\nak=a\\nsk=s\\nproject_id=" PROJECT
             "\\niam_endpoint=https://i.example\"}");
    find(&f);
    assert_ok(f.s, &f.e);
    assert_string_equal(f.c.project_id, PROJECT);
    assert_string_equal(f.c.iam_endpoint, "https://i.example");
    drop(&f);
    expect_refused("{\"project_id\":\"../../x\",\"environment\":{" AK "," SK
                   "}}",
                   CV_USAGE, "project id");
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(cv_credentials_check_project(bad[i], NULL), CV_USAGE);
    }
}

static void token_is_stripped(void **state)
{
    struct found f = look("{\"token\":\"\\r\\n  MIIF+/=\\t\\n\"}");

    (void)state;
    find(&f);
    assert_ok(f.s, &f.e);
    assert_string_equal(f.c.token, "MIIF+/=");
    drop(&f);
}

static void bad_profiles(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"ak = x", "line 1, stands before"},
        {"[basic]\nak\n", "line 2, is no"},
        {"[basic]\n= x\n", "line 2, is no"},
        {"[basic]\nak=1\n\nak=2\n", "line 4, gives a key twice"},
        {"[basic\nak=1", "line 1: a section does not end"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cv_arena *arena = new_arena();
        struct cv_profile p;
        struct cv_err e;

        cv_err_init(&e);
        assert_refused(cv_profile_read(cases[i].text, arena, &p, &e),
                       CV_INVALID, &e, cases[i].part);
        cv_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environment),  cmocka_unit_test(profile),
        cmocka_unit_test(order),        cmocka_unit_test(refused),
        cmocka_unit_test(projects),     cmocka_unit_test(token_is_stripped),
        cmocka_unit_test(bad_profiles),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
