/* Does a bundle prove what it says? */
#include "vault/audit/bundle_internal.h"

#include "vault/audit/checkpoint.h"
#include "vault/audit/tlogproof.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_LEN 20
#define TOP_NAMES 16

struct check {
    int dir;
    const struct cv_bundle_options *options;
    cJSON *manifest;
    /* borrowed from the manifest */
    const char *form, *origin, *entry, *since, *until;
    const cJSON *ids, *frontier, *consistency, *policies, *cosigned;
    int64_t first, size, matching, rotations;
    struct cv_note_key key;
    struct cv_bundle_keys keys; /* that the log had, if it had several */
    struct cv_buf vkey, after_note;
    struct cv_checkpoint before, after, given; /* size 0: there is none */
    bool has_before, has_given, met_given;
    struct cv_bundle_cosigned witnessed;
    /* as the records are read */
    struct cv_tree tree;
    uint8_t prev[CV_TREE_HASH];
    bool has_prev;
    char from[TIME_LEN + 1], to[TIME_LEN + 1];
    uint64_t found; /* that match */
    struct cv_bundle_policies named;
    /* files */
    uint64_t proofs, texts;
};

static enum cv_status bad(struct cv_err *err, const char *what)
{
    return cv_fail(err, CV_INTEGRITY, "%s", what);
}

/* What is wrong with a file is wrong with the bundle. */
static enum cv_status as_bad(enum cv_status s, struct cv_err *err)
{
    if (s == CV_INVALID || s == CV_NOT_FOUND || s == CV_USAGE) {
        if (err != NULL) {
            err->status = CV_INTEGRITY;
        }
        return CV_INTEGRITY;
    }
    return s;
}

static enum cv_status read_manifest(struct check *c, struct cv_err *err)
{
    const char *made = NULL, *by = NULL;
    bool before = false;
    const struct cv_json_field fields[] = {
        {"bundle", CV_JSON_STRING, true, &c->form, 64},
        {"origin", CV_JSON_STRING, true, &c->origin, CV_NOTE_NAME},
        {"entry", CV_JSON_STRING, false, &c->entry, CV_LIMIT_NAME},
        {"entry_ids", CV_JSON_ARRAY, false, &c->ids, 0},
        {"matching", CV_JSON_INT, false, &c->matching, 0},
        {"since", CV_JSON_STRING, false, &c->since, TIME_LEN},
        {"until", CV_JSON_STRING, false, &c->until, TIME_LEN},
        {"first", CV_JSON_INT, true, &c->first, 0},
        {"size", CV_JSON_INT, true, &c->size, 0},
        {"frontier", CV_JSON_ARRAY, true, &c->frontier, 0},
        {"before", CV_JSON_BOOL, true, &before, 0},
        {"consistency", CV_JSON_ARRAY, false, &c->consistency, 0},
        {"policies", CV_JSON_ARRAY, true, &c->policies, 0},
        {"rotations", CV_JSON_INT, false, &c->rotations, 0},
        {"cosigned", CV_JSON_ARRAY, false, &c->cosigned, 0},
        {"made", CV_JSON_STRING, true, &made, TIME_LEN},
        {"by", CV_JSON_STRING, true, &by, 128},
    };
    struct cv_buf text;
    enum cv_status s;

    cv_buf_init(&text, NULL, CV_LIMIT_BUNDLE_HEAD);
    s = cv_bundle_read(c->dir, "manifest.json", &text, err);
    if (s == CV_OK) {
        s = cv_json_parse(NULL, cv_buf_bytes(&text), &c->manifest, err);
    }
    if (s == CV_OK) {
        s = cv_json_read(c->manifest, "manifest.json", fields,
                         sizeof fields / sizeof fields[0], true, err);
    }
    if (s == CV_OK && strcmp(c->form, CV_BUNDLE_FORM) != 0) {
        s = cv_fail(err, CV_INTEGRITY, "this is no " CV_BUNDLE_FORM);
    }
    if (s == CV_OK &&
        (c->first < 0 || c->size < c->first ||
         (c->entry == NULL) != (c->ids == NULL) ||
         (c->consistency == NULL) == before || c->rotations < 0)) {
        s = bad(err, "manifest.json contradicts itself");
    }
    c->has_before = before;
    cv_buf_wipe(&text);
    return as_bad(s, err);
}

/* The key that was given need not be the one that signed: one that the log had
 * before will do, because keys.jsonl leads from each to the next. */
