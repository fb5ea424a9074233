/* vault/base/file.h */
#include "vault/base/file.h"
#include "vault/base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each test has a folder of its own, 0700. */
struct place {
    char path[64];
    int dir;
};

static int make_place(void **state)
{
    static struct place place;
    struct place *p = &place;
    if (cv_arena_start(NULL) != CV_OK) {
        return -1;
    }
    umask(022);
    memcpy(p->path, "/tmp/certvault-file-XXXXXX", 27);
    if (mkdtemp(p->path) == NULL) {
        return -1;
    }
    p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = p;
    return p->dir < 0 ? -1 : 0;
}

static void remove_beneath(int dir)
{
    DIR *all = fdopendir(dup(dir));
    assert_non_null(all);
    rewinddir(all);
    for (struct dirent *e = readdir(all); e != NULL; e = readdir(all)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        int sub = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (sub >= 0) {
            remove_beneath(sub);
            close(sub);
            (void)unlinkat(dir, e->d_name, AT_REMOVEDIR);
        } else {
            (void)unlinkat(dir, e->d_name, 0);
        }
    }
    closedir(all);
}

static int drop_place(void **state)
{
    struct place *p = *state;
    remove_beneath(p->dir);
    close(p->dir);
    return rmdir(p->path);
}

static const char *join(const struct place *p, const char *name)
{
    static char out[4][4500];
    static unsigned turn;
    turn = (turn + 1) % 4;
    (void)snprintf(out[turn], sizeof(out[0]), "%s/%s", p->path, name);
    return out[turn];
}

