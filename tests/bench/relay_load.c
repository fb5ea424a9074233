/* Load on a TLS server of the loopback, for the relay and its peers alike.
 *
 *     relay_load new    PORT CA CERT KEY PATH THREADS SECONDS
 *     relay_load ka     PORT CA CERT KEY PATH THREADS SECONDS
 *     relay_load stream PORT CA CERT KEY PATH THREADS SECONDS
 *     relay_load idle   PORT CA CERT KEY PATH COUNT 0
 *     relay_load watch  PORT CA CERT KEY PATH COUNT 0
 *
 * new: connect, one GET, close, again and again; ka: GETs one after the other
 * on a connection a thread; stream: as ka, counted in bytes. Each prints
 * "COUNT SECONDS MEDIAN_US P99_US BYTES". idle: COUNT connections with one GET
 * each, then nothing; watch: with an answer that does not end. They print
 * "COUNT" and wait until standard input ends. SECONDS may be a count: "n1000"
 * in all. CERT and KEY "-": none. HTTP/1.1 only. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256U << 10)
#define SAMPLES 2000000U

static SSL_CTX *context;
static unsigned long port;
static char request[1024];
static bool fresh, endless;
static double until;
static atomic_long left;
static atomic_ullong bytes;
static atomic_uint samples;
static float *took;

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static SSL *dial(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    SSL *ssl = SSL_new(context);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd == -1 || connect(fd, (struct sockaddr *)&a, sizeof(a)) == -1) {
        fail("connect");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (ssl == NULL ||
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "127.0.0.1") != 1 ||
        SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
        fail("handshake");
    }
    return ssl;
}

/* Closed with a reset, so that no ports pile up in TIME_WAIT. */
static void hang_up(SSL *ssl)
{
    struct linger hard = {1, 0};
    int fd = SSL_get_fd(ssl);

    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    (void)close(fd);
}

/* A number in the head behind a name, or -1. */
static long long header(const char *head, const char *name)
{
    const char *at = strcasestr(head, name);

    return at == NULL ? -1 : strtoll(at + strlen(name), NULL, 10);
}

static bool ends_chunks(const char *data, size_t len)
{
    return len >= 5 && memcmp(data + len - 5, "0\r\n\r\n", 5) == 0;
}

static size_t more(SSL *ssl, char *buffer, size_t size)
{
    int n = SSL_read(ssl, buffer, (int)size);

    if (n <= 0) {
        fail("read");
    }
    return (size_t)n;
}

/* One GET and its answer. */
static void get(SSL *ssl, char *buffer)
{
    size_t len = 0;
    long long body;
    char *end;

    if (SSL_write(ssl, request, (int)strlen(request)) <= 0) {
        fail("write");
    }
    do {
        len += more(ssl, buffer + len, BUFFER - 1 - len);
        buffer[len] = '\0';
        end = strstr(buffer, "\r\n\r\n");
    } while (end == NULL && len < BUFFER - 1);
    if (end == NULL || strncmp(buffer, "HTTP/1.1 200", 12) != 0) {
        (void)fprintf(stderr, "answer: %.200s\n", buffer);
        exit(1);
    }
    if (endless) {
        return;
    }
    end += 4;
    body = header(buffer, "\r\ncontent-length:");
    len -= (size_t)(end - buffer);
    (void)atomic_fetch_add(&bytes, len);
    if (body < 0) {
        (void)memmove(buffer, end, len);
        while (!ends_chunks(buffer, len)) {
            size_t keep = len < 5 ? len : 5;

            (void)memmove(buffer, buffer + len - keep, keep);
            len = keep + more(ssl, buffer + keep, BUFFER - keep);
            (void)atomic_fetch_add(&bytes, len - keep);
        }
        return;
    }
    for (body -= (long long)len; body > 0;) {
        size_t n = more(ssl, buffer, BUFFER);

        body -= (long long)n;
        (void)atomic_fetch_add(&bytes, n);
    }
}

