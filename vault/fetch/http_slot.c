#include "vault/fetch/http_internal.h"

#include <ctype.h>
#include <openssl/x509_vfy.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* An answer of common size keeps its memory for the next one. */
#define KEEP_BODY CV_KIB(64)
/* libcurl makes one for each request, and it is wiped with it. */
#define RECEIVE_BUFFER 8192L

/* ---- what comes in ---- */

static size_t refuse(struct cv_http_slot *s, const char *why)
{
    s->why = why;
    return 0; /* libcurl ends the transfer */
}

static bool is_name(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);

    return len > n && line[n] == ':' && strncasecmp(line, name, n) == 0;
}

/* Is the header's value, blanks apart, `word`? */
static bool value_is(const char *line, size_t len, const char *word)
{
    const char *colon = memchr(line, ':', len);
    size_t n = strlen(word);

    if (colon == NULL) {
        return false;
    }
    colon++;
    len -= (size_t)(colon - line);
    while (len > 0 && (*colon == ' ' || *colon == '\t')) {
        colon++;
        len--;
    }
    while (len > 0 && isspace((unsigned char)colon[len - 1])) {
        len--;
    }
    return len == n && strncasecmp(colon, word, n) == 0;
}

static const char *check_line(struct cv_http_slot *s, const char *line,
                              size_t len)
{
    size_t end = len;

    end -= end > 0 && line[end - 1] == '\n' ? 1 : 0;
    end -= end > 0 && line[end - 1] == '\r' ? 1 : 0;
    if (line[0] == ' ' || line[0] == '\t' || memchr(line, ':', end) == NULL) {
        return "an answer's header is malformed";
    }
    for (size_t i = 0; i < end; i++) {
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') ||
            line[i] == 0x7f) {
            return "an answer's header holds a control character";
        }
    }
    if (is_name(line, len, "content-encoding") &&
        !value_is(line, len, "identity")) {
        return "the answer is compressed, which was not asked for";
    }
    if (is_name(line, len, "transfer-encoding")) {
        if (!value_is(line, len, "chunked")) {
            return "the answer has a transfer coding that was not asked for";
        }
        s->delimited = true;
    }
    if (is_name(line, len, "content-length")) {
        struct cv_http_answer so_far = {.head = cv_buf_bytes(&s->head)};
        struct cv_bytes other;

        if (cv_http_answer_header(&so_far, "content-length", &other)) {
            return "the answer tells its length twice";
        }
        s->delimited = true;
    }
    return NULL;
}

static size_t begin_head(struct cv_http_slot *s, const char *line, size_t len)
{
    if (s->head_ended && ++s->interim > HTTP_INTERIM) {
        return refuse(s, "too many interim answers");
    }
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\0') {
            return refuse(s, "the answer is no HTTP answer");
        }
    }
    cv_buf_drop(&s->head, s->head.len);
    s->head_ended = false;
    s->delimited = len > 7 && (line[5] == '2' || line[5] == '3');
    return len;
}

static size_t on_header(char *line, size_t size, size_t n, void *context)
{
    struct cv_http_slot *s = context;
    size_t len = size * n;
    const char *why;

    if (++s->lines > HTTP_HEADERS) {
        return refuse(s, "the answer has too many headers");
    }
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        return begin_head(s, line, len);
    }
    if (line[0] == '\n' || (len >= 2 && line[0] == '\r' && line[1] == '\n')) {
        s->head_ended = true;
        return len;
    }
    if (s->head_ended) {
        return len; /* a trailer: nobody reads it */
    }
    why = check_line(s, line, len);
    if (why != NULL) {
        return refuse(s, why);
    }
    cv_buf_add(&s->head, line, len);
    if (s->head.status == CV_INVALID) {
        return refuse(s, "the answer's headers are too long");
    }
    return s->head.status == CV_OK ? len : 0;
}

/* Room for the whole body at once where its length was told. */
static void make_room(struct cv_http_slot *s, struct cv_buf *body)
{
    curl_off_t length = -1;

    if (curl_easy_getinfo(s->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
                          &length) == CURLE_OK &&
        length > 0 && length <= (curl_off_t)body->ceiling &&
        cv_buf_room(body, (size_t)length) == NULL) {
        return; /* it sticks */
    }
}

