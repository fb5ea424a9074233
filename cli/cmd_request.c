/* request, requests, approve, deny. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/output_table.h"
#include "cli/path.h"
#include "cli/receipt.h"
#include "cli/secret.h"
#include "cli/wait.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ACTION_LEN 32
#define ID_LEN 12
#define SIGNATURE_MAX CV_KIB(16)
#define NAMESPACE "certvault-approval"

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

/* Showing */

static void who_cell(const cJSON *item, struct cv_buf *out)
{
    const cJSON *uid = cv_output_table_at(item, "actor.uid");
    const char *user = cv_output_table_text(item, "actor.user");
    char number[32];

    if (user != NULL && strncmp(user, "uid:", 4) != 0) {
        cv_buf_add_str(out, user);
    }
    if (cJSON_IsNumber(uid)) {
        (void)snprintf(number, sizeof(number), "%s(uid %.0f)",
                       out->len > 0 ? " " : "", uid->valuedouble);
        cv_buf_add_str(out, number);
    }
}

static void what_cell(const cJSON *item, struct cv_buf *out)
{
    const char *action = cv_output_table_text(item, "action");
    const char *does = cv_output_table_text(item, "does");

    cv_buf_add_str(out, action != NULL ? action : "?");
    if (does != NULL) {
        cv_buf_add_str(out, ": ");
        cv_buf_add_str(out, does);
    }
    if (cJSON_IsTrue(cv_output_table_at(item, "read_only"))) {
        cv_buf_add_str(out, " (read-only)");
    }
    if (cJSON_IsTrue(cv_output_table_at(item, "break_glass"))) {
        cv_buf_add_str(out, " (break-glass)");
    }
}

/* The cluster by the name that its kubeconfig has for it, and its server. */
static void where_cell(const cJSON *item, struct cv_buf *out)
{
    static const char *const keys[] = {"context", "cluster", "server"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *text = cv_output_table_text(item, keys[i]);

        if (text != NULL) {
            cv_buf_add_str(out, out->len > 0 ? ", " : "");
            cv_buf_add_str(out, text);
        }
    }
}

static void for_cell(const cJSON *item, struct cv_buf *out)
{
    const cJSON *n = cv_output_table_at(item, "duration");
    const char *action = cv_output_table_text(item, "action");
    int64_t s = cJSON_IsNumber(n) ? (int64_t)n->valuedouble : 0;
    char text[32];

    if (s == 0) {
        cv_buf_add_str(out, action != NULL && strcmp(action, "use") == 0
                                ? "as long as the rule gives"
                                : "once");
        return;
    }
    (void)snprintf(text, sizeof(text), "%lld%s",
                   (long long)(s % 3600 == 0 ? s / 3600
                               : s % 60 == 0 ? s / 60
                                             : s),
                   s % 3600 == 0 ? "h"
                   : s % 60 == 0 ? "m"
                                 : "s");
    cv_buf_add_str(out, text);
}

/* "1 of 2: bob", each with a word where it was signed. */
static void approvals_cell(const cJSON *item, struct cv_buf *out)
{
    const cJSON *list = cv_output_table_at(item, "approvals"), *one;
    const cJSON *needed = cv_output_table_at(item, "needed");
    char count[48];
    bool first = true;

    (void)snprintf(count, sizeof(count), "%d of %.0f", cJSON_GetArraySize(list),
                   cJSON_IsNumber(needed) ? needed->valuedouble : 0);
    cv_buf_add_str(out, count);
    cv_buf_add_str(
        out, cJSON_IsTrue(cv_output_table_at(item, "signed")) ? " signed" : "");
    cJSON_ArrayForEach(one, list)
    {
        const char *user = cv_output_table_text(one, "user");

        cv_buf_add_str(out, first ? ": " : ", ");
        cv_buf_add_str(out, user != NULL ? user : "?");
        cv_buf_add_str(out, cJSON_IsTrue(cv_output_table_at(one, "signed"))
                                ? " (signed)"
                                : "");
        first = false;
    }
}

