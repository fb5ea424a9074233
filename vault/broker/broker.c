#include "vault/broker/archiving_internal.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/broker_internal.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/service_internal.h"
#include "vault/broker/together_internal.h"

#include "vault/audit/checkpoint.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/manager.h"
#include "vault/base/name.h"
#include "vault/broker/agent.h"
#include "vault/broker/anchor.h"
#include "vault/broker/ending.h"
#include "vault/broker/meanwhile.h"
#include "vault/broker/naming.h"
#include "vault/broker/notify.h"
#include "vault/broker/publish.h"
#include "vault/broker/reading.h"
#include "vault/broker/room.h"
#include "vault/broker/rotate.h"
#include "vault/broker/sink.h"
#include "vault/broker/tally.h"
#include "vault/wire/interface.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHECKPOINT_MS 1000

static const struct cv_method methods[] = {
    {"Hello", cv_broker_hello, false},
    {"Init", cv_broker_init, true},
    {"Unlock", cv_broker_unlock, true},
    {"Lock", cv_broker_lock, false},
    {"LockAll", cv_broker_lock_all, false},
    {"UnlockAll", cv_broker_unlock_all, false},
    {"Status", cv_broker_status, false},
    {"Metrics", cv_broker_metrics, false},
    {"AgentStatus", cv_broker_agent_status, false},
    {"AgentStop", cv_broker_agent_stop, false},
    {"Prompt", cv_broker_prompt, false},
    {"Clusters", cv_broker_clusters, true},
    {"Fetch", cv_broker_fetch, true},
    {"Import", cv_broker_import, false},
    {"Check", cv_broker_check, false},
    {"List", cv_broker_list, false},
    {"Show", cv_broker_show, false},
    {"Rename", cv_broker_rename, false},
    {"Label", cv_broker_label, false},
    {"Remove", cv_broker_remove, false},
    {"Pin", cv_broker_pin, false},
    {"ServerKey", cv_broker_server_key, false},
    {"Export", cv_broker_export, true},
    {"Sign", cv_broker_sign, false},
    {"Use", cv_broker_use, true},
    {"UseEnd", cv_broker_use_end, false},
    {"Grants", cv_broker_grants, false},
    {"GrantsRevoke", cv_broker_grants_revoke, false},
    {"Keyless", cv_broker_keyless, false},
    {"SlotList", cv_broker_slot_list, false},
    {"SlotAdd", cv_broker_slot_add, true},
    {"SlotRemove", cv_broker_slot_remove, false},
    {"SlotChange", cv_broker_slot_change, true},
    {"SlotRecovery", cv_broker_slot_recovery, true},
    {"TokenList", cv_broker_token_list, false},
    {"TokenObjects", cv_broker_token_objects, false},
    {"TokenProbe", cv_broker_token_probe, false},
    {"TokenLogin", cv_broker_token_login, true},
    {"TokenLost", cv_broker_token_lost, false},
    {"Target", cv_broker_target, false},
    {"KeyFind", cv_broker_key_find, false},
    {"Adopt", cv_broker_adopt, false},
    {"Generate", cv_broker_generate, false},
    {"Install", cv_broker_install, false},
    {"Health", cv_broker_health, false},
    {"TokenChangePin", cv_broker_token_change_pin, true},
    {"Request", cv_broker_request, false},
    {"Requests", cv_broker_requests, false},
    {"Approve", cv_broker_approve, false},
    {"Deny", cv_broker_deny, false},
    {"PolicyApply", cv_broker_policy_apply, false},
    {"PolicyShow", cv_broker_policy_show, false},
    {"PolicyExplain", cv_broker_policy_explain, false},
    {"PolicyDiff", cv_broker_policy_diff, false},
    {"PolicyWhoCan", cv_broker_policy_who_can, false},
    {"PolicyHistory", cv_broker_policy_history, false},
    {"AuditQuery", cv_broker_audit_query, false},
    {"AuditWho", cv_broker_audit_who, false},
    {"AuditExposure", cv_broker_audit_exposure, false},
    {"AuditTail", cv_broker_audit_tail, false},
    {"AuditRecord", cv_broker_audit_record, false},
    {"AuditStatus", cv_broker_audit_status, false},
    {"AuditCheckpoint", cv_broker_audit_checkpoint, false},
    {"AuditKey", cv_broker_audit_key, false},
    {"AuditAnchor", cv_broker_audit_anchor, false},
    {"AuditAnchors", cv_broker_audit_anchors, false},
    {"AuditKeys", cv_broker_audit_keys, false},
    {"AuditKeyRotate", cv_broker_audit_key_rotate, false},
    {"Backup", cv_broker_backup, false},
    {"BackupRead", cv_broker_backup_read, false},
    {"BackupEnd", cv_broker_backup_end, false},
    {"Destroy", cv_broker_destroy, false},
    {"AuditProve", cv_broker_audit_prove, false},
    {"AuditConsistency", cv_broker_audit_consistency, false},
    {"AuditRebuild", cv_broker_audit_rebuild, false},
    {"AuditArchive", cv_broker_audit_archive, false},
    {"AuditArchiveRead", cv_broker_audit_archive_read, false},
    {"AuditArchiveEnd", cv_broker_audit_archive_end, false},
    {"AuditReport", cv_broker_audit_report, false},
    {"AuditExport", cv_broker_audit_export, false},
    {"AuditSend", cv_broker_audit_send, false},
    {"AuditSinks", cv_broker_audit_sinks, false},
    {"AuditBundle", cv_broker_audit_bundle, false},
    {"AuditBundleRead", cv_broker_audit_bundle_read, false},
    {"AuditBundlePolicy", cv_broker_audit_bundle_policy, false},
};

