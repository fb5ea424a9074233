#include "vault/kubeconfig/server_url.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#define SCHEME "https://"
#define LABEL_MAX 63
#define DEFAULT_PORT 443

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* One label of a DNS name. Underscores are no part of host names, but seen. */
static const char *label_fault(const char *label, size_t len)
{
    if (len == 0 || len > LABEL_MAX || label[0] == '-' ||
        label[len - 1] == '-') {
        return "its host is no DNS name";
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_word(label[i]) && label[i] != '-' && label[i] != '_') {
            return "its host holds characters that are not taken";
        }
    }
    if (len >= 4 && strncasecmp(label, "xn--", 4) == 0) {
        return "its host is an internationalised name";
    }
    return NULL;
}

static bool is_link_local(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return (ntohl(v4.s_addr) & 0xffff0000U) == 0xa9fe0000U;
    }
    if (inet_pton(AF_INET6, host, &v6) != 1) {
        return false;
    }
    const uint8_t *b = v6.s6_addr;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&v6) || IN6_IS_ADDR_V4COMPAT(&v6);
    return (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) ||
           (mapped && b[12] == 0xa9 && b[13] == 0xfe);
}

/* A DNS name or an IPv4 address. What ends in a number (or in one of C's other
 * spellings) is read as an address by some, so it must be one to all. */
static const char *name_fault(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return NULL;
    }
    const char *label = host;
    for (;;) {
        size_t len = strcspn(label, ".");
        const char *why = label_fault(label, len);
        if (why != NULL) {
            return why;
        }
        if (label[len] == '\0') {
            break;
        }
        label += len + 1;
    }
    bool number = strspn(label, "0123456789") == strlen(label) ||
                  strncasecmp(label, "0x", 2) == 0;
    return number ? "its host is no address" : NULL;
}

static bool is_ipv6(const char *host)
{
    struct in6_addr v6;
    return inet_pton(AF_INET6, host, &v6) == 1;
}

/* The port behind a colon; -1 where it is none. */
static int port_of(const char *text, size_t len)
{
    int port = 0;
    if (len == 0 || len > 5 || text[0] == '0') {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(text[i])) {
            return -1;
        }
        port = 10 * port + (text[i] - '0');
    }
    return port <= 65535 ? port : -1;
}

/* A path is segments of plain characters, none of them "", "." or "..", but a
 * slash may end it. */
static bool path_is_plain(const char *path)
{
    while (*path == '/') {
        path++;
        size_t len = strcspn(path, "/");
        for (size_t i = 0; i < len; i++) {
            if (!is_word(path[i]) &&
                strchr("-._~:@!$&'()*+,;=", path[i]) == NULL) {
                return false;
            }
        }
        bool dots = (len == 1 || len == 2) && strspn(path, ".") >= len;
        if (dots || (len == 0 && path[0] == '/')) {
            return false;
        }
        path += len;
    }
    return *path == '\0';
}

/* Splits `authority` (`len` bytes) into host and port. */
static const char *authority_fault(const char *authority, size_t len,
                                   struct cv_server_url *out)
{
    if (memchr(authority, '@', len) != NULL) {
        return "it holds user information";
    }
    bool bracket = len > 0 && authority[0] == '[';
    const char *end = memchr(authority, bracket ? ']' : ':', len);
    size_t host_len = end != NULL ? (size_t)(end - authority) : len;
    if (bracket && end == NULL) {
        return "its host is no address";
    }
    size_t used = host_len + bracket;
    host_len -= bracket;
    if (host_len == 0 || host_len > CV_LIMIT_HOST) {
        return host_len == 0 ? "it names no host" : "its host is too long";
    }
    memcpy(out->host, authority + bracket, host_len);
    out->host[host_len] = '\0';
    out->port = DEFAULT_PORT;
    if (used < len) {
        out->port = authority[used] == ':'
                        ? port_of(authority + used + 1, len - used - 1)
                        : -1;
    }
    if (out->port < 0) {
        return "its port is not 1 to 65535";
    }
    if (bracket) {
        return is_ipv6(out->host) ? NULL : "its host is no address";
    }
    return name_fault(out->host);
}

static const char *fault(const char *url, struct cv_server_url *out)
{
    if (strncmp(url, SCHEME, strlen(SCHEME)) != 0) {
        return "it does not begin with https://";
    }
    if (strlen(url) > CV_LIMIT_URL) {
        return "it is too long";
    }
    const char *authority = url + strlen(SCHEME);
    size_t len = strcspn(authority, "/?#\\");
    const char *why = authority_fault(authority, len, out);
    if (why != NULL) {
        return why;
    }
    if (!path_is_plain(authority + len)) {
        return "what follows its host is not a plain path";
    }
    return is_link_local(out->host) ? "its host is a link-local address" : NULL;
}

enum cv_status cv_server_url_parse(const char *url, struct cv_server_url *out,
                                   struct cv_err *err)
{
    struct cv_server_url parts = {.port = 0};
    const char *why = fault(url, &parts);
    if (why != NULL) {
        return cv_fail(err, CV_INVALID, "the address is not taken: %s", why);
    }
    if (out != NULL) {
        *out = parts;
    }
    return CV_OK;
}

enum cv_status cv_server_url_check_name(const char *name, struct cv_err *err)
{
    if (strlen(name) > CV_LIMIT_HOST ||
        (!is_ipv6(name) && name_fault(name) != NULL)) {
        return cv_fail(err, CV_INVALID, "not a name for TLS");
    }
    return CV_OK;
}
