/* `keys`: lines of authorized_keys (sshd(8)) without options. What lies in
 * their base64 is RFC 4253 section 6.6's form: strings with a length of four
 * bytes before them. ssh-ed25519: the type and the key (RFC 8709 section 4);
 * sk-ssh-ed25519@openssh.com: the type, the key, the application (OpenSSH's
 * PROTOCOL.u2f). */
#include "policy/parse_internal.h"

#include "vault/base/encode.h"
#include "vault/base/name.h"

#include <string.h>

#define PLAIN "ssh-ed25519"
#define CARD "sk-ssh-ed25519@openssh.com"

/* Takes a string off the front of `rest`. */
static bool take(struct cv_bytes *rest, struct cv_bytes *out)
{
    if (rest->len < 4)
        return false;
    const uint8_t *d = rest->data;
    size_t len =
        (size_t)d[0] << 24 | (size_t)d[1] << 16 | (size_t)d[2] << 8 | d[3];
    if (len > rest->len - 4)
        return false;
    *out = (struct cv_bytes){d + 4, len};
    rest->data += 4 + len;
    rest->len -= 4 + len;
    return true;
}

/* Takes apart what the base64 says; the application is still bytes. */
static bool read_blob(struct cv_bytes blob, const char *type,
                      struct cv_policy_key *out, struct cv_bytes *application)
{
    struct cv_bytes said;
    struct cv_bytes key;
    *application = (struct cv_bytes){NULL, 0};
    if (!take(&blob, &said) || said.len != strlen(type) ||
        memcmp(said.data, type, said.len) != 0)
        return false;
    if (!take(&blob, &key) || key.len != sizeof(out->ed25519))
        return false;
    memcpy(out->ed25519, key.data, key.len);
    if (strcmp(type, CARD) == 0 &&
        (!take(&blob, application) || application->len == 0 ||
         !cv_name_is_printable(*application)))
        return false;
    return blob.len == 0;
}

static enum cv_status keep_application(struct cv_parser *p,
                                       struct cv_bytes text,
                                       struct cv_policy_key *out)
{
    if (text.data == NULL)
        return CV_OK;
    char *copy = cv_pool_alloc(&p->policy->pool, text.len + 1);
    if (copy == NULL)
        return CV_INTERNAL;
    memcpy(copy, text.data, text.len);
    out->application = copy;
    return CV_OK;
}

static const char *type_of(const char *line)
{
    if (strncmp(line, PLAIN " ", strlen(PLAIN " ")) == 0)
        return PLAIN;
    return strncmp(line, CARD " ", strlen(CARD " ")) == 0 ? CARD : NULL;
}

/* "TYPE BASE64[ COMMENT]". CV_INVALID: it is not that; CV_INTERNAL. */
static enum cv_status read_line(struct cv_parser *p, const char *line,
                                struct cv_policy_key *out)
{
    struct cv_buf blob;
    struct cv_bytes application;
    const char *type = type_of(line);
    if (type == NULL)
        return CV_INVALID;
    const char *text = line + strlen(type) + 1;
    cv_buf_init(&blob, NULL, CV_LIMIT_POLICY_KEY);
    enum cv_status st =
        cv_decode_base64(text, strcspn(text, " "), false, "a key", &blob, NULL);
    if (st == CV_OK && !read_blob(cv_buf_bytes(&blob), type, out, &application))
        st = CV_INVALID;
    if (st == CV_OK)
        st = keep_application(p, application, out);
    cv_buf_wipe(&blob);
    return st;
}

/* Two users with one key could each sign for the other. The keys of those
 * before `signer` come before its own. */
static bool is_anothers(const struct cv_policy *policy,
                        const struct cv_signer *signer,
                        const struct cv_policy_key *key)
{
    for (size_t i = 0; i < signer->first; i++) {
        if (memcmp(policy->keys[i].ed25519, key->ed25519,
                   sizeof(key->ed25519)) == 0)
            return true;
    }
    return false;
}