static const struct cv_interface broker_interface = {
    .name = CV_INTERFACE_BROKER,
    .description = cv_interface_broker,
    .methods = methods,
    .n_methods = sizeof(methods) / sizeof(methods[0]),
};

/* Which of our methods it is; NULL: none of them. */
static const char *method_of(const struct cv_caller *caller,
                             const struct cv_message *request)
{
    const char *full = cv_entry_text(request->tree, "method");
    const size_t len = strlen(CV_INTERFACE_BROKER ".");

    if (caller->iface != NULL ||
        strncmp(full, CV_INTERFACE_BROKER ".", len) != 0) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(full + len, methods[i].name) == 0) {
            return methods[i].name;
        }
    }
    return NULL;
}

static void *enter(void *context, struct cv_caller *caller,
                   const struct cv_message *request)
{
    struct cv_broker *b = context;

    b->caller = caller;
    b->method = method_of(caller, request);
    if (b->agent != NULL) {
        cv_agent_asked(b->agent);
    }
    b->intake.caller = cv_channel_fd(caller->channel);
    return b;
}

static bool waits(void *context, const struct cv_caller *caller,
                  const struct cv_message *request)
{
    (void)context;
    return cv_broker_together_waits(caller, request);
}

static void together(void *context, struct cv_loop_request *requests, size_t n)
{
    cv_broker_together(context, requests, n);
}

/* Whoever is told that it is ready may end it at once. */
static void begun(void *context, struct cv_loop *loop)
{
    struct cv_broker *b = context;

    b->loop = loop;
    if (b->options->ready != NULL) {
        b->options->ready(b->options->ready_context);
    }
}

/* An agent or a private broker serves its own user alone; the service serves
 * everyone, as its policy says. */
static bool admits(void *context, const struct cv_peer *peer)
{
    struct cv_broker *b = context;

    if (b->options->mode == CV_BROKER_SERVICE) {
        return true;
    }
    if (peer->uid != geteuid()) {
        cv_broker_stranger(b, peer);
        return false;
    }
    return b->agent == NULL || cv_agent_is_whole(b->agent);
}

static void left(void *context, struct cv_caller *caller)
{
    struct cv_broker *b = context;

    cv_prompt_left(&b->prompt, caller);
    cv_relay_left(b, caller);
    cv_grant_left(b, caller);
    cv_backup_left(b, caller);
    cv_archiving_left(b, caller);
    cv_reading_left(caller);
}

