/* Callers of the broker's Sign or Export, as many as wanted, in one process:
 * each has a connection of its own and DEPTH requests on their way.
 *
 *     sign_callers SOCKET NAME ALGORITHM CALLERS DEPTH SECONDS
 *
 * prints signatures a second; with `export` for ALGORITHM, exports. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CALLERS 64

/* "certvault challenge v1", NUL, 32 bytes */
static const char data[] =
    "Y2VydHZhdWx0IGNoYWxsZW5nZSB2MQAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRob"
    "HB0eHw==";

/* With the NUL that ends it. */
static size_t request_of(const char *name, const char *algorithm, char *out,
                         size_t size)
{
    int n = strcmp(algorithm, "export") == 0
                ? snprintf(out, size,
                           "{\"method\":\"io.certvault.Broker.Export\","
                           "\"parameters\":{\"name\":\"%s\","
                           "\"dry_run\":false,\"reason\":\"bench\"}}",
                           name)
                : snprintf(out, size,
                           "{\"method\":\"io.certvault.Broker.Sign\","
                           "\"parameters\":{\"name\":\"%s\",\"purpose\":"
                           "\"challenge\",\"algorithm\":\"%s\","
                           "\"data\":\"%s\"}}",
                           name, algorithm, data);

    return (size_t)n + 1;
}

static double now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int dial(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    if (fd == -1 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == -1) {
        perror(path);
        exit(1);
    }
    return fd;
}

static void send_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);

        if (n <= 0) {
            perror("write");
            exit(1);
        }
        text += n;
        len -= (size_t)n;
    }
}

/* Counts the answers in what is there; an error ends it all. */
static unsigned take(int fd)
{
    static char got[1 << 16];
    ssize_t n = read(fd, got, sizeof(got) - 1);
    unsigned answers = 0;

    if (n <= 0) {
        (void)fputs("the broker hung up\n", stderr);
        exit(1);
    }
    for (ssize_t i = 0; i < n; i++) {
        answers += got[i] == '\0';
        got[i] = got[i] == '\0' ? ' ' : got[i];
    }
    got[n] = '\0';
    if (strstr(got, "\"error\"") != NULL) {
        (void)fprintf(stderr, "%s\n", got);
        exit(1);
    }
    return answers;
}

int main(int argc, char **argv)
{
    struct pollfd polls[CALLERS];
    char request[1024];
    unsigned long count = 0;
    int callers, depth;
    size_t len;
    double begin, seconds;

    if (argc != 7 || (callers = (int)strtol(argv[4], NULL, 10)) < 1 ||
        callers > CALLERS) {
        (void)fputs("sign_callers SOCKET NAME ALGORITHM CALLERS DEPTH "
                    "SECONDS\n",
                    stderr);
        return 1;
    }
    depth = (int)strtol(argv[5], NULL, 10);
    seconds = strtod(argv[6], NULL);
    len = request_of(argv[2], argv[3], request, sizeof(request));
    for (int i = 0; i < callers; i++) {
        polls[i] = (struct pollfd){.fd = dial(argv[1]), .events = POLLIN};
        for (int k = 0; k < depth; k++) {
            send_all(polls[i].fd, request, len);
        }
    }
    begin = now();
    while (now() - begin < seconds) {
        (void)poll(polls, (nfds_t)callers, 1000);
        for (int i = 0; i < callers; i++) {
            unsigned n = polls[i].revents != 0 ? take(polls[i].fd) : 0;

            count += n;
            for (; n > 0; n--) {
                send_all(polls[i].fd, request, len);
            }
        }
    }
    (void)printf("%.1f\n", (double)count / (now() - begin));
    return 0;
}
