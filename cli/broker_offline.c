#include "cli/broker_offline.h"

#include "cli/broker_config.h"
#include "cli/policy_offline.h"

#include "policy/cases.h"
#include "policy/policy.h"
#include "vault/audit/bundle.h"
#include "vault/audit/tlogproof.h"
#include "vault/audit/verify.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"
#include "vault/base/process.h"
#include "vault/base/sandbox.h"
#include "vault/broker/restore.h"
#include "vault/store/store.h"
#include "vault/wire/interface.h"
#include "vault/wire/serve.h"
#include "vault/yaml/yaml.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PEEKS 8         /* at a store that is being written */
#define PROGRESS_MS 100 /* between two answers that say how far it is */
/* A log's key and its witnesses'. */
#define PROOF_KEYS 16

#define FIELDS(table) (table), sizeof(table) / sizeof((table)[0])

static struct cv_bytes bytes_of(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

/* The place of an error, shown, goes along with it. */
static void add_excerpt(struct cv_reply *reply, const char *text,
                        const struct cv_policy_notes *notes)
{
    struct cv_buf excerpt;

    if (notes->error_line == 0) {
        return;
    }
    cv_buf_init(&excerpt, NULL, CV_KIB(4));
    cv_policy_render(bytes_of(text), notes->error_line, notes->error_column,
                     &excerpt);
    (void)cv_json_add_str(cv_reply_failure(reply), "excerpt",
                          cv_buf_text(&excerpt));
    cv_buf_wipe(&excerpt);
}

/* A policy with its zones, which this program reads from the system. */
static enum cv_status load(struct cv_reply *reply, const char *text,
                           struct cv_policy **out,
                           struct cv_policy_notes *notes, struct cv_err *err)
{
    cJSON *zones = NULL;
    enum cv_status s = cv_policy_parse(bytes_of(text), out, notes, err);

    if (s != CV_OK) {
        add_excerpt(reply, text, notes);
        return s;
    }
    s = cv_policy_read_zones(*out, CV_POLICY_ZONE_FOLDER, &zones, notes, err);
    if (s == CV_OK) {
        s = cv_policy_set_zones(*out, zones, err);
    }
    cJSON_Delete(zones);
    if (s != CV_OK) {
        add_excerpt(reply, text, notes);
        cv_policy_free(*out);
        *out = NULL;
    }
    return s;
}

static enum cv_status policy_check(void *context, const cJSON *parameters,
                                   struct cv_reply *reply, struct cv_err *err)
{
    const char *text = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_LIMIT_POLICY},
    };
    struct cv_policy_notes notes = {0};
    struct cv_policy *policy = NULL;
    cJSON *out = cv_reply_parameters(reply), *warnings;
    enum cv_status s =
        cv_json_read(parameters, "PolicyCheck", FIELDS(fields), true, err);

    (void)context;
    if (s == CV_OK) {
        s = load(reply, text, &policy, &notes, err);
    }
    if (s == CV_OK) {
        (void)cv_json_add_item(out, "policy", cv_policy_describe(policy));
        warnings = cJSON_AddArrayToObject(out, "warnings");
        for (size_t i = 0; i < notes.n_warnings && i < CV_POLICY_NOTES; i++) {
            char line[CV_POLICY_NOTE_LEN + 32];

            if (notes.warnings[i].line > 0) {
                (void)snprintf(line, sizeof(line), "line %u: %s",
                               notes.warnings[i].line, notes.warnings[i].text);
            } else {
                (void)snprintf(line, sizeof(line), "%s",
                               notes.warnings[i].text);
            }
            (void)cJSON_AddItemToArray(warnings, cJSON_CreateString(line));
        }
    }
    cv_policy_free(policy);
    return s;
}

