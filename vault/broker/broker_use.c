/* use: a grant for the relay; and what a kubeconfig without a key says. */
#include "vault/audit/details.h"
#include "vault/base/clock.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/hop_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/together_internal.h"
#include "vault/broker/use_internal.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A grant that has less time left than this is not given a second time. */
#define REUSE_MS ((int64_t)5 * 60 * 1000)

struct call {
    struct cv_together_call call;
    struct cv_use use;
    enum cv_grant_kind kind;
    const char *context; /* asked for; NULL: none */
    struct cv_grant *grant;
    char id[CV_GRANT_ID_LEN]; /* its; it may end before this is answered */
    bool again;               /* it was there already */
    bool ready;               /* nothing that is wanted for it is missing */
    bool given;
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status read_use(const cJSON *parameters, struct call *c,
                               struct cv_err *err)
{
    struct cv_ask *ask = &c->use.ask;
    const char *kind = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &c->use.name, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, false, &ask->context, CV_LIMIT_URL},
        {"kind", CV_JSON_STRING, true, &kind, 16},
        {"read_only", CV_JSON_BOOL, true, &ask->read_only, 0},
        {"duration", CV_JSON_INT, false, &ask->duration_s, 0},
        {"tty", CV_JSON_BOOL, false, &ask->tty, 0},
        CV_BROKER_ASK_FIELDS,
    };
    enum cv_status s =
        cv_json_read(parameters, "Use", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK && !cv_grant_kind_read(kind, &c->kind)) {
        s = cv_fail(err, CV_INVALID, "kind: exec, proxy or credential");
    }
    if (s == CV_OK &&
        (ask->duration_s < 0 || ask->duration_s > CV_LIMIT_GRANT_S)) {
        s = cv_fail(err, CV_INVALID, "this is no duration of a grant");
    }
    return s;
}

static bool is_same(const char *asked, const char *given)
{
    return strcmp(asked != NULL ? asked : "", given) == 0;
}

/* One that is near its end is given again where another might not be had. */
static bool is_scarce(const struct cv_ask *ask, const struct cv_grant *g)
{
    const struct cv_policy_limit *l =
        cv_policy_limit_of(ask->broker->policy, g->rule);

    return g->approvals > 0 || (l != NULL && (l->count > 0 || l->sessions > 0));
}

/* Was `g` asked for in the same words? Its approvals are for no other. */
static bool is_asked_again(const struct cv_ask *ask, const struct cv_grant *g,
                           int64_t now)
{
    return g->opened && g->asked_read_only == ask->read_only &&
           g->asked_s == ask->duration_s &&
           g->break_glass == ask->break_glass &&
           (g->approvals == 0 || (is_same(ask->reason, g->reason) &&
                                  is_same(ask->ticket, g->ticket))) &&
           (g->ends_ms - now >= REUSE_MS || is_scarce(ask, g));
}

/* One that lives and is the same, for `credential`: each kubectl asks again.
 * Decided as that grant's, it counts for no limit and uses up no approval. */
static void find_again(struct cv_broker *b, struct call *c)
{
    struct cv_ask *ask = &c->use.ask;
    int64_t now = cv_clock_boot_ms();
    struct cv_grant *g;

    c->again = false;
    c->grant = NULL;
    ask->held_rule[0] = '\0';
    if (c->kind != CV_GRANT_CREDENTIAL) {
        return;
    }
    g = cv_grant_find_credential(&b->grants, b->caller->peer.uid,
                                 c->use.row->entry_id, ask->context, now);
    if (g == NULL || !is_asked_again(ask, g, now)) {
        return;
    }
    (void)snprintf(ask->held_rule, sizeof(ask->held_rule), "%s", g->rule);
    ask->held_approvals = g->approvals;
    if (cv_ask_would_now(ask, c->use.doc, NULL) == CV_OK &&
        cv_use_differs(&c->use, g) == NULL) {
        c->grant = g;
        memcpy(c->id, g->id, sizeof(c->id));
        c->again = true;
    } else {
        ask->held_rule[0] = '\0';
        ask->held_approvals = 0;
    }
}

