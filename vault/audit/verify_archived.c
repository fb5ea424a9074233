/* A log whose oldest records are archived: where it begins is what
 * audit/archived says, and that is held against what was signed (the roots of
 * all checkpoints from there on), against the log's own word (the leaf that
 * says what was archived) and against the hash tiles, which hold what was
 * signed before. */
#include "vault/audit/verify_internal.h"

#include "vault/audit/proof.h"
#include "vault/audit/tiles.h"
#include "vault/audit/wal_internal.h"
#include "vault/base/json.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WHAT "archived"

enum cv_status cv_verify_archived_read(struct cv_verify *v, struct cv_err *err)
{
    struct cv_err why;
    enum cv_status status;

    cv_err_init(&why);
    status = cv_archived_read(v->vault, &v->gone, &why);
    if (status == CV_INTEGRITY) {
        cv_verify_add(v, WHAT, why.text);
        return CV_OK;
    }
    if (status != CV_OK) {
        *err = why;
    }
    return status;
}

/* Of what is below the beginning. */
static bool root_of(const struct cv_proof_source *source, uint64_t size,
                    uint8_t root[CV_TREE_HASH])
{
    return cv_proof_root(source, size, root, NULL) == CV_OK;
}

static void check_claim(struct cv_verify *v,
                        const struct cv_proof_source *source,
                        struct cv_verify_claim *claim, const char *what,
                        const char *why)
{
    uint8_t root[CV_TREE_HASH];

    if (!claim->there || claim->c.size >= v->gone.tree.size) {
        return;
    }
    claim->seen = true;
    if (!root_of(source, claim->c.size, root) ||
        memcmp(root, claim->c.root, sizeof root) != 0) {
        cv_verify_add(v, what, why);
        v->checkpoint_bad = v->checkpoint_bad || claim == &v->checkpoint;
    }
}

static void check_claims(struct cv_verify *v)
{
    struct cv_tiles_reader *reader = calloc(1, sizeof *reader);
    struct cv_proof_source source;
    uint8_t root[CV_TREE_HASH];

    if (reader == NULL) {
        v->memory = true;
        return;
    }
    reader->vault = v->vault;
    reader->size = v->tiles_size;
    source = cv_tiles_source(reader);
    check_claim(v, &source, &v->checkpoint, "checkpoint",
                "the checkpoint is of fewer records than are archived, and not "
                "of these");
    check_claim(v, &source, &v->anchor, "anchor",
                "the log is not the one that the given checkpoint signed");
    for (size_t i = 0; i < v->cosigned.n; i++) {
        check_claim(v, &source, &v->witness[i], "witness",
                    "the log is not the one that a witness signed");
    }
    for (;
         v->at_kept < v->n_kept && v->kept[v->at_kept].size < v->gone.tree.size;
         v->at_kept++) {
        struct cv_verify_kept *k = &v->kept[v->at_kept];

        k->fits = root_of(&source, k->size, root) &&
                  memcmp(root, k->root, sizeof root) == 0;
    }
    for (; v->at_placed < v->n_placed &&
           v->placed[v->at_placed].size < v->gone.tree.size;
         v->at_placed++) {
        struct cv_verify_note *n = &v->placed[v->at_placed];

        n->fits = root_of(&source, n->size, root) &&
                  memcmp(root, n->root, sizeof root) == 0;
    }
    free(reader);
}

static void begin_at(struct cv_verify *v)
{
    v->first = v->gone.tree.size;
    v->at.tree = v->gone.tree;
    v->at.offset = v->gone.offset;
    memcpy(v->at.prev, v->gone.prev, sizeof v->at.prev);
}

/* ---- what was archived, where the caller has it ---- */

static void wrong_file(struct cv_verify *v, const char *why)
{
    cv_verify_add(v, "archive", why);
}

