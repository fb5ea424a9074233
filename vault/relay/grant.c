#include "vault/relay/grant.h"

#include "vault/base/encode.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "https://"
#define DIGEST_LEN 32
#define UID_MAX 4294967293 /* -1 and -2 stand for nobody */

/* A grant with what it is made of: `tree` is a copy of the JSON, which most of
 * its texts lie in. */
struct box {
    struct cv_grant grant; /* first: cv_grant_unref finds the box by it */
    atomic_uint refs;
    cJSON *tree;
    struct cv_buf spki;
    const char **lists[6];
    char path[CV_LIMIT_URL + 1];
};

enum { VERBS, NAMESPACES, RESOURCES, NAMES, PINS, ALGORITHMS };

static void free_box(struct box *box)
{
    if (box == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof(box->lists) / sizeof(box->lists[0]); i++) {
        free(box->lists[i]);
    }
    cv_buf_wipe(&box->spki);
    cJSON_Delete(box->tree);
    free(box);
}

/* A list's items: what each must be like. */
static bool is_pattern(const char *text)
{
    return text[0] != '\0' && strlen(text) <= CV_LIMIT_HOST;
}

static bool is_name(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= CV_LIMIT_HOST &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789._:-") == len;
}

static bool is_pin(const char *text)
{
    uint8_t digest[DIGEST_LEN];

    return cv_decode_base64_exact(text, "pin", digest, sizeof(digest), NULL) ==
           CV_OK;
}