/* Entered. What there is now, and whether it may be used. */
static enum cv_status check(struct cv_broker *b, struct call *c,
                            struct cv_err *err)
{
    struct cv_use *use = &c->use;
    enum cv_status s = cv_use_load(b, use, err);

    if (s == CV_OK) {
        find_again(b, c);
        s = cv_ask_check(&use->ask, use->doc, NULL, err);
    } else {
        use->ask.context = c->context;
        s = cv_ask_tell(&use->ask, use->doc, use->name, s, err);
        use->ask.context = NULL;
    }
    return s == CV_OK ? cv_use_fits(use, err) : s;
}

/* Not entered. Before anything is recorded as permitted: what would stop it for
 * want of a secret is asked for now, while there is somebody to give it. */
static enum cv_status make_ready(struct cv_broker *b, struct call *c,
                                 struct cv_reply *reply, struct cv_err *err)
{
    const struct cv_use *use = &c->use;
    enum cv_status s;

    if (cv_entry_token_has(use->doc)) {
        s = cv_module_need_entry(b, cv_entry_token_uri(use->doc), reply, err);
        if (s == CV_LOCKED && reply != NULL) {
            cv_broker_open_also(b, reply);
        }
    } else {
        s = cv_broker_need_open(b, reply, err);
    }
    return s == CV_OK ? cv_relay_ready(b, reply, err) : s;
}

static void copy(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from != NULL ? from : "");
}

/* A grant on the terms of now, not yet recorded. The order is whole but for
 * what needs the token process. */
static enum cv_status new_grant(struct cv_broker *b, struct call *c,
                                struct cv_err *err)
{
    const struct cv_ask *ask = &c->use.ask;
    struct cv_grant *g;
    enum cv_status s = cv_grant_new(&b->grants, b->caller->peer.uid, &g, err);

    if (s != CV_OK) {
        return s;
    }
    c->grant = g;
    if (b->grants.n == 1) {
        cv_grant_look_from_here(b);
    }
    memcpy(c->id, g->id, sizeof(c->id));
    g->kind = c->kind;
    cv_grant_name(g, b->caller);
    copy(g->entry, sizeof(g->entry), c->use.name);
    copy(g->entry_id, sizeof(g->entry_id), c->use.row->entry_id);
    copy(g->context, sizeof(g->context), ask->context);
    copy(g->reason, sizeof(g->reason), ask->reason);
    copy(g->ticket, sizeof(g->ticket), ask->ticket);
    copy(g->rule, sizeof(g->rule), ask->result.offer);
    g->tty = ask->tty;
    g->asked_read_only = ask->read_only;
    g->asked_s = ask->duration_s;
    g->break_glass = ask->break_glass;
    g->read_only = ask->result.grant.read_only;
    g->record = ask->result.grant.record;
    g->on_token = cv_entry_token_has(c->use.doc);
    copy(g->token, sizeof(g->token), cv_entry_token_uri(c->use.doc));
    g->given_ms = cv_clock_boot_ms();
    g->ends_ms = g->given_ms + cv_use_seconds(&c->use) * 1000;
    g->given_s = cv_clock_now_s();
    g->ends_s = g->given_s + cv_use_seconds(&c->use);
    g->order = cv_use_terms(&c->use);
    g->subject = cv_use_subject(c->use.doc);
    if (g->order == NULL || g->subject == NULL) {
        return no_memory(err);
    }
    if (c->kind != CV_GRANT_CREDENTIAL) {
        cv_grant_hold(g, b->caller);
    }
    return CV_OK;
}

