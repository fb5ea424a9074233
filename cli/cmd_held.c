/* Keys on tokens: adopt, generate, install, token lost. What is parsed is
 * parsed by an intake that runs as the caller. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/entry_view.h"
#include "cli/offline.h"
#include "cli/path.h"
#include "cli/place.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum cv_status no_memory(cJSON *parameters, struct cv_err *err)
{
    cJSON_Delete(parameters);
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

static const char *text_of(const cJSON *object, const char *key)
{
    const char *text = cv_output_table_text(object, key);

    return text != NULL ? text : "";
}

static enum cv_status show(struct cv_cli *cli, const cJSON *entry,
                           struct cv_err *err)
{
    return cv_output_table_object(&cli->out, &cv_entry_view_one, entry, err);
}

static void tell_notes(struct cv_cli *cli, const cJSON *notes)
{
    const cJSON *note;

    cJSON_ArrayForEach(note, notes)
    {
        if (cJSON_IsString(note)) {
            cv_output_note(&cli->out, "%s", note->valuestring);
        }
    }
}

/* The cluster: --cluster FILE, or --server with --cluster-ca. */
static enum cv_status check_cluster(const struct cv_args *args,
                                    struct cv_err *err)
{
    const char *file = cv_args_value(args, "cluster");
    const char *server = cv_args_value(args, "server");
    const char *ca = cv_args_value(args, "cluster-ca");

    if ((file == NULL) == (server == NULL) ||
        (server == NULL) != (ca == NULL)) {
        return cv_fail(err, CV_USAGE,
                       "the cluster is said by --cluster FILE, or by --server "
                       "URL with --cluster-ca FILE");
    }
    return cv_check_url(server, "server", err);
}

/* Puts a public file's text into `p`. */
static enum cv_status add_text(struct cv_cli *cli, const char *path,
                               const char *key, cJSON *p, struct cv_err *err)
{
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_PEM);
    s = cv_offline_text(cli, path, &text, err);
    if (s == CV_OK && !cv_json_add_str(p, key, cv_buf_text(&text))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&text);
    return s;
}

/* One call of an intake of the caller's; *answer is the run's. */
static enum cv_status call_intake(struct cv_cli *cli, int input,
                                  const char *method, cJSON *p,
                                  const cJSON **answer, struct cv_err *err)
{
    struct cv_offline *o = NULL;
    struct cv_message reply = {0};
    enum cv_status s = cv_offline_start(CV_OFFLINE_INTAKE, cli, input, &o, err);

    if (s != CV_OK) {
        cJSON_Delete(p);
        return s;
    }
    s = cv_offline_call(o, method, p, &reply, err);
    if (s == CV_OK) {
        *answer = cv_cli_keep(cli, reply.tree, err);
        s = *answer != NULL ? CV_OK : CV_INTERNAL;
    } else {
        cv_message_free(&reply);
    }
    cv_offline_free(o);
    return s;
}

/* An identity of the certificate (--cert, else `certificate`) and the cluster.
 */
static enum cv_status compose(struct cv_cli *cli, const struct cv_args *args,
                              const char *certificate, const cJSON **identity,
                              struct cv_err *err)
{
    const char *cert = cv_args_value(args, "cert");
    const char *cluster = cv_args_value(args, "cluster");
    const char *ca = cv_args_value(args, "cluster-ca");
    const cJSON *answer = NULL;
    cJSON *p = cJSON_CreateObject();
    int fd = -1;
    enum cv_status s = cert != NULL ? add_text(cli, cert, "certificate", p, err)
                       : cv_json_add_str(p, "certificate", certificate)
                           ? CV_OK
                           : cv_fail(err, CV_INTERNAL, "memory is gone");

