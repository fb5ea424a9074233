/* What the files of this folder share. */
#ifndef CERTVAULT_BROKER_BROKER_INTERNAL_H
#define CERTVAULT_BROKER_BROKER_INTERNAL_H

#include "policy/decide.h"
#include "vault/audit/leaf.h"
#include "vault/audit/query.h"
#include "vault/base/limits.h"
#include "vault/base/sandbox.h"
#include "vault/broker/broker.h"
#include "vault/broker/denials.h"
#include "vault/broker/entry.h"
#include "vault/broker/freeze.h"
#include "vault/broker/grant.h"
#include "vault/broker/helper.h"
#include "vault/broker/jump.h"
#include "vault/broker/loop.h"
#include "vault/broker/prompt.h"
#include "vault/broker/relay.h"
#include "vault/broker/signer.h"
#include "vault/broker/vault.h"
#include "vault/store/store_entry.h"

/* So many leaves may wait for the next commit. */
#define CV_BROKER_WAITING 1000
#define CV_BROKER_WAITING_READS 750  /* of them, before a read waits */
#define CV_BROKER_WAITING_EVENTS 900 /* and before an event does */

struct cv_broker {
    const struct cv_broker_options *options;
    struct cv_spawner *spawner;
    struct cv_helper token;
    struct cv_helper intake;
    struct cv_helper names;
    struct cv_helper settings; /* a service's */
    int reload;                /* can be read when the service is to read its
                                  configuration again; -1: no service */
    bool own_key_off;    /* the service does not open the vault by itself: an
                            admin locked it, or its key did not open it */
    bool locked_by_hand; /* then nothing logs in by itself either */
    cJSON *pins;         /* URIs of tokens whose PIN the service has */
    struct cv_broker_relay relay_options;
    struct cv_module_table *modules; /* NULL: no token was wanted yet */
    bool module_called;              /* one of them is at work */
    bool looking;     /* by itself, whether the tokens of grants are there */
    int64_t ended_ms; /* a module's caller saw then that it is to end; 0: none
                       * did */
    struct cv_vault *vault; /* NULL: there is none in the folder yet */
    int folder;             /* the folder, until a vault takes it; else -1 */
    int logins;             /* where logins are written down; -1: in the vault's
                               folder */
    struct cv_err unopened; /* why the vault could not be opened, or CV_OK */
    bool unlocked;          /* the token process holds the open box key */
    struct cv_policy *policy;
    uint8_t resolution[32]; /* the hash of what its names were resolved to */
    char host[65];
    struct cv_sandbox_report sandbox;
    cJSON *waiting[CV_BROKER_WAITING]; /* leaves for the next commit */
    size_t n_waiting;
    size_t n_queued; /* of them, since the vault was entered */
    int64_t waiting_since_ms;
    uint64_t checkpoint_size; /* leaves under the last checkpoint made here */
    int64_t checkpoint_ms;    /* when that was */
    struct cv_signer signer;
    int64_t room_ms;          /* when room.h looked at the disk */
    uint64_t publish_size;    /* leaves that the tiles are still to get up to;
                                 0: they are there (publish.h) */
    struct cv_caller *caller; /* whose request is being answered */
    const char *method;       /* and which of ours that is; NULL: none */
    char ready_name[CV_LIMIT_NAME + 1];   /* an entry, and its token, which */
    char ready_token[CV_LIMIT_TOKEN_URI]; /* signed a moment ago ... */
    int64_t ready_until_ms;               /* ... and is not asked until then */
    char held_login[CV_LEAF_OP + 1]; /* changes with each login to a token */
    /* Leaves are being queued for one commit (together_internal.h): denials are
     * not committed by themselves. */
    bool shares;
    struct cv_together_call *together; /* that is to be answered; else NULL */
    const struct cv_interface *iface;  /* its own */
    struct cv_loop *loop;              /* NULL: it does not run */
    struct cv_relay relay;
    struct cv_grant_table grants;
    struct cv_query_cursor looked; /* what grants were looked at by: the log */
    uint64_t looked_size;          /* its leaves */
    int64_t looked_ms, decided_ms, token_ms, touched_ms;
    struct cv_freeze freeze;
    struct cv_jump jump;
    struct cv_denials *denials;     /* NULL: there was none yet */
    struct cv_agent *agent;         /* NULL: it is none */
    struct cv_backup *backup;       /* that is being read; NULL: none */
    struct cv_archiving *archiving; /* the same of an archive of the log */
    struct cv_prompt prompt;
    struct cv_tally *tally;         /* NULL: no limit was asked about yet */
    struct cv_sinks *sinks;         /* NULL: none was looked after yet */
    struct cv_notify_queue *notify; /* NULL: nobody was told of anything yet */
    struct cv_anchors *anchors;     /* NULL: not looked at yet, or none */
    bool indexing;                  /* the index is being brought up */
    uint64_t strangers;             /* turned away and not told of yet */
    int64_t strangers_ms; /* when the record was last told; 0: never */
    uid_t stranger;       /* the last of them */
    uint64_t decisions[2][CV_ACTION_COUNT]; /* denied, permitted */
    char user[CV_NAMES_LEN];  /* an agent's one user; "": not looked up yet */
    struct cv_naming *naming; /* others'; NULL: nobody's was asked for yet */
};