static const struct cv_output_column columns[] = {
    {"ID", "id", NULL, NULL},
    {"STATE", "state", NULL, NULL},
    {"WHO", "actor", who_cell, NULL},
    {"WHAT", "action", what_cell, NULL},
    {"ENTRY", "entry", NULL, NULL},
    {"WHERE", "server", where_cell, NULL},
    {"WHY", "reason", NULL, NULL},
    {"TICKET", "ticket", NULL, NULL},
    {"FOR", "duration", for_cell, NULL},
    {"APPROVALS", "approvals", approvals_cell, NULL},
    {"RULE", "rule", NULL, NULL},
    {"EXPIRES", "expires", NULL, NULL},
};

static const struct cv_output_view list_view = {
    .kind = "RequestList",
    .name = "id",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
    .none = "no requests",
};

static const struct cv_output_view one_view = {
    .kind = "Request",
    .name = "id",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

static enum cv_status show(struct cv_cli *cli, const cJSON *answer,
                           struct cv_err *err)
{
    const cJSON *request = cJSON_GetObjectItemCaseSensitive(answer, "request");

    return cJSON_IsObject(request)
               ? cv_output_table_object(&cli->out, &one_view, request, err)
               : cv_fail(err, CV_INVALID, "the broker's answer has no request");
}

/* request */

static enum cv_status ask_parameters(struct cv_cli *cli,
                                     const struct cv_args *args, cJSON **out,
                                     struct cv_err *err)
{
    const char *duration = cv_args_value(args, "for");
    int64_t seconds = 0;
    enum cv_status s =
        cv_check_shown(args->operands[0], "ACTION", ACTION_LEN, err);

    if (s == CV_OK && args->n_operands > 1) {
        s = cv_check_name(args->operands[1], err);
    }
    if (s == CV_OK && duration != NULL) {
        s = cv_clock_parse_duration(duration, false, &seconds, err);
    }
    if (s != CV_OK) {
        return s;
    }
    *out = cv_cli_parameters(cli);
    if (cv_json_add_str(*out, "action", args->operands[0]) &&
        (args->n_operands < 2 ||
         cv_json_add_str(*out, "name", args->operands[1])) &&
        cv_json_add_str(*out, "context", cv_args_value(args, "context")) &&
        (duration == NULL || cv_json_add_int(*out, "duration", seconds)) &&
        (!cv_args_has(args, "read-only") ||
         cv_json_add_bool(*out, "read_only", true))) {
        return CV_OK;
    }
    cJSON_Delete(*out);
    *out = NULL;
    return no_memory(err);
}

CV_CMD(request)
{
    cJSON *parameters = NULL;
    const cJSON *answer = NULL;
    const char *id;
    enum cv_status s = ask_parameters(cli, args, &parameters, err);

    if (s == CV_OK) {
        s = cv_call_simple(cli, "Request", parameters, &answer, err);
    }
    if (s != CV_OK) {
        return s;
    }
    s = show(cli, answer, err);
    id = cv_output_table_text(answer, "request.id");
    if (s == CV_OK && cli->wait && id != NULL) {
        s = cv_wait_run(cli, id, err);
    }
    return s;
}

/* requests */

CV_CMD(request_list)
{
    cJSON *parameters = cJSON_CreateObject();
    const cJSON *items;
    enum cv_status s;

    if (!cv_json_add_bool(parameters, "all", cv_args_has(args, "all"))) {
        cJSON_Delete(parameters);
        return no_memory(err);
    }
    s = cv_call_member(cli, "Requests", parameters, "items", CV_JSON_ARRAY,
                       &items, err);
    return s == CV_OK ? cv_output_table_list(&cli->out, &list_view, items, err)
                      : s;
}

/* approve, deny */

static enum cv_status check_id(const char *id, struct cv_err *err)
{
    enum cv_status s;

    if (strlen(id) == ID_LEN && strspn(id, "0123456789abcdef") == ID_LEN) {
        return CV_OK;
    }
    s = cv_fail(err, CV_USAGE, "a request's id has %d hex digits", ID_LEN);
    cv_err_hint(err, "certvault requests lists them");
    return s;
}

static cJSON *answer_parameters(const struct cv_cli *cli, const char *id)
{
    cJSON *p = cJSON_CreateObject();

    if (cv_json_add_str(p, "id", id) &&
        cv_json_add_str(p, "reason", cli->reason) &&
        cv_json_add_str(p, "ticket", cli->ticket)) {
        return p;
    }
    cJSON_Delete(p);
    return NULL;
}

/* Is `text` what a signature of this request signs, and of no other? */
static bool is_text_of(const char *text, const char *id)
{
    static const char head[] = "certvault-approval/v1\n";
    const size_t len = sizeof(head) - 1;
    const char *line = text + len, *end, *said;
    cJSON *tree = NULL;
    bool is;

    if (strncmp(text, head, len) != 0) {
        return false;
    }
    end = strchr(line, '\n');
    if (end == NULL || end[1] != '\0' ||
        cv_json_parse(
            NULL,
            (struct cv_bytes){(const uint8_t *)line, (size_t)(end - line)},
            &tree, NULL) != CV_OK) {
        return false;
    }
    said = cv_output_table_text(tree, "id");
    is = said != NULL && strcmp(said, id) == 0;
    cJSON_Delete(tree);
    return is;
}

/* What a signature of the request signs; the run's. */
static enum cv_status text_of(struct cv_cli *cli, const char *id,
                              const char **text, struct cv_err *err)
{
    cJSON *p = cJSON_CreateObject();
    cJSON *ids = cJSON_AddArrayToObject(p, "ids");
    const cJSON *items = NULL;
    enum cv_status s;

    if (ids == NULL || !cJSON_AddItemToArray(ids, cJSON_CreateString(id))) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_call_member(cli, "Requests", p, "items", CV_JSON_ARRAY, &items, err);
    if (s != CV_OK) {
        return s;
    }
    *text = cv_output_table_text(cJSON_GetArrayItem(items, 0), "text");
    if (*text == NULL) {
        s = cv_fail(err, CV_NOT_FOUND,
                    "there is no request %s that you may approve", id);
        cv_err_hint(err, "certvault requests lists them");
    } else if (!is_text_of(*text, id)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "the broker gave the text of something else to sign");
        cv_err_state(err, "nothing was signed");
    }
    return s;
}