    if (s == CV_OK && ca != NULL) {
        s = add_text(cli, ca, "ca", p, err);
    }
    if (s == CV_OK &&
        !cv_json_add_str(p, "server", cv_args_value(args, "server"))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    /* Unread: a kubeconfig may hold keys of others. */
    if (s == CV_OK && cluster != NULL) {
        s = cv_path_open_input(cluster, &fd, err);
    }
    if (s == CV_OK) {
        s = call_intake(cli, fd, "Compose", p, &answer, err);
    } else {
        cJSON_Delete(p);
    }
    cv_file_close(&fd);
    if (s == CV_OK) {
        *identity = cJSON_GetObjectItemCaseSensitive(answer, "identity");
        s = *identity != NULL
                ? CV_OK
                : cv_fail(err, CV_INVALID, "intake's answer has no identity");
    }
    return s;
}

/* adopt */

static enum cv_status find_key(struct cv_cli *cli, const char *name,
                               const char *uri, const char **certificate,
                               struct cv_err *err)
{
    const cJSON *answer = NULL;
    cJSON *p = cv_cli_parameters(cli);
    enum cv_status s;

    if (!cv_json_add_str(p, "name", name) || !cv_json_add_str(p, "uri", uri)) {
        return no_memory(p, err);
    }
    s = cv_call_simple(cli, "KeyFind", p, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    *certificate = cv_output_table_text(answer, "certificate");
    if (*certificate == NULL) {
        s = cv_fail(err, CV_NOT_FOUND,
                    "the token holds no certificate beside the key");
        cv_err_hint(err, "give it with --cert FILE");
    }
    return s;
}

CV_CMD(held_adopt)
{
    const char *name = args->operands[0], *uri = cv_args_value(args, "key");
    const char *certificate = NULL;
    const cJSON *identity = NULL, *entry = NULL;
    cJSON *labels = NULL, *p;
    enum cv_status s = cv_check_name(name, err);

    if (s == CV_OK && uri == NULL) {
        s = cv_fail(err, CV_USAGE, "adopt wants --key URI");
    }
    if (s == CV_OK) {
        cli->token_uri = uri;
        s = cv_place_uri(uri, "key", err);
    }
    if (s == CV_OK) {
        s = check_cluster(args, err);
    }
    if (s == CV_OK && cv_args_value(args, "cert") == NULL) {
        s = find_key(cli, name, uri, &certificate, err);
    }
    if (s == CV_OK) {
        s = compose(cli, args, certificate, &identity, err);
    }
    if (s == CV_OK) {
        s = cv_check_labels(args, false, &labels, err);
    }
    if (s != CV_OK) {
        return s;
    }
    p = cv_cli_parameters(cli);
    if (!cv_json_add_item(p, "labels", labels) ||
        !cv_json_add_str(p, "name", name) || !cv_json_add_str(p, "uri", uri) ||
        !cv_json_add_item(p, "identity", cJSON_Duplicate(identity, true)) ||
        !cv_json_add_bool(p, "dry_run", cli->dry_run)) {
        return no_memory(p, err);
    }
    s = cv_call_member(cli, "Adopt", p, "entry", CV_JSON_OBJECT, &entry, err);
    return s == CV_OK ? show(cli, entry, err) : s;
}

/* generate */

struct request {
    struct cv_cli *cli;
    const char *name, *path, *subject;
    int dir;
    const char *leaf; /* the file's name in `dir` */
    char own[CV_LIMIT_NAME + 4];
};

/* Where the request goes, looked at before a key is made. */
static enum cv_status look(struct request *r, struct cv_err *err)
{
    struct stat st;
    enum cv_status s = cv_path_check_file(r->path, err);

    if (s == CV_OK) {
        s = cv_path_open_target(r->path, &r->dir, &r->leaf, err);
    }
    if (s != CV_OK) {
        cv_err_state(err, "nothing was made");
        return s;
    }
    if (fstatat(r->dir, r->leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (!r->cli->yes || !S_ISREG(st.st_mode))) {
        s = cv_fail(err, CV_EXISTS, "%s is there already", r->path);
        cv_err_hint(err, "%s",
                    S_ISREG(st.st_mode) ? "--yes replaces it"
                                        : "it is not a file, and stays");
    }
    if (s != CV_OK) {
        cv_err_state(err, "nothing was made");
    }
    return s;
}

/* A subject that no request can have is told before a key is made, too. */
static enum cv_status check_subject(const struct request *r, struct cv_err *err)
{
    const cJSON *answer = NULL;
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "subject", r->subject)) {
        return no_memory(p, err);
    }
    s = call_intake(r->cli, -1, "RequestInfo", p, &answer, err);
    if (s != CV_OK) {
        cv_err_state(err, "nothing was made");
    }
    return s;
}

/* How a key of this kind signs its request. */
static const char *algorithm_of(const cJSON *entry)
{
    const cJSON *bits = cv_output_table_at(entry, "key.bits");

    if (strcmp(text_of(entry, "key.type"), "RSA") == 0) {
        return "rsa_pkcs1_sha256";
    }
    return cJSON_IsNumber(bits) && bits->valueint == 384
               ? "ecdsa_secp384r1_sha384"
               : "ecdsa_secp256r1_sha256";
}

static enum cv_status sign(const struct request *r, const char *algorithm,
                           const char *info, const char **signature,
                           struct cv_err *err)
{
    const cJSON *answer = NULL;
    cJSON *p = cv_cli_parameters(r->cli);
    enum cv_status s;