/* One request on its way through the door. */
struct cv_ask {
    struct cv_broker *broker;
    const struct cv_caller *caller;
    enum cv_action action;
    const char *reason; /* borrowed from the request; NULL: none */
    const char *ticket;
    const char *context;
    bool tty;
    bool read_only;     /* asked for, as a grant's */
    int64_t duration_s; /* likewise; 0: not asked for */
    /* The call, for approvals of it (approval_call.h); borrowed, NULL: none */
    const char *method;
    const cJSON *parameters;
    const cJSON *question; /* a read's, for its leaf; borrowed, NULL: none */
    bool break_glass;      /* --break-glass was said */
    bool dry_run;          /* nothing is filed */
    /* Only what it might come to is asked: what waits for approvals or for its
     * limit is a yes, counts for nothing and uses nothing up. */
    bool preview;
    /* It is held against the policy again: the rule that gave it, and how many
     * approvals it had. "": it is a new one. Set by cv_ask_decide, and by
     * cv_grant_ask. Such a request counts for no limit. */
    char held_rule[CV_LIMIT_NAME + 1];
    uint64_t held_approvals;
    /* The request for approval that its approvals are of; "": none. */
    char request[CV_FACTS_REQUEST_LEN];
    char op[CV_LEAF_OP + 1];
    const cJSON *doc; /* the entry, NULL: none; borrowed */
    struct cv_decide_result result;
    bool frozen; /* what denies it is a freeze, and no rule */
    /* A full disk must not stop it: what it puts into the store has room out of
     * the reserve, and had so much (room.h). */
    bool urgent;
    uint64_t given;
    int64_t seq;        /* of the decision's leaf; -1: none yet */
    bool read;          /* a read that was permitted: it has its leaf */
    bool told, counted; /* a denial that has its leaf, or gets none (denials.h)
                         */
};

/* broker_door.c: the order of things. Where a function says "entered", the
 * vault's lock is held (cv_broker_enter). */

/* CV_NOT_FOUND where there is no vault yet. Takes the vault's lock, catches up
 * with log and policy, queues what waits. */
CV_MUST_USE enum cv_status cv_broker_enter(struct cv_broker *b,
                                           struct cv_err *err);
void cv_broker_leave(struct cv_broker *b);

/* broker_policy_load.c: makes b->policy the policy in force, read again when
 * another broker applied one. CV_INTEGRITY: it cannot be used, or the store is
 * older than the record says (rolled back). The vault is there. */
CV_MUST_USE enum cv_status cv_broker_policy_load(struct cv_broker *b,
                                                 struct cv_err *err);

/* The folder for ledger.h, open. */
int cv_broker_logins(const struct cv_broker *b);

/* What the record calls who asks; "" where nobody does. Borrowed from the
 * caller. */
const char *cv_broker_user(struct cv_broker *b);

/* Begins a request: reads `reason` and `ticket` out of its parameters and
 * checks them (CV_INVALID). */
CV_MUST_USE enum cv_status cv_ask_begin(struct cv_broker *b,
                                        enum cv_action action,
                                        const cJSON *parameters,
                                        struct cv_ask *ask, struct cv_err *err);

/* Entered. Decides, queues the leaf. A denial is committed and told with its
 * leaf's number (where b->shares is set, whoever set it commits); a permit is
 * durable after cv_broker_commit. `details` (may be NULL) is borrowed. Where
 * approvals are missing a request for them is filed (CV_BUSY, with its id);
 * those that it has are used up, here and not in cv_ask_check. */
