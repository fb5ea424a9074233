/* `audit verify`: what it finds, and what it must not cry about. */
#include "audit_report.h"

#include "vault/audit/state_internal.h"
#include "vault/audit/verify.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/file.h"
#include "vault/base/json.h"

#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void is_fine(const struct audit_vault *v, const char *checkpoint,
                    const char *tail, int records)
{
    cJSON *report = audit_report_run(v, NULL, CV_OK);

    assert_string_equal(audit_report_text(report, "checkpoint"), checkpoint);
    assert_string_equal(audit_report_text(report, "tail"), tail);
    assert_string_equal(audit_report_text(report, "anchored"), "none");
    assert_int_equal(audit_report_at(report, "records")->valuedouble, records);
    assert_int_equal(audit_report_at(report, "size")->valuedouble, records);
    cJSON_Delete(report);
}

static void test_fine(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    cJSON *report;
    uint8_t root[32];
    char base64[64];

    (void)state;
    audit_test_vault(&v);
    report = audit_report_run(&v, NULL, CV_OK);
    assert_string_equal(audit_report_text(report, "root"),
                        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    cJSON_Delete(report);
    is_fine(&v, "missing", "clean", 0);
    log = audit_test_open(&v);
    audit_test_fill(log, 101);
    is_fine(&v, "missing", "clean", 101);
    audit_test_checkpoint(&v, log);
    is_fine(&v, "valid", "clean", 101);
    audit_test_fill(log, 10);
    is_fine(&v, "valid", "clean", 111);
    report = audit_report_run(&v, NULL, CV_OK);
    cv_tree_root(cv_log_tree(log), root);
    (void)sodium_bin2base64(base64, sizeof base64, root, sizeof root,
                            sodium_base64_VARIANT_ORIGINAL);
    assert_string_equal(audit_report_text(report, "root"), base64);
    cJSON_Delete(report);
    cv_log_close(log);
    audit_test_remove(&v);
}

static void test_nothing(void **state)
{
    struct audit_vault v;
    cJSON *report = NULL;
    struct cv_verify_options bad = {.vkey = "not a key"};

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_verify_log(v.fd, &bad, &report, NULL), CV_INVALID);
    assert_null(report);
    assert_int_equal(unlinkat(v.fd, "audit/log", 0), 0);
    audit_report_finds(&v, "log");
    assert_int_equal(unlinkat(v.fd, "audit/key.pub", 0), 0);
    assert_int_equal(cv_verify_log(v.fd, NULL, &report, NULL), CV_NOT_FOUND);
    assert_null(report);
    audit_test_remove(&v);
}

static void test_torn(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    size_t len, last;
    uint8_t *bytes;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 10);
    bytes = audit_test_read(&v, "audit/log", &len);
    last = audit_test_frame(bytes, len, 9);
    audit_test_write(&v, "audit/log", bytes, last + 100);
    is_fine(&v, "missing", "torn", 9);
    audit_test_write(&v, "audit/log", bytes, last + 3);
    is_fine(&v, "missing", "torn", 9);
    audit_test_write(&v, "audit/log", bytes, len);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    audit_test_write(&v, "audit/log", bytes, last + 100);
    audit_report_finds(&v, "frame");
    audit_test_write(&v, "audit/log", bytes, last);
    audit_report_finds(&v, "size");
    audit_test_write(&v, "audit/log", bytes, 0);
    audit_report_finds(&v, "size");
    free(bytes);
    audit_test_remove(&v);
}

/* A frame of any text, behind what is there. */
static void append_raw(const struct audit_vault *v, const char *text)
{
    size_t len, frame;
    uint8_t *bytes = audit_test_read(v, "audit/log", &len);
    struct cv_buf b;

    cv_buf_init(&b, NULL, 1 << 20);
    cv_buf_add(&b, bytes, len);
    frame = cv_wal_begin(&b);
    cv_buf_add_str(&b, text);
    cv_wal_end(&b, frame);
    audit_test_write(v, "audit/log", b.data, b.len);
    cv_buf_wipe(&b);
    free(bytes);
}