    if (!cv_json_add_str(p, "name", r->name) ||
        !cv_json_add_str(p, "purpose", "csr") ||
        !cv_json_add_str(p, "algorithm", algorithm) ||
        !cv_json_add_str(p, "data", info)) {
        return no_memory(p, err);
    }
    s = cv_call_simple(r->cli, "Sign", p, &answer, err);
    if (s == CV_OK) {
        *signature = text_of(answer, "signature");
    }
    return s;
}

static enum cv_status write_request(const struct request *r, const char *pem,
                                    struct cv_err *err)
{
    struct cv_bytes bytes = {(const uint8_t *)pem, strlen(pem)};

    return r->cli->yes ? cv_file_replace(r->dir, r->leaf, bytes, 0644, err)
                       : cv_file_create(r->dir, r->leaf, bytes, 0644, err);
}

static enum cv_status make_request(const struct request *r, const cJSON *entry,
                                   const char *spki, struct cv_err *err)
{
    const char *algorithm = algorithm_of(entry), *signature = NULL, *info;
    const cJSON *answer = NULL;
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "subject", r->subject) ||
        !cv_json_add_str(p, "spki", spki)) {
        return no_memory(p, err);
    }
    s = call_intake(r->cli, -1, "RequestInfo", p, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    info = text_of(answer, "info");
    s = sign(r, algorithm, info, &signature, err);
    if (s != CV_OK) {
        return s;
    }
    p = cJSON_CreateObject();
    if (!cv_json_add_str(p, "info", info) ||
        !cv_json_add_str(p, "algorithm", algorithm) ||
        !cv_json_add_str(p, "signature", signature)) {
        return no_memory(p, err);
    }
    s = call_intake(r->cli, -1, "RequestFinish", p, &answer, err);
    return s == CV_OK ? write_request(r, text_of(answer, "request"), err) : s;
}

static enum cv_status run_generate(struct request *r,
                                   const struct cv_args *args, cJSON *labels,
                                   struct cv_err *err)
{
    const char *alg = cv_args_value(args, "alg");
    const cJSON *answer = NULL, *entry;
    cJSON *p = cv_cli_parameters(r->cli);
    enum cv_status s;

    if (!cv_json_add_item(p, "labels", labels) ||
        !cv_json_add_str(p, "name", r->name) ||
        !cv_json_add_str(p, "token", cv_args_value(args, "token")) ||
        !cv_json_add_str(p, "alg", alg != NULL ? alg : "p256") ||
        !cv_json_add_bool(p, "dry_run", r->cli->dry_run)) {
        return no_memory(p, err);
    }
    cv_output_progress(&r->cli->out, "the token makes a key...");
    s = cv_call_simple(r->cli, "Generate", p, &answer, err);
    cv_output_progress_end(&r->cli->out);
    if (s != CV_OK) {
        return s;
    }
    entry = cJSON_GetObjectItemCaseSensitive(answer, "entry");
    if (!r->cli->dry_run) {
        s = make_request(r, entry, text_of(answer, "spki"), err);
        if (s != CV_OK) {
            cv_err_state(err, "the key is on the token and waits for its "
                              "certificate");
            cv_err_hint(err,
                        "certvault generate %s --csr FILE makes the "
                        "request again",
                        r->name);
            return s;
        }
        cv_output_note(&r->cli->out,
                       "%s is the request; with its certificate: certvault "
                       "install %s --cert FILE",
                       r->path, r->name);
    }
    return show(r->cli, entry, err);
}