static enum cv_status believe_key(struct check *c, const char *text,
                                  struct cv_err *err)
{
    struct cv_note_key given;
    enum cv_status s = cv_note_key_parse(c->options->vkey, &given, err);

    if (s == CV_OK) {
        s = as_bad(cv_note_key_parse(text, &c->key, err), err);
    }
    if (s == CV_OK && !cv_rotation_is_same(&given, &c->key) &&
        !cv_bundle_keys_lead(&c->keys, &given, &c->key)) {
        s = cv_fail(err, CV_INTEGRITY,
                    "log.vkey is not the key that it was to be");
        cv_err_hint(err, "the bundle is of another log, or of the time before "
                         "the log got this key (audit key --all); or an older "
                         "certvault archived the change from this key to that "
                         "one: a bundle from before the archive shows it");
    }
    return s;
}

static enum cv_status read_key(struct check *c, struct cv_err *err)
{
    enum cv_status s = cv_bundle_read(c->dir, "log.vkey", &c->vkey, err);
    char *text = (char *)c->vkey.data;

    if (s != CV_OK) {
        return s;
    }
    if (c->vkey.len < 2 || text[c->vkey.len - 1] != '\n' ||
        strlen(text) != c->vkey.len) {
        return bad(err, "log.vkey is no line");
    }
    text[--c->vkey.len] = '\0';
    if (c->options->vkey == NULL) {
        s = as_bad(cv_note_key_parse(text, &c->key, err), err);
    } else {
        s = believe_key(c, text, err);
    }
    if (s == CV_OK && strcmp(c->key.name, c->origin) != 0) {
        s = bad(err, "log.vkey is not the key of the log in manifest.json");
    }
    return s;
}

/* All that the log had; log.vkey is one of them. */
static enum cv_status read_keys(struct check *c, struct cv_err *err)
{
    enum cv_status s = CV_OK;

    if (c->rotations > 0) {
        s = as_bad(cv_bundle_keys_read(c->dir, c->origin, &c->keys, err), err);
    }
    if (s == CV_OK && c->keys.n != (size_t)c->rotations) {
        s = bad(err, "keys.jsonl has more or fewer changes of keys than "
                     "manifest.json says");
    }
    return s == CV_OK ? read_key(c, err) : s;
}

/* By `keys`, or the one of log.vkey. */
static enum cv_status read_checkpoint(struct check *c, const char *name,
                                      const struct cv_bundle_keys *keys,
                                      struct cv_buf *note,
                                      struct cv_checkpoint *out,
                                      struct cv_err *err)
{
    enum cv_status s = cv_bundle_read(c->dir, name, note, err);

    if (s == CV_OK) {
        s = as_bad(
            cv_bundle_keys_open(keys, &c->key, cv_buf_bytes(note), out, err),
            err);
        if (s != CV_OK) {
            cv_err_prefix(err, "%s", name);
        }
    }
    return s;
}

static enum cv_status read_checkpoints(struct check *c, struct cv_err *err)
{
    static const struct cv_bundle_keys none;
    struct cv_buf note;
    enum cv_status s = read_checkpoint(c, "checkpoint.after", &none,
                                       &c->after_note, &c->after, err);

    if (s == CV_OK && c->after.size != (uint64_t)c->size) {
        s = bad(err, "checkpoint.after is not of the size in manifest.json");
    }
    cv_buf_init(&note, NULL, CV_LIMIT_NOTE);
    if (s == CV_OK && c->has_before) {
        s = read_checkpoint(c, "checkpoint.before", &c->keys, &note, &c->before,
                            err);
        if (s == CV_OK && c->before.size != (uint64_t)c->first) {
            s = bad(err,
                    "checkpoint.before is not of the size in manifest.json");
        }
    }
    cv_buf_wipe(&note);
    if (s == CV_OK && c->options->checkpoint.len > 0) {
        c->has_given = true;
        s = cv_bundle_keys_open(&c->keys, &c->key, c->options->checkpoint,
                                &c->given, err);
        if (s == CV_OK && (c->given.size < (uint64_t)c->first ||
                           c->given.size > (uint64_t)c->size)) {
            s = cv_fail(err, CV_INVALID,
                        "the checkpoint is of %llu records, and the bundle "
                        "begins behind %lld and ends behind %lld",
                        (unsigned long long)c->given.size, (long long)c->first,
                        (long long)c->size);
        }
    }
    return s;
}