/* Whole frames with right checksums, but of what is no record. */
static void test_forms(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    size_t len;
    uint8_t *bytes;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 3);
    cv_log_close(log);
    bytes = audit_test_read(&v, "audit/log", &len);
    append_raw(&v, "hello");
    audit_report_finds(&v, "form");
    audit_test_write(&v, "audit/log", bytes, len);
    append_raw(&v, "{\"v\":1}");
    audit_report_finds(&v, "form");
    audit_test_write(&v, "audit/log", bytes, len);
    append_raw(&v,
               "{\"action\":\"x\",\"op\":\"x\",\"phase\":\"event\",\"prev\":"
               "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
               "\"seq\":3,\"time\":\"2026-01-01T00:00:00Z\",\"v\":2}");
    audit_report_finds(&v, "form");
    audit_test_write(&v, "audit/log", bytes, len);
    append_raw(&v,
               "{\"action\":\"x\",\"op\":\"x\",\"phase\":\"event\",\"prev\":"
               "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
               "\"seq\":3,\"time\":\"2026-01-01T00:00:00Z\",\"v\":1}");
    audit_report_finds(&v, "prev");
    audit_test_write(&v, "audit/log", bytes, len);
    append_raw(&v,
               "{\"action\":\"x\",\"op\":\"x\",\"phase\":\"event\",\"prev\":"
               "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
               "\"seq\":4,\"time\":\"2026-01-01T00:00:00Z\",\"v\":1}");
    audit_report_finds(&v, "seq");
    free(bytes);
    audit_test_remove(&v);
}

static void append_leaf(struct cv_log *log, enum cv_leaf_phase phase,
                        const char *op)
{
    cJSON *leaf = audit_test_leaf(phase, op, "export", "prod", 1);

    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
    cJSON_Delete(leaf);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
}

static void test_pairs(void **state)
{
    static const char op[] = "00112233445566778899aabbccddeeff";
    struct audit_vault v;
    struct cv_log *log;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    append_leaf(log, CV_LEAF_DECISION, op);
    is_fine(&v, "missing", "clean", 1); /* not finished: no error */
    append_leaf(log, CV_LEAF_OUTCOME, op);
    append_leaf(log, CV_LEAF_OUTCOME, op);
    append_leaf(log, CV_LEAF_EVENT, NULL);
    is_fine(&v, "missing", "clean", 4);
    append_leaf(log, CV_LEAF_OUTCOME, NULL);
    audit_report_finds(&v, "pair");
    cv_log_close(log);
    audit_test_remove(&v);
}

/* What was denied has no outcome. */
static void test_pair_of_denial(void **state)
{
    static const char op[] = "00112233445566778899aabbccddeeff";
    struct audit_vault v;
    struct cv_log *log;
    struct cv_leaf l;
    cJSON *leaf = NULL;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    cv_leaf_init(&l);
    l.op = op;
    l.phase = CV_LEAF_DECISION;
    l.decision = CV_LEAF_DENY;
    l.mode = "exec";
    l.host = "host";
    l.action = "export";
    assert_int_equal(cv_leaf_build(&l, &leaf, NULL), CV_OK);
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
    cJSON_Delete(leaf);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    is_fine(&v, "missing", "clean", 1);
    append_leaf(log, CV_LEAF_OUTCOME, op);
    audit_report_finds(&v, "pair");
    cv_log_close(log);
    audit_test_remove(&v);
}

/* A text of another origin, signed by this log's key. */
static void test_other_origin(void **state)
{
    struct audit_vault v;
    struct cv_checkpoint c = {.origin = "certvault.example/other"};
    struct cv_buf text, note;
    char line[512];

    (void)state;
    audit_test_vault(&v);
    cv_buf_init(&text, NULL, 4096);
    cv_buf_init(&note, NULL, 4096);
    cv_checkpoint_text(&c, &text);
    audit_test_sign(&v, cv_buf_bytes(&text), line, sizeof line);
    assert_int_equal(cv_note_join(cv_buf_bytes(&text), line, &note, NULL),
                     CV_OK);
    assert_int_equal(cv_checkpoint_open(cv_buf_bytes(&note), &v.key, &c, NULL),
                     CV_INTEGRITY);
    assert_string_equal(c.origin, "");
    cv_buf_wipe(&text);
    cv_buf_wipe(&note);
    audit_test_remove(&v);
}

