/* Memory that is gone at any point is an error, never a yes, a leak or a crash.
 * The linker puts these in the place of malloc and its kin, and of the pool's,
 * whose chunks seldom need more. */
#include "tests/unit/policy_test.h"

#include "policy/compare.h"
#include "policy/format.h"
#include "policy/lint.h"
#include "policy/pool_internal.h"

#include "vault/base/encode.h"

#include <sys/stat.h>
#include <unistd.h>

static long left = -1; /* allocations until one fails; below 0: none does */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t n);
void *__real_reallocarray(void *old, size_t n, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *p);

static bool hit;    /* one did */
static long pieces; /* that were not freed yet */

static void *counted(void *p)
{
    pieces += p != NULL ? 1 : 0;
    return p;
}

static bool fails(void)
{
    if (left < 0 || left-- > 0)
        return false;
    hit = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : counted(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t n)
{
    if (fails())
        return NULL;
    void *p = __real_realloc(old, n);
    pieces += p != NULL && old == NULL ? 1 : 0;
    return p;
}

void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
    if (fails())
        return NULL;
    void *p = __real_reallocarray(old, n, size);
    pieces += p != NULL && old == NULL ? 1 : 0;
    return p;
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *p)
{
    pieces -= p != NULL ? 1 : 0;
    __real_free(p);
}

#define KEY                                                                  \
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFx" \
    "gZGhscHR4f carol"
#define CARD                                                                 \
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAA" \
    "AIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gAAAABHNzaDo="

void *__real_cv_pool_alloc(struct cv_pool *pool, size_t len);
char *__real_cv_pool_copy(struct cv_pool *pool, const char *text);
size_t __real_cv_pool_intern(struct cv_pool *pool, struct cv_texts *t,
                             const char *text);
void *__wrap_cv_pool_alloc(struct cv_pool *pool, size_t len);
char *__wrap_cv_pool_copy(struct cv_pool *pool, const char *text);
size_t __wrap_cv_pool_intern(struct cv_pool *pool, struct cv_texts *t,
                             const char *text);

/* Behind each piece lies what nobody may read: no pointer, no bool. */
#define BEHIND 1024

void *__wrap_cv_pool_alloc(struct cv_pool *pool, size_t len)
{
    if (fails())
        return NULL;
    uint8_t *p = __real_cv_pool_alloc(pool, len + BEHIND);
    if (p != NULL)
        memset(p + len, 0xaa, BEHIND);
    return p;
}

char *__wrap_cv_pool_copy(struct cv_pool *pool, const char *text)
{
    return fails() ? NULL : __real_cv_pool_copy(pool, text);
}

size_t __wrap_cv_pool_intern(struct cv_pool *pool, struct cv_texts *t,
                             const char *text)
{
    return fails() ? CV_TEXTS_NONE : __real_cv_pool_intern(pool, t, text);
}

static const char rules[] =
    HEAD "- {name: a, effect: permit, subjects: {users: [alice, bob], groups: "
         "[sre], uids: [5]}, actions: [use, list], entries: {names: [x, "
         "\"y*\"], labels: {env: prod}, provenance: [born]}, when: {reason: "
         "required, ticket: \"[a-z]+\", hours: \"08:00-18:00\", days: [mon], "
         "timezone: Europe/Berlin, contexts: [c], mode: [exec], tty: "
         "required}, grant: {max_duration: 1h, verbs: [get]}}\n"
         "- {name: b, effect: forbid, subjects: {groups: [dev]}, actions: "
         "[\"*\"]}\n"
         "- {name: c, effect: permit, subjects: {uids: [5]}, actions: [use], "
         "limit: {count: 5, per: 1h, sessions: 2}, require: {approvals: "
         "{count: 1, from: {users: [carol, \"*\"], groups: [leads], uids: "
         "[6, 7]}, signed: true}}, break_glass: true}\n"
         "keys: {carol: [" KEY ", " CARD "]}\n";

/* What these permit they permit for a group, a label, an approval: where one is
 * lost, a case fails. */