static enum cv_status policy_test(void *context, const cJSON *parameters,
                                  struct cv_reply *reply, struct cv_err *err)
{
    const char *text = NULL, *cases = NULL;
    const struct cv_json_field fields[] = {
        {"policy", CV_JSON_TEXT, true, &text, CV_LIMIT_POLICY},
        {"cases", CV_JSON_TEXT, true, &cases, CV_LIMIT_POLICY},
    };
    struct cv_policy_notes notes = {0};
    struct cv_policy *policy = NULL;
    cJSON *result = NULL, *item;
    enum cv_status s =
        cv_json_read(parameters, "PolicyTest", FIELDS(fields), true, err);

    (void)context;
    if (s == CV_OK) {
        s = load(reply, text, &policy, &notes, err);
        if (s != CV_OK) {
            (void)cv_json_add_str(cv_reply_failure(reply), "of", "policy");
        }
    }
    if (s == CV_OK) {
        memset(&notes, 0, sizeof(notes));
        s = cv_cases_run(policy, bytes_of(cases), cv_clock_now_s(), &result,
                         &notes, err);
        if (s != CV_OK) {
            add_excerpt(reply, cases, &notes);
            (void)cv_json_add_str(cv_reply_failure(reply), "of", "cases");
        }
    }
    while (s == CV_OK && (item = result->child) != NULL) {
        (void)cJSON_DetachItemViaPointer(result, item);
        (void)cJSON_AddItemToObject(cv_reply_parameters(reply), item->string,
                                    item);
    }
    cJSON_Delete(result);
    cv_policy_free(policy);
    return s;
}

/* The line of each value, in the order of cv_config_schema_place. */
static bool add_lines(const cJSON *node, const struct cv_yaml_marks *marks,
                      cJSON *lines)
{
    const cJSON *item;
    bool ok = true;

    cJSON_ArrayForEach(item, node)
    {
        ok = ok &&
             cJSON_AddItemToArray(
                 lines,
                 cJSON_CreateNumber(cv_yaml_marks_key(marks, item).line)) &&
             add_lines(item, marks, lines);
    }
    return ok;
}

static enum cv_status config_read(void *context, const cJSON *parameters,
                                  struct cv_reply *reply, struct cv_err *err)
{
    const char *text = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_LIMIT_YAML_FILE},
    };
    cJSON *out = cv_reply_parameters(reply), *config = NULL;
    struct cv_yaml_marks *marks = NULL;
    enum cv_status s =
        cv_json_read(parameters, "ConfigRead", FIELDS(fields), true, err);

    (void)context;
    if (s == CV_OK) {
        s = cv_broker_config_parse(bytes_of(text), false, &config, &marks, err);
    }
    if (s == CV_OK &&
        (!add_lines(config, marks, cJSON_AddArrayToObject(out, "lines")) ||
         !cv_json_add_item(out, "config", config))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_yaml_marks_free(marks);
    return s;
}

/* The keys of `list`, the log's first. */
static enum cv_status read_keys(const cJSON *list,
                                struct cv_note_key keys[PROOF_KEYS], size_t *n,
                                struct cv_err *err)
{
    const cJSON *item;
    enum cv_status s = CV_OK;

    *n = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (*n == PROOF_KEYS || !cJSON_IsString(item)) {
            return cv_fail(err, CV_USAGE, "at most %d keys", PROOF_KEYS);
        }
        s = cv_note_key_parse(item->valuestring, &keys[(*n)++], err);
        if (s != CV_OK) {
            return s;
        }
    }
    return *n > 0 ? CV_OK : cv_fail(err, CV_USAGE, "no key was given");
}

/* What was proved, where the caller has not seen it. In the log of another it
 * may be anything. */
static enum cv_status add_leaf(const struct cv_buf *leaf, cJSON *out,
                               struct cv_err *err)
{
    cJSON *tree = NULL;

    if (cv_json_parse(NULL, cv_buf_bytes(leaf), &tree, NULL) != CV_OK) {
        return CV_OK;
    }
    return cv_json_add_item(out, "leaf", tree)
               ? CV_OK
               : cv_fail(err, CV_INTERNAL, "memory is gone");
}