static void test_checkpoints(void **state)
{
    struct audit_vault v, w;
    struct cv_log *log, *other;
    size_t len, other_len;
    uint8_t *bytes, *others;

    (void)state;
    audit_test_vault(&v);
    audit_test_vault(&w);
    log = audit_test_open(&v);
    other = audit_test_open(&w);
    audit_test_fill(log, 20);
    audit_test_fill(other, 20);
    audit_test_checkpoint(&v, log);
    audit_test_checkpoint(&w, other);
    bytes = audit_test_read(&v, "audit/checkpoint", &len);
    others = audit_test_read(&w, "audit/checkpoint", &other_len);
    audit_test_write(&v, "audit/checkpoint", others, other_len);
    audit_report_finds(&v, "checkpoint");
    bytes[len - 10] ^= 1;
    audit_test_write(&v, "audit/checkpoint", bytes, len);
    audit_report_finds(&v, "checkpoint");
    bytes[len - 10] ^= 1;
    audit_test_write(&v, "audit/checkpoint", bytes, len - 3);
    audit_report_finds(&v, "checkpoint");
    audit_test_write(&v, "audit/checkpoint", bytes, len);
    is_fine(&v, "valid", "clean", 20);
    /* The other vault's log and key, but not its checkpoint. */
    free(others);
    others = audit_test_read(&w, "audit/log", &other_len);
    audit_test_write(&v, "audit/log", others, other_len);
    audit_report_finds(&v, "checkpoint");
    assert_int_equal(unlinkat(v.fd, "audit/key.pub", 0), 0);
    audit_report_finds(&v, "checkpoint");
    free(others);
    free(bytes);
    cv_log_close(log);
    cv_log_close(other);
    audit_test_remove(&v);
    audit_test_remove(&w);
}

/* P16: cut back to an older checkpoint that is valid: only a checkpoint kept
 * elsewhere tells. */
static void test_anchor(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_verify_options options = {0};
    size_t old_len, old_note_len, len, note_len;
    uint8_t *old, *old_note, *now, *note;
    struct cv_buf vkey;
    cJSON *report;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 20);
    audit_test_checkpoint(&v, log);
    old = audit_test_read(&v, "audit/log", &old_len);
    old_note = audit_test_read(&v, "audit/checkpoint", &old_note_len);
    audit_test_fill(log, 20);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    now = audit_test_read(&v, "audit/log", &len);
    note = audit_test_read(&v, "audit/checkpoint", &note_len);

    options.checkpoint = (struct cv_bytes){note, note_len};
    report = audit_report_run(&v, &options, CV_OK);
    assert_string_equal(audit_report_text(report, "anchored"), "file");
    cJSON_Delete(report);
    options.checkpoint = (struct cv_bytes){old_note, old_note_len};
    report = audit_report_run(&v, &options, CV_OK);
    assert_string_equal(audit_report_text(report, "anchored"), "file");
    cJSON_Delete(report);

    audit_test_write(&v, "audit/log", old, old_len);
    audit_test_write(&v, "audit/checkpoint", old_note, old_note_len);
    is_fine(&v, "valid", "clean", 20); /* nothing tells */
    options.checkpoint = (struct cv_bytes){note, note_len};
    report = audit_report_run(&v, &options, CV_INTEGRITY);
    assert_string_equal(audit_report_text(report, "anchored"), "none");
    assert_string_equal(audit_report_text(report, "checkpoint"), "valid");
    cJSON_Delete(report);

    /* A key of one's own: the vault's is not to be believed then. */
    audit_test_write(&v, "audit/log", now, len);
    audit_test_write(&v, "audit/checkpoint", note, note_len);
    cv_buf_init(&vkey, NULL, 1024);
    cv_note_key_text(&v.key, &vkey);
    options.vkey = cv_buf_text(&vkey);
    report = audit_report_run(&v, &options, CV_OK);
    cJSON_Delete(report);
    options.vkey = "certvault.example/audit/vault-7f3a+764557c8+"
                   "AcJ1WBTY3kN2pWwMXisdUIWLP+egyGMnBkzE8tULEPj9";
    report = audit_report_run(&v, &options, CV_INTEGRITY);
    assert_string_equal(audit_report_text(report, "checkpoint"), "invalid");
    cJSON_Delete(report);
    options.vkey = NULL;
    note[3] ^= 1;
    report = audit_report_run(&v, &options, CV_INTEGRITY);
    assert_string_equal(audit_report_text(report, "anchored"), "none");
    cJSON_Delete(report);
    cv_buf_wipe(&vkey);
    free(old);
    free(old_note);
    free(now);
    free(note);
    audit_test_remove(&v);
}