/* Where the tree stands is the root that was signed for this size. */
static enum cv_status check_root(struct check *c, const char *what,
                                 const struct cv_checkpoint *signed_,
                                 struct cv_err *err)
{
    uint8_t root[CV_TREE_HASH];

    cv_tree_root(&c->tree, root);
    return memcmp(root, signed_->root, sizeof root) == 0
               ? CV_OK
               : cv_fail(err, CV_INTEGRITY,
                         "the records do not give the root that %s signs for "
                         "%llu of them: one was changed, left out or put in",
                         what, (unsigned long long)signed_->size);
}

/* What was signed of the size that is reached, beside the bundle's own. */
static enum cv_status meet(struct check *c, struct cv_err *err)
{
    enum cv_status s = cv_bundle_cosigned_meet(&c->witnessed, &c->tree, err);

    if (s != CV_OK || !c->has_given || c->met_given ||
        c->tree.size != c->given.size) {
        return s;
    }
    c->met_given = true;
    return check_root(c, "your checkpoint", &c->given, err);
}

static enum cv_status read_cosigned(struct check *c, struct cv_err *err)
{
    const struct cv_bundle_signed by = {
        .dir = c->dir,
        .keys = &c->keys,
        .own = &c->key,
        .first = (uint64_t)c->first,
        .after = &c->after,
        .witnesses = c->options->witnesses,
        .n_witnesses = c->options->n_witnesses,
    };

    return as_bad(cv_bundle_cosigned_read(&by, c->cosigned, &c->witnessed, err),
                  err);
}

/* What was there before the range: its subtrees, held against the checkpoint
 * before, if there is one. */
static enum cv_status begin_tree(struct check *c, struct cv_err *err)
{
    struct cv_proof proof = {0};
    enum cv_status s;

    cv_tree_init(&c->tree);
    s = cv_bundle_hashes(c->frontier, c->tree.nodes, CV_TREE_DEPTH, &c->tree.n,
                         err);
    c->tree.size = (uint64_t)c->first;
    if (s == CV_OK && !cv_tree_shape_ok(c->tree.size, c->tree.n)) {
        s = bad(err, "manifest.json: the frontier is not that of `first`");
    }
    if (s == CV_OK && c->has_before) {
        s = check_root(c, "checkpoint.before", &c->before, err);
    }
    if (s == CV_OK && c->has_before) {
        s = cv_bundle_hashes(c->consistency, proof.hash, CV_PROOF_HASHES,
                             &proof.n, err);
    }
    if (s == CV_OK && c->has_before) {
        s = cv_proof_check_consistency(c->before.size, c->after.size,
                                       c->before.root, c->after.root, &proof,
                                       err);
    }
    c->has_prev = c->first == 0; /* zeros */
    return s == CV_OK ? meet(c, err) : s;
}

/* An id that the manifest leaves out would leave out records. */
static enum cv_status match(struct check *c, const struct cv_record *record,
                            struct cv_err *err)
{
    struct cv_bytes id;

    if (c->entry == NULL) {
        return CV_OK;
    }
    id = cv_bundle_text(record, "entry_id");
    if (id.len > 0 && cv_record_is(cv_bundle_text(record, "entry"), c->entry) &&
        !cv_bundle_is_in(id, c->ids)) {
        return cv_fail(err, CV_INTEGRITY,
                       "record %llu has an id of the entry that "
                       "manifest.json does not list",
                       (unsigned long long)record->seq);
    }
    c->found += cv_bundle_matches(record, c->entry, c->ids) ? 1 : 0;
    return CV_OK;
}

static enum cv_status take_record(void *ctx, struct cv_bytes line,
                                  struct cv_err *err)
{
    struct check *c = ctx;
    struct cv_record record;
    uint8_t leaf[CV_TREE_HASH];
    const char *wrong;
    enum cv_status s;

