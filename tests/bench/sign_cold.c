/* One signature by a broker that is started for it, as a command would:
 *
 *     sign_cold CERTVAULTD VAULT NAME ALGORITHM URI PIN_FILE CONFIG */
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/base/process.h"
#include "vault/wire/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 60000
#define LABEL "certvault challenge v1"
#define VARIABLE "SOFTHSM2_CONF"

static void fail(const char *what, const struct cv_err *err)
{
    (void)fprintf(stderr, "sign_cold: %s: %s\n", what, err->text);
    exit(1);
}

static struct cv_channel *start(char *program, char *vault, char *config,
                                pid_t *pid)
{
    static char private[] = "--private", folder[] = "--vault",
                file[] = "--config";
    char variable[4096];
    char *argv[] = {program, private, folder, vault, file, config, NULL};
    char *environment[] = {variable, NULL};
    struct cv_process_start start = {
        .path = program,
        .argv = argv,
        .environment = environment,
        .extra = {-1, -1, -1, -1},
        .keep_stderr = true,
    };
    const char *value = getenv(VARIABLE);
    struct cv_channel *ch = NULL;
    struct cv_err err;
    int pair[2];

    cv_err_init(&err);
    (void)snprintf(variable, sizeof(variable), VARIABLE "=%s",
                   value != NULL ? value : "");
    if (cv_process_pair(pair, &err) != CV_OK) {
        fail("socket", &err);
    }
    start.socket = pair[1];
    if (cv_process_start(&start, pid, &err) != CV_OK) {
        fail(program, &err);
    }
    (void)close(pair[1]);
    if (cv_channel_new(pair[0], CV_LIMIT_FRAME, &ch, &err) != CV_OK) {
        fail("channel", &err);
    }
    return ch;
}

static void call(struct cv_channel *ch, const char *method, cJSON *parameters)
{
    struct cv_message reply = {0};
    struct cv_err err;

    cv_err_init(&err);
    if (cv_client_call(ch, method, parameters, CV_CLIENT_SECRET_IN, WAIT_MS,
                       &reply, &err) != CV_OK) {
        fail(method, &err);
    }
    cv_message_free(&reply);
}

static void log_in(struct cv_channel *ch, const char *uri, const char *file)
{
    char pin[64] = "";
    FILE *f = fopen(file, "r");
    cJSON *p = cJSON_CreateObject();
    struct cv_bytes bytes = {(const uint8_t *)pin, 0};

    if (f == NULL || fgets(pin, sizeof(pin), f) == NULL) {
        exit(1);
    }
    (void)fclose(f);
    bytes.len = strcspn(pin, "\n");
    (void)cv_json_add_str(p, "token_uri", uri);
    (void)cv_json_add_base64(p, "secret", bytes);
    (void)cv_json_add_str(p, "source", "file");
    call(ch, "io.certvault.Broker.TokenLogin", p);
}

static void sign(struct cv_channel *ch, const char *name, const char *algorithm)
{
    const uint8_t data[sizeof(LABEL) + 32] = LABEL;
    const struct cv_bytes bytes = {data, sizeof(data)};
    cJSON *p = cJSON_CreateObject();

    (void)cv_json_add_str(p, "name", name);
    (void)cv_json_add_str(p, "purpose", "challenge");
    (void)cv_json_add_str(p, "algorithm", algorithm);
    (void)cv_json_add_base64(p, "data", bytes);
    call(ch, "io.certvault.Broker.Sign", p);
}

int main(int argc, char **argv)
{
    struct cv_channel *ch;
    pid_t pid = 0;

    cv_process_begin(2);
    if (argc != 8) {
        (void)fputs("sign_cold CERTVAULTD VAULT NAME ALGORITHM URI PIN_FILE "
                    "CONFIG\n",
                    stderr);
        return 64;
    }
    ch = start(argv[1], argv[2], argv[7], &pid);
    call(ch, "io.certvault.Broker.Hello", NULL);
    log_in(ch, argv[5], argv[6]);
    sign(ch, argv[3], argv[4]);
    cv_channel_free(ch);
    return cv_process_wait(pid);
}
