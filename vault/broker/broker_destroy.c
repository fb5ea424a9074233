/* Destroy: the end of a vault.
 *
 * What is in it is told first (dry_run). Keys on tokens are not destroyed here:
 * the caller removes their entries before (Remove), so that each has its own
 * record, login and recovery; one that is left, and was not said to be kept,
 * refuses the rest. Then, in this order: the decision durable, a marker that
 * cannot be taken back, the outcome and a checkpoint over it, the store and the
 * log's key overwritten and gone. Killed anywhere, the next start goes on from
 * the marker. The record stays, unless it is to go too. */
#include "vault/broker/archiving_internal.h"
#include "vault/broker/backup_internal.h"
#include "vault/broker/grant_internal.h"
#include "vault/broker/module_internal.h"

#include "vault/base/file.h"
#include "vault/broker/agent.h"
#include "vault/broker/place.h"
#include "vault/store/store_entry.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SHOWN 1000 /* names that are told; more are counted */

/* What would be lost. */
struct inventory {
    cJSON *names;      /* of all entries, the first SHOWN of them */
    cJSON *token_keys; /* {name, token_uri}: destroyed unless they are kept */
    cJSON *others;     /* {name, token_uri}: stay in any case */
    uint64_t entries, keys;
};

static bool add_key(cJSON *list, const cJSON *doc)
{
    cJSON *item = cJSON_CreateObject();

    if (!cv_json_add_str(item, "name", cv_entry_text(doc, "name")) ||
        !cv_json_add_str(item, "token_uri", cv_entry_text(doc, "token_uri")) ||
        !cJSON_AddItemToArray(list, item)) {
        cJSON_Delete(item);
        return false;
    }
    return true;
}

static enum cv_status count(void *context, const struct cv_store_entry *entry,
                            struct cv_err *err)
{
    struct inventory *in = context;
    cJSON *doc = NULL;
    bool ok = true, goes;
    enum cv_status s = cv_json_parse(
        NULL,
        (struct cv_bytes){(const uint8_t *)entry->doc, strlen(entry->doc)},
        &doc, err);

    if (s != CV_OK) {
        return s;
    }
    if (in->entries++ < SHOWN) {
        ok = cJSON_AddItemToArray(in->names, cJSON_CreateString(entry->name));
    }
    if (cv_entry_token_has(doc)) {
        goes = strcmp(cv_entry_text(doc, "provenance"), "adopted") != 0 &&
               strcmp(cv_entry_text(doc, "state"), "lost") != 0;
        in->keys += goes ? 1 : 0;
        ok = ok && add_key(goes ? in->token_keys : in->others, doc);
    }
    cJSON_Delete(doc);
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Entered. */
static enum cv_status take_stock(struct cv_broker *b, cJSON *out,
                                 struct inventory *in, struct cv_err *err)
{
    struct cv_store_filter all;
    enum cv_status s;

    in->names = cJSON_AddArrayToObject(out, "names");
    in->token_keys = cJSON_AddArrayToObject(out, "token_keys");
    in->others = cJSON_AddArrayToObject(out, "kept_keys");
    cv_store_entry_filter_init(&all);
    s = cv_store_entry_list(b->vault->store, &all, count, in, err);
    if (s == CV_OK) {
        (void)cv_json_add_str(out, "vault_id", b->vault->id);
        (void)cv_json_add_str(out, "folder", b->options->folder);
        (void)cv_json_add_int(out, "entries", (int64_t)in->entries);
        (void)cv_json_add_int(out, "records",
                              (int64_t)cv_log_size(b->vault->log));
    }
    return s;
}

static enum cv_status keys_are_left(const struct inventory *in,
                                    struct cv_err *err)
{
    enum cv_status s =
        cv_fail(err, CV_INVALID, "%llu keys of this vault are on tokens",
                (unsigned long long)in->keys);

    cv_err_state(err, "the vault is as it was");
    cv_err_hint(err, "remove their entries first (certvault rm), or keep the "
                     "keys: --keep-keys");
    return s;
}

/* Alone with it: others would go on with files that have no name. */
static enum cv_status take_alone(struct cv_broker *b, struct cv_err *err)
{
    enum cv_status s;

