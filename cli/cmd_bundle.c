/* audit prove --entry ... --output DIR and audit verify --bundle DIR. */
#include "cli/cmd_bundle.h"
#include "cli/bundle_folder.h"
#include "cli/bundle_readme.h"
#include "cli/call.h"
#include "cli/check.h"
#include "cli/leaves.h"
#include "cli/offline.h"
#include "cli/output_table.h"
#include "cli/witnesses.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void end_cell(const cJSON *item, struct cv_buf *out)
{
    const char *end = cv_output_table_text(item, "end");

    cv_buf_add_str(out, end != NULL && strcmp(end, "open") == 0
                            ? "the log's, when it was signed"
                            : "a record after the period");
}

static void key_cell(const cJSON *item, struct cv_buf *out)
{
    const char *from = cv_output_table_text(item, "key_from");

    cv_output_table_cell(cv_output_table_at(item, "key"), out);
    cv_buf_add_str(out, from != NULL && strcmp(from, "given") == 0
                            ? " (as given)"
                            : " (the bundle's own: compare it)");
}

static const struct cv_output_column columns[] = {
    {"ok", "ok", NULL, NULL},
    {"origin", "origin", NULL, NULL},
    {"key", NULL, key_cell, NULL},
    {"first record", "first", NULL, NULL},
    {"records", "records", NULL, NULL},
    {"size", "size", NULL, NULL},
    {"from", "from", NULL, NULL},
    {"to", "to", NULL, NULL},
    {"checkpoint before", "before", NULL, NULL},
    {"end", NULL, end_cell, NULL},
    {"entry", "entry", NULL, NULL},
    {"about it", "matching", NULL, NULL},
    {"receipts", "proofs", NULL, NULL},
    {"policies", "policies", NULL, NULL},
    {"policies missing", "policies_missing", NULL, NULL},
    {"changes of the key", "rotations", NULL, NULL},
    {"cosigned checkpoints", "cosigned", NULL, NULL},
    {"witnesses", NULL, cv_witnesses_cell, NULL},
    {"your checkpoint", "checkpoint", NULL, NULL},
};

static const struct cv_output_view view = {
    .kind = "BundleReport",
    .name = "root",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Checking */

static enum cv_status add_note(struct cv_cli *cli, cJSON *parameters,
                               const char *path, struct cv_err *err)
{
    struct cv_buf note;
    enum cv_status s = CV_OK;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    if (path != NULL) {
        s = cv_offline_claim(cli, path, &note, err);
    }
    if (s == CV_OK && path != NULL &&
        !cv_json_add_str(parameters, "checkpoint", cv_buf_text(&note))) {
        s = no_memory(err);
    }
    cv_buf_wipe(&note);
    return s;
}

/* `parameters` is taken; *report is the caller's. */
static enum cv_status check(struct cv_cli *cli, int dir, cJSON *parameters,
                            cJSON **report, struct cv_err *err)
{
    struct cv_offline *o = NULL;
    struct cv_message reply = {0};
    const cJSON *item;
    enum cv_status s = cv_offline_start(CV_OFFLINE_BROKER, cli, dir, &o, err);

    *report = NULL;
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_offline_call(o, "BundleVerify", parameters, &reply, err);
    cv_offline_free(o);
    item = cJSON_GetObjectItemCaseSensitive(reply.tree, "report");
    if (s == CV_OK) {
        *report = cJSON_Duplicate(item, true);
        s = *report != NULL ? CV_OK : no_memory(err);
    }
    cv_message_free(&reply);
    return s;
}

enum cv_status cv_cmd_bundle_verify(struct cv_cli *cli,
                                    const struct cv_args *args,
                                    struct cv_err *err)
{
    char room[CV_CHECK_VKEY];
    const char *path = cv_args_value(args, "bundle");
    const char *key = cv_check_vkey(cv_args_value(args, "key"), room);
    cJSON *parameters, *report = NULL;
    enum cv_status s;
    int dir;

    if (cv_args_value(args, "proof") != NULL ||
        cv_args_value(args, "record") != NULL) {
        return cv_fail(err, CV_USAGE, "--bundle or --proof, not both");
    }
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir == -1) {
        (void)cv_fail_errno(err, CV_NOT_FOUND, "%s", path);
        cv_err_state(err, "nothing was read");
        cv_err_hint(err, "check the path: a bundle is a folder");
        return CV_NOT_FOUND;
    }
    parameters = cJSON_CreateObject();
    s = cv_json_add_str(parameters, "key", key) ? CV_OK : no_memory(err);
    if (s == CV_OK) {
        s = add_note(cli, parameters, cv_args_value(args, "checkpoint"), err);
    }
    if (s == CV_OK) {
        s = cv_witnesses_add(cli, parameters, err);
    }
    if (s == CV_OK) {
        s = check(cli, dir, parameters, &report, err);
    } else {
        cJSON_Delete(parameters);
    }
    cv_file_close(&dir);
    if (s == CV_OK) {
        s = cv_output_table_object(&cli->out, &view, report, err);
    }
    cJSON_Delete(report);
    return s;
}

