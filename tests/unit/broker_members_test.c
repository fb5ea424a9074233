/* Who a policy is about, asked of this host: against what the C library says
 * here. */
#include "vault/base/arena.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/broker/names.h"

#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct rig {
    struct cv_channel *ch;
    pthread_t thread;
    int fd;
};

static void *serve(void *arg)
{
    cv_names_serve(*(int *)arg);
    return NULL;
}

static int up(void **state)
{
    static struct rig r;
    int pair[2];

    assert_int_equal(cv_process_pair(pair, NULL), CV_OK);
    r.fd = pair[1];
    assert_int_equal(pthread_create(&r.thread, NULL, serve, &r.fd), 0);
    assert_int_equal(cv_channel_new(pair[0], CV_LIMIT_FRAME, &r.ch, NULL),
                     CV_OK);
    *state = &r;
    return 0;
}

static int down(void **state)
{
    struct rig *r = *state;

    cv_channel_free(r->ch);
    return pthread_join(r->thread, NULL);
}

/* {"users": [...], "groups": [...], "uids": [...]} as JSON. */
static const cJSON *ask(struct rig *r, const char *wanted,
                        struct cv_message *reply)
{
    assert_int_equal(cv_names_members(r->ch, cJSON_Parse(wanted), reply, NULL),
                     CV_OK);
    return cJSON_GetObjectItemCaseSensitive(reply->tree, "users");
}

static bool is_complete(const struct cv_message *reply)
{
    return cJSON_IsTrue(
        cJSON_GetObjectItemCaseSensitive(reply->tree, "complete"));
}

static double number(const cJSON *user, const char *key)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(user, key));
}

static const cJSON *find(const cJSON *users, uid_t uid)
{
    const cJSON *user;

    cJSON_ArrayForEach(user, users)
    {
        if (number(user, "uid") == uid) {
            return user;
        }
    }
    return NULL;
}

/* Its groups are those that a login would have. */
static void check_groups(const cJSON *user)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(user, "gids");
    gid_t gids[CV_LIMIT_MEMBER_GROUPS];
    int n = CV_LIMIT_MEMBER_GROUPS;
    const struct passwd *pw = getpwuid((uid_t)number(user, "uid"));

    assert_non_null(pw);
    assert_string_equal(
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(user, "name")),
        pw->pw_name);
    assert_true(number(user, "gid") == pw->pw_gid);
    assert_true(getgrouplist(pw->pw_name, pw->pw_gid, gids, &n) >= 0);
    assert_int_equal(cJSON_GetArraySize(list), n);
    for (int i = 0; i < n; i++) {
        assert_true(cJSON_GetArrayItem(list, i)->valuedouble == gids[i]);
    }
}

static void by_name_and_number(void **state)
{
    struct cv_message reply;
    const cJSON *users =
        ask(*state, "{\"users\":[\"root\",\"daemon\",\"root\"],\"uids\":[0,1]}",
            &reply);

    assert_int_equal(cJSON_GetArraySize(users), 2);
    check_groups(find(users, 0));
    check_groups(find(users, 1));
    assert_true(is_complete(&reply));
    cv_message_free(&reply);
}

static void nobody(void **state)
{
    struct cv_message reply;
    const cJSON *users =
        ask(*state,
            "{\"users\":[\"no-such-user\",\"\",7],\"groups\":[\"no-such\"],"
            "\"uids\":[4294967294,-1,\"0\",4294967296]}",
            &reply);

    assert_non_null(users);
    assert_int_equal(cJSON_GetArraySize(users), 0);
    assert_true(is_complete(&reply));
    cv_message_free(&reply);
}

static void nothing_asked(void **state)
{
    struct cv_message reply;
    const cJSON *users = ask(*state, "{}", &reply);

    assert_int_equal(cJSON_GetArraySize(users), 0);
    assert_true(is_complete(&reply));
    cv_message_free(&reply);
}

/* Those whose first group it is, too, which no group lists. */
static void by_first_group(void **state)
{
    struct cv_message reply;
    const struct passwd *root = getpwuid(0), *pw;
    const struct group *gr;
    char wanted[128];
    const cJSON *users;

    assert_non_null(root);
    gr = getgrgid(root->pw_gid);
    assert_non_null(gr);
    (void)snprintf(wanted, sizeof(wanted), "{\"groups\":[\"%s\"]}",
                   gr->gr_name);
    users = ask(*state, wanted, &reply);
    check_groups(find(users, 0));
    setpwent();
    while ((pw = getpwent()) != NULL) {
        if (pw->pw_gid == root->pw_gid) {
            assert_non_null(find(users, pw->pw_uid));
        }
    }
    endpwent();
    assert_null(find(users, getpwnam("daemon")->pw_uid));
    cv_message_free(&reply);
}

/* A list that is none is refused, and the next question is answered. */
static void not_a_question(void **state)
{
    struct rig *r = *state;
    struct cv_message reply;

    assert_int_equal(cv_names_members(r->ch,
                                      cJSON_Parse("{\"users\":\"root\"}"),
                                      &reply, NULL),
                     CV_INVALID);
    cv_message_free(&reply);
    assert_int_equal(
        cv_names_members(r->ch, cJSON_Parse("{\"x\":[]}"), &reply, NULL),
        CV_INVALID);
    cv_message_free(&reply);
    assert_int_equal(
        cJSON_GetArraySize(ask(r, "{\"users\":[\"root\"]}", &reply)), 1);
    cv_message_free(&reply);
}

/* The name of one user, and of nobody. */
static void one_name(void **state)
{
    struct rig *r = *state;
    char name[CV_NAMES_LEN];

    assert_int_equal(cv_names_user(r->ch, 0, name), CV_OK);
    assert_string_equal(name, getpwuid(0)->pw_name);
    assert_int_equal(cv_names_user(r->ch, 4294967294U, name), CV_OK);
    assert_string_equal(name, "uid:4294967294");
}

static int start(void **state)
{
    (void)state;
    cv_arena_allow_unlocked();
    cv_json_start();
    return cv_arena_start(NULL) == CV_OK ? 0 : -1;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(by_name_and_number), CASE(nobody),         CASE(nothing_asked),
        CASE(by_first_group),     CASE(not_a_question), CASE(one_name),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