static bool is_algorithm(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len < CV_LIMIT_LABEL &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static enum cv_status read_list(const cJSON *array, const char *what,
                                bool (*fits)(const char *), const char ***out,
                                struct cv_err *err)
{
    size_t n = 0;
    int size = cJSON_GetArraySize(array);

    if (size > CV_LIMIT_RELAY_GRANT_ITEMS) {
        return cv_fail(err, CV_INVALID, "Grant: \"%s\" has too many items",
                       what);
    }
    *out = calloc((size_t)size + 1, sizeof(**out));
    if (*out == NULL) {
        return cv_fail(err, CV_INTERNAL, "no memory for a grant");
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        const char *text = cJSON_GetStringValue(item);

        if (text == NULL || !fits(text)) {
            return cv_fail(err, CV_INVALID,
                           "Grant: \"%s\" has an item that cannot be there",
                           what);
        }
        (*out)[n++] = text;
    }
    return CV_OK;
}

/* A limit: null is no limit. An empty list would permit nothing, which nobody
 * writes: it is taken for a mistake. */
static enum cv_status read_limit(struct box *box, const cJSON *array,
                                 const char *what, int which,
                                 const char *const **out, struct cv_err *err)
{
    if (array == NULL) {
        return CV_OK;
    }
    enum cv_status s =
        read_list(array, what, is_pattern, &box->lists[which], err);
    *out = box->lists[which];
    if (s == CV_OK && box->lists[which][0] == NULL) {
        return cv_fail(err, CV_INVALID, "Grant: \"%s\" is empty", what);
    }
    return s;
}

/* HOST, or [IPv6]: its length in `text` (without brackets in `out`); 0: none.
 */
static size_t take_host(const char *text, char out[CV_LIMIT_HOST + 1])
{
    struct in6_addr v6;
    bool brackets = text[0] == '[';
    const char *host = brackets ? text + 1 : text;
    size_t len = strcspn(host, brackets ? "]" : ":/");

    if (len == 0 || len > CV_LIMIT_HOST) {
        return 0;
    }
    memcpy(out, host, len);
    out[len] = '\0';
    if (brackets) {
        bool fine = host[len] == ']' && inet_pton(AF_INET6, out, &v6) == 1;
        return fine ? len + 2 : 0;
    }
    return is_name(out) && out[0] != '.' && out[0] != '-' ? len : 0;
}

/* ":PORT", or nothing where a path or the end follows: its length, or -1. */
static int take_port(const char *text, int *port)
{
    int n = 1;
    int value = 0;

    *port = 443;
    if (text[0] != ':') {
        return text[0] == '\0' || text[0] == '/' ? 0 : -1;
    }
    while (text[n] >= '0' && text[n] <= '9' && n < 7) {
        value = value * 10 + (text[n] - '0');
        n++;
    }
    if (n == 1 || text[1] == '0' || value > 65535 ||
        (text[n] != '\0' && text[n] != '/')) {
        return -1;
    }
    *port = value;
    return n;
}

/* A path that is written into every request line: no escapes, no segment that
 * is empty, "." or "..". */
static bool take_path(const char *text, char out[CV_LIMIT_URL + 1])
{
    size_t len = strlen(text);

    while (len > 0 && text[len - 1] == '/') {
        len--;
    }
    if (len > CV_LIMIT_URL ||
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                     "0123456789-._~!$&'()*+,;=:@/") < len) {
        return false;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    for (const char *at = out; *at != '\0';) {
        size_t segment = strcspn(at + 1, "/"); /* behind the slash at `at` */

        if (segment == 0 || (segment <= 2 && strspn(at + 1, ".") >= segment)) {
            return false;
        }
        at += 1 + segment;
    }
    return true;
}

static enum cv_status read_server(struct box *box, struct cv_err *err)
{
    struct cv_grant_upstream *up = &box->grant.upstream;
    const char *at = up->server;
    size_t host = 0;
    int port = -1;

    if (strncmp(at, SCHEME, strlen(SCHEME)) == 0) {
        at += strlen(SCHEME);
        host = take_host(at, up->host);
        at += host;
        port = host > 0 ? take_port(at, &up->port) : -1;
    }
    if (port < 0 || !take_path(at + port, box->path)) {
        return cv_fail(err, CV_INVALID,
                       "Grant: \"server\" is not https://HOST[:PORT][/PATH]");
    }
    up->path = box->path;
    bool v6 = strchr(up->host, ':') != NULL;
    const char *open = v6 ? "[" : "";
    const char *shut = v6 ? "]" : "";
    (void)snprintf(up->address, sizeof(up->address), "%s%s%s:%d", open,
                   up->host, shut, up->port);
    if (up->port == 443) {
        (void)snprintf(up->authority, sizeof(up->authority), "%s%s%s", open,
                       up->host, shut);
    } else {
        (void)snprintf(up->authority, sizeof(up->authority), "%s", up->address);
    }
    return CV_OK;
}

static enum cv_status read_spki(struct box *box, const char *text,
                                struct cv_err *err)
{
    cv_buf_init(&box->spki, NULL, CV_LIMIT_KEY_DER);
    enum cv_status s =
        cv_decode_base64(text, strlen(text), false, "spki", &box->spki, err);
    if (s == CV_OK) {
        s = cv_buf_status(&box->spki, "spki", err);
    }
    box->grant.upstream.spki = cv_buf_bytes(&box->spki);
    if (s == CV_OK && box->spki.len == 0) {
        s = cv_fail(err, CV_INVALID, "Grant: \"spki\" is empty");
    }
    return s;
}

static enum cv_status read_verify(struct cv_grant_upstream *up,
                                  const char *word, struct cv_err *err)
{
    if (strcmp(word, "ca") == 0) {
        up->verify = CV_GRANT_CA;
        return CV_OK;
    }
    if (strcmp(word, "pin") != 0) {
        return cv_fail(err, CV_INVALID, "Grant: \"verify\" is ca or pin");
    }
    up->verify = CV_GRANT_PIN;
    return up->pins[0] != NULL
               ? CV_OK
               : cv_fail(err, CV_INVALID, "Grant: verify is pin, without pins");
}

/* The lists of the upstream, which are all there but may be empty. */
static enum cv_status read_lists(struct box *box, const cJSON *names,
                                 const cJSON *pins, const cJSON *algorithms,
                                 struct cv_err *err)
{
    struct cv_grant_upstream *up = &box->grant.upstream;
    enum cv_status s =
        read_list(names, "names", is_name, &box->lists[NAMES], err);

    if (s == CV_OK) {
        s = read_list(pins, "pins", is_pin, &box->lists[PINS], err);
    }
    if (s == CV_OK) {
        s = read_list(algorithms, "algorithms", is_algorithm,
                      &box->lists[ALGORITHMS], err);
    }
    if (s != CV_OK) {
        return s;
    }
    up->names = box->lists[NAMES];
    up->pins = box->lists[PINS];
    up->algorithms = box->lists[ALGORITHMS];
    return up->algorithms[0] != NULL
               ? CV_OK
               : cv_fail(err, CV_INVALID, "Grant: \"algorithms\" is empty");
}

static enum cv_status read_upstream(struct box *box, const cJSON *object,
                                    struct cv_err *err)
{
    struct cv_grant_upstream *up = &box->grant.upstream;
    const char *verify = NULL;
    const char *spki = NULL;
    const cJSON *names = NULL;
    const cJSON *pins = NULL;
    const cJSON *algorithms = NULL;
    const struct cv_json_field fields[] = {
        {"server", CV_JSON_STRING, true, &up->server, CV_LIMIT_URL},
        {"ca", CV_JSON_TEXT, false, &up->ca, CV_LIMIT_PEM},
        {"server_name", CV_JSON_STRING, false, &up->server_name, CV_LIMIT_HOST},
        {"names", CV_JSON_ARRAY, true, &names, 0},
        {"verify", CV_JSON_STRING, true, &verify, 0},
        {"pins", CV_JSON_ARRAY, true, &pins, 0},
        {"certificates", CV_JSON_TEXT, true, &up->certificates, CV_LIMIT_PEM},
        {"spki", CV_JSON_STRING, true, &spki, CV_LIMIT_KEY_DER * 2},
        {"algorithms", CV_JSON_ARRAY, true, &algorithms, 0},
    };
    enum cv_status s =
        cv_json_read(object, "Upstream", fields,
                     sizeof(fields) / sizeof(fields[0]), true, err);

    if (s == CV_OK && up->server_name != NULL && !is_name(up->server_name)) {
        s = cv_fail(err, CV_INVALID, "Grant: \"server_name\" is no name");
    }
    if (s == CV_OK) {
        s = read_lists(box, names, pins, algorithms, err);
    }
    if (s == CV_OK) {
        s = read_verify(up, verify, err);
    }
    if (s == CV_OK) {
        s = read_spki(box, spki, err);
    }
    return s == CV_OK ? read_server(box, err) : s;
}

static enum cv_status read_record(struct cv_grant *g, const char *word,
                                  struct cv_err *err)
{
    static const char *const words[] = {"off", "writes", "all"};

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            g->record = (enum cv_grant_record)i;
            return CV_OK;
        }
    }
    return cv_fail(err, CV_INVALID, "Grant: \"record\" is off, writes or all");
}

