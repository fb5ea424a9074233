/* What a service does beside answering its callers. */
#include "vault/broker/held_internal.h"
#include "vault/broker/module_internal.h"
#include "vault/broker/service_internal.h"
#include "vault/broker/settings.h"

#include "vault/base/file.h"
#include "vault/base/manager.h"
#include "vault/store/store_slot.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static bool is_service(const struct cv_broker *b)
{
    return b->options->service != NULL;
}

enum cv_status cv_service_begin(struct cv_broker *b, struct cv_err *err)
{
    sigset_t hangup;

    b->reload = -1;
    b->relay_options = b->options->relay;
    if (!is_service(b)) {
        return CV_OK;
    }
    (void)sigemptyset(&hangup);
    (void)sigaddset(&hangup, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &hangup, NULL);
    b->reload = signalfd(-1, &hangup, SFD_CLOEXEC | SFD_NONBLOCK);
    return b->reload != -1 ? CV_OK
                           : cv_fail_errno(err, CV_INTERNAL, "a signalfd");
}

void cv_service_end(struct cv_broker *b)
{
    cv_file_close(&b->reload);
    cv_helper_stop(&b->settings);
    cJSON_Delete(b->pins);
    b->pins = NULL;
}

int cv_service_watch(const struct cv_broker *b)
{
    return b->reload;
}

void cv_service_tick(void)
{
    cv_manager_feed(false);
}

int64_t cv_service_rest(void)
{
    return cv_manager_rest_ms();
}

/* ---- the configuration ---- */

struct settings {
    struct cv_broker_relay relay;
    cJSON *pins;
    cJSON *restart; /* keys that want one */
};

static enum cv_status
read_relay(const cJSON *object, struct cv_broker_relay *out, struct cv_err *err)
{
    int64_t port = 0, idle_s = 0, pool = 0;
    const struct cv_json_field fields[] = {
        {"port", CV_JSON_INT, false, &port, 0},
        {"idle_s", CV_JSON_INT, false, &idle_s, 0},
        {"pool", CV_JSON_INT, false, &pool, 0},
    };
    enum cv_status s =
        cv_json_read(object, "relay", CV_BROKER_FIELDS(fields), true, err);

    *out = (struct cv_broker_relay){(int)port, (int)idle_s, (int)pool};
    return s;
}

static void settings_free(struct settings *st)
{
    cJSON_Delete(st->pins);
    cJSON_Delete(st->restart);
    st->pins = st->restart = NULL;
}

static enum cv_status ask_settings(struct cv_broker *b, struct settings *out,
                                   struct cv_err *err)
{
    const cJSON *relay = NULL, *pins = NULL, *restart = NULL;
    const struct cv_json_field fields[] = {
        {"relay", CV_JSON_OBJECT, true, &relay, 0},
        {"pins", CV_JSON_ARRAY, true, &pins, 0},
        {"restart", CV_JSON_ARRAY, true, &restart, 0},
    };
    struct cv_message reply = {0};
    struct cv_arena *before = cv_json_use(NULL);
    enum cv_status s = cv_settings_ask(&b->settings, "Read", NULL, &reply, err);

    out->pins = out->restart = NULL;
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Read", CV_BROKER_FIELDS(fields), false,
                         err);
    }
    if (s == CV_OK) {
        s = read_relay(relay, &out->relay, err);
    }
    if (s == CV_OK) {
        out->pins = cJSON_Duplicate(pins, true);
        out->restart = cJSON_Duplicate(restart, true);
        if (out->pins == NULL || out->restart == NULL) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
            settings_free(out);
        }
    }
    cv_message_free(&reply);
    (void)cv_json_use(before);
    return s;
}

static void adopt(struct cv_broker *b, struct settings *st)
{
    b->relay_options = st->relay;
    cJSON_Delete(b->pins);
    b->pins = st->pins;
    st->pins = NULL;
}

enum cv_status cv_service_read(struct cv_broker *b, struct cv_err *err)
{
    struct settings st;
    enum cv_status s = CV_OK;

