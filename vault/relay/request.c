/* What is done with a request before anything of it is passed on: the rules
 * that session.h lists, in that order. */
#include "vault/relay/session_internal.h"

#include "vault/relay/allow.h"
#include "vault/relay/refusal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SHOWN 256

/* Sends it to the server. */
static void pass_on(struct cv_stream *s)
{
    cv_fields_add_text(&s->head, "audit-id", s->audit_id);
    if (s->expects) {
        cv_fields_add_text(&s->head, "expect", "100-continue");
    }
    if (s->head.failed) {
        cv_stream_refuse(s, 431, "the request's headers are too long", NULL);
        return;
    }
    cv_pool_want(s->pool, s);
}

/* The broker has written the request down, or says why it does not. */
static void on_recorded(void *ctx, enum cv_status status, const cJSON *answer,
                        const struct cv_err *err)
{
    struct cv_stream *s = ctx;

    (void)answer;
    s->ask = 0;
    if (!s->permit) {
        cv_stream_refuse(s, s->refuse_code, s->why->text, s->why->hint);
    } else if (status == CV_OK) {
        pass_on(s);
    } else {
        cv_stream_refuse(s, cv_refusal_code(status), err->text, err->hint);
    }
}

/* The path for the record: cut between characters. */
static void shown_path(const char *path, char out[PATH_SHOWN + 1])
{
    size_t len = strlen(path);

    if (len > PATH_SHOWN) {
        len = PATH_SHOWN;
        while (len > 0 && ((unsigned char)path[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    memcpy(out, path, len);
    out[len] = '\0';
}

static cJSON *request_record(const struct cv_stream *s,
                             const struct cv_info *info)
{
    cJSON *p = cJSON_CreateObject();
    char path[PATH_SHOWN + 1];
    char upgrade[32];
    bool fine;

    shown_path(info->path, path);
    (void)cv_err_quote(upgrade, sizeof(upgrade),
                       cv_stream_text(s, s->upgrade).at, s->upgrade.len);
    fine = cv_json_add_str(p, "grant", s->pool->grant->id) &&
           cv_json_add_str(p, "audit_id", s->audit_id) &&
           cv_json_add_str(p, "verb", info->verb) &&
           cv_json_add_str(p, "group", info->group) &&
           cv_json_add_str(p, "resource", info->resource) &&
           cv_json_add_str(p, "subresource", info->subresource) &&
           cv_json_add_str(p, "namespace", info->ns) &&
           cv_json_add_str(p, "name", info->name) &&
           cv_json_add_str(p, "path", path) &&
           cv_json_add_bool(p, "permit", s->permit) &&
           (s->upgrade.len == 0 || cv_json_add_str(p, "upgrade", upgrade)) &&
           (s->permit || cv_json_add_str(p, "why", s->why->text));
    if (!fine) {
        cJSON_Delete(p);
        return NULL;
    }
    return p;
}

/* Asks the broker to write it down; what follows is done when it has. */
static void record(struct cv_stream *s, const struct cv_info *info)
{
    cJSON *p = request_record(s, info);

    if (p == NULL) {
        cv_stream_refuse(s, 503, "out of memory", NULL);
        return;
    }
    s->ask = cv_door_ask(s->world->config.door, "Request", p, on_recorded, s);
}

/* Refuses for `err`, once that is written down. */
static void deny(struct cv_stream *s, const struct cv_info *info, int code,
                 const struct cv_err *err)
{
    s->permit = false;
    s->refuse_code = code;
    s->why = malloc(sizeof(*s->why));
    if (s->why == NULL) {
        cv_stream_refuse(s, code, err->text, err->hint);
        return;
    }
    *s->why = *err;
    record(s, info);
}

/* Drops what does not go along; CV_DENIED for what must not be said. What
 * Connection names is dropped last, so that it cannot hide what is refused. */
static enum cv_status check_fields(struct cv_stream *s, struct cv_err *err)
{
    struct cv_fields *f = &s->head;

    for (uint32_t i = 0; i < f->n; i++) {
        struct cv_slice name = {cv_fields_name(f, i), f->list[i].name_len};
        struct cv_slice value = {cv_fields_value(f, i), f->list[i].value_len};
        enum cv_allow_header what = cv_allow_header(name, value);

        if (what == CV_ALLOW_REFUSE) {
            return cv_allow_header_denied(name, err);
        }
        if (what == CV_ALLOW_DROP && !cv_fields_is(f, i, "connection")) {
            f->list[i].name_len = 0;
        }
    }
    cv_fields_drop_hop(f);
    cv_fields_drop(f, "expect");
    cv_fields_drop(f, "host");
    cv_fields_drop(f, "content-length");
    cv_fields_drop(f, "audit-id");
    cv_fields_join_cookies(f);
    return CV_OK;
}

static void set_audit_id(struct cv_stream *s)
{
    (void)snprintf(s->audit_id, sizeof(s->audit_id), "%s-%llu",
                   s->pool->grant->id,
                   (unsigned long long)++s->world->next_audit);
}

/* Is the grant there, and its time not over? */
static bool grant_lives(struct cv_stream *s)
{
    struct cv_pool *pool = s->pool;

    if (pool->ended_status == 0 && cv_clock_boot_ms() >= pool->grant->ends_ms) {
        cv_stream_refuse(s, 403, "the grant's time is over",
                         "ask for a new one");
        return false;
    }
    if (pool->ended_status != 0) {
        cv_stream_refuse(s, pool->ended_status, pool->why, pool->hint);
        return false;
    }
    return true;
}

void cv_stream_begin_bad(struct cv_stream *s, int code,
                         const struct cv_err *err)
{
    static const struct cv_info none = {
        .verb = "",
        .group = "",
        .version = "",
        .ns = "",
        .resource = "",
        .subresource = "",
        .name = "",
        .path = "",
        .method = "",
    };

    s->world->n_requests++;
    if (grant_lives(s)) {
        set_audit_id(s);
        deny(s, &none, code, err);
    }
}

/* kubectl keeps what it learned of a cluster by the server's address, which is
 * one here for all. So a kubeconfig's address may go on with "/-/" and the
 * entry's name, which is for that alone and goes no further. */
static void drop_own_path(struct cv_stream *s)
{
    struct cv_slice target = cv_stream_text(s, s->target);
    const char *entry = s->pool->grant->entry;
    size_t len = strlen(entry) + 3;

    if (target.len > len && memcmp(target.at, "/-/", 3) == 0 &&
        memcmp(target.at + 3, entry, len - 3) == 0 && target.at[len] == '/') {
        s->target.at += (uint32_t)len;
        s->target.len -= (uint32_t)len;
    }
}

void cv_stream_begin(struct cv_stream *s)
{
    unsigned port = s->world->config.port;
    const struct cv_grant *grant = s->pool->grant;
    struct cv_info info;
    struct cv_err err;
    int code;

    s->world->n_requests++;
    if (!grant_lives(s)) {
        return;
    }
    cv_err_init(&err);
    set_audit_id(s);
    drop_own_path(s);
    if (cv_info_parse(cv_stream_text(s, s->method),
                      cv_stream_text(s, s->target), &info, &err) != CV_OK) {
        code = 400;
    } else if (port != 0 &&
               !cv_http1_is_host(cv_stream_text(s, s->host), (int)port)) {
        (void)cv_fail(&err, CV_DENIED,
                      "the request's Host is not the relay's own");
        cv_err_hint(&err, "connect to https://127.0.0.1:%u", port);
        code = 403;
    } else if (check_fields(s, &err) != CV_OK ||
               cv_allow_decide(grant, &info, s->upgrade.len > 0, &err) !=
                   CV_OK) {
        code = cv_refusal_code(err.status);
    } else {
        s->permit = true;
        if (cv_allow_is_recorded(grant, &info, s->upgrade.len > 0, true)) {
            record(s, &info);
        } else {
            pass_on(s);
        }
        return;
    }
    deny(s, &info, code, &err);
}