static enum cv_status proof_verify(void *context, const cJSON *parameters,
                                   struct cv_reply *reply, struct cv_err *err)
{
    const char *proof = NULL, *record = NULL;
    const cJSON *list = NULL;
    const struct cv_json_field fields[] = {
        {"proof", CV_JSON_TEXT, true, &proof, CV_LIMIT_PROOF},
        {"record", CV_JSON_TEXT, false, &record, CV_LIMIT_LEAF + 1},
        {"keys", CV_JSON_ARRAY, true, &list, 0},
    };
    struct cv_note_key keys[PROOF_KEYS];
    struct cv_checkpoint at;
    struct cv_buf leaf;
    size_t n = 0;
    uint64_t index = 0;
    enum cv_status s =
        cv_json_read(parameters, "ProofVerify", FIELDS(fields), true, err);

    (void)context;
    cv_buf_init(&leaf, NULL, CV_LIMIT_PROOF);
    if (s == CV_OK) {
        s = read_keys(list, keys, &n, err);
    }
    if (s == CV_OK && record != NULL) {
        cv_buf_add_str(&leaf, record);
        s = cv_buf_status(&leaf, "the record", err);
    } else if (s == CV_OK) {
        s = cv_tlogproof_record(bytes_of(proof), &leaf, err);
    }
    if (s == CV_OK) {
        s = cv_tlogproof_check(bytes_of(proof), cv_buf_bytes(&leaf), keys, n,
                               &at, &index, err);
    }
    if (s == CV_OK) {
        cJSON *out = cv_reply_parameters(reply);

        if (!cv_json_add_int(out, "index", (int64_t)index) ||
            !cv_json_add_int(out, "size", (int64_t)at.size) ||
            !cv_json_add_str(out, "origin", at.origin)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    if (s == CV_OK && record == NULL) {
        s = add_leaf(&leaf, cv_reply_parameters(reply), err);
    }
    cv_buf_wipe(&leaf);
    return s;
}

/* Where a verification's progress goes to. */
struct telling {
    struct cv_reply *reply;
    int64_t told_ms;
};

static void tell_progress(void *context, const struct cv_verify_progress *now)
{
    struct telling *t = context;
    cJSON *out = cv_reply_parameters(t->reply);

    if (cv_clock_boot_ms() - t->told_ms < PROGRESS_MS) {
        return;
    }
    t->told_ms = cv_clock_boot_ms();
    if (cv_json_add_int(out, "records", (int64_t)now->records) &&
        cv_json_add_int(out, "percent", (int64_t)(now->at * 100 / now->end))) {
        (void)!cv_reply_continue(t->reply, NULL);
    }
}

/* Descriptor 4 is its folder. */
static enum cv_status bundle_verify(void *context, const cJSON *parameters,
                                    struct cv_reply *reply, struct cv_err *err)
{
    struct cv_bundle_options options = {0};
    struct cv_note_key keys[PROOF_KEYS];
    const char *note = NULL;
    const cJSON *witnesses = NULL;
    const struct cv_json_field fields[] = {
        {"key", CV_JSON_STRING, false, &options.vkey, CV_LIMIT_NOTE},
        {"checkpoint", CV_JSON_TEXT, false, &note, CV_LIMIT_NOTE},
        {"witnesses", CV_JSON_ARRAY, false, &witnesses, 0},
    };
    cJSON *report = NULL;
    enum cv_status s =
        cv_json_read(parameters, "BundleVerify", FIELDS(fields), true, err);

    (void)context;
    if (s == CV_OK && cJSON_GetArraySize(witnesses) > 0) {
        s = read_keys(witnesses, keys, &options.n_witnesses, err);
        options.witnesses = keys;
    }
    if (s == CV_OK) {
        if (note != NULL) {
            options.checkpoint = bytes_of(note);
        }
        s = cv_bundle_check(CV_PROCESS_EXTRA, &options, &report, err);
    }
    if (s == CV_OK &&
        !cv_json_add_item(cv_reply_parameters(reply), "report", report)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

/* What the caller found at the log's anchors. */
struct places {
    struct cv_verify_place at[CV_VERIFY_PLACES];
    struct cv_buf text[CV_VERIFY_PLACES];
    size_t n;
};

static enum cv_status read_place(const cJSON *item, struct places *all,
                                 struct cv_err *err)
{
    struct cv_verify_place *p = &all->at[all->n];
    struct cv_buf *text = &all->text[all->n];
    const char *base64 = NULL;
    const struct cv_json_field fields[] = {
        {"kind", CV_JSON_STRING, true, &p->kind, 16},
        {"place", CV_JSON_STRING, true, &p->place, CV_LIMIT_ANCHOR},
        {"text", CV_JSON_STRING, false, &base64, 2 * CV_LIMIT_NOTE},
        {"unread", CV_JSON_STRING, false, &p->unread, CV_LIMIT_NOTE},
    };
    enum cv_status s =
        all->n == CV_VERIFY_PLACES
            ? cv_fail(err, CV_USAGE, "at most %d anchors", CV_VERIFY_PLACES)
            : cv_json_read(item, "an anchor", FIELDS(fields), true, err);

    if (s != CV_OK) {
        return s;
    }
    cv_buf_init(text, NULL, CV_LIMIT_NOTE);
    all->n++;
    if (base64 != NULL) {
        s = cv_decode_base64(base64, strlen(base64), false, "text", text, err);
    }
    p->text = cv_buf_bytes(text);
    return s;
}

static enum cv_status read_places(const cJSON *list, struct places *all,
                                  struct cv_err *err)
{
    const cJSON *item;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(item, list)
    {
        if (s == CV_OK) {
            s = read_place(item, all, err);
        }
    }
    return s;
}

static void wipe_places(struct places *all)
{
    for (size_t i = 0; i < all->n; i++) {
        cv_buf_wipe(&all->text[i]);
    }
}

/* The log's key as vault.db has it, where the log lies beside one that can be
 * read: a log of another vault is whole, too. */
static const char *store_key(struct cv_buf *room)
{
    enum cv_status s = CV_BUSY;

    cv_buf_init(room, NULL, CV_LIMIT_NOTE);
    for (int i = 0; s == CV_BUSY && i < PEEKS; i++) {
        cv_buf_wipe(room);
        s = cv_store_peek(CV_PROCESS_EXTRA, "log_key", room, NULL);
    }
    return s == CV_OK ? cv_buf_text(room) : NULL;
}

static enum cv_status audit_verify(void *context, const cJSON *parameters,
                                   struct cv_reply *reply, struct cv_err *err)
{
    const char *note = NULL;
    const cJSON *witnesses = NULL, *anchors = NULL;
    struct places places = {.n = 0};
    struct cv_buf key;
    struct telling telling = {reply, cv_clock_boot_ms()};
    struct cv_verify_options options = {.context = &telling,
                                        .archive = CV_PROCESS_EXTRA + 1};
    const struct cv_json_field fields[] = {
        {"checkpoint", CV_JSON_TEXT, false, &note, CV_LIMIT_NOTE},
        {"witnesses", CV_JSON_ARRAY, false, &witnesses, 0},
        {"anchors", CV_JSON_ARRAY, false, &anchors, 0},
        {"archive", CV_JSON_BOOL, false, &options.has_archive, 0},
    };
    struct cv_note_key keys[PROOF_KEYS];
    cJSON *report = NULL;
    enum cv_status s =
        cv_json_read(parameters, "AuditVerify", FIELDS(fields), true, err);

    (void)context;
    if (s == CV_OK && cJSON_GetArraySize(witnesses) > 0) {
        s = read_keys(witnesses, keys, &options.n_witnesses, err);
        options.witnesses = keys;
    }
    if (s == CV_OK) {
        s = read_places(anchors, &places, err);
        options.places = places.at;
        options.n_places = places.n;
    }
    if (s == CV_OK) {
        if (note != NULL) {
            options.checkpoint = bytes_of(note);
        }
        options.progress = cv_reply_wants_more(reply) ? tell_progress : NULL;
        options.store_key = store_key(&key);
        s = cv_verify_log(CV_PROCESS_EXTRA, &options, &report, err);
        cv_buf_wipe(&key);
    }
    wipe_places(&places);
    /* A log that does not verify is an answer, not a failure to answer. */
    if (report != NULL) {
        (void)cv_json_add_item(cv_reply_parameters(reply), "report", report);
        return CV_OK;
    }
    return s;
}

/* Descriptor 4 is the backup, 5 the folder. */
static enum cv_status restore(void *context, const cJSON *parameters,
                              struct cv_reply *reply, struct cv_err *err)
{
    struct cv_restore_options o = {.file = CV_PROCESS_EXTRA,
                                   .dir = CV_PROCESS_EXTRA + 1};
    const struct cv_json_field fields[] = {
        {"folder", CV_JSON_STRING, true, &o.folder, 4096},
        {"dry_run", CV_JSON_BOOL, false, &o.dry_run, 0},
        {"accept_rollback", CV_JSON_BOOL, false, &o.accept_rollback, 0},
        {"reason", CV_JSON_STRING, false, &o.reason, CV_LIMIT_URL},
        {"ticket", CV_JSON_STRING, false, &o.ticket, CV_LIMIT_URL},
    };
    cJSON *report = NULL;
    enum cv_status s =
        cv_json_read(parameters, "Restore", FIELDS(fields), true, err);

    (void)context;
    if (s == CV_OK && o.reason != NULL) {
        s = cv_name_check_words(o.reason, CV_LIMIT_REASON, "the reason", err);
    }
    if (s == CV_OK && o.ticket != NULL) {
        s = cv_name_check_words(o.ticket, CV_LIMIT_TICKET, "the ticket", err);
    }
    if (s == CV_OK) {
        s = cv_restore_run(&o, &report, err);
    }
    if (report != NULL) {
        (void)cv_json_add_item(s == CV_OK ? cv_reply_parameters(reply)
                                          : cv_reply_failure(reply),
                               "report", report);
    }
    return s;
}

static const struct cv_method methods[] = {
    {"PolicyCheck", policy_check, false},
    {"PolicyTest", policy_test, false},
    {"ConfigRead", config_read, false},
    {"AuditVerify", audit_verify, false},
    {"Restore", restore, false},
    {"PolicyKey", cv_policy_offline_key, true},
    {"PolicyNote", cv_policy_offline_note, false},
    {"PolicySign", cv_policy_offline_sign, true},
    {"PolicyLint", cv_policy_offline_lint, false},
    {"PolicyFormat", cv_policy_offline_format, false},
    {"GroupFind", cv_policy_offline_group, false},
    {"ProofVerify", proof_verify, false},
    {"BundleVerify", bundle_verify, false},
};

static const struct cv_interface offline_interface = {
    .name = CV_INTERFACE_OFFLINE,
    .description = cv_interface_offline,
    .methods = methods,
    .n_methods = sizeof(methods) / sizeof(methods[0]),
};

enum cv_status cv_broker_offline_run(struct cv_err *err)
{
    struct cv_sandbox_folder folders[3] = {
        {.path = CV_POLICY_ZONE_FOLDER, .fd = -1},
        {.fd = CV_PROCESS_EXTRA},
        {.fd = CV_PROCESS_EXTRA + 1, .writable = true},
    };
    size_t n = fcntl(CV_PROCESS_EXTRA, F_GETFD) == -1       ? 1
               : fcntl(CV_PROCESS_EXTRA + 1, F_GETFD) == -1 ? 2
                                                            : 3;
    enum cv_status s;

    cv_policy_offline_begin();
    (void)cv_clock_boot_id(); /* out of reach afterwards; tiles name it */
    s = cv_sandbox_enter(CV_SANDBOX_OFFLINE, folders, n, NULL, err);

    return s == CV_OK ? cv_serve_loop(&offline_interface, NULL,
                                      CV_PROCESS_SOCKET, -1, err)
                      : s;
}