    if (is_service(b)) {
        s = ask_settings(b, &st, err);
        if (s == CV_OK) {
            adopt(b, &st);
            settings_free(&st);
        }
    }
    return s;
}

/* The keys that want a restart, in one line; "": none does. */
static const char *list_keys(const cJSON *keys, char *out, size_t size)
{
    const cJSON *key;
    size_t at = 0;

    out[0] = '\0';
    cJSON_ArrayForEach(key, keys)
    {
        int n = snprintf(out + at, size - at, "%s%s", at > 0 ? ", " : "",
                         cJSON_IsString(key) ? key->valuestring : "?");

        if (n < 0 || (size_t)n >= size - at) {
            break;
        }
        at += (size_t)n;
    }
    return out;
}

static void tell_reload(struct cv_broker *b, enum cv_status s,
                        const cJSON *restart, const struct cv_err *err)
{
    char keys[256], serving[320] = "serving";
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "method", "reload");
    if (s != CV_OK) {
        (void)fprintf(stderr,
                      "certvaultd: the configuration was not taken, the old "
                      "one stays: %s\n",
                      err->text);
        (void)cv_json_add_str(details, "because",
                              "the configuration could not be taken");
    } else if (list_keys(restart, keys, sizeof(keys))[0] != '\0') {
        (void)fprintf(stderr,
                      "certvaultd: the configuration was taken, but for what "
                      "wants a restart: %s\n",
                      keys);
        (void)snprintf(serving, sizeof(serving),
                       "serving; restart it to take: %s", keys);
        (void)cv_json_add_str(details, "because", "some keys want a restart");
        (void)cv_json_add_item(details, "names",
                               cJSON_Duplicate(restart, true));
    }
    b->caller = NULL;
    cv_broker_event(b, "broker", s, details);
    cJSON_Delete(details);
    cv_manager_ready(s == CV_OK ? serving
                                : "serving; the configuration could not be "
                                  "read again and the old one stays");
}

/* All of it or nothing: what the spawner keeps is changed last. */
void cv_service_watched(struct cv_broker *b)
{
    struct signalfd_siginfo told;
    struct settings st = {.pins = NULL};
    struct cv_err err;
    bool changed = false;
    enum cv_status s;

    if (read(b->reload, &told, sizeof(told)) != (ssize_t)sizeof(told)) {
        return;
    }
    cv_err_init(&err);
    cv_manager_reloading();
    s = ask_settings(b, &st, &err);
    if (s == CV_OK) {
        s = cv_spawner_reload(b->spawner, &changed, &err);
        if (s == CV_OK) {
            adopt(b, &st);
        }
    }
    /* Their process has the list of before, and may hold what is not on it. */
    if (s == CV_OK && changed) {
        cv_module_stop_all(b);
    }
    if (s == CV_OK) {
        cv_service_locked(b, false);
    }
    tell_reload(b, s, st.restart, &err);
    settings_free(&st);
}

/* The group's number comes from the helper: no name service is loaded here. */
enum cv_status cv_service_give_socket(struct cv_broker *b, struct cv_err *err)
{
    const char *path = b->options->socket_path;
    const char *group = b->options->service->group;
    cJSON *names, *groups = NULL, *nothing = NULL;
    struct cv_message reply = {0};
    const cJSON *gid;
    enum cv_status s;

    if (group == NULL) {
        return CV_OK;
    }
    groups = cJSON_CreateArray();
    names = cJSON_CreateArray();
    nothing = cJSON_CreateArray();
    (void)cJSON_AddItemToArray(groups, cJSON_CreateString(group));
    s = cv_helper_open(&b->names, err);
    if (s == CV_OK) {
        s = cv_names_resolve(b->names.channel, names, groups, nothing, &reply,
                             err);
    }
    cv_helper_stop(&b->names);
    gid = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(reply.tree, "groups"), group);
    if (s == CV_OK && !cJSON_IsNumber(gid)) {
        s = cv_fail(err, CV_CONFIG, "socket.group: there is no group %s",
                    group);
    }
    if (s == CV_OK && chown(path, (uid_t)-1, (gid_t)gid->valuedouble) == -1) {
        s = cv_fail_errno(err, CV_CONFIG,
                          "socket.group: the socket cannot be given to %s",
                          group);
        cv_err_hint(err, "make the service's user a member of that group");
    }
    cv_message_free(&reply);
    cJSON_Delete(names);
    cJSON_Delete(groups);
    cJSON_Delete(nothing);
    return s;
}

