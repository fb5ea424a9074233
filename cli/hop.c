#include "cli/hop.h"

#include "cli/call.h"
#include "cli/connect.h"
#include "cli/output_yaml.h"
#include "cli/prompt.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define END_MS 10000

static enum cv_status no_memory(struct cv_err *err)
{
    return cv_fail(err, CV_INTERNAL, "memory is gone");
}

enum cv_status cv_hop_duration(const struct cv_args *args, int64_t *seconds,
                               struct cv_err *err)
{
    const char *text = cv_args_value(args, "for");
    enum cv_status s;

    *seconds = -1;
    if (text == NULL) {
        return CV_OK;
    }
    s = cv_clock_parse_duration(text, false, seconds, err);
    if (s == CV_OK && *seconds == 0) {
        s = cv_fail(err, CV_USAGE, "a grant of no time is none");
    }
    if (s != CV_OK) {
        cv_err_prefix(err, "--for");
    }
    return s;
}

static enum cv_status read_answer(struct cv_hop *h, struct cv_err *err)
{
    const cJSON *grant = NULL;
    const char *id = NULL, *expires = NULL;
    const struct cv_json_field fields[] = {
        {"grant", CV_JSON_OBJECT, true, &grant, 0},
        {"server", CV_JSON_STRING, true, &h->server, 0},
        {"ca", CV_JSON_TEXT, true, &h->ca, CV_LIMIT_PEM},
        {"certificate", CV_JSON_TEXT, true, &h->certificate, CV_LIMIT_PEM},
        {"secret", CV_JSON_STRING, true, &h->secret, CV_KIB(64)},
        {"namespace", CV_JSON_STRING, false, &h->ns, 0},
        {"audit_seq", CV_JSON_INT, false, &h->audit_seq, 0},
    };
    const struct cv_json_field of_grant[] = {
        {"id", CV_JSON_STRING, true, &id, sizeof(h->id) - 1},
        {"entry", CV_JSON_STRING, true, &h->entry, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, true, &h->context, 512},
        {"expires", CV_JSON_STRING, true, &expires, sizeof(h->expires) - 1},
        {"seconds", CV_JSON_INT, true, &h->seconds, 0},
        {"read_only", CV_JSON_BOOL, false, &h->read_only, 0},
    };
    enum cv_status s = cv_json_read(h->reply.tree, "the broker's answer",
                                    fields, COUNT(fields), false, err);

    if (s == CV_OK) {
        s = cv_json_read(grant, "the broker's grant", of_grant, COUNT(of_grant),
                         false, err);
    }
    if (s != CV_OK) {
        cv_err_hint(err, "both programs must be of one version");
        return s;
    }
    (void)snprintf(h->id, sizeof(h->id), "%s", id);
    (void)snprintf(h->expires, sizeof(h->expires), "%s", expires);
    return CV_OK;
}

enum cv_status cv_hop_use(struct cv_cli *cli, const struct cv_hop_want *want,
                          struct cv_hop *out, struct cv_err *err)
{
    cJSON *p = cv_cli_parameters(cli);
    struct cv_call call = {
        .method = "Use", .parameters = p, .secret_out = true};
    enum cv_status s;

    memset(out, 0, sizeof(*out));
    out->audit_seq = -1;
    if (!cv_json_add_str(p, "name", want->name) ||
        !cv_json_add_str(p, "context", want->context) ||
        !cv_json_add_str(p, "kind", want->kind) ||
        !cv_json_add_bool(p, "read_only", want->read_only) ||
        (want->seconds >= 0 &&
         !cv_json_add_int(p, "duration", want->seconds)) ||
        !cv_json_add_bool(p, "tty", cv_prompt_possible(cli))) {
        cJSON_Delete(p);
        return no_memory(err);
    }
    s = cv_call_run(cli, &call, &out->reply, err);
    if (s == CV_OK) {
        s = read_answer(out, err);
    }
    if (s != CV_OK) {
        cv_message_free(&out->reply);
        memset(out, 0, sizeof(*out));
    }
    return s;
}

