#include "vault/broker/notify.h"

#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/broker/broker_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT_MAX CV_KIB(32) /* a socket takes it whole */

struct item {
    char *text;
    bool held; /* what it tells of is not durable yet */
};

struct running {
    int fd; /* -1: none; it ends with the command */
    uint32_t child;
    int64_t until_ms;
};

struct cv_notify_queue {
    struct item items[CV_LIMIT_NOTIFY_QUEUE]; /* oldest first */
    size_t n;
    struct running running[CV_LIMIT_NOTIFY_RUNNING];
    uint64_t dropped; /* and not told of yet */
};

/* The child's side */

void cv_notify_run(const char *command, int socket)
{
    static char locale[] = "LC_ALL=C", path[] = "PATH=/usr/bin:/bin";
    char *const environment[] = {locale, path, NULL};
    char *argv[] = {strdup(command), NULL};
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (argv[0] == NULL || none == -1 || dup2(socket, 0) == -1 ||
        dup2(none, 1) == -1 || dup2(none, 2) == -1) {
        _exit(126);
    }
    (void)close_range(3, ~0U, 0);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)execve(argv[0], argv, environment);
    _exit(127);
}

/* The broker's */

static struct cv_notify_queue *queue_of(struct cv_broker *b)
{
    if (b->options->programs.notify == NULL) {
        return NULL;
    }
    if (b->notify == NULL) {
        b->notify = calloc(1, sizeof(*b->notify));
        for (size_t i = 0; b->notify != NULL && i < CV_LIMIT_NOTIFY_RUNNING;
             i++) {
            b->notify->running[i].fd = -1;
        }
    }
    return b->notify;
}

static char *text_of(const struct cv_broker *b, const char *event,
                     const cJSON *about)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *all =
        about != NULL ? cJSON_Duplicate(about, true) : cJSON_CreateObject();
    char time[CV_CLOCK_TEXT_LEN], *text = NULL;
    struct cv_buf out;

    cv_buf_init(&out, NULL, TEXT_MAX);
    if (cv_json_add_str(all, "event", event) &&
        cv_json_add_str(all, "time", cv_clock_format(cv_clock_now_s(), time)) &&
        cv_json_add_str(all, "host", b->host) &&
        (b->vault == NULL || cv_json_add_str(all, "vault_id", b->vault->id))) {
        cv_json_write(all, CV_JSON_COMPACT, &out);
        cv_buf_add_str(&out, "\n");
        if (cv_buf_status(&out, "an event", NULL) == CV_OK) {
            text = strdup(cv_buf_text(&out));
        }
    }
    cJSON_Delete(all);
    (void)cv_json_use(before);
    cv_buf_wipe(&out);
    return text;
}

/* What a caller must not be able to crowd out has places of its own. */
#define KEPT_PLACES 16

static size_t room_for(const char *event)
{
    return strcmp(event, "break-glass") == 0 || strcmp(event, "freeze") == 0 ||
                   strcmp(event, "unfreeze") == 0
               ? CV_LIMIT_NOTIFY_QUEUE
               : CV_LIMIT_NOTIFY_QUEUE - KEPT_PLACES;
}

static void add(struct cv_broker *b, const char *event, const cJSON *about,
                bool held)
{
    struct cv_notify_queue *q = queue_of(b);
    char *text;

    if (q == NULL) {
        return;
    }
    text = q->n < room_for(event) ? text_of(b, event, about) : NULL;
    if (text == NULL) {
        q->dropped++;
        return;
    }
    q->items[q->n++] = (struct item){text, held};
}

void cv_notify_event(struct cv_broker *b, const char *event, const cJSON *about)
{
    add(b, event, about, false);
}

void cv_notify_later(struct cv_broker *b, const char *event, const cJSON *about)
{
    add(b, event, about, true);
}

void cv_notify_release(struct cv_broker *b)
{
    for (size_t i = 0; b->notify != NULL && i < b->notify->n; i++) {
        b->notify->items[i].held = false;
    }
}

static void take_out(struct cv_notify_queue *q, size_t i)
{
    free(q->items[i].text);
    q->n--;
    memmove(&q->items[i], &q->items[i + 1], (q->n - i) * sizeof(q->items[0]));
}

void cv_notify_forget(struct cv_broker *b)
{
    for (size_t i = b->notify != NULL ? b->notify->n : 0; i-- > 0;) {
        if (b->notify->items[i].held) {
            take_out(b->notify, i);
        }
    }
}

/* The command's end of the socket is gone: so is the command. */
static bool has_ended(int fd)
{
    char byte;
    ssize_t n;

    do {
        n = recv(fd, &byte, 1, MSG_DONTWAIT);
    } while (n == 1 || (n == -1 && errno == EINTR));
    return n == 0 || errno != EAGAIN;
}

/* How many run. */
static size_t look(struct cv_broker *b, struct cv_notify_queue *q, int64_t now)
{
    size_t n = 0;

    for (size_t i = 0; i < CV_LIMIT_NOTIFY_RUNNING; i++) {
        struct running *r = &q->running[i];

        if (r->fd == -1) {
            continue;
        }
        if (has_ended(r->fd)) {
            cv_file_close(&r->fd);
        } else if (now >= r->until_ms) {
            cv_spawner_kill(b->spawner, r->child);
            cv_file_close(&r->fd);
        } else {
            n++;
        }
    }
    return n;
}

static void start(struct cv_broker *b, struct cv_notify_queue *q,
                  const char *text)
{
    struct running *r = q->running;
    size_t len = strlen(text);

    while (r->fd != -1) {
        r++;
    }
    if (cv_spawner_run_child(b->spawner, CV_SPAWNER_NOTIFY, &r->fd, &r->child,
                             NULL) != CV_OK) {
        r->fd = -1;
        q->dropped++;
        return;
    }
    r->until_ms = cv_clock_boot_ms() + (int64_t)CV_LIMIT_NOTIFY_S * 1000;
    if (send(r->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len) {
        q->dropped++;
    }
    (void)shutdown(r->fd, SHUT_WR);
}

static void tell_dropped(struct cv_broker *b, struct cv_notify_queue *q)
{
    cJSON *details = cJSON_CreateObject();

    (void)cv_json_add_str(details, "method", "notify");
    (void)cv_json_add_int(details, "failed", (int64_t)q->dropped);
    (void)cv_json_add_str(details, "because",
                          "the notify command was not told of that many");
    cv_broker_event(b, "broker", CV_BUSY, details);
    cJSON_Delete(details);
    q->dropped = 0;
}

bool cv_notify_tick(struct cv_broker *b)
{
    struct cv_notify_queue *q = b->notify;
    size_t running;

    if (q == NULL) {
        return false;
    }
    running = look(b, q, cv_clock_boot_ms());
    for (size_t i = 0; i < q->n && running < CV_LIMIT_NOTIFY_RUNNING;) {
        if (q->items[i].held) {
            i++;
            continue;
        }
        start(b, q, q->items[i].text);
        take_out(q, i);
        running++;
    }
    if (q->dropped > 0 && q->n == 0) {
        tell_dropped(b, q);
    }
    return q->n > 0 || running > 0;
}

void cv_notify_end(struct cv_broker *b)
{
    struct cv_notify_queue *q = b->notify;

    if (q == NULL) {
        return;
    }
    (void)cv_notify_tick(b);
    while (q->n > 0) {
        take_out(q, q->n - 1);
    }
    for (size_t i = 0; i < CV_LIMIT_NOTIFY_RUNNING; i++) {
        cv_file_close(&q->running[i].fd);
    }
    free(q);
    b->notify = NULL;
}