/* What the relay is told beyond the terms. */
static enum cv_status finish_order(struct cv_broker *b, struct call *c,
                                   struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    struct cv_grant *g = c->grant;
    cJSON *up = cJSON_GetObjectItemCaseSensitive(g->order, "upstream");
    cJSON *algorithms = NULL;
    enum cv_status s = cv_use_algorithms(b, c->use.doc, &algorithms, err);

    if (s == CV_OK && (!cv_json_add_item(up, "algorithms", algorithms) ||
                       !cv_json_add_str(g->order, "id", g->id) ||
                       !cv_json_add_int(g->order, "ends_ms", g->ends_ms))) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        s = cv_hop_public(b, cv_entry_text(up, "certificates"), up, err);
    }
    (void)cv_json_use(before);
    return s;
}

/* What the record says of what is given. */
static cJSON *details_of(const struct call *c)
{
    static const char *const limits[] = {"verbs", "namespaces", "resources"};
    const struct cv_grant *g = c->grant;
    const cJSON *up = cJSON_GetObjectItemCaseSensitive(g->order, "upstream");
    cJSON *out = cJSON_CreateObject();

    (void)cv_json_add_str(out, "method", "Use");
    (void)cv_json_add_str(out, "grant", g->id);
    (void)cv_json_add_str(out, "kind", cv_grant_kind_name(c->kind));
    (void)cv_json_add_str(out, "offer", g->rule);
    (void)cv_json_add_bool(out, "read_only", g->read_only);
    (void)cv_json_add_int(out, "seconds",
                          (g->ends_ms - cv_clock_boot_ms()) / 1000);
    (void)cv_json_add_str(out, "record", cv_policy_record_name(g->record));
    (void)cv_json_add_str(out, "server", cv_entry_text(up, "server"));
    (void)cv_json_add_str(out, "verify", cv_entry_text(up, "verify"));
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const cJSON *list =
            cJSON_GetObjectItemCaseSensitive(g->order, limits[i]);

        if (list != NULL && cJSON_GetArraySize(list) <= CV_DETAILS_ITEMS) {
            (void)cv_json_add_item(out, limits[i], cJSON_Duplicate(list, true));
        }
    }
    return out;
}

/* Entered. The decision and its leaf. */
static enum cv_status decide_checked(struct cv_broker *b, struct call *c,
                                     struct cv_err *err)
{
    cJSON *details;
    enum cv_status s = CV_OK;

    if (!c->again) {
        s = new_grant(b, c, err);
    }
    if (s != CV_OK) {
        return s;
    }
    details = details_of(c);
    s = cv_ask_decide(&c->use.ask, c->use.doc, details, err);
    cJSON_Delete(details);
    /* Whose it is, by the name that the leaf has. */
    memcpy(c->grant->who.user, b->caller->user, sizeof(b->caller->user));
    if (s == CV_OK && !c->again) {
        c->grant->approvals = c->use.ask.held_approvals;
        memcpy(c->grant->request, c->use.ask.request,
               sizeof(c->grant->request));
        c->grant->counted = true;
    }
    return s;
}

/* A token process that is new has no client CA yet: the relay gets it first. */
static enum cv_status mint(struct cv_broker *b, struct call *c, cJSON *out,
                           struct cv_reply *reply, struct cv_err *err)
{
    enum cv_status s = cv_hop_mint(b, c->grant, out, err);

    if (s != CV_NOT_FOUND) {
        return s;
    }
    cv_relay_unlisten(b);
    if (c->again) {
        c->grant = NULL; /* it ends with the CA that it was made under */
        (void)cv_fail(err, CV_BUSY, "the vault was closed in the meantime");
        cv_err_hint(err, "run the command again");
        return CV_BUSY;
    }
    s = cv_relay_ready(b, reply, err);
    return s == CV_OK ? cv_hop_mint(b, c->grant, out, err) : s;
}

