#include "vault/broker/anchor_place.h"

#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/limits.h"
#include "vault/broker/anchor_config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_MAX (CV_LIMIT_NOTE + 16)
#define GIT_WORDS 16
#define GIT_BRANCH "refs/heads/certvault-"

/* ---- a file ---- */

static enum cv_status open_file(const char *path, int flags, int *fd,
                                struct cv_err *err)
{
    struct stat st;

    *fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
               0600);
    if (*fd == -1) {
        return cv_fail_errno(err, errno == ENOENT ? CV_NOT_FOUND : CV_IO, "%s",
                             path);
    }
    if (fstat(*fd, &st) == -1 || !S_ISREG(st.st_mode)) {
        cv_file_close(fd);
        return cv_fail(err, CV_CONFIG, "%s is not a regular file", path);
    }
    return CV_OK;
}

static enum cv_status read_tail(int fd, const char *path, struct cv_buf *tail,
                                struct cv_err *err)
{
    char piece[4096];
    off_t end = lseek(fd, 0, SEEK_END), at;

    if (end == -1) {
        return cv_fail_errno(err, CV_IO, "%s", path);
    }
    at = end > (off_t)CV_ANCHOR_PLACE_TAIL ? end - (off_t)CV_ANCHOR_PLACE_TAIL
                                           : 0;
    while (at < end) {
        size_t want = (size_t)(end - at) < sizeof(piece) ? (size_t)(end - at)
                                                         : sizeof(piece);
        ssize_t n = pread(fd, piece, want, at);

        if (n == -1 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return cv_fail_errno(err, CV_IO, "%s", path);
        }
        cv_buf_add(tail, piece, (size_t)n);
        at += n;
    }
    return cv_buf_status(tail, path, err);
}

enum cv_status cv_anchor_place_tail(const char *path, struct cv_buf *tail,
                                    struct cv_err *err)
{
    int fd;
    enum cv_status s = open_file(path, O_RDONLY, &fd, err);

    if (s == CV_NOT_FOUND) {
        return CV_OK;
    }
    if (s == CV_OK) {
        s = read_tail(fd, path, tail, err);
        cv_file_close(&fd);
    }
    return s;
}

static bool ends_with(const struct cv_buf *b, struct cv_bytes end)
{
    return b->len >= end.len &&
           memcmp(b->data + b->len - end.len, end.data, end.len) == 0;
}

/* Notes are apart by an empty line. What a write that was cut off has left is
 * left where it is, and ended. */
static enum cv_status append(int fd, const char *path, struct cv_bytes note,
                             const struct cv_buf *tail, struct cv_err *err)
{
    const struct cv_bytes end = {(const uint8_t *)"\n\n", 2};
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_NOTE + 8);
    cv_buf_add(&text, note.data, note.len);
    cv_buf_add_char(&text, '\n');
    if (ends_with(tail, cv_buf_bytes(&text))) {
        cv_buf_wipe(&text);
        return CV_OK; /* it is the last one already */
    }
    if (tail->len > 0 && !ends_with(tail, end)) {
        cv_buf_wipe(&text);
        cv_buf_add_str(&text, "\n\n");
        cv_buf_add(&text, note.data, note.len);
        cv_buf_add_char(&text, '\n');
    }
    s = cv_buf_status(&text, path, err);
    if (s == CV_OK) {
        s = cv_file_write(fd, cv_buf_bytes(&text), path, err);
    }
    if (s == CV_OK && fsync(fd) == -1) {
        s = cv_fail_errno(err, CV_IO, "%s", path);
    }
    cv_buf_wipe(&text);
    return s;
}

/* Its name must stay, too. */
static enum cv_status sync_above(const char *path, struct cv_err *err)
{
    char *above = strdup(path), *slash;
    int fd;
    enum cv_status s;

