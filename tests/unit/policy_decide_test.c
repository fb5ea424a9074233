/* Every rule of the contract about decisions, one case or more each. */
#include "tests/unit/policy_test.h"

/* A request in short: what is not said is as in `usual`. */
struct ask {
    const char *rules; /* of the policy */
    enum cv_action action;
    const char *entry; /* its name; NULL: none */
    const char *label; /* "key=value" */
    const char *provenance;
    bool leaky;
    uid_t uid; /* 0: alice, 1001 */
    gid_t gid; /* supplementary; 0: none */
    const char *reason;
    const char *ticket;
    const char *context[2];
    enum cv_decide_mode mode;
    bool tty;
    bool read_only;
    int64_t now;
    int64_t duration;
    const char *offer; /* expected; NULL: denied */
    const char *says;  /* in the words of a denial */
};

#define PERMIT(name, more)                                            \
    "- {name: " name ", effect: permit, subjects: {users: [alice]}, " \
    "actions: [use, import, export, list, audit.read]" more "}\n"
#define FORBID(name, more)                                            \
    "- {name: " name ", effect: forbid, subjects: {users: [alice]}, " \
    "actions: [use, import, export, list, audit.read]" more "}\n"
#define USE CV_ACTION_USE
#define HOURS(h) PERMIT("p", ", when: {hours: \"" h "\"}")
/* Monday 10:00 UTC and that many minutes. */
#define AT(minutes) (MONDAY_10 + (int64_t)(minutes)*60)