CV_CMD(held_generate)
{
    const char *token = cv_args_value(args, "token");
    struct request r = {.cli = cli,
                        .name = args->operands[0],
                        .path = cv_args_value(args, "csr"),
                        .subject = cv_args_value(args, "subject"),
                        .dir = -1};
    cJSON *labels = NULL;
    enum cv_status s = cv_check_name(r.name, err);

    if (s == CV_OK && r.path == NULL) {
        s = cv_fail(err, CV_USAGE, "generate wants --csr FILE");
    }
    if (s == CV_OK && token != NULL) {
        cli->token_uri = token;
        s = cv_place_uri(token, "token", err);
    }
    if (s == CV_OK && r.subject == NULL) {
        (void)snprintf(r.own, sizeof(r.own), "CN=%s", r.name);
        r.subject = r.own;
    }
    if (s == CV_OK) {
        s = cv_check_shown(r.subject, "subject", 1024, err);
    }
    if (s == CV_OK) {
        s = look(&r, err);
    }
    if (s == CV_OK) {
        s = check_subject(&r, err);
    }
    if (s == CV_OK) {
        s = cv_check_labels(args, false, &labels, err);
    }
    if (s == CV_OK) {
        s = run_generate(&r, args, labels, err);
    }
    cv_file_close(&r.dir);
    return s;
}

/* install */

CV_CMD(held_install)
{
    const cJSON *identity = NULL, *answer = NULL;
    cJSON *p;
    enum cv_status s = cv_check_name(args->operands[0], err);

    if (s == CV_OK && cv_args_value(args, "cert") == NULL) {
        s = cv_fail(err, CV_USAGE, "install wants --cert FILE");
    }
    if (s == CV_OK) {
        s = check_cluster(args, err);
    }
    if (s == CV_OK) {
        s = compose(cli, args, NULL, &identity, err);
    }
    if (s != CV_OK) {
        return s;
    }
    p = cv_cli_parameters(cli);
    if (!cv_json_add_str(p, "name", args->operands[0]) ||
        !cv_json_add_item(p, "identity", cJSON_Duplicate(identity, true)) ||
        !cv_json_add_bool(p, "dry_run", cli->dry_run)) {
        return no_memory(p, err);
    }
    s = cv_call_simple(cli, "Install", p, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    tell_notes(cli, cJSON_GetObjectItemCaseSensitive(answer, "notes"));
    return show(cli, cJSON_GetObjectItemCaseSensitive(answer, "entry"), err);
}

/* token lost */

static void tell_given_up(struct cv_cli *cli, const cJSON *answer,
                          const cJSON *items)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(answer, "log_keys");

    if (cJSON_GetArraySize(items) > 0) {
        cv_output_note(&cli->out,
                       "their keys are lost: fetch new certificates (certvault "
                       "fetch), then remove these (certvault rm); a key that "
                       "is found again makes its entry ready again");
    }
    if (cJSON_IsNumber(n) && n->valuedouble > 0) {
        cv_output_note(&cli->out,
                       "keys that cut-off changes of the log's key may have "
                       "left there, and that are looked for no more: %.0f; "
                       "should the token turn up, destroy certvault:log:... on "
                       "it with its own tool, but for the key that certvault "
                       "audit key names",
                       n->valuedouble);
    }
}

CV_CMD(held_lost)
{
    const cJSON *answer = NULL, *items;
    cJSON *p;
    enum cv_status s = cv_place_uri(args->operands[0], "token", err);

    if (s != CV_OK) {
        return s;
    }
    p = cv_cli_parameters(cli);
    if (!cv_json_add_str(p, "uri", args->operands[0])) {
        return no_memory(p, err);
    }
    s = cv_call_simple(cli, "TokenLost", p, &answer, err);
    if (s != CV_OK) {
        return s;
    }
    items = cJSON_GetObjectItemCaseSensitive(answer, "items");
    if (!cJSON_IsArray(items)) {
        return cv_fail(err, CV_INVALID, "the answer has no items");
    }
    tell_given_up(cli, answer, items);
    return cv_output_table_list(&cli->out, &cv_entry_view_list, items, err);
}
