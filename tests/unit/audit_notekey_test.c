/* Keys that sign notes: what is made opens again, signs what verifies, and no
 * other bytes are taken for such a key. */
#include "audit_test.h"

#include "vault/audit/notekey.h"
#include "vault/base/arena.h"
#include "vault/base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "certvault.example/policy"
#define TEXT "certvault-policy/v1\n7\n"

struct made {
    struct cv_arena *arena;
    struct cv_buf file;
    struct cv_note_key key;
};

static struct cv_bytes of(const char *text)
{
    return (struct cv_bytes){(const uint8_t *)text, strlen(text)};
}

static struct made make(void)
{
    struct made m = {NULL, {0}, {{0}, 0, {0}, {0}}};

    assert_int_equal(cv_arena_new(CV_KIB(64), &m.arena, NULL), CV_OK);
    cv_buf_init(&m.file, m.arena, CV_NOTEKEY_FILE);
    assert_int_equal(cv_notekey_make(NAME, &m.file, &m.key, NULL), CV_OK);
    return m;
}

static enum cv_status sign(const struct made *m, struct cv_bytes file,
                           const char *text, struct cv_buf *note)
{
    struct cv_note_key key;

    cv_buf_init(note, NULL, CV_KIB(16));
    return cv_notekey_sign(file, m->arena, of(text), note, &key, NULL);
}

static void signs_what_verifies(void **state)
{
    struct made m = make(), other = make();
    struct cv_note_key told;
    struct cv_bytes text;
    struct cv_buf note;

    (void)state;
    assert_string_equal(m.key.name, NAME);
    assert_int_equal(m.key.type, CV_NOTE_ED25519);
    assert_memory_not_equal(m.key.public_key, other.key.public_key, 32);
    cv_buf_init(&note, NULL, CV_KIB(16));
    assert_int_equal(cv_notekey_sign(cv_buf_bytes(&m.file), m.arena, of(TEXT),
                                     &note, &told, NULL),
                     CV_OK);
    assert_memory_equal(told.public_key, m.key.public_key, 32);
    assert_memory_equal(told.id, m.key.id, sizeof(told.id));
    assert_int_equal(cv_note_open(cv_buf_bytes(&note), &m.key, 1, &text, NULL),
                     CV_OK);
    assert_int_equal(text.len, strlen(TEXT));
    assert_memory_equal(text.data, TEXT, text.len);
    /* Another key of that name is another key. */
    assert_int_equal(
        cv_note_open(cv_buf_bytes(&note), &other.key, 1, &text, NULL),
        CV_INTEGRITY);
    cv_buf_wipe(&note);
    /* The last LF may be missing. */
    assert_int_equal(
        sign(&m, (struct cv_bytes){m.file.data, m.file.len - 1}, TEXT, &note),
        CV_OK);
    cv_buf_wipe(&note);
    cv_arena_free(m.arena);
    cv_arena_free(other.arena);
}

/* Each byte of the file counts, but for the seed's: another seed is another
 * key, and then the id is not its. */
static void no_other_bytes(void **state)
{
    struct made m = make();
    char *copy = calloc(1, m.file.len + 8);
    struct cv_buf note;

    (void)state;
    for (size_t i = 0; i + 1 < m.file.len; i++) {
        memcpy(copy, m.file.data, m.file.len);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        assert_int_equal(sign(&m,
                              (struct cv_bytes){(uint8_t *)copy, m.file.len},
                              TEXT, &note),
                         CV_INVALID);
        assert_int_equal(note.len, 0);
        cv_buf_wipe(&note);
    }
    for (size_t len = 0; len + 1 < m.file.len; len++) {
        assert_int_equal(
            sign(&m, (struct cv_bytes){m.file.data, len}, TEXT, &note),
            CV_INVALID);
        cv_buf_wipe(&note);
    }
    memcpy(copy, m.file.data, m.file.len);
    copy[m.file.len] = '\n';
    assert_int_equal(sign(&m,
                          (struct cv_bytes){(uint8_t *)copy, m.file.len + 1},
                          TEXT, &note),
                     CV_INVALID);
    cv_buf_wipe(&note);
    free(copy);
    cv_arena_free(m.arena);
}

/* The key's type is in it: one of a witness signs no notes. */
static void another_type(void **state)
{
    static const char witness[] =
        "PRIVATE+KEY+w+00000000+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    struct made m = make();
    struct cv_buf note;

    (void)state;
    assert_int_equal(sign(&m, of(witness), TEXT, &note), CV_INVALID);
    cv_buf_wipe(&note);
    cv_arena_free(m.arena);
}

static void no_such_text(void **state)
{
    static const char *const texts[] = {"", "no line end", "a\rb\n", "\x1b\n",
                                        "\xff\n"};
    struct made m = make();
    struct cv_buf note;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(sign(&m, cv_buf_bytes(&m.file), texts[i], &note),
                         CV_INVALID);
        assert_int_equal(note.len, 0);
        cv_buf_wipe(&note);
    }
    cv_arena_free(m.arena);
}

static void no_such_name(void **state)
{
    static const char *const names[] = {"", "a b", "a+b", "a\nb", "\xff"};
    struct made m = make();
    struct cv_note_key key;
    struct cv_buf file;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cv_buf_init(&file, m.arena, CV_NOTEKEY_FILE);
        assert_int_equal(cv_notekey_make(names[i], &file, &key, NULL),
                         CV_INVALID);
        assert_int_equal(file.len, 0);
        cv_buf_wipe(&file);
    }
    cv_arena_free(m.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_what_verifies), cmocka_unit_test(no_other_bytes),
        cmocka_unit_test(another_type),        cmocka_unit_test(no_such_text),
        cmocka_unit_test(no_such_name),
    };

    return cmocka_run_group_tests(tests, audit_test_start, NULL);
}