static const struct ask cases[] = {
    /* default deny */
    {.rules = PERMIT("p", ""), USE, "a", .offer = "p"},
    {.rules = PERMIT("p", ""), CV_ACTION_SHOW, "a", .says = "no rule permits"},
    {.rules = PERMIT("p", ""),
     USE,
     "a",
     .uid = 1002,
     .says = "no rule permits use of \"a\""},
    {.rules = FORBID("f", ""), CV_ACTION_SHOW, "a", .says = "no rule permits"},
    /* forbid beats permit, in any order */
    {.rules = PERMIT("p", "") FORBID("f", ""),
     USE,
     "a",
     .says = "forbidden by rule \"f\""},
    {.rules = FORBID("f", "") PERMIT("p", ""),
     USE,
     "a",
     .says = "forbidden by rule \"f\""},
    {.rules = FORBID("f2", "") FORBID("f1", "") PERMIT("p", "") FORBID("f4", "")
         FORBID("f3", ""),
     USE,
     "a",
     .says = "forbidden by rules \"f1\", \"f2\", \"f3\" and others"},
    /* subjects: any of users, groups, uids */
    {.rules = "- {name: p, effect: permit, subjects: {groups: [sre]}, actions: "
              "[use]}\n",
     USE,
     "a",
     .says = "no rule"},
    {.rules = "- {name: p, effect: permit, subjects: {groups: [sre]}, actions: "
              "[use]}\n",
     USE,
     "a",
     .gid = 2001,
     .offer = "p"},
    {.rules = "- {name: p, effect: permit, subjects: {users: [bob], groups: "
              "[sre]}, actions: [use]}\n",
     USE,
     "a",
     .gid = 2001,
     .offer = "p"},
    {.rules = "- {name: p, effect: permit, subjects: {users: [bob], uids: "
              "[1001]}, actions: [use]}\n",
     USE,
     "a",
     .offer = "p"},
    {.rules = "- {name: p, effect: permit, subjects: {uids: [77]}, actions: "
              "[use]}\n",
     USE,
     "a",
     .uid = 77,
     .offer = "p"},
    {.rules = "- {name: p, effect: permit, subjects: {users: [\"*\"]}, "
              "actions: [use]}\n",
     USE,
     "a",
     .uid = 4242,
     .offer = "p"},
    /* a user's number is no group's */
    {.rules = "- {name: p, effect: permit, subjects: {groups: [sre]}, actions: "
              "[use]}\n",
     USE,
     "a",
     .uid = 2001,
     .says = "no rule"},
    {.rules = "- {name: p, effect: permit, subjects: {users: [bob]}, actions: "
              "[use]}\n",
     USE,
     "a",
     .gid = 1002,
     .says = "no rule"},
    /* actions */
    {.rules = "- {name: p, effect: permit, subjects: {users: [alice]}, "
              "actions: [\"*\"]}\n",
     CV_ACTION_ADMIN,
     NULL,
     .offer = "p"},
    {.rules = "- {name: p, effect: permit, subjects: {users: [alice]}, "
              "actions: [fetch]}\n",
     CV_ACTION_FETCH_SERVICE,
     NULL,
     .says = "no rule permits fetch.service"},
    /* entries: all kinds must match, any within one */
    {.rules = PERMIT("p", ", entries: {names: [b, a]}"),
     USE,
     "a",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {names: [b, c]}"),
     USE,
     "a",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [\"a*\"]}"),
     USE,
     "a/b/c",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {names: [\"a?\"]}"),
     USE,
     "a",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [\"a?\"]}"),
     USE,
     "ab",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {names: [\"*b\"]}"),
     USE,
     "ab",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {names: [\"A\"]}"),
     USE,
     "a",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {labels: {env: prod}}"),
     USE,
     "a",
     "env=prod",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {labels: {env: prod}}"),
     USE,
     "a",
     "env=dev",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {labels: {env: prod}}"),
     USE,
     "a",
     "team=prod",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {labels: {env: prod}}"),
     USE,
     "a",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {labels: {env: \"p*\"}}"),
     USE,
     "a",
     "env=prod",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {labels: {env: prod, team: x}}"),
     USE,
     "a",
     "team=x",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {names: [a], labels: {env: prod}}"),
     USE,
     "a",
     "env=dev",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [b], labels: {env: prod}}"),
     USE,
     "a",
     "env=prod",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {provenance: [born, unwrapped]}"),
     USE,
     "a",
     .provenance = "unwrapped",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {provenance: [born, unwrapped]}"),
     USE,
     "a",
     .provenance = "sealed",
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [a], provenance: [born]}"),
     USE,
     "a",
     .provenance = "sealed",
     .says = "no rule"},
    /* leaky */
    {.rules = PERMIT("p", ""),
     CV_ACTION_IMPORT,
     "a",
     .leaky = true,
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [a]}"),
     CV_ACTION_IMPORT,
     "a",
     .leaky = true,
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {leaky: true}"),
     CV_ACTION_IMPORT,
     "a",
     .leaky = true,
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {leaky: true}"),
     CV_ACTION_IMPORT,
     "a",
     .says = "no rule"},
    {.rules = PERMIT("p", ""), USE, "a", .leaky = true, .offer = "p"},
    {.rules = PERMIT("p", "") FORBID("f", ", entries: {leaky: true}"),
     USE,
     "a",
     .leaky = true,
     .says = "forbidden"},
    {.rules = PERMIT("p", "") FORBID("f", ", entries: {leaky: true}"),
     USE,
     "a",
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {leaky: true}") FORBID("f", ""),
     CV_ACTION_IMPORT,
     "a",
     .leaky = true,
     .says = "forbidden"},
    /* an action without an entry */
    {.rules = PERMIT("p", ""), CV_ACTION_AUDIT_READ, NULL, .offer = "p"},
    {.rules = PERMIT("p", ", entries: {names: [\"*\"]}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .offer = "p"},
    {.rules = PERMIT("p", ", entries: {names: [\"*\", a]}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .says = "no rule permits audit.read"},
    {.rules = PERMIT("p", ", entries: {names: [a]}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [\"**\"]}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {labels: {env: \"*\"}}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [\"*\"], provenance: [sealed]}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [\"*\"], labels: {env: \"*\"}}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .says = "no rule"},
    {.rules = PERMIT("p", ", entries: {names: [\"*\"], leaky: true}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .says = "no rule"},
    {.rules = PERMIT("p", "") FORBID("f", ", entries: {names: [a]}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .offer = "p"},
    {.rules = PERMIT("p", "") FORBID("f", ", entries: {names: [\"*\"]}"),
     CV_ACTION_AUDIT_READ,
     NULL,
     .says = "forbidden"},
    /* when.reason */
    {.rules = PERMIT("p", ", when: {reason: required}"),
     USE,
     "a",
     .reason = "because",
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {reason: required}"),
     USE,
     "a",
     .says = "a reason is required (rule \"p\")"},
    {.rules = PERMIT("p", ", when: {reason: required}"),
     USE,
     "a",
     .reason = "",
     .says = "a reason is required"},
    {.rules = PERMIT("p", ", when: {reason: required}"),
     USE,
     "a",
     .reason = "  ",
     .says = "a reason is required"},
    {.rules = PERMIT("p", "") FORBID("f", ", when: {reason: required}"),
     USE,
     "a",
     .offer = "p"},
    {.rules = PERMIT("p", "") FORBID("f", ", when: {reason: required}"),
     USE,
     "a",
     .reason = "x",
     .says = "forbidden"},
    /* when.ticket: the whole string */
    {.rules = PERMIT("p", ", when: {ticket: \"OPS-[0-9]+\"}"),
     USE,
     "a",
     .ticket = "OPS-12",
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {ticket: \"OPS-[0-9]+\"}"),
     USE,
     "a",
     .ticket = "OPS-12 ",
     .says = "not of the form"},
    {.rules = PERMIT("p", ", when: {ticket: \"OPS-[0-9]+\"}"),
     USE,
     "a",
     .says = "a ticket is required"},
    {.rules = PERMIT("p", ", when: {ticket: \"[A-Z]*\"}"),
     USE,
     "a",
     .ticket = "",
     .says = "a ticket is required"},
    /* when.hours: from the first minute, up to the last */
    {.rules = HOURS("10:00-11:00"), USE, "a", .now = AT(0), .offer = "p"},
    {.rules = HOURS("10:00-11:00"),
     USE,
     "a",
     .now = AT(-1),
     .says = "outside hours 10:00-11:00 UTC"},
    {.rules = HOURS("10:00-11:00"), USE, "a", .now = AT(60) - 1, .offer = "p"},
    {.rules = HOURS("10:00-11:00"),
     USE,
     "a",
     .now = AT(60),
     .says = "outside hours"},
    {.rules = HOURS("00:00-24:00"),
     USE,
     "a",
     .now = AT(14 * 60) - 1,
     .offer = "p"},
    {.rules = HOURS("22:00-06:00"), USE, "a", .now = AT(12 * 60), .offer = "p"},
    {.rules = HOURS("22:00-06:00"),
     USE,
     "a",
     .now = AT(20 * 60) - 1,
     .offer = "p"},
    {.rules = HOURS("22:00-06:00"),
     USE,
     "a",
     .now = AT(20 * 60),
     .says = "outside"},
    {.rules = HOURS("22:00-06:00"),
     USE,
     "a",
     .now = AT(12 * 60) - 1,
     .says = "outside"},
    /* when.days and timezone */
    {.rules = PERMIT("p", ", when: {days: [mon]}"), USE, "a", .offer = "p"},
    {.rules = PERMIT("p", ", when: {days: [tue, sun]}"),
     USE,
     "a",
     .says = "outside days tue sun UTC"},
    {.rules = PERMIT("p", ", when: {days: [sun]}"),
     USE,
     "a",
     .now = AT(-10 * 60) - 1,
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {days: [tue]}"),
     USE,
     "a",
     .now = AT(14 * 60),
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {hours: \"11:00-12:00\", timezone: "
                          "Europe/Berlin}"),
     USE,
     "a",
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {hours: \"10:00-11:00\", timezone: "
                          "Europe/Berlin}"),
     USE,
     "a",
     .says = "outside hours 10:00-11:00 Europe/Berlin"},
    {.rules = PERMIT("p", ", when: {days: [tue], timezone: Pacific/Apia}"),
     USE,
     "a",
     .now = AT(60),
     .offer = "p"},
    {.rules = PERMIT("p", "") FORBID("f", ", when: {hours: \"09:00-11:00\"}"),
     USE,
     "a",
     .says = "forbidden"},
    {.rules = PERMIT("p", "") FORBID("f", ", when: {hours: \"09:00-10:00\"}"),
     USE,
     "a",
     .offer = "p"},
    /* when.contexts: a permit covers all that is touched; a forbid needs one */
    {.rules = PERMIT("p", ", when: {contexts: [int, ext]}"),
     USE,
     "a",
     .context = {"ext"},
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {contexts: [int]}"),
     USE,
     "a",
     .context = {"ext"},
     .says = "not for this context"},
    {.rules = PERMIT("p", ", when: {contexts: [int]}"),
     USE,
     "a",
     .says = "not for this context"},
    {.rules = PERMIT("p", ", when: {contexts: [int]}"),
     USE,
     "a",
     .context = {"int", "ext"},
     .says = "not for this context"},
    {.rules = PERMIT("p", ", when: {contexts: [int, ext]}"),
     USE,
     "a",
     .context = {"int", "ext"},
     .offer = "p"},
    {.rules = PERMIT("p", "") FORBID("f", ", when: {contexts: [int]}"),
     USE,
     "a",
     .context = {"ext", "int"},
     .says = "forbidden"},
    {.rules = PERMIT("p", "") FORBID("f", ", when: {contexts: [int]}"),
     USE,
     "a",
     .context = {"ext"},
     .offer = "p"},
    {.rules = PERMIT("p", "") FORBID("f", ", when: {contexts: [int]}"),
     USE,
     "a",
     .offer = "p"},
    /* when.mode, when.tty */
    {.rules = PERMIT("p", ", when: {mode: [service]}"),
     USE,
     "a",
     .mode = CV_DECIDE_MODE_SERVICE,
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {mode: [service]}"),
     USE,
     "a",
     .mode = CV_DECIDE_MODE_AGENT,
     .says = "not in this mode"},
    {.rules = PERMIT("p", ", when: {mode: [exec, agent]}"),
     USE,
     "a",
     .mode = CV_DECIDE_MODE_AGENT,
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {mode: [exec, agent]}"),
     USE,
     "a",
     .mode = CV_DECIDE_MODE_EXEC,
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {tty: required}"),
     USE,
     "a",
     .tty = true,
     .offer = "p"},
    {.rules = PERMIT("p", ", when: {tty: required}"),
     USE,
     "a",
     .says = "a terminal is required"},
    /* all must hold */
    {.rules = PERMIT("p", ", when: {reason: required, tty: required}"),
     USE,
     "a",
     .tty = true,
     .says = "a reason is required"},
    {.rules = PERMIT("p", ", when: {reason: required, ticket: x}"),
     USE,
     "a",
     .says = "a reason is required, a ticket is required"},
    /* the offer: what is asked must fit inside one; the longest, then the
     * smallest name */
    {.rules = PERMIT("p", ", grant: {max_duration: 1h}"),
     USE,
     "a",
     .duration = 3600,
     .offer = "p"},
    {.rules = PERMIT("p", ", grant: {max_duration: 1h}"),
     USE,
     "a",
     .duration = 3601,
     .says = "longer than its max_duration of 1h"},
    {.rules = PERMIT("p", ""), USE, "a", .duration = 8 * 3600, .offer = "p"},
    {.rules = PERMIT("p", ""),
     USE,
     "a",
     .duration = 8 * 3600 + 1,
     .says = "longer than its max_duration of 8h"},
    {.rules = PERMIT("p1", ", grant: {max_duration: 1h}")
         PERMIT("p2", ", grant: {max_duration: 2h}"),
     USE,
     "a",
     .offer = "p2"},
    {.rules = PERMIT("p2", ", grant: {max_duration: 2h}")
         PERMIT("p1", ", grant: {max_duration: 1h}"),
     USE,
     "a",
     .offer = "p2"},
    {.rules = PERMIT("p2", "") PERMIT("p1", "") PERMIT("p3", ""),
     USE,
     "a",
     .offer = "p1"},
    {.rules = PERMIT("p1", ", when: {reason: required}, grant: {max_duration: "
                           "12h}") PERMIT("p2", ", grant: {max_duration: 1h}"),
     USE,
     "a",
     .duration = 7200,
     .says = "is denied"},
    {.rules = PERMIT("p1", ", when: {reason: required}, grant: {max_duration: "
                           "12h}") PERMIT("p2", ", grant: {max_duration: 1h}"),
     USE,
     "a",
     .reason = "x",
     .duration = 7200,
     .offer = "p1"},
    /* the nearest is told: fewest conditions, then the smallest name */
    {.rules = PERMIT("p1", ", when: {reason: required, tty: required}")
         PERMIT("p2", ", when: {ticket: x}"),
     USE,
     "a",
     .says = "a ticket is required (rule \"p2\")"},
    {.rules = PERMIT("p2", ", when: {reason: required}")
         PERMIT("p1", ", when: {ticket: x}"),
     USE,
     "a",
     .says = "a ticket is required (rule \"p1\")"},
    /* limits of a grant that a released key would not keep */
    {.rules = PERMIT("p", ", grant: {read_only: true}"),
     CV_ACTION_EXPORT,
     "a",
     .says = "limits that this action cannot be held to"},
    {.rules = PERMIT("p", ", grant: {verbs: [get]}"),
     CV_ACTION_EXPORT,
     "a",
     .says = "limits"},
    {.rules = PERMIT("p", ", grant: {namespaces: [x]}"),
     CV_ACTION_EXPORT,
     "a",
     .says = "limits"},
    {.rules = PERMIT("p", ", grant: {resources: [x]}"),
     CV_ACTION_EXPORT,
     "a",
     .says = "limits"},
    {.rules = PERMIT("p", ", grant: {read_only: false, record: all}"),
     CV_ACTION_EXPORT,
     "a",
     .offer = "p"},
    {.rules = PERMIT("p", ", grant: {read_only: true, verbs: [get]}"),
     USE,
     "a",
     .offer = "p"},
};

struct asked {
    struct cv_decide_request request;
    struct cv_decide_entry entry;
    char key[64];
    const char *keys[1];
    const char *values[1];
    gid_t gids[1];
};

static void fill(const struct ask *a, struct asked *q)
{
    struct cv_decide_request *r = &q->request;
    memset(q, 0, sizeof(*q));
    r->subject.uid = a->uid != 0 ? a->uid : 1001;
    r->subject.gid = 100;
    q->gids[0] = a->gid;
    r->subject.gids = q->gids;
    r->subject.n_gids = a->gid != 0 ? 1 : 0;
    r->action = a->action;
    if (a->entry != NULL) {
        r->entry = &q->entry;
        q->entry.name = a->entry;
        q->entry.provenance = a->provenance != NULL ? a->provenance : "sealed";
        q->entry.leaky = a->leaky;
        q->entry.keys = q->keys;
        q->entry.values = q->values;
    }
    if (a->label != NULL) {
        size_t len = strcspn(a->label, "=");
        memcpy(q->key, a->label, len);
        q->keys[0] = q->key;
        q->values[0] = a->label + len + 1;
        q->entry.n_labels = 1;
    }
    r->reason = a->reason;
    r->ticket = a->ticket;
    r->contexts = a->context;
    r->n_contexts =
        (a->context[0] != NULL ? 1U : 0U) + (a->context[1] != NULL ? 1U : 0U);
    r->mode = a->mode != 0 ? a->mode : CV_DECIDE_MODE_EXEC;
    r->tty = a->tty;
    r->read_only = a->read_only;
    r->now_s = a->now != 0 ? a->now : MONDAY_10;
    r->duration_s = a->duration;
}

static void decides(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct ask *a = &cases[i];
        char text[4096];
        struct asked q;
        struct cv_decide_result result;
        struct cv_err err;
        cv_err_init(&err);
        (void)snprintf(text, sizeof(text), HEAD "%s", a->rules);
        struct cv_policy *p = policy_of(text);
        fill(a, &q);
        enum cv_status st = cv_decide_run(p, &q.request, &result, &err);
        const char *offer = result.offer != NULL ? result.offer : "";
        if (st != (a->offer != NULL ? CV_OK : CV_DENIED) ||
            result.permit != (a->offer != NULL) ||
            strcmp(offer, a->offer != NULL ? a->offer : "") != 0)
            fail_msg("case %zu: got \"%s\" %s\n%s", i, offer, err.text,
                     a->rules);
        if (a->offer == NULL && strstr(err.text, a->says) == NULL)
            fail_msg("case %zu: %s\n%s", i, err.text, a->rules);
        cv_policy_free(p);
    }
}

static struct cv_decide_result run(const char *rules, const struct ask *a,
                                   struct cv_policy **policy)
{
    static struct asked q;
    char text[4096];
    struct cv_decide_result result;
    (void)snprintf(text, sizeof(text), HEAD "%s", rules);
    *policy = policy_of(text);
    fill(a, &q);
    if (cv_decide_run(*policy, &q.request, &result, NULL) != CV_OK)
        fail_msg("denied: %s", rules);
    return result;
}

static void grants(void **state)
{
    (void)state;
    struct ask a = {.action = USE, .entry = "a"};
    struct cv_policy *p;
    struct cv_decide_result r = run(PERMIT("p", ""), &a, &p);
    assert_int_equal(r.duration_s, 8 * 3600);
    assert_int_equal(r.grant.max_duration_s, 8 * 3600);
    assert_false(r.grant.read_only);
    assert_int_equal(r.grant.record, CV_POLICY_RECORD_WRITES);
    assert_null(r.grant.verbs);
    assert_int_equal(r.n_rules, 1);
    assert_string_equal(r.rules[0], "p");
    cv_policy_free(p);

    /* Not asked: the offer's, but 8 hours at most. */
    static const char longer[] = PERMIT("p", ", grant: {max_duration: 3d}");
    r = run(longer, &a, &p);
    assert_int_equal(r.duration_s, 8 * 3600);
    assert_int_equal(r.grant.max_duration_s, 3 * 86400);
    cv_policy_free(p);
    a.duration = 3 * 86400;
    r = run(longer, &a, &p);
    assert_int_equal(r.duration_s, 3 * 86400);
    cv_policy_free(p);
    a.duration = 0;
    r = run(PERMIT("p", ", grant: {max_duration: 15m}"), &a, &p);
    assert_int_equal(r.duration_s, 900);
    cv_policy_free(p);

    a.read_only = true;
    r = run(PERMIT("p", ""), &a, &p);
    assert_true(r.grant.read_only);
    cv_policy_free(p);
    a.read_only = false;
    r = run(PERMIT("p", ", grant: {read_only: true, record: all, verbs: [get, "
                        "list], namespaces: [x], resources: [\"pods/log\"]}"),
            &a, &p);
    assert_true(r.grant.read_only);
    assert_int_equal(r.grant.record, CV_POLICY_RECORD_ALL);
    assert_string_equal(r.grant.verbs[0], "get");
    assert_string_equal(r.grant.verbs[1], "list");
    assert_null(r.grant.verbs[2]);
    assert_string_equal(r.grant.namespaces[0], "x");
    assert_string_equal(r.grant.resources[0], "pods/log");
    cv_policy_free(p);
}

/* Grants are never merged: the offer's own holds, not another's. */
static void never_merges_offers(void **state)
{
    (void)state;
    struct ask a = {.action = USE, .entry = "a"};
    struct cv_policy *p;
    struct cv_decide_result r =
        run(PERMIT("p1", ", grant: {max_duration: 2h, read_only: true}")
                PERMIT("p2", ", grant: {max_duration: 1h, record: all}"),
            &a, &p);
    assert_string_equal(r.offer, "p1");
    assert_true(r.grant.read_only);
    assert_int_equal(r.grant.record, CV_POLICY_RECORD_WRITES);
    cv_policy_free(p);
}

static void tells_what_helps(void **state)
{
    (void)state;
    static const struct {
        const char *when;
        const char *hint;
    } hints[] = {
        {"when: {reason: required}", "give a reason (--reason)"},
        {"when: {ticket: \"OPS-[0-9]+\"}",
         "give a ticket (--ticket) like OPS-[0-9]+"},
        {"when: {contexts: [int, ext]}", "name a context (--context): int ext"},
        {"when: {mode: [agent, service]}", "go through: agent service"},
        {"when: {tty: required}", "run it from a terminal"},
        {"when: {hours: \"01:00-02:00\"}", "try again at that time"},
        {"grant: {max_duration: 90s}", "ask for at most --for 90s"},
        {"grant: {max_duration: 30m}", "ask for at most --for 30m"},
        {"grant: {max_duration: 2h}", "ask for at most --for 2h"},
        {"when: {reason: required, tty: required}",
         "give a reason (--reason), run it from a terminal"},
    };
    for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
        struct ask a = {.action = USE, .entry = "a", .duration = 3 * 3600};
        char text[4096];
        struct asked q;
        struct cv_decide_result result;
        struct cv_err err;
        if (strncmp(hints[i].when, "when", 4) == 0)
            a.duration = 0;
        (void)snprintf(text, sizeof(text),
                       HEAD "- {name: p, effect: permit, subjects: {users: "
                            "[alice]}, actions: [use], %s}\n",
                       hints[i].when);
        struct cv_policy *p = policy_of(text);
        fill(&a, &q);
        cv_err_init(&err);
        assert_int_equal(cv_decide_run(p, &q.request, &result, &err),
                         CV_DENIED);
        assert_int_equal(result.cause, CV_DECIDE_UNMET);
        assert_int_equal(cv_err_exit_code(err.status), 77);
        assert_string_equal(err.hint, hints[i].hint);
        cv_policy_free(p);
    }
}

static void keeps_sixteen_forbids(void **state)
{
    (void)state;
    struct cv_buf b;
    struct ask a = {.action = USE, .entry = "a"};
    struct asked q;
    struct cv_decide_result r;
    cv_buf_init(&b, NULL, CV_KIB(64));
    cv_buf_add_str(&b, HEAD);
    for (int i = 39; i >= 0; i--)
        cv_buf_add_format(&b,
                          "- {name: f%02d, effect: forbid, subjects: {users: "
                          "[alice], uids: [1001], groups: [sre]}, actions: "
                          "[use], entries: {names: [a, \"*\"]}}\n",
                          i * 7 % 40);
    struct cv_policy *p = policy_of(cv_buf_text(&b));
    a.gid = 2001;
    fill(&a, &q);
    assert_int_equal(cv_decide_run(p, &q.request, &r, NULL), CV_DENIED);
    assert_int_equal(r.cause, CV_DECIDE_FORBIDDEN);
    assert_int_equal(r.n_rules, CV_DECIDE_RULES);
    for (size_t i = 0; i < r.n_rules; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "f%02zu", i);
        assert_string_equal(r.rules[i], name);
    }
    cv_policy_free(p);
    cv_buf_wipe(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decides),
        cmocka_unit_test(grants),
        cmocka_unit_test(never_merges_offers),
        cmocka_unit_test(tells_what_helps),
        cmocka_unit_test(keeps_sixteen_forbids),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
