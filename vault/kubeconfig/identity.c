#include "vault/kubeconfig/identity_internal.h"

#include "vault/base/clock.h"
#include "vault/base/json.h"
#include "vault/kubeconfig/kube_room_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NOTE_MAX 1024

/* Room behind a suffix for what tells it from others: "-500". */
#define TAIL 8

static const struct cv_identity_context *find(const struct cv_identity *id,
                                              const char *name, bool verify)
{
    for (size_t i = 0; name != NULL && i < id->n_contexts; i++) {
        const struct cv_identity_context *c = &id->contexts[i];
        if (strcmp(c->name, name) == 0 && (c->verify || !verify)) {
            return c;
        }
    }
    return NULL;
}

void cv_identity_choose(struct cv_identity *identity, const char *current)
{
    const struct cv_identity_context *best =
        find(identity, "externalTLSVerify", true);
    if (best == NULL) {
        best = find(identity, "internal", true);
    }
    if (best == NULL) {
        best = find(identity, current, false);
    }
    for (size_t i = 0; best == NULL && i < identity->n_contexts; i++) {
        best = identity->contexts[i].verify ? &identity->contexts[i] : NULL;
    }
    if (best == NULL) {
        best = identity->contexts;
    }
    for (size_t i = 0; i < identity->n_contexts; i++) {
        identity->contexts[i].is_default = &identity->contexts[i] == best;
    }
}

static bool is_alnum(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9');
}

/* What of `name` may stand in an entry's name. */
static void make_safe(const char *name, char out[CV_IDENTITY_SUFFIX_MAX + 1])
{
    size_t n = 0;
    for (; *name != '\0' && n < CV_IDENTITY_SUFFIX_MAX - TAIL; name++) {
        char c = *name;
        bool dots = c == '.' && n > 0 && out[n - 1] == '.';
        bool plain = is_alnum(c) || c == '_' || c == '-' || c == '.';
        c = plain && !dots ? c : '-';
        bool twice = c == '-' && n > 0 && out[n - 1] == '-';
        if (!twice && (n > 0 || is_alnum(c))) {
            out[n++] = c;
        }
    }
    while (n > 0 && !is_alnum(out[n - 1])) {
        n--;
    }
    out[n] = '\0';
    if (n == 0) {
        (void)snprintf(out, CV_IDENTITY_SUFFIX_MAX, "context");
    }
}

static bool is_taken(const struct cv_identity *identities, size_t n,
                     const char *suffix)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(identities[i].suffix, suffix) == 0) {
            return true;
        }
    }
    return false;
}

void cv_identity_name(struct cv_identity *identities, size_t i)
{
    char *suffix = identities[i].suffix;
    make_safe(identities[i].contexts[0].name, suffix);
    size_t len = strlen(suffix);
    for (unsigned k = 2; is_taken(identities, i, suffix); k++) {
        (void)snprintf(suffix + len, CV_IDENTITY_SUFFIX_MAX + 1 - len, "-%u",
                       k);
    }
}

enum cv_status cv_identity_note(struct cv_arena *arena,
                                struct cv_identity *identity,
                                struct cv_err *err, const char *fmt, ...)
{
    char text[NOTE_MAX];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    size_t room = identity->n_contexts + CV_IDENTITY_NOTES;
    if (identity->notes == NULL) {
        identity->notes =
            cv_arena_alloc(arena, room * sizeof(*identity->notes), err);
    }
    if (identity->notes == NULL) {
        return cv_kube_room_failed(err);
    }
    if (len < 0 || identity->n_notes == room) {
        return cv_fail(err, CV_INTERNAL, "a note has no room");
    }
    const char *kept = cv_arena_copy(arena, text, strlen(text), err);
    if (kept == NULL) {
        return cv_kube_room_failed(err);
    }
    identity->notes[identity->n_notes++] = kept;
    return CV_OK;
}

