#include "vault/relay/info.h"

#include "vault/base/name.h"

#include <stdint.h>

/* prefix, group, version, special verb, "namespaces", namespace, resource,
 * name, subresource: nobody reads further. */
#define SEGMENTS 9
#define KEY_MAX 16 /* "fieldSelector" and a little */

static const struct {
    const char *method;
    const char *small; /* the verb of what is no resource */
    const char *verb;  /* that of a resource */
} methods[] = {
    {"GET", "get", "get"},       {"HEAD", "head", "get"},
    {"POST", "post", "create"},  {"PUT", "put", "update"},
    {"PATCH", "patch", "patch"}, {"DELETE", "delete", "delete"},
    {"OPTIONS", "options", ""},
};

struct segments {
    const char *at[SEGMENTS];
    size_t n; /* as far as `at` goes */
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that "%XX" at the start of `text` stands for; -1: no escape. */
static int unescape(const char *text, size_t len)
{
    int high = len >= 3 ? hex_value(text[1]) : -1;
    int low = len >= 3 ? hex_value(text[2]) : -1;

    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* May stand in a path as it is (RFC 3986 section 3.3)? */
static bool is_path_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

/* Unescapes the path into `out`. */
static enum cv_status read_path(struct cv_slice path, char *out,
                                struct cv_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < path.len; i++, n++) {
        int byte = (unsigned char)path.at[i];

        if (path.at[i] == '%') {
            byte = unescape(path.at + i, path.len - i);
            i += 2;
            if (byte < 0) {
                return cv_fail(err, CV_INVALID, "the path has a wrong escape");
            }
            if (byte == '/' || byte == '%' || byte == '\\' || byte < 0x20) {
                return cv_fail(err, CV_INVALID,
                               "the path has an escaped slash, backslash, "
                               "percent sign or control character");
            }
        } else if (!is_path_byte(path.at[i])) {
            return cv_fail(err, CV_INVALID,
                           "the path has a character that must be escaped");
        }
        if (n >= CV_LIMIT_RELAY_PATH) {
            return cv_fail(err, CV_INVALID, "the path is longer than %d bytes",
                           CV_LIMIT_RELAY_PATH);
        }
        out[n] = (char)byte;
    }
    out[n] = '\0';
    struct cv_bytes all = {(const uint8_t *)out, n};
    return cv_name_is_printable(all)
               ? CV_OK
               : cv_fail(err, CV_INVALID, "the path is no printable UTF-8");
}

/* Cuts `text` (a copy of the path) at its slashes. */
static enum cv_status split(char *text, struct segments *out,
                            struct cv_err *err)
{
    char *at = text + 1; /* behind the first slash */

    out->n = 0;
    while (*at != '\0') {
        size_t len = strcspn(at, "/");
        bool more = at[len] == '/';

        if (len == 0 || (len <= 2 && strspn(at, ".") >= len)) {
            return cv_fail(err, CV_INVALID,
                           "the path has an empty or a dot segment");
        }
        at[len] = '\0';
        if (out->n < SEGMENTS) {
            out->at[out->n++] = at;
        }
        at += len + (more ? 1 : 0);
    }
    return CV_OK;
}

/* One part of a query, unescaped, '+' a blank. False: a wrong escape. What does
 * not fit into `out` is cut, and *whole false. */
static bool read_part(struct cv_slice part, char *out, size_t size, bool *whole)
{
    size_t n = 0;

    *whole = true;
    for (size_t i = 0; i < part.len; i++) {
        int byte = part.at[i] == '+' ? ' ' : (unsigned char)part.at[i];

        if (part.at[i] == '%') {
            byte = unescape(part.at + i, part.len - i);
            i += 2;
            if (byte < 0) {
                return false;
            }
        }
        *whole = *whole && byte != '\0' && n + 1 < size;
        if (*whole) {
            out[n++] = (char)byte;
        }
    }
    out[n] = '\0';
    return true;
}

/* A selector's value: up to the comma, "\\", "\," and "\=" unescaped. NULL
 * where the apiserver would refuse it; else what is behind. */
static const char *read_value(const char *at, char *out)
{
    while (*at != '\0' && *at != ',') {
        if (*at == '=') {
            return NULL;
        }
        if (*at == '\\') {
            at++;
            if (*at == '\0' || strchr("\\,=", *at) == NULL) {
                return NULL;
            }
        }
        *out++ = *at++;
    }
    *out = '\0';
    return at;
}

/* The name that a field selector asks for (fields.ParseSelector: terms
 * "field=value", "==", "!="): the first metadata.name= in it. The apiserver
 * takes none from a selector that it cannot read. `out` has room for `text`. */
static void read_selector(const char *text, char *out)
{
    static const char field[] = "metadata.name";
    char value[CV_LIMIT_RELAY_NAME + 1];
    bool found = false;

    out[0] = '\0';
    for (const char *at = text; *at != '\0';) {
        if (*at == ',') {
            at++;
            continue;
        }
        size_t len = strcspn(at, "=,");
        bool equal = at[len] == '=' && !(len > 0 && at[len - 1] == '!');
        size_t op = at[len] == '=' && at[len + 1] == '=' && equal ? 2 : 1;
        bool ours =
            equal && len == strlen(field) && memcmp(at, field, len) == 0;

        at = at[len] == '=' ? read_value(at + len + op, value) : NULL;
        if (at == NULL) {
            out[0] = '\0';
            return;
        }
        if (ours && !found) {
            found = true;
            memcpy(out, value, strlen(value) + 1);
        }
    }
}

/* Could it be a name in a path? */
static bool is_segment(const char *name)
{
    struct cv_bytes all = {(const uint8_t *)name, strlen(name)};

    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strpbrk(name, "/%") == NULL && cv_name_is_printable(all);
}

struct list_query {
    bool watch;
    unsigned watches;   /* how often it was said */
    unsigned selectors; /* likewise */
};

static enum cv_status read_watch(struct list_query *q, const char *value,
                                 struct cv_err *err)
{
    bool on = strcmp(value, "0") != 0 && strcasecmp(value, "false") != 0;

