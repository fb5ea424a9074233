#include "cli/config_schema.h"

#include "cli/config_rules.h"
#include "cli/sink_target.h"
#include "vault/base/clock.h"
#include "vault/base/limits.h"
#include "vault/broker/anchor_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_IDLE_S 86400
#define SOCKET_PATH 107 /* struct sockaddr_un has no more */

enum kind {
    TEXT,   /* a string */
    SCALAR, /* a string or a number */
    TEXTS,  /* a list of strings */
    MAP,    /* any keys, strings behind them */
    OBJECT, /* the keys that the table has for it */
    OBJECTS /* a list of such objects */
};

struct key {
    const char *path; /* "socket.path"; "regions.id" for each of a list */
    enum kind kind;
    bool later; /* known; used by a later version */
};

static const struct key keys[] = {
    {"vault", TEXT, false},
    {"socket", OBJECT, false},
    {"socket.path", TEXT, false},
    {"socket.mode", SCALAR, false},
    {"socket.group", TEXT, false},
    {"modules", OBJECTS, false},
    {"modules.name", TEXT, false},
    {"modules.path", TEXT, false},
    {"modules.reserved", TEXT, false},
    {"modules.env", MAP, false},
    {"pin", MAP, false},
    {"cloud", OBJECT, false},
    {"cloud.profile", TEXT, false},
    {"cloud.endpoint", TEXT, false},
    {"cloud.iam_endpoint", TEXT, false},
    {"cloud.ca_file", TEXT, false},
    {"regions", OBJECTS, false},
    {"regions.id", TEXT, false},
    {"regions.endpoint", TEXT, false},
    {"regions.endpoints", TEXTS, false},
    {"policy", OBJECT, false},
    {"policy.signers", TEXTS, false},
    {"audit", OBJECT, false},
    {"audit.sinks", TEXTS, false},
    {"audit.anchors", TEXTS, false},
    {"notify", OBJECT, false},
    {"notify.command", TEXT, false},
    {"relay", OBJECT, false},
    {"relay.port", SCALAR, false},
    {"relay.idle", SCALAR, false},
    {"relay.pool", SCALAR, false},
    {"defaults", OBJECT, false},
    {"defaults.to", TEXT, false},
    {"defaults.duration", SCALAR, false},
    {"defaults.location", TEXT, false},
};

static const struct key *find(const char *path)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (strcmp(keys[i].path, path) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static bool all_texts(const cJSON *list)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item)) {
            return false;
        }
    }
    return true;
}

static bool fits(const struct key *key, const cJSON *value)
{
    switch (key->kind) {
    case TEXT:
        return cJSON_IsString(value);
    case SCALAR:
        return cJSON_IsString(value) || cJSON_IsNumber(value);
    case TEXTS:
        return cJSON_IsArray(value) && all_texts(value);
    case MAP:
        return cJSON_IsObject(value) && all_texts(value);
    case OBJECT:
        return cJSON_IsObject(value);
    default:
        return cJSON_IsArray(value);
    }
}

static enum cv_status refuse(const char *path, const char *why,
                             struct cv_err *err)
{
    char shown[80];
    enum cv_status s =
        cv_fail(err, CV_CONFIG, "%s: %s",
                cv_err_quote(shown, sizeof(shown), path, strlen(path)), why);

    cv_err_hint(err, "certvault-config(5) lists the keys");
    return s;
}

/* Checks the members of `object`, whose own path is `prefix`. Objects nest two
 * deep at most, because the table does. */
static enum cv_status check(const cJSON *object, const char *prefix,
                            const cJSON **bad, struct cv_err *err)
{
    const cJSON *item, *one;
    enum cv_status s = CV_OK;

    cJSON_ArrayForEach(item, object)
    {
        char path[80];
        const struct key *key;
        int n = snprintf(path, sizeof(path), "%s%s%s", prefix,
                         prefix[0] ? "." : "", item->string);

        /* A dot parts the keys of the table, none has one. */
        key = n > 0 && (size_t)n < sizeof(path) &&
                      strchr(item->string, '.') == NULL
                  ? find(path)
                  : NULL;
        *bad = item;
        if (key == NULL) {
            return refuse(path, "no such key", err);
        }
        if (cJSON_IsNull(item)) {
            continue;
        }
        if (!fits(key, item)) {
            return refuse(path, "not of the right type", err);
        }
        if (key->kind == OBJECT) {
            s = check(item, path, bad, err);
        }
        for (one = key->kind == OBJECTS ? item->child : NULL;
             one != NULL && s == CV_OK; one = one->next) {
            *bad = one;
            s = cJSON_IsObject(one)
                    ? check(one, path, bad, err)
                    : refuse(path, "not a list of mappings", err);
        }
        if (s != CV_OK) {
            return s;
        }
    }
    *bad = NULL;
    return CV_OK;
}