static enum cv_status answer(struct cv_broker *b, const struct call *c,
                             cJSON *out, struct cv_err *err)
{
    const struct cv_grant *g = c->grant;
    char expires[CV_CLOCK_TEXT_LEN], server[64];
    const char *namespace = cv_entry_text(c->use.context, "namespace");
    cJSON *grant = cJSON_AddObjectToObject(out, "grant");

    (void)snprintf(server, sizeof(server), "https://127.0.0.1:%d",
                   (int)b->relay.port);
    if (!cv_json_add_str(grant, "id", g->id) ||
        !cv_json_add_str(grant, "entry", g->entry) ||
        !cv_json_add_str(grant, "context", g->context) ||
        !cv_json_add_str(grant, "expires",
                         cv_clock_format(g->ends_s, expires)) ||
        !cv_json_add_int(grant, "seconds",
                         (g->ends_ms - cv_clock_boot_ms()) / 1000) ||
        !cv_json_add_bool(grant, "read_only", g->read_only) ||
        !cv_json_add_str(grant, "rule", g->rule) ||
        !cv_json_add_str(out, "server", server) ||
        !cv_json_add_str(out, "ca", b->relay.ca) ||
        (namespace[0] != '\0' &&
         !cv_json_add_str(out, "namespace", namespace)) ||
        !cv_json_add_int(out, "audit_seq", c->use.ask.seq)) {
        return no_memory(err);
    }
    return CV_OK;
}

/* The leaf is durable: the relay gets the grant, the caller its certificate. */
static enum cv_status give(struct cv_broker *b, struct call *c,
                           struct cv_reply *reply, struct cv_err *err)
{
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s = CV_OK;

    if (!c->again) {
        s = finish_order(b, c, err);
    }
    /* A freeze may have come while the token worked. */
    if (s == CV_OK) {
        s = cv_freeze_check(&c->use.ask, err);
    }
    if (s == CV_OK) {
        s = mint(b, c, out, reply, err);
    }
    if (s == CV_OK && !c->grant->opened) {
        s = cv_relay_open(b, c->grant, err);
    }
    return s == CV_OK ? answer(b, c, out, err) : s;
}

static void begin(struct cv_broker *b, const cJSON *parameters,
                  struct cv_together_call *call)
{
    static const cJSON none = {.type = cJSON_Object};
    const cJSON *p = parameters != NULL ? parameters : &none;
    struct call *c = (struct call *)call;

    call->ask = &c->use.ask;
    call->status = cv_ask_begin(b, CV_ACTION_USE, p, call->ask, &call->err);
    if (call->status == CV_OK) {
        call->status = read_use(p, c, &call->err);
        c->context = c->use.ask.context;
    }
}

/* Of two that want a credential for the same the second gets the first one's
 * grant, which must be there then. */
static bool is_alone(const struct cv_together_call *call,
                     const struct cv_together_call *later)
{
    const struct call *c = (const struct call *)call;
    const struct call *d = (const struct call *)later;

    return later->kind == call->kind && call->status == CV_OK &&
           later->status == CV_OK && c->kind == CV_GRANT_CREDENTIAL &&
           d->kind == CV_GRANT_CREDENTIAL &&
           c->use.ask.caller->peer.uid == d->use.ask.caller->peer.uid &&
           strcmp(c->use.name, d->use.name) == 0;
}

/* Nobody is asked for a secret who would be denied; whoever is gets his leaf
 * where it is decided. */
static void look(struct cv_broker *b, struct cv_together_call *call)
{
    struct call *c = (struct call *)call;

    if (b->vault == NULL || cv_broker_policy_load(b, NULL) != CV_OK ||
        cv_use_load(b, &c->use, NULL) != CV_OK) {
        return;
    }
    find_again(b, c);
    if (cv_ask_would_now(&c->use.ask, c->use.doc, NULL) == CV_OK &&
        cv_use_fits(&c->use, NULL) == CV_OK) {
        call->status = make_ready(b, c, NULL, &call->err);
        c->ready = call->status == CV_OK;
    }
}

