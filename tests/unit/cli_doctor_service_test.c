/* What doctor says of the service: by units and sockets below a folder that
 * stands for the host's root. */
#include "cli/doctor_service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const units[] = {
    "certvault.service",       "certvault.socket",
    "certvault-intake.socket", "certvault-intake@.service",
    "certvault-relay.socket",  "certvault-relay.service"};

static const char *const sockets[] = {"broker.sock", "intake.sock",
                                      "relay-orders.sock", "relay-asks.sock"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct host {
    char root[64];
    int fds[4];
};

/* The path of `leaf`, whose folders are made. */
static const char *at(const struct host *h, const char *leaf)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s%s", h->root, leaf);
    for (char *p = path + strlen(h->root) + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(path, 0700);
            *p = '/';
        }
    }
    return path;
}

static void make(const struct host *h, const char *leaf)
{
    FILE *f = fopen(at(h, leaf), "we");

    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
}

static void install(const struct host *h, size_t n)
{
    char leaf[128];

    for (size_t i = 0; i < n; i++) {
        (void)snprintf(leaf, sizeof(leaf), "/usr/lib/systemd/system/%s",
                       units[i]);
        make(h, leaf);
    }
}

static void enable(const struct host *h)
{
    assert_int_equal(
        symlink("/usr/lib/systemd/system/certvault.service",
                at(h, "/etc/systemd/system/multi-user.target.wants/"
                      "certvault.service")),
        0);
    make(h, "/etc/certvault/vault.key.cred");
}

/* `listening`: else they are only bound, or what a crash left. */
static void open_sockets(struct host *h, size_t n, bool listening)
{
    for (size_t i = 0; i < n; i++) {
        struct sockaddr_un sa = {.sun_family = AF_UNIX};
        char leaf[64];
        const char *path;

        (void)snprintf(leaf, sizeof(leaf), "/run/certvault/%s", sockets[i]);
        path = at(h, leaf);
        assert_true(strlen(path) < sizeof(sa.sun_path));
        memcpy(sa.sun_path, path, strlen(path) + 1);
        h->fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(h->fds[i], (struct sockaddr *)&sa, sizeof(sa)),
                         0);
        assert_true(!listening || listen(h->fds[i], 1) == 0);
    }
}

static int up(void **state)
{
    static struct host h;

    (void)snprintf(h.root, sizeof(h.root), "/tmp/cv-doctor-XXXXXX");
    assert_non_null(mkdtemp(h.root));
    for (size_t i = 0; i < COUNT(h.fds); i++) {
        h.fds[i] = -1;
    }
    *state = &h;
    return 0;
}

static void remove_below(const char *path)
{
    static const char *const all[] = {
        "/etc/systemd/system/multi-user.target.wants/certvault.service",
        "/etc/systemd/system/multi-user.target.wants",
        "/etc/systemd/system/certvault.socket",
        "/etc/systemd/system",
        "/etc/systemd",
        "/etc/certvault/vault.key.cred",
        "/etc/certvault",
        "/etc",
        "/run/certvault/broker.sock",
        "/run/certvault/intake.sock",
        "/run/certvault/relay-orders.sock",
        "/run/certvault/relay-asks.sock",
        "/run/certvault",
        "/run",
    };
    char leaf[256];

    for (size_t i = 0; i < COUNT(units); i++) {
        (void)snprintf(leaf, sizeof(leaf), "%s/usr/lib/systemd/system/%s", path,
                       units[i]);
        (void)remove(leaf);
    }
    for (size_t i = 0; i < COUNT(all); i++) {
        (void)snprintf(leaf, sizeof(leaf), "%s%s", path, all[i]);
        (void)remove(leaf);
    }
    for (const char *const *p =
             (const char *const[]){"/usr/lib/systemd/system",
                                   "/usr/lib/systemd", "/usr/lib", "/usr", "",
                                   NULL};
         *p != NULL; p++) {
        (void)snprintf(leaf, sizeof(leaf), "%s%s", path, *p);
        (void)remove(leaf);
    }
}

