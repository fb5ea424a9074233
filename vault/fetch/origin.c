#include "vault/fetch/origin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static enum cv_status refuse(const char *what, const char *why,
                             struct cv_err *err)
{
    enum cv_status s = cv_fail(err, CV_USAGE, "%s: %s", what, why);

    cv_err_hint(err, "write it as https://host or https://host:port");
    return s;
}

static bool is_plain(enum cv_origin_reach reach)
{
    return reach == CV_ORIGIN_METADATA || reach == CV_ORIGIN_PLAIN;
}

/* Takes the scheme off; false where it is not the one that is allowed. */
static bool take_scheme(const char **text, enum cv_origin_reach reach)
{
    const char *scheme = is_plain(reach) ? "http://" : "https://";

    if (strncasecmp(*text, scheme, strlen(scheme)) == 0) {
        *text += strlen(scheme);
        return true;
    }
    return strstr(*text, "://") == NULL;
}

/* The host's length in `text`; 0 where it is malformed. */
static size_t host_len(const char *text, bool v6)
{
    size_t n = 0;

    while (isalnum((unsigned char)text[n]) || text[n] == '.' ||
           (!v6 && (text[n] == '-' || text[n] == '_')) ||
           (v6 && text[n] == ':')) {
        n++;
    }
    if (n > CV_LIMIT_HOST || (n > 0 && text[0] == '.') ||
        (n > 0 && text[0] == '-')) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if (text[i] == '.' && text[i - 1] == '.') {
            return 0;
        }
    }
    return n;
}

/* ":port" or nothing; false where it is neither. */
static bool take_port(const char **text, unsigned *port)
{
    unsigned value = 0;
    size_t digits = 0;

    if (**text != ':') {
        return true;
    }
    (*text)++;
    while (isdigit((unsigned char)**text) && digits < 6) {
        value = value * 10 + (unsigned)(**text - '0');
        (*text)++;
        digits++;
    }
    *port = value;
    return digits > 0 && value >= 1 && value <= 65535;
}

static void write_texts(struct cv_origin *o, bool v6)
{
    bool plain = is_plain(o->reach);
    unsigned normal = plain ? 80 : 443;
    char host[CV_LIMIT_HOST + 3];
    char port[8] = "";

    (void)snprintf(host, sizeof(host), v6 ? "[%s]" : "%s", o->name);
    if (o->port != normal) {
        (void)snprintf(port, sizeof(port), ":%u", o->port);
    }
    (void)snprintf(o->host, sizeof(o->host), "%s%s", host, port);
    (void)snprintf(o->url, sizeof(o->url), "%s://%s%s",
                   plain ? "http" : "https", host, port);
}

enum cv_status cv_origin_parse(const char *text, enum cv_origin_reach reach,
                               const char *what, struct cv_origin *out,
                               struct cv_err *err)
{
    bool v6;
    size_t len;

    memset(out, 0, sizeof(*out));
    out->reach = reach;
    out->port = is_plain(reach) ? 80 : 443;
    if (!take_scheme(&text, reach)) {
        return refuse(what, "only https is spoken", err);
    }
    v6 = *text == '[';
    text += v6 ? 1 : 0;
    len = host_len(text, v6);
    if (len == 0) {
        return refuse(what, "the host is missing or malformed", err);
    }
    for (size_t i = 0; i < len; i++) {
        out->name[i] = (char)tolower((unsigned char)text[i]);
    }
    text += len;
    if (v6 && *text++ != ']') {
        return refuse(what, "the host is missing or malformed", err);
    }
    if (!take_port(&text, &out->port)) {
        return refuse(what, "the port is malformed", err);
    }
    if (*text != '\0' && strcmp(text, "/") != 0) {
        return refuse(what, "only a host and a port may be named", err);
    }
    write_texts(out, v6);
    return CV_OK;
}

bool cv_origin_is_address(const struct cv_origin *origin)
{
    struct in6_addr room;

    return inet_pton(AF_INET, origin->name, &room) == 1 ||
           inet_pton(AF_INET6, origin->name, &room) == 1;
}

/* Is it in the block of `bits` leading bits of `net`? */
static bool in_block(uint32_t a, uint32_t net, unsigned bits)
{
    return (a >> (32 - bits)) == (net >> (32 - bits));
}

/* 169.254.169.254 */
static bool v4_is_metadata(uint32_t a)
{
    return a == 0xa9fea9feu;
}

static bool v4_is_local(uint32_t a)
{
    return in_block(a, 0x00000000u, 8) ||  /* this network */
           in_block(a, 0x7f000000u, 8) ||  /* loopback */
           in_block(a, 0xa9fe0000u, 16) || /* link-local */
           in_block(a, 0xe0000000u, 3);    /* multicast and above */
}

static bool v6_is_metadata(const struct in6_addr *a)
{
    static const uint8_t one[16] = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0,
                                    0,    0,    0,    0,    0, 0, 2, 0x54};

    return memcmp(a->s6_addr, one, sizeof(one)) == 0;
}

static bool v6_is_local(const struct in6_addr *a)
{
    return IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_LOOPBACK(a) ||
           IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_SITELOCAL(a) ||
           IN6_IS_ADDR_MULTICAST(a) || v6_is_metadata(a);
}

/* The IPv4 address inside an IPv6 one: mapped, compatible, NAT64, 6to4. */
static bool v4_inside(const struct in6_addr *a, uint32_t *out)
{
    static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
    const uint8_t *b = a->s6_addr;

    if (b[0] == 0x20 && b[1] == 0x02) {
        b += 2;
    } else if (IN6_IS_ADDR_V4MAPPED(a) || memcmp(b, nat64, 12) == 0 ||
               (IN6_IS_ADDR_V4COMPAT(a))) {
        b += 12;
    } else {
        return false;
    }
    *out = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
           b[3];
    return true;
}

bool cv_origin_allows(enum cv_origin_reach reach,
                      const struct sockaddr *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    uint32_t v4 = 0;
    bool local, metadata;

    if (reach == CV_ORIGIN_METADATA) {
        return true; /* its host is a literal of ours or a test's */
    }
    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        v4 = ntohl(in.sin_addr.s_addr);
        local = v4_is_local(v4);
        metadata = v4_is_metadata(v4);
    } else if (address->sa_family == AF_INET6) {
        memcpy(&in6, address, sizeof(in6));
        local = v6_is_local(&in6.sin6_addr);
        metadata = v6_is_metadata(&in6.sin6_addr);
        if (v4_inside(&in6.sin6_addr, &v4)) {
            local = local || v4_is_local(v4);
            metadata = metadata || v4_is_metadata(v4);
        }
    } else {
        return false;
    }
    return reach == CV_ORIGIN_TABLE ? !local : !metadata;
}