    if (q->watches++ > 0 && on != q->watch) {
        return cv_fail(err, CV_INVALID, "the query says watch twice");
    }
    q->watch = on;
    return CV_OK;
}

static enum cv_status read_pair(struct cv_slice pair, struct list_query *q,
                                char *name, struct cv_err *err)
{
    const char *equals = memchr(pair.at, '=', pair.len);
    size_t len = equals != NULL ? (size_t)(equals - pair.at) : pair.len;
    struct cv_slice rest = {pair.at + pair.len, 0};
    char key[KEY_MAX];
    char value[CV_LIMIT_RELAY_NAME + 1] = "";
    bool whole_key;
    bool whole;

    if (equals != NULL) {
        rest.at = equals + 1;
        rest.len = pair.len - len - 1;
    }
    if (memchr(pair.at, ';', pair.len) != NULL ||
        !read_part((struct cv_slice){pair.at, len}, key, sizeof(key),
                   &whole_key) ||
        !read_part(rest, value, sizeof(value), &whole)) {
        return cv_fail(err, CV_INVALID,
                       "the query has a wrong escape or a semicolon");
    }
    if (whole_key && strcmp(key, "watch") == 0) {
        return read_watch(q, whole ? value : "", err);
    }
    if (whole_key && strcmp(key, "fieldSelector") == 0) {
        if (q->selectors++ > 0) {
            return cv_fail(err, CV_INVALID,
                           "the query has two field selectors");
        }
        if (whole) {
            read_selector(value, name);
        }
    }
    return CV_OK;
}

/* GET without a name is a list, or a watch if the query says so. */
static enum cv_status read_list(struct cv_slice query, struct cv_info *out,
                                char *name, struct cv_err *err)
{
    struct list_query q = {false, 0, 0};

    name[0] = '\0';
    while (query.len > 0) {
        const char *end = memchr(query.at, '&', query.len);
        struct cv_slice pair = {query.at, end != NULL ? (size_t)(end - query.at)
                                                      : query.len};
        enum cv_status s =
            pair.len > 0 ? read_pair(pair, &q, name, err) : CV_OK;

        if (s != CV_OK) {
            return s;
        }
        size_t taken = pair.len + (end != NULL ? 1 : 0);
        query.at += taken;
        query.len -= taken;
    }
    out->verb = q.watch ? "watch" : "list";
    if (is_segment(name)) {
        out->name = name;
    }
    return CV_OK;
}

/* What is behind the version: [watch|proxy] [namespaces NS] resource name
 * subresource. `i` is where it begins. */
static enum cv_status read_resource(const struct segments *seg, size_t i,
                                    struct cv_info *out, struct cv_err *err)
{
    bool watch = strcmp(seg->at[i], "watch") == 0;
    bool proxy = strcmp(seg->at[i], "proxy") == 0;