static int down(void **state)
{
    struct host *h = *state;
    struct stat st;

    for (size_t i = 0; i < COUNT(h->fds); i++) {
        if (h->fds[i] != -1) {
            (void)close(h->fds[i]);
        }
    }
    remove_below(h->root);
    return stat(h->root, &st) == -1 ? 0 : -1;
}

/* Its lines, "result: message" each, joined by LF. */
static const char *said(const struct host *h, unsigned *failed)
{
    static char text[2048];
    struct cv_doctor_host d = {.items = cJSON_CreateArray()};
    const cJSON *item;
    size_t len = 0;

    cv_doctor_service_run(&d, h->root);
    text[0] = '\0';
    cJSON_ArrayForEach(item, d.items)
    {
        len += (size_t)snprintf(
            text + len, sizeof(text) - len, "%s: %s\n",
            cJSON_GetStringValue(
                cJSON_GetObjectItemCaseSensitive(item, "result")),
            cJSON_GetStringValue(
                cJSON_GetObjectItemCaseSensitive(item, "message")));
        assert_string_equal(
            cJSON_GetStringValue(
                cJSON_GetObjectItemCaseSensitive(item, "check")),
            "service");
    }
    *failed = d.failed;
    cJSON_Delete(d.items);
    return text;
}

static void expect(const struct host *h, unsigned failed, const char *text)
{
    unsigned n;

    assert_string_equal(said(h, &n), text);
    assert_int_equal(n, failed);
}

static void no_service(void **state)
{
    expect(*state, 0, "ok: no units: it is no service of systemd here\n");
}

static void all_well(void **state)
{
    struct host *h = *state;

    install(h, COUNT(units));
    enable(h);
    open_sockets(h, COUNT(sockets), true);
    expect(h, 0, "ok: its units are installed, its sockets are open\n");
}

static void half_installed(void **state)
{
    struct host *h = *state;

    install(h, COUNT(units) - 2);
    expect(h, 1,
           "fail: units are missing: certvault-relay.socket, "
           "certvault-relay.service\n");
}

static void installed_alone(void **state)
{
    struct host *h = *state;

    install(h, COUNT(units));
    make(h, "/etc/certvault/x"); /* the folder can be looked into */
    (void)remove(at(h, "/etc/certvault/x"));
    expect(h, 0,
           "warn: its units are installed and not enabled\n"
           "warn: /etc/certvault/vault.key.cred is not there: "
           "certvault.service does not start without it\n"
           "warn: nobody listens at /run/certvault/broker.sock\n"
           "warn: nobody listens at /run/certvault/intake.sock\n"
           "warn: nobody listens at /run/certvault/relay-orders.sock\n"
           "warn: nobody listens at /run/certvault/relay-asks.sock\n");
}

/* A socket's file that is left over, or not listened at, is none. */
static void files_of_sockets(void **state)
{
    struct host *h = *state;

    install(h, COUNT(units));
    enable(h);
    open_sockets(h, COUNT(sockets), false);
    assert_int_equal(listen(h->fds[0], 1), 0);
    assert_int_equal(listen(h->fds[2], 1), 0);
    (void)close(h->fds[3]);
    h->fds[3] = -1;
    expect(h, 0,
           "warn: nobody listens at /run/certvault/intake.sock\n"
           "warn: nobody listens at /run/certvault/relay-asks.sock\n");
}

static void masked(void **state)
{
    struct host *h = *state;

    install(h, COUNT(units));
    enable(h);
    open_sockets(h, COUNT(sockets), true);
    assert_int_equal(
        symlink("/dev/null", at(h, "/etc/systemd/system/certvault.socket")), 0);
    expect(h, 0,
           "warn: certvault.socket is masked\n"
           "ok: its units are installed, its sockets are open\n");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(no_service),      CASE(all_well), CASE(half_installed),
        CASE(installed_alone), CASE(masked),   CASE(files_of_sockets),
    };

    cv_json_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
