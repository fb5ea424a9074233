/* Hello, init, status: the vault itself. */
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/broker/agent.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/held_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/policies_internal.h"
#include "vault/broker/policy_signer.h"
#include "vault/broker/signer.h"
#include "vault/broker/slot_token_internal.h"
#include "vault/store/store_entry.h"
#include "vault/store/store_policy.h"
#include "vault/store/store_slot.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *mode_name(const struct cv_broker *b)
{
    return cv_decide_mode_name(
        (enum cv_decide_mode)(CV_DECIDE_MODE_EXEC + (int)b->options->mode));
}

static const char *token_of(const struct cv_vault *v)
{
    return v->token_uri[0] != '\0' ? v->token_uri : NULL;
}

CV_BROKER_METHOD(hello)
{
    struct cv_broker *b = context;
    const char *wanted = NULL, *grant = NULL;
    const struct cv_grant *live;
    bool allow_absent = false;
    const struct cv_json_field fields[] = {
        {"vault_id", CV_JSON_STRING, false, &wanted, CV_STORE_ID},
        {"grant", CV_JSON_STRING, false, &grant, CV_GRANT_ID_LEN - 1},
        {"allow_absent", CV_JSON_BOOL, false, &allow_absent, 0},
    };
    cJSON *out = cv_reply_parameters(reply);
    enum cv_status s =
        cv_json_read(parameters, "Hello", CV_BROKER_FIELDS(fields), true, err);

    if (s != CV_OK) {
        return s;
    }
    if (b->unopened.status != CV_OK || (b->vault == NULL && !allow_absent)) {
        return cv_broker_enter(b, err);
    }
    if (b->vault != NULL && wanted != NULL &&
        strcmp(wanted, b->vault->id) != 0) {
        s = cv_fail(err, CV_NOT_FOUND, "this broker serves another vault");
        cv_err_hint(err, "it serves the vault in %s", b->options->folder);
        return s;
    }
    if (b->agent != NULL) {
        cv_agent_overlook(b->agent);
        (void)cv_json_add_str(out, "build", cv_agent_build(b->agent));
    }
    if (b->vault != NULL) {
        (void)cv_json_add_str(out, "vault_id", b->vault->id);
        (void)cv_json_add_str(out, "public_key", b->vault->public_key);
        (void)cv_json_add_str(out, "token_uri", token_of(b->vault));
        /* For who can put it back. */
        if (b->caller->peer.uid == geteuid() && cv_signer_is_gone(b)) {
            (void)cv_json_add_bool(out, "log_key_gone", true);
        }
    }
    if (!cv_json_add_str(out, "folder", b->options->folder) ||
        !cv_json_add_str(out, "mode", mode_name(b)) ||
        !cv_json_add_str(out, "version", CV_VERSION) ||
        !cv_json_add_str(out, "state", b->vault != NULL ? "ready" : "absent") ||
        !cv_json_add_bool(out, "locked", !cv_broker_is_open(b)) ||
        !cv_json_add_int(out, "pid", getpid())) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (grant != NULL) {
        live = cv_grant_find(&b->grants, grant, cv_clock_boot_ms());
        (void)cv_json_add_bool(out, "grant",
                               live != NULL &&
                                   live->who.peer.uid == b->caller->peer.uid);
    }
    b->caller->greeted = true;
    return CV_OK;
}

/* The first policy, as init stores it: no names, so nothing to look up. */
static enum cv_status store_default_policy(struct cv_broker *b,
                                           struct cv_vault *v,
                                           struct cv_err *err)
{
    struct cv_policy *policy = NULL;
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_POLICY);
    cv_policy_default(b->caller->peer.uid, &text);
    s = cv_buf_status(&text, "the policy", err);
    if (s == CV_OK) {
        s = cv_policy_parse(cv_buf_bytes(&text), &policy, NULL, err);
    }
    if (s == CV_OK) {
        struct cv_store_policy row = {
            .version = cv_policy_version(policy),
            .sha256 = cv_policy_sha256(policy),
            .text = cv_buf_text(&text),
            .resolution = "{\"users\":{},\"groups\":{},\"zones\":{}}",
            .applied = cv_clock_now_s(),
        };

        s = cv_store_policy_put(v->store, &row, err);
    }
    cv_policy_free(policy);
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status store_slot(struct cv_vault *v, const cJSON *record,
                                 struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_STORE_SLOT_DOC);
    cv_json_write(record, CV_JSON_COMPACT, &text);
    s = cv_buf_status(&text, "the slot", err);
    if (s == CV_OK) {
        s = cv_store_slot_put(v->store, cv_entry_text(record, "id"),
                              cv_buf_text(&text), err);
    }
    cv_buf_wipe(&text);
    return s;
}

