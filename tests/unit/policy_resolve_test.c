#include "tests/unit/policy_test.h"

#include "vault/base/encode.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char zoned[] =
    HEAD "- {name: a, effect: permit, subjects: {users: [alice], groups: "
         "[sre]}, actions: [use], when: {days: [mon], timezone: "
         "Europe/Berlin}}\n";

static cJSON *json_of(const char *text)
{
    cJSON *o = NULL;
    if (cv_json_parse(NULL, bytes_of(text), &o, NULL) != CV_OK)
        fail_msg("not JSON: %s", text);
    return o;
}

/* `%s` in `text` stands for Berlin's file. */
static enum cv_status resolve(const char *rules, const char *text,
                              struct cv_policy_notes *notes, struct cv_err *err)
{
    static char filled[16 * 1024];
    struct cv_policy *p;
    cJSON *zones = all_zones();
    const char *berlin =
        cJSON_GetObjectItemCaseSensitive(zones, "Europe/Berlin")->valuestring;
    const char *hole = strstr(text, "%s");
    (void)snprintf(filled, sizeof(filled), "%.*s%s%s",
                   hole != NULL ? (int)(hole - text) : (int)strlen(text), text,
                   hole != NULL ? berlin : "", hole != NULL ? hole + 2 : "");
    cJSON_Delete(zones);
    cJSON *resolution = json_of(filled);
    cv_err_init(err);
    assert_int_equal(cv_policy_parse(bytes_of(rules), &p, NULL, NULL), CV_OK);
    enum cv_status st = cv_policy_resolve(p, resolution, notes, err);
    if (st == CV_OK)
        assert_int_equal(cv_policy_resolve(p, resolution, notes, err),
                         CV_INTERNAL); /* once only */
    cJSON_Delete(resolution);
    cv_policy_free(p);
    return st;
}

static const struct {
    const char *text;
    const char *says; /* NULL: taken */
} resolutions[] = {
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     NULL},
    {"{\"users\":{\"alice\":null},\"groups\":{\"sre\":null},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     NULL},
    {"{\"users\":{\"alice\":4294967293},\"groups\":{\"sre\":0},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     NULL},
    {"{\"users\":{},\"groups\":{\"sre\":2},\"zones\":{\"Europe/Berlin\":"
     "\"%s\"}}",
     "lacks names in \"users\""},
    {"{\"users\":{\"alice\":1},\"groups\":{},\"zones\":{\"Europe/Berlin\":"
     "\"%s\"}}",
     "lacks names in \"groups\""},
    {"{\"users\":{\"alice\":1,\"bob\":2},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     "does not mention"},
    {"{\"users\":{\"alice\":-1},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     "a number in \"users\" that is none"},
    {"{\"users\":{\"alice\":1.5},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     "a number in \"users\" that is none"},
    {"{\"users\":{\"alice\":4294967294},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     "a number in \"users\" that is none"},
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":4294967295},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     "a number in \"groups\" that is none"},
    {"{\"users\":{\"alice\":\"1\"},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"}}",
     "a number in \"users\" that is none"},
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":2},\"zones\":{}}",
     "time zone \"Europe/Berlin\": this host has none of that name"},
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"%s\",\"UTC\":\"\"}}",
     "does not mention"},
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":null}}",
     "time zone \"Europe/Berlin\""},
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"?\"}}",
     "time zone \"Europe/Berlin\""},
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"AAAA\"}}",
     "not a time zone file"},
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":2}}", "zones"},
    {"{\"users\":[],\"groups\":{\"sre\":2},\"zones\":{\"Europe/Berlin\":"
     "\"%s\"}}",
     "users"},
    {"{\"users\":{\"alice\":1},\"groups\":{\"sre\":2},\"zones\":{"
     "\"Europe/Berlin\":\"%s\"},\"more\":1}",
     "more"},
    {"[]", ""},
};

