/* Power cuts (P1). The system calls by which the log, checkpoints and tiles
 * reach the disk are caught, and what would be on the disk is kept beside it: a
 * file's bytes as of its last sync, and what was done to it since; a folder's
 * names likewise. At a random call the power goes: each 512-byte sector that
 * was not synced is there, not there, or torn (SQLite's test6.c has the same
 * three), each truncation and each name that was not synced is there or not.
 * Then the vault is opened.
 *
 * A leaf counts as released when its commit returned CV_OK. */
#include "audit_test.h"
#include "full.h"

#include "vault/audit/query_internal.h"
#include "vault/audit/tiles.h"
#include "vault/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512u
/* A sanitized process forks slowly. */
#ifdef CV_SANITIZED
#define SHORT 120
#else
#define SHORT 500
#endif
#define FILES 400
#define OPS 4000
#define NAMES 400
#define CALLS 90 /* the power goes at one of so many, or at the end */

struct op {
    bool cut; /* a truncation to `at`; else `len` bytes at `at` */
    uint64_t at;
    size_t len;
    uint8_t *data;
};

struct file {
    ino_t ino;
    uint8_t *data; /* as synced */
    uint64_t len;
    struct op *ops;
    size_t n;
};

struct name {
    bool gone; /* an unlink */
    bool synced;
    char path[160];
    ino_t ino;
};

static struct file files[FILES];
static size_t n_files;
static struct name names[NAMES];
static size_t n_names;
static bool watched;
static unsigned calls, cut_at;
static uint64_t drawn;
static const char *crashed; /* folder that is made of what is left */

static struct shared {
    uint64_t released; /* leaves */
    unsigned calls;
} * shared;

static uint64_t draw(uint64_t n)
{
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    return drawn % n;
}

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __real_write(int fd, const void *data, size_t len);
int __real_ftruncate(int fd, off_t len);
int __real_renameat(int from, const char *old, int to, const char *new);
int __real_linkat(int from, const char *old, int to, const char *new,
                  int flags);
int __real_unlinkat(int dir, const char *name, int flags);

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_write(int fd, const void *data, size_t len);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_renameat(int from, const char *old, int to, const char *new);
int __wrap_linkat(int from, const char *old, int to, const char *new,
                  int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);

static struct file *file_of(ino_t ino)
{
    for (size_t i = 0; i < n_files; i++) {
        if (files[i].ino == ino) {
            return &files[i];
        }
    }
    if (n_files == FILES) {
        _exit(90);
    }
    files[n_files].ino = ino;
    return &files[n_files++];
}

/* The same by a descriptor, of which a copy is kept: a file that lost its name
 * must not give its inode number to another. */
static struct file *file_of_fd(int fd)
{
    size_t before = n_files;
    struct stat st;
    struct file *f;

    if (fstat(fd, &st) != 0) {
        _exit(96);
    }
    f = file_of(st.st_ino);
    if (n_files != before && fcntl(fd, F_DUPFD_CLOEXEC, 3) < 0) {
        _exit(97);
    }
    return f;
}

static void add_op(struct file *f, struct op op)
{
    if (f->ops == NULL) {
        f->ops = calloc(OPS, sizeof *f->ops);
    }
    if (f->ops == NULL || f->n == OPS) {
        _exit(91);
    }
    f->ops[f->n++] = op;
}

static void grow(struct file *f, uint64_t len)
{
    uint8_t *data;

    if (len <= f->len) {
        return;
    }
    data = realloc(f->data, len);
    if (data == NULL) {
        _exit(92);
    }
    memset(data + f->len, 0, len - f->len);
    f->data = data;
    f->len = len;
}

/* A piece of a write, within one sector. */
static void apply_piece(struct file *f, uint64_t at, const uint8_t *data,
                        size_t len, bool whole)
{
    uint64_t fate = whole ? 0 : draw(3);
    size_t good = fate == 0 ? len : (size_t)draw(len);

    if (fate == 1) {
        return;
    }
    grow(f, at + len);
    memcpy(f->data + at, data, good);
    for (size_t i = good; i < len; i++) {
        f->data[at + i] = (uint8_t)draw(256);
    }
}

/* Brings `f` to what is on the disk: all of it (a sync), or as chance has it.
 */