static void *work(void *unused)
{
    char *buffer = malloc(BUFFER);
    SSL *ssl = NULL;

    if (buffer == NULL) {
        fail("memory");
    }
    while (now() < until && atomic_fetch_sub(&left, 1) > 0) {
        double begin = now();
        unsigned int at;

        if (ssl == NULL) {
            ssl = dial();
        }
        get(ssl, buffer);
        if (fresh) {
            hang_up(ssl);
            ssl = NULL;
        }
        at = atomic_fetch_add(&samples, 1);
        if (at < SAMPLES) {
            took[at] = (float)(now() - begin);
        }
    }
    if (ssl != NULL) {
        hang_up(ssl);
    }
    free(buffer);
    return unused;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static void load(unsigned long threads)
{
    pthread_t *all = calloc(threads, sizeof(*all));
    double begin = now();
    unsigned int n;

    took = calloc(SAMPLES, sizeof(*took));
    if (all == NULL || took == NULL) {
        fail("memory");
    }
    for (unsigned long i = 0; i < threads; i++) {
        if (pthread_create(&all[i], NULL, work, NULL) != 0) {
            fail("thread");
        }
    }
    for (unsigned long i = 0; i < threads; i++) {
        (void)pthread_join(all[i], NULL);
    }
    begin = now() - begin;
    n = samples < SAMPLES ? samples : SAMPLES;
    qsort(took, n, sizeof(*took), compare);
    (void)printf("%u %.3f %.0f %.0f %llu\n", (unsigned int)samples, begin,
                 n > 0 ? 1e6 * (double)took[n / 2] : 0,
                 n > 0 ? 1e6 * (double)took[(size_t)n * 99 / 100] : 0,
                 (unsigned long long)bytes);
    free(all);
    free(took);
}

static void hold(unsigned long count)
{
    SSL **all = calloc(count, sizeof(SSL *));
    char *buffer = malloc(BUFFER), c;

    if (all == NULL || buffer == NULL) {
        fail("memory");
    }
    for (unsigned long i = 0; i < count; i++) {
        all[i] = dial();
        get(all[i], buffer);
    }
    (void)printf("%lu\n", count);
    (void)fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0) {
    }
    for (unsigned long i = 0; i < count; i++) {
        hang_up(all[i]);
    }
    free(all);
    free(buffer);
}

static void prepare(char **argv)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    port = strtoul(argv[2], NULL, 10);
    (void)snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%lu\r\n\r\n", argv[6],
                   port);
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL ||
        SSL_CTX_load_verify_locations(context, argv[3], NULL) != 1 ||
        SSL_CTX_set_alpn_protos(context, alpn, sizeof(alpn) - 1) != 0) {
        fail("context");
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (strcmp(argv[4], "-") != 0 &&
        (SSL_CTX_use_certificate_chain_file(context, argv[4]) != 1 ||
         SSL_CTX_use_PrivateKey_file(context, argv[5], SSL_FILETYPE_PEM) !=
             1)) {
        fail("certificate");
    }
}

int main(int argc, char **argv)
{
    unsigned long threads;

    if (argc != 9) {
        (void)fputs("relay_load new|ka|stream|idle|watch PORT CA CERT KEY PATH "
                    "THREADS|COUNT SECONDS|nCOUNT\n",
                    stderr);
        return 1;
    }
    prepare(argv);
    threads = strtoul(argv[7], NULL, 10);
    fresh = strcmp(argv[1], "new") == 0;
    endless = strcmp(argv[1], "watch") == 0;
    if (endless || strcmp(argv[1], "idle") == 0) {
        hold(threads);
    } else {
        bool counted = argv[8][0] == 'n';

        left = counted ? strtol(argv[8] + 1, NULL, 10) : SAMPLES;
        until = now() + (counted ? 1e9 : strtod(argv[8], NULL));
        load(threads);
    }
    SSL_CTX_free(context);
    return 0;
}
