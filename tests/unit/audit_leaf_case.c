/* Leaves out of bytes of any kind: see audit_leaf_model.h. */
#include "audit_leaf_model.h"

#include "vault/audit/leaf_internal.h"
#include "vault/audit/record_internal.h"
#include "vault/base/json.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS 128
#define MOST 2300 /* bytes of a text: longer than any may be */

/* The bytes that are left to choose by, and the texts that were made. */
struct source {
    const uint8_t *p;
    size_t left;
    size_t n;
    char *texts[TEXTS];
};

static uint8_t draw(struct source *s)
{
    if (s->left == 0) {
        return 0;
    }
    s->left--;
    return *s->p++;
}

static char *keep(struct source *s, size_t len)
{
    char *text = s->n < TEXTS ? calloc(1, len + 1) : NULL;

    if (text == NULL) {
        abort();
    }
    s->texts[s->n++] = text;
    return text;
}

/* What a text is made of, so that all kinds of characters are met. */
static const char *piece(struct source *s, char any[2])
{
    static const char *const pieces[] = {"prod",
                                         "\"",
                                         "\\",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\xef\xbf\xbf",
                                         "\xc2\x80",
                                         "/",
                                         " ",
                                         "0123456789abcdef",
                                         "\x7f",
                                         "\n",
                                         "\xed\xa0\x80",
                                         "\xc0\xaf"};
    uint8_t kind = draw(s);

    /* What no text may hold is rare, so that most leaves are valid. */
    if (kind >= 200 || kind % 16 == 15) {
        any[0] = (char)draw(s);
        any[0] =
            any[0] == '\0' || kind < 250 ? (char)(' ' + kind % 64) : any[0];
        return any;
    }
    return pieces[kind % 16 >= 11 && kind > 15 ? kind % 11 : kind % 16 % 15];
}

static const char *text(struct source *s)
{
    uint8_t n = draw(s);
    char *out, any[2] = {0};
    size_t len = 0;

    if (n < 80) {
        return n < 70 ? NULL : "";
    }
    out = keep(s, MOST + 20);
    if (n >= 250) { /* about as long as one may be */
        static const size_t most[] = {64, 127, 256, 1024, 2048, 2240};

        len = most[n - 250] + draw(s) % 3 - 1;
        memset(out, 'x', len);
        return out;
    }
    for (n %= 12; n > 0; n--) {
        const char *more = piece(s, any);

        memcpy(out + len, more, strlen(more));
        len += strlen(more);
    }
    return out;
}

/* Hex digits, now and then one too few or another character. */
static const char *hex(struct source *s, size_t digits)
{
    uint8_t kind = draw(s);
    char *out = keep(s, digits + 1);

    for (size_t i = 0; i < digits; i++) {
        out[i] = "0123456789abcdef"[(draw(s) + i) % 16];
    }
    if (kind >= 250) {
        static const char bad[] = "gAF /";

        out[kind % digits] = kind == 255 ? '\0' : bad[kind - 250];
    } else if (kind == 249) {
        out[digits] = '0';
    }
    return out;
}

static int64_t number(struct source *s)
{
    static const int64_t edges[] = {
        0, 1, 9, 10, 4294967295, 9007199254740991, 9007199254740992, INT64_MAX};
    uint8_t kind = draw(s);
    int64_t value = 0;

    if (kind < 8) {
        return edges[kind];
    }
    for (unsigned i = 0; i < kind % 7u; i++) {
        value = value << 8 | draw(s);
    }
    return value;
}

static cJSON *value(struct source *s, unsigned kind)
{
    const char *one = text(s);
    cJSON *all;

    switch (kind) {
    case 0:
        return cJSON_CreateString(one == NULL ? "text" : one);
    case 1:
        return cJSON_CreateNumber((double)number(s));
    case 2:
        return cJSON_CreateBool(draw(s) % 2);
    case 3:
        all = cJSON_CreateArray();
        for (unsigned n = draw(s) % 4; n > 0; n--) {
            cJSON_AddItemToArray(all, value(s, 0));
        }
        return all;
    default:
        all = cJSON_CreateObject();
        for (unsigned n = draw(s) % 5; n > 0; n--) {
            /* Now and then the same again, or one that is none. */
            char key[3] = {"bBa0_./- z"[draw(s) % (draw(s) < 10 ? 10 : 8)],
                           "-xa"[draw(s) % 3], '\0'};

            cJSON_AddItemToObject(all, key, value(s, 0));
        }
        return all;
    }
}

static cJSON *details(struct source *s)
{
    static const struct {
        const char *key;
        unsigned kind;
    } some[] = {{"command", 0}, {"items", 1},     {"dry_run", 2},
                {"names", 3},   {"labels", 4},    {"because", 0},
                {"count", 1},   {"denied", 3},    {"digest", 0},
                {"notes", 3},   {"high_risk", 2}, {"nothing", 0}};
    uint8_t n = draw(s);
    cJSON *all = n < 60 ? NULL : cJSON_CreateObject();

    for (n %= 6; all != NULL && n > 0; n--) {
        size_t i = draw(s) % 12;
        unsigned kind = draw(s) > 250 ? draw(s) % 5 : some[i].kind;

        if (i < 11 || draw(s) < 10) {
            cJSON_AddItemToObject(all, some[i].key, value(s, kind));
        }
    }
    return all;
}

