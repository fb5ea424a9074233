/* RFC 7512 URIs, as far as they say which token is meant. */
#include "vault/broker/held_internal.h"

#include <string.h>

#define SCHEME "pkcs11:"

/* The next attribute of a path: its name up to '=', its value up to ';'. False
 * at the end. */
static bool next_attribute(const char **at, struct cv_bytes *name,
                           struct cv_bytes *value)
{
    const char *begin = *at;
    size_t len = strcspn(begin, ";?");
    const char *equal = memchr(begin, '=', len);

    if (len == 0 || equal == NULL) {
        return false;
    }
    *name = (struct cv_bytes){(const uint8_t *)begin, (size_t)(equal - begin)};
    *value = (struct cv_bytes){(const uint8_t *)equal + 1,
                               len - (size_t)(equal + 1 - begin)};
    *at = begin[len] == ';' ? begin + len + 1 : begin + len;
    return true;
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* One byte of a value, whether it is written as %XX or as itself; -1: end. */
static int take_byte(struct cv_bytes *from)
{
    int c, high, low;

    if (from->len == 0) {
        return -1;
    }
    c = from->data[0];
    if (c == '%' && from->len >= 3) {
        high = hex_digit(from->data[1]);
        low = hex_digit(from->data[2]);
        if (high >= 0 && low >= 0) {
            from->data += 3;
            from->len -= 3;
            return high << 4 | low;
        }
    }
    from->data++;
    from->len--;
    return c;
}

static bool same_value(struct cv_bytes a, struct cv_bytes b)
{
    int x, y;

    do {
        x = take_byte(&a);
        y = take_byte(&b);
    } while (x == y && x != -1);
    return x == y;
}

static bool has(const char *path, struct cv_bytes name, struct cv_bytes value)
{
    struct cv_bytes n, v;

    while (next_attribute(&path, &n, &v)) {
        if (cv_bytes_equal(n, name)) {
            return same_value(v, value);
        }
    }
    return false;
}

bool cv_held_uri_covers(const char *uri, const char *key)
{
    static const char scheme[] = "pkcs11:";
    const size_t skip = sizeof(scheme) - 1;
    struct cv_bytes name, value;
    const char *at;
    bool any = false;

    if (strncmp(uri, scheme, skip) != 0 || strncmp(key, scheme, skip) != 0) {
        return false;
    }
    for (at = uri + skip; next_attribute(&at, &name, &value); any = true) {
        if (!has(key + skip, name, value)) {
            return false;
        }
    }
    /* What says nothing means no token in particular. */
    return any && (*at == '\0' || *at == '?');
}

static bool is_shown(struct cv_bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] <= ' ' || value.data[i] > '~') {
            return false;
        }
    }
    return value.len > 0;
}

static size_t find_name(const char *const *names, size_t n,
                        struct cv_bytes name)
{
    size_t i = 0;

    while (i < n && (name.len != strlen(names[i]) ||
                     memcmp(name.data, names[i], name.len) != 0)) {
        i++;
    }
    return i;
}

/* Of the path from *at on: each of `names`, and once. */
static bool has_only(const char **at, const char *const *names, size_t n)
{
    struct cv_bytes name, value;
    unsigned seen = 0;
    const char *begin = *at;

    while (next_attribute(at, &name, &value)) {
        size_t i = find_name(names, n, name);

        if (i == n || (seen >> i & 1) != 0 || !is_shown(value)) {
            return false;
        }
        seen |= 1U << i;
    }
    return *at != begin && (*at)[-1] != ';';
}

#define N(array) (sizeof(array) / sizeof((array)[0]))

bool cv_held_uri_is_token(const char *uri)
{
    static const char *const names[] = {"token", "serial", "model",
                                        "manufacturer"};
    const char *at = uri + strlen(SCHEME);

    return strncmp(uri, SCHEME, strlen(SCHEME)) == 0 &&
           has_only(&at, names, N(names)) && *at == '\0';
}

bool cv_held_uri_is_shown(const char *uri)
{
    static const char *const names[] = {
        "token", "serial", "model", "manufacturer", "id", "object", "type"};
    static const char *const query[] = {"module-name", "module-path"};
    const char *at = uri + strlen(SCHEME);

    if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0 ||
        (*at != '\0' && *at != '?' && !has_only(&at, names, N(names)))) {
        return false;
    }
    while (*at != '\0') {
        size_t len = strcspn(++at, "&");
        const struct cv_bytes name = {(const uint8_t *)at, strcspn(at, "=&")};
        const struct cv_bytes all = {(const uint8_t *)at, len};

        if (find_name(query, N(query), name) == N(query) || !is_shown(all) ||
            at[name.len] != '=') {
            return false;
        }
        at += len;
    }
    return true;
}