CV_MUST_USE enum cv_status cv_ask_decide(struct cv_ask *ask, const cJSON *doc,
                                         const cJSON *details,
                                         struct cv_err *err);

/* Entered. The two halves of one call: the entry as it is and as it will be;
 * neither is decided before both are found to be permitted. *other becomes the
 * second one's request. *both: it has a leaf of its own (under an `op` of its
 * own), because what permits it is to be counted, used up, or told. */
CV_MUST_USE enum cv_status
cv_ask_decide_both(struct cv_ask *ask, const cJSON *doc, struct cv_ask *other,
                   const cJSON *other_doc, const cJSON *details, bool *both,
                   struct cv_err *err);

/* Entered. Several are checked (cv_ask_check) before the first is decided: from
 * here to cv_ask_suppose_end each that was permitted counts for its limit as if
 * it had been given, so that what is left is enough for all or for none. */
void cv_ask_suppose(const struct cv_ask *ask);
void cv_ask_suppose_end(struct cv_broker *b);

/* Entered. Queues a denial that is not the policy's; `status` is why. */
CV_MUST_USE enum cv_status cv_ask_deny(struct cv_ask *ask,
                                       enum cv_status status,
                                       const cJSON *details,
                                       struct cv_err *err);

/* Entered. Queues an event about what is asked for; its number is ask->seq. */
CV_MUST_USE enum cv_status
cv_ask_event(struct cv_ask *ask, const cJSON *details, struct cv_err *err);

/* Entered or not: the same, for the next commit. */
void cv_ask_event_later(struct cv_ask *ask, enum cv_status status,
                        const cJSON *details);

/* ask.c: what policy says, by that of the last cv_broker_enter; nothing is
 * recorded, nothing used up. */

/* CV_DENIED, CV_BUSY (approvals, limits): `err` (may be NULL) says why.
 * ask->result and ask->request are filled. */
CV_MUST_USE enum cv_status cv_ask_run(struct cv_ask *ask, struct cv_err *err);

/* The same for `list`, once; then for each entry. `ask` must outlive *out. */
struct cv_ask_list;
CV_MUST_USE enum cv_status cv_ask_run_list(struct cv_ask *ask,
                                           struct cv_ask_list **out,
                                           struct cv_err *err);
bool cv_ask_list_shows(const struct cv_ask_list *list,
                       const struct cv_decide_entry *entry);
void cv_ask_list_free(struct cv_ask_list *list);

/* Is this a permit of which there are only so many, or a loud one? */
bool cv_ask_is_used_up(const struct cv_ask *ask);

/* As cv_ask_run, for `doc`. */
CV_MUST_USE enum cv_status
cv_ask_would_now(struct cv_ask *ask, const cJSON *doc, struct cv_err *err);

/* Entered. As cv_ask_decide, but a permit leaves no leaf: for the other half of
 * a decision that has one. */
CV_MUST_USE enum cv_status cv_ask_check(struct cv_ask *ask, const cJSON *doc,
                                        const cJSON *details,
                                        struct cv_err *err);

/* Entered or not. What there is, and what not, is told to nobody who may not do
 * what he asks: `s` is why the request cannot be gone on with (`err` has it),
 * or CV_OK. It is decided on `doc`, or, where that is NULL, as for an entry
 * called `name` that has nothing else (NULL: for none). CV_DENIED: that is
 * recorded and told as of one that is there. Else `s`, and `err` as it was:
 * nothing is filed, and a permit leaves no leaf. */
CV_MUST_USE enum cv_status cv_ask_tell(struct cv_ask *ask, const cJSON *doc,
                                       const char *name, enum cv_status s,
                                       struct cv_err *err);

/* Would it be permitted for `doc`? */
bool cv_ask_would(const struct cv_ask *ask, const cJSON *doc);

/* The same without a decision that would have to be recorded: by the rule that
 * gave it, or by one that neither counts, nor asks anybody, nor is loud. */
bool cv_ask_would_quietly(const struct cv_ask *ask, const cJSON *doc);

/* broker_door.c again. Decides `list`, not entered; where the permit counts for
 * a limit or uses approvals up it is recorded at once, and *recorded; else
 * cv_ask_read_permitted is for afterwards. */
CV_MUST_USE enum cv_status cv_ask_list(struct cv_ask *ask,
                                       struct cv_ask_list **out, bool *recorded,
                                       struct cv_err *err);

