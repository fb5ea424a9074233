#include "vault/fetch/signing.h"

#include "vault/base/limits.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_PAIRS 32
#define TEXT_CEILING CV_KIB(96) /* a token of 64 KiB and what stands around */

/* Empties a text but keeps its memory: a batch signs a thousand requests. */
static void again(struct cv_buf *b)
{
    cv_buf_drop(b, b->len);
    b->status = CV_OK;
}

static void hex(const uint8_t digest[crypto_hash_sha256_BYTES],
                char out[CV_SIGNING_HEX_LEN])
{
    (void)sodium_bin2hex(out, CV_SIGNING_HEX_LEN, digest,
                         crypto_hash_sha256_BYTES);
}

/* libcrypto's SHA-256 where it can be had: it uses the processor's, which
 * counts when a thousand requests are signed. */
static void sha256_hex(struct cv_bytes data, char out[CV_SIGNING_HEX_LEN])
{
    static EVP_MD *sha256; /* lives as long as the process */
    uint8_t digest[crypto_hash_sha256_BYTES];

    if (sha256 == NULL) {
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    }
    if (sha256 == NULL ||
        EVP_Digest(data.len > 0 ? data.data : digest, data.len, digest, NULL,
                   sha256, NULL) != 1) {
        (void)crypto_hash_sha256(digest, data.data, data.len);
    }
    hex(digest, out);
}

static void hmac(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[crypto_auth_hmacsha256_BYTES])
{
    crypto_auth_hmacsha256_state st;

    (void)crypto_auth_hmacsha256_init(&st, key, key_len);
    (void)crypto_auth_hmacsha256_update(&st, data, len);
    (void)crypto_auth_hmacsha256_final(&st, out);
    sodium_memzero(&st, sizeof(st));
}

void cv_signing_init(struct cv_signing *s, struct cv_arena *arena)
{
    memset(s, 0, sizeof(*s));
    cv_buf_init(&s->uri, arena, CV_KIB(16));
    cv_buf_init(&s->query, arena, CV_KIB(16));
    cv_buf_init(&s->target, arena, CV_KIB(32));
    cv_buf_init(&s->signed_headers, arena, CV_KIB(4));
    cv_buf_init(&s->canonical, arena, TEXT_CEILING);
    cv_buf_init(&s->to_sign, arena, CV_KIB(1));
    cv_buf_init(&s->authorization, arena, CV_KIB(8));
}

void cv_signing_wipe(struct cv_signing *s)
{
    sodium_memzero(s->derived_key, sizeof(s->derived_key));
    again(&s->uri);
    again(&s->query);
    again(&s->target);
    again(&s->signed_headers);
    again(&s->canonical);
    again(&s->to_sign);
    again(&s->authorization);
}

/* The vendor's enc(): everything but the unreserved bytes of RFC 3986. */
static void encode(struct cv_buf *out, const char *text, size_t len)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x80 && (isalnum(c) || strchr("-._~", c) != NULL)) {
            cv_buf_add_char(out, (char)c);
        } else {
            cv_buf_add_char(out, '%');
            cv_buf_add_char(out, digits[c >> 4]);
            cv_buf_add_char(out, digits[c & 15]);
        }
    }
}

static void encode_path(struct cv_buf *out, const char *path)
{
    while (*path != '\0') {
        size_t len = strcspn(path, "/");

        encode(out, path, len);
        path += len;
        if (*path == '/') {
            cv_buf_add_char(out, '/');
            path++;
        }
    }
}

static int compare_pairs(const struct cv_signing_pair *a,
                         const struct cv_signing_pair *b)
{
    int d = strcmp(a->name, b->name);

    return d != 0 ? d : strcmp(a->value, b->value);
}

/* Sorts by bytes. Few pairs, and equal ones keep their order. */
static void sort_pairs(struct cv_signing_pair *pairs, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct cv_signing_pair p = pairs[i];
        size_t at = i;

        while (at > 0 && compare_pairs(&pairs[at - 1], &p) > 0) {
            pairs[at] = pairs[at - 1];
            at--;
        }
        pairs[at] = p;
    }
}