/* Where its first record is in the log: that says so itself. */
static enum cv_status begin_file(struct cv_verify *v, struct cv_wal *wal,
                                 bool *good, struct cv_err *err)
{
    struct cv_tiles_reader *reader = calloc(1, sizeof *reader);
    struct cv_proof_source source;
    enum cv_wal_kind kind = CV_WAL_END;
    struct cv_record record;
    struct cv_bytes leaf;
    enum cv_status status = cv_wal_next(wal, &kind, &leaf, err);

    *good = false;
    memset(&v->at, 0, sizeof v->at);
    if (reader == NULL) {
        return cv_fail(err, CV_INTERNAL, "out of memory");
    }
    if (status == CV_OK && kind == CV_WAL_FRAME &&
        cv_record_read(leaf, &record) == NULL &&
        record.seq < v->gone.tree.size && wal->end <= v->gone.offset) {
        *good = true;
        v->first = record.seq;
        v->at.offset = v->gone.offset - wal->end;
        if (record.seq > 0) {
            reader->vault = v->vault;
            reader->size = v->tiles_size;
            source = cv_tiles_source(reader);
            *good = cv_proof_frontier(&source, record.seq, &v->at.tree, NULL) ==
                        CV_OK &&
                    source.subtree(reader, 0, record.seq - 1, v->at.prev,
                                   NULL) == CV_OK;
        }
    }
    free(reader);
    cv_wal_seek(wal, 0, wal->end);
    return status;
}

static enum cv_status take_file(struct cv_verify *v, struct cv_wal *wal,
                                struct cv_err *err)
{
    enum cv_wal_kind kind = CV_WAL_FRAME;
    enum cv_status status = CV_OK;

    while (status == CV_OK && v->at.tree.size < v->gone.tree.size) {
        struct cv_verify_look look;
        uint8_t hash[CV_TREE_HASH];
        struct cv_bytes leaf;

        status = cv_wal_next(wal, &kind, &leaf, err);
        if (status == CV_OK && kind != CV_WAL_FRAME && kind != CV_WAL_CRC) {
            wrong_file(v, "the archive ends before the log begins");
            return CV_OK;
        }
        if (status == CV_OK) {
            cv_verify_look_at(leaf, &look, hash);
            cv_verify_take(v, &look, hash, NULL, leaf, kind == CV_WAL_FRAME);
        }
    }
    if (status == CV_OK &&
        (wal->offset != wal->end || v->at.offset != v->gone.offset ||
         v->at.tree.size != v->gone.tree.size ||
         memcmp(v->at.tree.nodes, v->gone.tree.nodes,
                v->gone.tree.n * (size_t)CV_TREE_HASH) != 0 ||
         memcmp(v->at.prev, v->gone.prev, sizeof v->at.prev) != 0)) {
        wrong_file(v, "the archive is not what was taken out of this log");
    }
    return status;
}

/* The tiles have been looked at: they stay out of it. */
static enum cv_status read_file(struct cv_verify *v, int fd, struct cv_err *err)
{
    struct cv_tiles_check *tiles = v->tiles;
    struct cv_wal wal = {.fd = -1};
    struct stat st;
    bool good = false;
    enum cv_status status;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return cv_fail(err, CV_INVALID, "the archive is no file");
    }
    v->tiles = NULL;
    status = cv_wal_init(&wal, fd, 0, (uint64_t)st.st_size, err);
    if (status == CV_OK) {
        status = begin_file(v, &wal, &good, err);
    }
    if (status == CV_OK && !good) {
        wrong_file(v, "the file is no archive of records that this log had");
    } else if (status == CV_OK) {
        status = take_file(v, &wal, err);
    }
    cv_wal_wipe(&wal);
    v->tiles = tiles;
    if (good) {
        uint64_t first = v->first;

        begin_at(v);
        v->first = first;
    } else {
        begin_at(v);
    }
    return status;
}

enum cv_status cv_verify_archived_begin(struct cv_verify *v,
                                        const struct cv_verify_options *options,
                                        struct cv_err *err)
{
    const char *wrong;
    struct stat st;

    if (v->gone.tree.size == 0) {
        if (options != NULL && options->has_archive) {
            wrong_file(v, "nothing was archived out of this log");
        }
        return CV_OK;
    }
    if (fstat(v->fd, &st) != 0 || (uint64_t)st.st_size < v->gone.offset) {
        cv_verify_add(v, "size",
                      "the log ends before " CV_ARCHIVED_PATH
                      " says that it begins");
        return CV_OK;
    }
    begin_at(v);
    wrong = v->tiles == NULL ? "the hash tiles of the archived records are gone"
                             : cv_tiles_check_archived(v->tiles, &v->gone.tree,
                                                       v->gone.offset);
    if (wrong != NULL) {
        cv_verify_add(v, WHAT, wrong);
        cv_tiles_check_free(v->tiles);
        v->tiles = NULL;
    }
    check_claims(v);
    if (cv_archived_is_left(v->fd, &v->gone)) {
        cv_report_add(&v->notes, WHAT, CV_REPORT_NOWHERE, CV_REPORT_NOWHERE,
                      "bytes of archived records are still in the log's file: "
                      "the next command that writes takes them away");
    }
    return options != NULL && options->has_archive
               ? read_file(v, options->archive, err)
               : CV_OK;
}