static enum cv_status parse_key(struct cv_parser *p, const cJSON *node,
                                struct cv_signer *signer)
{
    struct cv_policy *policy = p->policy;
    struct cv_policy_key *key = &policy->keys[policy->n_keys];
    const char *line;
    enum cv_status st =
        cv_reader_text(&p->reader, node, "a key", CV_LIMIT_POLICY_KEY, &line);
    if (st != CV_OK)
        return st;
    key->line = cv_pool_copy(&policy->pool, line);
    if (key->line == NULL)
        return cv_parse_no_memory(p);
    key->user = policy->users.list[signer->user];
    st = read_line(p, line, key);
    if (st == CV_INTERNAL)
        return cv_parse_no_memory(p);
    if (st != CV_OK) {
        st = cv_reader_refuse(&p->reader, node, false,
                              "keys: this is not a public key that can sign "
                              "approvals");
        cv_err_hint(p->reader.err,
                    "the line of a .pub file, of the type " PLAIN " or " CARD);
        return st;
    }
    if (is_anothers(policy, signer, key))
        return cv_reader_refuse(&p->reader, node, false,
                                "keys: another user has this key");
    policy->n_keys++;
    signer->n++;
    return CV_OK;
}

static enum cv_status parse_signer(struct cv_parser *p, const cJSON *node)
{
    struct cv_policy *policy = p->policy;
    struct cv_signer *signer = &policy->signers[policy->n_signers++];
    const char *user = node->string;
    size_t len = strlen(user);
    const cJSON *item;
    size_t n;
    if (len == 0 || len > CV_POLICY_WHO || strpbrk(user, "*?") != NULL ||
        !cv_name_is_printable((struct cv_bytes){(const uint8_t *)user, len}))
        return cv_reader_refuse(&p->reader, node, true,
                                "keys: no user has such a name");
    size_t number = cv_pool_intern(&policy->pool, &policy->users, user);
    if (number == CV_TEXTS_NONE)
        return cv_parse_no_memory(p);
    signer->user = (uint32_t)number;
    signer->line = cv_reader_line(&p->reader, node);
    signer->first = policy->n_keys;
    enum cv_status st =
        cv_reader_list(&p->reader, node, "keys", CV_LIMIT_POLICY_KEYS, &n);
    if (st != CV_OK)
        return st;
    cJSON_ArrayForEach(item, node)
    {
        st = parse_key(p, item, signer);
        if (st != CV_OK)
            return st;
    }
    return CV_OK;
}

/* Lines of all users together; the lists themselves are checked later. */
static size_t count_lines(const cJSON *node)
{
    const cJSON *user;
    size_t n = 0;
    cJSON_ArrayForEach(user, node)
    {
        const cJSON *line;
        cJSON_ArrayForEach(line, user) n++;
    }
    return n;
}

enum cv_status cv_parse_keys(struct cv_parser *p, const cJSON *node)
{
    struct cv_policy *policy = p->policy;
    const cJSON *item;
    size_t users = 0;
    if (!cJSON_IsObject(node) || node->child == NULL)
        return cv_reader_refuse(&p->reader, node, false,
                                "keys must be a mapping, {user: [keys]}");
    size_t lines = count_lines(node);
    if (lines > CV_LIMIT_POLICY_KEYS)
        return cv_reader_refuse(&p->reader, node, false,
                                "keys has %zu keys, over the limit of %d",
                                lines, CV_LIMIT_POLICY_KEYS);
    cJSON_ArrayForEach(item, node) users++;
    policy->keys =
        cv_pool_alloc(&policy->pool, (lines + 1) * sizeof(*policy->keys));
    policy->signers =
        cv_pool_alloc(&policy->pool, users * sizeof(*policy->signers));
    if (policy->keys == NULL || policy->signers == NULL)
        return cv_parse_no_memory(p);
    enum cv_status st = CV_OK;
    cJSON_ArrayForEach(item, node)
    {
        st = parse_signer(p, item);
        if (st != CV_OK)
            break;
    }
    return st;
}