/* Not entered. Could policy permit this action for any entry at all, now or
 * once it is approved or counted less? A denial is recorded. */
CV_MUST_USE enum cv_status cv_ask_could(struct cv_ask *ask, struct cv_err *err);

/* Entered. Everything queued is durable when this is CV_OK. */
CV_MUST_USE enum cv_status cv_broker_commit(struct cv_broker *b,
                                            struct cv_err *err);

/* Decides a read (list, show, audit.read, policy.read): its leaf waits for the
 * next commit. Not entered. A denial is committed at once. */
CV_MUST_USE enum cv_status cv_ask_read(struct cv_ask *ask, const cJSON *doc,
                                       struct cv_err *err);

/* As cv_ask_read for a permit that was reached otherwise (a list). */
CV_MUST_USE enum cv_status cv_ask_read_permitted(struct cv_ask *ask,
                                                 struct cv_err *err);

/* Entered. Queues the outcome leaf of a permitted request: `status` CV_OK or
 * what failed. */
CV_MUST_USE enum cv_status cv_ask_outcome(struct cv_ask *ask,
                                          enum cv_status status,
                                          const cJSON *details,
                                          struct cv_err *err);

/* Not entered. The same, committed; a failure to record is not told, because
 * what happened has happened. */
void cv_ask_outcome_now(struct cv_ask *ask, enum cv_status status,
                        const cJSON *details);

/* Not entered. Keeps the outcome leaf of a permitted request for the next
 * commit, within a second: for what is asked often and was decided durably. */
void cv_ask_outcome_later(struct cv_ask *ask, enum cv_status status,
                          const cJSON *details);

/* Records a request that failed before a decision was made; `err` is what it
 * failed with and gets the leaf's number. Of a read that was permitted it is
 * the outcome. Not entered. */
void cv_ask_refused(struct cv_ask *ask, struct cv_err *err);

/* Entered. The same without the commit, for a request that is no read: where it
 * has no leaf yet, and is to have one, that is queued. `details` may be NULL.
 */
void cv_ask_refuse(struct cv_ask *ask, const cJSON *details,
                   struct cv_err *err);

/* Entered or not: an event leaf that waits for the next commit. */
void cv_broker_event(struct cv_broker *b, const char *action,
                     enum cv_status status, const cJSON *details);

/* Entered. An event that joins the next commit. */
CV_MUST_USE enum cv_status
cv_broker_event_queue(struct cv_broker *b, const char *action, const cJSON *doc,
                      const cJSON *details, struct cv_err *err);

/* Entered. An event about an entry (`doc`, may be NULL), durable. */
CV_MUST_USE enum cv_status
cv_broker_event_now(struct cv_broker *b, const char *action, const cJSON *doc,
                    const cJSON *details, struct cv_err *err);

/* Commits what waits; called when the broker has nothing else to do and at its
 * end. True while something still waits. */
bool cv_broker_flush(struct cv_broker *b, bool now);

/* What waited is committed. */
void cv_broker_forget_waiting(struct cv_broker *b);

/* Entered. Puts what waits, and is not there yet, into the log's queue; every
 * leaf that is queued and every commit does so first. */
CV_MUST_USE enum cv_status cv_broker_queue_waiting(struct cv_broker *b,
                                                   struct cv_err *err);

/* Signs a checkpoint if leaves came since the last. */
void cv_broker_checkpoint(struct cv_broker *b);

/* Entered. What was begun and cut off is told as it ended. */
CV_MUST_USE enum cv_status cv_broker_recover(struct cv_broker *b,
                                             struct cv_err *err);

/* broker_metrics.c: a decision was made, for the numbers since the start. */
void cv_broker_metrics_count(struct cv_broker *b, bool permit,
                             enum cv_action action);

/* broker_agent.c */

/* Another uid knocked at the door of an agent: it is told of in the record, the
 * first at once, then together, once a minute. */
void cv_broker_stranger(struct cv_broker *b, const struct cv_peer *peer);

/* Tells of those that are not told of yet; `now`: without waiting for the
 * minute's end. True while there are some. */
bool cv_broker_strangers(struct cv_broker *b, bool now);

/* broker_box.c: the sealed vault's key, held by the token process. */

/* Is it open? Looks whether the token process still is there. */
bool cv_broker_is_open(struct cv_broker *b);
/* CV_LOCKED where the vault must be opened first; the failure of `reply` (may
 * be NULL) then gets `slots`. */