static int64_t rest(void *context, size_t n_callers)
{
    struct cv_broker *b = context;

    if (cv_spawner_look(b->spawner)) {
        return 0;
    }
    return b->agent != NULL ? cv_agent_rest(b->agent, n_callers)
                            : cv_service_rest();
}

static void watched(void *context)
{
    struct cv_broker *b = context;

    if (b->agent != NULL) {
        cv_agent_watched(b->agent);
    } else {
        cv_service_watched(b);
    }
}

/* A broker that stays signs a checkpoint within a second of a leaf; a private
 * one at its end. */
static bool checkpoint_due(struct cv_broker *b)
{
    return b->options->mode != CV_BROKER_EXEC && b->vault != NULL &&
           b->vault->log != NULL && cv_log_alive(b->vault->log) &&
           cv_log_size(b->vault->log) != b->checkpoint_size;
}

static bool idle(void *context)
{
    struct cv_broker *b = context;
    bool busy;

    b->caller = NULL;
    b->method = NULL;
    b->intake.caller = -1;
    cv_service_tick();
    /* What was told meanwhile is recorded and handed on; nothing else is
     * touched. */
    if (cv_loop_is_held(b->loop)) {
        busy = cv_sink_tick(b);
        return cv_broker_flush(b, false) || busy;
    }
    cv_relay_tick(b);
    busy = cv_grant_tick(b);
    cv_freeze_tick(b);
    busy = cv_freeze_write(b) || busy;
    busy = cv_broker_strangers(b, false) || busy;
    busy = cv_notify_tick(b) || busy;
    busy = cv_publish_tick(b) || busy;
    busy = cv_room_tick(b) || busy;
    busy = cv_denials_tick(b, false) || busy;
    busy = cv_broker_flush(b, false) || busy;
    if (checkpoint_due(b)) {
        if (cv_clock_boot_ms() - b->checkpoint_ms < CHECKPOINT_MS) {
            return true;
        }
        cv_broker_checkpoint(b);
        busy = busy || cv_signer_waits(b);
    }
    return busy;
}

static enum cv_status sign(struct cv_broker *b, const struct cv_buf *text,
                           struct cv_buf *lines, struct cv_err *err)
{
    const int64_t begun_ms = cv_clock_boot_ms();
    enum cv_status s = cv_rotate_sign(b, text, lines, err);

    cv_signer_ended(b, s, err, cv_clock_boot_ms() - begun_ms);
    return s;
}

void cv_broker_checkpoint(struct cv_broker *b)
{
    struct cv_err err;
    struct cv_buf text, lines;
    enum cv_status s;

    cv_err_init(&err);
    if (b->vault == NULL || b->vault->log == NULL ||
        !cv_log_alive(b->vault->log) || cv_anchor_is_split(b) ||
        !cv_signer_may(b)) {
        return;
    }
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&lines, NULL, CV_LIMIT_NOTE);
    b->checkpoint_ms = cv_clock_boot_ms();
    s = cv_vault_enter(b->vault, &err);
    if (s == CV_OK) {
        b->checkpoint_size = cv_log_size(b->vault->log);
        s = cv_checkpoint_begin(b->vault->log, &text, &err);
        cv_vault_leave(b->vault);
    }
    if (s == CV_OK && text.len > 0) {
        s = sign(b, &text, &lines, &err);
        if (s == CV_OK) {
            s = cv_vault_enter(b->vault, &err);
        } else {
            b->checkpoint_size = UINT64_MAX; /* it is still due */
        }
        if (s == CV_OK) {
            s = cv_checkpoint_finish(b->vault->log, cv_buf_bytes(&text),
                                     cv_buf_text(&lines), &err);
            if (s == CV_OK && b->vault->rotating) {
                s = cv_rotate_look(b->vault, &err);
            }
            cv_vault_leave(b->vault);
        }
        if (s == CV_OK) {
            cv_publish_stored(b);
        }
    }
    cv_buf_wipe(&lines);
    cv_buf_wipe(&text);
}