    if (b->options->mode == CV_BROKER_SERVICE ||
        flock(b->vault->service, LOCK_EX | LOCK_NB) == 0) {
        return CV_OK;
    }
    (void)flock(b->vault->service, LOCK_SH | LOCK_NB);
    s = cv_fail(err, CV_BUSY, "another broker has this vault open");
    cv_err_state(err, "the vault is as it was");
    cv_err_hint(err, "end it (certvault agent stop) and try again");
    return s;
}

static enum cv_status put_marker(struct cv_broker *b, bool with_record,
                                 struct cv_err *err)
{
    const char *text = with_record ? CV_VAULT_DESTROYED_WITH_RECORD
                                   : CV_VAULT_DESTROYED_BUT_RECORD;

    return cv_file_create(
        b->vault->dir, CV_VAULT_DESTROYED,
        (struct cv_bytes){(const uint8_t *)text, strlen(text)}, 0600, err);
}

/* Entered: decided, and from the marker on not to be taken back. */
static enum cv_status decide(struct cv_broker *b, struct cv_ask *ask,
                             const cJSON *details, bool with_record,
                             struct cv_err *err)
{
    enum cv_status s = cv_ask_decide(ask, NULL, details, err);

    if (s == CV_OK) {
        s = cv_broker_commit(b, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = put_marker(b, with_record, err);
    if (cv_ask_outcome(ask, s, details, NULL) == CV_OK) {
        (void)!cv_broker_commit(b, NULL);
    }
    return s;
}

/* Nobody can ask anything of it any more. */
static void close_vault(struct cv_broker *b)
{
    int dir = fcntl(b->vault->dir, F_DUPFD_CLOEXEC, 3);
    struct cv_vault *v = b->vault;

    (void)cv_broker_flush(b, true);
    cv_broker_checkpoint(b);
    cv_grant_end_all(b, "the vault was destroyed",
                     "there is no vault any more");
    cv_relay_stop(b);
    cv_module_stop_all(b);
    cv_helper_stop(&b->token);
    b->unlocked = false;
    cv_backup_drop(b);
    cv_archiving_drop(b);
    b->vault = NULL;
    (void)cv_fail(&b->unopened, CV_NOT_FOUND, "the vault was destroyed");
    cv_vault_close(v);
    if (dir != -1) {
        cv_vault_end(dir);
        (void)close(dir);
    }
    if (b->agent != NULL) {
        cv_agent_stop(b->agent);
    } else if (b->options->mode == CV_BROKER_SERVICE) {
        (void)raise(SIGTERM);
    }
}

struct wish {
    bool keep_keys, with_record, dry_run;
};

/* Entered. */
static enum cv_status run(struct cv_broker *b, struct cv_ask *ask,
                          const struct wish *w, cJSON *out, struct cv_err *err)
{
    struct inventory in = {0};
    cJSON *details = cJSON_CreateObject();
    enum cv_status s;

    (void)cv_json_add_str(details, "method", "Destroy");
    (void)cv_json_add_bool(details, "with_record", w->with_record);
    s = cv_ask_check(ask, NULL, details, err);
    if (s == CV_OK) {
        s = take_stock(b, out, &in, err);
    }
    if (s == CV_OK && !w->dry_run) {
        (void)cv_json_add_int(details, "items", (int64_t)in.entries);
        (void)cv_json_add_int(details, "keys_kept",
                              (int64_t)in.keys + cJSON_GetArraySize(in.others));
        s = in.keys > 0 && !w->keep_keys ? keys_are_left(&in, err)
                                         : take_alone(b, err);
        if (s == CV_OK) {
            s = decide(b, ask, details, w->with_record, err);
        }
    }
    cJSON_Delete(details);
    return s;
}

CV_BROKER_METHOD(destroy)
{
    struct cv_broker *b = context;
    struct wish w = {false, false, false};
    const struct cv_json_field fields[] = {
        {"keep_keys", CV_JSON_BOOL, false, &w.keep_keys, 0},
        {"with_record", CV_JSON_BOOL, false, &w.with_record, 0},
        {"dry_run", CV_JSON_BOOL, false, &w.dry_run, 0},
        CV_BROKER_ASK_FIELDS,
    };
    struct cv_ask ask;
    enum cv_status s = cv_ask_begin(b, CV_ACTION_ADMIN, parameters, &ask, err);

    if (s == CV_OK) {
        s = cv_json_read(parameters, "Destroy", CV_BROKER_FIELDS(fields), true,
                         err);
    }
    if (s == CV_OK) {
        s = cv_broker_enter(b, err);
        if (s == CV_OK) {
            s = run(b, &ask, &w, cv_reply_parameters(reply), err);
            cv_broker_leave(b);
        }
    }
    if (s != CV_OK) {
        cv_ask_refused(&ask, err);
    } else if (!w.dry_run) {
        close_vault(b);
    }
    return s;
}