static void reads_resolutions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(resolutions) / sizeof(resolutions[0]); i++) {
        struct cv_err err;
        enum cv_status st = resolve(zoned, resolutions[i].text, NULL, &err);
        if (st != (resolutions[i].says == NULL ? CV_OK : CV_INVALID))
            fail_msg("%d %s: %s", (int)st, err.text, resolutions[i].text);
        if (resolutions[i].says != NULL &&
            strstr(err.text, resolutions[i].says) == NULL)
            fail_msg("%s: %s", err.text, resolutions[i].text);
    }
}

static void warns_of_strangers_in_permits(void **state)
{
    (void)state;
    struct cv_policy_notes notes = {0};
    struct cv_err err;
    static const char rules[] =
        HEAD "- {name: a, effect: permit, subjects: {users: [ghost], groups: "
             "[ghosts]}, actions: [use]}\n";
    assert_int_equal(resolve(rules,
                             "{\"users\":{\"ghost\":null},\"groups\":{"
                             "\"ghosts\":null},\"zones\":{}}",
                             &notes, &err),
                     CV_OK);
    assert_int_equal(notes.n_warnings, 2);
    assert_int_equal(notes.warnings[0].line, 5);
    assert_string_equal(notes.warnings[0].text,
                        "rule \"a\": user \"ghost\" is nobody on this host");
    assert_string_equal(notes.warnings[1].text,
                        "rule \"a\": group \"ghosts\" is nobody on this host");
}

static void refuses_strangers_in_forbids(void **state)
{
    (void)state;
    struct cv_policy_notes notes = {0};
    struct cv_err err;
    assert_int_equal(
        resolve(HEAD "- {name: f, effect: forbid, subjects: {users: [ghost]}, "
                     "actions: [use]}\n",
                "{\"users\":{\"ghost\":null},\"groups\":{},\"zones\":{}}",
                &notes, &err),
        CV_INVALID);
    assert_string_equal(err.text, "line 5: rule \"f\" forbids a user that is "
                                  "not there: \"ghost\"");
    assert_int_equal(notes.error_line, 5);
    assert_true(err.hint[0] != '\0');
    assert_int_equal(
        resolve(HEAD "- {name: f, effect: forbid, subjects: {groups: "
                     "[ghosts]}, actions: [use]}\n",
                "{\"users\":{},\"groups\":{\"ghosts\":null},\"zones\":{}}",
                NULL, &err),
        CV_INVALID);
    assert_non_null(strstr(err.text, "forbids a group"));
}

static bool permits(const struct cv_policy *p, uid_t uid, gid_t gid)
{
    struct cv_decide_result result;
    struct cv_decide_request r = {.action = CV_ACTION_USE,
                                  .mode = CV_DECIDE_MODE_SERVICE};
    r.subject.uid = uid;
    r.subject.gid = gid;
    r.now_s = MONDAY_10;
    return cv_decide_run(p, &r, &result, NULL) == CV_OK;
}

/* A name that is not there matches nobody: above all not uid 0. */
static void strangers_match_nobody(void **state)
{
    (void)state;
    struct cv_policy *p =
        policy_of(HEAD "- {name: a, effect: permit, subjects: {users: [ghost, "
                       "nobody], groups: [ghosts, nobody]}, actions: [use]}\n");
    assert_false(permits(p, 0, 0));
    assert_false(permits(p, 65534, 65534));
    assert_false(permits(p, 1000, 65534));
    cv_policy_free(p);
    /* In a forbid the number that stands for no group still counts. */
    p = policy_of(HEAD "- {name: a, effect: permit, subjects: {users: "
                       "[\"*\"]}, actions: [use]}\n"
                       "- {name: f, effect: forbid, subjects: {groups: "
                       "[nobody]}, actions: [use]}\n");
    assert_true(permits(p, 1000, 100));
    assert_false(permits(p, 1000, 65534));
    cv_policy_free(p);
}