/* At a private broker's end: the leaves that wait and the checkpoint over them,
 * in one go, with the lock held; a token is not waited for so. False where that
 * is not to be done, or failed. */
static bool commit_last(struct cv_broker *b)
{
    struct cv_buf text, lines;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    if (b->n_waiting == 0 || b->vault == NULL || cv_anchor_is_split(b) ||
        !cv_signer_may(b) || cv_broker_enter(b, &err) != CV_OK) {
        return false;
    }
    if (cv_signer_is_slow(b)) {
        cv_broker_leave(b);
        return false;
    }
    cv_buf_init(&text, NULL, CV_LIMIT_NOTE);
    cv_buf_init(&lines, NULL, CV_LIMIT_NOTE);
    s = cv_broker_queue_waiting(b, &err);
    if (s == CV_OK) {
        s = cv_checkpoint_begin(b->vault->log, &text, &err);
    }
    if (s == CV_OK) {
        s = cv_rotate_sign(b, &text, &lines, &err);
    }
    /* It is not needed any more, and may end while the disk is waited for. */
    cv_helper_stop(&b->token);
    if (s == CV_OK) {
        s = cv_checkpoint_commit(b->vault->log, cv_buf_bytes(&text),
                                 cv_buf_text(&lines), &err);
    }
    if (s == CV_OK && b->vault->rotating) {
        (void)!cv_rotate_look(b->vault, &err);
    }
    if (s == CV_OK) {
        cv_broker_forget_waiting(b);
    }
    cv_broker_leave(b);
    if (s == CV_OK) {
        cv_publish_stored(b);
    }
    cv_buf_wipe(&lines);
    cv_buf_wipe(&text);
    return s == CV_OK;
}

/* The host's name goes into every leaf: what could not be printed does not. */
static void read_host(struct cv_broker *b)
{
    char name[65] = "";

    (void)gethostname(name, sizeof(name) - 1);
    (void)cv_err_quote(b->host, sizeof(b->host), name, strlen(name));
    if (b->host[0] == '\0') {
        memcpy(b->host, "unknown", 8);
    }
}

/* What is in the way of a folder that is to be made is not "no vault". */
static enum cv_status open_folder(struct cv_broker *b, struct cv_err *err)
{
    const struct cv_broker_options *o = b->options;
    enum cv_status s;

    if (!o->create) {
        return cv_file_open_folder(o->folder, &b->folder, err);
    }
    s = cv_file_make_folder(o->folder, &b->folder, err);
    if (s != CV_OK) {
        cv_err_state(err, "no vault was made");
    }
    return s == CV_NOT_FOUND ? err->status = CV_IO : s;
}

/* Opens the vault, or keeps the folder for `init` where there is none. */
static enum cv_status open_vault(struct cv_broker *b, struct cv_err *err)
{
    const struct cv_broker_options *o = b->options;
    struct cv_err missing;
    int dir;
    enum cv_status s;

    cv_err_init(&missing);
    s = open_folder(b, &missing);
    if (s == CV_OK) {
        dir = dup(b->folder);
        s = cv_vault_open(o->folder, dir,
                          o->mode == CV_BROKER_SERVICE ? o->socket_path : NULL,
                          &b->vault, &missing);
    }
    if (s == CV_NOT_FOUND && o->mode == CV_BROKER_EXEC) {
        return CV_OK;
    }
    if (s == CV_OK) {
        cv_file_close(&b->folder);
        if (o->mode != CV_BROKER_EXEC) {
            cv_vault_stay(b->vault);
        }
        s = cv_broker_enter(b, &missing);
        if (s == CV_OK) {
            s = cv_broker_recover(b, &missing);
            /* That its checkpoint is gone is told by whoever opens it. */
            if (s == CV_OK && cv_log_is_bare(b->vault->log)) {
                s = cv_broker_commit(b, &missing);
            }
            cv_broker_leave(b);
        }
        if (s == CV_OK) {
            s = cv_anchor_open(b, &missing);
        }
    }
    /* A private broker tells its one caller in answer to Hello. */
    if (s != CV_OK && o->mode == CV_BROKER_EXEC) {
        b->unopened = missing;
        cv_vault_close(b->vault);
        b->vault = NULL;
        return CV_OK;
    }
    if (s != CV_OK && err != NULL) {
        *err = missing;
    }
    return s;
}