    if (c->tree.size == (uint64_t)c->size) {
        return bad(err, "records.jsonl has more records than manifest.json "
                        "says");
    }
    wrong = cv_record_follow(line, c->tree.size, c->has_prev ? c->prev : NULL,
                             &record);
    if (wrong != NULL) {
        return cv_fail(err, CV_INTEGRITY, "record %llu: %s",
                       (unsigned long long)c->tree.size, wrong);
    }
    cv_tree_leaf(line, leaf);
    s = cv_bundle_policy(&c->named, &record, err);
    if (s == CV_OK) {
        s = match(c, &record, err);
    }
    if (s == CV_OK) {
        s = cv_bundle_keys_meet(&c->keys, record.seq, line, leaf, err);
    }
    if (s != CV_OK) {
        return as_bad(s, err);
    }
    memcpy(c->to, record.time.data, TIME_LEN);
    if (c->from[0] == '\0') {
        memcpy(c->from, record.time.data, TIME_LEN);
    }
    memcpy(c->prev, leaf, sizeof leaf);
    c->has_prev = true;
    cv_tree_append(&c->tree, leaf);
    return meet(c, err);
}

/* The range begins before the period where the log does. */
static enum cv_status check_period(struct check *c, struct cv_err *err)
{
    if (c->first > 0 && (c->since == NULL || c->from[0] == '\0' ||
                         strcmp(c->from, c->since) >= 0)) {
        return bad(err, "the records begin inside the period: what came before "
                        "them in it is not here");
    }
    return CV_OK;
}

static enum cv_status check_records(struct check *c, struct cv_err *err)
{
    enum cv_status s =
        cv_bundle_lines(c->dir, "records.jsonl", take_record, c, err);

    if (s == CV_OK && c->tree.size != (uint64_t)c->size) {
        s = cv_fail(err, CV_INTEGRITY,
                    "records.jsonl ends before record %llu: %lld are missing",
                    (unsigned long long)c->tree.size,
                    (long long)(c->size - (int64_t)c->tree.size));
    }
    if (s == CV_OK) {
        s = check_root(c, "checkpoint.after", &c->after, err);
    }
    if (s == CV_OK) {
        s = check_period(c, err);
    }
    if (s == CV_OK && c->entry != NULL && c->found != (uint64_t)c->matching) {
        s = cv_fail(err, CV_INTEGRITY,
                    "%llu records are about the entry, and manifest.json says "
                    "%lld",
                    (unsigned long long)c->found, (long long)c->matching);
    }
    return s;
}

/* Policies */

static enum cv_status check_text(struct check *c, int64_t version,
                                 const char *sha256, struct cv_err *err)
{
    char name[160], hex[2 * crypto_hash_sha256_BYTES + 1];
    uint8_t hash[crypto_hash_sha256_BYTES];
    struct cv_buf text;
    enum cv_status s;

    (void)snprintf(name, sizeof name, "policies/%lld-%s.yaml",
                   (long long)version, sha256);
    cv_buf_init(&text, NULL, CV_LIMIT_POLICY);
    s = cv_bundle_read(c->dir, name, &text, err);
    if (s == CV_OK) {
        (void)crypto_hash_sha256(hash, text.data, text.len);
        (void)sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
        if (strcmp(hex, sha256) != 0) {
            s = cv_fail(err, CV_INTEGRITY, "%s is not the text of its hash",
                        name);
        }
    }
    cv_buf_wipe(&text);
    c->texts++;
    return s;
}

static enum cv_status check_policy(struct check *c, const cJSON *item,
                                   const struct cv_bundle_policy *named,
                                   struct cv_err *err)
{
    const char *sha256 = NULL;
    int64_t version = -1;
    bool text = false;
    const struct cv_json_field fields[] = {
        {"version", CV_JSON_INT, true, &version, 0},
        {"sha256", CV_JSON_STRING, true, &sha256, 64},
        {"text", CV_JSON_BOOL, true, &text, 0},
    };
    enum cv_status s = as_bad(
        cv_json_read(item, "manifest.json: a policy", fields, 3, true, err),
        err);

    if (s == CV_OK && (version < 0 || (uint64_t)version != named->version ||
                       strcmp(sha256, named->sha256) != 0)) {
        s = bad(err, "manifest.json does not list the policies that the "
                     "records name, in their order");
    }
    return s == CV_OK && text ? check_text(c, version, sha256, err) : s;
}

static enum cv_status check_policies(struct check *c, struct cv_err *err)
{
    const cJSON *item;
    size_t i = 0;
    enum cv_status s = CV_OK;

    if ((size_t)cJSON_GetArraySize(c->policies) != c->named.n) {
        return bad(err, "manifest.json does not list the policies that the "
                        "records name");
    }
    cJSON_ArrayForEach(item, c->policies)
    {
        s = check_policy(c, item, &c->named.items[i++], err);
        if (s != CV_OK) {
            return s;
        }
    }
    return CV_OK;
}

