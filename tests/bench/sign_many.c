/* Callers of Sign at a broker's socket, each a process with a connection of its
 * own that asks for one signature after the other:
 *
 *     sign_many SOCKET NAME ALGORITHM CALLERS EACH */
#include "vault/base/encode.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/wire/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 60000
#define LABEL "certvault challenge v1"

static void fail(const char *what, const struct cv_err *err)
{
    (void)fprintf(stderr, "sign_many: %s: %s\n", what, err->text);
    _exit(1);
}

static struct cv_channel *join(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct cv_message reply = {0};
    struct cv_channel *ch = NULL;
    struct cv_err err;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cv_err_init(&err);
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == -1) {
        (void)cv_fail_errno(&err, CV_UNAVAILABLE, "%s", path);
        fail("connect", &err);
    }
    if (cv_channel_new(fd, CV_LIMIT_FRAME, &ch, &err) != CV_OK ||
        cv_client_call(ch, "io.certvault.Broker.Hello", NULL, 0, WAIT_MS,
                       &reply, &err) != CV_OK) {
        fail("Hello", &err);
    }
    cv_message_free(&reply);
    return ch;
}

static void sign(struct cv_channel *ch, const char *name, const char *algorithm,
                 int number)
{
    uint8_t data[sizeof(LABEL) + 32] = LABEL;
    const struct cv_bytes bytes = {data, sizeof(data)};
    struct cv_message reply = {0};
    cJSON *p = cJSON_CreateObject();
    struct cv_err err;

    cv_err_init(&err);
    memcpy(data + sizeof(LABEL), &number, sizeof(number));
    if (!cv_json_add_str(p, "name", name) ||
        !cv_json_add_str(p, "purpose", "challenge") ||
        !cv_json_add_str(p, "algorithm", algorithm) ||
        !cv_json_add_base64(p, "data", bytes) ||
        cv_client_call(ch, "io.certvault.Broker.Sign", p, 0, WAIT_MS, &reply,
                       &err) != CV_OK) {
        fail("Sign", &err);
    }
    cv_message_free(&reply);
}

int main(int argc, char **argv)
{
    int callers, each, failed = 0;

    cv_process_begin(2);
    if (argc != 6) {
        (void)fputs("sign_many SOCKET NAME ALGORITHM CALLERS EACH\n", stderr);
        return 64;
    }
    callers = (int)strtol(argv[4], NULL, 10);
    each = (int)strtol(argv[5], NULL, 10);
    for (int c = 0; c < callers; c++) {
        pid_t pid = fork();

        if (pid == 0) {
            struct cv_channel *ch = join(argv[1]);

            for (int i = 0; i < each; i++) {
                sign(ch, argv[2], argv[3], i);
            }
            cv_channel_free(ch);
            _exit(0);
        }
        failed |= pid == -1;
    }
    for (int c = 0; c < callers; c++) {
        int status = 1;

        (void)wait(&status);
        failed |= status;
    }
    return failed != 0;
}