/* For many connections; nothing raises a limit from within the sandbox. */
static void more_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum cv_status lock_down(struct cv_broker *b, struct cv_err *err)
{
    /* An agent's socket is removed at its end. */
    const bool own = b->agent != NULL && b->options->agent->runtime != -1;
    struct cv_sandbox_folder folders[4] = {
        {.path = b->options->folder, .fd = -1, .writable = true},
        {.path = "/proc", .fd = -1, .writable = false},
    };
    size_t n = 2;

    if (b->options->mode == CV_BROKER_SERVICE) {
        more_files();
    }
    if (own) {
        folders[n++] = (struct cv_sandbox_folder){
            .fd = b->options->agent->runtime, .writable = true};
    }
    if (b->logins != -1) {
        folders[n++] =
            (struct cv_sandbox_folder){.fd = b->logins, .writable = true};
    }
    return cv_sandbox_enter(CV_SANDBOX_BROKER, folders, n, &b->sandbox, err);
}

int cv_broker_logins(const struct cv_broker *b)
{
    return b->logins != -1    ? b->logins
           : b->vault != NULL ? b->vault->dir
                              : b->folder;
}

static void open_logins(struct cv_broker *b)
{
    if (b->options->logins == NULL ||
        cv_file_make_folder(b->options->logins, &b->logins, NULL) != CV_OK) {
        b->logins = -1;
    }
}

/* A service that has a key and cannot use it is not one. */
static enum cv_status open_at_start(struct cv_broker *b, struct cv_err *err)
{
    const struct cv_broker_service *service = b->options->service;

    b->freeze.fresh = false; /* nothing is open yet, and stays so */
    return service != NULL && service->has_key && !b->freeze.is
               ? cv_service_open(b, err)
               : CV_OK;
}

static enum cv_status serve(struct cv_broker *b, int *listener,
                            struct cv_err *err)
{
    const struct cv_loop_hooks hooks = {
        .iface = &broker_interface,
        .begun = begun,
        .enter = enter,
        .shared = b->options->mode == CV_BROKER_SERVICE,
        .admits = admits,
        .waits = waits,
        .together = together,
        .meanwhile = cv_meanwhile_may,
        .beside = cv_meanwhile_may_beside,
        .ends = cv_ending_reach,
        .gives = cv_meanwhile_gives,
        .idle = idle,
        .left = left,
        .rest = rest,
        .watched = watched,
        .watch =
            b->agent != NULL ? cv_agent_watch(b->agent) : cv_service_watch(b),
        .lifeline = cv_spawner_lifeline(b->spawner),
        .context = b,
    };
    enum cv_status s;

    (void)cv_room_tick(b);
    s = cv_loop_run(&hooks, b->options->socket, *listener, err);
    if (s == CV_OK && cv_spawner_look(b->spawner)) {
        s = cv_fail(err, CV_UNAVAILABLE,
                    "the process that starts the helpers was killed");
        cv_err_state(err, "the broker ended; what it held open is closed");
        cv_err_hint(err, "start it again");
    }
    cv_manager_stopping();
    b->loop = NULL;
    b->relay.asks = NULL;
    /* Whoever comes from now on finds nobody and starts another. */
    b->caller = NULL;
    cv_grant_end_all(b, "the broker has ended", "run the command again");
    cv_relay_stop(b);
    (void)cv_denials_tick(b, true);
    if (b->agent != NULL) {
        cv_file_close(listener);
        cv_agent_end(b->agent);
        (void)cv_broker_strangers(b, true);
    }
    if (b->options->mode != CV_BROKER_EXEC || !commit_last(b)) {
        (void)cv_broker_flush(b, true);
        cv_broker_checkpoint(b);
    }
    cv_publish_end(b);
    return s;
}

