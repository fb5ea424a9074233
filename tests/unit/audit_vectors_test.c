/* All of tests/data/audit/tlog-vectors.json: records, leaf hashes, roots,
 * signed and cosigned notes, proofs, tiles, bundles, paths, and what must be
 * refused. The vectors were checked against golang.org/x/mod/sumdb and
 * transparency-dev/merkle. */
#include "audit_test.h"

#include "vault/audit/proof.h"
#include "vault/audit/tile.h"
#include "vault/audit/tiles.h"
#include "vault/audit/tree_made_internal.h"
#include "vault/base/encode.h"
#include "vault/base/file.h"
#include "vault/base/json.h"
#include "vault/base/limits.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 600
#define HASH CV_TREE_HASH

static cJSON *vectors;
static struct cv_buf records[RECORDS];
static uint8_t leaves[RECORDS][HASH];

static const cJSON *get(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    assert_non_null(item);
    return item;
}

static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = get(object, key);

    assert_true(cJSON_IsString(item));
    return item->valuestring;
}

static uint64_t int_of(const cJSON *object, const char *key)
{
    return (uint64_t)get(object, key)->valuedouble;
}

static void hash_of(const cJSON *object, const char *key, uint8_t out[HASH])
{
    assert_int_equal(
        cv_decode_hex_exact(text_of(object, key), key, out, HASH, NULL), CV_OK);
}

static void proof_of(const cJSON *object, struct cv_proof *out)
{
    const cJSON *item;

    memset(out, 0, sizeof *out);
    cJSON_ArrayForEach(item, get(object, "proof_hex"))
    {
        assert_true(out->n < CV_PROOF_HASHES);
        assert_int_equal(cv_decode_hex_exact(item->valuestring, "proof",
                                             out->hash[out->n++], HASH, NULL),
                         CV_OK);
    }
}

/* The rule of "record_template". */
static void make_record(unsigned i, const char *set)
{
    static const char *const acts[] = {
        "import",      "release",      "sign",         "deny",
        "policy-load", "session-open", "session-close"};
    static const uint8_t zeros[HASH];
    const uint8_t *prev = i == 0 ? zeros : leaves[i - 1];
    struct cv_buf *b = &records[i];

    cv_buf_init(b, NULL, 4096);
    cv_buf_add_format(b,
                      "{\"act\":\"%s\",\"id\":\"%s-%05u\",\"n\":%u,\"prev\":\"",
                      acts[(i * 5 + strlen(set)) % 7], set, i, i);
    cv_encode_base64((struct cv_bytes){prev, HASH}, b);
    cv_buf_add_format(b, "\",\"res\":\"%s\",\"t\":%u,\"v\":1}",
                      i % 4 == 0 ? "denied" : "ok", 1790000000 + 7 * i);
    cv_tree_leaf(cv_buf_bytes(b), leaves[i]);
}

static int load(void **state)
{
    struct cv_buf file;
    int fd = -1;

    if (audit_test_start(state) != 0 ||
        cv_file_open_input(CV_TEST_DATA "/audit/tlog-vectors.json", &fd,
                           NULL) != CV_OK) {
        return -1;
    }
    cv_buf_init(&file, NULL, CV_MIB(1));
    if (cv_file_read(fd, "vectors", &file, NULL) != CV_OK) {
        return -1;
    }
    cv_file_close(&fd);
    /* cJSON itself: one vector holds a NUL, which our own reader refuses. */
    vectors = cJSON_Parse(cv_buf_text(&file));
    cv_buf_wipe(&file);
    for (unsigned i = 0; vectors != NULL && i < RECORDS; i++) {
        make_record(i, text_of(vectors, "set"));
    }
    return vectors == NULL ? -1 : 0;
}

static int unload(void **state)
{
    (void)state;
    cJSON_Delete(vectors);
    for (unsigned i = 0; i < RECORDS; i++) {
        cv_buf_wipe(&records[i]);
    }
    return 0;
}

static void test_records(void **state)
{
    const cJSON *item;
    unsigned n = 0;

    (void)state;
    cJSON_ArrayForEach(item, get(vectors, "records"))
    {
        uint64_t i = int_of(item, "i");
        uint8_t want[HASH];

        assert_string_equal(cv_buf_text(&records[i]), text_of(item, "text"));
        hash_of(item, "leaf_hash_hex", want);
        assert_memory_equal(leaves[i], want, HASH);
        n++;
    }
    assert_int_equal(n, 12);
}