static void fill_who(struct source *s, struct cv_leaf *l, gid_t gids[8],
                     const char *rules[8])
{
    l->uid = (uid_t)number(s);
    l->user = text(s);
    l->has_gid = draw(s) % 2;
    l->gid = (gid_t)number(s);
    l->n_gids = draw(s) % 8;
    for (size_t i = 0; i < l->n_gids; i++) {
        gids[i] = draw(s) % 3 == 0 ? l->gid : (gid_t)number(s);
    }
    l->gids = gids;
    l->pid = (pid_t)number(s);
    l->exe = text(s);
    l->tty = text(s);
    l->loginuid = draw(s) % 2 == 0 ? -1 : number(s);
    l->n_rules = draw(s) % 8;
    for (size_t i = 0; i < l->n_rules; i++) {
        rules[i] = text(s);
        if (rules[i] == NULL && draw(s) < 250) {
            rules[i] = "rule";
        }
    }
    l->rules = rules;
}

static void fill(struct source *s, struct cv_leaf *l)
{
    static const char *const actions[] = {"fetch", "use",   "export", "import",
                                          "list",  "admin", "edit",   "fech"};
    static const char *const outcomes[] = {NULL,      "ok",      "failed",
                                           "aborted", "unknown", "fine"};
    uint8_t kind = draw(s);

    l->phase = (enum cv_leaf_phase)(kind % 3);
    l->decision = (enum cv_leaf_verdict)(1 + kind / 3 % 2);
    l->decision = kind > 230 ? CV_LEAF_NONE : l->decision;
    l->action = actions[draw(s) % (kind % 50 == 49 ? 8 : 7)];
    l->outcome = outcomes[draw(s) % (kind % 40 == 39 ? 6 : 5)];
    l->status = draw(s) % 3 == 0 ? (enum cv_status)(draw(s) % 8) : CV_OK;
    l->op = hex(s, CV_LEAF_OP);
    l->time_s = number(s);
    l->mono_ms = number(s);
    l->boot = text(s);
    l->version = text(s);
    l->mode = draw(s) > 8 ? "service" : text(s);
    l->host = draw(s) > 8 ? "host.example" : text(s);
    l->entry = text(s);
    l->entry_id = draw(s) % 2 == 0 ? NULL : hex(s, 32);
    l->spki = draw(s) % 2 == 0 ? NULL : hex(s, 64);
    l->context = text(s);
    l->reason = text(s);
    l->ticket = text(s);
    if (draw(s) % 2 == 0) {
        l->policy_version = number(s);
        l->policy_sha256 = hex(s, 64);
    }
}

/* By way of the tree. */
static bool by_model(const struct cv_leaf *l, uint64_t seq,
                     struct cv_bytes prev, struct cv_buf *out)
{
    cJSON *tree = audit_leaf_model_build(l);
    bool ok = tree != NULL && cv_json_add_int(tree, "v", CV_LEAF_VERSION) &&
              cv_json_add_int(tree, "seq", (int64_t)seq) &&
              cv_json_add_base64(tree, "prev", prev);

    if (ok) {
        cv_json_write(tree, CV_JSON_CANONICAL, out);
    }
    cJSON_Delete(tree);
    return ok && out->status == CV_OK;
}

static const char *compare(const struct cv_leaf *l, uint64_t seq,
                           struct cv_bytes prev, bool *valid)
{
    const struct cv_leaf_place place = {seq, prev};
    const char *differs = NULL;
    struct cv_record record;
    struct cv_buf want, got;
    bool taken, written;

    cv_buf_init(&want, NULL, CV_LIMIT_LEAF);
    cv_buf_init(&got, NULL, CV_LIMIT_LEAF);
    taken =
        by_model(l, seq, prev, &want) &&
        cv_record_follow(cv_buf_bytes(&want), seq, prev.data, &record) == NULL;
    written = cv_leaf_write(l, &place, &got, NULL) == CV_OK;
    if (written != taken) {
        differs = written ? "written, but not valid" : "valid, but refused";
    } else if (written && cv_record_follow(cv_buf_bytes(&got), seq, prev.data,
                                           &record) != NULL) {
        differs = "written, but no reader takes it";
    } else if (written && (want.len != got.len ||
                           memcmp(want.data, got.data, got.len) != 0)) {
        differs = "spelt otherwise";
    }
    *valid = written;
    cv_buf_wipe(&want);
    cv_buf_wipe(&got);
    return differs;
}

const char *audit_leaf_model_compare(const uint8_t *data, size_t size,
                                     bool *valid)
{
    struct source s = {.p = data, .left = size};
    uint8_t prev[CV_TREE_HASH];
    const char *rules[8], *differs;
    gid_t gids[8];
    struct cv_leaf l;
    uint64_t seq;
    bool ok = false;
    cJSON *d;

    cv_leaf_init(&l);
    fill(&s, &l);
    fill_who(&s, &l, gids, rules);
    d = details(&s);
    l.details = d;
    seq = (uint64_t)number(&s) & ((UINT64_C(1) << 53) - 1);
    for (size_t i = 0; i < sizeof prev; i++) {
        prev[i] = (uint8_t)(draw(&s) + i * 37);
    }
    differs = compare(&l, seq, (struct cv_bytes){prev, sizeof prev}, &ok);
    if (valid != NULL) {
        *valid = ok;
    }
    cJSON_Delete(d);
    while (s.n > 0) {
        free(s.texts[--s.n]);
    }
    return differs;
}