void cv_verify_archived_leaf(struct cv_verify *v, struct cv_bytes leaf)
{
    if (!v->gone_told && cv_archived_is_told(&v->gone, leaf)) {
        v->gone_told = true;
    }
}

bool cv_verify_archived_has(const struct cv_verify *v, uint64_t seq,
                            const uint8_t hash[CV_TREE_HASH])
{
    struct cv_tiles_reader *reader = calloc(1, sizeof *reader);
    struct cv_proof_source source;
    uint8_t there[CV_TREE_HASH];
    bool has = false;

    if (reader != NULL && seq < v->gone.tree.size) {
        reader->vault = v->vault;
        reader->size = v->tiles_size;
        source = cv_tiles_source(reader);
        has = source.subtree(reader, 0, seq, there, NULL) == CV_OK &&
              memcmp(there, hash, sizeof there) == 0;
    }
    free(reader);
    return has;
}

/* By the key that the log had then, which is not always the one of now. */
static bool is_by_key(const struct cv_verify *v)
{
    const struct cv_carried *c = &v->changes;
    const struct cv_note_key *then = &v->key;
    size_t i = 0;

    while (i < c->n && c->items[i].seq < v->gone.seq) {
        i++;
    }
    if (c->n > 0) {
        then = i > 0 ? &c->items[i - 1].change.to : &c->items[0].change.from;
    }
    return (c->n > 0 || v->has_key) && cv_archived_is_signed_by(&v->gone, then);
}

/* Its leaf must be signed; the checkpoint was read before audit/archived. */
static bool is_signed(const struct cv_verify *v, bool now)
{
    struct cv_checkpoint last;

    if (!now) {
        return v->checkpoint.there && v->checkpoint.c.size > v->gone.seq;
    }
    return v->has_key &&
           cv_checkpoint_read(v->vault, &v->key, &last, NULL, NULL, NULL) ==
               CV_OK &&
           last.size > v->gone.seq;
}

enum cv_status cv_verify_archived_end(struct cv_verify *v, struct cv_err *err)
{
    const bool covered = v->gone.tree.size == 0 || is_signed(v, false);
    struct cv_archived now;

    if ((cv_archived_read(v->vault, &now, NULL) == CV_OK &&
         now.tree.size > v->gone.tree.size) ||
        (!covered && is_signed(v, true))) {
        cv_fail(err, CV_BUSY, "records were archived while the log was read");
        cv_err_hint(err, "run it again");
        return CV_BUSY;
    }
    if (v->gone.tree.size > 0 && !v->gone_told) {
        cv_verify_add(v, WHAT,
                      "no record says that what was before the log's beginning "
                      "is archived (" CV_ARCHIVED_PATH ")");
    } else if (!covered) {
        cv_verify_add(v, WHAT,
                      "no checkpoint is over the record that says what is "
                      "archived: whoever wrote it need not have the log's key");
    } else if (v->gone.tree.size > 0 && !is_by_key(v)) {
        cv_verify_add(v, WHAT,
                      "what says that records are archived (" CV_ARCHIVED_PATH
                      ") is not signed by the log's key");
    }
    return CV_OK;
}

bool cv_verify_archived_report(const struct cv_verify *v, cJSON *report)
{
    cJSON *o;
    bool ok;

    if (v->gone.tree.size == 0) {
        return true;
    }
    o = cJSON_CreateObject();
    ok = cv_json_add_int(o, "before", (int64_t)v->gone.tree.size) &&
         cv_json_add_str(o, "until", v->gone.until) &&
         cv_json_add_str(o, "digest", v->gone.digest) &&
         cv_json_add_int(o, "from", (int64_t)v->first) &&
         cv_json_add_int(o, "unpaired", (int64_t)v->unpaired);
    return cv_json_add_item(report, "archived", o) && ok;
}