/* ssh-keygen of the user's own, as the user: it finds the key, asks the agent
 * or has the security key touched. */
static enum cv_status run_keygen(const char *key, int in, int out,
                                 struct cv_err *err)
{
    static char shell[] = "sh", flag[] = "-c", name[] = NAMESPACE,
                script[] = "exec ssh-keygen -q -Y sign -n \"$1\" -f \"$2\" "
                           "<&5 5<&- >&4 4>&-";
    char *copy = strdup(key);
    char *argv[] = {shell, flag, script, shell, name, copy, NULL};
    struct cv_process_start start = {
        .path = "/bin/sh",
        .argv = argv,
        .environment = environ,
        .socket = -1,
        .extra = {out, in, -1, -1},
        .keep_stderr = true,
    };
    pid_t pid;
    enum cv_status s =
        copy != NULL ? cv_process_start(&start, &pid, err) : no_memory(err);

    free(copy);
    if (s == CV_OK && cv_process_wait(pid) != 0) {
        s = cv_fail(err, CV_FAILED, "ssh-keygen did not sign");
        cv_err_state(err, "nothing was approved");
        cv_err_hint(err, "see what it says above; or sign what --print prints, "
                         "and give it with --signature");
    }
    return s;
}

/* A file without a name, for what goes in or comes out. */
static enum cv_status file_of(const char *text, int *fd, struct cv_err *err)
{
    const struct cv_bytes bytes = {(const uint8_t *)text, strlen(text)};
    enum cv_status s;

    *fd = memfd_create("certvault-approval", MFD_CLOEXEC);
    if (*fd == -1) {
        return cv_fail_errno(err, CV_INTERNAL, "cannot keep what is signed");
    }
    s = cv_file_write(*fd, bytes, "what is signed", err);
    if (s == CV_OK && lseek(*fd, 0, SEEK_SET) == -1) {
        s = cv_fail_errno(err, CV_INTERNAL, "cannot keep what is signed");
    }
    return s;
}