static const char for_cases[] =
    HEAD "- {name: d, effect: permit, subjects: {groups: [ops]}, actions: "
         "[show], entries: {labels: {tier: gold, x: y}}}\n"
         "- {name: e, effect: permit, subjects: {uids: [5]}, actions: [use], "
         "grant: {max_duration: 1h, read_only: true, verbs: [get], namespaces: "
         "[a], resources: [pods], record: all}, limit: {count: 1, per: 1h, "
         "sessions: 1}, require: {approvals: {count: 2, from: {users: [bob], "
         "groups: [leads], uids: [6]}, signed: true}}, break_glass: true}\n";

static const char lost[] =
    "apiVersion: certvault/v1\nkind: PolicyTest\ncases:\n"
    "- {user: zed, groups: [ops], action: show, entry: {name: x, labels: "
    "{tier: gold}}, expect: permit}\n"
    "- {user: \"5\", action: use, reason: r, approvals: [{user: a, groups: "
    "[leads, x], signed: true}, {user: c, groups: [y, leads], signed: true}], "
    "used: {e: 0}, break_glass: true, expect: permit}\n"
    "- {user: zed, groups: [x, ops], action: show, entry: {name: x, labels: "
    "{a: b, x: y}}, expect: permit, offer: d}\n";

static const char *policy_text = rules;
static const char cases[] =
    "apiVersion: certvault/v1\nkind: PolicyTest\ncases:\n"
    "- {user: alice, groups: [sre], action: use, entry: {name: x, labels: "
    "{env: prod}}, reason: r, context: c, expect: deny}\n"
    "- {user: \"5\", action: use, reason: r, approvals: [{user: a, groups: "
    "[leads, x], signed: true}, {user: b}], used: {c: 5}, sessions: {c: 1}, "
    "break_glass: true, wait: limit, expect: deny}\n"
    "- {user: \"5\", action: use, reason: r, wait: approvals, offer: c, "
    "expect: deny}\n";

static struct cv_decide_request asked(void)
{
    static const struct cv_decide_entry e = {.name = "x", .provenance = "born"};
    struct cv_decide_request r = {.action = CV_ACTION_LIST,
                                  .entry = &e,
                                  .mode = CV_DECIDE_MODE_EXEC,
                                  .now_s = MONDAY_10};
    r.subject.uid = 5;
    return r;
}

/* Nothing of it is missing: what memory was gone for is no answer. */
static void has_all(const cJSON *o, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        if (!cJSON_HasObjectItem(o, *keys))
            fail_msg("there is no %s", *keys);
    }
}

static void all_have(const cJSON *o, const char *key, int n,
                     const char *const *keys)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, key);
    const cJSON *item;
    assert_int_equal(cJSON_GetArraySize(list), n);
    cJSON_ArrayForEach(item, list) has_all(item, keys);
}

typedef enum cv_status (*step)(struct cv_policy *p, const cJSON *resolution);

static enum cv_status parse(struct cv_policy *p, const cJSON *resolution)
{
    static struct cv_policy_notes notes;
    struct cv_policy *made;
    (void)p;
    (void)resolution;
    enum cv_status st = cv_policy_parse(bytes_of(rules), &made, &notes, NULL);
    left = -1;
    assert_int_equal(made != NULL, st == CV_OK);
    assert_int_equal(notes.error_line, 0); /* no line is to blame */
    assert_int_equal(notes.error_column, 0);
    cv_policy_free(made);
    return st;
}

static enum cv_status resolve(struct cv_policy *p, const cJSON *resolution)
{
    struct cv_decide_result result;
    struct cv_decide_request r = asked();
    enum cv_status st = cv_policy_resolve(p, resolution, NULL, NULL);
    left = -1;
    if (st != CV_OK) {
        assert_int_equal(cv_decide_run(p, &r, &result, NULL), CV_DENIED);
        assert_int_equal(result.cause, CV_DECIDE_NOT_READY);
    }
    return st;
}

static enum cv_status tell(struct cv_policy *p, const cJSON *resolution)
{
    (void)resolution;
    cJSON *names = cv_policy_names(p);
    cJSON *zones = cv_policy_zones(p);
    cJSON *about = cv_policy_describe(p);
    left = -1;
    bool good = names != NULL && zones != NULL && about != NULL;
    if (good) {
        has_all(names, (const char *[]){"users", "groups", NULL});
        has_all(about,
                (const char *[]){"name", "version", "sha256", "rules", NULL});
        assert_int_equal(cJSON_GetArraySize(zones), 1);
    }
    cJSON_Delete(names);
    cJSON_Delete(zones);
    cJSON_Delete(about);
    return good ? CV_OK : CV_INTERNAL;
}

