#include "vault/broker/use_internal.h"

#include "vault/base/clock.h"
#include "vault/broker/module_internal.h"

#include <stdlib.h>
#include <string.h>

void cv_use_free(struct cv_use *use)
{
    cv_store_entry_free(use->row);
    cJSON_Delete(use->doc);
    use->row = NULL;
    use->doc = NULL;
    use->context = NULL;
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* The context that is asked for, else the default one, else the first. */
static const cJSON *find_context(const cJSON *doc, const char *name)
{
    const cJSON *list = member(doc, "contexts"), *item;

    cJSON_ArrayForEach(item, list)
    {
        if (name != NULL ? strcmp(cv_entry_text(item, "name"), name) == 0
                         : cJSON_IsTrue(member(item, "default"))) {
            return item;
        }
    }
    return name == NULL && list != NULL ? list->child : NULL;
}

static enum cv_status fits_state(const cJSON *doc, struct cv_err *err)
{
    const char *state = cv_entry_text(doc, "state");
    const char *name = cv_entry_text(doc, "name");
    enum cv_status s = CV_OK;

    if (strcmp(state, "pending") == 0) {
        s = cv_fail(err, CV_INVALID, "the entry %s has no certificate yet",
                    name);
        cv_err_hint(err, "certvault install %s --cert FILE", name);
    } else if (strcmp(state, "lost") == 0) {
        s = cv_fail(err, CV_UNAVAILABLE,
                    "the key of %s is lost: its token has "
                    "it no more",
                    name);
        cv_err_hint(err, "certvault token objects URI shows what is there");
    }
    return s;
}

static enum cv_status no_context(const struct cv_use *use, struct cv_err *err)
{
    enum cv_status s = fits_state(use->doc, err);

    /* One that waits for its certificate has none yet. */
    if (s == CV_OK) {
        s = cv_fail(err, CV_NOT_FOUND, "the entry %s has no such context",
                    use->name);
        cv_err_hint(err, "certvault show %s names its contexts", use->name);
    }
    return s;
}

enum cv_status cv_use_load(struct cv_broker *b, struct cv_use *use,
                           struct cv_err *err)
{
    char name[CV_LIMIT_URL + 1] = "";
    enum cv_status s;

    /* It may be the document's that goes. */
    if (use->ask.context != NULL) {
        memcpy(name, use->ask.context,
               strnlen(use->ask.context, sizeof(name) - 1));
    }
    cv_use_free(use);
    use->ask.context = NULL;
    s = cv_broker_load_entry(b, use->name, true, &use->row, &use->doc, err);
    use->ask.doc = use->doc;
    if (s != CV_OK) {
        return s;
    }
    use->context = find_context(use->doc, name[0] != '\0' ? name : NULL);
    if (use->context == NULL) {
        return no_context(use, err);
    }
    use->ask.context = cv_entry_text(use->context, "name");
    return CV_OK;
}

static enum cv_status not_after(const cJSON *doc, int64_t *out,
                                struct cv_err *err)
{
    return cv_clock_parse(
        cv_entry_text(member(doc, "certificate"), "not_after"), out, err);
}

static enum cv_status fits_time(const cJSON *doc, struct cv_err *err)
{
    const char *name = cv_entry_text(doc, "name");
    int64_t ends_s = 0;
    enum cv_status s = not_after(doc, &ends_s, err);

    if (s == CV_OK && ends_s <= cv_clock_now_s()) {
        char text[CV_CLOCK_TEXT_LEN];

        s = cv_fail(err, CV_EXPIRED, "the certificate of %s ended at %s", name,
                    cv_clock_format(ends_s, text));
        cv_err_hint(err, "fetch or import a new one");
    }
    return s;
}

/* The context whose CA also vouches for one that has none: the cloud's API,
 * which was asked over verified TLS, gave both for the same cluster. */
static const cJSON *sibling(const cJSON *doc)
{
    const cJSON *item;

    if (strcmp(cv_entry_text(member(doc, "source"), "kind"), "cce") != 0) {
        return NULL;
    }
    cJSON_ArrayForEach(item, member(doc, "contexts"))
    {
        if (strcmp(cv_entry_text(item, "verify"), "ca") == 0 &&
            cv_entry_text(item, "ca")[0] != '\0') {
            return item;
        }
    }
    return NULL;
}

static enum cv_status fits_server(const struct cv_use *use, struct cv_err *err)
{
    const char *verify = cv_entry_text(use->context, "verify");
    enum cv_status s;

    if (strcmp(verify, "none") != 0 || sibling(use->doc) != NULL) {
        return CV_OK;
    }
    s = cv_fail(err, CV_DENIED,
                "nothing says who the server of the context %s is",
                use->ask.context);
    cv_err_state(err, "nothing was done; the denial is recorded");
    cv_err_hint(err, "certvault pin %s --context %s --show", use->name,
                use->ask.context);
    return s;
}

enum cv_status cv_use_fits(const struct cv_use *use, struct cv_err *err)
{
    enum cv_status s = fits_state(use->doc, err);

    if (s == CV_OK) {
        s = fits_time(use->doc, err);
    }
    return s == CV_OK ? fits_server(use, err) : s;
}

int64_t cv_use_seconds(const struct cv_use *use)
{
    int64_t ends_s = 0, left;

    if (not_after(use->doc, &ends_s, NULL) != CV_OK) {
        return use->ask.result.duration_s;
    }
    left = ends_s - cv_clock_now_s();
    return left < use->ask.result.duration_s ? left
                                             : use->ask.result.duration_s;
}

/* Terms */

/* The host of https://host[:port][/path], without brackets. */
static cJSON *host_of(const char *server)
{
    char host[CV_LIMIT_HOST + 1];
    const char *at = strstr(server, "://");
    size_t len;

    at = at != NULL ? at + 3 : server;
    if (*at == '[') {
        at++;
        len = strcspn(at, "]");
    } else {
        len = strcspn(at, ":/");
    }
    if (len == 0 || len > CV_LIMIT_HOST) {
        return NULL;
    }
    memcpy(host, at, len);
    host[len] = '\0';
    return cJSON_CreateString(host);
}

static bool add_host(cJSON *names, cJSON *name)
{
    const cJSON *there;

    cJSON_ArrayForEach(there, names)
    {
        if (name != NULL &&
            strcmp(there->valuestring, name->valuestring) == 0) {
            cJSON_Delete(name);
            return true;
        }
    }
    return name != NULL && cJSON_AddItemToArray(names, name);
}

/* The names of those whose CA is taken for a context without one. */
static bool add_sibling_names(const cJSON *doc, cJSON *names)
{
    const cJSON *item;
    bool ok = true;

    cJSON_ArrayForEach(item, member(doc, "contexts"))
    {
        const char *name = cv_entry_text(item, "tls_server_name");

        if (strcmp(cv_entry_text(item, "verify"), "ca") != 0) {
            continue;
        }
        ok = ok && add_host(names, host_of(cv_entry_text(item, "server"))) &&
             (name[0] == '\0' || add_host(names, cJSON_CreateString(name)));
    }
    return ok;
}

static bool add_text(cJSON *to, const char *key, const char *text)
{
    return text[0] == '\0' || cv_json_add_str(to, key, text);
}

static cJSON *upstream(const struct cv_use *use)
{
    const cJSON *c = use->context, *from = c;
    const char *verify = cv_entry_text(c, "verify");
    cJSON *out = cJSON_CreateObject();
    cJSON *names = cJSON_AddArrayToObject(out, "names");
    cJSON *pins = cJSON_AddArrayToObject(out, "pins");
    bool ok = true;

    if (strcmp(verify, "none") == 0) {
        from = sibling(use->doc);
        verify = "ca";
        ok = add_sibling_names(use->doc, names);
    }
    if (strcmp(verify, "pin") == 0) {
        ok = cJSON_AddItemToArray(pins,
                                  cJSON_CreateString(cv_entry_text(c, "pin")));
    }
    if (ok && cv_json_add_str(out, "server", cv_entry_text(c, "server")) &&
        add_text(out, "ca", cv_entry_text(from, "ca")) &&
        add_text(out, "server_name", cv_entry_text(c, "tls_server_name")) &&
        cv_json_add_str(out, "verify", verify) &&
        cv_json_add_str(
            out, "certificates",
            cv_entry_text(member(use->doc, "certificate"), "pem"))) {
        return out;
    }
    cJSON_Delete(out);
    return NULL;
}

static bool add_list(cJSON *to, const char *key, const char *const *words)
{
    cJSON *list;

    if (words == NULL) {
        return true;
    }
    list = cJSON_AddArrayToObject(to, key);
    for (; *words != NULL; words++) {
        if (!cJSON_AddItemToArray(list, cJSON_CreateString(*words))) {
            return false;
        }
    }
    return list != NULL;
}

cJSON *cv_use_terms(const struct cv_use *use)
{
    const struct cv_policy_grant *g = &use->ask.result.grant;
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *out = cJSON_CreateObject();

    if (!cv_json_add_int(out, "uid", (int64_t)use->ask.caller->peer.uid) ||
        !cv_json_add_str(out, "entry", use->name) ||
        !cv_json_add_str(out, "entry_id", use->row->entry_id) ||
        !cv_json_add_str(out, "context", use->ask.context) ||
        !cv_json_add_item(out, "upstream", upstream(use)) ||
        !cv_json_add_bool(out, "read_only", g->read_only) ||
        !add_list(out, "verbs", g->verbs) ||
        !add_list(out, "namespaces", g->namespaces) ||
        !add_list(out, "resources", g->resources) ||
        !cv_json_add_str(out, "record", cv_policy_record_name(g->record))) {
        cJSON_Delete(out);
        out = NULL;
    }
    (void)cv_json_use(before);
    return out;
}

/* Those of a grant are in its order, among what was added to them. */
static bool has_all(const cJSON *terms, const cJSON *order)
{
    const cJSON *item;
    bool same = true;

    cJSON_ArrayForEach(item, terms)
    {
        const cJSON *there = member(order, item->string);

        same =
            same && (cJSON_IsObject(item) ? has_all(item, there)
                                          : cJSON_Compare(item, there, true));
    }
    return same;
}

/* What only the order has: a limit that is not there any more is other terms
 * too. */
static bool has_no_more(const cJSON *terms, const cJSON *order)
{
    static const char *const limits[] = {"verbs", "namespaces", "resources"};

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (member(order, limits[i]) != NULL &&
            member(terms, limits[i]) == NULL) {
            return false;
        }
    }
    return true;
}

