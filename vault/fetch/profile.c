#include "vault/fetch/profile.h"

#include <stdbool.h>
#include <string.h>

enum section { NO_SECTION, BASIC, GLOBAL, OTHER };

/* A piece of the text. */
struct span {
    const char *at;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.at[s.len - 1])) {
        s.len--;
    }
    return s;
}

static bool equals(struct span s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.at, word, s.len) == 0;
}

static const char **place(struct cv_profile *p, struct span key)
{
    const struct {
        const char *key;
        const char **place;
    } table[] = {
        {"ak", &p->ak},
        {"sk", &p->sk},
        {"security_token", &p->security_token},
        {"project_id", &p->project_id},
        {"domain_id", &p->domain_id},
        {"iam_endpoint", &p->iam_endpoint},
        {"idp_id", &p->idp_id},
        {"id_token_file", &p->id_token_file},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (equals(key, table[i].key)) {
            return table[i].place;
        }
    }
    return NULL;
}

static enum cv_status read_pair(struct span line, struct cv_profile *p,
                                struct cv_arena *arena, unsigned number,
                                struct cv_err *err)
{
    size_t split = 0;
    struct span key, value;
    const char **at;

    while (split < line.len && line.at[split] != '=' && line.at[split] != ':') {
        split++;
    }
    if (split == 0 || split == line.len) {
        return cv_fail(err, CV_INVALID,
                       "the credentials file, line %u, is no \"key = value\"",
                       number);
    }
    key = trim((struct span){line.at, split});
    value = trim((struct span){line.at + split + 1, line.len - split - 1});
    at = place(p, key);
    if (at == NULL) {
        return CV_OK;
    }
    if (*at != NULL) {
        return cv_fail(err, CV_INVALID,
                       "the credentials file, line %u, gives a key twice",
                       number);
    }
    *at = cv_arena_copy(arena, value.at, value.len, err);
    return *at != NULL ? CV_OK : err != NULL ? err->status : CV_INTERNAL;
}

static enum cv_status read_section(struct span line, enum section *out,
                                   unsigned number, struct cv_err *err)
{
    struct span name;

    if (line.at[line.len - 1] != ']') {
        return cv_fail(err, CV_INVALID,
                       "the credentials file, line %u: a section does not end",
                       number);
    }
    name = (struct span){line.at + 1, line.len - 2};
    *out = equals(name, "basic")    ? BASIC
           : equals(name, "global") ? GLOBAL
                                    : OTHER;
    return CV_OK;
}

/* Empty values count as not given; until here they served to find doubles. */
static void unset_empty(struct cv_profile *p)
{
    const char **places[] = {
        &p->ak,        &p->sk,           &p->security_token, &p->project_id,
        &p->domain_id, &p->iam_endpoint, &p->idp_id,         &p->id_token_file};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (*places[i] != NULL && **places[i] == '\0') {
            *places[i] = NULL;
        }
    }
}

enum cv_status cv_profile_read(const char *text, struct cv_arena *arena,
                               struct cv_profile *out, struct cv_err *err)
{
    struct cv_profile found[OTHER] = {{0}};
    enum section section = NO_SECTION;
    bool has_basic = false;
    enum cv_status s = CV_OK;

    memset(out, 0, sizeof(*out));
    for (unsigned number = 1; s == CV_OK && *text != '\0'; number++) {
        size_t len = strcspn(text, "\n");
        struct span line = trim((struct span){text, len});

        text += len + (text[len] == '\n' ? 1 : 0);
        if (line.len == 0 || line.at[0] == '#' || line.at[0] == ';') {
            continue;
        }
        if (line.at[0] == '[') {
            s = read_section(line, &section, number, err);
            has_basic = has_basic || section == BASIC;
        } else if (section == NO_SECTION) {
            s = cv_fail(err, CV_INVALID,
                        "the credentials file, line %u, stands before any "
                        "section",
                        number);
        } else if (section != OTHER) {
            s = read_pair(line, &found[section], arena, number, err);
        }
    }
    if (s == CV_OK) {
        *out = found[has_basic ? BASIC : GLOBAL];
        unset_empty(out);
    }
    return s;
}