CV_MUST_USE enum cv_status cv_broker_need_open(struct cv_broker *b,
                                               struct cv_reply *reply,
                                               struct cv_err *err);
/* Not entered; `reply` is a failure's that wants a token's PIN: the call needs
 * the vault open too. Where only tokens open it, that goes along. */
void cv_broker_open_also(struct cv_broker *b, struct cv_reply *reply);
/* What a caller may know of a slot's record. NULL when memory is gone. */
cJSON *cv_broker_slot_view(const cJSON *record);
/* Opens the box key by what `key` (a SlotSecret) is or names; *slot_id lives
 * until the next call. `reply` (may be NULL) gets what is wanted where a token
 * wants its PIN. */
CV_MUST_USE enum cv_status cv_broker_open_box(struct cv_broker *b,
                                              const cJSON *key,
                                              struct cv_reply *reply,
                                              const char **slot_id,
                                              struct cv_err *err);
CV_MUST_USE enum cv_status
cv_broker_token(struct cv_broker *b, const char *method, cJSON *parameters,
                unsigned flags, struct cv_message *reply, struct cv_err *err);

/* broker_grants.c: one live grant as `grants list` shows it. NULL when memory
 * is gone. */
cJSON *cv_broker_grant_item(const struct cv_grant *g);

/* Whose grants a GrantsRevoke of b->caller is about. */
enum cv_loop_ends cv_broker_grants_reach(struct cv_broker *b,
                                         const cJSON *parameters);

/* Whose approvals a Deny of b->caller takes away. */
enum cv_loop_ends cv_broker_deny_reach(struct cv_broker *b,
                                       const cJSON *parameters);

/* broker_entries.c */
CV_MUST_USE enum cv_status cv_broker_load_entry(struct cv_broker *b,
                                                const char *name, bool sealed,
                                                struct cv_store_entry **row,
                                                cJSON **doc,
                                                struct cv_err *err);
CV_MUST_USE enum cv_status cv_broker_split_entry(const cJSON *doc,
                                                 struct cv_buf *view,
                                                 struct cv_buf *body,
                                                 struct cv_buf *labels,
                                                 struct cv_err *err);
/* The token's parameters for the sealed key of an entry. */
cJSON *cv_broker_sealed(const struct cv_broker *b,
                        const struct cv_store_entry *row, const cJSON *doc);

/* broker_audit.c: begins a question to the record: decided, and what waits to
 * be written is in the log. */
CV_MUST_USE enum cv_status
cv_broker_audit_begin(struct cv_broker *b, const cJSON *parameters,
                      struct cv_ask *ask, const struct cv_json_field *fields,
                      size_t n, struct cv_err *err);

/* broker_index.c: brings the index of the log up to it, in steps between which
 * others are served; what was found to be damaged is told in the record.
 * CV_INTEGRITY, CV_IO: the log cannot be read. */
CV_MUST_USE enum cv_status cv_broker_index(struct cv_broker *b,
                                           struct cv_err *err);
/* Would others be served between its steps, or is there nobody else? */
bool cv_broker_index_may(struct cv_broker *b);
/* The same for a look at record `seq`, where that is far from the log's
 * beginning, and cv_broker_index_may. */
CV_MUST_USE enum cv_status cv_broker_index_for(struct cv_broker *b, int64_t seq,
                                               struct cv_err *err);
/* A question could not use the index: it is removed, and the record tells. */
void cv_broker_index_distrust(struct cv_broker *b);

/* broker_asks.c: io.certvault.Door, served to the relay alone. */
extern const struct cv_interface cv_broker_door_interface;

/* The methods, each `struct cv_method`'s run with the broker as context. */
/* A table of fields and its length, as cv_json_read takes them. */
#define CV_BROKER_FIELDS(table) (table), sizeof(table) / sizeof((table)[0])

/* `reason`, `ticket` and `break_glass` are read by cv_ask_begin; a method's own
 * table names them so that anything else is refused. */
#define CV_BROKER_ASK_FIELDS                                      \
    {"reason", CV_JSON_ANY, false, &(const cJSON *){0}, 0},       \
        {"ticket", CV_JSON_ANY, false, &(const cJSON *){0}, 0},   \
    {                                                             \
        "break_glass", CV_JSON_ANY, false, &(const cJSON *){0}, 0 \
    }

