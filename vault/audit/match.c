#include "vault/audit/match_internal.h"

#include "vault/base/json.h"
#include "vault/base/limits.h"
#include "vault/base/name.h"

#include <stdio.h>
#include <string.h>

#define LAST_SECOND INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

/* As a leaf has it between the quotes; stays empty for NULL. */
static enum cv_status spell(const char *text, struct cv_buf *out,
                            const char *what, struct cv_err *err)
{
    cJSON *value;

    cv_buf_init(out, NULL, CV_LIMIT_LEAF);
    if (text == NULL) {
        return CV_OK;
    }
    value = cJSON_CreateString(text);
    if (value == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    cv_json_write(value, CV_JSON_CANONICAL, out);
    cJSON_Delete(value);
    return cv_buf_status(out, what, err);
}

static bool is_any(const struct cv_buf *spelt)
{
    return spelt->len == 0;
}

/* The bytes between the quotes. */
static struct cv_bytes inner(const struct cv_buf *spelt)
{
    return (struct cv_bytes){spelt->data + 1, spelt->len - 2};
}

static bool same(const struct cv_buf *spelt, struct cv_bytes text)
{
    struct cv_bytes want = inner(spelt);

    return want.len == text.len &&
           (want.len == 0 || memcmp(want.data, text.data, want.len) == 0);
}

static bool is_glob(const struct cv_buf *spelt)
{
    return memchr(spelt->data, '*', spelt->len) != NULL ||
           memchr(spelt->data, '?', spelt->len) != NULL;
}

/* Names and actions are ASCII, so a glob over the spelling is one over the
 * text. */
bool cv_match_like(const struct cv_buf *spelt, struct cv_bytes text)
{
    char pattern[CV_LIMIT_PATTERN + 1], name[CV_LIMIT_PATTERN + 1];
    struct cv_bytes want;

    if (is_any(spelt)) {
        return false;
    }
    want = inner(spelt);
    if (!is_glob(spelt)) {
        return same(spelt, text);
    }
    if (want.len >= sizeof pattern || text.len >= sizeof name ||
        text.len == 0) {
        return false;
    }
    memcpy(pattern, want.data, want.len);
    pattern[want.len] = '\0';
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return cv_name_glob(pattern, name);
}

static enum cv_status spell_time(int64_t at, int64_t any, char *out,
                                 struct cv_err *err)
{
    out[0] = '\0';
    if (at == any) {
        return CV_OK;
    }
    if (at < 0 || at > LAST_SECOND) {
        return cv_fail(err, CV_INVALID, "a time outside 1970 to 9999");
    }
    (void)cv_clock_format(at, out);
    return CV_OK;
}

/* "1000" and "uid:1000" name a number as well as a name. */
static void read_uid(struct cv_match *m, const char *actor)
{
    const char *digits = actor;

    if (actor == NULL) {
        return;
    }
    if (strncmp(digits, "uid:", 4) == 0) {
        digits += 4;
    }
    m->has_uid = cv_canon_uint(
        (struct cv_bytes){(const uint8_t *)digits, strlen(digits)}, &m->uid);
}

/* "denied" and "refused" are two kinds of "deny", which is what leaves, and so
 * the index, hold. */
static const char *read_outcome(const char *word, struct cv_match *match)
{
    if (word != NULL && strcmp(word, "denied") == 0) {
        match->deny = CV_MATCH_DENIED;
    } else if (word != NULL && strcmp(word, "refused") == 0) {
        match->deny = CV_MATCH_REFUSED;
    }
    return match->deny != CV_MATCH_DENY ? "deny" : word;
}

enum cv_status cv_match_init(struct cv_match *match,
                             const struct cv_query_filter *filter,
                             struct cv_err *err)
{
    struct {
        const char *text;
        struct cv_buf *out;
        const char *what;
    } texts[] = {
        {filter->actor, &match->actor, "actor"},
        {filter->action, &match->action, "action"},
        {filter->entry, &match->entry, "entry"},
        {filter->entry_id, &match->entry_id, "entry_id"},
        {filter->outcome, &match->outcome, "outcome"},
    };
    enum cv_status status = CV_OK;

    memset(match, 0, sizeof *match);
    texts[4].text = read_outcome(filter->outcome, match);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enum cv_status one = spell(texts[i].text, texts[i].out, texts[i].what,
                                   status == CV_OK ? err : NULL);

        status = status == CV_OK ? one : status;
    }
    read_uid(match, filter->actor);
    if (status == CV_OK) {
        status = spell_time(filter->since_s, INT64_MIN, match->since, err);
    }
    if (status == CV_OK) {
        status = spell_time(filter->until_s, INT64_MAX, match->until, err);
    }
    if (status != CV_OK) {
        cv_match_wipe(match);
    }
    return status;
}