/* Receipts */

static bool seq_of(const char *name, uint64_t *seq)
{
    const char *end = strstr(name, ".tlog-proof");
    char again[64];

    *seq = strtoull(name, NULL, 10);
    (void)snprintf(again, sizeof again, "%llu.tlog-proof",
                   (unsigned long long)*seq);
    return end != NULL && strcmp(name, again) == 0;
}

/* Under checkpoint.after, so that its record is one of those in the range. */
static enum cv_status check_receipt(struct check *c, uint64_t seq,
                                    struct cv_bytes file, struct cv_err *err)
{
    struct cv_tlogproof said;
    struct cv_buf record;
    uint64_t index = 0;
    enum cv_status s = cv_tlogproof_read(file, &said, err);

    cv_buf_init(&record, NULL, CV_LIMIT_PROOF);
    if (s == CV_OK) {
        s = cv_tlogproof_record(file, &record, err);
    }
    if (s == CV_OK) {
        s = cv_tlogproof_check(file, cv_buf_bytes(&record), &c->key, 1, NULL,
                               &index, err);
    }
    if (s == CV_OK &&
        (index != seq || index < (uint64_t)c->first ||
         said.note.len != c->after_note.len ||
         memcmp(said.note.data, c->after_note.data, said.note.len) != 0)) {
        s = bad(err, "it is of another record or checkpoint");
    }
    if (s == CV_OK &&
        !cv_bundle_is_about(cv_buf_bytes(&record), c->entry, c->ids)) {
        s = bad(err, "its record is not about the entry");
    }
    cv_buf_wipe(&record);
    return as_bad(s, err);
}

static enum cv_status take_receipt(void *ctx, const char *name,
                                   struct cv_err *err)
{
    struct check *c = ctx;
    struct cv_buf file;
    char path[300];
    uint64_t seq;
    enum cv_status s;

    if (!seq_of(name, &seq)) {
        return bad(err, "proofs holds what is no receipt of a record");
    }
    (void)snprintf(path, sizeof path, "proofs/%s", name);
    cv_buf_init(&file, NULL, CV_LIMIT_PROOF);
    s = cv_bundle_read(c->dir, path, &file, err);
    if (s == CV_OK) {
        s = check_receipt(c, seq, cv_buf_bytes(&file), err);
    }
    cv_buf_wipe(&file);
    if (s != CV_OK) {
        cv_err_prefix(err, "%s", path);
    }
    c->proofs++;
    return s;
}

static enum cv_status check_receipts(struct check *c, struct cv_err *err)
{
    uint64_t want = c->entry == NULL ? 0
                    : c->found < CV_LIMIT_BUNDLE_PROOFS
                        ? c->found
                        : CV_LIMIT_BUNDLE_PROOFS;
    enum cv_status s = cv_bundle_names(c->dir, "proofs", CV_LIMIT_BUNDLE_PROOFS,
                                       take_receipt, c, err);

    if (s == CV_NOT_FOUND) {
        s = CV_OK;
    }
    if (s == CV_OK && c->proofs != want) {
        s = cv_fail(err, CV_INTEGRITY,
                    "%llu receipts, and there should be %llu",
                    (unsigned long long)c->proofs, (unsigned long long)want);
    }
    return s;
}

/* What belongs to no bundle is nothing that this vouches for. */

static enum cv_status take_top(void *ctx, const char *name, struct cv_err *err)
{
    static const char *const known[] = {
        "manifest.json",    "log.vkey",      "checkpoint.before",
        "checkpoint.after", "records.jsonl", "policies",
        "proofs",           "README.txt",    "keys.jsonl",
        "cosigned",
    };
    const struct check *c = ctx;

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i]) == 0) {
            return (i == 2 && !c->has_before) || (i == 8 && c->keys.n == 0) ||
                           (i == 9 && c->cosigned == NULL)
                       ? cv_fail(err, CV_INTEGRITY,
                                 "%s is not in manifest.json", name)
                       : CV_OK;
        }
    }
    return bad(err, "the folder holds something that is not of a bundle");
}

struct policy_files {
    const struct check *check;
    uint64_t n;
};

static enum cv_status take_policy_file(void *ctx, const char *name,
                                       struct cv_err *err)
{
    struct policy_files *files = ctx;

    (void)name;
    return files->n++ < files->check->texts
               ? CV_OK
               : bad(err, "policies holds what manifest.json does not list");
}

