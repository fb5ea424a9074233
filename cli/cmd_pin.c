/* pin: which key a server must show, and which one it does. */
#include "cli/call.h"
#include "cli/check.h"
#include "cli/cmd.h"
#include "cli/entry_view.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <string.h>

/* Against what is pinned, or else against what the relay met. */
static void shows_cell(const cJSON *server, struct cv_buf *out)
{
    const char *shows = cv_output_table_text(server, "shows");
    const char *pin = cv_output_table_text(server, "pin");
    const cJSON *keys = cv_output_table_at(server, "server_keys");
    const cJSON *key;
    bool met = false;

    cJSON_ArrayForEach(key, keys)
    {
        met = met || (cJSON_IsString(key) && shows != NULL &&
                      strcmp(key->valuestring, shows) == 0);
    }
    cv_output_table_cell(cv_output_table_at(server, "shows"), out);
    if (shows != NULL && pin != NULL) {
        cv_buf_add_str(out, strcmp(shows, pin) == 0
                                ? " (as pinned)"
                                : " (NOT the one that is pinned)");
    } else if (cJSON_GetArraySize(keys) > 0) {
        cv_buf_add_str(out, met ? " (met before)" : " (NEVER met before)");
    }
}

static const struct cv_output_column columns[] = {
    {"entry", "name", NULL, NULL},
    {"context", "context", NULL, NULL},
    {"server", "server", NULL, NULL},
    {"server name", "tls_server_name", NULL, NULL},
    {"verify", "verify", NULL, NULL},
    {"pinned", "pin", NULL, NULL},
    {"met", "server_keys", NULL, NULL},
    {"shows now", NULL, shows_cell, NULL},
};

static const struct cv_output_view view = {
    .kind = "ServerKey",
    .name = "shows",
    .columns = columns,
    .n_columns = sizeof(columns) / sizeof(columns[0]),
};

static enum cv_status show(struct cv_cli *cli, cJSON *parameters,
                           struct cv_err *err)
{
    const cJSON *server;
    const char *shows, *pin;
    enum cv_status s = cv_call_member(cli, "ServerKey", parameters, "server",
                                      CV_JSON_OBJECT, &server, err);

    if (s == CV_OK) {
        s = cv_output_table_object(&cli->out, &view, server, err);
    }
    if (s != CV_OK) {
        return s;
    }
    shows = cv_output_table_text(server, "shows");
    pin = cv_output_table_text(server, "pin");
    if (pin == NULL || shows == NULL || strcmp(pin, shows) != 0) {
        cv_output_note(&cli->out,
                       "nobody vouches for what the server shows: compare it "
                       "with what its keeper says, then certvault pin NAME "
                       "--context C --spki KEY. He gets it by: openssl x509 "
                       "-in CERTIFICATE -noout -pubkey | openssl pkey -pubin "
                       "-outform der | openssl dgst -sha256 -binary | base64");
    }
    return CV_OK;
}

static enum cv_status pin(struct cv_cli *cli, cJSON *parameters,
                          struct cv_err *err)
{
    const cJSON *entry;
    enum cv_status s = cv_call_member(cli, "Pin", parameters, "entry",
                                      CV_JSON_OBJECT, &entry, err);

    return s == CV_OK ? cv_output_table_object(&cli->out, &cv_entry_view_one,
                                               entry, err)
                      : s;
}

static enum cv_status check(const struct cv_args *args, const char *context,
                            const char *spki, struct cv_err *err)
{
    uint8_t digest[32];
    enum cv_status s = cv_check_name(args->operands[0], err);

    if (s == CV_OK &&
        (context == NULL || (spki != NULL) == cv_args_has(args, "show"))) {
        s = cv_fail(err, CV_USAGE, "pin wants --context, and --spki or --show");
    }
    if (s == CV_OK) {
        s = cv_check_shown(context, "context", CV_LIMIT_NAME, err);
    }
    if (s == CV_OK && spki != NULL &&
        cv_decode_base64_exact(spki, "--spki", digest, sizeof(digest), NULL) !=
            CV_OK) {
        s = cv_fail(err, CV_USAGE,
                    "--spki takes a SHA-256 digest in base64 (44 characters)");
    }
    return s;
}

CV_CMD(pin)
{
    const char *context = cv_args_value(args, "context");
    const char *spki = cv_args_value(args, "spki");
    cJSON *parameters;
    enum cv_status s = check(args, context, spki, err);

    if (s != CV_OK) {
        return s;
    }
    parameters = cv_cli_parameters(cli);
    if (!cv_json_add_str(parameters, "name", args->operands[0]) ||
        !cv_json_add_str(parameters, "context", context) ||
        !cv_json_add_str(parameters, "spki", spki)) {
        cJSON_Delete(parameters);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return spki == NULL ? show(cli, parameters, err)
                        : pin(cli, parameters, err);
}