static enum cv_status read_whose(struct cv_grant *g, const char *id,
                                 int64_t uid, struct cv_err *err)
{
    if (!cv_grant_is_id(id)) {
        return cv_fail(err, CV_INVALID, "Grant: \"id\" is not 32 hex digits");
    }
    if (uid < 0 || uid > UID_MAX || g->ends_ms < 0) {
        return cv_fail(err, CV_INVALID,
                       "Grant: \"uid\" or \"ends_ms\" is out of range");
    }
    memcpy(g->id, id, sizeof(g->id));
    g->uid = (uid_t)uid;
    return CV_OK;
}

static enum cv_status read_grant(struct box *box, struct cv_err *err)
{
    struct cv_grant *g = &box->grant;
    const char *id = NULL;
    const char *record = NULL;
    int64_t uid = -1;
    const cJSON *upstream = NULL;
    const cJSON *verbs = NULL;
    const cJSON *namespaces = NULL;
    const cJSON *resources = NULL;
    const struct cv_json_field fields[] = {
        {"id", CV_JSON_STRING, true, &id, CV_GRANT_ID_LEN},
        {"uid", CV_JSON_INT, true, &uid, 0},
        {"entry", CV_JSON_STRING, true, &g->entry, CV_LIMIT_NAME},
        {"entry_id", CV_JSON_STRING, true, &g->entry_id, CV_LIMIT_NAME},
        {"context", CV_JSON_STRING, true, &g->context, 0},
        {"upstream", CV_JSON_OBJECT, true, &upstream, 0},
        {"read_only", CV_JSON_BOOL, true, &g->read_only, 0},
        {"verbs", CV_JSON_ARRAY, false, &verbs, 0},
        {"namespaces", CV_JSON_ARRAY, false, &namespaces, 0},
        {"resources", CV_JSON_ARRAY, false, &resources, 0},
        {"record", CV_JSON_STRING, true, &record, 0},
        {"ends_ms", CV_JSON_INT, true, &g->ends_ms, 0},
    };
    enum cv_status s =
        cv_json_read(box->tree, "Grant", fields,
                     sizeof(fields) / sizeof(fields[0]), true, err);

    if (s == CV_OK) {
        s = read_whose(g, id, uid, err);
    }
    if (s == CV_OK) {
        s = read_record(g, record, err);
    }
    if (s == CV_OK) {
        s = read_limit(box, verbs, "verbs", VERBS, &g->verbs, err);
    }
    if (s == CV_OK) {
        s = read_limit(box, namespaces, "namespaces", NAMESPACES,
                       &g->namespaces, err);
    }
    if (s == CV_OK) {
        s = read_limit(box, resources, "resources", RESOURCES, &g->resources,
                       err);
    }
    return s == CV_OK ? read_upstream(box, upstream, err) : s;
}

enum cv_status cv_grant_parse(const cJSON *object, struct cv_grant **out,
                              struct cv_err *err)
{
    struct box *box = calloc(1, sizeof(*box));
    struct cv_arena *before = cv_json_use(NULL);

    *out = NULL;
    if (box != NULL) {
        cv_buf_init(&box->spki, NULL, CV_LIMIT_KEY_DER);
        atomic_init(&box->refs, 1);
        box->tree = cJSON_Duplicate(object, true);
    }
    enum cv_status s = box == NULL || (box->tree == NULL && object != NULL)
                           ? cv_fail(err, CV_INTERNAL, "no memory for a grant")
                           : read_grant(box, err);
    if (s == CV_OK) {
        *out = &box->grant;
    } else {
        free_box(box);
    }
    (void)cv_json_use(before);
    return s;
}

struct cv_grant *cv_grant_ref(struct cv_grant *grant)
{
    struct box *box = (struct box *)grant;

    (void)atomic_fetch_add_explicit(&box->refs, 1, memory_order_relaxed);
    return grant;
}

void cv_grant_unref(struct cv_grant *grant)
{
    struct box *box = (struct box *)grant;

    if (box != NULL &&
        atomic_fetch_sub_explicit(&box->refs, 1, memory_order_acq_rel) == 1) {
        free_box(box);
    }
}

bool cv_grant_is_id(const char *id)
{
    return id != NULL && strlen(id) == CV_GRANT_ID_LEN &&
           strspn(id, "0123456789abcdef") == CV_GRANT_ID_LEN;
}