void cv_hop_wipe(struct cv_hop *h)
{
    cv_message_free(&h->reply);
    h->entry = h->context = h->server = h->ca = h->certificate = NULL;
    h->secret = h->ns = NULL;
}

void cv_hop_end(struct cv_cli *cli, const struct cv_hop *hop)
{
    cJSON *p = cJSON_CreateObject();
    struct cv_message reply;
    struct cv_err err;

    if (!cv_json_add_str(p, "grant", hop->id)) {
        cJSON_Delete(p);
        return;
    }
    cv_err_init(&err);
    /* Not through cv_call_run: nobody is asked to unlock a vault for this. */
    if (cv_client_call(cv_connect_channel(cli), "io.certvault.Broker.UseEnd", p,
                       0, END_MS, &reply, &err) != CV_OK) {
        cv_output_note(&cli->out, "%s", err.text);
    }
    cv_message_free(&reply);
}

enum cv_status cv_hop_name(const char *entry, const char *context,
                           char out[CV_HOP_NAME], struct cv_err *err)
{
    int n = snprintf(out, CV_HOP_NAME, "%s%s%s", entry, context ? "-" : "",
                     context ? context : "");

    return n > 0 && n < CV_HOP_NAME
               ? CV_OK
               : cv_fail(err, CV_INVALID, "the context's name is too long");
}

/* {list: [{name, key: value}]}; `value` is taken. */
static bool add_named(cJSON *root, const char *list, const char *name,
                      const char *key, cJSON *value)
{
    cJSON *item = cJSON_CreateObject();
    cJSON *items = cJSON_CreateArray();

    /* Each takes its part also where it fails. */
    bool ok = cv_json_add_str(item, "name", name);

    ok = cv_json_add_item(item, key, value) && ok;
    if (items == NULL || !cJSON_AddItemToArray(items, item)) {
        cJSON_Delete(item);
        ok = false;
    }
    return cv_json_add_item(root, list, items) && ok;
}

static bool add_pem(cJSON *object, const char *key, const char *pem)
{
    const struct cv_bytes bytes = {(const uint8_t *)pem, strlen(pem)};

    return cv_json_add_base64(object, key, bytes);
}

static bool build(const struct cv_hop *h, const char *name, cJSON *root)
{
    cJSON *cluster = cJSON_CreateObject(), *user = cJSON_CreateObject();
    cJSON *context = cJSON_CreateObject();
    bool ok = cv_json_add_str(root, "apiVersion", "v1") &&
              cv_json_add_str(root, "kind", "Config") &&
              cv_json_add_str(cluster, "server", h->server) &&
              add_pem(cluster, "certificate-authority-data", h->ca) &&
              add_pem(user, "client-certificate-data", h->certificate) &&
              /* It is base64 of PEM already. */
              cv_json_add_str(user, "client-key-data", h->secret) &&
              cv_json_add_str(context, "cluster", name) &&
              cv_json_add_str(context, "user", name) &&
              cv_json_add_str(context, "namespace", h->ns);

    ok = add_named(root, "clusters", name, "cluster", cluster) && ok;
    ok = add_named(root, "users", name, "user", user) && ok;
    ok = add_named(root, "contexts", name, "context", context) && ok;
    return ok && cv_json_add_str(root, "current-context", name);
}

enum cv_status cv_hop_kubeconfig(const struct cv_hop *hop,
                                 struct cv_arena *arena, struct cv_buf *out,
                                 struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(arena);
    cJSON *root = cJSON_CreateObject();
    char name[CV_HOP_NAME];
    enum cv_status s = cv_hop_name(hop->entry, NULL, name, err);

    if (s == CV_OK && !build(hop, name, root)) {
        s = no_memory(err);
    }
    if (s == CV_OK) {
        cv_output_yaml(root, out);
        s = cv_buf_status(out, "the kubeconfig", err);
    }
    cJSON_Delete(root);
    (void)cv_json_use(before);
    return s;
}