/* What is asked for, and what the token processes make for a new vault. */
struct made {
    struct cv_message created, wrapped;
    const char *public_key;
    const cJSON *slot;
    const cJSON *signers; /* of policies, as they were given; NULL: none */
    const char *origin;
    const char *log_uri;   /* the token that signs the log; NULL: a file does */
    const char *token_uri; /* where keys go that are told no place; or NULL */
    struct cv_signer_key log_key;
    int claim; /* of the folder, until the vault is made in it */
};

/* Both tokens' PINs, before anything is made that a second call would meet. */
static enum cv_status need_tokens(struct cv_broker *b, const cJSON *key,
                                  const char *log_uri, struct cv_reply *reply,
                                  struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (cv_slot_token_is(key)) {
        s = cv_module_need_login(b, cv_entry_text(key, "uri"), reply, err);
    }
    if (s == CV_LOCKED && log_uri != NULL) {
        cv_module_need_also(b, log_uri, reply);
    } else if (s == CV_OK && log_uri != NULL) {
        s = cv_module_need_login(b, log_uri, reply, err);
    }
    return s;
}

/* The first thing that is made: a token that cannot leaves nothing behind. */
static enum cv_status make_log_key(struct cv_broker *b, struct made *m,
                                   struct cv_err *err)
{
    if (m->log_uri == NULL) {
        return CV_OK;
    }
    cv_signer_name(m->origin, &m->log_key);
    return cv_signer_make(b, m->log_uri, m->origin, &m->log_key, err);
}

static void drop_log_key(struct cv_broker *b, const struct made *m,
                         struct cv_err *err)
{
    struct cv_err own;

    cv_err_init(&own);
    if (m->log_key.id[0] != '\0' &&
        cv_signer_undo(b, m->log_uri, &m->log_key, &own) != CV_OK) {
        cv_err_state(err,
                     "no vault was made; if a key was, it is still on the "
                     "token: %.200s",
                     m->log_key.label);
        cv_err_hint(err, "init may be run again and makes another; the "
                         "token's own tool destroys what is left");
    }
}

/* It failed. `there`: so late that the next start may find the vault whole,
 * which needs its key then. */
static void undo(struct cv_broker *b, const struct made *m, bool there,
                 struct cv_err *err)
{
    cv_helper_stop(&b->token); /* and with it the key that was made */
    if (!there) {
        drop_log_key(b, m, err);
        if (err->state[0] == '\0') {
            cv_err_state(err, "no vault was made");
        }
        return;
    }
    if (!m->log_key.made) {
        cv_err_state(err, "the vault may be there, whole or, after a power "
                          "failure, not at all");
        cv_err_hint(err, "certvault status tells: go on with the vault that it "
                         "shows, once the disk is sound, or run init again");
        return;
    }
    cv_err_state(err,
                 "the vault may be there; the key of its log stays on the "
                 "token: %.110s",
                 m->log_key.label);
    cv_err_hint(err, "certvault status tells: go on with the vault that it "
                     "shows, once the disk is sound; where it shows none, run "
                     "init again, and the token's own tool destroys the key "
                     "that is left");
}

static enum cv_status make_slot(struct cv_broker *b, const char *vault_id,
                                const cJSON *key, struct cv_reply *reply,
                                struct made *m, struct cv_err *err)
{
    const struct cv_json_field created[] = {
        {"public_key", CV_JSON_STRING, true, &m->public_key, 64},
    };
    const struct cv_json_field wrapped[] = {
        {"slot", CV_JSON_OBJECT, true, &m->slot, 0},
    };
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(p, "vault_id", vault_id);
    s = cv_broker_token(b, "Create", p, 0, &m->created, err);
    if (s == CV_OK) {
        s = cv_json_read(m->created.tree, "Create", created, 1, true, err);
    }
    if (s == CV_OK && cv_slot_token_is(key)) {
        const struct cv_slot_token_vault vault = {vault_id, m->public_key};

        return cv_slot_token_wrap(b, &vault, "s1", key, reply, &m->wrapped,
                                  &m->slot, err);
    }
    if (s == CV_OK) {
        p = cJSON_CreateObject();
        (void)cv_json_add_str(p, "id", "s1");
        (void)cv_json_add_item(p, "key", cJSON_Duplicate(key, true));
        s = cv_broker_token(b, "Wrap", p, CV_CLIENT_SECRET_IN, &m->wrapped,
                            err);
    }
    if (s == CV_OK) {
        s = cv_json_read(m->wrapped.tree, "Wrap", wrapped, 1, true, err);
    }
    return s;
}