static enum cv_status encode_query(struct cv_signing *s,
                                   const struct cv_signing_request *r,
                                   struct cv_err *err)
{
    struct cv_signing_pair pairs[MAX_PAIRS];

    if (r->n_query > MAX_PAIRS) {
        return cv_fail(err, CV_INVALID, "too many query parameters");
    }
    if (r->n_query > 0) {
        memcpy(pairs, r->query, r->n_query * sizeof(pairs[0]));
        sort_pairs(pairs, r->n_query);
    }
    for (size_t i = 0; i < r->n_query; i++) {
        if (i > 0) {
            cv_buf_add_char(&s->query, '&');
        }
        encode(&s->query, pairs[i].name, strlen(pairs[i].name));
        cv_buf_add_char(&s->query, '=');
        encode(&s->query, pairs[i].value, strlen(pairs[i].value));
    }
    return cv_buf_status(&s->query, "the request's query", err);
}

enum cv_status cv_signing_target(struct cv_signing *s,
                                 const struct cv_signing_request *r,
                                 struct cv_err *err)
{
    enum cv_status st;

    cv_signing_wipe(s);
    st = encode_query(s, r, err);
    if (st != CV_OK) {
        return st;
    }
    encode_path(&s->target, r->path);
    if (s->target.len == 0) {
        cv_buf_add_char(&s->target, '/');
    }
    cv_buf_add(&s->uri, s->target.data, s->target.len);
    if (s->uri.len > 0 && s->uri.data[s->uri.len - 1] != '/') {
        cv_buf_add_char(&s->uri, '/'); /* in the signature only */
    }
    if (s->query.len > 0) {
        cv_buf_add_char(&s->target, '?');
        cv_buf_add(&s->target, s->query.data, s->query.len);
    }
    st = cv_buf_status(&s->uri, "the request's path", err);
    return st != CV_OK ? st
                       : cv_buf_status(&s->target, "the request's path", err);
}

/* Names in lower case, one after the other, in `names`. */
struct header_set {
    struct cv_signing_pair pairs[MAX_PAIRS + 2];
    size_t n;
    char names[2048];
    size_t used;
    const char *content_hash; /* of X-Sdk-Content-Sha256, else NULL */
};

static enum cv_status add_header(struct header_set *set, const char *name,
                                 const char *value, struct cv_err *err)
{
    size_t len = strlen(name) + 1;
    char *at = set->names + set->used;

    if (strchr(name, '_') != NULL) {
        return CV_OK; /* gateways drop such names, so they are never signed */
    }
    if (set->n == sizeof(set->pairs) / sizeof(set->pairs[0]) ||
        len > sizeof(set->names) - set->used) {
        return cv_fail(err, CV_INVALID, "too many headers to sign");
    }
    for (const char *p = value; *p != '\0'; p++) {
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f) {
            return cv_fail(err, CV_INVALID,
                           "the header %s holds a control character", name);
        }
    }
    for (size_t i = 0; i < len; i++) {
        at[i] = (char)tolower((unsigned char)name[i]);
    }
    set->used += len;
    set->pairs[set->n].name = at;
    set->pairs[set->n].value = value;
    set->n++;
    if (strcmp(at, "x-sdk-content-sha256") == 0) {
        set->content_hash = value;
    }
    return CV_OK;
}

static enum cv_status collect_headers(struct header_set *set,
                                      const struct cv_signing_request *r,
                                      struct cv_err *err)
{
    enum cv_status st = add_header(set, "host", r->host, err);

    if (st == CV_OK) {
        st = add_header(set, "x-sdk-date", r->date, err);
    }
    for (size_t i = 0; st == CV_OK && i < r->n_headers; i++) {
        st = add_header(set, r->headers[i].name, r->headers[i].value, err);
    }
    if (st == CV_OK) {
        sort_pairs(set->pairs, set->n);
    }
    return st;
}