/* Those that are listed were read; there are no others. */
static enum cv_status check_names(struct check *c, struct cv_err *err)
{
    struct policy_files files = {c, 0};
    enum cv_status s =
        cv_bundle_names(c->dir, ".", TOP_NAMES, take_top, c, err);

    if (s == CV_OK) {
        s = cv_bundle_names(c->dir, "policies", CV_LIMIT_BUNDLE_POLICIES + 1,
                            take_policy_file, &files, err);
        if (s == CV_NOT_FOUND && c->texts == 0) {
            s = CV_OK;
        }
    }
    return as_bad(s, err);
}

static enum cv_status tell(const struct check *c, cJSON **report,
                           struct cv_err *err)
{
    cJSON *out = cJSON_CreateObject();
    bool open =
        c->until == NULL || c->to[0] == '\0' || strcmp(c->to, c->until) <= 0;
    bool ok =
        cv_json_add_bool(out, "ok", true) &&
        cv_json_add_str(out, "origin", c->origin) &&
        cv_json_add_str(out, "key", cv_buf_text(&c->vkey)) &&
        cv_json_add_str(out, "key_from",
                        c->options->vkey != NULL ? "given" : "bundle") &&
        cv_json_add_int(out, "first", c->first) &&
        cv_json_add_int(out, "size", c->size) &&
        cv_json_add_int(out, "records", c->size - c->first) &&
        cv_json_add_base64(out, "root",
                           (struct cv_bytes){c->after.root, CV_TREE_HASH}) &&
        cv_json_add_str(out, "from", c->from[0] ? c->from : NULL) &&
        cv_json_add_str(out, "to", c->to[0] ? c->to : NULL) &&
        (c->has_before ? cv_json_add_int(out, "before", c->first)
                       : cJSON_AddNullToObject(out, "before") != NULL) &&
        cv_json_add_str(out, "since", c->since) &&
        cv_json_add_str(out, "until", c->until) &&
        cv_json_add_str(out, "end", open ? "open" : "closed") &&
        cv_json_add_str(out, "entry", c->entry) &&
        (c->entry == NULL || cv_json_add_int(out, "matching", c->matching)) &&
        cv_json_add_int(out, "proofs", (int64_t)c->proofs) &&
        cv_json_add_int(out, "policies", (int64_t)c->texts) &&
        cv_json_add_int(out, "policies_missing",
                        (int64_t)(c->named.n - c->texts)) &&
        cv_json_add_int(out, "rotations", c->rotations) &&
        cv_json_add_int(out, "cosigned", (int64_t)c->witnessed.n) &&
        cv_json_add_item(out, "witnesses",
                         cv_bundle_cosigned_json(&c->witnessed)) &&
        (!c->has_given ||
         cv_json_add_int(out, "checkpoint", (int64_t)c->given.size));

    if (!ok) {
        cJSON_Delete(out);
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    *report = out;
    return CV_OK;
}

static enum cv_status check_all(struct check *c, struct cv_err *err)
{
    enum cv_status (*const steps[])(struct check *, struct cv_err *) = {
        read_manifest,  read_keys,      read_checkpoints,
        read_cosigned,  begin_tree,     check_records,
        check_policies, check_receipts, check_names,
    };
    enum cv_status s = CV_OK;

    for (size_t i = 0; s == CV_OK && i < sizeof steps / sizeof steps[0]; i++) {
        s = steps[i](c, err);
    }
    return s;
}

enum cv_status cv_bundle_check(int dir, const struct cv_bundle_options *options,
                               cJSON **report, struct cv_err *err)
{
    struct check *c = calloc(1, sizeof *c);
    enum cv_status s;

    *report = NULL;
    if (c == NULL) {
        return cv_fail(err, CV_INTERNAL, "memory is gone");
    }
    c->dir = dir;
    c->options = options;
    cv_buf_init(&c->vkey, NULL, CV_KIB(1));
    cv_buf_init(&c->after_note, NULL, CV_LIMIT_NOTE);
    s = check_all(c, err);
    if (s == CV_OK) {
        s = tell(c, report, err);
    }
    cJSON_Delete(c->manifest);
    cv_buf_wipe(&c->vkey);
    cv_buf_wipe(&c->after_note);
    cv_bundle_policies_free(&c->named);
    cv_bundle_keys_free(&c->keys);
    free(c);
    return s;
}