/* After a failure a policy can still be resolved. */
static void can_be_tried_again(void **state)
{
    (void)state;
    struct cv_policy *p;
    assert_int_equal(cv_policy_parse(bytes_of(zoned), &p, NULL, NULL), CV_OK);
    cJSON *bad = json_of("{\"users\":{\"alice\":1},\"groups\":{\"sre\":2},"
                         "\"zones\":{}}");
    assert_int_equal(cv_policy_resolve(p, bad, NULL, NULL), CV_INVALID);
    cJSON_Delete(bad);
    cJSON *good = resolution_of(p);
    assert_int_equal(cv_policy_resolve(p, good, NULL, NULL), CV_OK);
    cJSON_Delete(good);
    assert_true(permits(p, 1001, 100));
    assert_true(permits(p, 5, 2001));
    assert_false(permits(p, 5, 1001));
    cv_policy_free(p);
}

/* A name that comes twice does not stand for another. */
static void wants_each_name_once(void **state)
{
    struct cv_policy *p;
    (void)state;
    assert_int_equal(
        cv_policy_parse(bytes_of(HEAD "- {name: a, effect: permit, subjects: "
                                      "{users: [alice, bob]}, actions: "
                                      "[use]}\n"),
                        &p, NULL, NULL),
        CV_OK);
    cJSON *o = json_of("{\"users\":{\"alice\":1},\"groups\":{},\"zones\":{}}");
    assert_non_null(cJSON_AddNumberToObject(
        cJSON_GetObjectItemCaseSensitive(o, "users"), "alice", 1));
    assert_int_equal(cv_policy_resolve(p, o, NULL, NULL), CV_INVALID);
    cJSON_Delete(o);
    cv_policy_free(p);
}

/* Nothing of a try that failed is left: not of the rules before the bad one. */
static void forgets_what_failed(void **state)
{
    static const char rules[] =
        HEAD "- {name: a, effect: permit, subjects: {users: [alice], groups: "
             "[sre], uids: [7]}, actions: [use]}\n"
             "- {name: b, effect: permit, subjects: {users: [bob], groups: "
             "[dev]}, actions: [use], require: {approvals: {count: 1, from: "
             "{users: [carol], groups: [leads]}}}}\n"
             "- {name: c, effect: forbid, subjects: {users: [ghost]}, actions: "
             "[use]}\n";
    struct cv_decide_approval by = {.uid = 1003, .gid = 1};
    struct cv_policy *p;
    (void)state;
    assert_int_equal(cv_policy_parse(bytes_of(rules), &p, NULL, NULL), CV_OK);
    cJSON *bad = resolution_of(p);
    for (int i = 0; i < 3; i++)
        assert_int_equal(cv_policy_resolve(p, bad, NULL, NULL), CV_INVALID);
    cJSON *users = cJSON_GetObjectItemCaseSensitive(bad, "users");
    cJSON_DeleteItemFromObject(users, "ghost");
    assert_non_null(cJSON_AddNumberToObject(users, "ghost", 1009));
    assert_int_equal(cv_policy_resolve(p, bad, NULL, NULL), CV_OK);
    cJSON_Delete(bad);
    assert_true(permits(p, 1001, 5));
    assert_true(permits(p, 7, 5));
    assert_true(permits(p, 6, 2001));
    assert_false(permits(p, 0, 5));
    assert_false(permits(p, 6, 0));
    assert_false(permits(p, 1009, 2001));
    assert_true(cv_decide_may_approve(p, "b", &by));
    by.uid = 0;
    assert_false(cv_decide_may_approve(p, "b", &by));
    by.gid = 2002;
    assert_true(cv_decide_may_approve(p, "b", &by));
    by.gid = 0;
    assert_false(cv_decide_may_approve(p, "b", &by));
    cv_policy_free(p);
}

