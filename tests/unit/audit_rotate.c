#include "audit_rotate.h"

#include "vault/audit/rotation.h"
#include "vault/base/encode.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static void sign_by(const struct cv_note_key *key, const uint8_t *sk,
                    struct cv_bytes text, struct cv_buf *line)
{
    uint8_t blob[4 + crypto_sign_BYTES];

    memcpy(blob, key->id, sizeof key->id);
    (void)crypto_sign_detached(blob + 4, NULL, text.data, text.len, sk);
    cv_buf_add_format(line, "\xe2\x80\x94 %s ", key->name);
    cv_encode_base64((struct cv_bytes){blob, sizeof blob}, line);
}

/* Draws another key of the log and appends the leaf that both sign. */
void audit_rotate_leaf(const struct audit_vault *v, struct cv_log *log)
{
    struct cv_rotation r = {.from = v->key};
    struct cv_arena *arena = NULL;
    struct cv_bytes seeds[2];
    struct cv_buf file, text, lines[2];
    uint8_t pk[32], sk[64];
    cJSON *leaf =
        audit_test_leaf(CV_LEAF_OUTCOME, AUDIT_ROTATE_OP, "admin", NULL, 9);
    cJSON *details = cJSON_CreateObject();

    assert_int_equal(cv_arena_new(65536, &arena, NULL), CV_OK);
    assert_int_equal(
        cv_logkey_next_draw(v->key.name, arena, &file, &r.to, NULL), CV_OK);
    assert_int_equal(cv_logkey_next_write(v->fd, &file, NULL), CV_OK);
    assert_int_equal(
        cv_logkey_read_seed(v->fd, &r.from, arena, &seeds[0], NULL), CV_OK);
    assert_int_equal(cv_logkey_next_seed(v->fd, &r.to, arena, &seeds[1], NULL),
                     CV_OK);
    cv_buf_init(&text, NULL, 4096);
    cv_rotation_text(&r, &text);
    for (int i = 0; i < 2; i++) {
        (void)crypto_sign_seed_keypair(pk, sk, seeds[i].data);
        cv_buf_init(&lines[i], NULL, 4096);
        sign_by(i == 0 ? &r.from : &r.to, sk, cv_buf_bytes(&text), &lines[i]);
    }
    assert_int_equal(cv_rotation_details(&r, cv_buf_text(&lines[0]),
                                         cv_buf_text(&lines[1]), details, NULL),
                     CV_OK);
    cJSON_DeleteItemFromObject(leaf, "details");
    assert_true(cJSON_AddItemToObject(leaf, "details", details));
    assert_int_equal(cv_log_append(log, leaf, NULL, NULL), CV_OK);
    assert_int_equal(cv_log_commit(log, NULL), CV_OK);
    cJSON_Delete(leaf);
    for (int i = 0; i < 2; i++) {
        cv_buf_wipe(&lines[i]);
    }
    cv_buf_wipe(&text);
    cv_arena_free(arena);
}

static void sign_by_next(struct audit_vault *v, const struct cv_note_key *next,
                         struct cv_bytes text, struct cv_buf *lines)
{
    struct cv_arena *arena = NULL;
    struct cv_bytes seed;
    uint8_t pk[32], sk[64];

    assert_int_equal(cv_arena_new(65536, &arena, NULL), CV_OK);
    assert_int_equal(cv_logkey_next_seed(v->fd, next, arena, &seed, NULL),
                     CV_OK);
    (void)crypto_sign_seed_keypair(pk, sk, seed.data);
    sign_by(next, sk, text, lines);
    cv_arena_free(arena);
}

void audit_rotate(struct audit_vault *v, struct cv_log *log)
{
    struct cv_note_key next;
    struct cv_buf text, lines;
    char line[512];

    audit_rotate_leaf(v, log);
    assert_int_equal(cv_logkey_next_read(v->fd, &next, NULL), CV_OK);
    cv_buf_init(&text, NULL, 4096);
    cv_buf_init(&lines, NULL, 4096);
    assert_int_equal(cv_checkpoint_begin(log, &text, NULL), CV_OK);
    audit_test_sign(v, cv_buf_bytes(&text), line, sizeof line);
    cv_buf_add_format(&lines, "%s\n", line);
    sign_by_next(v, &next, cv_buf_bytes(&text), &lines);
    assert_int_equal(cv_checkpoint_finish(log, cv_buf_bytes(&text),
                                          cv_buf_text(&lines), NULL),
                     CV_OK);
    assert_int_equal(cv_logkey_next_take(v->fd, &next, NULL), CV_OK);
    cv_log_use_key(log, &next);
    v->key = next;
    cv_buf_wipe(&lines);
    cv_buf_wipe(&text);
}
