#include "cli/policy_offline.h"

#include "policy/format.h"
#include "policy/lint.h"
#include "policy/policy.h"
#include "vault/audit/notekey.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/broker/names.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FIELDS(table) (table), sizeof(table) / sizeof((table)[0])

static int names = -1; /* the socket of who looks names up; -1: nobody */

void cv_policy_offline_begin(void)
{
    int near[2], pair[2];
    pid_t pid, parent = getpid();

    if (cv_process_pair(near, NULL) != CV_OK) {
        return;
    }
    /* Out of the way of those that are handed over by number. */
    for (size_t i = 0; i < 2; i++) {
        pair[i] = fcntl(near[i], F_DUPFD_CLOEXEC, CV_PROCESS_EXTRA + 4);
        (void)close(near[i]);
    }
    if (pair[0] == -1 || pair[1] == -1) {
        cv_file_close(&pair[0]);
        cv_file_close(&pair[1]);
        return;
    }
    pid = fork();
    if (pid == 0) {
        /* It ends with its parent, whatever a directory keeps it waiting for.
         */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(CV_PROCESS_SOCKET);
        (void)close(CV_PROCESS_EXTRA);
        (void)close(CV_PROCESS_EXTRA + 1);
        (void)close(pair[0]);
        if (getppid() == parent) {
            cv_names_serve(pair[1]);
        }
        _exit(0);
    }
    (void)close(pair[1]);
    names = pair[0];
    if (pid == -1) {
        cv_file_close(&names);
    }
}

static struct cv_bytes bytes_of(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

CV_POLICY_OFFLINE(key)
{
    const char *name = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, CV_NOTE_NAME},
    };
    cJSON *out = cv_reply_parameters(reply);
    struct cv_note_key key;
    struct cv_buf secret, vkey;
    enum cv_status s =
        cv_json_read(parameters, "PolicyKey", FIELDS(fields), true, err);

    (void)context;
    cv_buf_init(&secret, cv_reply_arena(reply), CV_NOTEKEY_FILE);
    cv_buf_init(&vkey, NULL, CV_NOTEKEY_FILE);
    if (s == CV_OK) {
        s = cv_notekey_make(name, &secret, &key, err);
    }
    if (s == CV_OK) {
        cv_note_key_text(&key, &vkey);
        s = cv_buf_status(&vkey, "the verifier key", err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(out, "vkey", cv_buf_text(&vkey)) ||
         !cv_json_add_base64(out, "secret", cv_buf_bytes(&secret)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&vkey);
    return s;
}

/* The text that is signed: docs/policy.md, "Signed policies". */
static enum cv_status text_of(const char *vault_id,
                              const struct cv_policy *policy,
                              struct cv_buf *out, struct cv_err *err)
{
    uint8_t hash[32];
    enum cv_status s = cv_decode_hex_exact(
        cv_policy_sha256(policy), "the digest", hash, sizeof(hash), err);

    if (s == CV_OK) {
        cv_buf_add_format(out, "certvault-policy/v1 %s\n%lld\n", vault_id,
                          (long long)cv_policy_version(policy));
        cv_encode_base64((struct cv_bytes){hash, sizeof(hash)}, out);
        cv_buf_add_char(out, '\n');
        s = cv_buf_status(out, "what is signed", err);
    }
    return s;
}

/* What is to be signed of a policy: not secret, so that a long policy need not
 * lie in memory that is locked. */
CV_POLICY_OFFLINE(note)
{
    const char *text = NULL, *vault_id = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_LIMIT_POLICY},
        {"vault_id", CV_JSON_STRING, true, &vault_id, 64},
    };
    cJSON *out = cv_reply_parameters(reply);
    struct cv_policy_notes notes = {0};
    struct cv_policy *policy = NULL;
    struct cv_buf wanted;
    enum cv_status s =
        cv_json_read(parameters, "PolicyNote", FIELDS(fields), true, err);

    (void)context;
    cv_buf_init(&wanted, NULL, CV_KIB(1));
    if (s == CV_OK && (strlen(vault_id) != 32 ||
                       strspn(vault_id, "0123456789abcdef") != 32)) {
        s = cv_fail(err, CV_USAGE, "a vault's id is 32 hex digits");
    }
    if (s == CV_OK) {
        s = cv_policy_parse(bytes_of(text), &policy, &notes, err);
    }
    if (s == CV_OK) {
        s = text_of(vault_id, policy, &wanted, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(out, "text", cv_buf_text(&wanted)) ||
         !cv_json_add_item(out, "policy", cv_policy_describe(policy)))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_policy_free(policy);
    cv_buf_wipe(&wanted);
    return s;
}