static void test_empty_root(void **state)
{
    struct cv_tree tree;
    uint8_t root[HASH], want[HASH];

    (void)state;
    cv_tree_init(&tree);
    cv_tree_root(&tree, root);
    hash_of(vectors, "empty_root_hex", want);
    assert_memory_equal(root, want, HASH);
}

static void keys_of(struct cv_note_key keys[2])
{
    static const char *const names[] = {"log_key", "witness_key"};

    for (int i = 0; i < 2; i++) {
        const cJSON *k = get(vectors, names[i]);
        const char *vkey = text_of(k, "vkey");
        struct cv_note_key made;
        struct cv_buf text;
        uint8_t public_key[32], id[4];

        assert_int_equal(cv_note_key_parse(vkey, &keys[i], NULL), CV_OK);
        hash_of(k, "public_hex", public_key);
        assert_memory_equal(keys[i].public_key, public_key, 32);
        assert_int_equal(
            cv_decode_hex_exact(text_of(k, "key_id_hex"), "id", id, 4, NULL),
            CV_OK);
        assert_memory_equal(keys[i].id, id, 4);
        assert_int_equal(cv_note_key_make(keys[i].name, keys[i].type,
                                          public_key, &made, NULL),
                         CV_OK);
        cv_buf_init(&text, NULL, 1024);
        cv_note_key_text(&made, &text);
        assert_string_equal(cv_buf_text(&text), vkey);
        cv_buf_wipe(&text);
    }
}

/* Bytes that libsodium 1.0.18 would take for base64 digits. */
static void test_high_bytes(void **state)
{
    const char *note = text_of(get(vectors, "checkpoints")->child, "note");
    struct cv_note_key keys[2], key;
    struct cv_checkpoint c;
    char text[1024];
    char *at;

    (void)state;
    keys_of(keys);
    (void)snprintf(text, sizeof text, "%s",
                   text_of(get(vectors, "log_key"), "vkey"));
    text[strlen(text) - 1] = '\xff';
    assert_int_equal(cv_note_key_parse(text, &key, NULL), CV_INVALID);
    (void)snprintf(text, sizeof text, "%s", note);
    at = strstr(text, "\n0\n") + 3; /* the root's first characters */
    memcpy(at, "\xc3\xa9", 2);
    assert_int_equal(
        cv_checkpoint_parse(
            (struct cv_bytes){(uint8_t *)text,
                              (size_t)(strstr(text, "\n\n") - text + 1)},
            &c, NULL),
        CV_INTEGRITY);
    (void)snprintf(text, sizeof text, "%s", note);
    at = strstr(text, " dkVX") + 6;
    memcpy(at, "\xc3\xa9", 2);
    assert_int_equal(
        cv_checkpoint_open((struct cv_bytes){(uint8_t *)text, strlen(text)},
                           &keys[0], &c, NULL),
        CV_INTEGRITY);
}