/* A whole number from `min` to `max`; absent: *out stays. */
static enum cv_status read_number(const cJSON *object, const char *key,
                                  const char *path, int min, int max, int *out,
                                  const cJSON **bad, struct cv_err *err)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
    char why[80];

    if (value == NULL || cJSON_IsNull(value)) {
        return CV_OK;
    }
    if (!cJSON_IsNumber(value) || value->valuedouble < min ||
        value->valuedouble > max || value->valuedouble > value->valueint ||
        value->valuedouble < value->valueint) {
        (void)snprintf(why, sizeof(why), "a whole number from %d to %d", min,
                       max);
        *bad = value;
        return refuse(path, why, err);
    }
    *out = value->valueint;
    return CV_OK;
}

static enum cv_status read_relay(const cJSON *tree,
                                 struct cv_config_schema_relay *out,
                                 const cJSON **bad, struct cv_err *err)
{
    const cJSON *relay = cJSON_GetObjectItemCaseSensitive(tree, "relay");
    const cJSON *idle = cJSON_GetObjectItemCaseSensitive(relay, "idle");
    int64_t seconds = 0;
    enum cv_status s;

    *out = (struct cv_config_schema_relay){0, 0, 0};
    s = read_number(relay, "port", "relay.port", 1, 65535, &out->port, bad,
                    err);
    if (s == CV_OK) {
        s = read_number(relay, "pool", "relay.pool", 1,
                        CV_LIMIT_RELAY_UPSTREAMS, &out->pool, bad, err);
    }
    if (s != CV_OK || idle == NULL || cJSON_IsNull(idle)) {
        return s;
    }
    if (!cJSON_IsString(idle) ||
        cv_clock_parse_duration(idle->valuestring, false, &seconds, NULL) !=
            CV_OK ||
        seconds < 1 || seconds > MAX_IDLE_S) {
        *bad = idle;
        return refuse("relay.idle", "a time from 1s to 1d, such as 90s or 15m",
                      err);
    }
    out->idle_s = (int)seconds;
    return CV_OK;
}

enum cv_status cv_config_schema_relay(const cJSON *tree,
                                      struct cv_config_schema_relay *out,
                                      struct cv_err *err)
{
    const cJSON *bad;

    return read_relay(tree, out, &bad, err);
}

/* Octal, as chmod(1) has it: text, or the number that YAML makes of the same
 * digits. */
static bool read_mode(const cJSON *value, int *out)
{
    char digits[24];
    unsigned long n;
    char *end;

    if (cJSON_IsString(value)) {
        (void)snprintf(digits, sizeof(digits), "%s", value->valuestring);
    } else if (value->valuedouble >= 0 && value->valuedouble <= 777) {
        (void)snprintf(digits, sizeof(digits), "%d", value->valueint);
    } else {
        return false;
    }
    n = strtoul(digits, &end, 8);
    *out = (int)n;
    return digits[0] >= '0' && digits[0] <= '7' && *end == '\0' && n <= 0777;
}

/* One that a socket can be made at. */
static bool is_socket_path(const char *path)
{
    size_t len = strlen(path);

    return path[0] == '/' && path[len - 1] != '/' && len <= SOCKET_PATH;
}