CV_POLICY_OFFLINE(sign)
{
    const char *text = NULL, *secret = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_KIB(1)},
        {"secret", CV_JSON_STRING, true, &secret, 2 * CV_NOTEKEY_FILE},
    };
    struct cv_arena *arena = cv_reply_arena(reply);
    cJSON *out = cv_reply_parameters(reply);
    struct cv_note_key key;
    struct cv_buf file, note;
    enum cv_status s =
        cv_json_read(parameters, "PolicySign", FIELDS(fields), true, err);

    (void)context;
    cv_buf_init(&file, arena, CV_NOTEKEY_FILE + 2);
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK) {
        s = cv_decode_base64(secret, strlen(secret), false, "the key", &file,
                             err);
    }
    if (s == CV_OK) {
        s = cv_notekey_sign(cv_buf_bytes(&file), arena, bytes_of(text), &note,
                            &key, err);
    }
    if (s == CV_OK && (!cv_json_add_str(out, "note", cv_buf_text(&note)) ||
                       !cv_json_add_str(out, "signer", key.name))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&note);
    return s;
}

/* Those of `wanted` that have no number in `found`. */
static cJSON *missing(const cJSON *wanted, const cJSON *found)
{
    cJSON *out = cJSON_CreateArray();
    const cJSON *name;

    cJSON_ArrayForEach(name, wanted)
    {
        if (cJSON_IsString(name) &&
            !cJSON_IsNumber(
                cJSON_GetObjectItemCaseSensitive(found, name->valuestring))) {
            (void)cJSON_AddItemToArray(out,
                                       cJSON_CreateString(name->valuestring));
        }
    }
    return out;
}

/* Names that nobody has here, into `out`; false where that cannot be told. */
static bool add_unknown_names(const struct cv_policy *policy, cJSON *out)
{
    cJSON *wanted = cv_policy_names(policy), *none = cJSON_CreateArray();
    const cJSON *users = cJSON_GetObjectItemCaseSensitive(wanted, "users");
    const cJSON *groups = cJSON_GetObjectItemCaseSensitive(wanted, "groups");
    struct cv_channel *channel = NULL;
    struct cv_message reply = {0};
    bool told = false;

    if (names != -1 &&
        cv_channel_new(names, CV_LIMIT_FRAME, &channel, NULL) == CV_OK) {
        names = -1;
        if (cv_names_resolve(channel, users, groups, none, &reply, NULL) ==
            CV_OK) {
            told = true;
            (void)cv_json_add_item(
                out, "users",
                missing(users,
                        cJSON_GetObjectItemCaseSensitive(reply.tree, "users")));
            (void)cv_json_add_item(
                out, "groups",
                missing(groups, cJSON_GetObjectItemCaseSensitive(reply.tree,
                                                                 "groups")));
        }
        cv_message_free(&reply);
        cv_channel_free(channel);
    }
    cJSON_Delete(wanted);
    cJSON_Delete(none);
    return told;
}

static enum cv_status parse(struct cv_reply *reply, const char *text,
                            struct cv_policy **out,
                            struct cv_policy_notes *notes, struct cv_err *err)
{
    struct cv_buf excerpt;
    enum cv_status s = cv_policy_parse(bytes_of(text), out, notes, err);

    if (s != CV_OK && notes->error_line > 0) {
        cv_buf_init(&excerpt, NULL, CV_KIB(4));
        cv_policy_render(bytes_of(text), notes->error_line, notes->error_column,
                         &excerpt);
        (void)cv_json_add_str(cv_reply_failure(reply), "excerpt",
                              cv_buf_text(&excerpt));
        cv_buf_wipe(&excerpt);
    }
    return s;
}

/* What the parser warns of belongs to the findings; what it says of a lockout
 * the look through it says better. */
static bool add_notes(const struct cv_policy_notes *notes, cJSON *items,
                      int64_t *n)
{
    for (size_t i = 0; i < notes->n_warnings && i < CV_POLICY_NOTES; i++) {
        cJSON *item;

        if (notes->warnings[i].line == 0) {
            continue;
        }
        item = cJSON_CreateObject();
        if (!cv_json_add_str(item, "code", "doubtful") ||
            !cv_json_add_str(item, "severity", "warning") ||
            !cv_json_add_int(item, "line", notes->warnings[i].line) ||
            !cv_json_add_str(item, "text", notes->warnings[i].text) ||
            !cJSON_AddItemToArray(items, item)) {
            cJSON_Delete(item);
            return false;
        }
        (*n)++;
    }
    return true;
}