/* A log over the size from which it is opened at a frontier. */
static void grow_past_frontiers(struct audit_vault *v, unsigned *records)
{
    struct cv_log *log = audit_test_open(v);
    struct stat st;

    *records = 0;
    do {
        audit_test_fill(log, 800);
        *records += 800;
        audit_test_checkpoint(v, log);
        assert_int_equal(fstatat(v->fd, "audit/log", &st, 0), 0);
    } while ((size_t)st.st_size < 4 * CV_STATE_STEP);
    cv_log_close(log);
}

static enum cv_status try_open(const struct audit_vault *v)
{
    struct cv_log *log = NULL;
    enum cv_status status = cv_log_open(v->fd, CV_LOG_WRITE, &log, NULL);

    cv_log_close(log);
    return status;
}

static void test_frontiers(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_state s;
    struct cv_tree tree;
    unsigned records;
    size_t len, state_len;
    uint8_t *bytes, *text, *at_b64;

    (void)state;
    audit_test_vault(&v);
    grow_past_frontiers(&v, &records);
    assert_int_equal(cv_state_read(v.fd, &s, NULL), CV_OK);
    assert_int_equal(s.n, 2);
    assert_true(s.at[1].offset - s.at[0].offset >= CV_STATE_STEP);
    is_fine(&v, "valid", "clean", (int)records);
    /* Opened at a frontier, it knows what one read from the beginning knows. */
    log = audit_test_open(&v);
    assert_int_equal(cv_log_size(log), records);
    tree = *cv_log_tree(log);
    cv_log_close(log);
    text = audit_test_read(&v, "audit/state", &state_len);
    assert_int_equal(unlinkat(v.fd, "audit/state", 0), 0);
    log = audit_test_open(&v);
    assert_memory_equal(&tree.nodes, &cv_log_tree(log)->nodes,
                        (size_t)tree.n * 32);
    cv_log_close(log);
    /* Damage long before the frontier is not seen when it is opened, but when
     * it is verified; behind it, by both. */
    bytes = audit_test_read(&v, "audit/log", &len);
    audit_test_write(&v, "audit/state", text, state_len);
    bytes[1000] ^= 1;
    audit_test_write(&v, "audit/log", bytes, len);
    assert_int_equal(try_open(&v), CV_OK);
    audit_report_finds(&v, "crc");
    bytes[1000] ^= 1;
    bytes[len - 100000] ^= 1;
    audit_test_write(&v, "audit/log", bytes, len);
    assert_int_equal(try_open(&v), CV_INTEGRITY);
    audit_report_finds(&v, "crc");
    bytes[len - 100000] ^= 1;
    audit_test_write(&v, "audit/log", bytes, len);
    assert_int_equal(try_open(&v), CV_OK);
    /* A state that says something else: a hash of another range, garbage. */
    at_b64 = memmem(text, state_len, "\"range\":[\"", 10);
    assert_non_null(at_b64);
    at_b64[12] = at_b64[12] == 'A' ? 'B' : 'A';
    at_b64 += 10;
    at_b64 = memmem(at_b64, state_len - (size_t)(at_b64 - text),
                    "\"range\":[\"", 10);
    if (at_b64 != NULL) {
        at_b64[12] = at_b64[12] == 'A' ? 'B' : 'A';
    }
    audit_test_write(&v, "audit/state", text, state_len);
    assert_int_equal(try_open(&v), CV_INTEGRITY);
    audit_report_finds(&v, "state");
    audit_test_write(&v, "audit/state", "{}", 2);
    assert_int_equal(try_open(&v), CV_INTEGRITY);
    audit_report_finds(&v, "state");
    audit_test_write(&v, "audit/state", text, state_len / 2);
    assert_int_equal(try_open(&v), CV_INTEGRITY);
    audit_report_finds(&v, "state");
    free(bytes);
    free(text);
    audit_test_remove(&v);
}