/* Whatever happens to its words, a denial is a denial. */
static enum cv_status deny(struct cv_policy *p, const cJSON *resolution)
{
    struct cv_decide_result result;
    struct cv_decide_request r = asked();
    struct cv_err err;
    (void)resolution;
    cv_err_init(&err);
    assert_int_equal(cv_decide_run(p, &r, &result, &err), CV_DENIED);
    left = -1;
    assert_false(result.permit);
    assert_int_equal(err.status, CV_DENIED);
    return CV_OK;
}

static bool used(void *context, const char *rule, int64_t per_s, uint64_t count,
                 uint64_t *out, int64_t *free_in_s)
{
    (void)context;
    (void)rule;
    *out = count;
    *free_in_s = per_s;
    return true;
}

static bool sessions(void *context, const char *rule, uint64_t *live)
{
    (void)context;
    (void)rule;
    *live = 1;
    return true;
}

static const struct cv_decide_counts full = {NULL, used, sessions};
static const struct cv_decide_counts *counts;

/* Rule c is used up, or wants an approval. */
static struct cv_decide_request asked_use(void)
{
    struct cv_decide_request r = asked();
    r.action = CV_ACTION_USE;
    r.mode = CV_DECIDE_MODE_SERVICE;
    r.reason = "r";
    r.counts = counts;
    r.held_rule = counts == NULL ? "c" : NULL;
    return r;
}

/* What must wait must wait, whatever happens to its words. */
static enum cv_status wait(struct cv_policy *p, const cJSON *resolution)
{
    struct cv_decide_result result;
    struct cv_decide_request r = asked_use();
    struct cv_err err;
    (void)resolution;
    cv_err_init(&err);
    assert_int_equal(cv_decide_run(p, &r, &result, &err), CV_BUSY);
    left = -1;
    assert_false(result.permit);
    assert_int_equal(err.status, CV_BUSY);
    return CV_OK;
}

static void is_explained(const cJSON *o)
{
    static const char *const keys[] = {"decision", "why", "rules",
                                       "obligations", NULL};
    static const char *const of_rule[] = {"name", "effect", "matched",
                                          "because", NULL};
    if (o == NULL)
        return;
    has_all(o, keys);
    all_have(o, "rules", 3, of_rule);
}

static enum cv_status explain_waiting(struct cv_policy *p,
                                      const cJSON *resolution)
{
    cJSON *o;
    struct cv_decide_request r = asked_use();
    (void)resolution;
    enum cv_status st = cv_explain_make(p, &r, &o, NULL);
    left = -1;
    assert_int_equal(o != NULL, st == CV_OK);
    is_explained(o);
    if (o != NULL && counts != NULL) {
        const cJSON *c =
            cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(o, "rules"), 2);
        has_all(
            cJSON_GetObjectItemCaseSensitive(c, "limit"),
            (const char *[]){"count", "per", "used", "sessions", "live", NULL});
    }
    cJSON_Delete(o);
    return st;
}

static enum cv_status explain(struct cv_policy *p, const cJSON *resolution)
{
    cJSON *o;
    struct cv_decide_request r = asked();
    (void)resolution;
    enum cv_status st = cv_explain_make(p, &r, &o, NULL);
    left = -1;
    assert_int_equal(o != NULL, st == CV_OK);
    is_explained(o);
    cJSON_Delete(o);
    return st;
}

static enum cv_status list(struct cv_policy *p, const cJSON *resolution)
{
    struct cv_decide_list *made;
    struct cv_decide_result result;
    struct cv_decide_request r = asked();
    (void)resolution;
    enum cv_status st = cv_decide_list_new(p, &r, &made, &result, NULL);
    left = -1;
    assert_null(made); /* its conditions do not hold */
    return st == CV_DENIED ? CV_OK : st;
}

