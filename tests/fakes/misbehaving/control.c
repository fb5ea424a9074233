#include "tests/fakes/misbehaving/misbehaving.h"
#include "tests/fakes/misbehaving/module_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_FAULTS 16

static const struct {
    const char *key, *value;
} defaults[] = {
    {"label", "rig"},         {"manufacturer", "certvault tests"},
    {"model", "misbehaving"}, {"serial", "0001"},
    {"present", "1"},         {"tries", "3"},
    {"pin-pad", "0"},         {"flags", "honest"},
    {"login", "honest"},      {"always-authenticate", "0"},
    {"import", "1"},          {"generate", "1"},
    {"unwrap", "1"},          {"capacity", "1000"},
    {"create", "honest"},     {"extractable", "honest"},
    {"value", "honest"},      {"wrap", "honest"},
    {"copy", "honest"},       {"set", "honest"},
    {"length", "honest"},     {"id", "honest"},
    {"handles", "honest"},    {"sign", "honest"},
    {"random", "honest"},     {"list", "honest"},
    {"pss", "honest"},        {"calls", "0"},
    {"leak", "none"},         {"login-required", "1"},
};
#define SWITCHES (sizeof(defaults) / sizeof(defaults[0]))

struct fault {
    bool once;
    unsigned line;
    char name[40]; /* empty: any call */
    unsigned long from, to;
    char action[24];
    CK_RV rv;
};

static char *values[SWITCHES];
static struct fault faults[MAX_FAULTS];
static size_t fault_count;
static unsigned long calls;
static struct {
    const char *name;
    unsigned long calls;
} counted[80];
static const struct fault *behind; /* what fires when the call has ended */

static void refuse(const char *line)
{
    fprintf(stderr, "misbehaving: not understood: %s\n", line);
    _exit(99);
}

void fake_die(bool segv)
{
    if (!segv)
        raise(SIGKILL);
    /* A sandbox may forbid kill(2); nothing forbids this. */
    signal(SIGSEGV, SIG_DFL);
    for (;;)
        *(volatile int *)NULL = 1;
}

bool fake_configured(void)
{
    return getenv(MISBEHAVING_CONTROL) != NULL;
}

const char *fake_path(const char *name)
{
    static char path[FAKE_PATH];
    const char *control = getenv(MISBEHAVING_CONTROL);
    const char *slash = control != NULL ? strrchr(control, '/') : NULL;

    snprintf(path, sizeof(path), "%.*s/%s",
             slash != NULL ? (int)(slash - control) : 1,
             slash != NULL ? control : ".", name);
    return path;
}

static size_t switch_index(const char *key, size_t len)
{
    for (size_t i = 0; i < SWITCHES; i++)
        if (strlen(defaults[i].key) == len &&
            memcmp(defaults[i].key, key, len) == 0)
            return i;
    return SWITCHES;
}

const char *fake_switch(const char *key)
{
    size_t i = switch_index(key, strlen(key));

    if (i == SWITCHES)
        refuse(key);
    return values[i] != NULL ? values[i] : defaults[i].value;
}

bool fake_switched(const char *key, const char *value)
{
    return strcmp(fake_switch(key), value) == 0;
}

bool fake_leaks(const char *hole)
{
    const char *at = fake_switch("leak");
    size_t len = strlen(hole);

    while (*at != '\0') {
        size_t word = strcspn(at, ",");
        if ((word == len && memcmp(at, hole, len) == 0) ||
            (word == 3 && memcmp(at, "all", 3) == 0))
            return true;
        at += word + (at[word] == ',');
    }
    return false;
}

unsigned long fake_number(const char *key)
{
    return strtoul(fake_switch(key), NULL, 10);
}

/* "17 kill", "17+ rv:0x5", "C_Sign#2 hang" */
static void parse_fault(const char *text, bool once, unsigned line)
{
    struct fault *f = &faults[fault_count];
    const char *space = strchr(text, ' ');
    const char *number = text;
    char *end;

    if (space == NULL || fault_count == MAX_FAULTS)
        refuse(text);
    memset(f, 0, sizeof(*f));
    f->once = once;
    f->line = line;
    f->from = 1;
    f->to = MISBEHAVING_MAX_CALLS;
    if (text[0] == 'C') {
        size_t len = strcspn(text, "# ");
        if (len >= sizeof(f->name))
            refuse(text);
        memcpy(f->name, text, len);
        number = text[len] == '#' ? text + len + 1 : NULL;
    }
    if (number != NULL) {
        f->from = strtoul(number, &end, 10);
        if (end == number || (*end != ' ' && *end != '+'))
            refuse(text);
        if (*end == ' ')
            f->to = f->from;
    }
    const char *colon = strchr(space + 1, ':');
    snprintf(f->action, sizeof(f->action), "%.*s",
             colon != NULL ? (int)(colon - space - 1) : 23, space + 1);
    f->rv = colon != NULL ? strtoul(colon + 1, NULL, 0) : CKR_OK;
    fault_count++;
}

static void parse_line(char *line, unsigned number)
{
    char *equals = strchr(line, '=');

    if (line[0] == '\0' || line[0] == '#')
        return;
    if (equals == NULL)
        refuse(line);
    size_t len = (size_t)(equals - line);
    if (len == 5 && memcmp(line, "fault", 5) == 0) {
        parse_fault(equals + 1, false, number);
    } else if (len == 4 && memcmp(line, "once", 4) == 0) {
        parse_fault(equals + 1, true, number);
    } else {
        size_t i = switch_index(line, len);
        if (i == SWITCHES)
            refuse(line);
        free(values[i]);
        values[i] = strdup(equals + 1);
    }
}