static void settle(struct file *f, bool whole)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct op *op = &f->ops[i];
        size_t done = 0;

        if (op->cut && (whole || draw(2) == 0)) {
            grow(f, op->at);
            f->len = op->at;
        }
        while (!op->cut && done < op->len) {
            size_t room = SECTOR - (size_t)((op->at + done) % SECTOR);
            size_t len = op->len - done < room ? op->len - done : room;

            apply_piece(f, op->at + done, op->data + done, len, whole);
            done += len;
        }
        free(op->data);
    }
    f->n = 0;
}

static void path_of(int dir, const char *name, char out[160])
{
    char link[64], folder[128];
    ssize_t n;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    n = readlink(link, folder, sizeof folder - 1);
    folder[n < 0 ? 0 : n] = '\0';
    (void)snprintf(out, 160, "%.80s%s%.70s", folder, name[0] ? "/" : "", name);
}

static void add_name(int dir, const char *name, bool gone)
{
    struct name *n = &names[n_names];
    struct stat st;

    if (n_names == NAMES) {
        _exit(93);
    }
    memset(n, 0, sizeof *n);
    path_of(dir, name, n->path);
    n->gone = gone;
    if (!gone) {
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            _exit(94);
        }
        n->ino = st.st_ino;
        (void)file_of(n->ino);
    }
    n_names++;
}

/* The folder was synced: its names stay. */
static void settle_names(int fd)
{
    char folder[160];
    size_t len;

    path_of(fd, "", folder);
    len = strlen(folder);
    for (size_t i = 0; i < n_names; i++) {
        if (strncmp(names[i].path, folder, len) == 0 &&
            names[i].path[len] == '/' &&
            strchr(names[i].path + len + 1, '/') == NULL) {
            names[i].synced = true;
        }
    }
}

static void make_folders(char *path)
{
    for (char *slash = strchr(path + strlen(crashed) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

/* Puts what is left of the vault at `from` into the folder `crashed`. */
static void power_cut(const char *from)
{
    size_t skip = strlen(from);

    watched = false;
    for (size_t i = 0; i < n_files; i++) {
        settle(&files[i], false);
    }
    for (size_t i = 0; i < n_names; i++) {
        const struct name *n = &names[i];
        char path[300];
        struct file *f;
        int fd;

        if (!n->synced && draw(2) == 0) {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s%s", crashed, n->path + skip);
        if (n->gone) {
            (void)unlink(path);
            continue;
        }
        f = file_of(n->ino);
        make_folders(path);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, f->data, f->len) != (ssize_t)f->len) {
            _exit(95);
        }
        (void)close(fd);
    }
    shared->calls = calls;
    _exit(0);
}

static const char *vault_path;

static void call(void)
{
    if (++calls == cut_at) {
        power_cut(vault_path);
    }
}

static void catch_write(int fd, const void *data, size_t len, uint64_t at)
{
    struct op op = {false, at, len, malloc(len + 1)};

    if (op.data == NULL) {
        _exit(92);
    }
    memcpy(op.data, data, len);
    add_op(file_of_fd(fd), op);
    call();
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    ssize_t n = __real_pwrite(fd, data, len, at);

    if (watched && n > 0) {
        catch_write(fd, data, (size_t)n, (uint64_t)at);
    }
    return n;
}

ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    off_t at = watched ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t n = __real_write(fd, data, len);

    if (watched && n > 0 && at >= 0) {
        catch_write(fd, data, (size_t)n, (uint64_t)at);
    }
    return n;
}

int __wrap_ftruncate(int fd, off_t len)
{
    struct op op = {true, (uint64_t)len, 0, NULL};
    int result = __real_ftruncate(fd, len);

    if (watched && result == 0) {
        add_op(file_of_fd(fd), op);
        call();
    }
    return result;
}

/* Nothing waits for the real disk here. */
static int sync_one(int fd)
{
    struct stat st;

    if (!watched) {
        return 0;
    }
    call();
    if (fstat(fd, &st) != 0) {
        _exit(97);
    }
    if (S_ISDIR(st.st_mode)) {
        settle_names(fd);
    } else {
        settle(file_of_fd(fd), true);
    }
    return 0;
}

int __wrap_fsync(int fd)
{
    return sync_one(fd);
}

int __wrap_fdatasync(int fd)
{
    return sync_one(fd);
}

int __wrap_renameat(int from, const char *old, int to, const char *new)
{
    int result = __real_renameat(from, old, to, new);

    if (watched && result == 0) {
        add_name(to, new, false);
        call();
    }
    return result;
}

int __wrap_linkat(int from, const char *old, int to, const char *new, int flags)
{
    int result = __real_linkat(from, old, to, new, flags);

    if (watched && result == 0) {
        call(); /* a name for the meantime, which the rename takes away */
    }
    return result;
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
    int result = __real_unlinkat(dir, name, flags);

    if (watched && result == 0 && flags == 0) {
        add_name(dir, name, true);
        call();
    }
    return result;
}

/* All that is there now is on the disk. */
static void watch(const struct audit_vault *v)
{
    static const char *const there[] = {"audit/log", "audit/key.pub",
                                        "audit/log.key"};

    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++) {
        struct file *f;
        size_t len;
        uint8_t *data = audit_test_read(v, there[i], &len);

        add_name(v->fd, there[i], false);
        names[n_names - 1].synced = true;
        f = file_of(names[n_names - 1].ino);
        f->data = data;
        f->len = len;
    }
    watched = true;
}