static enum cv_status run_cases(struct cv_policy *p, const cJSON *resolution)
{
    cJSON *o;
    (void)resolution;
    enum cv_status st =
        cv_cases_run(p, bytes_of(cases), MONDAY_10, &o, NULL, NULL);
    left = -1;
    assert_int_equal(o != NULL, st == CV_OK);
    if (o != NULL) {
        static const char *const keys[] = {"total", "passed", "failed", "items",
                                           NULL};
        static const char *const of_item[] = {"index",  "line",    "user",
                                              "action", "got",     "expect",
                                              "ok",     "because", NULL};
        has_all(o, keys);
        all_have(o, "items", 3, of_item);
    }
    cJSON_Delete(o);
    return st;
}

static enum cv_status lose(struct cv_policy *p, const cJSON *resolution)
{
    cJSON *o;
    (void)resolution;
    enum cv_status st =
        cv_cases_run(p, bytes_of(lost), MONDAY_10, &o, NULL, NULL);
    left = -1;
    assert_int_equal(o != NULL, st == CV_OK);
    if (o != NULL) {
        assert_int_equal(
            cJSON_GetObjectItemCaseSensitive(o, "passed")->valueint, 3);
        assert_int_equal(
            cJSON_GetObjectItemCaseSensitive(o, "failed")->valueint, 0);
    }
    cJSON_Delete(o);
    return st;
}

/* All of what comes with a permission, or nothing. */
static enum cv_status obligations(struct cv_policy *p, const cJSON *resolution)
{
    static const char *const keys[] = {
        "max_duration", "duration",    "read_only", "record",
        "verbs",        "namespaces",  "resources", "approvals",
        "limit",        "break_glass", NULL};
    struct cv_decide_request r = asked_use();
    struct cv_decide_result result;
    long n = left;
    (void)resolution;
    left = -1;
    r.counts = NULL;
    r.held_rule = "e";
    r.break_glass = true;
    assert_int_equal(cv_decide_run(p, &r, &result, NULL), CV_BUSY);
    left = n;
    cJSON *o = cv_explain_obligations(&result);
    left = -1;
    if (o == NULL)
        return CV_INTERNAL;
    has_all(o, keys);
    has_all(cJSON_GetObjectItemCaseSensitive(o, "limit"),
            (const char *[]){"count", "per", "sessions", NULL});
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(o, "approvals");
    has_all(a, (const char *[]){"count", "from", "signed", NULL});
    has_all(cJSON_GetObjectItemCaseSensitive(a, "from"),
            (const char *[]){"users", "groups", "uids", NULL});
    cJSON_Delete(o);
    return CV_OK;
}

static enum cv_status compare(struct cv_policy *p, const cJSON *resolution)
{
    struct cv_compare *made;
    (void)resolution;
    enum cv_status st = cv_compare_new(p, CV_DECIDE_MODE_SERVICE, &made, NULL);
    left = -1;
    assert_int_equal(made != NULL, st == CV_OK);
    cv_compare_free(made);
    return st;
}

static enum cv_status compare_texts(struct cv_policy *p,
                                    const cJSON *resolution)
{
    static const char old[] = "rules:\n- {name: a}\n- {name: b}\n";
    static const char new[] = "rules:\n- {name: c}\n- {name: b, x: 1}\n";
    cJSON *o;
    (void)p;
    (void)resolution;
    enum cv_status st =
        cv_compare_texts(bytes_of(old), bytes_of(new), &o, NULL);
    left = -1;
    assert_int_equal(o != NULL, st == CV_OK);
    if (o != NULL) {
        all_have(o, "added", 1, (const char *[]){NULL});
        all_have(o, "removed", 1, (const char *[]){NULL});
        all_have(o, "changed", 1, (const char *[]){NULL});
    }
    cJSON_Delete(o);
    return st;
}

static enum cv_status compare_same(struct cv_policy *p, const cJSON *resolution)
{
    static const char text[] = "rules:\n- {name: a}\n";
    cJSON *o;
    (void)p;
    (void)resolution;
    enum cv_status st =
        cv_compare_texts(bytes_of(text), bytes_of(text), &o, NULL);
    left = -1;
    assert_int_equal(o != NULL, st == CV_OK);
    if (o != NULL)
        has_all(o, (const char *[]){"added", "removed", "changed", NULL});
    cJSON_Delete(o);
    return st;
}