void cv_match_wipe(struct cv_match *match)
{
    cv_buf_wipe(&match->actor);
    cv_buf_wipe(&match->action);
    cv_buf_wipe(&match->entry);
    cv_buf_wipe(&match->entry_id);
    cv_buf_wipe(&match->outcome);
}

bool cv_match_maybe(const struct cv_match *match, struct cv_bytes leaf)
{
    const struct cv_buf *rarest = NULL;

    if (!is_any(&match->entry) && is_any(&match->entry_id) &&
        !is_glob(&match->entry)) {
        rarest = &match->entry;
    } else if (!is_any(&match->action) && !is_glob(&match->action)) {
        rarest = &match->action;
    } else if (!is_any(&match->actor) && !match->has_uid) {
        rarest = &match->actor;
    }
    return rarest == NULL ||
           memmem(leaf.data, leaf.len, rarest->data, rarest->len) != NULL;
}

static struct cv_bytes member(const struct cv_record *r, const char *key)
{
    return cv_canon_string(cv_canon_get(&r->all, key));
}

static bool match_actor(const struct cv_match *m, const struct cv_record *r)
{
    struct cv_canon actor;
    uint64_t uid = 0;

    if (!cv_canon_scan(cv_canon_get(&r->all, "actor"), &actor)) {
        return false;
    }
    if (same(&m->actor, cv_canon_string(cv_canon_get(&actor, "user")))) {
        return true;
    }
    return m->has_uid && cv_canon_uint(cv_canon_get(&actor, "uid"), &uid) &&
           uid == m->uid;
}

/* Either is enough: an entry that was renamed has its id in all its leaves; one
 * that was refused has its name alone. */
static bool match_entry(const struct cv_match *m, const struct cv_record *r)
{
    if (!is_any(&m->entry_id) && same(&m->entry_id, member(r, "entry_id"))) {
        return true;
    }
    return !is_any(&m->entry) && cv_match_like(&m->entry, member(r, "entry"));
}

static bool match_outcome(const struct cv_match *m, const struct cv_record *r)
{
    struct cv_bytes word = r->outcome.len > 0 ? r->outcome : r->decision;

    return same(&m->outcome, word) &&
           (m->deny == CV_MATCH_DENY ||
            cv_record_is_denied(r) == (m->deny == CV_MATCH_DENIED));
}

bool cv_match_record(const struct cv_match *m, const struct cv_record *r)
{
    const char *time = (const char *)r->time.data;

    if ((m->since[0] != '\0' && memcmp(time, m->since, r->time.len) < 0) ||
        (m->until[0] != '\0' && memcmp(time, m->until, r->time.len) > 0)) {
        return false;
    }
    if (!is_any(&m->action) && !cv_match_like(&m->action, r->action)) {
        return false;
    }
    if (!is_any(&m->outcome) && !match_outcome(m, r)) {
        return false;
    }
    if ((!is_any(&m->entry) || !is_any(&m->entry_id)) && !match_entry(m, r)) {
        return false;
    }
    return is_any(&m->actor) || match_actor(m, r);
}