/* The order matters: until the last step a start takes the folder for empty. */
static enum cv_status make_vault(struct cv_broker *b, const char *vault_id,
                                 struct made *m, struct cv_vault **out,
                                 struct cv_err *err)
{
    const struct cv_vault_plan plan = {
        vault_id,       m->origin,
        m->public_key,  m->log_uri != NULL ? &m->log_key.key : NULL,
        m->log_key.uri, m->token_uri};
    int folder = b->folder, claim = m->claim;
    enum cv_status s;

    b->folder = m->claim = -1;
    s = cv_vault_create(b->options->folder, folder, &plan, claim, out, err);
    if (s == CV_OK) {
        s = store_slot(*out, m->slot, err);
    }
    if (s == CV_OK) {
        s = store_default_policy(b, *out, err);
    }
    if (s == CV_OK) {
        s = cv_broker_policy_store_signers(*out, m->signers, err);
    }
    return s;
}

static enum cv_status record_init(struct cv_broker *b, const cJSON *slot,
                                  struct cv_err *err)
{
    cJSON *details = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(details, "method", "Init");
    (void)cv_json_add_str(details, "vault_id", b->vault->id);
    (void)cv_json_add_str(details, "slot", cv_entry_text(slot, "id"));
    (void)cv_json_add_str(details, "slot_kind", cv_entry_text(slot, "kind"));
    cv_broker_event(b, "admin", CV_OK, details);
    cJSON_Delete(details);
    s = cv_broker_enter(b, err);
    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
        cv_broker_leave(b);
    }
    return s;
}

static void tell_init(struct cv_broker *b, const struct made *m, cJSON *out)
{
    struct cv_buf vkey;

    (void)cv_json_add_str(out, "vault_id", b->vault->id);
    (void)cv_json_add_str(out, "public_key", m->public_key);
    (void)cv_json_add_str(out, "folder", b->options->folder);
    (void)cv_json_add_item(out, "slot", cv_broker_slot_view(m->slot));
    (void)cv_json_add_str(out, "token_uri", m->token_uri);
    if (m->log_uri != NULL) {
        cv_buf_init(&vkey, NULL, CV_LIMIT_NOTE);
        cv_note_key_text(&m->log_key.key, &vkey);
        (void)cv_json_add_str(out, "log_key", cv_buf_text(&vkey));
        (void)cv_json_add_str(out, "log_key_uri", m->log_key.uri);
        cv_buf_wipe(&vkey);
    }
}

/* Of several at once, one makes the vault; before that none makes anything. */
static enum cv_status claim_folder(struct cv_broker *b, struct made *m,
                                   struct cv_err *err)
{
    enum cv_status s = cv_vault_claim(b->folder, &m->claim, err);

    if (s != CV_OK && err->state[0] == '\0') {
        cv_err_state(err, "nothing was changed");
    }
    return s;
}

static enum cv_status run_init(struct cv_broker *b, const cJSON *key,
                               struct made *m, struct cv_reply *reply,
                               struct cv_err *err)
{
    uint8_t id[16];
    char vault_id[33], own_origin[64];
    struct cv_vault *v = NULL;
    bool there = false;
    enum cv_status s;

    randombytes_buf(id, sizeof(id));
    (void)sodium_bin2hex(vault_id, sizeof(vault_id), id, sizeof(id));
    (void)snprintf(own_origin, sizeof(own_origin), "certvault/%s", vault_id);
    m->origin = m->origin != NULL ? m->origin : own_origin;
    s = need_tokens(b, key, m->log_uri, reply, err);
    if (s == CV_OK) {
        s = claim_folder(b, m, err);
    }
    if (s == CV_OK) {
        s = make_log_key(b, m, err);
    }
    if (s == CV_OK) {
        s = make_slot(b, vault_id, key, reply, m, err);
    }
    if (s == CV_OK) {
        s = make_vault(b, vault_id, m, &v, err);
    }
    if (s == CV_OK) {
        b->vault = v;
        s = record_init(b, m->slot, err);
    }
    if (s == CV_OK) {
        s = cv_vault_settle(v, &there, err);
    }
    if (s == CV_OK) {
        b->unlocked = true;
        tell_init(b, m, cv_reply_parameters(reply));
    } else {
        b->vault = NULL;
        cv_vault_close(v);
        undo(b, m, there, err);
        cv_vault_unclaim(b->folder, &m->claim);
    }
    cv_message_free(&m->created);
    cv_message_free(&m->wrapped);
    return s;
}