/* Making */

struct make {
    struct cv_cli *cli;
    struct cv_bundle_folder folder;
    cJSON *manifest;
    const char *after; /* the note; borrowed from `head` */
    cJSON *head;
    int64_t proofs; /* still wanted */
};

static enum cv_status ask_head(struct make *m, const struct cv_args *args,
                               struct cv_err *err)
{
    cJSON *parameters = cv_cli_parameters(m->cli);
    const cJSON *answer = NULL;
    enum cv_status s = cv_leaves_times(args, parameters, err);

    if (s == CV_OK &&
        !cv_json_add_str(parameters, "entry", cv_args_value(args, "entry"))) {
        s = no_memory(err);
    }
    if (s != CV_OK) {
        cJSON_Delete(parameters);
        return s;
    }
    s = cv_call_simple(m->cli, "AuditBundle", parameters, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    m->head = cJSON_Duplicate(answer, true);
    m->manifest = cJSON_GetObjectItemCaseSensitive(m->head, "manifest");
    m->after = cv_output_table_text(m->head, "after");
    if (!cJSON_IsObject(m->manifest) || m->after == NULL ||
        cv_output_table_text(m->head, "vkey") == NULL) {
        s = cv_fail(err, CV_INVALID, "the broker's answer is no bundle");
    }
    return s;
}

static int64_t number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : -1;
}

static enum cv_status add_proofs(struct make *m, const cJSON *list,
                                 struct cv_err *err)
{
    const cJSON *item;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(item, list)
    {
        const char *text = cv_output_table_text(item, "proof");
        char name[64];

        if (text == NULL || number(item, "seq") < 0) {
            return cv_fail(err, CV_INVALID, "the broker's answer is no proof");
        }
        (void)snprintf(name, sizeof(name), "proofs/%lld.tlog-proof",
                       (long long)number(item, "seq"));
        s = cv_bundle_folder_add(&m->folder, name, text, err);
        if (s != CV_OK) {
            return s;
        }
        m->proofs--;
    }
    return CV_OK;
}

static cJSON *piece_parameters(const struct make *m, int64_t at, int64_t end)
{
    const char *entry = cv_output_table_text(m->manifest, "entry");
    const cJSON *ids =
        cJSON_GetObjectItemCaseSensitive(m->manifest, "entry_ids");
    cJSON *p = cv_cli_parameters(m->cli);

    if (cv_json_add_int(p, "at", at) && cv_json_add_int(p, "end", end) &&
        cv_json_add_str(p, "note", m->after) &&
        (entry == NULL ||
         (cv_json_add_str(p, "entry", entry) &&
          cv_json_add_item(p, "entry_ids", cJSON_Duplicate(ids, true)) &&
          cv_json_add_int(p, "proofs", m->proofs)))) {
        return p;
    }
    cJSON_Delete(p);
    return NULL;
}

/* One call; *at moves on. */
static enum cv_status take_piece(struct make *m, int64_t *at, int64_t end,
                                 struct cv_err *err)
{
    struct cv_call call = {.method = "AuditBundleRead",
                           .parameters = piece_parameters(m, *at, end)};
    struct cv_message reply;
    const char *records;
    int64_t next;
    enum cv_status s = cv_call_run(m->cli, &call, &reply, err);

