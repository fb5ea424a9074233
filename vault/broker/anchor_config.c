#include "vault/broker/anchor_config.h"

#include <string.h>

static const struct {
    const char *word;
    const char *form;
} kinds[] = {
    [CV_ANCHOR_FILE] = {"file", "file:/absolute/path"},
    [CV_ANCHOR_COMMAND] = {"command", "command:/absolute/path"},
    [CV_ANCHOR_GIT] = {"git", "git:/absolute/path/of/a/repository"},
    [CV_ANCHOR_TOKEN] = {"token", "token:pkcs11:token=..."},
    [CV_ANCHOR_WITNESS] =
        {"witness", "witness:https://host/prefix[?ca=/path]#name+id+key"},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *cv_anchor_config_word(enum cv_anchor_config_kind kind)
{
    return kinds[kind].word;
}

static enum cv_status refuse(const char *text, const char *why,
                             const char *form, struct cv_err *err)
{
    char shown[80];
    enum cv_status s =
        cv_fail(err, CV_CONFIG, "audit.anchors: %s: %s",
                cv_err_quote(shown, sizeof(shown), text, strlen(text)), why);

    cv_err_hint(err, "write it as %s", form);
    return s;
}

/* Printable ASCII without blanks: it goes into lines and requests. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static const char *check_path(const char *path)
{
    if (path[0] != '/' || path[1] == '\0') {
        return "not an absolute path";
    }
    for (; *path != '\0'; path++) {
        if ((unsigned char)*path < ' ' || *path == 0x7f) {
            return "a path with control characters";
        }
    }
    return NULL;
}

/* Of whatever kind the text is, and however it is misspelt: the place is told
 * in the record, and what is refused is shown. */
static bool has_pin(const char *text)
{
    return strcasestr(text, "pin-value=") != NULL ||
           strcasestr(text, "pin-source=") != NULL;
}

/* Takes the one parameter off the URL's end. */
static const char *read_ca(struct cv_anchor_config *c)
{
    char *query = strchr(c->target, '?');
    const char *why;

    if (query == NULL) {
        return NULL;
    }
    if (strncmp(c->target, "https://", 8) != 0 ||
        strncmp(query, "?ca=", 4) != 0) {
        return "behind ? may stand ca=/path alone, and of https";
    }
    memcpy(c->ca, query + 4, strlen(query + 4) + 1);
    *query = '\0';
    why = check_path(c->ca);
    return why != NULL ? why
           : !is_plain(c->ca) || strpbrk(c->ca, "&?") != NULL
               ? "a path with characters that it may not have"
               : NULL;
}

/* Takes the key off the URL's end. */
static const char *read_witness(struct cv_anchor_config *c)
{
    char *hash = strchr(c->target, '#');
    const char *why;

    if (hash == NULL || (strncmp(c->target, "https://", 8) != 0 &&
                         strncmp(c->target, "http://", 7) != 0)) {
        return "not a URL and a key";
    }
    *hash = '\0';
    why = read_ca(c);
    if (why != NULL) {
        return why;
    }
    if (!is_plain(c->target) || strpbrk(c->target, "?@\"<>\\^`{|}") != NULL) {
        return "the URL has characters that it may not have";
    }
    if (cv_note_key_parse(hash + 1, &c->witness, NULL) != CV_OK) {
        return "what is behind # is no verifier key";
    }
    return c->witness.type == CV_NOTE_COSIGNATURE
               ? NULL
               : "the key is not a witness' (cosignature/v1, type 0x04)";
}

enum cv_status cv_anchor_config_parse(const char *text,
                                      struct cv_anchor_config *out,
                                      struct cv_err *err)
{
    const char *colon = strchr(text, ':'), *why = NULL;
    size_t i = 0, len = colon != NULL ? (size_t)(colon - text) : 0;

    memset(out, 0, sizeof(*out));
    if (has_pin(text)) {
        enum cv_status s =
            cv_fail(err, CV_CONFIG, "audit.anchors: a PKCS#11 URI with a PIN");

        cv_err_hint(err, "leave pin-value and pin-source out: an anchor on a "
                         "token needs no PIN");
        return s;
    }
    while (i < KINDS && (strlen(kinds[i].word) != len ||
                         memcmp(kinds[i].word, text, len) != 0)) {
        i++;
    }
    if (colon == NULL || i == KINDS) {
        return refuse(text, "no kind of anchor",
                      "file:/absolute/path, command:,"
                      " git:, token: or witness:",
                      err);
    }
    out->kind = (enum cv_anchor_config_kind)i;
    if (strlen(colon + 1) > CV_LIMIT_ANCHOR) {
        return refuse(text, "too long", kinds[i].form, err);
    }
    memcpy(out->target, colon + 1, strlen(colon + 1) + 1);
    if (out->kind == CV_ANCHOR_WITNESS) {
        why = read_witness(out);
    } else if (out->kind != CV_ANCHOR_TOKEN) {
        why = check_path(out->target);
    } else if (strncmp(out->target, "pkcs11:", 7) != 0 ||
               !is_plain(out->target)) {
        why = "not a PKCS#11 URI";
    }
    return why == NULL ? CV_OK : refuse(text, why, kinds[i].form, err);
}
