#include "cli/sink_target.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SOCKET_PATH 107 /* struct sockaddr_un has no more */

struct scheme {
    const char *text;
    enum cv_sink_target_kind kind;
    const char *port; /* NULL: it is no host's */
    bool ca;
};

static const struct scheme schemes[] = {
    {"syslog+udp://", CV_SINK_TARGET_UDP, "514", false},
    {"syslog+tcp://", CV_SINK_TARGET_TCP, "514", false},
    {"syslog+tls://", CV_SINK_TARGET_TLS, "6514", true},
    {"syslog+unix:", CV_SINK_TARGET_UNIX, NULL, false},
    {"journald:", CV_SINK_TARGET_JOURNAL, NULL, false},
    {"command:", CV_SINK_TARGET_COMMAND, NULL, false},
    {"https://", CV_SINK_TARGET_HTTPS, "443", true},
    {"http://", CV_SINK_TARGET_HTTP, "80", false},
};

static enum cv_status refuse(struct cv_err *err, const char *why)
{
    enum cv_status s = cv_fail(err, CV_CONFIG, "audit.sinks: %s", why);

    cv_err_hint(err, "certvault-config(5) lists what a sink may be");
    return s;
}

static bool is_http(const struct cv_sink_target *t)
{
    return t->kind == CV_SINK_TARGET_HTTP || t->kind == CV_SINK_TARGET_HTTPS;
}

static const struct scheme *find_scheme(const char *text)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strncmp(text, schemes[i].text, strlen(schemes[i].text)) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

static bool is_absolute(const char *path)
{
    return path[0] == '/' && path[1] != '\0' && path[strlen(path) - 1] != '/';
}

/* ---- HOST[:PORT] ---- */

static bool read_port(const char *text, char out[8])
{
    size_t n = strlen(text);
    unsigned long port = strtoul(text, NULL, 10);

    if (n == 0 || n > 5 || strspn(text, "0123456789") != n || port < 1 ||
        port > 65535) {
        return false;
    }
    (void)snprintf(out, 8, "%lu", port);
    return true;
}

/* The host's length; 0 where it is none. */
static size_t host_len(const char *text, bool v6)
{
    size_t n = 0;

    while (isalnum((unsigned char)text[n]) || text[n] == '.' ||
           (v6 ? text[n] == ':' : text[n] == '-' || text[n] == '_')) {
        n++;
    }
    return n > CV_LIMIT_HOST || text[0] == '.' || text[0] == '-' ? 0 : n;
}

/* Reads the authority, which ends where `text` does. */
static enum cv_status read_host(const char *text, const char *standard,
                                struct cv_sink_target *t, struct cv_err *err)
{
    bool v6 = text[0] == '[';
    size_t n;

    if (strchr(text, '@') != NULL) {
        return refuse(err, "an address with a user or a password in it; what "
                           "stands there is read by everybody");
    }
    text += v6 ? 1 : 0;
    n = host_len(text, v6);
    if (n == 0 || (v6 && text[n] != ']')) {
        return refuse(err, "the host is missing or malformed");
    }
    memcpy(t->host, text, n);
    text += n + (v6 ? 1 : 0);
    if (*text == '\0') {
        text = standard;
    } else if (*text++ != ':') {
        return refuse(err, "behind the host stands no port");
    }
    if (!read_port(text, t->port)) {
        return refuse(err, "the port is no number from 1 to 65535");
    }
    (void)snprintf(t->origin, sizeof(t->origin), v6 ? "[%s]:%s" : "%s:%s",
                   t->host, t->port);
    return CV_OK;
}

/* ---- parameters ---- */

static enum cv_status read_parameter(const char *key, const char *value,
                                     bool ca, struct cv_sink_target *t,
                                     struct cv_err *err)
{
    if (strcmp(key, "behind") == 0) {
        size_t n = strlen(value);

        t->behind = strtoul(value, NULL, 10);
        return n > 0 && n < 8 && strspn(value, "0123456789") == n &&
                       t->behind >= 1 && t->behind <= CV_LIMIT_SINK_BEHIND
                   ? CV_OK
                   : refuse(err, "behind= is no number of records, up to "
                                 "1000000");
    }
    if (strcmp(key, "ca") == 0 && ca) {
        if (!is_absolute(value)) {
            return refuse(err, "ca= is not an absolute path");
        }
        (void)snprintf(t->ca, sizeof(t->ca), "%s", value);
        return CV_OK;
    }
    return refuse(err, "a parameter that it does not have");
}

