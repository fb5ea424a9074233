/* What the configuration says of anchors and sinks. A text that is taken names
 * what can be used: a path that is absolute, a host and a port, a key of the
 * right type; and what is refused is told in one clean line without a PIN. */
#include "cli/sink_target.h"
#include "vault/base/arena.h"
#include "vault/broker/anchor_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool what)
{
    if (!what) {
        abort();
    }
}

static bool is_clean(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static void check_error(const struct cv_err *err)
{
    demand(err->text[0] != '\0' && is_clean(err->text) && is_clean(err->hint));
}

/* The limit's own length must fit where it is kept. */
static bool fits(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static void check_witness(const struct cv_anchor_config *c)
{
    struct cv_note_key again;
    struct cv_buf text;

    demand(strncmp(c->target, "https://", 8) == 0 ||
           strncmp(c->target, "http://", 7) == 0);
    demand(strpbrk(c->target, "?#@\"\\ ") == NULL);
    demand(c->witness.type == CV_NOTE_COSIGNATURE);
    demand(c->ca[0] == '\0' || (c->ca[0] == '/' && c->target[4] == 's'));
    cv_buf_init(&text, NULL, CV_KIB(1));
    cv_note_key_text(&c->witness, &text);
    demand(cv_note_key_parse(cv_buf_text(&text), &again, NULL) == CV_OK);
    cv_buf_wipe(&text);
}

static void try_anchor(const char *text)
{
    struct cv_anchor_config c;
    struct cv_err err;

    cv_err_init(&err);
    memset(&c, 0x5a, sizeof(c));
    if (cv_anchor_config_parse(text, &c, &err) != CV_OK) {
        check_error(&err);
        demand(strcasestr(text, "pin-value=") == NULL ||
               strcasestr(err.text, "pin-value=") == NULL);
        return;
    }
    demand(fits(c.target, sizeof(c.target)) && fits(c.ca, sizeof(c.ca)));
    demand(is_clean(c.target) && is_clean(c.ca));
    if (c.kind == CV_ANCHOR_WITNESS) {
        check_witness(&c);
        return;
    }
    demand(c.ca[0] == '\0');
    demand(strcasestr(text, "pin-value=") == NULL);
    demand(c.kind == CV_ANCHOR_TOKEN ? strncmp(c.target, "pkcs11:", 7) == 0
                                     : c.target[0] == '/');
}

static void check_sink(const char *text, const struct cv_sink_target *t)
{
    bool net = t->kind == CV_SINK_TARGET_UDP || t->kind == CV_SINK_TARGET_TCP ||
               t->kind == CV_SINK_TARGET_TLS ||
               t->kind == CV_SINK_TARGET_HTTP ||
               t->kind == CV_SINK_TARGET_HTTPS;
    struct cv_sink_target again;

    demand(fits(t->name, sizeof(t->name)) && fits(t->path, sizeof(t->path)) &&
           fits(t->ca, sizeof(t->ca)));
    demand(strncmp(text, t->name, strlen(t->name)) == 0);
    demand(t->behind >= 1 && t->behind <= CV_LIMIT_SINK_BEHIND);
    demand(t->ca[0] == '\0' || t->ca[0] == '/');
    demand(t->ca[0] == '\0' || t->kind == CV_SINK_TARGET_TLS ||
           t->kind == CV_SINK_TARGET_HTTPS);
    demand(net == (t->host[0] != '\0'));
    demand(!net || (t->port[0] != '\0' &&
                    strspn(t->port, "0123456789") == strlen(t->port)));
    demand(net || t->path[0] == '/');
    demand(!net || strpbrk(t->host, "/@?#%\\ ") == NULL);
    /* What it is called by names the same place. */
    demand(cv_sink_target_parse(t->name, &again, NULL) == CV_OK);
    demand(again.kind == t->kind && strcmp(again.path, t->path) == 0 &&
           strcmp(again.origin, t->origin) == 0);
}

static void try_sink(const char *text)
{
    struct cv_sink_target t;
    struct cv_err err;

    cv_err_init(&err);
    memset(&t, 0x5a, sizeof(t));
    if (cv_sink_target_parse(text, &t, &err) == CV_OK) {
        check_sink(text, &t);
    } else {
        check_error(&err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    char *text = calloc(1, size + 1);

    if (!started && cv_arena_start(NULL) != CV_OK) {
        abort();
    }
    started = true;
    if (text == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    try_anchor(text);
    try_sink(text);
    free(text);
    return 0;
}