static enum cv_status lint(struct cv_policy *p, const cJSON *resolution)
{
    cJSON *o;
    (void)resolution;
    enum cv_status st = cv_lint_run(p, NULL, &o, NULL);
    left = -1;
    assert_int_equal(o != NULL, st == CV_OK);
    if (o != NULL) {
        static const char *const keys[] = {"items", "omitted", "errors",
                                           "warnings", NULL};
        static const char *const of_item[] = {"code", "severity", "line",
                                              "text", NULL};
        has_all(o, keys);
        all_have(o, "items", 2, of_item);
    }
    cJSON_Delete(o);
    return st;
}

static enum cv_status format(struct cv_policy *p, const cJSON *resolution)
{
    static const char text[] = "# one\nkind: Policy # two\nx: [a, {b: c}]\n";
    struct cv_buf out;
    (void)p;
    (void)resolution;
    cv_buf_init(&out, NULL, CV_MIB(1));
    enum cv_status st = cv_format_policy(bytes_of(text), &out, NULL);
    left = -1;
    if (st == CV_OK)
        assert_string_equal(cv_buf_text(&out),
                            "# one\nkind: Policy  # two\nx: [a, {b: c}]\n");
    cv_buf_wipe(&out);
    return st;
}

static char folder[] = "/tmp/policy_memory_test.XXXXXX";

/* Berlin's file in a folder of its own. */
static int put_zone(void)
{
    char path[256];
    struct cv_buf file;
    cJSON *zones = all_zones();
    const char *text =
        cJSON_GetObjectItemCaseSensitive(zones, "Europe/Berlin")->valuestring;
    cv_buf_init(&file, NULL, CV_KIB(64));
    assert_int_equal(
        cv_decode_base64(text, strlen(text), false, "zone", &file, NULL),
        CV_OK);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/Europe", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/Europe/Berlin", folder);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(file.data, 1, file.len, f), file.len);
    (void)fclose(f);
    cv_buf_wipe(&file);
    cJSON_Delete(zones);
    return 0;
}

static int drop_zone(void **state)
{
    char path[256];
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/Europe/Berlin", folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/Europe", folder);
    (void)rmdir(path);
    return rmdir(folder);
}

static int begin(void **state)
{
    return start(state) + put_zone();
}

static enum cv_status read_zones(struct cv_policy *p, const cJSON *resolution)
{
    cJSON *o = (cJSON *)p;
    (void)resolution;
    enum cv_status st = cv_policy_read_zones(p, folder, &o, NULL, NULL);
    left = -1;
    assert_int_equal(o != NULL, st == CV_OK);
    assert_int_equal(cJSON_GetArraySize(o), st == CV_OK ? 1 : 0);
    cJSON_Delete(o);
    return st;
}

static enum cv_status miss_zones(struct cv_policy *p, const cJSON *resolution)
{
    (void)resolution;
    cJSON *here = cv_policy_missing_zones(p, folder);
    cJSON *nowhere =
        here != NULL ? cv_policy_missing_zones(p, "/nowhere") : NULL;
    left = -1;
    enum cv_status st = nowhere != NULL ? CV_OK : CV_INTERNAL;
    assert_int_equal(cJSON_GetArraySize(here), 0);
    assert_int_equal(cJSON_GetArraySize(nowhere), st == CV_OK ? 1 : 0);
    cJSON_Delete(here);
    cJSON_Delete(nowhere);
    return st;
}

static enum cv_status set_zones(struct cv_policy *p, const cJSON *resolution)
{
    const cJSON *zones = cJSON_GetObjectItemCaseSensitive(resolution, "zones");
    struct cv_decide_result result;
    struct cv_decide_request r = asked();
    enum cv_status st = cv_policy_set_zones(p, zones, NULL);
    left = -1;
    r.subject.by_name = true;
    r.subject.user = "alice";
    (void)!cv_decide_run(p, &r, &result, NULL);
    assert_int_equal(result.cause == CV_DECIDE_NOT_READY, st != CV_OK);
    return st;
}

/* Runs `what` with the first, the second, ... allocation failing, until none
 * does. With `words`, what fails may be no more than the words of a denial. */
