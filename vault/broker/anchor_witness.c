/* One checkpoint to one C2SP tlog-witness, through an intake of its own.
 *
 * A witness remembers how far it has seen the log, and takes only what it can
 * prove to continue that. So its refusal is what tells of a log that was rolled
 * back, or that goes on in two places: what it says it knows is more than we
 * have, or our proof from there is refused. */
#include "vault/broker/anchor_internal.h"

#include "vault/audit/anchored.h"
#include "vault/base/clock.h"
#include "vault/base/encode.h"
#include "vault/wire/interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_TYPE "text/x.tlog.size"
#define ANSWER_MAX CV_KIB(32)
#define SIZE_DIGITS 16

/* old SIZE, the proof from there, an empty line, the checkpoint. CV_INTEGRITY:
 * our log does not continue what this witness has signed before. */
static enum cv_status make_body(struct cv_broker *b,
                                const struct cv_anchor_one *a,
                                struct cv_buf *body, struct cv_err *err)
{
    const struct cv_anchor_run *r = &a->run;
    struct cv_proof proof = {0};
    uint8_t root[CV_TREE_HASH];
    enum cv_status s = CV_OK;

    if (r->old > r->what.size) {
        return cv_fail(err, CV_BUSY, "it has a newer checkpoint");
    }
    if (r->old > 0 && r->old < r->what.size) {
        s = cv_anchor_prove(b, r->old, &r->what, &proof, root, err);
    } else {
        memcpy(root, r->what.root, sizeof(root));
    }
    if (s == CV_OK && r->old > 0 && r->old == a->size &&
        memcmp(root, a->root, sizeof(root)) != 0) {
        s = cv_fail(err, CV_INTEGRITY,
                    "it has signed another log than this one");
    }
    if (s != CV_OK) {
        return s;
    }
    cv_buf_add_format(body, "old %llu\n", (unsigned long long)r->old);
    for (unsigned i = 0; i < proof.n; i++) {
        cv_encode_base64((struct cv_bytes){proof.hash[i], CV_TREE_HASH}, body);
        cv_buf_add_char(body, '\n');
    }
    cv_buf_add_char(body, '\n');
    cv_buf_add(body, r->note.data, r->note.len);
    return cv_buf_status(body, "a request to a witness", err);
}

static enum cv_status send_body(struct cv_anchor_one *a, const char *body,
                                struct cv_err *err)
{
    struct cv_arena *before = cv_json_use(NULL);
    cJSON *call = cJSON_CreateObject();
    cJSON *p = cJSON_AddObjectToObject(call, "parameters");
    enum cv_status s;

    if (!cv_json_add_str(call, "method",
                         CV_INTERFACE_INTAKE ".AddCheckpoint") ||
        !cv_json_add_str(p, "url", a->config.target) ||
        !cv_json_add_str(p, "ca_pem", a->ca_pem) ||
        !cv_json_add_str(p, "body", body)) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    } else {
        s = cv_channel_send(a->run.channel, call, false, 0, err);
    }
    cJSON_Delete(call);
    (void)cv_json_use(before);
    return s;
}

static enum cv_status ask(struct cv_broker *b, struct cv_anchor_one *a,
                          struct cv_err *err)
{
    struct cv_anchor_run *r = &a->run;
    struct cv_buf body;
    int fd = -1;
    enum cv_status s;

    cv_buf_init(&body, NULL, CV_LIMIT_NOTE + CV_KIB(8));
    s = make_body(b, a, &body, err);
    if (s == CV_OK && r->channel == NULL) {
        s = cv_spawner_run_child(b->spawner, CV_SPAWNER_INTAKE, &fd, &r->child,
                                 err);
        if (s == CV_OK) {
            s = cv_channel_new(fd, CV_LIMIT_FRAME, &r->channel, err);
        }
        /* A list of authorities may be more than its socket takes at once. */
        if (s == CV_OK) {
            cv_channel_queue(r->channel, NULL);
        }
    }
    if (s == CV_OK) {
        s = send_body(a, cv_buf_text(&body), err);
    }
    r->until_ms = cv_clock_boot_ms() + (int64_t)CV_LIMIT_ANCHOR_RUN_S * 1000;
    cv_buf_wipe(&body);
    return s;
}

static void end(struct cv_broker *b, struct cv_anchor_one *a,
                enum cv_status status, uint64_t size, const char *why)
{
    if (status == CV_INTEGRITY) {
        cv_anchor_conflicts(b, a, size, why);
    } else {
        cv_anchor_failed(b, a, why);
    }
    cv_anchor_run_stop(b, a, false);
}

void cv_anchor_witness_start(struct cv_broker *b, struct cv_anchor_one *a)
{
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    /* It has signed more than we have: it is asked from where we are, and
     * tells. */
    if (a->run.old > a->run.what.size) {
        a->run.old = a->run.what.size;
    }
    s = ask(b, a, &err);
    if (s != CV_OK) {
        end(b, a, s, a->size, err.text);
    }
}

/* ---- what it answered ---- */