static void write_file(const struct place *p, const char *name,
                       const char *text, mode_t mode)
{
    int fd = openat(p->dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void expect_content(const struct place *p, const char *name,
                           const char *want)
{
    int fd = openat(p->dir, name, O_RDONLY);
    assert_true(fd >= 0);
    struct cv_buf b;
    cv_buf_init(&b, NULL, 1000);
    assert_int_equal(cv_file_read(fd, name, &b, NULL), CV_OK);
    assert_string_equal(cv_buf_text(&b), want);
    cv_buf_wipe(&b);
    close(fd);
}

static unsigned count(const struct place *p)
{
    unsigned n = 0;
    DIR *all = fdopendir(dup(p->dir));
    assert_non_null(all);
    rewinddir(all);
    while (readdir(all) != NULL) {
        n++;
    }
    closedir(all);
    return n - 2;
}

static void expect_open(int dir, const char *name, int flags,
                        enum cv_status want, const char *tells)
{
    struct cv_err e;
    cv_err_init(&e);
    int fd = -2;
    enum cv_status status = cv_file_open(dir, name, flags, &fd, &e);
    if (status != want || (tells != NULL && strstr(e.text, tells) == NULL)) {
        fail_msg("%s: %d, not %d: %s", name, status, want, e.text);
    }
    assert_true(want == CV_OK ? fd >= 0 : fd == -1);
    cv_file_close(&fd);
    assert_int_equal(fd, -1);
    cv_file_close(&fd);
}

static void folders_opened(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    int fd = -2;
    assert_int_equal(cv_file_open_folder(p->path, &fd, NULL), CV_OK);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    cv_file_close(&fd);
    assert_int_equal(cv_file_open_folder(join(p, "no"), &fd, &e), CV_NOT_FOUND);
    assert_int_equal(fd, -1);
    write_file(p, "file", "", 0600);
    assert_int_equal(cv_file_open_folder(join(p, "file"), &fd, &e), CV_CONFIG);
    /* A link, also with a slash behind it. */
    assert_int_equal(symlinkat(".", p->dir, "link"), 0);
    assert_int_equal(cv_file_open_folder(join(p, "link"), &fd, &e), CV_CONFIG);
    assert_int_equal(cv_file_open_folder(join(p, "link//"), &fd, &e),
                     CV_CONFIG);
    static const mode_t open_modes[] = {0750, 0705, 0710, 0701, 0720, 0702};
    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        assert_int_equal(chmod(p->path, open_modes[i]), 0);
        assert_int_equal(cv_file_open_folder(p->path, &fd, &e), CV_CONFIG);
        assert_int_equal(fd, -1);
        assert_non_null(strstr(e.hint, "chmod 700"));
    }
    assert_int_equal(chmod(p->path, 0500), 0);
    assert_int_equal(cv_file_open_folder(join(p, "/"), &fd, &e), CV_OK);
    cv_file_close(&fd);
    assert_int_equal(chmod(p->path, 0700), 0);
}

static void another_s_folder(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    int fd = -1;
    if (geteuid() != 0) {
        assert_int_equal(cv_file_open_folder("/", &fd, &e), CV_CONFIG);
        return;
    }
    write_file(p, "file", "", 0600);
    assert_int_equal(fchownat(p->dir, "file", 1, 1, 0), 0);
    expect_open(p->dir, "file", O_RDONLY, CV_CONFIG, "another user");
    assert_int_equal(mkdirat(p->dir, "sub", 0700), 0);
    assert_int_equal(fchownat(p->dir, "sub", 1, 1, 0), 0);
    assert_int_equal(cv_file_open_folder(join(p, "sub"), &fd, &e), CV_CONFIG);
    assert_non_null(strstr(e.text, "another user"));
}

static void folders_made(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    struct stat st;
    int fd = -1;
    umask(0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cv_file_make_folder(join(p, "a//b/c/"), &fd, &e),
                         CV_OK);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        cv_file_close(&fd);
    }
    assert_int_equal(fstatat(p->dir, "a/b", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    write_file(p, "file", "", 0600);
    assert_int_equal(cv_file_make_folder(join(p, "file"), &fd, &e), CV_CONFIG);
    assert_int_equal(cv_file_make_folder(join(p, "file/x"), &fd, &e),
                     CV_CONFIG);
    assert_int_equal(fd, -1);
    /* What is there is judged as it is. */
    assert_int_equal(mkdirat(p->dir, "wide", 0755), 0);
    assert_int_equal(cv_file_make_folder(join(p, "wide"), &fd, &e), CV_CONFIG);
    assert_int_equal(chdir(p->path), 0);
    assert_int_equal(cv_file_make_folder("relative", &fd, &e), CV_OK);
    cv_file_close(&fd);
    assert_int_equal(cv_file_make_folder("", &fd, &e), CV_NOT_FOUND);
    assert_int_equal(chdir("/"), 0);
}

static void files_opened(void **state)
{
    struct place *p = *state;
    struct stat st;
    write_file(p, "file", "text", 0600);
    expect_open(p->dir, "file", O_RDONLY, CV_OK, NULL);
    expect_open(p->dir, "file", O_RDWR, CV_OK, NULL);
    expect_open(AT_FDCWD, join(p, "file"), O_RDONLY, CV_OK, NULL);
    expect_open(p->dir, "none", O_RDONLY, CV_NOT_FOUND, "none");
    expect_open(p->dir, "none/x", O_RDONLY, CV_NOT_FOUND, NULL);
    expect_open(p->dir, "file", O_RDWR | O_CREAT | O_EXCL, CV_EXISTS, "file");
    umask(0);
    expect_open(p->dir, "new", O_RDWR | O_CREAT, CV_OK, NULL);
    assert_int_equal(fstatat(p->dir, "new", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    int fd = -1;
    assert_int_equal(cv_file_open(p->dir, "file", O_RDWR | O_TRUNC, &fd, NULL),
                     CV_OK);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    cv_file_close(&fd);
}

static void files_refused(void **state)
{
    struct place *p = *state;
    write_file(p, "file", "text", 0600);
    write_file(p, "wide", "text", 0640);
    expect_open(p->dir, "wide", O_RDONLY, CV_CONFIG, "open to other users");
    /* Refused before it is made empty. */
    expect_open(p->dir, "wide", O_RDWR | O_TRUNC, CV_CONFIG, NULL);
    expect_content(p, "wide", "text");
    assert_int_equal(linkat(p->dir, "file", p->dir, "second", 0), 0);
    expect_open(p->dir, "file", O_RDONLY, CV_CONFIG, "hard link");
    assert_int_equal(unlinkat(p->dir, "second", 0), 0);
    assert_int_equal(symlinkat("file", p->dir, "link"), 0);
    expect_open(p->dir, "link", O_RDONLY, CV_CONFIG, "link");
    expect_open(AT_FDCWD, join(p, "link"), O_RDONLY, CV_CONFIG, "link");
    expect_open(p->dir, "link", O_RDWR | O_CREAT, CV_CONFIG, "link");
    assert_int_equal(symlinkat("nowhere", p->dir, "dangling"), 0);
    expect_open(p->dir, "dangling", O_RDWR | O_CREAT, CV_CONFIG, "link");
    assert_int_equal(mkdirat(p->dir, "sub", 0700), 0);
    expect_open(p->dir, "sub", O_RDONLY, CV_CONFIG, "regular");
    expect_open(p->dir, "sub", O_RDWR, CV_CONFIG, "regular");
    expect_open(p->dir, ".", O_RDONLY, CV_CONFIG, "regular");
    /* Neither a FIFO without a writer nor one without a reader blocks. */
    assert_int_equal(mkfifoat(p->dir, "fifo", 0600), 0);
    expect_open(p->dir, "fifo", O_RDONLY, CV_CONFIG, "regular");
    expect_open(p->dir, "fifo", O_WRONLY, CV_CONFIG, "regular");
    expect_open(AT_FDCWD, "/dev/null", O_RDONLY, CV_CONFIG, "regular");
}

static void names_that_lead_out(void **state)
{
    struct place *p = *state;
    assert_int_equal(mkdirat(p->dir, "sub", 0700), 0);
    write_file(p, "file", "text", 0600);
    write_file(p, "sub/file", "text", 0600);
    int sub = openat(p->dir, "sub", O_RDONLY | O_DIRECTORY);
    assert_true(sub >= 0);
    expect_open(sub, "file", O_RDONLY, CV_OK, NULL);
    expect_open(sub, "../file", O_RDONLY, CV_CONFIG, NULL);
    expect_open(sub, "/etc/passwd", O_RDONLY, CV_CONFIG, NULL);
    expect_open(sub, join(p, "file"), O_RDONLY, CV_CONFIG, NULL);
    assert_int_equal(symlinkat("..", sub, "up"), 0);
    expect_open(sub, "up/file", O_RDONLY, CV_CONFIG, NULL);
    assert_int_equal(symlinkat("/proc/self/root", sub, "magic"), 0);
    expect_open(sub, "magic/etc/passwd", O_RDONLY, CV_CONFIG, NULL);
    /* A link that stays inside is none of ours either. */
    assert_int_equal(symlinkat("file", sub, "inside"), 0);
    expect_open(sub, "inside", O_RDONLY, CV_CONFIG, NULL);
    expect_open(p->dir, "sub/file", O_RDONLY, CV_OK, NULL);
    close(sub);
}

static void inputs(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    int fd = -1;
    write_file(p, "file", "text", 0644);
    assert_int_equal(symlinkat("file", p->dir, "link"), 0);
    assert_int_equal(cv_file_open_input(join(p, "link"), &fd, &e), CV_OK);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    cv_file_close(&fd);
    assert_int_equal(cv_file_open_input(join(p, "none"), &fd, &e),
                     CV_NOT_FOUND);
    assert_int_equal(fd, -1);
    assert_int_equal(mkfifoat(p->dir, "fifo", 0600), 0);
    assert_int_equal(cv_file_open_input(join(p, "fifo"), &fd, &e), CV_INVALID);
    assert_int_equal(cv_file_open_input(p->path, &fd, &e), CV_INVALID);
    assert_non_null(strstr(e.text, "is a folder"));
    assert_int_equal(cv_file_open_input("/dev/zero", &fd, &e), CV_INVALID);
    assert_int_equal(fd, -1);
    assert_int_equal(symlinkat("loop", p->dir, "loop"), 0);
    assert_int_equal(cv_file_open_input(join(p, "loop"), &fd, &e), CV_INVALID);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket",
                   p->path);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(
        bind(s, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(cv_file_open_input(join(p, "socket"), &fd, &e),
                     CV_INVALID);
    close(s);
    char longer[4200];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(cv_file_open_input(longer, &fd, &e), CV_INVALID);
}

static void names_are_quoted(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    int fd = -1;
    assert_int_equal(cv_file_open_input(join(p, "\x1b[31m\n\xff"), &fd, &e),
                     CV_NOT_FOUND);
    assert_non_null(strstr(e.text, "?[31m??"));
}

static void reading(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    struct cv_buf b;
    write_file(p, "file", "0123456789", 0600);
    int fd = openat(p->dir, "file", O_RDONLY);
    cv_buf_init(&b, NULL, 10);
    assert_int_equal(cv_file_read(fd, "it", &b, &e), CV_OK);
    assert_string_equal(cv_buf_text(&b), "0123456789");
    cv_buf_wipe(&b);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    cv_buf_init(&b, NULL, 9);
    assert_int_equal(cv_file_read(fd, "the file", &b, &e), CV_INVALID);
    assert_non_null(strstr(e.text, "the file: longer than 9 bytes"));
    cv_buf_wipe(&b);
    close(fd);
    /* Pipes tell no size, and give in pieces. */
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 1000; i++) {
            if (write(ends[1], "0123456789abcdefghijklmnopqrstuvwxyz", 36) !=
                36) {
                _exit(1);
            }
        }
        _exit(0);
    }
    close(ends[1]);
    cv_buf_init(&b, NULL, 36000);
    assert_int_equal(cv_file_read(ends[0], "it", &b, &e), CV_OK);
    assert_int_equal(b.len, 36000);
    assert_memory_equal(b.data + 35964, "0123456789abcdefghijklmnopqrstuvwxyz",
                        36);
    close(ends[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    cv_buf_wipe(&b);
    /* What cannot be read. */
    fd = open(p->path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(cv_file_read(fd, "it", &b, &e), CV_IO);
    close(fd);
    cv_buf_wipe(&b);
}

static void writing(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    int fd = openat(p->dir, "file", O_WRONLY | O_CREAT, 0600);
    struct cv_bytes data = {(const uint8_t *)"text", 4};
    assert_int_equal(cv_file_write(fd, data, "it", &e), CV_OK);
    assert_int_equal(cv_file_write(fd, data, "it", &e), CV_OK);
    close(fd);
    expect_content(p, "file", "texttext");
    fd = open("/dev/full", O_WRONLY);
    assert_int_equal(cv_file_write(fd, data, "the file", &e), CV_IO);
    assert_int_equal(e.native, ENOSPC);
    assert_non_null(strstr(e.text, "the file"));
    assert_non_null(strstr(e.hint, "room"));
    close(fd);
}

/* Whoever opens it meanwhile finds the old file or the new one, and no fault
 * with one that has lost its name since. */
static void replaced_while_opened(void **state)
{
    const struct place *p = *state;
    write_file(p, "often", "x", 0600);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool good = true;
        while (good) {
            good =
                cv_file_replace_unsynced(
                    p->dir, "often", (struct cv_bytes){(const uint8_t *)"x", 1},
                    0, NULL) == CV_OK;
        }
        _exit(1);
    }
    unsigned wrong = 0;
    for (int i = 0; i < 40000; i++) {
        int fd = -1;
        wrong += cv_file_open(p->dir, "often", O_RDONLY, &fd, NULL) != CV_OK;
        cv_file_close(&fd);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(wrong, 0);
}

static void staging(void **state)
{
    struct place *p = *state;
    struct cv_bytes first = {(const uint8_t *)"first", 5};
    struct cv_bytes second = {(const uint8_t *)"second", 6};
    struct stat st;
    int before = count(p), fd = -1, other = -1;
    assert_int_equal(cv_file_stage(p->dir, "staged", first, 0, &fd, NULL),
                     CV_OK);
    if (fd == -1) {
        skip(); /* a file system without O_TMPFILE */
    }
    /* It has no name yet, and leaves none behind. */
    assert_int_equal(count(p), before);
    assert_int_equal(cv_file_publish(p->dir, "staged", fd, NULL), CV_OK);
    close(fd);
    expect_content(p, "staged", "first");
    assert_int_equal(fstatat(p->dir, "staged", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(count(p), before + 1);
    assert_int_equal(cv_file_stage(p->dir, "staged", second, 0640, &fd, NULL),
                     CV_OK);
    assert_int_equal(cv_file_stage(p->dir, "staged", first, 0, &other, NULL),
                     CV_OK);
    close(other); /* thought better of */
    expect_content(p, "staged", "first");
    assert_int_equal(cv_file_publish(p->dir, "staged", fd, NULL), CV_OK);
    close(fd);
    expect_content(p, "staged", "second");
    assert_int_equal(count(p), before + 1);
    assert_int_equal(cv_file_publish(p->dir, "staged", -1, NULL), CV_IO);
    assert_int_equal(cv_file_stage(p->dir, "none/staged", first, 0, &fd, NULL),
                     CV_NOT_FOUND);
    assert_int_equal(fd, -1);
    expect_content(p, "staged", "second");
    assert_int_equal(count(p), before + 1);
}

static void replacing(void **state)
{
    struct place *p = *state;
    struct stat st;
    struct cv_bytes first = {(const uint8_t *)"first", 5};
    struct cv_bytes second = {(const uint8_t *)"second", 6};
    struct cv_bytes none = {NULL, 0};
    assert_int_equal(cv_file_replace(p->dir, "file", first, 0, NULL), CV_OK);
    expect_content(p, "file", "first");
    assert_int_equal(fstatat(p->dir, "file", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(cv_file_replace(p->dir, "file", second, 0644, NULL),
                     CV_OK);
    expect_content(p, "file", "second");
    assert_int_equal(fstatat(p->dir, "file", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(cv_file_replace(p->dir, "file", none, 0, NULL), CV_OK);
    expect_content(p, "file", "");
    /* A link is replaced, not followed. */
    write_file(p, "target", "stays", 0600);
    assert_int_equal(symlinkat("target", p->dir, "link"), 0);
    assert_int_equal(cv_file_replace(p->dir, "link", first, 0, NULL), CV_OK);
    expect_content(p, "target", "stays");
    expect_content(p, "link", "first");
    /* Beneath a folder, and by any path. */
    assert_int_equal(mkdirat(p->dir, "sub", 0700), 0);
    assert_int_equal(cv_file_replace(p->dir, "sub/file", first, 0, NULL),
                     CV_OK);
    expect_content(p, "sub/file", "first");
    assert_int_equal(
        cv_file_replace(AT_FDCWD, join(p, "sub/file"), second, 0, NULL), CV_OK);
    expect_content(p, "sub/file", "second");
    assert_int_equal(chdir(p->path), 0);
    assert_int_equal(cv_file_replace(AT_FDCWD, "file", first, 0, NULL), CV_OK);
    assert_int_equal(chdir("/"), 0);
    expect_content(p, "file", "first");
    assert_int_equal(count(p), 4);
}

static void replacing_what_cannot_be(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    struct cv_bytes data = {(const uint8_t *)"text", 4};
    assert_int_equal(mkdirat(p->dir, "sub", 0700), 0);
    assert_int_equal(symlinkat("sub", p->dir, "link"), 0);
    static const char *const bad[] = {"",     ".",      "..",  "sub",
                                      "sub/", "link/x", "../x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cv_file_replace(p->dir, bad[i], data, 0, &e), CV_IO);
    }
    char longest[300];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(cv_file_replace(p->dir, longest, data, 0, &e), CV_IO);
    assert_int_equal(cv_file_replace(p->dir, "none/x", data, 0, &e),
                     CV_NOT_FOUND);
    assert_int_equal(count(p), 2);
}

/* A full disk, by a limit on the size of files. */
static void no_room(void **state)
{
    struct place *p = *state;
    write_file(p, "file", "old", 0600);
    pid_t pid = fork();
    if (pid == 0) {
        static uint8_t lots[100000];
        struct rlimit limit = {50000, 50000};
        struct cv_err e;
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
            _exit(99);
        }
        struct cv_bytes data = {lots, sizeof(lots)};
        _exit(cv_file_replace(p->dir, "file", data, 0, &e) == CV_IO ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    expect_content(p, "file", "old");
    assert_int_equal(count(p), 1);
}

static void creating(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    struct cv_bytes data = {(const uint8_t *)"text", 4};
    struct cv_bytes other = {(const uint8_t *)"other", 5};
    assert_int_equal(cv_file_create(p->dir, "file", data, 0, &e), CV_OK);
    expect_content(p, "file", "text");
    assert_int_equal(cv_file_create(p->dir, "file", other, 0, &e), CV_EXISTS);
    expect_content(p, "file", "text");
    assert_int_equal(symlinkat("nowhere", p->dir, "link"), 0);
    assert_int_equal(cv_file_create(p->dir, "link", other, 0, &e), CV_EXISTS);
    assert_int_equal(count(p), 2);
}

static void syncing(void **state)
{
    struct place *p = *state;
    struct cv_err e;
    assert_int_equal(cv_file_sync_folder(p->dir, &e), CV_OK);
    assert_int_equal(cv_file_sync_folder(-1, &e), CV_IO);
}

#define IN_PLACE(test) \
    cmocka_unit_test_setup_teardown(test, make_place, drop_place)

/* All of it again on a kernel without openat2. */
static int without_openat2(const struct CMUnitTest *tests, size_t n)
{
    pid_t pid = fork();
    if (pid == 0) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        if (filter == NULL ||
            seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2),
                             0) != 0 ||
            seccomp_load(filter) != 0 ||
            syscall(SYS_openat2, -1, "", NULL, 0) != -1 || errno != ENOSYS) {
            _exit(99);
        }
        seccomp_release(filter);
        _exit(_cmocka_run_group_tests("without openat2", tests, n, NULL, NULL));
    }
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        return 1;
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(folders_opened), IN_PLACE(another_s_folder),
        IN_PLACE(folders_made),   IN_PLACE(files_opened),
        IN_PLACE(files_refused),  IN_PLACE(names_that_lead_out),
        IN_PLACE(inputs),         IN_PLACE(names_are_quoted),
        IN_PLACE(reading),        IN_PLACE(writing),
        IN_PLACE(replacing),      IN_PLACE(replaced_while_opened),
        IN_PLACE(staging),        IN_PLACE(replacing_what_cannot_be),
        IN_PLACE(no_room),        IN_PLACE(creating),
        IN_PLACE(syncing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + without_openat2(tests, sizeof(tests) / sizeof(tests[0]));
}