static size_t on_body(char *data, size_t size, size_t n, void *context)
{
    struct cv_http_slot *s = context;
    struct cv_buf *body = s->is_large ? &s->large : &s->body;
    size_t len = size * n;

    if (body->len == 0) {
        make_room(s, body);
    }
    cv_buf_add(body, data, len);
    if (body->status == CV_INVALID) {
        return refuse(s, "the answer is too long");
    }
    return body->status == CV_OK ? len : 0;
}

static curl_socket_t on_socket(void *context, curlsocktype purpose,
                               struct curl_sockaddr *address)
{
    struct cv_http_shared *shared = context;

    (void)purpose;
    /* with a proxy the address is the proxy's, which was named */
    if (shared->proxy[0] == '\0' &&
        !cv_origin_allows(shared->origin.reach, &address->addr)) {
        shared->blocked = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC,
                  address->protocol);
}

/* ---- the handle ---- */

/* curl_easy_setopt is a macro that checks types; its results are gathered. */
#define SET(option, value) \
    ok = ok && curl_easy_setopt(e, (option), (value)) == CURLE_OK

static bool set_limits(CURL *e, const struct cv_http_shared *shared)
{
    bool ok = true;

    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_MAXREDIRS, 0L);
    SET(CURLOPT_PROTOCOLS_STR,
        strncmp(shared->origin.url, "http:", 5) == 0 ? "http" : "https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_PROXY, shared->proxy);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)shared->connect_ms);
    SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(CURLOPT_ACCEPT_ENCODING, NULL);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_VERBOSE, 0L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_PIPEWAIT, 1L);
    SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
    return ok;
}

static bool set_tls(CURL *e, struct cv_http_shared *shared)
{
    bool ok = true;

    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    /* SECLEVEL=2, whatever the system's file says: no SHA-1, no short keys */
    SET(CURLOPT_SSL_CIPHER_LIST, "DEFAULT:!aNULL:!eNULL:!PSK:@SECLEVEL=2");
    if (shared->ca_pem != NULL) {
        struct curl_blob blob = {shared->ca_pem, shared->ca_len,
                                 CURL_BLOB_NOCOPY};

        SET(CURLOPT_CAINFO, NULL);
        SET(CURLOPT_CAPATH, NULL);
        SET(CURLOPT_CAINFO_BLOB, &blob);
    }
    return ok;
}

static bool set_callbacks(CURL *e, struct cv_http_slot *s,
                          struct cv_http_shared *shared)
{
    bool ok = true;

    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, s);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, s);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, shared);
    SET(CURLOPT_PRIVATE, s);
    return ok;
}

enum cv_status cv_http_slot_open(struct cv_http_slot *s,
                                 struct cv_http_shared *shared,
                                 struct cv_err *err)
{
    memset(s, 0, sizeof(*s));
    cv_buf_init(&s->large, NULL, CV_LIMIT_HTTP_LIST);
    s->blocked = &shared->blocked;
    s->easy = curl_easy_init();
    if (s->easy == NULL || !set_limits(s->easy, shared) ||
        !set_tls(s->easy, shared) || !set_callbacks(s->easy, s, shared)) {
        cv_http_slot_close(s);
        return cv_fail(err, CV_INTERNAL, "libcurl lacks what is needed");
    }
    return CV_OK;
}

void cv_http_slot_close(struct cv_http_slot *s)
{
    curl_easy_cleanup(s->easy);
    curl_slist_free_all(s->headers);
    cv_buf_wipe(&s->large);
    cv_arena_free(s->arena);
    memset(s, 0, sizeof(*s));
}

void cv_http_slot_clear(struct cv_http_slot *s)
{
    cv_buf_wipe(&s->large);
    if (s->body.size > KEEP_BODY || s->body.status != CV_OK ||
        s->head.status != CV_OK) {
        cv_arena_free(s->arena);
        s->arena = NULL;
    } else {
        cv_buf_drop(&s->head, s->head.len);
        cv_buf_drop(&s->body, s->body.len);
    }
    s->head_ended = s->delimited = false;
    s->lines = s->interim = 0;
    s->why = NULL;
    s->begun_ms = 0;
}