static struct cv_bytes bytes_of(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

/* The time that the witness's line carries is the one that was signed. */
static void check_cosign_time(const cJSON *item, const struct cv_note_key *w)
{
    const char *line = strstr(text_of(item, "note"), w->name);
    const char *value = line + strlen(w->name) + 1;
    uint64_t time_s = 0;
    struct cv_buf bytes;

    assert_non_null(line);
    cv_buf_init(&bytes, NULL, 256);
    assert_int_equal(cv_decode_base64(value, strcspn(value, "\n"), false,
                                      "line", &bytes, NULL),
                     CV_OK);
    assert_int_equal(bytes.len, 4 + 8 + 64);
    assert_memory_equal(bytes.data, w->id, 4);
    for (int i = 4; i < 12; i++) {
        time_s = time_s << 8 | bytes.data[i];
    }
    assert_int_equal(time_s, int_of(item, "cosign_time"));
    cv_buf_wipe(&bytes);
}

static void test_checkpoints(void **state)
{
    struct cv_note_key keys[2];
    const cJSON *item;
    unsigned n = 0;

    (void)state;
    keys_of(keys);
    assert_string_equal(keys[0].name, text_of(vectors, "origin"));
    cJSON_ArrayForEach(item, get(vectors, "checkpoints"))
    {
        const char *note = text_of(item, "note");
        struct cv_checkpoint c;
        struct cv_bytes text;
        struct cv_buf again;
        uint8_t root[HASH];

        assert_int_equal(cv_note_open(bytes_of(note), keys, 2, &text, NULL),
                         CV_OK);
        assert_int_equal(cv_note_open(bytes_of(note), keys + 1, 1, &text, NULL),
                         CV_OK);
        assert_int_equal(cv_checkpoint_open(bytes_of(note), keys, &c, NULL),
                         CV_OK);
        check_cosign_time(item, &keys[1]);
        assert_int_equal(c.size, int_of(item, "size"));
        hash_of(item, "root_hex", root);
        assert_memory_equal(c.root, root, HASH);
        cv_tree_root_of(leaves[0], c.size, root);
        assert_memory_equal(c.root, root, HASH);
        cv_buf_init(&again, NULL, 1024);
        cv_checkpoint_text(&c, &again);
        assert_int_equal(again.len, text.len);
        assert_memory_equal(again.data, text.data, text.len);
        cv_buf_wipe(&again);
        n++;
    }
    assert_int_equal(n, 11);
}

/* Every line of a known key counts, and one at least must be there. */
static void test_signatures(void **state)
{
    struct cv_note_key keys[2], other;
    struct cv_bytes text;
    struct cv_checkpoint c;
    char note[1024];
    char *at;

    (void)state;
    keys_of(keys);
    (void)snprintf(note, sizeof note, "%s",
                   text_of(get(vectors, "checkpoints")->child, "note"));
    other = keys[0];
    other.id[0] ^= 1;
    assert_int_equal(cv_note_open(bytes_of(note), &other, 1, &text, NULL),
                     CV_INTEGRITY);
    assert_int_equal(text.len, 0);
    assert_int_equal(cv_note_open(bytes_of(note), NULL, 0, &text, NULL),
                     CV_INTEGRITY);
    other = keys[0];
    other.name[0] = 'x';
    assert_int_equal(cv_note_open(bytes_of(note), &other, 1, &text, NULL),
                     CV_INTEGRITY);
    /* the witness's signature is broken, the log's is not */
    at = strstr(note, "witness.example/certvault-w1 ") + 50;
    *at = *at == 'A' ? 'B' : 'A';
    assert_int_equal(cv_note_open(bytes_of(note), keys, 1, &text, NULL), CV_OK);
    assert_int_equal(cv_note_open(bytes_of(note), keys, 2, &text, NULL),
                     CV_INTEGRITY);
    assert_int_equal(cv_note_open(bytes_of(note), keys + 1, 1, &text, NULL),
                     CV_INTEGRITY);
    assert_int_equal(cv_checkpoint_open(bytes_of(note), &keys[0], &c, NULL),
                     CV_OK);
}

/* A source over all leaf hashes, slow and simple. */
static enum cv_status leaves_subtree(void *context, unsigned level,
                                     uint64_t index, uint8_t out[HASH],
                                     struct cv_err *err)
{
    (void)context;
    (void)err;
    cv_tree_root_of(leaves[index << level], UINT64_C(1) << level, out);
    return CV_OK;
}

static const struct cv_proof_source source = {NULL, leaves_subtree};

static void test_inclusion(void **state)
{
    const cJSON *item;
    unsigned n = 0;

    (void)state;
    cJSON_ArrayForEach(item, get(vectors, "inclusion"))
    {
        uint64_t index = int_of(item, "index"), size = int_of(item, "size");
        uint8_t leaf[HASH], root[HASH];
        struct cv_proof proof, made;

        hash_of(item, "leaf_hash_hex", leaf);
        hash_of(item, "root_hex", root);
        proof_of(item, &proof);
        assert_memory_equal(leaf, leaves[index], HASH);
        assert_int_equal(
            cv_proof_check_inclusion(index, size, leaf, &proof, root, NULL),
            CV_OK);
        assert_int_equal(
            cv_proof_make_inclusion(&source, size, index, &made, NULL), CV_OK);
        assert_memory_equal(&made, &proof, sizeof proof);
        n++;
    }
    assert_int_equal(n, 15);
}

static void test_consistency(void **state)
{
    const cJSON *item;
    unsigned n = 0;

    (void)state;
    cJSON_ArrayForEach(item, get(vectors, "consistency"))
    {
        uint64_t from = int_of(item, "old"), to = int_of(item, "new");
        uint8_t old_root[HASH], new_root[HASH];
        struct cv_proof proof, made;

        hash_of(item, "old_root_hex", old_root);
        hash_of(item, "new_root_hex", new_root);
        proof_of(item, &proof);
        assert_int_equal(cv_proof_check_consistency(from, to, old_root,
                                                    new_root, &proof, NULL),
                         CV_OK);
        assert_int_equal(
            cv_proof_make_consistency(&source, to, from, &made, NULL), CV_OK);
        assert_memory_equal(&made, &proof, sizeof proof);
        n++;
    }
    assert_int_equal(n, 14);
}

/* True for a vector that only the record's own bytes refuse. */
static bool refuse_inclusion(const cJSON *item)
{
    const cJSON *level = cJSON_GetObjectItemCaseSensitive(item, "hash_level");
    uint64_t index = int_of(item, "index");
    uint8_t leaf[HASH], root[HASH];
    struct cv_proof proof;
    enum cv_status status;

    hash_of(item, "leaf_hash_hex", leaf);
    hash_of(item, "root_hex", root);
    proof_of(item, &proof);
    status = cv_proof_check_inclusion(index, int_of(item, "size"), leaf, &proof,
                                      root, NULL);
    if (level == NULL) {
        assert_int_equal(status, CV_INTEGRITY);
        return false;
    }
    assert_string_equal(level->valuestring, "accept");
    assert_int_equal(status, CV_OK);
    assert_memory_not_equal(leaf, leaves[index], HASH);
    return true;
}

static void refuse_consistency(const cJSON *item)
{
    uint8_t old_root[HASH], new_root[HASH];
    struct cv_proof proof;

    hash_of(item, "old_root_hex", old_root);
    hash_of(item, "new_root_hex", new_root);
    proof_of(item, &proof);
    assert_int_equal(cv_proof_check_consistency(int_of(item, "old"),
                                                int_of(item, "new"), old_root,
                                                new_root, &proof, NULL),
                     CV_INTEGRITY);
}

static void refuse_checkpoint(const cJSON *item)
{
    struct cv_bytes note = bytes_of(text_of(item, "note"));
    struct cv_note_key keys[2];
    struct cv_checkpoint c;

    keys_of(keys);
    if (strcmp(text_of(item, "what"), "trailing NUL") == 0) {
        note.len++; /* cJSON cut the text there: take the NUL in again */
    }
    assert_int_equal(cv_checkpoint_open(note, &keys[0], &c, NULL),
                     CV_INTEGRITY);
    assert_int_equal(c.size, 0);
}

static void test_negative(void **state)
{
    const cJSON *item;
    unsigned n = 0, notes = 0, consistency = 0, hash_level = 0;

    (void)state;
    cJSON_ArrayForEach(item, get(vectors, "negative"))
    {
        const char *kind = text_of(item, "kind");

        assert_string_equal(text_of(item, "want"), "reject");
        if (strcmp(kind, "inclusion") == 0) {
            hash_level += refuse_inclusion(item) ? 1 : 0;
        } else if (strcmp(kind, "consistency") == 0) {
            refuse_consistency(item);
            consistency++;
        } else {
            assert_string_equal(kind, "checkpoint");
            refuse_checkpoint(item);
            notes++;
        }
        n++;
    }
    assert_int_equal(n, 25);
    assert_int_equal(hash_level, 1);
    assert_int_equal(consistency, 7);
    assert_int_equal(notes, 10);
}

/* level, number and width out of a path of ours. */
static void split_path(const char *path, int *level, uint64_t *n,
                       unsigned *width)
{
    const char *partial = strstr(path, ".p/");

    *level = strncmp(path, "tile/entries/", 13) == 0
                 ? -1
                 : (int)strtol(path + 5, NULL, 10);
    *n = strtoull(path + (*level < 0 ? 13 : 7), NULL, 10);
    *width = partial == NULL ? 256 : (unsigned)strtoul(partial + 3, NULL, 10);
}

static void check_tile(const struct audit_vault *v, const cJSON *item)
{
    const char *path = text_of(item, "path");
    uint8_t want[HASH], got[HASH];
    char name[128];
    uint8_t *bytes;
    struct cv_buf b;
    unsigned width;
    uint64_t n;
    size_t len;
    int level;

    split_path(path, &level, &n, &width);
    cv_buf_init(&b, NULL, CV_MIB(1));
    cv_tile_path(level, n, width, &b);
    assert_string_equal(cv_buf_text(&b), path);
    cv_buf_wipe(&b);
    assert_int_equal(cv_tile_width(level, n, RECORDS), width);
    (void)snprintf(name, sizeof name, "audit/%s", path);
    bytes = audit_test_read(v, name, &len);
    assert_int_equal(len, int_of(item, "bytes"));
    hash_of(item, "sha256_hex", want);
    (void)crypto_hash_sha256(got, bytes, len);
    assert_memory_equal(got, want, HASH);
    free(bytes);
}

static void test_tiles(void **state)
{
    struct audit_vault v;
    struct cv_tiles *tiles;
    const cJSON *item;
    unsigned n = 0;

    (void)state;
    audit_test_vault(&v);
    assert_int_equal(cv_tiles_open(v.fd, false, &tiles, NULL), CV_OK);
    for (unsigned i = 0; i < RECORDS; i++) {
        assert_int_equal(cv_tiles_add(tiles, cv_buf_bytes(&records[i]), NULL),
                         CV_OK);
    }
    assert_int_equal(cv_tiles_finish(tiles, NULL), CV_OK);
    cv_tiles_free(tiles);
    cJSON_ArrayForEach(item, get(vectors, "tiles"))
    {
        check_tile(&v, item);
        n++;
    }
    cJSON_ArrayForEach(item, get(vectors, "entry_bundles"))
    {
        check_tile(&v, item);
        n++;
    }
    assert_int_equal(n, 7);
    audit_test_remove(&v);
}

static void test_paths(void **state)
{
    const cJSON *item;
    unsigned n = 0;

    (void)state;
    cJSON_ArrayForEach(item, get(vectors, "path_encoding"))
    {
        struct cv_buf b;

        cv_buf_init(&b, NULL, 256);
        cv_tile_path(0, int_of(item, "n"), 256, &b);
        assert_string_equal(cv_buf_text(&b) + 7, text_of(item, "path"));
        cv_buf_wipe(&b);
        n++;
    }
    assert_int_equal(n, 6);
}

/* Every proof that is made verifies, and not for a neighbour. */
static void test_all_small_proofs(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= 40; size++) {
        uint8_t root[HASH], old_root[HASH];
        struct cv_proof p;

        cv_tree_root_of(leaves[0], size, root);
        for (uint64_t i = 0; i < size; i++) {
            assert_int_equal(
                cv_proof_make_inclusion(&source, size, i, &p, NULL), CV_OK);
            assert_int_equal(
                cv_proof_check_inclusion(i, size, leaves[i], &p, root, NULL),
                CV_OK);
            assert_int_equal(cv_proof_check_inclusion(i, size, leaves[i + 1],
                                                      &p, root, NULL),
                             CV_INTEGRITY);
        }
        for (uint64_t old = 0; old <= size; old++) {
            cv_tree_root_of(leaves[0], old, old_root);
            assert_int_equal(
                cv_proof_make_consistency(&source, size, old, &p, NULL), CV_OK);
            assert_int_equal(
                cv_proof_check_consistency(old, size, old_root, root, &p, NULL),
                CV_OK);
            old_root[0] ^= 1;
            assert_int_equal(
                cv_proof_check_consistency(old, size, old_root, root, &p, NULL),
                CV_INTEGRITY);
        }
        assert_int_equal(cv_proof_make_inclusion(&source, size, size, &p, NULL),
                         CV_INVALID);
        assert_int_equal(
            cv_proof_make_consistency(&source, size, size + 1, &p, NULL),
            CV_INVALID);
    }
}