static enum cv_status read_socket(const cJSON *tree,
                                  struct cv_config_schema_socket *out,
                                  const cJSON **bad, struct cv_err *err)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(tree, "socket");
    const cJSON *mode = cJSON_GetObjectItemCaseSensitive(o, "mode");
    const cJSON *path = cJSON_GetObjectItemCaseSensitive(o, "path");
    const cJSON *group = cJSON_GetObjectItemCaseSensitive(o, "group");

    *out = (struct cv_config_schema_socket){
        .path = cJSON_GetStringValue(path),
        .group = cJSON_GetStringValue(group),
        .mode = -1,
    };
    if (out->path != NULL && !is_socket_path(out->path)) {
        *bad = path;
        return refuse("socket.path",
                      "an absolute path of a file, 107 bytes at most", err);
    }
    if (out->group != NULL && out->group[0] == '\0') {
        *bad = group;
        return refuse("socket.group", "a group's name", err);
    }
    if (mode != NULL && !cJSON_IsNull(mode) && !read_mode(mode, &out->mode)) {
        *bad = mode;
        return refuse("socket.mode", "an octal mode up to 0777", err);
    }
    return CV_OK;
}

enum cv_status cv_config_schema_socket(const cJSON *tree,
                                       struct cv_config_schema_socket *out,
                                       struct cv_err *err)
{
    const cJSON *bad;

    return read_socket(tree, out, &bad, err);
}

const cJSON *cv_config_schema_sinks(const cJSON *tree)
{
    return cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(tree, "audit"), "sinks");
}

/* Each is one, and none is there twice: their cursors have their names. */
static enum cv_status check_sinks(const cJSON *tree, const cJSON **bad,
                                  struct cv_err *err)
{
    const cJSON *list = cv_config_schema_sinks(tree), *item;
    struct cv_sink_target one, other;
    enum cv_status s = CV_OK;

    *bad = list;
    if (cJSON_GetArraySize(list) > CV_LIMIT_SINKS) {
        return refuse("audit.sinks", "more than 8", err);
    }
    cJSON_ArrayForEach(item, list)
    {
        *bad = item;
        s = cv_sink_target_parse(item->valuestring, &one, err);
        for (const cJSON *b = item->next; s == CV_OK && b != NULL;
             b = b->next) {
            s = cv_sink_target_parse(b->valuestring, &other, err);
            if (s == CV_OK && strcmp(one.name, other.name) == 0) {
                s = refuse("audit.sinks", "one of them twice", err);
            }
        }
        if (s != CV_OK) {
            return s;
        }
    }
    return CV_OK;
}

static enum cv_status check_anchors(const cJSON *tree, const cJSON **bad,
                                    struct cv_err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(
                    cJSON_GetObjectItemCaseSensitive(tree, "audit"), "anchors"),
                *item;
    struct cv_anchor_config c;
    enum cv_status s = CV_OK;

    *bad = list;
    if (cJSON_GetArraySize(list) > CV_LIMIT_ANCHORS) {
        return refuse("audit.anchors", "more than 16", err);
    }
    cJSON_ArrayForEach(item, list)
    {
        if (s == CV_OK) {
            *bad = item;
            s = cv_anchor_config_parse(item->valuestring, &c, err);
        }
    }
    return s;
}

enum cv_status cv_config_schema_check(const cJSON *tree, const cJSON **bad,
                                      struct cv_err *err)
{
    struct cv_config_schema_relay relay;
    struct cv_config_schema_socket socket;
    const cJSON *none;
    enum cv_status s;

    bad = bad != NULL ? bad : &none;
    *bad = NULL;
    s = check(tree, "", bad, err);
    if (s == CV_OK) {
        s = read_relay(tree, &relay, bad, err);
    }
    if (s == CV_OK) {
        s = read_socket(tree, &socket, bad, err);
    }
    if (s == CV_OK) {
        s = check_sinks(tree, bad, err);
    }
    if (s == CV_OK) {
        s = check_anchors(tree, bad, err);
    }
    return s == CV_OK ? cv_config_rules_check(tree, bad, err) : s;
}

/* Depth first; false: it is not there. */
static bool count(const cJSON *node, const cJSON *wanted, int *n)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, node)
    {
        if (item == wanted) {
            return true;
        }
        ++*n;
        if (count(item, wanted, n)) {
            return true;
        }
    }
    return false;
}

int cv_config_schema_place(const cJSON *tree, const cJSON *node)
{
    int n = 0;

    return node != NULL && count(tree, node, &n) ? n : -1;
}

void cv_config_schema_later(const cJSON *tree,
                            void (*each)(void *context, const char *key),
                            void *context)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, tree)
    {
        const struct key *key = find(item->string);

        if (key != NULL && key->later) {
            each(context, key->path);
        }
    }
}
