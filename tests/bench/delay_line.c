/* A line with a round trip, for a kernel without netem: passes TCP connections
 * of a port of the loopback on to another, each byte later by DELAY.
 *
 *     delay_line PORT DELAY_US        prints the port that it listens on
 *
 * Opening a connection costs its round trip too: what a client sends at once
 * leaves it only when the server's SYN,ACK would have come, two delays after
 * accept. Ends when its standard input ends. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE 65536
#define QUEUED (16U << 20)

static int64_t delay_ns;

struct chunk {
    struct chunk *next;
    int64_t due; /* ns of CLOCK_MONOTONIC */
    size_t len;  /* 0: the end */
    unsigned char data[];
};

struct line {
    int fds[2];
    atomic_int users; /* threads */
};

/* One direction: a thread reads, a thread writes. */
struct way {
    struct line *line;
    int from, to;
    int64_t earliest; /* nothing was sent before */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct chunk *first, **end;
    size_t queued;
    atomic_int users;
};

static int64_t now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_until(int64_t due)
{
    struct timespec t = {due / 1000000000, due % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0) {
    }
}

static void leave(struct way *way)
{
    struct line *line = way->line;

    if (atomic_fetch_sub(&way->users, 1) == 1) {
        free(way);
    }
    if (atomic_fetch_sub(&line->users, 1) == 1) {
        (void)close(line->fds[0]);
        (void)close(line->fds[1]);
        free(line);
    }
}

static void put(struct way *way, struct chunk *chunk)
{
    (void)pthread_mutex_lock(&way->lock);
    while (way->queued > QUEUED) {
        (void)pthread_cond_wait(&way->changed, &way->lock);
    }
    *way->end = chunk;
    way->end = &chunk->next;
    way->queued += chunk->len;
    (void)pthread_cond_broadcast(&way->changed);
    (void)pthread_mutex_unlock(&way->lock);
}

static struct chunk *take(struct way *way)
{
    struct chunk *chunk;

    (void)pthread_mutex_lock(&way->lock);
    while (way->first == NULL) {
        (void)pthread_cond_wait(&way->changed, &way->lock);
    }
    chunk = way->first;
    way->first = chunk->next;
    if (way->first == NULL) {
        way->end = &way->first;
    }
    way->queued -= chunk->len;
    (void)pthread_cond_broadcast(&way->changed);
    (void)pthread_mutex_unlock(&way->lock);
    return chunk;
}

static void *reads(void *argument)
{
    struct way *way = argument;
    size_t len;

    do {
        struct chunk *chunk = malloc(sizeof(*chunk) + PIECE);
        ssize_t n;
        int64_t t;

        if (chunk == NULL) {
            abort();
        }
        n = read(way->from, chunk->data, PIECE);
        t = now();
        len = n > 0 ? (size_t)n : 0;
        chunk->next = NULL;
        chunk->len = len;
        chunk->due = (t > way->earliest ? t : way->earliest) + delay_ns;
        put(way, chunk);
    } while (len > 0);
    leave(way);
    return NULL;
}

static bool write_all(int fd, const unsigned char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void *writes(void *argument)
{
    struct way *way = argument;
    bool open = true;
    size_t len;

    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    do {
        struct chunk *chunk = take(way);

        len = chunk->len;
        if (open) {
            sleep_until(chunk->due);
        }
        if (open && len > 0 && !write_all(way->to, chunk->data, len)) {
            open = false;
            (void)shutdown(way->from, SHUT_RD);
        }
        free(chunk);
    } while (len > 0);
    (void)shutdown(way->to, SHUT_WR);
    leave(way);
    return NULL;
}

static void start(struct line *line, int from, int to, int64_t earliest)
{
    struct way *way = calloc(1, sizeof(*way));
    pthread_t thread;

    if (way == NULL) {
        abort();
    }
    way->line = line;
    way->from = line->fds[from];
    way->to = line->fds[to];
    way->earliest = earliest;
    way->end = &way->first;
    way->users = 2;
    (void)pthread_mutex_init(&way->lock, NULL);
    (void)pthread_cond_init(&way->changed, NULL);
    if (pthread_create(&thread, NULL, reads, way) != 0 ||
        pthread_detach(thread) != 0 ||
        pthread_create(&thread, NULL, writes, way) != 0 ||
        pthread_detach(thread) != 0) {
        abort();
    }
}

static struct sockaddr_in loopback(unsigned long port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void carry(int client, unsigned long port)
{
    struct sockaddr_in a = loopback(port);
    struct line *line = calloc(1, sizeof(*line));
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (line == NULL || server == -1 ||
        connect(server, (struct sockaddr *)&a, sizeof(a)) == -1) {
        (void)close(client);
        (void)close(server);
        free(line);
        return;
    }
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    line->fds[0] = client;
    line->fds[1] = server;
    line->users = 4;
    start(line, 0, 1, now() + 2 * delay_ns);
    start(line, 1, 0, 0);
}

static void *until_end(void *unused)
{
    char c;

    while (read(STDIN_FILENO, &c, 1) > 0) {
    }
    exit(0);
    return unused;
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = loopback(0);
    socklen_t len = sizeof(a);
    unsigned long port;
    pthread_t thread;
    int listener;

    if (argc != 3) {
        (void)fputs("delay_line PORT DELAY_US\n", stderr);
        return 1;
    }
    port = strtoul(argv[1], NULL, 10);
    delay_ns = 1000 * strtol(argv[2], NULL, 10);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener == -1 ||
        bind(listener, (struct sockaddr *)&a, sizeof(a)) == -1 ||
        listen(listener, 128) == -1 ||
        getsockname(listener, (struct sockaddr *)&a, &len) == -1 ||
        pthread_create(&thread, NULL, until_end, NULL) != 0) {
        perror("delay_line");
        return 1;
    }
    (void)printf("%u\n", (unsigned int)ntohs(a.sin_port));
    (void)fflush(stdout);
    for (;;) {
        int client = accept(listener, NULL, NULL);

        if (client != -1) {
            carry(client, port);
        }
    }
}