void cv_http_slot_forget(struct cv_http_slot *s)
{
    cv_http_slot_clear(s);
    curl_slist_free_all(s->headers);
    s->headers = NULL;
}

static enum cv_status need_memory(struct cv_http_slot *s, struct cv_err *err)
{
    enum cv_status st;

    if (s->arena != NULL) {
        return CV_OK;
    }
    st = cv_arena_new(CV_LIMIT_HTTP_BODY * 4, &s->arena, err);
    if (st == CV_OK) {
        cv_buf_init(&s->head, s->arena, CV_LIMIT_HTTP_HEADERS);
        cv_buf_init(&s->body, s->arena, CV_LIMIT_HTTP_BODY);
    }
    return st;
}

/* ---- what goes out ---- */

/* The lines to send, as they are made. Those of the request before are written
 * over where they are as long. */
struct lines {
    struct curl_slist *made; /* all of them */
    struct curl_slist *old;  /* the next one of the request before, or NULL */
    struct cv_buf line;
};

/* `value` NULL: the header is not sent at all. */
static bool add_header(struct lines *l, const char *name, const char *value)
{
    struct cv_buf *line = &l->line;
    struct curl_slist *list;

    cv_buf_drop(line, line->len);
    cv_buf_add_str(line, name);
    cv_buf_add_str(line, ":");
    if (value != NULL) {
        cv_buf_add_str(line, " ");
        cv_buf_add_str(line, value);
    }
    if (line->status != CV_OK || strpbrk(cv_buf_text(line), "\r\n") != NULL) {
        return false;
    }
    if (l->old != NULL && strlen(l->old->data) == line->len) {
        memcpy(l->old->data, line->data, line->len);
        l->old = l->old->next;
        return true;
    }
    if (l->old != NULL) {
        return false; /* another kind of request */
    }
    list = curl_slist_append(l->made, cv_buf_text(line));
    l->made = list != NULL ? list : l->made;
    return list != NULL;
}

static bool write_lines(struct lines *l, const struct cv_http_request *r)
{
    bool typed = false;
    bool ok = add_header(l, "Accept", "application/json") &&
              add_header(l, "User-Agent", "certvault/" CV_VERSION) &&
              add_header(l, "Expect", NULL);

    for (size_t i = 0; ok && i < r->n_headers; i++) {
        typed = typed || strcasecmp(r->headers[i].name, "content-type") == 0;
        ok = add_header(l, r->headers[i].name, r->headers[i].value);
    }
    if (ok && !typed) {
        ok = add_header(l, "Content-Type", NULL);
    }
    return ok && l->old == NULL;
}

static bool add_headers(struct cv_http_slot *s, const struct cv_http_request *r)
{
    struct lines l = {.made = s->headers, .old = s->headers};
    bool ok;

    /* on the heap and wiped: libcurl's copy of it is there too */
    cv_buf_init(&l.line, NULL, CV_LIMIT_TOKEN_FILE + CV_KIB(1));
    ok = s->headers != NULL && write_lines(&l, r);
    if (!ok) {
        curl_slist_free_all(s->headers);
        l.made = l.old = NULL;
        ok = write_lines(&l, r);
    }
    s->headers = l.made;
    cv_buf_wipe(&l.line);
    return ok;
}

static bool set_method(CURL *e, const struct cv_http_request *r)
{
    bool ok = true;

    if (strcmp(r->method, "GET") == 0) {
        SET(CURLOPT_HTTPGET, 1L);
        SET(CURLOPT_CUSTOMREQUEST, NULL);
        return ok;
    }
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_CUSTOMREQUEST,
        strcmp(r->method, "POST") == 0 ? NULL : r->method);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
    SET(CURLOPT_POSTFIELDS, r->body.len > 0 ? (const char *)r->body.data : "");
    return ok;
}

enum cv_status cv_http_slot_begin(struct cv_http_slot *s,
                                  const struct cv_http_shared *shared,
                                  const struct cv_http_request *r,
                                  struct cv_err *err)
{
    CURL *e = s->easy;
    char url[CV_ORIGIN_TEXT_LEN + CV_KIB(4)];
    enum cv_status st;
    bool ok = true;
    int n;

