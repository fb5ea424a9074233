/* credential: the exec plugin of kubectl and its kin (Kubernetes, "client-go
 * credential plugins"; client.authentication.k8s.io v1 and v1beta1).
 *
 * Only the document goes to standard output. What goes wrong is one line,
 * because kubectl shows it among its own. */
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/connect.h"
#include "cli/hop.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <stdlib.h>
#include <string.h>

#define GROUP "client.authentication.k8s.io/"
/* Asked for anew after so long: what policy says by then counts. */
#define FRESH_S 600
/* Before the grant ends, for clocks and for a request under way. */
#define EARLY_S 5

/* What kubectl tells its plugin in KUBERNETES_EXEC_INFO. */
struct asked {
    const char *api;
    bool interactive;
};

static enum cv_status read_info(struct cv_cli *cli, struct asked *a,
                                struct cv_err *err)
{
    const char *text = getenv("KUBERNETES_EXEC_INFO");
    const cJSON *spec;
    cJSON *info = NULL;
    enum cv_status s;

    a->api = GROUP "v1";
    a->interactive = true;
    if (text == NULL || text[0] == '\0') {
        return CV_OK;
    }
    s = cv_json_parse(NULL,
                      (struct cv_bytes){(const uint8_t *)text, strlen(text)},
                      &info, err);
    if (s != CV_OK) {
        cv_err_prefix(err, "KUBERNETES_EXEC_INFO");
        return s;
    }
    if (cv_cli_keep(cli, info, err) == NULL) {
        return CV_INTERNAL;
    }
    text = cJSON_GetStringValue(
        cJSON_GetObjectItemCaseSensitive(info, "apiVersion"));
    spec = cJSON_GetObjectItemCaseSensitive(info, "spec");
    a->interactive =
        !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(spec, "interactive"));
    if (text != NULL && strcmp(text, GROUP "v1") == 0) {
        return CV_OK;
    }
    a->api = GROUP "v1beta1";
    if (text == NULL || strcmp(text, a->api) != 0) {
        s = cv_fail(err, CV_INVALID,
                    "KUBERNETES_EXEC_INFO asks for an apiVersion that is "
                    "neither " GROUP "v1 nor v1beta1");
        return s;
    }
    return CV_OK;
}

static const char *expiry(const struct cv_hop *hop, char out[CV_CLOCK_TEXT_LEN])
{
    int64_t seconds = hop->seconds > EARLY_S ? hop->seconds - EARLY_S : 0;

    return cv_clock_format(
        cv_clock_now_s() + (seconds < FRESH_S ? seconds : FRESH_S), out);
}

/* The key comes as base64 of its PEM; the document wants the PEM. */
static bool build(const struct asked *a, const struct cv_hop *hop,
                  const char *key, cJSON *root)
{
    char until[CV_CLOCK_TEXT_LEN];
    cJSON *status = cJSON_CreateObject(), *spec = cJSON_CreateObject();
    bool ok =
        cv_json_add_str(root, "apiVersion", a->api) &&
        cv_json_add_str(root, "kind", "ExecCredential") &&
        cv_json_add_bool(spec, "interactive", a->interactive) &&
        cv_json_add_str(status, "expirationTimestamp", expiry(hop, until)) &&
        cv_json_add_str(status, "clientCertificateData", hop->certificate) &&
        cv_json_add_str(status, "clientKeyData", key);

    ok = cv_json_add_item(root, "spec", spec) && ok;
    return cv_json_add_item(root, "status", status) && ok;
}

static enum cv_status print(struct cv_cli *cli, const struct asked *a,
                            const struct cv_hop *hop, struct cv_err *err)
{
    struct cv_arena *arena = NULL, *before;
    struct cv_buf key, text;
    cJSON *root;
    enum cv_status s = cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err);

    if (s != CV_OK) {
        return s;
    }
    before = cv_json_use(arena);
    cv_buf_init(&key, arena, CV_KIB(64));
    cv_buf_init(&text, arena, CV_LIMIT_PEM);
    s = cv_decode_base64(hop->secret, strlen(hop->secret), false,
                         "the hop's key", &key, err);
    root = cJSON_CreateObject();
    if (s == CV_OK && !build(a, hop, cv_buf_text(&key), root)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    if (s == CV_OK) {
        cv_json_write(root, CV_JSON_COMPACT, &text);
        cv_buf_add_char(&text, '\n');
        s = cv_buf_status(&text, "the credential", err);
    }
    (void)cv_json_use(before);
    if (s == CV_OK) {
        s = cv_output_write(&cli->out, cv_buf_bytes(&text), err);
    }
    cv_arena_free(arena);
    return s;
}

static enum cv_status check(struct cv_cli *cli, const struct cv_args *args,
                            struct cv_err *err)
{
    enum cv_status s = cv_check_name(args->operands[0], err);

    if (s == CV_OK) {
        s = cv_check_shown(cv_args_value(args, "context"), "context", 512, err);
    }
    if (s == CV_OK && cli->vault_id == NULL) {
        s = cv_fail(err, CV_USAGE, "credential wants --vault-id");
        cv_err_hint(err, "certvault kubeconfig NAME writes it");
    }
    if (s == CV_OK && (cli->no_agent || (cli->broker != NULL &&
                                         strcmp(cli->broker, "exec:") == 0))) {
        s = cv_fail(err, CV_USAGE,
                    "a broker for one command ends before kubectl begins: "
                    "credential needs one that stays");
        cv_err_hint(err, "leave out --no-agent and --broker exec:, or use "
                         "certvault exec");
    }
    return s;
}

CV_CMD(credential)
{
    const struct cv_hop_want want = {
        .name = args->operands[0],
        .context = cv_args_value(args, "context"),
        .kind = "credential",
        .seconds = -1,
    };
    struct asked asked;
    struct cv_hop hop;
    enum cv_status s;

    cli->out.one_line = true;
    cli->agent_only = cli->quiet_build = true;
    cli->vault_id = cv_args_value(args, "vault-id");
    s = check(cli, args, err);
    if (s == CV_OK) {
        s = read_info(cli, &asked, err);
    }
    if (s != CV_OK) {
        return s;
    }
    cli->no_input = cli->no_input || !asked.interactive;
    s = cv_hop_use(cli, &want, &hop, err);
    if (s == CV_OK) {
        s = print(cli, &asked, &hop, err);
        cv_hop_wipe(&hop);
    } else if (s == CV_LOCKED) {
        /* Who runs kubectl has no flags of ours to give. */
        cv_err_hint(err, "certvault unlock (a token: certvault token login "
                         "URI) opens it for what follows");
    }
    return s;
}