/* One, a few, or (seldom) so many that more zeros are kept ahead, or fewer. */
static uint64_t how_many(void)
{
    if (draw(3) != 0) {
        return 1;
    }
    return 1 + draw(draw(8) != 0 ? 12 : draw(4) != 0 ? 60 : 1000);
}

static void commit_some(struct cv_log *log)
{
    static const char op[] = "00112233445566778899aabbccddeeff";

    for (uint64_t i = how_many(); i > 0; i--) {
        if (audit_test_append(log, CV_LEAF_DECISION, op, "prod", i) != CV_OK) {
            _exit(98);
        }
    }
}

static void checkpoint(struct audit_vault *v, struct cv_log *log, bool both)
{
    struct cv_buf text;
    char line[512];
    enum cv_status s = CV_OK;

    cv_buf_init(&text, NULL, 4096);
    if (both) {
        commit_some(log);
    }
    if (cv_checkpoint_begin(log, &text, NULL) == CV_OK && text.len > 0) {
        audit_test_sign(v, cv_buf_bytes(&text), line, sizeof line);
        s = both ? cv_checkpoint_commit(log, cv_buf_bytes(&text), line, NULL)
                 : cv_checkpoint_finish(log, cv_buf_bytes(&text), line, NULL);
    }
    if (s != CV_OK) {
        _exit(99);
    }
    shared->released = cv_log_size(log);
    cv_buf_wipe(&text);
}

/* A broker's work, until the power goes. */
static void work(struct audit_vault *v, bool stays)
{
    struct cv_log *log = NULL;

    vault_path = v->path;
    watch(v);
    if (cv_log_open(v->fd, CV_LOG_WRITE, &log, NULL) != CV_OK) {
        _exit(100);
    }
    if (stays) {
        cv_log_stay(log);
    }
    for (;;) {
        commit_some(log);
        if (cv_log_commit(log, NULL) != CV_OK) {
            _exit(101);
        }
        shared->released = cv_log_size(log);
        if (draw(3) == 0) {
            checkpoint(v, log, draw(2) == 0);
            if (cv_tiles_update(v->fd, cv_log_size(log), NULL) != CV_OK) {
                _exit(102);
            }
        }
    }
}

static enum cv_status count(void *ctx, const struct cv_query_cursor *at,
                            struct cv_bytes leaf, struct cv_err *err)
{
    (void)at;
    (void)leaf;
    (void)err;
    ++*(uint64_t *)ctx;
    return CV_OK;
}

/* The tiles: made again up to what the log has, and its root is theirs. */
static void check_tiles(const struct audit_vault *v, const struct cv_log *log)
{
    static struct cv_tiles_reader r;
    struct cv_proof_source source;
    uint8_t want[CV_TREE_HASH], got[CV_TREE_HASH];
    struct cv_err err;
    uint64_t size = cv_log_size(log);

    cv_err_init(&err);
    /* Another boot, by which partial tiles are known to be none. */
    if (faccessat(v->fd, "audit/tiles.last", F_OK, 0) == 0) {
        audit_test_write(v, "audit/tiles.last", "{\"boot\":\"x\",\"size\":1}\n",
                         23);
    }
    if (cv_tiles_update(v->fd, size, &err) != CV_OK) {
        fail_msg("tiles: %s", err.text);
    }
    r = (struct cv_tiles_reader){.vault = v->fd, .size = size};
    source = cv_tiles_source(&r);
    cv_tree_root(cv_log_tree(log), want);
    assert_int_equal(cv_proof_root(&source, size, got, &err), CV_OK);
    assert_memory_equal(want, got, sizeof got);
}