    if (s != CV_OK) {
        return s;
    }
    records = cv_output_table_text(reply.tree, "records");
    next = number(reply.tree, "next");
    if (records == NULL || next <= *at || next > end) {
        s = cv_fail(err, CV_INVALID, "the broker's answer has no records");
    }
    if (s == CV_OK) {
        s = cv_bundle_folder_add(&m->folder, "records.jsonl", records, err);
    }
    if (s == CV_OK) {
        s = add_proofs(
            m, cJSON_GetObjectItemCaseSensitive(reply.tree, "proofs"), err);
    }
    *at = next;
    cv_message_free(&reply);
    return s;
}

static enum cv_status take_records(struct make *m, struct cv_err *err)
{
    int64_t at = number(m->manifest, "first");
    int64_t end = number(m->manifest, "size");
    enum cv_status s =
        cv_bundle_folder_add(&m->folder, "records.jsonl", "", err);

    m->proofs = CV_LIMIT_BUNDLE_PROOFS;
    while (s == CV_OK && at < end) {
        s = take_piece(m, &at, end, err);
        cv_output_progress(&m->cli->out, "%lld of %lld records",
                           (long long)(at - number(m->manifest, "first")),
                           (long long)(end - number(m->manifest, "first")));
    }
    cv_output_progress_end(&m->cli->out);
    return s;
}

/* One that is not to be had (who reads the record need not read policies) is
 * missing, and the manifest says so. */
static enum cv_status take_policy(struct make *m, cJSON *item,
                                  struct cv_err *err)
{
    const char *sha256 = cv_output_table_text(item, "sha256"), *text;
    cJSON *p = cv_cli_parameters(m->cli);
    struct cv_call call = {.method = "AuditBundlePolicy"};
    struct cv_message reply;
    char name[160];
    enum cv_status s;

    if (sha256 == NULL || strlen(sha256) != 64 ||
        strspn(sha256, "0123456789abcdef") != 64 ||
        number(item, "version") < 0) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INVALID, "the broker's answer is no bundle");
    }
    if (!cv_json_add_int(p, "version", number(item, "version")) ||
        !cv_json_add_str(p, "sha256", sha256)) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    call.parameters = p;
    s = cv_call_run(m->cli, &call, &reply, err);
    if (s == CV_DENIED || s == CV_NOT_FOUND) {
        cv_err_init(err);
        return cv_json_add_bool(item, "text", false) ? CV_OK : no_memory(err);
    }
    if (s != CV_OK) {
        return s;
    }
    text = cv_output_table_text(reply.tree, "text");
    (void)snprintf(name, sizeof(name), "policies/%lld-%s.yaml",
                   (long long)number(item, "version"), sha256);
    s = text == NULL ? cv_fail(err, CV_INVALID, "the broker's answer is none")
        : !cv_json_add_bool(item, "text", true)
            ? no_memory(err)
            : cv_bundle_folder_add(&m->folder, name, text, err);
    cv_message_free(&reply);
    return s;
}

static enum cv_status take_policies(struct make *m, struct cv_err *err)
{
    cJSON *item;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(
        item, cJSON_GetObjectItemCaseSensitive(m->manifest, "policies"))
    {
        s = take_policy(m, item, err);
        if (s != CV_OK) {
            return s;
        }
    }
    return CV_OK;
}

static enum cv_status add_manifest(struct make *m, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_BUNDLE_HEAD);
    cv_json_write(m->manifest, CV_JSON_PRETTY, &text);
    cv_buf_add_char(&text, '\n');
    s = cv_buf_status(&text, "the manifest", err);
    if (s == CV_OK) {
        s = cv_bundle_folder_add(&m->folder, "manifest.json",
                                 cv_buf_text(&text), err);
    }
    cv_buf_wipe(&text);
    return s;
}

static enum cv_status add_cosigned(struct make *m, struct cv_err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(m->head, "cosigned");
    const cJSON *item;
    enum cv_status s = list != NULL
                           ? cv_bundle_folder_sub(&m->folder, "cosigned", err)
                           : CV_OK;

    cJSON_ArrayForEach(item, list)
    {
        const char *id = cv_output_table_text(item, "name");
        const char *note = cv_output_table_text(item, "note");
        char name[32];

        if (s != CV_OK) {
            return s;
        }
        if (id == NULL || note == NULL || strlen(id) != 8 ||
            strspn(id, "0123456789abcdef") != 8) {
            return cv_fail(err, CV_INVALID, "the broker's answer is no bundle");
        }
        (void)snprintf(name, sizeof(name), "cosigned/%s", id);
        s = cv_bundle_folder_add(&m->folder, name, note, err);
    }
    return s;
}