/* ---- the vault's key ---- */

void cv_service_locked(struct cv_broker *b, bool locked)
{
    b->own_key_off = locked;
    b->locked_by_hand = locked;
}

static enum cv_status look_for_kind(void *context, const char *id,
                                    const char *doc, struct cv_err *err)
{
    bool *found = context;

    (void)id;
    (void)err;
    *found = *found || strstr(doc, "\"kind\":\"credential\"") != NULL;
    return CV_OK;
}

/* A key file that was encrypted for this machine afterwards: the bytes are the
 * same, the slot is a file's. */
static enum cv_status as_file(struct cv_broker *b, cJSON *key,
                              struct cv_err *err)
{
    bool found = false;
    enum cv_status s = CV_OK;

    if (strcmp(cv_entry_text(key, "kind"), "credential") == 0) {
        s = cv_store_slot_list(b->vault->store, look_for_kind, &found, err);
    } else {
        found = true;
    }
    if (s == CV_OK && !found) {
        cJSON_DeleteItemFromObjectCaseSensitive(key, "name");
        cJSON_DeleteItemFromObjectCaseSensitive(key, "kind");
        s = cv_json_add_str(key, "kind", "file")
                ? CV_OK
                : cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    return s;
}

static enum cv_status open_with(struct cv_broker *b, struct cv_err *err)
{
    struct cv_message reply = {0};
    const char *slot_id = NULL;
    cJSON *details = NULL;
    enum cv_status s = cv_settings_ask(&b->settings, "Key", NULL, &reply, err);

    if (s == CV_OK) {
        s = as_file(b, reply.tree, err);
    }
    if (s == CV_OK) {
        s = cv_broker_open_box(b, reply.tree, NULL, &slot_id, err);
    }
    cv_message_free(&reply);
    (void)cv_json_use(NULL);
    details = cJSON_CreateObject();
    (void)cv_json_add_str(details, "method", "Unlock");
    (void)cv_json_add_str(details, "slot", slot_id);
    cv_broker_event(b, "admin", s, details);
    cJSON_Delete(details);
    return s;
}

enum cv_status cv_service_open(struct cv_broker *b, struct cv_err *err)
{
    struct cv_caller *caller = b->caller;
    struct cv_arena *arena = NULL, *before;
    enum cv_status s;

    if (!is_service(b) || !b->options->service->has_key || b->own_key_off ||
        b->vault == NULL || b->freeze.is) {
        return cv_fail(err, CV_LOCKED, "the vault is locked");
    }
    s = cv_arena_new(CV_KIB(256), &arena, err);
    if (s != CV_OK) {
        return s;
    }
    before = cv_json_use(arena);
    b->caller = NULL; /* it is nobody's doing */
    s = open_with(b, err);
    b->caller = caller;
    (void)cv_json_use(before);
    cv_arena_free(arena);
    /* What did not open it does not the next time either. */
    b->own_key_off = s == CV_AUTH;
    return s;
}

/* ---- a token's PIN ---- */

static const char *pin_for(const struct cv_broker *b, const char *uri)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, b->pins)
    {
        if (cJSON_IsString(item) &&
            cv_held_uri_covers(item->valuestring, uri)) {
            return item->valuestring;
        }
    }
    return NULL;
}