/* It is kept, and told to all. Whether there is such a token is seen when a key
 * goes there. */
static enum cv_status check_token(const char *uri, struct cv_err *err)
{
    enum cv_status s;

    if (cv_held_uri_is_token(uri)) {
        return CV_OK;
    }
    s = cv_fail(err, CV_INVALID,
                "the vault's token is named by token, serial, model and "
                "manufacturer alone");
    cv_err_hint(err, "pkcs11:token=NAME, as certvault token list shows it, "
                     "without what stands behind `?`");
    return s;
}

/* Before anything is made: a key can not have every name. */
static enum cv_status check_origin(const char *origin, struct cv_err *err)
{
    enum cv_status s = origin != NULL ? cv_note_check_name(origin, err) : CV_OK;

    if (s != CV_OK) {
        cv_err_prefix(err, "the log's origin");
        cv_err_state(err, "no vault was made");
    }
    return s;
}

CV_BROKER_METHOD(init)
{
    struct cv_broker *b = context;
    const cJSON *key = NULL;
    struct made m = {.claim = -1};
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_OBJECT, true, &key, 0},
        {"log_origin", CV_JSON_STRING, false, &m.origin, 128},
        {"log_key", CV_JSON_STRING, false, &m.log_uri, CV_LIMIT_TOKEN_URI},
        {"token_uri", CV_JSON_STRING, false, &m.token_uri,
         CV_LIMIT_TOKEN_URI - 1},
        {"policy_signers", CV_JSON_ARRAY, false, &m.signers, 0},
    };
    enum cv_status s =
        cv_json_read(parameters, "Init", CV_BROKER_FIELDS(fields), true, err);

    if (s == CV_OK) {
        s = check_origin(m.origin, err);
    }
    if (s == CV_OK && m.token_uri != NULL) {
        s = check_token(m.token_uri, err);
    }
    if (s == CV_OK) {
        s = cv_policy_signer_check(m.signers, NULL, err);
    }

    if (s == CV_OK && (b->vault != NULL || b->folder == -1)) {
        s = cv_fail(err, CV_EXISTS, "there is a vault in %s already",
                    b->options->folder);
        cv_err_state(err, "it was not touched");
        return s;
    }
    return s == CV_OK ? run_init(b, key, &m, reply, err) : s;
}

CV_BROKER_METHOD(status)
{
    struct cv_broker *b = context;
    cJSON *status =
        cJSON_AddObjectToObject(cv_reply_parameters(reply), "status");
    uint64_t entries = 0;
    enum cv_status s = cv_broker_enter(b, err);

    (void)parameters;
    if (s != CV_OK) {
        return s;
    }
    s = cv_store_entry_count(b->vault->store, &entries, err);
    if (s == CV_OK) {
        (void)cv_json_add_str(status, "vault_id", b->vault->id);
        (void)cv_json_add_str(status, "folder", b->options->folder);
        (void)cv_json_add_str(status, "mode", mode_name(b));
        (void)cv_json_add_str(status, "version", CV_VERSION);
        (void)cv_json_add_bool(status, "locked", !cv_broker_is_open(b));
        (void)cv_freeze_add(b, status);
        (void)cv_json_add_int(status, "entries", (int64_t)entries);
        (void)cv_json_add_int(status, "log_size",
                              (int64_t)cv_log_size(b->vault->log));
        (void)cv_json_add_item(status, "policy", cv_policy_describe(b->policy));
        (void)cv_json_add_item(status, "relay", cv_relay_status(b));
        (void)cv_json_add_item(status, "grants", cv_grant_status(b));
        (void)cv_json_add_bool(status, "seccomp", b->sandbox.seccomp);
        (void)cv_json_add_int(status, "landlock_abi", b->sandbox.landlock_abi);
        /* It takes time that grows with the store: not for everyone. */
        if (b->caller->peer.uid == geteuid()) {
            s = cv_store_check(b->vault->store, err);
        }
    }
    cv_broker_leave(b);
    return s;
}
