#include "audit_test.h"

#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int audit_test_start(void **state)
{
    (void)state;
    cv_arena_allow_unlocked();
    if (cv_arena_start(NULL) != CV_OK) {
        return -1;
    }
    cv_json_start();
    (void)umask(077);
    return 0;
}

void audit_test_vault(struct audit_vault *v)
{
    struct cv_log *log = NULL;

    (void)snprintf(v->path, sizeof v->path, "/tmp/cv-audit-XXXXXX");
    assert_non_null(mkdtemp(v->path));
    assert_int_equal(cv_file_open_folder(v->path, &v->fd, NULL), CV_OK);
    assert_int_equal(
        cv_logkey_create(v->fd, "certvault.example/test", &v->key, NULL),
        CV_OK);
    assert_int_equal(cv_log_open(v->fd, CV_LOG_CREATE, &log, NULL), CV_OK);
    cv_log_close(log);
}

static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

struct cv_log *audit_test_open(const struct audit_vault *v)
{
    struct cv_log *log = NULL;
    struct cv_err err;

    cv_err_init(&err);
    if (cv_log_open(v->fd, CV_LOG_WRITE, &log, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    return log;
}

void audit_test_remove(struct audit_vault *v)
{
    cv_file_close(&v->fd);
    assert_int_equal(nftw(v->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void say(struct cv_leaf *l, enum cv_leaf_phase phase, const char *op,
                const char *action, const char *entry, uint64_t nr)
{
    static const char *const rules[] = {"everyday"};
    static const gid_t gids[] = {100, 27};

    cv_leaf_init(l);
    l->op = op;
    l->phase = phase;
    l->mode = "exec";
    l->host = "host.example";
    l->time_s = 1790000000 + (int64_t)nr;
    l->mono_ms = 1000 + (int64_t)nr;
    l->uid = 1000;
    l->user = "alice";
    l->gids = gids;
    l->n_gids = 2;
    l->pid = 42;
    l->action = action;
    l->entry = entry;
    l->policy_version = 0;
    l->policy_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991"
                       "b7852b855";
    l->rules = rules;
    l->n_rules = 1;
    l->decision = phase == CV_LEAF_EVENT ? CV_LEAF_NONE : CV_LEAF_PERMIT;
    l->outcome = phase == CV_LEAF_OUTCOME ? "ok" : NULL;
}

cJSON *audit_test_leaf(enum cv_leaf_phase phase, const char *op,
                       const char *action, const char *entry, uint64_t nr)
{
    struct cv_leaf l;
    struct cv_err err;
    char own[CV_LEAF_OP + 1];
    cJSON *leaf = NULL;

    cv_leaf_new_op(own);
    say(&l, phase, op == NULL ? own : op, action, entry, nr);
    cv_err_init(&err);
    if (cv_leaf_build(&l, &leaf, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    return leaf;
}

enum cv_status audit_test_append(struct cv_log *log, enum cv_leaf_phase phase,
                                 const char *op, const char *entry, uint64_t nr)
{
    struct cv_leaf l;

    say(&l, phase, op, "export", entry, nr);
    return cv_log_append_leaf(log, &l, NULL, NULL);
}

void audit_test_fill(struct cv_log *log, unsigned n)
{
    char op[CV_LEAF_OP + 1];

    for (unsigned i = 0; i < n; i++) {
        char entry[32];

        (void)snprintf(entry, sizeof entry, "prod-%u", i / 2 % 10);
        if (i % 2 == 0) {
            cv_leaf_new_op(op);
        }
        assert_int_equal(
            audit_test_append(log,
                              i % 2 == 0 ? CV_LEAF_DECISION : CV_LEAF_OUTCOME,
                              op, entry, i),
            CV_OK);
    }
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
}

void audit_test_sign(struct audit_vault *v, struct cv_bytes text, char *out,
                     size_t out_len)
{
    struct cv_arena *arena = NULL;
    struct cv_bytes seed;
    struct cv_buf b;
    uint8_t pk[32], sk[64], blob[4 + 64];

    assert_int_equal(cv_arena_new(65536, &arena, NULL), CV_OK);
    assert_int_equal(cv_logkey_read_seed(v->fd, &v->key, arena, &seed, NULL),
                     CV_OK);
    assert_int_equal(seed.len, CV_LOGKEY_SEED);
    (void)crypto_sign_seed_keypair(pk, sk, seed.data);
    memcpy(blob, v->key.id, 4);
    (void)crypto_sign_detached(blob + 4, NULL, text.data, text.len, sk);
    cv_buf_init(&b, NULL, 4096);
    cv_buf_add_format(&b, "\xe2\x80\x94 %s ", v->key.name);
    cv_encode_base64((struct cv_bytes){blob, sizeof blob}, &b);
    (void)snprintf(out, out_len, "%s", cv_buf_text(&b));
    cv_buf_wipe(&b);
    cv_arena_free(arena);
}

void audit_test_checkpoint(struct audit_vault *v, struct cv_log *log)
{
    struct cv_buf text;
    struct cv_err err;
    char line[512];

    cv_err_init(&err);
    cv_buf_init(&text, NULL, 4096);
    if (cv_checkpoint_begin(log, &text, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(text.len > 0);
    audit_test_sign(v, cv_buf_bytes(&text), line, sizeof line);
    if (cv_checkpoint_finish(log, cv_buf_bytes(&text), line, &err) != CV_OK) {
        fail_msg("%s", err.text);
    }
    cv_buf_wipe(&text);
}

uint8_t *audit_test_read(const struct audit_vault *v, const char *name,
                         size_t *len)
{
    struct stat st;
    int fd = openat(v->fd, name, O_RDONLY | O_CLOEXEC);
    uint8_t *data;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *len = (size_t)st.st_size;
    data = malloc(*len + 1);
    assert_non_null(data);
    assert_int_equal(read(fd, data, *len), (ssize_t)*len);
    (void)close(fd);
    return data;
}

void audit_test_write(const struct audit_vault *v, const char *name,
                      const void *data, size_t len)
{
    int fd =
        openat(v->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

size_t audit_test_frame(const uint8_t *log, size_t len, unsigned n)
{
    size_t at = 0;

    for (; n > 0 && at < len; n--) {
        at += 8 + ((size_t)log[at] | (size_t)log[at + 1] << 8);
    }
    return at;
}