    if (above == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    slash = strrchr(above, '/');
    slash[slash == above ? 1 : 0] = '\0';
    fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s = fd != -1 ? cv_file_sync_folder(fd, err)
                 : cv_fail_errno(err, CV_IO, "%s", above);
    cv_file_close(&fd);
    free(above);
    return s;
}

static enum cv_status put_file(const char *path, struct cv_bytes note,
                               struct cv_buf *before, struct cv_err *err)
{
    int fd;
    enum cv_status s = open_file(path, O_RDWR | O_APPEND | O_CREAT, &fd, err);

    if (s != CV_OK) {
        return s;
    }
    if (flock(fd, LOCK_EX) == -1) {
        s = cv_fail_errno(err, CV_IO, "%s", path);
    }
    if (s == CV_OK) {
        s = read_tail(fd, path, before, err);
    }
    if (s == CV_OK) {
        s = append(fd, path, note, before, err);
    }
    if (s == CV_OK && before->len == 0) {
        s = sync_above(path, err);
    }
    cv_file_close(&fd);
    return s;
}

/* ---- programs ---- */

static volatile sig_atomic_t late;
static volatile sig_atomic_t running; /* the pid that the time runs for */

static void on_alarm(int signal_number)
{
    (void)signal_number;
    late = 1;
    if (running > 0) {
        (void)kill((pid_t)running, SIGKILL);
    }
}

/* Nothing of ours but the three streams; it ends with us. */
_Noreturn static void become(char *const *argv, int in, int out)
{
    static char locale[] = "LC_ALL=C", path[] = "PATH=/usr/bin:/bin",
                home[] = "HOME=/nonexistent",
                system[] = "GIT_CONFIG_NOSYSTEM=1",
                author[] = "GIT_AUTHOR_NAME=certvault",
                author_mail[] = "GIT_AUTHOR_EMAIL=certvault@localhost",
                committer[] = "GIT_COMMITTER_NAME=certvault",
                committer_mail[] = "GIT_COMMITTER_EMAIL=certvault@localhost";
    char *const environment[] = {locale,    path,           home,
                                 system,    author,         author_mail,
                                 committer, committer_mail, NULL};
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (none == -1 || dup2(in, 0) == -1 ||
        dup2(out != -1 ? out : none, 1) == -1 || dup2(none, 2) == -1) {
        _exit(126);
    }
    (void)close_range(3, ~0U, 0);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGHUP, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGALRM, SIG_DFL);
    (void)execve(argv[0], argv, environment);
    _exit(127);
}

static void take_output(int fd, struct cv_buf *out)
{
    char piece[1024];
    ssize_t n;

    while ((n = read(fd, piece, sizeof(piece))) > 0 ||
           (n == -1 && errno == EINTR && !late)) {
        if (n > 0) {
            cv_buf_add(out, piece, (size_t)n); /* too much: it sticks */
        }
    }
}

/* Starts argv[0] with `in` as its input, waits for its end. `out` (may be NULL)
 * gets what it says. */
static enum cv_status run(char *const *argv, struct cv_bytes in,
                          struct cv_buf *out, struct cv_err *err)
{
    int fd = memfd_create("note", MFD_CLOEXEC), pipes[2] = {-1, -1}, code;
    enum cv_status s = CV_OK;
    pid_t pid;

    if (fd == -1 || cv_file_write(fd, in, "a note", NULL) != CV_OK ||
        lseek(fd, 0, SEEK_SET) == -1 ||
        (out != NULL && pipe2(pipes, O_CLOEXEC) == -1)) {
        cv_file_close(&fd);
        return cv_fail(err, CV_INTERNAL, "no descriptors are left");
    }
    pid = fork();
    if (pid == 0) {
        become(argv, fd, pipes[1]);
    }
    running = pid;
    cv_file_close(&fd);
    cv_file_close(&pipes[1]);
    if (pid > 0 && out != NULL) {
        take_output(pipes[0], out);
    }
    cv_file_close(&pipes[0]);
    do {
        code = -1;
        (void)waitpid(pid, &code, 0);
    } while (pid > 0 && code == -1 && errno == EINTR);
    running = 0;
    if (pid == -1) {
        s = cv_fail_errno(err, CV_INTERNAL, "cannot start a program");
    } else if (late) {
        s = cv_fail(err, CV_IO, "%s took longer than %d s", argv[0],
                    CV_LIMIT_ANCHOR_RUN_S);
    } else if (WIFEXITED(code) && WEXITSTATUS(code) == 127) {
        s = cv_fail(err, CV_IO, "%s cannot be started", argv[0]);
    } else if (!WIFEXITED(code) || WEXITSTATUS(code) != 0) {
        s = cv_fail(err, CV_IO, "%s ended with %d", argv[0],
                    WIFEXITED(code) ? WEXITSTATUS(code) : 128 + WTERMSIG(code));
    }
    return s != CV_OK || out == NULL ? s : cv_buf_status(out, argv[0], err);
}

