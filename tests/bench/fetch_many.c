/* Fetches many clusters' certificates over one session, as intake does it.
 *
 *     fetch_many URL CA IDS alone|all
 *
 * IDS: a file with a cluster id a line. `alone`: the answers are only counted.
 * `all`: each is read as a kubeconfig, its key checked and sealed, and a leaf
 * for it made durable in a log in the current folder, a hundred at a time.
 * Prints how many were good. */
#include "vault/audit/leaf.h"
#include "vault/audit/log.h"
#include "vault/base/clock.h"
#include "vault/base/file.h"
#include "vault/base/process.h"
#include "vault/fetch/cce.h"
#include "vault/kubeconfig/kubeconfig.h"
#include "vault/seal/box.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 20000
#define GROUP 100

struct bench {
    bool all;
    struct cv_log *log;
    uint8_t public_key[CV_BOX_KEY_LEN];
    size_t good;
    size_t waiting; /* leaves not yet durable */
};

static void die(const char *what, const struct cv_err *err)
{
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

static void record(struct bench *b, const char *spki, struct cv_err *err)
{
    struct cv_leaf leaf;
    char op[CV_LEAF_OP + 1];
    cJSON *tree = NULL;

    cv_leaf_init(&leaf);
    cv_leaf_new_op(op);
    leaf.op = op;
    leaf.phase = CV_LEAF_DECISION;
    leaf.decision = CV_LEAF_PERMIT;
    leaf.mode = "exec";
    leaf.host = "bench";
    leaf.action = "fetch";
    leaf.entry = "bench";
    leaf.spki = spki;
    if (cv_leaf_build(&leaf, &tree, err) != CV_OK ||
        cv_log_append(b->log, tree, NULL, err) != CV_OK)
        die("leaf", err);
    cJSON_Delete(tree);
    if (++b->waiting < GROUP)
        return;
    b->waiting = 0;
    if (cv_log_commit(b->log, err) != CV_OK)
        die("commit", err);
}

/* Kubeconfig -> checked key -> sealed box -> record. */
static void take_in(struct bench *b, struct cv_bytes body, struct cv_err *err)
{
    const struct cv_kubeconfig_want want = {.now_s = cv_clock_now_s()};
    struct cv_kubeconfig *config = NULL;
    struct cv_arena *arena = NULL;
    struct cv_box_binding binding = {{0}, {0}, {0}};
    struct cv_buf sealed;
    char spki[2 * CV_BOX_DIGEST_LEN + 1];

    if (cv_arena_new(CV_LIMIT_SECRET_ARENA, &arena, err) != CV_OK ||
        cv_kubeconfig_read(arena, body, &want, &config, err) != CV_OK)
        die("kubeconfig", err);
    memcpy(binding.spki_sha256, config->identities[0].key.spki_sha256,
           CV_BOX_DIGEST_LEN);
    cv_buf_init(&sealed, NULL, CV_LIMIT_SEALED);
    if (cv_box_seal(b->public_key, &binding, config->identities[0].key.pkcs8,
                    arena, &sealed, err) != CV_OK)
        die("seal", err);
    cv_buf_wipe(&sealed);
    sodium_bin2hex(spki, sizeof(spki), binding.spki_sha256, CV_BOX_DIGEST_LEN);
    cv_arena_free(arena);
    record(b, spki, err);
}

static void done(void *context, size_t i, enum cv_status status,
                 const struct cv_session_answer *answer,
                 const struct cv_err *err)
{
    struct bench *b = context;
    struct cv_err e;

    (void)i;
    if (status != CV_OK)
        die("fetch", err);
    cv_err_init(&e);
    if (b->all)
        take_in(b, answer->body, &e);
    b->good++;
}

static void read_file(const char *path, struct cv_buf *out)
{
    struct cv_err err;
    int fd = -1;

    cv_err_init(&err);
    cv_buf_init(out, NULL, CV_MIB(4));
    if (cv_file_open_input(path, &fd, &err) != CV_OK ||
        cv_file_read(fd, path, out, &err) != CV_OK)
        die(path, &err);
    cv_file_close(&fd);
}

static size_t read_ids(char *text, const char **ids)
{
    size_t n = 0;
    char *at = text;

    while (*at != '\0' && n < MANY) {
        char *end = strchr(at, '\n');

        ids[n++] = at;
        if (end == NULL)
            break;
        *end = '\0';
        at = end + 1;
    }
    return n;
}

static cJSON *cloud_of(const char *url, const char *ca)
{
    cJSON *cloud = cJSON_CreateObject();

    cv_json_add_str(cloud, "endpoint", url);
    cv_json_add_str(cloud, "ca_pem", ca);
    cv_json_add_str(cloud, "region", "cn-north-4");
    cv_json_add_str(cloud, "project_id", "0123456789abcdef0123456789abcdef");
    cv_json_add_str(cloud, "token", "bench");
    return cloud;
}

int main(int argc, char **argv)
{
    static const char *ids[MANY];
    struct bench b = {0};
    struct cv_buf ca;
    struct cv_buf list;
    struct cv_session *session = NULL;
    struct cv_cce_many many = {.api = CV_CCE_V3_GET, .parallel = 100};
    struct cv_err err;
    cJSON *cloud;

    if (argc != 5)
        return 64;
    cv_process_begin(2);
    cv_err_init(&err);
    read_file(argv[2], &ca);
    read_file(argv[3], &list);
    b.all = strcmp(argv[4], "all") == 0;
    randombytes_buf(b.public_key, sizeof(b.public_key));
    if (b.all) {
        int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (cv_log_open(folder, CV_LOG_CREATE, &b.log, &err) != CV_OK)
            die("log", &err);
    }
    cloud = cloud_of(argv[1], cv_buf_text(&ca));
    many.cluster_ids = ids;
    many.n = read_ids((char *)list.data, ids);
    many.validity.duration = 1;
    many.done = done;
    many.context = &b;
    if (cv_session_open(cloud, NULL, &session, &err) != CV_OK)
        die("session", &err);
    cv_session_begin(session);
    if (cv_cce_create_certs(session, &many, &err) != CV_OK)
        die("many", &err);
    if (b.all && cv_log_commit(b.log, &err) != CV_OK)
        die("commit", &err);
    printf("%zu\n", b.good);
    cv_session_free(session);
    cv_log_close(b.log);
    cJSON_Delete(cloud);
    cv_buf_wipe(&list);
    cv_buf_wipe(&ca);
    return 0;
}