    cv_http_slot_clear(s);
    st = need_memory(s, err);
    if (st != CV_OK) {
        return st;
    }
    n = snprintf(url, sizeof(url), "%s%s", shared->origin.url, r->target);
    if (n < 0 || (size_t)n >= sizeof(url)) {
        return cv_fail(err, CV_INVALID, "a request's path is too long");
    }
    s->is_large = r->large;
    SET(CURLOPT_MAXFILESIZE_LARGE,
        (curl_off_t)(r->large ? CV_LIMIT_HTTP_LIST : CV_LIMIT_HTTP_BODY));
    SET(CURLOPT_URL, url);
    ok = ok && set_method(e, r) && add_headers(s, r);
    SET(CURLOPT_HTTPHEADER, s->headers);
    return ok ? CV_OK : cv_fail(err, CV_INTERNAL, "out of memory");
}

/* ---- how it ended ---- */

/* Without a whole status line there was no answer. */
static bool has_begun(const struct cv_http_slot *s)
{
    return s->lines > 0;
}

static enum cv_http_answer_end end_of(const struct cv_http_slot *s,
                                      CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return s->head_ended ? CV_HTTP_ANSWERED : CV_HTTP_CUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return CV_HTTP_UNRESOLVED;
    case CURLE_COULDNT_CONNECT:
        return *s->blocked ? CV_HTTP_BLOCKED : CV_HTTP_UNREACHED;
    case CURLE_OPERATION_TIMEDOUT:
        return has_begun(s) ? CV_HTTP_CUT : CV_HTTP_TIMED_OUT;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return has_begun(s) ? CV_HTTP_CUT : CV_HTTP_UNREACHED;
    case CURLE_PARTIAL_FILE:
        return CV_HTTP_CUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return CV_HTTP_UNTRUSTED;
    case CURLE_ABORTED_BY_CALLBACK:
        return CV_HTTP_ALONE;
    case CURLE_OUT_OF_MEMORY:
        /* older libcurls say so of a header that is too long for them */
        return has_begun(s) && !s->head_ended ? CV_HTTP_REFUSED : CV_HTTP_LOCAL;
    default:
        return CV_HTTP_REFUSED;
    }
}

static const char *why_of(const struct cv_http_slot *s, CURLcode code)
{
    if (s->why != NULL) {
        return s->why;
    }
    if (code == CURLE_FILESIZE_EXCEEDED) {
        return "the answer is too long";
    }
    if (code == CURLE_OUT_OF_MEMORY) {
        return "the answer's headers are too long";
    }
    if (code == CURLE_SSL_CACERT_BADFILE) {
        return "the CA file holds no certificate";
    }
    return NULL;
}

/* A proxy that says no has answered: nothing was reset. */
static void judge_proxy(const struct cv_http_slot *s,
                        struct cv_http_answer *out)
{
    long code = 0;

    (void)curl_easy_getinfo(s->easy, CURLINFO_HTTP_CONNECTCODE, &code);
    if (code >= 300 && out->end == CV_HTTP_UNREACHED) {
        out->end = CV_HTTP_REFUSED;
        out->why = "the proxy does not let the request through";
    }
}

void cv_http_slot_end(struct cv_http_slot *s, CURLcode code,
                      struct cv_http_answer *out)
{
    memset(out, 0, sizeof(*out));
    out->end = end_of(s, code);
    out->curl = (int)code;
    out->why = why_of(s, code);
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &out->status);
    (void)curl_easy_getinfo(s->easy, CURLINFO_SSL_VERIFYRESULT, &out->verify);
    judge_proxy(s, out);
    if (code == CURLE_WRITE_ERROR && s->why == NULL) {
        out->end = CV_HTTP_LOCAL;
        out->memory = s->head.status != CV_OK ? s->head.status
                      : s->is_large           ? s->large.status
                                              : s->body.status;
    }
    if (out->end == CV_HTTP_ANSWERED) {
        out->head = cv_buf_bytes(&s->head);
        out->body = cv_buf_bytes(s->is_large ? &s->large : &s->body);
        out->delimited = s->delimited;
    }
}