/* True: it opens; false: its end is damaged, which is told (70). In both cases
 * all that was released is there. */
static bool check(struct audit_vault *v, uint64_t released, const char *run)
{
    struct cv_query_cursor at = {0};
    struct cv_checkpoint last = {0};
    struct cv_log *log = NULL;
    uint64_t there = 0;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    (void)!cv_query_scan(v->fd, &at, count, &there, &err);
    if (there < released) {
        fail_msg("%s: %llu leaves were released, %llu are there", run,
                 (unsigned long long)released, (unsigned long long)there);
    }
    cv_err_init(&err);
    s = cv_checkpoint_read(v->fd, &v->key, &last, NULL, NULL, &err);
    if ((s != CV_OK && s != CV_NOT_FOUND) || last.size > there) {
        fail_msg("%s: a checkpoint of %llu over %llu leaves: %s", run,
                 (unsigned long long)last.size, (unsigned long long)there,
                 err.text);
    }
    for (int again = 0; again < 2; again++) {
        s = cv_log_open(v->fd, CV_LOG_WRITE, &log, &err);
        if (s == CV_INTEGRITY && again == 0) {
            return false;
        }
        assert_int_equal(s, CV_OK);
        assert_int_equal(cv_log_torn(log) > 0 && again > 0, false);
        assert_int_equal(cv_log_size(log), there);
        audit_test_fill(log, 1);
        there++;
        check_tiles(v, log);
        cv_log_close(log);
    }
    return true;
}

/* Nothing here is for the real disk. */
static void make_folder(struct audit_vault *v)
{
    (void)snprintf(v->path, sizeof v->path, "%s/cv-power-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(v->path));
    v->fd = open(v->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(v->fd >= 0);
}

static void copy_in(const struct audit_vault *from, struct audit_vault *to)
{
    static const char *const all[] = {"audit/log", "audit/key.pub",
                                      "audit/log.key"};

    to->key = from->key;
    make_folder(to);
    assert_int_equal(mkdirat(to->fd, "audit", 0700), 0);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        size_t len;
        uint8_t *data = audit_test_read(from, all[i], &len);

        audit_test_write(to, all[i], data, len);
        free(data);
    }
}

static bool one_run(const struct audit_vault *template, uint64_t seed)
{
    struct audit_vault v, left;
    char run[64];
    int status = 0;
    bool opens;
    pid_t pid;

    copy_in(template, &v);
    left.key = template->key;
    make_folder(&left);
    crashed = left.path;
    shared->released = 0;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        drawn = seed * 2654435761u + 88172645463325252u;
        cut_at = 1 + (unsigned)draw(CALLS);
        work(&v, draw(2) == 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)snprintf(run, sizeof run, "CV_SEED=%llu", (unsigned long long)seed);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_msg("%s: the writer ended with %d", run, WEXITSTATUS(status));
    }
    opens = check(&left, shared->released, run);
    audit_test_remove(&v);
    audit_test_remove(&left);
    return opens;
}

static void test_power_cuts(void **state)
{
    const char *given = getenv("CV_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
                                  : (uint64_t)time(NULL) * 100000;
    unsigned runs = given != NULL ? 1 : cv_full_run() ? 10000 : SHORT;
    struct audit_vault few, many;
    struct cv_log *log;
    unsigned refused = 0;

    (void)state;
    print_message("CV_SEED=%llu and on\n", (unsigned long long)seed);
    audit_test_vault(&few);
    audit_test_vault(&many);
    assert_int_equal(cv_log_open(many.fd, CV_LOG_WRITE, &log, NULL), CV_OK);
    audit_test_fill(log, 250);
    cv_log_close(log);
    for (unsigned i = 0; i < runs; i++) {
        refused += !one_run((seed + i) % 10 == 0 ? &many : &few, seed + i);
    }
    print_message("%u power cuts: nothing released was lost; %u left an end "
                  "that is told as damage\n",
                  runs, refused);
    audit_test_remove(&few);
    audit_test_remove(&many);
}

static int start(void **state)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? -1 : audit_test_start(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_power_cuts)};

    return cmocka_run_group_tests(tests, start, NULL);
}