/* Names are shown, but not all of a very long one. */
static void shows_long_names(void **state)
{
    char name[91];
    char text[512];
    char object[512];
    struct cv_policy_notes notes = {0};
    struct cv_err err;
    (void)state;
    memset(name, 'n', sizeof(name));
    name[90] = '\0';
    (void)snprintf(text, sizeof(text),
                   HEAD "- {name: f, effect: forbid, subjects: {users: [%s]}, "
                        "actions: [use]}\n",
                   name);
    (void)snprintf(object, sizeof(object),
                   "{\"users\":{\"%s\":null},\"groups\":{},\"zones\":{}}",
                   name);
    assert_int_equal(resolve(text, object, &notes, &err), CV_INVALID);
    assert_int_equal(notes.error_column, 1);
    (void)snprintf(object, sizeof(object),
                   "line 5: rule \"f\" forbids a user that is not there: "
                   "\"%.76s...\"",
                   name);
    assert_string_equal(err.text, object);
    /* And of one who has keys. */
    memset(&notes, 0, sizeof(notes));
    (void)snprintf(text, sizeof(text),
                   HEAD "- {name: f, effect: permit, subjects: {uids: [1]}, "
                        "actions: [use]}\nkeys: {%s: [\"ssh-ed25519 "
                        "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFB"
                        "UWFxgZGhscHR4f\"]}\n",
                   name);
    (void)snprintf(object, sizeof(object),
                   "{\"users\":{\"%s\":null},\"groups\":{},\"zones\":{}}",
                   name);
    assert_int_equal(resolve(text, object, &notes, &err), CV_OK);
    assert_int_equal(notes.n_warnings, 1);
    (void)snprintf(object, sizeof(object),
                   "keys: user \"%.76s...\" is nobody on this host", name);
    assert_string_equal(notes.warnings[0].text, object);
}

/* Zones alone: what is none is refused, and leaves the policy as it was. */
static void refuses_zones(void **state)
{
    static const char *const bad[] = {"[]", "{}", "null",
                                      "{\"Europe/Berlin\":\"AAAA\"}",
                                      "{\"Europe/Berlin\":1}"};
    struct cv_policy *p;
    struct cv_decide_result result;
    struct cv_decide_request r = {.action = CV_ACTION_USE,
                                  .mode = CV_DECIDE_MODE_SERVICE,
                                  .now_s = MONDAY_10};
    (void)state;
    r.subject.by_name = true;
    r.subject.user = "alice";
    assert_int_equal(cv_policy_parse(bytes_of(zoned), &p, NULL, NULL), CV_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cv_err err;
        cJSON *o = json_of(bad[i]);
        cv_err_init(&err);
        assert_int_equal(cv_policy_set_zones(p, o, &err), CV_INVALID);
        assert_int_equal(strstr(err.text, "no \"zones\"") != NULL,
                         !cJSON_IsObject(o));
        cJSON_Delete(o);
        assert_int_equal(cv_decide_run(p, &r, &result, NULL), CV_DENIED);
        assert_int_equal(result.cause, CV_DECIDE_NOT_READY);
    }
    cJSON *zones = all_zones();
    while (zones->child != NULL && zones->child->next != NULL)
        cJSON_DeleteItemFromArray(
            zones, strcmp(zones->child->string, "Europe/Berlin") == 0 ? 1 : 0);
    /* One that nobody mentions is refused, also before a good one. */
    cJSON *more = json_of("{\"Europe/Nowhere\":\"AAAA\"}");
    assert_true(cv_json_add_item(more, "Europe/Berlin",
                                 cJSON_Duplicate(zones->child, true)));
    assert_int_equal(cv_policy_set_zones(p, more, NULL), CV_INVALID);
    cJSON_Delete(more);
    assert_int_equal(cv_policy_set_zones(p, zones, NULL), CV_OK);
    cJSON_Delete(zones);
    assert_int_equal(cv_decide_run(p, &r, &result, NULL), CV_OK);
    cv_policy_free(p);
}

static void put(const char *folder, const char *name, const void *data,
                size_t len)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    (void)fclose(f);
}

/* The lowest descriptor that is free. */
static int next_fd(void)
{
    int fd = dup(STDERR_FILENO);
    assert_int_not_equal(fd, -1);
    assert_int_equal(close(fd), 0);
    return fd;
}