    if (watch || proxy) {
        if (seg->n - i < 2) {
            return cv_fail(err, CV_INVALID,
                           "the path names a verb and no resource");
        }
        if (watch && strcmp(out->method, "GET") != 0 &&
            strcmp(out->method, "HEAD") != 0) {
            return cv_fail(err, CV_INVALID, "a watch is a GET");
        }
        out->verb = watch ? "watch" : "proxy";
        i++;
    }
    if (strcmp(seg->at[i], "namespaces") == 0 && seg->n - i > 1) {
        out->ns = seg->at[i + 1];
        /* Behind a namespace: one of its own subresources, or a resource. */
        if (seg->n - i > 2 && strcmp(seg->at[i + 2], "status") != 0 &&
            strcmp(seg->at[i + 2], "finalize") != 0) {
            i += 2;
        }
    }
    out->resource = seg->at[i];
    if (seg->n - i > 1) {
        out->name = seg->at[i + 1];
    }
    if (seg->n - i > 2 && !proxy) {
        out->subresource = seg->at[i + 2];
    }
    return CV_OK;
}

static enum cv_status classify(const struct segments *seg,
                               struct cv_slice query, const char *verb,
                               char *name, struct cv_info *out,
                               struct cv_err *err)
{
    bool core = seg->n >= 3 && strcmp(seg->at[0], "api") == 0;
    bool grouped = seg->n >= 4 && strcmp(seg->at[0], "apis") == 0;

    if (!core && !grouped) {
        return CV_OK;
    }
    out->is_resource = true;
    out->group = grouped ? seg->at[1] : "";
    out->version = seg->at[grouped ? 2 : 1];
    out->verb = verb;
    enum cv_status s = read_resource(seg, grouped ? 3 : 2, out, err);
    if (s == CV_OK && out->name[0] == '\0' && strcmp(out->verb, "get") == 0) {
        s = read_list(query, out, name, err);
    }
    if (s == CV_OK && out->name[0] == '\0' &&
        strcmp(out->verb, "delete") == 0) {
        out->verb = "deletecollection";
    }
    return s;
}

static void clear(struct cv_info *out)
{
    out->is_resource = false;
    out->verb = out->group = out->version = out->ns = out->resource =
        out->subresource = out->name = out->path = out->method = "";
}

static bool is_query(struct cv_slice query)
{
    for (size_t i = 0; i < query.len; i++) {
        if (query.at[i] <= ' ' || query.at[i] > '~' || query.at[i] == '#') {
            return false;
        }
    }
    return true;
}

enum cv_status cv_info_parse(struct cv_slice method, struct cv_slice target,
                             struct cv_info *out, struct cv_err *err)
{
    struct segments seg;
    struct cv_slice path = target;
    struct cv_slice query = {target.at, 0};
    size_t m = 0;
    size_t n_methods = sizeof(methods) / sizeof(methods[0]);

    clear(out);
    while (m < n_methods && !cv_slice_is(method, methods[m].method)) {
        m++;
    }
    if (m == n_methods) {
        return cv_fail(err, CV_INVALID, "the method is not known");
    }
    out->method = methods[m].method;
    if (target.len == 0 || target.at[0] != '/') {
        return cv_fail(err, CV_INVALID, "the target is no path");
    }
    const char *mark = memchr(target.at, '?', target.len);
    if (mark != NULL) {
        path.len = (size_t)(mark - target.at);
        query.at = mark + 1;
        query.len = target.len - path.len - 1;
    }
    char *copy = out->room + CV_LIMIT_RELAY_PATH + 1;
    char *name = copy + CV_LIMIT_RELAY_PATH + 1;
    enum cv_status s = read_path(path, out->room, err);
    if (s == CV_OK && !is_query(query)) {
        s = cv_fail(err, CV_INVALID,
                    "the query has a character that must be escaped");
    }
    if (s == CV_OK) {
        memcpy(copy, out->room, strlen(out->room) + 1);
        s = split(copy, &seg, err);
    }
    if (s == CV_OK) {
        out->path = out->room;
        out->verb = methods[m].small;
        s = classify(&seg, query, methods[m].verb, name, out, err);
    }
    if (s != CV_OK) {
        clear(out);
        out->method = methods[m].method;
    }
    return s;
}