CV_POLICY_OFFLINE(lint)
{
    const char *text = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_LIMIT_POLICY},
    };
    struct cv_policy_notes notes = {0};
    struct cv_policy *policy = NULL;
    cJSON *unknown = cJSON_CreateObject(), *found = NULL, *warnings, *item;
    int64_t more = 0;
    bool told = false;
    enum cv_status s =
        cv_json_read(parameters, "PolicyLint", FIELDS(fields), true, err);

    (void)context;
    if (s == CV_OK) {
        s = parse(reply, text, &policy, &notes, err);
    }
    if (s == CV_OK) {
        told = add_unknown_names(policy, unknown);
        (void)cv_json_add_item(
            unknown, "zones",
            cv_policy_missing_zones(policy, CV_POLICY_ZONE_FOLDER));
        s = cv_lint_run(policy, unknown, &found, err);
    }
    if (s == CV_OK) {
        warnings = cJSON_GetObjectItemCaseSensitive(found, "warnings");
        if (!add_notes(&notes, cJSON_GetObjectItemCaseSensitive(found, "items"),
                       &more)) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
        (void)cJSON_SetNumberHelper(warnings,
                                    warnings->valuedouble + (double)more);
        (void)cv_json_add_bool(found, "names", told);
        (void)cv_json_add_item(found, "policy", cv_policy_describe(policy));
    }
    while (s == CV_OK && (item = found->child) != NULL) {
        (void)cJSON_DetachItemViaPointer(found, item);
        (void)cJSON_AddItemToObject(cv_reply_parameters(reply), item->string,
                                    item);
    }
    cJSON_Delete(unknown);
    cJSON_Delete(found);
    cv_policy_free(policy);
    return s;
}

CV_POLICY_OFFLINE(format)
{
    const char *text = NULL;
    const struct cv_json_field fields[] = {
        {"text", CV_JSON_TEXT, true, &text, CV_LIMIT_POLICY},
    };
    cJSON *out = cv_reply_parameters(reply);
    struct cv_policy_notes notes = {0};
    struct cv_policy *policy = NULL;
    struct cv_buf tidy;
    enum cv_status s =
        cv_json_read(parameters, "PolicyFormat", FIELDS(fields), true, err);

    (void)context;
    cv_buf_init(&tidy, NULL, CV_LIMIT_POLICY);
    if (s == CV_OK) {
        s = parse(reply, text, &policy, &notes, err);
    }
    if (s == CV_OK) {
        s = cv_format_policy(bytes_of(text), &tidy, err);
    }
    if (s == CV_OK &&
        (!cv_json_add_str(out, "text", cv_buf_text(&tidy)) ||
         !cv_json_add_bool(out, "same",
                           strcmp(text, cv_buf_text(&tidy)) == 0))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&tidy);
    cv_policy_free(policy);
    return s;
}

/* What a service asks for its socket's group when it starts. */
enum cv_status cv_policy_offline_group(void *context, const cJSON *parameters,
                                       struct cv_reply *reply,
                                       struct cv_err *err)
{
    const char *name = NULL;
    const struct cv_json_field fields[] = {
        {"name", CV_JSON_STRING, true, &name, 256},
    };
    cJSON *groups = cJSON_CreateArray(), *none = cJSON_CreateArray();
    struct cv_channel *channel = NULL;
    struct cv_message answer = {0};
    bool known = true;
    enum cv_status s =
        cv_json_read(parameters, "GroupFind", FIELDS(fields), true, err);

    (void)context;
    if (s == CV_OK && names != -1 &&
        cv_channel_new(names, CV_LIMIT_FRAME, &channel, NULL) == CV_OK) {
        names = -1;
        (void)cJSON_AddItemToArray(groups, cJSON_CreateString(name));
        known =
            cv_names_resolve(channel, none, groups, none, &answer, NULL) !=
                CV_OK ||
            cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(
                cJSON_GetObjectItemCaseSensitive(answer.tree, "groups"), name));
        cv_message_free(&answer);
        cv_channel_free(channel);
    }
    cJSON_Delete(groups);
    cJSON_Delete(none);
    if (s == CV_OK &&
        !cv_json_add_bool(cv_reply_parameters(reply), "known", known)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}