static void reads_zone_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/policy_resolve_test.XXXXXX";
    char path[256];
    struct cv_policy *p;
    struct cv_err err;
    struct cv_buf file;
    cJSON *zones = all_zones();
    const char *berlin =
        cJSON_GetObjectItemCaseSensitive(zones, "Europe/Berlin")->valuestring;
    cJSON *found;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/Europe", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(cv_policy_parse(bytes_of(zoned), &p, NULL, NULL), CV_OK);

    cv_err_init(&err);
    found = zones;
    assert_int_equal(cv_policy_read_zones(p, folder, &found, NULL, &err),
                     CV_INVALID);
    assert_null(found);
    assert_non_null(strstr(err.text, "Europe/Berlin"));
    assert_non_null(strstr(err.text, "this host has none"));
    assert_non_null(strstr(err.hint, "tzdata"));

    put(folder, "Europe/Berlin", "TZif", 4);
    cv_err_init(&err);
    assert_int_equal(cv_policy_read_zones(p, folder, &found, NULL, &err),
                     CV_INVALID);
    assert_null(found);
    assert_non_null(strstr(err.text, "time zone \"Europe/Berlin\": "));
    assert_null(strstr(err.text, "this host has none"));

    cv_buf_init(&file, NULL, CV_KIB(64));
    assert_int_equal(
        cv_decode_base64(berlin, strlen(berlin), false, "zone", &file, NULL),
        CV_OK);
    put(folder, "Europe/Berlin", file.data, file.len);
    const int free_fd = next_fd();
    assert_int_equal(cv_policy_read_zones(p, folder, &found, NULL, &err),
                     CV_OK);
    assert_int_equal(next_fd(), free_fd); /* it holds no file open */
    assert_string_equal(
        cJSON_GetObjectItemCaseSensitive(found, "Europe/Berlin")->valuestring,
        berlin);
    assert_int_equal(cv_policy_set_zones(p, found, &err), CV_OK);
    assert_int_equal(cv_policy_set_zones(p, found, &err), CV_OK);
    /* With zones, and resolved only then. */
    cJSON *all = resolution_of(p);
    assert_int_equal(cv_policy_resolve(p, all, NULL, &err), CV_OK);
    assert_int_equal(cv_policy_resolve(p, all, NULL, &err), CV_INTERNAL);
    cJSON_Delete(all);
    /* A path that does not fit is none. */
    char far[600];
    cJSON *none;
    memset(far, 'x', sizeof(far));
    for (size_t len = 490; len < sizeof(far); len++) {
        far[len] = '\0';
        cv_err_init(&err);
        assert_int_not_equal(cv_policy_read_zones(p, far, &none, NULL, &err),
                             CV_OK);
        assert_null(none);
        assert_int_equal(strstr(err.text, "the path is too long") != NULL,
                         len + strlen("/Europe/Berlin") >= 512);
        far[len] = 'x';
    }
    cJSON_Delete(found);
    cJSON_Delete(zones);
    cv_buf_wipe(&file);
    cv_policy_free(p);
    (void)snprintf(path, sizeof(path), "%s/Europe/Berlin", folder);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/Europe", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* Of several the first that is not there is named, with its place; what is a
 * folder is not there. */