/* Without its checkpoint a log that had one is not believed. */
static void test_checkpoint_gone(void **state)
{
    struct audit_vault v;
    unsigned records;

    (void)state;
    audit_test_vault(&v);
    grow_past_frontiers(&v, &records);
    assert_int_equal(unlinkat(v.fd, "audit/checkpoint", 0), 0);
    assert_int_equal(try_open(&v), CV_INTEGRITY);
    audit_report_finds(&v, "checkpoint");
    audit_test_remove(&v);
}

/* A rewritten record with its checksum and its number right, and all behind it
 * linked anew: only the checkpoint's root tells. */
static void test_rewritten(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    size_t len;
    uint8_t *note;

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 30);
    audit_test_checkpoint(&v, log);
    cv_log_close(log);
    note = audit_test_read(&v, "audit/checkpoint", &len);
    assert_int_equal(unlinkat(v.fd, "audit/checkpoint", 0), 0);
    assert_int_equal(unlinkat(v.fd, "audit/log", 0), 0);
    assert_int_equal(cv_log_open(v.fd, CV_LOG_CREATE, &log, NULL), CV_OK);
    audit_test_fill(log, 30);
    cv_log_close(log);
    is_fine(&v, "missing", "clean", 30);
    audit_test_write(&v, "audit/checkpoint", note, len);
    audit_report_finds(&v, "checkpoint");
    assert_int_equal(try_open(&v), CV_INTEGRITY);
    free(note);
    audit_test_remove(&v);
}

/* Whoever verifies while somebody writes gets no false alarm. */
static void test_live_writer(void **state)
{
    struct audit_vault v;
    int wait_status = 0, rounds = 0;
    pid_t pid;

    (void)state;
    audit_test_vault(&v);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct cv_log *log = audit_test_open(&v);

        for (unsigned i = 0; i < 60; i++) {
            audit_test_fill(log, 100);
            if (i % 5 == 0) {
                audit_test_checkpoint(&v, log);
            }
        }
        _exit(0);
    }
    while (waitpid(pid, &wait_status, WNOHANG) == 0) {
        cJSON *report = audit_report_run(&v, NULL, CV_OK);

        cJSON_Delete(report);
        rounds++;
    }
    assert_true(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
    assert_true(rounds > 3);
    is_fine(&v, "valid", "clean", 6000);
    audit_test_remove(&v);
}

static void test_checkpoint_steps(void **state)
{
    struct audit_vault v;
    struct cv_log *a, *b;
    struct cv_buf text, later;
    struct cv_checkpoint c;
    struct cv_buf note;
    cJSON *status = NULL;
    char line[512], line_later[512];
    int64_t age = -1;

    (void)state;
    audit_test_vault(&v);
    a = audit_test_open(&v);
    audit_test_fill(a, 5);
    assert_int_equal(cv_log_status(a, &status, NULL), CV_OK);
    assert_true(cJSON_IsNull(audit_report_at(status, "checkpoint")));
    assert_int_equal(audit_report_at(status, "size")->valuedouble, 5);
    cJSON_Delete(status);
    cv_buf_init(&text, NULL, 4096);
    cv_buf_init(&later, NULL, 4096);
    cv_buf_init(&note, NULL, 4096);
    assert_int_equal(cv_checkpoint_begin(a, &text, NULL), CV_OK);
    audit_test_sign(&v, cv_buf_bytes(&text), line, sizeof line);
    /* Another process makes a later one meanwhile. */
    b = audit_test_open(&v);
    audit_test_fill(b, 5);
    assert_int_equal(cv_checkpoint_begin(b, &later, NULL), CV_OK);
    audit_test_sign(&v, cv_buf_bytes(&later), line_later, sizeof line_later);
    assert_int_equal(cv_checkpoint_finish(b, cv_buf_bytes(&later), line, NULL),
                     CV_INTEGRITY); /* the signature of another text */
    assert_int_equal(cv_checkpoint_finish(b, cv_buf_bytes(&text), line, NULL),
                     CV_INTEGRITY); /* a text that b did not give */
    assert_int_equal(
        cv_checkpoint_finish(b, cv_buf_bytes(&later), "nonsense", NULL),
        CV_INTEGRITY);
    assert_int_equal(cv_checkpoint_read(v.fd, &v.key, &c, NULL, NULL, NULL),
                     CV_NOT_FOUND);
    assert_int_equal(
        cv_checkpoint_finish(b, cv_buf_bytes(&later), line_later, NULL), CV_OK);
    assert_int_equal(cv_checkpoint_finish(a, cv_buf_bytes(&text), line, NULL),
                     CV_OK);
    assert_int_equal(cv_checkpoint_read(v.fd, &v.key, &c, &note, &age, NULL),
                     CV_OK);
    assert_int_equal(c.size, 10); /* never back */
    assert_true(age >= 0 && age < 60);
    assert_true(note.len > later.len);
    /* Nothing new: nothing to sign. */
    cv_buf_wipe(&later);
    assert_int_equal(cv_checkpoint_begin(b, &later, NULL), CV_OK);
    assert_int_equal(later.len, 0);
    assert_int_equal(cv_log_status(b, &status, NULL), CV_OK);
    assert_int_equal(
        audit_report_at(audit_report_at(status, "checkpoint"), "size")
            ->valuedouble,
        10);
    assert_string_equal(audit_report_text(status, "log"), "audit/log");
    assert_string_equal(audit_report_text(status, "anchored"), "none");
    cJSON_Delete(status);
    /* a does not know of b's leaves: its log does not reach the checkpoint. */
    assert_int_equal(cv_checkpoint_begin(a, &later, NULL), CV_INTEGRITY);
    assert_int_equal(cv_log_refresh(a, NULL), CV_OK);
    assert_int_equal(cv_checkpoint_begin(a, &later, NULL), CV_OK);
    assert_int_equal(later.len, 0);
    cv_buf_wipe(&text);
    cv_buf_wipe(&later);
    cv_buf_wipe(&note);
    cv_log_close(a);
    cv_log_close(b);
    audit_test_remove(&v);
}