/* One number, perhaps with a line's end. */
static bool read_size(const char *text, uint64_t *out)
{
    size_t n = strspn(text, "0123456789");

    *out = 0;
    if (n == 0 || n > SIZE_DIGITS || (n > 1 && text[0] == '0') ||
        (text[n] != '\0' && strcmp(text + n, "\n") != 0)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return true;
}

/* Its own lines alone under our note: they are believed only if they verify, of
 * a time that can be. */
static enum cv_status take_lines(struct cv_broker *b, struct cv_anchor_one *a,
                                 const char *lines, int64_t *time_s,
                                 struct cv_err *err)
{
    struct cv_buf note;
    enum cv_status s;

    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    cv_buf_add(&note, a->run.note.data, a->run.note.len);
    cv_anchored_pick((struct cv_bytes){(const uint8_t *)lines, strlen(lines)},
                     &a->config.witness, &note);
    s = cv_buf_status(&note, "what the witness signed", err);
    if (s == CV_OK) {
        s = cv_anchored_time(cv_buf_bytes(&note), &a->config.witness, time_s,
                             err);
    }
    if (s == CV_OK && *time_s > cv_clock_now_s() + CV_LIMIT_ANCHOR_SKEW_S) {
        s = cv_fail(err, CV_REMOTE, "the witness has signed a time to come");
    }
    if (s == CV_OK) {
        s = cv_anchor_state_keep(b, a, cv_buf_bytes(&note), err);
    }
    cv_buf_wipe(&note);
    return s;
}

/* 200 */
static void take_yes(struct cv_broker *b, struct cv_anchor_one *a,
                     const char *body)
{
    int64_t time_s = 0;
    struct cv_err err;

    cv_err_init(&err);
    if (take_lines(b, a, body, &time_s, &err) == CV_OK) {
        cv_anchor_done(b, a, time_s);
    } else {
        cv_err_prefix(&err, "its signature is not taken");
        cv_anchor_failed(b, a, err.text);
    }
    cv_anchor_run_stop(b, a, false);
}

/* 409: it knows another size, and tells it; or, of the same size, another root.
 */
static void take_size(struct cv_broker *b, struct cv_anchor_one *a,
                      const char *type, const char *body)
{
    struct cv_anchor_run *r = &a->run;
    uint64_t there = 0;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    if (strncmp(type, SIZE_TYPE, strlen(SIZE_TYPE)) != 0 ||
        !read_size(body, &there)) {
        end(b, a, CV_REMOTE, 0, "it answered 409 without a size");
        return;
    }
    if (there == r->old) {
        end(b, a, CV_INTEGRITY, there,
            "it has seen another log of this name: of the same size, with "
            "another root");
    } else if (there > r->what.size) {
        s = cv_anchor_reaches(b, there, &err);
        if (s == CV_INTEGRITY) {
            cv_err_prefix(&err, "it has seen a longer log of this name");
            end(b, a, s, there, err.text);
        } else {
            end(b, a, CV_BUSY, 0, "it has a newer checkpoint");
        }
    } else if (r->repeated) {
        end(b, a, CV_REMOTE, 0, "it named two sizes, one after the other");
    } else {
        r->repeated = true;
        r->old = there;
        s = ask(b, a, &err);
        if (s != CV_OK) {
            end(b, a, s, there, err.text);
        }
    }
}

static void judge(struct cv_broker *b, struct cv_anchor_one *a, int64_t status,
                  const char *type, const char *body)
{
    char why[80];

    switch (status) {
    case 200:
        take_yes(b, a, body);
        break;
    case 409:
        take_size(b, a, type, body);
        break;
    case 422:
        end(b, a, CV_INTEGRITY, a->run.old,
            "it has seen another log of this name: it refuses the proof that "
            "this one continues it");
        break;
    case 404:
        end(b, a, CV_REMOTE, 0, "it does not know this log's origin (404)");
        break;
    case 403:
        end(b, a, CV_REMOTE, 0, "it does not know this log's key (403)");
        break;
    default:
        (void)snprintf(why, sizeof(why), "it answered with HTTP status %lld",
                       (long long)status);
        end(b, a, CV_REMOTE, 0, why);
    }
}

static void take(struct cv_broker *b, struct cv_anchor_one *a,
                 struct cv_message *m)
{
    int64_t status = 0;
    const char *type = NULL, *body = NULL;
    const struct cv_json_field fields[] = {
        {"status", CV_JSON_INT, true, &status, 0},
        {"type", CV_JSON_STRING, true, &type, 64},
        {"body", CV_JSON_TEXT, true, &body, ANSWER_MAX},
    };
    bool continues = false;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    s = cv_client_answer(m, &continues, &err);
    if (s == CV_OK) {
        s = cv_json_read(m->tree, "AddCheckpoint", CV_BROKER_FIELDS(fields),
                         true, &err);
    }
    if (s == CV_OK) {
        judge(b, a, status, type, body);
    } else {
        end(b, a, CV_REMOTE, 0, err.text);
    }
}

void cv_anchor_witness_go_on(struct cv_broker *b, struct cv_anchor_one *a)
{
    struct cv_message m = {0};
    bool closed = false;
    struct cv_err err;
    enum cv_status s;

    cv_err_init(&err);
    s = cv_channel_flush(a->run.channel, &err);
    if (s == CV_OK) {
        s = cv_channel_fill(a->run.channel, &closed, &err);
    }
    if (s == CV_OK) {
        s = cv_channel_next(a->run.channel, &m, &err);
    }
    if (s != CV_OK) {
        end(b, a, CV_REMOTE, 0, err.text);
    } else if (m.tree != NULL) {
        take(b, a, &m);
    } else if (closed) {
        end(b, a, CV_REMOTE, 0, "what asks it has ended");
    } else if (cv_clock_boot_ms() >= a->run.until_ms) {
        cv_anchor_run_stop(b, a, true);
        cv_anchor_failed(b, a, "it takes too long");
    }
    cv_message_free(&m);
}