static void says_which_zone(void **state)
{
    static const char text[] =
        HEAD "- {name: u, effect: permit, subjects: {uids: [1]}, actions: "
             "[use]}\n"
             "- {name: a, effect: permit, subjects: {uids: [1]}, actions: "
             "[use], when: {days: [mon], timezone: Europe/Berlin}}\n"
             "- {name: b, effect: permit, subjects: {uids: [1]}, actions: "
             "[use], when: {days: [mon], timezone: Europe}}\n"
             "- {name: c, effect: permit, subjects: {uids: [1]}, actions: "
             "[use], when: {days: [mon], timezone: Europe}}\n";
    static const char says[] =
        "line 7, column 98: rule \"b\": time zone \"Europe\": this host has "
        "none of that name";
    char folder[] = "/tmp/policy_resolve_test.XXXXXX";
    char path[256];
    struct cv_policy_notes notes = {0};
    struct cv_policy *p;
    struct cv_err err;
    struct cv_buf file;
    cJSON *found = NULL;
    cJSON *zones = all_zones();
    cJSON *berlin =
        cJSON_DetachItemFromObjectCaseSensitive(zones, "Europe/Berlin");
    (void)state;
    cv_buf_init(&file, NULL, CV_KIB(64));
    assert_int_equal(cv_decode_base64(berlin->valuestring,
                                      strlen(berlin->valuestring), false,
                                      "zone", &file, NULL),
                     CV_OK);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/Europe", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    put(folder, "Europe/Berlin", file.data, file.len);
    assert_int_equal(cv_policy_parse(bytes_of(text), &p, NULL, NULL), CV_OK);

    cv_err_init(&err);
    assert_int_equal(cv_policy_read_zones(p, folder, &found, &notes, &err),
                     CV_INVALID);
    assert_null(found);
    assert_string_equal(err.text, says);
    assert_int_equal(notes.error_line, 7);
    assert_int_equal(notes.error_column, 98);

    /* All that are missing, each once. */
    found = cv_policy_missing_zones(p, folder);
    assert_int_equal(cJSON_GetArraySize(found), 1);
    assert_string_equal(found->child->valuestring, "Europe");
    cJSON_Delete(found);
    put(folder, "Europe/Berlin", "TZif", 4);
    found = cv_policy_missing_zones(p, folder);
    assert_int_equal(cJSON_GetArraySize(found), 2);
    assert_string_equal(found->child->valuestring, "Europe/Berlin");
    cJSON_Delete(found);

    cJSON *given = cJSON_CreateObject();
    cJSON_AddItemToObject(given, "Europe/Berlin", berlin);
    cv_err_init(&err);
    assert_int_equal(cv_policy_set_zones(p, given, &err), CV_INVALID);
    assert_string_equal(err.text, says);
    cJSON_Delete(given);
    cJSON_Delete(zones);
    cv_buf_wipe(&file);
    cv_policy_free(p);
    (void)snprintf(path, sizeof(path), "%s/Europe/Berlin", folder);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/Europe", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* The owner may do all but export; nobody else anything. */
static void writes_the_default(void **state)
{
    (void)state;
    struct cv_buf b;
    cv_buf_init(&b, NULL, CV_KIB(4));
    cv_policy_default(1001, &b);
    struct cv_policy *p = policy_of(cv_buf_text(&b));
    assert_int_equal(cv_policy_version(p), 0);
    assert_string_equal(cv_policy_name(p), "default");
    for (unsigned a = 1; a < CV_ACTION_COUNT; a++) {
        struct cv_decide_result result;
        struct cv_decide_entry e = {.name = "x", .provenance = "sealed"};
        struct cv_decide_request r = {.action = (enum cv_action)a,
                                      .entry = a % 2 != 0 ? &e : NULL,
                                      .mode = CV_DECIDE_MODE_EXEC,
                                      .now_s = MONDAY_10};
        r.subject.uid = 1001;
        r.subject.gid = 1001;
        assert_int_equal(cv_decide_run(p, &r, &result, NULL),
                         a == CV_ACTION_EXPORT ? CV_DENIED : CV_OK);
        r.subject.uid = 1002;
        assert_int_equal(cv_decide_run(p, &r, &result, NULL), CV_DENIED);
        r.subject.uid = 0;
        assert_int_equal(cv_decide_run(p, &r, &result, NULL), CV_DENIED);
    }
    cv_policy_free(p);
    cv_buf_wipe(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_resolutions),
        cmocka_unit_test(warns_of_strangers_in_permits),
        cmocka_unit_test(refuses_strangers_in_forbids),
        cmocka_unit_test(strangers_match_nobody),
        cmocka_unit_test(can_be_tried_again),
        cmocka_unit_test(wants_each_name_once),
        cmocka_unit_test(forgets_what_failed),
        cmocka_unit_test(shows_long_names),
        cmocka_unit_test(refuses_zones),
        cmocka_unit_test(reads_zone_files),
        cmocka_unit_test(says_which_zone),
        cmocka_unit_test(writes_the_default),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