static enum cv_status put_command(char *path, struct cv_bytes note,
                                  struct cv_err *err)
{
    char *const argv[] = {path, NULL};

    return run(argv, note, NULL, err);
}

/* ---- git ---- */

static const char *find_git(void)
{
    static const char *const places[] = {"/usr/bin/git", "/bin/git",
                                         "/usr/local/bin/git"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (access(places[i], X_OK) == 0) {
            return places[i];
        }
    }
    return NULL;
}

/* `git -C repository WORDS`: no hook of the repository is run, and what is
 * written is on disk. One line of output, its end left out. */
static enum cv_status git(char *repository, const char *const *words,
                          struct cv_bytes in, struct cv_buf *out,
                          struct cv_err *err)
{
    static const char *const fixed[] = {"-c", "core.hooksPath=/dev/null",
                                        "-c", "core.fsync=all",
                                        "-c", "commit.gpgSign=false"};
    const char *argv[GIT_WORDS + 12] = {find_git(), "-C", repository};
    size_t n = 3;
    enum cv_status s;

    if (argv[0] == NULL) {
        s = cv_fail(err, CV_IO, "there is no git on this machine");
        cv_err_hint(err, "apt-get install git");
        return s;
    }
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        argv[n++] = fixed[i];
    }
    for (size_t i = 0; words[i] != NULL; i++) {
        argv[n++] = words[i];
    }
    s = run((char *const *)(uintptr_t)argv, in, out, err);
    while (s == CV_OK && out->len > 0 && out->data[out->len - 1] == '\n') {
        out->data[--out->len] = '\0';
    }
    return s;
}

/* certvault-<id>: one branch for each log, by the origin that its notes name */
static void branch_of(struct cv_bytes note, struct cv_buf *out)
{
    const uint8_t *end = memchr(note.data, '\n', note.len);
    uint8_t hash[crypto_hash_sha256_BYTES];

    (void)crypto_hash_sha256(
        hash, note.data, end != NULL ? (size_t)(end - note.data) : note.len);
    cv_buf_add_str(out, GIT_BRANCH);
    cv_encode_hex((struct cv_bytes){hash, 8}, out);
}

/* What the steps hand on to each other. */
struct commit {
    struct cv_buf branch, parent, blob, tree_in, tree, commit;
};

static enum cv_status write_commit(char *repository, struct cv_bytes note,
                                   struct commit *c, struct cv_err *err)
{
    const struct cv_bytes none = {NULL, 0};
    const char *const blob[] = {"hash-object", "-w", "--stdin", NULL};
    const char *const tree[] = {"mktree", NULL};
    const char *commit[] = {"commit-tree", NULL, "-m", "checkpoint",
                            NULL,          NULL, NULL};
    const char *update[] = {"update-ref", NULL, NULL, NULL, NULL};
    enum cv_status s = git(repository, blob, note, &c->blob, err);