const char *cv_use_differs(const struct cv_use *use, const struct cv_grant *g)
{
    cJSON *terms = cv_use_terms(use);
    const char *why = NULL;

    if (terms == NULL || g->order == NULL) {
        why = "memory is gone";
    } else if (!has_all(member(terms, "upstream"),
                        member(g->order, "upstream"))) {
        why = "the entry's context was changed";
    } else if (!has_all(terms, g->order) || !has_no_more(terms, g->order)) {
        why = "the policy gives it on other terms now";
    } else if (use->ask.result.duration_s < g->asked_s ||
               g->given_ms + use->ask.result.duration_s * 1000 <=
                   cv_clock_boot_ms()) {
        why = "the policy gives it for a shorter time now";
    }
    cJSON_Delete(terms);
    return why;
}

cJSON *cv_use_subject(const cJSON *doc)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *out = cJSON_CreateObject();
    cJSON *key = cJSON_AddObjectToObject(out, "key");
    bool ok =
        cv_json_add_str(out, "name", cv_entry_text(doc, "name")) &&
        cv_json_add_str(out, "entry_id", cv_entry_text(doc, "entry_id")) &&
        cv_json_add_str(key, "spki_sha256",
                        cv_entry_text(member(doc, "key"), "spki_sha256"));

    (void)cv_json_use(before);
    if (!ok) {
        cJSON_Delete(out);
        out = NULL;
    }
    return out;
}