static void add_trimmed(struct cv_buf *out, const char *value)
{
    size_t len = strlen(value);

    while (len > 0 && (*value == ' ' || *value == '\t')) {
        value++;
        len--;
    }
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        len--;
    }
    cv_buf_add(out, value, len);
}

static enum cv_status make_canonical(struct cv_signing *s,
                                     const struct cv_signing_request *r,
                                     struct cv_err *err)
{
    struct header_set set = {.n = 0};
    struct cv_buf *c = &s->canonical;
    enum cv_status st = collect_headers(&set, r, err);

    if (st != CV_OK) {
        return st;
    }
    sha256_hex(r->body, s->payload_hash);
    cv_buf_add_str(c, r->method);
    cv_buf_add_char(c, '\n');
    cv_buf_add(c, s->uri.data, s->uri.len);
    cv_buf_add_char(c, '\n');
    cv_buf_add(c, s->query.data, s->query.len);
    cv_buf_add_char(c, '\n');
    for (size_t i = 0; i < set.n; i++) {
        if (i > 0) {
            cv_buf_add_char(&s->signed_headers, ';');
        }
        cv_buf_add_str(&s->signed_headers, set.pairs[i].name);
        cv_buf_add_str(c, set.pairs[i].name);
        cv_buf_add_char(c, ':');
        add_trimmed(c, set.pairs[i].value);
        cv_buf_add_char(c, '\n');
    }
    cv_buf_add_char(c, '\n');
    cv_buf_add(c, s->signed_headers.data, s->signed_headers.len);
    cv_buf_add_char(c, '\n');
    if (set.content_hash != NULL && r->body.len > 0) {
        /* stands in for the body's own hash */
        if (strlen(set.content_hash) >= sizeof(s->payload_hash)) {
            return cv_fail(err, CV_INVALID, "X-Sdk-Content-Sha256 is too long");
        }
        memcpy(s->payload_hash, set.content_hash, strlen(set.content_hash) + 1);
    }
    cv_buf_add_str(c, s->payload_hash);
    return cv_buf_status(c, "the request to be signed", err);
}

/* PRK = HMAC(AK, SK); OKM = HMAC(PRK, info || 0x01); the key is OKM's hex as
 * text (the vendor's reading of RFC 5869). */
static void derive_key(struct cv_signing *s, const struct cv_signing_request *r)
{
    uint8_t prk[crypto_auth_hmacsha256_BYTES];
    uint8_t okm[crypto_auth_hmacsha256_BYTES];
    uint8_t input[sizeof(s->info) + 1];
    size_t len = strlen(s->info);

    memcpy(input, s->info, len);
    input[len] = 0x01;
    hmac(r->ak, strlen(r->ak), r->sk, strlen(r->sk), prk);
    hmac(prk, sizeof(prk), input, len + 1, okm);
    hex(okm, s->derived_key);
    sodium_memzero(prk, sizeof(prk));
    sodium_memzero(okm, sizeof(okm));
}

static enum cv_status make_info(struct cv_signing *s,
                                const struct cv_signing_request *r,
                                struct cv_err *err)
{
    int n;

    s->info[0] = s->derived_key[0] = '\0';
    if (r->region == NULL || r->service == NULL) {
        return CV_OK;
    }
    n = snprintf(s->info, sizeof(s->info), "%.8s/%s/%s", r->date, r->region,
                 r->service);
    if (n < 0 || (size_t)n >= sizeof(s->info)) {
        s->info[0] = '\0';
        return cv_fail(err, CV_INVALID, "the region's name is too long");
    }
    derive_key(s, r);
    return CV_OK;
}

