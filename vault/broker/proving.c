/* Proofs as the broker makes them, and receipts: proofs that bring their record
 * along. */
#include "vault/broker/proving_internal.h"

#include "vault/audit/archived.h"
#include "vault/audit/tlogproof.h"
#include "vault/broker/tiling.h"

#include <stdlib.h>

void cv_proving_free(struct cv_proving *p)
{
    cv_buf_wipe(&p->note);
    free(p->reader);
}

static enum cv_status one_step(void *context, uint64_t size, struct cv_err *err)
{
    struct cv_broker *b = context;
    enum cv_status s = cv_broker_enter(b, err);

    if (s == CV_OK) {
        s = cv_tiles_update(b->vault->dir, size, err);
        cv_broker_leave(b);
    }
    return s;
}

/* The first time that is the whole log. */
static enum cv_status bring_up(struct cv_broker *b, uint64_t size,
                               struct cv_err *err)
{
    uint64_t at = 0;

    if (cv_tiles_size(b->vault->dir, &at, NULL) != CV_OK) {
        at = 0;
    }
    return cv_tiling_run(at, size, one_step, b, err);
}

enum cv_status cv_proving_tiles(struct cv_broker *b, struct cv_proving *p,
                                struct cv_err *err)
{
    enum cv_status s;

    p->reader = calloc(1, sizeof(*p->reader));
    if (p->reader == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    p->reader->vault = b->vault->dir;
    p->source = cv_tiles_source(p->reader);
    s = cv_tiles_size(b->vault->dir, &p->reader->size, err);
    if (s == CV_OK && p->reader->size < p->checkpoint.size) {
        s = cv_fail(err, CV_INTEGRITY, "they end before the checkpoint");
    }
    return cv_proving_distrust(s, err);
}

enum cv_status cv_proving_begin(struct cv_broker *b, struct cv_proving *p,
                                struct cv_err *err)
{
    enum cv_status s;

    cv_broker_checkpoint(b);
    s = cv_checkpoint_read(b->vault->dir, &b->vault->log_key, &p->checkpoint,
                           &p->note, NULL, err);
    /* The note leaves the house. */
    if (s == CV_OK) {
        s = cv_checkpoint_sync(b->vault->dir, err);
    }
    if (s == CV_OK) {
        s = bring_up(b, p->checkpoint.size, err);
    }
    return s == CV_OK ? cv_proving_tiles(b, p, err) : s;
}

/* A proof that does not verify is not given out. */
enum cv_status cv_proving_distrust(enum cv_status s, struct cv_err *err)
{
    if (s == CV_INTEGRITY) {
        cv_err_prefix(err, "the tiles differ from the log");
        cv_err_state(err, "no proof was made");
        cv_err_hint(err, "find out who changed them (certvault audit verify), "
                         "then certvault audit rebuild makes them again");
    }
    return s;
}

enum cv_status cv_proving_file(struct cv_broker *b, struct cv_proving *p,
                               uint64_t seq, bool receipt, struct cv_buf *leaf,
                               struct cv_buf *file, struct cv_err *err)
{
    struct cv_proof proof;
    struct cv_bytes extra = {NULL, 0};
    struct cv_archived gone;
    enum cv_status s = CV_OK;

    if (leaf->len == 0) {
        s = cv_archived_read(b->vault->dir, &gone, err);
        if (s == CV_OK && seq < gone.tree.size) {
            return cv_archived_refuse(&gone, seq, err);
        }
        if (s == CV_OK) {
            s = cv_tiles_record(p->reader, seq, leaf, err);
        }
    }
    if (s == CV_OK) {
        s = cv_proof_make_inclusion(&p->source, p->checkpoint.size, seq, &proof,
                                    err);
    }
    if (s == CV_OK) {
        extra = receipt ? cv_buf_bytes(leaf) : extra;
        s = cv_tlogproof_write(extra, seq, &proof, cv_buf_bytes(&p->note), file,
                               err);
    }
    if (s == CV_OK) {
        s = cv_tlogproof_check(cv_buf_bytes(file), cv_buf_bytes(leaf),
                               &b->vault->log_key, 1, NULL, NULL, err);
    }
    return cv_proving_distrust(s, err);
}

static enum cv_status receipt(const struct cv_ask *ask, struct cv_proving *p,
                              cJSON *out, struct cv_err *err)
{
    struct cv_buf leaf, file;
    enum cv_status s;

    if (ask->seq < 0 || (uint64_t)ask->seq >= p->checkpoint.size) {
        s = cv_fail(err, CV_IO, "no checkpoint over the record could be made");
        cv_err_hint(err,
                    "certvault doctor; certvault audit prove %lld makes "
                    "the proof later",
                    (long long)ask->seq);
        return s;
    }
    cv_buf_init(&leaf, NULL, CV_LIMIT_LEAF);
    cv_buf_init(&file, NULL, CV_LIMIT_PROOF);
    s = cv_proving_file(ask->broker, p, (uint64_t)ask->seq, true, &leaf, &file,
                        err);
    if (s == CV_OK && !cv_json_add_str(out, "receipt", cv_buf_text(&file))) {
        s = cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    cv_buf_wipe(&leaf);
    cv_buf_wipe(&file);
    return s;
}

enum cv_status cv_proving_receipt(const struct cv_ask *ask, const char *state,
                                  cJSON *out, struct cv_err *err)
{
    struct cv_proving p = {0};
    enum cv_status s;

    cv_buf_init(&p.note, NULL, CV_LIMIT_NOTE);
    s = cv_proving_begin(ask->broker, &p, err);
    if (s == CV_OK) {
        s = receipt(ask, &p, out, err);
    }
    cv_proving_free(&p);
    if (s != CV_OK) {
        cv_err_prefix(err, "there is no receipt");
        cv_err_state(err, "%s; the record has it (%lld)", state,
                     (long long)ask->seq);
        if (err != NULL) {
            err->audit_seq = ask->seq;
        }
    }
    return s;
}