/* May it leave at all? CV_DENIED: it was not taken in so (broker_export.c). */
CV_MUST_USE enum cv_status cv_broker_check_exportable(const cJSON *doc,
                                                      struct cv_err *err);

#define CV_BROKER_METHOD(name)                                              \
    enum cv_status cv_broker_##name(void *context, const cJSON *parameters, \
                                    struct cv_reply *reply,                 \
                                    struct cv_err *err)

CV_BROKER_METHOD(hello);
CV_BROKER_METHOD(init);
CV_BROKER_METHOD(unlock);
CV_BROKER_METHOD(lock);
CV_BROKER_METHOD(lock_all);
CV_BROKER_METHOD(unlock_all);
CV_BROKER_METHOD(status);
CV_BROKER_METHOD(metrics);
CV_BROKER_METHOD(agent_status);
CV_BROKER_METHOD(agent_stop);
CV_BROKER_METHOD(prompt);
CV_BROKER_METHOD(clusters);
CV_BROKER_METHOD(fetch);
CV_BROKER_METHOD(import);
CV_BROKER_METHOD(check);
CV_BROKER_METHOD(list);
CV_BROKER_METHOD(show);
CV_BROKER_METHOD(rename);
CV_BROKER_METHOD(label);
CV_BROKER_METHOD(remove);
CV_BROKER_METHOD(pin);
CV_BROKER_METHOD(server_key);
CV_BROKER_METHOD(export);
CV_BROKER_METHOD(sign);
CV_BROKER_METHOD(use);
CV_BROKER_METHOD(use_end);
CV_BROKER_METHOD(grants);
CV_BROKER_METHOD(grants_revoke);
CV_BROKER_METHOD(keyless);
CV_BROKER_METHOD(slot_list);
CV_BROKER_METHOD(slot_add);
CV_BROKER_METHOD(slot_remove);
CV_BROKER_METHOD(slot_change);
CV_BROKER_METHOD(slot_recovery);
CV_BROKER_METHOD(token_list);
CV_BROKER_METHOD(token_objects);
CV_BROKER_METHOD(token_probe);
CV_BROKER_METHOD(token_login);
CV_BROKER_METHOD(token_change_pin);
CV_BROKER_METHOD(token_lost);
CV_BROKER_METHOD(target);
CV_BROKER_METHOD(key_find);
CV_BROKER_METHOD(adopt);
CV_BROKER_METHOD(generate);
CV_BROKER_METHOD(install);
CV_BROKER_METHOD(health);
CV_BROKER_METHOD(request);
CV_BROKER_METHOD(requests);
CV_BROKER_METHOD(approve);
CV_BROKER_METHOD(deny);
CV_BROKER_METHOD(policy_apply);
CV_BROKER_METHOD(policy_show);
CV_BROKER_METHOD(policy_explain);
CV_BROKER_METHOD(policy_diff);
CV_BROKER_METHOD(policy_who_can);
CV_BROKER_METHOD(policy_history);
CV_BROKER_METHOD(audit_query);
CV_BROKER_METHOD(audit_who);
CV_BROKER_METHOD(audit_exposure);
CV_BROKER_METHOD(audit_tail);
CV_BROKER_METHOD(audit_record);
CV_BROKER_METHOD(audit_status);
CV_BROKER_METHOD(audit_checkpoint);
CV_BROKER_METHOD(audit_key);
CV_BROKER_METHOD(audit_anchor);
CV_BROKER_METHOD(audit_anchors);
CV_BROKER_METHOD(audit_keys);
CV_BROKER_METHOD(audit_key_rotate);
CV_BROKER_METHOD(backup);
CV_BROKER_METHOD(backup_read);
CV_BROKER_METHOD(backup_end);
CV_BROKER_METHOD(audit_archive);
CV_BROKER_METHOD(audit_archive_read);
CV_BROKER_METHOD(audit_archive_end);
CV_BROKER_METHOD(destroy);
CV_BROKER_METHOD(audit_prove);
CV_BROKER_METHOD(audit_consistency);
CV_BROKER_METHOD(audit_rebuild);
CV_BROKER_METHOD(audit_export);
CV_BROKER_METHOD(audit_report);
CV_BROKER_METHOD(audit_send);
CV_BROKER_METHOD(audit_sinks);
CV_BROKER_METHOD(audit_bundle);
CV_BROKER_METHOD(audit_bundle_read);
CV_BROKER_METHOD(audit_bundle_policy);

#endif