    if (s == CV_OK) {
        cv_buf_add_format(&c->tree_in, "100644 blob %s\tcheckpoint\n",
                          cv_buf_text(&c->blob));
        s = git(repository, tree, cv_buf_bytes(&c->tree_in), &c->tree, err);
    }
    if (s == CV_OK) {
        commit[1] = cv_buf_text(&c->tree);
        if (c->parent.len > 0) {
            commit[4] = "-p";
            commit[5] = cv_buf_text(&c->parent);
        }
        s = git(repository, commit, none, &c->commit, err);
    }
    if (s == CV_OK) {
        update[1] = cv_buf_text(&c->branch);
        update[2] = cv_buf_text(&c->commit);
        update[3] = c->parent.len > 0
                        ? cv_buf_text(&c->parent)
                        : "0000000000000000000000000000000000000000";
        cv_buf_drop(&c->blob, c->blob.len);
        s = git(repository, update, none, &c->blob, err);
    }
    return s;
}

/* The second line; 0: none. */
static uint64_t size_of(struct cv_bytes note)
{
    const uint8_t *at = note.len > 0 ? memchr(note.data, '\n', note.len) : NULL;
    size_t left = at != NULL ? note.len - (size_t)(at - note.data) : 0;
    uint64_t size = 0;

    for (size_t i = 1; i < left && i < 18 && at[i] >= '0' && at[i] <= '9';
         i++) {
        size = size * 10 + (uint64_t)(at[i] - '0');
    }
    return size;
}

/* What lies on the branch of the origin that `head` begins with: *parent is the
 * commit, empty where there is none. */
static enum cv_status read_git(char *repository, struct cv_bytes head,
                               struct cv_buf *branch, struct cv_buf *parent,
                               struct cv_buf *before, struct cv_err *err)
{
    const struct cv_bytes none = {NULL, 0};
    const char *words[] = {"rev-parse", "--verify", "--quiet", NULL, NULL};
    const char *show[] = {"cat-file", "blob", NULL, NULL};
    struct cv_buf path;
    enum cv_status s;

    branch_of(head, branch);
    words[3] = cv_buf_text(branch);
    /* Fails where there is none, too. */
    if (git(repository, words, none, parent, NULL) != CV_OK) {
        cv_buf_wipe(parent);
        return CV_OK;
    }
    cv_buf_init(&path, NULL, CV_KIB(1));
    cv_buf_add_format(&path, "%s:checkpoint", cv_buf_text(parent));
    show[2] = cv_buf_text(&path);
    s = git(repository, show, none, before, err);
    cv_buf_add_char(before, '\n');
    cv_buf_wipe(&path);
    return s;
}

static enum cv_status put_git(char *repository, struct cv_bytes note,
                              struct cv_buf *before, bool *kept,
                              struct cv_err *err)
{
    struct commit c;
    struct cv_buf *const all[] = {&c.branch,  &c.parent, &c.blob,
                                  &c.tree_in, &c.tree,   &c.commit};
    enum cv_status s;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        cv_buf_init(all[i], NULL, CV_KIB(1));
    }
    s = read_git(repository, note, &c.branch, &c.parent, before, err);
    /* What lies there is not covered with something older. */
    *kept = size_of(cv_buf_bytes(before)) >= size_of(note);
    if (s == CV_OK && !*kept) {
        s = write_commit(repository, note, &c, err);
    }
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        cv_buf_wipe(all[i]);
    }
    return s;
}

/* Is it a repository? Without a branch of ours git says no more than of a
 * folder that is none. */
static enum cv_status look_git(char *repository, struct cv_err *err)
{
    const char *words[] = {"rev-parse", "--git-dir", NULL};
    struct cv_buf out;
    enum cv_status s;

    cv_buf_init(&out, NULL, CV_KIB(8));
    s = git(repository, words, (struct cv_bytes){NULL, 0}, &out, err);
    cv_buf_wipe(&out);
    return s;
}

enum cv_status cv_anchor_place_git(const char *path, const char *origin,
                                   struct cv_buf *note, struct cv_err *err)
{
    struct sigaction time = {.sa_handler = on_alarm}, before;
    const struct cv_bytes head = {(const uint8_t *)origin, strlen(origin)};
    char *repository = strdup(path);
    struct cv_buf branch, parent;
    enum cv_status s;