static void try_all(step what, bool resolved, bool words)
{
    long n = 0;
    for (hit = true; hit; n++) {
        struct cv_policy *p;
        long had = pieces;
        assert_true(n < 5000);
        assert_int_equal(cv_policy_parse(bytes_of(policy_text), &p, NULL, NULL),
                         CV_OK);
        cJSON *resolution = resolution_of(p);
        if (resolved)
            assert_int_equal(cv_policy_resolve(p, resolution, NULL, NULL),
                             CV_OK);
        hit = false;
        left = n;
        enum cv_status st = what(p, resolution);
        left = -1;
        if (!hit || (words && st == CV_OK))
            assert_int_equal(st, CV_OK);
        else
            assert_int_equal(st, CV_INTERNAL);
        cJSON_Delete(resolution);
        cv_policy_free(p);
        assert_int_equal(pieces, had);
    }
    assert_true(n > 1);
}

/* All of several zones, and what was there before. */
static void freeing(void **state)
{
#define ZONED(name, zone)                                        \
    "- {name: " name ", effect: permit, subjects: {uids: [5]}, " \
    "actions: [use], when: {days: [mon], timezone: " zone "}}\n"
    static const char text[] = HEAD ZONED("a", "Europe/Berlin")
        ZONED("b", "America/New_York") ZONED("c", "Asia/Kolkata");
    long had = pieces;
    struct cv_policy *p = policy_of(text);
    cJSON *resolution = resolution_of(p);
    (void)state;
    assert_int_equal(
        cv_policy_set_zones(
            p, cJSON_GetObjectItemCaseSensitive(resolution, "zones"), NULL),
        CV_OK);
    cJSON_Delete(resolution);
    cv_policy_free(p);
    assert_int_equal(pieces, had);
}

static void parsing(void **state)
{
    (void)state;
    try_all(parse, false, false);
}

static void resolving(void **state)
{
    (void)state;
    try_all(resolve, false, false);
}

static void telling(void **state)
{
    (void)state;
    try_all(tell, false, false);
}

static void deciding(void **state)
{
    (void)state;
    try_all(deny, true, true);
}

static void explaining(void **state)
{
    (void)state;
    try_all(explain, true, true);
}

static void waiting(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        counts = i == 0 ? &full : NULL;
        try_all(wait, true, true);
        try_all(explain_waiting, true, true);
    }
}

static void listing(void **state)
{
    (void)state;
    try_all(list, true, false);
}

static void testing(void **state)
{
    (void)state;
    try_all(run_cases, true, true);
    policy_text = for_cases;
    try_all(lose, true, true);
    try_all(obligations, true, false);
    policy_text = rules;
}

static void comparing(void **state)
{
    (void)state;
    try_all(compare, true, false);
    try_all(compare_texts, false, false);
    try_all(compare_same, false, false);
}

static void linting(void **state)
{
    (void)state;
    try_all(lint, false, false);
}

static void formatting(void **state)
{
    (void)state;
    try_all(format, false, false);
}

static void loading(void **state)
{
    (void)state;
    try_all(read_zones, false, false);
    try_all(miss_zones, false, false);
    try_all(set_zones, false, false);
}

/* Also where there is none to be read. */
static void loading_none(void **state)
{
    struct cv_policy *p = policy_of(
        HEAD "- {name: a, effect: permit, subjects: {uids: [5]}, actions: "
             "[use]}\n");
    cJSON *o = (cJSON *)p;
    (void)state;
    left = 0;
    enum cv_status st = cv_policy_read_zones(p, folder, &o, NULL, NULL);
    left = -1;
    assert_int_equal(st, CV_INTERNAL);
    assert_null(o);
    cv_policy_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsing),    cmocka_unit_test(resolving),
        cmocka_unit_test(telling),    cmocka_unit_test(deciding),
        cmocka_unit_test(explaining), cmocka_unit_test(listing),
        cmocka_unit_test(testing),    cmocka_unit_test(waiting),
        cmocka_unit_test(comparing),  cmocka_unit_test(linting),
        cmocka_unit_test(formatting), cmocka_unit_test(loading),
        cmocka_unit_test(freeing),    cmocka_unit_test(loading_none),
    };
    return cmocka_run_group_tests(tests, begin, drop_zone);
}