static void make_signature(struct cv_signing *s,
                           const struct cv_signing_request *r)
{
    bool derived = s->info[0] != '\0';
    const char *algorithm = derived ? "V11-HMAC-SHA256" : "SDK-HMAC-SHA256";
    const char *key = derived ? s->derived_key : r->sk;
    uint8_t mac[crypto_auth_hmacsha256_BYTES];

    cv_buf_add_format(&s->to_sign, "%s\n%s\n", algorithm, r->date);
    if (derived) {
        cv_buf_add_format(&s->to_sign, "%s\n", s->info);
    }
    cv_buf_add_str(&s->to_sign, s->canonical_hash);
    hmac(key, strlen(key), s->to_sign.data, s->to_sign.len, mac);
    hex(mac, s->signature);
    if (derived) {
        cv_buf_add_format(&s->authorization, "%s Credential=%s/%s", algorithm,
                          r->ak, s->info);
    } else {
        cv_buf_add_format(&s->authorization, "%s Access=%s", algorithm, r->ak);
    }
    cv_buf_add_format(&s->authorization, ", SignedHeaders=%s, Signature=%s",
                      cv_buf_text(&s->signed_headers), s->signature);
}

enum cv_status cv_signing_make(struct cv_signing *s,
                               const struct cv_signing_request *r,
                               struct cv_err *err)
{
    enum cv_status st;

    if (r->ak == NULL || r->sk == NULL || *r->ak == '\0' || *r->sk == '\0') {
        return cv_fail(err, CV_INVALID, "the access key is incomplete");
    }
    st = cv_signing_target(s, r, err);
    if (st == CV_OK) {
        st = make_info(s, r, err);
    }
    if (st == CV_OK) {
        st = make_canonical(s, r, err);
    }
    if (st != CV_OK) {
        return st;
    }
    sha256_hex(cv_buf_bytes(&s->canonical), s->canonical_hash);
    make_signature(s, r);
    st = cv_buf_status(&s->to_sign, "the text to be signed", err);
    return st != CV_OK ? st
                       : cv_buf_status(&s->authorization, "the signature", err);
}

const char *cv_signing_date(int64_t t_s, char out[CV_SIGNING_DATE_LEN])
{
    time_t t = (time_t)t_s;
    struct tm tm;

    out[0] = '\0';
    if (gmtime_r(&t, &tm) != NULL) {
        (void)strftime(out, CV_SIGNING_DATE_LEN, "%Y%m%dT%H%M%SZ", &tm);
    }
    return out;
}

/* A label of lower-case letters, then `-`, letters, `-`, one or two digits:
 * a region's name. Its length, 0 where it is none. */
static size_t region_len(const char *p)
{
    const char *at = p;
    const char *mark = at;

    while (islower((unsigned char)*at)) {
        at++;
    }
    if (at - mark < 2 || *at != '-') {
        return 0;
    }
    mark = ++at;
    while (islower((unsigned char)*at)) {
        at++;
    }
    if (at == mark || *at != '-') {
        return 0;
    }
    mark = ++at;
    while (isdigit((unsigned char)*at)) {
        at++;
    }
    return at - mark >= 1 && at - mark <= 2 ? (size_t)(at - p) : 0;
}

bool cv_signing_default_host(const char *host)
{
    static const char *const tails[] = {
        ".myhuaweicloud.com", ".myhuaweicloud.cn", ".huaweicloud.com",
        ".huaweicloud.cn",    ".mymyhwclouds.com", ".mymyhwclouds.cn",
        ".myhwclouds.com",    ".myhwclouds.cn"};
    const char *p = host;
    size_t len;

    if (!islower((unsigned char)*p)) {
        return false;
    }
    while (islower((unsigned char)*p) || isdigit((unsigned char)*p) ||
           *p == '-') {
        p++;
    }
    if (p - host < 2) {
        return false;
    }
    len = *p == '.' ? region_len(p + 1) : 0;
    p += len > 0 ? len + 1 : 0;
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        /* the whole of the rest: a host that only begins so is no default */
        if (strcmp(p, tails[i]) == 0) {
            return true;
        }
    }
    return false;
}