    if (repository == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_init(&branch, NULL, CV_KIB(1));
    cv_buf_init(&parent, NULL, CV_KIB(1));
    late = 0;
    (void)sigaction(SIGALRM, &time, &before);
    (void)alarm(CV_LIMIT_ANCHOR_RUN_S);
    s = look_git(repository, err);
    if (s == CV_OK) {
        s = read_git(repository, head, &branch, &parent, note, err);
    }
    (void)alarm(0);
    (void)sigaction(SIGALRM, &before, NULL);
    cv_buf_wipe(&branch);
    cv_buf_wipe(&parent);
    free(repository);
    return s;
}

/* ---- the request ---- */

static bool read_all(int socket, struct cv_buf *out)
{
    char piece[4096];
    ssize_t n;

    while ((n = read(socket, piece, sizeof(piece))) != 0) {
        if (n == -1 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            cv_buf_add(out, piece, (size_t)n);
        }
    }
    return out->status == CV_OK && out->len > 0;
}

/* The anchor that the request names; NULL: none. */
static const char *find(char *const *anchors, const struct cv_buf *request,
                        struct cv_bytes *note)
{
    const uint8_t *end = memchr(request->data, '\n', request->len);
    char *stop = NULL;
    unsigned long n;

    if (end == NULL) {
        return NULL;
    }
    n = strtoul((const char *)request->data, &stop, 10);
    if ((const uint8_t *)stop != end) {
        return NULL;
    }
    for (unsigned long i = 0; anchors[i] != NULL; i++) {
        if (i == n) {
            *note = (struct cv_bytes){
                end + 1, request->len - (size_t)(end + 1 - request->data)};
            return anchors[i];
        }
    }
    return NULL;
}

static enum cv_status put(const char *anchor, struct cv_bytes note,
                          struct cv_buf *before, bool *kept, struct cv_err *err)
{
    struct cv_anchor_config c;
    enum cv_status s = cv_anchor_config_parse(anchor, &c, err);

    if (s != CV_OK) {
        return s;
    }
    switch (c.kind) {
    case CV_ANCHOR_FILE:
        return put_file(c.target, note, before, err);
    case CV_ANCHOR_COMMAND:
        return put_command(c.target, note, err);
    case CV_ANCHOR_GIT:
        return put_git(c.target, note, before, kept, err);
    default:
        return cv_fail(err, CV_INTERNAL, "this anchor is not a place here");
    }
}

void cv_anchor_place_serve(char *const *anchors, int socket)
{
    struct sigaction time = {.sa_handler = on_alarm};
    struct cv_buf request, before, answer;
    struct cv_bytes note = {NULL, 0};
    const char *anchor;
    bool kept = false;
    struct cv_err err;

    cv_err_init(&err);
    (void)sigaction(SIGALRM, &time, NULL);
    (void)alarm(CV_LIMIT_ANCHOR_RUN_S);
    cv_buf_init(&request, NULL, REQUEST_MAX);
    cv_buf_init(&before, NULL, CV_LIMIT_NOTE + CV_ANCHOR_PLACE_TAIL);
    cv_buf_init(&answer, NULL,
                CV_LIMIT_NOTE + CV_ANCHOR_PLACE_TAIL + CV_KIB(4));
    if (!read_all(socket, &request)) {
        return;
    }
    anchor = find(anchors, &request, &note);
    if (anchor != NULL && put(anchor, note, &before, &kept, &err) == CV_OK) {
        cv_buf_add_str(&answer, kept ? "kept\n" : "ok\n");
    } else {
        cv_buf_add_format(&answer, "failed %s\n",
                          anchor != NULL ? err.text : "no such anchor");
    }
    cv_buf_add(&answer, before.data, before.len);
    (void)!cv_file_write(socket, cv_buf_bytes(&answer), "an answer", NULL);
    cv_buf_wipe(&request);
    cv_buf_wipe(&before);
    cv_buf_wipe(&answer);
}