/* Algorithms */

static const struct algorithm {
    const char *name; /* TLS's */
    const char *key;
    int bits; /* of an EC key; 0: any */
    bool pss;
} algorithms[] = {
    {"rsa_pss_rsae_sha256", "RSA", 0, true},
    {"rsa_pss_rsae_sha384", "RSA", 0, true},
    {"rsa_pss_rsae_sha512", "RSA", 0, true},
    {"rsa_pkcs1_sha256", "RSA", 0, false},
    {"rsa_pkcs1_sha384", "RSA", 0, false},
    {"rsa_pkcs1_sha512", "RSA", 0, false},
    {"ecdsa_secp256r1_sha256", "EC", 256, false},
    {"ecdsa_secp384r1_sha384", "EC", 384, false},
    {"ecdsa_secp521r1_sha512", "EC", 521, false},
    {"ed25519", "ED25519", 0, false},
};

static bool signs_by(const cJSON *mechanisms, const char *name)
{
    const cJSON *m, *flag;

    cJSON_ArrayForEach(m, mechanisms)
    {
        if (strcmp(cv_entry_text(m, "name"), name) != 0) {
            continue;
        }
        cJSON_ArrayForEach(flag, member(m, "flags"))
        {
            if (cJSON_IsString(flag) &&
                strcmp(flag->valuestring, "sign") == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Can the token do PSS, by itself or with padding made here? Raw PKCS#1 alone
 * cannot: such a key speaks TLS 1.2. */
static enum cv_status ask_pss(struct cv_broker *b, const char *token, bool *pss,
                              struct cv_err *err)
{
    struct cv_message answer = {0};
    cJSON *p = cJSON_CreateObject();
    const cJSON *list;
    enum cv_status s;

    if (!cv_json_add_str(p, "token", token)) {
        cJSON_Delete(p);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    s = cv_module_call(b, token, "Mechanisms", p, 0, &answer, err);
    list = member(answer.tree, "mechanisms");
    *pss = signs_by(list, "CKM_RSA_PKCS_PSS") ||
           signs_by(list, "CKM_SHA256_RSA_PKCS_PSS") ||
           signs_by(list, "CKM_RSA_X_509");
    cv_message_free(&answer);
    return s;
}

enum cv_status cv_use_algorithms(struct cv_broker *b, const cJSON *doc,
                                 cJSON **out, struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    const cJSON *key = member(doc, "key"), *bits = member(key, "bits");
    const char *type = cv_entry_text(key, "type");
    bool pss = true;
    enum cv_status s = CV_OK;

    *out = cJSON_CreateArray();
    if (cv_entry_token_has(doc) && strcmp(type, "RSA") == 0) {
        s = ask_pss(b, cv_entry_token_uri(doc), &pss, err);
    }
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        const struct algorithm *a = &algorithms[i];

        if (strcmp(a->key, type) == 0 && (!a->pss || pss) &&
            (a->bits == 0 ||
             (cJSON_IsNumber(bits) && a->bits == (int)bits->valuedouble))) {
            (void)cJSON_AddItemToArray(*out, cJSON_CreateString(a->name));
        }
    }
    if (s == CV_OK && cJSON_GetArraySize(*out) == 0) {
        s = cv_fail(err, CV_INVALID, "TLS knows no signature of such a key");
    }
    (void)cv_json_use(before);
    if (s != CV_OK) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    return s;
}