static enum cv_status read_parameters(char *text, bool ca,
                                      struct cv_sink_target *t,
                                      struct cv_err *err)
{
    char *rest = NULL;
    enum cv_status s = CV_OK;

    for (char *one = strtok_r(text, "&", &rest); one != NULL && s == CV_OK;
         one = strtok_r(NULL, "&", &rest)) {
        char *value = strchr(one, '=');

        if (value == NULL) {
            return refuse(err, "a parameter without a value");
        }
        *value++ = '\0';
        s = read_parameter(one, value, ca, t, err);
    }
    return s;
}

/* Query keys by which servers take a secret. */
static bool has_secret(const char *query)
{
    static const char *const words[] = {"token", "key",  "secret", "pass",
                                        "auth",  "cred", "sig"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasestr(query, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- the whole ---- */

static enum cv_status read_http(char *rest, const char *port,
                                struct cv_sink_target *t, struct cv_err *err)
{
    char *path = strpbrk(rest, "/?");
    enum cv_status s;

    (void)snprintf(t->path, sizeof(t->path), "%s%s",
                   path == NULL || *path == '?' ? "/" : "",
                   path != NULL ? path : "");
    if (path != NULL) {
        *path = '\0';
    }
    s = read_host(rest, port, t, err);
    if (s == CV_OK && strchr(t->path, '?') != NULL &&
        has_secret(strchr(t->path, '?'))) {
        s = refuse(err, "a query that looks like a credential; what stands "
                        "there is read by everybody");
    }
    return s;
}

static enum cv_status read_rest(char *rest, const struct scheme *scheme,
                                struct cv_sink_target *t, struct cv_err *err)
{
    static char journal[] = "/run/systemd/journal/socket";

    if (is_http(t)) {
        return read_http(rest, scheme->port, t, err);
    }
    if (scheme->port != NULL) {
        return read_host(rest, scheme->port, t, err);
    }
    /* Another socket than systemd's is for tests. */
    if (t->kind == CV_SINK_TARGET_JOURNAL && *rest == '\0') {
        rest = journal;
    }
    if (!is_absolute(rest) ||
        (t->kind != CV_SINK_TARGET_COMMAND && strlen(rest) > SOCKET_PATH)) {
        return refuse(err, "not an absolute path, or too long a one");
    }
    (void)snprintf(t->path, sizeof(t->path), "%s", rest);
    return CV_OK;
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= 0x20 || *text >= 0x7f || *text == '"' || *text == '\\') {
            return false;
        }
    }
    return true;
}

enum cv_status cv_sink_target_parse(const char *text,
                                    struct cv_sink_target *out,
                                    struct cv_err *err)
{
    const struct scheme *scheme = find_scheme(text);
    char copy[CV_LIMIT_URL + 1], *parameters;
    enum cv_status s = CV_OK;

    memset(out, 0, sizeof(*out));
    out->behind = CV_LIMIT_SINK_BEHIND;
    if (strlen(text) > CV_LIMIT_URL || !is_plain(text)) {
        return refuse(err, "too long, or not plain ASCII without blanks");
    }
    if (scheme == NULL) {
        return refuse(err, "it begins with nothing that is known");
    }
    out->kind = scheme->kind;
    (void)snprintf(copy, sizeof(copy), "%s", text);
    parameters = strchr(copy, is_http(out) ? '#' : '?');
    if (parameters != NULL) {
        *parameters++ = '\0';
        s = read_parameters(parameters, scheme->ca, out, err);
    }
    (void)snprintf(out->name, sizeof(out->name), "%s", copy);
    return s == CV_OK ? read_rest(copy + strlen(scheme->text), scheme, out, err)
                      : s;
}