static enum cv_status sign(struct cv_cli *cli, const char *id, const char *key,
                           struct cv_buf *out, struct cv_err *err)
{
    const char *text = NULL;
    int in = -1, result = -1;
    enum cv_status s = text_of(cli, id, &text, err);

    if (s == CV_OK) {
        /* What is about to be signed is seen first. */
        cv_output_note(&cli->out, "signing: %s", strchr(text, '\n') + 1);
        s = file_of(text, &in, err);
    }
    if (s == CV_OK) {
        s = file_of("", &result, err);
    }
    if (s == CV_OK) {
        s = run_keygen(key, in, result, err);
    }
    if (s == CV_OK && lseek(result, 0, SEEK_SET) == -1) {
        s = cv_fail_errno(err, CV_INTERNAL, "cannot read the signature");
    }
    if (s == CV_OK) {
        s = cv_file_read(result, "the signature", out, err);
    }
    cv_file_close(&in);
    cv_file_close(&result);
    return s;
}

static enum cv_status read_signature(const char *path, struct cv_buf *out,
                                     struct cv_err *err)
{
    int fd = -1;
    enum cv_status s = cv_path_open_input(path, &fd, err);

    if (s == CV_OK) {
        s = cv_file_read(fd, path, out, err);
    }
    cv_file_close(&fd);
    return s;
}

static enum cv_status print_text(struct cv_cli *cli, const char *id,
                                 struct cv_err *err)
{
    const char *text = NULL;
    enum cv_status s = text_of(cli, id, &text, err);

    return s == CV_OK ? cv_output_write(&cli->out,
                                        (struct cv_bytes){(const uint8_t *)text,
                                                          strlen(text)},
                                        err)
                      : s;
}

static enum cv_status answer(struct cv_cli *cli, const char *method,
                             const char *id, const struct cv_receipt *receipt,
                             const struct cv_buf *signature, struct cv_err *err)
{
    cJSON *parameters = answer_parameters(cli, id);
    const cJSON *answer = NULL;
    enum cv_status s;

    if ((signature->len > 0 &&
         !cv_json_add_str(parameters, "signature", cv_buf_text(signature))) ||
        !cv_receipt_ask(receipt, parameters)) {
        cJSON_Delete(parameters);
        parameters = NULL;
    }
    s = cv_call_simple(cli, method, parameters, &answer, err);
    if (s == CV_OK) {
        s = show(cli, answer, err);
    }
    return s == CV_OK ? cv_receipt_write(cli, receipt, answer,
                                         "the answer stands", err)
                      : s;
}

CV_CMD(request_approve)
{
    const char *id = args->operands[0];
    const char *key = cv_args_value(args, "sign-key");
    const char *file = cv_args_value(args, "signature");
    struct cv_receipt receipt = {.dir = -1};
    struct cv_buf signature;
    enum cv_status s = check_id(id, err);

    if (s == CV_OK && key != NULL && file != NULL) {
        s = cv_fail(err, CV_USAGE, "--sign-key and --signature are one of two");
    }
    if (s == CV_OK && cv_args_has(args, "print")) {
        return print_text(cli, id, err);
    }
    cv_buf_init(&signature, NULL, SIGNATURE_MAX);
    if (s == CV_OK) {
        s = cv_receipt_begin(cli, args, &receipt, err);
    }
    if (s == CV_OK && key != NULL) {
        s = sign(cli, id, key, &signature, err);
    } else if (s == CV_OK && file != NULL) {
        s = read_signature(file, &signature, err);
    }
    if (s == CV_OK) {
        s = answer(cli, "Approve", id, &receipt, &signature, err);
    }
    cv_receipt_end(&receipt);
    cv_buf_wipe(&signature);
    return s;
}

CV_CMD(request_deny)
{
    struct cv_receipt receipt = {.dir = -1};
    struct cv_buf none;
    enum cv_status s = check_id(args->operands[0], err);

    cv_buf_init(&none, NULL, 1);
    if (s == CV_OK) {
        s = cv_receipt_begin(cli, args, &receipt, err);
    }
    if (s == CV_OK) {
        s = answer(cli, "Deny", args->operands[0], &receipt, &none, err);
    }
    cv_receipt_end(&receipt);
    return s;
}