static enum cv_status log_in(struct cv_broker *b,
                             const struct cv_module_token *token,
                             const char *secret, struct cv_err *err)
{
    const struct cv_ledger_wish wish = {.human = false};
    cJSON *p = cJSON_CreateObject();
    enum cv_status s;

    if (!cv_json_add_str(p, "token", token->uri) ||
        !cv_json_add_str(p, "secret", secret) ||
        !cv_json_add_bool(p, "human", false)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_module_login(b, token, &wish, "Login", p, err);
    if (s == CV_OK) {
        cv_held_logged_in(b, token->uri);
    }
    return s;
}

enum cv_status cv_service_login(struct cv_broker *b,
                                const struct cv_module_token *token,
                                struct cv_err *err)
{
    const char *uri = is_service(b) ? pin_for(b, token->uri) : NULL;
    const char *secret = NULL;
    const struct cv_json_field fields[] = {
        {"secret", CV_JSON_STRING, true, &secret, 0},
    };
    struct cv_arena *arena = NULL, *before;
    struct cv_message reply = {0};
    cJSON *p;
    enum cv_status s;

    if (uri == NULL || token->protected_path) {
        return cv_fail(err, CV_LOCKED, "the service has no PIN for it");
    }
    s = cv_arena_new(CV_KIB(256), &arena, err);
    if (s != CV_OK) {
        return s;
    }
    before = cv_json_use(arena);
    p = cJSON_CreateObject();
    s = cv_json_add_str(p, "uri", uri)
            ? cv_settings_ask(&b->settings, "Pin", p, &reply, err)
            : cv_fail(err, CV_INTERNAL, "memory is gone");
    if (s == CV_OK) {
        s = cv_json_read(reply.tree, "Pin", fields, 1, true, err);
    }
    if (s == CV_OK) {
        s = log_in(b, token, secret, err);
    }
    cv_message_free(&reply);
    (void)cv_json_use(before);
    cv_arena_free(arena);
    return s;
}

/* ---- the cloud ---- */

static enum cv_status check_asked(const cJSON *asked, struct cv_err *err)
{
    static const char *const theirs[] = {"region", "project_id", "api"};
    const cJSON *item;

    cJSON_ArrayForEach(item, asked)
    {
        bool ok = cJSON_IsNull(item);

        for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++) {
            ok = ok || strcmp(item->string, theirs[i]) == 0;
        }
        if (!ok) {
            enum cv_status s =
                cv_fail(err, CV_USAGE,
                        "with --as-service credentials and addresses are the "
                        "service's own");

            cv_err_state(err, "nothing was asked of the cloud");
            cv_err_hint(err, "give --region and --project-id alone");
            return s;
        }
    }
    return CV_OK;
}

enum cv_status cv_service_cloud(struct cv_broker *b, const cJSON *asked,
                                cJSON **out, struct cv_err *err)
{
    const cJSON *item;
    struct cv_message reply = {0};
    enum cv_status s = check_asked(asked, err);

    *out = NULL;
    if (s == CV_OK && !is_service(b)) {
        s = cv_fail(err, CV_USAGE, "this broker is no service");
        cv_err_hint(err, "leave out --as-service, or name the service with "
                         "--broker unix:PATH");
    }
    if (s == CV_OK) {
        s = cv_settings_ask(&b->settings, "Cloud", NULL, &reply, err);
    }
    if (s == CV_OK) {
        *out = cJSON_Duplicate(
            cJSON_GetObjectItemCaseSensitive(reply.tree, "cloud"), true);
        if (*out == NULL) {
            s = cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    cv_message_free(&reply);
    if (s != CV_OK) {
        return s;
    }
    cJSON_ArrayForEach(item, asked)
    {
        cJSON *copy = cJSON_Duplicate(item, true);

        cJSON_DeleteItemFromObjectCaseSensitive(*out, item->string);
        if (!cv_json_add_item(*out, item->string, copy)) {
            cJSON_Delete(*out);
            *out = NULL;
            return cv_fail(err, CV_INTERNAL, "memory is gone");
        }
    }
    return CV_OK;
}
