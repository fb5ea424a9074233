/* Frames as a peer may send them: through a socket, in two pieces, answered by
 * a method table. */
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/wire/serve.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum cv_status echo(void *context, const cJSON *parameters,
                           struct cv_reply *reply, struct cv_err *err)
{
    (void)context;
    (void)err;
    (void)cv_json_add_item(cv_reply_parameters(reply), "echo",
                           cJSON_Duplicate(parameters, true));
    return CV_OK;
}

static const struct cv_method methods[] = {
    {"Echo", echo, false},
    {"Secret", echo, true},
};

static const struct cv_interface iface = {
    .name = "io.certvault.Fuzz",
    .description = "interface io.certvault.Fuzz\n",
    .methods = methods,
    .n_methods = 2,
};

static void drain(int fd)
{
    char room[4096];

    while (recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0) {
    }
}

static void answer_all(struct cv_channel *ch, int other)
{
    struct cv_message m;

    while (cv_channel_next(ch, &m, NULL) == CV_OK && m.tree != NULL) {
        enum cv_status s = cv_serve_message(&iface, NULL, ch, &m, NULL);

        cv_message_free(&m);
        drain(other);
        if (s != CV_OK) {
            return;
        }
    }
}

static void feed(struct cv_channel *ch, int other, const uint8_t *data,
                 size_t size)
{
    bool closed;

    if (size > 0 && write(other, data, size) == (ssize_t)size) {
        while (cv_channel_fill(ch, &closed, NULL) == CV_OK && !closed) {
            char c;

            answer_all(ch, other);
            if (recv(cv_channel_fd(ch), &c, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
                break;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    struct cv_channel *ch;
    int pair[2];
    size_t cut = size > 0 ? data[0] % size : 0;

    if (!started) {
        cv_arena_allow_unlocked();
        if (cv_arena_start(NULL) != CV_OK) {
            abort();
        }
        cv_json_start();
        started = true;
    }
    if (size > CV_KIB(64) || cv_process_pair(pair, NULL) != CV_OK) {
        return 0;
    }
    if (cv_channel_new(pair[0], CV_KIB(16), &ch, NULL) == CV_OK) {
        feed(ch, pair[1], data, cut);
        feed(ch, pair[1], data + cut, size - cut);
        cv_channel_free(ch);
    }
    (void)close(pair[1]);
    return 0;
}