/* Leaves that are queued and the checkpoint over them, in one step. */
static void test_checkpoint_commit(void **state)
{
    struct audit_vault v;
    struct cv_log *log;
    struct cv_buf text;
    struct cv_checkpoint c;
    char line[512], op[CV_LEAF_OP + 1];

    (void)state;
    audit_test_vault(&v);
    log = audit_test_open(&v);
    audit_test_fill(log, 5);
    cv_buf_init(&text, NULL, 4096);
    for (unsigned round = 0; round < 3; round++) {
        cJSON *leaf;
        enum cv_status s;

        cv_leaf_new_op(op);
        leaf = audit_test_leaf(CV_LEAF_DECISION, op, "export", "prod", round);
        assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
        cJSON_Delete(leaf);
        cv_buf_wipe(&text);
        assert_int_equal(cv_checkpoint_begin(log, &text, NULL), CV_OK);
        audit_test_sign(&v, cv_buf_bytes(&text), line, sizeof line);
        if (round == 0) {
            /* Nothing is committed by a line that is not a signature. */
            s = cv_checkpoint_commit(log, cv_buf_bytes(&text), "no", NULL);
            assert_int_equal(s, CV_INTEGRITY);
            assert_int_equal(cv_log_size(log), 5);
        }
        if (round == 2) {
            /* A log that cannot be written: no note gets its name. */
            assert_int_equal(unlinkat(v.fd, "audit/log", 0), 0);
        }
        s = cv_checkpoint_commit(log, cv_buf_bytes(&text), line, NULL);
        assert_int_equal(s, round == 2 ? CV_IO : CV_OK);
        assert_int_equal(cv_log_size(log), round == 2 ? 7 : 6 + round);
        assert_int_equal(cv_checkpoint_sync(v.fd, NULL), CV_OK);
    }
    assert_int_equal(cv_checkpoint_read(v.fd, &v.key, &c, NULL, NULL, NULL),
                     CV_OK);
    assert_int_equal(c.size, 7);
    cv_buf_wipe(&text);
    cv_log_close(log);
    audit_test_remove(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fine),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_pair_of_denial),
        cmocka_unit_test(test_other_origin),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_anchor),
        cmocka_unit_test(test_frontiers),
        cmocka_unit_test(test_checkpoint_gone),
        cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_live_writer),
        cmocka_unit_test(test_checkpoint_steps),
        cmocka_unit_test(test_checkpoint_commit),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