static void broker_free(struct cv_broker *b)
{
    cv_service_end(b);
    cv_sink_end(b);
    cv_backup_drop(b);
    cv_archiving_drop(b);
    cv_relay_free(b);
    cv_grant_drop_all(&b->grants);
    cv_module_stop_all(b);
    cv_helper_stop(&b->token);
    cv_helper_stop(&b->intake);
    cv_helper_stop(&b->names);
    cv_notify_end(b);
    cv_spawner_free(b->spawner);
    cv_tally_free(b->tally);
    cv_policy_free(b->policy);
    cv_agent_free(b->agent);
    cv_denials_free(b->denials);
    cv_naming_free(b->naming);
    cv_vault_close(b->vault);
    cv_file_close(&b->folder);
    cv_file_close(&b->logins);
    for (size_t i = 0; i < b->n_waiting; i++) {
        cJSON_Delete(b->waiting[i]);
    }
    free(b);
}

/* The socket that it serves, unless one came along. */
static enum cv_status listen_at(struct cv_broker *b, int *listener,
                                struct cv_err *err)
{
    const struct cv_broker_options *o = b->options;
    enum cv_status s = CV_OK;

    if (o->agent != NULL && o->agent->listener != -1) {
        *listener = o->agent->listener;
    } else if (o->service != NULL && o->service->listener != -1) {
        *listener = o->service->listener;
    } else if (o->socket_path != NULL) {
        s = cv_loop_listen(o->socket_path, o->socket_mode, listener, err);
        if (s == CV_OK && o->service != NULL) {
            s = cv_service_give_socket(b, err);
        }
    }
    if (s == CV_OK && o->agent != NULL && b->vault != NULL) {
        s = cv_agent_new(o->agent, o->folder, b->vault->dir, &b->agent, err);
    }
    return s;
}

enum cv_status cv_broker_run(const struct cv_broker_options *o,
                             struct cv_err *err)
{
    struct cv_broker *b = calloc(1, sizeof(*b));
    int listener = -1;
    enum cv_status s;

    if (b == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    b->options = o;
    b->iface = &broker_interface;
    b->folder = -1;
    open_logins(b);
    read_host(b);
    cv_leaf_new_op(b->held_login);
    s = cv_service_begin(b, err);
    if (s == CV_OK) {
        s = cv_spawner_start(&o->programs, &b->spawner, err);
    }
    b->token = (struct cv_helper){b->spawner, CV_SPAWNER_TOKEN, NULL, -1, 0};
    b->intake = (struct cv_helper){b->spawner, CV_SPAWNER_INTAKE, NULL, -1, 0};
    b->names = (struct cv_helper){b->spawner, CV_SPAWNER_NAMES, NULL, -1, 0};
    b->settings =
        (struct cv_helper){b->spawner, CV_SPAWNER_SETTINGS, NULL, -1, 0};
    /* Every command names its caller in the record and has a checkpoint signed
     * at its end: both start while the vault is opened. */
    if (s == CV_OK && o->mode != CV_BROKER_SERVICE) {
        cv_spawner_prepare(b->spawner, CV_SPAWNER_TOKEN);
        cv_spawner_prepare(b->spawner, CV_SPAWNER_NAMES);
    }
    if (s == CV_OK) {
        s = open_vault(b, err);
    }
    if (s == CV_OK) {
        s = listen_at(b, &listener, err);
    }
    if (s == CV_OK) {
        s = lock_down(b, err);
    }
    if (s == CV_OK) {
        s = cv_service_read(b, err);
    }
    if (s == CV_OK) {
        s = open_at_start(b, err);
    }
    if (s == CV_OK) {
        s = serve(b, &listener, err);
    }
    if (listener != -1 && (o->service == NULL || o->service->listener == -1)) {
        (void)unlink(o->socket_path);
    }
    cv_file_close(&listener);
    broker_free(b);
    return s;
}