void fake_control_read(void)
{
    const char *control = getenv(MISBEHAVING_CONTROL);

    for (size_t i = 0; i < SWITCHES; i++) {
        free(values[i]);
        values[i] = NULL;
    }
    fault_count = 0;
    if (control == NULL)
        return;
    const char *slash = strrchr(control, '/');
    unsigned char *text =
        fake_read(slash != NULL ? slash + 1 : control, &(size_t){0});
    if (text == NULL)
        return;
    unsigned number = 0;
    char *rest = (char *)text, *line;
    while ((line = strsep(&rest, "\n")) != NULL)
        parse_line(line, ++number);
    free(text);
}

/* Whether a fault for one firing has fired; it counts as fired from now on. */
static bool spent(const struct fault *f)
{
    char name[32];

    if (!f->once)
        return false;
    snprintf(name, sizeof(name), "fired-%u", f->line);
    int fd =
        open(fake_path(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return true;
    close(fd);
    return false;
}

static unsigned long count_name(const char *name)
{
    size_t i = 0;

    while (counted[i].name != NULL && strcmp(counted[i].name, name) != 0)
        i++;
    counted[i].name = name;
    return ++counted[i].calls;
}

static const struct fault *fits(const char *name)
{
    unsigned long of_name = count_name(name);

    for (size_t i = 0; i < fault_count; i++) {
        const struct fault *f = &faults[i];
        unsigned long n = f->name[0] != '\0' ? of_name : calls;
        if (f->name[0] != '\0' && strcmp(f->name, name) != 0)
            continue;
        if (n >= f->from && n <= f->to && !spent(f))
            return f;
    }
    return NULL;
}

static bool waits(void)
{
    fake_control_read();
    for (size_t i = 0; i < fault_count; i++)
        if (strcmp(faults[i].action, "wait") == 0)
            return true;
    return false;
}

CK_RV fake_enter(const char *name)
{
    char line[80];

    fake_control_read();
    calls++;
    if (fake_switched("calls", "1")) {
        snprintf(line, sizeof(line), "%ld %lu %s\n", (long)getpid(), calls,
                 name);
        fake_append("calls.log", line);
    }
    behind = NULL;
    const struct fault *f = fits(name);
    if (f == NULL)
        return CKR_OK;
    if (strcmp(f->action, "kill") == 0)
        fake_die(false);
    else if (strcmp(f->action, "crash") == 0)
        fake_die(true);
    else if (strcmp(f->action, "hang") == 0)
        for (;;)
            pause();
    else if (strcmp(f->action, "wait") == 0)
        while (waits())
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    else if (strcmp(f->action, "rv") == 0)
        return f->rv;
    else if (strcmp(f->action, "remove") == 0)
        fake_pull();
    else if (strcmp(f->action, "sessions") == 0)
        fake_sessions_drop();
    else if (strcmp(f->action, "logout") == 0)
        fake_login_drop();
    else if (strcmp(f->action, "kill-after") == 0 ||
             strcmp(f->action, "crash-after") == 0 ||
             strcmp(f->action, "rv-after") == 0)
        behind = f;
    else
        refuse(f->action);
    return CKR_OK;
}

CK_RV fake_leave(CK_RV rv)
{
    const struct fault *f = behind;

    behind = NULL;
    if (f == NULL)
        return rv;
    if (strcmp(f->action, "rv-after") == 0)
        return f->rv;
    fake_die(strcmp(f->action, "crash-after") == 0);
}

unsigned char *fake_read(const char *name, size_t *len)
{
    FILE *f = fopen(fake_path(name), "re");
    struct stat st;

    if (f == NULL)
        return NULL;
    unsigned char *data = NULL;
    if (fstat(fileno(f), &st) == 0 &&
        (data = malloc((size_t)st.st_size + 1)) != NULL) {
        *len = fread(data, 1, (size_t)st.st_size, f);
        data[*len] = '\0';
    }
    fclose(f);
    return data;
}

bool fake_write(const char *name, const void *data, size_t len)
{
    char temporary[FAKE_PATH + 32];

    snprintf(temporary, sizeof(temporary), "%s.%ld", fake_path(name),
             (long)getpid());
    FILE *f = fopen(temporary, "we");
    if (f == NULL)
        return false;
    bool ok = fwrite(data, 1, len, f) == len && fflush(f) == 0;
    ok = fclose(f) == 0 && ok;
    return ok && rename(temporary, fake_path(name)) == 0;
}

void fake_append(const char *name, const char *line)
{
    int fd =
        open(fake_path(name), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    size_t len = strlen(line);

    if (fd < 0 || write(fd, line, len) != (ssize_t)len || fdatasync(fd) != 0) {
        fprintf(stderr, "misbehaving: %s: %s\n", fake_path(name),
                strerror(errno));
        _exit(99);
    }
    close(fd);
}

int fake_lock(void)
{
    int fd = open(fake_path("lock"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        fprintf(stderr, "misbehaving: lock: %s\n", strerror(errno));
        _exit(99);
    }
    return fd;
}

void fake_unlock(int fd)
{
    close(fd);
}