/* Nodes that were made beforehand are those that appending makes: from every
 * place and of every number, and where they are of another place, none. */
static void test_tree_made(void **state)
{
    static struct cv_tree_made made;
    static struct cv_tree plain, with;
    uint8_t a[HASH], b[HASH];

    (void)state;
    for (size_t first = 0; first < 260; first += first < 20 ? 1 : 7) {
        for (size_t n = 0; first + n <= RECORDS; n += n < 20 ? 1 : 61) {
            cv_tree_init(&plain);
            cv_tree_init(&with);
            cv_tree_made_begin(&made, first);
            memcpy(made.hash, leaves[first], n * HASH);
            cv_tree_made_end(&made, n);
            for (size_t i = 0; i < RECORDS; i++) {
                assert_int_equal(
                    cv_tree_append_told(&plain, leaves[i], 3, a),
                    cv_tree_append_made(&with, leaves[i], &made, 3, b));
                assert_int_equal(plain.n, with.n);
                assert_memory_equal(plain.nodes, with.nodes, plain.n * HASH);
                if (i % 8 == 7) {
                    assert_memory_equal(a, b, HASH);
                }
            }
        }
    }
    assert_null(cv_tree_made_get(&made, CV_TREE_MADE_HEIGHT + 1, 0));
    assert_null(cv_tree_made_get(NULL, 1, 0));
    cv_tree_made_begin(&made, 8);
    cv_tree_made_end(&made, 8);
    assert_non_null(cv_tree_made_get(&made, 3, 1));
    assert_null(cv_tree_made_get(&made, 3, 0));
    assert_null(cv_tree_made_get(&made, 3, 2));
    assert_null(cv_tree_made_get(&made, 4, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_empty_root),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_high_bytes),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_inclusion),
        cmocka_unit_test(test_consistency),
        cmocka_unit_test(test_negative),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_all_small_proofs),
        cmocka_unit_test(test_tree_made),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