static enum cv_status add_small(struct make *m, struct cv_err *err)
{
    const char *before = cv_output_table_text(m->head, "before");
    const char *keys = cv_output_table_text(m->head, "keys");
    struct cv_bundle_folder *f = &m->folder;
    enum cv_status s = cv_bundle_folder_sub(f, "policies", err);

    if (s == CV_OK) {
        s = cv_bundle_folder_sub(f, "proofs", err);
    }
    if (s == CV_OK) {
        s = cv_bundle_folder_add(f, "README.txt", cv_bundle_readme_text, err);
    }
    if (s == CV_OK) {
        s = cv_bundle_folder_add(f, "log.vkey",
                                 cv_output_table_text(m->head, "vkey"), err);
    }
    if (s == CV_OK) {
        s = cv_bundle_folder_add(f, "log.vkey", "\n", err);
    }
    if (s == CV_OK) {
        s = cv_bundle_folder_add(f, "checkpoint.after", m->after, err);
    }
    if (s == CV_OK && before != NULL) {
        s = cv_bundle_folder_add(f, "checkpoint.before", before, err);
    }
    if (s == CV_OK && keys != NULL) {
        s = cv_bundle_folder_add(f, "keys.jsonl", keys, err);
    }
    return s == CV_OK ? add_cosigned(m, err) : s;
}

static enum cv_status run(struct make *m, const struct cv_args *args,
                          cJSON **report, struct cv_err *err)
{
    cJSON *parameters;
    enum cv_status s = ask_head(m, args, err);

    if (s == CV_OK) {
        s = cv_bundle_folder_make(&m->folder, err);
    }
    if (s == CV_OK) {
        s = add_small(m, err);
    }
    if (s == CV_OK) {
        s = take_records(m, err);
    }
    if (s == CV_OK) {
        s = take_policies(m, err);
    }
    if (s == CV_OK) {
        s = add_manifest(m, err);
    }
    if (s != CV_OK) {
        return s;
    }
    /* Nothing is given that does not verify. */
    parameters = cJSON_CreateObject();
    if (!cv_json_add_str(parameters, "key",
                         cv_output_table_text(m->head, "vkey"))) {
        cJSON_Delete(parameters);
        return no_memory(err);
    }
    s = check(m->cli, m->folder.dir, parameters, report, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "the bundle does not verify");
        cv_err_hint(err, "certvault audit verify; where only tiles differ from "
                         "the log, certvault audit rebuild");
        return s;
    }
    return cv_bundle_folder_name(&m->folder, err);
}

enum cv_status cv_cmd_bundle_make(struct cv_cli *cli,
                                  const struct cv_args *args,
                                  struct cv_err *err)
{
    const char *path = cv_args_value(args, "output");
    const char *entry = cv_args_value(args, "entry");
    struct make m = {.cli = cli, .folder = {.parent = -1, .dir = -1}};
    cJSON *report = NULL;
    enum cv_status s;

    if (args->n_operands > 0 || path == NULL) {
        s = cv_fail(err, CV_USAGE,
                    "either SEQ, or --entry, --since or --until "
                    "with the folder of --output");
        cv_err_hint(err, "certvault audit prove --help");
        return s;
    }
    s = entry != NULL ? cv_check_name(entry, err) : CV_OK;
    if (s == CV_OK) {
        s = cv_bundle_folder_look(path, &m.folder, err);
    }
    if (s == CV_OK) {
        s = run(&m, args, &report, err);
    }
    if (s != CV_OK && m.folder.dir != -1) {
        cv_err_state(err, "no bundle was made");
    }
    cv_bundle_folder_end(&m.folder);
    cJSON_Delete(m.head);
    if (s == CV_OK) {
        s = cv_output_table_object(&cli->out, &view, report, err);
        cv_output_note(&cli->out,
                       "the bundle is in %s; its README.txt says "
                       "how it is checked",
                       path);
    }
    cJSON_Delete(report);
    return s;
}