static void decide(struct cv_broker *b, struct cv_together_call *call)
{
    struct call *c = (struct call *)call;
    enum cv_status s;

    /* Not what was loaded to look at, nor what that failed at. */
    c->use.ask.context = c->context;
    s = check(b, c, &call->err);
    if (s == CV_OK && !c->ready) {
        s = cv_fail(&call->err, CV_BUSY, "it is permitted only now: again");
    }
    if (s == CV_OK) {
        s = decide_checked(b, c, &call->err);
    }
    call->status = s;
}

/* Its grant, or the one that it is to have again: is it there still? */
static bool is_there(const struct cv_broker *b, const struct call *c)
{
    for (size_t i = 0; c->grant != NULL && i < b->grants.n; i++) {
        if (b->grants.all[i] == c->grant && strcmp(c->grant->id, c->id) == 0) {
            return true;
        }
    }
    return false;
}

static void end(struct cv_broker *b, struct cv_together_call *call)
{
    struct call *c = (struct call *)call;

    /* Only one that is there is taken back. */
    if (!c->given && !c->again && is_there(b, c)) {
        cv_relay_close(b, c->grant, "it was not given", NULL);
        cv_hop_forget(b, c->grant);
        cv_grant_drop(&b->grants, c->grant);
    }
    cv_use_free(&c->use);
}

const struct cv_together_kind cv_broker_use_kind = {
    .method = CV_INTERFACE_BROKER ".Use",
    .size = sizeof(struct call),
    .begin = begin,
    .is_alone = is_alone,
    .look = look,
    .decide = decide,
    .end = end,
};

CV_BROKER_METHOD(use)
{
    struct cv_broker *b = context;
    struct call *c = (struct call *)b->together;
    enum cv_status s;

    (void)parameters;
    if (cv_broker_together_is_refused(b->together, &s, err)) {
        if (s != CV_LOCKED) {
            return s;
        }
        /* Asked again, for what is to be told of the slots, or of the PIN. */
        s = make_ready(b, c, reply, err);
        return s != CV_OK
                   ? s
                   : cv_fail(err, CV_BUSY, "the vault is open only now: again");
    }
    s = is_there(b, c)
            ? give(b, c, reply, err)
            : cv_fail(err, CV_BUSY, "the grant ended in the meantime: again");
    if (s == CV_OK) {
        c->grant->given = true;
        s = cv_reply_send(reply, err);
    }
    c->given = s == CV_OK;
    cv_ask_outcome_later(&c->use.ask, s, NULL);
    return s;
}

CV_BROKER_METHOD(use_end)
{
    struct cv_broker *b = context;
    const char *id = NULL;
    const struct cv_json_field fields[] = {
        {"grant", CV_JSON_STRING, true, &id, CV_GRANT_ID_LEN - 1},
    };
    struct cv_grant *g = NULL;
    enum cv_status s =
        cv_json_read(parameters, "UseEnd", CV_BROKER_FIELDS(fields), true, err);

    (void)reply;
    if (s == CV_OK) {
        g = cv_grant_find(&b->grants, id, cv_clock_boot_ms());
        if (g == NULL || g->who.peer.uid != b->caller->peer.uid) {
            return cv_fail(err, CV_NOT_FOUND,
                           "there is no such grant of "
                           "yours: it has ended");
        }
        cv_grant_end(b, g, "its user ended it", NULL);
    }
    return s;
}

/* Keyless */

struct keyless {
    const char *name, *context;
    struct cv_use use;
    const char *first; /* context that may be used, of use.doc */
    size_t n, all;
};