static cJSON *texts(const char *const *items, size_t n)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < n; i++) {
        cJSON *text = cJSON_CreateString(items[i]);
        if (text == NULL || !cJSON_AddItemToArray(array, text)) {
            cJSON_Delete(text);
            cJSON_Delete(array);
            return NULL;
        }
    }
    return array;
}

static cJSON *key_json(const struct cv_private_key *key)
{
    cJSON *o = cJSON_CreateObject();
    struct cv_bytes spki = {key->spki_sha256, sizeof(key->spki_sha256)};
    if (cv_json_add_str(o, "type", key->type) &&
        cv_json_add_int(o, "bits", key->bits) &&
        cv_json_add_hex(o, "spki_sha256", spki) &&
        cv_json_add_base64(o, "spki", key->spki)) {
        return o;
    }
    cJSON_Delete(o);
    return NULL;
}

static cJSON *certificate_json(const struct cv_identity *identity)
{
    const struct cv_certificate *leaf = &identity->leaf;
    char before[CV_CLOCK_TEXT_LEN];
    char after[CV_CLOCK_TEXT_LEN];
    (void)cv_clock_format(leaf->not_before_s, before);
    (void)cv_clock_format(leaf->not_after_s, after);
    cJSON *o = cJSON_CreateObject();
    if (cv_json_add_str(o, "subject", leaf->subject) &&
        cv_json_add_str(o, "issuer", leaf->issuer) &&
        cv_json_add_str(o, "serial", leaf->serial) &&
        cv_json_add_str(o, "not_before", before) &&
        cv_json_add_str(o, "not_after", after) &&
        cv_json_add_str(o, "pem", identity->chain.pem) &&
        cv_json_add_item(o, "groups", texts(leaf->groups, leaf->n_groups))) {
        return o;
    }
    cJSON_Delete(o);
    return NULL;
}

static cJSON *context_json(const struct cv_identity_context *c)
{
    cJSON *o = cJSON_CreateObject();
    if (cv_json_add_str(o, "name", c->name) &&
        cv_json_add_str(o, "cluster", c->cluster) &&
        cv_json_add_str(o, "server", c->server) &&
        cv_json_add_str(o, "ca", c->ca_pem) &&
        cv_json_add_str(o, "tls_server_name", c->tls_server_name) &&
        cv_json_add_str(o, "namespace", c->namespace_name) &&
        cv_json_add_str(o, "verify", c->verify ? "ca" : "none") &&
        (!c->insecure || cv_json_add_bool(o, "insecure", true)) &&
        cv_json_add_bool(o, "default", c->is_default)) {
        return o;
    }
    cJSON_Delete(o);
    return NULL;
}

static cJSON *contexts_json(const struct cv_identity *identity)
{
    cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < identity->n_contexts; i++) {
        cJSON *context = context_json(&identity->contexts[i]);
        if (context == NULL || !cJSON_AddItemToArray(array, context)) {
            cJSON_Delete(context);
            cJSON_Delete(array);
            return NULL;
        }
    }
    return array;
}

cJSON *cv_identity_to_json(const struct cv_identity *identity)
{
    cJSON *o = cJSON_CreateObject();
    struct cv_bytes set = {identity->ca_set, sizeof(identity->ca_set)};
    struct cv_bytes digest = {identity->key.digest,
                              sizeof(identity->key.digest)};
    if (cv_json_add_str(o, "suffix", identity->suffix) &&
        cv_json_add_item(o, "key", key_json(&identity->key)) &&
        cv_json_add_item(o, "certificate", certificate_json(identity)) &&
        cv_json_add_item(o, "contexts", contexts_json(identity)) &&
        cv_json_add_hex(o, "ca_set", set) &&
        (identity->key.pkcs8.len == 0 ||
         cv_json_add_hex(o, "digest", digest)) &&
        cv_json_add_item(o, "notes",
                         texts(identity->notes, identity->n_notes))) {
        return o;
    }
    cJSON_Delete(o);
    return NULL;
}