/* Entered. The contexts that the caller may use; `list` may be NULL. */
static bool add_contexts(struct keyless *k, cJSON *list)
{
    const cJSON *item;
    bool ok = true;

    k->n = k->all = 0;
    cJSON_ArrayForEach(item,
                       cJSON_GetObjectItemCaseSensitive(k->use.doc, "contexts"))
    {
        const char *name = cv_entry_text(item, "name");
        const char *namespace = cv_entry_text(item, "namespace");
        cJSON *one;

        k->all++;
        k->use.ask.context = name;
        if ((k->context != NULL && strcmp(name, k->context) != 0) ||
            !cv_ask_would(&k->use.ask, k->use.doc)) {
            continue;
        }
        k->first = k->n++ == 0 ? name : k->first;
        if (list == NULL) {
            continue;
        }
        one = cJSON_CreateObject();
        ok = cv_json_add_str(one, "name", name) &&
             (namespace[0] == '\0' ||
              cv_json_add_str(one, "namespace", namespace)) &&
             cv_json_add_bool(one, "default",
                              cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
                                  item, "default"))) &&
             cJSON_AddItemToArray(list, one) && ok;
    }
    return ok;
}

/* Entered. Decides on what may be used of it; a denial is that of all. */
static enum cv_status decide_keyless(struct cv_broker *b, struct keyless *k,
                                     cJSON *list, struct cv_err *err)
{
    cJSON *details;
    enum cv_status s;

    /* Nothing is given here: approvals and limits are for when it is used. */
    k->use.ask.preview = true;
    k->use.name = k->name;
    k->use.ask.context = k->context;
    s = cv_use_load(b, &k->use, err);
    if (s != CV_OK) {
        k->use.ask.context = k->context;
        s = cv_ask_tell(&k->use.ask, k->use.doc, k->name, s, err);
        k->use.ask.context = NULL;
        return s;
    }
    if (!add_contexts(k, list)) {
        return no_memory(err);
    }
    k->use.ask.context = k->context != NULL ? k->context
                         : k->n < k->all    ? k->first
                                            : NULL;
    details = cJSON_CreateObject();
    (void)cv_json_add_str(details, "method", "Keyless");
    s = cv_ask_decide(&k->use.ask, k->use.doc, details, err);
    cJSON_Delete(details);
    return s == CV_OK ? cv_broker_commit(b, err) : s;
}

static enum cv_status answer_keyless(struct cv_broker *b,
                                     const struct keyless *k, cJSON *out,
                                     struct cv_reply *reply, struct cv_err *err)
{
    char server[64], *ca = NULL;
    int64_t port = 0;
    enum cv_status s = cv_hop_ca_pem(b, reply, &ca, err);

    if (s == CV_OK) {
        s = cv_hop_port(b, &port, err);
    }
    (void)snprintf(server, sizeof(server), "https://127.0.0.1:%d", (int)port);
    if (s == CV_OK && (!cv_json_add_str(out, "server", server) ||
                       !cv_json_add_str(out, "ca", ca) ||
                       !cv_json_add_str(out, "vault_id", b->vault->id) ||
                       !cv_json_add_str(out, "entry", k->name))) {
        s = no_memory(err);
    }
    free(ca);
    return s;
}

CV_BROKER_METHOD(keyless)
{
    struct cv_broker *b = context;
    struct keyless k = {0};
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &k.name, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, false, &k.context, CV_LIMIT_URL},
        CV_BROKER_ASK_FIELDS,
    };
    cJSON *out = cv_reply_parameters(reply);
    char *ca = NULL;
    enum cv_status s =
        cv_ask_begin(b, CV_ACTION_USE, parameters, &k.use.ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Keyless", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK && b->vault == NULL) {
        s = cv_broker_enter(b, err);
    }
    /* A vault that must be opened for it is told of before it is decided. */
    if (s == CV_OK) {
        s = cv_hop_ca_pem(b, reply, &ca, err);
        free(ca);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
    }
    if (s == CV_OK) {
        s = decide_keyless(b, &k, cJSON_AddArrayToObject(out, "contexts"), err);
        cv_broker_leave(b);
    }
    if (s != CV_OK) {
        cv_ask_refused(&k.use.ask, err);
    } else {
        s = answer_keyless(b, &k, out, reply, err);
        cv_ask_outcome_later(&k.use.ask, s, NULL);
    }
    cv_use_free(&k.use);
    return s;
}
